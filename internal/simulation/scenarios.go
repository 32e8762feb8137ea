package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/apig-go/apig"
)

// scenario is a kind of world.
type scenario struct {
	name      string
	ops       []weighted[op]
	processes [2]int
	workers   [2]int
	deeds     float64 // for each call
	hurry     float64 // share of the calls with little time
	storm     float64 // share of the calls with bad weather
	outages   [2]int
	large     float64 // share of the batches by ID with more than sixteen APIs
	apis      [2]int
	clocks    bool
	renewals  bool
	cases     float64 // share of the worlds in which IDs differ in case
	tags      float64 // share of the worlds whose remarks have tags
	sameWords float64 // how likely a remark is the one that everybody uses
	policies  bool    // others than the default
	bursts    float64 // how often a call begins a burst of them, see burst
}

var reads = []weighted[op]{{4, opPublished}, {4, opVersions}}

// scenarios are all kinds of worlds, by the names that -scenario takes.
var scenarios = []scenario{
	{
		name:      "single",
		ops:       append([]weighted[op]{{30, opPublish}, {20, opOffline}}, reads...),
		processes: [2]int{1, 1}, workers: [2]int{1, 3}, apis: [2]int{1, 3},
		deeds: 0.2, hurry: 0.15, storm: 0.5, sameWords: 0.5,
	},
	{
		name:      "batches",
		ops:       append([]weighted[op]{{20, opPublishBatch}, {15, opOfflineBatch}, {10, opPublish}, {5, opOffline}}, reads...),
		processes: [2]int{1, 1}, workers: [2]int{1, 3}, apis: [2]int{20, 300},
		deeds: 0.3, hurry: 0.5, storm: 0.5, large: 0.7, sameWords: 0.5,
	},
	{
		name: "groups",
		ops: append([]weighted[op]{{15, opPublishGroup}, {10, opOfflineGroup}, {10, opPublish}, {10, opOffline},
			{5, opSwitch}, {5, opPublishBatch}}, reads...),
		processes: [2]int{1, 1}, workers: [2]int{2, 4}, apis: [2]int{3, 30},
		deeds: 0.2, hurry: 0.2, storm: 0.4, large: 0.2, sameWords: 0.5,
	},
	{
		name: "switches",
		ops: append([]weighted[op]{{25, opSwitch}, {10, opOfflineVersion}, {15, opPublish}, {10, opOffline},
			{10, opRollback}}, reads...),
		processes: [2]int{1, 2}, workers: [2]int{1, 3}, apis: [2]int{1, 3},
		deeds: 0.4, hurry: 0.15, storm: 0.5, sameWords: 0.5, bursts: 0.01,
	},
	{
		name: "releases",
		ops: append([]weighted[op]{{30, opPublish}, {10, opPublishBatch}, {5, opPublishGroup}, {5, opOffline},
			{5, opRollback}}, reads...),
		processes: [2]int{2, 4}, workers: [2]int{1, 2}, apis: [2]int{2, 5},
		deeds: 0.1, hurry: 0.1, storm: 0.5, tags: 1, sameWords: 0.8,
	},
	{
		name: "outages",
		ops: append([]weighted[op]{{20, opPublish}, {10, opOffline}, {10, opPublishBatch}, {5, opOfflineBatch},
			{5, opPublishGroup}, {10, opSwitch}, {5, opOfflineVersion}}, reads...),
		processes: [2]int{1, 2}, workers: [2]int{1, 3}, apis: [2]int{2, 30},
		deeds: 0.2, hurry: 0.2, storm: 0.2, outages: [2]int{2, 8}, large: 0.3, sameWords: 0.5,
	},
	{
		name: "clocks",
		ops: append([]weighted[op]{{30, opPublish}, {15, opOffline}, {10, opPublishBatch}, {10, opSwitch},
			{5, opOfflineVersion}}, reads...),
		processes: [2]int{1, 3}, workers: [2]int{1, 2}, apis: [2]int{1, 4},
		deeds: 0.6, hurry: 0.1, storm: 0.6, large: 0.1, clocks: true, sameWords: 0.8,
	},
	{
		name: "renewals",
		ops: append([]weighted[op]{{20, opPublish}, {10, opOffline}, {10, opPublishBatch}, {5, opPublishGroup},
			{10, opSwitch}, {5, opOfflineVersion}}, reads...),
		processes: [2]int{1, 2}, workers: [2]int{1, 3}, apis: [2]int{2, 20},
		deeds: 0.1, hurry: 0.2, storm: 0.4, large: 0.2, renewals: true, sameWords: 0.5,
	},
	{
		name: "hurried",
		ops: append([]weighted[op]{{20, opPublish}, {15, opOffline}, {10, opPublishBatch}, {5, opOfflineBatch},
			{5, opPublishGroup}, {10, opSwitch}, {10, opOfflineVersion}, {5, opRollback}}, reads...),
		processes: [2]int{1, 1}, workers: [2]int{1, 4}, apis: [2]int{1, 6},
		deeds: 0.2, hurry: 0.95, storm: 0.5, sameWords: 0.7,
	},
	{
		name: "everything",
		ops: append([]weighted[op]{{20, opPublish}, {12, opOffline}, {10, opPublishBatch}, {6, opOfflineBatch},
			{6, opPublishGroup}, {4, opOfflineGroup}, {12, opSwitch}, {6, opOfflineVersion}, {6, opRollback}}, reads...),
		processes: [2]int{1, 4}, workers: [2]int{1, 3}, apis: [2]int{2, 40},
		deeds: 0.3, hurry: 0.3, storm: 0.5, outages: [2]int{0, 3}, large: 0.3,
		clocks: true, renewals: true, cases: 0.15, tags: 0.3, sameWords: 0.6, policies: true, bursts: 0.003,
	},
}

