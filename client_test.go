package apig

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

// newServer serves h, and makes a client for it with connections of its own.
func newServer(t *testing.T, h http.HandlerFunc, changes ...func(*Config)) (*Client, *httptest.Server) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	cfg := testConfig(&http.Transport{})
	cfg.Endpoint = server.URL
	for _, change := range changes {
		change(&cfg)
	}
	c, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return c, server
}

// newGateway starts a gateway with one API, and makes a client for it.
func newGateway(t *testing.T, changes ...func(*Config)) (*Client, *apigtest.Gateway, ActionRequest) {
	t.Helper()
	g := apigtest.NewGateway()
	t.Cleanup(g.Close)
	cfg := testConfig(&http.Transport{})
	cfg.Endpoint, cfg.ProjectID, cfg.InstanceID, cfg.Auth = g.URL(), g.ProjectID(), g.InstanceID(), StaticToken(g.Token())
	for _, change := range changes {
		change(&cfg)
	}
	c, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return c, g, ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease}
}

// eventually waits for what takes the other side a moment.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

func TestNewArguments(t *testing.T) {
	t.Parallel()
	set := func(change func(*Config)) Config {
		cfg := testConfig(nil)
		change(&cfg)
		return cfg
	}
	tests := map[string]struct {
		cfg  Config
		want string // empty: none
	}{
		"complete": {testConfig(nil), ""},
		"zero value": {
			Config{}, "Endpoint is empty; ProjectID is empty; InstanceID is empty; Auth is nil",
		},
		"everything": {
			Config{
				Endpoint: "apig.example.com", ProjectID: "a/b", InstanceID: "..", Auth: StaticToken(""), AttemptTimeout: -1, UserAgent: "a\nb",
				Retry: RetryPolicy{MaxAttempts: -1, MinWait: -1, MaxWait: -1, SettleWait: -1},
			},
			"Endpoint is not an absolute URL; AttemptTimeout is negative; Retry.MaxAttempts is negative; Retry.MinWait is negative; " +
				"Retry.MaxWait is negative; Retry.SettleWait is negative; " +
				`ProjectID "a/b" is not an ID; InstanceID ".." is not an ID; Auth: the token is empty; UserAgent has a control character`,
		},
		"MinWait above MaxWait": {
			set(func(cfg *Config) { cfg.Retry = RetryPolicy{MinWait: 2 * time.Second, MaxWait: time.Second} }),
			"Retry.MinWait 2s is above Retry.MaxWait 1s",
		},
		"MinWait above the default MaxWait": {
			set(func(cfg *Config) { cfg.Retry = RetryPolicy{MinWait: time.Minute} }), "",
		},
		"MaxWait below the default MinWait": {
			set(func(cfg *Config) { cfg.Retry = RetryPolicy{MaxWait: time.Millisecond} }), "",
		},
		"token with a line break": {
			set(func(cfg *Config) { cfg.Auth = StaticToken("MIIQ\n") }),
			"Auth: the token has a space, a control character or a byte outside ASCII at position 5 of 5",
		},
		"agent with an escape": {set(func(cfg *Config) { cfg.UserAgent = "a\x1b" }), "UserAgent has a control character"},
		"agent with spaces":    {set(func(cfg *Config) { cfg.UserAgent = "deploy/1 (nightly)" }), ""},
		"instance with a line break": {
			set(func(cfg *Config) { cfg.InstanceID = "a\n" }), `InstanceID "a\n" is not an ID`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := New(tt.cfg)
			if tt.want == "" {
				require.NoError(t, err)
				assert.NotNil(t, c)
				return
			}
			assert.Nil(t, c)
			require.EqualError(t, err, "apig: invalid argument: "+tt.want)
			assert.Equal(t, []error{ErrInvalidArgument}, matches(err))
		})
	}
}

