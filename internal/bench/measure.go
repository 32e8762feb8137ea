package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/apig-go/apig"
)

// scenario is a call as all clients make it, against a stub.
type scenario struct {
	row     string
	token   int // its length in bytes; 0: AK/SK
	status  int
	answer  string
	columns []int
	batch   int // the APIs of one call; 0: one, by its ID
}

var scenarios = []scenario{
	{rowPublish, 60, http.StatusCreated, recordOf(apiID), []int{byHand, restyPlain, restyTuned, official, ours}, 0},
	{rowKeys, 0, http.StatusCreated, recordOf(apiID), []int{ours}, 0},
	{rowLong, 4000, http.StatusCreated, recordOf(apiID), []int{byHand, restyPlain, restyTuned, ours}, 0},
	{rowRefused, 60, http.StatusNotFound, notFound, []int{byHand, restyPlain, restyTuned, official, ours}, 0},
	{rowBatch, 60, http.StatusOK, batchOf(distinctIDs(1000)), []int{official, ours}, 1000},
}

// workload is the call of a scenario by one client.
type workload struct {
	scenario
	column int
	run    func() error
	base   int // index of the workload that it is compared with: by hand, the same or else a publish
}

// workloads makes all calls ready. Each was made once, with the result that it should have.
func workloads(ctx context.Context) ([]workload, error) {
	var all []workload
	for _, s := range scenarios {
		base := 0
		if s.columns[0] == byHand {
			base = len(all)
		}
		for _, column := range s.columns {
			client, err := connect[column](newStub(s.status, s.answer), token(s.token))
			if err != nil {
				return nil, err
			}
			ids := distinctIDs(s.batch)
			w := workload{s, column, func() error {
				if s.batch > 0 {
					return client.batch(ctx, ids)
				}
				if err := client.one(ctx, apiID); (err != nil) != (s.status == http.StatusNotFound) {
					return fmt.Errorf("not the result of status %d: %w", s.status, err)
				}
				return nil
			}, base}
			if err := w.run(); err != nil {
				return nil, fmt.Errorf("%s, %s: %w", s.row, columnNames[column], err)
			}
			all = append(all, w)
		}
	}
	return all, nil
}

// measureCalls counts what each call allocates, and compares the CPU of all calls.
func measureCalls(ctx context.Context, timed bool, t *table) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // or idle processors help to collect garbage, now and then
	all, err := workloads(ctx)
	if err != nil {
		return err
	}
	for _, w := range all {
		units := float64(max(w.batch, 1))
		objects, size, err := allocations(max(20, 1000/int(units)), w.run)
		if err != nil {
			return err
		}
		t.set(w.row+": allocations", w.column, objects/units, "")
		t.set(w.row+": bytes", w.column, size/units, "")
	}
	if !timed {
		return nil
	}
	used, err := sideBySide(ctx, all)
	if err != nil {
		return err
	}
	for i, w := range all {
		ratios := make([]float64, len(used[i]))
		for round := range ratios { // so whatever slows a whole round down drops out
			ratios[round] = used[i][round] / used[w.base][round]
		}
		t.set(w.row+": CPU beside a publish by hand", w.column, quantile(ratios, 0.5),
			fmt.Sprintf("%.2f (%.2f–%.2f)", quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75)))
	}
	return nil
}

// allocations is what one of n runs allocates on average. Nothing else runs and
// nothing is collected, so that the pools stay full and the numbers are the same each
// time.
func allocations(n int, run func() error) (objects, size float64, err error) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for range 5 { // fills the pools and the maps
		err = errors.Join(err, run())
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		if err = errors.Join(err, run()); err != nil {
			return 0, 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n), nil
}

// sideBySide has all workloads run in turn, in short slices and in an order that is
// shuffled for each round. It returns the seconds of CPU of one unit of each workload
// in each round, with the collection of its garbage.
func sideBySide(ctx context.Context, all []workload) ([][]float64, error) {
	const rounds, slice = 31, 25e-3 // long enough for several collections
	used := make([][]float64, len(all))
	random := rand.New(rand.NewPCG(1, 1))
	for range rounds {
		for _, i := range random.Perm(len(all)) {
			runtime.GC() // the garbage of the others
			begin, units := cpuTime(), 0
			for cpuTime()-begin < slice {
				for range 20 { // so that it costs nothing to look at the time
					if err := errors.Join(ctx.Err(), all[i].run()); err != nil {
						return nil, err
					}
				}
				units += 20 * max(all[i].batch, 1)
			}
			used[i] = append(used[i], (cpuTime()-begin)/float64(units))
		}
	}
	return used, nil
}

