package simulation

import (
	"cmp"
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
	calls    int
	reports  int // of changes, one for each API
	made     int // of these, of publications
	doubt    int // publications that are unknown in the end
	requests int
	settles  int            // by hand
	first    map[string]int // unknown before anything was settled by hand, by method
	deeds    int
	faults   map[string]int // by kind
	unknowns map[string]int // by cause
	excused  map[string]int // by documented limit
	blind    int
	count    map[verdict]int
	found    []found
}

// found is a finding, and where.
type found struct {
	finding
	seed  uint64
	calls int // that were made before, in worlds with lower seeds
}

func newTally(scenario string) *tally {
	return &tally{scenario: scenario, faults: map[string]int{}, unknowns: map[string]int{}, excused: map[string]int{}, first: map[string]int{}, count: map[verdict]int{}}
}

// add counts one world.
func (t *tally) add(j *judgment) {
	before := t.calls
	for _, r := range j.world.calls {
		if r.skip {
			continue
		}
		t.calls++
		t.requests += len(r.sent)
		t.settles += r.settles
		if !r.op.reads() {
			t.reports += max(1, len(r.reports))
		}
		if r.op.publishes() {
			t.made += len(r.reports)
		}
		for _, s := range r.sent {
			if s.fate.kind != "" {
				t.faults[s.fate.kind]++
			}
		}
		for _, report := range r.reports {
			if report.was == unknown {
				t.first[string(r.op)]++
			}
			if outcomeOf(report.err) == unknown {
				if r.op.publishes() {
					t.doubt++
				}
				t.unknowns[causeOf(report.err)]++
			}
		}
		if r.whole != nil && len(r.reports) == 0 && outcomeOf(r.whole) == unknown {
			t.unknowns[causeOf(r.whole)]++
		}
	}
	t.deeds += len(j.world.deeds)
	t.blind += j.blind
	for limit, n := range j.excused {
		t.excused[limit] += n
	}
	for _, f := range j.findings {
		t.count[f.verdict]++
		t.found = append(t.found, found{f, j.world.seed, before + max(0, f.call) + 1})
	}
}

// print writes the tables: one row a scenario, then the faults by kind and the
// unknown reports by cause, of all of them.
func print(out io.Writer, tallies []*tally) {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "scenario\tcalls\treports\trequests a call\tfaults\tunknown at first\tunknown\tsettled by hand\texcused\t")
	for _, v := range verdicts {
		fmt.Fprintf(w, "%s\t", v)
	}
	fmt.Fprintln(w)
	total := newTally("all")
	for _, t := range append(slices.Clone(tallies), total) {
		fmt.Fprintf(w, "%s\t%d\t%d\t%.2f\t%d\t%d\t%d\t%d\t%d\t", t.scenario, t.calls, t.reports,
			float64(t.requests)/float64(max(1, t.calls)), sum(t.faults), sum(t.first), sum(t.unknowns), t.settles, sum(t.excused))
		for _, v := range verdicts {
			fmt.Fprintf(w, "%d\t", t.count[v])
		}
		fmt.Fprintln(w)
		if t != total {
			total.join(t)
		}
	}
	w.Flush()
	fmt.Fprintf(out, "\nsomebody else's deeds: %d\n", total.deeds)
	fmt.Fprintf(out, "unknown in the end: %d of %d publications, %d of %d changes of state\n",
		total.doubt, total.made, sum(total.unknowns)-total.doubt, total.reports-total.made)
	list(out, "faults by kind", total.faults)
	list(out, "unknown at first by method", total.first)
	list(out, "unknown reports by cause", total.unknowns)
	list(out, "excused by a documented limit", total.excused)
	fmt.Fprintf(out, "retries over what another client did since the last look: %d\n", total.blind)
}

func (t *tally) join(o *tally) {
	t.calls += o.calls
	t.reports += o.reports
	t.requests += o.requests
	t.made += o.made
	t.doubt += o.doubt
	t.settles += o.settles
	t.deeds += o.deeds
	t.found = append(t.found, o.found...)
	merge(t.faults, o.faults)
	merge(t.unknowns, o.unknowns)
	merge(t.excused, o.excused)
	merge(t.first, o.first)
	t.blind += o.blind
	merge(t.count, o.count)
}

func merge[K comparable](into, from map[K]int) {
	for k, n := range from {
		into[k] += n
	}
}

func sum[K comparable](counts map[K]int) int {
	total := 0
	for _, n := range counts {
		total += n
	}
	return total
}

func list(out io.Writer, title string, counts map[string]int) {
	if len(counts) == 0 {
		return
	}
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(counts[b]-counts[a], strings.Compare(a, b))
	})
	var text []string
	for _, k := range keys {
		text = append(text, fmt.Sprintf("%s %d", k, counts[k]))
	}
	fmt.Fprintf(out, "%s: %s\n", title, strings.Join(text, ", "))
}
