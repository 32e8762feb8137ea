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

// patience is how long things may take to be given back.
type patience struct {
	End    time.Duration // goroutines and connections
	Forget time.Duration // memory, if there is more than maxHeap
}

// patient is the patience of the program. This library remembers what its clients
// have done to an API for about a minute and a half at most.
var patient = patience{End: 5 * time.Second, Forget: 2 * time.Minute}

// leaveNothing runs f and counts what it leaves behind.
func (p patience) leaveNothing(f func() result) result {
	goroutines, heap := goroutinesAtRest(), heapInUse()
	r := f()
	r.left.goroutines = p.untilZero(func() int { return runtime.NumGoroutine() - goroutines })
	for deadline := time.Now().Add(p.Forget); ; time.Sleep(time.Second) {
		r.left.heap = heapInUse() - heap
		if r.left.heap <= maxHeap || time.Now().After(deadline) {
			return r
		}
	}
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
	deadline := time.Now().Add(p.End)
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