func TestNewEndpoint(t *testing.T) {
	t.Parallel()
	const https = " must be https (http only to a loopback address)"
	tests := map[string]string{ // to the error; empty: none
		"https://apig.cn-north-4.myhuaweicloud.com":      "",
		"https://apig.cn-north-4.myhuaweicloud.com:8443": "",
		"https://proxy.example.com/apig/":                "",
		"HTTPS://APIG.EXAMPLE.COM":                       "",
		"http://localhost":                               "",
		"http://localhost:8080":                          "",
		"http://127.0.0.1:8080":                          "",
		"http://127.8.9.10":                              "",
		"http://[::1]":                                   "",
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
		"unix://localhost":                               `Endpoint "unix://localhost"` + https,
		"apig.example.com":                               "Endpoint is not an absolute URL",
		"//apig.example.com":                             `Endpoint "//apig.example.com"` + https,
		"https://":                                       "Endpoint is not an absolute URL",
		"https://:443":                                   "Endpoint is not an absolute URL",
		"https:apig.example.com":                         "Endpoint is not an absolute URL",
		"/v2":                                            "Endpoint is not an absolute URL",
		"https://apig.example.com:port":                  "Endpoint is not an absolute URL",
		" https://apig.example.com":                      "Endpoint is not an absolute URL",
		"https://apig.example.com?a=b":                   "Endpoint must not have a query or fragment",
		"https://apig.example.com?":                      "Endpoint must not have a query or fragment",
		"https://apig.example.com#":                      "Endpoint must not have a query or fragment",
		"https://user@apig.example.com":                  "Endpoint must not hold a user or password",
		"https://apig.example.com\n":                     "Endpoint is not an absolute URL",
	}
	for endpoint, want := range tests {
		t.Run(endpoint, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(nil)
			cfg.Endpoint = endpoint
			_, err := New(cfg)
			if want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, "apig: invalid argument: "+want)
			assert.ErrorIs(t, err, ErrInvalidArgument)
		})
	}
}

// An address can hold a password, even where it is not well formed.
func TestNewEndpointSecret(t *testing.T) {
	t.Parallel()
	const password = "314159265"
	for _, endpoint := range []string{
		"https://user:" + password + "@apig.example.com",
		"http://user:" + password + "@apig.example.com",
		"https://" + password + "@apig.example.com",
		"https://user:" + password + "@",
		"user:" + password + "@apig.example.com",
		"https://user:" + password + "#@apig.example.com",
		"https://user:" + password + "?@apig.example.com",
		"http://user:" + password + "/@apig.example.com",
		"http://user:2/" + password + "@apig.example.com",
		"https://user:2#" + password + "@apig.example.com",
		"https://user:2/" + password + "@apig.example.com",
		"https://user:2?" + password + "@apig.example.com",
		"https://user:" + password + "%zz@apig.example.com",
		"https://user:" + password + "\n@apig.example.com",
		"https://apig.example.com?token=" + password,
		"https://apig.example.com#" + password,
		"https://apig.example.com?" + password + "#",
	} {
		t.Run(endpoint, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(nil)
			cfg.Endpoint = endpoint
			c, err := New(cfg)
			assert.Nil(t, c)
			require.ErrorIs(t, err, ErrInvalidArgument)
			assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), password)
		})
	}
}

func TestEndpoint(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "https://apig.cn-north-4.myhuaweicloud.com", Endpoint("cn-north-4"))
	assert.Equal(t, "https://apig.eu-west-101.myhuaweicloud.eu", Endpoint("eu-west-101"), "the European site has a domain of its own")
}

