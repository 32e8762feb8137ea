package simulation

import (
	"testing"
	"time"

	"github.com/apig-go/apig"
)

// total is an outage that every request of a call meets, for as long as it lasts.
type total struct {
	name    string
	weather func(*sent, *fate)
}

func (f *fate) fail(status int) { f.kind, f.end, f.status = "outage", endStatus, status }

var totals = []total{
	{"all 5xx", func(_ *sent, f *fate) { f.fail(503) }},
	{"all 429", func(_ *sent, f *fate) { f.fail(429); f.code, f.decisive = "APIGW.0308", true }},
	{"everything hangs", func(_ *sent, f *fate) { f.kind, f.end = "outage", endHang }},
	{"504, and reads hang", func(s *sent, f *fate) {
		if f.fail(504); !s.write {
			f.end = endHang
		}
	}},
	{"lists readable, histories fail", func(s *sent, f *fate) {
		if s.kind != "apis" {
			f.fail(503)
		}
	}},
	{"every twelfth read works", func(s *sent, f *fate) {
		if s.write || s.nth%12 != 11 {
			f.fail(503)
		}
	}},
	{"each API of a batch is busy", func(s *sent, f *fate) {
		switch {
		case s.kind == "batch":
			f.items = map[string]item{}
			for _, id := range s.apis {
				f.items[id] = itemBusy
			}
		case s.write:
			f.fail(409)
			f.code, f.decisive = "APIG.3711", true
		}
	}},
	{"no connection", func(_ *sent, f *fate) { f.kind, f.end, f.decisive = "outage", endRefused, true }},
	{"no word of a connection", func(_ *sent, f *fate) { f.kind, f.end, f.decisive = "outage", endDialing, true }},
}

// TestOutages calls each method that changes something, without a deadline, in each
// kind of total outage. The judge holds it to the longest time that the library
// documents.
func TestOutages(t *testing.T) {
	for _, method := range []struct {
		op   op
		apis int
	}{
		{opPublish, 1}, {opOffline, 1}, {opSwitch, 1}, {opOfflineVersion, 1}, {opRollback, 1}, {opPublishGroup, 20},
		{opPublishBatch, 20}, {opPublishBatch, 200}, {opOfflineBatch, 20}, {opOfflineBatch, 200},
	} {
		for _, outage := range totals {
			for _, policy := range []apig.RetryPolicy{{}, {MaxAttempts: 1}} {
				p := &plan{scenario: "outage", seed: 1, apis: method.apis, envs: 1, history: 3, lifetime: 1000 * time.Hour,
					groups: make([]int, method.apis), processes: []process{{workers: 1, policy: policy}}, weather: outage.weather}
				p.calls = []call{{op: method.op, apis: upTo(method.apis), remark: "release", version: 1}}
				for _, f := range inBubble(t, p).findings {
					t.Errorf("%s, MaxAttempts %d: %v", outage.name, policy.MaxAttempts, f)
				}
			}
		}
	}
}
