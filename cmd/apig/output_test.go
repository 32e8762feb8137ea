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
		if c.Name() == "help" {
			return // cobra's own
		}
		path := strings.Fields(c.CommandPath())[1:]
		got := s.want(exitDone, append(path, "-h")...)
		assert.Empty(t, got.stderr)
		assert.NotContains(t, got.stdout, "go run", "it turns every exit code into 1")
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
	for shell, says := range map[string]string{"bash": "complete -o", "zsh": "#compdef apig", "fish": "complete -c apig", "powershell": "Register-ArgumentCompleter"} {
		assert.Contains(t, s.want(exitDone, "completion", shell).stdout, says)
	}
}

func TestQuietAndVerbose(t *testing.T) {
	s := newSite(t)
	got := s.want(exitDone, "publish", "orders")
	assert.Regexp(t, `^publish 1 API in RELEASE .*\n1/1 publish DEFAULT/orders: applied\n1/1: 1 done, 0 unknown, 0 failed\n$`, got.stderr)
	assert.Empty(t, s.want(exitDone, "publish", "orders", "-qv").stderr)
	got = s.want(exitDone, "publish", "orders", "--verbose")
	assert.Contains(t, got.stderr, "op=Publish")
	assert.NotContains(t, got.stdout+got.stderr, s.Token())
}

// Every report has a form for people and one for scripts. The end of a long table is
// what people see: there is what needs attention.
func TestForms(t *testing.T) {
	t.Chdir(t.TempDir())
	s := newSite(t)
	third, fourth, fifth := s.AddAPI("third"), s.AddAPI("fourth"), s.AddAPI("fifth")
	s.historyForbidden(0)
	s.Inject(gateway.BadRequest().When(changeOf(s.users)).Always(), gateway.ApplyThenClose().When(changeOf(s.orders)).Always())
	s.Inject(gateway.Unauthorized().When(changeOf(third)).Always())
	args := []string{"publish", "orders", "users", "fourth", "third", "fifth", "-p", "1", "-o"}
	got := s.want(exitUnknown, append(args, "table")...)
	assert.Regexp(t, `^OUTCOME +API +ID +NOTE
applied +DEFAULT/fourth +`+fourth+`
not applied +DEFAULT/fifth +`+fifth+` +not sent: the credentials were refused: .*
not applied +DEFAULT/users +`+s.users+` +.*APIG.2011.*
not applied +DEFAULT/third +`+third+` +.*
unknown +DEFAULT/orders +`+s.orders+` `, got.stdout)
	assert.Contains(t, got.stderr, "1 done, 1 unknown, 2 failed, 1 not sent")
	assert.Equal(t, "DEFAULT/fourth\n", s.want(exitUnknown, append(args, "name")...).stdout)
	assert.Regexp(t, "^1/5 .*: unknown: .*\n2/5 .*: not_applied: .*\n4/5 ", s.want(exitUnknown, append(args, "name", "-q")...).stderr)

	// Where the report was not asked for, an unknown outcome is saved for settle.
	saved := regexp.MustCompile(`run "apig settle (.*)"`).FindStringSubmatch(got.stderr)
	require.Len(t, saved, 2, got.stderr)
	s.ClearFaults()
	assert.Contains(t, s.want(exitNotApplied, "settle", saved[1], "-o", "table").stdout, "the answer was lost")
}

// A reader that has gone away does not take the report with it.
func TestReportWithoutReader(t *testing.T) {
	s := newSite(t)
	reader, gone := io.Pipe()
	reader.CloseWithError(errors.New("broken pipe"))
	s.stdout = gone
	for _, form := range []string{"jsonl", "json"} {
		got := s.want(exitOutput, "publish", "orders", "users", "-o", form)
		assert.Equal(t, 1, strings.Count(got.stderr, "broken pipe"))
		assert.Contains(t, got.stderr, s.inEffect(s.orders, release))
		assert.Contains(t, got.stderr, s.inEffect(s.users, release))
	}
	for _, args := range []string{
		"publish orders -o name", "status -o table", "list apis -o name", "list apis -o json", "doctor", "completion bash", "publish -h", "--version",
	} {
		assert.Contains(t, s.want(exitOutput, strings.Fields(args)...).stderr, "stdout cannot be written: broken pipe")
	}
	s.want(exitNotApplied, "publish", "nothing", "-o", "name")
}

