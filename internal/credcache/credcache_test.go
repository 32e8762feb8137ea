package credcache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These tests run on a clock of their own, on which waiting takes no time and
// every moment is exact.

var errSealed = errors.New("the vault is sealed")

// numbered is a source of token-1, token-2 and so on, each with the same life;
// 0 means for ever.
type numbered struct {
	fetched atomic.Int32
	life    time.Duration
}

func (s *numbered) fetch(context.Context) (string, time.Time, error) {
	token := fmt.Sprintf("token-%d", s.fetched.Add(1))
	if s.life == 0 {
		return token, time.Time{}, nil
	}
	return token, time.Now().Add(s.life), nil
}

// renewing is a source whose first token lives for an hour, and whose later
// fetches are the test's.
type renewing struct {
	fetched atomic.Int32
	renew   func(context.Context) (string, time.Time, error)
}

func (s *renewing) fetch(ctx context.Context) (string, time.Time, error) {
	if s.fetched.Add(1) == 1 {
		return "living", time.Now().Add(time.Hour), nil
	}
	return s.renew(ctx)
}

// hung answers when its context ends, and not before.
func hung(ctx context.Context) (string, time.Time, error) {
	<-ctx.Done()
	return "", time.Time{}, ctx.Err()
}

// holds asserts which token the cache gives, and that it does so at once.
func holds(t *testing.T, want string, c *Cache[string]) {
	t.Helper()
	start := time.Now()
	token, err := c.Get(context.Background())
	require.NoError(t, err)
	assert.Equal(t, want, token)
	assert.Zero(t, time.Since(start))
}

// fails asserts the error that the cache gives, and after how long.
func fails(t *testing.T, ctx context.Context, want error, after time.Duration, c *Cache[string]) {
	t.Helper()
	start := time.Now()
	token, err := c.Get(ctx)
	assert.ErrorIs(t, err, want)
	assert.Empty(t, token)
	assert.Equal(t, after, time.Since(start))
}

// Credentials are renewed five minutes before their end, those with a short
// life when a fifth of it is left.
func TestRenewal(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ life, renewed time.Duration }{
		"a day":               {24 * time.Hour, 24*time.Hour - 5*time.Minute},
		"an hour":             {time.Hour, 55 * time.Minute},
		"twenty-five minutes": {25 * time.Minute, 20 * time.Minute},
		"ten minutes":         {10 * time.Minute, 8 * time.Minute},
		"a minute":            {time.Minute, 48 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				source := &numbered{life: tt.life}
				c := New(source.fetch)
				holds(t, "token-1", c)
				time.Sleep(tt.renewed - 1)
				holds(t, "token-1", c)
				time.Sleep(time.Nanosecond)
				holds(t, "token-2", c)
				time.Sleep(tt.renewed - 1)
				holds(t, "token-2", c)
				time.Sleep(time.Nanosecond)
				holds(t, "token-3", c)
				assert.EqualValues(t, 3, source.fetched.Load())
			})
		})
	}
}

func TestNoEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := New((&numbered{}).fetch)
		holds(t, "token-1", c)
		time.Sleep(10 * 365 * 24 * time.Hour)
		holds(t, "token-1", c)
	})
}

// Credentials that are past their end on arrival are used, as the clocks may
// disagree, but not kept.
func TestEndedOnArrival(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := New((&numbered{life: -time.Second}).fetch)
		holds(t, "token-1", c)
		holds(t, "token-2", c)
	})
}

// They do not take the place of living ones either.
func TestEndedOnRenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &renewing{renew: func(context.Context) (string, time.Time, error) {
			return "ended", time.Now(), nil
		}}
		c := New(source.fetch)
		holds(t, "living", c)
		time.Sleep(55 * time.Minute)
		holds(t, "ended", c)
		holds(t, "living", c)
		assert.EqualValues(t, 2, source.fetched.Load())
	})
}

// All who have no credentials wait for one fetch.
func TestOneFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetched, under atomic.Int32
		c := New(func(context.Context) (string, time.Time, error) {
			assert.EqualValues(t, 1, under.Add(1), "one at a time")
			defer under.Add(-1)
			fetched.Add(1)
			time.Sleep(3 * time.Second)
			return "shared", time.Now().Add(time.Hour), nil
		})
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond)
				token, err := c.Get(context.Background())
				assert.NoError(t, err)
				assert.Equal(t, "shared", token)
				assert.Equal(t, 3*time.Second, time.Since(start))
			})
		}
		wg.Wait()
		assert.EqualValues(t, 1, fetched.Load())
	})
}