// callsAWorld is how many calls a world has.
const callsAWorld = 80

// newPlan makes the world of a seed.
func newPlan(s scenario, seed uint64) *plan {
	d := newDice(seed, "plan", s.name)
	p := &plan{scenario: s.name, seed: seed, apis: d.within(s.apis[0], s.apis[1]), envs: d.within(1, 2), history: d.within(0, 12)}
	groups := d.within(1, min(3, p.apis))
	for range p.apis {
		p.groups = append(p.groups, d.IntN(groups))
	}
	if s.bursts > 0 { // they have an API to themselves, which nobody else holds up
		p.groups = append(p.groups, groups)
	}
	p.clock = d.between(-time.Hour, time.Hour)
	if s.clocks {
		p.clock = d.between(-30*24*time.Hour, 30*24*time.Hour)
		p.skew = pick(d, []weighted[time.Duration]{{3, 0}, {2, d.between(-time.Second, time.Second)}, {1, d.between(-2*time.Second, 8*time.Second)}})
		p.unsteady = pick(d, []weighted[time.Duration]{{3, 0}, {1, d.between(0, time.Second)}})
	}
	p.lifetime = 24 * time.Hour
	if s.renewals {
		p.lifetime = d.between(6*time.Minute, 30*time.Minute)
	}
	tags, upper := d.chance(s.tags), d.chance(s.cases)
	var settleWait time.Duration // the same for all: who settles for another one goes by its own
	if s.policies && d.chance(0.3) {
		settleWait = d.between(100*time.Millisecond, 4*time.Second)
	}
	for range d.within(s.processes[0], s.processes[1]) {
		one := process{workers: d.within(s.workers[0], s.workers[1]), policy: s.policy(d, tags, settleWait)}
		if s.policies && d.chance(0.3) {
			one.timeout = d.between(2*time.Second, time.Minute)
		}
		p.processes = append(p.processes, one)
	}
	// Outages begin while most calls do, some seconds to some minutes in.
	for range d.within(s.outages[0], s.outages[1]) {
		from := d.usually(0, 2*time.Hour)
		length := pick(d, []weighted[time.Duration]{
			{4, d.between(time.Second, time.Minute)}, {3, d.between(time.Minute, 10*time.Minute)}, {1, d.between(time.Hour, 5*time.Hour)},
		})
		p.outages = append(p.outages, outage{d.within(-1, len(p.processes)-1), from, from + length, pick(d, outageKinds)})
	}
	for id, left := 0, 0; id < callsAWorld; id++ {
		c := s.call(d, p, id, upper)
		c.again = newDice(seed, "settled again", id).chance(0.5)
		if left == 0 && d.chance(s.bursts) {
			left = d.within(12, 16)
		}
		if left > 0 {
			c.burst(d, p, left)
			left--
		}
		p.calls = append(p.calls, c)
		if d.chance(s.deeds) && left == 0 {
			p.deeds = append(p.deeds, s.deed(d, p, len(p.deeds), p.calls[id]))
		}
	}
	return p
}

func (s scenario) policy(d dice, tags bool, settleWait time.Duration) apig.RetryPolicy {
	r := apig.RetryPolicy{TagRemark: tags, SettleWait: settleWait}
	if s.policies && d.chance(0.3) {
		r.MaxAttempts = d.within(1, 6)
	}
	return r
}

