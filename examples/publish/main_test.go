package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// pipeline runs the program against a gateway.
func pipeline(t *testing.T, g *apigtest.Gateway, args ...string) (code int, r report, stderr string) {
	t.Helper()
	config := func() (apig.Config, error) {
		return apig.Config{
			Endpoint:   g.URL(),
			ProjectID:  g.ProjectID(),
			InstanceID: g.InstanceID(),
			Auth:       apig.StaticToken(g.Token()),
			Retry:      apig.RetryPolicy{SettleWait: 40 * time.Millisecond, MaxWait: time.Millisecond},
		}, nil
	}
	var out, problems bytes.Buffer
	code = run(context.Background(), args, config, &out, &problems)
	if out.Len() > 0 {
		require.NoError(t, json.Unmarshal(out.Bytes(), &r), out.String())
	}
	return code, r, problems.String()
}

func TestPublish(t *testing.T) {
	g := apigtest.NewGateway()
	defer g.Close()
	orders, users := g.AddAPI("orders"), g.AddAPI("users")
	staging := g.AddEnvironment("staging")

	file := filepath.Join(t.TempDir(), "apis.txt")
	require.NoError(t, os.WriteFile(file, []byte("# the shop\norders\n\n"+users+"\n"), 0o600))

	for name, args := range map[string][]string{
		"by name and ID": {"-api", "orders," + users},
		"repeated":       {"-api", "orders", "-api", users, "-api", "orders"},
		"from a file":    {"-file", file},
		"in one request": {"-file", file, "-batch"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(g.Journal())
			code, r, stderr := pipeline(t, g, append(args, "-env", "staging", "-remark", "1.4.2")...)
			require.Equal(t, exitDone, code, stderr)
			require.Len(t, r.Results, 2)
			for i, id := range []string{orders, users} {
				assert.Equal(t, id, r.Results[i].APIID)
				assert.Equal(t, done, r.Results[i].Outcome)
				v, ok := g.Published(id, staging)
				require.True(t, ok)
				assert.Equal(t, v.ID, r.Results[i].Record.VersionID)
				assert.Regexp(t, `^1\.4\.2 #[0-9a-f]{10}$`, v.Remark)
			}
			assert.Len(t, g.Journal(), before+2)
		})
	}

	code, r, stderr := pipeline(t, g, "-api", "orders", "-env", "staging", "-offline", "-tag=false")
	assert.Equal(t, exitDone, code, stderr)
	assert.Equal(t, "offline", r.Action)
	_, ok := g.Published(orders, staging)
	assert.False(t, ok)
}

func TestDryRunChangesNothing(t *testing.T) {
	g := apigtest.NewGateway()
	defer g.Close()
	id := g.AddAPI("orders")
	code, r, stderr := pipeline(t, g, "-api", "orders", "-dry-run")
	assert.Equal(t, exitDone, code, stderr)
	assert.Equal(t, []result{{target: target{"orders", id}, Outcome: planned}}, r.Results)
	assert.Empty(t, g.Journal())
}

func TestExitCodes(t *testing.T) {
	g := apigtest.NewGateway()
	defer g.Close()
	g.AddAPI("orders")
	for name, test := range map[string]struct {
		args    []string
		faults  []apigtest.Fault
		code    int
		outcome string
	}{
		"lost and found again": {[]string{"-api", "orders"}, []apigtest.Fault{apigtest.ApplyThenClose()}, exitDone, done},
		"refused": {
			[]string{"-api", "orders"},
			[]apigtest.Fault{apigtest.Answer(403, `{"error_code":"APIG.1005","error_msg":"no"}`)}, exitNotApplied, notApplied,
		},
		"lost for good": {
			[]string{"-api", "orders", "-batch"},
			[]apigtest.Fault{
				apigtest.ApplyThenClose(),
				apigtest.Answer(403, `{"error_code":"APIG.1005","error_msg":"no"}`).On(apigtest.OpHistory).Always(),
			}, exitUnknown, unknown,
		},
		"no such API": {[]string{"-api", "nothing"}, nil, exitNotApplied, ""},
		"no API":      {nil, nil, exitNotApplied, ""},
		"no such env": {[]string{"-api", "orders", "-env", "nowhere"}, nil, exitNotApplied, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g.ClearFaults()
			for _, f := range test.faults {
				if f.Op == "" {
					f = f.When(func(r *apigtest.Request) bool { return r.Op == apigtest.OpAction || r.Op == apigtest.OpBatch })
				}
				g.Inject(f)
			}
			code, r, stderr := pipeline(t, g, test.args...)
			assert.Equal(t, test.code, code, stderr)
			if test.outcome != "" {
				require.Len(t, r.Results, 1)
				assert.Equal(t, test.outcome, r.Results[0].Outcome)
			} else {
				assert.NotEmpty(t, stderr)
			}
		})
	}
}
