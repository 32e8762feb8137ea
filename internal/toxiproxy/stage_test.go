package toxiproxy

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	toxics "github.com/Shopify/toxiproxy/v2/client"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/internal/judge"
)

// TestMain lets more tests run at once than there are processors, for they
// wait rather than work.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// change is a method of the client that changes something.
type change struct {
	name string
	make func(*apig.Client, context.Context, apig.ActionRequest) (*apig.PublishRecord, error)
}

var (
	publish = change{"Publish", (*apig.Client).Publish}
	offline = change{"Offline", (*apig.Client).Offline}
)

// way is how a call comes to the gateway.
type way struct {
	http2 bool // which means in TLS, too
	kept  bool // on a connection that was used before
}

func (w way) String() string {
	s := "HTTP-1.1"
	if w.http2 {
		s = "HTTP-2"
	}
	if w.kept {
		return s + " kept"
	}
	return s + " new"
}

var (
	plain = []way{{}, {kept: true}}
	all   = []way{{}, {kept: true}, {http2: true}, {http2: true, kept: true}}
)

// each runs a test for each change, in each way.
func each(t *testing.T, ways []way, test func(*testing.T, way, change)) {
	for _, w := range ways {
		for _, c := range []change{publish, offline} {
			t.Run(w.String()+" "+c.name, func(t *testing.T) {
				t.Parallel()
				test(t, w, c)
			})
		}
	}
}

// stage is a gateway, a proxy in front of it and a client of that.
type stage struct {
	t       *testing.T
	gateway *apigtest.Gateway
	proxy   *toxics.Proxy
	witness *witness
	client  *apig.Client
}

// set sets the stage. An attempt of the client may take as long as given.
func set(t *testing.T, w way, attempt time.Duration) *stage {
	t.Helper()
	s := &stage{t: t, witness: &witness{transport: &http.Transport{}}}
	if w.http2 {
		s.gateway = apigtest.NewGateway(apigtest.WithTLS())
		s.witness.transport.TLSClientConfig = &tls.Config{RootCAs: s.gateway.CertPool(), ServerName: "127.0.0.1"}
		s.witness.transport.ForceAttemptHTTP2 = true
	} else {
		s.gateway = apigtest.NewGateway()
	}
	t.Cleanup(s.gateway.Close)
	scheme, upstream, _ := strings.Cut(s.gateway.URL(), "://")
	s.proxy = startProxy(t, upstream)
	t.Cleanup(s.witness.CloseIdleConnections)

	client, err := apig.New(apig.Config{
		Endpoint:       scheme + "://" + s.proxy.Listen,
		ProjectID:      s.gateway.ProjectID(),
		InstanceID:     s.gateway.InstanceID(),
		Auth:           apig.StaticToken(s.gateway.Token()),
		HTTPClient:     &http.Client{Transport: s.witness},
		AttemptTimeout: attempt,
		Retry: apig.RetryPolicy{ // hurried, so that waits of seconds take less here
			MinWait:    10 * time.Millisecond,
			MaxWait:    50 * time.Millisecond,
			SettleWait: 400 * time.Millisecond,
		},
	})
	require.NoError(t, err)
	s.client = client
	return s
}

// proxies counts them.
var proxies atomic.Uint32

// unshared is an address for one proxy, which is taken down and comes back to it:
// nobody else is to listen there meanwhile. Only Linux has all of 127.0.0.0/8
// without being told to, so that elsewhere it is a port of the usual address.
func unshared() string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1:0"
	}
	n := proxies.Add(1)
	return fmt.Sprintf("127.2.%d.%d:0", n>>8, n&0xff)
}

// startProxy starts a Toxiproxy of its own in this process.
func startProxy(t *testing.T, upstream string) *toxics.Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	control := httptest.NewServer(server.Routes())
	t.Cleanup(control.Close)
	proxy, err := toxics.NewClient(control.URL).CreateProxy("gateway", unshared(), upstream)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, proxy.Delete()) })
	return proxy
}

// publish makes an API and has the client publish it, so that it can be
// published again as well as taken offline.
func (s *stage) publish(w way) apig.ActionRequest {
	s.t.Helper()
	req := apig.ActionRequest{APIID: s.gateway.AddAPI("orders"), EnvID: apig.EnvRelease, Remark: "1.4.2"}
	_, err := s.client.Publish(context.Background(), req)
	require.NoError(s.t, err)
	if !w.kept {
		s.client.CloseIdleConnections()
	}
	return req
}

// poison adds a toxic to every connection, and returns what takes it away.
func (s *stage) poison(kind, stream string, attrs toxics.Attributes) (heal func()) {
	s.t.Helper()
	toxic, err := s.proxy.AddToxic("", kind, stream, 1, attrs)
	require.NoError(s.t, err)
	return func() { assert.NoError(s.t, s.proxy.RemoveToxic(toxic.Name)) }
}

// outcome is what the client has made of a call, and what has become of it.
type outcome struct {
	*testing.T
	rec *apig.PublishRecord
	err error

	sent     []trip // the requests that were to make the change; one at least
	received int    // how many of them the gateway got
	applied  int    // how many it applied
}

// run makes a call that is to go wrong, heals the network as soon as it has,
// and fails the test if the client reports what is not the case.
func (s *stage) run(ctx context.Context, c change, req apig.ActionRequest, heal func()) outcome {
	s.t.Helper()
	made, received := len(s.gateway.Journal()), s.received()
	s.witness.begin(heal)
	start := time.Now()
	rec, err := c.make(s.client, ctx, req)
	report := judge.NewReport(c.name == publish.name, req, rec, err)
	report.Start, report.End = start, time.Now()
	s.gateway.Close() // what it has received is done then

	journal := s.gateway.Journal()
	applied := journal[made:]
	verdict := judge.One(report, applied, journal)
	assert.False(s.t, verdict.Bad(), "%v: %+v", verdict, report)
	o := outcome{s.t, rec, err, s.witness.posts(), s.received() - received, len(applied)}
	require.NotEmpty(s.t, o.sent)
	return o
}

// What a test may require of an outcome, beside that the report is true.

// isRepeated is a record from the answer to a second request.
func (o outcome) isRepeated() {
	o.Helper()
	require.NoError(o, o.err)
	assert.False(o, o.rec.Recovered)
	assert.Len(o, o.sent, 2)
}

// isRecovered is a record from the history.
func (o outcome) isRecovered() {
	o.Helper()
	require.NoError(o, o.err)
	assert.True(o, o.rec.Recovered)
	assert.Len(o, o.sent, 1)
}

// isUnknown is what the client must not repeat and cannot know.
func (o outcome) isUnknown() {
	o.Helper()
	require.ErrorIs(o, o.err, apig.ErrOutcomeUnknown)
	assert.Len(o, o.sent, 1)
}

// isNotApplied is a failure that the client is sure of.
func (o outcome) isNotApplied() {
	o.Helper()
	require.Error(o, o.err)
	require.NotErrorIs(o, o.err, apig.ErrOutcomeUnknown)
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
