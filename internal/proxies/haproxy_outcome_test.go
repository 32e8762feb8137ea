package proxies

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// TestOutcome lets the gateway behind HAProxy fail at each point of a call. All
// the client gets to see is a page of HAProxy's, half an answer, or nothing.
func TestOutcome(t *testing.T) {
	t.Parallel()
	const (
		timeout = 3 * time.Second         // HAProxy's, for the gateway
		late    = 1200 * time.Millisecond // the last look is after two seconds: twice SettleWait
	)
	const (
		closed = "502 SH"
		cut    = "201 SD"
		silent = "504 sH"
	)
	tests := []struct {
		name     string
		fault    apigtest.Fault
		answer   string
		received int
		is       func(*testing.T, *apig.PublishRecord, error)
	}{
		{"closes before applying", apigtest.CloseBefore(), closed, 2, requireRepeated},
		{"closes after applying", apigtest.ApplyThenClose(), closed, 1, requireRecovered},
		{"closes, then applies", apigtest.CloseThenApply(late / 4), closed, 1, requireRecovered},
		{"resets after applying", apigtest.Fault{Apply: apigtest.ApplyFirst, End: apigtest.EndReset}, closed, 1, requireRecovered},
		{"breaks off", apigtest.Cut(0), cut, 1, requireRecovered},
		{"hangs and never applies", apigtest.Hang(), silent, 2, requireRepeated},
		{"hangs and has applied", apigtest.Fault{Apply: apigtest.ApplyFirst, End: apigtest.EndHang}, silent, 1, requireRecovered},
		{"hangs and applies late", apigtest.Fault{Apply: apigtest.ApplyLater, After: timeout + late, End: apigtest.EndHang}, silent, 1, requireRecovered},
	}
	for _, test := range tests {
		for _, kept := range []bool{true, false} {
			name := test.name + ", new connection"
			if kept {
				name = test.name + ", kept connection"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				everyWay(t, func(t *testing.T, proto protocol, c change) {
					b := startBalancer(t, proto, directives{})
					client := b.client(nil)
					req := b.publish(client)
					if !kept {
						client.CloseIdleConnections()
					}

					b.gateway.Inject(test.fault.On(apigtest.OpAction))
					rec, err := b.run(c, client, context.Background(), req)

					answers := []string{test.answer}
					if test.answer == closed && (kept || proto == http2) {
						// It closes without an answer, and without a word in
						// its log, for the client to repeat the request.
						answers = []string{}
					}
					if test.received == 2 {
						answers = append(answers, "201 --")
					}
					b.finish(answers, test.received, err)
					test.is(t, rec, err)
					assert.Equal(t, 1, b.gateway.Struck())
				})
			})
		}
	}
}

// TestNoServer publishes while HAProxy knows of no gateway that is up. Nothing
// was sent on then, but a 503 does not say so.
func TestNoServer(t *testing.T) {
	t.Parallel()
	const down, up = "disable server gateway/gateway", "enable server gateway/gateway"
	t.Run("for a moment", func(t *testing.T) {
		t.Parallel()
		everyWay(t, func(t *testing.T, proto protocol, c change) {
			b := startBalancer(t, proto, directives{})
			client := b.client(nil)
			req := b.publish(client)

			b.tell(down)
			var rec *apig.PublishRecord
			var err error
			meanwhile(func() { rec, err = b.run(c, client, context.Background(), req) }, func() {
				await(t, "the first request", func() bool { return len(b.answers()) > 0 })
				b.tell(up)
			})

			b.finish([]string{"503 SC", "201 --"}, 1, err)
			requireRepeated(t, rec, err)
		})
	})
	t.Run("for good", func(t *testing.T) {
		t.Parallel()
		everyWay(t, func(t *testing.T, proto protocol, c change) {
			b := startBalancer(t, proto, directives{})
			client := b.client(inVain)
			req := b.publish(client)

			b.tell(down)
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			rec, err := b.run(c, client, ctx, req)

			b.finish([]string{"503 SC"}, 0, err)
			requireUnknown(t, rec, err)
			var page *apig.APIGError
			require.ErrorAs(t, err, &page)
			assert.Equal(t, 503, page.StatusCode)
		})
	})
}
