package apig

import (
	"cmp"
	"context"
	"slices"
	"time"
)

const (
	// batchLimit is the most APIs that the service takes in one request.
	batchLimit = 1000

	// requestsAtOnce is how many requests of one batch are in progress at once.
	requestsAtOnce = 4
)

// action is a kind of change, as data.
type action struct {
	word string // the service's own for it, where it has one

	// decode reads the answer to a change of one API. Its error says why the
	// answer cannot be read.
	decode func(*answer, target) (*PublishRecord, error)

	// judge reads from a history whether a lost request was applied, and perhaps by
	// which version; that it was not; or why this is unknown.
	judge func(*history, *item) (is Outcome, v *Version, why string)

	// done are the codes that mean applied after an attempt that may have been.
	done []Code

	// makesVersion says that the change makes a version. All other changes show
	// only in the version in effect, so a retry could undo the change of another
	// client.
	makesVersion bool
}

var (
	online = &action{word: "online", decode: decodePublished, judge: judgePublish, makesVersion: true}

	offline = &action{word: "offline", decode: (*answer).stateRecord, judge: judgeOffline,
		done: []Code{codeNotPublished, codeAlreadyPerformed}}

	switchVersion = &action{decode: decodeSwitched, judge: judgeSwitch}

	offlineVersion = &action{decode: decodeVersionOffline, judge: judgeOfflineVersion,
		done: []Code{codeNotPublished, CodeVersionNotFound}}
)

// change is the wish of a method, for one API or for many, as data.
type change struct {
	*action
	op        string
	envID     string // empty: the environment of the version
	remark    string // the caller's
	tag       string // that follows it; empty: none
	versionID string // to switch to or to take offline
	replaces  string // the version that was in effect before, if Rollback has read it

	// request is the request for some items, and read takes its answer: each item
	// gets its record or its failure. If read is nil, readOne does.
	request func(items []*item) request
	read    func(a *answer, items []*item) error

	// before, if it is set, looks at the history before each request and decides
	// whether to send it: not if it returns a record or an error.
	before func(*history, *item) (*PublishRecord, error)

	// notBefore is when an earlier request with the same key can no longer arrive;
	// zero: there is no key.
	notBefore time.Time
}

// item is one API of a change.
type item struct {
	BatchItem
	*change
	state   state
	failed  *failure  // the latest attempt; nil: it succeeded
	last    error     // why the attempt before failed; or nil
	doubted bool      // the outcome of an earlier attempt was unknown
	busy    bool      // the service has refused the latest attempt for now
	seen    []string  // the versions that were there before the latest attempt
	looked  time.Time // when the latest look at its history ended; zero: never
	unread  error     // why the latest look could not read the history; or nil
	why     string    // it is not settled
}

type state int

const (
	ready state = iota // to be sent
	open               // it may have been applied
	done               // it has its record or its error
)

// in selects the items in a state.
func in(s state, items []*item) []*item {
	var selected []*item
	for _, it := range items {
		if it.state == s {
			selected = append(selected, it)
		}
	}
	return selected
}

// finish gives the item its result.
func (it *item) finish(record *PublishRecord, err error) {
	it.Record, it.Err, it.state = record, err, done
	if record != nil {
		it.APIName = cmp.Or(record.APIName, it.APIName)
	}
}

// apply makes a change of one API.
func (c *Client) apply(ctx context.Context, ch *change, apiID string) (*PublishRecord, error) {
	one := struct { // all that the change needs, in one piece
		job   job
		item  item
		items [1]*item
	}{item: item{BatchItem: BatchItem{APIID: apiID}, change: ch}}
	one.items[0] = &one.item
	one.job = c.newJob(ch, one.items[:])
	one.job.carry(ctx)
	return one.item.Record, one.item.Err
}

// applyAll makes a change of many APIs.
func (c *Client) applyAll(ctx context.Context, ch *change, items []*item) {
	inParallel(requestsAtOnce, slices.Collect(slices.Chunk(items, batchLimit)), func(chunk []*item) {
		j := c.newJob(ch, chunk)
		j.carry(ctx)
	})
}

// job is a change in progress: the APIs of one request that are not done.
type job struct {
	*Client
	*change
	items []*item
	progress
	current operation
}

func (c *Client) newJob(ch *change, items []*item) job {
	return job{Client: c, change: ch, items: items, progress: c.newProgress()}
}

