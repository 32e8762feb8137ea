// Package credcache keeps credentials that end, such as tokens and temporary keys. It
// renews them before they end, runs one fetch at a time, and leaves a source alone for a
// minute after it was refused.
package credcache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	earlyRenewal    = 5 * time.Minute  // before their end credentials are renewed; a fifth of a short life
	renewalPatience = 10 * time.Second // how long one call waits for an early renewal
	renewalPause    = 30 * time.Second // between two early renewals; longer than the patience
	refusalPause    = time.Minute      // after a refusal: IAM locks a user after a few wrong passwords
	fetchLimit      = 2 * time.Minute  // for the context of one fetch
)

// Cache holds the credentials of one source. It is safe for concurrent use.
type Cache[T any] struct {
	source  func(context.Context) (T, time.Time, error)
	refused func(error) bool

	mu         sync.Mutex
	held       *credentials[T]
	inFlight   *fetch[T]
	refusal    error     // of the latest fetch; nil: it was not refused
	quietUntil time.Time // no early renewal before and, with a refusal, no fetch
}

// credentials hold their value in a function: fmt can print the contents of a pointer in a
// struct, but never those of a function.
type credentials[T any] struct {
	value      func() T
	renew, end time.Time
}

// fetch is one request to the source, and the calls that wait for it.
type fetch[T any] struct {
	ctx     context.Context
	cancel  context.CancelFunc
	waiters int           // the last one that leaves cancels the fetch
	done    chan struct{} // closed when the result or the error is set
	result  *credentials[T]
	err     error
}

// New makes a cache for source, which returns credentials and their end; a zero end means
// that they are not known to end. refused reports whether an error of source means that
// the service refused what source logs in with.
//
// source runs on a goroutine of the cache. Its context has the values of the call that
// started it, and ends after two minutes or when the last waiting call has left. If source
// panics, all waiting calls get an error with the type of the panic's value, and not the
// value, which may contain a credential.
func New[T any](source func(context.Context) (T, time.Time, error), refused func(error) bool) *Cache[T] {
	return &Cache[T]{source: source, refused: refused}
}

// Get returns valid credentials, or an error of the source or of ctx.
//
//   - Without credentials, all calls wait for one fetch, each until its own ctx ends.
//   - When they are due for renewal, one call fetches new ones and waits ten seconds at
//     most. The other calls get the old ones.
//   - For a minute after a refusal the source is not asked. Calls without valid
//     credentials get the same error.
//   - Credentials that have ended on arrival are returned to the waiting calls, since
//     clocks may differ, but not kept.
func (c *Cache[T]) Get(ctx context.Context) (T, error) {
	c.mu.Lock()
	now, held := time.Now(), c.held
	valid, quiet := held != nil && now.Before(held.end), now.Before(c.quietUntil)
	var err error
	switch {
	case valid && (quiet || now.Before(held.renew) || ctx.Err() != nil):
		c.mu.Unlock()
		return held.value(), nil
	case ctx.Err() != nil:
		err = ctx.Err()
	case quiet && c.refusal != nil:
		err = c.refusal
	}
	if err != nil {
		c.mu.Unlock()
		return *new(T), err
	}
	if valid {
		c.quietUntil = now.Add(renewalPause)
	}
	f := c.join(ctx)
	c.mu.Unlock()
	if !valid {
		return c.wait(ctx, f)
	}
	patient, cancel := context.WithTimeout(ctx, renewalPatience)
	defer cancel()
	fresh, err := c.wait(patient, f)
	if err != nil {
		return c.Get(ctx) // the held ones, if they are still valid
	}
	return fresh, nil
}

// join returns the fetch in flight, or starts one. It does not join a fetch whose context
// has ended: its source may never return. The caller holds c.mu.
func (c *Cache[T]) join(ctx context.Context) *fetch[T] {
	if c.inFlight == nil || c.inFlight.ctx.Err() != nil {
		f := &fetch[T]{done: make(chan struct{})}
		f.ctx, f.cancel = context.WithTimeout(context.WithoutCancel(ctx), fetchLimit)
		c.inFlight, c.refusal = f, nil
		go c.run(f)
	}
	c.inFlight.waiters++
	return c.inFlight
}

// run asks the source.
func (c *Cache[T]) run(f *fetch[T]) {
	var value T
	var end time.Time
	err := errors.New("the source of the credentials ended its goroutine")
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the source of the credentials panicked with a value of type %T", v)
		}
		c.finish(f, newCredentials(value, end), err)
	}()
	value, end, err = c.source(f.ctx)
}

// finish gives the result to all who wait, and keeps it unless the fetch was abandoned.
func (c *Cache[T]) finish(f *fetch[T], result *credentials[T], err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.cancel()
	f.result, f.err = result, err
	now := time.Now()
	if err != nil && c.refused(err) {
		c.refusal, c.quietUntil = err, now.Add(refusalPause)
	}
	if c.inFlight == f {
		c.inFlight = nil
		if err == nil && now.Before(result.end) {
			c.held = result
		}
	}
	close(f.done)
}

// wait returns the result of a fetch, or the error of a ctx that ends first. The last call
// that leaves abandons the fetch: the next one starts another without waiting for its end.
func (c *Cache[T]) wait(ctx context.Context, f *fetch[T]) (T, error) {
	select {
	case <-f.done:
		if f.err != nil {
			return *new(T), f.err
		}
		return f.result.value(), nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		f.cancel()
		if c.inFlight == f {
			c.inFlight = nil
		}
	}
	return *new(T), ctx.Err()
}

// Drop forgets the held credentials if rejected reports true for them. It does not touch a
// fetch in flight. rejected must not use the cache.
func (c *Cache[T]) Drop(rejected func(T) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != nil && rejected(c.held.value()) {
		c.held = nil
	}
}

// newCredentials removes the monotonic reading from the end: that clock stops while the
// machine is suspended, and the credentials end all the same.
func newCredentials[T any](value T, end time.Time) *credentials[T] {
	if end.IsZero() {
		end = time.Now().AddDate(100, 0, 0)
	}
	end = end.Round(0)
	return &credentials[T]{func() T { return value }, end.Add(-min(earlyRenewal, time.Until(end)/5)), end}
}
