package main

import (
	"encoding/json"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/apig-go/apig/apigtest"
)

// kind is one kind of fault.
type kind struct {
	name  string
	batch bool // of batches only
	make  func(*rand.Rand, *apigtest.Request) apigtest.Fault
}

// kinds are the faults. None of them lies: a service that refuses a request
// with an error of its own does not apply it afterwards, unless the error is
// one of those that leave this open.
var kinds = []kind{
	{name: "applied, then closed", make: func(*rand.Rand, *apigtest.Request) apigtest.Fault { return apigtest.ApplyThenClose() }},
	{name: "closed, not applied", make: func(*rand.Rand, *apigtest.Request) apigtest.Fault { return apigtest.CloseBefore() }},
	{name: "answer cut", make: func(rng *rand.Rand, _ *apigtest.Request) apigtest.Fault { return apigtest.Cut(rng.IntN(300)) }},
	{name: "429", make: func(*rand.Rand, *apigtest.Request) apigtest.Fault { return apigtest.Throttle("") }},
	{name: "5xx, not applied", make: func(rng *rand.Rand, _ *apigtest.Request) apigtest.Fault {
		return failure(rng, apigtest.ApplyNever)
	}},
	{name: "5xx, applied", make: func(rng *rand.Rand, _ *apigtest.Request) apigtest.Fault {
		return failure(rng, apigtest.ApplyFirst)
	}},
	{name: "some failed inside, though applied", batch: true, make: func(rng *rand.Rand, _ *apigtest.Request) apigtest.Fault {
		return rewrite(rng, func(rng *rand.Rand, r *partial) {
			code := []string{"APIG.3500", "APIG.9999"}[rng.IntN(2)]
			r.Success = slices.DeleteFunc(r.Success, func(s map[string]any) bool {
				if rng.IntN(5) > 0 {
					return false
				}
				r.Failure = append(r.Failure, map[string]any{"api_id": s["api_id"], "error_code": code, "error_msg": "System error"})
				return true
			})
		})
	}},
	{name: "some left out of the answer", batch: true, make: func(rng *rand.Rand, _ *apigtest.Request) apigtest.Fault {
		return rewrite(rng, func(rng *rand.Rand, r *partial) {
			r.Success = slices.DeleteFunc(r.Success, func(map[string]any) bool { return rng.IntN(5) == 0 })
		})
	}},
	{name: "all failed inside, not applied", batch: true, make: allFailed},
}

// allFailed is the answer that the service has not managed any of the APIs,
// for a reason of each.
func allFailed(rng *rand.Rand, r *apigtest.Request) apigtest.Fault {
	codes := []string{"APIG.9008", "APIG.3711", "APIC.7712", "APIG.3500", "APIG.9999"}
	answer := partial{Success: []map[string]any{}}
	for _, id := range apisOf(r) {
		answer.Failure = append(answer.Failure, map[string]any{
			"api_id": id, "error_code": codes[rng.IntN(len(codes))], "error_msg": "Try again later.",
		})
	}
	return apigtest.Answer(200, string(encode(answer)))
}

// partial is the body of the answer to a batch.
type partial struct {
	Success []map[string]any `json:"success"`
	Failure []map[string]any `json:"failure"`
}

// rewrite changes what the gateway itself answers to a batch.
func rewrite(rng *rand.Rand, change func(*rand.Rand, *partial)) apigtest.Fault {
	return apigtest.Fault{Rewrite: func(status int, body []byte) (int, []byte) {
		var answer partial
		if json.Unmarshal(body, &answer) != nil {
			return status, body
		}
		change(rng, &answer)
		return status, encode(answer)
	}}
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of strings and maps it cannot
	}
	return b
}

// failure is an answer that says nothing of what has become of the request.
func failure(rng *rand.Rand, apply apigtest.Apply) apigtest.Fault {
	all := []apigtest.Fault{
		apigtest.Answer(500, `{"error_code":"APIG.9999","error_msg":"System error"}`),
		apigtest.Busy(),
		apigtest.Answer(502, "<html><head><title>502 Bad Gateway</title></head></html>"),
		apigtest.Answer(503, "<html><head><title>503 Service Temporarily Unavailable</title></head></html>"),
		apigtest.Answer(504, "<html><head><title>504 Gateway Time-out</title></head></html>"),
	}
	f := all[rng.IntN(len(all))]
	f.Apply = apply
	return f
}

// fate decides which requests are struck, and by what.
type fate struct {
	settings
	mu     sync.Mutex
	before map[string]int // requests, by origin
	struck map[string]int // by name of the fault
}

// strike is the gateway's source of faults.
func (f *fate) strike(r *apigtest.Request) *apigtest.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	origin := string(r.Op) + " " + r.APIID + r.Query.Get("offset")
	rate := f.rate
	if r.Op == apigtest.OpBatch {
		origin += apisOf(r)[0]
		rate = f.batchRate
	}
	f.before[origin]++
	hash := fnv.New64a()
	hash.Write([]byte(origin))
	rng := rand.New(rand.NewPCG(f.seed<<16+uint64(f.before[origin]), hash.Sum64()))
	if rng.Float64() >= rate {
		return nil
	}
	// A batch meets those of its own as often as the others.
	inside := r.Op == apigtest.OpBatch && rng.IntN(2) == 0
	n := rng.IntN(len(kinds))
	for kinds[n].batch != inside {
		n = rng.IntN(len(kinds))
	}
	fault := kinds[n].make(rng, r)
	f.struck[kinds[n].name]++
	return &fault
}

// apisOf are the APIs of a batch.
func apisOf(r *apigtest.Request) []string {
	var body struct {
		APIs []string `json:"apis"`
	}
	if json.Unmarshal(r.Body, &body) != nil || len(body.APIs) == 0 {
		return []string{strings.TrimSpace(string(r.Body))}
	}
	return body.APIs
}
