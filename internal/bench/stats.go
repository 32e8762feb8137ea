package main

import (
	"slices"
	"time"
)

// quantile is the value below which the share q of the values lies, between two of
// them if need be. The values need no order. There must be one at least.
func quantile[T ~int64 | ~float64](values []T, q float64) T {
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low == len(sorted)-1 {
		return sorted[low]
	}
	part := at - float64(low)
	return sorted[low] + T(part*float64(sorted[low+1]-sorted[low]))
}

// spread is a median and the quartiles around it.
type spread struct{ low, median, high float64 }

func spreadOf(values []float64) spread {
	return spread{quantile(values, 0.25), quantile(values, 0.5), quantile(values, 0.75)}
}

// ratios divides, round by round, what was measured by what the baseline came to in
// the same round. So whatever slows a whole round down is in both, and drops out.
func ratios(measured, baseline []time.Duration) []float64 {
	quotients := make([]float64, len(measured))
	for i := range measured {
		quotients[i] = float64(measured[i]) / float64(baseline[i])
	}
	return quotients
}
