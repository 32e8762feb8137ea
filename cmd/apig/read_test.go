package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

func (r ran) listing(t *testing.T) (apis []shown) {
	t.Helper()
	var l struct{ APIs []shown }
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &l), r.stdout)
	return l.APIs
}

// tick gives every publication a second of its own.
func (s *site) tick() {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.SetClock(func() time.Time { now = now.Add(time.Second); return now })
}

func TestStatus(t *testing.T) {
	s := newSite(t)
	s.tick()
	s.publish(s.orders, s.staging, "old")
	current := s.publish(s.orders, s.staging, "new")
	s.publish(s.orders, release, "1")
	s.publish(s.users, release, "2")
	require.NoError(t, s.Offline(s.users, release))

	got := s.run("status", "-o", "json")
	require.Equal(t, exitDone, got.code, got.stderr)
	apis := got.listing(t)
	require.Len(t, apis, 2)
	require.Len(t, apis[0].Versions, 2)
	assert.Empty(t, apis[1].Versions)

	got = s.run("status", s.orders, "-e", "staging", "-o", "json")
	apis = got.listing(t)
	require.Len(t, apis[0].Versions, 1)
	assert.Equal(t, current, apis[0].Versions[0].VersionID)
	assert.Equal(t, "staging", apis[0].Versions[0].EnvName)
	assert.True(t, apis[0].Versions[0].InEffect)

	got = s.run("status")
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	require.Len(t, lines, 4)
	assert.Regexp(t, `^API +ID +ENVIRONMENT +AGE +REMARK$`, lines[0])
	assert.Regexp(t, `^DEFAULT/orders +`+s.orders+` +(staging|RELEASE) +[0-9]+d +`, lines[1])
	assert.Regexp(t, `^DEFAULT/users +`+s.users+` +- +-$`, lines[3])
	assert.Equal(t, "DEFAULT/orders\nDEFAULT/users\n", s.run("status", "-o", "name").stdout)
}

// Status of a report is the status of all its APIs.
func TestStatusOfAReport(t *testing.T) {
	s := newSite(t)
	s.AddAPI("third")
	s.stdin = s.run("publish", "orders", "users").stdout
	assert.Equal(t, "DEFAULT/orders\nDEFAULT/users\n", s.run("status", "-f", "-", "-o", "name").stdout)
}

// What others have written reaches no terminal as it is, in no form.
func TestTextIsCleaned(t *testing.T) {
	s := newSite(t)
	const evil = "new\x1b[31m\u009b2J\u202egnp.exe\u2028\x7f"
	s.publish(s.orders, release, evil)
	bad := s.AddAPI("b\x1b[1A\u2066d")
	s.stdin = "n\x1b]0;x\anothing\n"
	for _, args := range [][]string{
		{"status"}, {"status", "-o", "json"}, {"status", "-o", "name"}, {"versions", "orders"}, {"list", "apis"}, {"list", "apis", "-o", "json"},
		{"publish", "-n", "orders", "-o", "table"}, {"publish", "-n", "orders", "-o", "json"}, {"publish", "-f", "-", "-o", "jsonl"},
		{"publish", bad, "-o", "table"}, {"publish", "orders", "--x\x1b[1A"}, {"publish", "orders", "-e", "\u202e"},
	} {
		got := s.run(args...)
		for _, r := range got.stdout + got.stderr {
			assert.False(t, r != '\n' && r < ' ' || strings.ContainsRune("\x7f\u009b\u2028\u202e\u2066", r), "%q in %q %q", r, got.stdout, got.stderr)
		}
	}
	v := s.run("status", "orders", "-o", "json").listing(t)[0].Versions[0]
	assert.Equal(t, evil, v.Remark, "JSON keeps what it escapes")
}

func TestList(t *testing.T) {
	s := newSite(t)
	shop := s.AddGroup("shop")
	s.AddAPIIn(shop, "cart")
	s.publish(s.orders, s.staging, "")
	got := s.run("list", "environments")
	assert.Regexp(t, `NAME +ID\nRELEASE +`+release+`\nstaging +`+s.staging, got.stdout)
	assert.Regexp(t, `(?m)^shop +`+shop+` +1$`, s.run("list", "groups").stdout)
	assert.Regexp(t, `(?m)^DEFAULT/orders +`+s.orders+` +staging$`, s.run("list", "apis").stdout)
	assert.Equal(t, "DEFAULT/orders\nDEFAULT/users\nshop/cart\n", s.run("list", "apis", "-o", "name").stdout)
	assert.Contains(t, s.run("list", "groups", "-o", "json").stdout, `"name": "shop"`)
	s.stdin = s.run("list", "apis", "-o", "name").stdout
	assert.Equal(t, exitDone, s.run("publish", "-f", "-").code, "the names are accepted again")
}

func TestCompletion(t *testing.T) {
	s := newSite(t)
	assert.Contains(t, s.run("__complete", "publish", "").stdout, "DEFAULT/orders\nDEFAULT/users\n")
	assert.Contains(t, s.run("__complete", "publish", "-e", "").stdout, "RELEASE\nstaging\n")
	assert.Contains(t, s.run("__complete", "publish", "-o", "").stdout, "table\njson\njsonl\nname\n")
	assert.Contains(t, s.run("__complete", "list", "").stdout, "apis\nenvironments\ngroups\n")
	assert.Contains(t, s.run("__complete", "roll").stdout, "rollback")
}

