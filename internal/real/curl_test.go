package real

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

// answer is an answer that curl has received.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// curl makes a request, with a token unless that is empty. The token goes through
// standard input, because every user of the machine can read a command line.
func (l *lifecycle) curl(method, url, token, body string) answer {
	l.t.Helper()
	args := []string{
		"--silent", "--show-error", "--globoff", "--noproxy", "*", "--max-time", strconv.Itoa(int(patience.Seconds())),
		"--request", method, "--header", "@-",
		"--write-out", "\n%{http_code}%{stderr}%{header_json}",
	}
	if method == "POST" || method == "PUT" {
		kind := "application/json"
		if strings.HasPrefix(url, l.URL()+"/v3/") {
			kind = "application/json;charset=utf8" // as IAM's documentation has it
		}
		args = append(args, "--header", "Content-Type: "+kind, "--data-binary", body)
	}
	c := exec.Command("curl", append(args, url)...)
	if token != "" {
		c.Stdin = strings.NewReader("X-Auth-Token: " + token)
	}
	var out, headers bytes.Buffer
	c.Stdout, c.Stderr = &out, &headers
	require.NoError(l.t, c.Run(), "%s", &headers)
	at := bytes.LastIndexByte(out.Bytes(), '\n')
	status, err := strconv.Atoi(string(out.Bytes()[at+1:]))
	require.NoError(l.t, err)
	lower := map[string][]string{}
	require.NoError(l.t, json.Unmarshal(headers.Bytes(), &lower), "%s", &headers)
	a := answer{status: status, header: http.Header{}, body: out.Bytes()[:at]}
	for name, values := range lower {
		a.header[http.CanonicalHeaderKey(name)] = values
	}
	return a
}

// login gets a token for the project, in the way that IAM's documentation shows.
func (l *lifecycle) login() string { return l.loginTo(l.ProjectID()) }

func (l *lifecycle) loginTo(project string) string {
	l.t.Helper()
	a := l.curl("POST", l.URL()+"/v3/auth/tokens?nocatalog=true", "", fmt.Sprintf(`{
    "auth": {
        "identity": {
            "methods": ["password"],
            "password": {"user": {"domain": {"name": %q}, "name": %q, "password": %q}}
        },
        "scope": {"project": {"id": %q}}
    }
}`, l.user.DomainName, l.user.Name, l.user.Password, project))
	require.Equal(l.t, http.StatusCreated, a.status, "%s", a.body)
	return a.header.Get("X-Subject-Token")
}

