package apig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
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
	for name, tt := range map[string]struct {
		cfg  Config
		want string // empty: none
	}{
		"complete":   {testConfig(nil), ""},
		"zero value": {Config{}, "Endpoint is empty; ProjectID is empty; InstanceID is empty; Auth is nil"},
		"everything": {
			Config{
				Endpoint: "apig.example.com", ProjectID: "a/b", InstanceID: "..", Auth: StaticToken(""), AttemptTimeout: -1, UserAgent: "a\nb",
				Retry:      RetryPolicy{MaxAttempts: -1, MinWait: -1, MaxWait: -1, SettleWait: -1, SettleTimeout: 25 * time.Hour},
				HTTPClient: &http.Client{Transport: (*http.Transport)(nil)}, Logger: &slog.Logger{}, Limiter: (*nilLimiter)(nil),
			},
			"Endpoint is not an absolute URL; AttemptTimeout is negative; Retry.MaxAttempts is negative; Retry.MinWait is negative; " +
				"Retry.MaxWait is negative; Retry.SettleWait is negative; Retry.SettleTimeout 25h0m0s is above 24h0m0s; " +
				"HTTPClient.Transport is a nil *http.Transport; Logger has no handler; " +
				`ProjectID "a/b" is not an ID; InstanceID ".." is not an ID; Auth: the token is empty; ` +
				"Limiter is a nil *apig.nilLimiter; UserAgent has a control character",
		},
		"MinWait above MaxWait": {
			set(func(cfg *Config) { cfg.Retry = RetryPolicy{MinWait: 2 * time.Second, MaxWait: time.Second} }),
			"Retry.MinWait 2s is above Retry.MaxWait 1s",
		},
		"MinWait above the default MaxWait": {set(func(cfg *Config) { cfg.Retry = RetryPolicy{MinWait: time.Minute} }), ""},
		"MaxWait below the default MinWait": {set(func(cfg *Config) { cfg.Retry = RetryPolicy{MaxWait: time.Millisecond} }), ""},
		"agent with an escape":              {set(func(cfg *Config) { cfg.UserAgent = "a\x1b" }), "UserAgent has a control character"},
		"agent with spaces":                 {set(func(cfg *Config) { cfg.UserAgent = "deploy/1 (nightly)" }), ""},
		"instance with a line break":        {set(func(cfg *Config) { cfg.InstanceID = "a\n" }), `InstanceID "a\n" is not an ID`},
		"project that is turned around":     {set(func(cfg *Config) { cfg.ProjectID = "a/\u202eb\u2066" }), `ProjectID "a/\u202eb\u2066" is not an ID`},
		"an authenticator that is nil":      {set(func(cfg *Config) { cfg.Auth = (*refuser)(nil) }), "Auth is a nil *apig.refuser"},
		"a function that is nil":            {set(func(cfg *Config) { cfg.Auth = authFunc(nil) }), "Auth is a nil apig.authFunc"},
		"no source of tokens":               {set(func(cfg *Config) { cfg.Auth = TokenAuth(nil) }), "Auth is nil"},
		"no source of keys":                 {set(func(cfg *Config) { cfg.Auth = KeyAuth(nil) }), "Auth is nil"},
		"IAM that is nil":                   {set(func(cfg *Config) { cfg.Auth = TokenAuth((*IAM)(nil)) }), "Auth is nil"},
		"an agency that is nil":             {set(func(cfg *Config) { cfg.Auth = TokenAuth((*Agency)(nil)) }), "Auth is nil"},
		"a source of tokens that is nil":    {set(func(cfg *Config) { cfg.Auth = TokenAuth(sourceFunc(nil)) }), "Auth is nil"},
		"keys of ECS that are nil":          {set(func(cfg *Config) { cfg.Auth = KeyAuth((*ECSKeys)(nil)) }), "Auth is nil"},
		"keys that are nil":                 {set(func(cfg *Config) { cfg.Auth = KeyAuth((*Keys)(nil)) }), "Auth is nil"},
		"a handler that is nil":             {set(func(cfg *Config) { cfg.Logger = slog.New((*nilHandler)(nil)) }), "Logger has no handler"},
		"zero values that are not pointers": {set(func(cfg *Config) { cfg.Auth, cfg.Limiter = refuser{}, &nilLimiter{} }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := New(tt.cfg)
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			assert.Nil(t, c)
			require.EqualError(t, err, "apig: invalid argument: "+tt.want)
			assert.ErrorIs(t, err, ErrInvalidArgument)
		})
	}
}

