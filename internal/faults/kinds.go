package main

import (
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/apig-go/apig/apigtest"
)

// waits are the times of clients and faults.
type waits struct {
	Attempt time.Duration // until a client gives an attempt up
	Min     time.Duration // before a repetition
	Max     time.Duration // a second at least: Retry-After knows nothing shorter
	Settle  time.Duration // until a lost request counts as not applied
	Slow    time.Duration // how late a slow answer is, at most
	Busy    time.Duration // how late a busy machine may be: faults keep away from the limits by as much
}

// scaled are far shorter than in earnest, but for Settle, which is the default.
var scaled = waits{
	Attempt: 500 * time.Millisecond,
	Min:     2 * time.Millisecond,
	Max:     time.Second,
	Settle:  time.Second,
	Slow:    300 * time.Millisecond,
	Busy:    200 * time.Millisecond,
}

// late is how long after its end, at most, a lost request may be applied, and
// lateAfterTimeout the same where somebody had waited in vain: the documented
// limits.
func (w waits) late() time.Duration             { return w.Settle - w.Busy }
func (w waits) lateAfterTimeout() time.Duration { return 2*w.Settle - w.Busy }

// clockError is by how much the Date of an answer may be off against the times of
// publications, either way.
const clockError = 900 * time.Millisecond

// kind is one kind of fault.
type kind struct {
	name   string
	weight float64
	only   func(*apigtest.Request) bool // nil: every request

	// doubt says that a client whose change it strikes cannot see whether it
	// was applied.
	doubt bool

	// closes says that the client gets its whole answer, and then loses the
	// connection that it has every reason to use again.
	closes bool

	// expires says that it ends the token that all calls under way share.
	expires bool

	make func(draw) apigtest.Fault
}

// draw is what a fault is made from. Its random numbers come from the seed.
type draw struct {
	*rand.Rand
	waits
	request *apigtest.Request
}

// upTo is some time below a limit.
func (d draw) upTo(limit time.Duration) time.Duration { return time.Duration(d.Int64N(int64(limit))) }

// oneOf is one of some values.
func oneOf[T any](d draw, all ...T) T { return all[d.IntN(len(all))] }

// kinds are the faults of the run, as unkind as the documented limits of the
// library allow. None of them lies: a service that refuses a request with an
// error of its own does not apply it afterwards, and one that throttles does not
// apply it at all.
var kinds = append([]kind{
	{name: "applied, then closed", weight: 3, doubt: true, make: func(draw) apigtest.Fault {
		return apigtest.ApplyThenClose()
	}},
	{name: "closed, not applied", weight: 3, doubt: true, make: func(draw) apigtest.Fault {
		return apigtest.CloseBefore()
	}},
	{name: "closed, applied later", weight: 3, doubt: true, make: func(d draw) apigtest.Fault {
		return apigtest.CloseThenApply(d.upTo(d.late()))
	}},
	{name: "reset", weight: 3, doubt: true, make: func(d draw) apigtest.Fault {
		return apigtest.Fault{End: apigtest.EndReset, Apply: d.anyTime(), After: d.upTo(d.late())}
	}},
	{name: "body cut", weight: 3, doubt: true, make: func(d draw) apigtest.Fault {
		return apigtest.Cut(d.IntN(200) - 1)
	}},
	{name: "unreadable success", weight: 2, doubt: true, make: func(d draw) apigtest.Fault {
		f := apigtest.Answer(oneOf(d, http.StatusOK, http.StatusCreated), oneOf(d, "", "{}", "null", "<html>ok</html>"))
		f.Apply, f.After = d.anyTime(), d.upTo(d.late())
		return f
	}},
	{name: "success with an error in it", weight: 0.5, doubt: true, make: func(d draw) apigtest.Fault {
		f := apigtest.Answer(oneOf(d, http.StatusOK, http.StatusCreated), `{"error_code":"APIG.9999","error_msg":"System error"}`)
		f.Apply = oneOf(d, apigtest.ApplyNever, apigtest.ApplyFirst)
		return f
	}},
	{name: "answered, then closed", weight: 1, closes: true, make: func(draw) apigtest.Fault {
		return apigtest.Drop()
	}},
	{name: "429", weight: 3, make: func(draw) apigtest.Fault {
		return apigtest.Throttle("")
	}},
	// Not for tokens: every call would have to wait as long, and none waits
	// longer for its credentials than an attempt may take.
	{name: "429, Retry-After 1 s", weight: 0.7, only: notToken, make: func(d draw) apigtest.Fault {
		return apigtest.Throttle(oneOf(d, "1", time.Now().Add(time.Second).UTC().Format(http.TimeFormat)))
	}},
	// Longer than any client waits, so the end of the call. Where it struck
	// the history, the outcome would rightly stay unknown.
	{name: "429, Retry-After 60 s", weight: 0.3, only: isChange, make: func(draw) apigtest.Fault {
		return apigtest.Throttle("60")
	}},
	{name: "500 too many requests", weight: 1, make: func(draw) apigtest.Fault {
		return apigtest.Answer(http.StatusInternalServerError,
			`{"error_code":"APIG.9008","error_msg":"Too many requests. Try again later."}`)
	}},
	{name: "5xx JSON, not applied", weight: 2, doubt: true, make: func(d draw) apigtest.Fault {
		return d.failure(jsonFailures, apigtest.ApplyNever)
	}},
	{name: "5xx JSON, applied", weight: 2, doubt: true, make: func(d draw) apigtest.Fault {
		return d.failure(jsonFailures, apigtest.ApplyFirst)
	}},
	{name: "5xx HTML, not applied", weight: 2, doubt: true, make: func(d draw) apigtest.Fault {
		return d.failure(htmlFailures, apigtest.ApplyNever)
	}},
	{name: "5xx HTML, applied", weight: 2, doubt: true, make: func(d draw) apigtest.Fault {
		return d.failure(htmlFailures, apigtest.ApplyFirst)
	}},
	{name: "5xx HTML, applied later", weight: 1, doubt: true, make: func(d draw) apigtest.Fault {
		return d.failure(htmlFailures, apigtest.ApplyLater)
	}},
	{name: "hang, not applied", weight: 1, doubt: true, make: func(draw) apigtest.Fault {
		return apigtest.Hang()
	}},
	{name: "hang, applied", weight: 1, doubt: true, make: func(draw) apigtest.Fault {
		return apigtest.Fault{End: apigtest.EndHang, Apply: apigtest.ApplyFirst}
	}},
	{name: "hang, applied later", weight: 0.5, doubt: true, make: func(d draw) apigtest.Fault {
		// Counted from when the hang begins; the client leaves after an attempt.
		return apigtest.Fault{End: apigtest.EndHang, Apply: apigtest.ApplyLater, After: d.Attempt + d.upTo(d.lateAfterTimeout())}
	}},
	{name: "slow", weight: 3, make: func(d draw) apigtest.Fault {
		return apigtest.Slow(d.upTo(d.Slow))
	}},
	{name: "too slow", weight: 0.5, doubt: true, make: func(d draw) apigtest.Fault {
		return apigtest.Slow(2 * d.Attempt) // applied when its client leaves
	}},
	{name: "Date off", weight: 3, make: func(d draw) apigtest.Fault {
		date := time.Now().Add(d.upTo(2*clockError) - clockError)
		return apigtest.Fault{Header: http.Header{"Date": {date.UTC().Format(http.TimeFormat)}}}
	}},
	{name: "token expires", weight: 0.1, only: hasToken, expires: true, make: func(draw) apigtest.Fault {
		return apigtest.ExpireToken()
	}},
	{name: "token refused", weight: 0.1, only: hasToken, make: func(draw) apigtest.Fault {
		return apigtest.RefuseToken()
	}},
	{name: "history empty", weight: 1, only: isHistory, make: func(d draw) apigtest.Fault {
		return apigtest.Answer(http.StatusOK, oneOf(d, "", "{}", "null", `{"total":2,"size":0,"api_versions":[]}`))
	}},
	// Of no weight: it strikes the history only where that is asked for.
	{name: historyRefused, only: isHistory, make: func(draw) apigtest.Fault {
		return apigtest.Answer(http.StatusForbidden,
			`{"error_code":"APIG.1005","error_msg":"No permissions to request this method"}`)
	}},
}, partialKinds...)

