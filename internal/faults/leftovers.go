package main

import (
	"runtime"
	"time"

	"github.com/apig-go/apig/apigtest"
)

// leftovers are what a run has not given back.
type leftovers struct {
	goroutines  int
	connections int
	heap        int64 // bytes
}

const maxHeap = 4 << 20

// patience is how long goroutines and connections may take to end.
type patience time.Duration

// leaveNothing runs f and counts what it leaves behind.
func (p patience) leaveNothing(f func() (result, error)) (result, error) {
	goroutines, heap := goroutinesAtRest(), heapInUse()
	r, err := f()
	r.left.goroutines = p.untilZero(func() int { return runtime.NumGoroutine() - goroutines })
	r.left.heap = heapInUse() - heap
	return r, err
}

// connectionsLeft counts the connections that are open at the gateway after
// release has closed the idle ones. One that was being dialled may come late.
func (p patience) connectionsLeft(g *apigtest.Gateway, release func()) int {
	return p.untilZero(func() int {
		release()
		return g.Connections()
	})
}

// untilZero waits, with patience, until count gives zero or less.
func (p patience) untilZero(count func() int) int {
	deadline := time.Now().Add(time.Duration(p))
	for {
		n := count()
		if n <= 0 {
			return 0
		}
		if time.Now().After(deadline) {
			return n
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// goroutinesAtRest is the number of goroutines once those that are about to end
// have ended: counted in, they would hide as many that a run leaves behind.
func goroutinesAtRest() int {
	fewest := runtime.NumGoroutine()
	for range 10 {
		time.Sleep(10 * time.Millisecond)
		fewest = min(fewest, runtime.NumGoroutine())
	}
	return fewest
}

// heapInUse collects twice: what a pool holds survives the first time.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
