package apig

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

// keyed is a publication with a key.
func (s *site) keyed(key string) PublishRequest {
	r := s.request("1.4.2")
	r.IdempotencyKey = key
	return r
}

// A job is killed just after its request was sent, which arrives later, and is run
// again at once, in another process, with the same key: one version.
func TestKeyAfterAKill(t *testing.T) {
	for name, fault := range map[string]gateway.Fault{
		"arrives at once":      gateway.ApplyThenClose(),
		"arrives after 800 ms": {Apply: gateway.ApplyLater, After: 800 * time.Millisecond, End: gateway.EndHang},
		"never arrives":        {End: gateway.EndHang},
	} {
		virtually(t, name, func(t *testing.T) {
			s := newSite(t)
			s.Inject(fault.On(gateway.OpAction))
			killed, kill := context.WithCancel(t.Context())
			later(2010*time.Millisecond, kill) // after the first look
			_, err := s.Publish(killed, s.keyed("run 7"))
			if name != "arrives at once" {
				assert.Error(t, err)
			}
			record, err := clientOf(t, s.Gateway).Publish(t.Context(), s.keyed("run 7"))
			require.NoError(t, err)
			assert.Len(t, s.Journal(), 1)
			assert.Equal(t, name != "never arrives", record.Replayed)
			assert.False(t, record.Recovered)
			assert.Equal(t, "1.4.2", record.Remark)
			assert.Equal(t, s.effective(), record.VersionID)
		})
	}
}

// A rerun does not publish again, and says so if its version is not in effect.
func TestKeyAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		begin := time.Now()
		first, err := s.Publish(t.Context(), s.keyed("run 7"))
		require.NoError(t, err)
		assert.Equal(t, 2*time.Second, time.Since(begin))
		assert.False(t, first.Replayed)

		time.Sleep(time.Hour)
		again, err := s.Publish(t.Context(), s.keyed("run 7"))
		require.NoError(t, err)
		assert.True(t, again.Replayed)
		assert.Equal(t, first.VersionID, again.VersionID)
		other, err := s.Publish(t.Context(), s.keyed("run 8"))
		require.NoError(t, err)
		assert.False(t, other.Replayed)
		assert.NotEqual(t, first.Tag, other.Tag)

		_, err = s.Publish(t.Context(), s.keyed("run 7"))
		var superseded *SupersededError
		require.ErrorAs(t, err, &superseded)
		require.ErrorIs(t, err, ErrSuperseded)
		assert.Equal(t, NotApplied, OutcomeOf(err))
		assert.Equal(t, first.VersionID, superseded.Made.ID)
		assert.Equal(t, other.VersionID, superseded.InEffect.ID)
		assert.EqualError(t, err, "apig: Publish API "+s.api+": the version of this key, "+first.VersionID+", is no longer in effect: "+other.VersionID+" is")

		_, err = s.Offline(t.Context(), s.takeOff())
		require.NoError(t, err)
		_, err = s.Publish(t.Context(), s.keyed("run 7"))
		require.ErrorAs(t, err, &superseded)
		assert.Nil(t, superseded.InEffect)
		assert.ErrorContains(t, err, "the API is offline")
		assert.Equal(t, []string{"online", "online", "offline"}, s.changes())
	})
}

// The history is looked at once more after each wait for "not now".
func TestKeyLooksAgainAfterThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.Inject(gateway.Throttle("60").On(gateway.OpAction))
		later(30*time.Second, func() { s.theirs("1.4.2 apig:" + tagOfKey("run 7")) })
		record, err := s.Publish(t.Context(), s.keyed("run 7"))
		require.NoError(t, err)
		assert.True(t, record.Replayed)
		assert.Len(t, s.Journal(), 1)
	})
}

