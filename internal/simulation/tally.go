package simulation

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/apig-go/apig"
)

// tally is what many worlds have shown: numbers by their names.
type tally map[string]int

// add counts one world.
func (t tally) add(j *judgment) {
	for _, v := range verdicts {
		t[string(v)] += 0
	}
	for _, r := range j.world.calls {
		if r.skip {
			continue
		}
		t["calls"]++
		t["requests"] += len(r.sent)
		t["settled by hand"] += r.settles
		if !r.op.reads() {
			t["reports"] += max(1, len(r.reports))
		}
		for _, s := range r.sent {
			if s.fate.kind != "" {
				t.both("faults", s.fate.kind)
			}
		}
		for _, report := range r.reports {
			if report.was == apig.Unknown {
				t.both("unknown at first", string(r.op))
			}
			if apig.OutcomeOf(report.err) == apig.Unknown {
				t.both("unknown in the end", causeOf(report.err))
			}
		}
	}
	for limit, n := range j.excused {
		t["excused"] += n
		t["excused: "+limit] += n
	}
	for _, f := range j.findings {
		t[string(f.verdict)]++
	}
}

// both counts something among all of its kind, and by its name.
func (t tally) both(kind, name string) {
	t[kind]++
	t[kind+": "+name]++
}

func (t tally) print(out io.Writer) {
	for _, name := range slices.Sorted(maps.Keys(t)) {
		fmt.Fprintf(out, "%9d  %s\n", t[name], name)
	}
}
