package gateway

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fixture is a gateway with one API, and a client with connections of its own.
type fixture struct {
	*Gateway
	t      testing.TB
	client *http.Client
	api    string
	names  map[string]string // values in conversations
}

func start(t testing.TB, opts ...Option) *fixture {
	t.Helper()
	g := NewGateway(opts...)
	transport := g.Transport()
	t.Cleanup(g.Close)
	t.Cleanup(transport.CloseIdleConnections)
	api := g.AddAPI("orders")
	return &fixture{g, t, &http.Client{Transport: transport}, api, map[string]string{"api": api, "release": releaseID}}
}

// documented is the time of the examples in the documentation.
var documented = time.Date(2020, 8, 3, 1, 36, 0, 592970615, time.UTC)

func at(now time.Time) Option { return WithClock(func() time.Time { return now }) }

// base is where the endpoints of an instance are.
func base(i *Instance) string {
	return i.gw.URL() + "/v2/" + i.ProjectID() + "/apigw/instances/" + i.InstanceID()
}

// request makes a request with a token, and as JSON if it has a body. A path is below
// the first instance, unless it is one of IAM or of the control address.
func (f *fixture) request(method, path, body string) *http.Request {
	f.t.Helper()
	url := base(f.Instance) + path
	switch {
	case strings.HasPrefix(path, "http"):
		url = path
	case strings.HasPrefix(path, "/v3"), strings.HasPrefix(path, controlPath):
		url = f.URL() + path
	}
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	require.NoError(f.t, err)
	r.Header.Set("X-Auth-Token", f.Token())
	if body != "" {
		r.Header.Set("Content-Type", "application/json;charset=UTF-8")
	}
	return r
}

// result is an answer read to its end.
type result struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

func (f *fixture) do(r *http.Request) result {
	f.t.Helper()
	res, err := f.send(r)
	require.NoError(f.t, err)
	return res
}

// send may be called from any goroutine.
func (f *fixture) send(r *http.Request) (result, error) {
	res, err := f.client.Do(r)
	if err != nil {
		return result{t: f.t}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return result{f.t, res.StatusCode, res.Header, string(body)}, err
}

func (f *fixture) call(method, path, body string) result {
	f.t.Helper()
	return f.do(f.request(method, path, body))
}

func (f *fixture) action(action, remark string) *http.Request {
	f.t.Helper()
	body, err := json.Marshal(map[string]string{"action": action, "api_id": f.api, "env_id": releaseID, "remark": remark})
	require.NoError(f.t, err)
	return f.request("POST", "/apis/action", string(body))
}

func (f *fixture) publish(remark string) result {
	f.t.Helper()
	return f.do(f.action("online", remark))
}

// get reads something with a token, and perhaps about another one.
func (f *fixture) get(path, token, subject string) result {
	f.t.Helper()
	r := f.request("GET", path, "")
	r.Header.Set("X-Auth-Token", token)
	r.Header.Set("X-Subject-Token", subject)
	return f.do(r)
}

// withToken asks for something harmless with a token.
func (f *fixture) withToken(token string) result {
	f.t.Helper()
	return f.get("/envs", token, "")
}

// converse makes the requests of a script, and compares each answer with the next line:
// its status and, byte for byte, its body. A name such as $one stands for an ID that is
// the same wherever the name is; … stands for anything.
func (f *fixture) converse(script string) {
	f.t.Helper()
	name := regexp.MustCompile(`\\?\$(\w+)`)
	var res result
	for _, line := range strings.Split(script, "\n") {
		line = name.ReplaceAllStringFunc(strings.TrimSpace(line), func(s string) string {
			if value, ok := f.names[s[1:]]; ok {
				return value
			}
			return s
		})
		first, rest, _ := strings.Cut(line, " ")
		if status, err := strconv.Atoi(first); err == nil {
			require.Equal(f.t, status, res.status, "%s: %s", line, res.body)
			pattern := name.ReplaceAllString(strings.ReplaceAll(regexp.QuoteMeta(rest), "…", ".*"), `(?P<$1>[0-9a-f]{32})`)
			expected := regexp.MustCompile("^" + pattern + "$")
			found := expected.FindStringSubmatch(strings.TrimSpace(res.body))
			require.NotNil(f.t, found, "expected %s\nactual   %s", rest, res.body)
			for n, name := range expected.SubexpNames()[1:] {
				if f.names[name] == "" {
					assert.NotContains(f.t, slices.Collect(maps.Values(f.names)), found[n+1], "not a new ID")
					f.names[name] = found[n+1]
				}
				assert.Equal(f.t, f.names[name], found[n+1], name)
			}
		} else if first != "" && first != "#" {
			path, body, _ := strings.Cut(rest, " ")
			res = f.call(first, path, body)
		}
	}
}

// json decodes the body as an object.
func (r result) json() map[string]any {
	r.t.Helper()
	assert.Equal(r.t, "application/json", r.header.Get("Content-Type"))
	var v map[string]any
	require.NoError(r.t, json.Unmarshal([]byte(r.body), &v), r.body)
	return v
}

// column is one member of each row of a list.
func (r result) column(list, name string) []any {
	r.t.Helper()
	require.Equal(r.t, 200, r.status, r.body)
	rows, ok := r.json()[list].([]any)
	require.True(r.t, ok, "an empty list is [], not null")
	all := []any{}
	for _, row := range rows {
		all = append(all, row.(map[string]any)[name])
	}
	return all
}

// refused asserts an error answer.
func (r result) refused(status int, code, text string) {
	r.t.Helper()
	require.Equal(r.t, status, r.status, r.body)
	body := r.json()
	assert.Equal(r.t, code, body["error_code"])
	assert.Contains(r.t, body["error_msg"], text)
	if strings.HasPrefix(code, "APIGW.") {
		assert.Equal(r.t, r.header.Get("X-Request-Id"), body["request_id"])
	} else {
		assert.NotContains(r.t, body, "request_id")
	}
}

// eventually waits for something that other goroutines bring about.
func eventually(t testing.TB, what string, happened func() bool) {
	t.Helper()
	require.Eventually(t, happened, time.Minute, time.Millisecond, what)
}
