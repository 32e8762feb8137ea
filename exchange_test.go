package apig

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

// What crosses the wire. Where a socket is not needed to show it these tests run
// in virtual time, over pipes in memory.

// overSockets makes a client with a transport of its own for what listens at an
// address.
func overSockets(t *testing.T, endpoint string, changes ...func(*Config)) *Client {
	t.Helper()
	transport := newTransport()
	cfg := testConfig(transport)
	cfg.Endpoint = endpoint
	for _, change := range changes {
		change(&cfg)
	}
	c, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// socketSite is a gateway on loopback, and a client of it.
func socketSite(t *testing.T, changes ...func(*Config)) *site {
	t.Helper()
	g := apigtest.NewGateway()
	t.Cleanup(g.Close)
	changes = append([]func(*Config){func(cfg *Config) {
		cfg.ProjectID, cfg.InstanceID, cfg.Auth = g.ProjectID(), g.InstanceID(), StaticToken(g.Token())
	}}, changes...)
	return &site{Gateway: g, Client: overSockets(t, g.URL(), changes...), t: t, api: g.AddAPI("orders")}
}

// bothProtocols runs a test over HTTP/1 and HTTP/2.
func bothProtocols(t *testing.T, test func(t *testing.T, s *site), changes ...func(*Config)) {
	t.Helper()
	for name, options := range map[string][]apigtest.Option{
		"HTTP/1": {apigtest.WithoutNetwork()},
		"HTTP/2": {apigtest.WithoutNetwork(), apigtest.WithTLS()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := apigtest.NewGateway(options...)
				t.Cleanup(g.Close)
				test(t, &site{Gateway: g, Client: clientOf(t, g, changes...), t: t, api: g.AddAPI("orders")})
			})
		})
	}
}

// made is what the gateway has applied, in order.
func made(g *apigtest.Gateway) (ops []string) {
	for _, a := range g.Journal() {
		ops = append(ops, string(a.Action))
	}
	return ops
}

// listen gives each connection to serve, on a goroutine of its own.
func listen(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var mu sync.Mutex
	var conns []net.Conn
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			running.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

// Whoever's context ends before there is a connection, at whatever station, has
// sent nothing: nothing is unknown.
func TestContextEndsBeforeSending(t *testing.T) {
	silent := func(signal chan<- struct{}) func(net.Conn) { return func(net.Conn) { signal <- struct{}{} } }
	dials := func(dial func(context.Context, string, string) (net.Conn, error)) func(*Config) {
		return func(cfg *Config) { cfg.HTTPClient.Transport.(*http.Transport).DialContext = dial }
	}
	// A station makes a client whose calls get stuck there, and tells when one does.
	for station, get := range map[string]func(t *testing.T, stuck chan<- struct{}) *Client{
		"dialing": func(t *testing.T, stuck chan<- struct{}) *Client {
			return overSockets(t, testEndpoint, dials(func(ctx context.Context, _, _ string) (net.Conn, error) {
				stuck <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}))
		},
		"resolving": func(t *testing.T, stuck chan<- struct{}) *Client {
			resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				stuck <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}}
			return overSockets(t, testEndpoint, dials((&net.Dialer{Resolver: resolver}).DialContext))
		},
		"in the TLS handshake": func(t *testing.T, stuck chan<- struct{}) *Client {
			return overSockets(t, "https://"+listen(t, silent(stuck)))
		},
		"at a proxy that does not answer": func(t *testing.T, stuck chan<- struct{}) *Client {
			return overSockets(t, testEndpoint, throughProxy(listen(t, silent(stuck))))
		},
		"queued for a connection": func(t *testing.T, stuck chan<- struct{}) *Client {
			s := socketSite(t, func(cfg *Config) { cfg.HTTPClient.Transport.(*http.Transport).MaxConnsPerHost = 1 })
			s.Inject(apigtest.Hang())
			ctx, cancel := context.WithCancel(context.Background())
			held := make(chan struct{})
			go func() {
				defer close(held)
				_, _ = s.Offline(ctx, ActionRequest{APIID: "the-one-connection", EnvID: EnvRelease})
			}()
			t.Cleanup(func() { cancel(); <-held; assert.Empty(t, s.Journal()) })
			eventually(t, "the connection is taken", func() bool { return s.Struck() == 1 })
			stuck <- struct{}{}
			return s.Client
		},
	} {
		for name, call := range directions {
			t.Run(name+" "+station, func(t *testing.T) {
				stuck := make(chan struct{}, 16)
				c := get(t, stuck)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				asked := make(chan struct{}, 16)
				traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) { asked <- struct{}{} }})
				go func() {
					<-asked
					<-stuck
					cancel()
				}()
				record, err := call(c, traced, testRequest)
				assert.Nil(t, record)
				require.ErrorIs(t, err, context.Canceled)
				assert.Equal(t, NotApplied, OutcomeOf(err))
				assert.Equal(t, "apig: "+name+" API "+testAPI+": context canceled", err.Error())
			})
		}
	}
}

// An attempt that got stuck before it was sent is repeated, without a look at the
// history.
func TestAttemptTimeoutBeforeSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int32
		s := newSite(t, func(cfg *Config) {
			transport := cfg.HTTPClient.Transport.(*http.Transport)
			dial := transport.DialContext
			transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if dials.Add(1) == 1 {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return dial(ctx, network, addr)
			}
		}, retry(RetryPolicy{MinWait: time.Second, MaxWait: time.Second}))
		elapsed := took(func() {
			record, err := s.Publish(t.Context(), s.request(""))
			require.NoError(t, err)
			assert.False(t, record.Recovered)
		})
		assert.Equal(t, time.Minute+time.Second, elapsed)
		assert.Equal(t, []apigtest.Op{apigtest.OpAction}, opsOf(s.Gateway))
	})
}

