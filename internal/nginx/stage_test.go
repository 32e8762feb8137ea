package nginx

import (
	"context"
	"crypto/tls"
	"flag"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

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

// protocol is what client and nginx speak with each other.
type protocol string

const (
	http1 protocol = "HTTP/1.1"
	http2 protocol = "HTTP/2"
)

var protocols = []protocol{http1, http2}

// stage is a gateway, an nginx in front of it and a client of that.
type stage struct {
	*front
	gateway  *apigtest.Gateway
	upstream *upstream
	proto    protocol

	made, sent int          // changes and POSTs before the call under test
	report     judge.Report // of that call
}

// set sets the stage, with more directives for nginx's server.
func set(t *testing.T, proto protocol, server string) *stage {
	t.Helper()
	g := apigtest.NewGateway()
	t.Cleanup(g.Close)
	u := startUpstream(t, g.Handler())
	return &stage{front: startFront(t, u.address, server), gateway: g, upstream: u, proto: proto}
}

// client makes a client with connections of its own. It is hurried, so that
// what takes seconds of waiting takes less here.
func (s *stage) client(tune func(*apig.Config)) *apig.Client {
	s.t.Helper()
	cfg := apig.Config{
		Endpoint:   "https://" + s.address,
		ProjectID:  s.gateway.ProjectID(),
		InstanceID: s.gateway.InstanceID(),
		Auth:       apig.StaticToken(s.gateway.Token()),
		HTTPClient: &http.Client{Transport: s.transport()},
		Retry: apig.RetryPolicy{
			MinWait:    10 * time.Millisecond,
			MaxWait:    3 * time.Second,
			SettleWait: 500 * time.Millisecond,
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
func inVain(cfg *apig.Config) {
	cfg.Retry.MaxWait = 50 * time.Millisecond
	cfg.Retry.SettleTimeout = time.Second
}

func (s *stage) transport() *http.Transport {
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots}}
	if s.proto == http2 {
		tr.ForceAttemptHTTP2 = true
	} else {
		tr.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	s.t.Cleanup(tr.CloseIdleConnections)
	return tr
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

// everyWay runs a test with each protocol and each change.
func everyWay(t *testing.T, test func(*testing.T, protocol, change)) {
	for _, proto := range protocols {
		for _, c := range []change{publish, offline} {
			t.Run(string(proto)+" "+c.name, func(t *testing.T) {
				t.Parallel()
				test(t, proto, c)
			})
		}
	}
}

// publish makes an API and has the client publish it: that can be published
// again as well as taken offline.
func (s *stage) publish(client *apig.Client) apig.ActionRequest {
	s.t.Helper()
	req := apig.ActionRequest{APIID: s.gateway.AddAPI("orders"), EnvID: apig.EnvRelease, Remark: "1.4.2"}
	_, err := client.Publish(context.Background(), req)
	require.NoError(s.t, err)
	s.made, s.sent = 1, 1
	return req
}

// run makes the call under test.
func (s *stage) run(c change, client *apig.Client, req apig.ActionRequest) (*apig.PublishRecord, error) {
	start := time.Now()
	rec, err := c.make(client, context.Background(), req)
	s.report = judge.NewReport(c.name == publish.name, req, rec, err)
	s.report.Start, s.report.End = start, time.Now()
	return rec, err
}

// finish ends nginx after the one call under test, fails if the fault is not in
// its log, and judges the call by the journal and by the requests it may send.
func (s *stage) finish(logged string, posts int, err error) {
	s.t.Helper()
	s.upstream.settle()
	await(s.t, "the fault in nginx's log", func() bool { return strings.Contains(s.read("error.log"), logged) })
	s.stop()
	assert.Equal(s.t, posts, s.count("POST")-s.sent, "requests")
	journal := s.gateway.Journal()
	verdict := judge.One(s.report, journal[s.made:], journal)
	assert.False(s.t, verdict.Bad(), "%v: %+v", verdict, s.report)
	if err != nil {
		assert.NotContains(s.t, err.Error(), "<", "nginx's HTML")
		assert.Less(s.t, len(err.Error()), 1000)
	}
}