// TestCurl takes an API through its lifecycle with the requests of the
// documentation, and compares each answer with the documented one.
func TestCurl(t *testing.T) {
	t.Parallel()
	l := newLifecycle(t, curl)
	token := l.login()
	call := func(method, path, body string, status int, documented string) map[string]any {
		t.Helper()
		a := l.curl(method, l.base()+path, token, body)
		require.Equal(t, status, a.status, "%s", a.body)
		assert.NotEmpty(t, a.header.Get("X-Request-Id"))
		if documented == "" {
			require.Empty(t, a.body)
			return nil
		}
		return sameForm(t, documented, a.body)
	}
	var steps []step
	note := func(op string, record map[string]any) string {
		version, _ := record["version_id"].(string)
		steps = append(steps, step{op, record["api_id"].(string), version})
		return version
	}
	act := func(action string) string {
		t.Helper()
		documented := publishedExample
		if action == "offline" {
			documented = `{ "api_id" : "5f918d104dc84480a75166ba99efff21", "env_id" : "DEFAULT_ENVIRONMENT_RELEASE_ID" }`
		}
		return note(action, call("POST", "/apis/action", fmt.Sprintf(`{
  "action" : %q,
  "api_id" : %q,
  "env_id" : "DEFAULT_ENVIRONMENT_RELEASE_ID"
}`, action, l.orders), 201, documented))
	}
	batch := func(action string) {
		t.Helper()
		const missing = "abd9c4b2ff974888b0ba79be7e6b2762"
		answer := call("POST", "/apis/publish?action="+action, fmt.Sprintf(`{
  "apis" : [ %q, %q, %q ],
  "env_id" : "DEFAULT_ENVIRONMENT_RELEASE_ID",
  "remark" : "Published to the production environment"
}`, l.orders, l.users, missing), 200, `{"success" : [ ], "failure" : [ ]}`)
		for _, record := range answer["success"].([]any) {
			note(action, record.(map[string]any))
		}
		failure, err := json.Marshal(answer["failure"].([]any)[0])
		require.NoError(t, err)
		sameForm(t, failureExample, failure)
		assert.Contains(t, string(failure), "Api "+missing+" not found")
	}
	history := func() []any {
		t.Helper()
		return call("GET", "/apis/publish/"+l.orders, "", 200, historyExample)["api_versions"].([]any)
	}

	first := act("online")
	assert.Len(t, history(), 1)
	second := act("online")
	require.NotEqual(t, first, second)
	assert.Len(t, history(), 2)
	note("switch", call("PUT", "/apis/publish/"+l.orders, fmt.Sprintf(`{
  "version_id" : %q
}`, first), 200, switchedExample))
	assert.Equal(t, first, call("GET", "/apis/versions/"+first, "", 200, `{ "req_protocol" : "HTTPS" }`)["version_id"])
	assert.Equal(t, l.orders, call("GET", "/apis/runtime/"+l.orders+"?env_id="+release, "", 200, `{ "run_env_name" : "RELEASE" }`)["id"])
	assert.EqualValues(t, 2, call("GET", "/apis", "", 200, `{ "apis" : [ ] }`)["total"])
	assert.Equal(t, "orders", call("GET", "/apis/"+l.orders, "", 200, `{ "req_protocol" : "HTTPS" }`)["name"])
	assert.EqualValues(t, 1, call("GET", "/envs", "", 200, environmentsExample)["total"])
	created := call("POST", "/envs", `{
  "name" : "DEV",
  "remark" : "Development environment"
}`, 201, environmentExample)["id"].(string)
	call("DELETE", "/envs/"+created, "", 204, "")

	batch("online")
	third := steps[3].VersionID
	call("DELETE", "/apis/versions/"+third, "", 204, "")
	steps = append(steps, step{"offline-version", l.orders, third})
	act("online")
	batch("offline")
	act("online")
	act("offline")
	l.requireLifecycle(steps)
}

// The examples of the documentation, as printed there.
const (
	publishedExample    = `{ "api_id" : "5f918d104dc84480a75166ba99efff21", "env_id" : "DEFAULT_ENVIRONMENT_RELEASE_ID", "publish_id" : "9191cdb430724d4b8586ed7f1b962ca2", "publish_time" : "2020-08-03T01:36:00.592970615Z", "version_id" : "ee1a5a38d3d3493abf1dc4ed6cacfa0b" }`
	switchedExample     = `{ "publish_id" : "9191cdb430724d4b8586ed7f1b962ca2", "api_id" : "5f918d104dc84480a75166ba99efff21", "env_id" : "DEFAULT_ENVIRONMENT_RELEASE_ID", "version_id" : "ee1a5a38d3d3493abf1dc4ed6cacfa0b", "publish_time" : "2020-08-03T03:27:49.483295655Z" }`
	failureExample      = `{ "api_id" : "abd9c4b2ff974888b0ba79be7e6b2762", "error_code" : "APIG.3002", "error_msg" : "Api abd9c4b2ff974888b0ba79be7e6b2762 not found" }`
	historyExample      = `{ "total" : 1, "size" : 1, "api_versions" : [ { "version_id" : "ee1a5a38d3d3493abf1dc4ed6cacfa0b", "version_no" : "20200803093600", "api_id" : "5f918d104dc84480a75166ba99efff21", "env_id" : "DEFAULT_ENVIRONMENT_RELEASE_ID", "env_name" : "RELEASE", "publish_time" : "2020-08-03T01:36:00Z", "status" : 1 } ] }`
	environmentExample  = `{ "create_time" : "2020-07-31T06:41:43.511347628Z", "name" : "DEV", "remark" : "Development environment", "id" : "7a1ad0c350844ee69479b47df9a881cb" }`
	environmentsExample = `{ "total" : 2, "size" : 2, "envs" : [ { "create_time" : "2019-02-12T19:42:19.914989Z", "name" : "RELEASE", "remark" : "xxx", "id" : "DEFAULT_ENVIRONMENT_RELEASE_ID" } ] }`
)

