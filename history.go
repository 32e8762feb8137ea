package apig

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

const (
	// clockMargin is how much older than a lost request a version must look to be
	// older: one second because publish times have whole seconds, and three because
	// the machines of the gateway may disagree about the time.
	clockMargin = 4 * time.Second

	// foreignMargin is added if another machine has measured when the request was
	// sent: its clock may be a minute off.
	foreignMargin = time.Minute
)

// history has the versions of an API that the gateway keeps, the last ten of each
// environment.
type history struct {
	versions []Version
	arrived  time.Time // by our clock
	date     time.Time // the same by the gateway's clock; zero: not known
}

// predates reports whether the version surely was there before the lost request of
// the item was sent: the same call had seen it by then, or it is older than the
// request. The age counts only for an open item: once a look has proved that nothing was
// applied, another client may have published since, and only the versions of that look
// are surely old. The longer of two times counts, since a suspended machine stops the
// monotonic clock and the other clock may be set.
func (h *history) predates(v *Version, it *item) bool {
	if slices.ContainsFunc(it.seen, func(id string) bool { return strings.EqualFold(id, v.ID) }) {
		return true
	}
	if it.state != open {
		return false
	}
	sent, margin := it.failed.start, clockMargin
	if it.failed.foreign {
		margin += foreignMargin
	}
	since := max(h.arrived.Sub(sent), h.arrived.Round(0).Sub(sent.Round(0)))
	if h.date.IsZero() || v.PublishTime.IsZero() || since < 0 {
		return false
	}
	return h.date.Sub(v.PublishTime) > since+margin
}

// newest reports whether v is the latest version of its environment. Of two in the
// same second neither is.
func (h *history) newest(v *Version) bool {
	for i := range h.versions {
		o := &h.versions[i]
		if o != v && strings.EqualFold(o.EnvID, v.EnvID) && (o.PublishTime.IsZero() || !o.PublishTime.Before(v.PublishTime)) {
			return false
		}
	}
	return !v.PublishTime.IsZero()
}

// judgePublish looks for the tag of a publication. A history without it proves that
// nothing was published only if newer versions cannot have displaced ours, and if each
// new version has the tag of another call. A version without a tag may be ours: the
// service may have lost the tag, or we sent none. So may a version with a tag that our
// remark mentions, if the service has cut the remark there.
func judgePublish(h *history, it *item) (is Outcome, v *Version, why string) {
	complete, doubtful := len(h.versions) < keptVersions, false
	remark := strings.ToLower(it.remark)
	for i := range h.versions {
		v := &h.versions[i]
		before := h.predates(v, it)
		complete = complete || before
		doubtful = doubtful || !before && strings.Contains(remark, v.Tag) // every remark contains the empty tag
	}
	switch ours := h.tagged(it.tag); {
	case ours != nil:
		return Applied, ours, ""
	case doubtful:
		return Unknown, nil, "the history has a new version without a tag, which may be of this call"
	case !complete:
		return Unknown, nil, "the history has newer versions only, which may have displaced the one of this call"
	}
	return NotApplied, nil, ""
}

// judgeOffline looks for a version in effect.
func judgeOffline(h *history, it *item) (is Outcome, v *Version, why string) {
	if len(h.versions) == 0 {
		return Unknown, nil, "the history is empty"
	}
	current := h.inEffect("")
	if current == nil {
		return Applied, nil, ""
	}
	return h.untouched(current, it)
}

// judgeSwitch looks whether the version to switch to is in effect, or the version to
// replace.
func judgeSwitch(h *history, it *item) (is Outcome, v *Version, why string) {
	target := h.version(it.versionID)
	if target == nil {
		return Unknown, nil, "the history does not have the version any more"
	}
	current := h.inEffect(target.EnvID)
	switch {
	case current == nil:
		return Unknown, nil, "no version is in effect: another client has taken the API offline"
	case current == target:
		return Applied, target, ""
	case it.replaces == "":
		return h.untouched(current, it)
	case !strings.EqualFold(current.ID, it.replaces):
		return Unknown, nil, "another version is in effect than the one to replace"
	}
	return NotApplied, nil, ""
}

// judgeOfflineVersion looks whether the version is in effect.
func judgeOfflineVersion(h *history, it *item) (is Outcome, v *Version, why string) {
	v = h.version(it.versionID)
	switch {
	case v == nil: // it may be of another API
		return Unknown, nil, "the history does not have the version"
	case v.InEffect():
		return NotApplied, nil, ""
	}
	return Applied, nil, ""
}

// untouched judges by the version in effect, which the change would have replaced. It
// proves that nothing was applied only if no other client can have put it into effect
// since.
func (h *history) untouched(current *Version, it *item) (is Outcome, v *Version, why string) {
	switch {
	case !h.predates(current, it):
		return Unknown, nil, "the version in effect may have been published after the request was sent"
	case !h.newest(current):
		return Unknown, nil, "the version in effect is not the newest: another client may have switched to it"
	}
	return NotApplied, nil, ""
}

// tagged is the version with the tag, in effect if there are several; or nil.
func (h *history) tagged(tag string) (found *Version) {
	for i := range h.versions {
		if v := &h.versions[i]; tag != "" && v.endsIn(tag) && (found == nil || v.InEffect()) {
			found = v
		}
	}
	return found
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

// version is the version with the ID; or nil.
func (h *history) version(id string) *Version {
	for i := range h.versions {
		if strings.EqualFold(h.versions[i].ID, id) {
			return &h.versions[i]
		}
	}
	return nil
}

// ids are the IDs of all versions.
func (h *history) ids() []string {
	ids := make([]string, len(h.versions))
	for i := range h.versions {
		ids[i] = h.versions[i].ID
	}
	return ids
}

// recovered is the record of a change from the history, since its answer was lost.
// Without a version the API is offline.
func (it *item) recovered(v *Version) *PublishRecord {
	record := &PublishRecord{APIID: it.APIID, EnvID: it.envID, Recovered: true}
	if v != nil {
		record.EnvID = cmp.Or(it.envID, v.EnvID)
		record.Remark, record.Tag, record.PublishTime, record.VersionID = v.Remark, v.Tag, v.PublishTime, v.ID
	}
	return record
}
