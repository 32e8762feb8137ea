package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const password = `{"auth":{"identity":{"methods":["password"],"password":{"user":` +
	`{"name":"dora","password":"secret","domain":{"name":"acme"}}}},"scope":{"project":{"name":"cn-north-4"}}}}`

func iamFixture(t *testing.T, opts ...Option) (*fixture, User) {
	f := start(t, append([]Option{WithIDs("p1", "i1")}, opts...)...)
	user := f.AddUser(User{Name: "dora", Password: "secret", DomainName: "acme"})
	f.names["dora"], f.names["acme"] = user.ID, user.DomainID
	return f, user
}

// token asks IAM for a token.
func (f *fixture) token(body string) result {
	f.t.Helper()
	r := f.request("POST", "/v3/auth/tokens", body)
	r.Header.Del("X-Auth-Token")
	return f.do(r)
}

// issued asks for a token with another scope, and returns it.
func (f *fixture) issued(scope string) string {
	f.t.Helper()
	res := f.token(strings.Replace(password, `{"project":{"name":"cn-north-4"}}`, scope, 1))
	require.Equal(f.t, 201, res.status, "%s: %s", scope, res.body)
	return res.header.Get("X-Subject-Token")
}

// ofToken is the body that makes a token of a token.
func ofToken(value, scope string) string {
	return `{"auth":{"identity":{"methods":["token"],"token":{"id":"` + value + `"}},"scope":` + scope + `}}`
}

