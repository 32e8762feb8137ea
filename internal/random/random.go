// Package random is the one source of chance in the library: the jitter of waits
// and the tags of remarks. It stands apart so that the simulation can replay a
// run, which the global source of math/rand/v2 does not allow.
package random

import (
	"math/rand/v2"
	"sync/atomic"
)

var replaced atomic.Pointer[func(n int64) int64]

// Int64N is a random number from 0 to n-1. It panics if n is not positive.
func Int64N(n int64) int64 {
	if source := replaced.Load(); source != nil {
		return (*source)(n)
	}
	return rand.Int64N(n)
}

// Replace has Int64N ask source, which must be safe for concurrent use, until
// restore is called.
func Replace(source func(n int64) int64) (restore func()) {
	before := replaced.Swap(&source)
	return func() { replaced.Store(before) }
}
