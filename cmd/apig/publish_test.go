package main

import (
	"context"
	"errors"
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
				got := s.want(exitDone, append([]string{"publish", "-e", "staging", "-m", "1.4.2", "-o", form}, test.args...)...)
				whole := got.report(t)
				assert.Equal(t, []string{"publish", s.InstanceID(), s.staging, "staging"},
					[]string{whole.Command, whole.InstanceID, whole.EnvID, whole.EnvName})
				results := got.results(t)
				require.Len(t, results, len(test.ids))
				for _, id := range test.ids {
					assert.Equal(t, outcomeApplied, results[id].Outcome)
					assert.NotEmpty(t, results[id].RequestID)
					v, _ := s.Published(id, s.staging)
					assert.Equal(t, v.ID, results[id].Record.VersionID)
					assert.True(t, strings.HasPrefix(v.Remark, "1.4.2 "), v.Remark)
				}
				assert.Len(t, s.Journal(), before+len(test.ids))
			})
		}
	}

	s.want(exitDone, "publish", "orders", "-m", "plain", "--disable-tags")
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
	for _, how := range [][]string{nil, {"--batch"}} {
		s.publish(s.orders, release, "")
		s.want(exitDone, append([]string{"offline", "orders", "-e", "RELEASE"}, how...)...)
		require.Empty(t, s.inEffect(s.orders, release))

		got := s.want(exitNotApplied, append([]string{"offline", "orders", "-e", "RELEASE"}, how...)...)
		to := got.report(t).Results[0]
		assert.Equal(t, []string{outcomeNotApplied, "APIG.3015"}, []string{to.Outcome, to.ErrorCode})

		got = s.want(exitDone, append([]string{"offline", "orders", "-e", "RELEASE", "--if-published"}, how...)...)
		to = got.report(t).Results[0]
		assert.Equal(t, []string{outcomeApplied, ""}, []string{to.Outcome, to.Error})
		assert.True(t, to.AlreadyOffline)
	}
}

// A dry run shows what is in effect, finds what the change would find missing, and
// changes nothing. Its report is a plan that publish carries out.
func TestDryRun(t *testing.T) {
	s := newSite(t)
	s.want(exitDone, "publish", "orders", "-e", "staging", "-m", "1.4.1")
	changes := s.changes()
	const missing = "0123456789abcdef0123456789abcdef"
	for name, test := range map[string]struct {
		args     []string
		code     int
		outcomes []string
	}{
		"all there":     {[]string{"publish", "orders", s.users, "-e", s.staging}, exitDone, []string{outcomePlanned, outcomePlanned}},
		"wrong ID":      {[]string{"publish", "orders", missing}, exitNotApplied, []string{outcomePlanned, outcomeNotApplied}},
		"wrong name":    {[]string{"publish", "nothing"}, exitNotApplied, []string{outcomeNotApplied}},
		"wrong env":     {[]string{"publish", "orders", "-e", missing}, exitNotApplied, nil},
		"no such env":   {[]string{"publish", "orders", "-e", "stagin"}, exitNotApplied, nil},
		"offline":       {[]string{"offline", "orders", "-e", "staging"}, exitDone, []string{outcomePlanned}},
		"offline again": {[]string{"offline", "users", "-e", "staging"}, exitNotApplied, []string{outcomeNotApplied}},
		"if published":  {[]string{"offline", "users", "-e", "staging", "--if-published"}, exitDone, []string{outcomePlanned}},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.want(test.code, append(test.args, "--dry-run")...).report(t)
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

	plan := s.want(exitDone, "publish", "-n", "orders", "users", "-e", "staging")
	assert.Contains(t, plan.stderr, "2/2: 2 planned, 0 unknown, 0 failed\n")
	results := plan.report(t).Results
	assert.Equal(t, s.inEffect(s.orders, s.staging), results[0].InEffect.VersionID)
	assert.Regexp(t, `^in effect: 1.4.1 \(`+results[0].InEffect.VersionID+`\), published \d+s ago$`, results[0].note())
	assert.Equal(t, "nothing is in effect", results[1].note())
	s.stdin = plan.stdout
	s.want(exitDone, "publish", "-f", "-")
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
		results := s.want(exitNotApplied, args...).report(t).Results
		require.Len(t, results, 3+more)
		assert.Contains(t, results[0].Error, "not sent")
		assert.Contains(t, results[1].Error, `no API is named "nothing"`)
		assert.Contains(t, results[2].Error, `2 APIs are named "orders": `)
		assert.Contains(t, results[2].Error, "other/orders (ID "+other+")")
		assert.Contains(t, results[2].Error, s.orders)
	}
	assert.Zero(t, s.changes())
	s.want(exitDone, "publish", "other/orders")
	assert.Equal(t, other, s.Journal()[0].APIID)
}

