package main

import (
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/apig-go/apig/apigtest"
)

// waits are the times of clients and faults, all far shorter than in earnest.
type waits struct {
	Attempt time.Duration // until a client gives an attempt up
	Min     time.Duration // before a repetition
	Max     time.Duration // a second at least: Retry-After knows nothing shorter
	Settle  time.Duration // until a lost request counts as not applied
	Late    time.Duration // how much later than its end, at most, a lost request is applied
	Slow    time.Duration // how late a slow answer is, at most
}

var scaled = waits{
	Attempt: 500 * time.Millisecond,
	Min:     2 * time.Millisecond,
	Max:     time.Second,
	Settle:  600 * time.Millisecond,
	Late:    300 * time.Millisecond,
	Slow:    300 * time.Millisecond,
}

// kind is one kind of fault.
type kind struct {
	name   string
	weight float64
	only   func(*apigtest.Request) bool // nil: every request

	// doubt says that a client whose publish it strikes cannot see whether it
	// was applied.
	doubt bool

	// closes says that the client gets its whole answer, and then loses the
	// connection that it has every reason to use again.
	closes bool

	// expires says that it ends the token that all calls under way share.
	expires bool

	make func(*rand.Rand, waits) apigtest.Fault
}

// kinds are the faults of the run. None of them lies: a service that refuses a
// request with an error of its own does not apply it afterwards, and one that
// throttles does not apply it at all.
var kinds = []kind{
	{name: "applied, then closed", weight: 3, doubt: true, make: func(*rand.Rand, waits) apigtest.Fault {
		return apigtest.ApplyThenClose()
	}},
	{name: "closed, not applied", weight: 3, doubt: true, make: func(*rand.Rand, waits) apigtest.Fault {
		return apigtest.CloseBefore()
	}},
	{name: "closed, applied later", weight: 3, doubt: true, make: func(rng *rand.Rand, w waits) apigtest.Fault {
		return apigtest.CloseThenApply(upTo(rng, w.Late))
	}},
	{name: "reset", weight: 3, doubt: true, make: func(rng *rand.Rand, w waits) apigtest.Fault {
		return apigtest.Fault{End: apigtest.EndReset, Apply: anyApply(rng), After: upTo(rng, w.Late)}
	}},
	{name: "body cut", weight: 3, doubt: true, make: func(rng *rand.Rand, _ waits) apigtest.Fault {
		return apigtest.Cut(rng.IntN(200) - 1)
	}},
	{name: "unreadable success", weight: 2, doubt: true, make: func(rng *rand.Rand, _ waits) apigtest.Fault {
		bodies := []string{"", "{}", "null", "<html>ok</html>", `{"error_code":"APIG.9999","error_msg":"System error"}`}
		f := apigtest.Answer(200+rng.IntN(2), bodies[rng.IntN(len(bodies))])
		f.Apply = []apigtest.Apply{apigtest.ApplyNever, apigtest.ApplyFirst}[rng.IntN(2)]
		return f
	}},
	{name: "answered, then closed", weight: 1, closes: true, make: func(*rand.Rand, waits) apigtest.Fault {
		return apigtest.Drop()
	}},
	{name: "429", weight: 3, make: func(*rand.Rand, waits) apigtest.Fault {
		return apigtest.Throttle("")
	}},
	// Not for tokens: every call would have to wait as long, and none waits
	// longer for its credentials than an attempt may take.
	{name: "429, Retry-After 1 s", weight: 0.7, only: notToken, make: func(rng *rand.Rand, _ waits) apigtest.Fault {
		if rng.IntN(2) == 0 {
			return apigtest.Throttle("1")
		}
		return apigtest.Throttle(time.Now().Add(time.Second).UTC().Format(http.TimeFormat))
	}},
	// Longer than any client waits, so the end of the call. Where it struck
	// the history, the outcome would rightly stay unknown.
	{name: "429, Retry-After 60 s", weight: 0.3, only: isAction, make: func(*rand.Rand, waits) apigtest.Fault {
		return apigtest.Throttle("60")
	}},
	{name: "500 too many requests", weight: 1, make: func(*rand.Rand, waits) apigtest.Fault {
		return apigtest.Answer(http.StatusInternalServerError,
			`{"error_code":"APIG.9008","error_msg":"Too many requests. Try again later."}`)
	}},
	{name: "5xx JSON, not applied", weight: 2, doubt: true, make: func(rng *rand.Rand, _ waits) apigtest.Fault {
		return failure(rng, jsonFailures, apigtest.ApplyNever)
	}},
	{name: "5xx JSON, applied", weight: 2, doubt: true, make: func(rng *rand.Rand, _ waits) apigtest.Fault {
		return failure(rng, jsonFailures, apigtest.ApplyFirst)
	}},
	{name: "5xx HTML, not applied", weight: 2, doubt: true, make: func(rng *rand.Rand, _ waits) apigtest.Fault {
		return failure(rng, htmlFailures, apigtest.ApplyNever)
	}},
	{name: "5xx HTML, applied", weight: 2, doubt: true, make: func(rng *rand.Rand, _ waits) apigtest.Fault {
		return failure(rng, htmlFailures, apigtest.ApplyFirst)
	}},
	{name: "5xx HTML, applied later", weight: 1, doubt: true, make: func(rng *rand.Rand, w waits) apigtest.Fault {
		f := failure(rng, htmlFailures, apigtest.ApplyLater)
		f.After = upTo(rng, w.Late)
		return f
	}},
	{name: "hang, not applied", weight: 1, doubt: true, make: func(*rand.Rand, waits) apigtest.Fault {
		return apigtest.Hang()
	}},
	{name: "hang, applied", weight: 1, doubt: true, make: func(*rand.Rand, waits) apigtest.Fault {
		return apigtest.Fault{End: apigtest.EndHang, Apply: apigtest.ApplyFirst}
	}},
	{name: "hang, applied later", weight: 0.5, doubt: true, make: func(rng *rand.Rand, w waits) apigtest.Fault {
		// Counted from when the hang begins; the client leaves after an attempt.
		return apigtest.Fault{End: apigtest.EndHang, Apply: apigtest.ApplyLater, After: w.Attempt + upTo(rng, w.Late)}
	}},
	{name: "slow", weight: 3, make: func(rng *rand.Rand, w waits) apigtest.Fault {
		return apigtest.Slow(upTo(rng, w.Slow))
	}},
	{name: "too slow", weight: 0.5, doubt: true, make: func(_ *rand.Rand, w waits) apigtest.Fault {
		return apigtest.Slow(2 * w.Attempt) // applied when its client leaves
	}},
	{name: "token expires", weight: 0.1, only: notToken, expires: true, make: func(*rand.Rand, waits) apigtest.Fault {
		return apigtest.ExpireToken()
	}},
	{name: "token refused", weight: 0.1, only: notToken, make: func(*rand.Rand, waits) apigtest.Fault {
		return apigtest.RefuseToken()
	}},
	// Of no weight: it strikes the history only where that is asked for.
	{name: historyRefused, make: func(*rand.Rand, waits) apigtest.Fault {
		return apigtest.Answer(http.StatusForbidden,
			`{"error_code":"APIG.1005","error_msg":"No permissions to request this method"}`)
	}},
}

