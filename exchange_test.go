package apig

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
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
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
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

// bothProtocols runs a test over HTTP/1 and HTTP/2.
func bothProtocols(t *testing.T, test func(t *testing.T, s *site), changes ...func(*Config)) {
	t.Helper()
	for name, options := range map[string][]gateway.Option{
		"HTTP/1": {gateway.WithoutNetwork()},
		"HTTP/2": {gateway.WithoutNetwork(), gateway.WithTLS()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := gateway.NewGateway(options...)
				t.Cleanup(g.Close)
				test(t, &site{Gateway: g, Client: clientOf(t, g, changes...), t: t, api: g.AddAPI("orders")})
			})
		})
	}
}

// listen gives each connection to serve, on a goroutine of its own.
func listen(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(t.Context(), func() { conn.Close() })
			running.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); running.Wait() })
	return l.Addr().String()
}

// A context that ends before there is a connection has sent nothing: nothing is unknown.
func TestContextEndsBeforeSending(t *testing.T) {
	// A station makes a client that gets stuck there, and tells when it does.
	for station, get := range map[string]func(t *testing.T, stuck chan<- struct{}) *Client{
		"in the TLS handshake": func(t *testing.T, stuck chan<- struct{}) *Client {
			return overSockets(t, "https://"+listen(t, func(net.Conn) { stuck <- struct{}{} }))
		},
		"at a proxy that does not answer": func(t *testing.T, stuck chan<- struct{}) *Client {
			return overSockets(t, testEndpoint, throughProxy(listen(t, func(net.Conn) { stuck <- struct{}{} })))
		},
		"queued for a connection": func(t *testing.T, stuck chan<- struct{}) *Client {
			c := overSockets(t, "http://"+listen(t, func(net.Conn) { stuck <- struct{}{} }),
				func(cfg *Config) { cfg.HTTPClient.Transport.(*http.Transport).MaxConnsPerHost = 1 })
			ctx, cancel := context.WithCancel(context.Background())
			held := make(chan struct{})
			go func() {
				defer close(held)
				_, _ = c.Published(ctx, testAPI, EnvRelease)
			}()
			t.Cleanup(func() { cancel(); <-held })
			return c
		},
	} {
		for name, call := range directions {
			t.Run(name+" "+station, func(t *testing.T) {
				stuck := make(chan struct{}, 16)
				c := get(t, stuck)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if station == "queued for a connection" {
					<-stuck // the other call has the only one
					stuck <- struct{}{}
				}
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
		assert.Equal(t, time.Minute+time.Second, took(func() { require.NoError(t, second(s.Publish(t.Context(), s.request("")))) }))
		assert.Equal(t, []gateway.Op{gateway.OpAction}, opsOf(s.Gateway))
	})
}

// The outcome of a request that has arrived when its call is cancelled is unknown, and
// nothing more is read.
func TestContextEndsAfterSending(t *testing.T) {
	bothProtocols(t, func(t *testing.T, s *site) {
		s.Inject(gateway.Hang())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		later(time.Second, cancel)
		record, err := s.Publish(ctx, s.request(""))
		assertOpen(t, record, err)
		require.ErrorIs(t, err, context.Canceled)
		assert.Len(t, s.Gateway.Requests(), 1)
	})
}

// A request without an answer is settled, however the time ran out; and as the request
// may still arrive, that takes twice SettleWait.
func TestTimeoutAfterSending(t *testing.T) {
	for whose, timeout := range map[string]func(*Config){
		"the attempt's":   func(cfg *Config) { cfg.AttemptTimeout = 3 * time.Second },
		"the client's":    func(cfg *Config) { cfg.HTTPClient.Timeout = 3 * time.Second },
		"the transport's": func(cfg *Config) { cfg.HTTPClient.Transport.(*http.Transport).ResponseHeaderTimeout = 3 * time.Second },
	} {
		for applied, fault := range map[bool]gateway.Fault{false: gateway.Hang(), true: {Apply: gateway.ApplyFirst, End: gateway.EndHang}} {
			t.Run(fmt.Sprintf("%s, applied %t", whose, applied), func(t *testing.T) {
				bothProtocols(t, func(t *testing.T, s *site) {
					s.Inject(fault)
					assert.Equal(t, 5*time.Second, took(func() {
						record, err := s.Publish(t.Context(), s.request(""))
						require.NoError(t, err)
						assert.Equal(t, applied, record.Recovered)
					}))
					assert.Equal(t, []string{"online"}, s.changes())
				}, timeout)
			})
		}
	}
}

// Each way in which a connection can end under a request, over both protocols, on
// a new connection and on a used one, for both directions.
func TestConnectionLost(t *testing.T) {
	for name, fault := range map[string]gateway.Fault{
		"closed": gateway.CloseBefore(), "closed, applied": gateway.ApplyThenClose(),
		"reset":          {Apply: gateway.ApplyNever, End: gateway.EndReset},
		"reset, applied": {Apply: gateway.ApplyFirst, End: gateway.EndReset},
		"cut, applied":   gateway.Cut(0), "cut before the body, applied": gateway.Cut(-1),
	} {
		for _, reused := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, connection reused %t", name, reused), func(t *testing.T) {
				bothProtocols(t, func(t *testing.T, s *site) {
					var want []string
					if reused {
						require.NoError(t, second(s.Publish(t.Context(), s.request("earlier"))))
						want = append(want, "online")
					}
					for _, action := range []string{"online", "offline"} {
						time.Sleep(time.Second * 10) // an offline soon after a publication stays unknown
						s.Inject(fault.On(gateway.OpAction))
						record, err := directions[map[string]string{"online": "Publish", "offline": "Offline"}[action]](s.Client, t.Context(), s.request("1.4.2"))
						require.NoError(t, err)
						assert.Equal(t, strings.HasSuffix(name, "applied"), record.Recovered)
						want = append(want, action)
						assert.Equal(t, want, s.changes())
						assert.Equal(t, s.effective(), record.VersionID)
					}
				})
			})
		}
	}
}

