package toxiproxy

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

// TestRefused calls while nobody listens. Nothing can have been sent, so the
// client tries again, and is sure that nothing was applied if that fails.
func TestRefused(t *testing.T) {
	unused := []way{{}, {http2: true}}
	t.Run("for a moment", func(t *testing.T) {
		each(t, unused, func(t *testing.T, w way, c change) {
			s := set(t, w, enough)
			req := s.publish(w)
			require.NoError(t, s.proxy.Disable())
			o := s.run(context.Background(), c, req, s.enable)

			require.ErrorIs(t, o.sent[0].err, syscall.ECONNREFUSED)
			o.isRepeated()
		})
	})
	t.Run("for good", func(t *testing.T) {
		each(t, unused, func(t *testing.T, w way, c change) {
			s := set(t, w, enough)
			req := s.publish(w)
			require.NoError(t, s.proxy.Disable())
			o := s.run(context.Background(), c, req, nil)

			assert.Len(t, o.sent, 4, "MaxAttempts")
			for _, trip := range o.sent {
				require.ErrorIs(t, trip.err, syscall.ECONNREFUSED)
			}
			o.isNotApplied()
		})
	})
}

// TestDownMeanwhile takes the proxy down while the gateway is at work on a
// request.
func TestDownMeanwhile(t *testing.T) {
	for _, test := range []struct {
		name  string
		apply apigtest.Apply
		is    func(outcome)
	}{
		{"before it is applied", apigtest.ApplyNever, outcome.isRepeated},
		{"after it is applied", apigtest.ApplyFirst, outcome.isRecovered},
	} {
		t.Run(test.name, func(t *testing.T) {
			each(t, all, func(t *testing.T, w way, c change) {
				s := set(t, w, enough)
				req := s.publish(w)
				s.gateway.Inject(apigtest.Fault{Op: apigtest.OpAction, Apply: test.apply, End: apigtest.EndHang})
				before := s.received()
				down := make(chan struct{})
				go func() {
					defer close(down)
					for deadline := time.Now().Add(enough); s.received() == before && time.Now().Before(deadline); {
						time.Sleep(time.Millisecond)
					}
					assert.NoError(t, s.proxy.Disable())
				}()
				o := s.run(context.Background(), c, req, func() { <-down; s.enable() })

				require.True(t, broken(o.sent[0].err), "%v", o.sent[0].err)
				test.is(o)
			})
		})
	}
}

func (s *stage) enable() { assert.NoError(s.t, s.proxy.Enable()) }
