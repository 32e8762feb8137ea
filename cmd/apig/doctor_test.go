package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

func TestDoctor(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(*site)
		code    int
		says    []string
	}{
		"all well":        {func(*site) {}, exitDone, []string{"ok  clock", "ok  access", "ok  history", "readable (tried with orders)"}},
		"refused":         {func(s *site) { s.Inject(gateway.Unauthorized().Always()) }, exitAuthentication, []string{"FAILED  access", "renew the credentials"}},
		"refused later":   {func(s *site) { s.Inject(gateway.Unauthorized().On(gateway.OpAPIs).Always()) }, exitAuthentication, []string{"FAILED  APIs", "renew the credentials"}},
		"refused at last": {func(s *site) { s.Inject(gateway.Unauthorized().On(gateway.OpHistory).Always()) }, exitAuthentication, []string{"FAILED  history", "renew the credentials"}},
		"no right":        {func(s *site) { s.historyForbidden(0) }, exitNotApplied, []string{"FAILED  history", "apig:apis:get", "stays unknown"}},
		"another clock":   {func(s *site) { s.SetDateSkew(-10 * time.Minute) }, exitNotApplied, []string{"FAILED  clock", "off by ", "NTP"}},
		"a clock ahead":   {func(s *site) { s.SetDateSkew(10 * time.Minute) }, exitNotApplied, []string{"FAILED  clock", "off by -"}},
		"no answer":       {func(s *site) { s.Inject(gateway.CloseBefore().Always()) }, exitNotApplied, []string{"FAILED  access", "check APIG_ENDPOINT"}},
		"another gateway": {func(s *site) { s.Inject(gateway.NotFound().Always()) }, exitNotApplied, []string{"FAILED  access", "check APIG_INSTANCE_ID"}},
		"interrupted":     {nil, exitInterrupted, []string{"FAILED  access"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if test.prepare == nil {
				cancel()
			} else {
				test.prepare(s)
			}
			got := s.runUntil(ctx, "doctor")
			assert.Equal(t, test.code, got.code, got.stdout+got.stderr)
			text := strings.Join(strings.Fields(got.stdout), " ")
			for _, says := range test.says {
				assert.Contains(t, text, strings.Join(strings.Fields(says), " "))
			}
			assert.Contains(t, got.stdout, s.InstanceID())
			assert.NotContains(t, got.stdout, s.Token())
			assert.Zero(t, s.changes())
		})
	}
	assert.Contains(t, newSite(t).run("whoami", "-o", "json").stdout, `"ok": true`)
}

// The doctor names the credentials that the client uses, whichever are set.
func TestDoctorNamesTheCredentials(t *testing.T) {
	clearEnvironment(t)
	file := filepath.Join(t.TempDir(), "credentials")
	require.NoError(t, os.WriteFile(file, []byte("[basic]\nak = FILE\nsk = filesecret\n"), 0o600))
	g := gateway.NewGateway()
	defer g.Close()
	g.AddKeys("AK", "secret", "")
	g.AddKeys("SDK", "secret", "")
	g.AddKeys("FILE", "filesecret", "")
	g.AddUser(gateway.User{Name: "ci", Password: "secret", DomainName: "example"})
	for name, value := range map[string]string{
		"APIG_ENDPOINT": g.URL(), "HW_PROJECT_ID": g.ProjectID(), "APIG_INSTANCE_ID": g.InstanceID(),
		"HUAWEICLOUD_SDK_CREDENTIALS_FILE": file, "HW_AUTH_URL": g.URL() + "/v3", "HW_DOMAIN_NAME": "example",
	} {
		t.Setenv(name, value)
	}
	signedWith := func() string {
		r := g.Requests()
		return r[len(r)-1].Header.Get("Authorization") + r[len(r)-1].Header.Get("X-Auth-Token")
	}
	// From the last to the first, so that each has to win over those before it.
	for _, test := range []struct {
		set        []string // names and values
		says, used string
	}{
		{nil, "an access key (" + file + ")", "Access=FILE"},
		{[]string{"HUAWEICLOUD_SDK_AK", "SDK", "HUAWEICLOUD_SDK_SK", "secret"}, "an access key (HUAWEICLOUD_SDK_AK)", "Access=SDK"},
		{[]string{"HW_USER_NAME", "ci", "HW_PASSWORD", "secret"}, "the user ci (HW_USER_NAME)", ""},
		{[]string{"HW_ACCESS_KEY", "AK", "HW_SECRET_KEY", "secret"}, "an access key (HW_ACCESS_KEY)", "Access=AK"},
		{[]string{"HW_AUTH_TOKEN", g.Token()}, "a token (HW_AUTH_TOKEN)", g.Token()},
	} {
		for i := 0; i < len(test.set); i += 2 {
			t.Setenv(test.set[i], test.set[i+1])
		}
		got := onSystem(t, exitDone, "doctor")
		assert.Contains(t, got.stdout, test.says)
		assert.Contains(t, signedWith(), test.used)
		assert.NotContains(t, strings.ReplaceAll(got.stdout, file, ""), "secret")
	}
}

