package apig

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"
)

// operation is one method of the API as data: what goes over the wire, how a
// success is read, and what to do when nobody knows whether it was applied.
type operation[T any] struct {
	name  string // the method's, for errors and logs
	apiID string // or empty
	request

	// decode reads a success. Its error says why the answer cannot be read.
	decode func(*answer) (T, error)

	// settle finds out what became of an attempt whose outcome is unknown. It
	// is nil for an operation that only reads: that is simply repeated.
	settle func(context.Context, lost) settled[T]

	// forgive turns an error code that says "done already" into a success, when
	// it follows an attempt that may have done it. It may be nil.
	forgive func(Code) (T, bool)

	// attempts, if not zero, is how many to make instead of the policy's, and
	// renewals how many times to renew the credentials instead of once.
	attempts int
	renewals int
}

// call is the one way from a method to the wire and back: it attempts op until
// it succeeds, is known not to, or nothing more can be known.
func call[T any](ctx context.Context, c *Client, op operation[T]) (T, error) {
	var (
		none     T
		doubt    time.Time // start of the first attempt whose outcome was unknown
		open     error     // the latest of them, while it may have been applied
		last     error     // why the attempt before failed
		repeats  = cmp.Or(op.attempts, c.retry.MaxAttempts) - 1
		renewals = max(op.renewals, 1)
	)
	// giveUp returns err, which says that nothing was applied, unless an
	// earlier attempt may have been.
	giveUp := func(err error) (T, error) {
		if open != nil {
			return none, &unknownError{cause: open, why: err.Error(), ctx: ctx.Err()}
		}
		return none, err
	}
	for attempt := 1; ; attempt++ {
		value, failed := try(ctx, c, op, attempt)
		if failed == nil {
			return value, nil
		}
		found := classify(*failed)
		if found == renew && renewals > 0 && c.refresh(failed.request) {
			renewals--
			last = failed.err
			c.logRetry(ctx, op.name, op.apiID, attempt, failed.err, 0)
			continue
		}
		if found == final || found == renew {
			if !doubt.IsZero() && op.forgive != nil {
				if value, ok := op.forgive(failed.code); ok {
					return value, nil
				}
			}
			return giveUp(failed.err)
		}
		if found == unknown && op.settle != nil {
			if doubt.IsZero() {
				doubt = failed.start
			}
			s := op.settle(ctx, lostSince(doubt, *failed, c.retry.SettleWait))
			c.logSettled(ctx, op.name, op.apiID, attempt, failed.err, s.standing, s.why)
			switch s.standing {
			case applied:
				return s.value, nil
			case gone:
				return none, s.err
			case doubtful:
				return none, &unknownError{cause: failed.err, why: s.why, ctx: cmp.Or(ctx.Err(), s.err)}
			case unsettled:
				open = failed.err
			case absent:
				open = nil
			}
		}
		if err := ctx.Err(); err != nil {
			if failed.status != 0 {
				last = failed.err
			}
			return giveUp(&interruptedError{subject(op.name, op.apiID), err, last})
		}
		wait := failed.after
		if wait == 0 {
			wait = c.retry.backoff(attempt, c.jitter)
		}
		if repeats--; repeats < 0 || wait > c.retry.MaxWait {
			return giveUp(failed.err)
		}
		c.logRetry(ctx, op.name, op.apiID, attempt, failed.err, wait)
		if err := sleep(ctx, failed.end.Add(wait)); err != nil {
			return giveUp(&interruptedError{subject(op.name, op.apiID), err, failed.err})
		}
		last = failed.err
	}
}

// try makes one attempt.
func try[T any](ctx context.Context, c *Client, op operation[T], attempt int) (T, *failure) {
	var none T
	f := &failure{start: time.Now()}
	report := func(err error) (T, *failure) {
		f.end = time.Now()
		f.err = err
		c.logAttempt(ctx, op.name, op.apiID, attempt, f)
		return none, f
	}
	if err := c.allow(ctx); err != nil {
		return report(&callError{op: op.name, apiID: op.apiID, attempts: attempt, err: err})
	}
	f.start = time.Now()
	a, sent, err := c.exchange(ctx, op.request)
	a.start = f.start
	f.sent = sent
	if err != nil {
		return report(&callError{op: op.name, apiID: op.apiID, attempts: attempt, text: a.text(err.Error(), maxMessage), err: err})
	}
	f.request, f.status, f.requestID = a.request, a.status, a.requestID()
	if a.status < 200 || a.status > 299 {
		e := a.apiError(op.name, op.apiID, attempt)
		f.code, f.after = e.Code, e.RetryAfter
		return report(e)
	}
	value, err := op.decode(a)
	if err != nil {
		if a.broken != nil {
			err = fmt.Errorf("%w (the body broke off: %s)", err, a.text(a.broken.Error(), maxMessage))
		}
		return report(&callError{op: op.name, apiID: op.apiID, attempts: attempt,
			err: fmt.Errorf("%w: status %d, %w", ErrBadResponse, a.status, err)})
	}
	f.end = time.Now()
	c.logAttempt(ctx, op.name, op.apiID, attempt, f)
	return value, nil
}

// allow asks the limiter.
func (c *Client) allow(ctx context.Context) error {
	if err := ctx.Err(); err != nil || c.limiter == nil {
		return err
	}
	if err := c.limiter.Wait(ctx); err != nil {
		return &limiterError{err}
	}
	return nil
}

// limiterError marks an attempt that the caller's limiter did not allow.
type limiterError struct{ err error }

func (e *limiterError) Error() string { return "limiter: " + e.err.Error() }
func (e *limiterError) Unwrap() error { return e.err }

// refresh asks the authenticator for new credentials in place of those on a
// request that was rejected.
func (c *Client) refresh(rejected *http.Request) bool {
	r, ok := c.auth.(Refresher)
	return ok && rejected != nil && r.Refresh(rejected)
}
