package gateway

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Fault is a failure of one request: the requests that it strikes, whether they take
// effect, and the end that their client sees. The zero value strikes the next request
// and changes nothing. The functions below make the usual faults, and the methods aim
// them:
//
//	g.Inject(gateway.ApplyThenClose().On(gateway.OpAction).Times(2))
type Fault struct {
	Op    Op                  // only requests of this kind; "" for every kind, those to IAM included
	Match func(*Request) bool // only requests that it accepts; nil for all. It must leave the faults alone

	// Delay passes before anything else. When the client goes away it ends early, and
	// the request goes on: the service does not notice. At Close the request is
	// dropped.
	Delay time.Duration

	// Do is called after the delay, before the request is processed. It may change
	// the gateway and its faults: remove an API while it is listed, say.
	Do func(*Request)

	// ExpireToken makes the token of the request expire now: this request and later
	// ones are refused. It does nothing to tokens that a function judges.
	ExpireToken bool

	Apply Apply         // whether and when the request takes effect, where the answer does not need it to
	After time.Duration // with ApplyLater: how long after the end, or after the beginning of EndHang
	End   End           // what becomes of the answer
	CutAt int           // with EndCut: how many bytes of the body are sent; 0 means half, negative none

	// The answer in place of the gateway's own. With Status 0 the request is processed
	// as usual and has the gateway's answer; Apply changes nothing then. In Body,
	// ${request_id} is replaced by the ID of the request, and ${api_id} by the ID of
	// its API.
	Status int
	Body   string

	// Header is merged into the answer. A nil value removes a header, even
	// Date.
	Header http.Header

	// Rewrite changes the gateway's own answer.
	Rewrite func(status int, body []byte) (int, []byte)

	times int // how many matching requests it strikes; 0 means 1, negative means all
	skip  int // how many matching requests it lets through first
}

// Apply says whether and when a struck request still takes effect. If it does,
// authentication and validation decide as they always do.
type Apply int

// The ways in which a struck request takes effect.
const (
	ApplyNever Apply = iota // it does not
	ApplyFirst              // before the end that its client sees
	ApplyLater              // after that end (of EndHang: its beginning), or at Close if that is sooner
)

// End is what the client of a struck request gets to see.
type End int

// The ends of a request.
const (
	EndAnswer End = iota // the answer
	EndClose             // the connection is closed without an answer (HTTP/2: the stream is reset)
	EndReset             // the same with a TCP reset
	EndHang              // nothing, until the client goes away or the gateway is closed
	EndCut               // part of the answer, then as EndClose
	EndDrop              // the answer; then the connection is closed without notice, as if it had idled too long (HTTP/2: as EndAnswer)
)

// Answer answers in place of the service; nothing is applied. The content type
// goes by the first character of the body.
func Answer(status int, body string) Fault { return Fault{Status: status, Body: body} }

// refusing answers with an error of the service; nothing is applied.
func refusing(status int, code, text string) Fault {
	e := refusal{status, code, text}
	return Answer(status, e.json("${request_id}"))
}

// Throttle is the answer of the front gateway to an account that calls too
// often. Without retryAfter it has no Retry-After, as the real one.
func Throttle(retryAfter string) Fault {
	f := refusing(429, "APIGW.0308", "The throttling threshold has been reached: policy user over ratelimit,limit:200,time:5 minute")
	if retryAfter != "" {
		f.Header = http.Header{"Retry-After": {retryAfter}}
	}
	return f
}

// Busy is the answer to writes that collide. The service may also have stored the
// change before this error: Busy().Applied().
func Busy() Fault { return refusing(500, "APIG.3500", "Failed to synchronize data to etcd.") }

// Conflict is the answer of an instance that is at work on something else.
func Conflict() Fault { return refusing(409, "APIC.7701", "Instance status conflict.") }

// SystemError is the documented failure of the service. It may also have stored the
// change before.
func SystemError() Fault { return refusing(500, "APIG.9999", "System error") }

// BadRequest is the documented refusal of a parameter.
func BadRequest() Fault {
	return refusing(400, "APIG.2011", "Invalid parameter value,parameterName:action. Please refer to the support documentation")
}

// Unauthorized is the documented refusal of a token.
func Unauthorized() Fault {
	return refusing(401, "APIG.1002", "Incorrect token or token resolution failed")
}

// Forbidden is the documented answer to a lack of permissions.
func Forbidden() Fault { return refusing(403, "APIG.1005", "No permissions to request this method") }

// NotFound is the documented answer for an API that does not exist.
func NotFound() Fault { return refusing(404, "APIG.3002", "API ${api_id} does not exist") }

