package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

func TestStatus(t *testing.T) {
	s := newSite(t)
	s.tick()
	s.publish(s.orders, s.staging, "old")
	current := s.publish(s.orders, s.staging, "new")
	s.publish(s.orders, release, "1")
	s.publish(s.users, release, "2")
	require.NoError(t, s.Offline(s.users, release))

	apis := s.want(exitDone, "status", "-o", "json").listing(t)
	require.Len(t, apis, 2)
	require.Len(t, apis[0].Versions, 2)
	assert.Empty(t, apis[1].Versions)

	apis = s.want(exitDone, "status", s.orders, "-e", "staging", "-o", "json").listing(t)
	require.Len(t, apis[0].Versions, 1)
	v := apis[0].Versions[0]
	assert.Equal(t, []any{current, "staging", true}, []any{v.VersionID, v.EnvName, v.InEffect})

	assert.Regexp(t, `^API +ID +ENV +AGE +REMARK
DEFAULT/orders +`+s.orders+` +(staging|RELEASE) +[0-9]+d +.*
DEFAULT/orders +`+s.orders+` +(staging|RELEASE) +[0-9]+d +.*
DEFAULT/users +`+s.users+` +- +-
$`, s.want(exitDone, "status").stdout)

	s.AddAPI("third")
	s.stdin = s.want(exitDone, "publish", "orders", "users").stdout // the status of a report is the status of all its APIs
	assert.Equal(t, "DEFAULT/orders\nDEFAULT/users\n", s.want(exitDone, "status", "-f", "-", "-o", "name").stdout)
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
	assert.Regexp(t, `NAME +ID\nRELEASE +`+release+`\nstaging +`+s.staging, s.run("list", "environments").stdout)
	assert.Regexp(t, `(?m)^shop +`+shop+` +1$`, s.run("list", "groups").stdout)
	assert.Regexp(t, `(?m)^DEFAULT/orders +`+s.orders+` +staging$`, s.run("list", "apis").stdout)
	assert.Equal(t, "DEFAULT/orders\nDEFAULT/users\nshop/cart\n", s.run("list", "apis", "-o", "name").stdout)
	assert.Contains(t, s.run("list", "groups", "-o", "json").stdout, `"name": "shop"`)
	s.AddAPI("users#2")
	s.stdin = s.run("list", "apis", "-o", "name").stdout
	s.want(exitDone, "publish", "-f", "-") // the names are accepted again
	assert.Len(t, s.Journal(), 5)
}

func TestCompletion(t *testing.T) {
	s := newSite(t)
	assert.Contains(t, s.run("__complete", "publish", "").stdout, "DEFAULT/orders\nDEFAULT/users\n")
	assert.Contains(t, s.run("__complete", "publish", "or").stdout, "\norders\n")
	assert.Contains(t, s.run("__complete", "publish", "-e", "").stdout, "RELEASE\nstaging\n")
	assert.Contains(t, s.run("__complete", "publish", "-o", "").stdout, "table\njson\njsonl\nname\n")
	assert.Equal(t, ":4\n", s.run("__complete", "publish", "-g", "").stdout, "no names of files")
	assert.Equal(t, ":4\n", s.run("__complete", "rollback", "--version-id", "").stdout)
	assert.Contains(t, s.run("__complete", "list", "").stdout, "apis\nenvironments\ngroups\n")
	assert.Contains(t, s.run("__complete", "roll").stdout, "rollback")
}

// Versions are listed newest first.
func TestVersions(t *testing.T) {
	s := newSite(t)
	s.tick()
	var want []string
	for i := range 5 {
		env := []string{s.staging, release}[i%2]
		want = append([]string{s.publish(s.orders, env, fmt.Sprint(i))}, want...)
	}
	var ids []string
	for _, v := range s.want(exitDone, "versions", "orders", "-o", "json").listing(t)[0].Versions {
		ids = append(ids, v.VersionID)
	}
	assert.Equal(t, want, ids)
	assert.Equal(t, 3, strings.Count(s.want(exitDone, "versions", "orders", "-e", "RELEASE").stdout, "\n"))
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
	elsewhere := s.publish(s.orders, release, "elsewhere")

	for arg, want := range map[string][2]string{ // in effect, and to go back to
		"--env=staging": {current, before}, "--version-id=" + oldest: {current, oldest}, "--version-id=" + elsewhere: {elsewhere, elsewhere},
	} {
		to := s.want(exitDone, "rollback", "orders", arg, "--dry-run").report(t).Results[0]
		assert.Equal(t, want, [2]string{to.InEffect.VersionID, to.Target.VersionID})
		assert.Regexp(t, `^in effect: (3|elsewhere) \(`+want[0]+`\), published \S+ ago; would go back in (staging|RELEASE) to (1|2|elsewhere) \(`+want[1]+`\), published \S+ ago$`, to.note())
	}
	require.Equal(t, current, s.inEffect(s.orders, s.staging), "a dry run changes nothing")

	to := s.want(exitDone, "rollback", "orders", "-e", "staging").report(t).Results[0]
	assert.Equal(t, before, to.Record.VersionID)
	assert.Equal(t, before, s.inEffect(s.orders, s.staging))
	to = s.want(exitDone, "rollback", "orders", "--version-id", oldest).report(t).Results[0]
	assert.Equal(t, s.staging, to.Record.EnvID)
	assert.Equal(t, oldest, s.inEffect(s.orders, s.staging))

	for _, dry := range []string{"--dry-run=false", "--dry-run"} {
		for args, code := range map[string]int{
			"orders -e staging":  exitNotApplied, // nothing was published before it
			"users -e staging":   exitNotApplied, // not published
			"nothing -e staging": exitNotApplied, // no such API
			"orders --version-id " + strings.Repeat("0", 32): exitNotApplied,
			"orders users --version-id " + oldest:            exitUsage,
			"":                                               exitUsage,
		} {
			s.want(code, append([]string{"rollback", dry}, strings.Fields(args)...)...)
		}
	}

	s.publish(s.orders, s.staging, "4")
	s.Inject(gateway.Hang().On(gateway.OpSwitch).Always())
	s.historyForbidden(1)
	to = s.want(exitUnknown, "rollback", "orders", "-e", "staging", "--timeout", "200ms").report(t).Results[0]
	require.NotNil(t, to.Unknown)
}
