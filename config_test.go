package apig

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

// nilLimiter and nilHandler are what a program may hold a nil pointer to.
type (
	nilLimiter struct{}
	nilHandler struct{ slog.Handler }
)

func (*nilLimiter) Wait(context.Context) error { return nil }

func TestNewArguments(t *testing.T) {
	set := func(change func(*Config)) Config {
		cfg := testConfig(nil)
		change(&cfg)
		return cfg
	}
	for want, configs := range map[string][]Config{
		"": {
			testConfig(nil),
			set(func(cfg *Config) { cfg.AttemptTimeout = time.Millisecond }),
			set(func(cfg *Config) { cfg.HTTPClient = &http.Client{Timeout: -1} }), // as net/http says never
			set(func(cfg *Config) { cfg.Retry = RetryPolicy{MinWait: time.Minute} }),
			set(func(cfg *Config) { cfg.Retry = RetryPolicy{MaxWait: time.Millisecond} }),
			set(func(cfg *Config) { cfg.UserAgent = "deploy/1 (nightly)" }),
			set(func(cfg *Config) { cfg.Auth, cfg.Limiter = refuser{}, &nilLimiter{} }),
		},
		"Endpoint is empty; ProjectID is empty; InstanceID is empty; Auth is nil": {{}},
		"Endpoint is not an absolute URL; AttemptTimeout is negative; Retry.MaxAttempts is negative; Retry.MinWait is negative; " +
			"Retry.MaxWait is negative; Retry.SettleWait is negative; Retry.SettleTimeout 25h0m0s is above 24h0m0s; " +
			"HTTPClient.Transport is a nil *http.Transport; HTTPClient.Timeout is 30ns, below 1ms: the number lacks a unit, such as time.Second; " +
			`Logger has no handler; ProjectID "a/b" is not an ID; InstanceID ".." is not an ID; Auth: the token is empty; ` +
			"Limiter is a nil *apig.nilLimiter; UserAgent has a control character": {{
			Endpoint: "apig.example.com", ProjectID: "a/b", InstanceID: "..", Auth: StaticToken(""), AttemptTimeout: -1, UserAgent: "a\nb",
			Retry:      RetryPolicy{MaxAttempts: -1, MinWait: -1, MaxWait: -1, SettleWait: -1, SettleTimeout: 25 * time.Hour},
			HTTPClient: &http.Client{Transport: (*http.Transport)(nil), Timeout: 30}, Logger: &slog.Logger{}, Limiter: (*nilLimiter)(nil),
		}},
		"AttemptTimeout 1281023h53m38.427387904s is above 24h0m0s": {set(func(cfg *Config) { cfg.AttemptTimeout = 1 << 62 })},
		"ProjectID has 1048576 bytes, an ID has at most 255":       {set(func(cfg *Config) { cfg.ProjectID = strings.Repeat("a", 1<<20) })},
		"Retry.MinWait 2s is above Retry.MaxWait 1s":               {set(func(cfg *Config) { cfg.Retry = RetryPolicy{MinWait: 2 * time.Second, MaxWait: time.Second} })},
		"UserAgent has a control character":                        {set(func(cfg *Config) { cfg.UserAgent = "a\x1b" })},
		`InstanceID "a\n" is not an ID`:                            {set(func(cfg *Config) { cfg.InstanceID = "a\n" })},
		`ProjectID "a/\u202eb\u2066" is not an ID`:                 {set(func(cfg *Config) { cfg.ProjectID = "a/\u202eb\u2066" })},
		"Auth is a nil *apig.refuser":                              {set(func(cfg *Config) { cfg.Auth = (*refuser)(nil) })},
		"Auth is a nil apig.authFunc":                              {set(func(cfg *Config) { cfg.Auth = authFunc(nil) })},
		"Auth is nil": {
			set(func(cfg *Config) { cfg.Auth = TokenAuth(nil) }), set(func(cfg *Config) { cfg.Auth = TokenAuth((*IAM)(nil)) }),
			set(func(cfg *Config) { cfg.Auth = TokenAuth(sourceFunc(nil)) }), set(func(cfg *Config) { cfg.Auth = KeyAuth(nil) }),
			set(func(cfg *Config) { cfg.Auth = KeyAuth((*ECSKeys)(nil)) }),
		},
		"Logger has no handler": {set(func(cfg *Config) { cfg.Logger = slog.New((*nilHandler)(nil)) })},
	} {
		for _, cfg := range configs {
			c, err := New(cfg)
			if want == "" {
				require.NoError(t, err)
				continue
			}
			assert.Nil(t, c)
			require.EqualError(t, err, "apig: invalid argument: "+want)
			assert.ErrorIs(t, err, ErrInvalidArgument)
		}
	}
}

