package apig

import (
	"context"
	"errors"
	"slices"
	"time"
)

const (
	// batchLimit is the most APIs the service takes in one request.
	batchLimit = 1000

	// A change is sent again only if what is in effect was read no longer than
	// freshLook ago. For that it is read again up to freshLooks times.
	freshLook  = time.Second
	freshLooks = 3

	// batchAtOnce is how many APIs of one batch are under way at once.
	batchAtOnce = 4 * batchLimit
)

// take waits for the turn of an API.
func (c *Client) take(ctx context.Context, op, apiID string) (*turn, error) {
	t, err := c.turns.takeOne(ctx, key(apiID))
	if err != nil {
		return nil, interrupted(op, apiID, 0, err, nil)
	}
	return t, nil
}

// apply carries a change of one API out.
func (c *Client) apply(ctx context.Context, s *single) (*PublishRecord, error) {
	t, err := c.take(ctx, s.op, s.APIID)
	if err != nil {
		return nil, err
	}
	return c.applyInTurn(ctx, s, t)
}

// applyInTurn does so for a caller that has the turn.
func (c *Client) applyInTurn(ctx context.Context, s *single, t *turn) (*PublishRecord, error) {
	s.turn = t
	c.carry(ctx, &s.change, s.items[:], &s.progress)
	return s.Record, s.Err
}

// applyAll carries a change of many APIs out, up to a thousand in a request and
// four thousand at once. Those that have their turn are sent at once, and the
// others as they get it: no turn is held unused while another is waited for.
func (c *Client) applyAll(ctx context.Context, ch *change, items []*item) {
	byAPI := make(map[string]*item, len(items))
	waiting := make([]string, len(items))
	for i, it := range items {
		waiting[i] = key(it.APIID)
		byAPI[waiting[i]] = it
	}
	var requests group
	defer requests.wait()
	room := batchAtOnce
	finished := make(chan int, len(items)) // with each request, how many APIs it was for
	for len(waiting) > 0 {
		for room == 0 || len(finished) > 0 {
			room += <-finished
		}
		free, err := c.turns.take(ctx, waiting, min(batchLimit, room))
		if err != nil {
			for _, id := range waiting {
				it := byAPI[id]
				it.Err = interrupted(ch.op, it.APIID, 0, err, nil)
			}
			return
		}
		chunk := make([]*item, len(free))
		for i, t := range free {
			chunk[i] = byAPI[t.apiID]
			chunk[i].turn = t
		}
		room -= len(chunk)
		waiting = slices.DeleteFunc(waiting, func(id string) bool { return byAPI[id].turn != nil })
		requests.start(func() {
			defer func() { finished <- len(chunk) }()
			c.carry(ctx, ch, chunk, &progress{})
		})
	}
}

// carry carries a change out for items that have their turns, until each of them
// is done.
func (c *Client) carry(ctx context.Context, ch *change, items []*item, now *progress) {
	defer c.turns.abandon(ch, items, now, time.Now())
	*now = c.newProgress()
	for len(items) > 0 {
		c.send(ctx, ch, now, items)
		c.settle(ctx, ch, now.requests, in(open, items), c.retry.SettleTimeout)
		if items = in(again, items); len(items) == 0 {
			return
		}
		if goOn, ended := c.pause(ctx, ch.op, soleAPI(items), now, items[0].failed); !goOn {
			for _, it := range items {
				c.turns.finish(ch, it, nil, giveUp(ch.op, it.APIID, now, it.failed, ended, nil))
			}
			return
		}
		items = c.stillAgain(ctx, ch, now.requests, items)
	}
}

// stillAgain looks once more at what is in effect where that was too long ago,
// since the wait or other APIs of a batch took their time: sending the change
// again would undo what somebody else has done meanwhile.
func (c *Client) stillAgain(ctx context.Context, ch *change, requests int, items []*item) []*item {
	if ch.makesVersion {
		return items // which undoes nothing
	}
	for looks := 0; ; looks++ {
		var stale []*item
		for _, it := range items {
			if !it.since.IsZero() && time.Since(it.looked) > freshLook {
				it.state = open
				stale = append(stale, it)
			}
		}
		if len(stale) == 0 {
			return items
		}
		if looks == freshLooks {
			for _, it := range stale {
				c.turns.finish(ch, it, nil, c.turns.unknownError(ch, it, requests, "what is in effect cannot be read in time to repeat the change", nil))
			}
			return in(again, items)
		}
		c.settle(ctx, ch, requests, stale, c.retry.SettleTimeout+c.retry.MaxWait) // the wait is over by then
		items = in(again, items)
	}
}

// send makes one request for all of the items.
func (c *Client) send(ctx context.Context, ch *change, now *progress, items []*item) {
	req, err := ch.request(items)
	if ch.refused != nil && ch.refused.Load() != nil {
		err = *ch.refused.Load()
	}
	if err != nil {
		for _, it := range items {
			c.turns.finish(ch, it, nil, err)
		}
		return
	}
	failed := call(ctx, &c.service, &operation{name: ch.op, apiID: soleAPI(items), request: req, decoder: ch.reader(items), progress: now})
	if failed != nil && ch.refused != nil && errors.Is(failed.err, ErrUnauthorized) {
		ch.refused.Store(&failed.err)
	}
	for _, it := range items {
		if failed != nil {
			it.failed = failed
		}
		c.answered(ch, now, it)
	}
}

// answered takes what an answer says of one item.
func (c *Client) answered(ch *change, now *progress, it *item) {
	f := it.failed
	if f == nil {
		c.turns.finish(ch, it, it.Record, nil)
		return
	}
	switch e := f.err.(type) { //nolint:errorlint // the answer does not know it, and what its tree holds may be shared
	case *APIGError:
		e.Attempts = now.requests
	case *CallError:
		e.Attempts = now.requests
	}
	switch {
	case f.verdict == unknown:
		it.state = open
		if it.since.IsZero() {
			it.since = f.start
		}
	case f.verdict == notApplied:
		it.state = again
	case !it.since.IsZero() && slices.Contains(ch.done, f.code):
		c.turns.finish(ch, it, ch.offlineRecord(it), nil)
	default:
		c.turns.finish(ch, it, nil, f.err)
	}
}