// Who cancels a call whose request has arrived does not know what became of it,
// and nothing more is read.
func TestContextEndsAfterSending(t *testing.T) {
	for name, call := range directions {
		t.Run(name, func(t *testing.T) {
			bothProtocols(t, func(t *testing.T, s *site) {
				s.Inject(apigtest.Hang())
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() {
					time.Sleep(time.Second)
					cancel()
				}()
				record, err := call(s.Client, ctx, s.request(""))
				assert.Nil(t, record)
				require.ErrorIs(t, err, ErrOutcomeUnknown)
				require.ErrorIs(t, err, context.Canceled)
				assert.Len(t, s.Gateway.Requests(), 1)
			})
		})
	}
}

// What was sent and never answered is settled, whoever's time ran out; and as the
// request may be under way still, that takes twice SettleWait.
func TestTimeoutAfterSending(t *testing.T) {
	for whose, timeout := range map[string]func(*Config){
		"the attempt's":   func(cfg *Config) { cfg.AttemptTimeout = 3 * time.Second },
		"the client's":    func(cfg *Config) { cfg.HTTPClient.Timeout = 3 * time.Second },
		"the transport's": func(cfg *Config) { cfg.HTTPClient.Transport.(*http.Transport).ResponseHeaderTimeout = 3 * time.Second },
	} {
		for name, tt := range map[string]struct {
			fault     apigtest.Fault
			recovered bool
			elapsed   time.Duration
		}{
			"not applied": {apigtest.Hang(), false, 3*time.Second + 2*time.Second},
			"applied":     {apigtest.Fault{Apply: apigtest.ApplyFirst, End: apigtest.EndHang}, true, 3*time.Second + 2*time.Second/4},
		} {
			t.Run(whose+", "+name, func(t *testing.T) {
				bothProtocols(t, func(t *testing.T, s *site) {
					s.Inject(tt.fault)
					elapsed := took(func() {
						record, err := s.Publish(t.Context(), s.request(""))
						require.NoError(t, err)
						assert.Equal(t, tt.recovered, record.Recovered)
					})
					assert.Equal(t, tt.elapsed, elapsed)
					assert.Equal(t, []string{"online"}, made(s.Gateway))
				}, timeout)
			})
		}
	}
}

// Each way in which a connection can end under a request, over both protocols, on
// a new connection and on a used one, for both directions.
func TestConnectionLost(t *testing.T) {
	for name, tt := range map[string]struct {
		fault     apigtest.Fault
		recovered bool
	}{
		"closed before it was applied": {apigtest.CloseBefore(), false},
		"closed after":                 {apigtest.ApplyThenClose(), true},
		"reset before it was applied":  {apigtest.Fault{Apply: apigtest.ApplyNever, End: apigtest.EndReset}, false},
		"reset after":                  {apigtest.Fault{Apply: apigtest.ApplyFirst, End: apigtest.EndReset}, true},
		"answer cut":                   {apigtest.Cut(0), true},
		"answer without a body":        {apigtest.Cut(-1), true},
	} {
		for _, reused := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, connection reused %t", name, reused), func(t *testing.T) {
				bothProtocols(t, func(t *testing.T, s *site) {
					var before []string
					if reused {
						_, err := s.Publish(t.Context(), s.request("earlier"))
						require.NoError(t, err)
						before = []string{"online"}
						time.Sleep(time.Minute) // so that the earlier one is none of those that could be meant
					}
					s.Inject(tt.fault.On(apigtest.OpAction))
					published, err := s.Publish(t.Context(), s.request("1.4.2"))
					require.NoError(t, err)
					assert.Equal(t, tt.recovered, published.Recovered)
					v, ok := s.Gateway.Published(s.api, EnvRelease)
					require.True(t, ok)
					assert.Equal(t, v.ID, published.VersionID)
					assert.Equal(t, v.PublishID, published.PublishID)
					assert.Equal(t, append(before, "online"), made(s.Gateway))

					time.Sleep(time.Second)
					s.Inject(tt.fault.On(apigtest.OpAction))
					offline, err := s.Offline(t.Context(), s.request(""))
					require.NoError(t, err)
					assert.Equal(t, tt.recovered, offline.Recovered)
					assert.Equal(t, append(before, "online", "offline"), made(s.Gateway))
				})
			})
		}
	}
}

func TestConnectionRefused(t *testing.T) {
	var log buffer
	// Nobody is given port 1, as a port may be that was free a moment ago.
	c := overSockets(t, "http://127.0.0.1:1", logTo(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	for name, call := range directions {
		_, err := call(c, t.Context(), testRequest)
		require.ErrorIs(t, err, syscall.ECONNREFUSED, name)
		assert.Equal(t, NotApplied, OutcomeOf(err), name)
		assert.ErrorContains(t, err, "(4 attempts)", name)
	}
	assert.Equal(t, 8, strings.Count(log.String(), `msg="apig: attempt"`))
	assert.NotContains(t, log.String(), `msg="apig: settled"`)
}

// No other attempt would trust the server, so there is one.
func TestCertificateRefused(t *testing.T) {
	for name, change := range map[string]func(*tls.Config){
		"unknown authority": func(c *tls.Config) { c.RootCAs = x509.NewCertPool() },
		"another host":      func(c *tls.Config) { c.ServerName = "apig.example.com" },
		"expired":           func(c *tls.Config) { c.Time = func() time.Time { return time.Now().AddDate(200, 0, 0) } },
	} {
		for _, http2 := range []bool{false, true} {
			g := apigtest.NewGateway(apigtest.WithTLS())
			t.Cleanup(g.Close)
			c := clientOf(t, g, func(cfg *Config) {
				transport := cfg.HTTPClient.Transport.(*http.Transport)
				transport.ForceAttemptHTTP2 = http2
				change(transport.TLSClientConfig)
			})
			_, err := c.Publish(t.Context(), testRequest)
			require.ErrorAs(t, err, new(*tls.CertificateVerificationError), name)
			assert.Equal(t, NotApplied, OutcomeOf(err), name)
			assert.Equal(t, 1, g.Accepted(), name)
			assert.Empty(t, g.Requests(), name)
		}
	}
}

// throughProxy sends all requests through a proxy.
func throughProxy(address string) func(*Config) {
	return func(cfg *Config) {
		cfg.HTTPClient.Transport.(*http.Transport).Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: address})
	}
}

