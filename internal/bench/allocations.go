package main

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
)

// measureAllocations counts what each workload allocates, exactly.
func measureAllocations(ctx context.Context, s settings, t *table) error {
	all, err := groups()
	if err != nil {
		return err
	}
	for _, g := range all {
		for _, w := range g.work {
			if err := ctx.Err(); err != nil {
				return err
			}
			objects, bytes, err := allocations(max(20, 1000/w.units), w.run)
			if err != nil {
				return fmt.Errorf("%s with %s: %w", w.row, w.column, err)
			}
			units := float64(w.units)
			objects = math.Round(10*objects/units) / 10 // reading the counters allocates a little itself
			t.set(w.row+": allocations", w.column, objects, amount(objects))
			t.set(w.row+": bytes", w.column, bytes/units, amount(bytes/units))
		}
	}
	return nil
}

// allocations is what one of n runs allocates on average. Nothing else runs
// meanwhile and nothing is collected, so that what is pooled stays there and the
// numbers are the same each time.
func allocations(n int, run func() error) (objects, bytes float64, err error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for range 5 { // fills the pools and the maps
		if err := run(); err != nil {
			return 0, 0, err
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		if err := run(); err != nil {
			return 0, 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n),
		float64(after.TotalAlloc-before.TotalAlloc) / float64(n), nil
}
