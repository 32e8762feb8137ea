package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/apig-go/apig/apigtest"
)

// result is what came of one run.
type result struct {
	column
	tally
	calls    int // planned
	struck   []int
	requests int
	elapsed  time.Duration
	left     leftovers
	err      error // why there are no figures
}

// Credentials of the official SDK.
const (
	accessKey = "publisher"
	secretKey = "correct horse"
)

// try runs one client on a gateway of its own, as long as the limit allows.
// Nothing of that gateway is in the result, so that its memory can be taken back.
func try(ctx context.Context, s settings, c column) result {
	ctx, cancel := context.WithTimeoutCause(ctx, s.limit, fmt.Errorf("cut off after %v", s.limit))
	defer cancel()
	g := apigtest.NewGateway(apigtest.WithSeed(s.seed))
	defer g.Close()
	m := newMix(s.seed, s.rate, s.waits, c.refused)
	g.InjectFunc(m.strike)

	r := result{column: c, calls: s.calls}
	start := time.Now()
	over := newWire()
	reports, release, err := c.perform(ctx, s, g, over)
	if ctx.Err() != nil {
		err = context.Cause(ctx) // what else failed is due to that
	}
	if err != nil {
		return result{column: c, err: err}
	}
	r.elapsed = time.Since(start)
	r.left.connections = s.patience.connectionsLeft(g, release)

	g.Close() // What was to be applied later is applied now.
	requests, journal := g.Requests(), g.Journal()
	r.requests, r.struck = len(requests), m.struck
	r.tally = count(reports, journal, m.founded(requests, over))
	for n := range r.bad {
		r.bad[n].trace = m.trace(r.bad[n].key, requests, journal)
	}
	return r
}

// perform has the clients of the column carry out its plan. release closes their
// idle connections.
func (c column) perform(ctx context.Context, s settings, g *apigtest.Gateway, over *wire) (reports []report, release func(), err error) {
	user := g.AddUser(apigtest.User{Name: "publisher", Password: "correct horse", DomainName: "account"})
	g.AddKeys(accessKey, secretKey, "")
	at := site{
		URL:        g.URL(),
		ProjectID:  g.ProjectID(),
		InstanceID: g.InstanceID(),
		Username:   user.Name,
		Password:   user.Password,
		DomainName: user.DomainName,
		AccessKey:  accessKey,
		SecretKey:  secretKey,
		TagRemark:  c.open == nil,
	}
	var apis []string
	for i := range s.apis {
		apis = append(apis, g.AddAPI(fmt.Sprintf("api_%d", i)))
	}
	sets := oneEach(apis)
	if c.batches {
		sets = batches(s.seed, apis, s.batch)
	}
	if c.open == nil {
		reports, err := runProcesses(ctx, s, at, newPlan(s.seed, s.calls, sets, false))
		for _, r := range reports {
			over.saw(r.Call, r.Broken, r.Late)
		}
		return reports, func() {}, err
	}
	client, err := c.open(at, s.waits, over)
	if err != nil {
		return nil, nil, err
	}
	carryOut(ctx, client, newPlan(s.seed, s.calls, sets, true), s.parallel, c.hurry(s.waits),
		func(all []report) { reports = append(reports, all...) })
	return reports, client.close, nil
}

// carryOut has the client do the whole plan, so many steps at a time, in a hurry
// or not (0), and delivers its reports call by call, until ctx ends. A set of
// APIs that has had its step goes to the end of the queue, so that no API has two
// steps at the same time.
func carryOut(ctx context.Context, c client, plan []script, parallel int, hurry time.Duration, deliver func([]report)) {
	var mu sync.Mutex
	do := func(what call) {
		reports := ask(ctx, c, what, hurry)
		mu.Lock()
		defer mu.Unlock()
		deliver(reports)
	}
	queue := make(chan script, len(plan))
	var unfinished, workers sync.WaitGroup
	for _, s := range plan {
		unfinished.Add(1)
		queue <- s
	}
	for range parallel {
		workers.Go(func() {
			for s := range queue {
				together(s[0], do)
				if len(s) > 1 && ctx.Err() == nil {
					queue <- s[1:]
				} else {
					unfinished.Done()
				}
			}
		})
	}
	unfinished.Wait()
	close(queue)
	workers.Wait()
}

// together makes the calls of a step at the same time.
func together(s step, do func(call)) {
	var calls sync.WaitGroup
	for _, c := range s {
		calls.Go(func() { do(c) })
	}
	calls.Wait()
}
