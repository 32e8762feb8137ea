package simulation

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/gateway"
)

// world is a plan under way. It runs within one bubble of testing/synctest.
type world struct {
	*plan
	gateway *gateway.Gateway
	handler http.Handler
	envIDs  []string
	groups  []string // IDs
	apigs   []*apig.Client
	begun   time.Time
	loose   sync.WaitGroup // what goes on beside the calls
	calls   map[int]*running

	mu      sync.Mutex
	apis    []string // IDs; those that have joined later come last
	member  []int    // the group of each
	joined  map[string]time.Time
	deleted map[string]time.Time
	fetches []fetch
	sent    []*sent        // all requests of all calls
	writing map[*sent]bool // in progress
	windows map[int64]int  // requests in each window of the quota
}

// running is a call that was made, and what it has reported.
type running struct {
	call
	world    *world
	apiIDs   []string // that it names
	version  string   // that it is to switch to or to take offline
	start    time.Time
	end      time.Time
	canceled time.Time // when its context ended or would have; zero: never
	requests map[string]int
	begun    chan struct{}
	ended    chan struct{} // but for settling by hand

	reports []report
	whole   error // what a call for a group reports that has no items
	sent    []*sent
	read    map[string]bool // versions that were read, and whether they are in effect
	unread  bool            // they could not be
	bad     []string        // what is wrong with the form of the report
	hung    []string        // how it went on for too long
	settles int
	minds   []report      // that Settle has changed, when it was asked a second time
	limited time.Duration // waited for the limiter

	asked   int    // how often an API was to be changed, over all requests
	stop    func() // ends its context, as nobody else would
	stopped bool   // it had to be
	killed  time.Time
}

// report is what a call says became of one API.
type report struct {
	api    string // lower case
	record *apig.PublishRecord
	err    error
	at     time.Time
	was    apig.Outcome // before it was settled by hand
	first  time.Time
}

type callKey struct{}

// run makes everything happen, and returns when nothing goes on any more.
func run(p *plan) *world {
	w := &world{
		plan: p, begun: time.Now(), calls: map[int]*running{},
		joined: map[string]time.Time{}, deleted: map[string]time.Time{}, windows: map[int64]int{}, writing: map[*sent]bool{},
	}
	w.gateway = gateway.NewGateway(gateway.WithoutNetwork(), gateway.WithSeed(p.seed), gateway.WithIDs("project", "instance"),
		gateway.WithClock(func() time.Time { return time.Now().Add(p.clock) }))
	defer w.gateway.Close()
	w.gateway.AddKeys(otherAccessKey, otherSecretKey, "")
	w.handler = w.gateway.Handler()
	w.furnish()
	for i, process := range p.processes {
		w.apigs = append(w.apigs, w.newClient(i, process))
	}
	for _, c := range p.calls {
		w.calls[c.id] = &running{call: c, world: w, requests: map[string]int{}, read: map[string]bool{}, begun: make(chan struct{}), ended: make(chan struct{})}
	}
	for _, d := range p.deeds {
		if c := w.calls[d.call]; !c.skip {
			w.loose.Go(func() { w.do(d, c) })
		}
	}
	var workers sync.WaitGroup
	for i, process := range p.processes {
		for j := range process.workers {
			workers.Go(func() { w.work(i, j) })
		}
	}
	workers.Wait()
	w.loose.Wait()
	for _, c := range w.calls {
		c.inOrder()
	}
	for _, c := range w.apigs {
		c.CloseIdleConnections()
	}
	return w
}

// inOrder numbers the requests of a call in the order of their beginning.
func (r *running) inOrder() {
	slices.SortFunc(r.sent, func(a, b *sent) int {
		return cmp.Or(a.start.Compare(b.start), strings.Compare(a.kind, b.kind), strings.Compare(a.target, b.target), a.nth-b.nth)
	})
	for n, s := range r.sent {
		s.n = n
	}
}

// furnish gives the gateway its APIs and a past.
func (w *world) furnish() {
	d := newDice(w.seed, "furnish")
	w.envIDs = []string{apig.EnvRelease}
	for len(w.envIDs) < w.envs {
		w.envIDs = append(w.envIDs, w.gateway.AddEnvironment(fmt.Sprintf("ENV%d", len(w.envIDs))))
	}
	for _, g := range w.plan.groups {
		for len(w.groups) <= g {
			w.groups = append(w.groups, w.gateway.AddGroup(fmt.Sprintf("group%d", len(w.groups))))
		}
	}
	for i, g := range w.plan.groups {
		w.apis = append(w.apis, w.gateway.AddAPIIn(w.groups[g], fmt.Sprintf("api%d", i)))
		w.member = append(w.member, g)
	}
	for range w.history {
		for _, api := range w.apis {
			for _, env := range w.envIDs {
				if d.chance(0.7) {
					_, _ = w.gateway.Publish(api, env, "release") // both exist
				}
			}
		}
		time.Sleep(d.between(0, 20*time.Minute))
	}
	for _, api := range w.apis {
		for _, env := range w.envIDs {
			if d.chance(0.3) {
				_ = w.gateway.Offline(api, env) // which may be offline
			}
		}
	}
	time.Sleep(d.between(0, time.Minute))
	w.begun = time.Now()
	w.gateway.SetHistoryLag(w.lag)
	w.gateway.AlterRemarks(func(remark string) string { return alter(w.remarks, remark) })
}

