package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/gateway"
)

// A report with something unknown in it is all that settle needs, whichever its
// form and whether it comes from a file or from stdin.
func TestSettle(t *testing.T) {
	for _, form := range []string{"json", "jsonl"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			defer s.Close()
			s.retry = apig.RetryPolicy{}
			s.Inject(gateway.ApplyThenClose().When(changeOf(s.orders)), gateway.CloseBefore().When(changeOf(s.users)))
			s.historyForbidden(0)
			third := s.AddAPI("third")
			was := s.want(exitUnknown, "publish", "orders", "users", third, "-m", "1.4.2", "-o", form)
			outcomes := was.results(t)
			require.Equal(t, outcomeUnknown, outcomes[s.orders].Outcome)
			require.Equal(t, outcomeUnknown, outcomes[s.users].Outcome)
			require.Equal(t, outcomeApplied, outcomes[third].Outcome)
			changes := s.changes()

			s.stdin = was.stdout
			still := s.want(exitUnknown, "settle", "-o", form)
			require.Len(t, still.report(t).Results, 3)
			assert.Contains(t, still.stderr, `run "apig settle`)

			s.ClearFaults()
			time.Sleep(time.Minute) // virtual: nothing lost can still arrive
			file := filepath.Join(t.TempDir(), "report.json")
			require.NoError(t, os.WriteFile(file, []byte(still.stdout), 0o600)) // its report can be settled too
			outcomes = s.want(exitNotApplied, "settle", "-o", form, file).results(t)
			require.Len(t, outcomes, 3, "what was known is still there")
			assert.Equal(t, outcomeApplied, outcomes[third].Outcome)
			assert.False(t, outcomes[third].Recovered)
			assert.Equal(t, outcomeApplied, outcomes[s.orders].Outcome)
			assert.Equal(t, s.inEffect(s.orders, release), outcomes[s.orders].Record.VersionID)
			assert.True(t, outcomes[s.orders].Recovered)
			assert.Nil(t, outcomes[s.orders].Unknown)
			assert.Equal(t, outcomeNotApplied, outcomes[s.users].Outcome)
			assert.Equal(t, changes, s.changes(), "settle changes nothing")
		})
	}
}

// A report of another gateway of the same project is settled there.
func TestSettleElsewhere(t *testing.T) {
	s := newSite(t)
	other := s.AddInstance(s.ProjectID(), "")
	id := other.AddAPI("elsewhere")
	published, err := other.Publish(id, release, "1.4.2 apig:0123456789")
	require.NoError(t, err)
	now := time.Now().Format(time.RFC3339Nano)
	s.stdin = `{"command":"publish","instance_id":"` + other.InstanceID() + `","exit_code":2,"results":[{"api":"elsewhere","api_id":"` + id + `",` +
		`"outcome":"unknown","unknown":{"op":"Publish","api_id":"` + id + `","env_id":"` + release + `","remark":"1.4.2","tag":"0123456789",` +
		`"attempts":1,"sent_at":"` + now + `","failed_at":"` + now + `"}}]}`
	assert.Equal(t, published.ID, s.want(exitDone, "settle").report(t).Results[0].Record.VersionID)
}

func TestSettleInput(t *testing.T) {
	const known = `{"command":"publish","asked":[{"api":"orders"}]}` + "\n" + `{"api":"orders","outcome":"applied"}` + "\n"
	const end = `{"command":"publish","exit_code":0}` + "\n"
	for name, test := range map[string]struct {
		report string
		args   []string
		code   int
		says   string
	}{
		"nothing unknown":   {known + end, nil, exitDone, "nothing in the report is unknown"},
		"not applied":       {`{"command":"publish","exit_code":1,"results":[{"api":"users","outcome":"not_applied"}]}`, nil, exitNotApplied, "nothing in the report is unknown"},
		"failed as a whole": {`{"command":"publish","exit_code":64,"error":"no credentials","results":[]}`, nil, exitUsage, "no credentials"},
		"failed, in lines":  {`{"command":"publish","exit_code":1,"error":"no such environment"}`, nil, exitNotApplied, "no such environment"},
		"two reports":       {known + end + known + end, nil, exitUsage, "two reports"},
		"another outcome":   {known + `{"api":"users","outcome":"done"}` + end, nil, exitUnknown, "what became of 1 API"},
		"unknown to null":   {`{"command":"publish","exit_code":2,"results":null}`, nil, exitUnknown, "not whole"},
		"unknown, but done": {`{"command":"publish","exit_code":2,"results":[{"api":"users","outcome":"applied"}]}`, nil, exitUnknown, "not whole"},
		"no details":        {known + `{"api":"users","outcome":"unknown"}` + end, nil, exitUnknown, "does not say what was sent"},
		"damaged details":   {known + `{"api":"users","outcome":"unknown","unknown":{"op":"Publish"}}` + end, nil, exitUnknown, "APIID is empty"},
		"no JSON":           {"done\n", nil, exitUsage, "not a report"},
		"other JSON":        {`{"outcomes":"unknown"}`, nil, exitUsage, "not a report"},
		"no such file":      {"", []string{"nowhere.json"}, exitUsage, "nowhere.json"},
		"two files":         {"", []string{"a.json", "b.json"}, exitUsage, "at most 1 arg"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.stdin = test.report
			assert.Contains(t, s.want(test.code, append([]string{"settle"}, test.args...)...).stderr, test.says)
		})
	}
}