// theirOwn takes out of the transport what ours has and a caller's has not.
func theirOwn(cfg *Config) { cfg.HTTPClient.Transport.(*http.Transport).OnProxyConnectResponse = nil }

// A proxy that turns a request away is not taken for the gateway. What it will say
// again, that the way is forbidden or the user unknown, is not asked for again; and
// nothing was sent. A caller's own transport shows what the proxy said only by the
// words of the standard.
func TestProxyRefuses(t *testing.T) {
	for _, tt := range []struct {
		answer   string
		attempts int
		text     string
		theirs   string // with the caller's own transport; empty: the same
	}{
		{"403 Forbidden", 1, "the proxy refused the connection: 403 Forbidden", ""},
		{"407 Proxy Authentication Required", 1, "the proxy refused the connection: 407 Proxy Authentication Required", ""},
		{"502 Bad Gateway", 4, "the proxy refused the connection: 502 Bad Gateway (4 attempts)", ""},
		{"503 Service Unavailable", 4, "the proxy refused the connection: 503 Service Unavailable (4 attempts)", ""},
		{"403 Not from here", 1, "the proxy refused the connection: 403 Forbidden", "Not from here (4 attempts)"},
		{"599 Whatever", 4, "the proxy refused the connection: 599 (4 attempts)", "Whatever (4 attempts)"},
		{"403 " + testToken, 1, "the proxy refused the connection: 403 Forbidden", "REDACTED (4 attempts)"},
	} {
		for _, own := range []bool{true, false} {
			var asked atomic.Int32
			proxy := listen(t, func(conn net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					asked.Add(1)
					_, _ = io.WriteString(conn, "HTTP/1.1 "+tt.answer+"\r\nContent-Length: 0\r\n\r\n")
				}
			})
			changes := []func(*Config){throughProxy(proxy)}
			text, attempts := tt.text, tt.attempts
			if !own {
				changes = append(changes, theirOwn)
				if tt.theirs != "" {
					text, attempts = tt.theirs, 4
				}
			}
			_, err := overSockets(t, testEndpoint, changes...).Publish(t.Context(), testRequest)
			require.EqualError(t, err, `apig: Publish API `+testAPI+`: Post "`+actionURL+`": `+text, "%s, own transport %t", tt.answer, own)
			assert.Equal(t, NotApplied, OutcomeOf(err))
			assert.EqualValues(t, attempts, asked.Load())
			assert.NotContains(t, errorTree(err), testToken)
			var refused *APIGError
			assert.NotErrorAs(t, err, &refused, "it is no answer of the gateway")
		}
	}
}

// A proxy that lets the client through is no hindrance.
func TestProxyTunnels(t *testing.T) {
	g := apigtest.NewGateway(apigtest.WithTLS())
	t.Cleanup(g.Close)
	tunnels := make(chan string, 4)
	proxy := listen(t, func(conn net.Conn) {
		defer conn.Close()
		req, err := http.ReadRequest(bufio.NewReader(conn))
		if err != nil {
			return
		}
		tunnels <- req.Method + " " + req.Host
		there, err := net.Dial("tcp", req.Host)
		if err != nil {
			return
		}
		defer there.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { _, _ = io.Copy(there, conn); there.Close() }()
		_, _ = io.Copy(conn, there)
	})
	c := overSockets(t, g.URL(), throughProxy(proxy), func(cfg *Config) {
		cfg.ProjectID, cfg.InstanceID, cfg.Auth = g.ProjectID(), g.InstanceID(), StaticToken(g.Token())
		cfg.HTTPClient.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: g.CertPool()}
	})
	for range 2 {
		_, err := c.Publish(t.Context(), ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease})
		require.NoError(t, err)
	}
	assert.Equal(t, "CONNECT "+strings.TrimPrefix(g.URL(), "https://"), <-tunnels)
	assert.Empty(t, tunnels, "one for all requests")
}

// Other errors that are one word are no refusals of a proxy: those of a dialer, of
// a transport that uses no proxy for this request, and of a foreign one.
func TestNotAProxy(t *testing.T) {
	forbidden := errors.New("Forbidden")
	dials := func(cfg *Config) {
		cfg.HTTPClient.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, forbidden }
	}
	noProxy := func(cfg *Config) {
		cfg.HTTPClient.Transport.(*http.Transport).Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	foreign := func(cfg *Config) { cfg.HTTPClient.Transport = httpmock.NewMockTransport() }
	for name, changes := range map[string][]func(*Config){
		"a dialer with a proxy": {throughProxy("127.0.0.1:9"), dials}, "a dialer without": {noProxy, dials},
	} {
		_, err := overSockets(t, testEndpoint, append(changes, theirOwn)...).Publish(t.Context(), testRequest)
		require.ErrorContains(t, err, "Forbidden (4 attempts)", name)
		assert.NotContains(t, err.Error(), "refused the connection", name)
	}
	c := overSockets(t, testEndpoint, foreign, attempts(1), briefly)
	c.http.Transport.(*httpmock.MockTransport).RegisterResponder(http.MethodPost, actionURL, httpmock.NewErrorResponder(forbidden))
	_, err := c.Publish(t.Context(), testRequest)
	assert.NotContains(t, err.Error(), "refused the connection")
}

