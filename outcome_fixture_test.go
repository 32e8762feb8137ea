package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

// The kinds of requests that a stage tells apart.
const (
	kindOnline  = "online"
	kindOffline = "offline"
	kindHistory = "history"
	kindRuntime = "runtime"
	kindRemove  = "remove" // of a version, by OfflineVersion
)

// stage is a gateway in memory that fails when a test tells it to. It keeps the
// time of time.Now, so that it works on the clock of testing/synctest, and says
// nothing of its progress: whatever breaks off may have been sent.
type stage struct {
	ahead    time.Duration // of the gateway's clock over ours
	dateSkew time.Duration // of its Date over that clock
	perPage  int           // rows of a page at most; zero means as many as asked for

	mu       sync.Mutex
	versions []stageVersion // oldest first
	made     int
	cues     map[string][]cue
	seen     []stageRequest
	online   int // publications made by requests
}

type stageVersion struct {
	id, remark string
	at         time.Time
	inEffect   bool
	byRequest  bool
}

type stageRequest struct {
	kind   string
	at     time.Time
	remark string
	header http.Header
	query  string
}

// cue is what happens to one request, which play would serve.
type cue func(r *http.Request, play func() *http.Response) (*http.Response, error)

// on has the coming requests of a kind meet these cues, one each.
func (s *stage) on(kind string, cues ...cue) *stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cues == nil {
		s.cues = map[string][]cue{}
	}
	s.cues[kind] = append(s.cues[kind], cues...)
	return s
}

// times is the same cue n times.
func times(n int, c cue) []cue { return slices.Repeat([]cue{c}, n) }

// plays serves the request.
var plays cue = func(_ *http.Request, play func() *http.Response) (*http.Response, error) { return play(), nil }

// breaks closes the connection; nothing is applied.
func breaks(*http.Request, func() *http.Response) (*http.Response, error) { return nil, io.EOF }

// playsThenBreaks applies the request and closes the connection.
func playsThenBreaks(_ *http.Request, play func() *http.Response) (*http.Response, error) {
	play()
	return nil, io.EOF
}

// breaksThenPlays closes the connection and applies the request later.
func breaksThenPlays(after time.Duration) cue {
	return func(_ *http.Request, play func() *http.Response) (*http.Response, error) {
		time.AfterFunc(after, func() { play() })
		return nil, io.EOF
	}
}

// hangs never answers; nothing is applied.
func hangs(r *http.Request, _ func() *http.Response) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// hangsThenPlays never answers, and applies the request later.
func hangsThenPlays(after time.Duration) cue {
	return func(r *http.Request, play func() *http.Response) (*http.Response, error) {
		time.AfterFunc(after, func() { play() })
		return hangs(r, play)
	}
}

// answers in place of the gateway; nothing is applied. Headers are given as
// names and values in turns.
func answers(status int, body string, header ...string) cue {
	return func(r *http.Request, _ func() *http.Response) (*http.Response, error) {
		return stageAnswer(r, status, body, header...), nil
	}
}

// alters serves the request and changes the answer.
func alters(change func(*http.Response)) cue {
	return func(_ *http.Request, play func() *http.Response) (*http.Response, error) {
		resp := play()
		change(resp)
		return resp, nil
	}
}

// unsent fails as net/http does that has waited for a connection in vain.
func unsent(err error) cue {
	return func(r *http.Request, _ func() *http.Response) (*http.Response, error) {
		if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.GetConn != nil {
			trace.GetConn(r.URL.Host)
		}
		return nil, err
	}
}

var errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}

// after runs f before the cue.
func (c cue) after(f func()) cue {
	return func(r *http.Request, play func() *http.Response) (*http.Response, error) {
		f()
		return c(r, play)
	}
}

func stageAnswer(r *http.Request, status int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{
		StatusCode: status, Header: h, Request: r,
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1,
	}
}

func (s *stage) now() time.Time { return time.Now().Add(s.ahead).UTC() }