// What a client changes for its own sake, it changes in its own copy.
func TestHTTPClientIsCopied(t *testing.T) {
	t.Parallel()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	follow := func(*http.Request, []*http.Request) error { return errors.New("never asked") }
	for name, hc := range map[string]*http.Client{
		"zero value": {},
		"everything": {Transport: httpmock.NewMockTransport(), CheckRedirect: follow, Jar: jar, Timeout: 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := *hc
			cfg := testConfig(nil)
			cfg.HTTPClient, cfg.AttemptTimeout = hc, 3*time.Second
			c, err := New(cfg)
			require.NoError(t, err)
			if mt, ok := hc.Transport.(*httpmock.MockTransport); ok {
				mt.RegisterResponder(http.MethodPost, actionURL, respondJSON(201, publishedBody))
				_, err := c.Publish(context.Background(), testRequest)
				require.NoError(t, err)
			}
			assert.Equal(t, before.Transport, hc.Transport)
			assert.Equal(t, before.Jar, hc.Jar)
			assert.Equal(t, before.Timeout, hc.Timeout)
			assert.Equal(t, reflect.ValueOf(before.CheckRedirect).Pointer(), reflect.ValueOf(hc.CheckRedirect).Pointer())

			assert.Equal(t, before.Transport, c.http.Transport, "kept")
			assert.Equal(t, before.Timeout, c.http.Timeout, "kept")
		})
	}
}

func TestHTTPClientTimeoutIsKept(t *testing.T) {
	t.Parallel()
	c, g, request := newGateway(t, attempts(1), func(cfg *Config) { cfg.HTTPClient.Timeout = 50 * time.Millisecond })
	g.Inject(apigtest.Hang().On(apigtest.OpAction).Always())
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := c.Publish(ctx, request)
	require.ErrorContains(t, err, "Client.Timeout exceeded while awaiting headers")
	assert.Empty(t, matches(err), "the history shows that nothing was published")
	assert.NoError(t, ctx.Err(), "the client's timeout ended the call, not the context")
}

// A nil Transport is http.DefaultTransport at the time of the request, as
// everywhere in net/http. It is the whole program's, so this test is not
// parallel to others.
func TestDefaultTransport(t *testing.T) {
	c, err := New(testConfig(nil))
	require.NoError(t, err)

	original := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = original })
	mt := httpmock.NewMockTransport()
	http.DefaultTransport = mt
	mt.RegisterResponder(http.MethodPost, actionURL, respondJSON(201, publishedBody))

	record, err := c.Publish(context.Background(), testRequest)
	require.NoError(t, err)
	assert.Equal(t, testAPI, record.APIID)
	assert.Equal(t, 1, mt.GetTotalCallCount())
}

// Without an HTTPClient there is a transport of the client's own.
func TestOwnTransport(t *testing.T) {
	t.Parallel()
	cfg := testConfig(nil)
	cfg.HTTPClient = nil
	c, err := New(cfg)
	require.NoError(t, err)
	transport, ok := c.http.Transport.(*http.Transport)
	require.True(t, ok)
	assert.NotSame(t, http.DefaultTransport, transport)
	assert.Less(t, transport.IdleConnTimeout, time.Minute, "before a load balancer closes a connection under a request")
	assert.Positive(t, transport.IdleConnTimeout)
	assert.NotNil(t, transport.Proxy)
	assert.True(t, transport.ForceAttemptHTTP2)
	assert.Positive(t, transport.TLSHandshakeTimeout)
	assert.Greater(t, transport.MaxIdleConnsPerHost, http.DefaultMaxIdleConnsPerHost, "there is one host only")
}

func TestNoCookies(t *testing.T) {
	t.Parallel()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	cookies := make(chan string, 10)
	c, server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		cookies <- r.Header.Get("Cookie")
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, publishedBody)
	}, func(cfg *Config) { cfg.HTTPClient.Jar = jar })
	for range 2 {
		_, err := c.Publish(context.Background(), testRequest)
		require.NoError(t, err)
		assert.Empty(t, <-cookies)
	}
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	assert.Empty(t, jar.Cookies(u), "the caller's jar")
}

