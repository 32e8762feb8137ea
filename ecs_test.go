package apig

import (
	"context"
	"errors"
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
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ecsService stands in for the metadata service of a server.
type ecsService struct {
	*httptest.Server

	mu       sync.Mutex
	requests []*http.Request

	// Answers; the usual ones if nil.
	token, keys http.HandlerFunc
}

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

func ecsAnswer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// ecsStart starts a service; change may change its answers.
func ecsStart(t testing.TB, change func(*ecsService)) *ecsService {
	t.Helper()
	s := &ecsService{token: ecsAnswer(200, ecsToken), keys: ecsAnswer(200, ecsKeysBody)}
	if change != nil {
		change(s)
	}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *ecsService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	switch r.Method + " " + r.URL.RequestURI() {
	case "PUT " + ecsTokenPath:
		s.token(w, r)
	case "GET " + ecsKeysPath:
		s.keys(w, r)
	default:
		http.NotFound(w, r)
	}
}

// sent are the requests so far, as their methods.
func (s *ecsService) sent() (methods []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		methods = append(methods, r.Method)
	}
	return methods
}

// source is a client of the service, which leaves no connection behind.
func (s *ecsService) source() *ECSKeys { return &ECSKeys{Endpoint: s.URL} }

func TestECSKeys(t *testing.T) {
	t.Parallel()
	s := ecsStart(t, nil)
	keys, err := s.source().Keys(context.Background())
	require.NoError(t, err)
	assert.Equal(t, ecsKeys, keys)

	require.Equal(t, []string{"PUT", "GET"}, s.sent())
	put, get := s.requests[0], s.requests[1]
	assert.Equal(t, []string{"21600"}, put.Header["X-Metadata-Token-Ttl-Seconds"])
	assert.Zero(t, put.ContentLength, "not chunked")
	assert.NotContains(t, put.Header, "X-Metadata-Token")
	assert.Equal(t, []string{ecsToken}, get.Header["X-Metadata-Token"])
	assert.NotContains(t, get.Header, "X-Metadata-Token-Ttl-Seconds")
	for _, r := range s.requests {
		for _, name := range []string{"Authorization", "X-Auth-Token", "X-Project-Id", "X-Sdk-Date"} {
			assert.NotContains(t, r.Header, name)
		}
	}
}

// What the metadata service is, when nobody says otherwise.
func TestECSKeysAddress(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]string{
		"":                           "http://169.254.169.254",
		"http://metadata.test":       "http://metadata.test",
		"http://metadata.test:8775/": "http://metadata.test:8775",
	} {
		wire := iamAnswers(respond(200, ecsToken), respondJSON(200, ecsKeysBody))
		keys, err := (&ECSKeys{Endpoint: endpoint, HTTPClient: &http.Client{Transport: wire}}).Keys(context.Background())
		require.NoError(t, err)
		assert.Equal(t, ecsKeys, keys)
		require.Equal(t, 2, wire.count())
		assert.Equal(t, want+ecsTokenPath, wire.requests[0].URL.String())
		assert.Equal(t, want+ecsKeysPath, wire.requests[1].URL.String())
	}
}

// Where there is only version 1 of the service, there is no token; that costs
// one request.
func TestECSKeysVersion1(t *testing.T) {
	t.Parallel()
	for _, status := range []int{404, 405, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			s := ecsStart(t, func(s *ecsService) { s.token = ecsAnswer(status, "no such thing") })
			keys, err := s.source().Keys(context.Background())
			require.NoError(t, err)
			assert.Equal(t, ecsKeys, keys)
			require.Equal(t, []string{"PUT", "GET"}, s.sent())
			assert.NotContains(t, s.requests[1].Header, "X-Metadata-Token")
		})
	}
}

// Anything else in place of a token is not taken for version 1: to go on
// without the token would undo what it is there for.
func TestECSKeysNoToken(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		token    http.HandlerFunc
		sentinel error
		text     string
	}{
		"forbidden":      {ecsAnswer(403, `{"error":{"code":403,"message":"no"}}`), ErrForbidden, "apig: ECS metadata: 403 Forbidden: no"},
		"unauthorized":   {ecsAnswer(401, ""), ErrUnauthorized, "apig: ECS metadata: 401 Unauthorized"},
		"a bad request":  {ecsAnswer(400, ""), ErrBadRequest, "apig: ECS metadata: 400 Bad Request"},
		"a failure":      {ecsAnswer(500, "<html>"), ErrServer, "apig: ECS metadata: 500 Internal Server Error"},
		"too many":       {ecsAnswer(429, ""), ErrThrottled, "apig: ECS metadata: 429 Too Many Requests"},
		"an empty token": {ecsAnswer(200, " \n"), ErrBadResponse, "apig: ECS metadata: unreadable response: status 200, the metadata token is empty"},
		"not a token": {
			ecsAnswer(200, "<html>Sign in to the guest network</html>"), ErrBadResponse,
			"apig: ECS metadata: unreadable response: status 200, the metadata token has a space, a control character or a byte outside ASCII at position 11 of 41",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ecsStart(t, func(s *ecsService) { s.token = test.token })
			keys, err := s.source().Keys(context.Background())
			require.ErrorIs(t, err, test.sentinel)
			assert.EqualError(t, err, test.text)
			assert.Zero(t, keys)
			assert.Equal(t, []string{"PUT"}, s.sent())
		})
	}
}

