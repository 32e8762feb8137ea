package apig

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
	"weak"
)

// rememberedVersions is how many reported versions of an environment a turn
// remembers. The gateway keeps ten; one of them can only be forgotten once
// twenty others were reported after it, among which are nine newer ones at
// most and nine older ones that were switched to.
const rememberedVersions = 2 * keptVersions

// memory is what a client has reported of one API in one environment.
type memory struct {
	envID    string
	versions []reported    // the latest last
	changed  time.Duration // when a change was last reported as applied; zero: never
	unnamed  []unnamed
}

// reported is a version that was reported as in effect: since when, and whether as
// what a publication has made and not only as what was switched to.
type reported struct {
	versionID string
	since     time.Duration
	made      bool
	madeBy    int64 // when the publication was sent, as sentAt makes it; zero: that is of no interest
}

// sentAt is when a change was sent, as a memory keeps it to tell the change from
// others: the same whether the time has gone through JSON or not.
func sentAt(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// unnamed is a publication whose version is not known, since its outcome was
// reported as unknown or its record did not say. That version must not be taken
// for another call's.
type unnamed struct {
	remark string
	sentAt time.Time
	until  time.Time // later calls look for newer versions only
	rivals *rivals
}

// rivals are the publications of a client whose versions must not be taken for
// that of one whose outcome is unknown: what was reported before it, and those
// with the same remark that were reported while it may have been applied. It keeps
// them for as long as somebody may want to settle it, which is longer than the
// memory of a turn.
type rivals struct {
	mu       sync.Mutex
	versions []string
	unnamed  bool // there is one whose version is not known
}

// add adds a publication that has made a version or, if versionID is empty, one
// whose version is not known.
func (r *rivals) add(versionID string) {
	if r == nil { // of an error made from JSON, which settles without them
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if versionID == "" {
		r.unnamed = true
		return
	}
	if len(r.versions) == rememberedVersions { // the oldest show in no history any more
		r.versions = slices.Delete(r.versions, 0, 1)
	}
	r.versions = append(r.versions, versionID)
}

func (r *rivals) have(versionID string) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.versions, func(id string) bool { return strings.EqualFold(id, versionID) })
}

func (r *rivals) haveUnnamed() bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.unnamed
}

// memories are those of the environments of one API.
type memories []memory

// in returns the memory of an environment.
func (all *memories) in(envID string) *memory {
	for i := range *all {
		if strings.EqualFold((*all)[i].envID, envID) {
			return &(*all)[i]
		}
	}
	*all = append(*all, memory{envID: envID})
	return &(*all)[len(*all)-1]
}

// reported is what is remembered of a version, in whatever environment, or nil.
func (all memories) reported(versionID string) *reported {
	for _, m := range all {
		for i := range m.versions {
			if strings.EqualFold(m.versions[i].versionID, versionID) {
				return &m.versions[i]
			}
		}
	}
	return nil
}

// changedAfter reports whether a change was reported as applied after then, in
// the environment or, if envID is empty, in any.
func (all memories) changedAfter(envID string, then time.Duration) bool {
	return slices.ContainsFunc(all, func(m memory) bool {
		return (envID == "" || m.envID == "" || strings.EqualFold(m.envID, envID)) && m.changed != 0 && m.changed > then
	})
}

// settled forgets the publication of unknown outcome that was sent then.
func (all memories) settled(sentAt time.Time) {
	for i := range all {
		m := &all[i]
		m.unnamed = slices.DeleteFunc(m.unnamed, func(u unnamed) bool { return u.sentAt.Equal(sentAt) })
	}
}

// applied remembers a change that is about to be reported, and the version that
// it has put into effect, if any; made says that it has also made it.
func (m *memory) applied(now reported) {
	m.changed = now.since
	if now.versionID == "" {
		return
	}
	if i := slices.IndexFunc(m.versions, func(r reported) bool { return strings.EqualFold(r.versionID, now.versionID) }); i >= 0 {
		before := m.versions[i]
		now.since, now.made, now.madeBy = before.since, now.made || before.made, cmp.Or(before.madeBy, now.madeBy)
		m.versions = slices.Delete(m.versions, i, i+1)
	}
	if len(m.versions) == rememberedVersions {
		m.versions = slices.Delete(m.versions, 0, 1)
	}
	m.versions = append(m.versions, now)
}