func (s *site) publish(api, env, remark string) (versionID string) {
	s.t.Helper()
	v, err := s.Publish(api, env, remark)
	require.NoError(s.t, err)
	return v.ID
}

func TestVersionsNewestFirst(t *testing.T) {
	s := newSite(t)
	s.tick()
	var want []string
	for i := range 5 {
		env := []string{s.staging, release}[i%2]
		want = append([]string{s.publish(s.orders, env, fmt.Sprint(i))}, want...)
	}
	got := s.run("versions", "orders", "-o", "json")
	require.Equal(t, exitDone, got.code, got.stderr)
	var ids []string
	for _, v := range got.listing(t)[0].Versions {
		ids = append(ids, v.VersionID)
	}
	assert.Equal(t, want, ids)

	got = s.run("versions", "orders", "-e", "RELEASE")
	assert.Equal(t, 3, strings.Count(got.stdout, "\n"))
}

func TestReadingFails(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, test := range map[string]struct {
		args []string
		ctx  context.Context
		code int
	}{
		"no API named":       {[]string{"versions"}, context.Background(), exitUsage},
		"no such API":        {[]string{"status", "nothing"}, context.Background(), exitNotApplied},
		"no such env":        {[]string{"status", "-e", "nowhere"}, context.Background(), exitNotApplied},
		"refused":            {[]string{"versions", "orders"}, context.Background(), exitNotApplied},
		"interrupted":        {[]string{"status"}, ended, exitInterrupted},
		"interrupted, by ID": {[]string{"versions", strings.Repeat("0", 32)}, ended, exitInterrupted},
	} {
		for _, form := range []string{"table", "json"} {
			t.Run(name+form, func(t *testing.T) {
				s := newSite(t)
				s.Inject(gateway.Answer(http.StatusForbidden, forbidden).On(gateway.OpHistory).Always())
				got := s.runUntil(test.ctx, append(test.args[:len(test.args):len(test.args)], "-o", form)...)
				assert.Equal(t, test.code, got.code, got.stdout)
				assert.NotEmpty(t, got.stderr)
				if form == "json" && test.code != exitUsage {
					assert.Contains(t, got.stdout, `"error":`)
				}
			})
		}
	}
}

func TestRollback(t *testing.T) {
	s := newSite(t)
	s.tick()
	oldest := s.publish(s.orders, s.staging, "1")
	before := s.publish(s.orders, s.staging, "2")
	current := s.publish(s.orders, s.staging, "3")

	newest := s.publish(s.orders, release, "of another environment")
	for _, test := range []struct{ arg, next, says string }{
		{"--env=staging", before, "3 (" + current + "), in effect for "},
		{"--env=staging", before, "; would go back to 2 (" + before + "), published "},
		{"--version-id=" + oldest, oldest, "; would go back to 1 (" + oldest + "), published "},
		{"--version-id=" + newest, newest, "of another environment (" + newest + "), in effect for "},
	} {
		plan := s.run("rollback", "orders", test.arg, "--dry-run")
		require.Equal(t, exitDone, plan.code, plan.stdout+plan.stderr)
		to := plan.report(t).Results[0]
		assert.Equal(t, test.next, to.Target.VersionID)
		assert.Contains(t, to.note(), test.says)
	}
	v, _ := s.Published(s.orders, s.staging)
	require.Equal(t, current, v.ID, "a dry run changes nothing")

	got := s.run("rollback", "orders", "-e", "staging")
	require.Equal(t, exitDone, got.code, got.stdout+got.stderr)
	to := got.report(t).Results[0]
	assert.Equal(t, before, to.Record.VersionID)
	v, _ = s.Published(s.orders, s.staging)
	assert.Equal(t, before, v.ID)

	got = s.run("rollback", "orders", "--version-id", oldest)
	require.Equal(t, exitDone, got.code, got.stdout+got.stderr)
	assert.Equal(t, s.staging, got.report(t).Results[0].Record.EnvID)
	v, _ = s.Published(s.orders, s.staging)
	assert.Equal(t, oldest, v.ID)

	for name, test := range map[string]struct {
		args []string
		code int
	}{
		"nothing before it, dry": {[]string{"orders", "-e", "staging", "-n"}, exitNotApplied},
		"not published, dry":     {[]string{"users", "-e", "staging", "-n"}, exitNotApplied},
		"no such version, dry":   {[]string{"orders", "--version-id", strings.Repeat("0", 32), "-n"}, exitNotApplied},
		"nothing before it":      {[]string{"orders", "-e", "staging"}, exitNotApplied},
		"not published":          {[]string{"users", "-e", "staging"}, exitNotApplied},
		"no such API":            {[]string{"nothing", "-e", "staging"}, exitNotApplied},
		"no such version":        {[]string{"orders", "--version-id", strings.Repeat("0", 32)}, exitNotApplied},
		"a version for two":      {[]string{"orders", "users", "--version-id", oldest}, exitUsage},
		"no API":                 {nil, exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.run(append([]string{"rollback"}, test.args...)...)
			assert.Equal(t, test.code, got.code, got.stdout+got.stderr)
		})
	}

	s.publish(s.orders, s.staging, "4")
	s.Inject(gateway.Hang().On(gateway.OpSwitch).Always())
	s.historyForbiddenAfter(1)
	got = s.run("rollback", "orders", "-e", "staging", "--timeout", "200ms")
	assert.Equal(t, exitUnknown, got.code, got.stdout)
	require.NotNil(t, got.report(t).Results[0].Unknown)
}
