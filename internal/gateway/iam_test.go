package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

const password = `{"auth":{"identity":{"methods":["password"],"password":{"user":` +
	`{"name":"dora","password":"secret","domain":{"name":"acme"}}}},"scope":{"project":{"name":"cn-north-4"}}}}`

func iamFixture(t *testing.T, opts ...gateway.Option) (*fixture, gateway.User) {
	f := start(t, append([]gateway.Option{gateway.WithIDs("p1", "i1")}, opts...)...)
	return f, f.AddUser(gateway.User{Name: "dora", Password: "secret", DomainName: "acme"})
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
	f, user := iamFixture(t, gateway.WithClock(func() time.Time { return time.Unix(0, now.Load()) }))

	res := f.token("", password)
	require.Equal(t, 201, res.status, res.body)
	issued := res.json()["token"].(map[string]any)
	assert.Equal(t, "2019-02-14T06:52:13.855000Z", issued["expires_at"])
	assert.Equal(t, "2019-02-13T06:52:13.855000Z", issued["issued_at"])
	assert.Equal(t, []any{"password"}, issued["methods"])
	domain := map[string]any{"id": user.DomainID, "name": "acme"}
	assert.Equal(t, map[string]any{"id": user.ID, "name": "dora", "domain": domain}, issued["user"])
	assert.Equal(t, map[string]any{"id": "p1", "name": "cn-north-4", "domain": domain}, issued["project"])
	assert.NotEmpty(t, res.header.Get("X-Iam-Trace-Id"))
	assert.Equal(t, gateway.OpToken, f.Requests()[0].Op)

	token := res.header.Get("X-Subject-Token")
	assert.Equal(t, 200, f.withToken(token).status)
	second := f.token("?nocatalog=1", password)
	assert.NotContains(t, second.json()["token"], "catalog")
	assert.NotEqual(t, token, second.header.Get("X-Subject-Token"))
	assert.Equal(t, 200, f.withToken(token).status, "a new token does not cancel the old one")

	now.Add(int64(24 * time.Hour))
	f.withToken(token).refused(401, "APIG.1001", "expired")
}

func TestWhoGetsAToken(t *testing.T) {
	f, user := iamFixture(t)
	f.AddUser(gateway.User{Name: "gone", Password: "secret", DomainName: "acme", Disabled: true})
	f.AddUser(gateway.User{Name: "dora", Password: "other", DomainName: "umbrella"})
	root := f.AddUser(gateway.User{Name: "root", Password: "secret"})
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

	f.AddUser(gateway.User{Name: "dora", ID: user.ID, Password: "changed", DomainName: "acme"})
	f.token("", password).unissued(401, "wrong")
	assert.Equal(t, 201, f.token("", strings.Replace(password, "secret", "changed", 1)).status)
}

func TestScope(t *testing.T) {
	f, user := iamFixture(t)
	f.AddInstance("p2", "i2")
	issue := func(scope string) result {
		return f.token("", strings.Replace(password, `{"project":{"name":"cn-north-4"}}`, scope, 1))
	}
	for scope, project := range map[string]string{
		`{"project":{"id":"p1"}}`:                                                      "p1",
		`{"project":{"name":"cn-north-4"}}`:                                            "p1",
		`{"project":{"name":"cn-north-4_p2"}}`:                                         "p2",
		`{"project":{"name":"cn-north-4_p2","domain":{"name":"acme"}}}`:                "p2",
		`{"project":{"name":"cn-north-4_p2","domain":{"id":"` + user.DomainID + `"}}}`: "p2",
		`{"project":{"id":"p2","name":"cn-north-4_p2"}}`:                               "p2",
	} {
		res := issue(scope)
		require.Equal(t, 201, res.status, scope)
		assert.Equal(t, project, res.json()["token"].(map[string]any)["project"].(map[string]any)["id"])
		for p, instance := range map[string]string{"p1": "i1", "p2": "i2"} {
			r := f.request("GET", f.URL()+"/v2/"+p+"/apigw/instances/"+instance+"/envs", "")
			r.Header.Set("X-Auth-Token", res.header.Get("X-Subject-Token"))
			if got := f.do(r); p == project {
				assert.Equal(t, 200, got.status)
			} else {
				got.refused(403, "APIG.1005", "No permissions to request this method")
			}
		}
	}
	for scope, status := range map[string]int{
		`{"project":{"id":"unknown"}}`:                      401,
		`{"project":{"name":"cn-north-1"}}`:                 401,
		`{"project":{"id":"p1","name":"cn-north-4_p2"}}`:    401,
		`{"project":{"id":"p1","domain":{"name":"other"}}}`: 401,
		`{"domain":{"name":"other"}}`:                       401,
		`{"project":{}}`:                                    400,
		`{"project":{"id":"p1"},"domain":{"name":"acme"}}`:  400,
	} {
		issue(scope).unissued(status, "scope")
	}
	for _, scope := range []string{`{}`, `"unscoped"`, `{"domain":{"name":"acme"}}`} {
		res := issue(scope)
		require.Equal(t, 201, res.status, scope)
		assert.NotContains(t, res.json()["token"], "project")
		f.withToken(res.header.Get("X-Subject-Token")).refused(401, "APIG.1003", "no project")
	}
}

