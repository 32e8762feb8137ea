package proxies

import (
	"crypto/tls"
	_ "embed"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

//go:embed squid.conf
var squidConf string

// origin is the name of the gateway that squid knows. What net/http is told to
// reach at a loopback address it does not send through a proxy.
const origin = "apig.example.com"

// nobody listens there, and nobody will: a port that is free now may be taken by
// another test.
const nobody = "nobody.example.com:9"

// outlet is a running squid, through which clients reach the gateway.
type outlet struct {
	*program
	*stage
	t           *testing.T
	certificate []byte // of the gateway
}

// startOutlet starts a gateway with TLS, and squid with some rules. Both end
// with the test.
func startOutlet(t *testing.T, proto protocol, rules string) *outlet {
	t.Helper()
	g := apigtest.NewGateway()
	t.Cleanup(g.Close)
	o := &outlet{
		program: newProgram(t, "squid", "access.log", "cache.log", "squid.out"),
		stage:   &stage{t: t, gateway: g, proto: proto},
		t:       t,
	}
	o.serve()
	o.write("hosts", []byte("127.0.0.1 "+origin+"\n127.0.0.9 nobody.example.com\n"))
	// Between finding a free port and listening on it, somebody else may take
	// it.
	for range 3 {
		address := freeAddress(t)
		o.proxy = &url.URL{Scheme: "http", Host: address}
		o.configure(squidConf, struct{ Address, Rules string }{address, rules})
		if o.open() {
			return o
		}
	}
	t.Fatalf("squid does not start: %s", o.read("cache.log"))
	return nil
}

// serve puts TLS in front of the gateway, with a certificate for its name.
func (o *outlet) serve() {
	certificate, key, roots := newCertificate(o.t, origin)
	o.certificate, o.roots = certificate, roots
	pair, err := tls.X509KeyPair(certificate, key)
	require.NoError(o.t, err)
	server := httptest.NewUnstartedServer(o.gateway.Handler())
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that broke off
	server.StartTLS()
	o.t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(o.t, err)
	o.endpoint = "https://" + net.JoinHostPort(origin, port)
}

// open starts squid and reports whether it listens. That it says so is not enough:
// it writes "Accepting HTTP Socket connections" before it calls listen, and a
// connection that comes in between is refused.
func (o *outlet) open() bool {
	return o.start(func() bool {
		c, err := net.Dial("tcp", o.proxy.Host)
		if err != nil {
			return false
		}
		return c.Close() == nil
	})
}

// tunnels are squid's answers to each CONNECT up to now. It writes a line when
// the tunnel has been closed.
func (o *outlet) tunnels() []string {
	var answers []string
	for line := range strings.Lines(o.read("access.log")) {
		// time, milliseconds, client, result/status, bytes, method, ...
		if f := strings.Fields(line); len(f) > 5 && f[5] == "CONNECT" {
			_, status, _ := strings.Cut(f[3], "/")
			answers = append(answers, status)
		}
	}
	return answers
}

// finish ends all after the one call under test and judges it by the journal,
// and by the number of changes that the gateway was asked for meanwhile. If
// answers are given it fails unless squid has given these to the CONNECTs.
func (o *outlet) finish(received int, err error, answers ...string) {
	o.t.Helper()
	o.end(answers)
	o.gateway.Close() // what it has received is done then
	assert.Equal(o.t, received, o.received()-o.made, "requests")
	o.judge()
	o.judgeError(err)
	o.leaksNothing()
}

// end ends squid. It logs an answer after it has given it, so that the log is
// waited for where it counts.
func (o *outlet) end(answers []string) {
	o.t.Helper()
	if len(answers) == 0 {
		o.stop()
		return
	}
	await(o.t, "squid's log", func() bool { return len(o.tunnels()) >= len(answers) })
	o.stop()
	assert.Equal(o.t, answers, o.tunnels(), "squid's answers")
}

func (o *outlet) leaksNothing() {
	o.t.Helper()
	written := o.written()
	require.Contains(o.t, written, "Accepting HTTP Socket connections")
	assert.NotContains(o.t, written, o.gateway.Token())
	assert.NotContains(o.t, written, password)
}
