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

	"github.com/apig-go/apig/apigtest"
)

func (r ran) listing(t *testing.T) listing {
	t.Helper()
	var l listing
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &l), r.stdout)
	return l
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
	current := s.publish(s.orders, s.staging, "new\x1b[31m")
	s.publish(s.orders, release, "1")
	s.publish(s.users, release, "2")
	require.NoError(t, s.Offline(s.users, release))

	got := s.run("status", "-json")
	require.Equal(t, exitDone, got.code, got.stderr)
	l := got.listing(t)
	require.Len(t, l.APIs, 2)
	require.Len(t, l.APIs[0].Versions, 2)
	assert.Empty(t, l.APIs[1].Versions)

	got = s.run("status", "-api", s.orders, "-env", "staging", "-json=lines")
	var api shown
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &api))
	require.Len(t, api.Versions, 1)
	assert.Equal(t, current, api.Versions[0].VersionID)
	assert.Equal(t, "staging", api.Versions[0].EnvName)
	assert.True(t, api.Versions[0].InEffect)

	got = s.run("status")
	lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
	require.Len(t, lines, 4)
	assert.Regexp(t, `^API +ENVIRONMENT +IN EFFECT +PUBLISHED +VERSION +REMARK$`, lines[0])
	assert.Regexp(t, `^users +- +- +- +-`, lines[3])
	assert.Contains(t, got.stdout, current)
	assert.NotContains(t, got.stdout, "\x1b", "a remark must not move the cursor")
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
	got := s.run("versions", "-api", "orders", "-json")
	require.Equal(t, exitDone, got.code, got.stderr)
	var ids []string
	for _, v := range got.listing(t).APIs[0].Versions {
		ids = append(ids, v.VersionID)
	}
	assert.Equal(t, want, ids)

	got = s.run("versions", "-api", "orders", "-env", "RELEASE")
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
		"no such API":        {[]string{"status", "-api", "nothing"}, context.Background(), exitNotApplied},
		"no such env":        {[]string{"status", "-env", "nowhere"}, context.Background(), exitNotApplied},
		"refused":            {[]string{"versions", "-api", "orders"}, context.Background(), exitNotApplied},
		"interrupted":        {[]string{"status"}, ended, exitInterrupted},
		"interrupted, by ID": {[]string{"versions", "-api", strings.Repeat("0", 32)}, ended, exitInterrupted},
	} {
		for _, form := range []string{"", "-json", "-json=lines"} {
			t.Run(name+form, func(t *testing.T) {
				s := newSite(t)
				s.Inject(apigtest.Answer(http.StatusForbidden, forbidden).On(apigtest.OpHistory).Always())
				args := test.args
				if form != "" {
					args = append(args[:len(args):len(args)], form)
				}
				got := s.runUntil(test.ctx, args...)
				assert.Equal(t, test.code, got.code, got.stdout)
				assert.NotEmpty(t, got.stderr)
				if form != "" && test.code != exitUsage {
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
	s.publish(s.orders, s.staging, "3")

	got := s.run("rollback", "-api", "orders", "-env", "staging")
	require.Equal(t, exitDone, got.code, got.stdout+got.stderr)
	to := got.report(t).Results[0]
	assert.Equal(t, before, to.Record.VersionID)
	assert.Equal(t, 1, to.Attempts)
	v, _ := s.Published(s.orders, s.staging)
	assert.Equal(t, before, v.ID)

	got = s.run("rollback", "-api", "orders", "-version-id", oldest)
	require.Equal(t, exitDone, got.code, got.stdout+got.stderr)
	assert.Equal(t, s.staging, got.report(t).Results[0].EnvID)
	v, _ = s.Published(s.orders, s.staging)
	assert.Equal(t, oldest, v.ID)

	for name, test := range map[string]struct {
		args []string
		code int
	}{
		"nothing before it": {[]string{"-api", "orders", "-env", "staging"}, exitNotApplied},
		"not published":     {[]string{"-api", "users"}, exitNotApplied},
		"no such API":       {[]string{"-api", "nothing"}, exitNotApplied},
		"no such version":   {[]string{"-api", "orders", "-version-id", strings.Repeat("0", 32)}, exitNotApplied},
		"a version for two": {[]string{"-api", "orders,users", "-version-id", oldest}, exitUsage},
		"no API":            {nil, exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.run(append([]string{"rollback"}, test.args...)...)
			assert.Equal(t, test.code, got.code, got.stdout+got.stderr)
		})
	}

	s.publish(s.orders, s.staging, "4")
	s.Inject(apigtest.Hang().On(apigtest.OpSwitch).Always())
	s.historyForbiddenAfter(1)
	got = s.run("rollback", "-api", "orders", "-env", "staging", "-timeout", "200ms")
	assert.Equal(t, exitUnknown, got.code, got.stdout)
	require.NotNil(t, got.report(t).Results[0].Unknown)
}