// Following a redirect would hand the token to whoever it names.
func TestRedirectsAreRefused(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, target := range []string{"another host", "the same host"} {
			t.Run(fmt.Sprint(status, " to ", target), func(t *testing.T) {
				t.Parallel()
				var here, there atomic.Int32
				other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					there.Add(1)
					w.WriteHeader(http.StatusCreated)
					_, _ = io.WriteString(w, publishedBody)
				}))
				t.Cleanup(other.Close)
				location := "/v2/other"
				if target == "another host" {
					location = other.URL
				}
				c, _ := newServer(t, func(w http.ResponseWriter, r *http.Request) {
					here.Add(1)
					http.Redirect(w, r, location, status)
				}, func(cfg *Config) {
					cfg.HTTPClient.CheckRedirect = func(_ *http.Request, via []*http.Request) error {
						if len(via) > 3 {
							return errors.New("too many redirects")
						}
						return nil
					}
				})

				record, err := c.Publish(context.Background(), testRequest)
				assert.Nil(t, record)
				require.EqualError(t, err, fmt.Sprintf("apig: Publish API %s: %d %s: a redirect, which is never followed; check the endpoint",
					testAPI, status, http.StatusText(status)))
				assert.Equal(t, []error{ErrBadRequest}, matches(err))
				assert.EqualValues(t, 1, here.Load())
				assert.Zero(t, there.Load())
			})
		}
	}
}

// One attempt ends in time, wherever the server stops.
func TestAttemptTimeout(t *testing.T) {
	t.Parallel()
	const timeout = 100 * time.Millisecond
	tests := map[string]struct {
		status int    // 0: not even a header
		body   string // before it hangs
		check  func(*testing.T, error)
	}{
		"header": {0, "", func(t *testing.T, err error) {
			assert.Equal(t, []error{ErrOutcomeUnknown}, matches(err))
		}},
		"body of a record": {201, publishedBody[:50], func(t *testing.T, err error) {
			assert.Equal(t, []error{ErrBadResponse, ErrOutcomeUnknown}, matches(err))
		}},
		"body of an error": {400, parameterBody[:50], func(t *testing.T, err error) {
			assert.EqualError(t, err, "apig: Publish API "+testAPI+": 400 Bad Request")
		}},
		"body of a server's error": {502, "<html>", func(t *testing.T, err error) {
			assert.Equal(t, []error{ErrServer, ErrOutcomeUnknown}, matches(err))
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					w.WriteHeader(http.StatusForbidden)
					_, _ = io.WriteString(w, noPermissionBody)
					return
				}
				_, _ = io.Copy(io.Discard, r.Body) // so that the server sees the client leave
				if tt.status != 0 {
					w.WriteHeader(tt.status)
					_, _ = io.WriteString(w, tt.body)
					w.(http.Flusher).Flush()
				}
				<-r.Context().Done()
			}, func(cfg *Config) { cfg.AttemptTimeout = timeout })
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()

			start := time.Now()
			record, err := c.Publish(ctx, testRequest)
			assert.Nil(t, record)
			require.Error(t, err)
			tt.check(t, err)
			assert.GreaterOrEqual(t, time.Since(start), timeout)
			assert.NoError(t, ctx.Err(), "the attempt's own time ended it, not the context")
		})
	}
}

func TestAttemptTimeoutDefault(t *testing.T) {
	t.Parallel()
	c, _ := newTest(t)
	assert.Equal(t, time.Minute, c.timeout, "no call hangs for ever")
}

func TestInstance(t *testing.T) {
	t.Parallel()
	c, g, request := newGateway(t)
	second := g.AddInstance(g.ProjectID(), "second")
	other, err := c.Instance(second.InstanceID())
	require.NoError(t, err)
	there := ActionRequest{APIID: second.AddAPI("there"), EnvID: EnvRelease}

	_, err = other.Publish(context.Background(), there)
	require.NoError(t, err)
	_, err = c.Publish(context.Background(), request)
	require.NoError(t, err, "the first client stays where it was")
	_, err = c.Publish(context.Background(), there)
	require.ErrorIs(t, err, ErrNotFound)

	journal := g.Journal()
	require.Len(t, journal, 2)
	assert.Equal(t, "second", journal[0].InstanceID)
	assert.Equal(t, g.InstanceID(), journal[1].InstanceID)
	assert.Equal(t, 1, g.Accepted(), "connections are shared")
	assert.Same(t, c.turns, other.turns, "and so are turns")

	for _, id := range []string{"", "..", "a/b"} {
		bad, err := c.Instance(id)
		assert.Nil(t, bad)
		assert.ErrorIs(t, err, ErrInvalidArgument)
		assert.ErrorContains(t, err, "InstanceID")
	}
}

