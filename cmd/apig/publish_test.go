package main

import (
	"context"
	"fmt"
	"net/http"
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

// However the APIs are named, each is published once.
func TestPublish(t *testing.T) {
	s := newSite(t)
	inShop := s.AddGroup("shop")
	cart, till := s.AddAPIIn(inShop, "cart"), s.AddAPIIn(inShop, "till")
	s.stdin = "\ufeff# the shop\norders   # with a comment\r\n\n  " + s.users + "\n"
	file := filepath.Join(t.TempDir(), "apis.txt")
	require.NoError(t, os.WriteFile(file, []byte(s.stdin), 0o600))
	both, group := []string{s.orders, s.users}, []string{cart, till}

	for name, test := range map[string]struct {
		args []string
		ids  []string
	}{
		"names and IDs":     {[]string{"orders", s.users}, both},
		"repeated":          {[]string{"orders", strings.ToUpper(s.orders), s.users, "orders"}, both},
		"a file":            {[]string{"-f", file}, both},
		"stdin":             {[]string{"--file=-"}, both},
		"a group's name":    {[]string{"-g", "shop"}, group},
		"a group's ID":      {[]string{"--group", inShop}, group},
		"group and name":    {[]string{"shop/cart", "till"}, group},
		"in one request":    {[]string{"-f", file, "--batch"}, both},
		"one after another": {[]string{"-f", file, "-p", "1"}, both},
	} {
		for _, form := range []string{"json", "jsonl"} {
			t.Run(name+form, func(t *testing.T) {
				before := len(s.Journal())
				got := s.run(append([]string{"publish", "-e", "staging", "-m", "1.4.2", "-o", form}, test.args...)...)
				require.Equal(t, exitDone, got.code, got.stderr)
				whole := got.report(t)
				assert.Equal(t, []string{"publish", s.InstanceID(), s.staging, "staging"},
					[]string{whole.Command, whole.InstanceID, whole.EnvID, whole.EnvName})
				results := map[string]result{}
				for _, to := range whole.Results {
					results[strings.ToLower(to.APIID)] = to
				}
				require.Len(t, results, len(test.ids))
				for _, id := range test.ids {
					to := results[id]
					assert.Equal(t, outcomeApplied, to.Outcome)
					assert.NotEmpty(t, to.RequestID)
					v, ok := s.Published(id, s.staging)
					require.True(t, ok)
					assert.Equal(t, v.ID, to.Record.VersionID)
					assert.True(t, strings.HasPrefix(v.Remark, "1.4.2 "), v.Remark)
				}
				assert.Len(t, s.Journal(), before+len(test.ids))
			})
		}
	}

	got := s.run("publish", "orders", "-m", "plain", "--disable-tags")
	assert.Equal(t, exitDone, got.code, got.stderr)
	v, _ := s.Published(s.orders, release)
	assert.Equal(t, "plain", v.Remark)
}

// The order of the report is the order of the input, and many names are looked up
// with one request for 500 of them.
func TestPublishMany(t *testing.T) {
	s := newSite(t)
	const n = 1200
	var names strings.Builder
	for i := range n {
		s.AddAPI(fmt.Sprintf("api-%04d", i))
		fmt.Fprintf(&names, "api-%04d\n", i)
	}
	s.stdin = names.String()
	for name, test := range map[string]struct {
		args    []string
		changes int
	}{
		"parallel": {[]string{"-p", "32"}, n},
		"batch":    {[]string{"--batch"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			requests, changes := len(s.Requests()), s.changes()
			got := s.run(append([]string{"publish", "-f", "-", "-q"}, test.args...)...)
			require.Equal(t, exitDone, got.code, got.stderr+got.stdout[:min(900, len(got.stdout))])
			results := got.report(t).Results
			require.Len(t, results, n)
			for i, to := range results {
				require.Equal(t, fmt.Sprintf("api-%04d", i), to.API)
			}
			assert.Equal(t, test.changes, s.changes()-changes)
			assert.Equal(t, test.changes+3, len(s.Requests())-requests, "and three pages of the list")
			assert.Empty(t, got.stderr)
		})
	}
}

func TestOffline(t *testing.T) {
	s := newSite(t)
	require.Equal(t, exitDone, s.run("publish", "orders", "users").code)
	got := s.run("offline", "orders", "-e", "RELEASE")
	assert.Equal(t, exitDone, got.code, got.stderr)
	_, published := s.Published(s.orders, release)
	assert.False(t, published)

	for _, how := range [][]string{nil, {"--batch"}} {
		got = s.run(append([]string{"offline", "orders", "-e", "RELEASE"}, how...)...)
		to := got.report(t).Results[0]
		assert.Equal(t, exitNotApplied, got.code)
		assert.Equal(t, outcomeNotApplied, to.Outcome)
		assert.Equal(t, "APIG.3015", to.ErrorCode)

		got = s.run(append([]string{"offline", "orders", "-e", "RELEASE", "--if-published"}, how...)...)
		to = got.report(t).Results[0]
		assert.Equal(t, exitDone, got.code, got.stderr)
		assert.Equal(t, outcomeApplied, to.Outcome)
		assert.True(t, to.AlreadyOffline)
		assert.Empty(t, to.Error)
	}
}

// A dry run shows what is in effect, finds what the change would find missing, and
// changes nothing. Its report is a plan that publish carries out.
func TestDryRun(t *testing.T) {
	s := newSite(t)
	require.Equal(t, exitDone, s.run("publish", "orders", "-e", "staging", "-m", "1.4.1").code)
	changes := s.changes()
	const missing = "0123456789abcdef0123456789abcdef"
	for name, test := range map[string]struct {
		args     []string
		code     int
		outcomes []string
	}{
		"all there":   {[]string{"orders", s.users, "-e", s.staging}, exitDone, []string{outcomePlanned, outcomePlanned}},
		"wrong ID":    {[]string{"orders", missing}, exitNotApplied, []string{outcomePlanned, outcomeNotApplied}},
		"wrong name":  {[]string{"nothing"}, exitNotApplied, []string{outcomeNotApplied}},
		"wrong env":   {[]string{"orders", "-e", missing}, exitNotApplied, nil},
		"no such env": {[]string{"orders", "-e", "stagin"}, exitNotApplied, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.run(append([]string{"publish", "--dry-run"}, test.args...)...)
			assert.Equal(t, test.code, got.code, got.stdout+got.stderr)
			r := got.report(t)
			var outcomes []string
			for _, to := range r.Results {
				outcomes = append(outcomes, to.Outcome)
			}
			assert.Equal(t, test.outcomes, outcomes)
			if test.outcomes == nil {
				assert.Contains(t, r.Error, "there are: RELEASE, staging")
			}
		})
	}
	assert.Equal(t, changes, s.changes())

	plan := s.run("publish", "-n", "orders", "users", "-e", "staging")
	inEffect := plan.report(t).Results[0].InEffect
	v, _ := s.Published(s.orders, s.staging)
	assert.Equal(t, v.ID, inEffect.VersionID)
	assert.True(t, strings.HasPrefix(inEffect.Remark, "1.4.1"))
	assert.Nil(t, plan.report(t).Results[1].InEffect)
	s.stdin = plan.stdout
	assert.Equal(t, exitDone, s.run("publish", "-f", "-").code)
	assert.Equal(t, changes+2, s.changes())
}

