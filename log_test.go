package apig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/internal/random"
)

// logbook is a handler that keeps every record.
type logbook struct {
	least slog.Level
	see   func(context.Context) // or nil

	mu  sync.Mutex
	all []logLine
}

// logLine is a record: its message without the package, its level and what it says.
type logLine struct {
	message string
	level   slog.Level
	attrs   map[string]slog.Value
}

func (b *logbook) Enabled(_ context.Context, l slog.Level) bool { return l >= b.least }
func (b *logbook) WithAttrs([]slog.Attr) slog.Handler           { return b }
func (b *logbook) WithGroup(string) slog.Handler                { return b }
func (b *logbook) Handle(ctx context.Context, r slog.Record) error {
	if b.see != nil {
		b.see(ctx)
	}
	rec := logLine{strings.TrimPrefix(r.Message, "apig: "), r.Level, map[string]slog.Value{}}
	r.Attrs(func(a slog.Attr) bool {
		rec.attrs[a.Key] = a.Value.Resolve()
		return true
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, rec)
	return nil
}

// line is what a record says, in a word or two each.
func (r logLine) line() string {
	s := fmt.Sprintf("%s %v %v", r.message, r.attrs["op"], r.attrs["attempt"])
	switch r.message {
	case "attempt":
		s += fmt.Sprintf(": %v", r.attrs["status"])
	case "retry":
		s += fmt.Sprintf(": %v", r.attrs["wait"])
	case "settled":
		s += fmt.Sprintf(": %v %v %v", r.attrs["applied"], r.attrs["not_applied"], r.attrs["unknown"])
	}
	return s
}

// check checks the level, the keys and the kinds of the values, and that nothing
// of it is a credential, a remark, a header or a body.
func (r logLine) check(t *testing.T, secrets ...string) {
	t.Helper()
	shape, ok := map[string]struct {
		level slog.Level
		keys  string // what is in brackets need not be there
	}{
		"attempt": {slog.LevelDebug, "api_id attempt duration [error] op request_id status"},
		"retry":   {slog.LevelWarn, "api_id attempt op reason wait"},
		"settled": {slog.LevelWarn, "[api_id] apis applied attempt duration not_applied op reason unknown why"},
	}[r.message]
	require.True(t, ok, "unknown record %q", r.message)
	assert.Equal(t, shape.level, r.level)
	var want []string
	for key := range strings.FieldsSeq(shape.keys) {
		name := strings.Trim(key, "[]")
		if _, there := r.attrs[name]; there || name == key {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	assert.Equal(t, want, slices.Sorted(maps.Keys(r.attrs)), r.message)
	for key, v := range r.attrs {
		switch key {
		case "attempt", "status", "apis", "applied", "not_applied", "unknown":
			assert.Equal(t, slog.KindInt64, v.Kind(), key)
		case "duration", "wait":
			assert.Equal(t, slog.KindDuration, v.Kind(), key)
		}
		assertPrintable(t, v.String())
		for _, secret := range append(secrets, headerToken, "publish_id", "api_versions") {
			assert.NotContains(t, v.String(), secret, "%s of %s", key, r.message)
		}
	}
}

// rotating is an authenticator whose token can be renewed.
type rotating string

func (a rotating) Authenticate(r *http.Request) error {
	r.Header.Set(headerToken, string(a))
	return nil
}
func (a rotating) Refresh(*http.Request) bool { return true }

// A call that meets everything, record by record.
func TestLogOfOneCall(t *testing.T) {
	defer random.Replace(func(int64) int64 { return 0 })()
	synctest.Test(t, func(t *testing.T) {
		log := &logbook{least: slog.LevelDebug}
		s := newSite(t, logTo(slog.New(log)))
		s.Client = clientOf(t, s.Gateway, logTo(slog.New(log)), authBy(rotating(s.Token())))
		s.Inject(
			apigtest.Throttle("").On(apigtest.OpAction),
			apigtest.Answer(401, `{"error_code":"APIG.1001","error_msg":"`+s.Token()+` has expired"}`).On(apigtest.OpAction),
			apigtest.CloseBefore().On(apigtest.OpAction),
			apigtest.Answer(500, systemBody).On(apigtest.OpHistory).Skip(2),
		)
		_, err := s.Publish(t.Context(), s.request("REMARK-of-this-test"))
		require.NoError(t, err)

		var lines []string
		var reasons []string
		ids := map[string]bool{}
		for _, r := range s.Gateway.Requests() {
			ids[r.ID] = true
		}
		for _, r := range log.all {
			r.check(t, s.Token(), "REMARK-of-this-test")
			lines = append(lines, r.line())
			assert.Equal(t, s.api, r.attrs["api_id"].String())
			if r.message == "retry" {
				reasons = append(reasons, r.attrs["reason"].String())
			}
			if r.message == "attempt" {
				status := r.attrs["status"].Int64()
				_, failed := r.attrs["error"]
				assert.Equal(t, status < 200 || status > 299, failed, r.line())
				if failed && status != 0 {
					assert.True(t, ids[r.attrs["request_id"].String()], "the request id is the gateway's")
				}
			}
		}
		assert.Equal(t, []string{
			"attempt Publish 1: 429",
			"retry Publish 1: 250ms",
			"attempt Publish 2: 401",
			"retry Publish 2: 0s", // with new credentials, at once
			"attempt Publish 3: 0",
			"attempt history 1: 200",
			"attempt history 1: 200",
			"attempt history 1: 500",
			"retry history 1: 250ms",
			"attempt history 2: 200",
			"settled Publish 3: 0 1 0",
			"retry Publish 3: 250ms",
			"attempt Publish 4: 201",
		}, lines)
		for i, want := range []string{"429 Too Many Requests, APIGW.0308", "401 Unauthorized, APIG.1001: REDACTED has expired", "500 Internal Server Error", "EOF"} {
			assert.Contains(t, reasons[i], want)
		}
	})
}

// A run in which every other request fails in some way.
func TestLogOfFaultyRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &logbook{least: slog.LevelDebug}
		s := newSite(t, logTo(slog.New(log)), attempts(9))
		s.InjectFunc(apigtest.Mix(1, 0.5,
			apigtest.CloseBefore(), apigtest.ApplyThenClose(), apigtest.Cut(0), apigtest.Busy(), apigtest.Throttle(""),
			apigtest.Answer(502, "<html>Bad Gateway</h1></html>"), apigtest.Answer(500, ""), apigtest.Answer(200, "{}"),
			apigtest.Answer(400, `{"error_code":"APIC.9222","error_msg":"`+s.Token()+`"}`),
			apigtest.Answer(503, "LINE-1\nLINE-2")))
		for i := range 60 {
			_, _ = directions[[]string{"Publish", "Publish", "Offline"}[i%3]](s.Client, t.Context(), s.request("REMARK-of-this-test"))
		}
		kinds := map[string]int{}
		for _, r := range log.all {
			r.check(t, s.Token(), "REMARK-of-this-test", "Bad Gateway</h1>", "LINE-")
			kinds[r.message]++
		}
		requests := len(s.Gateway.Requests()) // net/http repeats a read by itself, on a connection that had been lost
		assert.LessOrEqual(t, kinds["attempt"], requests)
		assert.GreaterOrEqual(t, kinds["attempt"], requests*3/4)
		assert.NotZero(t, kinds["retry"])
		assert.NotZero(t, kinds["settled"])
	})
}