// A fetch that fails fails for all who wait for it, and the next one starts
// anew.
func TestFetchFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetched atomic.Int32
		c := New(func(context.Context) (string, time.Time, error) {
			time.Sleep(time.Second)
			if fetched.Add(1) == 1 {
				return "not to be used", time.Time{}, errSealed
			}
			return "token", time.Time{}, nil
		})
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { fails(t, context.Background(), errSealed, time.Second, c) })
		}
		wg.Wait()
		token, err := c.Get(context.Background())
		require.NoError(t, err)
		assert.Equal(t, "token", token)
		assert.EqualValues(t, 2, fetched.Load())
	})
}

// A source that does not return, but panics or ends its goroutine, fails for
// all who wait, and the next fetch starts anew. Nothing of the panic's value
// shows.
func TestSourceDoesNotReturn(t *testing.T) {
	t.Parallel()
	const secret = "MIIQ-secret"
	type carrier struct{ Token string }
	var unset map[string]string
	for name, tt := range map[string]struct {
		end  func()
		want string
	}{
		"panic with a text":   {func() { panic(secret) }, "the source of the credentials panicked with a value of type string"},
		"panic with an error": {func() { panic(errors.New(secret)) }, "the source of the credentials panicked with a value of type *errors.errorString"},
		"panic with a struct": {func() { panic(carrier{secret}) }, "the source of the credentials panicked with a value of type credcache.carrier"},
		"panic of the runtime": {func() { unset[secret] = secret },
			"the source of the credentials panicked with a value of type runtime."},
		"panic with nil": {func() { panic(nil) }, //nolint:govet // a source may do so
			"the source of the credentials panicked with a value of type *runtime.PanicNilError"},
		"Goexit": {runtime.Goexit, "the source of the credentials ended its goroutine without an answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var fetched atomic.Int32
				c := New(func(context.Context) (string, time.Time, error) {
					if fetched.Add(1) == 1 {
						time.Sleep(time.Second)
						tt.end()
					}
					return "token", time.Time{}, nil
				})
				start := time.Now()
				var wg sync.WaitGroup
				for range 5 {
					wg.Go(func() {
						token, err := c.Get(context.Background())
						assert.Empty(t, token)
						if assert.Error(t, err) {
							assert.Contains(t, err.Error(), tt.want)
							assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), secret)
						}
						assert.Equal(t, time.Second, time.Since(start))
					})
				}
				wg.Wait()
				holds(t, "token", c)
				assert.EqualValues(t, 2, fetched.Load())
			})
		})
	}
}

// No source at all is a panic of the source too.
func TestNilSource(t *testing.T) {
	t.Parallel()
	_, err := New[string](nil).Get(context.Background())
	assert.ErrorContains(t, err, "panicked with a value of type runtime.")
}

// Who waits leaves when their own context ends, even who has started the fetch,
// which goes on for the others.
func TestWaitersLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetched atomic.Int32
		c := New(func(ctx context.Context) (string, time.Time, error) {
			fetched.Add(1)
			select {
			case <-time.After(10 * time.Second):
				return "token", time.Time{}, nil
			case <-ctx.Done():
				return "", time.Time{}, ctx.Err()
			}
		})
		first, cancelFirst := context.WithTimeout(context.Background(), time.Second)
		defer cancelFirst()
		second, cancelSecond := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { fails(t, first, context.DeadlineExceeded, time.Second, c) })
		synctest.Wait() // it has started the fetch
		wg.Go(func() { fails(t, second, context.Canceled, 2*time.Second, c) })
		wg.Go(func() {
			start := time.Now()
			token, err := c.Get(context.Background())
			assert.NoError(t, err)
			assert.Equal(t, "token", token)
			assert.Equal(t, 10*time.Second, time.Since(start))
		})
		time.Sleep(2 * time.Second)
		cancelSecond()
		wg.Wait()
		assert.EqualValues(t, 1, fetched.Load())
		holds(t, "token", c)
	})
}

// When nobody waits any more the fetch is cancelled; who comes then starts
// another, without waiting for the end of that one, whose result comes too late.
func TestLastWaiterLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var cancelled []time.Duration
		c := New(func(ctx context.Context) (string, time.Time, error) {
			if time.Since(start) >= 2*time.Second {
				return "of the second fetch", time.Time{}, nil
			}
			<-ctx.Done()
			cancelled = append(cancelled, time.Since(start))
			time.Sleep(time.Minute) // it is in no hurry
			return "too late", time.Time{}, nil
		})
		var wg sync.WaitGroup
		for _, d := range []time.Duration{time.Second, 2 * time.Second} {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), d)
				defer cancel()
				fails(t, ctx, context.DeadlineExceeded, d, c)
			})
		}
		wg.Wait()
		holds(t, "of the second fetch", c)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		assert.Equal(t, []time.Duration{2 * time.Second}, cancelled)
		holds(t, "of the second fetch", c)
	})
}

