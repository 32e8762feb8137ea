package apig

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

// shapes are the records there are, with their levels and keys. What is in
// brackets need not be there.
var shapes = map[string]struct {
	level slog.Level
	keys  []string
}{
	"apig: attempt": {slog.LevelDebug, []string{"api_id", "attempt", "duration", "[error]", "op", "request_id", "status"}},
	"apig: retry":   {slog.LevelWarn, []string{"api_id", "attempt", "op", "reason", "wait"}},
	"apig: settled": {slog.LevelWarn, []string{"api_id", "attempt", "op", "reason", "result", "why"}},
}

// checkRecord checks the level, the keys and the kinds of the values.
func checkRecord(t *testing.T, r slog.Record) {
	t.Helper()
	shape, ok := shapes[r.Message]
	if !assert.True(t, ok, "unknown record %q", r.Message) {
		return
	}
	assert.Equal(t, shape.level, r.Level)
	attrs := attrsOf(r)
	var want []string
	for _, key := range shape.keys {
		name := strings.Trim(key, "[]")
		if _, there := attrs[name]; there || name == key {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	assert.Equal(t, want, slices.Sorted(maps.Keys(attrs)), "%s", r.Message)
	for key, kind := range map[string]slog.Kind{
		"attempt": slog.KindInt64, "status": slog.KindInt64, "duration": slog.KindDuration, "wait": slog.KindDuration,
		"op": slog.KindString, "api_id": slog.KindString, "error": slog.KindString, "reason": slog.KindString, "why": slog.KindString,
	} {
		if v, ok := attrs[key]; ok {
			assert.Equal(t, kind, v.Kind(), "%s of %s", key, r.Message)
		}
	}
	for key, v := range attrs {
		assert.NotContains(t, v.String(), "\n", "%s of %s", key, r.Message)
	}
}

// summary is what a record says, in a word or two each.
func summary(r slog.Record) string {
	attrs := attrsOf(r)
	s := fmt.Sprintf("%s %s %v", strings.TrimPrefix(r.Message, "apig: "), attrs["op"], attrs["attempt"])
	switch r.Message {
	case "apig: attempt":
		s += fmt.Sprintf(": %v %v", attrs["status"], attrs["request_id"])
	case "apig: retry":
		s += fmt.Sprintf(": %v", attrs["wait"])
	case "apig: settled":
		s += fmt.Sprintf(": %v", attrs["result"])
	}
	return strings.TrimSpace(s)
}

// TestLogOfOneCall has a call that meets everything, record by record.
func TestLogOfOneCall(t *testing.T) {
	t.Parallel()
	const token = "SECRET-TOKEN-of-this-test"
	s := (&stage{}).
		on(kindOnline,
			answers(429, `{"error_code":"APIGW.0308"}`, "X-Request-Id", "r1"),
			unsent(errRefused),
			answers(401, `{"error_code":"APIG.1001","error_msg":"`+token+` has expired"}`, "X-Request-Id", "r3"),
			breaks,
			plays).
		on(kindHistory, answers(500, systemBody, "X-Request-Id", "h1"), plays, plays, plays)
	log := &records{}
	c := newStaged(t, s, policy(quick), attempts(4), logTo(newRecorder(log)), authBy(&tokens{token: token}))
	_, err := c.Publish(context.Background(), ActionRequest{APIID: testAPI, EnvID: EnvRelease, Remark: "REMARK-of-this-test"})
	require.NoError(t, err)

	var got []string
	for _, r := range log.all {
		checkRecord(t, r)
		got = append(got, summary(r))
		for key, v := range attrsOf(r) {
			for _, leak := range []string{token, "REMARK-of-this-test", "X-Auth-Token", headerToken, "publish_id", "api_versions", EnvRelease + `"`} {
				assert.NotContains(t, v.String(), leak, "%s of %s", key, r.Message)
			}
		}
		assert.Equal(t, testAPI, attrsOf(r)["api_id"].String())
		if status := attrsOf(r)["status"]; r.Message == "apig: attempt" {
			failed := status.Int64() < 200 || status.Int64() > 299
			_, there := attrsOf(r)["error"]
			assert.Equal(t, failed, there, "%s", summary(r))
		}
	}
	require.Equal(t, []string{
		"attempt Publish 1: 429 r1",
		"retry Publish 1: 1ms",
		"attempt Publish 2: 0",
		"retry Publish 2: 1ms",
		"attempt Publish 3: 401 r3",
		"retry Publish 3: 0s", // with new credentials, at once
		"attempt Publish 4: 0",
		"attempt history 1: 500 h1",
		"retry history 1: 1ms",
		"attempt history 2: 200",
		"attempt history 1: 200",
		"attempt history 1: 200",
		"settled Publish 4: not applied",
		"retry Publish 4: 1ms",
		"attempt Publish 5: 201",
	}, got)

	reasons := log.with("apig: retry")
	for i, want := range []string{"429 Too Many Requests, APIGW.0308", "connection refused", "401 Unauthorized, APIG.1001: REDACTED has expired", "500 Internal", "EOF"} {
		assert.Contains(t, attrsOf(reasons[i])["reason"].String(), want)
	}
	assert.Contains(t, attrsOf(log.with("apig: settled")[0])["reason"].String(), "EOF")
}

// tokens is an authenticator with a token that it renews.
type tokens struct{ token string }

func (a *tokens) Authenticate(r *http.Request) error { r.Header.Set(headerToken, a.token); return nil }
func (a *tokens) Refresh(*http.Request) bool         { return true }

// TestLogOfSettling has the result of settling and why, in doubt.
func TestLogOfSettling(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]struct {
		fault, history cue
		result, why    string
	}{
		"applied":     {playsThenBreaks, plays, "applied", ""},
		"gone":        {breaks, answers(404, noAPIBody), "gone", ""},
		"unknown":     {breaks, answers(403, noPermissionBody), "unknown", "the history cannot be read: "},
		"not applied": {answers(500, syncBody), plays, "not applied", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &records{}
			s := (&stage{}).on(kindOnline, r.fault).on(kindHistory, r.history)
			_, _ = newStaged(t, s, policy(quick), logTo(newRecorder(log))).Publish(context.Background(), testRequest)
			settled := log.with("apig: settled")
			require.Len(t, settled, 1)
			assert.Equal(t, r.result, attrsOf(settled[0])["result"].String())
			assert.Contains(t, attrsOf(settled[0])["why"].String(), r.why)
			for _, rec := range log.all {
				checkRecord(t, rec)
			}
		})
	}
	t.Run("repeatable", func(t *testing.T) {
		t.Parallel()
		log := &records{}
		s := (&stage{}).on(kindRemove, breaks)
		require.NoError(t, newStaged(t, s, policy(quick), logTo(newRecorder(log))).OfflineVersion(context.Background(), "v1"))
		settled := log.with("apig: settled")
		require.Len(t, settled, 1)
		assert.Equal(t, "repeatable", attrsOf(settled[0])["result"].String())
	})
}

