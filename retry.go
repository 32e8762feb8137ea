package apig

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/apig-go/apig/internal/random"
)

// RetryPolicy says how often and when an attempt is repeated, and how an unknown
// outcome is settled. The zero value is the defaults. Negative values, a MinWait
// above MaxWait, and times above 24 h are refused by New, and in IAM and Agency by
// Token.
//
// It also bounds the whole time of a call whose context has no deadline: a call
// that changes something ends within
//
//	MaxAttempts × (AttemptTimeout + 2 × SettleWait + SettleTimeout + MaxWait)
//
// which is 7½ minutes by default. On top of that come the waits for its turn and
// for a Limiter; 50 ms in each SettleTimeout for each API; one AttemptTimeout if
// rejected credentials are renewed; one SettleTimeout for what a group and Rollback
// read first; and for a batch of more than four thousand APIs, which are what is
// under way at once, the same again for each further four thousand.
type RetryPolicy struct {
	// MaxAttempts is how many times a call is attempted, and in a batch each
	// API. Zero means 4. With 1 an unknown outcome is still settled, but nothing
	// is repeated. The one repetition with renewed credentials after a 401 does
	// not count.
	MaxAttempts int

	// MinWait and MaxWait bound the wait before a repetition, which is random
	// between MinWait and a ceiling that doubles from attempt to attempt. Zero
	// means 250 ms and 20 s, or the other one if that is needed to keep
	// MinWait below MaxWait. A Retry-After of the service is obeyed; one
	// longer than MaxWait ends the call.
	MinWait time.Duration
	MaxWait time.Duration

	// SettleWait is how long a request that was sent, but not answered, may
	// take to be applied; twice that after a timeout. Zero means 1 s. An unknown
	// outcome is waited for that long before its absence is believed: a request that
	// is applied later can make a second version, or undo a later call.
	SettleWait time.Duration

	// SettleTimeout is how long reading the history may go on after that. Zero
	// means 30 s. A batch has 50 ms more for each API, and what is read again after
	// the wait for a repetition has MaxWait more. When it is over the outcome is
	// unknown.
	SettleTimeout time.Duration

	// TagRemark adds a short tag to the remark of a publication, different
	// for each call. It makes settling exact where several processes publish
	// the same API with the same remark, none being one too: without it a version
	// that another process has made meanwhile can be taken for the lost one.
	TagRemark bool
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
	} {
		switch {
		case wait.value < 0:
			bad.addf("%s%s is negative", prefix, wait.name)
		case wait.value > longestWait:
			bad.addf("%s%s %v is above %v", prefix, wait.name, wait.value, longestWait)
		}
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
	return p
}

// backoff is the wait before the repetition that follows the given attempt:
// anything between MinWait and a ceiling that starts at twice MinWait, doubles
// with each attempt and ends at MaxWait.
func (p RetryPolicy) backoff(attempt int) time.Duration {
	ceiling := p.MinWait
	for range attempt {
		if ceiling == p.MaxWait {
			break
		}
		ceiling += min(ceiling, p.MaxWait-ceiling) // which cannot overflow
	}
	return p.MinWait + time.Duration(random.Int64N(int64(ceiling-p.MinWait)+1))
}

// failure is an attempt that did not succeed.
type failure struct {
	err        error // what to report if this was the last attempt
	verdict    verdict
	unanswered error // why there was no answer, as it came; nil if there was one
	sent       bool  // whether any of the request may have left
	start, end time.Time

	// timedOut says that somebody, here or on the way, had waited as long as
	// they would: the request may well be under way still.
	timedOut bool

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
		errors.As(f.unanswered, &timeout) && timeout.Timeout()
	f.verdict = classify(f)
}

// classify is the one place that decides what a failed attempt means.
func classify(f *failure) verdict {
	if f.status == 0 {
		return classifyUnanswered(f)
	}
	known, ok := f.code.meaning()
	switch {
	case ok && known.verdict == notApplied:
		return notApplied
	case f.status < 300: // a success that cannot be read
		return unknown
	case f.status == http.StatusUnauthorized && (!ok || known.verdict == renew):
		return renew // a code nobody knows gets the benefit of the doubt
	case f.status == http.StatusTooManyRequests:
		return notApplied
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
	case errors.As(f.unanswered, &auth) && !auth.late, errors.As(f.unanswered, new(*limiterError)), isCertificateError(f.unanswered):
		return final
	case errors.As(f.unanswered, &refused) && refused.forGood():
		return final
	}
	return notApplied
}

// serviceAnswered reports whether the service itself, and not something in front
// of it, has said that it failed: then it is done with the request. In a batch it
// says so in an answer of status 200.
func (f *failure) serviceAnswered() bool {
	return f.code.service() && (f.status < 300 || f.status >= 500)
}

// authError marks a failure to authenticate: nothing was sent. With late it is
// not the authenticator's: the time of the attempt ended meanwhile.
type authError struct {
	err  error
	late bool
}

func (e *authError) Error() string { return e.err.Error() }
func (e *authError) Unwrap() error { return e.err }

// limiterError marks an attempt that the caller's limiter did not allow.
type limiterError struct{ err error }

func (e *limiterError) Error() string { return "limiter: " + e.err.Error() }
func (e *limiterError) Unwrap() error { return e.err }

// isCertificateError reports whether the server's certificate was refused,
// which no repetition cures.
func isCertificateError(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError))
}

// sleep waits until the given time. It returns at once, with the reason, if
// ctx ends first or would.
func sleep(ctx context.Context, until time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(until) {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
