package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

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
	stdin   string
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

// runUntil runs the program until ctx ends, as if a signal had ended it.
func (s *site) runUntil(ctx context.Context, args ...string) ran {
	transport := s.Transport()
	defer transport.CloseIdleConnections()
	var stdout, stderr bytes.Buffer
	p := s.program(transport, &stdout, &stderr)
	code := p.run(ctx, args)
	return ran{code, stdout.String(), stderr.String()}
}

// program is the program pointed at the gateway.
func (s *site) program(transport http.RoundTripper, stdout, stderr io.Writer) *program {
	return &program{
		stdin: strings.NewReader(s.stdin), stdout: stdout, stderr: stderr,
		getenv: func(string) string { return "" },
		config: func() (apig.Config, error) {
			return apig.Config{
				Endpoint: s.URL(), ProjectID: s.ProjectID(), InstanceID: s.InstanceID(),
				Auth: apig.StaticToken(s.Token()), HTTPClient: &http.Client{Transport: transport}, Retry: s.retry,
			}, nil
		},
	}
}

// report reads the report in either form.
func (r ran) report(t *testing.T) report {
	t.Helper()
	was, err := readReport(strings.NewReader(r.stdout))
	require.NoError(t, err, r.stdout)
	return was
}

// changes are the requests that change something.
func (s *site) changes() int {
	n := 0
	for _, r := range s.Requests() {
		switch r.Op {
		case gateway.OpAction, gateway.OpBatch, gateway.OpSwitch:
			n++
		}
	}
	return n
}

// isChange accepts the requests that change something.
func isChange(r *gateway.Request) bool {
	return r.Op == gateway.OpAction || r.Op == gateway.OpBatch || r.Op == gateway.OpSwitch
}

const forbidden = `{"error_code":"APIG.1005","error_msg":"No permissions to request this method"}`

// historyForbidden makes every lost answer unknown.
func (s *site) historyForbidden() {
	s.Inject(gateway.Answer(http.StatusForbidden, forbidden).On(gateway.OpHistory).Always())
}

// historyForbiddenAfter lets some readings of the history succeed first.
func (s *site) historyForbiddenAfter(n int) {
	s.Inject(gateway.Answer(http.StatusForbidden, forbidden).On(gateway.OpHistory).Skip(n).Always())
}

// sentRemark and sentWith are a remark and its tag as the client sends them, and as
// it reports them.
func sentRemark(remark, tag string) string { return remark + " apig:" + tag }

func sentWith(remark, tag string) string {
	return `"remark":"` + remark + `","tag":"` + tag + `",`
}
