package apig

import (
	"slices"
	"strings"
	"time"
)

const (
	// slack is how far outside the time of a lost request its version may look:
	// the history has whole seconds, which makes up to one, and the other is for
	// a Date and a publish time from different machines.
	slack = 2 * time.Second

	// clockMargin is how much further still a version may be and yet not be told
	// from the lost one for sure, should the clocks of the gateway disagree.
	clockMargin = 10 * time.Second
)

// history is what the gateway holds of an API, and when it was asked.
type history struct {
	versions       []Version
	asked, arrived time.Time // when the read began and was answered, by our clock
	date           time.Time // of the answer, by the gateway's clock; zero: not told
}

// span is a time of which only bounds are known; zero: not even those.
type span struct{ earliest, latest time.Time }

func (s span) known() bool { return !s.earliest.IsZero() }

// at is what the gateway's clock showed at t by ours. Nobody knows when between
// the question and the answer the gateway has read its clock. A history with a
// time that cannot be read has none that could be compared.
func (h *history) at(t time.Time) span {
	if h.date.IsZero() || slices.ContainsFunc(h.versions, func(v Version) bool { return v.PublishTime.IsZero() }) {
		return span{}
	}
	least, _ := elapsed(t, h.asked)
	_, most := elapsed(t, h.arrived)
	return span{earliest: h.date.Add(-most), latest: h.date.Add(-least)}
}

// elapsed is the least and the most time that may have passed. A suspended
// machine stops the monotonic clock, and somebody may set the other one.
func elapsed(from, to time.Time) (least, most time.Duration) {
	monotonic, wall := to.Sub(from), to.Round(0).Sub(from.Round(0))
	return min(monotonic, wall), max(monotonic, wall)
}

// inquiry is a change of unknown outcome, as far as it matters for what a
// history proves of it.
type inquiry struct {
	remark    string        // of a publication, as sent
	tagged    bool          // no other publication has this remark
	contested bool          // a version with this remark may be of another call of this client
	versionID string        // to be switched to or taken offline
	sentAt    time.Time     // the first attempt of unknown outcome began then, by our clock
	since     time.Duration // the same, as the turn counts
	sent      span          // the same by the gateway's clock
	until     span          // if it is settled later: it may be applied until then
	envID     string        // where; empty: where the version is
	turn      *turn         // what this client has reported, before the change and after it
	rivals    *rivals       // if it is settled later: what it has reported meanwhile; or nil
}

// finding is what a history proves of a change: whether it was applied, by which
// version, or why that cannot be told.
type finding struct {
	outcome Outcome
	version *Version
	why     string
}

// older reports whether the version surely was made before the change was sent.
func (q *inquiry) older(v *Version) bool {
	return q.sent.known() && v.PublishTime.Before(q.sent.earliest.Add(-slack-clockMargin))
}

// newer reports whether the version surely was made after the last moment at
// which the change may have been applied.
func (q *inquiry) newer(v *Version) bool {
	return q.until.known() && v.PublishTime.After(q.until.latest.Add(slack+clockMargin))
}

// within reports whether the version surely was made in the time of the change.
func (q *inquiry) within(v *Version) bool {
	return q.sent.known() && !v.PublishTime.Before(q.sent.latest.Add(-slack)) &&
		(!q.until.known() || !v.PublishTime.After(q.until.earliest.Add(slack)))
}

// ofThisCall reports whether the version was reported already as what the change
// has made, since it is settled once more.
func (q *inquiry) ofThisCall(v *Version) bool {
	r := q.turn.reported(v.ID)
	return r != nil && r.madeBy != 0 && r.madeBy == sentAt(q.sentAt)
}

// ofAnotherCall reports whether the version belongs to another call of this client,
// and whether it was there before the change was sent.
func (q *inquiry) ofAnotherCall(v *Version) (yes, before bool) {
	if q.rivals.have(v.ID) {
		return true, false
	}
	r := q.turn.reported(v.ID)
	if r == nil {
		return false, false
	}
	before = r.since < q.since
	return before || r.made, before
}