func TestNewEndpoint(t *testing.T) {
	const https = " must be https (http only to a loopback address)"
	const region = "Endpoint is not the address of a region, whose name is letters, digits and hyphens, such as cn-north-4"
	for endpoint, want := range map[string]string{ // to the error; empty: none
		"https://apig.cn-north-4.myhuaweicloud.com":      "",
		"https://apig.cn-north-4.myhuaweicloud.com:8443": "",
		"https://proxy.example.com/apig/":                "",
		"HTTPS://APIG.EXAMPLE.COM":                       "",
		"http://localhost":                               "",
		"http://localhost:8080":                          "",
		"http://127.0.0.1:8080":                          "",
		"http://127.8.9.10":                              "",
		"http://[::1]:8080":                              "",
		"http://apig.example.com":                        `Endpoint "http://apig.example.com"` + https,
		"http://10.0.0.1":                                `Endpoint "http://10.0.0.1"` + https,
		"http://0.0.0.0":                                 `Endpoint "http://0.0.0.0"` + https,
		"http://[::]":                                    `Endpoint "http://[::]"` + https,
		"http://169.254.169.254":                         `Endpoint "http://169.254.169.254"` + https,
		"http://localhost.example.com":                   `Endpoint "http://localhost.example.com"` + https,
		"http://127.0.0.1.example.com":                   `Endpoint "http://127.0.0.1.example.com"` + https,
		"http://localhost.":                              `Endpoint "http://localhost."` + https,
		"ftp://localhost":                                `Endpoint "ftp://localhost"` + https,
		"http://\u202eapig.example.com":                  `Endpoint "http://\u202eapig.example.com"` + https,
		"apig.example.com":                               "Endpoint is not an absolute URL",
		"//apig.example.com":                             `Endpoint "//apig.example.com"` + https,
		"https://":                                       "Endpoint is not an absolute URL",
		"https://:443":                                   "Endpoint is not an absolute URL",
		"https:apig.example.com":                         "Endpoint is not an absolute URL",
		"/v2":                                            "Endpoint is not an absolute URL",
		"https://apig.example.com:port":                  "Endpoint is not an absolute URL",
		" https://apig.example.com":                      "Endpoint is not an absolute URL",
		"https://apig.example.com\n":                     "Endpoint is not an absolute URL",
		"https://apig.example.com?a=b":                   "Endpoint must not have a query or fragment",
		"https://apig.example.com?":                      "Endpoint must not have a query or fragment",
		"https://apig.example.com#":                      "Endpoint must not have a query or fragment",
		"https://user@apig.example.com":                  "Endpoint must not hold a user or password",
		Endpoint(""):                                     region,
		Endpoint("evil.example/"):                        region,
		Endpoint("user:password@evil"):                   region,
	} {
		cfg := testConfig(nil)
		cfg.Endpoint = endpoint
		_, err := New(cfg)
		if want == "" {
			require.NoError(t, err, endpoint)
			continue
		}
		require.EqualError(t, err, "apig: invalid argument: "+want, endpoint)
	}
}

// An address can hold a password, even where it is not well formed.
func TestNewEndpointSecret(t *testing.T) {
	const password = "314159265"
	for _, endpoint := range []string{
		"https://user:" + password + "@apig.example.com",
		"http://user:" + password + "@apig.example.com",
		"https://" + password + "@apig.example.com",
		"https://user:" + password + "@",
		"user:" + password + "@apig.example.com",
		"https://user:" + password + "#@apig.example.com",
		"https://user:" + password + "?@apig.example.com",
		"http://user:2/" + password + "@apig.example.com",
		"https://user:2#" + password + "@apig.example.com",
		"https://user:" + password + "%zz@apig.example.com",
		"https://user:" + password + "\n@apig.example.com",
		"https://apig.example.com?token=" + password,
		"https://apig.example.com#" + password,
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
		"", "evil.example/", "evil.example#", "evil.example?", "a.b", "a b", "a:443", "a@b", "-a", "a-", "ü", "a\n", "%61", "a\\b", "\u202e", strings.Repeat("a", 64),
	} {
		for _, address := range []string{Endpoint(region), IAMEndpoint(region)} {
			u, err := url.Parse(address)
			require.NoError(t, err)
			assert.Empty(t, u.Host, region)
			resp, err := (&http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				return nil, errors.New("a request of " + region)
			})}).Get(address + "/v2")
			require.ErrorContains(t, err, "unsupported protocol scheme", region)
			assert.Nil(t, resp)
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
		ids[i] = fmt.Sprintf("%d/%s", i, strings.Repeat("x", 1000))
	}
	_, err := c.PublishBatch(t.Context(), BatchRequest{APIIDs: ids, EnvID: ".."})
	require.ErrorIs(t, err, ErrInvalidArgument)
	text := err.Error()
	assert.Less(t, len(text), 2000)
	assert.Contains(t, text, `EnvID ".." is not an ID; APIIDs[0] "0/xxx`)
	assert.Contains(t, text, `APIIDs[9] "9/xxx`)
	assert.NotContains(t, text, "APIIDs[10]")
	assert.True(t, strings.HasSuffix(text, "; and so on, 10000 mistakes"), text)

	_, err = c.PublishBatch(t.Context(), BatchRequest{APIIDs: []string{"a/", "b", "B"}, EnvID: "e"})
	assert.EqualError(t, err, `apig: invalid argument: APIIDs[0] "a/" is not an ID; APIIDs[1] and APIIDs[2] are the same`)
}