const historyRefused = "history refused (403)"

func isChange(r *apigtest.Request) bool {
	return r.Op == apigtest.OpAction || r.Op == apigtest.OpBatch
}
func isHistory(r *apigtest.Request) bool { return r.Op == apigtest.OpHistory }
func notToken(r *apigtest.Request) bool  { return r.Op != apigtest.OpToken }
func hasToken(r *apigtest.Request) bool  { return r.Header.Get("X-Auth-Token") != "" }

// anyTime is when a request is applied, if at all.
func (d draw) anyTime() apigtest.Apply {
	return oneOf(d, apigtest.ApplyNever, apigtest.ApplyFirst, apigtest.ApplyLater)
}

// failure is an error answer that says nothing of the request's fate.
func (d draw) failure(of []errorAnswer, apply apigtest.Apply) apigtest.Fault {
	a := oneOf(d, of...)
	f := apigtest.Answer(a.status, a.body)
	f.Apply, f.After = apply, d.upTo(d.late())
	if a.status == http.StatusGatewayTimeout {
		f.After = d.upTo(d.lateAfterTimeout())
	}
	return f
}

type errorAnswer struct {
	status int
	body   string
}

// The service's own errors, and those of the gateway in front of it.
var jsonFailures = []errorAnswer{
	{500, `{"error_code":"APIG.9999","error_msg":"System error"}`},
	{500, `{"error_code":"APIG.3500","error_msg":"Failed to synchronize data to etcd."}`},
	{502, `{"error_code":"APIGW.0201","error_msg":"Backend unavailable.","request_id":"${request_id}"}`},
	{503, `{"error_code":"APIGW.0613","error_msg":"The IAM service is currently unavailable.","request_id":"${request_id}"}`},
	{504, `{"error_code":"APIGW.0201","error_msg":"Backend timeout.","request_id":"${request_id}"}`},
}

// Those of a load balancer, which knows nothing of the request's fate.
var htmlFailures = []errorAnswer{
	{500, "<html><head><title>500 Internal Server Error</title></head></html>"},
	{502, "<html><head><title>502 Bad Gateway</title></head></html>"},
	{503, "<html><head><title>503 Service Temporarily Unavailable</title></head></html>"},
	{504, "<html><head><title>504 Gateway Time-out</title></head></html>"},
}
