package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// The rows of what a client holds on to.
const (
	rowHeapOneAPI = "live heap after 100,000 calls for one API, bytes more than after 1,000"
	rowMemory     = "memory for each API that was published, bytes"
	rowSilence    = "the same after two minutes without a call, bytes"
	rowAfterCalls = "the same after 10,000 more calls, bytes"
	rowSweep      = "longest of those 10,000 calls, µs"
	rowTypical    = "99.9 % of those 10,000 calls, at most, µs"
)

// memoryVariable, in the environment, makes this program measure what a client holds
// for as many APIs as it says.
const memoryVariable = "APIG_BENCH_APIS"

// measureMemory is about what outlives a call. The clients that are compared hold
// nothing for an API, so there is only ours to measure.
func measureMemory(ctx context.Context, s settings, t *table) error {
	if !s.check { // which has no budget for it
		if err := heapOfOneAPI(ctx, s, t); err != nil {
			return err
		}
	}
	apis := 1_000_000
	if s.quick || s.check {
		apis = 200_000
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", memoryVariable, apis))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return t.read(out)
}

// measureManyAPIs is the process that measureMemory starts. It prints its results for
// the other's table, and does not return.
//
// Two minutes have to pass in it, and do so in no time in testing/synctest, which asks
// for a test.
func measureManyAPIs(apis string) {
	run := func(t *testing.T) {
		n, err := strconv.Atoi(apis)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			results := &table{}
			if err := heapOfManyAPIs(t.Context(), n, results); err != nil {
				t.Fatal(err)
			}
			results.write(os.Stdout)
		})
	}
	everything := func(string, string) (bool, error) { return true, nil }
	testing.Main(everything, []testing.InternalTest{{Name: "memory", F: run}}, nil, nil)
}

func heapOfOneAPI(ctx context.Context, s settings, t *table) error {
	calls := 100_000
	if s.quick {
		calls = 20_000
	}
	for _, c := range clients[:len(clients)-3] { // a longer token changes nothing here
		do, err := c.connect(gateway{stubURL, newStub(http.StatusCreated, recordOf(apiID))})
		if err != nil {
			return err
		}
		var before int64
		for i := range calls {
			if i == 1000 {
				before = liveHeap()
			}
			if err := errors.Join(ctx.Err(), do(ctx, apiID)); err != nil {
				return fmt.Errorf("%s: %w", c.column, err)
			}
		}
		grown := float64(liveHeap() - before)
		t.set(rowHeapOneAPI, c.column, grown, amount(grown))
		runtime.KeepAlive(do)
	}
	return nil
}

// heapOfManyAPIs publishes many APIs once each, lets two minutes pass, and then has
// calls made again, which may find something to clear away.
func heapOfManyAPIs(ctx context.Context, apis int, t *table) error {
	do, err := connectOurs(shortTokenBytes)(gateway{stubURL, newStub(http.StatusCreated, recordOf(apiID))})
	if err != nil {
		return err
	}
	call := func(i int) error { return errors.Join(ctx.Err(), do(ctx, distinctID(i))) }
	for i := range 1000 { // what is made at the first calls is none of the APIs'
		if err := call(-i - 1); err != nil {
			return err
		}
	}
	before := liveHeap()
	held := func(row string) {
		each := float64(liveHeap()-before) / float64(apis)
		t.set(row, colOurs, each, amount(each))
	}
	for i := range apis {
		if err := call(i); err != nil {
			return err
		}
	}
	held(rowMemory)
	time.Sleep(2 * time.Minute)
	held(rowSilence)

	longest := make([]time.Duration, 10_000)
	func() {
		defer debug.SetGCPercent(debug.SetGCPercent(-1)) // collecting garbage is no wait of the client's
		for i := range longest {
			begin := realTime()
			if err = call(apis + i); err != nil {
				return
			}
			longest[i] = realTime() - begin
		}
	}()
	if err != nil {
		return err
	}
	held(rowAfterCalls)
	runtime.KeepAlive(do)
	for _, r := range []struct {
		row   string
		share float64
	}{{rowSweep, 1}, {rowTypical, 0.999}} {
		took := microseconds(quantile(longest, r.share))
		t.set(r.row, colOurs, took, decimals(took))
	}
	return nil
}

// liveHeap is what is still in use once all garbage is collected, in bytes.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what pools held goes with the second one
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// realTime is the time outside of testing/synctest, where time.Now shows the one inside.
func realTime() time.Duration {
	var now syscall.Timeval
	if err := syscall.Gettimeofday(&now); err != nil {
		return 0 // which it never does for a valid address
	}
	return time.Duration(now.Nano())
}
