package simulation

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/apig-go/apig"
)

// scenario is a kind of world.
type scenario struct {
	name      string
	ops       []weighted[op]
	calls     int // of a world; zero: eighty
	processes [2]int
	workers   [2]int
	apis      [2]int
	outages   [2]int
	deeds     float64 // of somebody else, for each call
	hurry     float64 // share of the calls with little time
	storm     float64 // share of the calls with bad weather
	keys      float64 // how often a call begins a job with a key, see job
	later     float64 // share of the calls settled by hand much later

	// Shares of the processes.
	untagged float64 // without tags
	paced    float64 // with a limiter

	// Shares of the worlds.
	cases    float64 // IDs differ in case
	quotas   float64 // the service throttles in windows
	altered  float64 // the service alters remarks
	lags     float64 // histories lag
	clocks   float64 // the gateway's clocks disagree
	renewals float64 // tokens expire soon
	policies float64 // processes have other policies than the default
}

// size is the number of calls in a world.
func (s scenario) size() int { return cmp.Or(s.calls, 80) }

var reads = []weighted[op]{{4, opPublished}, {4, opVersions}}

// mixed is some of everything.
var mixed = append([]weighted[op]{{20, opPublish}, {12, opOffline}, {10, opPublishBatch}, {6, opOfflineBatch},
	{6, opPublishGroup}, {4, opOfflineGroup}, {12, opSwitch}, {6, opOfflineVersion}, {6, opRollback}}, reads...)

// scenarios are all kinds of worlds, by the names that -scenario takes.
var scenarios = []scenario{
	{name: "single", processes: [2]int{1, 1}, workers: [2]int{1, 3}, apis: [2]int{1, 3}, deeds: 0.2, hurry: 0.15, storm: 0.5,
		ops: append([]weighted[op]{{30, opPublish}, {20, opOffline}}, reads...)},
	{name: "batches", processes: [2]int{1, 1}, workers: [2]int{1, 3}, apis: [2]int{20, 200}, deeds: 0.3, hurry: 0.5, storm: 0.5,
		ops: append([]weighted[op]{{20, opPublishBatch}, {15, opOfflineBatch}, {10, opPublish}, {5, opOffline}}, reads...)},
	{name: "pages", calls: 8, processes: [2]int{1, 1}, workers: [2]int{1, 1}, apis: [2]int{498, 510}, deeds: 6, storm: 0.05,
		ops: []weighted[op]{{10, opPublishGroup}, {5, opOfflineGroup}}},
	{name: "switches", processes: [2]int{1, 2}, workers: [2]int{1, 3}, apis: [2]int{1, 3}, deeds: 0.4, hurry: 0.15, storm: 0.5,
		ops: append([]weighted[op]{{25, opSwitch}, {10, opOfflineVersion}, {15, opPublish}, {10, opOffline}, {10, opRollback}}, reads...)},
	{name: "plain", processes: [2]int{1, 3}, workers: [2]int{1, 3}, apis: [2]int{1, 5}, deeds: 0.2, hurry: 0.2, storm: 0.5, untagged: 1, later: 0.2,
		ops: mixed},
	{name: "keys", processes: [2]int{2, 4}, workers: [2]int{1, 2}, apis: [2]int{1, 30}, deeds: 0.3, hurry: 0.1, storm: 0.4, keys: 0.2, lags: 0.2,
		ops: mixed},
	{name: "later", processes: [2]int{2, 3}, workers: [2]int{1, 2}, apis: [2]int{1, 20}, deeds: 0.3, hurry: 0.6, storm: 0.6, later: 1, untagged: 0.2,
		ops: mixed},
	{name: "limits", processes: [2]int{1, 3}, workers: [2]int{1, 4}, apis: [2]int{2, 40}, deeds: 0.4, hurry: 0.1, storm: 0.3, paced: 0.5, quotas: 0.6,
		ops: mixed},
	{name: "remarks", processes: [2]int{1, 3}, workers: [2]int{1, 3}, apis: [2]int{1, 5}, deeds: 0.2, hurry: 0.1, storm: 0.5, altered: 1, later: 0.2, untagged: 0.1,
		ops: mixed},
	{name: "lags", processes: [2]int{1, 3}, workers: [2]int{1, 3}, apis: [2]int{1, 5}, deeds: 0.3, hurry: 0.1, storm: 0.6, lags: 1, ops: mixed},
	{name: "outages", processes: [2]int{1, 2}, workers: [2]int{1, 3}, apis: [2]int{2, 30}, deeds: 0.2, hurry: 0.2, storm: 0.2, outages: [2]int{2, 8},
		ops: append([]weighted[op]{{20, opPublish}, {10, opOffline}, {10, opPublishBatch}, {5, opOfflineBatch}, {5, opPublishGroup}, {10, opSwitch}, {5, opOfflineVersion}}, reads...)},
	{name: "clocks", processes: [2]int{1, 3}, workers: [2]int{1, 2}, apis: [2]int{1, 4}, deeds: 0.6, hurry: 0.1, storm: 0.6, clocks: 1, later: 0.2,
		ops: append([]weighted[op]{{30, opPublish}, {15, opOffline}, {10, opPublishBatch}, {10, opSwitch}, {5, opOfflineVersion}}, reads...)},
	{name: "renewals", processes: [2]int{1, 2}, workers: [2]int{1, 3}, apis: [2]int{2, 20}, deeds: 0.1, hurry: 0.2, storm: 0.4, renewals: 1,
		ops: mixed},
	{name: "everything", processes: [2]int{1, 4}, workers: [2]int{1, 3}, apis: [2]int{2, 40}, deeds: 0.3, hurry: 0.3, storm: 0.5, outages: [2]int{0, 3},
		clocks: 0.5, renewals: 0.5, cases: 0.15, policies: 0.5, untagged: 0.2, keys: 0.03, later: 0.2, paced: 0.1, quotas: 0.1, altered: 0.1, lags: 0.2,
		ops: mixed},
}

