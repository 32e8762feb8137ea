package nginx

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
)

// TestLongToken sends a token that is too long for nginx's buffers.
func TestLongToken(t *testing.T) {
	everyWay(t, func(t *testing.T, proto protocol, c change) {
		s := set(t, proto, "")
		req := s.publish(s.client(nil))
		client := s.client(func(cfg *apig.Config) {
			cfg.Auth = apig.StaticToken(strings.Repeat("t", 40_000))
			inVain(cfg)
		})

		_, err := s.run(c, client, req)

		if proto == http1 {
			s.finish("client sent too long header line", 1, err)
			requireRefused(t, err, http.StatusBadRequest, apig.ErrBadRequest)
			return
		}
		// Over HTTP/2 nginx closes the connection instead of answering, and
		// each time anew when the client looks what has happened.
		s.finish("client sent too large header field", 1, err)
		require.ErrorIs(t, err, apig.ErrOutcomeUnknown)
	})
}

// TestLargeBody sends a body that is larger than nginx allows.
func TestLargeBody(t *testing.T) {
	everyWay(t, func(t *testing.T, proto protocol, c change) {
		s := set(t, proto, "client_max_body_size 300;")
		client := s.client(nil)
		req := s.publish(client)
		req.Remark = strings.Repeat("版", 255)

		_, err := s.run(c, client, req)

		s.finish("client intended to send too large body", 1, err)
		requireRefused(t, err, http.StatusRequestEntityTooLarge, apig.ErrBadRequest)
	})
}

// TestThrottle calls more often than once in two seconds, which is all nginx
// lets through. Its refusal says when to come again.
func TestThrottle(t *testing.T) {
	const interval = 2 * time.Second
	everyWay(t, func(t *testing.T, proto protocol, c change) {
		for _, patient := range []bool{true, false} {
			s := set(t, proto, "limit_req zone=calls;")
			client := s.client(func(cfg *apig.Config) {
				cfg.Retry.MaxWait = interval
				if !patient {
					cfg.Retry.MaxWait--
				}
			})
			req := s.publish(client)
			start := time.Now()
			_, err := s.run(c, client, req)
			took := time.Since(start)

			if patient {
				s.finish("limiting requests", 2, err)
				require.NoError(t, err)
				assert.GreaterOrEqual(t, took, interval)
				continue
			}
			s.finish("limiting requests", 1, err)
			page := requireRefused(t, err, http.StatusTooManyRequests, apig.ErrThrottled)
			assert.Equal(t, interval, page.RetryAfter)
			assert.Equal(t, 1, page.Attempts)
		}
	})
}

// TestStranger does not trust nginx's certificate: nothing is sent at all, and
// nothing repeated.
func TestStranger(t *testing.T) {
	everyWay(t, func(t *testing.T, proto protocol, c change) {
		s := set(t, proto, "")
		req := s.publish(s.client(nil))

		s.roots = nil // the system's
		_, err := s.run(c, s.client(nil), req)

		const refused = "SSL_do_handshake() failed"
		s.finish(refused, 0, err)
		assert.Equal(t, 1, strings.Count(s.read("error.log"), refused), "attempts")
		require.Error(t, err)
		require.NotErrorIs(t, err, apig.ErrOutcomeUnknown)
	})
}

// requireRefused fails if err is not what becomes of a page of nginx's that
// refuses a request.
func requireRefused(t *testing.T, err error, status int, want error) *apig.APIGError {
	t.Helper()
	require.ErrorIs(t, err, want)
	require.NotErrorIs(t, err, apig.ErrOutcomeUnknown)
	var page *apig.APIGError
	require.ErrorAs(t, err, &page)
	assert.Equal(t, status, page.StatusCode)
	return page
}