// sameForm fails unless everything in a documented example is in the answer, in
// the same form: ids as ids, times as exact as there. It returns the answer.
func sameForm(t *testing.T, documented string, got []byte) map[string]any {
	t.Helper()
	var want, have map[string]any
	require.NoError(t, json.Unmarshal([]byte(documented), &want), "%s", documented)
	require.NoError(t, json.Unmarshal(got, &have), "%s", got)
	compareForm(t, "", want, have)
	return have
}

func compareForm(t *testing.T, path string, want, have any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		object, ok := have.(map[string]any)
		require.True(t, ok, "%s: %v", path, have)
		for name, value := range want {
			if assert.Contains(t, object, name, path) {
				compareForm(t, path+"."+name, value, object[name])
			}
		}
	case []any:
		array, ok := have.([]any)
		require.True(t, ok, "%s: %v", path, have)
		for _, element := range array {
			if len(want) > 0 {
				compareForm(t, path+"[]", want[0], element)
			}
		}
	default:
		assert.Equal(t, form(want), form(have), path)
	}
}

var forms = []struct {
	name    string
	pattern *regexp.Regexp
}{
	{"id", regexp.MustCompile(`^[0-9a-f]{32}$`)},
	{"time in fractions of a second", regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{4,9}Z$`)},
	{"time in seconds", regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`)},
	{"time in digits", regexp.MustCompile(`^\d{14}$`)},
	{"constant", regexp.MustCompile(`^[A-Z][A-Z.0-9_]+$`)},
}

func form(v any) string {
	text, ok := v.(string)
	if !ok {
		return fmt.Sprintf("%T", v)
	}
	for _, f := range forms {
		if f.pattern.MatchString(text) {
			if f.name == "constant" {
				return text
			}
			return f.name
		}
	}
	return "text"
}

// refusal is an error of the documentation, without the spaces printed there.
type refusal struct {
	status int
	body   string
}

var (
	badAction     = refusal{400, `{"error_code":"APIG.2011","error_msg":"Invalid parameter value,parameterName:action. Please refer to the support documentation"}`}
	badEnvName    = refusal{400, `{"error_code":"APIG.2012","error_msg":"Invalid parameter value,parameterName:env_name. Please refer to the support documentation"}`}
	badName       = refusal{400, `{"error_code":"APIG.2012","error_msg":"Invalid parameter value,parameterName:name. Please refer to the support documentation"}`}
	noBody        = refusal{400, `{"error_code":"APIG.2000","error_msg":"Parameter error: Serialization error: unexpected end of JSON input"}`}
	badToken      = refusal{401, `{"error_code":"APIG.1002","error_msg":"Incorrect token or token resolution failed"}`}
	notAllowed    = refusal{403, `{"error_code":"APIG.1005","error_msg":"No permissions to request this method"}`}
	noAPI         = refusal{404, `{"error_code":"APIG.3002","error_msg":"API 5f918d104dc84480a75166ba99efff21 does not exist"}`}
	noEnvironment = refusal{404, `{"error_code":"APIG.3003","error_msg":"Environment 7a1ad0c350844ee69479b47df9a881cb does not exist"}`}
	noVersion     = refusal{404, `{"error_code":"APIG.3022","error_msg":"The API version does not exist,id:ee1a5a38d3d3493abf1dc4ed6cacfa0b"}`}
	systemError   = refusal{500, `{"error_code":"APIG.9999","error_msg":"System error"}`}
)