// An API that is not found stops all of them before anything is sent, whether few
// or many are asked for. An ambiguous name comes with its candidates.
func TestNotFoundStopsAll(t *testing.T) {
	s := newSite(t)
	other := s.AddAPIIn(s.AddGroup("other"), "orders")
	for _, more := range []int{0, 30} {
		args := []string{"publish", "users", "nothing", "orders"}
		for i := range more {
			name := fmt.Sprintf("more-%d-%d", more, i)
			s.AddAPI(name)
			args = append(args, name)
		}
		got := s.run(args...)
		assert.Equal(t, exitNotApplied, got.code)
		results := got.report(t).Results
		require.Len(t, results, 3+more)
		assert.Contains(t, results[0].Error, "not sent")
		assert.Contains(t, results[1].Error, `no API is named "nothing"`)
		assert.Contains(t, results[2].Error, `2 APIs are named "orders": `)
		assert.Contains(t, results[2].Error, "other/orders (ID "+other+")")
		assert.Contains(t, results[2].Error, s.orders)
	}
	assert.Zero(t, s.changes())
	got := s.run("publish", "other/orders")
	require.Equal(t, exitDone, got.code, got.stderr)
	assert.Equal(t, other, s.Journal()[0].APIID)
}

func TestGroups(t *testing.T) {
	s := newSite(t)
	one, another := s.AddGroup("twin"), s.AddGroup("twin")
	first := s.AddAPIIn(one, "first")
	s.AddAPIIn(another, "second")
	for group, says := range map[string]string{"twin": another, "nothing": "no API", strings.Repeat("0", 32): "no API"} {
		got := s.run("publish", "-g", group)
		assert.Equal(t, exitNotApplied, got.code)
		assert.Contains(t, got.report(t).Error, says)
	}
	got := s.run("publish", "-g", one)
	assert.Equal(t, exitDone, got.code, got.stderr)
	require.Len(t, s.Journal(), 1)
	assert.Equal(t, first, s.Journal()[0].APIID)
}

