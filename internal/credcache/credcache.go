// Package credcache keeps credentials that end, such as tokens and temporary
// keys: it renews them before they end, has one fetch under way at a time, and
// goes on with living credentials when they cannot be renewed.
package credcache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// earlyRenewal is how long before their end credentials are renewed.
	// Those with a short life are renewed when a fifth of it is left.
	earlyRenewal = 5 * time.Minute

	// renewalPause is the least time from one early renewal to the next, so
	// that a source that fails, or that gives out what it has itself kept, is
	// not asked by every call.
	renewalPause = 30 * time.Second

	// renewalPatience is how long a call waits for an early renewal, which it
	// can do without. It is less than the pause, so that one call at a time waits.
	renewalPatience = 10 * time.Second

	// fetchLimit is the time that a source has for one fetch. Then its context
	// ends, and lateAnswer later nobody waits for it any more.
	fetchLimit = 2 * time.Minute
	lateAnswer = time.Second
)

var errGoexit = errors.New("the source of the credentials ended its goroutine without an answer")

func errLate() error {
	return fmt.Errorf("the source of the credentials did not answer within %v: %w", fetchLimit, context.DeadlineExceeded)
}

// Cache holds the credentials of one source. It is safe for concurrent use.
type Cache[T any] struct {
	source func(context.Context) (T, time.Time, error)

	mu          sync.Mutex
	held        *credentials[T] // nil: none
	inFlight    *fetch[T]       // nil: none
	nextRenewal time.Time       // no early renewal before
}

// credentials hold their value in a function, since fmt looks into a pointer
// in a struct with a verb that does not suit it, but never into a function.
type credentials[T any] struct {
	value func() T
	renew time.Time // zero: never
	end   time.Time // zero: never
}

// fetch is one question to the source, and those who wait for the answer.
type fetch[T any] struct {
	cancel  context.CancelFunc
	limit   *time.Timer
	waiters int // the last to leave cancels the fetch

	finished bool
	done     chan struct{} // closed when the result is in
	result   *credentials[T]
	err      error
}

// New makes a cache of what fetch returns: credentials and the time of their
// end, which is zero if they are not known to end.
//
// fetch runs on a goroutine of the cache. Its context has the values of the
// call that started it, and ends after two minutes or when the last call that
// waits for it has left. If fetch panics, or ends its goroutine with
// runtime.Goexit, all who wait get an error. That of a panic names the type of
// the panic's value and never the value, which may hold a credential.
func New[T any](fetch func(context.Context) (T, time.Time, error)) *Cache[T] {
	return &Cache[T]{source: fetch}
}

// Get returns living credentials. Where they are due for renewal, one caller
// fetches new ones, for at most ten seconds, while the others go on with the
// old ones; where there are none, all wait for one fetch, each until its own
// context ends. It returns the error of the fetch, or of a context that ended
// before it. Credentials that are past their end when they arrive are returned
// to those who have waited, as the clocks may disagree, but not kept.
func (c *Cache[T]) Get(ctx context.Context) (T, error) {
	c.mu.Lock()
	now := time.Now()
	held := c.held
	if held != nil && held.living(now) {
		if !held.due(now) || now.Before(c.nextRenewal) || ctx.Err() != nil {
			c.mu.Unlock()
			return held.value(), nil //nolint:nilerr // living credentials need no context
		}
		c.nextRenewal = now.Add(renewalPause)
		f := c.join(ctx)
		c.mu.Unlock()
		return c.renew(ctx, held, f)
	}
	if err := ctx.Err(); err != nil {
		c.mu.Unlock()
		var none T
		return none, err
	}
	f := c.join(ctx)
	c.mu.Unlock()
	return c.wait(ctx, f)
}

// renew waits for an early renewal, and falls back on the credentials that are
// held, unless they have ended or been dropped meanwhile.
func (c *Cache[T]) renew(ctx context.Context, held *credentials[T], f *fetch[T]) (T, error) {
	patient, cancel := context.WithTimeout(ctx, renewalPatience)
	defer cancel()
	fresh, err := c.wait(patient, f)
	if err == nil {
		return fresh, nil
	}
	c.mu.Lock()
	useful := c.held == held && held.living(time.Now())
	c.mu.Unlock()
	if useful {
		return held.value(), nil
	}
	return c.Get(ctx)
}

// join returns the fetch in flight, and starts one if there is none. The caller
// holds c.mu.
func (c *Cache[T]) join(ctx context.Context) *fetch[T] {
	if c.inFlight == nil {
		fetchCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchLimit)
		f := &fetch[T]{cancel: cancel, done: make(chan struct{})}
		f.limit = time.AfterFunc(fetchLimit+lateAnswer, func() { c.finish(f, nil, errLate()) })
		c.inFlight = f
		go c.run(fetchCtx, f)
	}
	c.inFlight.waiters++
	return c.inFlight
}

// run asks the source. It finishes the fetch in a deferred call, the only one
// that also runs after a panic or runtime.Goexit.
func (c *Cache[T]) run(ctx context.Context, f *fetch[T]) {
	var result *credentials[T]
	err := errGoexit
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the source of the credentials panicked with a value of type %T", v)
		}
		c.finish(f, result, err)
	}()
	value, end, failure := c.source(ctx)
	if err = failure; err == nil {
		result = newCredentials(value, end)
	}
}

// finish gives the result to all who wait. Only the first one of a fetch
// counts, and it is kept only if the fetch was not abandoned meanwhile.
func (c *Cache[T]) finish(f *fetch[T], result *credentials[T], err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.cancel()
	f.limit.Stop()
	if f.finished {
		return
	}
	f.finished, f.result, f.err = true, result, err
	if c.inFlight == f {
		c.inFlight = nil
		if err == nil && result.living(time.Now()) {
			c.held = result
		}
	}
	close(f.done)
}

// wait returns the result of a fetch, or the context's error if that ends
// first.
func (c *Cache[T]) wait(ctx context.Context, f *fetch[T]) (T, error) {
	var none T
	select {
	case <-f.done:
	case <-ctx.Done():
		c.leave(f)
		return none, ctx.Err()
	}
	if f.err != nil {
		return none, f.err
	}
	return f.result.value(), nil
}

// leave cancels a fetch that nobody waits for any more. Who comes then starts
// another one, without waiting for the end of this.
func (c *Cache[T]) leave(f *fetch[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiters--; f.waiters > 0 {
		return
	}
	f.cancel()
	if c.inFlight == f {
		c.inFlight = nil
	}
}

// Drop forgets the credentials that are held if rejected says so of them. It
// does not touch a fetch in flight. rejected must not use the cache.
func (c *Cache[T]) Drop(rejected func(T) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != nil && rejected(c.held.value()) {
		c.held = nil
	}
}

// newCredentials takes the monotonic reading off the end: that clock stands
// still while the machine sleeps, and the credentials end all the same.
func newCredentials[T any](value T, end time.Time) *credentials[T] {
	c := &credentials[T]{value: func() T { return value }}
	if !end.IsZero() {
		c.end = end.Round(0)
		c.renew = c.end.Add(-min(earlyRenewal, time.Until(c.end)/5))
	}
	return c
}

func (c *credentials[T]) living(now time.Time) bool { return c.end.IsZero() || now.Before(c.end) }

func (c *credentials[T]) due(now time.Time) bool { return !c.renew.IsZero() && !now.Before(c.renew) }
