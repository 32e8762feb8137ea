package gateway

import (
	"context"
	"net/http"
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
	serving map[*http.ResponseController]struct{}
}

// watch notes a request on its way in, until unwatch.
func (l *lifetime) watch(c *http.ResponseController) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serving[c] = struct{}{}
}

func (l *lifetime) unwatch(c *http.ResponseController) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.serving, c)
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

// end lets nothing more in and wakes all that waits, also for a client behind
// another server, whose connections are not ours to close.
func (l *lifetime) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	l.ended = true
	close(l.done)
	for c := range l.serving {
		_ = c.SetReadDeadline(past) // a writer that cannot is left to its server
		_ = c.SetWriteDeadline(past)
	}
}

var past = time.Unix(1, 0)

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

// connections counts what http.Server tells of its connections.
type connections struct {
	mu       sync.Mutex
	none     sync.Cond
	open     int
	accepted int
}

func (c *connections) note(state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.open++
		c.accepted++
	case http.StateClosed, http.StateHijacked: // a hijacked one is closed at once, see sever
		c.open--
		if c.open == 0 {
			c.none.Broadcast()
		}
	}
}

// wait returns when every connection has been taken down.
func (c *connections) wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.open > 0 {
		c.none.Wait()
	}
}