// A report without its closing line is not whole: settle names the APIs that are
// missing in it, and does not call that a success.
func TestCutReport(t *testing.T) {
	s := newSite(t)
	whole := s.want(exitDone, "publish", "orders", "users", "-o", "jsonl", "-p", "1")
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
			got := s.want(test.code, "settle", "-o", "jsonl")
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
				s.want(exitUnknown, "settle") // its own report is no green either
			}
		})
	}
}

// What to do about a cut report depends on what was running. Settling again, which
// finds out nothing, is never the advice.
func TestAdviceForACutReport(t *testing.T) {
	s := newSite(t)
	const compare = `see "apig status -e staging", and run "apig `
	for command, advice := range map[string]string{
		"publish -k 4711": `run the same command again with --idempotency-key "4711"; it publishes nothing twice`,
		"publish":         compare + `publish" for the APIs that have not changed`,
		"publish --batch": compare + `publish" for the APIs that have not changed`,
		"offline -y":      "run the same command again with --if-published",
		"rollback -y":     compare + `rollback" for the APIs that have not changed`,
	} {
		whole := s.run(append(strings.Fields(command), "orders", "users", "-e", "staging", "-o", "jsonl")...)
		first, _, _ := strings.Cut(whole.stdout, "\n")
		s.stdin = first + "\n"
		for _, form := range []string{"json", "table"} {
			got := s.want(exitUnknown, "settle", "-o", form)
			assert.Contains(t, got.stderr, "the report does not say what became of 2 APIs: "+advice)
			assert.NotContains(t, got.stderr, `run "apig settle`)
		}
		name, _, _ := strings.Cut(command, " ")
		assert.Contains(t, s.want(exitUsage, name, "-f", "-").stderr, advice)
	}
	s.stdin = `{"command":"publish","results":[{"api":`
	advice := s.want(exitUnknown, "settle").stderr
	assert.Contains(t, advice, "run the same command again with its --idempotency-key, if it had one")
	assert.Contains(t, advice, "report of -o jsonl names the APIs even then")
}

// A mistake in the arguments is in the report as well: to settle it is no killed command.
func TestMistakesAreReported(t *testing.T) {
	s := newSite(t)
	for _, args := range []string{
		"publish orders --dry-rum -o json", "publish -ojsonl", "publish orders -e staging -o=json -p 0", "publish -o json orders --idempotency-key=",
		"offline orders --output=jsonl", "rollback -yo json -e staging", "publsh orders -e staging --output json", "settle a b -o jsonl",
	} {
		got := s.want(exitUsage, strings.Fields(args)...)
		assert.Contains(t, got.stderr, got.report(t).Error)
		s.stdin = "\ufeff" + got.stdout // which a PowerShell adds
		assert.Contains(t, s.want(exitUsage, "settle").stderr, got.report(t).Error)
	}
	assert.Empty(t, s.want(exitUsage, "publish", "-o", "name").stdout)
}

// Whatever a report says, it is read or refused, and what is cut off is unknown.
func FuzzReadReport(f *testing.F) {
	f.Add(`{"command":"publish","asked":[{"api":"a"},{"api":"b"}]}` + "\n" + `{"api":"a","outcome":"applied"}` + "\n{")
	f.Add(`{"command":"publish","results":[{"outcome":"unknown"}]}` + "\n{")
	f.Fuzz(func(t *testing.T, text string) {
		was, err := readReport([]byte(text))
		if err != nil {
			require.Empty(t, was)
		}
		if was.ExitCode == nil {
			require.GreaterOrEqual(t, len(was.Results), min(1, len(was.Asked)))
		}
	})
}