func (w *world) newClient(i int, p process) *apig.Client {
	var limit apig.Limiter
	if p.pace > 0 {
		limit = &limiter{world: w, pace: p.pace}
	}
	auth := apig.TokenAuth(&tokens{world: w, process: i, dice: newDice(w.seed, "tokens", i)})
	c, err := apig.New(apig.Config{
		Endpoint: "https://gateway.invalid", ProjectID: "project", InstanceID: "instance", Auth: auth,
		HTTPClient: &http.Client{Transport: &transport{w, i}}, Retry: p.policy,
		AttemptTimeout: p.timeout, DisableTags: !p.tagged, Limiter: limit,
	})
	if err != nil {
		panic(err) // the plans make no such configuration
	}
	return c
}

// settleWait is within which time a lost request is applied and shows.
func (w *world) settleWait(process int) time.Duration {
	return cmp.Or(w.processes[process].policy.SettleWait, settleWait)
}

// limiter lets one attempt pass after the other.
type limiter struct {
	world *world
	pace  time.Duration
	next  time.Time
}

// Wait implements apig.Limiter.
func (l *limiter) Wait(ctx context.Context) error {
	l.world.mu.Lock()
	from := time.Now()
	at := from
	if l.next.After(at) {
		at = l.next
	}
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(at) {
		l.world.mu.Unlock()
		return context.DeadlineExceeded // as that of golang.org/x/time/rate
	}
	l.next = at.Add(l.pace)
	if c, ok := ctx.Value(callKey{}).(*running); ok {
		c.limited += at.Sub(from)
	}
	l.world.mu.Unlock()
	return wait(ctx, at.Sub(from))
}

// tokens issues what the gateway then accepts.
type tokens struct {
	world   *world
	process int
	mu      sync.Mutex
	dice    dice
	n       int
}

func (t *tokens) Token(ctx context.Context) (_ apig.Token, err error) {
	t.mu.Lock()
	t.n++
	d := newDice(t.world.seed, "token", t.n, int(t.dice.Uint64()))
	t.mu.Unlock()
	start := time.Now()
	defer func() {
		t.world.mu.Lock()
		defer t.world.mu.Unlock()
		t.world.fetches = append(t.world.fetches, fetch{t.process, start, time.Now(), err != nil})
	}()
	if err := wait(ctx, d.usually(0, 3*time.Second)); err != nil {
		return apig.Token{}, err
	}
	if t.world.lifetime < time.Hour && d.chance(0.1) {
		return apig.Token{}, errors.New("IAM is away")
	}
	value := fmt.Sprintf("token-%x", d.Uint64())
	expiry := time.Now().Add(t.world.lifetime)
	t.world.gateway.AddToken(value, expiry.Add(t.world.clock))
	return apig.Token{Value: apig.Secret(value), Expiry: expiry}, nil
}

// fetch is the time that a process took to get a token. The attempt that needed
// it began before.
type fetch struct {
	process    int
	start, end time.Time
	failed     bool
}

// attempted is when the attempt began that made a request: before it got its
// credentials.
func (s *sent) attempted() time.Time {
	for _, f := range s.world.fetches {
		if f.process == s.process && f.end.Equal(s.start) {
			return f.start
		}
	}
	return s.start
}

// work makes the calls of one worker, one after the other.
func (w *world) work(process, worker int) {
	for _, c := range w.plan.calls {
		if c.process == process && c.worker == worker {
			if before := w.calls[c.follows]; c.key != "" && before != nil && !before.skip {
				<-before.ended
			}
			time.Sleep(c.after)
			if !c.skip {
				w.call(w.calls[c.id])
			}
		}
	}
}

