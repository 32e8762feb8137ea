package apigtest_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

const password = `{"auth":{"identity":{"methods":["password"],"password":{"user":` +
	`{"name":"dora","password":"secret","domain":{"name":"acme"}}}},"scope":{"project":{"name":"cn-north-4"}}}}`

func iamFixture(t *testing.T, opts ...apigtest.Option) (*fixture, apigtest.User) {
	f := start(t, append([]apigtest.Option{apigtest.WithInstanceIDs("p1", "i1")}, opts...)...)
	return f, f.AddUser(apigtest.User{Name: "dora", Password: "secret", DomainName: "acme"})
}

// token asks IAM for a token.
func (f *fixture) token(query, body string) result {
	f.t.Helper()
	r := f.request("POST", f.URL()+"/v3/auth/tokens"+query, body)
	r.Header.Del("X-Auth-Token")
	return f.do(r)
}

// unissued asserts one of IAM's own error answers.
func (r result) unissued(status int, text string) {
	r.t.Helper()
	require.Equal(r.t, status, r.status, r.body)
	refusal := r.json()["error"].(map[string]any)
	assert.Equal(r.t, float64(status), refusal["code"], "a number")
	assert.Equal(r.t, http.StatusText(status), refusal["title"])
	assert.Contains(r.t, refusal["message"], text)
	assert.Empty(r.t, r.header.Get("X-Subject-Token"))
	if status == 401 {
		assert.Regexp(r.t, `^Keystone uri="http://127\.0\.0\.1:\d+/v3"$`, r.header.Get("Www-Authenticate"))
	}
}

func TestTokenOfAPassword(t *testing.T) {
	now := new(atomic.Int64)
	at := time.Date(2019, 2, 13, 6, 52, 13, 855000000, time.UTC)
	now.Store(at.UnixNano())
	f, user := iamFixture(t, apigtest.WithClock(func() time.Time { return time.Unix(0, now.Load()) }))

	res := f.token("", password)
	require.Equal(t, 201, res.status, res.body)
	issued := res.json()["token"].(map[string]any)
	assert.Equal(t, "2019-02-14T06:52:13.855000Z", issued["expires_at"])
	assert.Equal(t, "2019-02-13T06:52:13.855000Z", issued["issued_at"])
	assert.Equal(t, []any{"password"}, issued["methods"])
	domain := map[string]any{"id": user.DomainID, "name": "acme"}
	assert.Equal(t, map[string]any{"id": user.ID, "name": "dora", "domain": domain}, issued["user"])
	assert.Equal(t, map[string]any{"id": "p1", "name": "cn-north-4", "domain": domain}, issued["project"])
	assert.NotEmpty(t, issued["catalog"])
	assert.NotEmpty(t, res.header.Get("X-Iam-Trace-Id"))
	assert.Equal(t, apigtest.OpToken, f.Requests()[0].Op)

	token := res.header.Get("X-Subject-Token")
	assert.Equal(t, 200, f.withToken(token).status)
	second := f.token("?nocatalog=1", password)
	assert.NotContains(t, second.json()["token"], "catalog")
	assert.NotEqual(t, token, second.header.Get("X-Subject-Token"))
	assert.Equal(t, 200, f.withToken(token).status, "a new token does not cancel the old one")

	now.Add(int64(24 * time.Hour))
	f.withToken(token).refused(401, "APIG.1001", "expired")
	f.SetTokenLifetime(5 * time.Second)
	token = f.token("", password).header.Get("X-Subject-Token")
	assert.Equal(t, 200, f.withToken(token).status)
	now.Add(int64(5 * time.Second))
	f.withToken(token).refused(401, "APIG.1001", "expired")
}

