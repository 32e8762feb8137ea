package apig

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	ecsToken     = "metadata-token-of-version-2"
	ecsTokenPath = "/meta-data/latest/api/token"
	ecsKeysPath  = "/openstack/latest/securitykey"
	ecsKeysBody  = `{"credential":{"access":"HPUADTEMPORARY","secret":"sk-from-the-metadata","securitytoken":"security-token-from-the-metadata",` +
		`"expires_at":"2019-02-13T06:52:13.855000Z"}}`
)

// ecsKeys is what ecsKeysBody says.
var ecsKeys = Keys{
	AccessKey:     "HPUADTEMPORARY",
	SecretKey:     "sk-from-the-metadata",
	SecurityToken: "security-token-from-the-metadata",
	Expiry:        time.Date(2019, 2, 13, 6, 52, 13, 855_000_000, time.UTC),
}

// ecsOn is a source on a transport that answers these requests in turn.
func ecsOn(answers ...httpmock.Responder) (*ECSKeys, *recorder) {
	wire := answering(answers...)
	return &ECSKeys{HTTPClient: &http.Client{Transport: wire}}, wire
}

var ecsGives = respondJSON(200, ecsKeysBody)

func TestECSKeys(t *testing.T) {
	source, wire := ecsOn(respond(200, ecsToken+"\r\n"), ecsGives)
	keys, err := source.Keys(t.Context())
	require.NoError(t, err)
	assert.Equal(t, ecsKeys, keys)
	require.Equal(t, 2, wire.count())
	put, get := wire.requests[0], wire.requests[1]
	assert.Equal(t, "PUT http://169.254.169.254"+ecsTokenPath, put.Method+" "+put.URL.String())
	assert.Equal(t, "GET http://169.254.169.254"+ecsKeysPath, get.Method+" "+get.URL.String())
	assert.Equal(t, []string{"21600"}, put.Header["X-Metadata-Token-Ttl-Seconds"])
	assert.NotContains(t, put.Header, "X-Metadata-Token")
	assert.Equal(t, []string{ecsToken}, get.Header["X-Metadata-Token"], "without its line break")
	assert.NotContains(t, get.Header, "X-Metadata-Token-Ttl-Seconds")
	for _, r := range wire.requests {
		for _, name := range []string{"Authorization", "X-Auth-Token", "X-Project-Id", "X-Sdk-Date"} {
			assert.NotContains(t, r.Header, name)
		}
	}

	source, wire = ecsOn(respond(200, ecsToken), ecsGives)
	source.Endpoint = "http://metadata.test:8775/"
	_, err = source.Keys(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "http://metadata.test:8775"+ecsKeysPath, wire.requests[1].URL.String())
}

// Where there is only version 1 of the service, there is no token; that costs one
// request. Anything else in place of a token is not taken for version 1: to go on
// without the token would undo what it is there for.
func TestECSKeysVersions(t *testing.T) {
	for _, status := range []int{404, 405, 503} {
		source, wire := ecsOn(respond(status, "no such thing"), ecsGives)
		keys, err := source.Keys(t.Context())
		require.NoError(t, err, status)
		assert.Equal(t, ecsKeys, keys)
		require.Equal(t, 2, wire.count())
		assert.NotContains(t, wire.requests[1].Header, "X-Metadata-Token")
	}
	const unreadable = "apig: ECS metadata: unreadable response: status 200, the metadata token "
	for _, tt := range []struct {
		token    httpmock.Responder
		sentinel error
		text     string
	}{
		{respond(403, `{"error":{"code":403,"message":"no"}}`), ErrForbidden, "apig: ECS metadata: 403 Forbidden: no"},
		{respond(401, ""), ErrUnauthorized, "apig: ECS metadata: 401 Unauthorized"},
		{respond(400, ""), ErrBadRequest, "apig: ECS metadata: 400 Bad Request"},
		{respond(500, "<html>"), ErrServer, "apig: ECS metadata: 500 Internal Server Error"},
		{respond(429, ""), ErrThrottled, "apig: ECS metadata: 429 Too Many Requests"},
		{respondWith(101, func() io.Reader { return endless('x') }), ErrServer, "apig: ECS metadata: 101 Switching Protocols"},
		{respond(200, " \n"), ErrBadResponse, unreadable + "is empty"},
		{
			respondWith(200, func() io.Reader {
				return io.MultiReader(strings.NewReader(ecsToken[:8]), iotest.ErrReader(io.ErrUnexpectedEOF))
			}),
			ErrBadResponse, unreadable + "is not whole (the body broke off: unexpected EOF)",
		},
		{
			respond(200, "<html>Sign in to the guest network</html>"), ErrBadResponse,
			unreadable + "has a space, a control character or a byte outside ASCII at position 11 of 41",
		},
	} {
		source, wire := ecsOn(tt.token, ecsGives)
		keys, err := source.Keys(t.Context())
		require.ErrorIs(t, err, tt.sentinel)
		assert.EqualError(t, err, tt.text)
		assert.Zero(t, keys)
		assert.Equal(t, 1, wire.count(), tt.text)
	}
}

