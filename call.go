package apig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/apig-go/apig/internal/errorbody"
)

// operation is one method of the API as data: its request, and how a success is
// read.
type operation struct {
	name  string // the method's, for errors and logs
	apiID string // or empty
	tag   string // of a publication; or empty
	request

	// decode reads a success. Its error says why the answer cannot be read.
	decode func(*answer) error
}

// progress is how far one method of the Client has come.
type progress struct {
	requests  int       // made
	left      int       // attempts that may still be made
	refusals  int       // for now, which are no attempts
	busyUntil time.Time // when refusals for now end the call; zero: there was none
	renewals  int       // of the credentials, that may still be tried
	admitted  bool      // the throttle and the limiter have let the next request pass
}

func (s *service) newProgress() progress {
	return progress{left: s.retry.MaxAttempts, renewals: s.renewals}
}

// patience is until when refusals for now are waited out: BusyTimeout after the first.
func (now *progress) patience(p RetryPolicy) time.Time {
	if now.busyUntil.IsZero() {
		now.busyUntil = time.Now().Add(p.BusyTimeout)
	}
	return now.busyUntil
}

// read calls an operation that changes nothing.
func read[T any](ctx context.Context, s *service, op operation, decode func(*answer) (T, error)) (T, error) {
	var value, none T
	op.decode = func(a *answer) (err error) {
		value, err = decode(a)
		return err
	}
	if failed := call(ctx, s, &op); failed != nil {
		return none, failed.err
	}
	return value, nil
}

// call attempts an operation that changes nothing until it succeeds or fails for
// good. After an attempt of unknown outcome it may simply be attempted again.
func call(ctx context.Context, s *service, op *operation) *failure {
	now := s.newProgress()
	var last error // why the attempt before failed
	for {
		failed := s.attempt(ctx, op, &now)
		if failed == nil || failed.verdict == final {
			return failed
		}
		if goOn, ended := s.wait(ctx, op, &now, failed, failed.verdict == busy); !goOn {
			failed.err = giveUp(op.name, op.apiID, now.requests, failed, ended, last)
			return failed
		}
		last = failed.err
	}
}

// attempt makes one attempt. If the credentials were rejected, it asks for new ones.
func (s *service) attempt(ctx context.Context, op *operation, now *progress) *failure {
	now.requests++
	failed := s.try(ctx, op, now)
	if failed != nil && failed.verdict == renew {
		failed.verdict = final
		if now.renewals > 0 && s.refresh(failed.request) {
			now.renewals--
			failed.verdict = renewed
		}
	}
	return failed
}

// wait waits before the attempt that follows a failed one. busy says that the service
// has refused it for now, which is no attempt. If there is to be no other attempt,
// wait says why: the end of the context, or nil for the policy.
func (s *service) wait(ctx context.Context, op *operation, now *progress, failed *failure, busy bool) (goOn bool, ended error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	at, over := failed.end, (<-chan struct{})(nil)
	switch {
	case failed.verdict == renewed:
		goOn = true
	case busy:
		now.refusals++
		at = failed.end.Add(cmp.Or(failed.after, s.retry.busyBackoff(now.refusals)))
		if until, freed := s.throttle.hold(); failed.throttled() && !until.IsZero() && !until.Before(failed.end.Add(failed.after)) { // all calls wait together
			at, over = until, freed
		}
		goOn = !at.After(now.patience(s.retry))
	default:
		now.left--
		wait := cmp.Or(failed.after, s.retry.backoff(s.retry.MaxAttempts-now.left))
		at = failed.end.Add(wait)
		goOn = now.left > 0 && wait <= s.retry.MaxWait
	}
	if !goOn {
		return false, nil
	}
	s.logRetry(ctx, op, now.requests, failed.err, max(0, time.Until(at)))
	ended = sleepUnless(ctx, at, over)
	return ended == nil, ended
}

// giveUp is the error of a call that ends after a failed attempt: the failure, or the
// end of the context with the latest failure that is not the same. failed is nil if
// there was no attempt.
func giveUp(op, apiID string, requests int, failed *failure, ended, last error) error {
	switch {
	case failed == nil:
		return interrupted(op, apiID, requests, ended, nil)
	case ended == nil:
		return failed.err
	case failed.unanswered == nil || !errors.Is(failed.unanswered, ended):
		last = failed.err
	}
	return interrupted(op, apiID, requests, ended, last)
}

