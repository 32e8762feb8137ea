package apig

import (
	"context"
	"errors"
	"slices"
	"time"
)

// A look reads the histories of some items. To settle is to look once, when a lost
// request can no longer arrive. To confirm is to look again, right before a change is
// sent. A judge in history.go says what one history proves.

const (
	// historiesAtOnce is how many histories one look reads at once.
	historiesAtOnce = 8

	// lookTimeout bounds one attempt to read a history.
	lookTimeout = 10 * time.Second

	// lookTimeEach is what each API adds to RetryPolicy.SettleTimeout.
	lookTimeEach = 200 * time.Millisecond

	// An unreadable history is read again after shortestLookWait at least and
	// longestLookWait at most. The service may ask for a longer wait.
	shortestLookWait = 50 * time.Millisecond
	longestLookWait  = 2 * time.Second
)

// confirm looks at the histories before the request is sent: always for Rollback and
// for a publication with a key, for any other change once an outcome was unknown. But
// for Rollback, a look no older than SettleWait is good enough. The throttle and the
// limiter come before the look, so that the request follows it at once.
func (j *job) confirm(ctx context.Context) bool {
	if j.before == nil && !slices.ContainsFunc(j.items, func(it *item) bool { return it.doubted }) {
		return true
	}
	if ended := sleep(ctx, j.notBefore); ended != nil {
		return j.giveUp(ended, j.items)
	}
	if ended := j.admit(ctx, &j.progress); ended != nil {
		return j.giveUp(ended, j.items)
	}
	j.admitted = true
	j.look(ctx, j.op, slices.DeleteFunc(slices.Clone(j.items), func(it *item) bool {
		fresh := time.Since(it.looked) <= j.retry.SettleWait
		return j.before == nil && !it.doubted || fresh && (j.before == nil || j.makesVersion)
	}), &j.progress, time.Now(), j.confirmed)
	return j.keep()
}

// confirmed decides from its history whether the change of an item is sent. A
// publication undoes nothing: it is sent unless its tag is there. Any other change is
// sent only if the history still proves that it was not applied.
func (j *job) confirmed(it *item, h *history, err error) {
	why := ""
	switch {
	case err != nil && !it.doubted:
		it.finish(nil, err)
	case err != nil && j.makesVersion && j.before == nil:
	case err != nil:
		why = "the history cannot be read: " + reasonOf(err)
	case j.before != nil:
		if record, err := j.before(h, it); record != nil || err != nil {
			it.finish(record, err)
		}
	case j.makesVersion:
		if v := h.tagged(j.tag); v != nil {
			it.finish(it.recovered(v), nil)
		}
	default:
		is, v, reason := j.judge(h, it)
		if is == Applied {
			it.finish(it.recovered(v), nil)
		} else if is == Unknown {
			why = reason
		}
	}
	if why != "" {
		it.finish(nil, &CallError{Op: j.op, APIID: it.APIID, Attempts: j.requests, tree: []error{it.failed.err},
			why: "not applied, and not sent again: " + why + "; the failure was: " + reasonOf(it.failed.err)})
	}
	if err == nil {
		it.seen = h.ids()
	}
}

// look reads the history of each item and hands it to see, or the error if it cannot
// be read. It reads in rounds, so that one history that cannot be read delays no
// other. Reading ends SettleTimeout and lookTimeEach for each item after due, or later
// by as long as the service throttles the client, up to BusyTimeout.
func (c *Client) look(ctx context.Context, op string, items []*item, now *progress, due time.Time, see func(*item, *history, error)) {
	reader := c.service
	reader.timeout = min(reader.timeout, lookTimeout)
	reader.retry.MaxAttempts, reader.retry.BusyTimeout = 1, longestWait // a round is one attempt, and the context bounds it
	end := time.Now()
	if due.After(end) {
		end = due
	}
	end = end.Add(c.retry.SettleTimeout + time.Duration(len(items))*lookTimeEach + c.held(now))
	for left, round := items, 1; ; round++ {
		reading, cancel := context.WithDeadline(ctx, end)
		inParallel(historiesAtOnce, left, func(it *item) {
			h, err := readHistory(reading, &reader, op, it.APIID, it.envID)
			if it.unread = err; err == nil {
				see(it, h, nil)
			}
		})
		cancel()
		held := c.held(now)
		end = end.Add(held)
		wait := max(held, shortestLookWait, min(c.retry.backoff(round), longestLookWait))
		left = slices.DeleteFunc(slices.Clone(left), func(it *item) bool {
			var refused *APIGError
			switch {
			case it.unread == nil || !mayPass(it.unread):
				return true
			case errors.As(it.unread, &refused) && time.Now().Add(refused.RetryAfter).After(end):
				return true // and the others are read without it
			case refused != nil:
				wait = max(wait, refused.RetryAfter)
			}
			return false
		})
		next := time.Now().Add(wait)
		if len(left) == 0 || next.After(end) || sleep(ctx, next) != nil {
			break
		}
	}
	ended := time.Now()
	for _, it := range items {
		it.looked = ended
		if it.unread != nil {
			see(it, nil, it.unread)
		}
	}
}

// mayPass reports whether reading may succeed the next time.
func mayPass(err error) bool {
	for _, final := range []error{ErrUnauthorized, ErrForbidden, ErrNotFound, ErrBadRequest, ErrInvalidArgument} {
		if errors.Is(err, final) {
			return false
		}
	}
	return !errors.As(err, new(*limiterError))
}