// What reorders a text or cannot be seen in it is escaped wherever an error shows
// what the caller has called something.
func TestInvisibleCharactersInErrors(t *testing.T) {
	c, mt := newTest(t)
	mt.RegisterResponder(http.MethodPost, actionURL, respondJSON(404, noAPIBody))
	_, err := c.Publish(t.Context(), ActionRequest{APIID: "a\u202eb\u2066c\u200b", EnvID: EnvRelease})
	require.ErrorIs(t, err, ErrNotFound)
	assert.Contains(t, err.Error(), `apig: Publish API a\u202eb\u2066c\u200b: 404 Not Found`)
	_, err = c.Publish(t.Context(), ActionRequest{APIID: "a\u202e/", EnvID: "\xff\u2066"})
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
	mt := httpmock.NewMockTransport()
	mt.RegisterResponder(http.MethodPost, actionURL, func(r *http.Request) (*http.Response, error) {
		assert.NotContains(t, r.Header, "Cookie")
		return respondJSON(201, publishedBody, "Set-Cookie", "session=1")(r)
	})
	hc := &http.Client{Transport: mt, CheckRedirect: func(*http.Request, []*http.Request) error { return nil }, Jar: jar, Timeout: time.Hour}
	before := *hc
	cfg := testConfig(nil)
	cfg.HTTPClient = hc
	c, err := New(cfg)
	require.NoError(t, err)
	_, err = c.Publish(t.Context(), testRequest)
	require.NoError(t, err)
	assert.Equal(t, before.Transport, hc.Transport)
	assert.Equal(t, before.Timeout, hc.Timeout)
	assert.Equal(t, before.Jar, hc.Jar)
	assert.Equal(t, reflect.ValueOf(before.CheckRedirect).Pointer(), reflect.ValueOf(hc.CheckRedirect).Pointer())
	assert.Len(t, jar.Cookies(u), 1, "and leaves the caller's jar alone")
}

// The time of the caller's client counts too: it ends an attempt of which nobody
// knows what became.
func TestHTTPClientTimeoutIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, attempts(1), func(cfg *Config) { cfg.HTTPClient.Timeout = 50 * time.Millisecond })
		s.Inject(apigtest.Hang().On(apigtest.OpAction))
		var err error
		elapsed := took(func() { _, err = s.Publish(t.Context(), s.request("")) })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, NotApplied, OutcomeOf(err), "the history shows that nothing was published")
		assert.Equal(t, 50*time.Millisecond+2*time.Second, elapsed, "twice SettleWait, as after every timeout")
	})
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
	record, err := c.Publish(t.Context(), testRequest)
	require.NoError(t, err)
	assert.Equal(t, testAPI, record.APIID)
	assert.Equal(t, 1, mt.GetTotalCallCount())
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

// One attempt ends in time, wherever the server stops, be that before the header,
// in a body, or in one that does not end; and after a minute by default.
func TestAttemptTimeout(t *testing.T) {
	for name, fault := range map[string]apigtest.Fault{
		"before the header":      apigtest.Hang(),
		"after it was applied":   {Apply: apigtest.ApplyFirst, End: apigtest.EndHang},
		"before it is processed": apigtest.Slow(time.Hour),
	} {
		for timeout, want := range map[time.Duration]time.Duration{0: time.Minute, 7 * time.Second: 7 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, attempts(1), func(cfg *Config) { cfg.AttemptTimeout = timeout })
				s.Inject(fault.On(apigtest.OpAction), apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory).Always())
				var err error
				elapsed := took(func() { _, err = s.Publish(t.Context(), s.request("")) })
				require.ErrorIs(t, err, ErrOutcomeUnknown, name)
				require.ErrorIs(t, err, context.DeadlineExceeded, name)
				assert.Equal(t, want+2*time.Second, elapsed, name)
			})
		}
	}
	for name, tt := range map[string]struct {
		status   int
		body     string // before it hangs
		sentinel error
		text     string
	}{
		"in a record":         {201, publishedBody[:50], ErrBadResponse, "status 201, "},
		"in an error":         {400, parameterBody[:50], ErrBadRequest, "400 Bad Request"},
		"in a server's error": {502, "<html>", ErrServer, "502 Bad Gateway"},
		"in what is no HTTP":  {101, "", ErrServer, "101 Switching Protocols"},
		"in a body of no end": {200, strings.Repeat("x", maxBody), ErrBadResponse, "status 200, "},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, mt := newTest(t, attempts(1), func(cfg *Config) { cfg.AttemptTimeout = 7 * time.Second })
			mt.RegisterResponder(http.MethodGet, historyURL, respondJSON(403, noPermissionBody))
			mt.RegisterResponder(http.MethodPost, actionURL, func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: tt.status, Header: http.Header{}, ContentLength: -1, Body: struct {
					io.Reader
					io.Closer
				}{io.MultiReader(strings.NewReader(tt.body), hanging{r.Context()}), io.NopCloser(nil)}}, nil
			})
			_, err := c.Publish(t.Context(), testRequest)
			require.ErrorIs(t, err, tt.sentinel, name)
			assert.ErrorContains(t, err, tt.text, name)
		})
	}
}

