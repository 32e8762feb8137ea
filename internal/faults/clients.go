package main

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/apig-go/apig"
)

// client is one way to publish. Its errors mean that nothing was applied,
// unless they match apig.ErrOutcomeUnknown.
type client interface {
	act(context.Context, call) (receipt, error)
	close()
}

// receipt is what a client says about a call that was done.
type receipt struct {
	versionID string // of a publish
	recovered bool   // from the history
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
	TagRemark  bool
}

// attempts is how often each client tries.
const attempts = 4

// auth is the credentials of all clients, so that they differ in nothing but
// what is compared: tokens of the gateway's own IAM, kept until they fail.
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

func (o ours) act(ctx context.Context, c call) (receipt, error) {
	r := apig.ActionRequest{APIID: c.APIID, EnvID: apig.EnvRelease, Remark: remark}
	do := o.Publish
	if !c.Publish {
		do = o.Offline
	}
	rec, err := do(ctx, r)
	switch {
	case err != nil:
		return receipt{}, err
	case rec == nil || rec.APIID != c.APIID || rec.EnvID != apig.EnvRelease:
		return receipt{versionID: "not of this call"}, nil
	}
	return receipt{rec.VersionID, rec.Recovered}, nil
}

func (o ours) close() { o.CloseIdleConnections() }

// outcome is what a client says has become of a call.
type outcome string

const (
	done       outcome = "done"
	notApplied outcome = "not applied"
	unknown    outcome = "unknown"
)

// report is what a client says about one call.
type report struct {
	Call      call
	Outcome   outcome
	VersionID string
	Recovered bool
	Error     string
	Start     time.Time
	End       time.Time

	// Of a process of its own: what its wire has seen of the call.
	Broken []string `json:",omitempty"`
	Late   bool     `json:",omitempty"`
}

// ask has the client make a call. The context of one in a hurry ends within
// that time.
func ask(ctx context.Context, c client, what call, hurry time.Duration) report {
	ctx, cancel := hurried(ctx, what, hurry)
	defer cancel()
	// Without their monotonic parts the times compare with the gateway's, also
	// after a journey from another process.
	r := report{Call: what, Start: time.Now().Round(0)}
	got, err := c.act(withCall(ctx, what.ID), what)
	r.End = time.Now().Round(0)
	switch {
	case err == nil:
		r.Outcome, r.VersionID, r.Recovered = done, got.versionID, got.recovered
	case errors.Is(err, apig.ErrOutcomeUnknown):
		r.Outcome, r.Error = unknown, err.Error()
	default:
		r.Outcome, r.Error = notApplied, err.Error()
	}
	return r
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