func TestECSKeysRead(t *testing.T) {
	with := func(change func(*Keys)) Keys { keys := ecsKeys; change(&keys); return keys }
	const end = `,"expires_at":"2019-02-13T06:52:13.855000Z"`
	for name, tt := range map[string]struct {
		from, to string // of the body
		want     Keys
	}{
		"whole seconds":     {".855000Z", "Z", with(func(k *Keys) { k.Expiry = k.Expiry.Truncate(time.Second) })},
		"no end":            {end, "", with(func(k *Keys) { k.Expiry = time.Time{} })},
		"an unreadable end": {end, `,"expires_at":"soon"`, with(func(k *Keys) { k.Expiry = time.Time{} })},
		"no security token": {"security-token-from-the-metadata", "", with(func(k *Keys) { k.SecurityToken = "" })},
		"more to read":      {"{", `{"version":2,`, ecsKeys},
	} {
		keys, err := decodeECSKeys(&answer{status: 200, body: []byte(strings.Replace(ecsKeysBody, tt.from, tt.to, 1))})
		require.NoError(t, err, name)
		assert.Equal(t, tt.want, keys, name)
	}
	for name, tt := range map[string]struct{ body, want string }{
		"empty":                   {"", "the body is not JSON"},
		"HTML":                    {"<html>", "the body is not JSON"},
		"broken off":              {ecsKeysBody[:len(ecsKeysBody)-1], "the body is not JSON"},
		"an array":                {"[]", "the body is not JSON"},
		"not what it should be":   {`{"credential":["sk-from-the-metadata"]}`, "the body is not JSON"},
		"nothing in it":           {"{}", "the access key is empty"},
		"null":                    {`{"credential":null}`, "the access key is empty"},
		"no access key":           {strings.Replace(ecsKeysBody, `"access"`, `"accesskey"`, 1), "the access key is empty"},
		"no secret":               {strings.Replace(ecsKeysBody, `"secret"`, `"sk"`, 1), "the secret key is empty"},
		"a broken security token": {strings.Replace(ecsKeysBody, "security-token-", `security-token\n`, 1), "the security token has a space"},
	} {
		_, err := decodeECSKeys(&answer{status: 200, body: []byte(tt.body)})
		require.ErrorContains(t, err, tt.want, name)
		assert.NotContains(t, err.Error(), "from-the-metadata", name)
		assert.NotContains(t, err.Error(), "HPUADTEMPORARY", name)
	}
}

