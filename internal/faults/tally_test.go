package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// publisher is what a client does when it is honest.
type publisher func(context.Context, call) (versionID string, err error)

// The judge must see through every liar, on a gateway without faults.
func TestLiars(t *testing.T) {
	var stolen string // the version of an earlier call
	for _, test := range []struct {
		name string
		lie  func(context.Context, publisher, call) (string, error)
		want func(publishes, offlines int) tally // the counts that matter
	}{
		{
			name: "honest",
			lie:  func(ctx context.Context, c publisher, what call) (string, error) { return c(ctx, what) },
			want: func(publishes, offlines int) tally { return tally{} },
		},
		{
			// Taking offline what was never published: that is true.
			name: "says done and sends nothing",
			lie:  func(context.Context, publisher, call) (string, error) { return "v", nil },
			want: func(publishes, _ int) tally { return tally{wrong: publishes, lost: publishes} },
		},
		{
			name: "says offline and sends nothing",
			lie: func(ctx context.Context, c publisher, what call) (string, error) {
				if !what.Publish {
					return "", nil
				}
				return c(ctx, what)
			},
			want: func(_, offlines int) tally { return tally{wrong: offlines} },
		},
		{
			name: "repeats blindly",
			lie: func(ctx context.Context, c publisher, what call) (string, error) {
				if what.Publish {
					_, _ = c(ctx, what)
				}
				return c(ctx, what)
			},
			want: func(publishes, _ int) tally { return tally{doubled: publishes} },
		},
		{
			name: "reports an error after applying",
			lie: func(ctx context.Context, c publisher, what call) (string, error) {
				_, _ = c(ctx, what)
				return "", errors.New("not applied")
			},
			want: func(publishes, offlines int) tally {
				return tally{wrong: publishes + offlines, lost: publishes}
			},
		},
		{
			name: "names the version of another call",
			lie: func(ctx context.Context, c publisher, what call) (string, error) {
				got, err := c(ctx, what)
				if stolen == "" {
					stolen = got
				}
				return stolen, err
			},
			want: func(publishes, _ int) tally { return tally{wrong: publishes - 1} },
		},
		{
			name: "does not know what it has not sent",
			lie: func(context.Context, publisher, call) (string, error) {
				return "", apig.ErrOutcomeUnknown
			},
			want: func(publishes, offlines int) tally { return tally{unfounded: publishes + offlines} },
		},
		{
			name: "does not know what it was told",
			lie: func(ctx context.Context, c publisher, what call) (string, error) {
				_, _ = c(ctx, what)
				return "", apig.ErrOutcomeUnknown
			},
			want: func(publishes, offlines int) tally { return tally{unfounded: publishes + offlines} },
		},
		{
			name: "publishes on nobody's behalf",
			lie: func(ctx context.Context, c publisher, what call) (string, error) {
				if what.Publish {
					_, _ = c(withCall(ctx, 0), what)
				}
				return c(ctx, what)
			},
			want: func(publishes, _ int) tally { return tally{strays: publishes} },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := short(t, "-calls", "50", "-apis", "10", "-rate", "0", "-parallel", "1")
			r := try(contextOf(t), s, column{judged: true, open: func(at site, w waits, over *wire) (client, error) {
				honest, err := openNetHTTP(at, w, over)
				if err != nil {
					return nil, err
				}
				return single{
					do:   func(ctx context.Context, c call) (string, error) { return test.lie(ctx, honest.(single).do, c) },
					shut: honest.close,
				}, nil
			}})
			got := r.tally
			want := test.want(r.publishes, r.offlines)
			if got.counts() != want.counts() {
				t.Errorf("wrong, lost, doubled, unfounded, strays: %v, want %v", got.counts(), want.counts())
			}
			lied := want.counts() != [5]int{}
			if lied != (len(r.failures()) > 0) || lied != (len(r.bad) > 0) {
				t.Errorf("failures %v, findings %v", r.failures(), r.bad)
			}
		})
	}
}

func (t tally) counts() [5]int { return [5]int{t.wrong, t.lost, t.doubled, t.unfounded, t.strays} }

