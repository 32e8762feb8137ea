package apig

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/sdkhmac"
)

// A signature is good for 15 minutes, which waits and the attempts themselves
// may take. So each attempt is signed with the date of its own.
func TestKeysFreshDate(t *testing.T) {
	t.Parallel()
	for kind, auth := range keysKinds {
		for name, call := range map[string]struct {
			made     func(*Client) error
			failure  httpmock.Responder
			attempts int
		}{
			"a publication that was throttled": {
				func(c *Client) error {
					_, err := c.Publish(context.Background(), testRequest)
					return err
				},
				respond(429, ""), 4,
			},
			"a list that was not to be had": {
				func(c *Client) error { return keysDrain(c.Environments(context.Background(), EnvironmentQuery{})) },
				respond(503, ""), 4,
			},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					const wait = 10 * time.Minute
					wire := iamAnswers(call.failure)
					c, _ := newTest(t, authBy(auth(keysAccess, keysSecret)), func(cfg *Config) {
						cfg.HTTPClient = &http.Client{Transport: wire}
						cfg.Retry = RetryPolicy{MinWait: wait, MaxWait: wait}
					})
					start := time.Now().UTC().Truncate(time.Second)
					require.Error(t, call.made(c))
					require.Len(t, wire.requests, call.attempts)
					for n, r := range wire.requests {
						date := start.Add(time.Duration(n) * wait)
						assert.Equal(t, []string{date.Format(sdkhmac.DateLayout)}, r.Header["X-Sdk-Date"])

						again := r.Clone(context.Background())
						sdkhmac.Sign(again, []byte(wire.bodies[n]), keysAccess, keysSecret, date)
						assert.Equal(t, again.Header["Authorization"], r.Header["Authorization"])
					}
				})
			})
		}
	}
}

// Temporary keys are renewed five minutes before their end, while the calls go
// on with the old ones; and what fails then does not fail a call.
func TestKeysRenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked, down := 0, false
		c, mt := newTest(t, authBy(KeyAuth(keysFunc(func(context.Context) (Keys, error) {
			asked++
			if down {
				return Keys{}, context.DeadlineExceeded
			}
			return Keys{AccessKey: "HPUAD", SecretKey: keysSecret, Expiry: time.Now().Add(time.Hour)}, nil
		}))))
		mt.RegisterResponder(http.MethodPost, actionURL, respondJSON(201, publishedBody))
		publish := func() error {
			_, err := c.Publish(context.Background(), testRequest)
			return err
		}
		require.NoError(t, publish())
		time.Sleep(55*time.Minute - 1)
		require.NoError(t, publish())
		assert.Equal(t, 1, asked)
		down = true
		time.Sleep(time.Nanosecond)
		require.NoError(t, publish(), "the old keys live")
		assert.Equal(t, 2, asked)
		time.Sleep(5*time.Minute - 1)
		require.NoError(t, publish())
		assert.Equal(t, 3, asked)
		time.Sleep(time.Nanosecond)
		require.ErrorIs(t, publish(), context.DeadlineExceeded, "they have ended")
		down = false
		require.NoError(t, publish())
	})
}

// The date is that of the signature, not of the wait for keys before it.
func TestKeysSlowSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		auth := KeyAuth(keysFunc(func(context.Context) (Keys, error) {
			time.Sleep(time.Minute)
			return Keys{AccessKey: keysAccess, SecretKey: keysSecret}, nil
		}))
		r, err := http.NewRequest(http.MethodPost, actionURL, bytes.NewReader([]byte("{}")))
		require.NoError(t, err)
		require.NoError(t, auth.Authenticate(r))
		assert.Equal(t, time.Now().UTC().Format(sdkhmac.DateLayout), r.Header.Get("X-Sdk-Date"))
	})
}