// cpuTime is how much CPU this process has used, in seconds.
func cpuTime() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // which cannot fail for the process itself
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

// quantile is the value below which the share q of the values lies.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

// measureMemory publishes many APIs, once each, and looks what the client still holds.
func measureMemory(ctx context.Context, _ bool, t *table) error {
	const warm, apis = 1000, 50_000
	client, err := connectOurs(below(&gateway{}), token(60))
	if err != nil {
		return err
	}
	var before uint64
	for i := range warm + apis {
		if i == warm {
			before = liveHeap()
		}
		if err := client.one(ctx, distinctID(i)); err != nil {
			return err
		}
	}
	held := (float64(liveHeap()) - float64(before)) / apis
	runtime.KeepAlive(client)
	t.set(rowMemory, ours, max(0, held), "")
	return nil
}

// liveHeap is what is still in use once all garbage is collected, in bytes.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC() // what pools held goes with the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// measureGrowth has a client do ten and a hundred times as much, and compares the cost
// of one item.
func measureGrowth(ctx context.Context, timed bool, t *table) error {
	for _, kind := range []struct {
		row string
		run func(c *apig.Client, n int) error
	}{
		{rowGrowBatch, func(c *apig.Client, n int) error {
			_, err := c.PublishBatch(ctx, apig.PublishBatchRequest{APIIDs: distinctIDs(n), EnvID: envID, Remark: remark})
			return err
		}},
		{rowGrowMany, func(c *apig.Client, n int) error { return atOnce(ctx, c, distinctIDs(n)) }},
		{rowGrowOne, func(c *apig.Client, n int) error { return atOnce(ctx, c, slices.Repeat([]string{apiID}, n)) }},
		{rowGrowList, func(c *apig.Client, n int) error {
			rows := 0
			for _, err := range c.APIs(ctx, apig.APIQuery{}) {
				if rows++; err != nil {
					return err
				}
			}
			if rows != n {
				return fmt.Errorf("the list has %d rows instead of %d", rows, n)
			}
			return nil
		}},
	} {
		var cpu, size [3]float64
		for i, n := range [...]int{1000, 10_000, 100_000} {
			times := 20_000/n + 1
			var used, allocated float64
			for range times {
				g := &gateway{rows: n, open: make(chan struct{})}
				if kind.row == rowGrowMany || kind.row == rowGrowOne {
					g.holds = int64(n)
				}
				c, err := newOurs(below(g), token(60))
				if err != nil {
					return err
				}
				liveHeap() // collects the garbage of the run before
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				begin := cpuTime()
				if err := kind.run(c, n); err != nil {
					return fmt.Errorf("%s, %d items: %w", kind.row, n, err)
				}
				used += cpuTime() - begin
				runtime.ReadMemStats(&after)
				allocated += float64(after.TotalAlloc - before.TotalAlloc)
			}
			cpu[i], size[i] = used/float64(n*times), allocated/float64(n*times)
		}
		t.set(kind.row+": bytes", ours, size[2]/size[0], fmt.Sprintf("%.2f: %s, %s, %s", size[2]/size[0], number(size[0]), number(size[1]), number(size[2])))
		if timed {
			t.set(kind.row+": CPU", ours, cpu[2]/cpu[0], fmt.Sprintf("%.2f: %.1f, %.1f, %.1f µs", cpu[2]/cpu[0], cpu[0]*1e6, cpu[1]*1e6, cpu[2]*1e6))
		}
	}
	return nil
}

// atOnce publishes all APIs at the same time.
func atOnce(ctx context.Context, c *apig.Client, ids []string) error {
	failures := make([]error, len(ids))
	var all sync.WaitGroup
	for i, id := range ids {
		all.Go(func() {
			_, failures[i] = c.Publish(ctx, apig.PublishRequest{APIID: id, EnvID: envID, Remark: remark})
		})
	}
	all.Wait()
	return errors.Join(failures...)
}
