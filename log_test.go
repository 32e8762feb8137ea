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
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-resty/resty/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
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
		"attempt": {slog.LevelDebug, "api_id attempt duration [error] op request_id status [tag]"},
		"retry":   {slog.LevelWarn, "api_id attempt op reason [tag] wait"},
		"settled": {slog.LevelWarn, "[api_id] apis applied attempt duration not_applied op reason [tag] unknown why"},
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

// A call that meets everything, record by record.
func TestLogOfOneCall(t *testing.T) {
	defer random.Replace(func(int64) int64 { return 0 })()
	synctest.Test(t, func(t *testing.T) {
		log := &logbook{least: slog.LevelDebug}
		s := newSite(t, logTo(slog.New(log)))
		s.Client = clientOf(t, s.Gateway, logTo(slog.New(log)), authBy(TokenAuth(sourceFunc(func(context.Context) (Token, error) {
			return Token{Value: Secret(s.Token())}, nil
		}))))
		s.Inject(
			gateway.Throttle("").On(gateway.OpAction),
			gateway.Answer(401, `{"error_code":"APIG.1001","error_msg":"`+s.Token()+` has expired"}`).On(gateway.OpAction),
			gateway.CloseBefore().On(gateway.OpAction),
			gateway.Answer(500, systemBody).On(gateway.OpHistory),
		)
		type key struct{}
		log.see = func(ctx context.Context) {
			assert.Equal(t, "trace", ctx.Value(key{}), "the handler gets the context of the call")
		}
		require.NoError(t, second(s.Publish(context.WithValue(t.Context(), key{}, "trace"), s.request("REMARK-of-this-test"))))

		var lines, reasons []string
		var ids []string
		for _, r := range s.Gateway.Requests() {
			ids = append(ids, r.ID)
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
					assert.Contains(t, ids, r.attrs["request_id"].String(), "the request id is the gateway's")
				}
			}
		}
		assert.Equal(t, []string{
			"attempt Publish 1: 429",
			"retry Publish 1: 1s",
			"attempt Publish 2: 401",
			"retry Publish 2: 0s", // with new credentials, at once
			"attempt Publish 3: 0",
			"attempt history 1: 500",
			"attempt history 1: 200",
			"settled Publish 3: 0 1 0",
			"retry Publish 3: 0s",
			"attempt Publish 4: 201",
		}, lines)
		for i, want := range []string{"429 Too Many Requests, APIGW.0308", "401 Unauthorized, APIG.1001: REDACTED has expired", "EOF"} {
			assert.Contains(t, reasons[i], want)
		}
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
			s.Inject(gateway.Throttle(""))
			require.NoError(t, second(s.Publish(t.Context(), s.request(""))))
			var got []string
			for _, r := range log.all {
				got = append(got, strings.Split(r.line(), ":")[0])
			}
			assert.Equal(t, want, strings.Join(got, ", "), "%v", level)
		})
	}
}

// An ID of a caller is fit to be printed before it is logged.
func TestLogOfStrangeID(t *testing.T) {
	log := &logbook{least: slog.LevelDebug}
	c, mt := newTest(t, logTo(slog.New(log)), attempts(1))
	mt.RegisterNoResponder(respond(404, ""))
	require.Error(t, second(c.Publish(t.Context(), PublishRequest{APIID: "a\u202eb" + strings.Repeat("x", 100), EnvID: EnvRelease})))
	require.Len(t, log.all, 1)
	log.all[0].check(t)
}

// Without a Logger nothing is written anywhere, whatever happens.
func TestSilence(t *testing.T) {
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	defer stderr.Close()
	stream, logger := os.Stderr, slog.Default()
	os.Stderr = stderr
	slog.SetDefault(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer func() { os.Stderr = stream; slog.SetDefault(logger) }()

	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.Inject(gateway.Throttle(""), gateway.CloseBefore(), gateway.Answer(400, parameterBody).On(gateway.OpAction))
		require.ErrorIs(t, second(s.Publish(t.Context(), s.request(""))), ErrBadRequest)
	})
	own := resty.New() // shows that this test would see what resty writes
	for range 2 {
		own.SetPreRequestHook(func(*resty.Client, *http.Request) error { return nil })
	}
	_, err = stderr.Seek(0, io.SeekStart)
	require.NoError(t, err)
	written, err := io.ReadAll(stderr)
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(written), "\n"), "%s", written)
	assert.Contains(t, string(written), "WARN RESTY")
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