// A source that cannot work says so at once, and shows no password.
func TestECSKeysArguments(t *testing.T) {
	var noTransport *http.Transport
	for text, source := range map[string]*ECSKeys{
		"ECSKeys.Endpoint is not an absolute URL":                                                                        {Endpoint: "169.254.169.254"},
		"ECSKeys.Endpoint must not hold a user or password":                                                              {Endpoint: "http://user:hunter2@169.254.169.254"},
		"ECSKeys.Endpoint must not have a query or fragment":                                                             {Endpoint: "http://169.254.169.254?token=hunter2"},
		`ECSKeys.Endpoint "ftp://169.254.169.254" must be http or https`:                                                 {Endpoint: "ftp://169.254.169.254"},
		"ECSKeys.HTTPClient.Transport is a nil *http.Transport":                                                          {HTTPClient: &http.Client{Transport: noTransport}},
		"ECSKeys.Endpoint is not the address of a region, whose name is letters, digits and hyphens, such as cn-north-4": {Endpoint: Endpoint("no region")},
	} {
		keys, err := source.Keys(t.Context())
		assert.Zero(t, keys)
		require.EqualError(t, err, "apig: invalid argument: "+text)
		require.ErrorIs(t, err, ErrInvalidArgument)

		c, mt := newTest(t, authBy(KeyAuth(source)))
		_, err = c.Publish(t.Context(), testRequest)
		require.ErrorIs(t, err, ErrInvalidArgument)
		assert.EqualError(t, err, "apig: Publish API "+testAPI+": getting keys: invalid argument: "+text)
		assert.Zero(t, mt.GetTotalCallCount())
	}
	for _, endpoint := range []string{"http://metadata.example.com", "https://metadata.example.com/", "http://[fd00:ec2::254]"} {
		source, _ := ecsOn(respond(200, ecsToken), ecsGives)
		source.Endpoint = endpoint
		keys, err := source.Keys(t.Context())
		require.NoError(t, err)
		assert.Equal(t, ecsKeys, keys)
	}
}

// Keys that cannot be read are asked for again, as anything that is only read; a
// server without an agency is told so at once.
func TestECSKeysFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, wire := ecsOn(respond(200, ecsToken), respondJSON(200, `{"credential":{"access":"HPUAD","secret":"s-e-c-r-e-t\n"}}`))
		_, err := source.Keys(t.Context())
		require.ErrorIs(t, err, ErrBadResponse)
		assert.EqualError(t, err, "apig: ECS metadata: unreadable response: status 200, the secret key has a space, a control character or a byte outside ASCII at position 12 of 12 (4 attempts)")
		assert.Equal(t, 5, wire.count())

		refused := respond(401, `{"error":{"code":401,"message":"Please configure Cloud Service Agency first. Token `+ecsToken+`"}}`)
		source, wire = ecsOn(respond(200, ecsToken), refused, respond(200, ecsToken), refused)
		const text = "ECS metadata: 401 Unauthorized: Please configure Cloud Service Agency first. Token REDACTED"
		_, err = source.Keys(t.Context())
		require.ErrorIs(t, err, ErrUnauthorized)
		assert.EqualError(t, err, "apig: "+text)
		c, mt := newTest(t, authBy(KeyAuth(source)))
		_, err = c.Publish(t.Context(), testRequest)
		require.ErrorIs(t, err, ErrUnauthorized)
		assert.EqualError(t, err, "apig: Publish API "+testAPI+": getting keys: "+text)
		assert.Equal(t, NotApplied, OutcomeOf(err))
		assert.Equal(t, 4, wire.count())
		assert.Zero(t, mt.GetTotalCallCount())
	})
}

// A redirect would hand the metadata token to somebody else.
func TestECSKeysRedirect(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		redirect := respond(status, "", "Location", "http://elsewhere.example.net/")
		for sent, answers := range [][]httpmock.Responder{{redirect}, {respond(200, ecsToken), redirect}} {
			source, wire := ecsOn(answers...)
			_, err := source.Keys(t.Context())
			require.ErrorIs(t, err, ErrBadRequest)
			assert.Contains(t, err.Error(), "a redirect")
			assert.Equal(t, sent+1, wire.count())
		}
	}
}