// staleCalls is how many times the test of stale connections publishes.
func staleCalls() int {
	if n, err := strconv.Atoi(os.Getenv("APIG_STALE_CALLS")); err == nil {
		return n
	}
	return 300
}

// A server that closes each connection right after its answer, when the client has
// every reason to use it again, loses requests now and then. None is lost for the
// caller, and none is applied twice. APIG_STALE_CALLS sets how many there are.
func TestStaleConnections(t *testing.T) {
	n := staleCalls()
	s := socketSite(t)
	s.Inject(apigtest.Drop().On(apigtest.OpAction).Always())

	byHand := &http.Client{Transport: newTransport()}
	defer byHand.CloseIdleConnections()
	body := fmt.Sprintf(`{"action":"online","env_id":%q,"api_id":%q}`, EnvRelease, s.AddAPI("by hand"))
	lost, sent := 0, 0
	for ; sent < n || lost == 0 && sent < 60_000; sent++ {
		req, err := http.NewRequest(http.MethodPost, s.base+"/apis/action", strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Auth-Token", s.Token())
		resp, err := byHand.Do(req)
		if err != nil {
			lost++
			continue
		}
		require.Equal(t, http.StatusCreated, resp.StatusCode)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
	}
	require.Positive(t, lost, "the fault must be real")

	before := len(s.Journal())
	recovered, versions := 0, map[string]bool{}
	for range n {
		record, err := s.Publish(t.Context(), s.request(""))
		require.NoError(t, err)
		versions[record.VersionID] = true
		if record.Recovered {
			recovered++
		}
	}
	applied := s.Journal()[before:]
	assert.Len(t, applied, n, "none may be made twice")
	for _, a := range applied {
		assert.True(t, versions[a.VersionID], "each is reported")
	}
	assert.Len(t, versions, n, "and reported once")
	t.Logf("net/http lost %d of %d; the client none of %d, with %d looks at the history (%d recovered)",
		lost, sent, n, s.requests(apigtest.OpHistory), recovered)
}

// Where the first write to a used connection fails, net/http knows that nothing
// was sent and takes another: there is nothing to settle.
func TestStaleConnectionNothingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int32
		s := newSite(t, func(cfg *Config) {
			transport := cfg.HTTPClient.Transport.(*http.Transport)
			dial := transport.DialContext
			transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := dial(ctx, network, addr)
				if dials.Add(1) == 1 && err == nil {
					conn = &shortLived{Conn: conn}
				}
				return conn, err
			}
		})
		for range 2 {
			record, err := s.Publish(t.Context(), s.request(""))
			require.NoError(t, err)
			assert.False(t, record.Recovered)
		}
		assert.Equal(t, []apigtest.Op{apigtest.OpAction, apigtest.OpAction}, opsOf(s.Gateway))
		assert.EqualValues(t, 2, dials.Load())
	})
}

// shortLived is a connection that takes one write.
type shortLived struct {
	net.Conn
	writes int
}

func (c *shortLived) Write(p []byte) (int, error) {
	if c.writes++; c.writes > 1 {
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(p)
}

// A foreign RoundTripper may repeat on its own. That its last connection was
// refused says nothing of the first.
func TestForeignRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(cfg *Config) {
			first, refusing := cfg.HTTPClient.Transport, newTransport()
			refusing.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
			cfg.HTTPClient.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if resp, err := first.RoundTrip(r); err == nil || r.GetBody == nil {
					return resp, err
				}
				body, err := r.GetBody()
				if err != nil {
					return nil, err
				}
				again := r.Clone(r.Context())
				again.Body = body
				return refusing.RoundTrip(again)
			})
		})
		s.Inject(apigtest.ApplyThenClose())
		record, err := s.Publish(t.Context(), s.request(""))
		require.NoError(t, err)
		assert.True(t, record.Recovered)
		assert.Len(t, s.Journal(), 1)
	})
}

// What an Authenticator puts in the place of a header is what is sent.
func TestAuthenticatorReplacesTheHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		c := clientOf(t, s.Gateway, authBy(authFunc(func(r *http.Request) error {
			r.Header = r.Header.Clone()
			r.Header.Set("X-Auth-Token", s.Token())
			return nil
		})))
		_, err := c.Publish(t.Context(), s.request(""))
		require.NoError(t, err)
	})
}

// switching is a server that answers a request with 101, and then talks for
// ever.
func switching(conn net.Conn) {
	r := bufio.NewReader(conn)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, req.Body)
	_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	for err == nil {
		_, err = io.WriteString(conn, "\x00")
		time.Sleep(time.Millisecond)
	}
}

// The connection that net/http hands over with a 101 has no end and knows no
// context. It is closed at once, by everything that reads answers.
func TestSwitchingProtocols(t *testing.T) {
	address := "http://" + listen(t, switching)
	c := overSockets(t, address, attempts(1), briefly)
	i, transport := iamOn(nil), &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	i.Endpoint, i.HTTPClient, i.Retry.MaxAttempts = address, &http.Client{Transport: transport}, 1
	for name, call := range map[string]func() error{
		"Publish": func() error { _, err := c.Publish(t.Context(), testRequest); return err },
		"IAM":     func() error { _, err := i.Token(t.Context()); return err },
		"IAM, on its own transport": func() error {
			own := *i
			own.HTTPClient = nil
			_, err := own.Token(t.Context())
			return err
		},
		"ECS": func() error { _, err := (&ECSKeys{Endpoint: address}).Keys(t.Context()); return err },
	} {
		done := make(chan error, 1)
		go func() { done <- call() }()
		select {
		case err := <-done:
			require.ErrorContains(t, err, "101 Switching Protocols", name)
		case <-time.After(time.Minute):
			t.Fatalf("%s hangs", name)
		}
	}
}