// The last waiter gets the error of its own context, not what the source makes
// of its cancellation.
func TestLeaverHasItsOwnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := New(hung)
		for range 100 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_, err := c.Get(ctx)
			assert.Equal(t, context.DeadlineExceeded, err)
			cancel()
			synctest.Wait()
		}
	})
}

// A context that has ended starts no fetch, but living credentials are there
// for it.
func TestEndedContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		source := &numbered{life: time.Hour}
		c := New(source.fetch)
		fails(t, ended, context.Canceled, 0, c)
		assert.Zero(t, source.fetched.Load())

		holds(t, "token-1", c)
		time.Sleep(55 * time.Minute)
		token, err := c.Get(ended)
		require.NoError(t, err)
		assert.Equal(t, "token-1", token)
		assert.EqualValues(t, 1, source.fetched.Load())
		holds(t, "token-2", c) // no pause has begun
	})
}

// A source that never answers holds nobody for ever, whether it heeds its
// context or not.
func TestFetchLimit(t *testing.T) {
	t.Parallel()
	t.Run("it heeds its context", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			fails(t, context.Background(), context.DeadlineExceeded, 2*time.Minute, New(hung))
		})
	})
	t.Run("it does not", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			var fetched atomic.Int32
			c := New(func(context.Context) (string, time.Time, error) {
				n := fetched.Add(1)
				if n == 1 {
					time.Sleep(time.Hour)
				}
				return fmt.Sprintf("token-%d", n), time.Time{}, nil
			})
			var wg sync.WaitGroup
			for _, late := range []time.Duration{0, 2 * time.Minute} {
				wg.Go(func() {
					time.Sleep(late)
					fails(t, context.Background(), context.DeadlineExceeded, 2*time.Minute+time.Second-late, c)
				})
			}
			wg.Wait()
			holds(t, "token-2", c)
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			holds(t, "token-2", c)
		})
	})
}

// A source that keeps its tokens itself gives one out that is due already. It
// is not asked by every call.
func TestCachingSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fetched := 0
		end := time.Now().Add(time.Hour)
		c := New(func(context.Context) (string, time.Time, error) {
			fetched++
			return "kept", end, nil
		})
		holds(t, "kept", c)
		time.Sleep(59 * time.Minute)
		for range 60 { // seconds
			holds(t, "kept", c)
			holds(t, "kept", c)
			time.Sleep(time.Second)
		}
		assert.Equal(t, 3, fetched, "at first, and every thirty seconds of the last minute")
	})
}

// Living credentials serve on while they cannot be renewed, which is tried every
// thirty seconds.
func TestEarlyRenewalFails(t *testing.T) {
	t.Parallel()
	for name, renew := range map[string]func(context.Context) (string, time.Time, error){
		"an error": func(context.Context) (string, time.Time, error) { return "", time.Time{}, errSealed },
		"a panic":  func(context.Context) (string, time.Time, error) { panic(errSealed) },
		"Goexit":   func(context.Context) (string, time.Time, error) { runtime.Goexit(); panic("not reached") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				source := &renewing{renew: renew}
				c := New(source.fetch)
				holds(t, "living", c)
				time.Sleep(55*time.Minute - 1)
				holds(t, "living", c)
				assert.EqualValues(t, 1, source.fetched.Load())
				time.Sleep(time.Nanosecond)
				for want := int32(2); want <= 11; want++ { // five minutes
					holds(t, "living", c)
					holds(t, "living", c)
					assert.Equal(t, want, source.fetched.Load())
					time.Sleep(30*time.Second - 1)
					holds(t, "living", c)
					assert.Equal(t, want, source.fetched.Load())
					time.Sleep(time.Nanosecond)
				}
				_, err := c.Get(context.Background())
				assert.Error(t, err, "now they have ended")
				_, err = c.Get(context.Background())
				assert.Error(t, err)
				assert.EqualValues(t, 13, source.fetched.Load(), "without credentials there is no pause")
			})
		})
	}
}