// do is a deed. Who does it has a good connection.
func (w *world) do(d deed, c *running) {
	<-c.begun
	time.Sleep(d.delay)
	w.mu.Lock()
	defer w.mu.Unlock()
	api, env := w.apis[d.api], w.envIDs[d.env]
	switch d.what {
	case "online":
		_, _ = w.gateway.Publish(api, env, d.remark) // the API may be deleted
	case "offline":
		_ = w.gateway.Offline(api, env) // which may be offline
	case "switch":
		if kept := w.gateway.History(api, env); len(kept) > 0 {
			body := fmt.Sprintf(`{"version_id":%q}`, kept[d.nth%len(kept)].ID)
			r := httptest.NewRequest(http.MethodPut, "https://gateway.invalid/v2/project/apigw/instances/instance/apis/publish/"+api, strings.NewReader(body))
			r.Header = http.Header{"Content-Type": {"application/json"}, "X-Auth-Token": {w.gateway.Token()}}
			w.handler.ServeHTTP(httptest.NewRecorder(), r)
		}
	case "delete":
		w.gateway.RemoveAPI(api)
		w.deleted[api] = time.Now()
	case "join":
		id := w.gateway.AddAPIIn(w.groups[w.member[d.api]], fmt.Sprintf("api%d", len(w.apis)))
		w.apis, w.member = append(w.apis, id), append(w.member, w.member[d.api])
		w.joined[id] = time.Now()
	}
}

// flooded has somebody else publish what a call has left unknown, many times.
func (w *world) flooded(c *running) {
	for range c.flood {
		for _, r := range c.reports {
			if apig.OutcomeOf(r.err) == apig.Unknown {
				_, _ = w.gateway.Publish(r.api, w.envIDs[c.env], "by hand") // the API may be deleted
				time.Sleep(time.Millisecond)
			}
		}
	}
}

// api is the ID of an API.
func (w *world) api(i int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.apis[i]
}

// sentHeader has the number of a request among those of its world.
const sentHeader = "X-Simulation-Sent"

