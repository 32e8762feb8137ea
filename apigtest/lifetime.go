package apigtest

import (
	"context"
	"sync"
	"time"
)

// lifetime counts what runs on behalf of a gateway, so that Close can end all
// of it and leave no goroutine behind.
type lifetime struct {
	mu      sync.Mutex
	ended   bool
	done    chan struct{} // closed by end
	running sync.WaitGroup
}

// enter reports whether a request may still be served; each success is
// followed by a leave.
func (l *lifetime) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return false
	}
	l.running.Add(1)
	return true
}

func (l *lifetime) leave() { l.running.Done() }

// end lets nothing more in and wakes all that waits.
func (l *lifetime) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.ended = true
		close(l.done)
	}
}

func (l *lifetime) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// after runs f once d has passed, or as soon as the gateway is closed: what
// was promised to happen late still happens, and is in the journal. It is
// called between enter and leave only.
func (l *lifetime) after(d time.Duration, f func()) {
	l.running.Add(1)
	go func() {
		defer l.running.Done()
		l.pause(context.Background(), d)
		f()
	}()
}

// pause waits for d, until the client is gone, or until the gateway ends.
func (l *lifetime) pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-l.done:
	}
}