func TestNewEndpoint(t *testing.T) {
	for want, endpoints := range map[string][]string{ // the error, in which %s is the endpoint
		"": {
			"https://apig.cn-north-4.myhuaweicloud.com", "https://apig.cn-north-4.myhuaweicloud.com:8443", "https://proxy.example.com/apig/",
			"HTTPS://APIG.EXAMPLE.COM", "http://localhost", "http://localhost:8080", "http://127.0.0.1:8080", "http://127.8.9.10", "http://[::1]:8080",
			"https://v2", "https://proxy.example.com/v2/apig", "https://proxy.example.com/vpc/v/2",
		},
		`Endpoint "%s" must be https (http only to a loopback address)`: {
			"http://apig.example.com", "http://10.0.0.1", "http://0.0.0.0", "http://[::]", "http://169.254.169.254", "http://localhost.example.com",
			"http://127.0.0.1.example.com", "http://localhost.", "ftp://localhost", "//apig.example.com",
		},
		`Endpoint "http://\u202eapig.example.com" must be https (http only to a loopback address)`: {"http://\u202eapig.example.com"},
		"Endpoint is not an absolute URL": {
			"apig.example.com", "https://", "https://:443", "https:apig.example.com", "/v2", "https://apig.example.com:port",
			" https://apig.example.com", "https://apig.example.com\n",
		},
		"Endpoint must not have a query or fragment":                                     {"https://apig.example.com?a=b", "https://apig.example.com?", "https://apig.example.com#"},
		"Endpoint must not hold a user or password":                                      {"https://user@apig.example.com"},
		"Endpoint ends in a version: leave out /v2, which each request adds by itself":   {"https://apig.example.com/v2", "https://proxy.example.com/apig/v2/"},
		"Endpoint ends in a version: leave out /V3.0, which each request adds by itself": {"https://apig.example.com/V3.0//"},
		"Endpoint is not the address of a region, whose name is letters, digits and hyphens, such as cn-north-4": {
			Endpoint(""), Endpoint("evil.example/"), Endpoint("user:password@evil"),
		},
	} {
		for _, endpoint := range endpoints {
			cfg := testConfig(nil)
			cfg.Endpoint = endpoint
			_, err := New(cfg)
			if want == "" {
				require.NoError(t, err, endpoint)
				continue
			}
			require.EqualError(t, err, "apig: invalid argument: "+strings.Replace(want, "%s", endpoint, 1))
		}
	}
}

// An address can hold a password, even where it is not well formed.
func TestNewEndpointSecret(t *testing.T) {
	const password = "314159265"
	for _, endpoint := range []string{
		"https://user:" + password + "@apig.example.com",
		"http://user:" + password + "@apig.example.com",
		"https://" + password + "@apig.example.com",
		"user:" + password + "@apig.example.com",
		"https://user:" + password + "#@apig.example.com",
		"http://user:2/" + password + "@apig.example.com",
		"https://user:" + password + "%zz@apig.example.com",
		"https://apig.example.com?token=" + password,
	} {
		cfg := testConfig(nil)
		cfg.Endpoint = endpoint
		c, err := New(cfg)
		assert.Nil(t, c)
		require.ErrorIs(t, err, ErrInvalidArgument)
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), password)
	}
}

// A region is one label of a name, and what is not one gives no address at all:
// nothing can be sent to it, whoever uses it.
func TestEndpoint(t *testing.T) {
	assert.Equal(t, "https://apig.cn-north-4.myhuaweicloud.com", Endpoint("cn-north-4"))
	assert.Equal(t, "https://apig.eu-west-101.myhuaweicloud.eu", Endpoint("eu-west-101"), "the European site has a domain of its own")
	assert.Equal(t, "https://iam.cn-north-4.myhuaweicloud.com", IAMEndpoint("cn-north-4"))
	assert.Equal(t, "https://iam.eu-west-101.myhuaweicloud.eu", IAMEndpoint("eu-west-101"))
	for _, region := range []string{
		"", "evil.example/", "evil.example#", "a.b", "a b", "a:443", "a@b", "-a", "a-", "ü", "a\n", "%61", "a\\b", "\u202e", strings.Repeat("a", 64),
	} {
		for _, address := range []string{Endpoint(region), IAMEndpoint(region)} {
			_, err := http.Get(address + "/v2")
			require.ErrorContains(t, err, "unsupported protocol scheme", region)
		}
	}
}

