package apigtest_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

const release = "DEFAULT_ENVIRONMENT_RELEASE_ID"

// fixture is a gateway with one API, and a client with connections of its own.
type fixture struct {
	*apigtest.Gateway
	t      testing.TB
	client *http.Client
	api    string
}

func start(t testing.TB, opts ...apigtest.Option) *fixture {
	t.Helper()
	g := apigtest.NewGateway(opts...)
	transport := g.Transport()
	t.Cleanup(g.Close)
	t.Cleanup(transport.CloseIdleConnections)
	return &fixture{Gateway: g, t: t, client: &http.Client{Transport: transport}, api: g.AddAPI("orders")}
}

// base is where the endpoints of an instance are.
func base(g *apigtest.Gateway, i *apigtest.Instance) string {
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

func TestEveryAnswerHasTheHeadersOfTheService(t *testing.T) {
	f := start(t)
	seen := map[string]bool{}
	for _, path := range []string{"/envs", "/apis", "/nowhere", "/apis/publish/unknown"} {
		res := f.call("GET", path, "")
		assert.Equal(t, "api-gateway", res.header.Get("Server"))
		assert.Equal(t, "application/json", res.header.Get("Content-Type"))
		id := res.header.Get("X-Request-Id")
		assert.Regexp(t, "^[0-9a-f]{32}$", id)
		assert.False(t, seen[id], "a request id was used twice")
		seen[id] = true
	}
}

func TestRequestsAreRecordedAsReceived(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 7, time.UTC)
	f := start(t, apigtest.WithClock(func() time.Time { return at }))
	r := f.action("online", f.api, release, "r")
	r.Header.Set("X-Call-Id", "one")
	answer := f.do(r)
	f.call("GET", "/apis/publish/"+f.api+"?limit=3", "")
	f.call("GET", "/apis/runtime/abc%2Fdef", "")
	f.call("POST", "/apis/action", "{")

	got := f.Requests()
	require.Len(t, got, 4)
	first := got[0]
	assert.Equal(t, 1, first.Seq)
	assert.Equal(t, answer.header.Get("X-Request-Id"), first.ID)
	assert.Equal(t, at, first.Time)
	assert.Equal(t, apigtest.OpAction, first.Op)
	assert.Equal(t, "POST", first.Method)
	assert.Equal(t, "/v2/"+f.ProjectID()+"/apigw/instances/"+f.InstanceID()+"/apis/action", first.Path)
	assert.Equal(t, strings.TrimPrefix(f.URL(), "http://"), first.Host)
	assert.Equal(t, "one", first.Header.Get("X-Call-Id"))
	assert.Equal(t, f.Token(), first.Header.Get("X-Auth-Token"))
	assert.JSONEq(t, `{"action":"online","api_id":"`+f.api+`","env_id":"`+release+`","remark":"r"}`, string(first.Body))
	assert.Equal(t, f.InstanceID(), first.InstanceID)
	assert.Equal(t, f.api, first.APIID)
	assert.Regexp(t, `^127\.0\.0\.1:\d+$`, first.RemoteAddr)

	assert.Equal(t, apigtest.OpHistory, got[1].Op)
	assert.Equal(t, "3", got[1].Query.Get("limit"))
	assert.Equal(t, f.api, got[1].APIID)
	assert.Equal(t, "abc/def", got[2].APIID, "an escaped slash does not divide the path")
	assert.Empty(t, got[3].APIID)

	require.Len(t, f.Journal(), 1)
	assert.Equal(t, first, *f.Journal()[0].Request)
}

