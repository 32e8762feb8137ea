package apig

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ecsHang never answers, and notes how long that was endured each time.
func ecsHang(endured *[]time.Duration) httpmock.Responder {
	return func(r *http.Request) (*http.Response, error) {
		start := time.Now()
		<-r.Context().Done()
		*endured = append(*endured, time.Since(start))
		return nil, r.Context().Err()
	}
}

// Elsewhere than on a server of ECS nobody answers, which is clear after 3 s.
func TestECSKeysHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var endured []time.Duration
		source := &ECSKeys{HTTPClient: &http.Client{Transport: iamAnswers(ecsHang(&endured))}}
		start := time.Now()
		_, err := source.Keys(context.Background())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, []time.Duration{3 * time.Second}, endured)
		assert.Equal(t, 3*time.Second, time.Since(start))

		// A caller who asks for keys to publish with knows as soon.
		c, _ := newTest(t, authBy(KeyAuth(source)))
		start = time.Now()
		_, err = c.Publish(context.Background(), testRequest)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotErrorIs(t, err, ErrOutcomeUnknown)
		assert.Equal(t, 3*time.Second, time.Since(start))
	})
}

// A service that has answered once, and then hangs, is asked again.
func TestECSKeysHangLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var endured []time.Duration
		wire := iamAnswers(respond(200, ecsToken), ecsHang(&endured), ecsHang(&endured), respondJSON(200, ecsKeysBody))
		keys, err := (&ECSKeys{HTTPClient: &http.Client{Transport: wire}}).Keys(context.Background())
		require.NoError(t, err)
		assert.Equal(t, ecsKeys, keys)
		assert.Equal(t, []time.Duration{3 * time.Second, 3 * time.Second}, endured)
	})
}

// Keys that cannot be read are asked for again, as anything that is only read.
func TestECSKeysUnreadableForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		wire := iamAnswers(respond(200, ecsToken), respondJSON(200, `{"credential":{"access":"HPUAD","secret":"s-e-c-r-e-t\n"}}`))
		keys, err := (&ECSKeys{HTTPClient: &http.Client{Transport: wire}}).Keys(context.Background())
		require.ErrorIs(t, err, ErrBadResponse)
		assert.EqualError(t, err, "apig: ECS metadata: unreadable response: status 200, the secret key has a space, a control character or a byte outside ASCII at position 12 of 12 (4 attempts)")
		assert.Zero(t, keys)
		assert.Equal(t, 5, wire.count())
	})
}

// The client's own timeout counts, if it is shorter.
func TestECSKeysClientTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var endured []time.Duration
		source := &ECSKeys{HTTPClient: &http.Client{Transport: iamAnswers(ecsHang(&endured)), Timeout: time.Second}}
		_, err := source.Keys(context.Background())
		require.Error(t, err)
		assert.Equal(t, []time.Duration{time.Second}, endured)
	})
}

// What fails at a moment is asked for again, and the rest of the keys' life is
// not given away: they are renewed five minutes before their end.
func TestECSKeysRenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := func() string { return time.Now().Add(time.Hour).UTC().Format(time.RFC3339Nano) }
		asked := 0
		wire := iamAnswers(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPut {
				return respond(405, "")(r)
			}
			if asked++; asked == 2 {
				return respond(500, "")(r)
			}
			return respondJSON(200, `{"credential":{"access":"HPUAD","secret":"s-e-c-r-e-t","securitytoken":"t","expires_at":"`+end()+`"}}`)(r)
		})
		c, mt := newTest(t, authBy(KeyAuth(&ECSKeys{HTTPClient: &http.Client{Transport: wire}})))
		mt.RegisterResponder(http.MethodPost, actionURL, respondJSON(201, publishedBody))
		publish := func() {
			_, err := c.Publish(context.Background(), testRequest)
			require.NoError(t, err)
		}
		publish()
		time.Sleep(55*time.Minute - 1)
		publish()
		assert.Equal(t, 1, asked)
		time.Sleep(time.Nanosecond)
		publish()
		assert.Equal(t, 3, asked, "one failure, one repetition")
	})
}