// roundTrip is an http.RoundTripper made of a function. Like every transport of
// net/http it sends nothing where there is nobody to send it to.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "" {
		return nil, errors.New("unsupported protocol scheme")
	}
	return f(r)
}

// Thousands of mistakes make no error of thousands of lines.
func TestManyMistakes(t *testing.T) {
	c, _ := newTest(t)
	ids := make([]string, 10_000)
	for i := range ids {
		ids[i] = fmt.Sprintf("%d/%s", i, strings.Repeat("x", 200))
	}
	_, err := c.PublishBatch(t.Context(), PublishBatchRequest{APIIDs: ids, EnvID: ".."})
	require.ErrorIs(t, err, ErrInvalidArgument)
	text := err.Error()
	assert.Less(t, len(text), 2000)
	assert.Contains(t, text, `EnvID ".." is not an ID; APIIDs[0] "0/xxx`)
	assert.Contains(t, text, `APIIDs[9] "9/xxx`)
	assert.NotContains(t, text, "APIIDs[10]")
	assert.True(t, strings.HasSuffix(text, "; and more: 10000 mistakes in total"), text)

	_, err = c.PublishBatch(t.Context(), PublishBatchRequest{APIIDs: []string{"a/", "b", "B"}, EnvID: "e"})
	assert.EqualError(t, err, `apig: invalid argument: APIIDs[0] "a/" is not an ID; APIIDs[1] and APIIDs[2] are the same`)
}

// What reorders a text or cannot be seen in it is escaped wherever an error shows
// what the caller has called something.
func TestInvisibleCharactersInErrors(t *testing.T) {
	c, mt := newTest(t)
	mt.RegisterResponder(http.MethodPost, actionURL, respondJSON(404, noAPIBody))
	_, err := c.Publish(t.Context(), PublishRequest{APIID: "a\u202eb\u2066c\u200b", EnvID: EnvRelease})
	require.ErrorIs(t, err, ErrNotFound)
	assert.Contains(t, err.Error(), `apig: Publish API a\u202eb\u2066c\u200b: 404 Not Found`)
	_, err = c.Publish(t.Context(), PublishRequest{APIID: "a\u202e/", EnvID: "\xff\u2066"})
	require.EqualError(t, err, `apig: invalid argument: APIID "a\u202e/" is not an ID; EnvID "\xff\u2066" is not an ID`)
	_, err = c.Instance("a\u202e/")
	require.EqualError(t, err, `apig: invalid argument: InstanceID "a\u202e/" is not an ID`)
}

// What a client changes for its own sake, it changes in its own copy.
func TestHTTPClientIsCopied(t *testing.T) {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	u, err := url.Parse(testEndpoint)
	require.NoError(t, err)
	jar.SetCookies(u, []*http.Cookie{{Name: "of", Value: "the-caller"}})
	hc := &http.Client{Timeout: time.Hour, Jar: jar}
	c, mt := newTest(t, func(cfg *Config) { hc.Transport, cfg.HTTPClient = cfg.HTTPClient.Transport, hc })
	mt.RegisterResponder(http.MethodPost, actionURL, func(r *http.Request) (*http.Response, error) {
		assert.NotContains(t, r.Header, "Cookie")
		return respondJSON(201, publishedBody, "Set-Cookie", "session=1")(r)
	})
	require.NoError(t, second(c.Publish(t.Context(), testRequest)))
	assert.Equal(t, &http.Client{Timeout: time.Hour, Jar: jar, Transport: mt}, hc)
	assert.Len(t, jar.Cookies(u), 1, "and leaves the caller's jar alone")
}

// A nil Transport is http.DefaultTransport at the time of the request, as
// everywhere in net/http.
func TestDefaultTransport(t *testing.T) {
	c, err := New(testConfig(nil))
	require.NoError(t, err)
	original := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = original })
	mt := httpmock.NewMockTransport()
	http.DefaultTransport = mt
	mt.RegisterResponder(http.MethodPost, actionURL, respondJSON(201, publishedBody))
	require.NoError(t, second(c.Publish(t.Context(), testRequest)))
}

