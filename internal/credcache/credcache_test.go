package credcache

import (
	"cmp"
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

// rig is a cache of a source that gives its answers in turn, the last one again and again.
type rig struct {
	*Cache[string]
	t       *testing.T
	answers []answer
	asked   atomic.Int32
	under   atomic.Int32 // way, now
	most    atomic.Int32 // at once
}

func newRig(t *testing.T, answers ...answer) *rig {
	r := &rig{t: t, answers: answers}
	r.Cache = New(r.fetch, func(err error) bool { return errors.Is(err, errRefused) })
	return r
}

func (r *rig) fetch(ctx context.Context) (string, time.Time, error) {
	r.most.Store(max(r.most.Load(), r.under.Add(1)))
	defer r.under.Add(-1)
	return r.answers[min(int(r.asked.Add(1)), len(r.answers))-1](ctx)
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

const forEver = time.Duration(1 << 62)

var hung = slow(forEver, nil)

// call asserts what one call gets, a token or an error, and how long it takes. Its context
// ends after so much patience.
func (r *rig) call(patience time.Duration, want any, takes time.Duration) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	start := time.Now()
	token, err := r.Get(ctx)
	if err != nil {
		assert.Equal(r.t, want, err, "the error itself")
	} else {
		assert.Equal(r.t, want, token)
	}
	assert.Equal(r.t, takes, time.Since(start))
}

// then waits, and asserts what a call gets without a delay, and how often the source was
// asked until then.
func (r *rig) then(wait time.Duration, want any, asked int) {
	r.t.Helper()
	time.Sleep(wait)
	r.call(forEver, want, 0)
	assert.EqualValues(r.t, asked, r.asked.Load(), "asked")
}

func (r *rig) drop(token string) {
	r.Drop(func(held string) bool { return held == token })
}

// due is a cache whose credentials, "valid", are due for renewal, five minutes before their
// end. Then come the answers.
func due(t *testing.T, answers ...answer) *rig {
	r := newRig(t, append([]answer{gives("valid", time.Hour)}, answers...)...)
	r.then(0, "valid", 1)
	r.then(55*time.Minute-1, "valid", 1)
	time.Sleep(time.Nanosecond)
	return r
}

func virtually(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, test)
	})
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
			r := newRig(t, gives("1", life), gives("2", life))
			r.then(0, "1", 1)
			r.then(renewed-1, "1", 1)
			r.then(1, "2", 2)
		})
	}
	virtually(t, "no end", func(t *testing.T) {
		r := newRig(t, gives("1", 0))
		r.then(0, "1", 1)
		r.then(10*365*24*time.Hour, "1", 1)
	})
	virtually(t, "ended on arrival", func(t *testing.T) { // the clocks may differ
		r := newRig(t, gives("1", -time.Second), gives("2", -time.Second))
		r.then(0, "1", 1)
		r.then(0, "2", 2)
	})
	virtually(t, "ended on renewal", func(t *testing.T) {
		r := due(t, gives("ended", -time.Second))
		r.then(0, "ended", 2)
		r.then(0, "valid", 2)
	})
	virtually(t, "due on arrival", func(t *testing.T) { // the source has a cache of its own
		end := time.Now().Add(time.Hour)
		r := newRig(t, func(context.Context) (string, time.Time, error) { return "kept", end, nil })
		r.then(0, "kept", 1)
		r.then(59*time.Minute, "kept", 2)
		r.then(48*time.Second, "kept", 3)
		r.then(10*time.Second, "kept", 3) // due again, and in a pause
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
		"credentials":         {gives("shared", time.Hour), "shared", "<nil>"},
		"an error":            {failsWith(errSealed), "", "the vault is sealed"},
		"a panic with a text": {func(context.Context) (string, time.Time, error) { panic("MIIQ") }, "", "the source of the credentials panicked with a value of type string"},
		"the end of its goroutine": {
			func(context.Context) (string, time.Time, error) { runtime.Goexit(); return "", time.Time{}, nil }, "", "the source of the credentials ended its goroutine",
		},
	} {
		virtually(t, name, func(t *testing.T) {
			r := newRig(t, slow(3*time.Second, tt.answer), gives("next", 0))
			start := time.Now()
			together(50, func(i int) {
				time.Sleep(time.Duration(i) * 50 * time.Millisecond)
				token, err := r.Get(context.Background())
				assert.Equal(t, []string{tt.token, tt.err}, []string{token, fmt.Sprint(err)})
				assert.Equal(t, 3*time.Second, time.Since(start))
			})
			assert.EqualValues(t, 1, r.asked.Load())
			r.call(forEver, cmp.Or(tt.token, "next"), 0)
		})
	}
}

