package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

// startGateway runs "apig gateway start" until the test ends, and puts what it
// prints into the environment.
func startGateway(t *testing.T, args ...string) (made gateway.Inventory) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan ran, 1)
	go func() {
		ended <- onSystem(ctx, in, append([]string{"gateway", "start", "-o", "json", "-q"}, args...)...)
		in.Close()
	}()
	t.Cleanup(func() {
		cancel()
		got := <-ended
		assert.Equal(t, exitDone, got.code, got.stderr)
	})
	require.NoError(t, json.NewDecoder(out).Decode(&made))
	go func() { _, _ = io.Copy(io.Discard, out) }()
	for _, name := range made.Unset {
		t.Setenv(name, "")
	}
	for _, v := range made.Variables {
		t.Setenv(v.Name, v.Value)
	}
	return made
}

// What the gateway prints is all that the program needs, with each kind of
// credentials, wherever they come from.
func TestGatewayCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("correct horse\n"), 0o600))
	for name, test := range map[string]struct {
		args []string
		env  map[string]string
	}{
		"token":            {args: []string{"--token", "one", "--token", "two"}},
		"AK/SK":            {args: []string{"--ak", "QTWAOYTTINDUT2QVKYUC", "--sk", "s$cret"}},
		"user":             {args: []string{"--user", "ci", "--password", "correct horse"}},
		"generated":        {},
		"from environment": {env: map[string]string{"APIGTEST_AK": "QTWAOYTTINDUT2QVKYUC", "APIGTEST_SK": "s$cret"}},
		"from a file":      {args: []string{"--user", "ci"}, env: map[string]string{"APIGTEST_PASSWORD_FILE": file}},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			startGateway(t, append(test.args, "--region", "ap-southeast-1", "--envs", "staging")...)
			got := onSystem(t.Context(), nil, "publish", "orders", "-e", "staging", "-q")
			assert.Equal(t, exitDone, got.code, got.stderr)
		})
	}
}

// The commands of a gateway that runs choose what goes wrong, and show what
// happened.
func TestGatewayControl(t *testing.T) {
	made := startGateway(t, "--apis", "orders,users")
	control := func(args ...string) string {
		t.Helper()
		got := onSystem(t.Context(), nil, append([]string{"gateway"}, args...)...)
		require.Equal(t, exitDone, got.code, got.stderr)
		return got.stdout
	}
	control("inject", "apply-then-close", "--op", "action", "--api-id", made.APIs[0].ID)
	got := onSystem(t.Context(), nil, "publish", "orders", "users")
	require.Equal(t, exitDone, got.code, got.stderr)
	results := got.report(t).Results
	assert.True(t, results[0].Recovered)
	assert.False(t, results[1].Recovered)
	assert.Contains(t, control("faults"), `"struck": 1`)
	assert.Equal(t, 2, strings.Count(control("journal"), `"op": "online"`))
	assert.Equal(t, 1, strings.Count(control("journal", "--api-id", made.APIs[1].ID), `"op": "online"`))
	assert.Equal(t, 2, strings.Count(control("requests", "--op", "action"), `"method": "POST"`))
	assert.Contains(t, control("clock", "--offset", "25h"), `"offset": "25h0m0s"`)
	assert.Contains(t, control("clock"), `"offset": "25h0m0s"`)
	assert.Equal(t, exitNotApplied, onSystem(t.Context(), nil, "doctor").code, "the clocks differ")

	control("inject", "busy", "--times=-1")
	control("clear")
	control("reset")
	assert.NotContains(t, control("journal"), "online")
	assert.Equal(t, exitDone, onSystem(t.Context(), nil, "doctor").code)

	for _, args := range [][]string{{"inject", "nothing"}, {"clock", "--offset", "x"}, {"journal", "--since", "x"}, {"reset", "--url", made.URL + "/v2"}} {
		got := onSystem(t.Context(), nil, append([]string{"gateway"}, args...)...)
		assert.Equal(t, exitNotApplied, got.code, args)
		assert.NotEmpty(t, got.stderr)
	}
	assert.Contains(t, onSystem(t.Context(), nil, "__complete", "gateway", "inject", "apply").stdout, "apply-then-close")
	t.Setenv("APIGTEST_URL", "")
	assert.Equal(t, exitUsage, onSystem(t.Context(), nil, "gateway", "reset").code)
}

// Credentials that IAM refuses have the same exit code as those that the gateway
// refuses.
func TestRefusedByIAM(t *testing.T) {
	startGateway(t, "--user", "ci", "--password", "correct horse")
	t.Setenv("HW_PASSWORD", "wrong")
	t.Setenv("HW_USER_PASSWORD", "wrong")
	for _, args := range [][]string{{"publish", "orders"}, {"status"}, {"list", "apis"}, {"doctor"}} {
		got := onSystem(t.Context(), nil, args...)
		assert.Equal(t, exitAuthentication, got.code, got.stdout+got.stderr)
		assert.NotContains(t, got.stdout+got.stderr, "wrong\"")
	}
}

func TestGatewayUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--region", ""}, {"--ak", "AK"}, {"--addr", "0.0.0.0:0"}, {"orders"}, {"--env-file", t.TempDir() + "/nowhere/env"},
	} {
		got := onSystem(t.Context(), nil, append([]string{"gateway", "start"}, args...)...)
		assert.Equal(t, exitUsage, got.code, args)
		assert.NotEmpty(t, got.stderr)
	}
}
