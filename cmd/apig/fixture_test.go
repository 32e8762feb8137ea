package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

const release = "DEFAULT_ENVIRONMENT_RELEASE_ID"

// site is a gateway in memory with a few APIs, and the program pointed at it.
type site struct {
	*apigtest.Gateway
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
	g := apigtest.NewGateway(apigtest.WithoutNetwork())
	t.Cleanup(g.Close)
	return &site{
		Gateway: g, t: t,
		orders: g.AddAPI("orders"), users: g.AddAPI("users"), staging: g.AddEnvironment("staging"),
		retry: apig.RetryPolicy{SettleWait: 20 * time.Millisecond, MaxWait: time.Millisecond},
	}
}

// httpClient reaches the gateway until the test ends.
func (s *site) httpClient() *http.Client {
	transport := s.Transport()
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
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
	p := program{
		stdin: strings.NewReader(s.stdin), stdout: &stdout, stderr: &stderr,
		getenv: func(string) string { return "" },
		config: func() (apig.Config, error) {
			return apig.Config{
				Endpoint: s.URL(), ProjectID: s.ProjectID(), InstanceID: s.InstanceID(),
				Auth: apig.StaticToken(s.Token()), HTTPClient: &http.Client{Transport: transport}, Retry: s.retry,
			}, nil
		},
	}
	code := p.run(ctx, args)
	return ran{code, stdout.String(), stderr.String()}
}

// report reads the report in either form.
func (r ran) report(t *testing.T) report {
	t.Helper()
	var whole report
	decoder := json.NewDecoder(strings.NewReader(r.stdout))
	for {
		var value json.RawMessage
		err := decoder.Decode(&value)
		if err == io.EOF {
			return whole
		}
		require.NoError(t, err, r.stdout)
		if !bytes.Contains(value, []byte(`"outcome"`)) || bytes.Contains(value, []byte(`"results"`)) {
			require.NoError(t, json.Unmarshal(value, &whole))
			continue
		}
		var to result
		require.NoError(t, json.Unmarshal(value, &to))
		whole.Results = append(whole.Results, to)
	}
}

// changes are the requests that change something.
func (s *site) changes() int {
	n := 0
	for _, r := range s.Requests() {
		switch r.Op {
		case apigtest.OpAction, apigtest.OpBatch, apigtest.OpSwitch:
			n++
		}
	}
	return n
}

// isChange accepts the requests that change something.
func isChange(r *apigtest.Request) bool {
	return r.Op == apigtest.OpAction || r.Op == apigtest.OpBatch || r.Op == apigtest.OpSwitch
}

const forbidden = `{"error_code":"APIG.1005","error_msg":"No permissions to request this method"}`

// historyForbidden makes every lost answer unknown.
func (s *site) historyForbidden() {
	s.Inject(apigtest.Answer(http.StatusForbidden, forbidden).On(apigtest.OpHistory).Always())
}

// historyForbiddenAfter lets some readings of the history succeed first.
func (s *site) historyForbiddenAfter(n int) {
	s.Inject(apigtest.Answer(http.StatusForbidden, forbidden).On(apigtest.OpHistory).Skip(n).Always())
}
