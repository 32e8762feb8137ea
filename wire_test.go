package apig

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

func TestWireProof(t *testing.T) {
	t.Parallel()
	get := func(w *wire) { w.trace.GetConn("") }
	got := func(w *wire) { w.trace.GotConn(httptrace.GotConnInfo{}) }
	wrote := func(w *wire) { w.trace.WroteRequest(httptrace.WroteRequestInfo{}) }
	broke := func(w *wire) { w.trace.WroteRequest(httptrace.WroteRequestInfo{Err: io.ErrClosedPipe}) }
	for name, row := range map[string]struct {
		steps   []func(*wire)
		maySend bool
	}{
		"a mock, which reports nothing":          {nil, true},
		"waiting for a connection":               {[]func(*wire){get}, false},
		"still waiting, another way":             {[]func(*wire){get, get}, false},
		"connected":                              {[]func(*wire){get, got}, true},
		"sent":                                   {[]func(*wire){get, got, wrote}, true},
		"waiting again":                          {[]func(*wire){get, got, broke, get}, true},
		"waiting again after all of it was sent": {[]func(*wire){get, got, wrote, get}, true},
		"connected again":                        {[]func(*wire){get, got, wrote, get, got}, true},
	} {
		w := newWire()
		for _, step := range row.steps {
			step(w)
		}
		assert.Equal(t, row.maySend, w.maySend(), name)
	}
}

// silentListener accepts connections and never says anything. Each accepted one
// is reported.
func silentListener(t *testing.T) (addr string, accepted <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	signal := make(chan struct{}, 16)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var conns []net.Conn
		for {
			conn, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, conn)
			signal <- struct{}{}
		}
		for _, conn := range conns {
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().String(), signal
}

// TestContextEndsBeforeSending ends the context of a call at each station
// before it has a connection: nothing was sent, so nothing is unknown.
func TestContextEndsBeforeSending(t *testing.T) {
	t.Parallel()
	// A station makes a client whose calls get stuck there, and tells when one
	// does. Without a channel they do right after asking for a connection.
	stations := map[string]func(*testing.T) (c *Client, stuck <-chan struct{}){
		"dialing": func(t *testing.T) (*Client, <-chan struct{}) {
			dialing := make(chan struct{}, 16)
			transport := newTransport()
			transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				dialing <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}
			cfg := testConfig(transport)
			c, err := New(cfg)
			require.NoError(t, err)
			return c, dialing
		},
		"resolving": func(t *testing.T) (*Client, <-chan struct{}) {
			resolving := make(chan struct{}, 16)
			resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
				resolving <- struct{}{}
				<-ctx.Done()
				return nil, ctx.Err()
			}}
			transport := newTransport()
			transport.DialContext = (&net.Dialer{Resolver: resolver}).DialContext
			c, err := New(testConfig(transport))
			require.NoError(t, err)
			return c, resolving
		},
		"in the TLS handshake": func(t *testing.T) (*Client, <-chan struct{}) {
			addr, accepted := silentListener(t)
			cfg := testConfig(newTransport())
			cfg.Endpoint = "https://" + addr
			c, err := New(cfg)
			require.NoError(t, err)
			return c, accepted
		},
		"at a proxy that does not answer CONNECT": func(t *testing.T) (*Client, <-chan struct{}) {
			addr, accepted := silentListener(t)
			transport := newTransport()
			transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: addr})
			c, err := New(testConfig(transport))
			require.NoError(t, err)
			return c, accepted
		},
		"queued for a connection": func(t *testing.T) (*Client, <-chan struct{}) {
			c, g, r := newLive(t, func(cfg *Config) { cfg.HTTPClient.Transport.(*http.Transport).MaxConnsPerHost = 1 })
			g.Inject(apigtest.Hang())
			ctx, cancel := context.WithCancel(context.Background())
			held := make(chan struct{})
			go func() {
				defer close(held)
				_, _ = c.Offline(ctx, ActionRequest{APIID: "the-one-connection", EnvID: r.EnvID})
			}()
			t.Cleanup(func() {
				cancel()
				<-held
				assert.Empty(t, g.Journal())
			})
			require.Eventually(t, func() bool { return g.Faults() == 1 }, 10*time.Second, time.Millisecond)
			return c, nil
		},
	}
	for station, get := range stations {
		for name, call := range directions {
			t.Run(name+" "+station, func(t *testing.T) {
				t.Parallel()
				t.Run("cancelled", func(t *testing.T) {
					t.Parallel()
					c, stuck := get(t)
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					traced := ctx
					if stuck == nil {
						asks := make(chan struct{}, 16)
						traced = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) { asks <- struct{}{} }})
						stuck = asks
					}
					go func() {
						<-stuck
						cancel()
					}()
					record, err := call(c, traced, testRequest)
					assert.Nil(t, record)
					require.ErrorIs(t, err, context.Canceled)
					require.NotErrorIs(t, err, ErrOutcomeUnknown)
					assert.Equal(t, "apig: "+name+" API "+testAPI+": context canceled", err.Error())
				})
				t.Run("deadline", func(t *testing.T) {
					t.Parallel()
					c, _ := get(t)
					ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
					defer cancel()
					record, err := call(c, ctx, testRequest)
					assert.Nil(t, record)
					require.ErrorIs(t, err, context.DeadlineExceeded)
					require.NotErrorIs(t, err, ErrOutcomeUnknown)
				})
			})
		}
	}
}

