package simulation

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/apig-go/apig"
)

// total is an outage that every request of a call meets, for as long as it
// lasts.
type total struct {
	name    string
	weather func(dice, *sent, *fate)
}

func (f *fate) fail(status int) { f.kind, f.end, f.status = "outage", endStatus, status }

var totals = []total{
	{"all 5xx", func(_ dice, _ *sent, f *fate) { f.fail(503) }},
	{"all 429", func(_ dice, _ *sent, f *fate) { f.fail(429); f.code, f.decisive = "APIGW.0308", true }},
	{"everything hangs", func(_ dice, _ *sent, f *fate) { f.kind, f.end = "outage", endHang }},
	{"504, and reads hang", func(_ dice, s *sent, f *fate) {
		if f.fail(504); !s.write {
			f.end = endHang
		}
	}},
	{"lists readable, histories fail", func(_ dice, s *sent, f *fate) {
		if s.kind != "apis" {
			f.fail(503)
		}
	}},
	{"every twelfth read works", func(_ dice, s *sent, f *fate) {
		if s.write || s.nth%12 != 11 {
			f.fail(503)
		}
	}},
	{"each API of a batch is busy", func(_ dice, s *sent, f *fate) {
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
	{"no connection", func(_ dice, _ *sent, f *fate) { f.kind, f.end, f.decisive = "outage", endRefused, true }},
	{"no word of a connection", func(_ dice, _ *sent, f *fate) { f.kind, f.end, f.decisive = "outage", endDialing, true }},
}

// method is a call for the table.
type method struct {
	name string
	op   op
	apis int // of the call
}

var methods = []method{
	{"Publish", opPublish, 1},
	{"Offline", opOffline, 1},
	{"PublishBatch of 20", opPublishBatch, 20},
	{"PublishBatch of 200", opPublishBatch, 200},
	{"OfflineBatch of 20", opOfflineBatch, 20},
	{"OfflineBatch of 200", opOfflineBatch, 200},
	{"PublishBatch of a group of 20", opPublishGroup, 20},
	{"SwitchVersion", opSwitch, 1},
	{"OfflineVersion", opOfflineVersion, 1},
	{"Rollback", opRollback, 1},
}

// TestOutages holds each method that changes something, called without a
// deadline, to the longest time that the library documents, in each kind of
// total outage, and prints how long it took and how many requests.
func TestOutages(t *testing.T) {
	for _, policy := range []apig.RetryPolicy{{}, {MaxAttempts: 1}} {
		var out bytes.Buffer
		w := tabwriter.NewWriter(&out, 0, 8, 2, ' ', 0)
		fmt.Fprintf(w, "MaxAttempts %d\t", policy.MaxAttempts)
		for _, o := range totals {
			fmt.Fprintf(w, "%s\t", o.name)
		}
		fmt.Fprintln(w, "may take\t")
		for _, m := range methods {
			fmt.Fprintf(w, "%s\t", m.name)
			for _, o := range totals {
				r := outageCall(t, m, o, policy)
				took := r.end.Sub(r.start)
				fmt.Fprintf(w, "%v, %d, %s\t", took.Round(100*time.Millisecond), len(r.sent), r.summary())
				if limit := longest(process{policy: policy}, call{op: m.op}, m.apis); took > limit {
					t.Errorf("%s, %s, MaxAttempts %d: it took %v, and may take %v", m.name, o.name, policy.MaxAttempts, took, limit)
				}
			}
			fmt.Fprintf(w, "%v\t\n", longest(process{policy: policy}, call{op: m.op}, m.apis))
		}
		w.Flush()
		fmt.Fprintln(&out)
		os.Stdout.Write(out.Bytes())
	}
}

// outageCall makes one call in an outage.
func outageCall(t *testing.T, m method, o total, policy apig.RetryPolicy) *running {
	p := &plan{scenario: "outage", seed: 1, apis: m.apis, envs: 1, history: 3, lifetime: 1000 * time.Hour,
		groups: make([]int, m.apis), processes: []process{{workers: 1, policy: policy}}, weather: o.weather}
	p.calls = []call{{op: m.op, apis: slices.Collect(indices(p.groups)), remark: "release", version: 1}}
	j := inBubble(t, p)
	for _, f := range j.findings {
		t.Errorf("%s, %s: %v", m.name, o.name, f)
		break
	}
	return j.world.calls[0]
}

// summary is what a call has reported, in a word.
func (r *running) summary() string {
	count := map[outcome]int{}
	for _, report := range r.reports {
		count[outcomeOf(report.err)]++
	}
	switch {
	case r.whole != nil:
		return outcomeOf(r.whole).String()
	case count[unknown] > 0:
		return "unknown"
	case count[notApplied] > 0:
		return "not applied"
	}
	return "applied"
}
