package apig

import (
	"context"
	"errors"
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

// is asserts which token a request gets, and that it gets it at once.
func is(t *testing.T, want string, auth Authenticator) {
	t.Helper()
	start := time.Now()
	token, err := authenticated(context.Background(), auth)
	require.NoError(t, err)
	assert.Equal(t, want, token)
	assert.Zero(t, time.Since(start))
}

// A token is renewed five minutes before its end, a short-lived one when a
// fifth of its life is left.
func TestTokenRenewal(t *testing.T) {
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
				auth := TokenAuth(source)
				is(t, "token-1", auth)
				time.Sleep(tt.renewed - 1)
				is(t, "token-1", auth)
				time.Sleep(time.Nanosecond)
				is(t, "token-2", auth)
				time.Sleep(tt.renewed - 1)
				is(t, "token-2", auth)
				time.Sleep(time.Nanosecond)
				is(t, "token-3", auth)
				assert.EqualValues(t, 3, source.fetched.Load())
			})
		})
	}
}

func TestTokenWithoutEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &numbered{}
		auth := TokenAuth(source)
		is(t, "token-1", auth)
		time.Sleep(10 * 365 * 24 * time.Hour)
		is(t, "token-1", auth)
	})
}

// A token that is dead on arrival is used, as the clocks may disagree, but not
// kept.
func TestTokenExpiredOnArrival(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		auth := TokenAuth(&numbered{life: -time.Second})
		is(t, "token-1", auth)
		is(t, "token-2", auth)
	})
}

// All who have no token wait for one fetch.
func TestTokenOneFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetched, under atomic.Int32
		auth := TokenAuth(sourceFunc(func(context.Context) (Token, error) {
			assert.EqualValues(t, 1, under.Add(1), "one at a time")
			defer under.Add(-1)
			fetched.Add(1)
			time.Sleep(3 * time.Second)
			return Token{Value: "shared", Expiry: time.Now().Add(time.Hour)}, nil
		}))
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				time.Sleep(time.Duration(i) * 50 * time.Millisecond)
				token, err := authenticated(context.Background(), auth)
				assert.NoError(t, err)
				assert.Equal(t, "shared", token)
				assert.Equal(t, 3*time.Second, time.Since(start))
			}()
		}
		wg.Wait()
		assert.EqualValues(t, 1, fetched.Load())
	})
}

// A fetch that fails fails for all who wait for it, and the next one starts
// anew.
func TestTokenFetchFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vault := errors.New("the vault is sealed")
		var fetched atomic.Int32
		auth := TokenAuth(sourceFunc(func(context.Context) (Token, error) {
			time.Sleep(time.Second)
			if fetched.Add(1) == 1 {
				return Token{}, vault
			}
			return Token{Value: "token"}, nil
		}))
		var wg sync.WaitGroup
		for range 5 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				_, err := authenticated(context.Background(), auth)
				assert.ErrorIs(t, err, vault)
			}()
		}
		wg.Wait()
		token, err := authenticated(context.Background(), auth)
		require.NoError(t, err)
		assert.Equal(t, "token", token)
		assert.EqualValues(t, 2, fetched.Load())
	})
}

// Who waits leaves when their own context ends, even who has started the fetch,
// which goes on for the others.
func TestTokenWaitersLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetched atomic.Int32
		auth := TokenAuth(sourceFunc(func(ctx context.Context) (Token, error) {
			fetched.Add(1)
			select {
			case <-time.After(10 * time.Second):
				return Token{Value: "token"}, nil
			case <-ctx.Done():
				return Token{}, ctx.Err()
			}
		}))
		wait := func(ctx context.Context, after time.Duration, want error) func() {
			return func() {
				start := time.Now()
				_, err := authenticated(ctx, auth)
				assert.ErrorIs(t, err, want)
				assert.Equal(t, after, time.Since(start))
			}
		}
		first, cancelFirst := context.WithTimeout(context.Background(), time.Second)
		defer cancelFirst()
		second, cancelSecond := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		run := func(f func()) {
			wg.Add(1)
			go func() { defer wg.Done(); f() }()
			synctest.Wait()
		}
		run(wait(first, time.Second, context.DeadlineExceeded)) // it starts the fetch
		run(wait(second, 2*time.Second, context.Canceled))
		run(wait(context.Background(), 10*time.Second, nil))
		time.Sleep(2 * time.Second)
		cancelSecond()
		wg.Wait()
		assert.EqualValues(t, 1, fetched.Load())
		is(t, "token", auth)
	})
}

