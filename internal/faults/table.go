package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// describe says what is about to run.
func describe(w io.Writer, s settings) {
	fmt.Fprintf(w, "%d changes of %d APIs, %d calls at a time, batches of up to %d; faults on %.0f %% of the requests; seed %d, %s, %d CPUs\n",
		s.calls, s.apis, s.parallel, s.batch, 100*s.rate, s.seed, runtime.Version(), runtime.GOMAXPROCS(0))
	t := s.waits
	fmt.Fprintf(w, "%d attempts of at most %v, MinWait %v, MaxWait %v, SettleWait %v; lost requests are applied up to %v late, after a timeout %v\n",
		attempts, t.Attempt, t.Min, t.Max, t.Settle, t.late(), t.lateAfterTimeout())
	fmt.Fprint(w, "The seed decides the calls and the faults. How they meet depends on timing too, so runs differ a little.\n\n")
}

// row is one line of the table.
type row struct {
	name string
	cell func(result) string
}

func number(of func(result) int) func(result) string {
	return func(r result) string { return strconv.Itoa(of(r)) }
}

var rows = []row{
	{"changes", number(func(r result) int { return r.calls })},
	{"  publishes", number(func(r result) int { return r.publishes })},
	{"  offlines", number(func(r result) int { return r.offlines })},
	{"reported applied", number(func(r result) int { return r.applied })},
	{"  recovered from the history", number(func(r result) int { return r.recovered })},
	{"reported not applied", number(func(r result) int { return r.notApplied })},
	{"reported unknown", number(func(r result) int { return r.unknown })},
	{"  of them applied", number(func(r result) int { return r.settled })},
	{"  without a reason", number(func(r result) int { return r.unfounded })},
	{"WRONG REPORTS", number(func(r result) int { return r.wrong })},
	{"LOST PUBLISHES", number(func(r result) int { return r.lost })},
	{"DOUBLED VERSIONS", number(func(r result) int { return r.doubled })},
	{"HTTP requests per change", func(r result) string { return fmt.Sprintf("%.2f", float64(r.requests)/float64(r.calls)) }},
	{"time", func(r result) string { return r.elapsed.Round(100 * time.Millisecond).String() }},
	{"goroutines left", number(func(r result) int { return r.left.goroutines })},
	{"connections left", number(func(r result) int { return r.left.connections })},
	{"heap left, KB", func(r result) string { return strconv.FormatInt(r.left.heap/1024, 10) }},
	{"requests", number(func(r result) int { return r.requests })},
	{"faults", number(func(r result) int {
		total := 0
		for _, n := range r.struck {
			total += n
		}
		return total
	})},
}

// noFigure is in the cells of a column that did not come to its end: what it has
// counted until then says nothing beside the others.
const noFigure = "-"

// conclude prints the table and what is wrong with it, and returns the exit
// status.
func conclude(w io.Writer, s settings, results []result) int {
	all := slices.Clone(rows)
	for n, k := range kinds {
		all = append(all, row{"  " + k.name, number(func(r result) int { return r.struck[n] })})
	}
	width := 0
	for _, row := range all {
		width = max(width, len(row.name))
	}
	line := func(name string, cell func(result) string) {
		var b strings.Builder
		fmt.Fprintf(&b, "%-*s", width, name)
		for _, r := range results {
			text := noFigure
			if r.err == nil || name == "" {
				text = cell(r)
			}
			fmt.Fprintf(&b, "  %*s", max(8, len(r.title)), text)
		}
		fmt.Fprintln(w, b.String())
	}
	line("", func(r result) string { return r.title })
	for _, row := range all {
		line(row.name, row.cell)
	}
	fmt.Fprintln(w)

	code := 0
	if missing := len(s.columns) - len(results); missing > 0 {
		code = 1
		fmt.Fprintf(w, "FAIL: columns not begun: %d\n", missing)
	}
	for _, r := range results {
		for _, f := range r.failures() {
			code = 1
			fmt.Fprintf(w, "FAIL %s: %s\n", r.title, f)
		}
		if r.judged {
			r.explain(w)
		}
	}
	if code == 0 {
		fmt.Fprintln(w, "ok")
	}
	return code
}

// failures says why the run fails. Every client has to leave nothing behind;
// the rest is asked of ours only.
func (r result) failures() []string {
	if r.err != nil {
		return []string{r.err.Error()}
	}
	var all []string
	need := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	need(r.left.goroutines == 0, "%d goroutines left", r.left.goroutines)
	need(r.left.connections == 0, "%d connections left", r.left.connections)
	need(r.left.heap <= maxHeap, "%d KB of memory left", r.left.heap/1024)
	need(r.publishes+r.offlines == r.calls, "%d reports of %d changes", r.publishes+r.offlines, r.calls)
	if !r.judged {
		return all
	}
	need(r.wrong == 0, "%d wrong reports", r.wrong)
	need(r.lost == 0, "%d lost publishes", r.lost)
	need(r.doubled == 0, "%d doubled versions", r.doubled)
	need(r.strays == 0, "%d changes that no call has made", r.strays)
	need(r.unfounded == 0, "%d unknown outcomes without a reason", r.unfounded)
	if r.open != nil && !r.refused && !r.hurried {
		need(r.unknown == 0, "%d unknown outcomes, such as: %s", r.unknown, strings.Join(r.doubts, "; "))
		need(r.notApplied*50 < r.calls, "%d changes not applied, 2 %% or more, such as: %s",
			r.notApplied, strings.Join(r.reasons, "; "))
	}
	return all
}

// explain prints the first reports that are bad.
func (r result) explain(w io.Writer) {
	for _, f := range r.bad {
		fmt.Fprintf(w, "\n%s\n", f.text)
		for _, l := range f.trace {
			fmt.Fprintf(w, "  %s\n", l)
		}
	}
}