func TestExitCodes(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	lostForGood := []gateway.Fault{
		gateway.ApplyThenClose().When(isChange),
		gateway.Answer(http.StatusForbidden, forbidden).On(gateway.OpHistory).Always(),
	}
	for name, test := range map[string]struct {
		args    []string
		faults  []gateway.Fault
		ctx     context.Context
		code    int
		outcome string // of the one API; empty: the report says why there is none
		says    string // on stderr
	}{
		"done":                 {args: []string{"publish", "orders"}, code: exitDone, outcome: outcomeApplied},
		"lost and found again": {args: []string{"publish", "orders"}, faults: []gateway.Fault{gateway.ApplyThenClose().When(isChange)}, code: exitDone, outcome: outcomeApplied},
		"refused": {
			args: []string{"publish", "orders"}, faults: []gateway.Fault{gateway.Answer(http.StatusForbidden, forbidden).When(isChange)},
			code: exitNotApplied, outcome: outcomeNotApplied,
		},
		"credentials refused": {
			args: []string{"publish", "orders"}, faults: []gateway.Fault{gateway.Unauthorized().When(isChange).Always()},
			code: exitAuthentication, outcome: outcomeNotApplied,
		},
		"credentials refused at look-up": {
			args: []string{"publish", "orders"}, faults: []gateway.Fault{gateway.Unauthorized().Always()}, code: exitAuthentication,
		},
		"lost for good":            {args: []string{"publish", "orders"}, faults: lostForGood, code: exitUnknown, outcome: outcomeUnknown, says: `"apig settle FILE"`},
		"lost for good in a batch": {args: []string{"offline", "orders", "-e", "RELEASE", "--batch"}, faults: lostForGood, code: exitUnknown, outcome: outcomeUnknown},
		"no API":                   {args: []string{"publish"}, code: exitUsage, says: "name APIs"},
		"no report":                {args: []string{"settle"}, code: exitUnknown, says: "empty or cut off"},
		"a group and an API":       {args: []string{"publish", "-g", "shop", "orders"}, code: exitUsage, says: "GROUP/NAME"},
		"a group and a file":       {args: []string{"publish", "-g", "shop", "-f", "-"}, code: exitUsage},
		"no such file":             {args: []string{"publish", "-f", "nowhere.txt"}, code: exitUsage, says: "nowhere.txt"},
		"an empty file":            {args: []string{"publish", "-f", "-"}, code: exitUsage, says: "names no API"},
		"a shell of no name":       {args: []string{"completion", "ksh"}, code: exitUsage, says: "unknown command \"ksh\""},
		"an empty key":             {args: []string{"publish", "orders", "-k", ""}, code: exitUsage, says: "--idempotency-key is empty"},
		"an empty environment":     {args: []string{"publish", "orders", "-e", ""}, code: exitUsage, says: "--env is empty"},
		"a misspelt flag":          {args: []string{"publish", "--dry-rum", "orders"}, code: exitUsage, says: "did you mean --dry-run?"},
		"a misspelt command":       {args: []string{"publsh", "orders"}, code: exitUsage, says: "Did you mean this? publish"},
		"a misspelt subcommand":    {args: []string{"gateway", "injekt"}, code: exitUsage, says: "did you mean inject?"},
		"no subcommand":            {args: []string{"gateway"}, code: exitUsage, says: "Commands:"},
		"a misspelt kind":          {args: []string{"list", "group"}, code: exitUsage, says: "groups"},
		"a long remark":            {args: []string{"publish", "orders", "-m", strings.Repeat("ä", 256)}, code: exitUsage, outcome: outcomeNotApplied, says: "--remark has 256 characters"},
		"no workers":               {args: []string{"publish", "orders", "-p", "0"}, code: exitUsage, says: "between 1 and 256"},
		"no unit":                  {args: []string{"publish", "orders", "--timeout", "5"}, code: exitUsage, says: "did you mean 5s?"},
		"no time":                  {args: []string{"publish", "orders", "--timeout", "0s"}, code: exitUsage, says: "more than zero"},
		"another form":             {args: []string{"publish", "orders", "-o", "xml"}, code: exitUsage, says: "table, json"},
		"no command":               {code: exitUsage, says: "Commands:"},
		"interrupted at look-up":   {args: []string{"publish", "orders"}, ctx: ended, code: exitInterrupted},
		"help":                     {args: []string{"publish", "-h"}, code: exitDone},
		"version":                  {args: []string{"--version"}, code: exitDone},
		"completion":               {args: []string{"completion", "fish"}, code: exitDone},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.Inject(test.faults...)
			if test.ctx == nil {
				test.ctx = context.Background()
			}
			got := s.runUntil(test.ctx, test.args...)
			assert.Equal(t, test.code, got.code, got.stdout+got.stderr)
			assert.Contains(t, got.stderr, test.says)
			if test.outcome != "" {
				results := got.report(t).Results
				require.Len(t, results, 1)
				assert.Equal(t, test.outcome, results[0].Outcome)
				assert.Equal(t, test.code, *got.report(t).ExitCode)
			}
			if test.code == exitUsage {
				assert.NotEmpty(t, got.stderr)
				assert.Zero(t, s.changes())
			}
		})
	}
}

