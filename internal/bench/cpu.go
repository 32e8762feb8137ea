package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"time"
)

// measureCPU has the workloads of each group run in turn, in short slices and in an
// order that is shuffled for each round, all in this one process.
func measureCPU(ctx context.Context, s settings, t *table) error {
	// A slice is long enough for several collections, so that one more or less of
	// them does not show.
	rounds, slice := 30, 25*time.Millisecond
	if s.quick {
		rounds, slice = 9, 10*time.Millisecond
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // or idle processors help to collect garbage, now and then
	all, err := groups()
	if err != nil {
		return err
	}
	for _, g := range all {
		p, err := pair(ctx, g.work, rounds, slice)
		if err != nil {
			return err
		}
		base := -1
		for i, w := range g.work {
			if w.column == g.baseline && base < 0 {
				base = i
			}
		}
		for i, w := range g.work {
			cpu := quantile(p.cpu[i], 0.5)
			t.set(w.row+": CPU, µs", w.column, microseconds(cpu), decimals(microseconds(cpu)))
			switch {
			case base < 0: // nothing to compare with
			case i == base:
				t.set(w.row+": CPU ratio", w.column, 1, "1")
				t.set(w.row+": time ratio", w.column, 1, "1")
			default:
				against := spreadOf(ratios(p.cpu[i], p.cpu[base]))
				t.set(w.row+": CPU ratio", w.column, against.median, against.String())
				against = spreadOf(ratios(p.elapsed[i], p.elapsed[base]))
				t.set(w.row+": time ratio", w.column, against.median, against.String())
			}
		}
	}
	return nil
}

// paired is what each unit of each workload took in each round.
type paired struct{ cpu, elapsed [][]time.Duration }

func pair(ctx context.Context, work []workload, rounds int, slice time.Duration) (paired, error) {
	p := paired{make([][]time.Duration, len(work)), make([][]time.Duration, len(work))}
	runs := make([]int, len(work))
	order := make([]int, len(work))
	for i, w := range work {
		took, _, err := timed(5, w)
		if err != nil {
			return p, err
		}
		runs[i] = max(1, int(slice/max(took, 1))/w.units)
		order[i] = i
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range rounds {
		random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			if err := ctx.Err(); err != nil {
				return p, err
			}
			runtime.GC() // what others have left is not this one's to collect
			cpu, elapsed, err := timed(runs[i], work[i])
			if err != nil {
				return p, fmt.Errorf("%s with %s: %w", work[i].row, work[i].column, err)
			}
			p.cpu[i] = append(p.cpu[i], cpu)
			p.elapsed[i] = append(p.elapsed[i], elapsed)
		}
	}
	return p, nil
}

// timed is what one unit takes on average. The CPU is that of the whole process, and
// so has in it what collecting the garbage costs.
func timed(runs int, w workload) (cpu, elapsed time.Duration, err error) {
	begin, used := time.Now(), cpuTime()
	for range runs {
		if err := w.run(); err != nil {
			return 0, 0, err
		}
	}
	units := time.Duration(runs * w.units)
	return (cpuTime() - used) / units, time.Since(begin) / units, nil
}

// cpuTime is what this process has used of the CPUs.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0 // which it never does for the process itself
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
