package gateway_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
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

const release = "DEFAULT_ENVIRONMENT_RELEASE_ID"

// fixture is a gateway with one API, and a client with connections of its own.
type fixture struct {
	*gateway.Gateway
	t      testing.TB
	client *http.Client
	api    string
}

func start(t testing.TB, opts ...gateway.Option) *fixture {
	t.Helper()
	g := gateway.NewGateway(opts...)
	transport := g.Transport()
	t.Cleanup(g.Close)
	t.Cleanup(transport.CloseIdleConnections)
	return &fixture{Gateway: g, t: t, client: &http.Client{Transport: transport}, api: g.AddAPI("orders")}
}

// base is where the endpoints of an instance are.
func base(g *gateway.Gateway, i *gateway.Instance) string {
	return g.URL() + "/v2/" + i.ProjectID() + "/apigw/instances/" + i.InstanceID()
}

// request makes a request with a token, and as JSON if it has a body.
func (f *fixture) request(method, path, body string) *http.Request {
	f.t.Helper()
	url := path
	if !strings.HasPrefix(path, "http") {
		url = base(f.Gateway, f.Instance) + path
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

func (f *fixture) action(action, api, env, remark string) *http.Request {
	f.t.Helper()
	body, err := json.Marshal(map[string]string{"action": action, "api_id": api, "env_id": env, "remark": remark})
	require.NoError(f.t, err)
	return f.request("POST", "/apis/action", string(body))
}

func (f *fixture) publish(remark string) result {
	f.t.Helper()
	return f.do(f.action("online", f.api, release, remark))
}

// json decodes the body as an object.
func (r result) json() map[string]any {
	r.t.Helper()
	assert.Equal(r.t, "application/json", r.header.Get("Content-Type"))
	var v map[string]any
	require.NoError(r.t, json.Unmarshal([]byte(r.body), &v), r.body)
	return v
}

// rows decodes a list answer.
func (r result) rows(name string) []map[string]any {
	r.t.Helper()
	require.Equal(r.t, 200, r.status, r.body)
	var v map[string]json.RawMessage
	require.NoError(r.t, json.Unmarshal([]byte(r.body), &v))
	var rows []map[string]any
	require.NoError(r.t, json.Unmarshal(v[name], &rows))
	assert.NotNil(r.t, rows, "an empty list is [], not null")
	assert.Equal(r.t, float64(len(rows)), r.json()["size"])
	return rows
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

// eventually waits for what other goroutines bring about.
func eventually(t testing.TB, what string, happened func() bool) {
	t.Helper()
	require.Eventually(t, happened, time.Minute, time.Millisecond, what)
}

func TestRequestsAreRecordedAsReceived(t *testing.T) {
	f := start(t, at(documented))
	r := f.action("online", f.api, release, "r")
	r.Header.Set("X-Call-Id", "one")
	answer := f.do(r)
	f.call("GET", "/apis/publish/"+f.api+"?limit=3", "")
	f.call("GET", "/apis/runtime/abc%2Fdef", "")
	f.call("POST", "/apis/action", "{")

	got := f.Requests()
	require.Len(t, got, 4)
	first := got[0]
	assert.Equal(t, []any{1, documented, gateway.OpAction, "POST", "/v2/" + f.ProjectID() + "/apigw/instances/" + f.InstanceID() + "/apis/action",
		strings.TrimPrefix(f.URL(), "http://"), f.InstanceID(), f.api},
		[]any{first.Seq, first.Time, first.Op, first.Method, first.Path, first.Host, first.InstanceID, first.APIID})
	assert.Equal(t, "one "+f.Token(), first.Header.Get("X-Call-Id")+" "+first.Header.Get("X-Auth-Token"))
	assert.JSONEq(t, `{"action":"online","api_id":"`+f.api+`","env_id":"`+release+`","remark":"r"}`, string(first.Body))
	assert.Regexp(t, `^127\.0\.0\.1:\d+$`, first.RemoteAddr)
	assert.Regexp(t, "^[0-9a-f]{32}$", first.ID)
	assert.NotEqual(t, first.ID, got[1].ID)
	for name, want := range map[string]string{"Server": "api-gateway", "Content-Type": "application/json", "X-Request-Id": first.ID} {
		assert.Equal(t, want, answer.header.Get(name))
	}
	assert.Equal(t, []any{gateway.OpHistory, "3", f.api}, []any{got[1].Op, got[1].Query.Get("limit"), got[1].APIID})
	assert.Equal(t, "abc/def", got[2].APIID, "an escaped slash does not divide the path")
	assert.Empty(t, got[3].APIID)
	require.Len(t, f.Journal(), 1)
	assert.Equal(t, first, *f.Journal()[0].Request)
}

func TestOps(t *testing.T) {
	f := start(t)
	for request, want := range map[string]gateway.Op{
		"POST /apis/action": gateway.OpAction, "POST /apis/publish": gateway.OpBatch, "GET /apis/publish/a": gateway.OpHistory,
		"PUT /apis/publish/a": gateway.OpSwitch, "GET /apis/versions/v": gateway.OpVersion, "DELETE /apis/versions/v": gateway.OpOfflineVersion,
		"GET /apis/runtime/a": gateway.OpRuntime, "GET /envs": gateway.OpEnvironments, "POST /envs": gateway.OpCreateEnvironment,
		"DELETE /envs/e": gateway.OpDeleteEnvironment, "GET /api-groups": gateway.OpGroups, "GET /apis": gateway.OpAPIs,
		"GET /apis/a": gateway.OpAPI, "GET /apis/": gateway.OpUnknown, "GET /apis/publish/": gateway.OpUnknown,
		"PATCH /apis": gateway.OpUnknown, "GET ": gateway.OpUnknown,
	} {
		method, path, _ := strings.Cut(request, " ")
		f.call(method, path, "")
		requests := f.Requests()
		assert.Equal(t, want, requests[len(requests)-1].Op, request)
		assert.Contains(t, gateway.Ops(), want)
	}
	assert.Len(t, gateway.Ops(), 20)
}

func TestInstances(t *testing.T) {
	f := start(t, gateway.WithIDs("p1", "i1"))
	assert.Equal(t, "p1", f.ProjectID())
	assert.Equal(t, "i1", f.InstanceID())

	other := f.AddInstance("p2", "")
	assert.Equal(t, "p2", other.ProjectID())
	assert.Regexp(t, "^[0-9a-f]{32}$", other.InstanceID())
	assert.Same(t, other, f.AddInstance("p2", other.InstanceID()))

	api := other.AddAPI("orders")
	published, err := other.Publish(api, release, "by hand")
	require.NoError(t, err)
	_, ok := f.Published(api, release)
	assert.False(t, ok, "the API is the other instance's")
	assert.Equal(t, []gateway.Version{published}, other.History(api, release))
	assert.Equal(t, other.InstanceID(), f.Journal()[0].InstanceID)

	f.call("GET", base(f.Gateway, other)+"/apis/publish/"+api, "").rows("api_versions")
	f.call("GET", "/apis/publish/"+api, "").refused(404, "APIG.3002", "API "+api+" does not exist")
	f.call("GET", f.URL()+"/v2/p1/apigw/instances/unknown/apis", "").refused(404, "APIG.3030", "instance")
	f.call("GET", f.URL()+"/v2/p2/apigw/instances/i1/apis", "").refused(404, "APIG.3030", "instance")
}

func TestSeededIDsAreTheSameInEveryRun(t *testing.T) {
	run := func(noise int) []string {
		f := start(t, gateway.WithSeed(42))
		for range noise {
			assert.NotEqual(t, f.Token(), f.call("GET", "/envs", "").header.Get("X-Request-Id"))
		}
		v, err := f.Publish(f.api, release, "")
		require.NoError(t, err)
		return []string{f.Token(), f.ProjectID(), f.InstanceID(), f.api, f.AddEnvironment("DEV"), v.ID, v.PublishID}
	}
	first := run(0)
	for _, id := range first {
		assert.Regexp(t, "^[0-9a-f]{32}$", id)
	}
	assert.Equal(t, first, run(3), "the number of requests must not matter")
	assert.NotEqual(t, first[0], start(t, gateway.WithSeed(43)).Token(), "another seed")
	assert.NotEqual(t, start(t).Token(), start(t).Token(), "unseeded")
}

func TestClockAndDate(t *testing.T) {
	f := start(t, at(documented.In(time.FixedZone("", 3600))))
	check := func(date string) {
		t.Helper()
		res := f.publish("")
		assert.Equal(t, date, res.header.Get("Date"))
		assert.Equal(t, "2020-08-03T01:36:00.592970615Z", res.json()["publish_time"])
	}
	check("Mon, 03 Aug 2020 01:36:00 GMT")
	f.SetDateSkew(-90 * time.Second)
	check("Mon, 03 Aug 2020 01:34:30 GMT")
	f.SetDateSkew(0)
	f.SetClock(func() time.Time { return documented.Add(time.Hour) })
	assert.Equal(t, "Mon, 03 Aug 2020 02:36:00 GMT", f.publish("").header.Get("Date"))
	f.SetClock(nil)
	date, err := http.ParseTime(f.publish("").header.Get("Date"))
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), date, time.Minute)
}

func TestConnectionsAreCounted(t *testing.T) {
	f := start(t)
	assert.Zero(t, f.Accepted())
	f.publish("")
	f.publish("")
	assert.Equal(t, 1, f.Accepted())
	assert.Equal(t, 1, f.Connections())
	f.client.CloseIdleConnections()
	eventually(t, "connection closed", func() bool { return f.Connections() == 0 })
	f.publish("")
	assert.Equal(t, 2, f.Accepted())
}

func TestTLSAndHTTP2(t *testing.T) {
	f := start(t, gateway.WithTLS())
	assert.True(t, strings.HasPrefix(f.URL(), "https://127.0.0.1:"))
	for proto, transport := range map[int]http.RoundTripper{
		2: f.client.Transport,
		1: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.CertPool(), ServerName: "localhost"}, DisableKeepAlives: true},
	} {
		f.client.Transport = transport
		res, err := f.client.Do(f.action("online", f.api, release, ""))
		require.NoError(t, err)
		res.Body.Close()
		assert.Equal(t, []int{201, proto}, []int{res.StatusCode, res.ProtoMajor})
	}
	_, err := http.Get(f.URL())
	assert.ErrorContains(t, err, "certificate")
	assert.Nil(t, start(t).CertPool())
}

