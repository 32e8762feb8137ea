package real

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/gateway"
)

// result is the report of a publish that met a fault.
type result string

const (
	again   result = "a record from the answer to a second request"
	history result = "a record from the history"
	unknown result = "unknown"
	refused result = "not applied"
)

func requireResult(t *testing.T, want result, rec *apig.PublishRecord, err error) {
	t.Helper()
	got := refused
	switch {
	case err == nil && rec.Recovered:
		got = history
	case err == nil:
		got = again
	case apig.OutcomeOf(err) == apig.Unknown:
		got = unknown
	}
	require.Equal(t, want, got, "%v", err)
}

// requirePage fails unless err was made from a page of the load balancer.
func requirePage(t *testing.T, err error, status int, want error) *apig.APIGError {
	t.Helper()
	require.ErrorIs(t, err, want)
	var page *apig.APIGError
	require.ErrorAs(t, err, &page)
	assert.Equal(t, status, page.StatusCode)
	return page
}

const (
	balancerTimeout = 3 * time.Second         // of both load balancers
	late            = 1500 * time.Millisecond // the history is read four seconds after the timeout: twice SettleWait
	interval        = 2 * time.Second         // between two calls that the load balancer lets through
)

// The lines that make a load balancer throttle or forget.
var (
	throttlingNginx   = directives{Front: "limit_req zone=calls;"}
	throttlingHAProxy = directives{Front: `stick-table type integer size 1 expire 10s store gpc0
	http-request track-sc0 int(1) if METH_POST
	http-request deny deny_status 429 content-type text/plain string "Slow down" hdr Retry-After 2 if METH_POST { sc0_inc_gpc0 eq 2 }`}
	dropping = directives{Front: "http-request silent-drop if { method -m str -f dropped }"}
)

func impatient(cfg *apig.Config) { cfg.Retry.MaxAttempts = 1 }

// inVain makes a client give up soon on a history that it cannot read.
func inVain(cfg *apig.Config) {
	cfg.Retry.MaxWait = 50 * time.Millisecond
	cfg.Retry.SettleWait = 500 * time.Millisecond
	cfg.Retry.SettleTimeout = time.Second
}

// soon makes a client give up soon on an answer that does not come.
func soon(cfg *apig.Config) {
	cfg.AttemptTimeout = 5 * time.Second
	cfg.Retry.SettleWait = 500 * time.Millisecond
	cfg.Retry.MaxAttempts = 2
}

// TestOutcome fails a publish at each point of its way. It proves that the client makes
// the right thing of the pages, the half answers and the silence of real load balancers.
func TestOutcome(t *testing.T) {
	for _, test := range []struct {
		name           string
		kinds          []kind
		lines          directives
		tune           func(*apig.Config)
		remark         string
		before, during string          // commands for HAProxy: before the publish, and once it has seen its first request
		faults         []gateway.Fault // of the gateway
		answers        []string        // of the load balancer to the publish
		want           result
		status         int // of the error, if it was made from a page
		is             error
	}{
		{name: "closes before applying", kinds: both, faults: []gateway.Fault{gateway.CloseBefore()}, answers: []string{"502", "201"}, want: again},
		{name: "closes after applying", kinds: both, faults: []gateway.Fault{gateway.ApplyThenClose()}, answers: []string{"502"}, want: history},
		{name: "closes, then applies", kinds: both, faults: []gateway.Fault{gateway.CloseThenApply(late / 4)}, answers: []string{"502"}, want: history},
		{name: "resets after applying", kinds: both, faults: []gateway.Fault{gateway.Reset().Applied()}, answers: []string{"502"}, want: history},
		{name: "breaks off", kinds: both, faults: []gateway.Fault{gateway.Cut(0)}, answers: []string{"201"}, want: history},
		{name: "hangs and never applies", kinds: both, faults: []gateway.Fault{gateway.Hang()}, answers: []string{"504", "201"}, want: again},
		{name: "hangs and has applied", kinds: both, faults: []gateway.Fault{gateway.Hang().Applied()}, answers: []string{"504"}, want: history},
		{name: "hangs and applies late", kinds: both, faults: []gateway.Fault{gateway.Hang().AppliedAfter(balancerTimeout + late)}, answers: []string{"504"}, want: history},

		// The refusal says when to try again.
		{name: "throttled", kinds: []kind{nginx}, lines: throttlingNginx, answers: []string{"429", "201"}, want: again},
		{name: "throttled", kinds: []kind{haproxy}, lines: throttlingHAProxy, answers: []string{"429", "201"}, want: again},
		{name: "throttled, one attempt", kinds: []kind{nginx}, lines: throttlingNginx, tune: impatient, answers: []string{"429"}, want: refused, status: 429, is: apig.ErrThrottled},
		{name: "throttled, one attempt", kinds: []kind{haproxy}, lines: throttlingHAProxy, tune: impatient, answers: []string{"429"}, want: refused, status: 429, is: apig.ErrThrottled},

		{name: "body larger than nginx allows", kinds: []kind{nginx}, lines: directives{Front: "client_max_body_size 300;"},
			remark: strings.Repeat("版", 230), answers: []string{"413"}, want: refused, status: 413, is: apig.ErrBadRequest},

		// HAProxy's 503 does not say that nothing was sent to the gateway.
		{name: "no server for a while", kinds: []kind{haproxy}, before: "disable server gateway/gateway", during: "enable server gateway/gateway",
			answers: []string{"503", "201"}, want: again},
		{name: "no server", kinds: []kind{haproxy}, tune: inVain, before: "disable server gateway/gateway",
			answers: []string{"503"}, want: unknown, status: 503, is: apig.ErrOutcomeUnknown},

		// HAProxy forgets the connection, without a word to the client. The history can be read.
		{name: "silent drop, once", kinds: []kind{haproxy}, lines: dropping, tune: soon, before: "add acl dropped POST", during: "clear acl dropped",
			answers: []string{"-1", "201"}, want: again},
		{name: "silent drop, each time", kinds: []kind{haproxy}, lines: dropping, tune: soon, before: "add acl dropped POST",
			answers: []string{"-1", "-1"}, want: refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			throughEach(t, test.kinds, func(t *testing.T, k kind, proto protocol) {
				f := startFront(t, k, proto, test.lines)
				client := f.client(test.tune)
				apiID := f.published(client)
				for _, fault := range test.faults {
					f.gateway.Inject(fault.On(gateway.OpAction))
				}
				f.tell(test.before)
				var rec *apig.PublishRecord
				var err error
				done := make(chan struct{})
				go func() {
					defer close(done)
					rec, err = publish(client, apiID, test.remark)
				}()
				if test.during != "" {
					await(t, "the first request", func() bool { return len(f.answers()) > 0 })
					f.tell(test.during)
				}
				<-done
				f.finish(rec, err)
				assert.Equal(t, len(test.faults), f.gateway.Struck())
				answers := test.answers
				if k.name == haproxy.name && answers[0] == "502" {
					answers = answers[1:] // it closes a kept connection without an answer, and logs nothing
				}
				assert.Equal(t, answers, f.answers(), "answers of the load balancer")
				requireResult(t, test.want, rec, err)
				if test.status != 0 {
					page := requirePage(t, err, test.status, test.is)
					assert.Equal(t, test.status == http.StatusTooManyRequests, page.RetryAfter == interval)
				}
			})
		})
	}
}

