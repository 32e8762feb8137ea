package apigtest

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

// faultsByName are those that a program can be told by name.
var faultsByName = map[string]func() Fault{
	"apply-then-502":   func() Fault { return ApplyThenAnswer(http.StatusBadGateway, badGateway) },
	"apply-then-504":   func() Fault { return ApplyThenAnswer(http.StatusGatewayTimeout, gatewayTimeout) },
	"apply-then-busy":  func() Fault { return applied(Busy()) },
	"apply-then-close": ApplyThenClose,
	"apply-then-error": func() Fault { return applied(SystemError()) },
	"apply-then-hang":  func() Fault { return applied(Hang()) },
	"apply-then-reset": func() Fault { return Fault{Apply: ApplyFirst, End: EndReset} },
	"busy":             Busy,
	"close":            CloseBefore,
	"close-then-apply": func() Fault { return CloseThenApply(time.Second) },
	"cut":              func() Fault { return Cut(0) },
	"drop":             Drop,
	"error-400":        BadRequest,
	"error-401":        Unauthorized,
	"error-403":        Forbidden,
	"error-404":        NotFound,
	"error-409":        Conflict,
	"error-500":        SystemError,
	"error-502":        func() Fault { return Answer(http.StatusBadGateway, badGateway) },
	"error-503":        func() Fault { return Answer(http.StatusServiceUnavailable, "") },
	"error-504":        func() Fault { return Answer(http.StatusGatewayTimeout, gatewayTimeout) },
	"expire-token":     ExpireToken,
	"hang":             Hang,
	"refuse-token":     RefuseToken,
	"reset":            func() Fault { return Fault{End: EndReset} },
	"slow":             func() Fault { return Slow(time.Second) },
	"throttle":         func() Fault { return Throttle("") },
	"throttle-service": func() Fault {
		return Answer(http.StatusInternalServerError, `{"error_code":"APIG.9008","error_msg":"Too many requests. Try again later."}`)
	},
}

// What a load balancer says of a gateway that does not answer it.
const (
	badGateway     = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
	gatewayTimeout = "<html><head><title>504 Gateway Time-out</title></head><body>504 Gateway Time-out</body></html>"
)

func applied(f Fault) Fault { f.Apply = ApplyFirst; return f }

// NamedFault is the fault of that name, to be aimed as any other, for programs
// whose users choose one. Where a fault takes a time it is a second, which
// Delayed and After change.
func NamedFault(name string) (Fault, bool) {
	made, ok := faultsByName[name]
	if !ok {
		return Fault{}, false
	}
	return made(), true
}

// FaultNames are the names that NamedFault knows, sorted.
func FaultNames() []string { return slices.Sorted(maps.Keys(faultsByName)) }