// TestContextEndsWhileAuthenticating has an authenticator that takes all the
// time there was, and does not notice.
func TestContextEndsWhileAuthenticating(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c, g, r := newLive(t, authBy(authenticates(func(*http.Request) error { cancel(); return nil })))
	_, err := c.Publish(ctx, r)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ErrOutcomeUnknown)
	assert.Empty(t, g.Requests())
}

type authenticates func(*http.Request) error

func (f authenticates) Authenticate(r *http.Request) error { return f(r) }

// TestAttemptTimeoutBeforeSending repeats an attempt that got stuck before it
// was sent, without a look at the history.
func TestAttemptTimeoutBeforeSending(t *testing.T) {
	t.Parallel()
	var dials atomic.Int32
	c, g, r := newLive(t, func(cfg *Config) {
		cfg.AttemptTimeout = 100 * time.Millisecond
		dial := (&net.Dialer{}).DialContext
		cfg.HTTPClient.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials.Add(1) == 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return dial(ctx, network, addr)
		}
	})
	record, err := c.Publish(context.Background(), r)
	require.NoError(t, err)
	assert.False(t, record.Recovered)
	assert.Equal(t, []string{"online"}, ops(g))
	assert.Zero(t, asked(g, apigtest.OpHistory))
}

// overTLS makes a client of a gateway speak HTTP/2, or HTTP/1 with a transport
// that was not told to.
func overTLS(g *apigtest.Gateway, http2 bool) func(*Config) {
	return func(cfg *Config) {
		transport := newTransport()
		transport.TLSClientConfig = &tls.Config{RootCAs: g.CertPool()}
		transport.ForceAttemptHTTP2 = http2
		cfg.HTTPClient = &http.Client{Transport: transport}
	}
}

// bothProtocols runs a test over HTTP/1 and HTTP/2.
func bothProtocols(t *testing.T, test func(t *testing.T, c *Client, g *apigtest.Gateway, r ActionRequest), changes ...func(*Config)) {
	t.Helper()
	for name, http2 := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := apigtest.NewGateway(apigtest.WithTLS())
			t.Cleanup(g.Close)
			c := newLiveClient(t, g, append([]func(*Config){overTLS(g, http2)}, changes...)...)
			test(t, c, g, ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease, Remark: "1.4.2"})
		})
	}
}

// TestContextEndsAfterSending cancels a call whose request has arrived.
func TestContextEndsAfterSending(t *testing.T) {
	t.Parallel()
	for name, call := range directions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothProtocols(t, func(t *testing.T, c *Client, g *apigtest.Gateway, r ActionRequest) {
				arrived := make(chan struct{})
				g.Inject(apigtest.Hang().When(func(*apigtest.Request) bool { close(arrived); return true }))
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				go func() {
					<-arrived
					cancel()
				}()
				record, err := call(c, ctx, r)
				assert.Nil(t, record)
				require.ErrorIs(t, err, ErrOutcomeUnknown)
				require.ErrorIs(t, err, context.Canceled)
				assert.Len(t, g.Requests(), 1, "nothing is read once the context has ended")
			})
		})
	}
}