// On a terminal one line is rewritten, never longer than the terminal is wide, and
// what needs attention stays above it.
func TestProgressOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var screen bytes.Buffer
		width := 80
		pr := &progress{p: &program{stderr: &screen}, verb: "publish", good: "done", width: func() int { return width }, colour: true}
		pr.start(4)
		assert.Equal(t, "\r\x1b[K0/4: 0 done, 0 unknown, 0 failed", screen.String(), "a first state at once")
		screen.Reset()
		time.Sleep(time.Second)
		pr.add(result{api: api{API: "a"}, Outcome: outcomeApplied})
		assert.Equal(t, "\r\x1b[K1/4: 1 done, 0 unknown, 0 failed, 3s left", screen.String())

		screen.Reset()
		pr.add(result{api: api{API: "b"}, Outcome: outcomeApplied})
		assert.Empty(t, screen.String(), "the line has stood for no time yet")

		pr.add(result{api: api{API: "c"}, Outcome: outcomeUnknown, problem: problem{Error: "lost"}})
		assert.Equal(t, "\r\x1b[Kpublish c: \x1b[33munknown\x1b[0m: lost\n"+
			"\r\x1b[K3/4: 2 done, 1 unknown, 0 failed, 0s left", screen.String())

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
		assert.Nil(t, (&program{stderr: w}).newProgress(&options{}, "").width)
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("this system has no /dev/ptmx: ", err)
	}
	defer terminal.Close()
	for env, want := range map[string][2]bool{"": {true, true}, "NO_COLOR=1": {true, false}, "TERM=dumb": {false, false}} {
		name, value, _ := strings.Cut(env, "=")
		p := &program{stderr: terminal, getenv: func(s string) string { return map[string]string{name: value}[s] }}
		shown := p.newProgress(&options{}, "")
		assert.Equal(t, want, [2]bool{shown.width != nil, shown.colour}, "with %q", env)
	}
}

// On a terminal offline and rollback ask; any other answer than yes, and an
// interruption, changes nothing.
func TestConfirmation(t *testing.T) {
	s := newSite(t)
	s.tick()
	s.seen = true
	for _, test := range []struct {
		args, stdin, asks string
		code              int
	}{
		{"offline orders -e staging", "no\n", "offline 1 API in staging on gateway " + s.InstanceID() + ": DEFAULT/orders. Type yes", exitNotApplied},
		{"offline orders -e staging", "yesterday\n", "Type yes", exitNotApplied},
		{"offline orders -e staging", "\n", "Type yes", exitNotApplied},
		{"offline orders -e staging", "", "Type yes", exitNotApplied},
		{"offline orders -e staging", "YES\n", "Type yes", exitDone},
		{"offline orders -e staging -y", "no\n", "offline 1 API in staging", exitDone},
		{"rollback orders -e staging", "no\n", "DEFAULT/orders. Type yes", exitNotApplied},
		{"rollback orders -e staging", "y\n", "Type yes", exitDone},
		{"rollback -f - -e staging", "orders\n", "add --yes", exitUsage},
		{"offline -f - -e staging", "orders\n", "add --yes", exitUsage},
		{"offline -f - -e staging -y", "orders\n", "offline 1 API in staging", exitDone},
		{"offline -f - -e staging -n", "orders\n", "dry run: offline 1 API", exitDone},
		{"rollback orders -e staging -n", "", "dry run: rollback 1 API in staging on gateway " + s.InstanceID(), exitDone},
		{"publish orders -e staging -n", "", "dry run: publish 1 API in staging", exitDone},
		{"publish orders -e staging", "", "publish 1 API in staging", exitDone},
	} {
		s.publish(s.orders, s.staging, "1")
		s.publish(s.orders, s.staging, "2")
		before := s.changes()
		s.stdin, s.asks = test.stdin, !strings.Contains(test.args, "-f -") // a pipe answers no question
		got := s.want(test.code, strings.Fields(test.args)...)
		assert.Contains(t, got.stderr, test.asks)
		assert.Equal(t, strings.Contains(test.asks, "Type yes"), strings.Contains(got.stderr, "Type yes"))
		if test.code != exitDone {
			assert.Contains(t, got.stderr, "nothing has changed")
			assert.Equal(t, before, s.changes())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.asks = true
	assert.Equal(t, exitInterrupted, s.runUntil(ctx, "offline", s.orders, "-e", "RELEASE").code)
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
	wide := [][]string{{"API", "ID"}, {"订单（新）", "1"}, {"カート", "2"}, {"cafe\u0301", "3"}}
	assert.Equal(t, "API         ID\n订单（新）  1\nカート      2\ncafe\u0301        3\n", layout(wide, 0))
	assert.Equal(t, "CHECK\n  DETAIL\ngateway\n  "+id+"\n", layout([][]string{{"CHECK", "DETAIL"}, {"gateway", id}}, 36))
	for line := range strings.Lines(layout(rows, 20)) {
		assert.True(t, len(line) <= 21 || strings.TrimSpace(line) == id, line)
	}
}
