package apig

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/apig-go/apig/internal/errorbody"
)

// operation is one method of the API as data: what goes over the wire, and how a
// success is read.
type operation struct {
	name  string // the method's, for errors and logs
	apiID string // or empty
	request
	decoder

	// progress is that of a change, which may take several calls. It is nil for
	// an operation that only reads: such a one is simply repeated after an
	// attempt of unknown outcome, which ends the call of a change.
	progress *progress
}

// decoder reads a success. Its error says why the answer cannot be read.
type decoder interface{ decode(*answer) error }

type decodeFunc func(*answer) error

func (f decodeFunc) decode(a *answer) error { return f(a) }

// progress is how far one method of the Client has come.
type progress struct {
	requests int // made
	left     int // attempts that may still be made
	renewals int // of the credentials, that may still be tried
}

func (s *service) newProgress() progress {
	return progress{left: s.retry.MaxAttempts, renewals: s.renewals}
}

// read calls an operation that changes nothing.
func read[T any](ctx context.Context, s *service, op operation, decode func(*answer) (T, error)) (T, error) {
	var value, none T
	op.decoder = decodeFunc(func(a *answer) (err error) {
		value, err = decode(a)
		return err
	})
	if failed := call(ctx, s, &op); failed != nil {
		return none, failed.err
	}
	return value, nil
}

// call is the one way from a method to the wire and back: it attempts op until
// it succeeds, fails for good, or, if it changes something, may have been
// applied.
func call(ctx context.Context, s *service, op *operation) *failure {
	var last error // why the attempt before failed
	now := op.progress
	if now == nil {
		reading := s.newProgress()
		now = &reading
	}
	for {
		now.requests++
		failed := try(ctx, s, op, now.requests)
		if failed == nil {
			now.left-- // of a batch some APIs may have failed
			return nil
		}
		switch {
		case failed.verdict == renew && now.renewals > 0 && s.refresh(failed.request):
			now.renewals--
			s.logRetry(ctx, op.name, op.apiID, now.requests, failed.err, 0)
			last = failed.err
			continue
		case failed.verdict == renew:
			failed.verdict = final
		case failed.verdict == unknown && op.progress == nil:
			failed.verdict = notApplied
		}
		now.left--
		if failed.verdict == final || failed.verdict == unknown {
			return failed
		}
		if goOn, ended := s.pause(ctx, op.name, op.apiID, now, failed); !goOn {
			failed.err, failed.verdict = giveUp(op.name, op.apiID, now, failed, ended, last), final
			return failed
		}
		last = failed.err
	}
}

// pause waits before the attempt that follows a failed one. If there is to be
// none it says why: the end of the context, or nil for the policy.
func (s *service) pause(ctx context.Context, op, apiID string, now *progress, failed *failure) (goOn bool, ended error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	wait := failed.after
	if wait == 0 {
		wait = s.retry.backoff(now.requests)
	}
	if now.left <= 0 || wait > s.obeyed {
		return false, nil
	}
	s.logRetry(ctx, op, apiID, now.requests, failed.err, wait)
	if err := sleep(ctx, failed.end.Add(wait)); err != nil {
		return false, err
	}
	return true, nil
}

// giveUp is what to report of a failed attempt that no other one follows: the
// failure, or the end of the context with the latest failure that was not just
// that.
func giveUp(op, apiID string, now *progress, failed *failure, ended, last error) error {
	if ended == nil {
		return failed.err
	}
	if failed.unanswered == nil || !errors.Is(failed.unanswered, ended) {
		last = failed.err
	}
	return interrupted(op, apiID, now.requests, ended, last)
}

// try makes one attempt.
func try(ctx context.Context, s *service, op *operation, attempt int) *failure {
	if err := s.allow(ctx); err != nil {
		now := time.Now()
		return s.failed(ctx, op, attempt, &failure{start: now, end: now, unanswered: err,
			err: unanswered(op.name, op.apiID, attempt, err, err.Error())})
	}
	a, sent, err := s.exchange(ctx, &op.request)
	if err != nil {
		return s.failed(ctx, op, attempt, &failure{start: a.start, end: time.Now(), sent: sent, unanswered: err,
			err: unanswered(op.name, op.apiID, attempt, err, a.text(s.textOf(err, &op.request), maxMessage))})
	}
	if a.status < 200 || a.status > 299 {
		refused := a.apiError(op.name, op.apiID)
		refused.Attempts = attempt
		f := a.failure(refused)
		f.code, f.after, f.requestID = refused.Code, refused.RetryAfter, refused.RequestID
		return s.failed(ctx, op, attempt, f)
	}
	if err := op.decode(a); err != nil {
		return s.failed(ctx, op, attempt, a.failure(&CallError{Op: op.name, APIID: op.apiID, Attempts: attempt,
			why: fmt.Sprintf("unreadable response: %v", a.unreadable(err)), tree: []error{ErrBadResponse}}))
	}
	if s.log.Enabled(ctx, slog.LevelDebug) {
		s.logAttempt(ctx, op, attempt, a.failure(nil))
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

// logAttempt writes the one record an attempt.
func (s *service) logAttempt(ctx context.Context, op *operation, attempt int, f *failure) {
	attrs := []slog.Attr{
		slog.String("op", op.name),
		slog.String("api_id", errorbody.Line(op.apiID, maxCode)),
		slog.Int("attempt", attempt),
		slog.Int("status", f.status),
		slog.Duration("duration", f.end.Sub(f.start)),
		slog.String("request_id", f.requestID),
	}
	if f.err != nil {
		attrs = append(attrs, slog.String("error", f.err.Error()))
	}
	s.log.LogAttrs(ctx, slog.LevelDebug, "apig: attempt", attrs...)
}

func (s *service) logRetry(ctx context.Context, op, apiID string, attempt int, reason error, wait time.Duration) {
	s.log.LogAttrs(ctx, slog.LevelWarn, "apig: retry",
		slog.String("op", op),
		slog.String("api_id", errorbody.Line(apiID, maxCode)),
		slog.Int("attempt", attempt),
		slog.String("reason", reason.Error()),
		slog.Duration("wait", wait))
}
