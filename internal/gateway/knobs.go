package gateway

import (
	"slices"
	"time"
)

// AlterRemarks has a function change each remark before the gateway keeps it, and
// gives it back changed: line breaks as CRLF, escapes, a cut, nothing at all. The
// journal holds remarks as they were sent. Nil ends it.
func (g *Gateway) AlterRemarks(alter func(remark string) string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.alter = alter
}

// SetHistoryLag makes histories that are read by request show the state of d ago. The
// rest is up to date: lists of APIs, definitions, [Instance.History]. It is set before
// anything is published.
func (g *Gateway) SetHistoryLag(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lag = d
}

// state is an API in an environment, as a history shows it.
type state struct {
	since    time.Time
	versions []*version
	current  *version
}

// remember keeps the present state, and drops those that no reading needs any more.
func (p *publication) remember(lag time.Duration) {
	p.past = append(p.past, state{time.Now(), slices.Clone(p.versions), p.current})
	for len(p.past) > 1 && time.Since(p.past[1].since) >= lag {
		p.past = p.past[1:]
	}
}

// shown is the state that a history shows now.
func (p *publication) shown(lag time.Duration) state {
	var old state // before the first publish
	for _, s := range p.past {
		if time.Since(s.since) >= lag {
			old = s
		}
	}
	return old
}