// serve has the gateway serve a request.
func (w *world) serve(s *sent, r *http.Request, body []byte) *answer {
	u := *r.URL
	if s.upper { // whether the service compares IDs so is not documented; this one does
		u.Path, u.RawPath, u.RawQuery, body = lowerIDs(u.Path), "", lowerIDs(u.RawQuery), []byte(lowerIDs(string(body)))
	}
	if len(s.fate.items) > 0 {
		body = withoutItems(body, s.fate.items)
	}
	inner := &http.Request{
		Method: r.Method, URL: &u, Host: u.Host, RequestURI: u.RequestURI(), Header: r.Header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	inner.Header.Set(sentHeader, strconv.Itoa(s.number))
	a := &answer{header: http.Header{}}
	s.delivered = time.Now()
	w.handler.ServeHTTP(a, inner)
	if w.skew != 0 || w.unsteady != 0 {
		d := newDice(w.seed, "date", s.id, s.key())
		a.moveDate(w.skew + d.between(-w.unsteady, w.unsteady))
	}
	if len(s.fate.items) > 0 {
		a.splitItems(s.fate.items, s.apis)
	}
	return a
}

// alter makes of a remark what a service may keep of it.
func alter(how, remark string) string {
	switch how {
	case "crlf":
		return strings.ReplaceAll(remark, "\n", "\r\n") + "\r\n"
	case "escape":
		return html.EscapeString(strings.ReplaceAll(remark, ":", "&#58;"))
	case "upper":
		return strings.ToUpper(remark)
	case "cut":
		return remark[:min(len(remark), 8)]
	case "drop":
		return ""
	}
	return remark
}

// withoutItems leaves out of a batch what is not to be applied. Where that is all
// of it, the gateway is asked for an API that it does not have.
func withoutItems(body []byte, items map[string]item) []byte {
	var batch map[string]any
	if json.Unmarshal(body, &batch) != nil {
		return body
	}
	apis, _ := batch["apis"].([]any)
	kept := slices.DeleteFunc(slices.Clone(apis), func(api any) bool { return !items[api.(string)].applied() })
	if len(kept) == 0 {
		kept = append(kept, strings.Repeat("0", idLength))
	}
	batch["apis"] = kept
	body, _ = json.Marshal(batch) // what was decoded can be encoded
	return body
}

// conflict makes a write meet an error, perhaps, where another one to the same API is
// in progress.
func (w *world) conflict(s *sent) {
	if !s.write || s.fate.kind != "" || w.conflicts == 0 {
		return
	}
	d := newDice(w.seed, "conflict", s.id, s.key())
	w.mu.Lock()
	defer w.mu.Unlock()
	busy := map[string]bool{}
	for o := range w.writing {
		for _, api := range o.apis {
			busy[api] = busy[api] || o != s
		}
	}
	apis := slices.DeleteFunc(slices.Clone(s.apis), func(api string) bool { return !busy[api] || !d.chance(w.conflicts) })
	if len(apis) > 0 {
		conflicting(d, &s.fate, apis, s.kind == "batch")
	}
}

// begin notes a request, and throws its fate.
func (w *world) begin(ctx context.Context, process int, r *http.Request, body []byte) *sent {
	c, ok := ctx.Value(callKey{}).(*running)
	if !ok {
		panic("a request without the context of its call: " + r.URL.Path)
	}
	s := &sent{running: c, start: time.Now(), left: make(chan struct{}), back: make(chan *answer, 1)}
	s.describe(r, body)
	w.mu.Lock()
	key := s.kind + " " + s.target
	s.nth = c.requests[key]
	c.requests[key]++
	c.sent = append(c.sent, s)
	s.number = len(w.sent)
	w.sent = append(w.sent, s)
	if s.write {
		c.asked += len(s.apis)
	}
	if c.asked > 100+60*len(w.apis) {
		c.stopped = true
		c.stop()
	}
	if s.write && c.kill > 0 && c.killed.IsZero() {
		c.killed = time.Now().Add(c.kill)
		if c.canceled.IsZero() || c.killed.Before(c.canceled) {
			c.canceled = c.killed
		}
		time.AfterFunc(c.kill, c.stop)
	}
	window := int64(s.start.Sub(w.begun) / quotaWindow)
	w.windows[window]++
	over := w.quota > 0 && w.windows[window] > w.quota
	w.mu.Unlock()

	// Several requests of a call may begin at the same time, so none of their
	// fates may depend on which of them came first.
	d := newDice(w.seed, "fate", c.id, s.kind, s.target, s.nth)
	s.fate = calm(d)
	risk := c.reads
	if s.write {
		risk = c.writes
	}
	strikes, split := d.chance(risk), d.chance(0.25)
	kind, out := w.outage(process, s.start)
	switch {
	case over:
		s.fate.strike(d, "429", s.write)
		s.fate.kind, s.fate.header = "over the quota", nil
		if w.patient {
			end := w.begun.Add(time.Duration(window+1) * quotaWindow)
			s.fate.header = map[string]string{"Retry-After": fmt.Sprint(int(end.Sub(s.start)/time.Second) + 1)}
		}
	case w.weather != nil:
		w.weather(s, &s.fate)
	case out:
		s.fate.strike(d, kind, s.write)
	case strikes && s.write && len(s.apis) > 1 && split:
		splitBatch(d, &s.fate, s.apis)
	case strikes:
		s.fate.strike(d, "", s.write)
	}
	return s
}

// quotaWindow is in which the service counts requests.
const quotaWindow = 5 * time.Minute

// key names a request among those of its call, whichever came first of those
// that began at the same time.
func (s *sent) key() string {
	return fmt.Sprintf("%s/%s/%d", s.kind, s.target, s.nth)
}

// describe says what a request is about.
func (s *sent) describe(r *http.Request, body []byte) {
	_, path, _ := strings.Cut(r.URL.Path, "/instances/instance/")
	s.target = strings.ToLower(path[strings.LastIndex(path, "/")+1:])
	var b struct {
		APIID     string   `json:"api_id"`
		VersionID string   `json:"version_id"`
		APIs      []string `json:"apis"`
	}
	_ = json.Unmarshal(body, &b) // the gateway finds out
	s.version = strings.ToLower(b.VersionID)
	switch {
	case path == "apis/action":
		s.kind, s.write, s.apis = "action", true, []string{b.APIID}
	case path == "apis/publish":
		s.kind, s.write, s.apis = "batch", true, b.APIs
	case r.Method == http.MethodPut:
		s.kind, s.write, s.apis = "switch", true, []string{s.target}
	case r.Method == http.MethodDelete:
		s.kind, s.write, s.apis = "offline-version", true, s.running.apiIDs[:1]
	case strings.HasPrefix(path, "apis/publish/"):
		s.kind = "history"
	case path == "apis":
		s.kind, s.target = "apis", r.URL.Query().Get("group_id")+r.URL.Query().Get("offset")
	default:
		s.kind = path
	}
	if s.write {
		s.apis = strings.Split(strings.ToLower(strings.Join(s.apis, " ")), " ")
		s.target = s.apis[0]
	}
}

func (w *world) finish(s *sent) {
	w.mu.Lock()
	delete(w.writing, s)
	w.mu.Unlock()
	if s.end.IsZero() {
		s.end = time.Now()
	}
}

// outage is the kind of the one that a request meets that begins now, if there is one.
func (w *world) outage(process int, now time.Time) (kind string, ok bool) {
	since := now.Sub(w.begun)
	for _, o := range w.outages {
		if (o.process < 0 || o.process == process) && o.from <= since && since < o.to {
			return o.kind, true
		}
	}
	return "", false
}
