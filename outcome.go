package apig

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// keptVersions is how many versions of an API in an environment the
	// service keeps.
	keptVersions = 10

	// slack is how much older than the start of a lost request its version may
	// look: the history has whole seconds, which makes up to one, and the
	// other is for a Date and a publish time from different machines.
	slack = 2 * time.Second

	// doubt is how much older still a version may be and yet not be told from
	// the lost one for sure, should the clocks of the gateway disagree.
	doubt = 10 * time.Second

	// tagLength is what a tag adds to a remark, in characters.
	tagLength = 12
)

// tagged is the remark of one publication as it is sent: with TagRemark it has
// a tag that no other call has.
func (c *Client) tagged(remark string) string {
	if !c.retry.TagRemark {
		return remark
	}
	return strings.TrimPrefix(fmt.Sprintf("%s #%010x", remark, rand.Uint64N(1<<40)), " ")
}

// remarkLimit is how long a caller's remark of a publication may be.
func (c *Client) remarkLimit() int {
	if c.retry.TagRemark {
		return maxRemark - tagLength
	}
	return maxRemark
}

// standing is what became of a change whose outcome was unknown.
type standing int

const (
	doubtful  standing = iota // it cannot be told
	applied                   // it was applied
	absent                    // it was not applied and will not be
	gone                      // what it was to change does not exist
	unsettled                 // nothing was asked, since repeating it does no harm
)

func (s standing) String() string {
	return [...]string{"unknown", "applied", "not applied", "gone", "repeatable"}[s]
}

// settled is a standing and what goes with it.
type settled[T any] struct {
	standing standing
	value    T      // if applied
	why      string // if doubtful
	err      error  // if gone; if doubtful, the end of the context, if that is to come too soon
}

// lost is a change of which nobody knows whether it was applied.
type lost struct {
	start time.Time     // of the first attempt with that outcome
	end   time.Time     // when the latest one failed
	wait  time.Duration // how long after that it may still be applied
	cause error         // why it failed
}

func lostSince(start time.Time, f failure, settleWait time.Duration) lost {
	switch {
	case f.timedOut():
		settleWait *= 2
	case f.serviceAnswered():
		settleWait = 0
	}
	return lost{start, f.end, settleWait, f.err}
}

// timedOut reports whether somebody, here or on the way, had waited as long as
// they would: the request may well be under way still.
func (f failure) timedOut() bool {
	var timeout net.Error
	return f.status == http.StatusRequestTimeout || f.status == http.StatusGatewayTimeout ||
		f.status == 0 && errors.As(f.err, &timeout) && timeout.Timeout()
}

// serviceAnswered reports whether the service itself, and not something in
// front of it, has said that it failed: then it is done with the request.
func (f failure) serviceAnswered() bool {
	return f.status >= 500 && f.code.service()
}

// looks is when to look at the history, counted from the failure.
func (l lost) looks() []time.Duration {
	if l.wait == 0 {
		return []time.Duration{0}
	}
	return []time.Duration{l.wait / 4, l.wait / 2, l.wait}
}

// judge says what a history proves: a standing, the version it rests on, and
// the reason where it proves nothing.
type judge func(h history) (s standing, v *Version, why string)

// settle asks the gateway's own history what became of the request. That the
// change is absent counts only in the last look, when it can no longer be
// under way.
func (c *Client) settle(ctx context.Context, l lost, op string, r ActionRequest, find judge) settled[*Version] {
	var s settled[*Version]
	for _, look := range l.looks() {
		cutShort := sleep(ctx, l.end.Add(look))
		if ctx.Err() != nil {
			return settled[*Version]{why: "the context ended before it was settled"}
		}
		h, err := c.history(ctx, r.APIID, r.EnvID)
		if err != nil {
			return unreadable(ctx, err, op)
		}
		s.standing, s.value, s.why = find(h)
		if s.standing == applied {
			return s
		}
		if cutShort != nil {
			return settled[*Version]{why: "the context ends before it can be settled", err: cutShort}
		}
	}
	return s
}

// unreadable is the standing of a change whose history gave err. That the API
// does not exist is an answer; everything else leaves the outcome open.
func unreadable(ctx context.Context, err error, op string) settled[*Version] {
	var refused *APIGError
	if errors.As(err, &refused) && refused.Code == CodeAPINotFound {
		e := *refused
		e.Op = op
		return settled[*Version]{standing: gone, err: &e}
	}
	if ctx.Err() != nil {
		return settled[*Version]{why: "the context ended before it was settled"}
	}
	return settled[*Version]{why: "the history cannot be read: " + strings.TrimPrefix(err.Error(), "apig: ")}
}