// newPlan makes the world of a seed.
func newPlan(s scenario, seed uint64) *plan {
	d := newDice(seed, "plan", s.name)
	p := &plan{scenario: s.name, seed: seed, apis: d.within(s.apis[0], s.apis[1]), envs: d.within(1, 2), history: d.within(0, 12)}
	groups := d.within(1, min(3, p.apis))
	if p.apis > 300 { // they are to have several pages
		groups, p.envs, p.history = 1, 1, d.within(0, 1)
	}
	for range p.apis {
		p.groups = append(p.groups, d.IntN(groups))
	}
	p.clock = d.between(-time.Hour, time.Hour)
	if d.chance(s.clocks) {
		p.clock = d.between(-30*24*time.Hour, 30*24*time.Hour)
		p.skew = pick(d, []weighted[time.Duration]{{3, 0}, {2, d.between(-time.Second, time.Second)}, {2, d.between(-2*time.Second, 3*time.Second)}})
		p.unsteady = min(3*time.Second-p.skew, pick(d, []weighted[time.Duration]{{3, 0}, {1, d.between(0, time.Second)}}))
	}
	p.lifetime = 24 * time.Hour
	if d.chance(s.renewals) {
		p.lifetime = d.between(6*time.Minute, 30*time.Minute)
	}
	if d.chance(0.5) {
		p.conflicts = pick(d, []weighted[float64]{{1, 1}, {2, 0.5}})
	}
	if d.chance(s.quotas) {
		p.quota, p.patient = d.within(10, 200), d.chance(0.3)
	}
	if d.chance(s.altered) {
		p.remarks = pick(d, []weighted[string]{{2, "crlf"}, {2, "escape"}, {2, "upper"}, {1, "cut"}, {1, "drop"}})
	}
	policies, upper := d.chance(s.policies), d.chance(s.cases)
	settle := settleWait // the same for all: who settles for another one goes by its own
	if policies && d.chance(0.5) {
		settle = d.between(100*time.Millisecond, 4*time.Second)
	}
	if d.chance(s.lags) {
		p.lag = d.between(0, settle*9/10)
	}
	for range d.within(s.processes[0], s.processes[1]) {
		one := process{workers: d.within(s.workers[0], s.workers[1]), policy: apig.RetryPolicy{SettleWait: settle}, tagged: !d.chance(s.untagged)}
		if policies && d.chance(0.5) {
			one.policy.MaxAttempts = d.within(1, 6)
		}
		if policies && d.chance(0.3) {
			one.policy.BusyTimeout = pick(d, []weighted[time.Duration]{{1, -1}, {1, d.between(time.Second, 20*time.Minute)}})
		}
		if policies && d.chance(0.5) {
			one.timeout = d.between(2*time.Second, time.Minute)
		}
		if d.chance(s.paced) {
			one.pace = d.between(50*time.Millisecond, 3*time.Second)
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
	for len(p.calls) < s.size() {
		c := s.call(d, p, len(p.calls), upper)
		if d.chance(s.keys) && (p.remarks == "" || p.remarks == "crlf") {
			s.job(d, p, c)
			continue
		}
		p.calls = append(p.calls, c)
		for n := s.deeds; d.chance(n); n-- {
			p.deeds = append(p.deeds, s.deed(d, p, len(p.deeds), c))
		}
	}
	return p
}

func (s scenario) call(d dice, p *plan, id int, upper bool) call {
	c := call{id: id, op: pick(d, s.ops), env: d.IntN(p.envs), version: d.IntN(10), follows: -1}
	c.process = d.IntN(len(p.processes))
	c.worker = d.IntN(p.processes[c.process].workers)
	c.after = pick(d, []weighted[time.Duration]{
		{10, d.usually(0, 2*time.Second)}, {4, d.usually(0, 20*time.Second)}, {1, d.usually(0, 5*time.Minute)},
	})
	if s.outages[1] > 3 {
		c.after += d.usually(0, 5*time.Minute)
	}
	c.upper = upper && d.chance(0.5)
	c.remark = remark(d, id)
	c.group = p.groups[d.IntN(p.apis)]
	n := 1
	if c.op == opPublishBatch || c.op == opOfflineBatch {
		n = d.within(1, min(16, p.apis))
		if p.apis > 16 && d.chance(0.3) {
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
	if d.chance(s.later) {
		c.settle, c.abroad = d.within(1, 3), d.chance(0.5)
		c.rest = pick(d, []weighted[time.Duration]{{1, 0}, {2, d.between(0, 3*time.Second)}, {2, d.between(0, 2*time.Minute)}, {2, d.between(0, 48*time.Hour)}})
		if d.chance(0.2) {
			c.flood = d.within(9, 12)
		}
	}
	c.off, c.again, c.together, c.endless = d.between(-55*time.Second, 55*time.Second), d.chance(0.5), d.chance(0.5), d.chance(0.3)
	c.writes, c.reads = 0.02, 0.02
	if d.chance(s.storm) {
		c.writes = pick(d, []weighted[float64]{{3, 0.5}, {3, 0.8}, {2, 1}})
		c.reads = pick(d, []weighted[float64]{{4, 0.05}, {3, 0.3}, {1, 0.9}})
	}
	return c
}

// job adds calls with one key: a publication, mostly of a process that ends just
// after its request was sent, and runs of the same job, perhaps by another process:
// at once, after a while, after an hour. Somebody may publish in between.
func (s scenario) job(d dice, p *plan, c call) {
	c.op, c.key, c.settle = opPublish, fmt.Sprintf("pipeline %d", c.id), 0
	if len(c.apis) > 1 || d.chance(0.3) {
		c.op = opPublishBatch
		c.apis = d.Perm(p.apis)[:d.within(1, p.apis)]
	}
	if !p.processes[c.process].tagged { // a key requires tags
		return
	}
	for range d.within(2, 4) {
		c.id, c.kill = len(p.calls), 0
		if d.chance(0.6) {
			c.kill = d.usually(0, time.Second) + 1
		}
		p.calls = append(p.calls, c)
		if d.chance(s.deeds) {
			p.deeds = append(p.deeds, s.deed(d, p, len(p.deeds), c))
		}
		if other := d.IntN(len(p.processes)); p.processes[other].tagged && d.chance(0.5) {
			c.process, c.worker = other, d.IntN(p.processes[other].workers)
		}
		c.follows = c.id
		c.after = pick(d, []weighted[time.Duration]{{3, 0}, {2, d.between(0, 5*time.Second)}, {1, time.Hour}})
		if d.chance(0.3) {
			c.deadline, c.cancel = 0, 0
		}
	}
}

// remark is what a publication says. Most often everybody uses the same words.
func remark(d dice, id int) string {
	if d.chance(0.6) {
		return pick(d, []weighted[string]{{3, "release"}, {1, ""}, {1, " release "}, {1, "two\nlines"}})
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
		members := slices.DeleteFunc(upTo(len(p.groups)), func(i int) bool { return p.groups[i] != near.group })
		f.api = members[d.IntN(len(members))]
		if d.chance(0.1) {
			f.what = "join"
		}
		if p.apis > 300 { // while the group is listed
			f.what, f.delay = pick(d, []weighted[string]{{1, "join"}, {1, "delete"}}), d.between(0, 200*time.Millisecond)
		}
	}
	if f.remark = "by hand"; d.chance(0.3) {
		f.remark = remark(d, 0)
	}
	if d.chance(0.5) { // with this library
		f.remark += fmt.Sprintf(" apig:%010x", d.Int64N(1<<40))
	}
	return f
}

// upTo are the numbers from 0 to n-1.
func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}