// TestTimeoutAfterSending settles what was sent and never answered.
func TestTimeoutAfterSending(t *testing.T) {
	t.Parallel()
	for whose, timeout := range map[string]func(*Config){
		"the attempt's": func(cfg *Config) { cfg.AttemptTimeout = 300 * time.Millisecond },
		"the client's":  func(cfg *Config) { cfg.HTTPClient.Timeout = 300 * time.Millisecond },
		"the transport's": func(cfg *Config) {
			cfg.HTTPClient.Transport.(*http.Transport).ResponseHeaderTimeout = 300 * time.Millisecond
		},
	} {
		for name, r := range map[string]struct {
			fault     apigtest.Fault
			recovered bool
		}{
			"not applied": {apigtest.Hang(), false},
			"applied":     {apigtest.Fault{Apply: apigtest.ApplyFirst, End: apigtest.EndHang}, true},
		} {
			t.Run(whose+", "+name, func(t *testing.T) {
				t.Parallel()
				bothProtocols(t, func(t *testing.T, c *Client, g *apigtest.Gateway, req ActionRequest) {
					g.Inject(r.fault)
					start := time.Now()
					record, err := c.Publish(context.Background(), req)
					require.NoError(t, err)
					assert.Equal(t, r.recovered, record.Recovered)
					assert.Equal(t, []string{"online"}, ops(g))
					assert.NotZero(t, asked(g, apigtest.OpHistory))
					if !r.recovered {
						assert.GreaterOrEqual(t, time.Since(start), 500*time.Millisecond, "after a timeout it waits twice as long")
					}
				}, timeout, func(cfg *Config) { cfg.Retry.SettleWait = 100 * time.Millisecond })
			})
		}
	}
}

// TestConnectionLost has each way in which a connection can end under a
// request, over both protocols and for both directions.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	reset := func(apply apigtest.Apply) apigtest.Fault {
		return apigtest.Fault{Apply: apply, End: apigtest.EndReset}
	}
	for name, row := range map[string]struct {
		fault     apigtest.Fault
		recovered bool
	}{
		"closed before it was applied": {apigtest.CloseBefore(), false},
		"closed after":                 {apigtest.ApplyThenClose(), true},
		"reset before it was applied":  {reset(apigtest.ApplyNever), false},
		"reset after":                  {reset(apigtest.ApplyFirst), true},
		"answer cut":                   {apigtest.Cut(0), true},
		"answer without a body":        {apigtest.Cut(-1), true},
	} {
		for _, reused := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, connection reused %t", name, reused), func(t *testing.T) {
				t.Parallel()
				bothProtocols(t, func(t *testing.T, c *Client, g *apigtest.Gateway, r ActionRequest) {
					before := []string{}
					if reused {
						_, err := c.Publish(context.Background(), r)
						require.NoError(t, err)
						before = []string{"online"}
					}
					g.Inject(row.fault.On(apigtest.OpAction))
					published, err := c.Publish(context.Background(), r)
					require.NoError(t, err)
					assert.Equal(t, row.recovered, published.Recovered)
					v, ok := g.Published(r.APIID, r.EnvID)
					require.True(t, ok)
					assert.Equal(t, v.ID, published.VersionID)
					assert.Equal(t, v.PublishID, published.PublishID)
					assert.Equal(t, append(before, "online"), ops(g))

					g.Inject(row.fault.On(apigtest.OpAction))
					offline, err := c.Offline(context.Background(), r)
					require.NoError(t, err)
					assert.Equal(t, row.recovered, offline.Recovered)
					assert.Equal(t, append(before, "online", "offline"), ops(g))
				})
			})
		}
	}
}

func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	log := &records{}
	cfg := testConfig(newTransport())
	cfg.Endpoint = "http://" + l.Addr().String()
	cfg.Logger = newRecorder(log)
	c, err := New(cfg)
	require.NoError(t, err)
	for name, call := range directions {
		_, err = call(c, context.Background(), testRequest)
		require.ErrorIs(t, err, syscall.ECONNREFUSED, name)
		require.NotErrorIs(t, err, ErrOutcomeUnknown, name)
		assert.ErrorContains(t, err, "(4 attempts)", name)
	}
	assert.Len(t, log.with("apig: attempt"), 8)
	assert.Empty(t, log.with("apig: settled"))
}

// TestCertificateRefused makes one attempt: no other would trust the server.
func TestCertificateRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*tls.Config){
		"unknown authority": func(c *tls.Config) { c.RootCAs = x509.NewCertPool() },
		"another host":      func(c *tls.Config) { c.ServerName = "apig.example.com" },
		"expired":           func(c *tls.Config) { c.Time = func() time.Time { return time.Now().AddDate(200, 0, 0) } },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bothProtocols(t, func(t *testing.T, c *Client, g *apigtest.Gateway, r ActionRequest) {
				change(c.http.Transport.(*http.Transport).TLSClientConfig)
				_, err := c.Publish(context.Background(), r)
				require.ErrorAs(t, err, new(*tls.CertificateVerificationError))
				require.NotErrorIs(t, err, ErrOutcomeUnknown)
				assert.Equal(t, 1, g.Accepted())
				assert.Empty(t, g.Requests())
			})
		})
	}
}