// An early renewal takes no more than ten seconds of one call, and nothing of
// the others.
func TestEarlyRenewalIsSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var cancelled atomic.Int32
		source := &renewing{renew: func(ctx context.Context) (string, time.Time, error) {
			defer cancelled.Add(1)
			return hung(ctx)
		}}
		c := New(source.fetch)
		holds(t, "living", c)
		time.Sleep(55 * time.Minute)

		var wg sync.WaitGroup
		wg.Go(func() {
			start := time.Now()
			token, err := c.Get(context.Background())
			assert.NoError(t, err)
			assert.Equal(t, "living", token)
			assert.Equal(t, 10*time.Second, time.Since(start))
		})
		synctest.Wait()
		assert.EqualValues(t, 2, source.fetched.Load())
		holds(t, "living", c)
		time.Sleep(9 * time.Second)
		holds(t, "living", c)
		wg.Wait()
		synctest.Wait()
		assert.EqualValues(t, 2, source.fetched.Load())
		assert.EqualValues(t, 1, cancelled.Load())
		holds(t, "living", c)
	})
}

// An early renewal that goes well in its time serves who asked for it.
func TestEarlyRenewalTakesAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &renewing{renew: func(context.Context) (string, time.Time, error) {
			time.Sleep(9 * time.Second)
			return "fresh", time.Now().Add(time.Hour), nil
		}}
		c := New(source.fetch)
		holds(t, "living", c)
		time.Sleep(55 * time.Minute)
		token, err := c.Get(context.Background())
		require.NoError(t, err)
		assert.Equal(t, "fresh", token)
		holds(t, "fresh", c)
		assert.EqualValues(t, 2, source.fetched.Load())
	})
}

// Who asked for the early renewal and ends before it gets the living
// credentials: what ends their call is not for the credentials to say.
func TestEarlyRenewalCallerEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &renewing{renew: hung}
		c := New(source.fetch)
		holds(t, "living", c)
		time.Sleep(55 * time.Minute)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		token, err := c.Get(ctx)
		require.NoError(t, err)
		assert.Equal(t, "living", token)
		assert.Equal(t, time.Second, time.Since(start))
		synctest.Wait()
	})
}

// Credentials that are dropped, or that end, during a renewal that fails are no
// use to who asked for it, who then waits like all who have none.
func TestEarlyRenewalFailsTooLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &renewing{}
		source.renew = func(context.Context) (string, time.Time, error) {
			if source.fetched.Load() == 2 {
				time.Sleep(5 * time.Second)
				return "", time.Time{}, errSealed
			}
			return "fresh", time.Now().Add(time.Hour), nil
		}
		for name, tt := range map[string]struct {
			at   time.Duration
			drop bool
		}{
			"dropped": {55 * time.Minute, true},
			"ended":   {time.Hour - time.Second, false},
		} {
			source.fetched.Store(0)
			c := New(source.fetch)
			holds(t, "living", c)
			time.Sleep(tt.at)
			var wg sync.WaitGroup
			wg.Go(func() {
				start := time.Now()
				token, err := c.Get(context.Background())
				assert.NoError(t, err, name)
				assert.Equal(t, "fresh", token, name)
				assert.Equal(t, 5*time.Second, time.Since(start), name)
			})
			synctest.Wait()
			if tt.drop {
				c.Drop(func(token string) bool { return token == "living" })
			}
			wg.Wait()
			assert.EqualValues(t, 3, source.fetched.Load(), name)
		}
	})
}

// Who has no credentials joins the early renewal that is in flight, which their
// waiting then keeps alive beyond the patience of who began it.
func TestJoinEarlyRenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &renewing{renew: func(ctx context.Context) (string, time.Time, error) {
			select {
			case <-time.After(20 * time.Second):
				return "fresh", time.Now().Add(time.Hour), nil
			case <-ctx.Done():
				return "", time.Time{}, ctx.Err()
			}
		}}
		c := New(source.fetch)
		holds(t, "living", c)
		time.Sleep(55 * time.Minute)
		start := time.Now()
		var wg sync.WaitGroup
		for range 2 { // one that renews and, after the drop, one without credentials
			wg.Go(func() {
				token, err := c.Get(context.Background())
				assert.NoError(t, err)
				assert.Equal(t, "fresh", token)
				assert.Equal(t, 20*time.Second, time.Since(start))
			})
			synctest.Wait()
			c.Drop(func(string) bool { return true })
		}
		wg.Wait()
		assert.EqualValues(t, 2, source.fetched.Load())
	})
}