// hanging reads nothing until its context ends.
type hanging struct{ context.Context }

func (h hanging) Read([]byte) (int, error) {
	<-h.Done()
	return 0, h.Err()
}

func TestInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		second := s.AddInstance(s.ProjectID(), "second")
		other, err := s.Client.Instance(second.InstanceID())
		require.NoError(t, err)
		there := ActionRequest{APIID: second.AddAPI("there"), EnvID: EnvRelease}
		_, err = other.Publish(t.Context(), there)
		require.NoError(t, err)
		_, err = s.Publish(t.Context(), s.request(""))
		require.NoError(t, err, "the first client stays where it was")
		_, err = s.Publish(t.Context(), there)
		require.ErrorIs(t, err, ErrNotFound)

		journal := s.Journal()
		require.Len(t, journal, 2)
		assert.Equal(t, "second", journal[0].InstanceID)
		assert.Equal(t, s.InstanceID(), journal[1].InstanceID)
		assert.Equal(t, 1, s.Accepted(), "connections are shared")
		for _, id := range []string{"", "..", "a/b"} {
			bad, err := s.Client.Instance(id)
			assert.Nil(t, bad)
			assert.ErrorIs(t, err, ErrInvalidArgument)
			assert.ErrorContains(t, err, "InstanceID")
		}
	})
}

// Two clients for one instance take turns for an API, as one does.
func TestInstancesShareTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		same, err := s.Client.Instance(strings.ToUpper(s.InstanceID()))
		require.NoError(t, err)
		s.Inject(apigtest.Slow(time.Second).Times(1))
		first := make(chan error)
		go func() {
			_, err := s.Publish(t.Context(), s.request(""))
			first <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err = same.Publish(ctx, s.request(""))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, NotApplied, OutcomeOf(err))
		assert.Equal(t, 1, s.requests(apigtest.OpAction))
		require.NoError(t, <-first)
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
	_, err := c.Publish(t.Context(), ActionRequest{APIID: "{api}:&=+$@发", EnvID: "a&b=c;d+e"})
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	const base = "/prefix/v2/p%3Bq%2C%22%C3%BC/apigw/instances/%7Binstance%7D/apis/"
	assert.Equal(t, "POST "+base+"action", uris[0])
	history, query, _ := strings.Cut(uris[1], "?")
	assert.Equal(t, "GET "+base+"publish/%7Bapi%7D:&=+$@%E5%8F%91", history)
	values, err := url.ParseQuery(query)
	require.NoError(t, err)
	assert.Equal(t, "a&b=c;d+e", values.Get("env_id"))
}

func TestCloseIdleConnections(t *testing.T) {
	g := apigtest.NewGateway()
	t.Cleanup(g.Close)
	c := clientOf(t, g, func(cfg *Config) { cfg.HTTPClient = nil })
	request := ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease}
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

// The agent of the caller stands in front of the library's.
func TestUserAgent(t *testing.T) {
	agents := map[string]string{}
	for _, agent := range []string{"", "deploy/1"} {
		c, mt := newTest(t, func(cfg *Config) { cfg.UserAgent = agent })
		mt.RegisterResponder(http.MethodPost, actionURL, func(r *http.Request) (*http.Response, error) {
			agents[agent] = r.Header.Get("User-Agent")
			return respondJSON(201, publishedBody)(r)
		})
		_, err := c.Publish(t.Context(), testRequest)
		require.NoError(t, err)
	}
	assert.Equal(t, map[string]string{"": "apig-go/" + version, "deploy/1": "deploy/1 apig-go/" + version}, agents)
}
