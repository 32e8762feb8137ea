package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// A report with something unknown in it is all that settle needs, whichever its
// form and whether it comes from a file or from stdin.
func TestSettle(t *testing.T) {
	for _, form := range []string{"-json=object", "-json=lines"} {
		t.Run(form, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				defer s.Close()
				s.retry = apig.RetryPolicy{}
				s.Inject(
					apigtest.ApplyThenClose().When(func(r *apigtest.Request) bool { return r.APIID == s.orders && isChange(r) }),
					apigtest.CloseBefore().When(func(r *apigtest.Request) bool { return r.APIID == s.users && isChange(r) }),
				)
				s.historyForbidden()
				third := s.AddAPI("third")
				was := s.run("publish", "-api", "orders,users", "-api", third, "-remark", "1.4.2", form)
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
				still := s.run("settle", form)
				assert.Equal(t, exitUnknown, still.code, still.stdout)
				require.Len(t, still.report(t).Results, 3)

				s.ClearFaults()
				time.Sleep(time.Minute) // virtual: nothing lost can still arrive
				file := filepath.Join(t.TempDir(), "report.json")
				require.NoError(t, os.WriteFile(file, []byte(still.stdout), 0o600)) // its report can be settled too
				got := s.run("settle", form, file)
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
				assert.Equal(t, v.Remark, outcomes[s.orders].Remark)
				assert.True(t, outcomes[s.orders].Recovered)
				assert.Nil(t, outcomes[s.orders].Unknown)
				assert.Equal(t, outcomeNotApplied, outcomes[s.users].Outcome)
				assert.Equal(t, changes, s.changes(), "settle changes nothing")
			})
		})
	}
}

// A process that was killed leaves in its journal what was sent and not reported.
func TestSettleJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		defer s.Close()
		for _, how := range [][]string{{"-parallel", "1"}, {"-batch"}} {
			journal := s.run(append([]string{"publish", "-api", "orders,users", "-json=journal"}, how...)...)
			require.Equal(t, exitDone, journal.code, journal.stderr)
			lines := strings.SplitAfter(journal.stdout, "\n")
			require.Len(t, lines, 7)
			assert.Equal(t, 2, strings.Count(journal.stdout, `"unknown":{"op":`), "of each, as it was sent")
			assert.Equal(t, 2, strings.Count(journal.stdout, `","instance_id":"`+s.InstanceID()+`","api_id":"`), "which settle goes by")
			s.stdin = journal.stdout
			got := s.run("settle")
			assert.Equal(t, exitDone, got.code, got.stdout)
			assert.Len(t, got.report(t).Results, 2)
			assert.Contains(t, got.stderr, "nothing in the report is unknown")

			s.stdin = ""
			for _, line := range lines {
				if !strings.Contains(line, `"outcome":"applied"`) || strings.Contains(line, s.users) {
					s.stdin += line
				}
			}
			waiting := lines[0] + lines[1]
			got = s.run("settle")
			assert.Equal(t, exitDone, got.code, got.stdout)
			results := got.report(t).Results
			require.Len(t, results, 2)
			for i, id := range []string{s.orders, s.users} {
				v, _ := s.Published(id, release)
				assert.Equal(t, v.ID, results[i].Record.VersionID)
				assert.Equal(t, outcomeApplied, results[i].Outcome)
				assert.Equal(t, id == s.orders, results[i].Recovered)
			}

			s.stdin = waiting
			got = s.run("settle")
			assert.Equal(t, exitNotApplied, got.code, got.stdout)
			for _, to := range got.report(t).Results {
				assert.Equal(t, outcomeNotApplied, to.Outcome)
				assert.Contains(t, to.Error, "not sent")
			}
		}
		s.stdin = ""
		got := s.run("settle", "-json=journal")
		assert.Equal(t, exitUsage, got.code)
		assert.Equal(t, exitUsage, s.run("status", "-json=journal").code)
	})
}

