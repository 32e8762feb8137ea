package apig

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
)

// remembered is how long a place that nobody uses is remembered: longer than
// the window in which settling looks for lost versions.
const remembered = time.Minute

// place is where calls take turns, in whatever environment: the service answers
// concurrent writes to one API with an error, and two publications under way at
// once could not be told apart if an answer were lost.
type place struct{ instanceID, apiID string }

// turns gives out turns. All clients that Instance derives share one.
type turns struct {
	mu     sync.Mutex
	at     map[place]*turn
	swept  time.Time
	groups []*openGroup
}

// turn is one place's turn. Whoever holds it may use its methods.
type turn struct {
	held     chan struct{}       // full while somebody holds the turn
	users    int                 // who hold it or wait for it; under turns.mu
	left     time.Time           // when the last of them left; under turns.mu
	reported map[string]*reports // by environment
	open     []openPublish
}

// reports are the versions of one environment that were reported to callers
// last: as many as the gateway keeps, for older ones no history shows.
type reports struct {
	ids  [keptVersions]string
	next int
}

// openPublish is a publish that was reported as unknown, or whose version was
// not named. That version must not be taken for a later call's.
type openPublish struct {
	envID  string
	remark string
	end    time.Time // later calls look for newer versions only
}

// openGroup is a publish of a whole group, whose members are not known when it
// is sent and so have not given it their turns. Until all of them have been told
// what it made, a version with its remark may be its own.
type openGroup struct {
	instanceID  string
	openPublish // with a zero end while it is under way
}

func newTurns() *turns { return &turns{at: map[place]*turn{}, swept: time.Now()} }

// take waits for the turn at p, until ctx ends.
func (t *turns) take(ctx context.Context, p place) (*turn, error) {
	t.mu.Lock()
	t.sweep(time.Now())
	own := t.at[p]
	if own == nil {
		own = &turn{held: make(chan struct{}, 1), reported: map[string]*reports{}}
		t.at[p] = own
	}
	own.users++
	t.mu.Unlock()

	select {
	case own.held <- struct{}{}:
		return own, nil
	case <-ctx.Done():
		t.leave(own)
		return nil, ctx.Err()
	}
}

// release lets the next one have the turn.
func (t *turns) release(own *turn) {
	<-own.held
	t.leave(own)
}

func (t *turns) leave(own *turn) {
	t.mu.Lock()
	own.users--
	own.left = time.Now()
	t.mu.Unlock()
}

// sweep forgets, once a minute, the places that nobody has used for as long.
// The caller holds t.mu.
func (t *turns) sweep(now time.Time) {
	if now.Sub(t.swept) < remembered {
		return
	}
	t.swept = now
	for p, own := range t.at {
		if own.users == 0 && now.Sub(own.left) >= remembered && len(own.openAt(now)) == 0 {
			delete(t.at, p)
		}
	}
}

// published remembers what a publish is about to report. A lost one may be
// applied within wait from now.
func (t *turn) published(envID, remark string, r *PublishRecord, err error, wait time.Duration) {
	switch {
	case r != nil && r.VersionID != "":
		t.report(envID, r.VersionID)
	case r != nil || errors.Is(err, ErrOutcomeUnknown):
		now := time.Now()
		t.open = append(t.openAt(now), openPublish{envID, strings.TrimSpace(remark), now.Add(wait + remembered)})
	}
}

// openAt returns the open publishes that matter to a call which begins now.
func (t *turn) openAt(now time.Time) []openPublish {
	var open []openPublish
	for _, o := range t.open {
		if now.Before(o.end) {
			open = append(open, o)
		}
	}
	return open
}

// contested reports whether a version with this remark, found for a call that
// began at start, may be an earlier call's whose outcome is unknown.
func (t *turn) contested(envID, remark string, start time.Time) bool {
	return slices.ContainsFunc(t.openAt(start), func(o openPublish) bool {
		return o.envID == envID && o.remark == strings.TrimSpace(remark)
	})
}

// report remembers a version that is about to be reported.
func (t *turn) report(envID, versionID string) {
	if versionID == "" {
		return
	}
	r := t.reported[envID]
	if r == nil {
		r = &reports{}
		t.reported[envID] = r
	}
	r.ids[r.next] = versionID
	r.next = (r.next + 1) % len(r.ids)
}

// knows returns whether this client has reported a version in envID.
func (t *turn) knows(envID string) func(versionID string) bool {
	return func(versionID string) bool {
		r := t.reported[envID]
		return r != nil && versionID != "" && slices.Contains(r.ids[:], versionID)
	}
}

// beginGroup remembers that a group is about to be published.
func (t *turns) beginGroup(instanceID, envID, remark string) *openGroup {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.groups = slices.DeleteFunc(t.groups, func(g *openGroup) bool { return !g.end.IsZero() && !now.Before(g.end) })
	g := &openGroup{instanceID, openPublish{envID: envID, remark: strings.TrimSpace(remark)}}
	t.groups = append(t.groups, g)
	return g
}

// endGroup forgets it, if all its members know what it made; otherwise only
// after a while. A lost one may be applied within wait from now.
func (t *turns) endGroup(g *openGroup, known bool, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known {
		t.groups = slices.DeleteFunc(t.groups, func(other *openGroup) bool { return other == g })
		return
	}
	g.end = time.Now().Add(wait + remembered)
}

// groupOpen reports whether a version with this remark, found for a call that
// began at start, may be a group's.
func (t *turns) groupOpen(instanceID, envID, remark string, start time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.groups, func(g *openGroup) bool {
		return g.instanceID == instanceID && g.envID == envID && g.remark == strings.TrimSpace(remark) &&
			(g.end.IsZero() || start.Before(g.end))
	})
}