// When nobody waits any more the fetch is cancelled; who comes then starts
// another, without waiting for the end of that one.
func TestTokenLastWaiterLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var cancelled []time.Duration
		auth := TokenAuth(sourceFunc(func(ctx context.Context) (Token, error) {
			if time.Since(start) >= 2*time.Second {
				return Token{Value: "of-the-second-fetch"}, nil
			}
			<-ctx.Done()
			cancelled = append(cancelled, time.Since(start))
			time.Sleep(time.Minute) // it is in no hurry
			return Token{Value: "too-late"}, nil
		}))
		var wg sync.WaitGroup
		for _, d := range []time.Duration{time.Second, 2 * time.Second} {
			wg.Add(1)
			go func() {
				defer wg.Done()
				ctx, cancel := context.WithTimeout(context.Background(), d)
				defer cancel()
				_, err := authenticated(ctx, auth)
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Equal(t, d, time.Since(start))
			}()
		}
		wg.Wait()
		is(t, "of-the-second-fetch", auth)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		assert.Equal(t, []time.Duration{2 * time.Second}, cancelled)
		is(t, "of-the-second-fetch", auth)
	})
}

// A source that never answers holds nobody for ever.
func TestTokenFetchLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := authenticated(context.Background(), TokenAuth(sourceFunc(func(ctx context.Context) (Token, error) {
			<-ctx.Done()
			return Token{}, ctx.Err()
		})))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 2*time.Minute, time.Since(start))
	})
}

// The time of an attempt includes that of its token.
func TestTokenWithinAttemptTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c, mt := newTest(t, func(cfg *Config) { cfg.AttemptTimeout = 7 * time.Second },
			authBy(TokenAuth(sourceFunc(func(ctx context.Context) (Token, error) {
				<-ctx.Done()
				return Token{}, ctx.Err()
			}))))
		record, err := c.Publish(context.Background(), testRequest)
		assert.Nil(t, record)
		require.Error(t, err)
		assert.NotErrorIs(t, err, ErrOutcomeUnknown, "nothing was sent")
		assert.Zero(t, mt.GetTotalCallCount())
		assert.Equal(t, 4*7*time.Second, time.Since(start).Truncate(time.Second), "each attempt took as long as it may")
		synctest.Wait()
	})
}

// A source that keeps its tokens itself gives one out that is due already. It
// is not asked by every call.
func TestTokenOfCachingSource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fetched := 0
		token := Token{Value: "kept", Expiry: time.Now().Add(time.Hour)}
		auth := TokenAuth(sourceFunc(func(context.Context) (Token, error) {
			fetched++
			return token, nil
		}))
		is(t, "kept", auth)
		time.Sleep(59 * time.Minute)
		for range 60 { // seconds
			is(t, "kept", auth)
			is(t, "kept", auth)
			time.Sleep(time.Second)
		}
		assert.Equal(t, 3, fetched, "at first, and every thirty seconds of the last minute")
	})
}

// faulty is a source whose first token lives for an hour, and whose later
// fetches are the test's.
type faulty struct {
	fetched atomic.Int32
	renew   func(context.Context) (Token, error)
}

func (s *faulty) Token(ctx context.Context) (Token, error) {
	if s.fetched.Add(1) == 1 {
		return Token{Value: "living", Expiry: time.Now().Add(time.Hour)}, nil
	}
	return s.renew(ctx)
}