// Nothing is written below the level of the handler.
func TestLogLevel(t *testing.T) {
	for level, want := range map[slog.Level]string{
		slog.LevelDebug: "attempt Publish 1, retry Publish 1, attempt Publish 2",
		slog.LevelInfo:  "retry Publish 1",
		slog.LevelError: "",
	} {
		synctest.Test(t, func(t *testing.T) {
			log := &logbook{least: level}
			s := newSite(t, logTo(slog.New(log)))
			s.Inject(apigtest.Throttle(""))
			_, err := s.Publish(t.Context(), s.request(""))
			require.NoError(t, err)
			var got []string
			for _, r := range log.all {
				got = append(got, strings.Split(r.line(), ":")[0])
			}
			assert.Equal(t, want, strings.Join(got, ", "), "%v", level)
		})
	}
}

// The handler gets the context of the call, as tracing needs it.
func TestLogContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		log := &logbook{least: slog.LevelDebug}
		log.see = func(ctx context.Context) { assert.Equal(t, "trace", ctx.Value(key{})) }
		s := newSite(t, logTo(slog.New(log)))
		s.Inject(apigtest.CloseBefore())
		_, err := s.Publish(context.WithValue(t.Context(), key{}, "trace"), s.request(""))
		require.NoError(t, err)
		assert.Greater(t, len(log.all), 3)
	})
}

// An ID of a caller is fit to be printed before it is logLine.
func TestLogOfStrangeID(t *testing.T) {
	log := &logbook{least: slog.LevelDebug}
	c, mt := newTest(t, logTo(slog.New(log)), attempts(2))
	mt.RegisterNoResponder(respond(429, ""))
	_, err := c.Publish(t.Context(), ActionRequest{APIID: "a\u202eb" + strings.Repeat("x", 100), EnvID: EnvRelease})
	require.Error(t, err)
	require.Len(t, log.all, 3)
	for _, r := range log.all {
		r.check(t)
	}
}

// Without a Logger nothing is written anywhere, whatever happens.
func TestSilence(t *testing.T) {
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	defer stderr.Close()
	own, logger := os.Stderr, slog.Default()
	os.Stderr = stderr
	slog.SetDefault(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer func() { os.Stderr = own; slog.SetDefault(logger) }()

	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.Inject(apigtest.Throttle(""), apigtest.CloseBefore(), apigtest.Answer(400, parameterBody).On(apigtest.OpAction))
		_, err := s.Publish(t.Context(), s.request(""))
		require.ErrorIs(t, err, ErrBadRequest)
		s.Client = clientOf(t, s.Gateway, func(cfg *Config) {
			cfg.HTTPClient = &http.Client{Transport: failing{}}
		})
		_, err = s.Publish(t.Context(), s.request(""))
		require.Error(t, err)
	})
	_, err = stderr.Seek(0, io.SeekStart)
	require.NoError(t, err)
	written, err := io.ReadAll(stderr)
	require.NoError(t, err)
	assert.Empty(t, string(written))
}

// failing is a transport that sends nothing.
type failing struct{}

func (failing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no route to host")
}

// What resty has to say stays within the caller's logger.
func TestRestyLog(t *testing.T) {
	log := &logbook{least: slog.LevelDebug}
	l := restyLog{slog.New(log)}
	l.Errorf("a %d", 1)
	l.Warnf("b %d", 2)
	l.Debugf("c %d", 3)
	assert.Equal(t, []logLine{
		{"a 1", slog.LevelError, map[string]slog.Value{}}, {"b 2", slog.LevelWarn, map[string]slog.Value{}}, {"c 3", slog.LevelDebug, map[string]slog.Value{}},
	}, log.all)
}