// Close must not wait for a client of another server that never ends its body,
// or never reads its answer.
func TestCloseBehindAnotherServer(t *testing.T) {
	for name, server := range map[string]func(http.Handler) *httptest.Server{
		"HTTP/1.1": httptest.NewServer,
		"HTTP/2": func(h http.Handler) *httptest.Server {
			s := httptest.NewUnstartedServer(h)
			s.EnableHTTP2 = true
			s.StartTLS()
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t)
			begun := make(chan struct{}, 2)
			s := server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				begun <- struct{}{}
				f.Handler().ServeHTTP(w, r)
			}))
			client := s.Client()
			r := f.action("online", f.api, release, "")
			body, rest := io.Pipe()
			r.URL, _ = r.URL.Parse(s.URL + r.URL.Path)
			r.Body, r.ContentLength = body, 1000
			failed := make(chan error)
			go func() {
				res, err := client.Do(r)
				if err == nil {
					res.Body.Close()
					err = errors.New(res.Status)
				}
				failed <- err
			}()
			_, err := rest.Write([]byte("{"))
			require.NoError(t, err)
			<-begun

			f.Inject(gateway.Answer(200, strings.Repeat("x", 16<<20)))
			unread := f.request("GET", "/envs", "")
			unread.URL, _ = unread.URL.Parse(s.URL + unread.URL.Path)
			res, err := client.Do(unread)
			require.NoError(t, err)

			f.Close()
			_, err = io.ReadAll(res.Body)
			assert.Error(t, err)
			res.Body.Close()
			s.Close() // waits for its requests, whose bodies have not ended
			rest.CloseWithError(io.ErrUnexpectedEOF)
			assert.Error(t, <-failed)
			assert.Len(t, f.Requests(), 1)
			assert.Empty(t, f.Journal())
			assert.Zero(t, f.Accepted())
		})
	}
}