// of is the token in an answer.
func (r result) of() map[string]any {
	r.t.Helper()
	token, ok := r.json()["token"].(map[string]any)
	require.True(r.t, ok, r.body)
	return token
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

func TestIdentity(t *testing.T) {
	f, user := iamFixture(t, at(time.Date(2019, 2, 13, 6, 52, 13, 855000000, time.UTC)))
	f.AddInstance("p9", "i9")
	f.names["url"] = f.URL()
	f.names["password"] = password
	f.names["catalog"] = strings.ReplaceAll(`[{"endpoints":[{"id":"apig","interface":"public","region":"R","region_id":"R","url":"`+f.URL()+`"}],"id":"apig","name":"apig","type":"apig"},`+
		`{"endpoints":[{"id":"identity","interface":"public","region":"R","region_id":"R","url":"`+f.URL()+`/v3"}],"id":"identity","name":"identity","type":"identity"}]`, `"R"`, `"cn-north-4"`)
	f.converse(`
		GET /v3/
		200 {"version":{"id":"v3.6","links":[{"href":"$url/v3/","rel":"self"}],"media-types":[{…}],"status":"stable","updated":"2016-04-04T00:00:00Z"}}
		POST /v3/auth/tokens $password
		201 {"token":{"methods":["password"],"expires_at":"2019-02-14T06:52:13.855000Z","issued_at":"2019-02-13T06:52:13.855000Z","user":{"id":"$dora","name":"dora","domain":{"id":"$acme","name":"acme"}},"project":{"id":"p1","name":"cn-north-4","domain":{"id":"$acme","name":"acme"}},"roles":[{"id":"0","name":"te_admin"}],"catalog":$catalog}}
		POST /v3/auth/tokens?nocatalog=1 $password
		201 {"token":{…,"roles":[{"id":"0","name":"te_admin"}]}}
		GET /v3/auth/catalog
		200 {"catalog":$catalog,"links":{"next":null,"previous":null,"self":"$url/v3/auth/catalog"}}
		GET /v3/auth/domains
		200 {"domains":[{"description":"","enabled":true,"id":"$acme","links":{"self":"$url/v3/domains/$acme"},"name":"acme"}],"links":{…}}
		GET /v3/projects?name=cn-north-4_p9
		200 {"links":{"next":null,"previous":null,"self":"$url/v3/projects"},"projects":[{"description":"","domain_id":"$acme","enabled":true,"id":"p9","is_domain":false,"links":{"self":"$url/v3/projects/p9"},"name":"cn-north-4_p9","parent_id":"$acme"}]}`)
	const first, second = "cn-north-4", "cn-north-4_p9"
	for path, want := range map[string][]any{
		"/v3/projects":      {first, second},
		"/v3/auth/projects": {first, second},
		"/v3/projects?enabled=true&name=" + second + "&domain_id=" + user.DomainID: {second},
		"/v3/projects?name=cn":         {},
		"/v3/projects?enabled=false":   {},
		"/v3/projects?is_domain=true":  {},
		"/v3/projects?domain_id=other": {},
	} {
		assert.Equal(t, want, f.call("GET", path, "").column("projects", "name"), path)
	}
	for _, path := range []string{"tokens", "catalog", "domains", "projects"} {
		f.get("/v3/auth/"+path, "wrong", "").unissued(401, "authentication")
	}
	f.get("/v3/auth/catalog", f.issued(`{}`), "").unissued(403, "not for a project")
}

func TestTokensOfIAM(t *testing.T) {
	now := new(atomic.Int64)
	f, user := iamFixture(t, WithClock(func() time.Time { return time.Unix(0, now.Load()).UTC() }))
	res := f.token(password)
	token := res.header.Get("X-Subject-Token")
	assert.NotEmpty(t, res.header.Get("X-Iam-Trace-Id"))
	assert.NotEqual(t, token, f.issued(`{"project":{"id":"p1"}}`))
	assert.Equal(t, 200, f.withToken(token).status, "a new token does not cancel the old one")
	now.Add(int64(time.Hour))

	// One that is made of a token ends with it.
	scoped := f.token(ofToken(f.issued(`"unscoped"`), `{"project":{"name":"cn-north-4"}}`))
	assert.Equal(t, []any{[]any{"token"}, "1970-01-02T01:00:00.000000Z"}, []any{scoped.of()["methods"], scoped.of()["expires_at"]})
	now.Add(int64(time.Hour))
	again := f.token(ofToken(scoped.header.Get("X-Subject-Token"), `{"project":{"id":"p1"}}`))
	assert.Equal(t, []any{"1970-01-01T02:00:00.000000Z", "1970-01-02T01:00:00.000000Z"}, []any{again.of()["issued_at"], again.of()["expires_at"]})
	assert.Equal(t, user.ID, again.of()["user"].(map[string]any)["id"])
	assert.Equal(t, 200, f.withToken(again.header.Get("X-Subject-Token")).status)

	validated := f.get("/v3/auth/tokens", f.Token(), token)
	assert.Equal(t, []string{res.body, token}, []string{validated.body, validated.header.Get("X-Subject-Token")}, "as it was issued")
	assert.NotContains(t, f.get("/v3/auth/tokens?nocatalog=1", token, token).of(), "catalog", "its own")
	f.get("/v3/auth/tokens", f.Token(), "").unissued(400, "X-Subject-Token")
	f.get("/v3/auth/tokens", f.Token(), "unknown").unissued(404, "could not be found")
	f.get("/v3/auth/tokens", "wrong", f.Token()).unissued(401, "authentication")

	// One that was added belongs to the first user, and is for the first project.
	f.AddToken("added", time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	for value, expiry := range map[string]string{"added": "2030-01-01T00:00:00.000000Z", f.Token(): "9999-12-31T00:00:00.000000Z"} {
		shown := f.get("/v3/auth/tokens", f.Token(), value).of()
		assert.Equal(t, []any{expiry, user.ID, "p1"}, []any{shown["expires_at"], shown["user"].(map[string]any)["id"], shown["project"].(map[string]any)["id"]})
	}
	g := start(t) // without users
	assert.Equal(t, "apigtest", g.get("/v3/auth/tokens", g.Token(), g.Token()).of()["user"].(map[string]any)["name"])

	now.Add(int64(22 * time.Hour))
	f.withToken(token).refused(401, "APIG.1001", "expired")
	f.token(ofToken(token, `{}`)).unissued(401, "authentication")
	f.token(ofToken("unknown", `{}`)).unissued(401, "authentication")
}

func TestWhoGetsAToken(t *testing.T) {
	f, user := iamFixture(t)
	f.AddUser(User{Name: "dora", Password: "other", DomainName: "umbrella"})
	root := f.AddUser(User{Name: "root", Password: "secret"})
	assert.Equal(t, "root", root.DomainName)
	assert.NotEqual(t, user.DomainID, root.DomainID)
	for user, ok := range map[string]bool{
		`{"name":"dora","password":"secret","domain":{"name":"acme"}}`:    true,
		`{"name":"dora","password":"other","domain":{"name":"umbrella"}}`: true,
		`{"name":"dora","password":"other","domain":{"name":"acme"}}`:     false,
		`{"name":"dora","password":"","domain":{"name":"acme"}}`:          false,
		`{"name":"dora","password":"secret","domain":{}}`:                 false,
		`{"name":"Dora","password":"secret","domain":{"name":"acme"}}`:    false,
		`{"name":"dora","password":"secret","domain":{"name":"other"}}`:   false,
		`{"id":"unknown","password":"secret"}`:                            false,
		`{"password":"secret","domain":{"name":"acme"}}`:                  false,
		`{}`: false,
	} {
		body := `{"auth":{"identity":{"methods":["password"],"password":{"user":` + user + `}},"scope":{"project":{"id":"p1"}}}}`
		if res := f.token(body); ok {
			assert.Equal(t, 201, res.status, user)
		} else {
			res.unissued(401, "The username or password is wrong.")
		}
	}
	f.AddUser(User{Name: "dora", Password: "changed", DomainName: "acme"})
	f.token(password).unissued(401, "wrong")

	agency := f.AddAgency(Agency{Name: "ops", DomainName: "customer"})
	assert.Equal(t, agency.DomainID, f.AddUser(User{Name: "u", DomainName: "customer"}).DomainID)
	for role, ok := range map[string]bool{
		`{"agency_name":"ops","domain_name":"customer"}`:  true,
		`{"agency_name":"none","domain_name":"customer"}`: false,
		`{"agency_name":"ops","domain_name":"acme"}`:      false,
		`{"agency_name":"ops"}`:                           false,
		`{}`:                                              false,
	} {
		body := `{"auth":{"identity":{"methods":["assume_role"],"assume_role":` + role + `},"scope":{"project":{"id":"p1"}}}}`
		f.token(body).unissued(401, "wrong") // without a token
		if res := f.call("POST", "/v3/auth/tokens", body); ok {
			require.Equal(t, 201, res.status, res.body)
			assert.Equal(t, "customer/ops", res.of()["user"].(map[string]any)["name"])
			assert.Equal(t, 200, f.withToken(res.header.Get("X-Subject-Token")).status)
		} else {
			res.unissued(401, "wrong")
		}
	}
}

func TestScope(t *testing.T) {
	f, user := iamFixture(t)
	f.AddInstance("p2", "i2")
	for scope, project := range map[string]string{
		`{"project":{"id":"p1"}}`:           "p1",
		`{"project":{"name":"cn-north-4"}}`: "p1",
		`{"project":{"name":"cn-north-4_p2","domain":{"id":"` + user.DomainID + `"}}}`: "p2",
		`{"project":{"id":"p2","name":"cn-north-4_p2"}}`:                               "p2",
	} {
		for p, instance := range map[string]string{"p1": "i1", "p2": "i2"} {
			if got := f.get(f.URL()+"/v2/"+p+"/apigw/instances/"+instance+"/envs", f.issued(scope), ""); p == project {
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
		f.token(strings.Replace(password, `{"project":{"name":"cn-north-4"}}`, scope, 1)).unissued(status, "scope")
	}
	for _, scope := range []string{`{}`, `"unscoped"`, `{"domain":{"name":"acme"}}`} {
		f.withToken(f.issued(scope)).refused(401, "APIG.1003", "no project")
	}
}

func TestTokenRequestIsStrict(t *testing.T) {
	f, _ := iamFixture(t)
	for body, text := range map[string]string{
		"":                "not JSON",
		"auth":            "not JSON",
		password + "{}":   "not JSON",
		"[]":              "body is invalid",
		`{"auth":"auth"}`: "auth is invalid",
		strings.Replace(password, `"scope"`, `"scopes"`, 1):                           "scopes is invalid",
		strings.Replace(password, `"domain"`, `"Domain"`, 1):                          "Domain is invalid",
		strings.Replace(password, `["password"]`, `"password"`, 1):                    "methods is invalid",
		strings.Replace(password, `{"name":"cn-north-4"}`, `7`, 1):                    "project is invalid",
		strings.Replace(password, `{"name":"cn-north-4"}`, `{"names":"x"}`, 1):        "names is invalid",
		strings.Replace(password, `{"project":{"name":"cn-north-4"}}`, `"system"`, 1): "is invalid",
		strings.Replace(password, `["password"]`, `[]`, 1):                            "methods is invalid",
		strings.Replace(password, `["password"]`, `["totp"]`, 1):                      "methods is invalid",
		strings.Replace(password, `["password"]`, `["password","totp"]`, 1):           "methods is invalid",
	} {
		r := f.request("POST", "/v3/auth/tokens", body)
		r.Header.Set("Content-Type", "application/json;charset=utf8") // as documented
		f.do(r).unissued(400, text)
	}
	r := f.request("POST", "/v3/auth/tokens", password)
	r.Header.Set("Content-Type", "text/plain")
	f.do(r).unissued(400, "Content-Type")
}

// Behind another server the addresses in an answer are the ones of that server.
func TestAddressesBehindAnotherServer(t *testing.T) {
	f := start(t)
	for want, change := range map[string]func(*http.Request){
		"https://iam.example.com/v3/": func(r *http.Request) {},
		"http://iam.example.com/v3/":  func(r *http.Request) { r.TLS = nil },
		f.URL() + "/v3/":              func(r *http.Request) { r.Host = "" },
	} {
		r := httptest.NewRequest(http.MethodGet, "https://iam.example.com/v3", nil)
		change(r)
		w := httptest.NewRecorder()
		f.Handler().ServeHTTP(w, r)
		assert.Contains(t, w.Body.String(), `"`+want+`"`)
		r.TLS = nil
		r.Header.Set("X-Forwarded-Proto", "https")
		w = httptest.NewRecorder()
		f.Handler().ServeHTTP(w, r)
		assert.Equal(t, r.Host != "", strings.Contains(w.Body.String(), `"https://`))
	}
}