func TestOps(t *testing.T) {
	all := apigtest.Ops()
	assert.Len(t, all, 19)
	assert.Equal(t, apigtest.OpAction, all[0])
	assert.Equal(t, apigtest.OpUnknown, all[len(all)-1])
	for _, test := range []struct {
		method, path string
		want         apigtest.Op
	}{
		{"POST", "/apis/action", apigtest.OpAction},
		{"POST", "/apis/publish", apigtest.OpBatch},
		{"GET", "/apis/publish/a", apigtest.OpHistory},
		{"PUT", "/apis/publish/a", apigtest.OpSwitch},
		{"GET", "/apis/versions/v", apigtest.OpVersion},
		{"DELETE", "/apis/versions/v", apigtest.OpOfflineVersion},
		{"GET", "/apis/runtime/a", apigtest.OpRuntime},
		{"GET", "/envs", apigtest.OpEnvironments},
		{"POST", "/envs", apigtest.OpCreateEnvironment},
		{"DELETE", "/envs/e", apigtest.OpDeleteEnvironment},
		{"GET", "/apis", apigtest.OpAPIs},
		{"GET", "/apis/a", apigtest.OpAPI},
		{"GET", "/apis/", apigtest.OpUnknown},
		{"GET", "/apis/publish/", apigtest.OpUnknown},
		{"PATCH", "/apis", apigtest.OpUnknown},
		{"GET", "", apigtest.OpUnknown},
	} {
		f := start(t)
		f.call(test.method, test.path, "")
		assert.Equal(t, test.want, f.Requests()[0].Op, test.method+" "+test.path)
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	f := start(t)
	for _, path := range []string{"", "/", "/apis/action/", "/apis//action", "/apis/publish/a/b", "/v3/auth/tokens", "/token"} {
		f.call("POST", path, "{}").refused(404, "APIGW.0101", "does not exist")
	}
	for _, url := range []string{"/", "/v2", "/v3/auth", "/v2/" + f.ProjectID() + "/apigw/instances"} {
		f.call("GET", f.URL()+url, "").refused(404, "APIGW.0101", "does not exist")
	}

	res := f.call("PUT", "/apis/action", "{}")
	res.refused(405, "APIGW.0101", "PUT")
	assert.Equal(t, "POST, GET", res.header.Get("Allow"), "GET would be of an API called action")
	assert.Equal(t, "GET, DELETE", f.call("POST", "/apis/versions/v", "{}").header.Get("Allow"))
	f.call("PUT", f.URL()+"/v3/auth/tokens", "").refused(405, "APIGW.0101", "PUT")
}

func TestInstances(t *testing.T) {
	f := start(t, apigtest.WithIDs("p1", "i1"))
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
	assert.Equal(t, []apigtest.Version{published}, other.History(api, release))
	assert.Equal(t, other.InstanceID(), f.Journal()[0].InstanceID)

	f.call("GET", base(f.Gateway, other)+"/apis/publish/"+api, "").rows("api_versions")
	f.call("GET", "/apis/publish/"+api, "").refused(404, "APIG.3002", "API "+api+" does not exist")
	f.call("GET", f.URL()+"/v2/p1/apigw/instances/unknown/apis", "").refused(404, "APIG.3030", "instance")
	f.call("GET", f.URL()+"/v2/p2/apigw/instances/i1/apis", "").refused(404, "APIG.3030", "instance")
}

func TestSeededIDsAreTheSameInEveryRun(t *testing.T) {
	run := func(noise int) []string {
		f := start(t, apigtest.WithSeed(42))
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
	assert.NotEqual(t, first[0], start(t, apigtest.WithSeed(43)).Token(), "another seed")
	assert.NotEqual(t, start(t).Token(), start(t).Token(), "unseeded")
}

func TestClockAndDate(t *testing.T) {
	at := time.Date(2020, 8, 3, 1, 36, 0, 592970615, time.FixedZone("", 3600))
	f := start(t, apigtest.WithClock(func() time.Time { return at }))
	res := f.publish("")
	assert.Equal(t, "Mon, 03 Aug 2020 00:36:00 GMT", res.header.Get("Date"))
	assert.Equal(t, "2020-08-03T00:36:00.592970615Z", res.json()["publish_time"])

	f.SetDateSkew(-90 * time.Second)
	res = f.publish("")
	assert.Equal(t, "Mon, 03 Aug 2020 00:34:30 GMT", res.header.Get("Date"))
	assert.Equal(t, "2020-08-03T00:36:00.592970615Z", res.json()["publish_time"])

	f.SetDateSkew(0)
	f.SetClock(func() time.Time { return at.Add(time.Hour) })
	assert.Equal(t, "Mon, 03 Aug 2020 01:36:00 GMT", f.publish("").header.Get("Date"))

	f.SetClock(nil)
	date, err := http.ParseTime(f.publish("").header.Get("Date"))
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), date, time.Minute)
}

