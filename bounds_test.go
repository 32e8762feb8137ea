package apig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
	"github.com/apig-go/apig/internal/random"
)

// outage is what is wrong with the gateway during a whole call.
type outage struct {
	faults []gateway.Fault
	// reads fails those requests of which it says so.
	reads func() func(*gateway.Request) bool
	// unreachable has no connection come about.
	unreachable bool
}

const html503 = "<html>503 Service Unavailable</html>"

var (
	changeOps = []gateway.Op{gateway.OpAction, gateway.OpBatch, gateway.OpSwitch, gateway.OpOfflineVersion}

	outages = map[string]outage{
		"all 5xx":                          {faults: []gateway.Fault{gateway.Answer(503, html503).Always()}},
		"all 429":                          {faults: []gateway.Fault{gateway.Throttle("").Always()}},
		"all hangs":                        {faults: []gateway.Fault{gateway.Hang().Always()}},
		"504, and a hanging history":       {faults: append(onChanges(gateway.Answer(504, "")), gateway.Hang().On(gateway.OpHistory).Always())},
		"list readable, histories failing": {faults: append(onChanges(gateway.CloseBefore()), gateway.Answer(500, systemBody).On(gateway.OpHistory).Always())},
		"every twelfth read works":         {faults: onChanges(gateway.ApplyThenClose()), reads: everyTwelfth},
		"histories readable late":          {faults: onChanges(gateway.Hang()), reads: lateReads},
		"no connection":                    {unreachable: true},
	}
)

func onChanges(f gateway.Fault) []gateway.Fault {
	var all []gateway.Fault
	for _, op := range changeOps {
		all = append(all, f.On(op).Always())
	}
	return all
}

func everyTwelfth() func(*gateway.Request) bool {
	n := 0
	return func(r *gateway.Request) bool {
		if r.Method == http.MethodGet {
			n++
		}
		return r.Method == http.MethodGet && n%12 != 0
	}
}

// lateReads lets the history be read only just before settling gives up.
func lateReads() func(*gateway.Request) bool {
	var sent time.Time
	return func(r *gateway.Request) bool {
		if r.Method != http.MethodGet {
			sent = r.Time
			return false
		}
		return r.Op == gateway.OpHistory && !sent.IsZero() && r.Time.Sub(sent) < 85*time.Second
	}
}

// strike has the outage begin.
func (s *site) strike(o outage) {
	s.Inject(o.faults...)
	if o.reads != nil {
		s.Inject(gateway.Answer(503, html503).Always().When(o.reads()))
	}
}

// unreachable is a client for a gateway that nobody gets through to.
func unreachable(cfg *Config) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	cfg.HTTPClient = &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, refused },
	}}
}

// boundedCall is one method, on a gateway where everything was published twice an
// hour ago.
type boundedCall struct {
	apis   int  // of a batch
	listed bool // a group
	do     func(s *site, ids []string, versions []gateway.Version) error
}

// boundedCalls are all changes, and those that do more than one change of one API.
func boundedCalls() map[string]boundedCall {
	calls := map[string]boundedCall{
		"Publish with a key": {do: func(s *site, _ []string, _ []gateway.Version) error {
			return second(s.Publish(s.t.Context(), s.keyed("k")))
		}},
		"PublishBatch 60": {apis: 60, do: func(s *site, ids []string, _ []gateway.Version) error {
			return second(s.PublishBatch(s.t.Context(), PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease}))
		}},
		"PublishBatch of a group": {apis: 20, listed: true, do: func(s *site, ids []string, _ []gateway.Version) error {
			return second(s.PublishBatch(s.t.Context(), PublishBatchRequest{GroupID: ids[0], EnvID: EnvRelease}))
		}},
	}
	for op, c := range allChanges {
		calls[op] = boundedCall{apis: 1, do: func(s *site, _ []string, v []gateway.Version) error {
			return second(c.do(s, s.t.Context(), v[0].ID, v[1].ID))
		}}
	}
	return calls
}

// bound is the longest that a call may take, as RetryPolicy documents it.
func (b boundedCall) bound(p RetryPolicy, attempt time.Duration) time.Duration {
	settling := p.SettleTimeout + time.Duration(b.apis)*200*time.Millisecond
	each := attempt + 2*p.SettleWait + 2*settling + p.MaxWait
	return time.Duration(p.MaxAttempts)*each + p.BusyTimeout + attempt + 2*p.SettleWait + 2*settling + attempt + settling + 2*p.SettleWait
}

// Without a deadline each call ends within a known time, whatever happens, with any
// policy and with the longest waits that chance gives. An error that is not unknown is
// true.
func TestEveryCallEnds(t *testing.T) {
	defer random.Replace(func(n int64) int64 { return n - 1 })()
	for name, o := range outages {
		for method, call := range boundedCalls() {
			for _, p := range []RetryPolicy{
				{},
				{MaxAttempts: 1},
				{MaxAttempts: 2, MinWait: time.Second, MaxWait: 4 * time.Second, SettleWait: 3 * time.Second, SettleTimeout: 5 * time.Second},
			} {
				virtually(t, fmt.Sprintf("%s/%s/%d attempts", name, method, p.MaxAttempts), func(t *testing.T) {
					changes := []func(*Config){retry(p), func(cfg *Config) { cfg.AttemptTimeout = 7 * time.Second }}
					if o.unreachable {
						changes = append(changes, unreachable)
					}
					s := newSite(t, changes...)
					ids := s.apis(call.apis)
					if call.listed {
						ids[0] = s.AddGroup("shop")
						s.AddAPIIn(ids[0], "one of the shop")
					}
					versions := []gateway.Version{s.theirs("1.4.1"), s.theirs("1.4.2")}
					time.Sleep(time.Hour)
					s.strike(o)
					var err error
					elapsed := took(func() { err = call.do(s, ids, versions) })
					require.LessOrEqual(t, elapsed, call.bound(s.retry, 7*time.Second), "the documented bound")
					time.Sleep(time.Minute)
					if OutcomeOf(err) == NotApplied {
						for _, a := range s.Journal() {
							assert.Nil(t, a.Request)
						}
					}
				})
			}
		}
	}
}
