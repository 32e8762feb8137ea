package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

// Each command explains itself in 80 columns, with examples and exit codes.
func TestHelp(t *testing.T) {
	s := newSite(t)
	var check func(*cobra.Command)
	check = func(c *cobra.Command) {
		if c.Name() == "completion" || c.Name() == "help" {
			return // cobra's own
		}
		path := strings.Fields(c.CommandPath())[1:]
		got := s.run(append(path, "-h")...)
		assert.Equal(t, exitDone, got.code)
		assert.Empty(t, got.stderr)
		assert.Contains(t, got.stdout, "\n  "+c.CommandPath())
		assert.Contains(t, got.stdout, "\nExamples:\n", c.Name())
		if c.Runnable() {
			assert.Contains(t, got.stdout, "\nExit codes:\n  0 ")
			assert.Contains(t, got.stdout, "\n  64 ")
		}
		for line := range strings.Lines(got.stdout) {
			assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), 80, line)
		}
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	check((&program{}).rootCommand())
	for _, shell := range []string{"bash", "zsh", "fish"} {
		assert.Contains(t, s.run("completion", shell).stdout, "apig")
	}
}

func TestQuietAndVerbose(t *testing.T) {
	s := newSite(t)
	got := s.run("publish", "orders")
	assert.Regexp(t, `^publish 1 API in RELEASE .*\n1/1 publish DEFAULT/orders: applied\n1/1: 1 done, 0 unknown, 0 failed, [0-9.]+/s\n$`, got.stderr)
	got = s.run("publish", "orders", "-qv")
	assert.Empty(t, got.stderr)
	got = s.run("publish", "orders", "--verbose")
	assert.Contains(t, got.stderr, "op=Publish")
	assert.NotContains(t, got.stdout+got.stderr, s.Token())
}

// Every report has a form for people and one for scripts.
func TestForms(t *testing.T) {
	s := newSite(t)
	s.Inject(gateway.BadRequest().When(func(r *gateway.Request) bool { return isChange(r) && r.APIID == s.users }))
	got := s.run("publish", "orders", "users", "-o", "table")
	assert.Equal(t, exitNotApplied, got.code)
	assert.Regexp(t, `^OUTCOME +API +ID +NOTE
applied +DEFAULT/orders +`+s.orders+`
not applied +DEFAULT/users +`+s.users+` +.*APIG.2011`, got.stdout)
	s.Inject(gateway.BadRequest().When(func(r *gateway.Request) bool { return isChange(r) && r.APIID == s.users }))
	assert.Equal(t, "DEFAULT/orders\n", s.run("publish", "orders", "users", "-o", "name").stdout)
}

// The end of a long table is what people see: there is what needs attention.
func TestTableEndsWithTheUnknown(t *testing.T) {
	var stdout, stderr bytes.Buffer
	r := (&program{stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }}).newReporter("publish", common{})
	for _, to := range []result{
		{api: api{API: "d"}, Outcome: outcomeUnknown}, {api: api{API: "c"}, Outcome: outcomeNotApplied}, {api: api{API: "a"}, Outcome: outcomeApplied},
		{api: api{API: "b"}, Outcome: outcomeNotApplied, notSent: true},
	} {
		r.report.Results = append(r.report.Results, to)
		r.progress.add(to)
	}
	r.table()
	assert.Regexp(t, `(?s)a .*b .*c .*d `, stdout.String())
	assert.Contains(t, r.progress.status(time.Now()), "1 done, 1 unknown, 1 failed, 1 not sent")
}

// Where the report was not asked for, an unknown outcome is saved for settle.
func TestReportIsSaved(t *testing.T) {
	t.Chdir(t.TempDir())
	s := newSite(t)
	s.Inject(gateway.ApplyThenClose().When(isChange))
	s.historyForbidden()
	got := s.run("publish", "orders", "-o", "table")
	require.Equal(t, exitUnknown, got.code, got.stderr)
	saved := regexp.MustCompile(`run "apig settle (.*)"`).FindStringSubmatch(got.stderr)
	require.Len(t, saved, 2, got.stderr)
	s.ClearFaults()
	settled := s.run("settle", saved[1], "-o", "table")
	assert.Equal(t, exitDone, settled.code, settled.stdout+settled.stderr)
	assert.Contains(t, settled.stdout, "the answer was lost")
}

// brokenPipe accepts nothing.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// A reader that has gone away does not take the report with it.
func TestReportWithoutReader(t *testing.T) {
	s := newSite(t)
	for _, form := range []string{"jsonl", "json"} {
		var stderr bytes.Buffer
		transport := s.Transport()
		p := s.program(transport, brokenPipe{}, &stderr)
		assert.Equal(t, exitDone, p.run(context.Background(), []string{"publish", "orders", "users", "-o", form}))
		transport.CloseIdleConnections()
		assert.Equal(t, 1, strings.Count(stderr.String(), "broken pipe"))
		for _, id := range []string{s.orders, s.users} {
			v, _ := s.Published(id, release)
			assert.Contains(t, stderr.String(), v.ID)
		}
	}
}

