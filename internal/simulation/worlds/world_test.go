package worlds

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/random"
)

var (
	bound = flag.Int("bound", 2, "how many choices of a world may differ from the default, but for the first request")
	only  = flag.String("world", "", "run this world alone, and tell its story")
)

const (
	settleWait     = time.Second
	settleTimeout  = 7 * time.Second // for three failed looks, two seconds apart
	attemptTimeout = 3 * time.Second
	busyTimeout    = 20 * time.Second
	maxAttempts    = 2

	mostShown = 5 // wrong worlds of each method and state
)

// method is a method of the client, and how it is called.
type method struct {
	name     string
	op       string // of the client
	kind     string // what it asks of the gateway
	key      string
	killed   bool // a process with the same key was killed before
	untagged bool
	apis     int // of a batch; 0: it is none
}

var methods = []*method{
	{name: "Publish", op: "Publish", kind: "online"},
	{name: "Publish-key", op: "Publish", kind: "online", key: "run 7"},
	{name: "Publish-killed", op: "Publish", kind: "online", key: "run 7", killed: true},
	{name: "Publish-untagged", op: "Publish", kind: "online", untagged: true},
	{name: "Offline", op: "Offline", kind: "offline"},
	{name: "SwitchVersion", op: "SwitchVersion", kind: "switch"},
	{name: "Rollback", op: "Rollback", kind: "switch"},
	{name: "OfflineVersion", op: "OfflineVersion", kind: "offline-version"},
	{name: "PublishBatch-1", op: "PublishBatch", kind: "online", apis: 1},
	{name: "PublishBatch-2", op: "PublishBatch", kind: "online", apis: 2},
	{name: "OfflineBatch-1", op: "OfflineBatch", kind: "offline", apis: 1},
	{name: "OfflineBatch-2", op: "OfflineBatch", kind: "offline", apis: 2},
}

type initial struct {
	name    string
	ages    []time.Duration
	current int
}

// initials are the states before the call: the ages of the versions, the oldest
// first, and the place of the one in effect.
var initials = []initial{
	{"old", ages(time.Hour, 2), 1}, // the default
	{"none", nil, -1},
	{"offline", ages(time.Hour, 2), -1},
	{"one", ages(time.Hour, 1), 0},
	{"twins", []time.Duration{time.Hour + 200*time.Millisecond, time.Hour}, 1},
	{"recent", []time.Duration{time.Hour, 3 * time.Second}, 1},
	{"ten", ages(time.Hour, 10), 9},
	{"burst", ages(300*time.Millisecond, 10), 9},
	{"older", ages(time.Hour, 2), 0},
}

func ages(apart time.Duration, n int) []time.Duration {
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = time.Duration(n-i) * apart
	}
	return all
}

type pending struct {
	at    time.Time
	apply func(time.Time)
}

// choice is one choice of a world.
type choice struct {
	place   string
	options []string // the first is the default
	taken   int
}

// world is one small world.
type world struct {
	method   *method
	initial  int
	script   []int             // what to choose; then always the default
	replay   map[string]string // place and option; in place of a script
	choices  []choice
	story    strings.Builder
	clock    string
	ahead    time.Duration // Date, of the gateway's clock
	deadline time.Time     // zero: none
	maxWait  time.Duration
	target   string // the version to switch to or to take offline

	mu       sync.Mutex // held by who uses what follows
	apis     []*api
	versions int
	events   int
	late     []pending
	sends    []*sent
	last     *sent // or the one of the killed process
	reads    []read
	looks    int
	over     bool // the call
	broken   int  // the status of all looks from now on; 0: they work

	begin, end time.Time // of the call
	reports    []report
	slow       []string // settled for too long
}

// report is what the call, or Settle, has said of an API.
type report struct {
	by     string
	a      *api
	record *apig.PublishRecord
	err    error
	at     time.Time
	clock  time.Duration // of the machine that has called, ahead of the one that settles
	json   bool
}

