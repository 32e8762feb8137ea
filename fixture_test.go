package apig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

// Where the tests publish. The IDs of the API and of what is made of it are
// those of the examples in the documentation of the service.
const (
	testEndpoint = "https://apig.example.com"
	testProject  = "0b1c2d3e4f5a6b7c8d9e0f1a2b3c4d5e"
	testInstance = "e6a5871bfb5b47d19c5874790f639ef8"
	testAPI      = "5f918d104dc84480a75166ba99efff21"
	testToken    = "MIIQyTESTTOKEN-of-the-tests"

	instanceURL = testEndpoint + "/v2/" + testProject + "/apigw/instances/" + testInstance
	actionURL   = instanceURL + "/apis/action"
	historyURL  = instanceURL + "/apis/publish/" + testAPI
)

// Answers as documented.
const (
	publishedBody = `{
  "publish_id" : "9191cdb430724d4b8586ed7f1b962ca2",
  "api_id" : "5f918d104dc84480a75166ba99efff21",
  "api_name" : "Api_mock",
  "env_id" : "DEFAULT_ENVIRONMENT_RELEASE_ID",
  "remark" : "Published to the production environment",
  "publish_time" : "2020-08-03T01:36:00.592970615Z",
  "version_id" : "ee1a5a38d3d3493abf1dc4ed6cacfa0b"
}`

	// What is taken offline has no publication any more: the time is the year 1.
	offlineBody = `{
  "api_id" : "5f918d104dc84480a75166ba99efff21",
  "env_id" : "DEFAULT_ENVIRONMENT_RELEASE_ID",
  "api_name" : "Api_mock",
  "publish_time" : "0001-01-01T00:00:00Z"
}`

	emptyHistoryBody = `{"total" : 0, "size" : 0, "api_versions" : []}`

	parameterBody    = `{"error_code" : "APIG.2011", "error_msg" : "Invalid parameter value,parameterName:action. Please refer to the support documentation"}`
	tokenBody        = `{"error_code" : "APIG.1002", "error_msg" : "Incorrect token or token resolution failed"}`
	noPermissionBody = `{"error_code" : "APIG.1005", "error_msg" : "No permissions to request this method"}`
	noAPIBody        = `{"error_code" : "APIG.3002", "error_msg" : "API 5f918d104dc84480a75166ba99efff21 does not exist"}`
	systemBody       = `{"error_code" : "APIG.9999", "error_msg" : "System error"}`
)

// testRequest is the request that the documented answers belong to.
var testRequest = PublishRequest{APIID: testAPI, EnvID: EnvRelease}

// testTime is the publish_time of publishedBody.
var testTime = time.Date(2020, 8, 3, 1, 36, 0, 592970615, time.UTC)

// testConfig is a configuration that waits as little as possible.
func testConfig(transport http.RoundTripper) Config {
	return Config{
		Endpoint:   testEndpoint,
		ProjectID:  testProject,
		InstanceID: testInstance,
		Auth:       StaticToken(testToken),
		HTTPClient: &http.Client{Transport: transport},
		Retry:      RetryPolicy{MinWait: time.Millisecond, MaxWait: 2 * time.Millisecond, SettleWait: time.Millisecond, BusyTimeout: 20 * time.Millisecond},
	}
}

// newTest makes a client on a transport of its own, which answers nothing until
// it is told to.
func newTest(t testing.TB, changes ...func(*Config)) (*Client, *httpmock.MockTransport) {
	t.Helper()
	mt := httpmock.NewMockTransport()
	cfg := testConfig(mt)
	for _, change := range changes {
		change(&cfg)
	}
	c, err := New(cfg)
	require.NoError(t, err)
	return c, mt
}

// site is a gateway in memory, an API of it, and a client for it.
type site struct {
	*gateway.Gateway
	*Client
	t   testing.TB
	api string
}

// newSite starts a gateway without a network and a client with the default
// policy. Inside a bubble of testing/synctest every wait is exact and takes no
// time:
//
//	synctest.Test(t, func(t *testing.T) {
//		s := newSite(t)
//		s.Inject(gateway.ApplyThenClose())
//		record, err := s.Publish(t.Context(), s.request("1.4.2"))
//		...
//	})
func newSite(t testing.TB, changes ...func(*Config)) *site {
	t.Helper()
	g := gateway.NewGateway(gateway.WithoutNetwork())
	t.Cleanup(g.Close)
	return &site{Gateway: g, Client: clientOf(t, g, changes...), t: t, api: g.AddAPI("orders")}
}

// clientOf is one more client for a gateway, as another process would have it.
func clientOf(t testing.TB, g *gateway.Gateway, changes ...func(*Config)) *Client {
	t.Helper()
	transport := g.Transport()
	cfg := Config{
		Endpoint:   g.URL(),
		ProjectID:  g.ProjectID(),
		InstanceID: g.InstanceID(),
		Auth:       StaticToken(g.Token()),
		HTTPClient: &http.Client{Transport: transport},
	}
	for _, change := range changes {
		change(&cfg)
	}
	c, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(transport.CloseIdleConnections)
	return c
}

// request is a request about the site's API in the environment RELEASE.
func (s *site) request(remark string) PublishRequest {
	return PublishRequest{APIID: s.api, EnvID: EnvRelease, Remark: remark}
}