func TestGroups(t *testing.T) {
	s := newSite(t)
	one, another := s.AddGroup("twin"), s.AddGroup("twin")
	first := s.AddAPIIn(one, "first")
	s.AddAPIIn(another, "second")
	for group, says := range map[string]string{"twin": another, "nothing": "no API", strings.Repeat("0", 32): "no API"} {
		assert.Contains(t, s.want(exitNotApplied, "publish", "-g", group).report(t).Error, says)
	}
	s.want(exitDone, "publish", "-g", one)
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
		"a shell of no name":       {args: []string{"completion", "ksh"}, code: exitUsage, says: "name one of bash, zsh"},
		"an empty key":             {args: []string{"publish", "orders", "-k", ""}, code: exitUsage, says: "--idempotency-key is empty"},
		"an empty environment":     {args: []string{"publish", "orders", "-e", ""}, code: exitUsage, says: "--env is empty"},
		"a misspelt flag":          {args: []string{"publish", "--dry-rum", "orders"}, code: exitUsage, says: "did you mean --dry-run?"},
		"a misspelt command":       {args: []string{"publsh", "orders"}, code: exitUsage, says: "Did you mean this? publish"},
		"a misspelt subcommand":    {args: []string{"gateway", "injekt"}, code: exitUsage, says: "did you mean inject?"},
		"no subcommand":            {args: []string{"gateway"}, code: exitUsage, says: "Commands:"},
		"a misspelt kind":          {args: []string{"list", "group"}, code: exitUsage, says: "groups"},
		"a long remark":            {args: []string{"publish", "orders", "-m", strings.Repeat("ä", 256)}, code: exitUsage, outcome: outcomeNotApplied, says: "--remark has 256 characters"},
		"a version of no ID":       {args: []string{"rollback", "orders", "--version-id", "a/b"}, code: exitUsage, outcome: outcomeNotApplied, says: `--version-id "a/b" is not an ID`},
		"no workers":               {args: []string{"publish", "orders", "-p", "0"}, code: exitUsage, says: "between 1 and 256"},
		"no unit":                  {args: []string{"publish", "orders", "--timeout", "5"}, code: exitUsage, says: "did you mean 5s?"},
		"no time":                  {args: []string{"publish", "orders", "--timeout", "1ns"}, code: exitUsage, says: "at least 1ms"},
		"a version and a place":    {args: []string{"rollback", "orders", "--version-id", "1", "-e", "staging"}, code: exitUsage, says: "--version-id says in which environment"},
		"another form":             {args: []string{"publish", "orders", "-o", "xml"}, code: exitUsage, says: "table, json"},
		"no command":               {code: exitUsage, says: "Commands:"},
		"interrupted at look-up":   {args: []string{"publish", "orders"}, ctx: ended, code: exitInterrupted},
		"interrupted before":       {args: []string{"publish", strings.Repeat("0", 32)}, ctx: ended, code: exitInterrupted, outcome: outcomeNotApplied, says: "not sent: "},
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
			assert.Equal(t, test.code == exitInterrupted, strings.Contains(got.stdout, `"interrupted": true`))
			assert.Contains(t, got.stderr, test.says)
			if test.outcome != "" {
				results := got.report(t).Results
				require.Len(t, results, 1)
				assert.Equal(t, test.outcome, results[0].Outcome)
				assert.Equal(t, test.code, *got.report(t).ExitCode)
			}
			if test.code == exitUsage || test.ctx == ended {
				assert.NotEmpty(t, got.stderr)
				assert.Zero(t, s.changes())
			}
		})
	}
}