func TestSizeLimits(t *testing.T) {
	f := start(t)
	f.call("POST", "/apis/action", strings.Repeat(" ", 12<<20+1)).refused(413, "APIGW.0201", "entity too large")
	require.Len(t, f.Requests(), 1, "recorded all the same")
	f.call("POST", "/apis/action", strings.Repeat(" ", 12<<20)).refused(400, "APIG.2000", "unexpected end")
	f.call("GET", "/apis?name="+strings.Repeat("n", 32<<10), "").refused(414, "APIGW.0201", "URI")

	r := f.request("GET", "/apis", "")
	r.Header.Set("X-Auth-Token", strings.Repeat("t", 33<<10))
	f.do(r).refused(494, "APIGW.0201", "headers")
	r = f.request("GET", "/apis", "")
	for range 5 {
		r.Header.Add("X-Long", strings.Repeat("t", 30<<10))
	}
	f.do(r).refused(494, "APIGW.0201", "headers")
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
	f := start(t, apigtest.WithTLS())
	assert.True(t, strings.HasPrefix(f.URL(), "https://127.0.0.1:"))
	res, err := f.client.Do(f.action("online", f.api, release, ""))
	require.NoError(t, err)
	res.Body.Close()
	assert.Equal(t, 201, res.StatusCode)
	assert.Equal(t, 2, res.ProtoMajor)

	f.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.CertPool(), ServerName: "localhost"}}
	t.Cleanup(f.client.CloseIdleConnections)
	res, err = f.client.Do(f.action("online", f.api, release, ""))
	require.NoError(t, err)
	res.Body.Close()
	assert.Equal(t, 1, res.ProtoMajor)

	_, err = http.Get(f.URL())
	assert.ErrorContains(t, err, "certificate")
	assert.Nil(t, start(t).CertPool())
}

func TestHandlerBehindAnotherServer(t *testing.T) {
	f := start(t)
	server := httptest.NewServer(f.Handler())
	t.Cleanup(server.Close)
	r := f.action("online", f.api, release, "")
	r.URL.Host = strings.TrimPrefix(server.URL, "http://")
	assert.Equal(t, 201, f.do(r).status)
	assert.Zero(t, f.Accepted())
	assert.Len(t, f.Journal(), 1)

	f.Close()
	r = f.action("online", f.api, release, "")
	r.URL.Host = strings.TrimPrefix(server.URL, "http://")
	_, err := f.send(r)
	assert.ErrorIs(t, err, io.EOF, "a closed gateway answers nothing")
	assert.Len(t, f.Journal(), 1)
}

func TestMoreBesideTheGateway(t *testing.T) {
	f := start(t, apigtest.WithoutNetwork(), apigtest.WithHandler(func(g *apigtest.Gateway, own http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/", own)
		mux.HandleFunc("GET /changes", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, len(g.Journal())) })
		return mux
	}))
	f.publish("")
	assert.Equal(t, "1", f.call("GET", f.URL()+"/changes", "").body)
	assert.Len(t, f.Requests(), 1, "of the gateway itself")
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

			f.Inject(apigtest.Answer(200, strings.Repeat("x", 64<<20)))
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
	g := apigtest.NewGateway(apigtest.WithAddr("localhost:0"))
	defer g.Close()
	assert.Regexp(t, `^http://(127\.0\.0\.1|\[::1\]):\d+$`, g.URL())

	assert.PanicsWithValue(t, "apigtest: 0.0.0.0:0 is not a loopback address", func() {
		apigtest.NewGateway(apigtest.WithAddr("0.0.0.0:0"))
	})
	taken := strings.TrimPrefix(g.URL(), "http://")
	for addr, text := range map[string]string{
		"10.0.0.1:80":     "apigtest: 10.0.0.1:80 is not a loopback address",
		"127.0.0.1":       "apigtest: address 127.0.0.1: missing port in address",
		"127.0.0.1:99999": "apigtest: listen tcp: address 99999: invalid port",
		taken:             "apigtest: listen tcp " + taken + ": bind: address already in use",
	} {
		g, err := apigtest.Start(apigtest.WithAddr(addr))
		assert.EqualError(t, err, text)
		assert.Nil(t, g)
		assert.PanicsWithValue(t, text, func() { apigtest.NewGateway(apigtest.WithAddr(addr)) })
	}
	_, err := apigtest.Start(apigtest.WithAddr(taken))
	assert.ErrorIs(t, err, syscall.EADDRINUSE)
}

func TestRequestThatBreaksOffIsNotRecorded(t *testing.T) {
	f := start(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.URL(), "http://"))
	require.NoError(t, err)
	_, err = conn.Write([]byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nsome"))
	require.NoError(t, err)
	eventually(t, "connected", func() bool { return f.Accepted() == 1 })
	require.NoError(t, conn.Close())
	eventually(t, "connection gone", func() bool { return f.Connections() == 0 })
	assert.Empty(t, f.Requests())
	assert.Empty(t, f.Journal())
}
