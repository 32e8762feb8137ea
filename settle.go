package apig

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"
)

// Settle looks again whether a change of unknown outcome was applied. It changes
// nothing. It returns
//
//   - a record if the change was applied
//   - an error that is not an [*UnknownError] if it was not applied
//   - an [*UnknownError] if the outcome is still unknown
//
// It waits until the lost request can no longer arrive: ArrivesWithin after
// FailedAt, or ArrivesWithin from now for an error made from JSON, since FailedAt is
// the time of another machine's clock. Then it reads the gateway's history for
// [RetryPolicy].SettleTimeout and 200 ms at most. While the service throttles the
// client, reading goes on longer, by BusyTimeout at most. If the deadline of ctx comes
// before the end of the wait, Settle looks for a tag only, before the deadline.
//
// A publication was applied if the history has its tag. It was not applied if each new
// version has another tag, or if there is no new version, and none can have been
// displaced. Otherwise it stays unknown. For every other change Settle looks at the
// version in effect, so its answer is about the moment of asking.
//
// An UnknownError of another gateway, or with a wrong or missing field, stays
// unknown and matches [ErrInvalidArgument] too. For a nil UnknownError the error is
// ErrInvalidArgument alone.
func (c *Client) Settle(ctx context.Context, lost *UnknownError) (*PublishRecord, error) {
	if lost == nil {
		return nil, problems{"UnknownError is nil"}.err()
	}
	items := []BatchItem{{APIID: lost.APIID, Err: lost}}
	c.settleAll(ctx, items)
	return items[0].Record, items[0].Err
}

// SettleBatch settles all unknown items of a batch, eight at a time, as Settle does.
// The result has every item of the error: an unknown item with the record or the error
// that Settle returns, any other item as it is. The error is nil if all items were
// applied. Otherwise it is a [*BatchError] with the items that were not applied and the
// items that are still unknown.
//
// Reading ends [RetryPolicy].SettleTimeout and 200 ms for each item after the last
// lost request can no longer arrive, or later while the service throttles the client,
// as in Settle.
func (c *Client) SettleBatch(ctx context.Context, batch *BatchError) (*BatchResult, error) {
	if batch == nil {
		return nil, problems{"BatchError is nil"}.err()
	}
	result := &BatchResult{Items: append([]BatchItem(nil), batch.Items...)}
	c.settleAll(ctx, result.Items)
	return result, result.failed(batch.Op)
}

// settleAll settles the items that have an UnknownError.
func (c *Client) settleAll(ctx context.Context, results []BatchItem) {
	var items []*item
	var lost []*UnknownError
	var places []int
	due, now := time.Time{}, time.Now()
	for i := range results {
		var e *UnknownError
		if !errors.As(results[i].Err, &e) || e == nil {
			continue
		}
		act := actionOf(e.Op)
		if mistake := e.check(act, c.instanceID); mistake != nil {
			results[i].Err = e.stillUnknown(reasonOf(mistake), mistake)
			continue
		}
		it := &item{BatchItem: results[i], state: open, failed: e.failure(),
			change: &change{action: act, op: e.Op, envID: e.EnvID, remark: e.Remark, tag: e.Tag, versionID: e.VersionID}}
		it.APIID, it.Record, it.Err = e.APIID, nil, nil
		at := now // the clock of another machine is not comparable with this one
		if !it.failed.foreign && e.FailedAt.Before(now) {
			at = e.FailedAt
		}
		at = at.Add(cmp.Or(e.ArrivesWithin, 2*c.retry.SettleWait))
		if at.After(due) {
			due = at
		}
		items, lost, places = append(items, it), append(lost, e), append(places, i)
	}
	if len(items) == 0 {
		return
	}
	progress := c.newProgress()
	ended := c.settle(ctx, items, &progress, due)
	for i, it := range items {
		switch it.state {
		case ready:
			it.Err = lost[i].notApplied()
		case open:
			it.Err = lost[i].stillUnknown(it.why, ended)
		}
		results[places[i]] = it.BatchItem
	}
}

// actionOf is the kind of change that a method makes, or nil.
func actionOf(op string) *action {
	switch op {
	case "Publish", "PublishBatch":
		return online
	case "Offline", "OfflineBatch":
		return offline
	case "SwitchVersion", "Rollback":
		return switchVersion
	case "OfflineVersion":
		return offlineVersion
	}
	return nil
}

// settle reads the outcome of open items from the gateway's history. due is when the
// last lost request can no longer arrive. Before that only a tag proves something.
// Afterwards each item is done, ready to be sent again, or still open. If settle could
// not wait so long it returns the reason.
func (c *Client) settle(ctx context.Context, items []*item, now *progress, due time.Time) (ended error) {
	begin := time.Now()
	if ended = sleep(ctx, due); ended == nil {
		c.look(ctx, "history", items, now, due, judged)
	} else if deadline, ok := ctx.Deadline(); ok {
		// The context ends before. A tag proves something even now.
		tagged := slices.DeleteFunc(slices.Clone(items), func(it *item) bool { return it.tag == "" || !it.makesVersion })
		if len(tagged) > 0 && sleep(ctx, time.Now().Add(time.Until(deadline)/2)) == nil {
			c.look(ctx, "history", tagged, now, time.Now(), judgedEarly)
		}
	}
	ended = cmp.Or(ctx.Err(), ended)
	for _, it := range in(open, items) {
		if ended != nil && it.why == "" {
			it.why = "the context ended before it was settled"
		}
	}
	c.logSettled(ctx, items, now.requests, begin)
	return ended
}

// judged gives an item the state that its history proves.
func judged(it *item, h *history, err error) {
	if err != nil {
		it.why = "the history cannot be read: " + reasonOf(err)
		return
	}
	is, v, why := it.judge(h, it)
	switch is {
	case Applied:
		it.finish(it.recovered(v), nil)
	case NotApplied:
		it.state, it.seen = ready, h.ids()
		it.busy = it.failed.code == CodeSyncFailed // another write was in progress
	default:
		it.why = why
	}
}

// judgedEarly does so while the request may still arrive.
func judgedEarly(it *item, h *history, err error) {
	if err == nil && h.tagged(it.tag) != nil {
		judged(it, h, nil)
	}
}

// logSettled writes one record for all the items that were settled together.
func (c *Client) logSettled(ctx context.Context, items []*item, requests int, begin time.Time) {
	if !c.log.Enabled(ctx, slog.LevelWarn) {
		return
	}
	op := &operation{name: items[0].op, apiID: soleAPI(items), tag: items[0].tag}
	var count [done + 1]int
	var why string
	for _, it := range items {
		if count[it.state]++; it.state == open {
			why = cmp.Or(why, it.why)
		}
	}
	c.log.LogAttrs(ctx, slog.LevelWarn, "apig: settled", append(op.attrs(),
		slog.Int("apis", len(items)),
		slog.Int("attempt", requests),
		slog.Any("reason", items[0].failed.err),
		slog.Duration("duration", time.Since(begin)),
		slog.Int("applied", count[done]),
		slog.Int("not_applied", count[ready]),
		slog.Int("unknown", count[open]),
		slog.String("why", why))...)
}
