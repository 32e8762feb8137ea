package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// remark is that of all publications.
const remark = "release 1.4.2"

// waits are far shorter than in earnest.
var waits = apig.RetryPolicy{
	MaxAttempts: 10, // or what is struck again and again is, rightly, not applied
	MinWait:     2 * time.Millisecond,
	MaxWait:     100 * time.Millisecond,
	SettleWait:  40 * time.Millisecond,
}

// ops are the requests that a run makes.
var ops = []apigtest.Op{apigtest.OpBatch, apigtest.OpAction, apigtest.OpAPIs, apigtest.OpHistory, apigtest.OpRuntime}

// column is one run, and one column of the table.
type column struct {
	title   string
	publish func(context.Context, *apig.Client, []string) []report
	faults  bool
}

// result is what a run came to.
type result struct {
	title     string
	count     [3]int // by outcome
	recovered int
	missing   int
	faults    [4]int // by verdict
	why       []string
	elapsed   time.Duration
	requests  int
	byOp      map[apigtest.Op]int
	struck    map[string]int // by name of the fault
}

func newResult(title string) result {
	return result{title: title, byOp: map[apigtest.Op]int{}, struck: map[string]int{}}
}

// try makes one run, on a gateway of its own, and adds to r what it came to.
func (c column) try(ctx context.Context, s settings, r *result) error {
	g := apigtest.NewGateway(apigtest.WithSeed(s.seed))
	defer g.Close()
	var apis []string
	missing := map[string]bool{}
	for i := range s.apis {
		id := g.AddAPI(fmt.Sprintf("api-%d", i))
		if i*s.missing/s.apis != (i+1)*s.missing/s.apis { // evenly spread
			g.RemoveAPI(id)
			missing[id] = true
		}
		apis = append(apis, id)
	}
	fate := &fate{settings: s, before: map[string]int{}, struck: r.struck}
	if c.faults {
		g.InjectFunc(fate.strike)
	}
	client, err := apig.New(apig.Config{
		Endpoint:   g.URL(),
		ProjectID:  g.ProjectID(),
		InstanceID: g.InstanceID(),
		Auth:       apig.StaticToken(g.Token()),
		HTTPClient: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1024}},
		Retry:      waits,
	})
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()

	start := time.Now()
	reports := c.publish(ctx, client, apis)
	r.elapsed += time.Since(start)
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, request := range g.Requests() {
		r.requests++
		r.byOp[request.Op]++
	}
	r.judge(apis, missing, reports, g.Journal())
	return nil
}

// outcome is what is reported of an API.
type outcome int

const (
	done outcome = iota
	notApplied
	unknown
)

// report is what is reported of an API, with its version if it is done.
type report struct {
	apiID     string
	outcome   outcome
	version   string
	recovered bool
	err       error
}

func reportOf(apiID string, r *apig.PublishRecord, err error) report {
	switch {
	case errors.Is(err, apig.ErrOutcomeUnknown):
		return report{apiID: apiID, outcome: unknown, err: err}
	case err != nil:
		return report{apiID: apiID, outcome: notApplied, err: err}
	case r == nil || r.APIID != apiID || r.EnvID != apig.EnvRelease || r.Remark != remark:
		return report{apiID: apiID, outcome: done, version: "not of this API"}
	}
	return report{apiID: apiID, outcome: done, version: r.VersionID, recovered: r.Recovered}
}

// inBatch publishes all APIs with one call.
func inBatch(ctx context.Context, c *apig.Client, apis []string) []report {
	result, err := c.PublishBatch(ctx, apig.BatchRequest{APIIDs: apis, EnvID: apig.EnvRelease, Remark: remark})
	if result == nil {
		return []report{{err: err}}
	}
	var reports []report
	for _, item := range result.Items {
		reports = append(reports, reportOf(item.APIID, item.Record, item.Err))
	}
	return reports
}

// oneByOne publishes each API with a call of its own, so many at a time.
func oneByOne(parallel int) func(context.Context, *apig.Client, []string) []report {
	return func(ctx context.Context, c *apig.Client, apis []string) []report {
		reports := make([]report, len(apis))
		next := make(chan int)
		var wg sync.WaitGroup
		for range parallel {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range next {
					record, err := c.Publish(ctx, apig.ActionRequest{APIID: apis[i], EnvID: apig.EnvRelease, Remark: remark})
					reports[i] = reportOf(apis[i], record, err)
				}
			}()
		}
		for i := range apis {
			next <- i
		}
		close(next)
		wg.Wait()
		return reports
	}
}