// clearEnvironment takes away what this machine sets.
func clearEnvironment(t *testing.T) {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		for _, prefix := range []string{"APIG_", "HW_", "HUAWEICLOUD_", "OS_"} {
			if strings.HasPrefix(name, prefix) {
				t.Setenv(name, "")
			}
		}
	}
	t.Setenv("HOME", t.TempDir())
}

// What is wrong with the configuration is said in the words of the environment, on
// stdout as JSON and on stderr.
func TestConfigurationErrors(t *testing.T) {
	for name, test := range map[string]struct {
		set  map[string]string
		says string
	}{
		"nothing":    {nil, "APIG_INSTANCE_ID is not set"},
		"plain http": {map[string]string{"APIG_ENDPOINT": "http://example.com", "APIG_INSTANCE_ID": "i", "HW_PROJECT_ID": "p", "HW_AUTH_TOKEN": "t"}, `APIG_ENDPOINT "http://example.com" must be https`},
		"no token":   {map[string]string{"APIG_ENDPOINT": "https://example.com", "APIG_INSTANCE_ID": "i", "HW_PROJECT_ID": "p", "HW_AUTH_TOKEN": "t t"}, "the token (HW_AUTH_TOKEN) has a space"},
		"no ID":      {map[string]string{"APIG_ENDPOINT": "https://example.com", "APIG_INSTANCE_ID": "a/b", "HW_PROJECT_ID": "p", "HW_AUTH_TOKEN": "t"}, `APIG_INSTANCE_ID "a/b" is not an ID`},
	} {
		for _, args := range [][]string{
			{"publish", "orders"}, {"offline", "orders", "-e", "staging", "-o", "jsonl"}, {"rollback", "orders", "-e", "staging"},
			{"settle"}, {"status", "-o", "json"}, {"versions", "orders", "-o", "json"}, {"list", "groups", "-o", "json"}, {"doctor", "-o", "json"},
		} {
			t.Run(name+args[0], func(t *testing.T) {
				clearEnvironment(t)
				for variable, value := range test.set {
					t.Setenv(variable, value)
				}
				got := onSystem(t, exitUsage, args...)
				assert.Contains(t, strings.ReplaceAll(got.stdout, `\"`, `"`), test.says)
				assert.Contains(t, strings.ReplaceAll(got.stdout, " ", ""), `"exit_code":64`)
				if args[0] == "doctor" {
					assert.Equal(t, test.set != nil, strings.Contains(got.stdout, "a token (HW_AUTH_TOKEN)"), "what was found is shown, too")
				} else {
					assert.Contains(t, got.stderr, "apig "+args[0]+": ")
				}
				assert.NotRegexp(t, "apig: |Config", got.stderr)
			})
		}
	}
}