// stubborn is a body without an end that ignores its context. Close ends it,
// unless it is deaf.
type stubborn struct {
	closed chan struct{}
	once   *sync.Once
	deaf   bool
}

func (b stubborn) Read([]byte) (int, error) {
	<-b.closed
	return 0, io.ErrClosedPipe
}

func (b stubborn) Close() error {
	if b.deaf {
		<-b.closed
	}
	b.once.Do(func() { close(b.closed) })
	return nil
}

// A foreign RoundTripper may give a body that ignores its context: the attempt
// ends all the same, and where the body obeys Close no goroutine is left, without
// which the bubble would not end. A client with a Timeout hides such a body in a
// type of net/http.
func TestStubbornBodies(t *testing.T) {
	for _, status := range []int{101, 200, 201, 400, 500} {
		for _, deaf := range []bool{false, true} {
			for _, timeout := range []time.Duration{0, time.Hour} {
				synctest.Test(t, func(t *testing.T) {
					var bodies []stubborn
					c, _ := newTest(t, attempts(1), func(cfg *Config) {
						cfg.AttemptTimeout = 7 * time.Second
						cfg.HTTPClient.Timeout = timeout
						cfg.Retry.SettleTimeout = 20 * time.Second
						cfg.HTTPClient.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
							body := stubborn{make(chan struct{}), new(sync.Once), deaf}
							bodies = append(bodies, body)
							return &http.Response{StatusCode: status, Header: http.Header{}, ContentLength: -1, Body: body}, nil
						})
					})
					var err error
					elapsed := took(func() { _, err = c.Publish(t.Context(), testRequest) })
					require.Error(t, err)
					if status != 400 {
						assert.ErrorIs(t, err, ErrOutcomeUnknown)
					}
					assert.LessOrEqual(t, elapsed, 7*time.Second+2*time.Second+20*time.Second+2*bodyGrace, "%d, deaf %t", status, deaf)
					if deaf { // let go what nobody else could
						for _, body := range bodies {
							body.once.Do(func() { close(body.closed) })
						}
					}
				})
			}
		}
	}
}

// Malformed answers are quoted in the errors of net/http, with what they echo.
// Nothing in the tree of the error shows it, whatever else can be found there.
func TestMalformedEchoes(t *testing.T) {
	for name, answer := range map[string]string{
		"status line":       "HTTP/1.1 " + secretToken + "\r\n\r\n",
		"protocol":          secretToken + " 200 OK\r\n\r\n",
		"header line":       "HTTP/1.1 200 OK\r\n" + secretToken + "\r\n\r\n",
		"header name":       "HTTP/1.1 200 OK\r\n" + secretToken + " x: y\r\n\r\n",
		"length":            "HTTP/1.1 200 OK\r\nContent-Length: " + secretToken + "\r\n\r\n",
		"two lengths":       "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: " + secretToken + "\r\n\r\n",
		"transfer encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secretToken + "\r\n\r\n",
		"chunk":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + secretToken + "\r\n",
		"trailer":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + secretToken + "\r\n\r\n",
		"trailer's name":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: " + secretToken + "\r\n\r\n0\r\n\r\n",
		"location":          "HTTP/1.1 302 Found\r\nLocation: http://[" + secretToken + "\r\nContent-Length: 0\r\n\r\n",
		"no HTTP at all":    "X-Auth-Token: " + secretToken + "\r\n",
		"zipped":            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 33\r\n\r\n" + secretToken[:33],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for its settling to end
			address := "http://" + listen(t, func(conn net.Conn) {
				defer conn.Close()
				if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.Copy(io.Discard, req.Body)
					_, _ = io.WriteString(conn, answer)
				}
			})
			var log buffer
			c := overSockets(t, address, attempts(1), authBy(StaticToken(secretToken)),
				briefly,
				logTo(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
			_, err := c.Publish(t.Context(), testRequest)
			require.Error(t, err, name)
			assertNoSecrets(t, name, errorTree(err), allSecrets)
			assertNoSecrets(t, name, log.String(), allSecrets)
		})
	}
}

// What callers match is found all the same.
func TestTransportErrorsMatch(t *testing.T) {
	certificate := &tls.CertificateVerificationError{Err: errors.New("no")}
	for name, tt := range map[string]struct {
		err   error
		finds func(error) bool
	}{
		"a cancelled context": {context.Canceled, func(err error) bool { return errors.Is(err, context.Canceled) }},
		"a deadline":          {context.DeadlineExceeded, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		"a timeout": {os.ErrDeadlineExceeded, func(err error) bool {
			var e net.Error
			return errors.As(err, &e) && e.Timeout() && e.(interface{ Temporary() bool }).Temporary() && errors.Is(err, os.ErrDeadlineExceeded)
		}},
		"no such host": {&net.DNSError{Name: "apig.example.com", IsNotFound: true}, func(err error) bool {
			var e *net.DNSError
			return errors.As(err, &e) && e.IsNotFound
		}},
		"a refused connection": {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, func(err error) bool {
			var e syscall.Errno
			return errors.As(err, &e) && e == syscall.ECONNREFUSED && errors.Is(err, syscall.ECONNREFUSED)
		}},
		"a certificate": {certificate, func(err error) bool {
			var e *tls.CertificateVerificationError
			return errors.As(err, &e) && e == certificate
		}},
		"the end of it": {io.ErrUnexpectedEOF, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"nothing else": {errors.New(testToken), func(err error) bool {
			var e *url.Error
			var n *net.OpError
			return !errors.As(err, &e) && !errors.As(err, &n)
		}},
	} {
		c, mt := newTest(t, attempts(1))
		mt.RegisterResponder(http.MethodGet, instanceURL+"/envs", httpmock.NewErrorResponder(tt.err))
		mt.RegisterNoResponder(httpmock.NewErrorResponder(tt.err))
		err := drain(c.Environments(t.Context(), EnvironmentQuery{}))
		require.Error(t, err)
		assert.True(t, tt.finds(err), "%s: %v", name, err)
		assert.NotContains(t, errorTree(err), testToken)
	}
}

// briefly gives settling a moment only.
func briefly(cfg *Config) { cfg.Retry.SettleTimeout = 10 * time.Millisecond }

// Following a redirect would hand the token to whoever it names.
func TestRedirectsAreRefused(t *testing.T) {
	var there atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { there.Add(1) }))
	t.Cleanup(other.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{other.URL, "/v2/other"} {
			var here atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				here.Add(1)
				http.Redirect(w, r, location, status)
			}))
			t.Cleanup(server.Close)
			_, err := overSockets(t, server.URL).Publish(t.Context(), testRequest)
			require.EqualError(t, err, fmt.Sprintf("apig: Publish API %s: %d %s: a redirect, which is never followed; check the endpoint",
				testAPI, status, http.StatusText(status)))
			assert.ErrorIs(t, err, ErrBadRequest)
			assert.EqualValues(t, 1, here.Load())
			assert.Zero(t, there.Load())
		}
	}
}

