package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apig-go/apig"
)

const (
	// maxParallel is the most workers that -parallel may ask for.
	maxParallel = 256

	// batchSize is the most APIs that the service takes in one request, and
	// batchParallel how many of those requests are under way at once.
	batchSize     = 1000
	batchParallel = 4

	// notSentPrefix begins the error of a change that was not tried.
	notSentPrefix = "not sent"
)

// change is one change to many APIs: publish, offline, rollback or settle.
type change struct {
	op       string // the method of the client, in an unknown outcome
	client   *apig.Client
	sent     *sendings
	reporter *reporter
	tagged   bool
	forgive  error // an error that matches it is success

	parallel int
	size     int // APIs at a time
	do       func(ctx context.Context, targets []target) []apig.BatchItem
}

// run makes the change. When ctx ends, or the credentials are refused, nothing
// more is sent: five refused signatures would lock a key.
func (c *change) run(ctx context.Context, envID string, targets []target) {
	if c.reporter.mode == jsonJournal {
		c.announce(envID, targets)
	}
	var refused atomic.Pointer[error]
	chunks := slices.Collect(slices.Chunk(targets, c.size))
	first := 0
	firsts := make([]int, len(chunks))
	for n, chunk := range chunks {
		firsts[n] = first
		first += len(chunk)
	}
	inParallel(c.parallel, len(chunks), func(n int) {
		var items []apig.BatchItem
		why := refused.Load()
		switch {
		case ctx.Err() != nil:
			items = notSent(chunks[n], fmt.Errorf(notSentPrefix+": %w", context.Cause(ctx)))
		case why != nil:
			items = notSent(chunks[n], fmt.Errorf(notSentPrefix+", since the credentials were refused: %w", *why))
		default:
			items = c.do(ctx, chunks[n])
		}
		for i, item := range items {
			if errors.Is(item.Err, apig.ErrUnauthorized) {
				refused.CompareAndSwap(nil, &item.Err)
			}
			c.reporter.set(firsts[n]+i, c.result(envID, chunks[n][i], item))
		}
	})
}

// announce writes a line for each API, and has one written before it is first
// sent.
func (c *change) announce(envID string, targets []target) {
	byID := make(map[string]target, len(targets))
	for _, t := range targets {
		byID[strings.ToLower(t.id)] = t
		c.reporter.announce(result{API: t.asked, APIID: t.id, APIName: t.name, EnvID: envID, Outcome: outcomeWaiting})
	}
	c.sent.first = func(apiID string, of sending) {
		t := byID[strings.ToLower(apiID)]
		to := result{API: t.asked, APIID: t.id, APIName: t.name, EnvID: envID, Remark: of.remark, Attempts: of.attempts,
			Outcome: outcomeSent}
		to.Unknown = c.sentUnknown(to, of)
		c.reporter.announce(to)
	}
}

func notSent(targets []target, why error) []apig.BatchItem {
	items := make([]apig.BatchItem, len(targets))
	for i := range items {
		items[i].Err = why
	}
	return items
}

// inParallel calls do with 0 to n-1, in that order, several at once.
func inParallel(workers, n int, do func(int)) {
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(workers, n) {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	running.Wait()
}

// result is what became of one API, with all that is known of it.
func (c *change) result(envID string, t target, item apig.BatchItem) result {
	sent := c.sent.of(t.id)
	to := result{API: t.asked, APIID: t.id, APIName: t.name, EnvID: envID, Remark: sent.remark, Attempts: sent.attempts}
	if item.APIName != "" {
		to.APIName = item.APIName
	}
	switch err := item.Err; {
	case err == nil:
		to.succeed(item.Record)
	case apig.OutcomeOf(err) == apig.Unknown:
		to.Outcome, to.problem = outcomeUnknown, newProblem(err)
		to.Unknown = unknownOf(err)
	case c.forgive != nil && errors.Is(err, c.forgive):
		to.Outcome, to.AlreadyOffline, to.RequestID = outcomeApplied, true, newProblem(err).RequestID
	default:
		to.Outcome, to.problem = outcomeNotApplied, newProblem(err)
	}
	return to
}

func (to *result) succeed(record *apig.PublishRecord) {
	to.Outcome, to.Record, to.Recovered, to.RequestID = outcomeApplied, record, record.Recovered, record.RequestID
	if record.APIName != "" {
		to.APIName = record.APIName
	}
	if to.EnvID == "" {
		to.EnvID = record.EnvID
	}
}

// exitCode is that of the whole run. ctx is the program's own, which ends only
// when it is interrupted.
func (c *change) exitCode(ctx context.Context) int {
	code := c.reporter.exitCode()
	if ctx.Err() != nil && code != exitDone {
		c.reporter.report.Interrupted = true
		if code == exitNotApplied && c.sent.none() {
			return exitInterrupted
		}
	}
	return code
}