// Elsewhere than on a server of ECS nobody answers, which is clear after 3 s, or
// after the time of the client's own. What has answered once is asked again.
func TestECSKeysHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
		source, _ := ecsOn(hang)
		var err error
		assert.Equal(t, 3*time.Second, took(func() { _, err = source.Keys(t.Context()) }))
		require.ErrorIs(t, err, context.DeadlineExceeded)

		c, _ := newTest(t, authBy(KeyAuth(source)))
		assert.Equal(t, 3*time.Second, took(func() { _, err = c.Publish(t.Context(), testRequest) }))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, NotApplied, OutcomeOf(err))

		source.HTTPClient.Timeout = time.Second
		assert.Equal(t, time.Second, took(func() { _, err = source.Keys(t.Context()) }))
		require.Error(t, err)

		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		source, _ = ecsOn(respond(404, ""), hang)
		assert.Equal(t, 2*time.Second, took(func() { _, err = source.Keys(ctx) }))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Contains(t, err.Error(), "apig: ECS metadata: ")

		source, wire := ecsOn(respond(200, ecsToken), hang, hang, ecsGives)
		_, err = source.Keys(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 4, wire.count())
	})
}

// Keys from the metadata service publish, and are kept until five minutes before
// their end. What fails at a moment is asked for again.
func TestECSKeysThroughGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.AddKeys(ecsKeys.AccessKey, string(ecsKeys.SecretKey), string(ecsKeys.SecurityToken))
		asked := 0
		source, _ := ecsOn(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPut {
				return respond(405, "")(r)
			}
			if asked++; asked == 2 {
				return respond(500, "")(r)
			}
			end := time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000000Z")
			return respondJSON(200, strings.Replace(ecsKeysBody, "2019-02-13T06:52:13.855000Z", end, 1))(r)
		})
		c := clientOf(t, s.Gateway, authBy(KeyAuth(source)))
		for _, step := range []struct {
			wait  time.Duration
			asked int
		}{{0, 1}, {55*time.Minute - 1, 1}, {1, 3}} {
			time.Sleep(step.wait)
			_, err := c.Publish(t.Context(), s.request(""))
			require.NoError(t, err)
			assert.Equal(t, step.asked, asked)
		}
		for _, r := range s.Gateway.Requests() {
			assert.Equal(t, string(ecsKeys.SecurityToken), r.Header.Get("X-Security-Token"))
			assert.Equal(t, s.ProjectID(), r.Header.Get("X-Project-Id"))
		}
	})
}

// metadata stands in for the metadata service over a socket.
type metadata struct {
	*httptest.Server
	mu      sync.Mutex
	sent    []string // methods
	bodies  []int64  // their lengths
	remotes []string // who sent them
	open    map[net.Conn]bool
}

func startMetadata(t testing.TB, keys string) *metadata {
	m := &metadata{open: map[net.Conn]bool{}}
	m.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.sent, m.bodies, m.remotes = append(m.sent, r.Method), append(m.bodies, r.ContentLength), append(m.remotes, r.RemoteAddr)
		if r.Method == http.MethodPut {
			keys := ecsToken
			_, _ = io.WriteString(w, keys)
			return
		}
		_, _ = io.WriteString(w, keys)
	}))
	m.Config.ConnState = func(c net.Conn, state http.ConnState) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.open[c] = state != http.StateClosed
	}
	m.Start()
	t.Cleanup(m.Close)
	return m
}

func (m *metadata) connections() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, open := range m.open {
		if open {
			n++
		}
	}
	return n
}

// No connection to the metadata service stays open, but for one of the caller's.
func TestECSKeysConnections(t *testing.T) {
	m := startMetadata(t, ecsKeysBody)
	_, err := (&ECSKeys{Endpoint: m.URL}).Keys(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"PUT", "GET"}, m.sent)
	assert.Equal(t, []int64{0, 0}, m.bodies, "not chunked")
	eventually(t, "the connection is closed", func() bool { return m.connections() == 0 })

	own := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(own.CloseIdleConnections)
	for range 2 {
		_, err = (&ECSKeys{Endpoint: m.URL, HTTPClient: own}).Keys(t.Context())
		require.NoError(t, err)
	}
	assert.Equal(t, 1, m.connections())
	assert.Equal(t, m.remotes[2], m.remotes[5])
}