// A source that was refused is not asked for a minute: every call gets the same error, and
// credentials that are still valid stay in use. Dropping them changes nothing of that.
func TestRefusal(t *testing.T) {
	virtually(t, "without credentials", func(t *testing.T) {
		refused := fmt.Errorf("IAM: %w", errRefused)
		r := newRig(t, slow(time.Second, failsWith(refused)), failsWith(refused), failsWith(errSealed), failsWith(errSealed), gives("token", 0))
		together(32, func(int) { r.call(forEver, refused, time.Second) })
		r.then(0, refused, 1)
		r.then(time.Minute-1, refused, 1)
		time.Sleep(time.Nanosecond)
		together(32, func(int) { r.then(0, refused, 2) })
		r.then(time.Minute, errSealed, 3) // which is no refusal
		r.then(0, errSealed, 4)
		r.then(0, "token", 5)
	})
	virtually(t, "while credentials are valid", func(t *testing.T) {
		r := due(t, failsWith(errRefused), failsWith(errRefused), gives("fresh", 0))
		r.then(0, "valid", 2)
		r.then(time.Minute-1, "valid", 2)
		r.then(1, "valid", 3)
		r.drop("valid")
		r.then(0, errRefused, 3)
		r.call(0, context.DeadlineExceeded, 0)
		r.then(time.Minute, "fresh", 4)
	})
	virtually(t, "of an abandoned fetch", func(t *testing.T) {
		r := newRig(t, stubborn(2*time.Second, failsWith(errRefused)), gives("token", 0))
		r.call(time.Second, context.DeadlineExceeded, time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		r.then(0, errRefused, 1)
	})
}

// A waiting call leaves when its own context ends, even the one that has started the fetch.
// The fetch goes on for the others, and is cancelled when the last one leaves: the next call
// starts another without waiting for its end, and its late result is not kept.
func TestWaitersLeave(t *testing.T) {
	virtually(t, "one by one", func(t *testing.T) {
		r := newRig(t, slow(10*time.Second, gives("token", 0)))
		together(3, func(i int) {
			if i == 2 {
				r.call(forEver, "token", 10*time.Second)
				return
			}
			patience := time.Duration(i+1) * time.Second
			r.call(patience, context.DeadlineExceeded, patience)
		})
		r.then(0, "token", 1)
	})
	virtually(t, "all", func(t *testing.T) {
		var cancelled time.Duration
		start := time.Now()
		r := newRig(t, func(ctx context.Context) (string, time.Time, error) {
			<-ctx.Done()
			cancelled = time.Since(start)
			time.Sleep(time.Minute) // it is in no hurry
			return "too late", time.Time{}, nil
		}, gives("of the second fetch", 0))
		together(2, func(i int) {
			patience := time.Duration(i+1) * time.Second
			r.call(patience, context.DeadlineExceeded, patience)
		})
		r.then(0, "of the second fetch", 2)
		r.then(2*time.Minute, "of the second fetch", 2)
		assert.Equal(t, 2*time.Second, cancelled)
	})
	virtually(t, "with an ended context", func(t *testing.T) {
		r := newRig(t, gives("1", time.Hour), gives("2", time.Hour))
		r.call(0, context.DeadlineExceeded, 0)
		r.then(0, "1", 1)
		time.Sleep(55 * time.Minute)
		r.call(0, "1", 0)
		r.then(0, "2", 2) // no pause has begun
	})
}

// The context of a fetch ends after two minutes. A source that does not heed it holds only
// the calls that wait for it already.
func TestFetchLimit(t *testing.T) {
	virtually(t, "it heeds its context", func(t *testing.T) {
		newRig(t, hung).call(forEver, context.DeadlineExceeded, 2*time.Minute)
	})
	virtually(t, "it does not", func(t *testing.T) {
		r := newRig(t, stubborn(time.Hour, gives("late", 0)), gives("second", 0))
		together(2, func(i int) {
			if i == 0 {
				r.call(forEver, "late", time.Hour)
				return
			}
			r.then(2*time.Minute+time.Second, "second", 2) // past the end of the context
		})
		r.then(0, "second", 2)
	})
}

// Valid credentials stay in use while they cannot be renewed, which is tried every thirty
// seconds. When they have ended there is no pause.
func TestEarlyRenewalFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := due(t, failsWith(errSealed))
		for asked := 2; asked <= 11; asked++ { // five minutes
			r.then(0, "valid", asked)
			r.then(30*time.Second-1, "valid", asked)
			time.Sleep(time.Nanosecond)
		}
		r.then(0, errSealed, 12)
		r.then(0, errSealed, 13)
	})
}

