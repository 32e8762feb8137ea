package apig

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Where redirects lead to, and who listens there.
const leakElsewhere = "elsewhere.example.net"

// leakListener keeps every byte that comes in.
type leakListener struct {
	net.Listener
	mu    sync.Mutex
	conns int
	bytes bytes.Buffer
}

func (l *leakListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns++
	return leakConn{c, l}, nil
}

type leakConn struct {
	net.Conn
	to *leakListener
}

func (c leakConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.to.mu.Lock()
	defer c.to.mu.Unlock()
	c.to.bytes.Write(b[:n])
	return n, err
}

// received is what has come in, and over how many connections.
func (l *leakListener) received() (int, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conns, l.bytes.String()
}

// leakServe serves h on loopback, with TLS or without. What it keeps of TLS is
// what was in it.
func leakServe(t *testing.T, secure bool, h http.HandlerFunc) *leakListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	if secure {
		certificate := httptest.NewUnstartedServer(nil)
		certificate.StartTLS()
		defer certificate.Close()
		l = tls.NewListener(l, &tls.Config{Certificates: certificate.TLS.Certificates})
	}
	kept := &leakListener{Listener: l}
	server := &http.Server{Handler: h}
	go server.Serve(kept)
	t.Cleanup(func() { server.Close() })
	return kept
}

// leakStage is a network of four servers: at home, where the gateway, IAM and
// the metadata service are, and elsewhere, each with TLS and without.
type leakStage struct {
	elsewhere map[bool]*leakListener // by whether it has TLS
	home      map[bool]*leakListener
}

// leakSet sets the stage. What home redirects goes to target, by its path.
func leakSet(t *testing.T, status int, target string, redirects func(*http.Request) bool) *leakStage {
	t.Helper()
	home := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if redirects(r) {
			w.Header().Set("Location", target+r.URL.RequestURI())
			w.WriteHeader(status)
			return
		}
		resp, err := issue(r)
		if err != nil {
			panic(err)
		}
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}
	elsewhere := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, publishedBody)
	}
	s := &leakStage{home: map[bool]*leakListener{}, elsewhere: map[bool]*leakListener{}}
	for _, secure := range []bool{true, false} {
		s.home[secure] = leakServe(t, secure, home)
		s.elsewhere[secure] = leakServe(t, secure, elsewhere)
	}
	return s
}