func (w *world) choose(place string, options ...string) string {
	c := choice{place: place, options: options}
	switch n := len(w.choices); {
	case w.replay != nil:
		c.taken = max(0, slices.Index(options, w.replay[place]))
	case n < len(w.script):
		c.taken = w.script[n]
	}
	w.choices = append(w.choices, c)
	if c.taken > 0 {
		w.tell("%s: %s", place, options[c.taken])
	}
	return options[c.taken]
}

// bounded reports whether the choice counts for the bound. What becomes of the first
// request, or of that of a killed process, does not.
func (c *choice) bounded() bool { return c.place != "send1" && c.place != "killed" }

// next is the script of the next world within the bound; nil after the last one.
func (w *world) next(bound int) []int {
	script, cost := make([]int, len(w.choices)), make([]int, len(w.choices)+1)
	if w.initial > 0 {
		cost[0] = 1
	}
	for i, c := range w.choices {
		script[i], cost[i+1] = c.taken, cost[i]
		if c.taken > 0 && c.bounded() {
			cost[i+1]++
		}
	}
	for n := len(script) - 1; n >= 0; n-- {
		if (cost[n] < bound || !w.choices[n].bounded()) && script[n]+1 < len(w.choices[n].options) {
			script[n]++
			return script[:n+1]
		}
	}
	return nil
}

func (w *world) String() string {
	parts := []string{w.method.name, initials[w.initial].name}
	for _, c := range w.choices {
		if c.taken > 0 {
			parts = append(parts, c.place+":"+c.options[c.taken])
		}
	}
	return strings.Join(parts, "/")
}

// tell adds to the story, if it will be printed.
func (w *world) tell(format string, args ...any) {
	if w.replay != nil {
		fmt.Fprintf(&w.story, "%9.3f  %s\n", time.Since(w.begin).Seconds(), fmt.Sprintf(format, args...))
	}
}

func (w *world) subject() *api { return w.apis[len(w.apis)-1] }

func (w *world) ids() (ids []string) {
	for _, a := range w.apis {
		ids = append(ids, a.id)
	}
	return ids
}

func (a *api) String() string { return a.id }

func (w *world) client(who string, kill func()) *apig.Client {
	c, err := apig.New(apig.Config{
		Endpoint: "https://apig.example.com", ProjectID: "project", InstanceID: "instance", Auth: apig.StaticToken("token"),
		HTTPClient: &http.Client{Transport: &transport{w, who, kill}}, AttemptTimeout: attemptTimeout, DisableTags: w.method.untagged,
		Retry: apig.RetryPolicy{MaxAttempts: maxAttempts, MinWait: w.maxWait, MaxWait: w.maxWait,
			SettleWait: settleWait, SettleTimeout: settleTimeout, BusyTimeout: busyTimeout},
	})
	if err != nil {
		panic(err)
	}
	return c
}

// run lets the world happen.
func (w *world) run(ctx context.Context) {
	now := time.Now()
	time.Sleep(now.Truncate(time.Second).Add(time.Minute + 990*time.Millisecond - 300*time.Millisecond).Sub(now))
	w.begin = time.Now().Add(300 * time.Millisecond)
	initial := initials[w.initial]
	for i := range max(1, w.method.apis) {
		a := &api{id: fmt.Sprintf("api%d", i+1)}
		s := state{by: "before"}
		for n, age := range initial.ages {
			w.versions++
			s.rows = append(s.rows, version{fmt.Sprintf("v%d", w.versions), "before apig:0000000000", w.begin.Add(-age)})
			if n == initial.current {
				s.current = s.rows[n].id
			}
		}
		a.states, w.apis = []state{s}, append(w.apis, a)
	}
	first := w.subject().now()
	w.target = first.before()
	if w.method.kind == "offline-version" && first.current != "" {
		w.target = first.current
	}
	w.clock = w.choose("clock", "exact", "behind", "ahead", "no-date")
	w.ahead = map[string]time.Duration{"behind": -time.Second, "ahead": 3 * time.Second}[w.clock]
	w.maxWait = map[string]time.Duration{"short": 200 * time.Millisecond, "long": 3500 * time.Millisecond}[w.choose("wait", "short", "long")]
	deadline, _ := time.ParseDuration(w.choose("deadline", "none", "0.7s", "1.1s", "4s", "5.1s"))
	w.theirs("before")
	time.Sleep(time.Until(w.begin))
	if w.method.killed {
		// A process with the same key is killed when it has sent its request.
		killing, kill := context.WithCancel(ctx)
		w.client("killed", kill).Publish(killing, w.publication())
		w.begin = time.Now()
	}
	calling := ctx
	if deadline > 0 {
		if w.method.key != "" {
			deadline += 2 * settleWait
		}
		w.deadline = w.begin.Add(deadline)
		var cancel context.CancelFunc
		calling, cancel = context.WithDeadline(ctx, w.deadline)
		defer cancel()
	}
	client := w.client("call", nil)
	failed := w.call(calling, client)
	w.end = time.Now()
	w.locked(func() { w.over = true })
	if slices.ContainsFunc(w.reports, report.unknown) {
		w.locked(func() { w.theirs("after") })
		w.settle(ctx, client, failed, "Settle")
		time.Sleep(2 * time.Minute)
		w.locked(func() { w.theirs("later") })
		w.settle(ctx, client, failed, "Settle later")
	}
	time.Sleep(10 * time.Second)
	w.locked(func() {})
}

