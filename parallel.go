package apig

import (
	"sync"
	"sync/atomic"
)

// inParallel calls do for all of work, at most n at once. A panic of do, perhaps in
// the caller's own transport, goes on in the goroutine that waits, which can recover
// from it.
func inParallel[T any](n int, work []T, do func(T)) {
	if len(work) == 1 {
		do(work[0])
		return
	}
	var (
		running  sync.WaitGroup
		panicked atomic.Pointer[any]
		slots    = make(chan struct{}, n)
	)
	for _, w := range work {
		slots <- struct{}{}
		running.Go(func() {
			defer func() {
				if v := recover(); v != nil {
					panicked.CompareAndSwap(nil, &v)
				}
				<-slots
			}()
			do(w)
		})
	}
	running.Wait()
	if v := panicked.Load(); v != nil {
		panic(*v)
	}
}