// A writer of another kind that has no deadlines: Close returns all the same.
func TestCloseDuringABodyThatCannotBeBrokenOff(t *testing.T) {
	f := start(t)
	body, rest := io.Pipe()
	ended := make(chan any)
	go func() {
		defer func() { ended <- recover() }()
		f.Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", body))
	}()
	_, err := rest.Write([]byte("{"))
	require.NoError(t, err)
	f.Close()
	require.NoError(t, rest.Close())
	assert.Equal(t, http.ErrAbortHandler, <-ended)
	assert.Empty(t, f.Requests(), "it came too late")
}

func TestAddr(t *testing.T) {
	g := gateway.NewGateway(gateway.WithAddr("localhost:0"))
	defer g.Close()
	assert.Regexp(t, `^http://(127\.0\.0\.1|\[::1\]):\d+$`, g.URL())
	taken := strings.TrimPrefix(g.URL(), "http://")
	for addr, text := range map[string]string{
		"0.0.0.0:0":       "0.0.0.0:0 is not a loopback address",
		"10.0.0.1:80":     "10.0.0.1:80 is not a loopback address",
		"127.0.0.1":       "address 127.0.0.1: missing port in address",
		"127.0.0.1:99999": "listen tcp: address 99999: invalid port",
		taken:             "listen tcp " + taken + ": bind: address already in use",
	} {
		_, err := gateway.Start(gateway.WithAddr(addr))
		assert.EqualError(t, err, text)
		assert.PanicsWithValue(t, text, func() { gateway.NewGateway(gateway.WithAddr(addr)) })
	}
}