func TestECSKeysTokenIsTrimmed(t *testing.T) {
	t.Parallel()
	s := ecsStart(t, func(s *ecsService) { s.token = ecsAnswer(200, ecsToken+"\r\n") })
	_, err := s.source().Keys(context.Background())
	require.NoError(t, err)
	assert.Equal(t, []string{ecsToken}, s.requests[1].Header["X-Metadata-Token"])
}

func TestECSKeysRead(t *testing.T) {
	t.Parallel()
	body := func(from, to string) string {
		changed := strings.Replace(ecsKeysBody, from, to, 1)
		require.NotEqual(t, ecsKeysBody, changed)
		return changed
	}
	with := func(change func(*Keys)) Keys {
		keys := ecsKeys
		change(&keys)
		return keys
	}
	for name, test := range map[string]struct {
		body string
		want Keys
	}{
		"whole seconds":     {body(".855000Z", "Z"), with(func(k *Keys) { k.Expiry = k.Expiry.Truncate(time.Second) })},
		"no end":            {body(`,"expires_at":"2019-02-13T06:52:13.855000Z"`, ""), with(func(k *Keys) { k.Expiry = time.Time{} })},
		"an unreadable end": {body("2019-02-13T06:52:13.855000Z", "soon"), with(func(k *Keys) { k.Expiry = time.Time{} })},
		"no security token": {body("security-token-from-the-metadata", ""), with(func(k *Keys) { k.SecurityToken = "" })},
		"more to read":      {body("{", `{"version":2,`), ecsKeys},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ecsStart(t, func(s *ecsService) { s.keys = ecsAnswer(200, test.body) })
			keys, err := s.source().Keys(context.Background())
			require.NoError(t, err)
			assert.Equal(t, test.want, keys)
		})
	}
}

func TestECSKeysUnreadable(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body string
		want string
	}{
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
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := decodeECSKeys(&answer{status: 200, body: []byte(test.body)})
			require.Error(t, err)
			assert.Contains(t, err.Error(), test.want)
			assert.NotContains(t, err.Error(), "from-the-metadata", "a secret")
			assert.NotContains(t, err.Error(), "HPUADTEMPORARY")
		})
	}
}

// A server without an agency is told so.
func TestECSKeysRefused(t *testing.T) {
	t.Parallel()
	s := ecsStart(t, func(s *ecsService) {
		s.keys = ecsAnswer(401, `{"error":{"code":401,"message":"Please configure Cloud Service Agency first. Token `+ecsToken+`"}}`)
	})
	_, err := s.source().Keys(context.Background())
	require.ErrorIs(t, err, ErrUnauthorized)
	assert.EqualError(t, err, "apig: ECS metadata: 401 Unauthorized: Please configure Cloud Service Agency first. Token REDACTED")
	var e *APIGError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "ECS metadata", e.Op)
	assert.Equal(t, []string{"PUT", "GET"}, s.sent())

	c, mt := newTest(t, authBy(KeyAuth(s.source())))
	_, err = c.Publish(context.Background(), testRequest)
	require.ErrorIs(t, err, ErrUnauthorized)
	assert.NotErrorIs(t, err, ErrOutcomeUnknown)
	assert.EqualError(t, err, "apig: Publish API "+testAPI+": getting keys: ECS metadata: 401 Unauthorized: Please configure Cloud Service Agency first. Token REDACTED")
	assert.Zero(t, mt.GetTotalCallCount())
}

// A redirect would hand the metadata token to somebody else.
func TestECSKeysRedirect(t *testing.T) {
	t.Parallel()
	other := ecsStart(t, nil)
	for _, status := range []int{301, 302, 303, 307, 308} {
		redirect := func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+r.URL.Path, status)
		}
		for name, s := range map[string]*ecsService{
			"token": ecsStart(t, func(s *ecsService) { s.token = redirect }),
			"keys":  ecsStart(t, func(s *ecsService) { s.keys = redirect }),
		} {
			_, err := s.source().Keys(context.Background())
			require.ErrorIs(t, err, ErrBadRequest, "%s %d", name, status)
			assert.Contains(t, err.Error(), "a redirect")
		}
	}
	assert.Empty(t, other.sent())
}