// The metadata service is asked for keys without a proxy, whatever the
// environment says: a proxy would ask the service of its own server, and know
// the keys.
//
// net/http reads these variables once in a process, and never uses a proxy for
// loopback. So this asks in a process of its own, at 0.0.0.0, which is this
// machine all the same.
func TestECSKeysUseNoProxy(t *testing.T) {
	if endpoint := os.Getenv("APIG_TEST_METADATA"); endpoint != "" {
		r, err := http.NewRequest(http.MethodGet, endpoint, nil)
		require.NoError(t, err)
		proxy, err := http.ProxyFromEnvironment(r)
		require.NoError(t, err)
		require.NotNil(t, proxy, "otherwise this test could not fail")
		keys, err := (&ECSKeys{Endpoint: endpoint}).Keys(t.Context())
		require.NoError(t, err)
		assert.Equal(t, ecsKeys, keys)
		return
	}
	if runtime.GOOS == "windows" {
		t.Skip("0.0.0.0 is no address to connect to on Windows")
	}
	proxy := startMetadata(t, strings.Replace(ecsKeysBody, "HPUAD", "PROXY", 1))
	m := startMetadata(t, ecsKeysBody)
	_, port, err := net.SplitHostPort(m.Listener.Addr().String())
	require.NoError(t, err)
	child := exec.Command(os.Args[0], "-test.run=^TestECSKeysUseNoProxy$", "-test.v")
	child.Env = append(os.Environ(), "APIG_TEST_METADATA=http://0.0.0.0:"+port,
		"HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "ALL_PROXY="+proxy.URL, "NO_PROXY=", "no_proxy=")
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "--- PASS: TestECSKeysUseNoProxy")
	assert.Equal(t, []string{"PUT", "GET"}, m.sent)
	assert.Empty(t, proxy.sent)
}

// The worst answers of a metadata service cost little.
func TestECSAnswersAreBounded(t *testing.T) {
	long := func(body string) httpmock.Responder {
		return respondWith(200, func() io.Reader { return io.MultiReader(strings.NewReader(body), endless('x')) })
	}
	for name, answers := range map[string][]httpmock.Responder{
		"keys without end":    {respond(404, ""), long(`{"credential":{` + strings.Repeat(`"access":"HPUAD",`, maxBody/17))},
		"tiny objects":        {respond(404, ""), long(`{"credential":[` + strings.Repeat(`{},`, maxBody/3))},
		"one long secret":     {respond(404, ""), long(`{"credential":{"secret":"` + strings.Repeat("s", maxBody))},
		"a token without end": {long("")},
	} {
		synctest.Test(t, func(t *testing.T) {
			source, wire := ecsOn(answers...)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // too short for a second attempt
			defer cancel()
			costOf(func() { _, err := source.Keys(ctx); require.Error(t, err) }).assertSmall(t, name)
			assert.Equal(t, len(answers), wire.count(), name)
		})
	}
}

// FuzzECSAnswer reads what a metadata service may send: keys that come out of it
// can sign, or there is an error, which shows nothing of it.
func FuzzECSAnswer(f *testing.F) {
	f.Add([]byte(ecsKeysBody))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, err := decodeECSKeys(&answer{status: 200, body: body})
		if err != nil {
			if len(err.Error()) > 200 {
				t.Fatal(err)
			}
			return
		}
		r, _ := http.NewRequest(http.MethodGet, "https://apig.example.com/", nil)
		if err := keys.sign(r); err != nil || !strings.Contains(r.Header.Get("Authorization"), "Access="+keys.AccessKey+",") {
			t.Fatal(fmt.Sprint(r.Header, err))
		}
	})
}
