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

	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/internal/random"
)

// outage is what is wrong with the gateway during a whole call.
type outage struct {
	faults []apigtest.Fault
	// reads fails those requests of which it says so.
	reads func() func(*apigtest.Request) bool
	// unreachable has no connection come about.
	unreachable bool
}

const html503 = "<html>503 Service Unavailable</html>"

var (
	changeOps = []apigtest.Op{apigtest.OpAction, apigtest.OpBatch, apigtest.OpSwitch, apigtest.OpOfflineVersion}

	outages = map[string]outage{
		"all 5xx":                          {faults: []apigtest.Fault{apigtest.Answer(503, html503).Always()}},
		"all 429":                          {faults: []apigtest.Fault{apigtest.Throttle("").Always()}},
		"all hangs":                        {faults: []apigtest.Fault{apigtest.Hang().Always()}},
		"504, and a hanging history":       {faults: append(onChanges(apigtest.Answer(504, "")), apigtest.Hang().On(apigtest.OpHistory).Always())},
		"list readable, histories failing": {faults: append(onChanges(apigtest.CloseBefore()), apigtest.Answer(500, systemBody).On(apigtest.OpHistory).Always())},
		"every twelfth read works":         {faults: onChanges(apigtest.ApplyThenClose()), reads: everyTwelfth},
		"histories readable late":          {faults: onChanges(apigtest.Hang()), reads: lateReads},
		"no connection":                    {unreachable: true},
	}
)

func onChanges(f apigtest.Fault) []apigtest.Fault {
	var all []apigtest.Fault
	for _, op := range changeOps {
		all = append(all, f.On(op).Always())
	}
	return all
}

func everyTwelfth() func(*apigtest.Request) bool {
	n := 0
	return func(r *apigtest.Request) bool {
		if r.Method == http.MethodGet {
			n++
		}
		return r.Method == http.MethodGet && n%12 != 0
	}
}

// lateReads lets the history be read only just before settling gives up.
func lateReads() func(*apigtest.Request) bool {
	var sent time.Time
	return func(r *apigtest.Request) bool {
		if r.Method != http.MethodGet {
			sent = r.Time
			return false
		}
		return r.Op == apigtest.OpHistory && !sent.IsZero() && r.Time.Sub(sent) < 85*time.Second
	}
}