// On a terminal one line is rewritten, never longer than the terminal is wide, and
// what needs attention stays above it.
func TestProgressOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var screen bytes.Buffer
		width := 80
		pr := &progress{p: &program{stderr: &screen}, verb: "publish", width: func() int { return width }, colour: true}
		pr.start(4)
		assert.Equal(t, "\r\x1b[K0/4: 0 done, 0 unknown, 0 failed", screen.String(), "a first state at once")
		screen.Reset()
		time.Sleep(time.Second)
		pr.add(result{api: api{API: "a"}, Outcome: outcomeApplied})
		assert.Equal(t, "\r\x1b[K1/4: 1 done, 0 unknown, 0 failed, 1.0/s, 3s left", screen.String())

		screen.Reset()
		pr.add(result{api: api{API: "b"}, Outcome: outcomeApplied})
		assert.Empty(t, screen.String(), "the line has stood for no time yet")

		pr.add(result{api: api{API: "c"}, Outcome: outcomeUnknown, problem: problem{Error: "lost"}})
		assert.Equal(t, "\r\x1b[Kpublish c: \x1b[33munknown\x1b[0m: lost\n"+
			"\r\x1b[K3/4: 2 done, 1 unknown, 0 failed, 3.0/s, 0s left", screen.String())

		screen.Reset()
		pr.colour, width = false, 30
		pr.add(result{api: api{API: "d"}, Outcome: outcomeNotApplied, problem: problem{Error: "refused"}})
		pr.end()
		assert.NotContains(t, screen.String(), "\x1b[3")
		assert.True(t, strings.HasSuffix(screen.String(), "\r\x1b[K4/4: 2 done, 1 unknown, 1 fai\n"), "%q", screen.String())
	})
}

// A pipe, a file and the null device are no terminals; NO_COLOR takes the colours
// of a terminal, and TERM=dumb the line that is rewritten.
func TestWhatIsATerminal(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer null.Close()
	for _, w := range []io.Writer{&bytes.Buffer{}, null} {
		assert.Nil(t, (&program{stderr: w}).newProgress(common{}, "").width)
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("this system has no /dev/ptmx: ", err)
	}
	defer terminal.Close()
	for env, want := range map[string][2]bool{"": {true, true}, "NO_COLOR=1": {true, false}, "TERM=dumb": {false, false}} {
		name, value, _ := strings.Cut(env, "=")
		p := &program{stderr: terminal, getenv: func(s string) string {
			if s == name {
				return value
			}
			return ""
		}}
		shown := p.newProgress(common{}, "")
		assert.Equal(t, want, [2]bool{shown.width != nil, shown.colour}, "with %q", env)
	}
}

// On a terminal offline and rollback ask; any other answer than yes, and an
// interruption, changes nothing.
func TestConfirmation(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "YES\n": true, "\n": false, "no\n": false, "yesterday\n": false, "": false} {
		p := &program{stdin: strings.NewReader(answer), asks: true, stderr: io.Discard}
		assert.Equal(t, want, p.confirm(context.Background(), "Take offline %s.", "orders"), "%q", answer)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	silent, w := io.Pipe()
	defer w.Close()
	assert.False(t, (&program{stdin: silent, asks: true, stderr: io.Discard}).confirm(ctx, "Take offline."))

	s := newSite(t)
	s.tick()
	s.publish(s.orders, s.staging, "1")
	s.publish(s.orders, s.staging, "2")
	before := len(s.Journal())
	for _, test := range []struct {
		args  []string
		stdin string
		code  int
		asks  string
	}{
		{[]string{"offline", "orders", "-e", "staging"}, "no\n", exitNotApplied, "Take offline in staging on gateway " + s.InstanceID() + ": DEFAULT/orders. Type yes"},
		{[]string{"rollback", "orders", "-e", "staging"}, "no\n", exitNotApplied, "Roll back in staging"},
		{[]string{"rollback", "orders", "-e", "staging"}, "yes\n", exitDone, "Roll back in staging"},
		{[]string{"offline", "orders", "-e", "staging", "-y"}, "no\n", exitDone, ""},
	} {
		var stdout, stderr bytes.Buffer
		transport := s.Transport()
		p := s.program(transport, &stdout, &stderr)
		p.stdin, p.asks = strings.NewReader(test.stdin), true
		assert.Equal(t, test.code, p.run(t.Context(), test.args), stderr.String())
		transport.CloseIdleConnections()
		assert.Contains(t, stderr.String(), test.asks)
		if test.code != exitDone {
			assert.Contains(t, stderr.String(), "nothing has changed")
			assert.Len(t, s.Journal(), before)
		}
	}
	assert.Len(t, s.Journal(), before+2)
}

// A table that is too wide for the terminal goes on beneath each row, and long text
// is wrapped. Nothing is cut, and an ID stays in one piece. Elsewhere a row is a line.
func TestTableFitsTheTerminal(t *testing.T) {
	const id, long = "cf83b14f56c5082697202e68d0cfef14", "403 Forbidden, APIG.1005: No permissions to request this method"
	rows := [][]string{{"OUTCOME", "API", "ID", "NOTE"}, {"applied", "shop/cart", id, ""}, {"not applied", "orders", id, long}}
	for width, want := range map[int]string{
		0: "OUTCOME      API        ID                                NOTE\n" +
			"applied      shop/cart  " + id + "\n" +
			"not applied  orders     " + id + "  " + long + "\n",
		90: "OUTCOME      API        ID                                NOTE\n" +
			"applied      shop/cart  " + id + "\n" +
			"not applied  orders     " + id + "  403 Forbidden, APIG.1005: No\n" +
			strings.Repeat(" ", 58) + "permissions to request this\n" +
			strings.Repeat(" ", 58) + "method\n",
		50: "OUTCOME      API\n" +
			"  ID\n" +
			"  NOTE\n" +
			"applied      shop/cart\n" +
			"  " + id + "\n" +
			"not applied  orders\n" +
			"  " + id + "\n" +
			"  403 Forbidden, APIG.1005: No permissions to\n" +
			"  request this method\n",
	} {
		assert.Equal(t, want, layout(rows, width), "%d columns", width)
	}
	for line := range strings.Lines(layout(rows, 20)) {
		assert.True(t, len(line) <= 21 || strings.TrimSpace(line) == id, line)
	}
}
