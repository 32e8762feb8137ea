package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

// A report without its closing line is not whole: settle names the APIs that are
// missing in it, and does not call that a success.
func TestCutReport(t *testing.T) {
	s := newSite(t)
	whole := s.run("publish", "orders", "users", "-o", "jsonl", "-p", "1")
	require.Equal(t, exitDone, whole.code, whole.stderr)
	lines := strings.SplitAfter(whole.stdout, "\n")
	require.Len(t, lines, 5, "the APIs, two results, the end, and nothing")
	for name, test := range map[string]struct {
		report  string
		code    int
		missing []string
	}{
		"whole":                      {whole.stdout, exitDone, nil},
		"all but the last line":      {strings.Join(lines[:3], ""), exitDone, nil},
		"without a result":           {lines[0], exitUnknown, []string{"orders", "users"}},
		"one result":                 {strings.Join(lines[:2], ""), exitUnknown, []string{"users"}},
		"cut within a line":          {strings.Join(lines[:2], "") + lines[2][:20], exitUnknown, []string{"users"}},
		"results alone":              {lines[1] + lines[2], exitUnknown, nil},
		"nothing at all":             {"", exitUnknown, nil},
		"the beginning of an object": {`{"command":"publish","results":[{"api":`, exitUnknown, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s.stdin = test.report
			got := s.run("settle", "-o", "jsonl")
			assert.Equal(t, test.code, got.code, got.stdout+got.stderr)
			var missing []string
			for _, to := range got.report(t).Results {
				if to.Outcome == outcomeUnknown {
					missing = append(missing, to.API)
				}
			}
			assert.Equal(t, test.missing, missing)
			if test.code == exitUnknown {
				assert.Regexp(t, "not whole|empty or cut off", got.stderr)
				s.stdin = got.stdout
				assert.Equal(t, exitUnknown, s.run("settle").code, "its own report is no green either")
			}
		})
	}
}

// What to do about a cut report depends on what was running. Settling again, which
// finds out nothing, is never the advice.
func TestAdviceForACutReport(t *testing.T) {
	s := newSite(t)
	for command, advice := range map[string]string{
		"publish -k 4711": `run the same command again with --idempotency-key "4711"; it publishes nothing twice`,
		"publish":         `see "apig status -e staging", and run "apig publish" for the APIs that have not changed`,
		"publish --batch": `see "apig status -e staging", and run "apig publish" for the APIs that have not changed`,
		"offline -y":      "run the same command again with --if-published",
		"rollback -y":     `see "apig status -e staging", and run "apig rollback" for the APIs that have not changed`,
	} {
		t.Run(command, func(t *testing.T) {
			whole := s.run(append(strings.Fields(command), "orders", "users", "-e", "staging", "-o", "jsonl")...)
			first, _, _ := strings.Cut(whole.stdout, "\n")
			s.stdin = first + "\n"
			for _, args := range [][]string{{"settle", "-o", "json"}, {"settle", "-o", "table"}} {
				got := s.run(args...)
				assert.Equal(t, exitUnknown, got.code)
				assert.Contains(t, got.stderr, "the report does not say what became of 2 APIs: "+advice)
				assert.NotContains(t, got.stderr, "run \"apig settle")
			}
			name, _, _ := strings.Cut(command, " ")
			assert.Contains(t, s.run(name, "-f", "-").stderr, advice)
		})
	}
	s.stdin = `{"command":"publish","results":[{"api":`
	assert.Contains(t, s.run("settle").stderr, "run the same command again with its --idempotency-key, if it had one")
}

// A report goes to the environment and the gateway that it came from, and to no
// other one; offline and rollback have no default environment.
func TestReportKeepsItsEnvironment(t *testing.T) {
	s := newSite(t)
	s.Inject(gateway.Answer(403, forbidden).When(isChange))
	was := s.run("publish", "orders", "-e", "staging", "-o", "json")
	require.Equal(t, exitNotApplied, was.code)

	s.stdin = was.stdout
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"publish", "-f", "-", "-e", "RELEASE"}, "report of the environment staging"},
		{[]string{"offline", "-f", "-", "-y"}, `report of "apig publish"`},
		{[]string{"offline", "orders"}, "--env is required"},
		{[]string{"rollback", "orders"}, "--env is required"},
	} {
		got := s.run(test.args...)
		assert.Equal(t, exitUsage, got.code, test.args)
		assert.Contains(t, got.stderr, test.says)
	}
	s.stdin = strings.Replace(was.stdout, s.InstanceID(), "another", 1)
	assert.Contains(t, s.run("publish", "-f", "-").stderr, "report of the gateway another")
	s.stdin = strings.Replace(was.stdout, `"not_applied"`, `"unknown", "unknown": {"op": "Publish"}`, 1)
	assert.Contains(t, s.run("publish", "-f", "-").stderr, `the outcome of DEFAULT/orders is unknown; run "apig settle -" first`)
	s.stdin = "null\n" // jq's word for a name that was not found
	assert.Contains(t, s.run("publish", "-f", "-").stderr, "names no API")
	assert.Empty(t, s.Journal())

	s.stdin = was.stdout
	got := s.run("publish", "-f", "-")
	require.Equal(t, exitDone, got.code, got.stderr)
	assert.Contains(t, got.stderr, "publish 1 API in staging on gateway "+s.InstanceID())
	require.Len(t, s.Journal(), 1)
	assert.Equal(t, s.staging, s.Journal()[0].EnvID)

	s.stdin = got.stdout
	again := s.run("publish", "-f", "-")
	assert.Equal(t, exitDone, again.code, "nothing is left to publish: "+again.stderr)
	assert.Len(t, s.Journal(), 1)
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
		cmd := exec.Command(binary, strings.Fields(test.args)...)
		cmd.Env = environmentOf(g)
		out, _ := cmd.CombinedOutput()
		assert.Equal(t, test.code, cmd.ProcessState.ExitCode(), "%s: %s", test.args, out)
	}
	s := newSite(t)
	for _, c := range (&program{}).rootCommand().Commands() {
		assert.NotContains(t, s.run(c.Name(), "-h").stdout, "go run")
	}
}