// admit waits until the throttle and the limiter let a request pass.
func (s *service) admit(ctx context.Context, now *progress) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if now.admitted {
		now.admitted = false
		return nil
	}
	for {
		until, over := s.throttle.pass(time.Now())
		if until.IsZero() {
			break
		}
		if until.After(now.patience(s.retry)) {
			return errHeld
		}
		if err := sleepUnless(ctx, until, over); err != nil {
			return err
		}
	}
	if s.limiter == nil {
		return nil
	}
	if err := s.limiter.Wait(ctx); err != nil {
		return &limiterError{err}
	}
	return nil
}

// errHeld ends a call that has sent nothing yet, while the service refuses the
// requests of other calls.
var errHeld = fmt.Errorf("%w: the service refuses the requests of this client, for longer than BusyTimeout allows to wait", ErrThrottled)

// try makes one attempt.
func (s *service) try(ctx context.Context, op *operation, now *progress) *failure {
	if err := s.admit(ctx, now); err != nil {
		at := time.Now()
		return s.failed(ctx, op, now.requests, &failure{start: at, end: at, unanswered: err,
			err: unanswered(op.name, op.apiID, now.requests, err, err.Error())})
	}
	a, sent, err := s.exchange(ctx, &op.request)
	if err != nil {
		return s.failed(ctx, op, now.requests, &failure{start: a.start, end: time.Now(), sent: sent, unanswered: err,
			err: unanswered(op.name, op.apiID, now.requests, err, a.text(s.textOf(err, &op.request), maxMessage))})
	}
	if a.status < 200 || a.status > 299 {
		refused := a.apiError(op.name, op.apiID)
		refused.Attempts = now.requests
		f := a.failure(refused)
		f.code, f.after, f.requestID = refused.Code, refused.RetryAfter, refused.RequestID
		s.failed(ctx, op, now.requests, f)
		s.throttle.answered(f, s.retry)
		return f
	}
	s.throttle.answered(nil, s.retry)
	if err := op.decode(a); err != nil {
		return s.failed(ctx, op, now.requests, a.failure(&CallError{Op: op.name, APIID: op.apiID, Attempts: now.requests,
			why: fmt.Sprintf("unreadable response: %v", a.unreadable(err)), tree: []error{ErrBadResponse}}))
	}
	if s.log.Enabled(ctx, slog.LevelDebug) {
		s.logAttempt(ctx, op, now.requests, a.failure(nil))
	}
	return nil
}

// failed gives a failed attempt its verdict.
func (s *service) failed(ctx context.Context, op *operation, attempt int, f *failure) *failure {
	f.judge()
	if s.log.Enabled(ctx, slog.LevelDebug) {
		s.logAttempt(ctx, op, attempt, f)
	}
	return f
}

// failure is the answer as an attempt that failed with err.
func (a *answer) failure(err error) *failure {
	return &failure{err: err, sent: true, start: a.start, end: time.Now(), request: a.request, status: a.status}
}

// logAttempt writes the one record of an attempt.
func (s *service) logAttempt(ctx context.Context, op *operation, attempt int, f *failure) {
	attrs := append(op.attrs(),
		slog.Int("attempt", attempt),
		slog.Int("status", f.status),
		slog.Duration("duration", f.end.Sub(f.start)),
		slog.String("request_id", f.requestID))
	if f.err != nil {
		attrs = append(attrs, slog.String("error", f.err.Error()))
	}
	s.log.LogAttrs(ctx, slog.LevelDebug, "apig: attempt", attrs...)
}

func (s *service) logRetry(ctx context.Context, op *operation, attempt int, reason error, wait time.Duration) {
	s.log.LogAttrs(ctx, slog.LevelWarn, "apig: retry", append(op.attrs(),
		slog.Int("attempt", attempt),
		slog.String("reason", reason.Error()),
		slog.Duration("wait", wait))...)
}

// attrs names the operation in a log.
func (op *operation) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("op", errorbody.Line(op.name, maxCode)), slog.String("api_id", errorbody.Line(op.apiID, maxCode))}
	if op.tag != "" {
		attrs = append(attrs, slog.String("tag", op.tag))
	}
	return attrs
}
