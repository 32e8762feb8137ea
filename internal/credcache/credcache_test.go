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

// These tests run in virtual time: waiting takes no time, and every moment is exact.

var (
	errSealed  = errors.New("the vault is sealed")
	errRefused = errors.New("wrong password")
)

type answer = func(context.Context) (string, time.Time, error)

// source gives its answers in turn, the last one again and again.
type source struct {
	answers []answer
	asked   atomic.Int32
	under   atomic.Int32
	most    atomic.Int32 // at once
}

func (s *source) fetch(ctx context.Context) (string, time.Time, error) {
	s.most.Store(max(s.most.Load(), s.under.Add(1)))
	defer s.under.Add(-1)
	return s.answers[min(int(s.asked.Add(1)), len(s.answers))-1](ctx)
}

// cached is a cache of a source with these answers.
func cached(answers ...answer) (*Cache[string], *source) {
	s := &source{answers: answers}
	return New(s.fetch, func(err error) bool { return errors.Is(err, errRefused) }), s
}

// gives is an answer with a life; 0 means that it does not end.
func gives(token string, life time.Duration) answer {
	return func(context.Context) (string, time.Time, error) {
		if life == 0 {
			return token, time.Time{}, nil
		}
		return token, time.Now().Add(life), nil
	}
}

func failsWith(err error) answer {
	return func(context.Context) (string, time.Time, error) { return "", time.Time{}, err }
}

// slow heeds its context; stubborn does not.
func slow(d time.Duration, then answer) answer {
	return func(ctx context.Context) (string, time.Time, error) {
		select {
		case <-time.After(d):
			return then(ctx)
		case <-ctx.Done():
			return "", time.Time{}, ctx.Err()
		}
	}
}

func stubborn(d time.Duration, then answer) answer {
	return func(ctx context.Context) (string, time.Time, error) {
		time.Sleep(d)
		return then(ctx)
	}
}

var hung = slow(1<<62, nil)

// want asserts the token or the error of one call, and how long it takes.
func want(t *testing.T, c *Cache[string], ctx context.Context, token string, err error, after time.Duration) {
	t.Helper()
	start := time.Now()
	got, gotErr := c.Get(ctx)
	assert.Equal(t, token, got)
	assert.Equal(t, err, gotErr, "the error itself")
	assert.Equal(t, after, time.Since(start))
}

func holds(t *testing.T, token string, c *Cache[string]) {
	t.Helper()
	want(t, c, context.Background(), token, nil, 0)
}

func fails(t *testing.T, err error, c *Cache[string]) {
	t.Helper()
	want(t, c, context.Background(), "", err, 0)
}

func virtually(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, test)
	})
}

// due is a cache whose credentials, "valid", are due for renewal, five minutes before their
// end. Then come the answers.
func due(t *testing.T, answers ...answer) (*Cache[string], *source) {
	c, s := cached(append([]answer{gives("valid", time.Hour)}, answers...)...)
	holds(t, "valid", c)
	time.Sleep(55*time.Minute - 1)
	holds(t, "valid", c)
	require.EqualValues(t, 1, s.asked.Load())
	time.Sleep(time.Nanosecond)
	return c, s
}

// together makes calls at once and waits for their ends.
func together(n int, call func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { call(i) })
		synctest.Wait() // so that they come in this order
	}
	wg.Wait()
}

