package apig

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/apig-go/apig/internal/errorbody"
	"github.com/apig-go/apig/internal/random"
)

// RetryPolicy says how often a failed request is retried, and how long an unknown
// outcome is looked for. The zero value is the defaults. New refuses negative values
// (but for BusyTimeout), a MinWait above MaxWait, and times below 1 ms or above 24 h.
//
// If its context has no deadline, a call takes at most the sum of two lists. The first
// list counts MaxAttempts times:
//
//   - one AttemptTimeout: the request
//   - twice SettleWait: until a lost request can no longer arrive
//   - one SettleTimeout: reading the history; a second one before the retry
//   - one MaxWait: the wait before the retry
//
// The second list counts once:
//
//   - BusyTimeout, and the time of one more attempt: a request that the service
//     refuses for now
//   - AttemptTimeout: a retry with new credentials
//   - SettleTimeout and twice SettleWait: the history that Rollback and a publication
//     with an IdempotencyKey read first
//   - BusyTimeout, and MaxAttempts times AttemptTimeout and MaxWait, for each 500 APIs of
//     a group: to list them, up to four times if the list changes
//
// By default the sum is about twenty minutes, without a group. Waits for a Limiter come
// on top. In a batch each SettleTimeout has 200 ms more for each API of a request. Four
// requests of a thousand APIs are in progress at once, so a batch takes this time for
// each 4,000 APIs.
type RetryPolicy struct {
	// MaxAttempts is how many requests a call makes at most. In a batch it counts for
	// each API. Zero means 4. With 1 a failed request is not sent again, but an
	// unknown outcome is still looked for. It does not count the reading of histories,
	// one retry with new credentials after a 401, and requests that the service refuses
	// for now; see BusyTimeout.
	MaxAttempts int

	// MinWait and MaxWait bound the wait before a retry. It is random between
	// MinWait and a ceiling that doubles from attempt to attempt. The defaults are
	// 250 ms and 20 s; if only one is set and conflicts with the default of the other,
	// both take the value that is set. A Retry-After of the service is obeyed; one
	// longer than MaxWait ends the call, unless the service refuses the request for
	// now; see BusyTimeout.
	MinWait time.Duration
	MaxWait time.Duration

	// SettleWait is how long after its failure a lost request may still be applied,
	// and show in the history; twice that after a timeout or the end of the context.
	// Zero means 1 s. Nothing is sent again before. A request that is applied later
	// can make a second version, or undo a later change.
	SettleWait time.Duration

	// SettleTimeout is how long reading the history may go on after that. Zero
	// means 30 s. After it the outcome is unknown.
	SettleTimeout time.Duration

	// BusyTimeout is how long a call waits while the service refuses its requests for
	// now: it throttles them, or another change is in progress. The wait between
	// two requests doubles from 1 s to MaxWait; a Retry-After that ends in time is
	// obeyed. Zero means 6 min, since the service counts requests in windows of
	// 5 min. A negative value means that such a refusal ends the call, and so does
	// MaxAttempts 1.
	BusyTimeout time.Duration
}

// longestWait keeps sums of a few waits from overflowing.
const longestWait = 24 * time.Hour

func (p RetryPolicy) check(prefix string, bad *problems) {
	if p.MaxAttempts < 0 {
		bad.addf("%sMaxAttempts is negative", prefix)
	}
	for _, wait := range []struct {
		name  string
		value time.Duration
	}{
		{"MinWait", p.MinWait}, {"MaxWait", p.MaxWait}, {"SettleWait", p.SettleWait}, {"SettleTimeout", p.SettleTimeout},
		{"BusyTimeout", max(p.BusyTimeout, 0)},
	} {
		bad.duration(prefix+wait.name, wait.value)
	}
	if p.MaxWait > 0 && p.MinWait > p.MaxWait {
		bad.addf("%sMinWait %v is above %[1]sMaxWait %[3]v", prefix, p.MinWait, p.MaxWait)
	}
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	if p.MaxAttempts == 0 {
		p.MaxAttempts = 4
	}
	switch {
	case p.MinWait == 0 && p.MaxWait == 0:
		p.MinWait, p.MaxWait = 250*time.Millisecond, 20*time.Second
	case p.MinWait == 0:
		p.MinWait = min(250*time.Millisecond, p.MaxWait)
	case p.MaxWait == 0:
		p.MaxWait = max(20*time.Second, p.MinWait)
	}
	if p.SettleWait == 0 {
		p.SettleWait = time.Second
	}
	if p.SettleTimeout == 0 {
		p.SettleTimeout = 30 * time.Second
	}
	switch {
	case p.MaxAttempts == 1 || p.BusyTimeout < 0:
		p.BusyTimeout = 0 // none, from here on
	case p.BusyTimeout == 0:
		p.BusyTimeout = 6 * time.Minute
	}
	return p
}