// An early renewal takes ten seconds of one call at most, and nothing of the others. Who has
// no credentials joins it and keeps it alive.
func TestEarlyRenewalIsSlow(t *testing.T) {
	virtually(t, "too slow", func(t *testing.T) {
		r := due(t, hung)
		together(2, func(i int) { r.call(forEver, "valid", []time.Duration{10 * time.Second, 0}[i]) })
		synctest.Wait()
		assert.Zero(t, r.under.Load(), "it was cancelled")
		r.then(0, "valid", 2)
	})
	virtually(t, "the caller ends", func(t *testing.T) {
		due(t, hung).call(time.Second, "valid", time.Second)
	})
	virtually(t, "joined", func(t *testing.T) {
		r := due(t, slow(20*time.Second, gives("fresh", time.Hour)))
		together(2, func(i int) { // one that renews and one without credentials
			if i == 1 {
				r.drop("valid")
			}
			r.call(forEver, "fresh", 20*time.Second)
		})
		r.then(0, "fresh", 2)
	})
	virtually(t, "dropped in the meantime", func(t *testing.T) {
		r := due(t, slow(5*time.Second, failsWith(errSealed)), gives("fresh", time.Hour))
		later := time.AfterFunc(time.Second, func() { r.drop("valid") })
		defer later.Stop()
		r.call(forEver, "fresh", 5*time.Second)
		r.then(0, "fresh", 3)
	})
}

// A rejection is about the token that was sent, not about the one that has replaced it.
// Rejected credentials are dropped at once, also in the pause after a failed renewal.
func TestDrop(t *testing.T) {
	virtually(t, "only the rejected", func(t *testing.T) {
		r := newRig(t, gives("1", time.Hour), gives("2", time.Hour))
		r.Drop(func(string) bool { t.Error("there is nothing to drop"); return true })
		r.then(0, "1", 1)
		r.drop("1")
		r.then(0, "2", 2)
		r.drop("1")
		r.then(0, "2", 2)
	})
	virtually(t, "in a pause", func(t *testing.T) {
		r := due(t, failsWith(errSealed), gives("fresh", time.Hour))
		r.then(0, "valid", 2)
		r.drop("valid")
		r.then(0, "fresh", 3)
	})
}

// The context of a fetch has the values of the call that started it, such as a trace, and
// ends with the fetch.
func TestSourceContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	var of context.Context
	r := newRig(t, func(ctx context.Context) (string, time.Time, error) {
		of = ctx
		return fmt.Sprint(ctx.Value(key{})), time.Time{}, ctx.Err()
	})
	token, err := r.Get(context.WithValue(context.Background(), key{}, "trace"))
	require.NoError(t, err)
	assert.Equal(t, "trace", token)
	assert.ErrorIs(t, of.Err(), context.Canceled)
}

// Many calls, sources that fail in every way, drops and short lives at once, for the race
// detector. No call hangs, and one fetch runs at a time.
func TestRace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var fetched atomic.Int32
		r := newRig(t, func(ctx context.Context) (string, time.Time, error) {
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
					token, _ := r.Get(ctx)
					cancel()
					if i%8 == 0 {
						r.drop(token)
					}
					time.Sleep(time.Duration(i%5) * 700 * time.Millisecond)
				}
			})
		}
		wg.Wait()
		assert.EqualValues(t, 1, r.most.Load())
	})
}

func TestGetAllocatesNothing(t *testing.T) {
	r := newRig(t, gives("token", time.Hour))
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = r.Get(t.Context()) }))
	assert.EqualValues(t, 1, r.asked.Load())
}