// RoundTrip serves one request, or fails as told.
func (s *stage) RoundTrip(r *http.Request) (*http.Response, error) {
	var body struct {
		Action string `json:"action"`
		Remark string `json:"remark"`
	}
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			return nil, fmt.Errorf("stage: %w", err)
		}
		r.Body.Close()
	}
	kind := body.Action
	switch {
	case strings.Contains(r.URL.Path, "/apis/runtime/"):
		kind = kindRuntime
	case r.Method == http.MethodGet:
		kind = kindHistory
	case r.Method == http.MethodDelete:
		kind = kindRemove
	}
	play := plays
	s.mu.Lock()
	s.seen = append(s.seen, stageRequest{kind, time.Now(), body.Remark, r.Header.Clone(), r.URL.RawQuery})
	if waiting := s.cues[kind]; len(waiting) > 0 {
		play, s.cues[kind] = waiting[0], waiting[1:]
	}
	s.mu.Unlock()
	return play(r, func() *http.Response {
		s.mu.Lock()
		defer s.mu.Unlock()
		resp := s.serve(r, kind, body.Remark)
		resp.Header.Set("Date", s.now().Add(s.dateSkew).Format(http.TimeFormat))
		return resp
	})
}

func (s *stage) serve(r *http.Request, kind, remark string) *http.Response {
	switch {
	case kind == kindOnline:
		s.online++
		v := s.publish(remark, true)
		return stageAnswer(r, 201, fmt.Sprintf(`{"publish_id":"pub","api_id":%q,"api_name":"orders","env_id":%q,"remark":%q,"publish_time":%q,"version_id":%q}`,
			testAPI, EnvRelease, remark, v.at.Format(time.RFC3339Nano), v.id))
	case kind == kindOffline:
		for i := range s.versions {
			if s.versions[i].inEffect {
				s.versions[i].inEffect = false
				return stageAnswer(r, 201, fmt.Sprintf(`{"api_id":%q,"api_name":"orders","env_id":%q,"publish_time":"0001-01-01T00:00:00Z"}`, testAPI, EnvRelease))
			}
		}
		return stageAnswer(r, 404, `{"error_code":"APIG.3015","error_msg":"not published"}`)
	case kind == kindRuntime:
		return stageAnswer(r, 200, fmt.Sprintf(`{"id":%q,"name":"orders","publish_id":"pub","run_env_id":%q}`, testAPI, EnvRelease))
	case kind == kindRemove:
		return stageAnswer(r, 204, "")
	}
	rows := []string{}
	offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	if s.perPage > 0 {
		limit = min(limit, s.perPage)
	}
	for _, v := range slices.Backward(s.versions) { // newest first
		if offset--; offset >= 0 || len(rows) == limit {
			continue
		}
		status := StatusNotInEffect
		if v.inEffect {
			status = StatusInEffect
		}
		rows = append(rows, fmt.Sprintf(`{"version_id":%q,"api_id":%q,"env_id":%q,"remark":%q,"publish_time":%q,"status":%d}`,
			v.id, testAPI, EnvRelease, v.remark, v.at.Truncate(time.Second).Format(time.RFC3339), status))
	}
	return stageAnswer(r, 200, fmt.Sprintf(`{"total":%d,"size":%d,"api_versions":[%s]}`, len(s.versions), len(rows), strings.Join(rows, ",")))
}

// publish adds a version. The caller holds s.mu.
func (s *stage) publish(remark string, byRequest bool) stageVersion {
	for i := range s.versions {
		s.versions[i].inEffect = false
	}
	s.made++
	v := stageVersion{id: fmt.Sprintf("v%d", s.made), remark: remark, at: s.now(), inEffect: true, byRequest: byRequest}
	s.versions = append(s.versions, v)
	if len(s.versions) > keptVersions {
		s.versions = s.versions[1:]
	}
	return v
}

// somebody publishes, n times, as another client does.
func (s *stage) somebody(remark string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range n {
		s.publish(remark, false)
	}
}

// requests are the kinds of all requests so far, in order.
func (s *stage) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	kinds := []string{}
	for _, r := range s.seen {
		kinds = append(kinds, r.kind)
	}
	return kinds
}

// times are when the requests of a kind arrived, after start.
func (s *stage) times(kind string, start time.Time) []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var at []time.Duration
	for _, r := range s.seen {
		if r.kind == kind {
			at = append(at, r.at.Sub(start))
		}
	}
	return at
}

