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
		t.Run(form, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				defer s.Close()
				s.retry = apig.RetryPolicy{}
				s.Inject(
					gateway.ApplyThenClose().When(func(r *gateway.Request) bool { return r.APIID == s.orders && isChange(r) }),
					gateway.CloseBefore().When(func(r *gateway.Request) bool { return r.APIID == s.users && isChange(r) }),
				)
				s.historyForbidden()
				third := s.AddAPI("third")
				was := s.run("publish", "orders", "users", third, "-m", "1.4.2", "-o", form)
				require.Equal(t, exitUnknown, was.code, was.stderr)
				outcomes := map[string]result{}
				for _, to := range was.report(t).Results {
					outcomes[to.APIID] = to
				}
				require.Equal(t, outcomeUnknown, outcomes[s.orders].Outcome)
				require.Equal(t, outcomeUnknown, outcomes[s.users].Outcome)
				require.Equal(t, outcomeApplied, outcomes[third].Outcome)
				changes := s.changes()

				s.stdin = was.stdout
				still := s.run("settle", "-o", form)
				assert.Equal(t, exitUnknown, still.code, still.stdout)
				require.Len(t, still.report(t).Results, 3)

				s.ClearFaults()
				time.Sleep(time.Minute) // virtual: nothing lost can still arrive
				file := filepath.Join(t.TempDir(), "report.json")
				require.NoError(t, os.WriteFile(file, []byte(still.stdout), 0o600)) // its report can be settled too
				got := s.run("settle", "-o", form, file)
				assert.Equal(t, exitNotApplied, got.code, got.stdout+got.stderr)
				outcomes = map[string]result{}
				for _, to := range got.report(t).Results {
					outcomes[to.APIID] = to
				}
				require.Len(t, outcomes, 3, "what was known is still there")
				assert.Equal(t, outcomeApplied, outcomes[third].Outcome)
				assert.False(t, outcomes[third].Recovered)
				v, _ := s.Published(s.orders, release)
				assert.Equal(t, outcomeApplied, outcomes[s.orders].Outcome)
				assert.Equal(t, v.ID, outcomes[s.orders].Record.VersionID)
				assert.True(t, outcomes[s.orders].Recovered)
				assert.Nil(t, outcomes[s.orders].Unknown)
				assert.Equal(t, outcomeNotApplied, outcomes[s.users].Outcome)
				assert.Equal(t, changes, s.changes(), "settle changes nothing")
			})
		})
	}
}

// A report of another gateway of the same project is settled there.
func TestSettleElsewhere(t *testing.T) {
	s := newSite(t)
	other := s.AddInstance(s.ProjectID(), "")
	id := other.AddAPI("elsewhere")
	published, err := other.Publish(id, release, sentRemark("1.4.2", "0123456789"))
	require.NoError(t, err)
	s.stdin = `{"command":"publish","instance_id":"` + other.InstanceID() + `","exit_code":2,"results":[{"api":"elsewhere","api_id":"` + id + `",` +
		`"outcome":"unknown","unknown":{"op":"Publish","api_id":"` + id + `","env_id":"` + release + `",` + sentWith("1.4.2", "0123456789") + `"attempts":1,` +
		`"sent_at":"` + time.Now().Format(time.RFC3339Nano) + `","failed_at":"` + time.Now().Format(time.RFC3339Nano) + `"}}]}`
	got := s.run("settle")
	require.Equal(t, exitDone, got.code, got.stdout+got.stderr)
	assert.Equal(t, published.ID, got.report(t).Results[0].Record.VersionID)
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
			got := s.run(append([]string{"settle"}, test.args...)...)
			assert.Equal(t, test.code, got.code, got.stdout)
			assert.Contains(t, got.stderr, test.says)
		})
	}
}

// Whatever a report says, it is read or refused, and what is cut off is unknown.
func FuzzReadReport(f *testing.F) {
	f.Add(`{"command":"publish","asked":[{"api":"a"},{"api":"b"}]}` + "\n" + `{"api":"a","outcome":"applied"}` + "\n{")
	f.Add(`{"command":"publish","results":[{"outcome":"unknown"}]}` + "\n{")
	f.Fuzz(func(t *testing.T, text string) {
		was, err := readReport(strings.NewReader(text))
		if err != nil {
			require.Empty(t, was)
		}
		if was.ExitCode == nil {
			require.GreaterOrEqual(t, len(was.Results), min(1, len(was.Asked)))
		}
	})
}
