package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/gateway"
)

// A pipeline whose requests fail in every way is interrupted at some moment, and
// settled afterwards. Then each API has one result, and the gateway's journal
// agrees with it.
func TestPipeline(t *testing.T) {
	const apis = 60
	unknown := 0
	for seed := range uint64(12) {
		for _, how := range []string{"--parallel=8", "--batch"} {
			t.Run(fmt.Sprint(seed, how), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSite(t)
					defer s.Close()
					s.retry = apig.RetryPolicy{}
					for i := range apis {
						s.stdin += s.AddAPI(fmt.Sprintf("api-%02d", i)) + "\n"
					}
					s.InjectFunc(gateway.Mix(seed, 0.3,
						gateway.ApplyThenClose(), gateway.CloseBefore(), gateway.CloseThenApply(300*time.Millisecond),
						gateway.Cut(0), gateway.Throttle("1"), gateway.Busy(), gateway.Slow(200*time.Millisecond),
						gateway.Answer(502, "<html>502</html>"), gateway.ApplyThenAnswer(504, "<html>504</html>")))
					ctx, interrupt := context.WithCancel(context.Background())
					defer interrupt()
					time.AfterFunc(time.Duration(seed)*300*time.Millisecond, interrupt)
					was := s.runUntil(ctx, "publish", "-f", "-", how, "-o", "jsonl", "-m", "1.4.2")
					if was.code == exitInterrupted {
						assert.Empty(t, s.Journal())
					}
					if was.code == exitUnknown {
						unknown++
					}
					s.ClearFaults()
					time.Sleep(time.Minute) // what is lost arrives by then
					s.stdin = was.stdout
					results := s.run("settle", "-o", "jsonl").report(t).Results
					require.Len(t, results, apis)

					versions := map[string]int{}
					for _, change := range s.Journal() {
						versions[change.APIID]++
					}
					for _, to := range results {
						want := map[string]int{outcomeApplied: 1, outcomeNotApplied: 0}
						require.Contains(t, want, to.Outcome, to.Error)
						assert.Equal(t, want[to.Outcome], versions[to.APIID], "%s: %s", to.Outcome, to.Error)
						if v, _ := s.Published(to.APIID, release); to.Outcome == outcomeApplied {
							assert.Equal(t, v.ID, to.Record.VersionID)
							assert.True(t, strings.HasPrefix(v.Remark, "1.4.2 "))
						}
					}
				})
			})
		}
	}
	assert.Greater(t, unknown, 5, "most of the runs are to leave something to settle")
}

// The program as a process, with the exit code that a shell sees: what a signal leaves
// behind is known or can be settled. After a kill -9 the report names what is missing, and
// settle is no success. A pipe that nobody reads does not end it.
func TestSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no signals to send")
	}
	binary := filepath.Join(t.TempDir(), "apig")
	built, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, string(built))
	command := func(g *gateway.Gateway, args ...string) *exec.Cmd {
		cmd := exec.Command(binary, args...)
		cmd.Env = append(os.Environ(), "APIG_ENDPOINT="+g.URL(), "HW_PROJECT_ID="+g.ProjectID(),
			"APIG_INSTANCE_ID="+g.InstanceID(), "HW_AUTH_TOKEN="+g.Token())
		return cmd
	}
	for signal, outcomes := range map[syscall.Signal][]string{
		syscall.SIGINT:  {outcomeApplied, outcomeUnknown, outcomeNotApplied},
		syscall.SIGTERM: {outcomeApplied, outcomeUnknown, outcomeNotApplied},
		syscall.SIGKILL: {outcomeApplied, outcomeUnknown, outcomeUnknown},
	} {
		t.Run(signal.String(), func(t *testing.T) {
			g := gateway.NewGateway()
			defer g.Close()
			ids := []string{g.AddAPI("first"), g.AddAPI("second"), g.AddAPI("third")}
			hangs := make(chan struct{}, 1)
			g.Inject(gateway.Hang().When(func(r *gateway.Request) bool {
				if !changeOf(ids[1])(r) {
					return false
				}
				hangs <- struct{}{}
				return true
			}))
			var stdout bytes.Buffer
			cmd := command(g, append([]string{"publish", "-p", "1", "-o", "jsonl"}, ids...)...)
			cmd.Stdout = &stdout
			require.NoError(t, cmd.Start())
			<-hangs
			require.NoError(t, cmd.Process.Signal(signal))
			_ = cmd.Wait() // an exit code that is not 0 is an error, too
			if signal == syscall.SIGKILL {
				cmd = command(g, "settle", "-o", "jsonl")
				cmd.Stdin = &stdout
				settled, _ := cmd.Output()
				stdout = *bytes.NewBuffer(settled)
			}
			assert.Equal(t, exitUnknown, cmd.ProcessState.ExitCode())
			var got []string
			for _, to := range (ran{stdout: stdout.String()}).report(t).Results {
				got = append(got, to.Outcome)
			}
			assert.Equal(t, outcomes, got)
			assert.Len(t, g.Journal(), 1)
		})
	}
	g := gateway.NewGateway()
	defer g.Close()
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	reader.Close()
	var stderr strings.Builder
	cmd := command(g, "publish", g.AddAPI("first"))
	cmd.Stdout, cmd.Stderr = writer, &stderr
	_ = cmd.Run()
	assert.Equal(t, exitOutput, cmd.ProcessState.ExitCode())
	assert.Contains(t, stderr.String(), `"version_id"`)
}