// No connection to the metadata service stays open, but for one of the caller's.
func TestECSKeysConnections(t *testing.T) {
	t.Parallel()
	open := func(own bool) (s *ecsService, left func() int, source *ECSKeys) {
		var mu sync.Mutex
		conns := map[net.Conn]bool{}
		s = &ecsService{token: ecsAnswer(200, ecsToken), keys: ecsAnswer(200, ecsKeysBody)}
		s.Server = httptest.NewUnstartedServer(s)
		s.Config.ConnState = func(c net.Conn, state http.ConnState) {
			mu.Lock()
			defer mu.Unlock()
			conns[c] = state != http.StateClosed
		}
		s.Start()
		t.Cleanup(s.Close)
		source = s.source()
		if own {
			source.HTTPClient = &http.Client{Transport: &http.Transport{}}
			t.Cleanup(source.HTTPClient.CloseIdleConnections)
		}
		return s, func() (n int) {
			mu.Lock()
			defer mu.Unlock()
			for _, open := range conns {
				if open {
					n++
				}
			}
			return n
		}, source
	}
	_, left, source := open(false)
	_, err := source.Keys(context.Background())
	require.NoError(t, err)
	assert.Eventually(t, func() bool { return left() == 0 }, 10*time.Second, time.Millisecond)

	s, left, source := open(true)
	for range 2 {
		_, err = source.Keys(context.Background())
		require.NoError(t, err)
	}
	assert.Equal(t, 1, left())
	assert.Equal(t, s.requests[0].RemoteAddr, s.requests[3].RemoteAddr)
}

// Keys from the metadata service publish.
func TestECSKeysThroughGateway(t *testing.T) {
	t.Parallel()
	g, req := keysGateway(t, "")
	g.AddKeys(ecsKeys.AccessKey, string(ecsKeys.SecretKey), string(ecsKeys.SecurityToken))
	s := ecsStart(t, func(s *ecsService) {
		living := strings.Replace(ecsKeysBody, "2019-02-13T06:52:13.855000Z", time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000000Z"), 1)
		s.keys = ecsAnswer(200, living)
	})
	c := iamClient(t, g, KeyAuth(s.source()))
	for range 3 {
		_, err := c.Publish(context.Background(), req)
		require.NoError(t, err)
	}
	assert.Equal(t, []string{"PUT", "GET"}, s.sent(), "they are kept")
	for _, r := range g.Requests() {
		assert.Equal(t, string(ecsKeys.SecurityToken), r.Header.Get("X-Security-Token"))
		assert.Equal(t, g.ProjectID(), r.Header.Get("X-Project-Id"))
	}
}

// The metadata service is asked for keys without a proxy, whatever the
// environment says: a proxy would ask the service of its own server, and know
// the keys.
//
// net/http reads these variables once in a process, and never uses a proxy for
// loopback. So this asks in a process of its own, at 0.0.0.0, which is this
// machine all the same.
func TestECSKeysUseNoProxy(t *testing.T) {
	t.Parallel()
	if endpoint := os.Getenv("APIG_TEST_METADATA"); endpoint != "" {
		r, err := http.NewRequest(http.MethodGet, endpoint, nil)
		require.NoError(t, err)
		proxy, err := http.ProxyFromEnvironment(r)
		require.NoError(t, err)
		require.NotNil(t, proxy, "otherwise this test could not fail")
		keys, err := (&ECSKeys{Endpoint: endpoint}).Keys(context.Background())
		require.NoError(t, err)
		assert.Equal(t, ecsKeys, keys)
		return
	}
	if runtime.GOOS == "windows" {
		t.Skip("0.0.0.0 is no address to connect to on Windows")
	}
	proxy := ecsStart(t, func(s *ecsService) { s.keys = ecsAnswer(200, strings.Replace(ecsKeysBody, "HPUAD", "PROXY", 1)) })
	s := ecsStart(t, nil)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	require.NoError(t, err)
	child := exec.Command(os.Args[0], "-test.run=^TestECSKeysUseNoProxy$", "-test.v")
	child.Env = append(os.Environ(), "APIG_TEST_METADATA=http://0.0.0.0:"+port,
		"HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "ALL_PROXY="+proxy.URL, "NO_PROXY=", "no_proxy=")
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Contains(t, string(out), "--- PASS: TestECSKeysUseNoProxy")
	assert.Equal(t, []string{"PUT", "GET"}, s.sent())
	assert.Empty(t, proxy.sent())
}

func TestECSKeysContext(t *testing.T) {
	t.Parallel()
	for name, hangs := range map[string]func(*ecsService, http.HandlerFunc){
		"token": func(s *ecsService, h http.HandlerFunc) { s.token = h },
		"keys":  func(s *ecsService, h http.HandlerFunc) { s.keys = h },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(context.Background())
			s := ecsStart(t, func(s *ecsService) {
				hangs(s, func(_ http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body) // or the server would not see the client leave
					cancel(errors.New("enough"))
					<-r.Context().Done()
				})
			})
			_, err := s.source().Keys(ctx)
			require.ErrorIs(t, err, context.Canceled)
			assert.Contains(t, err.Error(), "apig: ECS metadata: ")
		})
	}
}