// published tells the publications of unknown outcome with the same remark that
// a version in their time is that of another one, which has reported it.
func (m *memory) published(remark, versionID string) {
	for _, u := range m.unnamed {
		if sameRemark(u.remark, remark) && time.Now().Before(u.until) {
			u.rivals.add(versionID)
		}
	}
}

// unnamedPublish remembers a publication whose version is not known and that was
// sent, or may be applied, until the given time.
func (m *memory) unnamedPublish(u unnamed, sent time.Duration) {
	for _, r := range m.versions {
		if r.made || r.since < sent {
			u.rivals.add(r.versionID)
		}
	}
	for _, other := range m.unnamed {
		if sameRemark(u.remark, other.remark) && u.sentAt.Before(other.until) && !u.sentAt.Equal(other.sentAt) {
			u.rivals.add("")
			other.rivals.add("")
		}
	}
	now := time.Now()
	m.unnamed = slices.DeleteFunc(m.unnamed, func(other unnamed) bool { return !now.Before(other.until) || other.sentAt.Equal(u.sentAt) })
	m.unnamed = append(m.unnamed, u)
}

// contested reports whether a version with this remark, found for a call that
// began at start, may be that of another publication.
func (m *memory) contested(remark string, start time.Time) bool {
	return slices.ContainsFunc(m.unnamed, func(u unnamed) bool {
		return sameRemark(u.remark, remark) && start.Before(u.until) && !u.sentAt.Equal(start)
	})
}

// past is what a client has reported of one API.
type past struct {
	memories
	unsettled *unsettled // nil: nothing was reported as unknown
}

// unsettled are the changes of an API that were reported as unknown.
type unsettled struct {
	// reports are the errors that said so. For as long as somebody holds one of
	// them it may be settled, and what was reported since must not be forgotten.
	reports []weak.Pointer[UnknownError]

	// switches may put a version into effect that looks as if nothing had
	// happened.
	switches []unsettledSwitch
}

type unsettledSwitch struct {
	sentAt time.Time
	until  time.Duration // it may be applied until then
}

// held reports whether somebody may settle any of the changes.
func (u *unsettled) held() bool {
	if u == nil {
		return false
	}
	u.reports = slices.DeleteFunc(u.reports, func(p weak.Pointer[UnknownError]) bool { return p.Value() == nil })
	return len(u.reports) > 0
}

// lost remembers a change that is about to be reported as unknown. until is when
// it can no longer be applied, if it is a switch, or zero.
func (p *past) lost(report *UnknownError, until time.Duration) {
	if p.unsettled == nil {
		p.unsettled = &unsettled{}
	}
	u := p.unsettled
	u.reports = append(u.reports, weak.Make(report))
	if until == 0 {
		return
	}
	u.switches = slices.DeleteFunc(u.switches, func(s unsettledSwitch) bool { return s.sentAt.Equal(report.SentAt) })
	if len(u.switches) == rememberedVersions { // one stands for the two oldest
		u.switches[1] = unsettledSwitch{until: max(u.switches[0].until, u.switches[1].until)}
		u.switches = slices.Delete(u.switches, 0, 1)
	}
	u.switches = append(u.switches, unsettledSwitch{report.SentAt, until})
}

// settled forgets that the outcome of the change was unknown that was sent then.
func (p *past) settled(sentAt time.Time) {
	p.memories.settled(sentAt)
	if u := p.unsettled; u != nil && !sentAt.IsZero() {
		u.reports = slices.DeleteFunc(u.reports, func(w weak.Pointer[UnknownError]) bool {
			report := w.Value()
			return report == nil || report.SentAt.Equal(sentAt)
		})
		u.switches = slices.DeleteFunc(u.switches, func(s unsettledSwitch) bool { return s.sentAt.Equal(sentAt) })
	}
}

// maySwitchAfter reports whether a switch of unknown outcome, other than the one
// that was sent at sentAt, may have been applied after then.
func (p *past) maySwitchAfter(then time.Duration, sentAt time.Time) bool {
	return p.unsettled != nil && slices.ContainsFunc(p.unsettled.switches, func(s unsettledSwitch) bool {
		return s.until > then && !s.sentAt.Equal(sentAt)
	})
}