// carry makes the change. It sends the request, settles the unknown outcomes, and sends
// the request again for the items that were not applied, until all are done.
func (j *job) carry(ctx context.Context) {
	for j.confirm(ctx) && j.send(ctx) && j.settled(ctx) && j.pause(ctx) {
	}
}

// send makes one request for all items.
func (j *job) send(ctx context.Context) bool {
	op := j.operation()
	op.request = j.request(j.items)
	op.decode = func(a *answer) error {
		if j.read == nil {
			return j.readOne(a, j.items[0])
		}
		return j.read(a, j.items)
	}
	failed := j.attempt(ctx, op, &j.progress)
	for _, it := range j.items {
		if failed != nil {
			it.failed = failed
		}
		j.answered(it)
	}
	return len(in(done, j.items)) < len(j.items)
}

// operation names the change in errors and logs.
func (j *job) operation() *operation {
	j.current = operation{name: j.op, apiID: soleAPI(j.items), tag: j.tag}
	return &j.current
}

// answered gives an item its state after an attempt.
func (j *job) answered(it *item) {
	f := it.failed
	if f == nil {
		it.finish(it.Record, nil)
		return
	}
	setAttempts(f.err, j.requests)
	it.busy = f.verdict == busy
	switch {
	case f.verdict == unknown:
		it.state, it.doubted = open, true
	case f.verdict == notApplied || f.verdict == busy || f.verdict == renewed:
		it.state = ready
	case it.doubted && slices.Contains(j.done, f.code):
		it.finish(it.recovered(nil), nil)
	default:
		it.finish(nil, f.err)
	}
}

// settled settles the items of unknown outcome.
func (j *job) settled(ctx context.Context) bool {
	lost := in(open, j.items)
	if len(lost) == 0 {
		return j.keep()
	}
	due := lost[0].failed.end.Add(j.arrivesWithin(lost[0].failed))
	for _, it := range lost[1:] {
		if at := it.failed.end.Add(j.arrivesWithin(it.failed)); at.After(due) {
			due = at
		}
	}
	ended := j.settle(ctx, lost, &j.progress, due)
	for _, it := range in(open, lost) {
		it.finish(nil, j.unknownError(it, ended))
	}
	return j.keep()
}

// unknownError is the error of an item that is not settled.
func (j *job) unknownError(it *item, ended error) *UnknownError {
	return &UnknownError{
		Op:            j.op,
		InstanceID:    j.instanceID,
		APIID:         it.APIID,
		EnvID:         j.envID,
		VersionID:     j.versionID,
		Remark:        j.remark,
		Tag:           j.tag,
		SentAt:        it.failed.start,
		FailedAt:      it.failed.end,
		ArrivesWithin: j.arrivesWithin(it.failed),
		Attempts:      j.requests,
		cause:         it.failed.err,
		why:           it.why,
		ended:         ended,
	}
}

// pause waits before the next request, if there may be one. A request counts as an
// attempt unless the service has refused it for now, for every item. Without an attempt
// left, only the items that were refused for now go on.
func (j *job) pause(ctx context.Context) bool {
	counted := slices.DeleteFunc(slices.Clone(j.items), func(it *item) bool { return it.busy })
	worst := append(counted, j.items[0])[0]
	goOn, ended := j.wait(ctx, j.operation(), &j.progress, worst.failed, worst.busy)
	if !goOn {
		if ended != nil || worst.busy {
			counted = j.items
		}
		j.giveUp(ended, counted)
		return j.keep() && j.pause(ctx)
	}
	for _, it := range j.items {
		it.last = it.failed.err
	}
	return true
}

// giveUp finishes items that were not applied and are not sent again.
func (j *job) giveUp(ended error, items []*item) bool {
	for _, it := range items {
		it.finish(nil, giveUp(j.op, it.APIID, j.requests, it.failed, ended, it.last))
	}
	return false
}

// keep keeps the items that are not done, and reports whether there are any.
func (j *job) keep() bool {
	j.items = in(ready, j.items)
	return len(j.items) > 0
}

// soleAPI is the ID of the only item, for logs and errors about one API.
func soleAPI(items []*item) string {
	if len(items) == 1 {
		return items[0].APIID
	}
	return ""
}

// setAttempts tells the error of an attempt how many requests the call has made.
func setAttempts(err error, requests int) {
	switch e := err.(type) { //nolint:errorlint // an error inside it may be shared with other calls
	case *APIGError:
		e.Attempts = requests
	case *CallError:
		e.Attempts = requests
	}
}