// Of several exit codes the first of 2, 130, 77 and 1 counts.
func TestWorstExitCode(t *testing.T) {
	for _, test := range []struct {
		outcomes             []string
		interrupted, refused bool
		code                 int
	}{
		{[]string{outcomeApplied, outcomeNotApplied, outcomeUnknown}, true, true, exitUnknown},
		{[]string{outcomeNotApplied}, true, true, exitInterrupted},
		{[]string{outcomeApplied, outcomeNotApplied}, true, false, exitNotApplied},
		{[]string{outcomeApplied, outcomeNotApplied}, true, true, exitAuthentication},
		{[]string{outcomeApplied, outcomeNotApplied}, false, false, exitNotApplied},
		{[]string{outcomeApplied, outcomePlanned}, true, false, exitDone},
	} {
		r := &reporter{}
		for _, outcome := range test.outcomes {
			r.report.Results = append(r.report.Results, result{Outcome: outcome})
		}
		assert.Equal(t, test.code, r.exitCode(test.interrupted, test.refused), test)
		assert.Equal(t, test.interrupted && test.code != exitDone, r.report.Interrupted)
	}
}

// What is not sent because of an interruption is reported too; if nothing has
// changed, the exit code says so.
func TestInterrupted(t *testing.T) {
	t.Run("before anything was sent", func(t *testing.T) {
		s := newSite(t)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		got := s.runUntil(ctx, "publish", s.orders, s.users)
		assert.Equal(t, exitInterrupted, got.code)
		r := got.report(t)
		assert.True(t, r.Interrupted)
		require.Len(t, r.Results, 2)
		for _, to := range r.Results {
			assert.Equal(t, outcomeNotApplied, to.Outcome)
		}
		assert.Empty(t, s.Requests())
	})
	t.Run("after one was published", func(t *testing.T) {
		s := newSite(t)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		s.Inject(gateway.Hang().On(gateway.OpAction).When(func(r *gateway.Request) bool {
			if r.APIID == s.users {
				cancel()
			}
			return r.APIID == s.users
		}))
		third := s.AddAPI("third")
		got := s.runUntil(ctx, "publish", s.orders, s.users, third, "-p", "1", "-o", "jsonl")
		assert.Equal(t, exitUnknown, got.code)
		results := got.report(t).Results
		require.Len(t, results, 3)
		assert.Equal(t, outcomeApplied, results[0].Outcome)
		assert.Equal(t, outcomeUnknown, results[1].Outcome)
		assert.Equal(t, outcomeNotApplied, results[2].Outcome)
		require.NotNil(t, results[1].Unknown)
		assert.Equal(t, 2, s.changes())
	})
}

