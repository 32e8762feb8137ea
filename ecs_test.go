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
	"sync/atomic"
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
	const unreadable = "unreadable response: status 200, the metadata token "
	for want, token := range map[string]httpmock.Responder{
		"403 Forbidden: no":         respond(403, `{"error":{"code":403,"message":"no"}}`),
		"401 Unauthorized":          respond(401, ""),
		"500 Internal Server Error": respond(500, "<html>"),
		"429 Too Many Requests":     respond(429, ""),
		unreadable + "is empty":     respond(200, " \n"),
		unreadable + "is not whole (the body broke off: unexpected EOF)": respondWith(200, func() io.Reader {
			return io.MultiReader(strings.NewReader(ecsToken[:8]), iotest.ErrReader(io.ErrUnexpectedEOF))
		}),
		unreadable + "has a space, a control character or a byte outside ASCII at position 11 of 41": respond(200, "<html>Sign in to the guest network</html>"),
	} {
		source, wire := ecsOn(token, ecsGives)
		keys, err := source.Keys(t.Context())
		require.EqualError(t, err, "apig: ECS metadata: "+want)
		assert.Zero(t, keys)
		assert.Equal(t, 1, wire.count(), want)
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
	for body, want := range map[string]string{
		"": "the body is not JSON", "<html>": "the body is not JSON", "[]": "the body is not JSON", ecsKeysBody[:len(ecsKeysBody)-1]: "the body is not JSON",
		`{"credential":["sk-from-the-metadata"]}`: "the body is not JSON",
		"{}":                  "the access key is empty",
		`{"credential":null}`: "the access key is empty",
		strings.Replace(ecsKeysBody, `"secret"`, `"sk"`, 1):                    "the secret key is empty",
		strings.Replace(ecsKeysBody, "security-token-", `security-token\n`, 1): "the security token has a space",
	} {
		_, err := decodeECSKeys(&answer{status: 200, body: []byte(body)})
		require.ErrorContains(t, err, want, body)
		assert.NotContains(t, err.Error(), "from-the-metadata", body)
		assert.NotContains(t, err.Error(), "HPUADTEMPORARY", body)
	}
}

// A source that cannot work says so at once, and shows no password.
func TestECSKeysArguments(t *testing.T) {
	for text, source := range map[string]*ECSKeys{
		"ECSKeys.Endpoint is not an absolute URL":                        {Endpoint: "169.254.169.254"},
		"ECSKeys.Endpoint must not hold a user or password":              {Endpoint: "http://user:hunter2@169.254.169.254"},
		`ECSKeys.Endpoint "ftp://169.254.169.254" must be http or https`: {Endpoint: "ftp://169.254.169.254"},
		"ECSKeys.HTTPClient.Transport is a nil *http.Transport":          {HTTPClient: &http.Client{Transport: (*http.Transport)(nil)}},
	} {
		_, err := source.Keys(t.Context())
		require.EqualError(t, err, "apig: invalid argument: "+text)
		require.ErrorIs(t, err, ErrInvalidArgument)
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

// Elsewhere than on a server of ECS nobody answers, which is clear after 3 s, or
// after the time of the client's own. What has answered once is asked again.
func TestECSKeysHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
		source, _ := ecsOn(hang)
		var err error
		assert.Equal(t, 3*time.Second, took(func() { _, err = source.Keys(t.Context()) }))
		require.ErrorIs(t, err, context.DeadlineExceeded)

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

// Keys from the metadata service publish.
func TestECSKeysThroughGateway(t *testing.T) {
	source, _ := ecsOn(respond(405, ""), ecsGives)
	s := newSite(t, authBy(KeyAuth(source)))
	s.AddKeys(ecsKeys.AccessKey, string(ecsKeys.SecretKey), string(ecsKeys.SecurityToken))
	require.NoError(t, second(s.Publish(t.Context(), s.request(""))))
	assert.Equal(t, []string{string(ecsKeys.SecurityToken)}, s.Gateway.Requests()[0].Header["X-Security-Token"])
}

// metadata stands in for the metadata service over a socket.
type metadata struct {
	*httptest.Server
	sent      []string // methods and lengths, one after the other
	opened    atomic.Int32
	connected atomic.Int32
}

func startMetadata(t testing.TB, keys string) *metadata {
	m := &metadata{}
	m.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.sent = append(m.sent, fmt.Sprint(r.Method, " ", r.ContentLength))
		_, _ = io.WriteString(w, map[string]string{http.MethodPut: ecsToken, http.MethodGet: keys}[r.Method])
	}))
	m.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			m.opened.Add(1)
			m.connected.Add(1)
		case http.StateClosed:
			m.connected.Add(-1)
		}
	}
	m.Start()
	t.Cleanup(m.Close)
	return m
}

// No connection to the metadata service stays open, but for one of the caller's.
func TestECSKeysConnections(t *testing.T) {
	m := startMetadata(t, ecsKeysBody)
	require.NoError(t, second((&ECSKeys{Endpoint: m.URL}).Keys(t.Context())))
	assert.Equal(t, []string{"PUT 0", "GET 0"}, m.sent, "not chunked")
	eventually(t, "the connection is closed", func() bool { return m.connected.Load() == 0 })

	own := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(own.CloseIdleConnections)
	for range 2 {
		require.NoError(t, second((&ECSKeys{Endpoint: m.URL, HTTPClient: own}).Keys(t.Context())))
	}
	assert.Equal(t, []int32{2, 1}, []int32{m.opened.Load(), m.connected.Load()})
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
	assert.Equal(t, []string{"PUT 0", "GET 0"}, m.sent)
	assert.Empty(t, proxy.sent)
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