// TestProxyRefuses is turned away by a proxy before the request itself is sent.
func TestProxyRefuses(t *testing.T) {
	t.Parallel()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, r.Method, http.StatusBadGateway)
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	transport := newTransport()
	transport.Proxy = http.ProxyURL(at)
	c, err := New(testConfig(transport))
	require.NoError(t, err)
	_, err = c.Publish(context.Background(), testRequest)
	require.ErrorContains(t, err, "Bad Gateway")
	require.NotErrorIs(t, err, ErrOutcomeUnknown)
	assert.ErrorContains(t, err, "(4 attempts)")
}

// TestStaleConnections publishes 3,000 times on a server that closes each
// connection right after its answer, when the client has every reason to use
// it again. Now and then the request that follows is lost.
func TestStaleConnections(t *testing.T) {
	t.Parallel()
	const n = 3000
	c, g, r := newLive(t)
	g.Inject(apigtest.Drop().On(apigtest.OpAction).Always())

	byHand := &http.Client{Transport: newTransport()}
	defer byHand.CloseIdleConnections()
	body := fmt.Sprintf(`{"action":"online","env_id":%q,"api_id":%q}`, r.EnvID, g.AddAPI("by hand"))
	lost, sent := 0, 0
	for ; sent < n || lost == 0 && sent < 20*n; sent++ {
		req, err := http.NewRequest(http.MethodPost, c.base+"/apis/action", strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Auth-Token", g.Token())
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

	before := len(g.Journal())
	recovered, versions := 0, map[string]bool{}
	for range n {
		record, err := c.Publish(context.Background(), r)
		require.NoError(t, err)
		versions[record.VersionID] = true
		if record.Recovered {
			recovered++
		}
	}
	made := g.Journal()[before:]
	assert.Len(t, made, n, "none may be made twice")
	for _, a := range made {
		assert.True(t, versions[a.VersionID], "each is reported")
	}
	assert.Len(t, versions, n, "and reported once")
	t.Logf("net/http lost %d of %d; the client none of %d, with %d looks at the history (%d recovered)",
		lost, sent, n, asked(g, apigtest.OpHistory), recovered)
}

// TestStaleConnectionNothingWritten fails the first write to a connection that
// was used before. net/http knows that nothing was sent and takes another.
func TestStaleConnectionNothingWritten(t *testing.T) {
	t.Parallel()
	var dials atomic.Int32
	c, g, r := newLive(t, func(cfg *Config) {
		dial := (&net.Dialer{}).DialContext
		cfg.HTTPClient.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if dials.Add(1) == 1 && err == nil {
				conn = &shortLived{Conn: conn}
			}
			return conn, err
		}
	})
	for range 2 {
		record, err := c.Publish(context.Background(), r)
		require.NoError(t, err)
		assert.False(t, record.Recovered)
	}
	assert.Equal(t, []string{"online", "online"}, ops(g))
	assert.Zero(t, asked(g, apigtest.OpHistory), "nothing to settle")
	assert.EqualValues(t, 2, dials.Load())
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

// TestForeignRetries has a RoundTripper that repeats on its own. That its last
// connection was refused says nothing of the first.
func TestForeignRetries(t *testing.T) {
	t.Parallel()
	c, g, r := newLive(t, func(cfg *Config) {
		refusing := newTransport()
		refusing.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, errRefused }
		cfg.HTTPClient.Transport = twice{cfg.HTTPClient.Transport, refusing}
	})
	g.Inject(apigtest.ApplyThenClose())
	record, err := c.Publish(context.Background(), r)
	require.NoError(t, err)
	assert.True(t, record.Recovered)
	assert.Len(t, g.Journal(), 1)
}

// twice sends what the first could not with the second.
type twice struct{ first, second http.RoundTripper }

func (t twice) RoundTrip(r *http.Request) (*http.Response, error) {
	if resp, err := t.first.RoundTrip(r); err == nil {
		return resp, nil
	}
	again := r.Clone(r.Context())
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			return nil, err
		}
		again.Body = body
	}
	return t.second.RoundTrip(again)
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
	listener net.Listener
	roots    *x509.CertPool
	serve    func(s *stream) // called one at a time

	mu sync.Mutex
	wg sync.WaitGroup
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
	roots := x509.NewCertPool()
	roots.AddCert(lender.Certificate())
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: lender.TLS.Certificates, NextProtos: []string{"h2"}})
	require.NoError(t, err)
	f := &frames{listener: l, roots: roots, serve: serve}
	f.wg.Add(1)
	go f.accept()
	t.Cleanup(func() {
		l.Close()
		f.wg.Wait()
	})
	return f
}