// Five refused signatures lock a key, so the first one is the last.
func TestRefusedCredentialsEndIt(t *testing.T) {
	s := newSite(t)
	s.Inject(gateway.Answer(http.StatusUnauthorized,
		`{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information"}`).On(gateway.OpAction).Always())
	third := s.AddAPI("third")
	got := s.run("publish", s.orders, s.users, third, "-p", "1")
	assert.Equal(t, exitAuthentication, got.code)
	assert.Equal(t, 1, s.changes())
	for _, to := range got.report(t).Results {
		assert.Equal(t, outcomeNotApplied, to.Outcome)
		assert.Equal(t, "APIGW.0301", to.ErrorCode)
	}
}

// The report has what support and people ask for.
func TestReportOfFailures(t *testing.T) {
	s := newSite(t)
	s.Inject(gateway.BadRequest().On(gateway.OpAction))
	to := s.run("publish", "orders").report(t).Results[0]
	assert.Equal(t, "APIG.2011", to.ErrorCode)
	assert.Equal(t, http.StatusBadRequest, to.Status)
	assert.NotEmpty(t, to.RequestID)
	assert.Contains(t, to.Error, "APIG.2011")
	assert.NotContains(t, to.Error, "apig:")

	s.Inject(gateway.ApplyThenClose().On(gateway.OpAction))
	to = s.run("publish", "orders").report(t).Results[0]
	assert.True(t, to.Recovered)
}

// --max-attempts 1 never sends a request again.
func TestMaxAttempts(t *testing.T) {
	s := newSite(t)
	s.Inject(gateway.CloseBefore().On(gateway.OpAction).Always())
	got := s.run("publish", "orders", "--max-attempts", "1")
	assert.Equal(t, exitNotApplied, got.code, got.stdout)
	assert.Equal(t, 1, s.changes())
}

// A job that was killed is simply run again with its key: nothing is published
// twice. A key changes nothing once its version is no longer in effect.
func TestIdempotencyKey(t *testing.T) {
	s := newSite(t)
	lost := gateway.ApplyThenClose().On(gateway.OpAction).When(func(r *gateway.Request) bool { return r.APIID == s.users })
	s.Inject(lost, gateway.Forbidden().On(gateway.OpHistory).Skip(2).Always())
	run := func(args ...string) ran {
		return s.run(append([]string{"publish", "-k", "run 4711", "-m", "1.4.2"}, args...)...)
	}
	require.Equal(t, exitUnknown, run("orders", "users", "-p", "1").code)
	s.ClearFaults()
	for _, how := range [][]string{nil, {"--batch"}} {
		again := run(append(how, "orders", "users")...)
		require.Equal(t, exitDone, again.code, again.stdout)
		for _, to := range again.report(t).Results {
			assert.True(t, to.Replayed)
			assert.Contains(t, to.note(), "this key")
		}
		assert.Len(t, s.Journal(), 2)
	}
	require.Equal(t, exitDone, s.run("publish", "orders").code)
	superseded := run("orders")
	assert.Equal(t, exitNotApplied, superseded.code)
	assert.Contains(t, superseded.report(t).Results[0].Error, "no longer in effect")
	assert.Len(t, s.Journal(), 3)
	assert.Equal(t, exitUsage, run("orders", "--disable-tags").code)
}

// --busy-timeout bounds the wait while the gateway says "not now", --max-attempts 1
// ends it.
func TestBusyTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		defer s.Close()
		s.retry = apig.RetryPolicy{}
		s.Inject(gateway.Busy().On(gateway.OpAction).Always())
		for wait, args := range map[time.Duration][]string{
			20 * time.Second: {"--busy-timeout", "20s"}, 6 * time.Minute: nil, 0: {"--max-attempts", "1"},
		} {
			begin := time.Now()
			got := s.run(append([]string{"publish", "orders"}, args...)...)
			assert.Equal(t, exitNotApplied, got.code, got.stdout)
			assert.LessOrEqual(t, time.Since(begin), wait+5*time.Second)
			assert.GreaterOrEqual(t, time.Since(begin), wait/3)
		}
	})
}