// What the methods for batches return is not taken on trust.
func TestLiarsInBatches(t *testing.T) {
	for _, test := range []struct {
		name string
		lie  func(context.Context, client, call) []answer
		want func(publishes, offlines int) tally
	}{
		{
			name: "honest",
			lie:  func(ctx context.Context, c client, what call) []answer { return c.act(ctx, what) },
			want: func(publishes, offlines int) tally { return tally{} },
		},
		{
			name: "tells of other APIs",
			lie: func(ctx context.Context, c client, what call) []answer {
				all := c.act(ctx, what)
				for _, a := range all {
					a.record.APIID = "another"
				}
				return all
			},
			want: func(publishes, offlines int) tally { return tally{wrong: publishes + offlines} },
		},
		{
			name: "says nothing",
			lie: func(ctx context.Context, c client, what call) []answer {
				return make([]answer, len(c.act(ctx, what)))
			},
			want: func(publishes, offlines int) tally { return tally{wrong: publishes + offlines} },
		},
		{
			name: "repeats blindly",
			lie: func(ctx context.Context, c client, what call) []answer {
				if what.Publish {
					c.act(ctx, what)
				}
				return c.act(ctx, what)
			},
			want: func(publishes, _ int) tally { return tally{doubled: publishes} },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := short(t, "-calls", "48", "-apis", "8", "-rate", "0")
			r := try(contextOf(t), s, column{judged: true, batches: true, open: func(at site, w waits, over *wire) (client, error) {
				honest, err := openBatches(at, w, over)
				return liarInBatches{honest, test.lie}, err
			}})
			if want := test.want(r.publishes, r.offlines); r.counts() != want.counts() {
				t.Errorf("wrong, lost, doubled, unfounded, strays: %v, want %v", r.counts(), want.counts())
			}
		})
	}
}

type liarInBatches struct {
	honest client
	lie    func(context.Context, client, call) []answer
}

func (l liarInBatches) act(ctx context.Context, c call) []answer { return l.lie(ctx, l.honest, c) }
func (l liarInBatches) close()                                   { l.honest.close() }

func TestFailures(t *testing.T) {
	good := result{column: column{judged: true, open: openAPIG}, calls: 100, tally: tally{publishes: 85, offlines: 15}}
	for _, test := range []struct {
		name   string
		spoil  func(*result)
		others bool // whether it fails the run of another client too
	}{
		{"wrong report", func(r *result) { r.wrong = 1 }, false},
		{"lost publish", func(r *result) { r.lost = 1 }, false},
		{"doubled version", func(r *result) { r.doubled = 1 }, false},
		{"stray change", func(r *result) { r.strays = 1 }, false},
		{"unfounded", func(r *result) { r.unfounded = 1 }, false},
		{"unknown", func(r *result) { r.unknown = 1 }, false},
		{"not applied", func(r *result) { r.notApplied = 2 }, false},
		{"report missing", func(r *result) { r.publishes-- }, true},
		{"goroutine left", func(r *result) { r.left.goroutines = 1 }, true},
		{"connection left", func(r *result) { r.left.connections = 1 }, true},
		{"memory left", func(r *result) { r.left.heap = maxHeap + 1 }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if f := good.failures(); len(f) > 0 {
				t.Fatalf("fails before anything is wrong: %v", f)
			}
			bad := good
			test.spoil(&bad)
			if len(bad.failures()) != 1 {
				t.Errorf("failures: %v, want one", bad.failures())
			}
			bad.judged = false
			if fails := len(bad.failures()) > 0; fails != test.others {
				t.Errorf("another client fails: %v, want %v", fails, test.others)
			}
		})
	}
}

// What is left behind has to be seen.
func TestLeftovers(t *testing.T) {
	p := patience{End: 50 * time.Millisecond}
	var kept []byte
	stop := make(chan struct{})
	defer close(stop)
	r := p.leaveNothing(func() result {
		go func() { <-stop }()
		kept = make([]byte, 2*maxHeap)
		return result{}
	})
	if r.left.goroutines != 1 || r.left.heap < maxHeap {
		t.Errorf("%+v of a goroutine and %d bytes", r.left, len(kept))
	}

	g := apigtest.NewGateway()
	defer g.Close()
	over := newWire()
	defer over.CloseIdleConnections()
	resp, err := (&http.Client{Transport: over}).Get(g.URL())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	if n := p.connectionsLeft(g, func() {}); n != 1 {
		t.Errorf("%d connections left, want the one that is idle", n)
	}
}
