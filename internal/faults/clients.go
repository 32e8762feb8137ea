package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/judge"
)

// client is one way to change APIs. It has an answer for each API of a call, in
// the same order. Its errors mean that nothing was applied, unless they match
// apig.ErrOutcomeUnknown.
type client interface {
	act(context.Context, call) []answer
	close()
}

// answer is what a client says about one API.
type answer struct {
	record *apig.PublishRecord
	err    error
}

// opener makes a client of the gateway at site, over the wire.
type opener func(site, waits, *wire) (client, error)

// site is what a client has to know of a gateway. It travels to other
// processes.
type site struct {
	URL        string
	ProjectID  string
	InstanceID string
	Username   string
	Password   string
	DomainName string
	AccessKey  string
	SecretKey  string
	TagRemark  bool
}

// attempts is how often each client tries.
const attempts = 4

// auth is the credentials of all clients that can use them, so that these differ
// in nothing but what is compared: tokens of the gateway's own IAM, kept until
// they fail.
func (s site) auth(w waits, over *wire) apig.Authenticator {
	return apig.TokenAuth(&apig.IAM{
		Endpoint:   s.URL,
		Username:   s.Username,
		Password:   apig.Secret(s.Password),
		DomainName: s.DomainName,
		ProjectID:  s.ProjectID,
		HTTPClient: &http.Client{Transport: over},
		// All calls wait for one fetch, so it has to survive several lost
		// attempts within the time of one of theirs.
		AttemptTimeout: w.Attempt / 4,
		Retry:          apig.RetryPolicy{MaxAttempts: 2 * attempts, MinWait: w.Min, MaxWait: w.Max},
	})
}

// ours is the client of this library.
type ours struct{ *apig.Client }

func openAPIG(s site, w waits, over *wire) (client, error) {
	c, err := apig.New(apig.Config{
		Endpoint:       s.URL,
		ProjectID:      s.ProjectID,
		InstanceID:     s.InstanceID,
		Auth:           s.auth(w, over),
		HTTPClient:     &http.Client{Transport: over},
		AttemptTimeout: w.Attempt,
		Retry: apig.RetryPolicy{
			MaxAttempts: attempts,
			MinWait:     w.Min,
			MaxWait:     w.Max,
			SettleWait:  w.Settle,
			TagRemark:   s.TagRemark,
		},
	})
	return ours{c}, err
}

func (o ours) act(ctx context.Context, c call) []answer {
	do := o.Publish
	if !c.Publish {
		do = o.Offline
	}
	rec, err := do(ctx, apig.ActionRequest{APIID: c.APIIDs[0], EnvID: apig.EnvRelease, Remark: remark})
	return []answer{{rec, err}}
}

func (o ours) close() { o.CloseIdleConnections() }

// oursInBatches is the same client with its methods for batches.
type oursInBatches struct{ ours }

func openBatches(s site, w waits, over *wire) (client, error) {
	c, err := openAPIG(s, w, over)
	if err != nil {
		return nil, err
	}
	return oursInBatches{c.(ours)}, nil
}

func (o oursInBatches) act(ctx context.Context, c call) []answer {
	do := o.PublishBatch
	if !c.Publish {
		do = o.OfflineBatch
	}
	result, err := do(ctx, apig.BatchRequest{APIIDs: c.APIIDs, EnvID: apig.EnvRelease, Remark: remark})
	answers := make([]answer, len(c.APIIDs))
	for i, id := range c.APIIDs {
		switch {
		case result == nil:
			answers[i].err = err
		case i < len(result.Items) && result.Items[i].APIID == id:
			answers[i] = answer{result.Items[i].Record, result.Items[i].Err}
		}
	}
	return answers
}

// report is what a client says about one API of a call.
type report struct {
	Call int
	judge.Report
	Recovered bool

	// Of a process of its own: what its wire has seen of the call.
	Broken []string `json:",omitempty"`
	Late   bool     `json:",omitempty"`
}

func (r report) key() key { return key{r.Call, r.APIID} }

func (r report) String() string {
	word := "offline"
	if r.Publish {
		word = "publish"
	}
	return fmt.Sprintf("%s of call %d, API %s, was reported %v, version %q, recovered %v, error %q",
		word, r.Call, r.APIID, r.Outcome, r.VersionID, r.Recovered, r.Error)
}

// ask has the client make a call. The context of one in a hurry ends within
// that time.
func ask(ctx context.Context, c client, what call, hurry time.Duration) []report {
	ctx, cancel := hurried(ctx, what, hurry)
	defer cancel()
	// Without their monotonic parts the times compare with the gateway's, also
	// after a journey from another process.
	start := time.Now().Round(0)
	answers := c.act(withCall(ctx, what.ID), what)
	end := time.Now().Round(0)
	reports := make([]report, len(what.APIIDs))
	for i, id := range what.APIIDs {
		a := answers[i]
		r := judge.NewReport(what.Publish, apig.ActionRequest{APIID: id, EnvID: apig.EnvRelease}, a.record, a.err)
		r.Start, r.End = start, end
		reports[i] = report{Call: what.ID, Report: r, Recovered: a.record != nil && a.record.Recovered}
	}
	return reports
}

// hurried returns the context of a call in a hurry: half of them have a
// deadline, the others are cancelled, and many are before an answer can come.
func hurried(ctx context.Context, what call, hurry time.Duration) (context.Context, context.CancelFunc) {
	if hurry == 0 {
		return ctx, func() {}
	}
	rng := rand.New(rand.NewPCG(uint64(what.ID), 0))
	end := time.Duration(math.Pow(rng.Float64(), 3) * float64(hurry))
	if rng.IntN(2) == 0 {
		return context.WithTimeout(ctx, end)
	}
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(end, cancel)
	return ctx, func() { timer.Stop(); cancel() }
}
