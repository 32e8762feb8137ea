package main

import (
	"context"
	"encoding/json"
	"fmt"
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
		p := &program{stdout: in, getenv: os.Getenv}
		ended <- p.record(ctx, append([]string{"gateway", "start", "-o", "json", "-q"}, args...))
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
// credentials, wherever they come from. A refusal of IAM has the exit code of one of the
// gateway.
func TestGatewayCredentials(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(file, []byte("correct horse\n"), 0o600))
	for name, test := range map[string]struct {
		args []string
		env  map[string]string
	}{
		"token":       {args: []string{"--token", "one", "--token", "two"}},
		"AK/SK":       {args: []string{"--ak", "QTWAOYTTINDUT2QVKYUC", "--sk", "s$cret"}},
		"user":        {args: []string{"--user", "ci", "--password", "correct horse"}},
		"generated":   {},
		"from a file": {args: []string{"--user", "ci"}, env: map[string]string{"APIGTEST_PASSWORD_FILE": file}},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			startGateway(t, append(test.args, "--region", "ap-southeast-1", "--envs", "staging")...)
			onSystem(t, exitDone, "publish", "orders", "-e", "staging", "-q")

			if strings.Contains(fmt.Sprint(test.args), "--user") { // IAM refuses as the gateway does
				t.Setenv("HW_PASSWORD", "wrong")
				t.Setenv("HW_USER_PASSWORD", "wrong")
				for _, command := range []string{"publish orders", "status", "list apis", "doctor"} {
					got := onSystem(t, exitAuthentication, strings.Fields(command)...)
					assert.NotContains(t, got.stdout+got.stderr, "wrong\"")
				}
			}
		})
	}
}

// The commands of a gateway that runs choose what goes wrong, and show what
// happened.
func TestGatewayControl(t *testing.T) {
	made := startGateway(t, "--apis", "orders,users")
	control := func(args ...string) string {
		t.Helper()
		return onSystem(t, exitDone, append([]string{"gateway"}, args...)...).stdout
	}
	control("inject", "apply-then-close", "--op", "action", "--api-id", made.APIs[0].ID)
	results := onSystem(t, exitDone, "publish", "orders", "users").report(t).Results
	assert.Equal(t, []bool{true, false}, []bool{results[0].Recovered, results[1].Recovered})
	assert.Contains(t, control("faults"), `"struck": 1`)
	assert.Equal(t, 2, strings.Count(control("journal"), `"op": "online"`))
	assert.Equal(t, 1, strings.Count(control("journal", "--api-id", made.APIs[1].ID), `"op": "online"`))
	assert.Equal(t, 2, strings.Count(control("requests", "--op", "action"), `"method": "POST"`))
	assert.Contains(t, control("clock", "--offset", "25h"), `"offset": "25h0m0s"`)
	assert.Contains(t, control("clock"), `"offset": "25h0m0s"`)
	onSystem(t, exitNotApplied, "doctor") // the clocks differ

	control("inject", "busy", "--times=-1", "--applied", "--delay", "1ms")
	control("clear")
	control("reset")
	assert.NotContains(t, control("journal"), "online")
	onSystem(t, exitDone, "doctor")

	for _, args := range [][]string{{"inject", "nothing"}, {"clock", "--offset", "x"}, {"journal", "--since", "x"}, {"reset", "--url", made.URL + "/v2"}} {
		assert.NotEmpty(t, onSystem(t, exitNotApplied, append([]string{"gateway"}, args...)...).stderr)
	}
	assert.Contains(t, onSystem(t, exitDone, "__complete", "gateway", "inject", "apply").stdout, "apply-then-close")
	t.Setenv("APIGTEST_URL", "")
	onSystem(t, exitUsage, "gateway", "reset")
}

func TestGatewayUsage(t *testing.T) {
	for args, says := range map[string]string{
		"--region=": "--region", "--ak AK": "--sk", "--faults 2": "--faults 2", "--envs=": "--envs", "--hosts a,": "--hosts", "--token=": "--token", "--addr 0.0.0.0:0": "--allow-remote", "--hosts gw": "--hosts",
		"orders": "orders", "--env-file " + t.TempDir() + "/nowhere/env": "nowhere",
	} {
		assert.Contains(t, onSystem(t, exitUsage, append([]string{"gateway", "start"}, strings.Fields(args)...)...).stderr, says)
	}
}