// Nothing is sent while the history cannot be read.
func TestKeyAndFaults(t *testing.T) {
	virtually(t, "no history", func(t *testing.T) {
		s := newSite(t)
		s.Inject(gateway.Forbidden().On(gateway.OpHistory).Always())
		_, err := s.Publish(t.Context(), s.keyed("k"))
		require.ErrorIs(t, err, ErrForbidden)
		require.NotErrorIs(t, err, ErrOutcomeUnknown)
		assert.Zero(t, s.requests(gateway.OpAction))
	})
	virtually(t, "no time", func(t *testing.T) {
		s := newSite(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := s.Publish(ctx, s.keyed("k"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, ErrOutcomeUnknown)
		assert.Empty(t, s.Gateway.Requests())
	})
	t.Run("mistakes", func(t *testing.T) {
		s := newSite(t)
		r := s.keyed("k")
		r.Remark = strings.Repeat("x", 240)
		_, err := s.Publish(t.Context(), r)
		require.EqualError(t, err, "apig: invalid argument: IdempotencyKey requires a Remark of at most 239 characters, which leaves room for a tag")
		_, err = clientOf(t, s.Gateway, func(cfg *Config) { cfg.DisableTags = true }).Publish(t.Context(), s.keyed("k"))
		require.EqualError(t, err, "apig: invalid argument: IdempotencyKey requires tags, but Config.DisableTags is set")
		assert.Empty(t, s.Gateway.Requests())
	})
}

// Of a batch of a thousand, 400 were published when the job was killed.
func TestKeyOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		ids := s.apis(1000)
		_, err := s.PublishBatch(t.Context(), PublishBatchRequest{APIIDs: ids[:400], EnvID: EnvRelease, IdempotencyKey: "run 7"})
		require.NoError(t, err)
		s.theirs("theirs", ids[0])
		result, err := clientOf(t, s.Gateway).PublishBatch(t.Context(), PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease, IdempotencyKey: "run 7"})
		var failed *BatchError
		require.ErrorAs(t, err, &failed)
		require.Len(t, failed.Items, 1)
		require.ErrorIs(t, failed.Items[0].Err, ErrSuperseded)
		for i, item := range result.Items[1:] {
			require.NoError(t, item.Err)
			require.Equal(t, i+1 < 400, item.Record.Replayed)
		}
		assert.Len(t, s.Journal(), 1001)
	})
}

// Calls for one API run side by side, and the service refuses each write that meets
// another one. The refused ones are sent again until all of them are applied.
func TestCallsForOneAPIAtOnce(t *testing.T) {
	for status, code := range map[int]string{500: "APIG.3500", 409: "APIG.3718"} {
		for _, n := range []int{2, 8, 16} {
			for _, takes := range []time.Duration{100 * time.Millisecond, 500 * time.Millisecond} {
				virtually(t, fmt.Sprint(n, " calls, ", takes, ", ", code), func(t *testing.T) {
					s := newSite(t)
					var free time.Time // when no write is in progress
					s.InjectFunc(func(r *gateway.Request) *gateway.Fault {
						if r.Op != gateway.OpAction {
							return nil
						}
						f := gateway.Slow(takes)
						if r.Time.Before(free) {
							f = gateway.Answer(status, `{"error_code":"`+code+`"}`).Delayed(takes)
						}
						free = r.Time.Add(takes)
						return &f
					})
					var calls sync.WaitGroup
					errs := make([]error, n)
					for i := range n {
						calls.Go(func() { _, errs[i] = s.Publish(t.Context(), s.request(fmt.Sprint("call ", i))) })
					}
					elapsed := took(calls.Wait)
					require.NoError(t, errors.Join(errs...))
					assert.Len(t, s.Journal(), n)
					t.Logf("%v, %d requests", elapsed, s.requests(gateway.OpAction))
				})
			}
		}
	}
}

// A service that allows 200 requests in five minutes publishes a thousand APIs, 32 at
// a time, and is not asked much more often than that.
func TestThrottledForMinutes(t *testing.T) {
	const window = 5 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		var begin time.Time
		count := 0
		s.InjectFunc(func(r *gateway.Request) *gateway.Fault {
			if r.Time.Sub(begin) >= window {
				begin, count = r.Time, 0
			}
			var f gateway.Fault
			if count++; count > 200 {
				f = gateway.Answer(429, `{"error_code":"APIGW.0308","error_msg":"policy user over ratelimit,limit:200,time:5 minute"}`)
			}
			f.Delay = 50 * time.Millisecond
			return &f
		})
		ids := s.apis(1000)
		var mu sync.Mutex
		var errs []error
		elapsed := took(func() {
			inParallel(32, slices.Clone(ids), func(id string) {
				_, err := s.Publish(t.Context(), PublishRequest{APIID: id, EnvID: EnvRelease})
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			})
		})
		require.NoError(t, errors.Join(errs...))
		assert.Len(t, s.Journal(), 1000)
		assert.Less(t, len(s.Gateway.Requests()), 1500)
		t.Logf("1000 APIs in %v with %d requests", elapsed, len(s.Gateway.Requests()))
	})
}
