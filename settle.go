package apig

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/apig-go/apig/internal/errorbody"
)

const (
	// Up to fewItems outcomes are looked for before the last look too, and their
	// records completed with what the history does not tell: both take requests.
	fewItems = 16

	// historiesAtOnce is how many histories one settling reads at once.
	historiesAtOnce = 8

	// settleTimeEach is what each API adds to RetryPolicy.SettleTimeout.
	settleTimeEach = 50 * time.Millisecond

	// A read that takes slowRead or longer leaves open when the gateway read its
	// clock, which can make a version doubtful. Then the history is read again, up
	// to slowReads times in all.
	slowRead  = time.Second
	slowReads = 3
)

// settle finds out what became of items whose outcome is unknown, from the
// gateway's own history. Reading it ends timeout after the last look was due, or
// when ctx ends. Afterwards each item is done or may be sent again.
func (c *Client) settle(ctx context.Context, ch *change, requests int, items []*item, timeout time.Duration) {
	if len(items) == 0 {
		return
	}
	begin := time.Now()
	due := c.looks(ch, items)
	lastDue := due[len(due)-1]
	reading, cancel := context.WithDeadline(ctx, lastDue.Add(timeout+time.Duration(len(items))*settleTimeEach))
	defer cancel()
	patient := c.patient()
	once := *patient
	once.retry.MaxAttempts = 1
	var refused atomic.Bool
	early := look{ch: ch, reader: &once, once: &once, refused: &refused, few: true}
	last := look{ch: ch, reader: patient, once: &once, refused: &refused, few: len(items) <= fewItems, last: true}

	var ended error
	for i, at := range due {
		if i < len(due)-1 && !due[i+1].After(time.Now()) {
			continue // Settle comes later than that
		}
		l := early
		if ended = sleep(ctx, at); ended != nil {
			l.reader = patient // there will be no other look
		} else if at.Equal(lastDue) {
			l = last
		}
		if ctx.Err() == nil && (l.last || ch.makesVersion) {
			inParallel(historiesAtOnce, in(open, items), func(it *item) { c.look(reading, l, it) })
		}
		if ended != nil || refused.Load() || len(in(open, items)) == 0 {
			break
		}
	}
	c.logSettled(ctx, ch, requests, items, begin)
	for _, it := range in(open, items) {
		switch {
		case ctx.Err() != nil:
			it.why = "the context ended before it was settled"
		case ended != nil:
			it.why = "the context ends before it can be settled"
		}
		c.turns.finish(ch, it, nil, c.turns.unknownError(ch, it, requests, it.why, cmp.Or(ctx.Err(), ended)))
	}
}

// looks is when to read the history. The last look is when the request can no
// longer be under way: only then its absence counts, and what is in effect.
func (c *Client) looks(ch *change, items []*item) []time.Time {
	var end time.Time
	var wait time.Duration
	for _, it := range items {
		w := c.retry.SettleWait
		switch {
		case it.failed.timedOut:
			w *= 2
		case it.failed.serviceAnswered():
			w = 0
		}
		if it.failed.end.Add(w).After(end.Add(wait)) {
			end, wait = it.failed.end, w
		}
	}
	if now := time.Now(); end.After(now) {
		end = now // by the clock of another machine, which is ahead
	}
	if wait == 0 || !ch.makesVersion || len(items) > fewItems {
		return []time.Time{end.Add(wait)}
	}
	return []time.Time{end.Add(wait / 4), end.Add(wait / 2), end.Add(wait)}
}

// look is one look at the histories of a change.
type look struct {
	ch      *change
	reader  *service     // that the history is read with
	once    *service     // the same with one attempt
	refused *atomic.Bool // whether a signature was: five in a row lock the key, so there is no second
	few     bool         // whether it is worth another request to complete a record
	last    bool         // whether everything counts, or only a version that the change has made
}