// settlePublish looks for the version that a lost publication made.
func (c *Client) settlePublish(ctx context.Context, l lost, op string, r ActionRequest, t *turn) settled[*PublishRecord] {
	s := c.settle(ctx, l, op, r, func(h history) (standing, *Version, string) {
		return h.judgePublish(r.Remark, l.start, c.retry.TagRemark,
			c.contested(t, r.EnvID, r.Remark, l.start), t.knows(r.EnvID))
	})
	if s.standing != applied {
		return settled[*PublishRecord]{standing: s.standing, why: s.why, err: s.err}
	}
	v := s.value
	record := v.recovered()
	record.APIID, record.EnvID = r.APIID, r.EnvID
	if v.InEffect() {
		// The history does not name these two. They are worth one request, but
		// the publication is known to be made even if that fails.
		read := readRuntime(r.APIID, r.EnvID)
		read.attempts = 1
		if d, err := call(ctx, c, read); err == nil {
			record.PublishID, record.APIName = d.PublishID, d.Name
		}
	}
	return settled[*PublishRecord]{standing: applied, value: record}
}

// contested reports whether a version with this remark, found for a call that
// began at start, may have been made by another call of this client.
func (c *Client) contested(t *turn, envID, remark string, start time.Time) bool {
	return t.contested(envID, remark, start) || c.turns.groupOpen(c.instanceID, envID, remark, start)
}

// judgePublish decides whether a publication with this remark, first attempted
// at start by our clock, is in the history. What this client has reported to a
// caller belongs to another call; a contested version may.
func (h history) judgePublish(remark string, start time.Time, tagged, contested bool,
	reported func(id string) bool,
) (standing, *Version, string) {
	since := h.since(start)
	var (
		ours     *Version
		close    bool
		complete = len(h.versions) < keptVersions
	)
	for i := range h.versions {
		v := &h.versions[i]
		old := !since.IsZero() && v.PublishTime.Before(since.Add(-doubt))
		switch {
		case reported(v.ID):
			complete = true // the oldest go first: what came after it is here
		case strings.TrimSpace(v.Remark) != strings.TrimSpace(remark):
			complete = complete || old
		case tagged, !contested && !since.IsZero() && !v.PublishTime.Before(since):
			ours = newer(ours, v)
		case old:
			complete = true
		default:
			close = true
		}
	}
	switch {
	case ours != nil:
		return applied, ours, ""
	case close:
		return doubtful, nil, "the history has a version with the same remark that may be of this call or of an earlier one"
	case !complete:
		return doubtful, nil, "the history has newer versions only, which may have displaced the one of this call"
	}
	return absent, nil, ""
}

// since is the earliest time that the history can show for a version made from
// start on, or zero if the gateway's clock cannot be told.
func (h history) since(start time.Time) time.Time {
	for _, v := range h.versions {
		if v.PublishTime.IsZero() {
			return time.Time{}
		}
	}
	return h.clock.since(start)
}

// newer prefers the version in effect, then the later one.
func newer(a, b *Version) *Version {
	switch {
	case a == nil, b.InEffect() && !a.InEffect():
		return b
	case a.InEffect() && !b.InEffect(), b.PublishTime.Before(a.PublishTime):
		return a
	}
	return b
}

// settleOffline looks whether the API still is published.
func (c *Client) settleOffline(ctx context.Context, l lost, op string, r ActionRequest, t *turn) settled[*PublishRecord] {
	s := c.settle(ctx, l, op, r, func(h history) (standing, *Version, string) {
		return h.judgeOffline(l.start, t.knows(r.EnvID))
	})
	if s.standing != applied {
		return settled[*PublishRecord]{standing: s.standing, why: s.why, err: s.err}
	}
	return settled[*PublishRecord]{standing: applied, value: r.takenOffline()}
}

// takenOffline is the record of an API that is known to be offline.
func (r ActionRequest) takenOffline() *PublishRecord {
	return &PublishRecord{APIID: r.APIID, EnvID: r.EnvID, Recovered: true}
}

// judgeOffline decides whether the API is offline. A version that was in effect
// before the call may be taken offline again; one that somebody has published
// since then may not.
func (h history) judgeOffline(start time.Time, reported func(id string) bool) (standing, *Version, string) {
	since := h.since(start)
	for i := range h.versions {
		v := &h.versions[i]
		switch {
		case !v.InEffect():
		case reported(v.ID), !since.IsZero() && v.PublishTime.Before(since):
			return absent, v, ""
		default:
			return doubtful, nil, "a version is in effect that may have been published after this call began"
		}
	}
	return applied, nil, ""
}

// settleSwitch looks whether the version is in effect. Switching to it again
// does no harm.
func (c *Client) settleSwitch(ctx context.Context, l lost, apiID, versionID string) settled[*PublishRecord] {
	s := c.settle(ctx, l, "SwitchVersion", ActionRequest{APIID: apiID}, func(h history) (standing, *Version, string) {
		for i := range h.versions {
			if v := &h.versions[i]; v.ID == versionID && v.InEffect() {
				return applied, v, ""
			}
		}
		return absent, nil, ""
	})
	if s.standing != applied {
		return settled[*PublishRecord]{standing: s.standing, why: s.why, err: s.err}
	}
	return settled[*PublishRecord]{standing: applied, value: s.value.recovered()}
}

// recovered is the record of a publication whose own answer was lost.
func (v *Version) recovered() *PublishRecord {
	return &PublishRecord{
		APIID:       v.APIID,
		EnvID:       v.EnvID,
		Remark:      v.Remark,
		PublishTime: v.PublishTime,
		VersionID:   v.ID,
		Recovered:   true,
	}
}