// Credentials are renewed five minutes before their end, or when a fifth of a short life is
// left. Those without an end are kept.
func TestRenewal(t *testing.T) {
	for life, renewed := range map[time.Duration]time.Duration{
		24 * time.Hour: 24*time.Hour - 5*time.Minute, time.Hour: 55 * time.Minute, 25 * time.Minute: 20 * time.Minute,
		10 * time.Minute: 8 * time.Minute, time.Minute: 48 * time.Second,
	} {
		virtually(t, life.String(), func(t *testing.T) {
			c, _ := cached(gives("1", life), gives("2", life), gives("3", life))
			holds(t, "1", c)
			for _, next := range []string{"1", "2"} {
				time.Sleep(renewed - 1)
				holds(t, next, c)
				time.Sleep(time.Nanosecond)
				holds(t, map[string]string{"1": "2", "2": "3"}[next], c)
			}
		})
	}
	virtually(t, "no end", func(t *testing.T) {
		c, _ := cached(gives("1", 0), gives("2", 0))
		holds(t, "1", c)
		time.Sleep(10 * 365 * 24 * time.Hour)
		holds(t, "1", c)
	})
	virtually(t, "ended on arrival", func(t *testing.T) { // the clocks may differ
		c, _ := cached(gives("1", -time.Second), gives("2", -time.Second))
		holds(t, "1", c)
		holds(t, "2", c)
	})
	virtually(t, "due on arrival", func(t *testing.T) { // the source has a cache of its own
		end := time.Now().Add(time.Hour)
		c, s := cached(func(context.Context) (string, time.Time, error) { return "kept", end, nil })
		holds(t, "kept", c)
		time.Sleep(59 * time.Minute)
		for range 60 {
			holds(t, "kept", c)
			holds(t, "kept", c)
			time.Sleep(time.Second)
		}
		assert.EqualValues(t, 3, s.asked.Load(), "at first, and every thirty seconds of the last minute")
	})
	virtually(t, "ended on renewal", func(t *testing.T) {
		c, s := due(t, func(context.Context) (string, time.Time, error) { return "ended", time.Now(), nil })
		holds(t, "ended", c)
		holds(t, "valid", c)
		assert.EqualValues(t, 2, s.asked.Load())
	})
}

// All who have no credentials wait for one fetch and share its result or its error. After an
// error the next call asks again.
func TestOneFetch(t *testing.T) {
	for name, tt := range map[string]struct {
		answer answer
		token  string
		err    string
	}{
		"credentials":         {gives("shared", time.Hour), "shared", ""},
		"an error":            {failsWith(errSealed), "", "the vault is sealed"},
		"a panic with a text": {func(context.Context) (string, time.Time, error) { panic("MIIQ") }, "", "the source of the credentials panicked with a value of type string"},
		"with an error":       {func(context.Context) (string, time.Time, error) { panic(errSealed) }, "", "the source of the credentials panicked with a value of type *errors.errorString"},
		"the end of its goroutine": {
			func(context.Context) (string, time.Time, error) { runtime.Goexit(); return "", time.Time{}, nil }, "", "the source of the credentials ended its goroutine",
		},
	} {
		virtually(t, name, func(t *testing.T) {
			c, s := cached(slow(3*time.Second, tt.answer), gives("next", 0))
			start := time.Now()
			together(50, func(i int) {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond)
				token, err := c.Get(context.Background())
				assert.Equal(t, tt.token, token)
				if tt.err != "" {
					assert.EqualError(t, err, tt.err)
				}
				assert.Equal(t, 3*time.Second, time.Since(start))
			})
			assert.EqualValues(t, 1, s.asked.Load())
			if tt.err != "" {
				holds(t, "next", c)
			}
		})
	}
}

