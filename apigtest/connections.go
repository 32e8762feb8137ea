package apigtest

import (
	"net/http"
	"sync"
)

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
