package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// knobs are habits of a service that is slow, busy or forgetful. All are off at
// first. They are guarded by the mutex of the gateway. Their waits and windows go by
// package time, not by the gateway's clock.
type knobs struct {
	writeTime  time.Duration
	collision  *refusal
	alter      func(remark string) string
	historyLag time.Duration
}

// SetWriteTime makes each write of an API (publish, offline, switch) take d. It is
// applied at the end of this time, also if its client has gone. A write that meets
// another one for the same API is refused with the answer of the fault collision,
// such as [Busy] or [TaskRunning]; in a batch only its row. With d 0 writes take no
// time and never collide.
func (g *Gateway) SetWriteTime(d time.Duration, collision Fault) {
	var body struct {
		Code string `json:"error_code"`
		Text string `json:"error_msg"`
	}
	_ = json.Unmarshal([]byte(collision.Body), &body) // without a code it is one of the load balancer
	g.mu.Lock()
	defer g.mu.Unlock()
	g.knobs.writeTime, g.knobs.collision = d, &refusal{collision.Status, body.Code, body.Text}
}

// takeTime makes a write take its time. It gives the lock up while it waits.
func (i *Instance) takeTime(r *Request) error {
	g := i.gw
	i.collided = nil
	if g.knobs.writeTime <= 0 {
		return nil
	}
	var held, collided []string
	for _, id := range i.writtenBy(r) {
		if i.writing[id] {
			collided = append(collided, id)
			continue
		}
		i.writing[id] = true
		held = append(held, id)
	}
	if len(collided) > 0 && r.Op != OpBatch {
		return g.knobs.collision
	}
	if len(held) > 0 {
		d := g.knobs.writeTime
		g.mu.Unlock()
		g.life.pause(context.Background(), d)
		g.mu.Lock()
	}
	for _, id := range held {
		delete(i.writing, id)
	}
	i.collided = collided
	return nil
}

// writtenBy is the existing APIs that a request writes, each of them once.
func (i *Instance) writtenBy(r *Request) []string {
	var ids []string
	switch r.Op {
	case OpAction, OpSwitch:
		ids = []string{r.APIID}
	case OpOfflineVersion:
		if v := i.versions[r.target]; v != nil {
			ids = []string{v.api.id}
		}
	case OpBatch:
		var body struct {
			APIs    []string `json:"apis"`
			GroupID string   `json:"group_id"`
		}
		_ = json.Unmarshal(r.Body, &body) // the handler refuses a wrong one
		ids = body.APIs
		if body.GroupID != "" {
			ids, _ = i.groupAPIs(body.GroupID)
		}
		slices.Sort(ids)
	}
	return slices.DeleteFunc(slices.Compact(ids), func(id string) bool { return i.apisByID[id] == nil })
}

// AlterRemarks has a function change each remark before the gateway keeps it, and
// gives it back changed: line breaks as CRLF, escapes, a cut, nothing at all. The
// journal holds remarks as they were sent. Nil ends it.
func (g *Gateway) AlterRemarks(alter func(remark string) string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.knobs.alter = alter
}

func (k *knobs) kept(remark string) string {
	if k.alter == nil {
		return remark
	}
	return k.alter(remark)
}

// SetHistoryLag makes histories that are read by request show the state of d ago.
// The rest is up to date: lists of APIs, definitions, [Instance.History]. With 0
// histories are up to date again.
func (g *Gateway) SetHistoryLag(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.knobs.historyLag = d
	for _, i := range g.instances {
		for _, a := range i.apis {
			for _, p := range a.publications {
				p.past = nil
				p.remember(time.Time{}, d)
			}
		}
	}
}

// state is what a history shows of a publication.
type state struct {
	since    time.Time
	versions []*version
	current  *version
}

// remember keeps the present state, and drops those that no reading needs any more.
func (p *publication) remember(since time.Time, lag time.Duration) {
	if lag <= 0 {
		return
	}
	p.past = append(p.past, state{since, slices.Clone(p.versions), p.current})
	for len(p.past) > 1 && time.Since(p.past[1].since) >= lag {
		p.past = p.past[1:]
	}
}

// shown is the state that a history shows now.
func (p *publication) shown(lag time.Duration) state {
	if lag <= 0 {
		return state{versions: p.versions, current: p.current}
	}
	var old state // before the first publish
	for _, s := range p.past {
		if time.Since(s.since) >= lag {
			old = s
		}
	}
	return old
}

// limiter lets a number of requests through in a window of time.
type limiter struct {
	mu     sync.Mutex
	n      int
	window time.Duration
	began  time.Time
	used   int
}

// SetLimit lets n requests to the service through in a window of time, and refuses
// the others (429 APIGW.0308, without Retry-After) until it ends. A window begins
// with the first request after the last one. Refused requests do not count, nor do
// requests to IAM, nor those that a fault answers. With n 0 there is no limit.
func (g *Gateway) SetLimit(n int, window time.Duration) {
	g.limit.mu.Lock()
	defer g.limit.mu.Unlock()
	g.limit.n, g.limit.window, g.limit.used = n, window, 0
}

func (l *limiter) take() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n <= 0 {
		return nil
	}
	if l.used == 0 || time.Since(l.began) >= l.window {
		l.began, l.used = time.Now(), 0
	}
	if l.used == l.n {
		return refuse(http.StatusTooManyRequests, "APIGW.0308", throttled, l.n, inWords(l.window))
	}
	l.used++
	return nil
}

const throttled = "The throttling threshold has been reached: policy user over ratelimit,limit:%d,time:%s"

// inWords is a time as the service writes it: "5 minute".
func inWords(d time.Duration) string {
	if d%time.Minute == 0 {
		return fmt.Sprintf("%d minute", d/time.Minute)
	}
	return fmt.Sprintf("%g second", d.Seconds())
}

func (l *limiter) restart() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used = 0
}
