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
	verdict
	calls    int // planned
	struck   []int
	requests int
	elapsed  time.Duration
	left     leftovers
}

// try runs one client on a gateway of its own. Nothing of that gateway is in
// the result, so that its memory can be taken back.
func try(ctx context.Context, s settings, c column) (result, error) {
	g := apigtest.NewGateway(apigtest.WithSeed(s.seed))
	defer g.Close()
	user := g.AddUser(apigtest.User{Name: "publisher", Password: "correct horse", DomainName: "account"})
	var apis []string
	for i := range s.apis {
		apis = append(apis, g.AddAPI(fmt.Sprintf("api_%d", i)))
	}
	m := newMix(s.seed, s.rate, s.waits, c.refused)
	g.InjectFunc(m.strike)

	at := site{
		URL:        g.URL(),
		ProjectID:  g.ProjectID(),
		InstanceID: g.InstanceID(),
		Username:   user.Name,
		Password:   user.Password,
		DomainName: user.DomainName,
		TagRemark:  c.open == nil,
	}
	r := result{column: c, calls: s.calls}
	start := time.Now()
	var reports []report
	over := newWire()
	release := func() {}
	if c.open == nil {
		plan := newPlan(s.seed, s.calls, apis, false)
		var err error
		if reports, err = runProcesses(ctx, s, at, plan); err != nil {
			return r, err
		}
		for _, r := range reports {
			over.saw(r.Call.ID, r.Broken, r.Late)
		}
	} else {
		client, err := c.open(at, s.waits, over)
		if err != nil {
			return r, err
		}
		release = client.close
		plan := newPlan(s.seed, s.calls, apis, true)
		perform(ctx, client, plan, s.parallel, c.hurry, func(r report) { reports = append(reports, r) })
	}
	r.elapsed = time.Since(start)
	r.left.connections = s.patience.connectionsLeft(g, release)

	g.Close() // What was to be applied later is applied now.
	requests, journal := g.Requests(), g.Journal()
	r.requests, r.struck = len(requests), m.struck
	r.verdict = judge(reports, journal, m.founded(requests, over))
	for n := range r.verdict.bad {
		r.verdict.bad[n].trace = m.trace(r.verdict.bad[n].call, requests, journal)
	}
	return r, nil
}

// perform has the client do the whole plan, on so many APIs at a time, in a
// hurry or not (0), and delivers its reports one by one. An API that has had its step goes to the end
// of the queue, so that no API has two steps at the same time.
func perform(ctx context.Context, c client, plan []script, parallel int, hurry time.Duration, deliver func(report)) {
	var mu sync.Mutex
	do := func(what call) {
		r := ask(ctx, c, what, hurry)
		mu.Lock()
		defer mu.Unlock()
		deliver(r)
	}
	queue := make(chan script, len(plan))
	var unfinished, workers sync.WaitGroup
	for _, s := range plan {
		unfinished.Add(1)
		queue <- s
	}
	for range parallel {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for s := range queue {
				together(s[0], do)
				if len(s) > 1 {
					queue <- s[1:]
				} else {
					unfinished.Done()
				}
			}
		}()
	}
	unfinished.Wait()
	close(queue)
	workers.Wait()
}

// together makes the calls of a step at the same time.
func together(s step, do func(call)) {
	var calls sync.WaitGroup
	for _, c := range s[1:] {
		calls.Add(1)
		go func() {
			defer calls.Done()
			do(c)
		}()
	}
	do(s[0])
	calls.Wait()
}
