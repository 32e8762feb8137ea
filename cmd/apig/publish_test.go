package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

// However the APIs are named, each is published once, with the remark that the
// report shows.
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
		"names and IDs":     {[]string{"-api", "orders," + s.users}, both},
		"repeated":          {[]string{"-api", "orders", "-api", strings.ToUpper(s.orders), "-api", s.users, "-api", "orders"}, both},
		"a file":            {[]string{"-file", file}, both},
		"stdin":             {[]string{"-file", "-"}, both},
		"a group's name":    {[]string{"-group", "shop"}, group},
		"a group's ID":      {[]string{"-group", inShop}, group},
		"in one request":    {[]string{"-file", file, "-batch"}, both},
		"one after another": {[]string{"-file", file, "-parallel", "1"}, both},
	} {
		for _, form := range []string{"-json=object", "-json=lines"} {
			t.Run(name+form, func(t *testing.T) {
				before := len(s.Journal())
				got := s.run(append([]string{"publish", "-env", "staging", "-remark", "1.4.2", form}, test.args...)...)
				require.Equal(t, exitDone, got.code, got.stderr)
				results := map[string]result{}
				for _, to := range got.report(t).Results {
					results[to.APIID] = to
				}
				require.Len(t, results, len(test.ids))
				for _, id := range test.ids {
					to := results[id]
					assert.Equal(t, "publish", to.Command)
					assert.Equal(t, outcomeApplied, to.Outcome)
					assert.Equal(t, s.InstanceID(), to.InstanceID)
					assert.Equal(t, s.staging, to.EnvID)
					assert.Equal(t, 1, to.Attempts)
					assert.NotEmpty(t, to.RequestID)
					v, ok := s.Published(id, s.staging)
					require.True(t, ok)
					assert.Equal(t, v.ID, to.Record.VersionID)
					assert.Equal(t, v.Remark, to.Remark)
					assert.Regexp(t, `^1\.4\.2 #[0-9a-f]{10}$`, v.Remark)
				}
				assert.Len(t, s.Journal(), before+len(test.ids))
			})
		}
	}

	got := s.run("publish", "-api", "orders", "-remark", "plain", "-tag=false")
	assert.Equal(t, exitDone, got.code, got.stderr)
	assert.Equal(t, "plain", got.report(t).Results[0].Remark)
}

// The order of the report is that of the input, and for many names it takes a
// request for 500 of them, not one for each.
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
		"parallel": {[]string{"-parallel", "32"}, n},
		"batch":    {[]string{"-batch"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			requests, changes := len(s.Requests()), s.changes()
			got := s.run(append([]string{"publish", "-file", "-", "-quiet"}, test.args...)...)
			require.Equal(t, exitDone, got.code, got.stderr)
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
	require.Equal(t, exitDone, s.run("publish", "-api", "orders,users").code)
	got := s.run("offline", "-api", "orders")
	assert.Equal(t, exitDone, got.code, got.stderr)
	_, published := s.Published(s.orders, release)
	assert.False(t, published)

	for _, how := range [][]string{nil, {"-batch"}} {
		got = s.run(append([]string{"offline", "-api", "orders"}, how...)...)
		to := got.report(t).Results[0]
		assert.Equal(t, exitNotApplied, got.code)
		assert.Equal(t, outcomeNotApplied, to.Outcome)
		assert.Equal(t, "APIG.3015", to.ErrorCode)

		got = s.run(append([]string{"offline", "-api", "orders", "-idempotent"}, how...)...)
		to = got.report(t).Results[0]
		assert.Equal(t, exitDone, got.code, got.stderr)
		assert.Equal(t, outcomeApplied, to.Outcome)
		assert.True(t, to.AlreadyOffline)
		assert.Empty(t, to.Error)
	}
	assert.Equal(t, exitUsage, s.run("publish", "-api", "orders", "-idempotent").code)
}

// A dry run finds what a real one would find missing, IDs included, and changes
// nothing.
func TestDryRun(t *testing.T) {
	s := newSite(t)
	const nobody = "0123456789abcdef0123456789abcdef"
	for name, test := range map[string]struct {
		args     []string
		code     int
		outcomes []string
	}{
		"all there":   {[]string{"-api", "orders," + s.users, "-env", s.staging}, exitDone, []string{outcomePlanned, outcomePlanned}},
		"wrong ID":    {[]string{"-api", "orders," + nobody}, exitNotApplied, []string{outcomeNotApplied, outcomeNotApplied}},
		"wrong name":  {[]string{"-api", "nothing"}, exitNotApplied, []string{outcomeNotApplied}},
		"wrong env":   {[]string{"-api", "orders", "-env", nobody}, exitNotApplied, nil},
		"no such env": {[]string{"-api", "orders", "-env", "nowhere"}, exitNotApplied, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.run(append([]string{"publish", "-dry-run"}, test.args...)...)
			assert.Equal(t, test.code, got.code, got.stderr)
			r := got.report(t)
			assert.True(t, r.DryRun)
			var outcomes []string
			for _, to := range r.Results {
				outcomes = append(outcomes, to.Outcome)
			}
			assert.Equal(t, test.outcomes, outcomes)
			if test.outcomes == nil {
				assert.NotEmpty(t, r.Error)
			}
		})
	}
	assert.Zero(t, s.changes())
	assert.Empty(t, s.Journal())
}