// locked does something in the world, at its time.
func (w *world) locked(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.advance()
	do()
}

func (w *world) publication() apig.PublishRequest {
	return apig.PublishRequest{APIID: "api1", EnvID: apig.EnvRelease, Remark: "1.4.2", IdempotencyKey: w.method.key}
}

// call calls the method. It returns the error of a batch.
func (w *world) call(ctx context.Context, c *apig.Client) (failed *apig.BatchError) {
	var record *apig.PublishRecord
	var result *apig.BatchResult
	var err error
	switch w.method.op {
	case "Publish":
		record, err = c.Publish(ctx, w.publication())
	case "Offline":
		record, err = c.Offline(ctx, apig.OfflineRequest{APIID: "api1", EnvID: apig.EnvRelease})
	case "SwitchVersion":
		record, err = c.SwitchVersion(ctx, "api1", w.target)
	case "Rollback":
		record, err = c.Rollback(ctx, "api1", apig.EnvRelease)
	case "OfflineVersion":
		record, err = c.OfflineVersion(ctx, "api1", w.target)
	case "PublishBatch":
		result, err = c.PublishBatch(ctx, apig.PublishBatchRequest{APIIDs: w.ids(), EnvID: apig.EnvRelease, Remark: "1.4.2"})
	case "OfflineBatch":
		result, err = c.OfflineBatch(ctx, apig.OfflineBatchRequest{APIIDs: w.ids(), EnvID: apig.EnvRelease})
	}
	if result == nil {
		w.report(report{by: "the call", a: w.apis[0], record: record, err: err})
		return nil
	}
	errors.As(err, &failed)
	for i, it := range result.Items {
		w.report(report{by: "the call", a: w.apis[i], record: it.Record, err: it.Err})
	}
	return failed
}

func (w *world) report(r report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.at = time.Now()
	w.tell("%s says of %s: %+v, %v", r.by, r.a.id, r.record, r.err)
	w.reports = append(w.reports, r)
}

