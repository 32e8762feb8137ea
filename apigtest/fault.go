package apigtest

import (
	"time"

	"github.com/apig-go/apig/internal/gateway"
)

// Fault is a failure of one request. The functions below make faults, and the
// methods aim them:
//
//	g.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction).Times(2))
//
// A fault strikes the next request, once, unless a method says otherwise.
type Fault struct{ fault gateway.Fault }

// Inject adds faults. A request is struck by the first one that matches, in the
// order in which they were injected; by one at most.
func (g *Gateway) Inject(faults ...Fault) { g.gw.Inject(unwrap(faults)...) }

// InjectAtRandom strikes the given share, between 0 and 1, of the requests that no
// injected fault has struck. It picks one of the faults that match (see
// [Fault.On] and [Fault.When]); the seed decides. It replaces the faults of an
// earlier call.
func (g *Gateway) InjectAtRandom(seed uint64, share float64, faults ...Fault) {
	g.gw.InjectFunc(gateway.Mix(seed, share, unwrap(faults)...))
}

// ClearFaults removes all faults, also the ones of [Gateway.InjectAtRandom].
func (g *Gateway) ClearFaults() { g.gw.ClearFaults() }

func unwrap(faults []Fault) []gateway.Fault {
	inner := make([]gateway.Fault, len(faults))
	for n, f := range faults {
		inner[n] = f.fault
	}
	return inner
}

// Answer answers in place of the service; nothing is applied. The content type
// follows from the first character of the body. ${request_id} in the body is
// replaced by the ID of the request, and ${api_id} by the ID of its API.
func Answer(status int, body string) Fault { return Fault{gateway.Answer(status, body)} }

// ApplyThenAnswer applies the request and answers something else.
func ApplyThenAnswer(status int, body string) Fault { return Answer(status, body).Applied() }

// ApplyThenClose applies the request and closes the connection without an answer.
func ApplyThenClose() Fault { return CloseBefore().Applied() }

// CloseBefore closes the connection; nothing is applied.
func CloseBefore() Fault { return Fault{gateway.CloseBefore()} }

// CloseThenApply closes the connection. The request takes effect the given time
// after the client has seen that.
func CloseThenApply(after time.Duration) Fault { return CloseBefore().AppliedAfter(after) }

// Cut applies the request and sends no more of its answer than the headers and n
// bytes of the body; 0 means half of the body, a negative number none of it.
func Cut(n int) Fault { return Fault{gateway.Cut(n)} }

// Drop answers as usual, and then closes the connection without notice. The client may
// still try to use it for its next request.
func Drop() Fault { return Fault{gateway.Drop()} }

// Hang never answers and applies nothing.
func Hang() Fault { return Fault{gateway.Hang()} }

// Slow waits before the request is processed as usual.
func Slow(d time.Duration) Fault { return Fault{gateway.Slow(d)} }

// Do calls f before the request is processed as usual. It may change the gateway:
// publish an API as another client, or remove it while it is listed.
func Do(f func()) Fault { return Fault{gateway.Do(func(*gateway.Request) { f() })} }

// Throttle is the answer of the front gateway to an account that calls too often
// (429 APIGW.0308). With an empty retryAfter it has no Retry-After, as the real
// one.
func Throttle(retryAfter string) Fault { return Fault{gateway.Throttle(retryAfter)} }

// Busy is the answer to concurrent writes (500 APIG.3500); nothing is applied. The
// service may also have stored the change before this error: Busy().Applied().
func Busy() Fault { return Fault{gateway.Busy()} }

// Conflict is the answer of an instance that is busy (409 APIC.7701).
func Conflict() Fault { return Fault{gateway.Conflict()} }

// SystemError is the documented failure of the service (500 APIG.9999); nothing is
// applied, unless Applied or AppliedAfter says so.
func SystemError() Fault { return Fault{gateway.SystemError()} }

// BadRequest is the documented refusal of a parameter (400 APIG.2011).
func BadRequest() Fault { return Fault{gateway.BadRequest()} }

// Unauthorized is the documented refusal of a token (401 APIG.1002).
func Unauthorized() Fault { return Fault{gateway.Unauthorized()} }

// Forbidden is the documented answer to a lack of permissions (403 APIG.1005).
func Forbidden() Fault { return Fault{gateway.Forbidden()} }

// NotFound is the documented answer for an API that does not exist (404
// APIG.3002).
func NotFound() Fault { return Fault{gateway.NotFound()} }

// ExpireToken makes the token of the request expire. The gateway then refuses it
// (401 APIG.1001).
func ExpireToken() Fault { return Fault{gateway.ExpireToken()} }

// RefuseToken is the answer of the front gateway to a token that must be renewed
// (401 APIGW.0307). The token stays valid.
func RefuseToken() Fault { return Fault{gateway.RefuseToken()} }

// On limits the fault to requests of one kind.
func (f Fault) On(op Op) Fault { return Fault{f.fault.On(gateway.Op(op))} }

// When limits the fault to requests that match. The function must not inject
// faults.
func (f Fault) When(match func(*Request) bool) Fault {
	return Fault{f.fault.When(func(r *gateway.Request) bool { return match(request(r)) })}
}

// Times makes the fault strike n matching requests instead of one.
func (f Fault) Times(n int) Fault { return Fault{f.fault.Times(n)} }

// Always makes the fault strike every matching request.
func (f Fault) Always() Fault { return Fault{f.fault.Always()} }

// Skip lets n matching requests through first.
func (f Fault) Skip(n int) Fault { return Fault{f.fault.Skip(n)} }

// Delayed makes the fault wait before it does anything.
func (f Fault) Delayed(d time.Duration) Fault { return Fault{f.fault.Delayed(d)} }

// Applied lets the request take effect before its client sees the fault:
// Hang().Applied() is a request that is applied and never answered.
func (f Fault) Applied() Fault { return Fault{f.fault.Applied()} }

// AppliedAfter lets the request take effect the given time after its client has
// seen the fault, even if the client has gone. A Hang counts from its beginning.
func (f Fault) AppliedAfter(d time.Duration) Fault { return Fault{f.fault.AppliedAfter(d)} }
