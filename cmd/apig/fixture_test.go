package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/gateway"
)

const release = "DEFAULT_ENVIRONMENT_RELEASE_ID"

// site is a gateway in memory with a few APIs, and the program pointed at it.
type site struct {
	*gateway.Gateway
	t       *testing.T
	orders  string
	users   string
	staging string

	stdin  string
	asks   bool      // stdin is a terminal
	seen   bool      // stdout or stderr is one
	stdout io.Writer // nil for what run returns
	// The waits of the policy. Inside a bubble of synctest they may be the real
	// ones.
	retry apig.RetryPolicy
}

func newSite(t *testing.T) *site {
	g := gateway.NewGateway(gateway.WithoutNetwork())
	t.Cleanup(g.Close)
	return &site{
		Gateway: g, t: t,
		orders: g.AddAPI("orders"), users: g.AddAPI("users"), staging: g.AddEnvironment("staging"),
		retry: apig.RetryPolicy{SettleWait: 20 * time.Millisecond, MaxWait: time.Millisecond},
	}
}

// ran is what a run of the program left behind.
type ran struct {
	code           int
	stdout, stderr string
}

func (s *site) run(args ...string) ran { return s.runUntil(context.Background(), args...) }

// want runs the program, which is to end with this exit code.
func (s *site) want(code int, args ...string) ran {
	s.t.Helper()
	got := s.run(args...)
	assert.Equal(s.t, code, got.code, "%v: %s%s", args, got.stdout, got.stderr)
	return got
}

// runUntil runs the program until ctx ends, as if a signal had ended it.
func (s *site) runUntil(ctx context.Context, args ...string) ran {
	transport := s.Transport()
	defer transport.CloseIdleConnections()
	p := &program{
		stdin: strings.NewReader(s.stdin), asks: s.asks, seen: s.seen, stdout: s.stdout,
		getenv: func(string) string { return "" },
		config: func() (apig.Config, error) {
			return apig.Config{
				Endpoint: s.URL(), ProjectID: s.ProjectID(), InstanceID: s.InstanceID(),
				Auth: apig.StaticToken(s.Token()), HTTPClient: &http.Client{Transport: transport}, Retry: s.retry,
			}, nil
		},
	}
	return p.record(ctx, args)
}

// record runs the program, and keeps its output.
func (p *program) record(ctx context.Context, args []string) ran {
	var stdout, stderr bytes.Buffer
	p.stdout, p.stderr = cmp.Or[io.Writer](p.stdout, &stdout), &stderr
	code := p.run(ctx, args)
	return ran{code, stdout.String(), stderr.String()}
}

// onSystem runs the program with the environment of the process. It is to end with this
// exit code.
func onSystem(t *testing.T, code int, args ...string) ran {
	t.Helper()
	p := &program{stdin: strings.NewReader(""), getenv: os.Getenv, config: apig.ConfigFromEnv}
	got := p.record(t.Context(), args)
	assert.Equal(t, code, got.code, "%v: %s%s", args, got.stdout, got.stderr)
	return got
}

// report reads the report in either form.
func (r ran) report(t *testing.T) report {
	t.Helper()
	was, err := readReport([]byte(r.stdout))
	require.NoError(t, err, r.stdout)
	return was
}

// results are the results by the IDs of their APIs.
func (r ran) results(t *testing.T) map[string]result {
	t.Helper()
	results := map[string]result{}
	for _, to := range r.report(t).Results {
		results[strings.ToLower(to.APIID)] = to
	}
	return results
}

// listing reads what status and versions write.
func (r ran) listing(t *testing.T) (apis []shown) {
	t.Helper()
	var l struct{ APIs []shown }
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &l), r.stdout)
	return l.APIs
}

// publish publishes an API without the program.
func (s *site) publish(api, env, remark string) (versionID string) {
	s.t.Helper()
	v, err := s.Publish(api, env, remark)
	require.NoError(s.t, err)
	return v.ID
}

// inEffect is the version that the gateway has in effect.
func (s *site) inEffect(api, env string) string {
	v, _ := s.Published(api, env)
	return v.ID
}

// tick gives every publication a second of its own.
func (s *site) tick() {
	var seconds atomic.Int64
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.SetClock(func() time.Time { return begin.Add(time.Duration(seconds.Add(1)) * time.Second) })
}

// changes are how many requests to change something the gateway has received.
func (s *site) changes() (n int) {
	for _, r := range s.Requests() {
		if isChange(&r) {
			n++
		}
	}
	return n
}

// isChange accepts the requests that change something.
func isChange(r *gateway.Request) bool {
	return r.Op == gateway.OpAction || r.Op == gateway.OpBatch || r.Op == gateway.OpSwitch
}

// changeOf accepts the requests that change this API.
func changeOf(id string) func(*gateway.Request) bool {
	return func(r *gateway.Request) bool { return isChange(r) && r.APIID == id }
}

const forbidden = `{"error_code":"APIG.1005","error_msg":"No permissions to request this method"}`

// historyForbidden makes every lost answer unknown, after some readings of the history.
func (s *site) historyForbidden(after int) {
	s.Inject(gateway.Answer(http.StatusForbidden, forbidden).On(gateway.OpHistory).Skip(after).Always())
}