func (s scenario) call(d dice, p *plan, id int, upper bool) call {
	c := call{id: id, op: pick(d, s.ops), env: d.IntN(p.envs), version: d.IntN(10)}
	c.process = d.IntN(len(p.processes))
	c.worker = d.IntN(p.processes[c.process].workers)
	c.after = pick(d, []weighted[time.Duration]{
		{10, d.usually(0, 2*time.Second)}, {4, d.usually(0, 20*time.Second)}, {1, d.usually(0, 5*time.Minute)},
	})
	if len(s.outages) > 0 && s.outages[1] > 3 {
		c.after += d.usually(0, 5*time.Minute)
	}
	c.upper = upper && d.chance(0.5)
	if c.remark = s.remark(d, id); p.processes[c.process].policy.TagRemark && d.chance(0.3) {
		c.remark = ""
	}
	c.group = p.groups[d.IntN(p.apis)]
	n := 1
	if c.op == opPublishBatch || c.op == opOfflineBatch {
		n = d.within(1, min(16, p.apis))
		if p.apis > 16 && d.chance(s.large) {
			n = d.within(17, p.apis)
		}
	}
	c.apis = d.Perm(p.apis)[:n]
	switch {
	case !d.chance(s.hurry):
		if d.chance(0.3) {
			c.deadline = d.between(10*time.Minute, time.Hour)
		}
	case d.chance(0.25):
		c.cancel = d.usually(0, 4*time.Second)
	default:
		c.deadline = pick(d, []weighted[time.Duration]{
			{2, d.between(0, 500*time.Millisecond)}, {4, d.between(0, 3*time.Second)}, {2, d.between(0, 10*time.Second)}, {1, d.between(0, 2*time.Minute)},
		})
	}
	if d.chance(0.6) {
		c.settle, c.rest, c.abroad = d.within(1, 2), d.usually(0, 30*time.Second), d.chance(0.2)
	}
	c.writes, c.reads = 0.02, 0.02
	if d.chance(s.storm) {
		c.writes = pick(d, []weighted[float64]{{3, 0.5}, {3, 0.8}, {2, 1}})
		c.reads = pick(d, []weighted[float64]{{4, 0.05}, {3, 0.3}, {1, 0.9}})
	}
	return c
}

// burst makes c one of a burst of calls, of which left are to come: the same
// worker publishes an API, switches between its versions as fast as it can, and
// publishes it again, with the same words and bad luck.
func (c *call) burst(d dice, p *plan, left int) {
	if p.burstOn() {
		last := p.calls[len(p.calls)-1]
		c.process, c.worker, c.apis, c.env, c.upper = last.process, last.worker, last.apis, last.env, last.upper
		c.after = d.between(0, 10*time.Millisecond)
	}
	c.bursting = left > 1
	c.apis, c.remark, c.deadline, c.cancel, c.writes, c.reads = []int{p.apis}, "release", 0, 0, 0, 0
	switch {
	case left == 1:
		c.op, c.writes = opPublish, 1
	case !p.burstOn():
		c.op = opPublish
	default:
		c.op = opSwitch
	}
}

// burstOn reports whether the last call is one of a burst that goes on.
func (p *plan) burstOn() bool { return len(p.calls) > 0 && p.calls[len(p.calls)-1].bursting }

// remark is what a publication says. Everybody may use the same words.
func (s scenario) remark(d dice, id int) string {
	if d.chance(s.sameWords) {
		return pick(d, []weighted[string]{{3, "release"}, {1, ""}, {1, " release "}})
	}
	return fmt.Sprintf("release %d", id)
}

// deed is somebody else at work on an API that a call is about.
func (s scenario) deed(d dice, p *plan, id int, near call) deed {
	f := deed{id: id, call: near.id, env: near.env, api: near.apis[d.IntN(len(near.apis))], nth: d.IntN(10)}
	f.delay = pick(d, []weighted[time.Duration]{
		{4, d.between(0, 300*time.Millisecond)}, {4, d.between(0, 3*time.Second)}, {2, d.between(0, 70*time.Second)},
	})
	f.what = pick(d, []weighted[string]{{50, "online"}, {30, "offline"}, {20, "switch"}, {2, "delete"}})
	if near.op.group() {
		members := slices.DeleteFunc(slices.Collect(indices(p.groups)), func(i int) bool { return p.groups[i] != near.group })
		f.api = members[d.IntN(len(members))]
		if d.chance(0.1) {
			f.what = "join"
		}
	}
	if f.remark = "by hand"; d.chance(0.3) {
		f.remark = s.remark(d, 0)
	}
	return f
}

func indices(s []int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range s {
			if !yield(i) {
				return
			}
		}
	}
}