// An API that cannot be found stops all of it before anything is sent, whether
// few or many are asked for.
func TestNotFoundStopsAll(t *testing.T) {
	s := newSite(t)
	s.AddAPIIn(s.AddGroup("other"), "orders") // the name of two
	for _, more := range []int{0, 30} {
		args := []string{"publish", "-api", "users,nothing,orders"}
		for i := range more {
			name := fmt.Sprintf("more-%d-%d", more, i)
			s.AddAPI(name)
			args = append(args, "-api", name)
		}
		got := s.run(args...)
		assert.Equal(t, exitNotApplied, got.code)
		results := got.report(t).Results
		require.Len(t, results, 3+more)
		assert.Equal(t, errNotLookedUp.Error(), results[0].Error)
		assert.Regexp(t, `no(ne|) .*named "nothing"`, results[1].Error)
		assert.Regexp(t, `(several|2 APIs) are named "orders"`, results[2].Error)
	}
	assert.Zero(t, s.changes())
}

func TestGroups(t *testing.T) {
	s := newSite(t)
	one, other := s.AddGroup("twin"), s.AddGroup("twin")
	first := s.AddAPIIn(one, "first")
	s.AddAPIIn(other, "second")
	for group, says := range map[string]string{"twin": "2 groups", "nothing": "no API", strings.Repeat("0", 32): "no API"} {
		got := s.run("publish", "-group", group)
		assert.Equal(t, exitNotApplied, got.code)
		assert.Contains(t, got.report(t).Error, says)
	}
	got := s.run("publish", "-group", one)
	assert.Equal(t, exitDone, got.code, got.stderr)
	require.Len(t, s.Journal(), 1)
	assert.Equal(t, first, s.Journal()[0].APIID)
}

// An ID that is looked up among many is found by itself, and a wrong one is not.
func TestDryRunOfManyIDs(t *testing.T) {
	s := newSite(t)
	for i := range 2 * fewNames {
		s.stdin += strings.ToUpper(s.AddAPI(fmt.Sprintf("api-%02d", i))) + "\n"
	}
	got := s.run("publish", "-dry-run", "-file", "-", "-env", s.staging)
	assert.Equal(t, exitDone, got.code, got.stderr)
	assert.Equal(t, "api-00", got.report(t).Results[0].APIName)
	assert.Len(t, s.Requests(), 2, "the environments and the APIs")

	s.stdin += strings.Repeat("0", 32) + "\n"
	got = s.run("publish", "-dry-run", "-file", "-")
	assert.Equal(t, exitNotApplied, got.code)
	assert.Contains(t, got.report(t).Results[2*fewNames].Error, "no API has the ID")
}