// judgePublish decides whether the publication is in the history. What this
// client has reported to a caller belongs to another call; a contested version
// may.
func judgePublish(h *history, q *inquiry) finding {
	var (
		ours     *Version
		doubtful bool
		complete = len(h.versions) < keptVersions
	)
	for i := range h.versions {
		v := &h.versions[i]
		if q.ofThisCall(v) {
			return finding{outcome: Applied, version: v}
		}
		anotherCall, before := q.ofAnotherCall(v)
		switch {
		case anotherCall:
			complete = complete || before // the oldest go first: what came after it is here
		case !sameRemark(v.Remark, q.remark):
			complete = complete || q.older(v)
		case q.tagged, q.within(v) && !q.contested:
			ours = preferred(ours, v)
		case q.older(v):
			complete = true
		case !q.newer(v):
			doubtful = true
		}
	}
	switch {
	case ours != nil:
		return finding{outcome: Applied, version: ours}
	case doubtful:
		return finding{why: "the history has a version with the same remark that may be of this call or of another one"}
	case !complete:
		return finding{why: "the history has newer versions only, which may have displaced the one of this call"}
	}
	return finding{outcome: NotApplied}
}

// preferred is the version in effect of two, or else the later one.
func preferred(a, b *Version) *Version {
	switch {
	case a == nil, b.InEffect() && !a.InEffect():
		return b
	case a.InEffect() && !b.InEffect(), b.PublishTime.Before(a.PublishTime):
		return a
	}
	return b
}

// judgeOffline decides whether the API is offline. A version that was in effect
// before the call may be taken offline again; one that somebody has published
// since then may not.
func judgeOffline(h *history, q *inquiry) finding {
	current := h.inEffect("")
	switch {
	case current == nil:
		return finding{outcome: Applied}
	case q.untouched(current):
		return finding{outcome: NotApplied}
	}
	return finding{why: "a version is in effect that may have been published after this call began"}
}

// judgeSwitch decides whether the version that was switched to is in effect. Over
// a version that was in effect before the call the switch may be repeated; over
// one that somebody has published since then it may not.
func judgeSwitch(h *history, q *inquiry) finding {
	target := h.version(q.versionID)
	if target == nil {
		return finding{why: "the history does not have the version any more"}
	}
	current := h.inEffect(target.EnvID)
	switch {
	case current == nil:
		return finding{why: "no version is in effect: somebody else has taken the API offline"}
	case strings.EqualFold(current.ID, q.versionID):
		return finding{outcome: Applied, version: current}
	case q.untouched(current):
		return finding{outcome: NotApplied}
	}
	return finding{why: "a version is in effect that may have been published after this call began"}
}

// judgeOfflineVersion decides whether the version is offline. While it is in
// effect it may be taken offline again.
func judgeOfflineVersion(h *history, q *inquiry) finding {
	v := h.version(q.versionID)
	switch {
	case v == nil: // which may also mean that it is one of another API
		return finding{why: "the history does not have the version"}
	case !v.InEffect():
		return finding{outcome: Applied}
	case !q.changedSince():
		return finding{outcome: NotApplied}
	}
	return finding{why: "this client may have changed the environment after this call"}
}

// untouched reports whether a version that is in effect shows that the change was
// not applied: it was in effect before the change, as its age or a report of this
// client shows, and nothing that this client has done since then put it there.
func (q *inquiry) untouched(current *Version) bool {
	return (q.turn.reported(current.ID) != nil || q.older(current)) && !q.changedSince()
}

// changedSince reports whether this client has put something into effect since
// the change, or a switch of its may have, whose outcome is unknown.
func (q *inquiry) changedSince() bool {
	return q.turn.changedAfter(q.envID, q.since) || q.turn.maySwitchAfter(q.since, q.sentAt)
}

// inEffect is the version in effect in an environment, or in the only one there
// is if envID is empty; or nil.
func (h *history) inEffect(envID string) *Version {
	for i := range h.versions {
		if v := &h.versions[i]; v.InEffect() && (envID == "" || strings.EqualFold(v.EnvID, envID)) {
			return v
		}
	}
	return nil
}

func (h *history) version(id string) *Version {
	for i := range h.versions {
		if strings.EqualFold(h.versions[i].ID, id) {
			return &h.versions[i]
		}
	}
	return nil
}
