package proxies

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// TestThrottled calls more often than once in two seconds, which is all that
// HAProxy lets through. Its refusal says when to come again.
func TestThrottled(t *testing.T) {
	t.Parallel()
	const (
		interval = 2 * time.Second
		rule     = `stick-table type integer size 1 expire 10s store gpc0
	http-request track-sc0 int(1) if METH_POST
	http-request deny deny_status 429 content-type text/plain string "Slow down" hdr Retry-After 2 if METH_POST { sc0_inc_gpc0 eq 2 }`
	)
	everyWay(t, func(t *testing.T, proto protocol, c change) {
		for _, patient := range []bool{true, false} {
			b := startBalancer(t, proto, directives{frontend: rule})
			client := b.client(func(cfg *apig.Config) {
				cfg.Retry.MaxWait = interval
				if !patient {
					cfg.Retry.MaxWait--
				}
			})
			req := b.publish(client)
			start := time.Now()
			rec, err := b.run(c, client, context.Background(), req)
			took := time.Since(start)

			if patient {
				b.finish([]string{"429 PR", "201 --"}, 1, err)
				requireRepeated(t, rec, err)
				assert.GreaterOrEqual(t, took, interval)
				continue
			}
			b.finish([]string{"429 PR"}, 0, err)
			requireNotApplied(t, rec, err)
			require.ErrorIs(t, err, apig.ErrThrottled)
			var page *apig.APIGError
			require.ErrorAs(t, err, &page)
			assert.Equal(t, http.StatusTooManyRequests, page.StatusCode)
			assert.Equal(t, interval, page.RetryAfter)
		}
	})
}

// TestSilentDrop has HAProxy forget a connection as soon as a publish has come
// in on it, without a word to the client.
func TestSilentDrop(t *testing.T) {
	t.Parallel()
	const rule = "http-request silent-drop if { method -m str -f dropped }"
	hurried := func(cfg *apig.Config) {
		inVain(cfg)
		cfg.AttemptTimeout = 5 * time.Second
	}
	t.Run("once", func(t *testing.T) {
		t.Parallel()
		everyWay(t, func(t *testing.T, proto protocol, c change) {
			b := startBalancer(t, proto, directives{frontend: rule})
			client := b.client(hurried)
			req := b.publish(client)

			b.tell("add acl dropped POST")
			var rec *apig.PublishRecord
			var err error
			meanwhile(func() { rec, err = b.run(c, client, context.Background(), req) }, func() {
				await(t, "the first request", func() bool { return len(b.answers()) > 0 })
				b.tell("clear acl dropped")
			})

			b.finish([]string{"-1 PR", "201 --"}, 1, err)
			requireRepeated(t, rec, err)
		})
	})
	t.Run("each time", func(t *testing.T) {
		t.Parallel()
		everyWay(t, func(t *testing.T, proto protocol, c change) {
			b := startBalancer(t, proto, directives{frontend: rule})
			client := b.client(func(cfg *apig.Config) { hurried(cfg); cfg.Retry.MaxAttempts = 2 })
			req := b.publish(client)

			b.tell("add acl dropped POST")
			rec, err := b.run(c, client, context.Background(), req)

			// The history can be read meanwhile, and shows that nothing came of it.
			b.finish([]string{"-1 PR", "-1 PR"}, 0, err)
			requireNotApplied(t, rec, err)
		})
	})
}

// TestRepeatingBalancer has HAProxy send a publish again whose answer was lost.
// The client sees one good answer, the gateway makes two versions: a limit that
// the documentation of apig names, for no client can tell. The rule that keeps
// HAProxy from doing it to a POST is tested as well.
func TestRepeatingBalancer(t *testing.T) {
	t.Parallel()
	const (
		// It repeats only what it held completely when it sent it.
		repeat = "option http-buffer-request\n\tretry-on all-retryable-errors"
		safe   = repeat + "\n\thttp-request disable-l7-retry if METH_POST"
	)
	for _, test := range []struct {
		name, backend string
		versions      int
		answers       []string
	}{
		{"repeats", repeat, 2, []string{"201 --"}},
		{"repeats no POST", safe, 1, []string{}}, // but closes, for the client to repeat it
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, proto := range []protocol{http1, http2} {
				t.Run(string(proto), func(t *testing.T) {
					t.Parallel()
					b := startBalancer(t, proto, directives{backend: test.backend})
					client := b.client(func(cfg *apig.Config) { cfg.Retry.TagRemark = true })
					req := b.publish(client)

					b.gateway.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction))
					rec, err := client.Publish(context.Background(), req)
					b.hangUp()
					b.stop()

					require.NoError(t, err)
					applied := b.gateway.Journal()[b.made:]
					require.Len(t, applied, test.versions)
					assert.Equal(t, test.answers, b.answers())
					last := applied[test.versions-1]
					assert.Equal(t, last.VersionID, rec.VersionID, "the one in effect")
					for _, a := range applied {
						assert.Equal(t, last.Remark, a.Remark)
					}
					assert.NotContains(t, b.written(), b.gateway.Token())
				})
			}
		})
	}
}