// RefuseToken is the front gateway's answer to a token that it wants renewed. The token
// stays valid.
func RefuseToken() Fault { return refusing(401, "APIGW.0307", "The token must be updated.") }

// ExpireToken lets the token of the request expire, which is then refused by
// the gateway itself (401 APIG.1001).
func ExpireToken() Fault { return Fault{ExpireToken: true} }

// Slow waits before the request is processed as usual.
func Slow(d time.Duration) Fault { return Fault{Delay: d} }

// Do calls f before the request is processed as usual.
func Do(f func(*Request)) Fault { return Fault{Do: f} }

// Hang never answers and applies nothing.
func Hang() Fault { return Fault{End: EndHang} }

// Reset closes the connection with a TCP reset; nothing is applied.
func Reset() Fault { return Fault{End: EndReset} }

// CloseBefore closes the connection; nothing is applied.
func CloseBefore() Fault { return Fault{End: EndClose} }

// ApplyThenClose applies the request and closes the connection without an
// answer.
func ApplyThenClose() Fault { return CloseBefore().Applied() }

// CloseThenApply closes the connection, and applies the request after the
// client has seen that.
func CloseThenApply(after time.Duration) Fault { return CloseBefore().AppliedAfter(after) }

// ApplyThenAnswer applies the request and answers something else.
func ApplyThenAnswer(status int, body string) Fault { return Answer(status, body).Applied() }

// Cut applies the request and sends no more of its answer than the headers and
// n bytes of the body; 0 means half of the body, a negative number none of it.
func Cut(n int) Fault { return Fault{Apply: ApplyFirst, End: EndCut, CutAt: n} }

// Drop answers as usual, and closes the connection that the client has every
// reason to use again.
func Drop() Fault { return Fault{End: EndDrop} }

// What a load balancer says of a gateway that does not answer it.
const (
	badGateway     = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
	gatewayTimeout = "<html><head><title>504 Gateway Time-out</title></head><body>504 Gateway Time-out</body></html>"
)

// faultsByName are the faults that a program can be told by name. Where a function has
// arguments, the answer is the 502 of a load balancer, half of a body is cut, a throttle
// has no Retry-After, and times are a second.
var faultsByName = map[string]func() Fault{
	"answer":            func() Fault { return Answer(502, badGateway) },
	"apply-then-answer": func() Fault { return ApplyThenAnswer(502, badGateway) },
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
	"task-running": func() Fault {
		return refusing(409, "APIG.3718", "An instance task is currently being processed.")
	},
	"throttle":     func() Fault { return Throttle("") },
	"unauthorized": Unauthorized,
}

// FaultNames are the names of the faults that a program can be told, sorted.
func FaultNames() []string { return slices.Sorted(maps.Keys(faultsByName)) }

// mixedFaults are the ones that Settings.Faults chooses from.
func mixedFaults() []Fault {
	return []Fault{
		ApplyThenClose(), CloseBefore(), CloseThenApply(300 * time.Millisecond), Cut(0), Throttle("1"), Busy(),
		Slow(200 * time.Millisecond), Answer(502, badGateway), ApplyThenAnswer(504, gatewayTimeout),
	}
}

// On limits the fault to requests of one kind.
func (f Fault) On(op Op) Fault { f.Op = op; return f }

// When limits the fault to requests that match.
func (f Fault) When(match func(*Request) bool) Fault { f.Match = match; return f }

// Times makes the fault strike n matching requests instead of one; a negative
// n is Always.
func (f Fault) Times(n int) Fault { f.times = n; return f }

// Always makes the fault strike for ever.
func (f Fault) Always() Fault { return f.Times(-1) }

// Skip lets n matching requests through first.
func (f Fault) Skip(n int) Fault { f.skip = n; return f }

// Delayed makes the fault wait before it does anything.
func (f Fault) Delayed(d time.Duration) Fault { f.Delay = d; return f }

// Applied lets the request take effect before its client sees the fault.
func (f Fault) Applied() Fault { f.Apply = ApplyFirst; return f }

// AppliedAfter lets the request take effect the given time after its client has
// seen the fault, even if the client has gone. With EndHang it counts from the
// beginning.
func (f Fault) AppliedAfter(d time.Duration) Fault { f.Apply, f.After = ApplyLater, d; return f }

// faults are the ones that wait for their requests.
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
				q.queue = slices.Delete(q.queue, n, n+1)
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
		f.times = cmp.Or(f.times, 1)
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
		var fit []*Fault
		for n := range faults {
			if faults[n].matches(r) {
				fit = append(fit, &faults[n])
			}
		}
		if !strike || len(fit) == 0 {
			return nil
		}
		return fit[int(pick*float64(len(fit)))]
	}
}