func TestTokenOfAnAgency(t *testing.T) {
	f, user := iamFixture(t)
	agency := f.AddAgency(gateway.Agency{Name: "ops", DomainName: "umbrella"})
	assert.NotEqual(t, user.DomainID, agency.DomainID)
	assert.Equal(t, agency.DomainID, f.AddUser(gateway.User{Name: "u", DomainName: "umbrella"}).DomainID)
	assert.Equal(t, user.DomainID, f.AddAgency(gateway.Agency{Name: "back", DomainName: "acme"}).DomainID)
	caller := f.token("", strings.Replace(password, `"project":{"name":"cn-north-4"}`, `"domain":{"name":"acme"}`, 1)).header.Get("X-Subject-Token")
	for role, token := range map[string]string{
		`{"agency_name":"ops","domain_name":"umbrella"}`:              caller,
		`{"agency_name":"ops","domain_id":"` + agency.DomainID + `"}`: caller,
		`{"agency_name":"ops","domain_name":"umbrella" }`:             "wrong",
		`{"agency_name":"none","domain_name":"umbrella"}`:             f.Token(),
		`{"agency_name":"ops","domain_name":"acme"}`:                  f.Token(),
		`{"agency_name":"ops"}`:                                       f.Token(),
		`{}`:                                                          f.Token(),
	} {
		r := f.request("POST", f.URL()+"/v3/auth/tokens",
			`{"auth":{"identity":{"methods":["assume_role"],"assume_role":`+role+`},"scope":{"project":{"id":"p1"}}}}`)
		r.Header.Set("X-Auth-Token", token)
		res := f.do(r)
		if token != caller {
			res.unissued(401, "wrong")
			continue
		}
		require.Equal(t, 201, res.status, res.body)
		assert.Equal(t, "umbrella/ops", res.json()["token"].(map[string]any)["user"].(map[string]any)["name"])
		assert.Equal(t, 200, f.withToken(res.header.Get("X-Subject-Token")).status)
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
		"wrong type, scope": strings.Replace(password, `{"name":"cn-north-4"}`, `7`, 1),
		"unknown, scope":    strings.Replace(password, `{"name":"cn-north-4"}`, `{"names":"cn-north-4"}`, 1),
		"another scope":     strings.Replace(password, `{"project":{"name":"cn-north-4"}}`, `"system"`, 1),
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
			assert.NotRegexp(t, `json:|Go |struct|tokenRequest|apigtest|\[\]`, res.body, "in words of JSON")
		})
	}
	r := f.request("POST", f.URL()+"/v3/auth/tokens", password)
	r.Header.Set("Content-Type", "text/plain")
	f.do(r).unissued(400, "Content-Type")
	r = f.request("POST", f.URL()+"/v3/auth/tokens", password)
	r.Header.Set("Content-Type", "application/json;charset=utf8") // as documented
	assert.Equal(t, 201, f.do(r).status)
}

// get asks IAM for something, with a token or without one.
func (f *fixture) get(path, token string, headers ...string) result {
	f.t.Helper()
	r := f.request("GET", f.URL()+path, "")
	r.Header.Del("X-Auth-Token")
	if token != "" {
		r.Header.Set("X-Auth-Token", token)
	}
	for n := 0; n < len(headers); n += 2 {
		r.Header.Set(headers[n], headers[n+1])
	}
	return f.do(r)
}

func tokenBody(method, scope string) string {
	return `{"auth":{"identity":{"methods":["token"],"token":{"id":"` + method + `"}}` + scope + `}}`
}

