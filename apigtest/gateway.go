package apigtest

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Gateway is a fake API Gateway with its IAM, listening on loopback. Its first
// instance is embedded: g.AddAPI adds an API to that one. All methods may be
// called from several goroutines at once.
type Gateway struct {
	*Instance

	url      string
	roots    *x509.CertPool
	server   *http.Server
	conns    connections
	life     lifetime
	clock    clock
	requests recorder
	faults   faults
	access   access

	resourceIDs *ids
	requestIDs  *ids

	// mu is held while a request is applied, so that all changes happen one
	// after the other and the journal has their order.
	mu        sync.Mutex
	instances map[string]*Instance // by instance id
	journal   []Applied
}

// NewGateway starts a gateway with one instance, which has the environment
// RELEASE and no APIs. It panics if it cannot listen on loopback, as
// [net/http/httptest] does.
func NewGateway(opts ...Option) *Gateway {
	cfg := config{addr: "127.0.0.1:0", seed: rand.Uint64()}
	for _, opt := range opts {
		opt(&cfg)
	}
	g := &Gateway{
		resourceIDs: newIDs(cfg.seed, resourceIDs),
		requestIDs:  newIDs(cfg.seed, requestIDs),
		instances:   make(map[string]*Instance),
		life:        lifetime{done: make(chan struct{})},
	}
	g.conns.none.L = &g.conns.mu
	g.clock.set(cfg.now)
	g.access.init(newIDs(cfg.seed, tokenIDs))
	g.Instance = g.AddInstance(cfg.projectID, cfg.instanceID)
	if err := g.listen(cfg); err != nil {
		panic(fmt.Sprintf("apigtest: %v", err))
	}
	return g
}

func (g *Gateway) listen(cfg config) error {
	if err := checkLoopback(cfg.addr); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cfg.addr)
	if err != nil {
		return err
	}
	g.server = &http.Server{
		Handler:           g.Handler(),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(serverLog{}, "", log.LstdFlags),
		ConnState: func(c net.Conn, state http.ConnState) {
			g.conns.note(state)
			if state == http.StateNew && g.life.over() {
				c.Close() // accepted while Close was at work
			}
		},
	}
	g.url = "http://" + listener.Addr().String()
	serve := func() { _ = g.server.Serve(listener) } // always ends with ErrServerClosed
	if cfg.tls {
		g.url = "https://" + listener.Addr().String()
		cert, roots, err := newCertificate()
		if err != nil {
			listener.Close()
			return err
		}
		g.roots = roots
		g.server.TLSConfig = cert
		serve = func() { _ = g.server.ServeTLS(listener, "", "") }
	}
	g.life.enter()
	go func() {
		defer g.life.leave()
		serve()
	}()
	return nil
}

// serverLog is where net/http reports panics, such as those of a fault's
// functions. Failed handshakes are left out: a client that does not trust the
// certificate says so itself, and some tests want just that.
type serverLog struct{}

func (serverLog) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("TLS handshake error")) {
		return len(line), nil
	}
	return os.Stderr.Write(line)
}

func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if host == "localhost" || net.ParseIP(host).IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s is not a loopback address", addr)
}

// Close ends the gateway: hanging requests are dropped, the delayed
// applications of faults take effect at once, and all connections are closed.
// When it returns, no goroutine of the gateway runs any more; its journal and
// its state can still be read.
func (g *Gateway) Close() {
	g.life.end()
	_ = g.server.Close() // an error of closing the listener helps nobody here
	g.life.running.Wait()
	g.conns.wait()
}

// URL is where the gateway listens, as scheme://host:port without a path. It
// serves as the endpoint of the APIG service and of IAM alike.
func (g *Gateway) URL() string { return g.url }

// CertPool has the certificate of a gateway started with [WithTLS]; otherwise
// it is nil.
func (g *Gateway) CertPool() *x509.CertPool { return g.roots }

// Connections is the number of connections open now.
func (g *Gateway) Connections() int {
	g.conns.mu.Lock()
	defer g.conns.mu.Unlock()
	return g.conns.open
}

// Accepted is the number of connections accepted so far.
func (g *Gateway) Accepted() int {
	g.conns.mu.Lock()
	defer g.conns.mu.Unlock()
	return g.conns.accepted
}
