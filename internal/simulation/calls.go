package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apig-go/apig"
)

// call makes one call and keeps what it reports.
func (w *world) call(c *running) {
	client, api, env := w.apigs[c.process], w.api(c.apis[0]), w.envIDs[c.env]
	for _, i := range c.apis {
		c.apiIDs = append(c.apiIDs, c.spell(w.api(i)))
	}
	if c.op.versioned() {
		c.version = c.spell(w.choose(c))
	}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), callKey{}, c))
	defer cancel()
	c.stop = cancel
	c.start = time.Now()
	close(c.begun)
	switch {
	case c.deadline > 0:
		c.canceled = c.start.Add(c.deadline)
		ctx, cancel = context.WithDeadline(ctx, c.canceled)
		defer cancel()
	case c.cancel > 0:
		c.canceled = c.start.Add(c.cancel)
		defer time.AfterFunc(c.cancel, cancel).Stop()
	}
	given, in, key := c.spell(api), c.spell(env), c.key
	group := c.spell(w.groups[c.call.group])
	switch op := c.op; {
	case w.client != nil:
		c.byOther(ctx, given, in)
	case op == opPublish:
		c.single(client.Publish(ctx, apig.PublishRequest{APIID: given, EnvID: in, Remark: c.remark, IdempotencyKey: key}))
	case op == opOffline:
		c.single(client.Offline(ctx, apig.OfflineRequest{APIID: given, EnvID: in, Remark: c.remark}))
	case op == opSwitch:
		c.single(client.SwitchVersion(ctx, given, c.version))
	case op == opOfflineVersion:
		c.single(client.OfflineVersion(ctx, given, c.version))
	case op == opRollback:
		c.single(client.Rollback(ctx, given, in))
	case op == opPublishBatch:
		c.many(client.PublishBatch(ctx, apig.PublishBatchRequest{APIIDs: c.apiIDs, EnvID: in, Remark: c.remark, IdempotencyKey: key}))
	case op == opOfflineBatch:
		c.many(client.OfflineBatch(ctx, apig.OfflineBatchRequest{APIIDs: c.apiIDs, EnvID: in, Remark: c.remark}))
	case op == opPublishGroup:
		c.many(client.PublishBatch(ctx, apig.PublishBatchRequest{GroupID: group, EnvID: in, Remark: c.remark}))
	case op == opOfflineGroup:
		c.many(client.OfflineBatch(ctx, apig.OfflineBatchRequest{GroupID: group, EnvID: in, Remark: c.remark}))
	case op == opPublished:
		v, err := client.Published(ctx, given, in)
		c.unread = err != nil && !errors.Is(err, apig.ErrNotPublished)
		if err == nil {
			c.read[strings.ToLower(v.ID)] = true
		}
	case op == opVersions:
		for v, err := range client.Versions(ctx, given, in) {
			c.unread = err != nil
			c.read[strings.ToLower(v.ID)] = v.InEffect()
		}
	}
	c.end = time.Now()
	for i := range c.reports {
		r := &c.reports[i]
		r.at, r.first, r.was = c.end, c.end, apig.OutcomeOf(r.err)
		if why := checkUnknown(r.err, r.api); r.was == apig.Unknown && why != "" {
			c.bad = append(c.bad, why)
		}
	}
	close(c.ended)
	c.settleByHand()
}

// settleByHand settles what was reported as unknown, perhaps more than once.
func (c *running) settleByHand() {
	by := c.process
	if c.abroad {
		by = (by + 1) % len(c.world.apigs)
	}
	for range c.settle {
		var lost []int
		for i, r := range c.reports {
			if apig.OutcomeOf(r.err) == apig.Unknown {
				lost = append(lost, i)
			}
		}
		if len(lost) == 0 {
			return
		}
		time.Sleep(c.rest)
		c.world.flooded(c)
		if c.abroad {
			for _, i := range lost {
				c.reports[i].err = carried(c.reports[i].err, c.off)
			}
			c.off = 0 // it is carried there once
		}
		before := slices.Clone(c.reports)
		c.settleSome(by, c.reports, lost)
		if !c.again {
			continue
		}
		second := slices.Clone(before)
		c.settleSome(by, second, lost)
		for _, i := range lost {
			was, now := apig.OutcomeOf(c.reports[i].err), apig.OutcomeOf(second[i].err)
			if was != apig.Unknown && now != apig.Unknown && now != was && (now != apig.Applied || c.op.publishes()) { // a state is so by now, whoever has made it so
				second[i].was = was
				c.minds = append(c.minds, second[i])
			}
		}
	}
}

