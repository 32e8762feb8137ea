package simulation

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// tally is what many worlds of one scenario have shown.
type tally struct {
	scenario string
	count    map[string]int // by column and, after a colon, what it consists of
	found    []found
}

// found is a finding, and where.
type found struct {
	finding
	seed  uint64
	calls int // that were made before, in worlds with lower seeds
}

// columns are those of the table, before the findings.
var columns = []string{"calls", "reports", "requests", "faults", "unknown at first", "unknown", "settled by hand", "excused"}

// add counts one world.
func (t *tally) add(j *judgment) {
	before := t.count["calls"]
	for _, r := range j.world.calls {
		if r.skip {
			continue
		}
		t.count["calls"]++
		t.count["requests"] += len(r.sent)
		t.count["settled by hand"] += r.settles
		if !r.op.reads() {
			t.count["reports"] += max(1, len(r.reports))
		}
		for _, s := range r.sent {
			if s.fate.kind != "" {
				t.count["faults: "+s.fate.kind]++
			}
		}
		for _, report := range r.reports {
			if report.was == unknown {
				t.count["unknown at first: "+string(r.op)]++
			}
			if outcomeOf(report.err) == unknown {
				t.count["unknown: "+causeOf(report.err)]++
			}
		}
		if r.whole != nil && len(r.reports) == 0 && outcomeOf(r.whole) == unknown {
			t.count["unknown: "+causeOf(r.whole)]++
		}
	}
	for limit, n := range j.excused {
		t.count["excused: "+limit] += n
	}
	for _, f := range j.findings {
		t.count[string(f.verdict)]++
		t.found = append(t.found, found{f, j.world.seed, before + max(0, f.call) + 1})
	}
}

// sum is the number in a column.
func (t *tally) sum(column string) (sum int) {
	for of, n := range t.count {
		if of == column || strings.HasPrefix(of, column+": ") {
			sum += n
		}
	}
	return sum
}

// print writes a table with one row a scenario, and what its columns consist of.
func print(out io.Writer, tallies []*tally) {
	total := &tally{scenario: "all", count: map[string]int{}}
	for _, t := range tallies {
		for of, n := range t.count {
			total.count[of] += n
		}
	}
	all := slices.Clone(columns)
	for _, v := range verdicts {
		all = append(all, string(v))
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "scenario\t%s\t\n", strings.Join(all, "\t"))
	for _, t := range append(slices.Clone(tallies), total) {
		fmt.Fprintf(w, "%s\t", t.scenario)
		for _, column := range all {
			fmt.Fprintf(w, "%d\t", t.sum(column))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	for _, of := range slices.Sorted(maps.Keys(total.count)) {
		if strings.Contains(of, ": ") {
			fmt.Fprintf(out, "%s: %d\n", of, total.count[of])
		}
	}
}
