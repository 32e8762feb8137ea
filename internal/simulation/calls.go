package simulation

import (
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
	client, api, env := w.clients[c.process], w.api(c.apis[0]), w.envIDs[c.env]
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
	given := c.spell(api)
	r := apig.ActionRequest{APIID: given, EnvID: w.spellEnv(c, env), Remark: c.remark}
	switch c.op {
	case opPublish:
		c.single(client.Publish(ctx, r))
	case opOffline:
		c.single(client.Offline(ctx, r))
	case opSwitch:
		c.single(client.SwitchVersion(ctx, given, c.version))
	case opOfflineVersion:
		c.single(offlineVersion(ctx, client, given, c.version))
	case opRollback:
		c.single(rollback(ctx, client, given, r.EnvID))
	case opPublishBatch:
		c.many(client.PublishBatch(ctx, apig.BatchRequest{APIIDs: c.apiIDs, EnvID: r.EnvID, Remark: c.remark}))
	case opOfflineBatch:
		c.many(client.OfflineBatch(ctx, apig.BatchRequest{APIIDs: c.apiIDs, EnvID: r.EnvID, Remark: c.remark}))
	case opPublishGroup:
		c.many(client.PublishBatch(ctx, apig.BatchRequest{GroupID: c.spell(w.groups[c.call.group]), EnvID: r.EnvID, Remark: c.remark}))
	case opOfflineGroup:
		c.many(client.OfflineBatch(ctx, apig.BatchRequest{GroupID: c.spell(w.groups[c.call.group]), EnvID: r.EnvID, Remark: c.remark}))
	case opPublished:
		c.read = &reading{}
		v, err := client.Published(ctx, given, r.EnvID)
		switch {
		case err == nil:
			c.read.current = strings.ToLower(v.ID)
		case !errors.Is(err, apig.ErrNotPublished):
			c.read.failed = true
		}
	case opVersions:
		c.read = &reading{}
		for v, err := range client.Versions(ctx, apig.VersionQuery{APIID: given, EnvID: r.EnvID}) {
			if err != nil {
				c.read.failed = true
				break
			}
			c.read.versions = append(c.read.versions, v)
		}
	}
	c.end = time.Now()
	for i := range c.reports {
		c.reports[i].at, c.reports[i].first = c.end, c.end
		c.reports[i].was = outcomeOf(c.reports[i].err)
	}
	for _, r := range c.reports {
		if r.was == unknown {
			if why := checkUnknown(r.err, r.api); why != "" {
				c.bad = append(c.bad, why)
			}
		}
	}
	c.settleByHand(w.settler(c))
}

// settler is the client that settles by hand what a call has left unknown.
func (w *world) settler(c *running) *apig.Client {
	if c.abroad {
		return w.clients[(c.process+1)%len(w.clients)]
	}
	return w.clients[c.process]
}

// settleByHand settles what was reported as unknown, perhaps more than once.
func (c *running) settleByHand(client *apig.Client) {
	left := func(r report) bool { return outcomeOf(r.err) == unknown }
	for range c.settle {
		if !slices.ContainsFunc(c.reports, left) {
			return
		}
		time.Sleep(c.rest)
		for i := range c.reports {
			r := &c.reports[i]
			if !left(*r) {
				continue
			}
			if c.abroad {
				r.err = carried(r.err)
			}
			lost := r.err
			r.record, r.err = c.settleOne(client, r.api, lost)
			r.at = time.Now()
			if c.again && !left(*r) {
				_, err := c.settleOne(client, r.api, lost)
				switch was, now := outcomeOf(r.err), outcomeOf(err); {
				case now == unknown, now == was:
				case now == applied && !c.op.publishes(): // it is so by now, whoever has made it so
				default:
					c.bad = append(c.bad, fmt.Sprintf("settled as %v, and then as %v", was, now))
				}
			}
		}
	}
}

// settleOne settles what one error has left unknown.
func (c *running) settleOne(client *apig.Client, api string, lost error) (*apig.PublishRecord, error) {
	c.settles++
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), callKey{}, c), time.Minute)
	defer cancel()
	start := time.Now()
	record, err := settle(ctx, client, lost)
	end := time.Now()
	c.settlings = append(c.settlings, span{api, start, end})
	if end.Sub(start) > time.Minute {
		c.bad = append(c.bad, "Settle went on past its context")
	}
	if (record == nil) == (err == nil) {
		c.bad = append(c.bad, "Settle returned both a record and an error, or neither")
	}
	return record, err
}

// spell writes an ID as the caller of c does.
func (c *running) spell(id string) string {
	if c.upper {
		return strings.ToUpper(id)
	}
	return id
}

// spellEnv leaves the one that has a name for an ID as it is.
func (w *world) spellEnv(c *running, env string) string {
	if env == apig.EnvRelease {
		return env
	}
	return c.spell(env)
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
	if (record == nil) == (err == nil) {
		c.bad = append(c.bad, "it returned both a record and an error, or neither")
	}
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
	bad := 0
	for i, item := range result.Items {
		if !c.op.group() && (i >= len(c.apiIDs) || item.APIID != c.apiIDs[i]) {
			c.bad = append(c.bad, fmt.Sprintf("item %d is of another API than asked for", i))
		}
		if (item.Record == nil) == (item.Err == nil) {
			c.bad = append(c.bad, fmt.Sprintf("item %d has both a record and an error, or neither", i))
		}
		if item.Err != nil {
			bad++
		}
		c.reports = append(c.reports, report{api: strings.ToLower(item.APIID), record: item.Record, err: item.Err})
	}
	if !c.op.group() && len(result.Items) != len(c.apiIDs) {
		c.bad = append(c.bad, fmt.Sprintf("%d items for %d APIs", len(result.Items), len(c.apiIDs)))
	}
	if (bad > 0) != (failed != nil) || failed != nil && len(failed.Items) != bad {
		c.bad = append(c.bad, "its error does not have the items that failed")
	}
}
