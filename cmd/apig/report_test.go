package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
)

// Each command explains itself, with examples and exit codes.
func TestHelp(t *testing.T) {
	s := newSite(t)
	whole := s.run("-h")
	assert.Equal(t, exitDone, whole.code)
	for _, c := range commands() {
		assert.Contains(t, whole.stdout, c.summary)
		got := s.run(c.name, "-h")
		assert.Equal(t, exitDone, got.code)
		assert.Empty(t, got.stderr)
		assert.Contains(t, got.stdout, "Usage: apig "+c.name)
		assert.Contains(t, got.stdout, "\nExamples:\n")
		assert.Contains(t, got.stdout, "\nExit codes:\n  0 ")
		assert.Contains(t, got.stdout, "\n  64 ")
		assert.Equal(t, got, s.run("help", c.name))
		for line := range strings.Lines(got.stdout) {
			assert.Less(t, len(line), 150, line)
		}
	}
}

// A configuration that is missing is named, on stdout as JSON and on stderr.
func TestConfigurationMissing(t *testing.T) {
	for _, name := range []string{"APIG_ENDPOINT", "APIG_INSTANCE_ID", "HW_REGION_NAME", "HW_PROJECT_ID",
		"HUAWEICLOUD_SDK_PROJECT_ID", "HW_AUTH_TOKEN", "HW_ACCESS_KEY", "HW_SECRET_KEY", "HW_PASSWORD", "HW_USER_NAME",
		"HW_USER_ID", "HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_CREDENTIALS_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
	for _, args := range [][]string{
		{"publish", "-api", "orders"}, {"offline", "-api", "orders", "-json=lines"}, {"rollback", "-api", "orders"},
		{"settle"}, {"status", "-json"}, {"versions", "-api", "orders", "-json=lines"},
	} {
		t.Run(args[0], func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(context.Background(), args, strings.NewReader(""), &stdout, &stderr, os.Getenv)
			assert.Equal(t, exitUsage, code)
			for _, out := range []string{stdout.String(), stderr.String()} {
				assert.Contains(t, out, "APIG_INSTANCE_ID is not set")
			}
			assert.Contains(t, stdout.String(), `"error":`)
			assert.Contains(t, strings.ReplaceAll(stdout.String(), " ", ""), `"exit_code":64`)
		})
	}
}

func TestQuietAndVerbose(t *testing.T) {
	s := newSite(t)
	got := s.run("publish", "-api", "orders")
	assert.Regexp(t, `^1/1 publish orders: applied\n1/1: 1 done, 0 unknown, 0 failed, [0-9.]+/s\n$`, got.stderr)
	got = s.run("publish", "-api", "orders", "-quiet", "-verbose")
	assert.Empty(t, got.stderr)
	got = s.run("publish", "-api", "orders", "-verbose")
	assert.Contains(t, got.stderr, "op=Publish")
	assert.NotContains(t, got.stdout+got.stderr, s.Token())
}

// brokenPipe takes a few bytes and then no more.
type brokenPipe struct{ room int }

func (w *brokenPipe) Write(b []byte) (int, error) {
	if w.room -= len(b); w.room < 0 {
		return 0, errors.New("broken pipe")
	}
	return len(b), nil
}

// A reader that has gone away does not take the report with it.
func TestReportWithoutReader(t *testing.T) {
	s := newSite(t)
	for _, form := range []string{"-json=lines", "-json=object"} {
		var stderr bytes.Buffer
		p := program{
			stdin: strings.NewReader(""), stdout: &brokenPipe{}, stderr: &stderr,
			getenv: func(string) string { return "" },
			config: func() (apig.Config, error) {
				return apig.Config{
					Endpoint: s.URL(), ProjectID: s.ProjectID(), InstanceID: s.InstanceID(),
					Auth: apig.StaticToken(s.Token()), HTTPClient: s.httpClient(),
				}, nil
			},
		}
		assert.Equal(t, exitDone, p.run(context.Background(), []string{"publish", "-api", "orders,users", form}))
		assert.Equal(t, 1, strings.Count(stderr.String(), "broken pipe"))
		for _, id := range []string{s.orders, s.users} {
			v, _ := s.Published(id, release)
			assert.Contains(t, stderr.String(), v.ID)
		}
	}
}

// On a terminal there is one line that is written again, with what needs
// attention above it.
func TestProgressOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var screen bytes.Buffer
		p := &progress{w: &screen, terminal: true, colour: true}
		p.start(4)
		time.Sleep(time.Second)
		p.add(result{Command: "publish", API: "a", Outcome: outcomeApplied})
		assert.Equal(t, "\r\x1b[K1/4: 1 done, 0 unknown, 0 failed, 1.0/s, 3s left", screen.String())

		screen.Reset()
		p.add(result{Command: "publish", API: "b", Outcome: outcomeApplied})
		assert.Empty(t, screen.String(), "the line has stood for no time yet")

		p.add(result{Command: "publish", API: "c", Outcome: outcomeUnknown, problem: problem{Error: "lost"}})
		assert.Equal(t, "\r\x1b[Kpublish c: \x1b[33munknown\x1b[0m: lost\n"+
			"\r\x1b[K3/4: 2 done, 1 unknown, 0 failed, 3.0/s, 0s left", screen.String())

		screen.Reset()
		p.colour = false
		p.add(result{Command: "publish", API: "d", Outcome: outcomeNotApplied, problem: problem{Error: "refused"}})
		p.end()
		assert.NotContains(t, screen.String(), "\x1b[3")
		assert.True(t, strings.HasSuffix(screen.String(), "\r\x1b[K4/4: 2 done, 1 unknown, 1 failed, 4.0/s\n"))
	})
}

func TestWhatIsATerminal(t *testing.T) {
	assert.False(t, isTerminal(&bytes.Buffer{}))
	file, err := os.Create(t.TempDir() + "/log")
	require.NoError(t, err)
	defer file.Close()
	assert.False(t, isTerminal(file))
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer null.Close()
	assert.False(t, isTerminal(null))
}

// NO_COLOR leaves the line that is written again, and takes its colours.
func TestNoColour(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("this system has no /dev/ptmx: ", err)
	}
	defer terminal.Close()
	for env, want := range map[string][2]bool{"": {true, true}, "NO_COLOR=1": {true, false}, "TERM=dumb": {false, false}} {
		name, value, _ := strings.Cut(env, "=")
		p := program{stderr: terminal, getenv: func(s string) string {
			if s == name {
				return value
			}
			return ""
		}}
		shown := p.newProgress(common{})
		assert.Equal(t, want, [2]bool{shown.terminal, shown.colour}, "with %q", env)
	}
}