func TestConnectionRefused(t *testing.T) {
	log := &logbook{least: slog.LevelDebug}
	// Nobody is given port 1, as a port may be that was free a moment ago.
	c := overSockets(t, "http://127.0.0.1:1", logTo(slog.New(log)))
	for name, call := range directions {
		_, err := call(c, t.Context(), testRequest)
		require.ErrorIs(t, err, syscall.ECONNREFUSED, name)
		assert.Equal(t, NotApplied, OutcomeOf(err), name)
		assert.ErrorContains(t, err, "(4 attempts)", name)
	}
	assert.Len(t, log.all, 2*(4+3), "attempts and retries, and nothing to settle")
}

// No other attempt would trust the server, so there is one.
func TestCertificateRefused(t *testing.T) {
	for name, change := range map[string]func(*tls.Config){
		"unknown authority": func(c *tls.Config) { c.RootCAs = x509.NewCertPool() },
		"another host":      func(c *tls.Config) { c.ServerName = "apig.example.com" },
		"expired":           func(c *tls.Config) { c.Time = func() time.Time { return time.Now().AddDate(200, 0, 0) } },
	} {
		g := gateway.NewGateway(gateway.WithTLS())
		t.Cleanup(g.Close)
		c := clientOf(t, g, func(cfg *Config) { change(cfg.HTTPClient.Transport.(*http.Transport).TLSClientConfig) })
		_, err := c.Publish(t.Context(), testRequest)
		require.ErrorAs(t, err, new(*tls.CertificateVerificationError), name)
		assert.Equal(t, NotApplied, OutcomeOf(err), name)
		assert.Equal(t, 1, g.Accepted(), name)
		assert.Empty(t, g.Requests(), name)
	}
}

// throughProxy sends all requests through a proxy.
func throughProxy(address string) func(*Config) {
	return func(cfg *Config) {
		cfg.HTTPClient.Transport.(*http.Transport).Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: address, User: url.UserPassword("me", proxyPassword)})
	}
}