// strike has the outage begin.
func (s *site) strike(o outage) {
	s.Inject(o.faults...)
	if o.reads != nil {
		s.Inject(apigtest.Answer(503, html503).Always().When(o.reads()))
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
	do     func(s *site, ids []string, versions []apigtest.Version) error
}

func publishing(s *site, r BatchRequest) error {
	r.EnvID = EnvRelease
	_, err := s.PublishBatch(s.t.Context(), r)
	return err
}

var boundedCalls = map[string]boundedCall{
	"Publish": {do: func(s *site, _ []string, _ []apigtest.Version) error {
		_, err := s.Publish(s.t.Context(), s.request("1.4.3"))
		return err
	}},
	"Offline": {do: func(s *site, _ []string, _ []apigtest.Version) error {
		_, err := s.Client.Offline(s.t.Context(), s.request(""))
		return err
	}},
	"SwitchVersion": {do: func(s *site, _ []string, v []apigtest.Version) error {
		_, err := s.SwitchVersion(s.t.Context(), s.api, v[0].ID)
		return err
	}},
	"OfflineVersion": {do: func(s *site, _ []string, v []apigtest.Version) error {
		_, err := s.OfflineVersion(s.t.Context(), s.api, v[1].ID)
		return err
	}},
	"Rollback": {do: func(s *site, _ []string, _ []apigtest.Version) error {
		_, err := s.Rollback(s.t.Context(), s.api, EnvRelease)
		return err
	}},
	"PublishBatch 20": {apis: 20, do: func(s *site, ids []string, _ []apigtest.Version) error {
		return publishing(s, BatchRequest{APIIDs: ids})
	}},
	"PublishBatch 200": {apis: 200, do: func(s *site, ids []string, _ []apigtest.Version) error {
		return publishing(s, BatchRequest{APIIDs: ids})
	}},
	"PublishBatch of a group": {apis: 20, listed: true, do: func(s *site, ids []string, _ []apigtest.Version) error {
		return publishing(s, BatchRequest{GroupID: ids[0]})
	}},
}

// bound is the longest that a call may take, as RetryPolicy documents it.
func (b boundedCall) bound(p RetryPolicy, attempt time.Duration) time.Duration {
	settling := p.SettleTimeout + time.Duration(b.apis)*50*time.Millisecond
	bound := time.Duration(p.MaxAttempts) * (attempt + 2*p.SettleWait + settling + p.MaxWait)
	if b.listed {
		bound += p.SettleTimeout
	}
	return bound
}

// Without a deadline each call ends within a known time, whatever happens; and
// exactly then, where all waits are as short as may be. Giving up is unknown where
// something was sent.
func TestEveryCallEnds(t *testing.T) {
	defer random.Replace(func(int64) int64 { return 0 })()
	const (
		ms, sec = time.Millisecond, time.Second
		waits   = 750 * ms // between four attempts
		listing = 30 * sec
	)
	type end struct {
		outcome Outcome
		after   time.Duration // zero: anything within the bound
	}
	// The order: single calls; Rollback, which reads first; batches of 20 and
	// of 200; a group of 20.
	for name, want := range map[string]struct{ single, rollback, batch20, batch200, group end }{
		"all 5xx":                          {end{Unknown, 31 * sec}, end{NotApplied, waits}, end{Unknown, 32 * sec}, end{Unknown, 41 * sec}, end{NotApplied, listing}},
		"all 429":                          {end{NotApplied, waits}, end{NotApplied, waits}, end{NotApplied, waits}, end{NotApplied, waits}, end{NotApplied, listing}},
		"all hangs":                        {end{Unknown, 92*sec + 50*ms}, end{NotApplied, listing}, end{Unknown, 93 * sec}, end{Unknown, 102 * sec}, end{NotApplied, listing}},
		"504, and a hanging history":       {end{Unknown, 32*sec + 50*ms}, end{NotApplied, listing}, end{Unknown, 33 * sec}, end{Unknown, 42 * sec}, end{Unknown, 33 * sec}},
		"list readable, histories failing": {end{Unknown, 31 * sec}, end{NotApplied, waits}, end{Unknown, 32 * sec}, end{Unknown, 41 * sec}, end{Unknown, 32 * sec}},
		"every twelfth read works":         {end{Applied, 0}, end{NotApplied, waits}, end{Applied, 0}, end{Unknown, 41 * sec}, end{Applied, 0}},
		"histories readable late":          {end{NotApplied, 0}, end{NotApplied, 0}, end{NotApplied, 0}, end{NotApplied, 0}, end{NotApplied, 0}},
		"no connection":                    {end{NotApplied, waits}, end{NotApplied, waits}, end{NotApplied, waits}, end{NotApplied, waits}, end{NotApplied, listing}},
	} {
		for method, call := range boundedCalls {
			virtually(t, name+"/"+method, func(t *testing.T) {
				var changes []func(*Config)
				if outages[name].unreachable {
					changes = append(changes, unreachable)
				}
				s := newSite(t, changes...)
				ids := s.apis(call.apis)
				if call.listed {
					group := s.AddGroup("shop")
					for i := range ids {
						ids[i] = s.AddAPIIn(group, fmt.Sprint("of the shop ", i))
					}
					s.theirs("1.4.1", ids...)
					ids = []string{group}
				} else {
					s.theirs("1.4.1", ids...)
				}
				versions := []apigtest.Version{s.theirs("1.4.1"), s.theirs("1.4.2")}
				time.Sleep(time.Hour)
				s.strike(outages[name])

				var err error
				elapsed := took(func() { err = call.do(s, ids, versions) })
				expected := want.single
				switch {
				case method == "Rollback":
					expected = want.rollback
				case call.listed:
					expected = want.group
				case call.apis == 20:
					expected = want.batch20
				case call.apis == 200:
					expected = want.batch200
				}
				require.LessOrEqual(t, elapsed, call.bound(s.retry, defaultAttemptTimeout), "the documented bound")
				assert.Equal(t, expected.outcome.String(), OutcomeOf(err).String())
				if expected.after != 0 {
					assert.Equal(t, expected.after, elapsed)
				}
				if OutcomeOf(err) == NotApplied {
					for _, a := range s.Journal() {
						assert.Nil(t, a.Request)
					}
				}
			})
		}
	}
}

// The bound holds with any policy, and with the longest waits that chance gives.
func TestEveryCallEndsByAnyPolicy(t *testing.T) {
	defer random.Replace(func(n int64) int64 { return n - 1 })()
	for name, o := range outages {
		for method, call := range boundedCalls {
			if call.apis == 200 {
				continue // which is above
			}
			for _, p := range []RetryPolicy{
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
					versions := []apigtest.Version{s.theirs("1.4.1"), s.theirs("1.4.2")}
					time.Sleep(time.Hour)
					s.strike(o)
					elapsed := took(func() { _ = call.do(s, ids, versions) })
					require.LessOrEqual(t, elapsed, call.bound(s.retry, 7*time.Second))
				})
			}
		}
	}
}