// The transport of our own drops what a load balancer would close under a request,
// keeps all connections to the one host there is, and gives up a dead one of
// HTTP/2 well within the time of one attempt.
func TestOwnTransport(t *testing.T) {
	transport := newTransport()
	assert.NotSame(t, http.DefaultTransport, transport)
	assert.Equal(t, 30*time.Second, transport.IdleConnTimeout, "the usual 60 s of a balancer are twice that")
	assert.NotNil(t, transport.Proxy)
	assert.EqualValues(t, maxBody, transport.MaxResponseHeaderBytes)
	assert.True(t, transport.ForceAttemptHTTP2)
	assert.Positive(t, transport.TLSHandshakeTimeout)
	assert.Greater(t, transport.MaxIdleConnsPerHost, http.DefaultMaxIdleConnsPerHost)
	assert.Positive(t, transport.HTTP2.SendPingTimeout)
	assert.Positive(t, transport.HTTP2.PingTimeout)
	assert.LessOrEqual(t, transport.HTTP2.SendPingTimeout+transport.HTTP2.PingTimeout, defaultAttemptTimeout/2)
}

func TestInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		second := s.AddInstance(s.ProjectID(), "second")
		other, err := s.Client.Instance(second.InstanceID())
		require.NoError(t, err)
		there := PublishRequest{APIID: second.AddAPI("there"), EnvID: EnvRelease}
		_, err = other.Publish(t.Context(), there)
		require.NoError(t, err)
		_, err = s.Publish(t.Context(), there)
		require.ErrorIs(t, err, ErrNotFound, "the first client stays where it was")
		require.Len(t, s.Journal(), 1)
		assert.Equal(t, "second", s.Journal()[0].InstanceID)
		assert.Equal(t, 1, s.Accepted(), "connections are shared")
		for _, id := range []string{"", "..", "a/b"} {
			bad, err := s.Client.Instance(id)
			assert.Nil(t, bad)
			assert.ErrorIs(t, err, ErrInvalidArgument)
		}
	})
}

// An ID stays one segment of the path, or one value of the query.
func TestIDsAreEscaped(t *testing.T) {
	var uris []string
	c, _ := newTest(t, func(cfg *Config) {
		cfg.Endpoint += "/prefix//"
		cfg.ProjectID, cfg.InstanceID = `p;q,"ü`, "{instance}"
		cfg.HTTPClient.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			uris = append(uris, r.Method+" "+r.URL.RequestURI())
			return respond(map[string]int{http.MethodGet: 403, http.MethodPost: 500}[r.Method], "")(r)
		})
	})
	_, err := c.Publish(t.Context(), PublishRequest{APIID: "{api}:&=+$@发", EnvID: "a&b=c;d+e"})
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	const base = "/prefix/v2/p%3Bq%2C%22%C3%BC/apigw/instances/%7Binstance%7D/apis/"
	assert.Equal(t, "POST "+base+"action", uris[0])
	history, _, _ := strings.Cut(uris[1], "?")
	assert.Equal(t, "GET "+base+"publish/%7Bapi%7D:&=+$@%E5%8F%91", history)
}

func TestCloseIdleConnections(t *testing.T) {
	g := gateway.NewGateway()
	t.Cleanup(g.Close)
	c := clientOf(t, g, func(cfg *Config) { cfg.HTTPClient = nil })
	request := PublishRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease}
	_, err := c.Publish(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, 1, g.Connections(), "kept for the next call")
	c.CloseIdleConnections()
	eventually(t, "the connection is closed", func() bool { return g.Connections() == 0 })
	_, err = c.Publish(t.Context(), request)
	require.NoError(t, err, "the client stays usable")
	c.CloseIdleConnections()
}

func TestClientFormat(t *testing.T) {
	c, _ := newTest(t)
	other, err := c.Instance("other")
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		assert.Equal(t, "apig.Client("+instanceURL+")", fmt.Sprintf(verb, c), verb)
		assert.Equal(t, "apig.Client("+strings.Replace(instanceURL, testInstance, "other", 1)+")", fmt.Sprintf(verb, other), verb)
		assert.Equal(t, "apig.Client(nil)", fmt.Sprintf(verb, (*Client)(nil)), verb)
	}
}