const proxyPassword = "Px-Vr7Km2Tz9Wq"

// A proxy that turns a request away is not taken for the gateway. What it will say
// again, that the way is forbidden or the user unknown, is not asked for again; and
// nothing was sent. A transport of the caller's reports the text of the proxy's status
// line only. Nothing that the proxy repeats shows a credential.
func TestProxyRefuses(t *testing.T) {
	basic := base64.StdEncoding.EncodeToString([]byte("me:" + proxyPassword))
	const refused, address = "the proxy refused the connection: ", `Post "` + actionURL + `": `
	for _, tt := range []struct {
		own      bool
		answer   string
		attempts int32
		text     string
	}{
		{true, "403 Forbidden", 1, address + refused + "403 Forbidden"},
		{true, "407 Who are you", 1, address + refused + "407 Proxy Authentication Required"},
		{true, "502 Bad Gateway", 4, address + refused + "502 Bad Gateway (4 attempts)"},
		{true, "599 " + proxyPassword, 4, address + refused + "599 (4 attempts)"},
		{false, "403 not " + testToken, 4, address + "not REDACTED (4 attempts)"},
		{false, "407 not " + proxyPassword + " Qk7-Zt3Vp9Lm2Xr", 4, address + "not REDACTED REDACTED (4 attempts)"},
		{false, "407 not Basic " + basic, 4, "(withheld: it repeats a credential, encoded) (4 attempts)"},
	} {
		t.Run(tt.answer, func(t *testing.T) {
			var asked atomic.Int32
			proxy := listen(t, func(conn net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					asked.Add(1)
					_, _ = io.WriteString(conn, "HTTP/1.1 "+tt.answer+"\r\nContent-Length: 0\r\n\r\n")
				}
			})
			_, err := overSockets(t, testEndpoint, throughProxy(proxy), func(cfg *Config) {
				transport := cfg.HTTPClient.Transport.(*http.Transport)
				transport.ProxyConnectHeader = http.Header{"X-Secret": {"Qk7-Zt3Vp9Lm2Xr"}}
				if !tt.own {
					transport.OnProxyConnectResponse = nil
				}
			}).Publish(t.Context(), testRequest)
			require.EqualError(t, err, `apig: Publish API `+testAPI+`: `+tt.text)
			assert.Equal(t, NotApplied, OutcomeOf(err))
			assert.Equal(t, tt.attempts, asked.Load())
			assert.NotContains(t, errorTree(err), testToken)
			assert.NotContains(t, errorTree(err), proxyPassword)
			assert.NotErrorAs(t, err, new(*APIGError), "it is no answer of the gateway")
		})
	}
}

// net/http quotes an address of a proxy that it cannot read, with its password.
func TestProxyAddressIsUnreadable(t *testing.T) {
	_, err := overSockets(t, testEndpoint, attempts(1), briefly, func(cfg *Config) {
		cfg.HTTPClient.Transport.(*http.Transport).Proxy = func(*http.Request) (*url.URL, error) {
			return url.Parse("http://me:secret-of-%zz-the-proxy@proxy.example.com") //nolint:staticcheck // it is broken on purpose
		}
	}).Publish(t.Context(), testRequest)
	require.ErrorContains(t, err, "invalid URL escape")
	assert.NotRegexp(t, "secret-of|the-proxy", errorTree(err))
}

// A proxy that lets the client through is no hindrance.
func TestProxyTunnels(t *testing.T) {
	g := gateway.NewGateway(gateway.WithTLS())
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
		_, err := c.Publish(t.Context(), PublishRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease})
		require.NoError(t, err)
	}
	assert.Equal(t, "CONNECT "+strings.TrimPrefix(g.URL(), "https://"), <-tunnels)
	assert.Empty(t, tunnels, "one for all requests")
}