func TestExitCodes(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, test := range map[string]struct {
		args    []string
		faults  []apigtest.Fault
		ctx     context.Context
		code    int
		outcome string // of the one API; empty: the report says why there is none
	}{
		"done":                 {args: []string{"publish", "-api", "orders"}, code: exitDone, outcome: outcomeApplied},
		"lost and found again": {args: []string{"publish", "-api", "orders"}, faults: []apigtest.Fault{apigtest.ApplyThenClose().When(isChange)}, code: exitDone, outcome: outcomeApplied},
		"refused": {
			args:   []string{"publish", "-api", "orders"},
			faults: []apigtest.Fault{apigtest.Answer(http.StatusForbidden, forbidden).When(isChange)},
			code:   exitNotApplied, outcome: outcomeNotApplied,
		},
		"lost for good": {
			args: []string{"publish", "-api", "orders"},
			faults: []apigtest.Fault{
				apigtest.ApplyThenClose().When(isChange),
				apigtest.Answer(http.StatusForbidden, forbidden).On(apigtest.OpHistory).Always(),
			}, code: exitUnknown, outcome: outcomeUnknown,
		},
		"lost for good in a batch": {
			args: []string{"offline", "-api", "orders", "-batch"},
			faults: []apigtest.Fault{
				apigtest.ApplyThenClose().When(isChange),
				apigtest.Answer(http.StatusForbidden, forbidden).On(apigtest.OpHistory).Always(),
			}, code: exitUnknown, outcome: outcomeUnknown,
		},
		"no API":                 {args: []string{"publish"}, code: exitUsage},
		"a group and an API":     {args: []string{"publish", "-group", "shop", "-api", "orders"}, code: exitUsage},
		"no such file":           {args: []string{"publish", "-file", "nowhere.txt"}, code: exitUsage},
		"an empty file":          {args: []string{"publish", "-file", "-"}, code: exitUsage},
		"no such flag":           {args: []string{"publish", "-apis", "orders"}, code: exitUsage},
		"an argument":            {args: []string{"publish", "orders"}, code: exitUsage},
		"a long remark":          {args: []string{"publish", "-api", "orders", "-remark", strings.Repeat("ä", 244)}, code: exitUsage},
		"the longest remark":     {args: []string{"publish", "-api", "orders", "-remark", strings.Repeat("ä", 243)}, code: exitDone, outcome: outcomeApplied},
		"longer without a tag":   {args: []string{"publish", "-api", "orders", "-tag=false", "-remark", strings.Repeat("ä", 255)}, code: exitDone, outcome: outcomeApplied},
		"no UTF-8":               {args: []string{"publish", "-api", "orders", "-remark", "\xff"}, code: exitUsage},
		"no workers":             {args: []string{"publish", "-api", "orders", "-parallel", "0"}, code: exitUsage},
		"no time":                {args: []string{"publish", "-api", "orders", "-timeout", "0s"}, code: exitUsage},
		"another form":           {args: []string{"publish", "-api", "orders", "-json=xml"}, code: exitUsage},
		"no such command":        {args: []string{"unpublish"}, code: exitUsage},
		"no command":             {code: exitUsage},
		"interrupted at look-up": {args: []string{"publish", "-api", "orders"}, ctx: ended, code: exitInterrupted},
		"help":                   {args: []string{"publish", "-h"}, code: exitDone},
		"version":                {args: []string{"-version"}, code: exitDone},
		"version of a command":   {args: []string{"publish", "-version"}, code: exitDone},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.Inject(test.faults...)
			if test.ctx == nil {
				test.ctx = context.Background()
			}
			got := s.runUntil(test.ctx, test.args...)
			assert.Equal(t, test.code, got.code, got.stdout+got.stderr)
			if test.outcome != "" {
				results := got.report(t).Results
				require.Len(t, results, 1)
				assert.Equal(t, test.outcome, results[0].Outcome)
				assert.Equal(t, test.code, got.report(t).ExitCode)
			}
			if test.code == exitUsage {
				assert.NotEmpty(t, got.stderr)
				assert.Empty(t, s.Requests())
			}
		})
	}
}

