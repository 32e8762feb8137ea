package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/random"
)

// All of the library whose form the simulation depends on is named here, and
// nowhere else: what it calls, and how it reads a report.

// outcome is what a report says became of a change.
type outcome = apig.Outcome

const (
	applied    = apig.Applied
	notApplied = apig.NotApplied
	unknown    = apig.Unknown
)

func outcomeOf(err error) outcome { return apig.OutcomeOf(err) }

// checkUnknown says what is wrong with the form of an unknown report, or
// nothing: it is to be something to go on.
func checkUnknown(err error, api string) string {
	var lost *apig.UnknownError
	switch {
	case !errors.As(err, &lost):
		return "an unknown report is no *UnknownError"
	case !strings.EqualFold(lost.APIID, api):
		return "an unknown report names another API"
	case !strings.EqualFold(lost.InstanceID, "instance"):
		return "an unknown report does not name the gateway"
	case lost.SentAt.IsZero() || lost.Attempts == 0:
		return "an unknown report does not say when and how often it was tried"
	case strings.Contains(err.Error(), "\n"):
		return "an unknown report has more than one line"
	}
	return ""
}

func rollback(ctx context.Context, c *apig.Client, apiID, envID string) (*apig.PublishRecord, error) {
	return c.Rollback(ctx, apiID, envID)
}

func settle(ctx context.Context, c *apig.Client, err error) (*apig.PublishRecord, error) {
	return c.Settle(ctx, err)
}

// carried is an unknown report as another process has it, that was told its
// fields.
func carried(err error) error {
	var lost *apig.UnknownError
	if !errors.As(err, &lost) {
		return err
	}
	text, _ := json.Marshal(lost) // strings, times and numbers
	again := &apig.UnknownError{}
	if err := json.Unmarshal(text, again); err != nil {
		panic(err) // it was written by the library itself
	}
	return again
}

func offlineVersion(ctx context.Context, c *apig.Client, apiID, versionID string) (*apig.PublishRecord, error) {
	return c.OfflineVersion(ctx, apiID, versionID)
}

// chanceByTime makes what the library leaves to chance a matter of the time, which in
// a world is the same in every run; restore ends it.
func chanceByTime() (restore func()) {
	return random.Replace(func(n int64) int64 {
		return newDice(uint64(time.Now().UnixNano()), "library").Int64N(n)
	})
}

// The policy's defaults, which the formula of a call's longest time needs.
const (
	attemptTimeout = 60 * time.Second
	settleTimeout  = 30 * time.Second
	settlePerAPI   = 50 * time.Millisecond
	maxAttempts    = 4
	maxWait        = 20 * time.Second
	settleWait     = time.Second
)

// longest is how long a call without a deadline may take from the first
// request of its last API on, as the library documents it: a group is listed
// before, and rejected credentials may be renewed.
func longest(of process, apis int, group bool) time.Duration {
	p := of.policy
	attempts, wait, look, one := maxAttempts, maxWait, settleWait, attemptTimeout
	if of.timeout > 0 {
		one = of.timeout
	}
	if p.MaxAttempts > 0 {
		attempts = p.MaxAttempts
	}
	if p.MaxWait > 0 {
		wait = p.MaxWait
	}
	if p.SettleWait > 0 {
		look = p.SettleWait
	}
	budget := settleTimeout + time.Duration(apis)*settlePerAPI
	d := one + time.Duration(attempts)*(one+2*look+budget+wait)
	if group {
		d += settleTimeout
	}
	return d
}

// causeOf sorts the unknown reports by what the library gives as their cause.
func causeOf(err error) string {
	text := err.Error()
	for _, c := range []struct{ part, cause string }{
		{"context ended before", "context ended"},
		{"context ends before", "context would end"},
		{"cannot be read", "history unreadable"},
		{"same remark", "same remark, doubtful"},
		{"newer versions only", "displaced"},
		{"published after this call began", "newer version in effect"},
		{"somebody else has taken the API offline", "taken offline by somebody else"},
		{"does not have the version any more", "version gone"},
		{"changed the environment after", "changed since by this client"},
		{"its turn did not come", "no turn to settle"},
	} {
		if strings.Contains(text, c.part) {
			return c.cause
		}
	}
	return "other"
}