// TestLogOfFaultyRun reads every record of a run in which every other request
// fails in some way.
func TestLogOfFaultyRun(t *testing.T) {
	t.Parallel()
	log := &records{}
	c, g, req := newLive(t, logTo(newRecorder(log)), attempts(9))
	req.Remark = "REMARK-of-this-test"
	g.InjectFunc(apigtest.Mix(1, 0.5,
		apigtest.CloseBefore(), apigtest.ApplyThenClose(), apigtest.Cut(0), apigtest.Busy(), apigtest.Throttle(""),
		apigtest.Answer(502, gatewayPage), apigtest.Answer(500, ""), apigtest.Answer(200, "{}"),
		apigtest.Answer(400, `{"error_code":"APIC.9222","error_msg":"`+g.Token()+`"}`),
		apigtest.Answer(503, "LINE-1\nLINE-2")))
	const n = 60
	unknown := 0
	for i := range n {
		call := (*Client).Publish
		if i%3 == 2 {
			call = (*Client).Offline
		}
		if _, err := call(c, context.Background(), req); err != nil {
			unknown++
		}
	}
	assert.Less(t, unknown, n/2)

	for _, r := range log.all {
		checkRecord(t, r)
		for key, v := range attrsOf(r) {
			for _, leak := range []string{g.Token(), req.Remark, headerToken, "api-gateway", "Bad Gateway</h1>", "LINE-", "publish_id", "api_versions"} {
				assert.NotContains(t, v.String(), leak, "%s of %s", key, r.Message)
			}
		}
	}
	// net/http may repeat a read by itself, on a connection that had been lost.
	attempts, requests := len(log.with("apig: attempt")), g.Requests()
	assert.LessOrEqual(t, attempts, len(requests))
	assert.GreaterOrEqual(t, attempts, len(requests)*3/4)
	ids := map[string]bool{}
	for _, r := range requests {
		ids[r.ID] = true
	}
	named := 0
	for _, r := range log.with("apig: attempt") {
		if id := attrsOf(r)["request_id"].String(); id != "" {
			named++
			assert.True(t, ids[id], "the request id is the gateway's")
		}
	}
	assert.Positive(t, named)
	assert.NotEmpty(t, log.with("apig: retry"))
	assert.NotEmpty(t, log.with("apig: settled"))
}

