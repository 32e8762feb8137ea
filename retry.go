package apig

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"
)

// RetryPolicy says how often and when an attempt is repeated. The zero value
// is the defaults. Negative values, and a MinWait above MaxWait, are refused
// by New.
type RetryPolicy struct {
	// MaxAttempts is how many times a call is attempted. Zero means 4. With 1
	// an unknown outcome is still settled, but nothing is repeated. The one
	// repetition with renewed credentials after a 401 does not count.
	MaxAttempts int

	// MinWait and MaxWait bound the wait before a repetition, which is random
	// between MinWait and a ceiling that doubles from attempt to attempt. Zero
	// means 250 ms and 20 s, or the other one if that is needed to keep
	// MinWait below MaxWait. A Retry-After of the service is obeyed; one
	// longer than MaxWait ends the call.
	MinWait time.Duration
	MaxWait time.Duration

	// SettleWait is how long a request that was sent, but not answered, may
	// take to be applied. Zero means 1 s. It is what an unknown outcome costs
	// at most, twice that after a timeout.
	SettleWait time.Duration

	// TagRemark adds a short tag to the remark of a publication, different
	// for each call. It makes settling exact where several processes publish
	// the same API with the same remark.
	TagRemark bool
}

func (p RetryPolicy) check(prefix string, bad *problems) {
	if p.MaxAttempts < 0 {
		bad.addf("%sMaxAttempts is negative", prefix)
	}
	if p.MinWait < 0 {
		bad.addf("%sMinWait is negative", prefix)
	}
	if p.MaxWait < 0 {
		bad.addf("%sMaxWait is negative", prefix)
	}
	if p.SettleWait < 0 {
		bad.addf("%sSettleWait is negative", prefix)
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
	return p
}

// backoff is the wait before the repetition that follows the given attempt:
// anything between MinWait and a ceiling that starts at twice MinWait, doubles
// with each attempt and ends at MaxWait.
func (p RetryPolicy) backoff(attempt int, jitter func(n int64) int64) time.Duration {
	ceiling := p.MinWait
	for range attempt {
		ceiling += min(ceiling, p.MaxWait-ceiling) // which cannot overflow
	}
	return p.MinWait + time.Duration(jitter(int64(ceiling-p.MinWait)))
}

// fullJitter is any number from 0 to n, both included.
func fullJitter(n int64) int64 { return rand.Int64N(n + 1) }

// verdict is what a failed attempt means for the caller's change.
type verdict int

const (
	final      verdict = iota // not applied, and another attempt would fail too
	notApplied                // not applied; another attempt may succeed
	renew                     // not applied; another attempt with new credentials may succeed
	unknown                   // it may have been applied
)

func (v verdict) String() string {
	return [...]string{"final", "not applied", "renew credentials", "unknown"}[v]
}

// failure is an attempt that did not succeed.
type failure struct {
	err        error // what to report if this was the last attempt
	sent       bool  // whether any of the request may have left
	start, end time.Time

	// Of the answer, if there was one.
	request   *http.Request // that it answers
	status    int           // 0: no answer
	code      Code
	after     time.Duration // Retry-After
	requestID string
}

// classify is the one place that decides what a failed attempt means.
func classify(f failure) verdict {
	if f.status == 0 {
		return classifyUnanswered(f)
	}
	switch f.code.twin() {
	case CodeTooManyRequests, CodeOncePerMinute, CodeFrontThrottled, CodeTaskRunning,
		CodeGatewayStatus, CodeGatewayLocked, CodeGatewayLockFailed:
		return notApplied
	}
	switch {
	case f.status < 300: // a success that cannot be read
		return unknown
	case f.status == http.StatusUnauthorized && curable(f.code):
		return renew
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
func classifyUnanswered(f failure) verdict {
	var auth *authError
	switch {
	case f.sent:
		return unknown
	case errors.As(f.err, &auth) && !auth.late, errors.As(f.err, new(*limiterError)), isCertificateError(f.err):
		return final
	}
	return notApplied
}

// curable reports whether new credentials may cure a 401 with this code. Most
// others say what is wrong with the account. A code nobody knows gets the
// benefit of the doubt.
func curable(c Code) bool {
	switch c.twin() {
	case CodeTokenMissing, CodeTokenExpired, CodeTokenInvalid,
		CodeAuthTokenMissing, CodeAuthTokenExpired, CodeAuthTokenInvalid,
		CodeFrontAuth, CodeFrontTokenRenew:
		return true
	}
	return c.sentinel() == nil
}

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
