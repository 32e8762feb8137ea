package apig

import (
	"context"
	"sync"
	"time"
)

// Times of the credential cache.
const (
	renewEarly   = 5 * time.Minute  // before the end
	renewPause   = 30 * time.Second // between early renewals
	renewPatient = 10 * time.Second // for an early renewal; the old credentials live
	fetchLimit   = 2 * time.Minute  // for any fetch, so that none outlives its callers for ever
)

// cache holds the credentials of one source. It is behind every Authenticator
// whose credentials end.
type cache[T any] struct {
	fetch func(context.Context) (T, time.Time, error)

	mu      sync.Mutex
	held    *credentials[T] // nil: none
	flight  *flight[T]      // the fetch under way; nil: none
	notTill time.Time       // no early renewal before
}

type credentials[T any] struct {
	value T
	renew time.Time // when to renew; zero: never
	end   time.Time // when they end; zero: never
}

// flight is one fetch and those who wait for it.
type flight[T any] struct {
	done    chan struct{} // closed when the result is in
	cancel  context.CancelFunc
	waiters int // under cache.mu; the last to leave cancels the fetch
	result  *credentials[T]
	err     error
}

func newCache[T any](fetch func(context.Context) (T, time.Time, error)) *cache[T] {
	return &cache[T]{fetch: fetch}
}

// get returns living credentials. Where they are due for renewal one caller
// fetches while the others go on with the old ones; where there are none all
// wait for one fetch, each until its own context ends.
func (c *cache[T]) get(ctx context.Context) (T, error) {
	c.mu.Lock()
	now := time.Now()
	held := c.held
	if held != nil && !held.end.IsZero() && !now.Before(held.end) {
		held = nil
	}
	if held != nil {
		due := !held.renew.IsZero() && !now.Before(held.renew) && !now.Before(c.notTill)
		if !due || c.flight != nil {
			c.mu.Unlock()
			return held.value, nil
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, renewPatient)
		defer cancel()
		c.notTill = now.Add(renewPause)
	}
	f := c.join(ctx)
	c.mu.Unlock()

	fresh, err := c.wait(ctx, f)
	switch {
	case err == nil:
		return fresh.value, nil
	case held != nil:
		return held.value, nil
	}
	var none T
	return none, err
}

// join returns the fetch under way, and starts one if there is none. The fetch
// has its caller's values but not its end, since others may wait for it too.
// The caller holds c.mu.
func (c *cache[T]) join(ctx context.Context) *flight[T] {
	if c.flight == nil {
		fetchCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchLimit)
		c.flight = &flight[T]{done: make(chan struct{}), cancel: cancel}
		go c.run(fetchCtx, c.flight)
	}
	c.flight.waiters++
	return c.flight
}

func (c *cache[T]) run(ctx context.Context, f *flight[T]) {
	defer f.cancel()
	value, end, err := c.fetch(ctx)

	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		f.err = err
	} else {
		f.result = &credentials[T]{value: value, renew: renewAt(time.Now(), end), end: end}
	}
	if c.flight == f { // not abandoned meanwhile
		c.flight = nil
		if err == nil {
			c.held = f.result
		}
	}
	close(f.done)
}

func (c *cache[T]) wait(ctx context.Context, f *flight[T]) (*credentials[T], error) {
	select {
	case <-f.done:
		return f.result, f.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		f.cancel()
		if c.flight == f {
			c.flight = nil // who comes now starts anew
		}
	}
	return nil, ctx.Err()
}

// drop forgets the credentials if they still are the rejected ones.
func (c *cache[T]) drop(rejected func(T) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != nil && rejected(c.held.value) {
		c.held = nil
	}
}

// renewAt leaves credentials with a short life most of it.
func renewAt(now, end time.Time) time.Time {
	if end.IsZero() {
		return end
	}
	return end.Add(-min(renewEarly, end.Sub(now)/5))
}