// TestDocumentedErrors provokes each error that is documented for an endpoint,
// and compares the answer with the documentation, byte for byte but for the spaces.
// Nothing may have been applied.
func TestDocumentedErrors(t *testing.T) {
	t.Parallel()
	const (
		api     = "5f918d104dc84480a75166ba99efff21"
		version = "ee1a5a38d3d3493abf1dc4ed6cacfa0b"
		action  = `{"action":"online","env_id":"` + release + `","api_id":"` + api + `"}`
	)
	l := newLifecycle(t, curl)
	tokens := map[int]string{ // by the status that they lead to
		401: "not-a-token",
		403: l.loginTo(l.AddInstance("", "").ProjectID()),
	}
	own := l.login()
	for _, endpoint := range []struct {
		method, path, body string // a valid request, but for its token
		op                 gateway.Op
		wrong              []struct { // requests that are invalid with any token
			path, body string
			want       refusal
		}
	}{
		{"POST", "/apis/action", action, gateway.OpAction, wrongs{
			{"/apis/action", strings.Replace(action, "online", "publish", 1), badAction},
			{"/apis/action", action, noAPI},
		}},
		// The documentation has another text beside the same code for a batch, with
		// backslashes that are a misprint; the gateway has one text.
		{"POST", "/apis/publish?action=online", `{"env_id":"` + release + `","apis":["` + api + `"]}`, gateway.OpBatch, wrongs{
			{"/apis/publish?action=publish", `{}`, badAction},
		}},
		{"GET", "/apis/publish/" + api, "", gateway.OpHistory, wrongs{
			{"/apis/publish/" + api + "?env_name=*", "", badEnvName},
			{"/apis/publish/" + api, "", noAPI},
		}},
		{"PUT", "/apis/publish/" + l.orders, `{"version_id":"` + version + `"}`, gateway.OpSwitch, wrongs{
			{"/apis/publish/" + l.orders, "", noBody},
			{"/apis/publish/" + l.orders, `{"version_id":"` + version + `"}`, noVersion},
		}},
		{"GET", "/apis/versions/" + version, "", gateway.OpVersion, wrongs{
			{"/apis/versions/" + version, "", noVersion},
		}},
		{"DELETE", "/apis/versions/" + version, "", gateway.OpOfflineVersion, wrongs{
			{"/apis/versions/" + version, "", noVersion},
		}},
		{"GET", "/apis/runtime/" + api, "", gateway.OpRuntime, wrongs{
			{"/apis/runtime/" + api, "", noAPI},
		}},
		{"GET", "/envs", "", gateway.OpEnvironments, wrongs{
			{"/envs?name=a&name=b", "", badName},
		}},
		{"POST", "/envs", `{"name":"DEV"}`, gateway.OpCreateEnvironment, wrongs{
			{"/envs", `{"name":"7"}`, badName},
		}},
		{"DELETE", "/envs/7a1ad0c350844ee69479b47df9a881cb", "", gateway.OpDeleteEnvironment, wrongs{
			{"/envs/7a1ad0c350844ee69479b47df9a881cb", "", noEnvironment},
		}},
		{"GET", "/apis/" + api, "", gateway.OpAPI, wrongs{
			{"/apis/" + api, "", noAPI},
		}},
		{"GET", "/apis", "", gateway.OpAPIs, wrongs{
			{"/apis?name=a&name=b", "", badName},
		}},
	} {
		t.Run(string(endpoint.op), func(t *testing.T) {
			check := func(want refusal, path, token, body string) {
				t.Helper()
				got := l.curl(endpoint.method, l.base()+path, token, body)
				assert.Equal(t, want.status, got.status)
				assert.Equal(t, want.body, string(got.body))
				assert.Equal(t, []string{"application/json"}, got.header["Content-Type"])
				assert.NotEmpty(t, got.header.Get("X-Request-Id"))
			}
			for _, w := range endpoint.wrong {
				check(w.want, w.path, own, w.body)
			}
			check(badToken, endpoint.path, tokens[401], endpoint.body)
			check(badToken, endpoint.path, "", endpoint.body)
			check(notAllowed, endpoint.path, tokens[403], endpoint.body)
			// The documentation names no cause of this one, so it is injected.
			l.Inject(gateway.Answer(500, `{"error_code":"APIG.9999","error_msg":"System error"}`).On(endpoint.op))
			check(systemError, endpoint.path, own, endpoint.body)
		})
	}
	assert.Empty(t, l.Journal())
}

// wrongs are requests to one endpoint, with the documented answers.
type wrongs = []struct {
	path, body string
	want       refusal
}