// settleSome has a process settle some of the reports, one after the other or all
// together.
func (c *running) settleSome(by int, reports []report, lost []int) {
	client := c.world.apigs[by]
	if c.op.batch() && c.together {
		batch := &apig.BatchError{Op: string(c.op)}
		for _, i := range lost {
			batch.Items = append(batch.Items, apig.BatchItem{APIID: reports[i].api, Err: reports[i].err})
		}
		c.settling(by, len(lost), func(ctx context.Context) {
			result, err := client.SettleBatch(ctx, batch)
			if result == nil || len(result.Items) != len(lost) || (err == nil) != !slices.ContainsFunc(result.Items, func(it apig.BatchItem) bool { return it.Err != nil }) {
				c.bad = append(c.bad, "SettleBatch does not return what it was given")
				return
			}
			for n, i := range lost {
				reports[i].record, reports[i].err = result.Items[n].Record, result.Items[n].Err
			}
		})
	}
	for _, i := range lost {
		r := &reports[i]
		if !c.op.batch() || !c.together {
			var e *apig.UnknownError
			errors.As(r.err, &e)
			c.settling(by, 1, func(ctx context.Context) { r.record, r.err = client.Settle(ctx, e) })
		}
		r.at = time.Now()
		c.either(r.record, r.err)
	}
}

// settling holds Settle to its context or, without a deadline, to the policy.
func (c *running) settling(by, apis int, do func(context.Context)) {
	c.settles += apis
	ctx, limit := context.WithValue(context.Background(), callKey{}, c), time.Minute
	if c.endless {
		policy := c.world.processes[by].policy
		limit = settleTimeout + time.Duration(apis)*settlePerAPI + 2*policy.SettleWait + cmp.Or(max(policy.BusyTimeout, 0), busyTimeout)
	} else {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	start, limited := time.Now(), c.limited
	do(ctx)
	if took := time.Since(start); took > limit+c.limited-limited {
		c.hung = append(c.hung, fmt.Sprintf("settling took %v, and may take %v", took, limit))
	}
}

// either holds a report to have a record or an error.
func (c *running) either(record *apig.PublishRecord, err error) {
	if (record == nil) == (err == nil) {
		c.bad = append(c.bad, "it returned both a record and an error, or neither")
	}
}

// spell writes an ID as the caller of c does. The first environment has a name for one.
func (c *running) spell(id string) string {
	if c.upper && id != apig.EnvRelease {
		return strings.ToUpper(id)
	}
	return id
}

// choose is the version that a call is about: one that the gateway keeps, and
// for a call that takes one offline most often the one in effect.
func (w *world) choose(c *running) string {
	api, env := w.api(c.apis[0]), w.envIDs[c.env]
	kept := w.gateway.History(api, env)
	if c.op == opOfflineVersion && c.call.version < 8 {
		for _, v := range kept {
			if v.InEffect {
				return v.ID
			}
		}
	}
	if len(kept) == 0 {
		return strings.Repeat("0", idLength)
	}
	return kept[c.call.version%len(kept)].ID
}

func (c *running) single(record *apig.PublishRecord, err error) {
	c.reports = []report{{api: strings.ToLower(c.apiIDs[0]), record: record, err: err}}
	c.either(record, err)
}

func (c *running) many(result *apig.BatchResult, err error) {
	var failed *apig.BatchError
	if err != nil && !errors.As(err, &failed) {
		c.whole = err
		if result != nil && len(result.Items) > 0 {
			c.bad = append(c.bad, "it returned items and an error that has none")
		}
		for _, id := range c.apiIDs {
			if !c.op.group() {
				c.reports = append(c.reports, report{api: strings.ToLower(id), err: err})
			}
		}
		return
	}
	if result == nil {
		c.bad = append(c.bad, "it returned no result")
		return
	}
	var ids []string
	bad := 0
	for _, item := range result.Items {
		c.either(item.Record, item.Err)
		if item.Err != nil {
			bad++
		}
		ids = append(ids, item.APIID)
		c.reports = append(c.reports, report{api: strings.ToLower(item.APIID), record: item.Record, err: item.Err})
	}
	if !c.op.group() && !slices.Equal(ids, c.apiIDs) {
		c.bad = append(c.bad, "its items are not those asked for")
	}
	if (bad > 0) != (failed != nil) || failed != nil && len(failed.Items) != bad {
		c.bad = append(c.bad, "its error does not have the items that failed")
	}
}
