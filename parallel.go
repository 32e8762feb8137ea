package apig

import (
	"sync"
	"sync/atomic"
)

// group waits for goroutines. A panic of one of them, such as of the caller's own
// transport, goes on in the goroutine that waits: the caller can recover from that,
// while it would end the program where it was.
type group struct {
	running  sync.WaitGroup
	panicked atomic.Pointer[any]
}

func (g *group) start(do func()) {
	g.running.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				g.panicked.CompareAndSwap(nil, &v)
			}
		}()
		do()
	})
}

func (g *group) wait() {
	g.running.Wait()
	if v := g.panicked.Load(); v != nil {
		panic(*v)
	}
}

// inParallel calls do for all of work, at most n at once.
func inParallel[T any](n int, work []T, do func(T)) {
	if len(work) == 1 {
		do(work[0])
		return
	}
	var all group
	slots := make(chan struct{}, n)
	for _, w := range work {
		slots <- struct{}{}
		all.start(func() {
			defer func() { <-slots }()
			do(w)
		})
	}
	all.wait()
}
