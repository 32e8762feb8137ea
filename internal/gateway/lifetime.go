package gateway

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// lifetime counts all that runs on behalf of a gateway, so that Close can end all
// of it and leave no goroutine behind.
type lifetime struct {
	mu      sync.Mutex
	ctx     context.Context // ends with the gateway
	cancel  context.CancelFunc
	running sync.WaitGroup // requests, late applications, and connections

	open, accepted atomic.Int64 // connections
}

// enter reports whether something may still begin; each success is
// followed by a leave.
func (l *lifetime) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over() {
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
	l.cancel()
}

func (l *lifetime) over() bool { return l.ctx.Err() != nil }

// after runs f once d has passed, or as soon as the gateway is closed: a promised
// late application still happens, and is in the journal. It is
// called between enter and leave only.
func (l *lifetime) after(d time.Duration, f func()) {
	l.running.Go(func() {
		l.pause(context.Background(), d)
		f()
	})
}

// pause waits for d, until the client is gone, or until the gateway ends.
func (l *lifetime) pause(client context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-client.Done():
	case <-l.ctx.Done():
	}
}

// note counts the connections that http.Server tells of. Each begins while its server
// runs, which counts itself.
func (l *lifetime) note(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		l.running.Add(1)
		l.open.Add(1)
		l.accepted.Add(1)
		if l.over() {
			c.Close() // accepted while Close was at work
		}
	case http.StateClosed, http.StateHijacked: // a hijacked one is closed at once, see sever
		l.open.Add(-1)
		l.running.Done()
	}
}

// Connections is the number of connections open now.
func (g *Gateway) Connections() int { return int(g.life.open.Load()) }

// Accepted is the number of connections accepted so far.
func (g *Gateway) Accepted() int { return int(g.life.accepted.Load()) }