// TestLogLevel writes nothing below the level of the handler.
func TestLogLevel(t *testing.T) {
	t.Parallel()
	for level, want := range map[slog.Level][]string{
		slog.LevelDebug: {"attempt Publish 1", "retry Publish 1", "attempt Publish 2"},
		slog.LevelInfo:  {"retry Publish 1"},
		slog.LevelError: nil,
	} {
		log := &records{}
		s := (&stage{}).on(kindOnline, answers(429, ""))
		_, err := newStaged(t, s, policy(quick), logTo(slog.New(above{log, level}))).Publish(context.Background(), testRequest)
		require.NoError(t, err)
		var got []string
		for _, r := range log.all {
			got = append(got, strings.Split(summary(r), ":")[0])
		}
		assert.Equal(t, want, got, "%v", level)
	}
}

// above lets through what has a level.
type above struct {
	slog.Handler
	level slog.Level
}

func (h above) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

// TestLogContext gives the handler the context of the call.
func TestLogContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	seen := 0
	h := contextHandler{&records{}, func(ctx context.Context) {
		if ctx.Value(key{}) == "trace" {
			seen++
		}
	}}
	s := (&stage{}).on(kindOnline, breaks)
	c := newStaged(t, s, policy(quick), logTo(slog.New(h)))
	_, err := c.Publish(context.WithValue(context.Background(), key{}, "trace"), testRequest)
	require.NoError(t, err)
	assert.Equal(t, len(h.records.all), seen)
	assert.NotZero(t, seen)
}

type contextHandler struct {
	*records
	look func(context.Context)
}

func (h contextHandler) Handle(ctx context.Context, r slog.Record) error {
	h.look(ctx)
	return h.records.Handle(ctx, r)
}

// TestSilence writes nothing anywhere without a Logger, whatever happens. It
// lends out os.Stderr, so it must not run beside other tests.
func TestSilence(t *testing.T) {
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	defer stderr.Close()
	own, logger := os.Stderr, slog.Default()
	os.Stderr = stderr
	slog.SetDefault(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer func() { os.Stderr = own; slog.SetDefault(logger) }()

	s := (&stage{}).on(kindOnline, answers(429, ""), breaks, answers(400, parameterBody))
	_, err = newStaged(t, s, policy(quick)).Publish(context.Background(), testRequest)
	require.ErrorIs(t, err, ErrBadRequest)
	s.on(kindOnline, times(9, unsent(errRefused))...)
	_, err = newStaged(t, s, policy(quick)).Publish(context.Background(), testRequest)
	require.ErrorIs(t, err, errRefused)
	_, err = stderr.Seek(0, io.SeekStart)
	require.NoError(t, err)
	written, err := io.ReadAll(stderr)
	require.NoError(t, err)
	assert.Empty(t, string(written))
}