// An ID stays one segment of the path, or one value of the query.
func TestIDsAreEscaped(t *testing.T) {
	t.Parallel()
	uris := make(chan string, 10)
	c, _ := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		uris <- r.Method + " " + r.RequestURI
		if r.Method == http.MethodGet {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	}, func(cfg *Config) {
		cfg.Endpoint += "/prefix//"
		cfg.ProjectID, cfg.InstanceID = `p;q,"ü`, "{instance}"
	})
	_, err := c.Publish(context.Background(), ActionRequest{APIID: "{api}:&=+$@发", EnvID: "a&b=c;d+e"})
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	const base = "/prefix/v2/p%3Bq%2C%22%C3%BC/apigw/instances/%7Binstance%7D/apis/"
	assert.Equal(t, "POST "+base+"action", <-uris)
	history, query, _ := strings.Cut(<-uris, "?")
	assert.Equal(t, "GET "+base+"publish/%7Bapi%7D:&=+$@%E5%8F%91", history)
	values, err := url.ParseQuery(query)
	require.NoError(t, err)
	assert.Equal(t, "a&b=c;d+e", values.Get("env_id"))
}

func TestCloseIdleConnections(t *testing.T) {
	t.Parallel()
	c, g, request := newGateway(t, func(cfg *Config) { cfg.HTTPClient = nil })
	_, err := c.Publish(context.Background(), request)
	require.NoError(t, err)
	require.Equal(t, 1, g.Connections(), "kept for the next call")
	c.CloseIdleConnections()
	eventually(t, "the connection is closed", func() bool { return g.Connections() == 0 })

	_, err = c.Publish(context.Background(), request)
	require.NoError(t, err, "the client stays usable")
}

func TestClientFormat(t *testing.T) {
	t.Parallel()
	c, _ := newTest(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		assert.Equal(t, "apig.Client("+instanceURL+")", fmt.Sprintf(verb, c), verb)
		assert.Equal(t, "apig.Client(nil)", fmt.Sprintf(verb, (*Client)(nil)), verb)
	}
	other, err := c.Instance("other")
	require.NoError(t, err)
	assert.Equal(t, "apig.Client("+strings.Replace(instanceURL, testInstance, "other", 1)+")", fmt.Sprint(other))
}

// Many goroutines, one client: each call gets its own answer.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	const apis, callers, calls = 6, 4, 4
	c, g, _ := newGateway(t, logTo(slog.New(slog.NewJSONHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	var (
		wg       sync.WaitGroup
		versions sync.Map
	)
	for range apis {
		request := ActionRequest{APIID: g.AddAPI(""), EnvID: EnvRelease, Remark: "concurrent"}
		for range callers {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range calls {
					record, err := c.Publish(context.Background(), request)
					if !assert.NoError(t, err) {
						return
					}
					assert.Equal(t, request.APIID, record.APIID)
					_, twice := versions.LoadOrStore(record.VersionID, true)
					assert.False(t, twice, "version %s was reported twice", record.VersionID)
					_ = fmt.Sprintf("%v", c)
				}
			}()
		}
	}
	wg.Wait()
	assert.Len(t, g.Journal(), apis*callers*calls, "each call published once")
}

// connections counts those that a server accepts.
type connections struct{ n atomic.Int32 }

func (c *connections) count(_ net.Conn, state http.ConnState) {
	if state == http.StateNew {
		c.n.Add(1)
	}
}

// A connection serves one call after the other, whatever the answers look like.
func TestConnectionReuse(t *testing.T) {
	t.Parallel()
	write := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	chunked := func(status int, parts ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			for _, part := range parts {
				_, _ = io.WriteString(w, part)
				w.(http.Flusher).Flush()
			}
		}
	}
	zipped := zip(t, publishedBody)
	tests := map[string]struct {
		calls  int
		answer http.HandlerFunc
	}{
		"records":                      {200, write(201, publishedBody)},
		"chunked records":              {200, chunked(201, publishedBody[:100], publishedBody[100:])},
		"records, and a chunk of junk": {200, chunked(201, publishedBody, "junk")},
		"errors":                       {200, write(404, noAPIBody)},
		"chunked errors":               {200, chunked(404, noAPIBody[:30], noAPIBody[30:], strings.Repeat(" ", 10_000))},
		"chunked pages":                {200, chunked(403, "<html>", strings.Repeat("<p>no</p>", 1000))},
		"empty errors":                 {200, write(403, "")},
		"redirects":                    {200, write(307, "over there")},
		"large errors":                 {20, write(400, strings.Repeat("x", 100_000))},
		"errors of more than is read":  {20, write(400, strings.Repeat("x", 1<<20+1000))},
		"zipped records": {200, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write(zipped)
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var accepted connections
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet { // the history
					w.WriteHeader(http.StatusForbidden)
					return
				}
				tt.answer(w, r)
			}))
			server.Config.ConnState = accepted.count
			server.Start()
			t.Cleanup(server.Close)
			cfg := testConfig(&http.Transport{})
			cfg.Endpoint = server.URL
			c, err := New(cfg)
			require.NoError(t, err)
			t.Cleanup(c.CloseIdleConnections)
			for range tt.calls {
				_, _ = c.Publish(context.Background(), testRequest)
			}
			assert.EqualValues(t, 1, accepted.n.Load())
		})
	}
}

