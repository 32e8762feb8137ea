package gateway

import (
	"net/http"
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

// Throttle is the answer of the front gateway to an account that calls too
// often. Without retryAfter it has no Retry-After, as the real one.
func Throttle(retryAfter string) Fault {
	f := Answer(http.StatusTooManyRequests, `{"error_code":"APIGW.0308",`+
		`"error_msg":"The throttling threshold has been reached: policy user over ratelimit,limit:200,time:5 minute",`+
		`"request_id":"${request_id}"}`)
	if retryAfter != "" {
		f.Header = http.Header{"Retry-After": {retryAfter}}
	}
	return f
}

// Busy is the answer to writes that collide; nothing is applied. Compare
// ApplyThenAnswer: the service may also have stored the change before this
// error.
func Busy() Fault {
	return Answer(http.StatusInternalServerError,
		`{"error_code":"APIG.3500","error_msg":"Failed to synchronize data to etcd."}`)
}

// TaskRunning is the answer of an instance on which a task is running (409
// APIG.3718).
func TaskRunning() Fault {
	return Answer(http.StatusConflict,
		`{"error_code":"APIG.3718","error_msg":"An instance task is currently being processed."}`)
}

// BadRequest is the documented refusal of a parameter (400 APIG.2011).
func BadRequest() Fault {
	return Answer(http.StatusBadRequest, `{"error_code":"APIG.2011",`+
		`"error_msg":"Invalid parameter value,parameterName:action. Please refer to the support documentation"}`)
}

// Unauthorized is the documented refusal of a token (401 APIG.1002).
func Unauthorized() Fault {
	return Answer(http.StatusUnauthorized,
		`{"error_code":"APIG.1002","error_msg":"Incorrect token or token resolution failed"}`)
}

// Forbidden is the documented answer to a lack of permissions (403 APIG.1005).
func Forbidden() Fault {
	return Answer(http.StatusForbidden,
		`{"error_code":"APIG.1005","error_msg":"No permissions to request this method"}`)
}

// NotFound is the documented answer for an API that does not exist (404
// APIG.3002).
func NotFound() Fault {
	return Answer(http.StatusNotFound, `{"error_code":"APIG.3002","error_msg":"API ${api_id} does not exist"}`)
}

// Conflict is the answer of an instance that is at work on something else (409
// APIC.7701).
func Conflict() Fault {
	return Answer(http.StatusConflict, `{"error_code":"APIC.7701","error_msg":"Instance status conflict."}`)
}

// SystemError is the documented failure of the service (500 APIG.9999);
// nothing is applied. Compare ApplyThenAnswer, as for Busy.
func SystemError() Fault {
	return Answer(http.StatusInternalServerError, `{"error_code":"APIG.9999","error_msg":"System error"}`)
}

// ExpireToken lets the token of the request expire, which is then refused by
// the gateway itself (401 APIG.1001).
func ExpireToken() Fault { return Fault{ExpireToken: true} }

// RefuseToken is the front gateway's answer to a token that it wants renewed
// (401 APIGW.0307). The token stays valid.
func RefuseToken() Fault {
	return Answer(http.StatusUnauthorized,
		`{"error_code":"APIGW.0307","error_msg":"The token must be updated.","request_id":"${request_id}"}`)
}

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
func CloseThenApply(after time.Duration) Fault {
	return CloseBefore().AppliedAfter(after)
}

// ApplyThenAnswer applies the request and answers something else.
func ApplyThenAnswer(status int, body string) Fault {
	return Answer(status, body).Applied()
}

// Cut applies the request and sends no more of its answer than the headers and
// n bytes of the body; 0 means half of the body, a negative number none of it.
func Cut(n int) Fault { return Fault{Apply: ApplyFirst, End: EndCut, CutAt: n} }

// Drop answers as usual, and closes the connection that the client has every
// reason to use again.
func Drop() Fault { return Fault{End: EndDrop} }

// On limits the fault to requests of one kind.
func (f Fault) On(op Op) Fault { f.Op = op; return f }

// When limits the fault to requests that match.
func (f Fault) When(match func(*Request) bool) Fault { f.Match = match; return f }

// Times makes the fault strike n matching requests instead of one; a negative
// n is Always.
func (f Fault) Times(n int) Fault { f.times = n; return f }

// Always makes the fault strike for ever.
func (f Fault) Always() Fault { f.times = -1; return f }

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