// A source that was refused is not asked for a minute: every call gets the same error, and
// credentials that are still valid stay in use. Dropping them changes nothing of that.
func TestRefusal(t *testing.T) {
	for _, calls := range []int{1, 32} {
		virtually(t, fmt.Sprint(calls), func(t *testing.T) {
			refused := fmt.Errorf("IAM: %w", errRefused)
			c, s := cached(slow(time.Second, failsWith(refused)), failsWith(refused), failsWith(errSealed), failsWith(errSealed), gives("token", 0))
			together(calls, func(int) { want(t, c, context.Background(), "", refused, time.Second) })
			for range calls {
				fails(t, refused, c)
			}
			time.Sleep(time.Minute - 1)
			fails(t, refused, c)
			assert.EqualValues(t, 1, s.asked.Load())
			time.Sleep(time.Nanosecond)
			together(calls, func(int) { fails(t, refused, c) })
			assert.EqualValues(t, 2, s.asked.Load())
			time.Sleep(time.Minute)
			fails(t, errSealed, c) // which is no refusal
			fails(t, errSealed, c)
			holds(t, "token", c)
		})
	}
	virtually(t, "while credentials are valid", func(t *testing.T) {
		c, s := due(t, failsWith(errRefused), failsWith(errRefused), gives("fresh", 0))
		holds(t, "valid", c)
		time.Sleep(time.Minute - 1)
		holds(t, "valid", c)
		assert.EqualValues(t, 2, s.asked.Load())
		time.Sleep(time.Nanosecond)
		holds(t, "valid", c)
		assert.EqualValues(t, 3, s.asked.Load())
		c.Drop(func(token string) bool { return token == "valid" })
		fails(t, errRefused, c)
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		want(t, c, ended, "", context.Canceled, 0)
		time.Sleep(time.Minute)
		holds(t, "fresh", c)
	})
	virtually(t, "of an abandoned fetch", func(t *testing.T) {
		c, s := cached(stubborn(2*time.Second, failsWith(errRefused)), gives("token", 0))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		want(t, c, ctx, "", context.DeadlineExceeded, time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		fails(t, errRefused, c)
		assert.EqualValues(t, 1, s.asked.Load())
	})
}

// A waiting call leaves when its own context ends, even the one that has started the fetch.
// The fetch goes on for the others, and is cancelled when the last one leaves: the next call
// starts another without waiting for its end, and its late result is not kept.
func TestWaitersLeave(t *testing.T) {
	virtually(t, "one by one", func(t *testing.T) {
		c, s := cached(slow(10*time.Second, gives("token", 0)))
		together(3, func(i int) {
			if i == 2 {
				want(t, c, context.Background(), "token", nil, 10*time.Second)
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i+1)*time.Second)
			defer cancel()
			want(t, c, ctx, "", context.DeadlineExceeded, time.Duration(i+1)*time.Second)
		})
		assert.EqualValues(t, 1, s.asked.Load())
		holds(t, "token", c)
	})
	virtually(t, "all", func(t *testing.T) {
		var cancelled time.Duration
		start := time.Now()
		c, _ := cached(func(ctx context.Context) (string, time.Time, error) {
			<-ctx.Done()
			cancelled = time.Since(start)
			time.Sleep(time.Minute) // it is in no hurry
			return "too late", time.Time{}, nil
		}, gives("of the second fetch", 0))
		together(2, func(i int) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(i+1)*time.Second)
			defer cancel()
			want(t, c, ctx, "", context.DeadlineExceeded, time.Duration(i+1)*time.Second)
		})
		holds(t, "of the second fetch", c)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		assert.Equal(t, 2*time.Second, cancelled)
		holds(t, "of the second fetch", c)
	})
	virtually(t, "with an ended context", func(t *testing.T) {
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		c, s := cached(gives("1", time.Hour), gives("2", time.Hour))
		want(t, c, ended, "", context.Canceled, 0)
		assert.Zero(t, s.asked.Load())
		holds(t, "1", c)
		time.Sleep(55 * time.Minute)
		want(t, c, ended, "1", nil, 0)
		assert.EqualValues(t, 1, s.asked.Load())
		holds(t, "2", c) // no pause has begun
	})
}

// The context of a fetch ends after two minutes. A source that does not heed it holds only
// the calls that wait for it already.
func TestFetchLimit(t *testing.T) {
	virtually(t, "it heeds its context", func(t *testing.T) {
		c, _ := cached(hung)
		want(t, c, context.Background(), "", context.DeadlineExceeded, 2*time.Minute)
	})
	virtually(t, "it does not", func(t *testing.T) {
		c, _ := cached(stubborn(time.Hour, gives("late", 0)), gives("second", 0))
		together(2, func(i int) {
			time.Sleep(time.Duration(i) * (2*time.Minute + time.Second)) // past the end of the context
			if i == 1 {
				holds(t, "second", c)
				return
			}
			want(t, c, context.Background(), "late", nil, time.Hour)
		})
		holds(t, "second", c)
	})
}

// Valid credentials stay in use while they cannot be renewed, which is tried every thirty
// seconds. When they have ended there is no pause.
func TestEarlyRenewalFails(t *testing.T) {
	for name, renew := range map[string]answer{
		"an error": failsWith(errSealed),
		"a panic":  func(context.Context) (string, time.Time, error) { panic(errSealed) },
	} {
		virtually(t, name, func(t *testing.T) {
			c, s := due(t, renew)
			for asked := int32(2); asked <= 11; asked++ { // five minutes
				for _, pause := range []time.Duration{0, 0, 30*time.Second - 1} {
					time.Sleep(pause)
					holds(t, "valid", c)
					assert.Equal(t, asked, s.asked.Load())
				}
				time.Sleep(time.Nanosecond)
			}
			for range 2 {
				_, err := c.Get(context.Background())
				assert.Error(t, err)
			}
			assert.EqualValues(t, 13, s.asked.Load())
		})
	}
}