// transport reaches these servers by the names of the tests. The metadata
// service alone is at home without TLS: anybody else who asks for that is
// elsewhere.
func (s *leakStage) transport(t *testing.T) *http.Transport {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			servers := s.elsewhere
			if host == "169.254.169.254" || host != leakElsewhere && port == "443" {
				servers = s.home
			}
			return new(net.Dialer).DialContext(ctx, network, servers[port == "443"].Addr().String())
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// leaked is all that came in elsewhere.
func (s *leakStage) leaked() (conns int, received string) {
	for _, l := range s.elsewhere {
		n, text := l.received()
		conns, received = conns+n, received+text
	}
	return conns, received
}

// Redirects are followed nowhere: not by the gateway's client, and not by what
// gets its credentials. On the way to another host net/http would take along
// any header but Authorization, and with 307 and 308 the body too.
func TestRedirectsLeakNoCredentials(t *testing.T) {
	t.Parallel()
	targets := map[string]string{
		"another host":               "https://" + leakElsewhere,
		"another host, without TLS":  "http://" + leakElsewhere,
		"the same host, without TLS": "http://apig.example.com",
	}
	froms := map[string]func(*http.Request) bool{
		"the gateway": func(r *http.Request) bool { return !issues(r) },
		"the source":  issues,
		"the keys":    func(r *http.Request) bool { return r.URL.Path == ecsKeysPath },
	}
	for name, c := range credentialKinds() {
		if c.auth == nil {
			continue
		}
		for from, redirects := range froms {
			for where, target := range targets {
				for _, status := range []int{301, 302, 303, 307, 308} {
					if from != "the gateway" && name != "ECS keys" && (from == "the keys" || name != "IAM" && name != "agency") {
						continue // it asks nobody
					}
					t.Run(fmt.Sprintf("%s/%s redirects with %d to %s", name, from, status, where), func(t *testing.T) {
						t.Parallel()
						s := leakSet(t, status, target, redirects)
						log := new(buffer)
						logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
						cfg := testConfig(s.transport(t))
						cfg.Auth, cfg.Logger = c.auth(s.transport(t), logger), logger
						// A caller's client that follows whatever it is told to.
						jar, err := cookiejar.New(nil)
						require.NoError(t, err)
						cfg.HTTPClient.Jar = jar
						cfg.HTTPClient.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
						client, err := New(cfg)
						require.NoError(t, err)

						_, publishErr := client.Publish(context.Background(), testRequest)
						listErr := keysDrain(client.Environments(context.Background(), EnvironmentQuery{}))
						for _, err := range []error{publishErr, listErr} {
							var e *APIGError
							require.ErrorAs(t, err, &e)
							assert.Equal(t, status, e.StatusCode)
							require.NotErrorIs(t, err, ErrOutcomeUnknown)
							assertNoSecrets(t, "error", err.Error(), append(c.secrets, secretToken))
						}
						assertNoSecrets(t, "log", log.String(), append(c.secrets, secretToken))

						conns, received := s.leaked()
						assertNoSecrets(t, "elsewhere", received, append(c.secrets, secretToken))
						assert.Zero(t, conns, "connections elsewhere")
						assert.Empty(t, received)
						assert.NotEmpty(t, s.sentHome(), "the test has asked somebody")
					})
				}
			}
		}
	}
}

// sentHome is all that came in at home.
func (s *leakStage) sentHome() string {
	var all strings.Builder
	for _, l := range s.home {
		_, text := l.received()
		all.WriteString(text)
	}
	return all.String()
}

// A client that follows redirects shows that the servers elsewhere would be
// reached, and that what reaches them is found.
func TestPlantedRedirectLeaks(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"https://" + leakElsewhere, "http://" + leakElsewhere, "http://apig.example.com"} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			t.Run(fmt.Sprint(status, " ", target), func(t *testing.T) {
				t.Parallel()
				s := leakSet(t, status, target, func(*http.Request) bool { return true })
				r, err := http.NewRequest(http.MethodPost, testEndpoint+"/v3/auth/tokens", strings.NewReader(core(secretPassword)))
				require.NoError(t, err)
				r.Header.Set("X-Auth-Token", secretToken)
				r.Header.Set("X-Security-Token", secretSecurityToken)
				resp, err := (&http.Client{Transport: s.transport(t)}).Do(r)
				require.NoError(t, err)
				resp.Body.Close()
				require.Equal(t, 200, resp.StatusCode)
				conns, received := s.leaked()
				assert.Equal(t, 1, conns)
				assert.NotEmpty(t, spilled(received, secretToken))
				assert.NotEmpty(t, spilled(received, secretSecurityToken))
				assert.Equal(t, status >= 307, spilled(received, secretPassword) != "", "the body")
			})
		}
	}
}

// Credentials go nowhere without TLS, but to loopback.
func TestNoCredentialsWithoutTLS(t *testing.T) {
	t.Parallel()
	s := leakSet(t, 500, "", func(*http.Request) bool { return false })
	for name, c := range credentialKinds() {
		if c.auth == nil {
			continue
		}
		cfg := testConfig(s.transport(t))
		cfg.Endpoint, cfg.Auth = "http://apig.example.com", c.auth(s.transport(t), nil)
		_, err := New(cfg)
		require.ErrorIs(t, err, ErrInvalidArgument, name)
	}
	source := iamOn(s.transport(t))
	source.Endpoint = "http://apig.example.com"
	_, err := source.Token(context.Background())
	require.ErrorIs(t, err, ErrInvalidArgument)
	agency := agencyOn(s.transport(t))
	agency.Endpoint = "http://apig.example.com"
	_, err = agency.Token(context.Background())
	require.ErrorIs(t, err, ErrInvalidArgument)

	conns, _ := s.leaked()
	assert.Zero(t, conns)
}