func TestWhoGetsAToken(t *testing.T) {
	f, user := iamFixture(t)
	f.AddUser(apigtest.User{Name: "gone", Password: "secret", DomainName: "acme", Disabled: true})
	f.AddUser(apigtest.User{Name: "dora", Password: "other", DomainName: "umbrella"})
	root := f.AddUser(apigtest.User{Name: "root", Password: "secret"})
	assert.Equal(t, "root", root.DomainName)
	assert.NotEqual(t, user.DomainID, root.DomainID)
	byID := `{"id":"` + user.ID + `","password":"secret"}`

	for user, ok := range map[string]bool{
		`{"name":"dora","password":"secret","domain":{"name":"acme"}}`:                true,
		`{"name":"dora","password":"secret","domain":{"id":"` + user.DomainID + `"}}`: true,
		`{"name":"dora","password":"other","domain":{"name":"umbrella"}}`:             true,
		byID: true,
		`{"name":"dora","password":"other","domain":{"name":"acme"}}`:   false,
		`{"name":"dora","password":"","domain":{"name":"acme"}}`:        false,
		`{"name":"dora","password":"secret"}`:                           false,
		`{"name":"dora","password":"secret","domain":{}}`:               false,
		`{"name":"Dora","password":"secret","domain":{"name":"acme"}}`:  false,
		`{"name":"dora","password":"secret","domain":{"name":"other"}}`: false,
		`{"name":"gone","password":"secret","domain":{"name":"acme"}}`:  false,
		`{"id":"unknown","password":"secret"}`:                          false,
		`{"password":"secret","domain":{"name":"acme"}}`:                false,
		`{}`: false,
	} {
		body := `{"auth":{"identity":{"methods":["password"],"password":{"user":` + user + `}},"scope":{"project":{"id":"p1"}}}}`
		if res := f.token("", body); ok {
			assert.Equal(t, 201, res.status, user)
		} else {
			res.unissued(401, "The username or password is wrong.")
		}
	}

	f.AddUser(apigtest.User{Name: "dora", ID: user.ID, Password: "changed", DomainName: "acme"})
	f.token("", password).unissued(401, "wrong")
	assert.Equal(t, 201, f.token("", strings.Replace(password, "secret", "changed", 1)).status)
}

func TestScope(t *testing.T) {
	f, user := iamFixture(t)
	f.AddInstance("p2", "i2")
	f.AddInstance("p3", "i3")
	f.SetProjectName("p3", "eu-west-101")
	f.SetProjectName("p4", "no instance")
	envs := func(project, instance, token string) result {
		r := f.request("GET", f.URL()+"/v2/"+project+"/apigw/instances/"+instance+"/envs", "")
		r.Header.Set("X-Auth-Token", token)
		return f.do(r)
	}
	for scope, project := range map[string]string{
		`{"project":{"id":"p1"}}`:                                                    "p1",
		`{"project":{"name":"cn-north-4"}}`:                                          "p1",
		`{"project":{"name":"cn-north-4_p2"}}`:                                       "p2",
		`{"project":{"name":"eu-west-101","domain":{"name":"acme"}}}`:                "p3",
		`{"project":{"name":"eu-west-101","domain":{"id":"` + user.DomainID + `"}}}`: "p3",
		`{"project":{"id":"p3","name":"eu-west-101"}}`:                               "p3",
		`{"project":{"id":"p4"}}`:                                                    "p4",
	} {
		res := f.token("", strings.Replace(password, `{"project":{"name":"cn-north-4"}}`, scope, 1))
		require.Equal(t, 201, res.status, scope)
		token := res.header.Get("X-Subject-Token")
		assert.Equal(t, project, res.json()["token"].(map[string]any)["project"].(map[string]any)["id"])
		for n := 1; n <= 3; n++ {
			p := fmt.Sprintf("p%d", n)
			if got := envs(p, fmt.Sprintf("i%d", n), token); p == project {
				assert.Equal(t, 200, got.status)
			} else {
				got.refused(403, "APIG.1005", "No permissions to request this method")
			}
		}
	}
	for scope, status := range map[string]int{
		`{"project":{"id":"unknown"}}`:                      401,
		`{"project":{"name":"cn-north-1"}}`:                 401,
		`{"project":{"id":"p1","name":"eu-west-101"}}`:      401,
		`{"project":{"id":"p1","domain":{"name":"other"}}}`: 401,
		`{"domain":{"name":"other"}}`:                       401,
		`{"project":{}}`:                                    400,
		`{"project":{"id":"p1"},"domain":{"name":"acme"}}`:  400,
	} {
		res := f.token("", strings.Replace(password, `{"project":{"name":"cn-north-4"}}`, scope, 1))
		res.unissued(status, "scope")
	}
	for _, scope := range []string{`{}`, `{"domain":{"name":"acme"}}`} {
		res := f.token("", strings.Replace(password, `{"project":{"name":"cn-north-4"}}`, scope, 1))
		require.Equal(t, 201, res.status, scope)
		assert.NotContains(t, res.json()["token"], "project")
		f.withToken(res.header.Get("X-Subject-Token")).refused(401, "APIG.1003", "no project")
	}
}

