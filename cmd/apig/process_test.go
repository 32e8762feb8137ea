package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

// The program as a process: what a signal leaves behind, and the exit codes that
// a shell sees.
func TestSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no signals to send")
	}
	binary := build(t)

	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			g := gateway.NewGateway()
			defer g.Close()
			ids := []string{g.AddAPI("first"), g.AddAPI("second"), g.AddAPI("third")}
			start := func(args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
				cmd := exec.Command(binary, args...)
				cmd.Env = environmentOf(g)
				var stdout, stderr bytes.Buffer
				cmd.Stdout, cmd.Stderr = &stdout, &stderr
				require.NoError(t, cmd.Start())
				return cmd, &stdout, &stderr
			}
			// struck returns once a request of this kind hangs.
			struck := func(match func(*gateway.Request) bool) <-chan struct{} {
				came := make(chan struct{}, 1)
				g.Inject(gateway.Hang().When(func(r *gateway.Request) bool {
					if !match(r) {
						return false
					}
					came <- struct{}{}
					return true
				}))
				return came
			}

			hanging := struck(func(r *gateway.Request) bool { return r.Op == gateway.OpAPIs })
			cmd, stdout, stderr := start("publish", "first")
			<-hanging
			require.NoError(t, cmd.Process.Signal(signal))
			_ = cmd.Wait()
			assert.Equal(t, exitInterrupted, cmd.ProcessState.ExitCode(), stderr)
			var whole report
			require.NoError(t, json.Unmarshal(stdout.Bytes(), &whole), stderr)
			assert.True(t, whole.Interrupted)

			hanging = struck(func(r *gateway.Request) bool { return r.Op == gateway.OpAction && r.APIID == ids[1] })
			cmd, stdout, stderr = start("publish", ids[0], ids[1], ids[2], "-p", "1", "-o", "jsonl")
			<-hanging
			require.NoError(t, cmd.Process.Signal(signal))
			_ = cmd.Wait()
			assert.Equal(t, exitUnknown, cmd.ProcessState.ExitCode(), stderr)
			var outcomes []string
			for _, to := range (ran{stdout: stdout.String()}).report(t).Results {
				outcomes = append(outcomes, to.Outcome)
			}
			assert.Equal(t, []string{outcomeApplied, outcomeUnknown, outcomeNotApplied}, outcomes)
			assert.Len(t, g.Journal(), 1)
		})
	}
}

// After a kill -9 the report names what is missing, and settle is no success.
func TestKilled(t *testing.T) {
	binary := build(t)
	g := gateway.NewGateway()
	defer g.Close()
	orders, users := g.AddAPI("orders"), g.AddAPI("users")
	applied := make(chan struct{})
	lost := gateway.Hang() // after it was applied
	lost.Apply = gateway.ApplyFirst
	g.Inject(lost.When(func(r *gateway.Request) bool { return r.Op == gateway.OpAction && r.APIID == users }))

	cmd := exec.Command(binary, "publish", orders, users, "-p", "1", "-o", "jsonl")
	cmd.Env = environmentOf(g)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	require.NoError(t, cmd.Start())
	go func() {
		defer close(applied)
		for len(g.Journal()) < 2 {
			runtime.Gosched()
		}
	}()
	<-applied
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.Equal(t, 1, strings.Count(stdout.String(), `"outcome":"applied"`), stdout.String())

	settle := exec.Command(binary, "settle")
	settle.Env, settle.Stdin = environmentOf(g), &stdout
	out, _ := settle.Output()
	assert.Equal(t, exitUnknown, settle.ProcessState.ExitCode())
	results := ran{stdout: string(out)}.report(t).Results
	require.Len(t, results, 2)
	assert.Equal(t, outcomeApplied, results[0].Outcome)
	assert.Equal(t, []string{users, outcomeUnknown}, []string{results[1].APIID, results[1].Outcome})
}

// build builds the program.
func build(t *testing.T) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "apig.exe") // which other systems than windows do not mind
	built, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, string(built))
	return binary
}

// environmentOf is what the program needs to find the gateway.
func environmentOf(g *gateway.Gateway) []string {
	return append(os.Environ(), "APIG_ENDPOINT="+g.URL(), "HW_PROJECT_ID="+g.ProjectID(),
		"APIG_INSTANCE_ID="+g.InstanceID(), "HW_AUTH_TOKEN="+g.Token())
}
