package simulation

import (
	"fmt"
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
// alone, and is what replaying and shrinking work on.
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

	spared []string // kinds of faults that nothing meets

	// weather, if not nil, decides what happens to every request instead.
	weather func(dice, *sent, *fate)
}

// process is one program that uses the library: a client of its own.
type process struct {
	workers int
	policy  apig.RetryPolicy
	timeout time.Duration // of an attempt; zero: the default
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

	bursting bool // the next call of the plan follows at once

	deadline time.Duration // zero: none
	cancel   time.Duration // zero: never
	settle   int           // how often to settle what is unknown
	rest     time.Duration // before each of these
	abroad   bool          // another process does that, with what it was told
	again    bool          // what is settled is settled once more

	writes float64 // how likely a fault strikes a request that changes something
	reads  float64 // the same for one that does not
}

func (c call) String() string {
	s := fmt.Sprintf("call %d, process %d, %s", c.id, c.process, c.op)
	if c.deadline > 0 {
		s += fmt.Sprintf(", deadline after %v", c.deadline)
	}
	if c.cancel > 0 {
		s += fmt.Sprintf(", canceled after %v", c.cancel)
	}
	return s
}

// deed is what somebody else does to the gateway, who is no process of the
// world and needs no network.
type deed struct {
	id     int
	call   int // begins with this call
	delay  time.Duration
	what   string // online, offline, switch, delete, join (a new API joins a group)
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
