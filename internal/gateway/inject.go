package gateway

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
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
		case f.skip > 0:
			f.skip--
		default:
			q.struck++
			if f.times--; f.times == 0 {
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
		if f.times == 0 {
			f.times = 1
		}
		g.faults.queue = append(g.faults.queue, &f)
	}
}

// InjectFunc sets a source that is asked about every request that no injected
// fault has struck; nil means none, and a nil source ends it. It is asked about
// one request at a time, so that it may hold a random number generator, and
// must neither inject faults itself nor ask about them. Which requests a fault
// is for (Op, Match, Times and Skip) is up to the source.
func (g *Gateway) InjectFunc(source func(*Request) *Fault) {
	g.faults.mu.Lock()
	defer g.faults.mu.Unlock()
	g.faults.source = source
}

// Struck is the number of requests that a fault has struck so far. It counts
// from the moment when the fault begins.
func (g *Gateway) Struck() int {
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

// faultsByName are those that a program can be told by name: the functions of this
// package that make faults, but for Do.
var faultsByName = map[string]func() Fault{
	"answer":            func() Fault { return Answer(http.StatusBadGateway, badGateway) },
	"apply-then-answer": func() Fault { return ApplyThenAnswer(http.StatusBadGateway, badGateway) },
	"apply-then-close":  ApplyThenClose,
	"bad-request":       BadRequest,
	"busy":              Busy,
	"close-before":      CloseBefore,
	"close-then-apply":  func() Fault { return CloseThenApply(time.Second) },
	"conflict":          Conflict,
	"cut":               func() Fault { return Cut(0) },
	"drop":              Drop,
	"expire-token":      ExpireToken,
	"forbidden":         Forbidden,
	"hang":              Hang,
	"not-found":         NotFound,
	"refuse-token":      RefuseToken,
	"reset":             Reset,
	"slow":              func() Fault { return Slow(time.Second) },
	"system-error":      SystemError,
	"task-running":      TaskRunning,
	"throttle":          func() Fault { return Throttle("") },
	"unauthorized":      Unauthorized,
}

// What a load balancer says of a gateway that does not answer it.
const (
	badGateway     = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
	gatewayTimeout = "<html><head><title>504 Gateway Time-out</title></head><body>504 Gateway Time-out</body></html>"
)

// NamedFault is the fault of that name: the name of its function in small letters,
// "apply-then-close". Where the function has arguments, the answer is the 502 of a
// load balancer, half of a body is cut, a throttle has no Retry-After, and times are a
// second. Fields and methods of the fault change that.
func NamedFault(name string) (Fault, bool) {
	made, ok := faultsByName[name]
	if !ok {
		return Fault{}, false
	}
	return made(), true
}

// FaultNames are the names that NamedFault knows, sorted.
func FaultNames() []string { return slices.Sorted(maps.Keys(faultsByName)) }
