package apig

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"
)

const (
	// fewCalls is up to how many calls are settled one by one. For more it is
	// cheaper to list first what is published: 500 APIs a request.
	fewCalls = 16

	// historyParallel is how many histories of one chunk are read at once.
	historyParallel = 8
)

// one is what the call would be on its own.
func (b *batch) one(c *batchCall) ActionRequest {
	return ActionRequest{APIID: c.APIID, EnvID: b.envID, Remark: b.remark}
}

// lose settles calls whose common answer was lost.
func (b *batch) lose(ctx context.Context, l lost, calls []*batchCall) {
	for _, c := range calls {
		c.Err = l.cause
	}
	b.settle(ctx, l, calls)
}

// settle finds out what became of the calls, each of which has the reason for
// asking as its Err. Afterwards each has succeeded, may be repeated, or has an
// error to report.
func (b *batch) settle(ctx context.Context, l lost, calls []*batchCall) {
	for _, c := range calls {
		c.open = true
		if c.doubt.IsZero() {
			c.doubt = l.start
		}
	}
	defer b.logOutcomes(ctx, l, calls)
	if len(calls) <= fewCalls {
		inParallel(historyParallel, calls, func(c *batchCall) { b.settleOne(ctx, l, c) })
		return
	}
	looks := l.looks()
	first, last := looks[0], looks[len(looks)-1]
	for look := first; ; look = last {
		cutShort := sleep(ctx, l.end.Add(look))
		if ctx.Err() != nil {
			b.leave(calls, "the context ended before it was settled", ctx.Err())
			return
		}
		b.look(ctx, calls, look == last)
		if cutShort != nil {
			b.leave(calls, "the context ends before it can be settled", cutShort)
		}
		if look == last || cutShort != nil || !slices.ContainsFunc(calls, func(c *batchCall) bool { return c.open }) {
			return
		}
	}
}

// settleOne settles a call as if it had been made on its own.
func (b *batch) settleOne(ctx context.Context, l lost, c *batchCall) {
	l.start = c.doubt
	if b.direction == publishing {
		b.conclude(ctx, c, b.settlePublish(ctx, l, b.op, b.one(c), c.turn))
	} else {
		b.conclude(ctx, c, b.settleOffline(ctx, l, b.op, b.one(c), c.turn))
	}
}

func (b *batch) conclude(ctx context.Context, c *batchCall, s settled[*PublishRecord]) {
	switch s.standing {
	case applied:
		c.succeed(s.value)
	case absent:
		c.repeat()
	case gone:
		c.fail(s.err)
	default:
		c.fail(&unknownError{cause: c.Err, why: s.why, ctx: cmp.Or(ctx.Err(), s.err)})
	}
}

// leave reports the calls that are still open as unknown, because of the end of
// the context if that is not nil.
func (b *batch) leave(calls []*batchCall, why string, ended error) {
	for _, c := range calls {
		if c.open {
			c.fail(&unknownError{cause: c.Err, why: why, ctx: ended})
		}
	}
}

// look looks once at what is published and, where that does not decide, at the
// history of an API. The last look leaves none of the calls open.
func (b *batch) look(ctx context.Context, calls []*batchCall, last bool) {
	published, err := b.published(ctx)
	if err != nil {
		b.leave(calls, unreadable(ctx, err, b.op).why, ctx.Err())
		return
	}
	var ask []*batchCall
	for _, c := range calls {
		api := published.apis[c.APIID]
		since := published.clock.since(c.doubt)
		switch {
		case !c.open:
		case api == nil && b.direction == withdrawing && published.whole:
			c.succeed(b.one(c).takenOffline())
		case api == nil && b.direction == publishing && !last: // it may still be applied
		case api != nil && api.publishedBefore(b.envID, since) && !last: // likewise
		case api != nil && api.publishedBefore(b.envID, since.Add(-doubt)):
			// Nobody has published since, so this call has not. Where nothing
			// is published that does not follow: it may be offline again.
			c.repeat()
		default:
			ask = append(ask, c)
		}
	}
	inParallel(historyParallel, ask, func(c *batchCall) { b.ask(ctx, c, published.apis[c.APIID], last) })
}

// ask reads the history of one API. Only the last look takes anything but a
// success from it.
func (b *batch) ask(ctx context.Context, c *batchCall, api *API, last bool) {
	h, err := b.history(ctx, c.APIID, b.envID)
	if err != nil {
		s := unreadable(ctx, err, b.op)
		b.conclude(ctx, c, settled[*PublishRecord]{standing: s.standing, why: s.why, err: s.err})
		return
	}
	var s settled[*PublishRecord]
	if b.direction == publishing {
		var v *Version
		if s.standing, v, s.why = h.judgePublish(b.remark, c.doubt, b.retry.TagRemark,
			b.contested(c.turn, b.envID, b.remark, c.doubt), c.turn.knows(b.envID)); v != nil {
			s.value = v.recovered()
			s.value.APIID, s.value.EnvID = c.APIID, b.envID
			if api != nil && v.InEffect() {
				s.value.APIName, s.value.PublishID = api.Name, api.publishedIn(b.envID).PublishID
			}
		}
	} else {
		s.standing, _, s.why = h.judgeOffline(c.doubt, c.turn.knows(b.envID))
		s.value = b.one(c).takenOffline()
	}
	if s.standing == applied || last {
		b.conclude(ctx, c, s)
	}
}

// publishedAPIs are the APIs that are published in an environment.
type publishedAPIs struct {
	apis  map[string]*API // by ID
	clock clock

	// whole says that they came in one page. Of several, those that follow may
	// miss an API, if others have gone offline since the first was made.
	whole bool
}

// published lists the APIs that are published in the environment.
func (b *batch) published(ctx context.Context) (publishedAPIs, error) {
	l := APIQuery{EnvID: b.envID}.list("history")
	l.patient = true
	found := publishedAPIs{apis: map[string]*API{}, whole: true}
	for p, err := range l.pages(ctx, b.Client) {
		if err != nil {
			return publishedAPIs{}, err
		}
		if p.offset == 0 {
			found.clock = p.clock
		} else {
			found.whole = false
		}
		for i := range p.rows {
			if api := &p.rows[i]; api.publishedIn(b.envID) != nil {
				found.apis[api.ID] = api
			}
		}
	}
	return found, nil
}

// publishedBefore reports whether what is published in an environment was so
// before t, by the gateway's clock.
func (a *API) publishedBefore(envID string, t time.Time) bool {
	p := a.publishedIn(envID)
	return p != nil && !p.PublishTime.IsZero() && p.PublishTime.Before(t)
}

// logOutcomes writes one record for all the calls that were settled together.
func (b *batch) logOutcomes(ctx context.Context, l lost, calls []*batchCall) {
	count := map[string]int{}
	for _, c := range calls {
		switch {
		case c.Record != nil:
			count[applied.String()]++
		case c.again:
			count[absent.String()]++
		default:
			count[doubtful.String()]++
		}
	}
	b.log.LogAttrs(ctx, slog.LevelWarn, "apig: settled",
		slog.String("op", b.op),
		slog.Int("apis", len(calls)),
		slog.Duration("duration", time.Since(l.end)),
		slog.Any("result", count))
}