// A connection serves one call after the other, whatever the answers look like.
func TestConnectionReuse(t *testing.T) {
	answer := func(status int, parts ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			for _, part := range parts {
				_, _ = io.WriteString(w, part)
				if len(parts) > 1 {
					w.(http.Flusher).Flush()
				}
			}
		}
	}
	for name, tt := range map[string]struct {
		calls  int
		answer http.HandlerFunc
	}{
		"records":                      {100, answer(201, publishedBody)},
		"chunked records":              {100, answer(201, publishedBody[:100], publishedBody[100:])},
		"records, and a chunk of junk": {50, answer(201, publishedBody, "junk")},
		"errors":                       {100, answer(404, noAPIBody)},
		"chunked errors":               {100, answer(404, noAPIBody[:30], noAPIBody[30:], strings.Repeat(" ", 10_000))},
		"chunked pages":                {50, answer(403, "<html>", strings.Repeat("<p>no</p>", 1000))},
		"empty errors":                 {100, answer(403, "")},
		"redirects":                    {100, answer(307, "over there")},
		"large errors":                 {20, answer(400, strings.Repeat("x", 100_000))},
		"errors of more than is read":  {20, answer(400, strings.Repeat("x", maxBody+1000))},
		"zipped records": {100, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write(zipped(publishedBody))
		}},
	} {
		// In a bubble, since net/http drops a connection on which its own goroutine has
		// not reported the end of the request within 50 ms.
		virtually(t, name, func(t *testing.T) {
			pipes := pipeListener{make(chan net.Conn), make(chan struct{})}
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet { // the history
					w.WriteHeader(http.StatusForbidden)
					return
				}
				tt.answer(w, r)
			})}
			go server.Serve(pipes)
			defer server.Close()
			transport := newTransport()
			defer transport.CloseIdleConnections()
			dialled := 0
			transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
				client, server := net.Pipe()
				dialled++
				pipes.conns <- server
				return client, nil
			}
			cfg := testConfig(transport)
			cfg.Endpoint = "http://127.0.0.1"
			c, err := New(cfg)
			require.NoError(t, err)
			for range tt.calls {
				_, _ = c.Publish(t.Context(), testRequest)
			}
			assert.Equal(t, 1, dialled)
		})
	}
}

// pipeListener accepts connections that need no network.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l pipeListener) Close() error   { close(l.closed); return nil }
func (l pipeListener) Addr() net.Addr { return &net.IPAddr{} }

// So it does where the answers are mixed.
func TestConnectionReuseMixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, attempts(1))
		for i := range 50 {
			switch i % 5 {
			case 1:
				s.Inject(apigtest.Throttle(""))
			case 2:
				s.Inject(apigtest.Answer(502, "<html>Bad Gateway</html>").On(apigtest.OpAction))
			case 3:
				s.Inject(apigtest.Answer(409, `{"error_code":"APIC.7712","error_msg":"locked"}`))
			}
			_, _ = s.Publish(t.Context(), s.request(""))
		}
		assert.Equal(t, 1, s.Accepted())
		assert.Len(t, s.Journal(), 20)
	})
}

// zipped is s with gzip. Writing to memory does not fail.
func zipped(s string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.Bytes()
}

// What a server sends does not decide how much memory a program needs, nor how
// long it reads.
func TestAnswersAreBounded(t *testing.T) {
	const size = 128 << 20
	chunk := bytes.Repeat([]byte("x"), 32<<10)
	flood := func(w io.Writer) {
		for range size / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	bomb := zipped(strings.Repeat("x", 8<<20))
	for name, answer := range map[string]http.HandlerFunc{
		"record": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); flood(w) },
		"error":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400); flood(w) },
		"message": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"error_msg":"`)
			flood(w)
		},
		"announced length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(size))
			w.WriteHeader(400)
			flood(w)
		},
		"zipped": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(400)
			_, _ = w.Write(bomb)
		},
		"header": func(w http.ResponseWriter, _ *http.Request) {
			long := string(chunk)
			for i := range 1 << 10 {
				w.Header()[fmt.Sprint("X-", i)] = []string{long}
			}
			w.WriteHeader(201)
		},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			answer(w, r)
		}))
		t.Cleanup(server.Close)
		c := overSockets(t, server.URL, attempts(1))
		cost := costOf(func() { _, err := c.Publish(t.Context(), testRequest); require.Error(t, err) })
		cost.assertSmall(t, name+": in the client and in the server")
	}
}