func zip(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, s)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.Bytes()
}

func TestConnectionReuseMixed(t *testing.T) {
	t.Parallel()
	c, g, request := newGateway(t, attempts(1))
	for i := range 200 {
		switch i % 5 {
		case 1:
			g.Inject(apigtest.Throttle(""))
		case 2:
			g.Inject(apigtest.Answer(502, "<html>Bad Gateway</html>").On(apigtest.OpAction))
		case 3:
			g.Inject(apigtest.Answer(409, `{"error_code":"APIC.7712","error_msg":"locked"}`))
		}
		_, _ = c.Publish(context.Background(), request)
	}
	assert.Equal(t, 1, g.Accepted())
	assert.Len(t, g.Journal(), 80)
}

// What a server sends does not decide how much memory a program needs. All that
// is allocated is counted, so this test is not parallel to others.
func TestLargeAnswerMemory(t *testing.T) {
	const size = 128 << 20
	chunk := bytes.Repeat([]byte("x"), 32<<10)
	flood := func(w io.Writer) {
		for range size / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	bomb := zip(t, strings.Repeat("x", 8<<20))
	for name, answer := range map[string]http.HandlerFunc{
		"record": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); flood(w) },
		"error":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400); flood(w) },
		"message": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"error_msg":"`)
			flood(w)
		},
		"announced length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(size))
			w.WriteHeader(400)
			flood(w)
		},
		"zipped": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(400)
			_, _ = w.Write(bomb)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					w.WriteHeader(http.StatusForbidden)
					return
				}
				answer(w, r)
			})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := c.Publish(context.Background(), testRequest)
			runtime.ReadMemStats(&after)
			require.Error(t, err)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(20<<20))
		})
	}
}

// resty writes to stderr unless told otherwise. The process has one stderr, so
// this test is not parallel to others.
func TestNothingOnStderr(t *testing.T) {
	original := os.Stderr
	t.Cleanup(func() { os.Stderr = original })
	r, w, err := os.Pipe()
	require.NoError(t, err)
	os.Stderr = w

	overwrite := func(rest *resty.Client) { // resty warns
		rest.SetPreRequestHook(func(*resty.Client, *http.Request) error { return nil })
	}
	var logged buffer
	for _, log := range []*slog.Logger{nil, slog.New(slog.NewTextHandler(&logged, nil))} {
		c, mt := newTest(t, logTo(log))
		mt.RegisterResponder(http.MethodPost, actionURL, httpmock.NewErrorResponder(errors.New("no route")))
		_, err = c.Publish(context.Background(), testRequest)
		assert.Error(t, err)
		overwrite(c.rest)
	}
	assert.Contains(t, logged.String(), "level=WARN msg=\"apig: Overwriting an existing pre-request hook", "the caller's logger gets it")

	own := resty.New() // shows that this test would see what resty writes
	overwrite(own)
	overwrite(own)

	require.NoError(t, w.Close())
	written, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(written), "\n"), "%s", written)
	assert.Contains(t, string(written), "WARN RESTY")
}

