package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// A report counts what became of the mutants.
type report struct {
	out       io.Writer
	explained map[string]string // not seen to survive yet, with the reason
	counts    map[verdict]int
	reasons   int // how many of the survivors are explained
	open      int // how many are not
}

// add counts a mutant, and prints it if it lives for no known reason.
func (r *report) add(m mutant, v verdict) {
	r.counts[v]++
	if v != survived {
		return
	}
	if _, ok := r.explained[m.key]; ok {
		delete(r.explained, m.key)
		r.reasons++
		return
	}
	r.open++
	fmt.Fprintln(r.out, "survived", m)
}

// end prints the sum, and says what is wrong: survivors without a reason, and
// reasons without a survivor. Reasons for files that were left out are not looked at.
func (r *report) end(tried []mutant) error {
	dead := r.counts[killed] + r.counts[late]
	counted := dead + r.counts[survived]
	fmt.Fprintf(r.out, "%d mutants: %d killed, %d of them by the time limit; %d survived, %d of them for a known reason; %d more do not compile\n",
		counted, dead, r.counts[late], r.counts[survived], r.reasons, r.counts[unbuilt])
	if counted > 0 {
		fmt.Fprintf(r.out, "score: %.1f %%\n", 100*float64(dead)/float64(counted))
	}

	var faults []error
	if r.open > 0 {
		faults = append(faults, fmt.Errorf("survived for no known reason: %d", r.open))
	}
	for _, key := range slices.Sorted(maps.Keys(r.explained)) {
		file, _, _ := strings.Cut(key, " ")
		if slices.ContainsFunc(tried, func(m mutant) bool { return m.file == file }) {
			faults = append(faults, fmt.Errorf("explained, but it does not survive (any more): %s", key))
		}
	}
	return errors.Join(faults...)
}