// takeOff is a request to take it offline there.
func (s *site) takeOff() OfflineRequest {
	return OfflineRequest{APIID: s.api, EnvID: EnvRelease}
}

// requests is how many requests of a kind the gateway has received.
func (s *site) requests(op gateway.Op) int {
	n := 0
	for _, r := range s.Gateway.Requests() {
		if r.Op == op {
			n++
		}
	}
	return n
}

// took is how long f takes, by the clock of the bubble.
func took(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

func retry(p RetryPolicy) func(*Config) { return func(cfg *Config) { cfg.Retry = p } }

func attempts(n int) func(*Config) { return func(cfg *Config) { cfg.Retry.MaxAttempts = n } }

func authBy(a Authenticator) func(*Config) { return func(cfg *Config) { cfg.Auth = a } }

func logTo(l *slog.Logger) func(*Config) { return func(cfg *Config) { cfg.Logger = l } }

// respond answers with a status, a body, and headers given as names and values
// in turns; without a Content-Type, unless one is given.
func respond(status int, body string, header ...string) httpmock.Responder {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return httpmock.NewStringResponder(status, body).HeaderAdd(h)
}

// respondJSON is respond with the content type of the service.
func respondJSON(status int, body string, header ...string) httpmock.Responder {
	return respond(status, body, append([]string{"Content-Type", "application/json"}, header...)...)
}

// respondWith answers with a body of unknown length, a new one each time.
func respondWith(status int, body func() io.Reader) httpmock.Responder {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(body())}, nil
	}
}

// actions is how many requests to publish or take offline were sent.
func actions(mt *httpmock.MockTransport) int {
	return mt.GetCallCountInfo()[http.MethodPost+" "+actionURL]
}

// directions are the two calls that share an endpoint.
var directions = map[string]func(*Client, context.Context, PublishRequest) (*PublishRecord, error){
	"Publish": (*Client).Publish,
	"Offline": func(c *Client, ctx context.Context, r PublishRequest) (*PublishRecord, error) {
		return c.Offline(ctx, OfflineRequest{APIID: r.APIID, EnvID: r.EnvID, Remark: r.Remark})
	},
}

// sentinels are all the errors to match with errors.Is.
var sentinels = []error{
	ErrInvalidArgument, ErrBadRequest, ErrUnauthorized, ErrForbidden, ErrNotFound, ErrNotPublished,
	ErrConflict, ErrThrottled, ErrServer, ErrBadResponse, ErrOutcomeUnknown,
}

// buffer collects what several goroutines write.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// countedBody is a body of which it is known how much was read, and whether it
// was closed.
type countedBody struct {
	io.Reader
	read   int
	closed bool
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += n
	return n, err
}

func (b *countedBody) Close() error {
	b.closed = true
	return nil
}

// endless is a reader without an end.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

// virtually runs a subtest in a bubble, where time is virtual.
func virtually(t *testing.T, name string, test func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// theirs is a publication of another client.
func (s *site) theirs(remark string, apis ...string) gateway.Version {
	s.t.Helper()
	if apis == nil {
		apis = []string{s.api}
	}
	var last gateway.Version
	for _, id := range apis {
		var err error
		last, err = s.Gateway.Publish(id, EnvRelease, remark)
		require.NoError(s.t, err)
	}
	return last
}

// effective is the ID of the version in effect, or empty.
func (s *site) effective() string {
	v, _ := s.Gateway.Published(s.api, EnvRelease)
	return v.ID
}

// changes are the changes that the gateway has applied, in order.
func (s *site) changes() []string {
	var words []string
	for _, a := range s.Journal() {
		words = append(words, string(a.Action))
	}
	return words
}

// times is when the requests of a kind came.
func (s *site) times(op gateway.Op, start time.Time) []time.Duration {
	var at []time.Duration
	for _, r := range s.Gateway.Requests() {
		if r.Op == op {
			at = append(at, r.Time.Sub(start))
		}
	}
	return at
}

// later calls f after a while.
func later(d time.Duration, f func()) { time.AfterFunc(d, f) }

// assertOpen checks the result of a change of unknown outcome.
func assertOpen(t *testing.T, record *PublishRecord, err error) {
	t.Helper()
	assert.Nil(t, record)
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	assert.Equal(t, Unknown, OutcomeOf(err))
	assert.NotContains(t, err.Error(), "\n")
}

// lostIn is the UnknownError in err.
func lostIn(t *testing.T, err error) *UnknownError {
	t.Helper()
	var lost *UnknownError
	require.ErrorAs(t, err, &lost)
	return lost
}

// overJSON is the UnknownError in err as another process reads it.
func overJSON(t *testing.T, err error) *UnknownError {
	t.Helper()
	b, failed := json.Marshal(lostIn(t, err))
	require.NoError(t, failed)
	again := &UnknownError{}
	require.NoError(t, json.Unmarshal(b, again))
	return again
}

// apis adds APIs to the gateway.
func (s *site) apis(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = s.AddAPI(fmt.Sprint("api-", i))
	}
	return ids
}

// published adds APIs that were published an hour ago.
func (s *site) published(n int) []string {
	ids := s.apis(n)
	s.theirs("1.4.1", ids...)
	time.Sleep(time.Hour)
	return ids
}