// Of several exit codes the first of 2, 130, 77 and 1 counts.
func TestWorstExitCode(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	refused := fmt.Errorf("refused: %w", apig.ErrUnauthorized)
	other := errors.New("refused for another reason")
	for _, test := range []struct {
		outcomes []string
		cause    error // of what is not applied
		ctx      context.Context
		code     int
	}{
		{[]string{outcomeApplied, outcomeNotApplied, outcomeUnknown}, refused, ended, exitUnknown},
		{[]string{outcomeNotApplied}, refused, ended, exitInterrupted},
		{[]string{outcomeApplied, outcomeNotApplied}, other, ended, exitNotApplied},
		{[]string{outcomeApplied, outcomeNotApplied}, refused, ended, exitAuthentication},
		{[]string{outcomeApplied, outcomeNotApplied}, apig.ErrInvalidArgument, t.Context(), exitNotApplied},
		{[]string{outcomeApplied, outcomePlanned}, nil, ended, exitDone},
	} {
		s := &session{outer: test.ctx}
		for _, outcome := range test.outcomes {
			s.report.Results = append(s.report.Results, result{Outcome: outcome, cause: test.cause})
		}
		assert.Equal(t, test.code, s.exitCode(), test)
		assert.Equal(t, test.ctx == ended && test.code != exitDone, s.report.Interrupted)
	}
}

// Five refused signatures lock a key, so the first one is the last. The report has what
// support and people ask for.
func TestRefusedCredentialsEndIt(t *testing.T) {
	s := newSite(t)
	s.Inject(gateway.Answer(http.StatusUnauthorized,
		`{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information"}`).On(gateway.OpAction).Always())
	got := s.want(exitAuthentication, "publish", s.orders, s.users, s.AddAPI("third"), "-p", "1")
	assert.Equal(t, 1, s.changes())
	for _, to := range got.report(t).Results {
		assert.Equal(t, []any{outcomeNotApplied, "APIGW.0301", 401}, []any{to.Outcome, to.ErrorCode, to.Status})
		assert.NotEmpty(t, to.RequestID)
		assert.Contains(t, to.Error, "APIGW.0301")
		assert.NotContains(t, to.Error, "apig:")
	}
}

// A job that was killed is simply run again with its key: nothing is published
// twice. A key changes nothing once its version is no longer in effect.
func TestIdempotencyKey(t *testing.T) {
	s := newSite(t)
	s.Inject(gateway.ApplyThenClose().When(changeOf(s.users)), gateway.Forbidden().On(gateway.OpHistory).Skip(2).Always())
	run := func(code int, args ...string) ran {
		return s.want(code, append([]string{"publish", "-k", "run 4711", "-m", "1.4.2"}, args...)...)
	}
	run(exitUnknown, "orders", "users", "-p", "1")
	s.ClearFaults()
	for _, how := range [][]string{nil, {"--batch"}} {
		for _, to := range run(exitDone, append(how, "orders", "users")...).report(t).Results {
			assert.True(t, to.Replayed)
			assert.Contains(t, to.note(), "this key")
		}
		assert.Len(t, s.Journal(), 2)
	}
	s.want(exitDone, "publish", "orders")
	assert.Contains(t, run(exitNotApplied, "orders").report(t).Results[0].Error, "no longer in effect")
	assert.Len(t, s.Journal(), 3)
	run(exitUsage, "orders", "--disable-tags")
}