// withToken asks for something harmless with a token.
func (f *fixture) withToken(token string) result {
	f.t.Helper()
	r := f.request("GET", "/envs", "")
	r.Header.Set("X-Auth-Token", token)
	return f.do(r)
}

func TestTokens(t *testing.T) {
	now := new(atomic.Int64)
	f := start(t, gateway.WithClock(func() time.Time { return time.Unix(now.Load(), 0) }))
	f.AddToken("brief", time.Unix(60, 0))
	f.AddToken("for ever", time.Time{})
	ok := func(token string) { t.Helper(); assert.Equal(t, 200, f.withToken(token).status) }
	wrong := func(token string) {
		t.Helper()
		f.withToken(token).refused(401, "APIG.1002", "Incorrect token or token resolution failed")
	}
	wrong("")
	wrong("unknown")
	ok(f.Token())
	now.Store(59)
	ok("brief")
	now.Store(60)
	f.withToken("brief").refused(401, "APIG.1001", "expired")
	now.Store(1 << 40)
	ok("for ever")
	f.Inject(gateway.ExpireToken())
	f.withToken("for ever").refused(401, "APIG.1001", "expired")
	f.withToken("for ever").refused(401, "APIG.1001", "expired")
	ok(f.Token())
	f.RevokeToken("for ever")
	wrong("for ever")

	f.ValidateTokens(func(token string) bool { return token == "good" && f.Accepted() > 0 }) // it may call the gateway
	ok("good")
	wrong(f.Token())
	f.ValidateTokens(nil)
	ok(f.Token())
	wrong("good")

	r := f.request("POST", f.URL()+"/v2/p/apigw/instances/i/apis/action", "{")
	r.Header.Set("X-Auth-Token", "unknown")
	f.do(r).refused(401, "APIG.1002", "Incorrect token") // before anything else is looked at
	f.call("POST", f.URL()+"/v2/p/apigw/instances/i/apis/action", "{").refused(404, "APIG.3030", "instance")
}

func TestReset(t *testing.T) {
	f := start(t)
	dev := f.AddEnvironment("DEV")
	f.AddToken("own", time.Time{})
	v, err := f.Publish(f.api, dev, "")
	require.NoError(t, err)
	f.Inject(gateway.Busy(), gateway.ExpireToken())
	f.publish("")
	f.withToken("own").refused(401, "APIG.1001", "expired")
	f.Inject(gateway.Busy().Always())
	f.InjectFunc(gateway.Mix(1, 1, gateway.Busy()))

	f.Reset()
	assert.Empty(t, f.Requests())
	assert.Empty(t, f.Journal())
	assert.Zero(t, f.Struck())
	assert.Empty(t, f.History(f.api, dev))
	assert.Equal(t, 200, f.withToken("own").status)
	f.call("GET", "/apis/versions/"+v.ID, "").refused(404, "APIG.3022", v.ID)
	assert.Equal(t, 201, f.do(f.action("online", f.api, dev, "")).status)
	assert.Equal(t, 1, f.Journal()[0].Seq)
	assert.Equal(t, 3, f.Requests()[2].Seq)
	assert.Equal(t, f.Requests()[2:], f.RequestsSince(2))
	assert.Equal(t, f.Journal(), f.JournalSince(-1))
	assert.Empty(t, f.JournalSince(100))

	made := f.call("POST", "/envs", `{"name":"made"}`).json()["id"].(string)
	assert.Equal(t, made, f.AddEnvironment("made"), "now the test's own")
	f.Reset()
	assert.Len(t, f.call("GET", "/envs?name=made", "").rows("envs"), 1)
}