// A server that closes each connection right after its answer, when the client has
// every reason to use it again, loses requests now and then. None is lost for the
// caller, and none is applied twice.
func TestStaleConnections(t *testing.T) {
	g := gateway.NewGateway()
	t.Cleanup(g.Close)
	g.Inject(gateway.Drop().On(gateway.OpAction).Always())
	c := clientOf(t, g, retry(testConfig(nil).Retry))
	lost := 0
	for n := 1; n <= 60_000 && (n <= 300 || lost == 0); n++ {
		record, err := c.Publish(t.Context(), PublishRequest{APIID: g.AddAPI(""), EnvID: EnvRelease})
		require.NoError(t, err)
		version, _ := g.Published(record.APIID, EnvRelease)
		require.Equal(t, version.ID, record.VersionID)
		require.Len(t, g.Journal(), n)
		lost = len(g.Requests()) - n
	}
	require.Positive(t, lost, "the fault must be real")
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
	i := iamOn(nil)
	i.Endpoint, i.HTTPClient = address, nil
	for name, call := range map[string]func() error{
		"Publish": func() error { return second(c.Publish(t.Context(), testRequest)) },
		"IAM":     func() error { return second(i.Token(t.Context())) },
		"ECS":     func() error { return second((&ECSKeys{Endpoint: address}).Keys(t.Context())) },
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

// Malformed answers are quoted in the errors of net/http, with what they echo.
// Nothing in the tree of the error shows it, whatever else can be found there.
func TestMalformedEchoes(t *testing.T) {
	for name, answer := range map[string]string{
		"status line":       "HTTP/1.1 " + secretToken + "\r\n\r\n",
		"header line":       "HTTP/1.1 200 OK\r\n" + secretToken + "\r\n\r\n",
		"length":            "HTTP/1.1 200 OK\r\nContent-Length: " + secretToken + "\r\n\r\n",
		"transfer encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secretToken + "\r\n\r\n",
		"chunk":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + secretToken + "\r\n",
		"trailer":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + secretToken + "\r\n\r\n",
		"location":          "HTTP/1.1 302 Found\r\nLocation: http://[" + secretToken + "\r\nContent-Length: 0\r\n\r\n",
		"no HTTP at all":    "X-Auth-Token: " + secretToken + "\r\n",
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
	for name, tt := range map[string]struct {
		err   error
		finds func(error) bool
	}{
		"a context": {context.DeadlineExceeded, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
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
		"a certificate": {&tls.CertificateVerificationError{Err: errors.New("no")}, func(err error) bool {
			var e *tls.CertificateVerificationError
			return errors.As(err, &e)
		}},
		"nothing else": {errors.New(testToken), func(err error) bool { return !errors.As(err, new(*url.Error)) && !errors.As(err, new(*net.OpError)) }},
	} {
		c, mt := newTest(t, attempts(1))
		mt.RegisterNoResponder(httpmock.NewErrorResponder(tt.err))
		err := drain(c.Environments(t.Context()))
		require.Error(t, err)
		assert.True(t, tt.finds(err), "%s: %v", name, err)
		assert.NotContains(t, errorTree(err), testToken)
	}
}

// briefly gives settling a moment only.
func briefly(cfg *Config) { cfg.Retry.SettleTimeout = 10 * time.Millisecond }

// A connection serves one call after the other, whatever the answers look like. In a
// bubble, since net/http drops a connection on which its own goroutine has not reported
// the end of the request within 50 ms.
func TestConnectionReuse(t *testing.T) {
	for name, fault := range map[string]gateway.Fault{
		"records": gateway.Slow(0), "errors": gateway.Answer(404, noAPIBody), "empty errors": gateway.Answer(403, ""),
		"redirects": gateway.Answer(307, "over there"), "chunked errors": gateway.Answer(403, strings.Repeat("<p>no</p>", 1000)),
		"junk behind a record":        gateway.Answer(201, publishedBody+"junk"),
		"errors of more than is read": gateway.Answer(400, strings.Repeat("x", maxBody+1000)),
	} {
		t.Run(name, func(t *testing.T) {
			bothProtocols(t, func(t *testing.T, s *site) {
				s.Inject(fault.On(gateway.OpAction).Always())
				for range 20 {
					_, _ = s.Publish(t.Context(), s.request(""))
				}
				assert.Equal(t, 1, s.Accepted())
			})
		})
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
	conn net.Conn
	id   uint32
	body []byte // nil: it has none
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
		payload := make([]byte, binary.BigEndian.Uint32(head)>>8)
		if _, err := io.ReadFull(conn, payload); err != nil {
			return
		}
		kind, flags, id := head[3], head[4], binary.BigEndian.Uint32(head[5:])
		switch {
		case kind == frameSettings && flags&flagAck == 0:
			writeFrame(conn, frameSettings, flagAck, 0, nil)
		case (kind == frameData || kind == frameHeaders) && flags&flagEndStream != 0:
			if kind == frameHeaders {
				payload = nil
			}
			f.mu.Lock()
			serve(&stream{conn, id, payload})
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

// The stream of a publication ends in ways after which net/http repeats it by itself.
// PROTOCOL_ERROR does not say that nothing was applied.
func TestStreamReset(t *testing.T) {
	for name, tt := range map[string]struct {
		end     func(*stream)
		applied bool
	}{
		"PROTOCOL_ERROR, applied":     {func(s *stream) { s.reset(codeProtocolError) }, true},
		"PROTOCOL_ERROR, not applied": {func(s *stream) { s.reset(codeProtocolError) }, false},
		"INTERNAL_ERROR, applied":     {func(s *stream) { s.reset(codeInternal) }, true},
		"REFUSED_STREAM":              {func(s *stream) { s.reset(codeRefused) }, false},
		"GOAWAY":                      {(*stream).goAway, false},
	} {
		t.Run(name, func(t *testing.T) {
			var rows []string
			broken := true
			f := newFrames(t, func(s *stream) {
				if s.body == nil {
					s.answerHistory(len(rows), strings.Join(rows, ","))
					return
				}
				ends := broken
				broken = false
				if !ends || tt.applied {
					var action struct{ Remark string }
					assert.NoError(t, json.Unmarshal(s.body, &action))
					rows = append(rows, fmt.Sprintf(`{"version_id":"v%d","env_id":%q,"remark":%q,"publish_time":"2020-08-03T01:36:00Z","status":1}`, len(rows), EnvRelease, action.Remark))
				}
				if ends {
					tt.end(s)
				} else {
					s.answer(201, publishedBody)
				}
			})
			record, err := f.client(t).Publish(t.Context(), testRequest)
			require.NoError(t, err)
			assert.Equal(t, tt.applied, record.Recovered)
			f.mu.Lock()
			defer f.mu.Unlock()
			assert.Len(t, rows, 1)
		})
	}
}

// The server is lost together with the stream. The last error says that a
// connection was refused; the request may have been applied.
func TestStreamResetThenRefused(t *testing.T) {
	gone := false
	f := newFrames(t, func(s *stream) {
		gone = true
		s.reset(codeProtocolError)
		s.conn.Close()
	})
	_, err := f.client(t, briefly, func(cfg *Config) {
		dial := cfg.HTTPClient.Transport.(*http.Transport).DialContext
		cfg.HTTPClient.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if gone {
				return nil, syscall.ECONNREFUSED
			}
			return dial(ctx, network, addr)
		}
	}).Publish(t.Context(), testRequest)
	require.ErrorIs(t, err, ErrOutcomeUnknown)
}

// A request without a body, which net/http may repeat too, is settled like any other.
func TestStreamResetOfDelete(t *testing.T) {
	requests := 0
	f := newFrames(t, func(s *stream) {
		if requests++; requests == 1 {
			s.reset(codeProtocolError)
			return
		}
		s.answerHistory(1, `{"version_id":"v1","env_id":"e","publish_time":"2020-08-03T01:36:00Z","status":2}`)
	})
	require.NoError(t, second(f.client(t, attempts(1)).OfflineVersion(t.Context(), testAPI, "v1")))
	f.mu.Lock()
	defer f.mu.Unlock()
	assert.Equal(t, 2, requests, "one of them for the history")
}
