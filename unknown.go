package apig

import (
	"context"
	"errors"
	"time"

	"github.com/apig-go/apig/internal/errorbody"
)

// actionOf is what an UnknownError with this Op is about, or nil.
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

// asLongAsContext is a time to settle that ends no context before its own end,
// however long ago the last look was due: more than a hundred years.
const asLongAsContext = time.Duration(1 << 62)

// Settle looks again what became of a change whose outcome was unknown: of an
// error that is or wraps an [*UnknownError], perhaps one made again from its JSON.
// It reads the gateway's history for as long as ctx lasts, and changes nothing.
// It returns the record of a change that was applied, an error that is not
// unknown for one that was not, or an [*UnknownError] again. The record is nil
// otherwise, and for a nil error.
//
// Of a [*BatchError] it settles every item of unknown outcome, one after the
// other, and returns the items that then still are failed as a [*BatchError], or
// nil if there are none; the record is that of the item if it had only one.
//
// What another gateway was to change stays unknown, and the error matches
// [ErrInvalidArgument] too. An error that is not unknown comes back unchanged, and
// so does nil.
func (c *Client) Settle(ctx context.Context, err error) (*PublishRecord, error) {
	if OutcomeOf(err) != Unknown {
		return nil, err
	}
	var batch *BatchError
	if errors.As(err, &batch) {
		return c.settleBatch(ctx, batch)
	}
	var lost *UnknownError
	if !errors.As(err, &lost) {
		return nil, err
	}
	act := actionOf(lost.Op)
	if mistake := lost.check(act, c.turns.instanceID); mistake != nil { // which settles nothing
		return nil, lost.stillUnknown(reasonOf(mistake), mistake)
	}
	t, waitErr := c.take(ctx, lost.Op, lost.APIID)
	if waitErr != nil {
		return nil, lost.stillUnknown("its turn did not come", ctx.Err())
	}
	ch := &change{op: lost.Op, action: act, envID: lost.EnvID, remark: lost.Remark, tagged: lost.Tagged, versionID: lost.VersionID}
	it := &item{BatchItem: BatchItem{APIID: lost.APIID}, turn: t, since: lost.SentAt, lost: lost, failed: lost.failure()}
	items := []*item{it}
	defer c.turns.abandon(ch, items, &progress{}, lost.SentAt)
	c.settle(ctx, ch, lost.Attempts, items, asLongAsContext)
	if it.state == again {
		c.turns.finish(ch, it, nil, lost.notApplied())
	}
	return it.Record, it.Err
}

// settleBatch settles the items of a batch that are unknown.
func (c *Client) settleBatch(ctx context.Context, batch *BatchError) (*PublishRecord, error) {
	var record *PublishRecord
	left := &BatchError{Op: batch.Op, total: batch.total}
	for _, it := range batch.Items {
		if record, it.Err = c.Settle(ctx, it.Err); it.Err != nil {
			left.Items = append(left.Items, it)
		}
	}
	if len(batch.Items) != 1 {
		record = nil
	}
	if len(left.Items) > 0 {
		return record, left
	}
	return record, nil
}

// check reports the mistakes in an error that was not made by this package, or not
// by a client of this gateway.
func (e *UnknownError) check(act *action, instanceID string) error {
	var bad problems
	if act == nil {
		bad.addf("UnknownError.Op %q is not a method that changes something", errorbody.Line(e.Op, maxCode))
	}
	if !sameOrEmpty(e.InstanceID, instanceID) {
		bad.addf("UnknownError.InstanceID \"%s\" is another gateway than that of the client, \"%s\"",
			errorbody.Line(e.InstanceID, maxCode), errorbody.Line(instanceID, maxCode))
	}
	bad.id("UnknownError.APIID", e.APIID)
	if act == online || act == offline {
		bad.id("UnknownError.EnvID", e.EnvID)
	} else {
		bad.id("UnknownError.VersionID", e.VersionID)
	}
	if e.SentAt.IsZero() {
		bad.addf("UnknownError.SentAt is zero")
	}
	return bad.err()
}

// failure is the attempt that the error is about, which may be applied as late as
// any.
func (e *UnknownError) failure() *failure {
	end := e.FailedAt
	if end.IsZero() {
		end = time.Now()
	}
	return &failure{err: e.cause, verdict: unknown, sent: true, timedOut: true, start: e.SentAt, end: end}
}

// notApplied is the error after a look that has shown that nothing was applied.
func (e *UnknownError) notApplied() *CallError {
	n := &CallError{Op: e.Op, APIID: e.APIID, Attempts: e.Attempts, why: "not applied, as the gateway's history shows"}
	if e.cause != nil {
		n.why += "; the failure was: " + reasonOf(e.cause)
		n.tree = []error{e.cause}
	}
	return n
}