// backoff is the wait before the retry that follows the given attempt: anything
// between MinWait and a ceiling that starts at twice MinWait, doubles with each
// attempt and ends at MaxWait.
func (p RetryPolicy) backoff(attempt int) time.Duration {
	ceiling := p.ceiling(p.MinWait, attempt)
	return p.MinWait + time.Duration(random.Int64N(int64(ceiling-p.MinWait)+1))
}

// busyWait is the shortest wait after a request was refused for now.
const busyWait = time.Second

// busyBackoff is the wait after so many refusals in a row: anything in the upper half
// of a ceiling that starts at twice busyWait, doubles and ends at MaxWait.
func (p RetryPolicy) busyBackoff(refusals int) time.Duration {
	ceiling := p.ceiling(min(busyWait, p.MaxWait), refusals)
	return ceiling - ceiling/2 + time.Duration(random.Int64N(int64(ceiling/2)+1))
}

// ceiling is first, doubled so many times, and MaxWait at most.
func (p RetryPolicy) ceiling(first time.Duration, doublings int) time.Duration {
	for range doublings {
		if first == p.MaxWait {
			break
		}
		first += min(first, p.MaxWait-first) // which cannot overflow
	}
	return first
}

// failure is an attempt that did not succeed.
type failure struct {
	err        error // what to report if this was the last attempt
	verdict    verdict
	unanswered error // why there was no answer, as it came; nil if there was one
	sent       bool  // whether any of the request may have left
	start, end time.Time

	// timedOut says that this client, or a proxy, has stopped waiting: the request may
	// well be in progress still.
	timedOut bool

	foreign bool // start was measured by the clock of another machine

	// Of the answer, if there was one.
	request   *http.Request // that it answers
	status    int           // 0: no answer
	code      Code
	after     time.Duration // Retry-After
	requestID string
}

// judge gives a failed attempt its verdict.
func (f *failure) judge() {
	var timeout net.Error
	f.timedOut = f.status == http.StatusRequestTimeout || f.status == http.StatusGatewayTimeout ||
		errors.As(f.unanswered, &timeout) && timeout.Timeout() || errors.Is(f.unanswered, context.Canceled)
	f.verdict = classify(f)
}

// classify is the one place that gives a failed attempt its meaning.
func classify(f *failure) verdict {
	if f.status == 0 {
		return classifyUnanswered(f)
	}
	known, ok := f.code.meaning()
	switch {
	case ok && (known.verdict == notApplied || known.verdict == busy || known.verdict == unknown):
		return known.verdict
	case f.status < 300: // a success that cannot be read
		return unknown
	case f.status == http.StatusUnauthorized && (!ok || known.verdict == renew):
		return renew // a code nobody knows gets the benefit of the doubt
	case f.status == http.StatusTooManyRequests:
		return busy
	case f.status == http.StatusRequestTimeout:
		return unknown
	case f.status == http.StatusNotImplemented, f.status == http.StatusHTTPVersionNotSupported:
		return final
	case f.status >= 500:
		return unknown
	}
	return final
}

// classifyUnanswered judges an attempt that ended without an answer: only the
// proof that nothing was sent makes it harmless to repeat.
func classifyUnanswered(f *failure) verdict {
	var auth *authError
	var refused *proxyError
	switch {
	case f.sent:
		return unknown
	case errors.As(f.unanswered, &auth) && !auth.late, errors.As(f.unanswered, new(*limiterError)), errors.Is(f.unanswered, ErrThrottled), isCertificateError(f.unanswered):
		return final
	case errors.As(f.unanswered, &refused) && refused.forGood():
		return final
	}
	return notApplied
}

// arrivesWithin is how long after its failure a request may still be applied.
func (s *service) arrivesWithin(f *failure) time.Duration {
	if f.timedOut {
		return 2 * s.retry.SettleWait
	}
	return s.retry.SettleWait
}

// authError marks a failure to authenticate: nothing was sent. With late it is
// not the authenticator's: the time of the attempt had ended.
type authError struct {
	err  error
	late bool
}

func (e *authError) Error() string { return e.err.Error() }
func (e *authError) Unwrap() error { return e.err }

// limiterError marks an attempt that the caller's limiter did not allow.
type limiterError struct{ err error }

func (e *limiterError) Error() string { return "limiter: " + errorbody.Line(e.err.Error(), maxMessage) }
func (e *limiterError) Unwrap() error { return e.err }

// isCertificateError reports whether the server's certificate was refused,
// which no retry cures.
func isCertificateError(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError))
}

// sleep waits until the given time. It returns at once, with the reason, if ctx has
// ended, or will have ended by then.
func sleep(ctx context.Context, until time.Time) error { return sleepUnless(ctx, until, nil) }

// sleepUnless is sleep, but ends early when the channel is closed.
func sleepUnless(ctx context.Context, until time.Time, over <-chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !deadline.After(until) {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-over:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