// A living token serves on while it cannot be renewed, which is tried every
// thirty seconds.
func TestTokenEarlyRenewalFails(t *testing.T) {
	t.Parallel()
	vault := errors.New("the vault is sealed")
	for name, renew := range map[string]func(context.Context) (Token, error){
		"an error":         func(context.Context) (Token, error) { return Token{}, vault },
		"an invalid token": func(context.Context) (Token, error) { return Token{Value: "two words"}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				source := &faulty{renew: renew}
				auth := TokenAuth(source)
				is(t, "living", auth)
				time.Sleep(55*time.Minute - 1)
				is(t, "living", auth)
				assert.EqualValues(t, 1, source.fetched.Load())
				time.Sleep(time.Nanosecond)
				for want := int32(2); want <= 11; want++ { // five minutes
					is(t, "living", auth)
					is(t, "living", auth)
					assert.Equal(t, want, source.fetched.Load())
					time.Sleep(30*time.Second - 1)
					is(t, "living", auth)
					assert.Equal(t, want, source.fetched.Load())
					time.Sleep(time.Nanosecond)
				}
				_, err := authenticated(context.Background(), auth)
				assert.Error(t, err, "now it has ended")
				_, err = authenticated(context.Background(), auth)
				assert.Error(t, err)
				assert.EqualValues(t, 13, source.fetched.Load(), "without a token there is no pause")
			})
		})
	}
}

// An early renewal takes no more than ten seconds of one call, and nothing of
// the others.
func TestTokenEarlyRenewalIsSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var cancelled atomic.Int32
		source := &faulty{renew: func(ctx context.Context) (Token, error) {
			<-ctx.Done()
			cancelled.Add(1)
			return Token{}, ctx.Err()
		}}
		auth := TokenAuth(source)
		is(t, "living", auth)
		time.Sleep(55 * time.Minute)

		var wg sync.WaitGroup
		wg.Add(1)
		go func() {
			defer wg.Done()
			start := time.Now()
			token, err := authenticated(context.Background(), auth)
			assert.NoError(t, err)
			assert.Equal(t, "living", token)
			assert.Equal(t, 10*time.Second, time.Since(start))
		}()
		synctest.Wait()
		assert.EqualValues(t, 2, source.fetched.Load())
		is(t, "living", auth)
		time.Sleep(9 * time.Second)
		is(t, "living", auth)
		wg.Wait()
		synctest.Wait()
		assert.EqualValues(t, 2, source.fetched.Load())
		assert.EqualValues(t, 1, cancelled.Load())
		is(t, "living", auth)
	})
}

// An early renewal that goes well in its time serves who asked for it.
func TestTokenEarlyRenewalTakesAMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &faulty{renew: func(context.Context) (Token, error) {
			time.Sleep(9 * time.Second)
			return Token{Value: "fresh", Expiry: time.Now().Add(time.Hour)}, nil
		}}
		auth := TokenAuth(source)
		is(t, "living", auth)
		time.Sleep(55 * time.Minute)
		token, err := authenticated(context.Background(), auth)
		require.NoError(t, err)
		assert.Equal(t, "fresh", token)
		is(t, "fresh", auth)
		assert.EqualValues(t, 2, source.fetched.Load())
	})
}

// Who asked for the early renewal and ends before it gets the living token:
// what ends their call is not for the credentials to say.
func TestTokenEarlyRenewalCallerEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		source := &faulty{renew: func(ctx context.Context) (Token, error) {
			<-ctx.Done()
			return Token{}, ctx.Err()
		}}
		auth := TokenAuth(source)
		is(t, "living", auth)
		time.Sleep(55 * time.Minute)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		token, err := authenticated(ctx, auth)
		require.NoError(t, err)
		assert.Equal(t, "living", token)
		assert.Equal(t, time.Second, time.Since(start))
		synctest.Wait()
	})
}

// A rejected token is dropped at once, pause or no pause.
func TestTokenRejectedAfterFailedRenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fail := true
		source := &faulty{renew: func(context.Context) (Token, error) {
			if fail {
				return Token{}, errors.New("the vault is sealed")
			}
			return Token{Value: "fresh", Expiry: time.Now().Add(time.Hour)}, nil
		}}
		c, mt := newTest(t, authBy(TokenAuth(source)))
		tokens := tokensSent(mt, respondJSON(201, publishedBody), respondJSON(201, publishedBody),
			respondJSON(401, tokenBody), respondJSON(201, publishedBody))
		publish := func() {
			_, err := c.Publish(context.Background(), testRequest)
			require.NoError(t, err)
		}
		publish()
		time.Sleep(56 * time.Minute)
		publish()
		fail = false
		publish()
		assert.Equal(t, []string{"living", "living", "living", "fresh"}, *tokens)
	})
}