// Many goroutines, one client: each call gets its own answer.
func TestConcurrentUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const apis, callers, calls = 6, 4, 4
		s := newSite(t, logTo(slog.New(slog.NewJSONHandler(new(buffer), &slog.HandlerOptions{Level: slog.LevelDebug}))))
		var (
			wg       sync.WaitGroup
			versions sync.Map
		)
		for range apis {
			request := ActionRequest{APIID: s.AddAPI(""), EnvID: EnvRelease, Remark: "concurrent"}
			for range callers {
				wg.Go(func() {
					for range calls {
						record, err := s.Publish(t.Context(), request)
						if !assert.NoError(t, err) {
							return
						}
						assert.Equal(t, request.APIID, record.APIID)
						_, twice := versions.LoadOrStore(record.VersionID, true)
						assert.False(t, twice, "version %s was reported twice", record.VersionID)
						_ = fmt.Sprintf("%v", s.Client)
					}
				})
			}
		}
		wg.Wait()
		assert.Len(t, s.Journal(), apis*callers*calls, "each call published once")
	})
}

// resty writes to stderr unless told otherwise. What it says goes to the caller's
// logger, at the level it says it at.
func TestNothingOnStderr(t *testing.T) {
	original := os.Stderr
	t.Cleanup(func() { os.Stderr = original })
	r, w, err := os.Pipe()
	require.NoError(t, err)
	os.Stderr = w
	for _, log := range []*slog.Logger{nil, slog.New(slog.DiscardHandler)} {
		c, mt := newTest(t, logTo(log), attempts(1), briefly)
		mt.RegisterNoResponder(httpmock.NewErrorResponder(errors.New("no route")))
		_, err = c.Publish(t.Context(), testRequest)
		assert.Error(t, err)
	}
	own := resty.New() // shows that this test would see what resty writes
	for range 2 {
		own.SetPreRequestHook(func(*resty.Client, *http.Request) error { return nil })
	}
	require.NoError(t, w.Close())
	written, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(written), "\n"), "%s", written)
	assert.Contains(t, string(written), "WARN RESTY")

	var out buffer
	log := restyLog{slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	log.Debugf("%d of %d", 1, 2)
	log.Warnf("careful")
	log.Errorf("no %s", "route")
	for _, line := range []string{"level=DEBUG msg=\"apig: 1 of 2\"\n", "level=WARN msg=\"apig: careful\"\n", "level=ERROR msg=\"apig: no route\"\n"} {
		assert.Contains(t, out.String(), line)
	}
}

// Frames of HTTP/2, as far as these tests speak it.
const (
	frameData     = 0x0
	frameHeaders  = 0x1
	frameReset    = 0x3
	frameSettings = 0x4
	frameGoAway   = 0x7

	flagAck        = 0x1
	flagEndStream  = 0x1
	flagEndHeaders = 0x4

	codeProtocolError = 0x1
	codeInternal      = 0x2
	codeRefused       = 0x7
)

// frames is a server of HTTP/2 that ends each stream as it is told: net/http's
// own server cannot be made to end one with PROTOCOL_ERROR.
type frames struct {
	address string
	roots   *x509.CertPool
	mu      sync.Mutex // held while a stream is served
}

// stream is a request that has arrived completely.
type stream struct {
	conn    net.Conn
	id      uint32
	hasBody bool
}

func newFrames(t *testing.T, serve func(*stream)) *frames {
	t.Helper()
	lender := httptest.NewTLSServer(nil) // of a certificate
	defer lender.Close()
	f := &frames{roots: x509.NewCertPool()}
	f.roots.AddCert(lender.Certificate())
	config := &tls.Config{Certificates: lender.TLS.Certificates, NextProtos: []string{"h2"}}
	f.address = listen(t, func(conn net.Conn) { f.read(tls.Server(conn, config), serve) })
	return f
}

func (f *frames) read(conn net.Conn, serve func(*stream)) {
	defer conn.Close()
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	if _, err := io.ReadFull(conn, make([]byte, len(preface))); err != nil {
		return
	}
	writeFrame(conn, frameSettings, 0, 0, nil)
	for head := make([]byte, 9); ; {
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		length := int64(binary.BigEndian.Uint32(head) >> 8)
		if _, err := io.CopyN(io.Discard, conn, length); err != nil {
			return
		}
		kind, flags, id := head[3], head[4], binary.BigEndian.Uint32(head[5:])
		switch {
		case kind == frameSettings && flags&flagAck == 0:
			writeFrame(conn, frameSettings, flagAck, 0, nil)
		case (kind == frameData || kind == frameHeaders) && flags&flagEndStream != 0:
			f.mu.Lock()
			serve(&stream{conn, id, kind == frameData})
			f.mu.Unlock()
		}
	}
}

// writeFrame drops errors: the test sees what comes of them.
func writeFrame(w io.Writer, kind, flags byte, id uint32, payload []byte) {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	head = append(head, flags)
	head = binary.BigEndian.AppendUint32(head, id)
	_, _ = w.Write(append(head, payload...))
}

// reset ends the stream without an answer.
func (s *stream) reset(code uint32) {
	writeFrame(s.conn, frameReset, 0, s.id, binary.BigEndian.AppendUint32(nil, code))
}

// goAway ends the connection and says that this stream was not served.
func (s *stream) goAway() {
	last := binary.BigEndian.AppendUint32(nil, max(s.id, 2)-2)
	writeFrame(s.conn, frameGoAway, 0, 0, append(last, 0, 0, 0, 0))
}

