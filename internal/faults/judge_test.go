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

// liar is a client that tells something else than what it does.
type liar struct {
	honest client
	lie    func(ctx context.Context, honest client, c call) (receipt, error)
}

func (l liar) act(ctx context.Context, c call) (receipt, error) { return l.lie(ctx, l.honest, c) }
func (l liar) close()                                           { l.honest.close() }

// The judge must see through every liar, on a gateway without faults.
func TestLiars(t *testing.T) {
	var stolen string // the version of an earlier call
	for _, test := range []struct {
		name string
		lie  func(context.Context, client, call) (receipt, error)
		want func(publishes, offlines int) verdict // the counts that matter
	}{
		{
			name: "honest",
			lie:  func(ctx context.Context, c client, what call) (receipt, error) { return c.act(ctx, what) },
			want: func(publishes, offlines int) verdict { return verdict{} },
		},
		{
			// Taking offline what was never published: that is true.
			name: "says done and sends nothing",
			lie:  func(context.Context, client, call) (receipt, error) { return receipt{versionID: "v"}, nil },
			want: func(publishes, _ int) verdict { return verdict{wrong: publishes, lost: publishes} },
		},
		{
			name: "says offline and sends nothing",
			lie: func(ctx context.Context, c client, what call) (receipt, error) {
				if !what.Publish {
					return receipt{}, nil
				}
				return c.act(ctx, what)
			},
			want: func(_, offlines int) verdict { return verdict{wrong: offlines} },
		},
		{
			name: "repeats blindly",
			lie: func(ctx context.Context, c client, what call) (receipt, error) {
				if what.Publish {
					_, _ = c.act(ctx, what)
				}
				return c.act(ctx, what)
			},
			want: func(publishes, _ int) verdict { return verdict{doubled: publishes} },
		},
		{
			name: "reports an error after applying",
			lie: func(ctx context.Context, c client, what call) (receipt, error) {
				_, _ = c.act(ctx, what)
				return receipt{}, errors.New("not applied")
			},
			want: func(publishes, offlines int) verdict {
				return verdict{wrong: publishes + offlines, lost: publishes}
			},
		},
		{
			name: "names the version of another call",
			lie: func(ctx context.Context, c client, what call) (receipt, error) {
				got, err := c.act(ctx, what)
				if stolen == "" {
					stolen = got.versionID
				}
				return receipt{versionID: stolen}, err
			},
			want: func(publishes, _ int) verdict { return verdict{wrong: publishes - 1} },
		},
		{
			name: "does not know what it has not sent",
			lie: func(context.Context, client, call) (receipt, error) {
				return receipt{}, apig.ErrOutcomeUnknown
			},
			want: func(publishes, offlines int) verdict { return verdict{unfounded: publishes + offlines} },
		},
		{
			name: "does not know what it was told",
			lie: func(ctx context.Context, c client, what call) (receipt, error) {
				_, _ = c.act(ctx, what)
				return receipt{}, apig.ErrOutcomeUnknown
			},
			want: func(publishes, offlines int) verdict { return verdict{unfounded: publishes + offlines} },
		},
		{
			name: "publishes on nobody's behalf",
			lie: func(ctx context.Context, c client, what call) (receipt, error) {
				if what.Publish {
					_, _ = c.act(withCall(ctx, 0), what)
				}
				return c.act(ctx, what)
			},
			want: func(publishes, _ int) verdict { return verdict{strays: publishes} },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := short(t, "-calls", "50", "-apis", "10", "-rate", "0", "-parallel", "1")
			r, err := try(contextOf(t), s, column{judged: true, open: func(at site, w waits, over *wire) (client, error) {
				honest, err := openNetHTTP(at, w, over)
				return liar{honest, test.lie}, err
			}})
			if err != nil {
				t.Fatal(err)
			}
			got := verdict{wrong: r.wrong, lost: r.lost, doubled: r.doubled, unfounded: r.unfounded, strays: r.strays}
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

func (v verdict) counts() [5]int { return [5]int{v.wrong, v.lost, v.doubled, v.unfounded, v.strays} }

// What depends on when something happened.
func TestTimesOfChanges(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	applied := func(id string, op string, s int) apigtest.Applied {
		return apigtest.Applied{APIID: "a", Op: op, Time: at(s), VersionID: "v" + id,
			Request: &apigtest.Request{Header: http.Header{callHeader: {id}}}}
	}
	for _, test := range []struct {
		name    string
		report  report // of call 1, from second 10 to second 20
		journal []apigtest.Applied
		wrong   int
		lost    int
	}{
		{"a publish that is applied after it was reported as not applied",
			report{Call: call{Publish: true}, Outcome: notApplied}, []apigtest.Applied{applied("1", "online", 30)}, 1, 1},
		{"an offline that is applied after it was reported as not applied",
			report{Outcome: notApplied}, []apigtest.Applied{applied("2", "online", 5), applied("1", "offline", 30)}, 1, 0},
		{"an offline of what was never published",
			report{Outcome: done}, nil, 0, 0},
		{"an offline of what is in effect",
			report{Outcome: done}, []apigtest.Applied{applied("2", "online", 5)}, 1, 0},
		{"an offline of what was published later",
			report{Outcome: done}, []apigtest.Applied{applied("2", "online", 15)}, 0, 0},
		{"an offline of what was published after it",
			report{Outcome: done}, []apigtest.Applied{applied("2", "online", 25)}, 0, 0},
		{"an offline of what another call had taken offline",
			report{Outcome: done}, []apigtest.Applied{applied("2", "online", 4), applied("3", "offline", 6)}, 0, 0},
		{"an offline of what another call took offline meanwhile",
			report{Outcome: done}, []apigtest.Applied{applied("2", "online", 5), applied("3", "offline", 12), applied("4", "online", 14)}, 0, 0},
		{"an offline of what another call took offline afterwards",
			report{Outcome: done}, []apigtest.Applied{applied("2", "online", 5), applied("3", "offline", 25)}, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.report.Call.ID, test.report.Call.APIID = 1, "a"
			test.report.Start, test.report.End = at(10), at(20)
			v := judge([]report{test.report}, test.journal, nil)
			if v.wrong != test.wrong || v.lost != test.lost {
				t.Errorf("wrong %d, lost %d, want %d and %d", v.wrong, v.lost, test.wrong, test.lost)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	good := result{column: column{judged: true, open: openAPIG}, calls: 100, verdict: verdict{publishes: 85, offlines: 15}}
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
	p := patience(50 * time.Millisecond)
	var kept []byte
	stop := make(chan struct{})
	defer close(stop)
	r, err := p.leaveNothing(func() (result, error) {
		go func() { <-stop }()
		kept = make([]byte, 2*maxHeap)
		return result{}, nil
	})
	if err != nil || r.left.goroutines != 1 || r.left.heap < maxHeap {
		t.Errorf("%+v of a goroutine and %d bytes, error %v", r.left, len(kept), err)
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