func TestCatalog(t *testing.T) {
	f, _ := iamFixture(t, gateway.WithRegion("eu-west-101"), gateway.WithSeed(1))
	project := strings.Replace(password, "cn-north-4", "eu-west-101", 1)
	res := f.token("", project)
	require.Equal(t, 201, res.status, res.body)
	catalog := res.json()["token"].(map[string]any)["catalog"].([]any)
	require.Len(t, catalog, 2)
	urls := map[string]string{"apig": f.URL(), "identity": f.URL() + "/v3"}
	for _, entry := range catalog {
		entry := entry.(map[string]any)
		kind := entry["type"].(string)
		assert.Equal(t, kind, entry["name"])
		endpoints := entry["endpoints"].([]any)
		require.Len(t, endpoints, 1)
		assert.Equal(t, map[string]any{"id": entry["id"], "interface": "public", "region": "eu-west-101",
			"region_id": "eu-west-101", "url": urls[kind]}, endpoints[0])
		delete(urls, kind)
	}
	assert.Empty(t, urls)

	token := res.header.Get("X-Subject-Token")
	res = f.get("/v3/auth/catalog", token)
	require.Equal(t, 200, res.status, res.body)
	assert.Equal(t, catalog, res.json()["catalog"])
	assert.Equal(t, catalog, f.get("/v3/auth/catalog", f.Token()).json()["catalog"])
	f.get("/v3/auth/catalog", "").unissued(401, "authentication")

	unscoped := f.token("", strings.Replace(project, `,"scope":{"project":{"name":"eu-west-101"}}`, "", 1))
	require.Equal(t, 201, unscoped.status)
	assert.NotContains(t, unscoped.json()["token"], "catalog")
	f.get("/v3/auth/catalog", unscoped.header.Get("X-Subject-Token")).unissued(403, "not for a project")
	domain := strings.Replace(project, `"project":{"name":"eu-west-101"}`, `"domain":{"name":"acme"}`, 1)
	assert.Contains(t, f.token("", domain).json()["token"], "catalog")
}

func TestTokenOfAToken(t *testing.T) {
	now := new(atomic.Int64)
	f, user := iamFixture(t, gateway.WithClock(func() time.Time { return time.Unix(0, now.Load()).UTC() }))
	unscoped := f.token("", strings.Replace(password, `{"project":{"name":"cn-north-4"}}`, `"unscoped"`, 1))
	require.Equal(t, 201, unscoped.status, unscoped.body)
	now.Add(int64(time.Hour))

	scoped := f.token("", tokenBody(unscoped.header.Get("X-Subject-Token"), `,"scope":{"project":{"name":"cn-north-4"}}`))
	require.Equal(t, 201, scoped.status, scoped.body)
	issued := scoped.json()["token"].(map[string]any)
	assert.Equal(t, []any{"token"}, issued["methods"])
	assert.Equal(t, user.ID, issued["user"].(map[string]any)["id"])
	assert.Equal(t, "p1", issued["project"].(map[string]any)["id"])
	assert.Equal(t, "1970-01-02T00:00:00.000000Z", issued["expires_at"], "as the first one")
	assert.Equal(t, "1970-01-01T01:00:00.000000Z", issued["issued_at"])
	token := scoped.header.Get("X-Subject-Token")
	assert.Equal(t, 200, f.withToken(token).status)
	now.Add(int64(23 * time.Hour))
	f.withToken(token).refused(401, "APIG.1001", "expired")
	f.token("", tokenBody(token, "")).unissued(401, "authentication")
	f.token("", tokenBody("unknown", "")).unissued(401, "authentication")

	// One that was added, and so has no owner of its own.
	again := f.token("", tokenBody(f.Token(), `,"scope":{"project":{"id":"p1"}}`))
	require.Equal(t, 201, again.status, again.body)
	assert.Equal(t, user.ID, again.json()["token"].(map[string]any)["user"].(map[string]any)["id"])
	assert.Equal(t, "1970-01-03T00:00:00.000000Z", again.json()["token"].(map[string]any)["expires_at"])
}

func TestValidationOfATokenByIAM(t *testing.T) {
	f, user := iamFixture(t)
	made := f.token("", password)
	token := made.header.Get("X-Subject-Token")
	validate := func(subject string, query string) result {
		return f.get("/v3/auth/tokens"+query, f.Token(), "X-Subject-Token", subject)
	}
	res := validate(token, "")
	require.Equal(t, 200, res.status, res.body)
	assert.Equal(t, token, res.header.Get("X-Subject-Token"))
	assert.Equal(t, made.json(), res.json(), "as it was issued")
	assert.NotContains(t, validate(token, "?nocatalog=1").json()["token"], "catalog")
	assert.Equal(t, 200, f.get("/v3/auth/tokens", token, "X-Subject-Token", token).status, "its own")

	added := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	f.AddToken("added", added)
	shown := validate("added", "").json()["token"].(map[string]any)
	assert.Equal(t, "2030-01-01T00:00:00.000000Z", shown["expires_at"])
	assert.Equal(t, user.ID, shown["user"].(map[string]any)["id"])
	assert.Equal(t, "p1", shown["project"].(map[string]any)["id"])
	assert.Equal(t, "9999-12-31T00:00:00.000000Z", validate(f.Token(), "").json()["token"].(map[string]any)["expires_at"])

	f.RevokeToken(token)
	validate(token, "").unissued(404, "could not be found")
	f.get("/v3/auth/tokens", f.Token()).unissued(400, "X-Subject-Token")
	f.get("/v3/auth/tokens", "wrong", "X-Subject-Token", f.Token()).unissued(401, "authentication")

	g := start(t) // without users
	res = g.get("/v3/auth/tokens", g.Token(), "X-Subject-Token", g.Token())
	assert.Equal(t, "apigtest", res.json()["token"].(map[string]any)["user"].(map[string]any)["name"])
}

