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

// process is the built program, pointed at a gateway.
type process struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
}

func start(t *testing.T, binary string, g *gateway.Gateway, stdin string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(binary, args...)}
	p.Env = append(os.Environ(), "APIG_ENDPOINT="+g.URL(), "HW_PROJECT_ID="+g.ProjectID(),
		"APIG_INSTANCE_ID="+g.InstanceID(), "HW_AUTH_TOKEN="+g.Token())
	p.Stdin, p.Stdout, p.Stderr = strings.NewReader(stdin), &p.stdout, &p.stderr
	require.NoError(t, p.Start())
	return p
}

// ended waits for the end, and returns the exit code.
func (p *process) ended() int {
	_ = p.Wait() // a code that is not 0 is an error, too
	return p.ProcessState.ExitCode()
}

// build builds the program.
func build(t *testing.T) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "apig.exe") // which other systems than windows do not mind
	built, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, string(built))
	return binary
}

// What a signal leaves behind is known or can be settled; after a kill -9 the report
// names what is missing, and settle is no success.
func TestSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no signals to send")
	}
	binary := build(t)
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
			publish := start(t, binary, g, "", append([]string{"publish", "-p", "1", "-o", "jsonl"}, ids...)...)
			<-hangs
			require.NoError(t, publish.Process.Signal(signal))
			code, written := publish.ended(), publish.stdout.String()
			if signal == syscall.SIGKILL {
				settle := start(t, binary, g, written, "settle", "-o", "jsonl")
				code, written = settle.ended(), settle.stdout.String()
			}
			assert.Equal(t, exitUnknown, code, publish.stderr.String())
			var got []string
			for _, to := range (ran{stdout: written}).report(t).Results {
				got = append(got, to.Outcome)
			}
			assert.Equal(t, outcomes, got)
			assert.Len(t, g.Journal(), 1)
		})
	}
}

// The program that a recipe starts returns its own exit codes, which go run would
// turn into 1.
func TestExitCodesOfTheBinary(t *testing.T) {
	binary := build(t)
	g := gateway.NewGateway()
	defer g.Close()
	g.AddAPI("orders")
	g.Inject(gateway.Answer(401, `{"error_code":"APIG.1002","error_msg":"refused"}`).On(gateway.OpAction))
	for _, test := range []struct {
		args string
		code int
	}{
		{"publish", exitUsage}, {"publish orders", exitAuthentication}, {"publish orders", exitDone},
		{"publish nothing", exitNotApplied}, {"--version", exitDone},
	} {
		p := start(t, binary, g, "", strings.Fields(test.args)...)
		assert.Equal(t, test.code, p.ended(), "%s: %s", test.args, p.stderr.String())
	}
}
