package apigtest

import (
	"net/http"
	"sync/atomic"
	"time"
)

// clock is the gateway's own time. Publications, tokens and signatures go by
// it; the waits of faults are real time.
type clock struct {
	source atomic.Pointer[func() time.Time]
	skew   atomic.Int64
}

func (c *clock) set(now func() time.Time) {
	if now == nil {
		now = time.Now
	}
	c.source.Store(&now)
}

// now has no monotonic reading, so that times compare and print alike
// wherever they went in between.
func (c *clock) now() time.Time {
	return (*c.source.Load())().UTC().Round(0)
}

// date is the value of the Date header.
func (c *clock) date() string {
	return c.now().Add(time.Duration(c.skew.Load())).Format(http.TimeFormat)
}

// SetClock replaces the clock of the gateway; nil restores the system's. The
// function is called from several goroutines and must not call the gateway.
func (g *Gateway) SetClock(now func() time.Time) { g.clock.set(now) }

// SetDateSkew moves the Date header of every answer by d against the clock
// that publications are stamped with, as between a load balancer and the
// service behind it.
func (g *Gateway) SetDateSkew(d time.Duration) { g.clock.skew.Store(int64(d)) }
