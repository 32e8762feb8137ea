package main

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/apig-go/apig/apigtest"
)

// partialKinds are the faults of some of the APIs of a batch, in an answer that
// is a success as a whole. Together they have about the weight of all others, so
// that half of the batches that are struck are struck by one of these.
var partialKinds = []kind{
	{name: "batch: some failed inside, applied", weight: 10, only: isBatch, doubt: true, make: func(d draw) apigtest.Fault {
		return rewrite(func(b *batchAnswer) {
			b.Success = slices.DeleteFunc(b.Success, func(row map[string]any) bool {
				if d.IntN(3) > 0 {
					return false
				}
				b.Failure = append(b.Failure, failedRow(row["api_id"], oneOf(d, "APIG.3500", "APIG.9999")))
				return true
			})
		})
	}},
	{name: "batch: some left out, applied", weight: 10, only: isBatch, doubt: true, make: func(d draw) apigtest.Fault {
		return rewrite(func(b *batchAnswer) {
			b.Success = slices.DeleteFunc(b.Success, func(map[string]any) bool { return d.IntN(3) == 0 })
		})
	}},
	{name: "batch: all left out", weight: 10, only: isBatch, doubt: true, make: func(d draw) apigtest.Fault {
		f := apigtest.Answer(http.StatusOK, `{"success":[],"failure":[]}`)
		f.Apply, f.After = d.anyTime(), d.upTo(d.late())
		return f
	}},
	{name: "batch: all failed inside, not applied", weight: 10, only: isBatch, doubt: true, make: func(d draw) apigtest.Fault {
		b := batchAnswer{Success: []map[string]any{}}
		for _, id := range apisOf(d.request) {
			b.Failure = append(b.Failure, failedRow(id, oneOf(d, "APIG.9008", "APIG.3711", "APIC.7712", "APIG.3500", "APIG.9999")))
		}
		return apigtest.Answer(http.StatusOK, string(encode(b)))
	}},
}

func isBatch(r *apigtest.Request) bool { return r.Op == apigtest.OpBatch }

// batchAnswer is the body of the answer to a batch.
type batchAnswer struct {
	Success []map[string]any `json:"success"`
	Failure []map[string]any `json:"failure"`
}

func failedRow(apiID any, code string) map[string]any {
	return map[string]any{"api_id": apiID, "error_code": code, "error_msg": "Try again later."}
}

// rewrite changes what the gateway itself answers to a batch, unless it refuses.
func rewrite(change func(*batchAnswer)) apigtest.Fault {
	return apigtest.Fault{Rewrite: func(status int, body []byte) (int, []byte) {
		var b batchAnswer
		if status != http.StatusOK || json.Unmarshal(body, &b) != nil {
			return status, body
		}
		change(&b)
		return status, encode(b)
	}}
}

func encode(b batchAnswer) []byte {
	body, err := json.Marshal(b)
	if err != nil {
		panic(err) // strings and maps of them can always be encoded
	}
	return body
}

// apisOf are the APIs of a batch.
func apisOf(r *apigtest.Request) []string {
	var body struct {
		APIs []string `json:"apis"`
	}
	_ = json.Unmarshal(r.Body, &body) // the gateway refuses what is not JSON
	return body.APIs
}
