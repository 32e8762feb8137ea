package apig

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// remembered is how long a turn that nobody uses is remembered at least, beyond
// the time in which a lost request may still be applied: longer than the margins
// within which settling looks for versions. It is forgotten after twice that.
const remembered = 45 * time.Second

// gateways has the turns of each gateway. All clients that Instance derives share
// one.
type gateways struct {
	late time.Duration // see turns

	mu        sync.Mutex
	byGateway map[string]*turns
}

// of returns the turns of a gateway. Its ID is compared without regard to case.
func (g *gateways) of(instanceID string) *turns {
	id := strings.ToLower(instanceID)
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.byGateway[id]
	if t == nil {
		t = &turns{instanceID: instanceID, late: g.late, began: time.Now(), inUse: map[string]*turn{}}
		g.byGateway[id] = t
	}
	return t
}

// turns gives out the turns that the calls for an API take, in whatever
// environment: the service answers concurrent writes to one API with an error,
// and two publications under way at once could not be told apart if an answer
// were lost.
type turns struct {
	instanceID string        // of the gateway
	late       time.Duration // how long after a call of unknown outcome its request may be applied
	began      time.Time

	// The turns by the ID of the API, in lower case.
	mu     sync.Mutex
	inUse  map[string]*turn
	recent map[string]*turn // not in use, but with something to remember
	older  map[string]*turn // the same, since the time before; they are forgotten together
	kept   map[string]*turn // not in use, but somebody may settle an outcome that was unknown
	timer  *time.Timer      // of that; nil: nothing is remembered
}

// turn is the turn of one API. Whoever holds it may use its memory.
type turn struct {
	apiID   string
	waiting []*waiter // the next one first; under turns.mu
	users   int       // how many hold it or wait for it; under turns.mu
	past
}

// waiter waits for any of some turns.
type waiter struct{ got chan *turn }

// key is an API in the turns: IDs are compared without regard to case.
func key(apiID string) string { return strings.ToLower(apiID) }

// at is a time as a memory keeps it, in a third of the room.
func (t *turns) at(then time.Time) time.Duration { return then.Sub(t.began) }

// take waits until the turn of at least one of the APIs, which are given as keys, is
// free, and takes all that are free then, up to a limit. It takes none if ctx ends
// before. A caller that has taken several must not wait for another one while it
// holds them unused.
func (t *turns) take(ctx context.Context, apis []string, limit int) ([]*turn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	var free []*turn
	for _, id := range apis {
		if len(free) == limit {
			break
		}
		if own := t.use(id); own.users == 0 {
			own.users = 1
			free = append(free, own)
		}
	}
	if len(free) > 0 {
		t.mu.Unlock()
		return free, nil
	}
	w := &waiter{make(chan *turn, len(apis))}
	for _, id := range apis {
		own := t.use(id)
		own.users++
		own.waiting = append(own.waiting, w)
	}
	t.mu.Unlock()

	var ended error
	select {
	case own := <-w.got:
		free = append(free, own)
	case <-ctx.Done():
		ended = ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range apis {
		own := t.inUse[id]
		if i := slices.Index(own.waiting, w); i >= 0 {
			own.waiting = slices.Delete(own.waiting, i, i+1)
			own.users--
		}
	}
	for len(w.got) > 0 { // those that were handed over meanwhile
		free = append(free, <-w.got)
	}
	if ended == nil && len(free) <= limit {
		return free, nil
	}
	keep := 0
	if ended == nil {
		keep = limit
	}
	for _, own := range free[keep:] {
		t.handOver(own)
	}
	return free[:keep], ended
}

// takeOne waits for the turn of one API.
func (t *turns) takeOne(ctx context.Context, id string) (*turn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	if own := t.use(id); own.users == 0 {
		own.users = 1
		t.mu.Unlock()
		return own, nil
	}
	t.mu.Unlock()
	free, err := t.take(ctx, []string{id}, 1)
	if err != nil {
		return nil, err
	}
	return free[0], nil
}

// use returns the turn of an API, which is in use from now on. The caller holds
// t.mu.
func (t *turns) use(id string) *turn {
	own := t.inUse[id]
	if own != nil {
		return own
	}
	if own = t.recent[id]; own != nil {
		delete(t.recent, id)
	} else if own = t.older[id]; own != nil {
		delete(t.older, id)
	} else if own = t.kept[id]; own != nil {
		delete(t.kept, id)
	} else {
		own = &turn{apiID: id}
	}
	t.inUse[id] = own
	return own
}

// release lets the next one have the turn.
func (t *turns) release(own *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.handOver(own)
}

// handOver gives the turn to the next one who waits, or puts it aside. The caller
// holds t.mu.
func (t *turns) handOver(own *turn) {
	own.users--
	if len(own.waiting) > 0 {
		own.waiting[0].got <- own
		own.waiting = slices.Delete(own.waiting, 0, 1)
		return
	}
	delete(t.inUse, own.apiID)
	switch {
	case own.unsettled.held():
		put(&t.kept, own)
	case len(own.memories) > 0:
		put(&t.recent, own)
	default:
		return
	}
	if t.timer == nil {
		t.timer = time.AfterFunc(remembered+t.late, t.forget)
	}
}

func put(in *map[string]*turn, own *turn) {
	if *in == nil {
		*in = map[string]*turn{}
	}
	(*in)[own.apiID] = own
}

// forget drops what nobody has used for a while, all at once: going through a
// million APIs would hold up every call. Those with an outcome that somebody may
// settle are few.
func (t *turns) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, own := range t.kept {
		if !own.unsettled.held() {
			delete(t.kept, id)
			put(&t.recent, own)
		}
	}
	t.older, t.recent = t.recent, nil
	if len(t.older)+len(t.kept) == 0 {
		t.timer = nil
		return
	}
	t.timer.Reset(remembered + t.late)
}
