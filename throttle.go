package apig

import (
	"cmp"
	"errors"
	"sync"
	"time"
)

// throttle holds the requests of a client back while the service throttles them.
type throttle struct {
	mu       sync.Mutex
	until    time.Time     // nothing is sent before; zero: the service does not throttle
	over     chan struct{} // closed when it does not any more
	refusals int           // in a row
}

// pass returns the time before which nothing may be sent, and a channel that is closed
// if it may be sent earlier; or zero if one request may be sent now. The others then
// wait for its answer, for busyWait at most.
func (t *throttle) pass(now time.Time) (until time.Time, over <-chan struct{}) {
	if t == nil {
		return until, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.until.IsZero():
	case t.until.After(now):
		return t.until, t.over
	default:
		t.until = now.Add(busyWait)
	}
	return until, nil
}

// longestHold is the longest time that one answer holds the requests of a client back.
// A Retry-After may be nonsense, such as a date in seconds. The service counts in
// windows of 5 min.
const longestHold = 10 * time.Minute

// answered takes note of an answer: f, or a success if f is nil. An answer that
// refuses the request for throttling moves the time before which nothing is sent. Any
// other answer ends the throttling.
func (t *throttle) answered(f *failure, p RetryPolicy) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	throttled := f != nil && f.throttled()
	switch {
	case throttled:
		if t.until.IsZero() {
			t.over = make(chan struct{})
		}
		t.refusals++
		if until := f.end.Add(min(cmp.Or(f.after, p.busyBackoff(t.refusals)), longestHold)); until.After(t.until) {
			t.until = until
		}
	case !t.until.IsZero():
		close(t.over)
		t.until, t.over, t.refusals = time.Time{}, nil, 0
	}
}

// hold returns the time before which nothing is sent, zero for no such time, and the
// channel that is closed if it is over earlier.
func (t *throttle) hold() (until time.Time, over <-chan struct{}) {
	if t == nil {
		return until, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.until, t.over
}

// held is how long the next request will have to wait for the throttle; zero also if
// that is longer than BusyTimeout allows.
func (s *service) held(now *progress) time.Duration {
	until, _ := s.throttle.hold()
	wait := time.Until(until)
	if wait <= 0 || until.After(now.patience(s.retry)) {
		return 0
	}
	return wait
}

// throttled reports whether the service refuses the client's requests, and not
// just this one.
func (f *failure) throttled() bool {
	return f.verdict == busy && errors.Is(f.err, ErrThrottled) && f.code != codeOncePerMinute
}