// published is how many publications the requests have made.
func (s *stage) published() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.online
}

// newStaged makes a client on a stage. It waits MinWait before a repetition,
// one second, and as long for settling.
func newStaged(t testing.TB, s *stage, changes ...func(*Config)) *Client {
	t.Helper()
	cfg := testConfig(s)
	cfg.Retry = RetryPolicy{MinWait: time.Second, MaxWait: 20 * time.Second, SettleWait: time.Second}
	for _, change := range changes {
		change(&cfg)
	}
	c, err := New(cfg)
	require.NoError(t, err)
	c.jitter = func(int64) int64 { return 0 }
	return c
}

func policy(p RetryPolicy) func(*Config) { return func(cfg *Config) { cfg.Retry = p } }

func limitedBy(l Limiter) func(*Config) { return func(cfg *Config) { cfg.Limiter = l } }

// limiterFunc is a function as a Limiter.
type limiterFunc func(context.Context) error

func (f limiterFunc) Wait(ctx context.Context) error { return f(ctx) }

// quick is a policy for real time.
var quick = RetryPolicy{MinWait: time.Millisecond, MaxWait: 2 * time.Millisecond, SettleWait: 4 * time.Millisecond}

// newLive starts a gateway with one API and makes a client for it, both on
// loopback.
func newLive(t testing.TB, changes ...func(*Config)) (*Client, *apigtest.Gateway, ActionRequest) {
	t.Helper()
	g := apigtest.NewGateway()
	t.Cleanup(g.Close)
	return newLiveClient(t, g, changes...), g, ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease, Remark: "1.4.2"}
}

// newLiveClient makes a client for a gateway with connections of its own.
func newLiveClient(t testing.TB, g *apigtest.Gateway, changes ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{
		Endpoint:   g.URL(),
		ProjectID:  g.ProjectID(),
		InstanceID: g.InstanceID(),
		Auth:       StaticToken(g.Token()),
		HTTPClient: &http.Client{Transport: newTransport()},
		Retry:      quick,
	}
	for _, change := range changes {
		change(&cfg)
	}
	c, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// meddler runs before ahead of each request.
type meddler struct {
	http.RoundTripper
	before func(*http.Request)
}

func (m meddler) RoundTrip(r *http.Request) (*http.Response, error) {
	m.before(r)
	return m.RoundTripper.RoundTrip(r)
}

// beforeHistory runs f ahead of the nth history read of a client, counted from 1.
func beforeHistory(n int, f func()) func(*Config) {
	return func(cfg *Config) {
		var mu sync.Mutex
		cfg.HTTPClient = &http.Client{Transport: meddler{cfg.HTTPClient.Transport, func(r *http.Request) {
			if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/apis/publish/") {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if n--; n == 0 {
				f()
			}
		}}}
	}
}

// ops are the operations of a journal, in order.
func ops(g *apigtest.Gateway) []string {
	all := []string{}
	for _, a := range g.Journal() {
		all = append(all, a.Op)
	}
	return all
}

// asked is how many requests of a kind a gateway has received.
func asked(g *apigtest.Gateway, op apigtest.Op) int {
	n := 0
	for _, r := range g.Requests() {
		if r.Op == op {
			n++
		}
	}
	return n
}

// records is a slog.Handler that keeps everything.
type records struct {
	mu  sync.Mutex
	all []slog.Record
}

func (h *records) Enabled(context.Context, slog.Level) bool { return true }
func (h *records) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *records) WithGroup(string) slog.Handler            { return h }
func (h *records) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, r.Clone())
	return nil
}

// with are the records with this message.
func (h *records) with(message string) []slog.Record {
	h.mu.Lock()
	defer h.mu.Unlock()
	var some []slog.Record
	for _, r := range h.all {
		if r.Message == message {
			some = append(some, r)
		}
	}
	return some
}

func attrsOf(r slog.Record) map[string]slog.Value {
	attrs := map[string]slog.Value{}
	r.Attrs(func(a slog.Attr) bool {
		attrs[a.Key] = a.Value
		return true
	})
	return attrs
}

func newRecorder(h *records) *slog.Logger { return slog.New(h) }