// TestLongToken sends a token that is too long for nginx's buffers. It proves that the
// client survives both of nginx's refusals: a page, and over HTTP/2 a closed connection.
func TestLongToken(t *testing.T) {
	throughEach(t, []kind{nginx}, func(t *testing.T, k kind, proto protocol) {
		f := startFront(t, k, proto, directives{})
		apiID := f.published(f.client(nil))
		client := f.client(func(cfg *apig.Config) {
			inVain(cfg)
			cfg.Auth = apig.StaticToken(strings.Repeat("t", 40_000))
		})
		rec, err := publish(client, apiID, "1.4.2")
		f.finish(rec, err)
		if proto == http2 { // the history cannot be read either
			assert.Contains(t, f.read("error.log"), "client sent too large header field")
			requireResult(t, unknown, rec, err)
			return
		}
		assert.Equal(t, []string{"400"}, f.answers())
		requirePage(t, err, http.StatusBadRequest, apig.ErrBadRequest)
	})
}

// TestRepeatingBalancer has HAProxy send a publish again after its answer was lost. It
// proves a documented limit: the client sees one good answer, and the gateway has made
// two versions. The second case is the rule that keeps HAProxy from repeating a POST.
func TestRepeatingBalancer(t *testing.T) {
	const (
		repeat = "option http-buffer-request\n\tretry-on all-retryable-errors"
		safe   = repeat + "\n\thttp-request disable-l7-retry if METH_POST"
	)
	throughEach(t, []kind{haproxy}, func(t *testing.T, k kind, proto protocol) {
		for backend, versions := range map[string]int{repeat: 2, safe: 1} {
			f := startFront(t, k, proto, directives{Backend: backend})
			client := f.client(nil)
			apiID := f.published(client)
			f.gateway.Inject(gateway.ApplyThenClose().On(gateway.OpAction))
			rec, err := publish(client, apiID, "1.4.2")
			require.NoError(t, err)
			applied := f.gateway.Journal()[f.made:]
			require.Len(t, applied, versions)
			assert.Equal(t, applied[versions-1].VersionID, rec.VersionID, "the version in effect")
			assert.Equal(t, versions == 1, rec.Recovered)
		}
	})
}

// TestForwardProxy has HAProxy refuse CONNECT, as a company's proxy does. It proves that
// the client knows that nothing was sent to the gateway, takes the refusal for none of
// the gateway, and shows the password of the proxy nowhere.
func TestForwardProxy(t *testing.T) {
	t.Parallel()
	const password = "keep-me-out-of-logs"
	for _, status := range []string{"403", "407"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			f := startFront(t, haproxy, http1, directives{Front: "http-request deny deny_status " + status + " if METH_CONNECT"})
			client := f.client(func(cfg *apig.Config) {
				cfg.HTTPClient.Transport.(*http.Transport).Proxy = func(*http.Request) (*url.URL, error) {
					return url.Parse("https://mallory:" + password + "@" + f.address)
				}
				cfg.Endpoint = "https://apig.example.com"
			})
			rec, err := publish(client, f.gateway.AddAPI("orders"), "1.4.2")
			f.finish(rec, err)
			requireResult(t, refused, rec, err)
			assert.Empty(t, f.answers())
			assert.Contains(t, f.read("out.log"), `"CONNECT apig.example.com:443 HTTP/1.1" `+status)
			assert.NotErrorIs(t, err, apig.ErrForbidden)
			assert.NotContains(t, err.Error()+f.read("out.log"), password)
		})
	}
}