// What resty says goes to the caller's logger, at the level it says it at.
func TestRestyLog(t *testing.T) {
	t.Parallel()
	var out buffer
	log := restyLog{slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
		Level:       slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { return map[bool]slog.Attr{false: a}[a.Key == slog.TimeKey] },
	}))}
	log.Debugf("%d of %d", 1, 2)
	log.Warnf("careful")
	log.Errorf("no %s", "route")
	assert.Equal(t, "level=DEBUG msg=\"apig: 1 of 2\"\nlevel=WARN msg=\"apig: careful\"\nlevel=ERROR msg=\"apig: no route\"\n", out.String())
}

// Without a logger there is one that never does anything, whatever is done to
// it.
func TestSilentLogger(t *testing.T) {
	t.Parallel()
	c, _ := newTest(t)
	log := c.log.With("a", 1).WithGroup("g").With("b", 2)
	assert.False(t, log.Enabled(context.Background(), slog.LevelError+100))
	assert.NoError(t, log.Handler().Handle(context.Background(), slog.Record{}))
}

// One Debug record an attempt, one Warn a repetition.
func TestLog(t *testing.T) {
	t.Parallel()
	var out buffer
	c, mt := newTest(t, logTo(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	mt.RegisterResponder(http.MethodPost, actionURL,
		respondJSON(429, `{"error_code":"APIGW.0308","error_msg":"slow down"}`, "X-Request-Id", "first").
			Then(respondJSON(201, publishedBody, "X-Request-Id", "second")))
	_, err := c.Publish(context.Background(), testRequest)
	require.NoError(t, err)

	const failed = "apig: Publish API " + testAPI + ": 429 Too Many Requests, APIGW.0308: slow down (request id first)"
	type record struct {
		Level, Msg, Op string
		API            string `json:"api_id"`
		Attempt        int
		Status         int
		RequestID      string `json:"request_id"`
		Error          string
		Reason         string
		Duration       *time.Duration
		Wait           *time.Duration
	}
	var records []record
	for dec := json.NewDecoder(strings.NewReader(out.String())); dec.More(); {
		var r record
		require.NoError(t, dec.Decode(&r))
		records = append(records, r)
	}
	require.Len(t, records, 3)
	for _, i := range []int{0, 2} {
		require.NotNil(t, records[i].Duration)
		assert.GreaterOrEqual(t, *records[i].Duration, time.Duration(0))
		records[i].Duration = nil
	}
	require.NotNil(t, records[1].Wait)
	assert.GreaterOrEqual(t, *records[1].Wait, time.Millisecond)
	records[1].Wait = nil
	assert.Equal(t, []record{
		{Level: "DEBUG", Msg: "apig: attempt", Op: "Publish", API: testAPI, Attempt: 1, Status: 429, RequestID: "first", Error: failed},
		{Level: "WARN", Msg: "apig: retry", Op: "Publish", API: testAPI, Attempt: 1, Reason: failed},
		{Level: "DEBUG", Msg: "apig: attempt", Op: "Publish", API: testAPI, Attempt: 2, Status: 201, RequestID: "second"},
	}, records)
}

// Who forgets the source learns it from New, not from a panic of the first call.
func TestNewWithoutSource(t *testing.T) {
	t.Parallel()
	for name, auth := range map[string]Authenticator{"tokens": TokenAuth(nil), "keys": KeyAuth(nil)} {
		_, err := New(Config{Endpoint: "https://apig.example.com", ProjectID: "p", InstanceID: "i", Auth: auth})
		assert.EqualError(t, err, "apig: invalid argument: Auth is nil", name)
	}
}