func (f *frames) accept() {
	defer f.wg.Done()
	var conns []net.Conn
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			break
		}
		conns = append(conns, conn)
		f.wg.Add(1)
		go f.read(conn)
	}
	for _, conn := range conns {
		conn.Close()
	}
}

func (f *frames) read(conn net.Conn) {
	defer f.wg.Done()
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
			f.serve(&stream{conn, id, kind == frameData})
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

func (f *frames) client(t *testing.T, retry RetryPolicy) *Client {
	t.Helper()
	transport := newTransport()
	transport.TLSClientConfig = &tls.Config{RootCAs: f.roots}
	cfg := testConfig(transport)
	cfg.Endpoint = "https://" + f.listener.Addr().String()
	cfg.Retry = retry
	c, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// TestStreamReset ends the stream of a publication in ways after which net/http
// repeats it by itself. PROTOCOL_ERROR does not say that nothing was applied,
// and what net/http does then it does without end.
func TestStreamReset(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
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
				t.Parallel()
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
						if row.applied {
							publications++
						}
						row.end(s)
					default:
						publications++
						s.answer(201, publishedBody)
					}
				})
				c := f.client(t, quick)
				if warm {
					_, err := c.Publish(context.Background(), testRequest)
					require.NoError(t, err)
					f.mu.Lock()
					publications, broken = 0, true
					f.mu.Unlock()
				}
				_, err := c.Publish(context.Background(), testRequest)
				f.mu.Lock()
				defer f.mu.Unlock()
				assert.Equal(t, 1, publications)
				if row.applied { // this server's history has no Date to settle it with
					require.ErrorIs(t, err, ErrOutcomeUnknown)
				} else {
					require.NoError(t, err)
				}
			})
		}
	}
}

func (s *stream) answerHistory(total int, rows string) {
	s.answer(200, fmt.Sprintf(`{"total":%d,"size":%d,"api_versions":[%s]}`, total, total, rows))
}

// TestStreamResetForEver has a server that resets whatever it is sent: one
// attempt is one request, and nobody says that nothing was applied.
func TestStreamResetForEver(t *testing.T) {
	t.Parallel()
	posts := 0
	f := newFrames(t, func(s *stream) {
		if !s.hasBody {
			s.answerHistory(0, "")
			return
		}
		posts++
		s.reset(codeProtocolError)
	})
	c := f.client(t, RetryPolicy{MaxAttempts: 3, MinWait: 1, MaxWait: 1, SettleWait: 1})
	_, err := c.Publish(context.Background(), testRequest)
	require.ErrorIs(t, err, errSent)
	require.NotErrorIs(t, err, ErrOutcomeUnknown, "the history is empty")
	f.mu.Lock()
	defer f.mu.Unlock()
	assert.Equal(t, 3, posts)
}

// TestStreamResetThenRefused loses the server together with the stream. The
// last error says that a connection was refused; the request was applied.
func TestStreamResetThenRefused(t *testing.T) {
	t.Parallel()
	var f *frames
	ready := make(chan struct{})
	f = newFrames(t, func(s *stream) {
		<-ready
		f.listener.Close()
		s.reset(codeProtocolError)
		s.conn.Close()
	})
	close(ready)
	c := f.client(t, quick)
	_, err := c.Publish(context.Background(), testRequest)
	require.ErrorIs(t, err, ErrOutcomeUnknown)
}

// TestStreamResetOfDelete takes a version offline, which is a request without a
// body. That of its second attempt does not exist any more.
func TestStreamResetOfDelete(t *testing.T) {
	t.Parallel()
	deletes := 0
	f := newFrames(t, func(s *stream) {
		if deletes++; deletes == 1 {
			s.reset(codeProtocolError)
			return
		}
		s.answer(404, `{"error_code":"APIG.3022","error_msg":"The API version does not exist"}`)
	})
	require.NoError(t, f.client(t, quick).OfflineVersion(context.Background(), "v1"))

	f.mu.Lock()
	deletes = 1
	f.mu.Unlock()
	err := f.client(t, quick).OfflineVersion(context.Background(), "v1")
	require.ErrorIs(t, err, ErrNotFound, "without a loss before it, it is an error")
	require.False(t, errors.Is(err, ErrOutcomeUnknown))
}