// answer has a status and a body. :status is entry 8 of HPACK's static table.
func (s *stream) answer(status int, body string) {
	writeFrame(s.conn, frameHeaders, flagEndHeaders, s.id, append([]byte{0x08, 3}, fmt.Sprint(status)...))
	writeFrame(s.conn, frameData, flagEndStream, s.id, []byte(body))
}

func (s *stream) answerHistory(total int, rows string) {
	s.answer(200, fmt.Sprintf(`{"total":%d,"size":%d,"api_versions":[%s]}`, total, total, rows))
}

func (f *frames) client(t *testing.T, changes ...func(*Config)) *Client {
	return overSockets(t, "https://"+f.address, append([]func(*Config){func(cfg *Config) {
		cfg.HTTPClient.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: f.roots}
	}}, changes...)...)
}

// The stream of a publication ends in ways after which net/http repeats it by
// itself. PROTOCOL_ERROR does not say that nothing was applied, and what net/http
// does then it does without end.
func TestStreamReset(t *testing.T) {
	for name, tt := range map[string]struct {
		end     func(*stream)
		applied bool
	}{
		"PROTOCOL_ERROR, applied":     {func(s *stream) { s.reset(codeProtocolError) }, true},
		"PROTOCOL_ERROR, not applied": {func(s *stream) { s.reset(codeProtocolError) }, false},
		"INTERNAL_ERROR, applied":     {func(s *stream) { s.reset(codeInternal) }, true},
		"INTERNAL_ERROR, not applied": {func(s *stream) { s.reset(codeInternal) }, false},
		"REFUSED_STREAM":              {func(s *stream) { s.reset(codeRefused) }, false},
		"GOAWAY":                      {(*stream).goAway, false},
	} {
		for _, warm := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, connection reused %t", name, warm), func(t *testing.T) {
				publications, broken := 0, !warm
				f := newFrames(t, func(s *stream) {
					switch {
					case !s.hasBody:
						rows := ""
						if publications > 0 {
							rows = fmt.Sprintf(`{"version_id":"v%d","publish_time":%q,"status":1}`, publications, time.Now().UTC().Format(time.RFC3339))
						}
						s.answerHistory(publications, rows)
					case broken:
						broken = false
						if tt.applied {
							publications++
						}
						tt.end(s)
					default:
						publications++
						s.answer(201, publishedBody)
					}
				})
				c := f.client(t)
				if warm {
					_, err := c.Publish(t.Context(), testRequest)
					require.NoError(t, err)
					f.mu.Lock()
					publications, broken = 0, true
					f.mu.Unlock()
				}
				_, err := c.Publish(t.Context(), testRequest)
				f.mu.Lock()
				defer f.mu.Unlock()
				assert.Equal(t, 1, publications)
				if tt.applied { // this server's history has no Date to settle it with
					require.ErrorIs(t, err, ErrOutcomeUnknown)
				} else {
					require.NoError(t, err)
				}
			})
		}
	}
}

// To a server that resets whatever it is sent, one attempt is one request, and
// the history says that nothing was applied.
func TestStreamResetForEver(t *testing.T) {
	posts := 0
	f := newFrames(t, func(s *stream) {
		if !s.hasBody {
			s.answerHistory(0, "")
			return
		}
		posts++
		s.reset(codeProtocolError)
	})
	_, err := f.client(t, attempts(3)).Publish(t.Context(), testRequest)
	require.ErrorContains(t, err, "the server has reset the request after it was sent")
	assert.Equal(t, NotApplied, OutcomeOf(err))
	f.mu.Lock()
	defer f.mu.Unlock()
	assert.Equal(t, 3, posts)
}

// The server is lost together with the stream. The last error says that a
// connection was refused; the request may have been applied.
func TestStreamResetThenRefused(t *testing.T) {
	gone := false
	f := newFrames(t, func(s *stream) {
		if s.hasBody {
			gone = true
			s.reset(codeProtocolError)
		}
		s.conn.Close()
	})
	c := f.client(t, func(cfg *Config) {
		briefly(cfg)
		dial := cfg.HTTPClient.Transport.(*http.Transport).DialContext
		cfg.HTTPClient.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if gone {
				return nil, syscall.ECONNREFUSED
			}
			return dial(ctx, network, addr)
		}
	})
	_, err := c.Publish(t.Context(), testRequest)
	require.ErrorIs(t, err, ErrOutcomeUnknown)
}

// Taking a version offline is a request without a body. What a reset means for it
// the history decides, as for any other change.
func TestStreamResetOfDelete(t *testing.T) {
	requests := 0
	f := newFrames(t, func(s *stream) {
		if requests++; requests == 1 {
			s.reset(codeProtocolError)
			return
		}
		s.answerHistory(1, `{"version_id":"v1","publish_time":"2020-08-03T01:36:00Z","status":2}`)
	})
	_, err := f.client(t, attempts(1)).OfflineVersion(t.Context(), testAPI, "v1")
	require.NoError(t, err)
	f.mu.Lock()
	defer f.mu.Unlock()
	assert.Equal(t, 2, requests, "one of them for the history")
}

// A panic of a foreign transport's body comes to the caller, who can recover from
// it, and not on a goroutine of the library, where it would end the program.
func TestPanicOfABody(t *testing.T) {
	ends := func() { panic("boom") }
	c, mt := newTest(t, attempts(1))
	mt.RegisterResponder(http.MethodGet, historyURL, func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1, Request: r, Body: io.NopCloser(readerFunc(func([]byte) (int, error) {
			ends()
			return 0, io.EOF
		}))}, nil
	})
	read := func() error {
		_, err := c.Published(t.Context(), testAPI, EnvRelease)
		return err
	}
	assert.PanicsWithValue(t, "boom", func() { _ = read() })
	ends = runtime.Goexit
	require.ErrorIs(t, read(), ErrBadResponse)
}

// readerFunc is a function as a reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