// --busy-timeout bounds the wait while the gateway says "not now". --max-attempts 1
// ends it, and never sends a request again.
func TestBusyTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		defer s.Close()
		s.retry = apig.RetryPolicy{}
		s.Inject(gateway.Busy().On(gateway.OpAction).Always())
		for wait, args := range map[time.Duration][]string{
			20 * time.Second: {"--busy-timeout", "20s"}, 6 * time.Minute: nil, 0: {"--max-attempts", "1"},
		} {
			begin, changes := time.Now(), s.changes()
			s.want(exitNotApplied, append([]string{"publish", "orders"}, args...)...)
			assert.LessOrEqual(t, time.Since(begin), wait+5*time.Second)
			assert.GreaterOrEqual(t, time.Since(begin), wait/3)
			assert.Equal(t, wait == 0, s.changes()-changes == 1)
		}
	})
}

// A report goes to the environment and the gateway that it came from, and to no
// other one; offline and rollback have no default environment.
func TestReportKeepsItsEnvironment(t *testing.T) {
	s := newSite(t)
	s.Inject(gateway.Answer(http.StatusForbidden, forbidden).When(isChange))
	was := s.want(exitNotApplied, "publish", "orders", "-e", "staging", "-k", "4711", "-m", "1.4.2", "-o", "json").stdout
	s.Inject(gateway.Unauthorized().On(gateway.OpAPIs).Always()) // neither report has results
	failed := s.want(exitAuthentication, "publish", "orders", "-e", "staging", "-o", "json").stdout
	failedInLines := s.want(exitAuthentication, "publish", "orders", "-e", "staging", "-o", "jsonl").stdout
	assert.Contains(t, failed, s.staging)
	s.ClearFaults()
	for _, test := range []struct {
		stdin, args, says string
	}{
		{was, "publish -f - -e RELEASE", "report of the environment staging"},
		{was, "publish -f - -k 4712", "the idempotency key 4711, and --idempotency-key is 4712"},
		{was, "publish -f - -m 1.4.3", "the remark 1.4.2, and --remark is 1.4.3"},
		{was, "offline -f - -y", `report of "apig publish"`},
		{was, "offline orders", "--env is required"},
		{was, "rollback orders", "--env is required"},
		{strings.Replace(was, s.InstanceID(), "another", 1), "publish -f -", "report of the gateway another"},
		{strings.Replace(was, `"not_applied"`, `"unknown", "unknown": {"op": "Publish"}`, 1), "publish -f -",
			`the outcome of DEFAULT/orders is unknown; run "apig settle -" first`},
		{"null\n", "publish -f -", "names no API"}, // jq's word for a name that was not found
		{failed, "publish -f -", "run the first command again"},
		{failedInLines, "status -f -", "run the first command again"},
	} {
		s.stdin = test.stdin
		assert.Contains(t, s.want(exitUsage, strings.Fields(test.args)...).stderr, test.says)
	}
	assert.Empty(t, s.Journal())

	s.stdin = was
	got := s.want(exitDone, "publish", "-f", "-")
	assert.Contains(t, got.stderr, "publish 1 API in staging on gateway "+s.InstanceID())
	require.Len(t, s.Journal(), 1)
	assert.Equal(t, s.staging, s.Journal()[0].EnvID)
	again := s.want(exitDone, "publish", "orders", "-e", "staging", "-k", "4711", "-m", "1.4.2").report(t)
	assert.True(t, again.Results[0].Replayed, "the key of the report was used")
	v, _ := s.Published(s.orders, s.staging)
	assert.True(t, strings.HasPrefix(v.Remark, "1.4.2 "), v.Remark)

	s.stdin = got.stdout
	s.want(exitDone, "publish", "-f", "-")
	assert.Len(t, s.Journal(), 1, "nothing was left to publish")
}
