package apigtest

import (
	"math/rand/v2"
	"sync"
)

// faults are those that wait for their requests.
type faults struct {
	mu     sync.Mutex
	queue  []*Fault
	source func(*Request) *Fault
	struck int
}

func (f *Fault) matches(r *Request) bool {
	return (f.Op == "" || f.Op == r.Op) && (f.Match == nil || f.Match(r))
}

// next takes the fault that strikes the request, if any.
func (q *faults) next(r *Request) *Fault {
	q.mu.Lock()
	defer q.mu.Unlock()
	for n, f := range q.queue {
		switch {
		case !f.matches(r):
		case f.Skip > 0:
			f.Skip--
		default:
			q.struck++
			if f.Times--; f.Times == 0 {
				q.queue = append(q.queue[:n:n], q.queue[n+1:]...)
			}
			return f
		}
	}
	if q.source == nil {
		return nil
	}
	f := q.source(r)
	if f != nil {
		q.struck++
	}
	return f
}

// Inject adds faults. A request is struck by the first one that matches, in
// the order in which they were injected; by one at most.
func (g *Gateway) Inject(faults ...Fault) {
	g.faults.mu.Lock()
	defer g.faults.mu.Unlock()
	for _, f := range faults {
		if f.Times == 0 {
			f.Times = 1
		}
		g.faults.queue = append(g.faults.queue, &f)
	}
}

// InjectFunc sets a source that is asked about every request that no injected
// fault has struck; nil means none, and a nil source ends it. It is asked about
// one request at a time, so that it may hold a random number generator, and
// must neither inject faults itself nor ask about them. Which requests a fault
// is for (Op, Match, Times, Skip) is up to the source.
func (g *Gateway) InjectFunc(source func(*Request) *Fault) {
	g.faults.mu.Lock()
	defer g.faults.mu.Unlock()
	g.faults.source = source
}

// Faults is the number of requests that a fault has struck so far. It counts
// from the moment when the fault begins.
func (g *Gateway) Faults() int {
	g.faults.mu.Lock()
	defer g.faults.mu.Unlock()
	return g.faults.struck
}

// ClearFaults forgets all faults that have not struck yet, and the source of
// InjectFunc.
func (g *Gateway) ClearFaults() {
	g.faults.mu.Lock()
	defer g.faults.mu.Unlock()
	g.faults.queue, g.faults.source = nil, nil
}

// Mix is a source for [Gateway.InjectFunc] that strikes the given share of
// requests, between 0 and 1, each with one of the faults whose Op and Match
// accept it. The seed decides which.
func Mix(seed uint64, rate float64, faults ...Fault) func(*Request) *Fault {
	rng := rand.New(rand.NewPCG(seed, 0))
	return func(r *Request) *Fault {
		// Both numbers are drawn for every request: otherwise one that no
		// fault matches would change what strikes all later ones.
		strike, pick := rng.Float64() < rate, rng.Float64()
		if !strike {
			return nil
		}
		var fit []*Fault
		for n := range faults {
			if faults[n].matches(r) {
				fit = append(fit, &faults[n])
			}
		}
		if len(fit) == 0 {
			return nil
		}
		return fit[int(pick*float64(len(fit)))]
	}
}
