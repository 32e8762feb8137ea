package proxies

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"flag"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/internal/judge"
)

// TestMain lets more tests run at once than there are processors, for they
// wait rather than work. It is a client in a process of its own as well, see
// startedByTest.
func TestMain(m *testing.M) {
	if startedByTest() {
		publishFromEnvironment()
		return
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// protocol is what the client speaks with the other end of its TLS connection.
type protocol string

const (
	http1 protocol = "HTTP/1.1"
	http2 protocol = "HTTP/2.0"
)

// change is a method of the client that changes something.
type change struct {
	name string
	make func(*apig.Client, context.Context, apig.ActionRequest) (*apig.PublishRecord, error)
}

var changes = []change{
	{"Publish", (*apig.Client).Publish},
	{"Offline", (*apig.Client).Offline},
}

// everyWay runs a test with each protocol and each change.
func everyWay(t *testing.T, test func(*testing.T, protocol, change)) {
	for _, proto := range []protocol{http1, http2} {
		for _, c := range changes {
			t.Run(string(proto)+" "+c.name, func(t *testing.T) {
				t.Parallel()
				test(t, proto, c)
			})
		}
	}
}

// stage is a gateway and the way to it.
type stage struct {
	t        *testing.T
	gateway  *apigtest.Gateway
	proto    protocol
	endpoint string
	proxy    *url.URL // or nil
	roots    *x509.CertPool

	made       int          // changes before the call under test
	report     judge.Report // of that call
	transports []*http.Transport
}

// client makes a client with connections of its own. It is hurried, so that
// what takes seconds of waiting takes less here.
func (s *stage) client(tune func(*apig.Config)) *apig.Client {
	s.t.Helper()
	cfg := apig.Config{
		Endpoint:   s.endpoint,
		ProjectID:  s.gateway.ProjectID(),
		InstanceID: s.gateway.InstanceID(),
		Auth:       apig.StaticToken(s.gateway.Token()),
		HTTPClient: &http.Client{Transport: s.transport()},
		Retry: apig.RetryPolicy{
			MinWait:    10 * time.Millisecond,
			MaxWait:    3 * time.Second,
			SettleWait: time.Second,
		},
	}
	if tune != nil {
		tune(&cfg)
	}
	c, err := apig.New(cfg)
	require.NoError(s.t, err)
	return c
}

// inVain makes a client not wait for what does not come.
func inVain(cfg *apig.Config) { cfg.Retry.MaxWait = 50 * time.Millisecond }

func (s *stage) transport() *http.Transport {
	tr := &http.Transport{Proxy: http.ProxyURL(s.proxy), TLSClientConfig: &tls.Config{RootCAs: s.roots}}
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetHTTP1(s.proto == http1)
	tr.Protocols.SetHTTP2(s.proto == http2)
	s.transports = append(s.transports, tr)
	s.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// hangUp closes the connections of all clients, which a proxy waits for before
// it ends.
func (s *stage) hangUp() {
	for _, tr := range s.transports {
		tr.CloseIdleConnections()
	}
}

// publish makes an API and has the client publish it: that can be published
// again as well as taken offline.
func (s *stage) publish(client *apig.Client) apig.ActionRequest {
	s.t.Helper()
	req := s.addAPI()
	_, err := client.Publish(context.Background(), req)
	require.NoError(s.t, err)
	s.made = 1
	return req
}

func (s *stage) addAPI() apig.ActionRequest {
	return apig.ActionRequest{APIID: s.gateway.AddAPI("orders"), EnvID: apig.EnvRelease, Remark: "1.4.2"}
}

// meanwhile makes a call, and does something else while it is under way.
func meanwhile(call, other func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	defer func() { <-done }() // also when the other fails
	other()
}

// received is how many requests to change something the gateway has got.
func (s *stage) received() int {
	n := 0
	for _, r := range s.gateway.Requests() {
		if r.Op == apigtest.OpAction {
			n++
		}
	}
	return n
}

// run makes the call under test.
func (s *stage) run(c change, client *apig.Client, ctx context.Context, req apig.ActionRequest) (*apig.PublishRecord, error) {
	start := time.Now()
	rec, err := c.make(client, ctx, req)
	s.report = judge.NewReport(c.name == "Publish", req, rec, err)
	s.report.Start, s.report.End = start, time.Now()
	return rec, err
}

// judge compares what the client has reported of that call with the journal of
// the gateway, and fails if the promise is broken.
func (s *stage) judge() {
	s.t.Helper()
	journal := s.gateway.Journal()
	verdict := judge.One(s.report, journal[s.made:], journal)
	assert.False(s.t, verdict.Bad(), "%v: %+v", verdict, s.report)
}

// judgeError fails if an error says what it must not, or cannot be read.
func (s *stage) judgeError(err error) {
	s.t.Helper()
	if err == nil {
		return
	}
	assert.NotContains(s.t, err.Error(), "<", "the proxy's HTML")
	assert.NotContains(s.t, err.Error(), s.gateway.Token())
	assert.Less(s.t, len(err.Error()), 1000)
}

// What a test may require of a report, beside that it is true.

func requireRepeated(t *testing.T, rec *apig.PublishRecord, err error) {
	t.Helper()
	require.NoError(t, err)
	assert.False(t, rec.Recovered, "from the history")
}

func requireRecovered(t *testing.T, rec *apig.PublishRecord, err error) {
	t.Helper()
	require.NoError(t, err)
	assert.True(t, rec.Recovered, "from the history")
}

func requireUnknown(t *testing.T, _ *apig.PublishRecord, err error) {
	t.Helper()
	require.ErrorIs(t, err, apig.ErrOutcomeUnknown)
}

func requireNotApplied(t *testing.T, _ *apig.PublishRecord, err error) {
	t.Helper()
	require.Error(t, err)
	require.NotErrorIs(t, err, apig.ErrOutcomeUnknown)
}

// newCertificate makes a certificate for the proxies' address and a name. It is
// its own authority.
func newCertificate(t *testing.T, name string) (certificate, key []byte, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	draft := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.ParseIP(loopback)},
		DNSNames:     []string{name},
	}
	der, err := x509.CreateCertificate(rand.Reader, draft, draft, private.Public(), private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)

	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	return certificate, key, roots
}