func TestTokenOfAnAgency(t *testing.T) {
	f, user := iamFixture(t)
	agency := f.AddAgency(apigtest.Agency{Name: "ops", DomainName: "umbrella"})
	assert.NotEqual(t, user.DomainID, agency.DomainID)
	assert.Equal(t, agency.DomainID, f.AddUser(apigtest.User{Name: "u", DomainName: "umbrella"}).DomainID)
	assert.Equal(t, user.DomainID, f.AddAgency(apigtest.Agency{Name: "back", DomainName: "acme"}).DomainID)
	assume := func(token, role string) result {
		r := f.request("POST", f.URL()+"/v3/auth/tokens",
			`{"auth":{"identity":{"methods":["assume_role"],"assume_role":`+role+`},"scope":{"project":{"id":"p1"}}}}`)
		r.Header.Set("X-Auth-Token", token)
		return f.do(r)
	}
	domainToken := f.token("", strings.Replace(password, `"project":{"name":"cn-north-4"}`, `"domain":{"name":"acme"}`, 1)).
		header.Get("X-Subject-Token")

	for _, role := range []string{
		`{"agency_name":"ops","domain_name":"umbrella"}`,
		`{"agency_name":"ops","domain_id":"` + agency.DomainID + `"}`,
	} {
		res := assume(domainToken, role)
		require.Equal(t, 201, res.status, res.body)
		issued := res.json()["token"].(map[string]any)
		assert.Equal(t, "umbrella/ops", issued["user"].(map[string]any)["name"])
		assert.Equal(t, 200, f.withToken(res.header.Get("X-Subject-Token")).status)
	}
	assume("wrong", `{"agency_name":"ops","domain_name":"umbrella"}`).unissued(401, "wrong")
	for _, role := range []string{
		`{"agency_name":"none","domain_name":"umbrella"}`,
		`{"agency_name":"ops","domain_name":"acme"}`,
		`{"agency_name":"ops"}`,
		`{}`,
	} {
		assume(f.Token(), role).unissued(401, "wrong")
	}
}

func TestTokenRequestIsStrict(t *testing.T) {
	f, _ := iamFixture(t)
	for name, body := range map[string]string{
		"empty":             "",
		"not JSON":          "auth",
		"array":             "[]",
		"trailing":          password + "{}",
		"unknown field":     strings.Replace(password, `"scope"`, `"scopes"`, 1),
		"wrong case":        strings.Replace(password, `"methods"`, `"Methods"`, 1),
		"wrong case, inner": strings.Replace(password, `"domain"`, `"Domain"`, 1),
		"wrong type":        strings.Replace(password, `["password"]`, `"password"`, 1),
		"no method":         strings.Replace(password, `["password"]`, `[]`, 1),
		"unknown method":    strings.Replace(password, `["password"]`, `["totp"]`, 1),
		"two methods":       strings.Replace(password, `["password"]`, `["password","totp"]`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			r := f.request("POST", f.URL()+"/v3/auth/tokens", body)
			r.Header.Set("Content-Type", "application/json;charset=utf8")
			res := f.do(r)
			res.t = t
			res.unissued(400, "invalid")
		})
	}
	r := f.request("POST", f.URL()+"/v3/auth/tokens", password)
	r.Header.Set("Content-Type", "text/plain")
	f.do(r).unissued(400, "Content-Type")
	f.token("", strings.Repeat(" ", 12<<20+1)).refused(413, "APIGW.0201", "too large")

	r = f.request("POST", f.URL()+"/v3/auth/tokens", password)
	r.Header.Set("Content-Type", "application/json;charset=utf8") // as documented
	assert.Equal(t, 201, f.do(r).status)
}