// An early renewal takes ten seconds of one call at most, and nothing of the others. Who has
// no credentials joins it and keeps it alive.
func TestEarlyRenewalIsSlow(t *testing.T) {
	virtually(t, "too slow", func(t *testing.T) {
		c, s := due(t, hung)
		together(2, func(i int) {
			want(t, c, context.Background(), "valid", nil, map[int]time.Duration{0: 10 * time.Second}[i])
		})
		synctest.Wait()
		assert.Zero(t, s.under.Load(), "it was cancelled")
		holds(t, "valid", c)
		assert.EqualValues(t, 2, s.asked.Load())
	})
	virtually(t, "slow", func(t *testing.T) {
		c, s := due(t, slow(9*time.Second, gives("fresh", time.Hour)))
		want(t, c, context.Background(), "fresh", nil, 9*time.Second)
		holds(t, "fresh", c)
		assert.EqualValues(t, 2, s.asked.Load())
	})
	virtually(t, "the caller ends", func(t *testing.T) {
		c, _ := due(t, hung)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		want(t, c, ctx, "valid", nil, time.Second)
	})
	virtually(t, "joined", func(t *testing.T) {
		c, s := due(t, slow(20*time.Second, gives("fresh", time.Hour)))
		together(2, func(i int) { // one that renews and one without credentials
			if i == 1 {
				c.Drop(func(string) bool { return true })
			}
			want(t, c, context.Background(), "fresh", nil, 20*time.Second)
		})
		assert.EqualValues(t, 2, s.asked.Load())
	})
	for name, drop := range map[string]bool{"dropped in the meantime": true, "ended in the meantime": false} {
		virtually(t, name, func(t *testing.T) {
			c, s := due(t, slow(5*time.Second, failsWith(errSealed)), gives("fresh", time.Hour))
			if !drop {
				time.Sleep(5*time.Minute - time.Second)
			}
			together(2, func(i int) {
				switch {
				case i == 0:
					want(t, c, context.Background(), "fresh", nil, 5*time.Second)
				case drop:
					c.Drop(func(token string) bool { return token == "valid" })
				}
			})
			assert.EqualValues(t, 3, s.asked.Load())
		})
	}
}

// A rejection is about the token that was sent, not about the one that has replaced it.
// Rejected credentials are dropped at once, also in the pause after a failed renewal.
func TestDrop(t *testing.T) {
	virtually(t, "only the rejected", func(t *testing.T) {
		c, s := cached(gives("1", time.Hour), gives("2", time.Hour))
		first := func(token string) bool { return token == "1" }
		c.Drop(func(string) bool { t.Error("there is nothing to drop"); return true })
		holds(t, "1", c)
		c.Drop(first)
		holds(t, "2", c)
		c.Drop(first)
		holds(t, "2", c)
		assert.EqualValues(t, 2, s.asked.Load())
	})
	virtually(t, "in a pause", func(t *testing.T) {
		c, _ := due(t, failsWith(errSealed), gives("fresh", time.Hour))
		holds(t, "valid", c)
		c.Drop(func(token string) bool { return token == "valid" })
		holds(t, "fresh", c)
	})
}

// The context of a fetch has the values of the call that started it, such as a trace, and
// ends with the fetch.
func TestSourceContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	for _, failure := range []error{nil, errSealed} {
		var of context.Context
		c, _ := cached(func(ctx context.Context) (string, time.Time, error) {
			of = ctx
			return fmt.Sprint(ctx.Value(key{})), time.Time{}, errors.Join(failure, ctx.Err())
		})
		token, err := c.Get(context.WithValue(context.Background(), key{}, "trace"))
		require.ErrorIs(t, err, failure)
		if failure == nil {
			assert.Equal(t, "trace", token)
		}
		assert.ErrorIs(t, of.Err(), context.Canceled)
	}
}

// Many calls, sources that fail in every way, drops and short lives at once, for the race
// detector. No call hangs, and one fetch runs at a time.
func TestRace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetched, got atomic.Int32
		c, s := cached(func(ctx context.Context) (string, time.Time, error) {
			n := fetched.Add(1)
			answers := []answer{gives(fmt.Sprint(n), time.Duration(n%40+1)*time.Second), failsWith(errSealed), failsWith(errRefused),
				func(context.Context) (string, time.Time, error) { panic(errSealed) }}
			return slow(time.Duration(n%7)*time.Second, answers[n%4])(ctx)
		})
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
		assert.EqualValues(t, 1, s.most.Load())
	})
}

func TestGetAllocatesNothing(t *testing.T) {
	c, _ := cached(gives("token", time.Hour))
	_, err := c.Get(t.Context())
	require.NoError(t, err)
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = c.Get(t.Context()) }))
}