// look takes from the history of one item what it proves.
func (c *Client) look(ctx context.Context, l look, it *item) {
	var found finding
	for reads := 1; ; reads++ {
		if l.refused.Load() {
			it.why = "the history cannot be read: the signature was refused"
			return
		}
		h, err := readHistory(ctx, l.reader, "history", it.APIID, l.ch.envID)
		if err != nil {
			l.refused.CompareAndSwap(false, errors.Is(err, ErrUnauthorized) && signs(c.auth))
			it.why = "the history cannot be read: " + reasonOf(err)
			return
		}
		q := c.inquiry(l.ch, it, h)
		found, it.looked = l.ch.judge(h, q), h.asked
		if it.sentAtGateway.IsZero() && q.sent.known() && q.sent.latest.Sub(q.sent.earliest) <= slack {
			it.sentAtGateway = q.sent.latest
		}
		if !l.last || found.outcome != Unknown || h.arrived.Sub(h.asked) < slowRead || reads == slowReads {
			break
		}
	}
	switch {
	case found.outcome == Applied && (l.last || l.ch.makesVersion):
		c.turns.finish(l.ch, it, l.record(ctx, it, found.version), nil)
	case found.outcome == NotApplied && l.last:
		it.state = again
	default:
		it.why = found.why
	}
}

// inquiry is what is asked of the history of an item.
func (c *Client) inquiry(ch *change, it *item, h *history) *inquiry {
	q := &inquiry{
		remark:    ch.remark,
		tagged:    ch.tagged,
		versionID: ch.versionID,
		envID:     ch.envID,
		sentAt:    it.since,
		since:     c.turns.at(it.since),
		sent:      h.at(it.since),
		turn:      it.turn,
	}
	if ch.makesVersion {
		q.contested = it.turn.in(ch.envID).contested(ch.remark, it.since)
	}
	if lost := it.lost; lost != nil {
		q.rivals = lost.rivals
		q.contested = q.contested || q.rivals.haveUnnamed()
		q.until = h.at(it.failed.end.Add(c.turns.late))
		switch at := lost.SentAtGateway; {
		case !at.IsZero() && q.sent.known():
			q.sent = span{at.Add(-slack), at}
			until := at.Add(it.failed.end.Sub(it.since) + c.turns.late)
			q.until = span{until.Add(-slack), until}
		case it.since.After(h.asked): // by the clock of another machine, which this one's cannot be compared with
			q.sent, q.until = span{}, span{}
		}
	}
	return q
}

// record is the record of a change whose own answer was lost.
func (l look) record(ctx context.Context, it *item, v *Version) *PublishRecord {
	if v == nil {
		return l.ch.offlineRecord(it)
	}
	record := &PublishRecord{
		APIID:       it.APIID,
		EnvID:       cmp.Or(l.ch.envID, v.EnvID),
		Remark:      v.Remark,
		PublishTime: v.PublishTime,
		VersionID:   v.ID,
		Recovered:   true,
	}
	if l.few && v.InEffect() && record.EnvID != "" {
		// The history does not name these two. They are worth one request, but
		// the change is known to be applied even if that fails.
		if d, err := readRuntime(ctx, l.once, it.APIID, record.EnvID); err == nil {
			record.PublishID, record.APIName = d.PublishID, d.Name
		}
	}
	return record
}

// logSettled writes one record for all the items that were settled together.
func (c *Client) logSettled(ctx context.Context, ch *change, requests int, items []*item, begin time.Time) {
	if !c.log.Enabled(ctx, slog.LevelWarn) {
		return
	}
	attrs := []slog.Attr{slog.String("op", ch.op)}
	if id := soleAPI(items); id != "" {
		attrs = append(attrs, slog.String("api_id", errorbody.Line(id, maxCode)))
	}
	var applied, notApplied, unknown int
	var why string
	for _, it := range items {
		switch {
		case it.Record != nil:
			applied++
		case it.state == again:
			notApplied++
		default:
			unknown++
			why = cmp.Or(why, it.why)
		}
	}
	c.log.LogAttrs(ctx, slog.LevelWarn, "apig: settled", append(attrs,
		slog.Int("apis", len(items)),
		slog.Int("attempt", requests),
		slog.Any("reason", items[0].failed.err),
		slog.Duration("duration", time.Since(begin)),
		slog.Int("applied", applied),
		slog.Int("not_applied", notApplied),
		slog.Int("unknown", unknown),
		slog.String("why", why))...)
}
