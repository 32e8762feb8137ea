package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/apig-go/apig"
)

// op is a method of the library, by its name.
type op string

const (
	opPublish        op = "Publish"
	opOffline        op = "Offline"
	opPublishBatch   op = "PublishBatch"
	opOfflineBatch   op = "OfflineBatch"
	opPublishGroup   op = "PublishBatch of a group"
	opOfflineGroup   op = "OfflineBatch of a group"
	opSwitch         op = "SwitchVersion"
	opOfflineVersion op = "OfflineVersion"
	opRollback       op = "Rollback"
	opPublished      op = "Published"
	opVersions       op = "Versions"
)

func (o op) reads() bool     { return o == opPublished || o == opVersions }
func (o op) publishes() bool { return o == opPublish || o == opPublishBatch || o == opPublishGroup }
func (o op) batch() bool     { return o == opPublishBatch || o == opOfflineBatch || o.group() }
func (o op) group() bool     { return o == opPublishGroup || o == opOfflineGroup }
func (o op) versioned() bool { return o == opSwitch || o == opOfflineVersion || o == opRollback }

// plan is a whole world before it begins. It is made from a scenario and a seed
// alone.
type plan struct {
	scenario string
	seed     uint64

	apis      int   // not counting those that are added later
	groups    []int // the group of each API
	envs      int
	processes []process
	calls     []call
	deeds     []deed
	outages   []outage
	history   int // versions that each API begins with, in each environment

	clock    time.Duration // the gateway's, against that of the processes
	skew     time.Duration // of Date, against the gateway's publish times
	unsteady time.Duration // how much more or less that is from answer to answer
	lifetime time.Duration // of a token

	conflicts float64       // how often a write meets an error while another one to the API is in progress
	quota     int           // requests that the service takes in a window of five minutes; zero: any number
	patient   bool          // its refusals say when the window ends
	lag       time.Duration // how much later than applied a change shows in a history
	remarks   string        // what the service makes of them: crlf, escape, upper, cut, drop; empty: nothing

	client Client // of another library, in place of this one; or nil

	// weather, if not nil, decides what happens to every request instead.
	weather func(*sent, *fate)
}

// process is one program that uses the library: a client of its own.
type process struct {
	workers int
	policy  apig.RetryPolicy
	tagged  bool
	timeout time.Duration // of an attempt; zero: the default
	pace    time.Duration // between two attempts, by its limiter; zero: it has none
}

// call is one call of the library.
type call struct {
	id      int
	process int
	worker  int
	after   time.Duration // since the worker's call before it
	op      op
	apis    []int
	group   int
	env     int
	remark  string
	version int  // which of the kept versions, for what takes one
	upper   bool // the IDs are given in upper case
	skip    bool // it is left out, but for the time before it

	key     string        // of idempotency, or empty
	follows int           // the call with the same key that must have ended before; -1: none
	kill    time.Duration // how long after its first write its process ends; zero: never

	deadline time.Duration // zero: none
	cancel   time.Duration // zero: never
	settle   int           // how often to settle what is unknown
	rest     time.Duration // before each of these
	abroad   bool          // another process does that, with what it was told
	off      time.Duration // by how much the clock of that process is ahead of the first one's
	again    bool          // what is settled is settled once more
	together bool          // all of a batch at once
	endless  bool          // without a deadline
	flood    int           // versions that somebody else makes before

	writes float64 // how likely a fault strikes a request that changes something
	reads  float64 // the same for one that does not
}

// deed is what somebody else does to the gateway, who is no process of the
// world and needs no network.
type deed struct {
	id     int
	call   int // begins with this call
	delay  time.Duration
	what   string // online, offline, switch, delete (also leaves its group), join (a new API joins a group)
	api    int
	env    int
	remark string
	nth    int // which version to switch to
}

// outage is a time in which every request of some processes meets the same.
type outage struct {
	process int // or -1 for all
	from    time.Duration
	to      time.Duration
	kind    string
}

// parts are the names of all that can be left out of a plan: its calls, the deeds,
// the outages, and the faults that strike the requests of each call.
func (p *plan) parts() []string {
	var all []string
	for _, c := range p.calls {
		all = append(all, fmt.Sprintf("call%d", c.id))
	}
	for _, d := range p.deeds {
		all = append(all, fmt.Sprintf("deed%d", d.id))
	}
	for i := range p.outages {
		all = append(all, fmt.Sprintf("outage%d", i))
	}
	for _, c := range p.calls {
		all = append(all, fmt.Sprintf("faults%d", c.id))
	}
	return all
}

// only is the plan with these parts alone. A call that is left out still takes the
// time that its worker waits before it.
func (p *plan) only(parts []string) *plan {
	without := func(kind string, id int) bool { return !slices.Contains(parts, fmt.Sprintf("%s%d", kind, id)) }
	q := *p
	q.calls, q.outages = slices.Clone(p.calls), nil
	for i := range q.calls {
		c := &q.calls[i]
		c.skip = without("call", c.id)
		if without("faults", c.id) {
			c.writes, c.reads = 0, 0
		}
	}
	q.deeds = slices.DeleteFunc(slices.Clone(p.deeds), func(d deed) bool { return without("deed", d.id) })
	for i, o := range p.outages {
		if !without("outage", i) {
			q.outages = append(q.outages, o)
		}
	}
	return &q
}

// shrink leaves out of a failing world the parts that it does not need to fail as it
// does, ever fewer at once, and returns the others. It runs the world at most so many
// times.
func shrink(p *plan, fails func(*plan) bool, runs int) []string {
	kept := p.parts()
	for size := len(kept); size > 0; size /= 2 {
		for from := 0; from < len(kept); {
			if runs--; runs < 0 {
				return kept
			}
			fewer := slices.Concat(kept[:from], kept[min(from+size, len(kept)):])
			if fails(p.only(fewer)) {
				kept = fewer
			} else {
				from += size
			}
		}
	}
	return kept
}
