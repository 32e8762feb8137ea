package gateway

import (
	"context"
	"crypto/x509"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Gateway is a fake API Gateway with its IAM, listening on loopback or in
// memory. Its first instance is embedded: g.AddAPI adds an API to that one. All
// methods may be called from several goroutines at once.
type Gateway struct {
	*Instance // It is not to be set.

	inMemory  bool
	url       string
	listening net.IP
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	roots     *x509.CertPool
	pem       []byte // the certificate
	server    *http.Server
	life      lifetime
	resets    atomic.Int64
	resetting sync.RWMutex // held for reading while a request is processed
	clock     clock
	requests  struct {
		mu  sync.Mutex
		all []*Request
	}
	faults  faults
	access  *access
	observe func(*Request)

	resourceIDs *ids
	requestIDs  *ids

	// mu is held while a request is applied, so that all changes happen one
	// after the other and the journal has their order.
	mu        sync.Mutex
	instances map[string]*Instance // by instance id
	journal   []Applied
	alter     func(remark string) string // or nil
	lag       time.Duration              // of histories
}

// Start starts a gateway with one instance, which has the environment RELEASE
// and no APIs. It fails if the address cannot be listened on.
func Start(opts ...Option) (*Gateway, error) {
	cfg := config{
		addr:    "127.0.0.1:0",
		seed:    rand.Uint64(),
		region:  "cn-north-4",
		log:     os.Stderr,
		observe: func(*Request) {},
		wrap:    func(g *Gateway) (http.Handler, error) { return g.Handler(), nil },
	}
	for _, opt := range opts {
		opt(&cfg)
	}
	g := &Gateway{
		resourceIDs: newIDs(cfg.seed, resourceIDs),
		requestIDs:  newIDs(cfg.seed, requestIDs),
		instances:   make(map[string]*Instance),
	}
	g.life.ctx, g.life.cancel = context.WithCancel(context.Background())
	g.observe = cfg.observe
	g.clock.set(cfg.now)
	g.access = newAccess(newIDs(cfg.seed, tokenIDs), cfg.region)
	g.Instance = g.AddInstance(cfg.projectID, cfg.instanceID)
	if err := g.listen(cfg); err != nil {
		return nil, err
	}
	return g, nil
}

// NewGateway is [Start] for tests: it panics where Start returns an error.
func NewGateway(opts ...Option) *Gateway {
	g, err := Start(opts...)
	if err != nil {
		panic(err.Error())
	}
	return g
}

// Close ends the gateway: hanging requests are dropped, the delayed
// applications of faults take effect at once, and all connections are closed.
// When it returns, no goroutine of the gateway runs any more; its journal and
// its state can still be read.
func (g *Gateway) Close() {
	g.life.end()
	_ = g.server.Close() // an error of closing the listener helps nobody here
	g.life.running.Wait()
}

// Reset undoes all that requests have done: publications with their versions, tokens
// issued or expired, keys locked. It forgets
// requests, journal and faults. All that the test has made itself stays, as do the
// clock and the connections. A request that began before the reset changes nothing
// after it: it is refused, or its connection closed, and late applications are dropped.
func (g *Gateway) Reset() {
	g.resetting.Lock()
	defer g.resetting.Unlock()
	g.resets.Add(1)
	g.faults.mu.Lock()
	g.faults.queue, g.faults.source, g.faults.struck = nil, nil, 0
	g.faults.mu.Unlock()
	g.requests.mu.Lock()
	g.requests.all = nil
	g.requests.mu.Unlock()
	g.access.reset()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.journal = nil
	for _, i := range g.instances {
		clear(i.versions)
		for _, a := range i.apis {
			clear(a.publications)
		}
	}
}

// Option changes how a gateway is set up.
type Option func(*config)

type config struct {
	tls, inMemory         bool
	now                   func() time.Time
	seed                  uint64
	projectID, instanceID string

	// The rest is for a gateway that is a process of its own.
	addr    string
	remote  bool                                 // addr may be one that other machines reach
	hosts   []string                             // names by which clients call it, besides localhost
	region  string                               // in the catalog of a token; also the name of the first project
	log     io.Writer                            // for the errors of the server
	observe func(*Request)                       // is called with each request before a fault strikes it
	wrap    func(*Gateway) (http.Handler, error) // makes the handler, when the address is known
}

// WithTLS serves https, HTTP/1.1 and HTTP/2, with a certificate for 127.0.0.1,
// ::1 and localhost. [Gateway.CertPool] trusts it.
func WithTLS() Option { return func(c *config) { c.tls = true } }

// WithoutNetwork listens in memory: only [Gateway.Transport] reaches the
// gateway, and [Gateway.URL] is an address with port 0. All the rest is the same,
// faults, TLS and, from Go 1.26 on, HTTP/2 included. No goroutine of it waits for a
// socket, so that it works inside a bubble of [testing/synctest], where every wait takes
// virtual time; it must be started and closed inside of it. With Go 1.25 its
// transport speaks HTTP/1.1 over TLS: that release's HTTP/2 panics when bubbles
// and other goroutines share a process.
func WithoutNetwork() Option { return func(c *config) { c.inMemory = true } }

// WithClock starts the gateway with this clock, see [Gateway.SetClock].
func WithClock(now func() time.Time) Option { return func(c *config) { c.now = now } }

// WithSeed makes the generated ids the same in every run, as long as the
// things they name are created in the same order.
func WithSeed(seed uint64) Option { return func(c *config) { c.seed = seed } }

// WithIDs sets the ids of the project and of the first instance. An empty one is
// generated.
func WithIDs(projectID, instanceID string) Option {
	return func(c *config) { c.projectID, c.instanceID = projectID, instanceID }
}

// clock is the gateway's own time. Publications, tokens and signatures go by
// it; the waits of faults go by package time.
type clock struct {
	source atomic.Pointer[func() time.Time]
	skew   atomic.Int64
}

func (c *clock) set(now func() time.Time) {
	if now == nil {
		now = time.Now
	}
	c.source.Store(&now)
}

// now has no monotonic reading, so that times compare and print alike
// wherever they went in between.
func (c *clock) now() time.Time {
	return (*c.source.Load())().UTC().Round(0)
}

// date is the value of the Date header.
func (c *clock) date() string {
	return c.now().Add(time.Duration(c.skew.Load())).Format(http.TimeFormat)
}

// SetClock replaces the clock of the gateway; nil restores the system's. The
// function is called from several goroutines and must not call the gateway.
func (g *Gateway) SetClock(now func() time.Time) { g.clock.set(now) }

// SetDateSkew moves the Date header of every answer by d against the clock
// that publications are stamped with, as between a load balancer and the
// service behind it.
func (g *Gateway) SetDateSkew(d time.Duration) { g.clock.skew.Store(int64(d)) }