// What is not sent because of an interruption is reported too, and if nothing
// was sent the exit code says so.
func TestInterrupted(t *testing.T) {
	t.Run("before anything was sent", func(t *testing.T) {
		s := newSite(t)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		got := s.runUntil(ctx, "publish", "-api", s.orders+","+s.users)
		assert.Equal(t, exitInterrupted, got.code)
		r := got.report(t)
		assert.True(t, r.Interrupted)
		require.Len(t, r.Results, 2)
		for _, to := range r.Results {
			assert.Equal(t, outcomeNotApplied, to.Outcome)
			assert.Zero(t, to.Attempts)
		}
		assert.Empty(t, s.Requests())
	})
	t.Run("after one was published", func(t *testing.T) {
		s := newSite(t)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		s.Inject(apigtest.Hang().On(apigtest.OpAction).When(func(r *apigtest.Request) bool {
			if r.APIID == s.users {
				cancel()
			}
			return r.APIID == s.users
		}))
		third := s.AddAPI("third")
		got := s.runUntil(ctx, "publish", "-api", s.orders+","+s.users+","+third, "-parallel", "1", "-json=lines")
		assert.Equal(t, exitUnknown, got.code)
		results := got.report(t).Results
		require.Len(t, results, 3)
		assert.Equal(t, outcomeApplied, results[0].Outcome)
		assert.Equal(t, outcomeUnknown, results[1].Outcome)
		assert.Equal(t, outcomeNotApplied, results[2].Outcome)
		require.NotNil(t, results[1].Unknown)
		assert.Equal(t, results[1].Remark, results[1].Unknown.Remark)
		assert.Equal(t, 2, s.changes())
	})
}

// Five refused signatures lock a key, so the first one is the last.
func TestRefusedCredentialsEndIt(t *testing.T) {
	s := newSite(t)
	s.Inject(apigtest.Answer(http.StatusUnauthorized,
		`{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information"}`).On(apigtest.OpAction).Always())
	third := s.AddAPI("third")
	got := s.run("publish", "-api", s.orders+","+s.users+","+third, "-parallel", "1")
	assert.Equal(t, exitNotApplied, got.code)
	assert.Equal(t, 1, s.changes())
	for _, to := range got.report(t).Results {
		assert.Equal(t, outcomeNotApplied, to.Outcome)
		assert.Equal(t, "APIGW.0301", to.ErrorCode)
	}
}

// The report has what support and people ask for.
func TestReportOfFailures(t *testing.T) {
	s := newSite(t)
	s.Inject(apigtest.Throttle("").On(apigtest.OpAction).Always())
	got := s.run("publish", "-api", "orders", "-remark", "1.4.2")
	to := got.report(t).Results[0]
	assert.Equal(t, exitNotApplied, got.code)
	assert.Equal(t, "APIGW.0308", to.ErrorCode)
	assert.Equal(t, http.StatusTooManyRequests, to.Status)
	assert.NotEmpty(t, to.RequestID)
	assert.Equal(t, 4, to.Attempts)
	assert.Regexp(t, `^1\.4\.2 #`, to.Remark)
	assert.Contains(t, to.Error, "APIGW.0308")

	s.ClearFaults()
	s.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction))
	to = s.run("publish", "-api", "orders").report(t).Results[0]
	assert.True(t, to.Recovered)
	assert.Equal(t, 1, to.Attempts)
}