// A rejection says something about the token that was sent, not about the one
// that has replaced it meanwhile.
func TestDropOnlyTheRejected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &numbered{life: time.Hour}
		c := New(source.fetch)
		first := func(token string) bool { return token == "token-1" }
		c.Drop(func(string) bool { t.Error("there is nothing to drop"); return true })
		holds(t, "token-1", c)
		c.Drop(first)
		holds(t, "token-2", c)
		c.Drop(first)
		holds(t, "token-2", c)
		assert.EqualValues(t, 2, source.fetched.Load())
	})
}

// Rejected credentials are dropped at once, pause or no pause.
func TestDropAfterFailedRenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fail := true
		source := &renewing{renew: func(context.Context) (string, time.Time, error) {
			if fail {
				return "", time.Time{}, errSealed
			}
			return "fresh", time.Now().Add(time.Hour), nil
		}}
		c := New(source.fetch)
		holds(t, "living", c)
		time.Sleep(56 * time.Minute)
		holds(t, "living", c)
		fail = false
		holds(t, "living", c)
		c.Drop(func(token string) bool { return token == "living" })
		holds(t, "fresh", c)
	})
}

// The source sees the values of the context of the call that started the fetch,
// such as a trace.
func TestSourceSeesTheContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	c := New(func(ctx context.Context) (string, time.Time, error) {
		_, limited := ctx.Deadline()
		assert.True(t, limited)
		return fmt.Sprint(ctx.Value(key{})), time.Time{}, nil
	})
	token, err := c.Get(context.WithValue(context.Background(), key{}, "trace"))
	require.NoError(t, err)
	assert.Equal(t, "trace", token)
}

// The context of a fetch ends with it, whatever the source has begun with it.
func TestContextEndsWithTheFetch(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{nil, errSealed} {
		var ended func() error
		c := New(func(ctx context.Context) (string, time.Time, error) {
			ended = ctx.Err
			assert.NoError(t, ctx.Err())
			return "token", time.Time{}, failure
		})
		_, err := c.Get(context.Background())
		require.Equal(t, failure, err)
		assert.ErrorIs(t, ended(), context.Canceled)
	}
}

// No verb of fmt shows what the cache holds, not even where the cache lies in
// an unexported field. The planted value shows that it would be found.
func TestDoesNotPrint(t *testing.T) {
	t.Parallel()
	const secret = "MIIQ-secret"
	c := New(func(context.Context) (string, time.Time, error) { return secret, time.Now().Add(time.Hour), nil })
	for range 2 { // the second one comes after all that the fetch does
		token, err := c.Get(context.Background())
		require.NoError(t, err)
		require.Equal(t, secret, token)
	}
	open := &struct{ held *struct{ value string } }{&struct{ value string }{secret}}
	verbs := []string{"%s"} // unseen by vet, which knows that it suits none of these
	assert.Contains(t, fmt.Sprintf(verbs[0], open), secret)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%z"} {
		for _, v := range []any{c, c.held, struct{ c *Cache[string] }{c}, []*Cache[string]{c}} {
			text := fmt.Sprintf(verb, v)
			assert.NotContains(t, text, secret, verb)
			assert.NotContains(t, text, fmt.Sprintf("%x", secret), verb)
		}
	}
}

// Many calls, sources that fail in every way, drops and short lives at once. It
// is for the race detector, and nobody may hang.
func TestRace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetched atomic.Int32
		c := New(func(ctx context.Context) (string, time.Time, error) {
			n := fetched.Add(1)
			select {
			case <-time.After(time.Duration(n%7) * time.Second):
			case <-ctx.Done():
				return "", time.Time{}, ctx.Err()
			}
			switch n % 5 {
			case 1:
				return "", time.Time{}, errSealed
			case 2:
				panic(errSealed)
			case 3:
				runtime.Goexit()
			}
			return fmt.Sprintf("token-%d", n), time.Now().Add(time.Duration(n%40) * time.Second), nil
		})
		var got atomic.Int32
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				for range 50 {
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i)*time.Second)
					token, err := c.Get(ctx)
					cancel()
					if err == nil {
						got.Add(1)
					}
					if i%8 == 0 {
						c.Drop(func(held string) bool { return held == token })
					}
					time.Sleep(time.Duration(i%5) * 700 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		assert.Positive(t, got.Load())
		assert.Greater(t, fetched.Load(), int32(5))
	})
}

func TestGetAllocatesNothing(t *testing.T) {
	c := New((&numbered{life: time.Hour}).fetch)
	ctx := context.Background()
	_, err := c.Get(ctx)
	require.NoError(t, err)
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = c.Get(ctx) }))
}

func BenchmarkGet(b *testing.B) {
	c := New((&numbered{life: time.Hour}).fetch)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Get(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