func TestProjects(t *testing.T) {
	f, user := iamFixture(t)
	f.AddInstance("p9", "i9")
	token := f.token("", password).header.Get("X-Subject-Token")
	const first, second = "cn-north-4", "cn-north-4_p9"
	for path, want := range map[string][]any{
		"/v3/projects":                {first, second},
		"/v3/auth/projects":           {first, second},
		"/v3/projects?name=" + second: {second},
		"/v3/projects?enabled=true&name=" + second + "&domain_id=" + user.DomainID: {second},
		"/v3/projects?name=cn":         {},
		"/v3/projects?enabled=false":   {},
		"/v3/projects?is_domain=true":  {},
		"/v3/projects?domain_id=other": {},
	} {
		res := f.get(path, token)
		require.Equal(t, 200, res.status, res.body)
		names := []any{}
		for _, p := range res.json()["projects"].([]any) {
			names = append(names, p.(map[string]any)["name"])
		}
		assert.Equal(t, want, names, path)
	}
	list := f.get("/v3/projects", token).json()
	assert.Equal(t, map[string]any{"id": "p9", "name": second, "domain_id": user.DomainID, "parent_id": user.DomainID,
		"enabled": true, "is_domain": false, "description": "", "links": map[string]any{"self": f.URL() + "/v3/projects/p9"}},
		list["projects"].([]any)[1])
	assert.Equal(t, map[string]any{"self": f.URL() + "/v3/projects", "previous": nil, "next": nil}, list["links"])
	f.get("/v3/projects", "").unissued(401, "authentication")
	domains := f.get("/v3/auth/domains", token).json()["domains"].([]any)
	require.Len(t, domains, 1)
	assert.Equal(t, user.DomainID, domains[0].(map[string]any)["id"])
	f.get("/v3/auth/domains", "wrong").unissued(401, "authentication")
}

func TestIdentityVersion(t *testing.T) {
	f := start(t)
	for path, op := range map[string]gateway.Op{
		"/v3": gateway.OpIdentityVersion, "/v3/": gateway.OpIdentityVersion, "/v3/auth/tokens": gateway.OpValidateToken,
		"/v3/auth/catalog": gateway.OpCatalog, "/v3/auth/projects": gateway.OpProjects, "/v3/projects": gateway.OpProjects, "/v3/auth/domains": gateway.OpDomains,
	} {
		res := f.get(path, f.Token())
		requests := f.Requests()
		assert.Equal(t, op, requests[len(requests)-1].Op, path)
		if op == gateway.OpIdentityVersion {
			version := res.json()["version"].(map[string]any)
			assert.Equal(t, []any{"v3.6", "stable"}, []any{version["id"], version["status"]})
			assert.Equal(t, []any{map[string]any{"rel": "self", "href": f.URL() + "/v3/"}}, version["links"])
		}
	}
}

// Behind another server the addresses in an answer are that server's.
func TestAddressesBehindAnotherServer(t *testing.T) {
	f, _ := iamFixture(t)
	for scheme, start := range map[string]func(http.Handler) *httptest.Server{
		"http": httptest.NewServer, "https": httptest.NewTLSServer,
	} {
		server := start(f.Handler())
		t.Cleanup(server.Close)
		f.client = server.Client()
		res := f.do(f.request("GET", server.URL+"/v3/auth/catalog", ""))
		require.Equal(t, 200, res.status)
		assert.True(t, strings.HasPrefix(server.URL, scheme+":"))
		assert.Contains(t, res.body, `"url":"`+server.URL+`/v3"`)
		assert.NotContains(t, res.body, f.URL())
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "https://iam.example.com/v3", nil)
	r.TLS = nil
	r.Header.Set("X-Forwarded-Proto", "https")
	f.Handler().ServeHTTP(w, r)
	assert.Contains(t, w.Body.String(), "https://iam.example.com/v3/")
	r.Host = ""
	w = httptest.NewRecorder()
	f.Handler().ServeHTTP(w, r)
	assert.Contains(t, w.Body.String(), f.URL()+"/v3/")
}
