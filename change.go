package apig

import (
	"cmp"
	"sync/atomic"
	"time"
)

// action is a kind of change, as data.
type action struct {
	word string // the service's own for it, where it has one

	// decode reads the answer to a change of one API. Its error says why the
	// answer cannot be read.
	decode func(*answer, target) (*PublishRecord, error)

	// judge decides what a history proves of it.
	judge func(*history, *inquiry) finding

	done []Code // they say that it was done already, after an attempt that may have done it

	// makesVersion says that it makes a version, which proves at any time that
	// it was applied. What the others do shows only in what is in effect, which
	// a lost request may still change.
	makesVersion bool
}

var (
	online = &action{word: "online", decode: decodePublished, judge: judgePublish, makesVersion: true}

	offline = &action{word: "offline", decode: decodeOffline, judge: judgeOffline,
		done: []Code{CodeNotPublished, CodeAlreadyPerformed}}

	switchVersion = &action{decode: decodeSwitched, judge: judgeSwitch}

	offlineVersion = &action{decode: decodeVersionOffline, judge: judgeOfflineVersion,
		done: []Code{CodeNotPublished, CodeVersionNotFound}}
)

// change is what a method wants of one API or of many, as data.
type change struct {
	op string
	*action
	envID     string // empty: where the version is
	remark    string // as sent
	tagged    bool
	versionID string // to be switched to or taken offline
	form

	// refused is why the credentials of a batch were. What was not sent before is
	// not sent then: five refused signatures lock a key, whatever the requests.
	refused *atomic.Pointer[error]
}

// form is how a change goes over the wire. request asks for it, for up to a
// thousand items. The reader then gives each of them its record or its failure
// from a success.
type form interface {
	request(items []*item) (request, error)
	reader(items []*item) decoder
}

// single is a change of one API, with all that its call needs.
type single struct {
	change
	item
	items    [1]*item
	progress progress
	sent     request
}

func newSingle(ch change, apiID string, sent request) *single {
	s := &single{change: ch, item: item{BatchItem: BatchItem{APIID: apiID}}, sent: sent}
	s.form, s.items[0] = s, &s.item
	return s
}

func (s *single) request([]*item) (request, error) { return s.sent, nil }

func (s *single) reader([]*item) decoder { return s }

func (s *single) decode(a *answer) (err error) {
	s.item.failed = nil
	s.Record, err = s.action.decode(a, target{s.APIID, s.envID, s.versionID})
	return err
}

// item is one API of a change: what became of it, as far as it is known.
type item struct {
	BatchItem
	turn   *turn
	state  state
	failed *failure  // the latest attempt; nil: it succeeded
	since  time.Time // the first attempt of unknown outcome began then; zero: there was none

	looked        time.Time // when the history last showed what it did
	sentAtGateway time.Time // the same as since by the gateway's clock, if that is known well
	why           string    // it is not settled

	lost *UnknownError // that Settle was asked about; or nil
}

type state int

const (
	open  state = iota // it may have been applied
	again              // it was not applied and may be the next time
	done               // it has its record or its error, and has given back its turn
)

// in selects the items in a state, usually none.
func in(s state, items []*item) []*item {
	var selected []*item
	for _, it := range items {
		if it.state == s {
			selected = append(selected, it)
		}
	}
	return selected
}

// soleAPI is the ID of the only item, for logs and errors that are about one API.
func soleAPI(items []*item) string {
	if len(items) == 1 {
		return items[0].APIID
	}
	return ""
}

// offlineRecord is the record of an API that is known to be offline, although the
// answer that said so was lost.
func (ch *change) offlineRecord(it *item) *PublishRecord {
	return &PublishRecord{APIID: it.APIID, EnvID: ch.envID, Recovered: true}
}

// unknownError is the error of an item that is not settled.
func (t *turns) unknownError(ch *change, it *item, requests int, why string, ended error) *UnknownError {
	if it.lost != nil {
		return it.lost.stillUnknown(why, ended)
	}
	return &UnknownError{
		Op:            ch.op,
		InstanceID:    t.instanceID,
		APIID:         it.APIID,
		EnvID:         ch.envID,
		VersionID:     ch.versionID,
		Remark:        ch.remark,
		Tagged:        ch.tagged,
		SentAt:        it.since,
		SentAtGateway: it.sentAtGateway,
		FailedAt:      it.failed.end,
		Attempts:      requests,
		cause:         it.failed.err,
		why:           why,
		ended:         ended,
		rivals:        &rivals{},
	}
}

// finish gives an item its result, remembers what later calls must know of it,
// and gives back its turn.
func (t *turns) finish(ch *change, it *item, record *PublishRecord, err error) {
	it.Record, it.Err, it.state = record, err, done
	if record != nil {
		it.APIName = cmp.Or(record.APIName, it.APIName)
	}
	t.remember(ch, it)
	t.release(it.turn)
}

// abandon finishes the items that are not done when the goroutine of their change
// ends: something of the caller's, such as a transport, an Authenticator or the handler
// of a Logger, has panicked. What was sent until then may have been applied, and the
// next call must not wait for the turn for ever.
func (t *turns) abandon(ch *change, items []*item, now *progress, began time.Time) {
	for _, it := range items {
		if it.state == done {
			continue
		}
		if it.since.IsZero() {
			it.since = began
		}
		if it.failed == nil {
			it.failed = &failure{start: began, end: time.Now()}
		}
		t.finish(ch, it, nil, t.unknownError(ch, it, now.requests, "a panic has ended it", nil))
	}
}

// remember notes a result that is about to be reported.
func (t *turns) remember(ch *change, it *item) {
	now := time.Now()
	if lost, ok := it.Err.(*UnknownError); ok { //nolint:errorlint // one in its tree is of another change
		var until time.Duration
		if ch.action == switchVersion {
			until = t.at(lost.FailedAt.Add(t.late))
		}
		it.turn.lost(lost, until)
		if ch.makesVersion {
			it.turn.in(ch.envID).unnamedPublish(unnamed{ch.remark, lost.SentAt, t.settledBy(lost.FailedAt), lost.rivals}, t.at(lost.SentAt))
		}
		return
	}
	it.turn.settled(it.since)
	if it.Record == nil {
		return
	}
	m, id := it.turn.in(cmp.Or(ch.envID, it.Record.EnvID)), it.Record.VersionID
	if !ch.makesVersion {
		m.applied(reported{versionID: id, since: t.at(now)})
		return
	}
	m.applied(reported{versionID: id, since: t.at(now), made: true, madeBy: sentAt(it.since)})
	m.published(ch.remark, id)
	if id == "" {
		m.unnamedPublish(unnamed{ch.remark, now, t.settledBy(now), &rivals{}}, t.at(now))
	}
}

// settledBy is from when on the version of a request that failed then can no
// longer be taken for that of a later one.
func (t *turns) settledBy(failed time.Time) time.Time {
	return failed.Add(t.late + slack + clockMargin + time.Second) // publish times have whole seconds
}