// A report of another gateway of the same project is settled there.
func TestSettleElsewhere(t *testing.T) {
	s := newSite(t)
	other := s.AddInstance(s.ProjectID(), "")
	id := other.AddAPI("elsewhere")
	published, err := other.Publish(id, release, "1.4.2 #0123456789")
	require.NoError(t, err)
	s.stdin = `{"command":"publish","api":"elsewhere","api_id":"` + id + `","env_id":"` + release + `",` +
		`"instance_id":"` + other.InstanceID() + `","outcome":"unknown","unknown":{"op":"Publish","api_id":"` + id + `",` +
		`"env_id":"` + release + `","remark":"1.4.2 #0123456789","tagged":true,"attempts":1,` +
		`"sent_at":"` + time.Now().Format(time.RFC3339Nano) + `","failed_at":"` + time.Now().Format(time.RFC3339Nano) + `"}}`
	line := s.stdin
	got := s.run("settle")
	require.Equal(t, exitDone, got.code, got.stdout+got.stderr)
	assert.Equal(t, published.ID, got.report(t).Results[0].Record.VersionID)

	within := func(instanceID string) string {
		return strings.Replace(line, `{"op":`, `{"instance_id":"`+instanceID+`","op":`, 1)
	}
	s.stdin = strings.Replace(within(other.InstanceID()), `"instance_id":"`+other.InstanceID()+`","outcome"`, `"outcome"`, 1)
	got = s.run("settle")
	require.Equal(t, exitDone, got.code, "what was sent tells the gateway too: "+got.stdout+got.stderr)
	settled := got.report(t).Results[0]
	assert.Equal(t, []string{published.ID, other.InstanceID()}, []string{settled.Record.VersionID, settled.InstanceID})

	s.stdin = within(s.InstanceID())
	got = s.run("settle")
	require.Equal(t, exitUnknown, got.code, got.stdout+got.stderr)
	still := got.report(t).Results[0]
	assert.Contains(t, still.Error, "is another gateway than that of the client", "a report that contradicts itself")
	assert.Equal(t, s.InstanceID(), still.Unknown.InstanceID)
}

func TestSettleInput(t *testing.T) {
	const known = `{"command":"publish","api":"orders","outcome":"applied"}` + "\n"
	for name, test := range map[string]struct {
		report string
		args   []string
		code   int
		says   string
	}{
		"nothing unknown":      {known, nil, exitDone, "nothing in the report is unknown"},
		"not applied":          {`{"command":"publish","api":"users","outcome":"not_applied"}`, nil, exitNotApplied, "nothing in the report is unknown"},
		"failed as a whole":    {`{"command":"publish","exit_code":64,"error":"no credentials","results":[]}`, nil, exitNotApplied, "no credentials"},
		"failed, in lines":     {`{"command":"publish","exit_code":1,"error":"no such environment"}`, nil, exitNotApplied, "no such environment"},
		"killed within a line": {known + `{"command":"publish","api":"us`, nil, exitDone, "the last line of the report is incomplete"},
		"no details":           {known + `{"command":"publish","api":"users","outcome":"unknown"}`, nil, exitUnknown, "does not say what was sent"},
		"damaged details":      {`{"command":"publish","api":"users","outcome":"unknown","unknown":{"op":"Publish"}}`, nil, exitUnknown, "invalid argument"},
		"cut object":           {`{"command":"publish","results":[`, nil, exitUsage, "not a report"},
		"empty":                {"", nil, exitUsage, "empty"},
		"no JSON":              {"done\n", nil, exitUsage, "not a report"},
		"other JSON":           {`{"outcome":"unknown"}`, nil, exitUsage, "not a report"},
		"no such file":         {"", []string{"nowhere.json"}, exitUsage, "nowhere.json"},
		"two files":            {"", []string{"a.json", "b.json"}, exitUsage, "unexpected argument"},
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

// Whatever the report says, it is read or refused, and nothing is sent that
// changes something.
func FuzzReadReport(f *testing.F) {
	f.Add(`{"command":"publish","outcome":"unknown","unknown":{"op":"Publish","sent_at":"2026-01-02T03:04:05Z"}}`)
	f.Add(`{"command":"publish","results":[{"outcome":"unknown"}]}` + "\n{")
	f.Fuzz(func(t *testing.T, text string) {
		var stderr bytes.Buffer
		p := program{stdin: strings.NewReader(text), stderr: &stderr}
		was, err := p.readReport("")
		if err != nil {
			require.Empty(t, was)
		}
		for _, to := range was.Results {
			require.NotContains(t, []string{outcomeSent, outcomeWaiting}, to.Outcome)
		}
	})
}