const historyRefused = "history refused (403)"

func isAction(r *apigtest.Request) bool { return r.Op == apigtest.OpAction }
func notToken(r *apigtest.Request) bool { return r.Op != apigtest.OpToken }

func upTo(rng *rand.Rand, d time.Duration) time.Duration { return rand.N(d) }

func anyApply(rng *rand.Rand) apigtest.Apply {
	return []apigtest.Apply{apigtest.ApplyNever, apigtest.ApplyFirst, apigtest.ApplyLater}[rng.IntN(3)]
}

// answerOf is an error answer.
type answerOf struct {
	status int
	body   string
}

// The service's own errors, and those of the gateway in front of it.
var jsonFailures = []answerOf{
	{500, `{"error_code":"APIG.9999","error_msg":"System error"}`},
	{500, `{"error_code":"APIG.3500","error_msg":"Failed to synchronize data to etcd."}`},
	{502, `{"error_code":"APIGW.0201","error_msg":"Backend unavailable.","request_id":"${request_id}"}`},
	{503, `{"error_code":"APIGW.0613","error_msg":"The IAM service is currently unavailable.","request_id":"${request_id}"}`},
	{504, `{"error_code":"APIGW.0201","error_msg":"Backend timeout.","request_id":"${request_id}"}`},
}

// Those of a load balancer, which knows nothing of the request's fate.
var htmlFailures = []answerOf{
	{500, "<html><head><title>500 Internal Server Error</title></head></html>"},
	{502, "<html><head><title>502 Bad Gateway</title></head></html>"},
	{503, "<html><head><title>503 Service Temporarily Unavailable</title></head></html>"},
	{504, "<html><head><title>504 Gateway Time-out</title></head></html>"},
}

func failure(rng *rand.Rand, of []answerOf, apply apigtest.Apply) apigtest.Fault {
	a := of[rng.IntN(len(of))]
	f := apigtest.Answer(a.status, a.body)
	f.Apply = apply
	return f
}