// settle asks what became of all that is unknown: the client itself, and other
// machines, whose clocks are a minute ahead and behind.
func (w *world) settle(ctx context.Context, c *apig.Client, failed *apig.BatchError, by string) {
	var asking sync.WaitGroup
	for _, r := range slices.Clone(w.reports[:max(1, w.method.apis)]) {
		var lost *apig.UnknownError
		if !errors.As(r.err, &lost) {
			continue
		}
		asking.Go(func() {
			begin := time.Now()
			for range 2 {
				record, err := c.Settle(ctx, lost)
				w.report(report{by: by, a: r.a, record: record, err: err})
			}
			if took := time.Since(begin); took > lost.ArrivesWithin+settleTimeout+200*time.Millisecond {
				w.locked(func() { w.slow = append(w.slow, fmt.Sprintf("%s took %v", by, took)) })
			}
		})
		for _, clock := range []time.Duration{-59 * time.Second, 59 * time.Second} {
			asking.Go(func() {
				text, _ := json.Marshal(lost)
				again := &apig.UnknownError{}
				json.Unmarshal(text, again)
				again.SentAt, again.FailedAt = again.SentAt.Add(clock), again.FailedAt.Add(clock)
				record, err := w.client("settle", nil).Settle(ctx, again)
				w.report(report{by: fmt.Sprintf("%s from JSON, %v ahead", by, clock), a: r.a, record: record, err: err, json: true, clock: clock})
			})
		}
	}
	if failed != nil {
		result, _ := c.SettleBatch(ctx, failed)
		for _, it := range result.Items {
			w.report(report{by: by + "Batch", a: w.byID(it.APIID), record: it.Record, err: it.Err})
		}
	}
	asking.Wait()
}

var tags atomic.Int64

// TestWorlds goes through all worlds within the bound.
func TestWorlds(t *testing.T) {
	// Waits are the longest there are, and tags are numbers.
	defer random.Replace(func(n int64) int64 {
		if n == 1<<40 {
			return tags.Add(1)
		}
		return 0
	})()
	if *only != "" {
		synctest.Test(t, func(t *testing.T) { replay(t, *only) })
		return
	}
	debug.SetGCPercent(400) // a world is small, and soon over
	if testing.Short() {
		*bound = min(*bound, 1)
	}
	var (
		begin      = time.Now()
		mu         sync.Mutex
		worlds     = map[string]int{}
		wrong      = map[string]int{}
		working    sync.WaitGroup
		processors = make(chan bool, runtime.GOMAXPROCS(0))
	)
	for i := range initials { // most worlds begin with the first
		for _, m := range methods {
			processors <- true
			working.Go(func() {
				n, bad := all(t, m, i)
				mu.Lock()
				defer mu.Unlock()
				worlds[m.name], wrong[m.name] = worlds[m.name]+n, wrong[m.name]+bad
				worlds["all"], wrong["all"] = worlds["all"]+n, wrong["all"]+bad
				<-processors
			})
		}
	}
	working.Wait()
	for _, name := range slices.Sorted(maps.Keys(worlds)) {
		t.Logf("%-17s %8d worlds, %d wrong", name, worlds[name], wrong[name])
	}
	t.Logf("with up to %d choices other than the default besides the first request, in %v", *bound, time.Since(begin).Round(time.Second/10))
}

// all goes through the worlds of a method that begin with one state. What is wrong is
// an error of the whole test, since a bubble that fails ends its goroutine.
func all(whole *testing.T, m *method, initial int) (n, bad int) {
	synctest.Test(whole, func(t *testing.T) {
		for script := []int{}; script != nil; n++ {
			w := &world{method: m, initial: initial, script: script}
			w.run(t.Context())
			if wrong := w.judge(); len(wrong) > 0 {
				if bad++; bad <= mostShown {
					whole.Errorf("-world %s\n\t%s", w, strings.Join(wrong, "\n\t"))
				}
			}
			script = w.next(*bound)
		}
	})
	return n, bad
}

// replay runs one world by its name.
func replay(t *testing.T, name string) {
	parts := append(strings.Split(name, "/"), "")
	w := &world{replay: map[string]string{}}
	m := slices.IndexFunc(methods, func(m *method) bool { return m.name == parts[0] })
	w.initial = slices.IndexFunc(initials, func(i initial) bool { return i.name == parts[1] })
	if m < 0 || w.initial < 0 {
		t.Fatal("the name of a world begins with a method and the state before")
	}
	w.method = methods[m]
	for _, p := range parts[2 : len(parts)-1] {
		place, option, _ := strings.Cut(p, ":")
		w.replay[place] = option
	}
	w.run(t.Context())
	wrong := w.judge()
	if w.String() != name {
		t.Errorf("there is no such world, but there is %s", w)
	}
	t.Logf("%s\n%s", w, &w.story)
	for _, s := range wrong {
		t.Error(s)
	}
}
