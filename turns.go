package apig

import (
	"context"
	"slices"
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
	mu    sync.Mutex
	at    map[place]*turn
	swept time.Time
}

// turn is one place's turn. Whoever holds it may use its methods.
type turn struct {
	held     chan struct{}       // full while somebody holds the turn
	users    int                 // who hold it or wait for it; under turns.mu
	left     time.Time           // when the last of them left; under turns.mu
	reported map[string]*reports // by environment
}

// reports are the versions of one environment that were reported to callers
// last: as many as the gateway keeps, for older ones no history shows.
type reports struct {
	ids  [keptVersions]string
	next int
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
		if own.users == 0 && now.Sub(own.left) >= remembered {
			delete(t.at, p)
		}
	}
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
