package simulation

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apig-go/apig/apigtest"
)

// verdict is what is wrong with a report.
type verdict string

const (
	isLost      verdict = "LOST"
	isWrong     verdict = "WRONG"
	isDoubled   verdict = "DOUBLED"
	isLate      verdict = "LATE"
	isUndid     verdict = "UNDID"
	isUnfounded verdict = "UNFOUNDED"
	isHang      verdict = "HANG"
	isLeak      verdict = "LEAK"
	isOrder     verdict = "ORDER"
	isForm      verdict = "FORM"
)

// verdicts are all of them, in the order of the table.
var verdicts = []verdict{isLost, isWrong, isDoubled, isLate, isUndid, isUnfounded, isHang, isLeak, isOrder, isForm}

// finding is one report that breaks the promise.
type finding struct {
	verdict verdict
	call    int // -1: none
	op      op
	api     string
	why     string
}

func (f finding) String() string {
	return fmt.Sprintf("%s: call %d, %s, API %.8s: %s", f.verdict, f.call, f.op, f.api, f.why)
}

// place is an API in an environment.
type place struct{ api, env string }

// entry is a change in the gateway's journal.
type entry struct {
	apigtest.Applied
	call   int // -1: somebody else, or before the world began
	nth    int // request of the call
	deed   bool
	before string // version in effect before it, or empty
	after  string
}

// changed reports whether the change has changed what is in effect.
func (e entry) changed() bool { return e.before != e.after }

// judgment is all that a world has shown.
type judgment struct {
	world    *world
	journal  map[place][]entry
	owner    map[string]entry // of each version: what has made it
	findings []finding
	excused  map[string]int // findings that a documented limit explains, by limit
}

// judge compares every report with the journal.
func judge(w *world) *judgment {
	j := &judgment{world: w, journal: map[place][]entry{}, owner: map[string]entry{}, excused: map[string]int{}}
	j.readJournal()
	for _, c := range w.plan.calls {
		r := w.calls[c.id]
		if r.skip {
			continue
		}
		if r.end.IsZero() {
			j.find(isHang, r, "", "it has not returned")
			continue
		}
		for _, why := range r.bad {
			j.find(isForm, r, "", why)
		}
		j.judgeTime(r)
		if r.op.reads() {
			continue
		}
		for _, report := range r.reports {
			j.judgeReport(r, report)
			j.judgeAttempts(r, report.api)
			j.judgeTurn(r, report.api)
		}
		j.judgeGroup(r)
	}
	j.judgeOrder()
	return j
}

func (j *judgment) find(v verdict, r *running, api, why string) {
	j.findings = append(j.findings, finding{v, r.id, r.op, api, why})
}

func (j *judgment) readJournal() {
	requests := map[string]int{}
	for _, r := range j.world.calls {
		for _, s := range r.sent {
			requests[fmt.Sprintf("%d %s", r.id, s.key())] = s.n
		}
	}
	current := map[place]string{}
	for _, a := range j.world.gateway.Journal() {
		e := entry{Applied: a, call: -1}
		if a.Request != nil {
			part := strings.SplitN(a.Request.Header.Get(byHeader), " ", 3)
			number, _ := strconv.Atoi(part[1]) // written by this package
			if part[0] == "call" {
				e.call = number
				e.nth = requests[part[1]+" "+part[2]]
			} else {
				e.deed = true
			}
		}
		e.Time = e.Time.Add(-j.world.clock)
		p := place{a.APIID, a.EnvID}
		e.before = current[p]
		if a.Action == apigtest.ActionOnline || a.Action == apigtest.ActionSwitch {
			e.after = a.VersionID
		}
		if a.Action == apigtest.ActionOnline {
			j.owner[a.VersionID] = e
		}
		current[p] = e.after
		j.journal[p] = append(j.journal[p], e)
	}
}

// env is the environment that a call is about, which for a version is the
// version's.
func (j *judgment) env(r *running) string { return j.world.envIDs[r.env] }

// judgeReport judges what a call says became of one API.
func (j *judgment) judgeReport(r *running, report report) {
	at := place{report.api, j.env(r)}
	var own []entry
	for _, e := range j.journal[at] {
		if e.call == r.id {
			own = append(own, e)
		}
	}
	excuse := j.excuse(r, report, at)
	find := func(v verdict, format string, args ...any) {
		if excuse != "" && v != isUnfounded {
			j.excused[excuse]++
			return
		}
		j.find(v, r, report.api, fmt.Sprintf(format, args...))
	}
	made := 0
	for i, e := range own {
		if e.Action == apigtest.ActionOnline {
			made++
		}
		if i > 0 && e.changed() && j.interrupted(at, own[i-1], e) {
			find(isUndid, "its request %d undid what somebody had done since its request %d was applied", e.nth, own[i-1].nth)
		}
	}
	if made > 1 {
		find(isDoubled, "%d versions", made)
	}
	is := outcomeOf(report.err)
	for _, e := range own {
		switch {
		case is == notApplied && !e.Time.After(report.at):
			find(isWrong, "reported as not applied, but request %d was applied %v before: %v", e.nth, report.at.Sub(e.Time), report.err)
		case is != unknown && e.Time.After(report.at) && e.changed():
			find(isLate, "request %d was applied %v after it was reported as %v", e.nth, e.Time.Sub(report.at), is)
		}
	}
	if is == applied {
		if v, why := j.judgeRecord(r, report, at, own); why != "" {
			find(v, "%s", why)
		}
	}
	if report.was == unknown {
		j.judgeUnknown(r, report, at, find)
	}
}

// interrupted reports whether somebody changed the place between two changes of
// one call.
func (j *judgment) interrupted(at place, a, b entry) bool {
	return slices.ContainsFunc(j.journal[at], func(e entry) bool {
		return e.Seq > a.Seq && e.Seq < b.Seq && e.call != a.call && e.changed()
	})
}

// judgeRecord compares a report of success with the journal.
func (j *judgment) judgeRecord(r *running, report report, at place, own []entry) (verdict, string) {
	record := report.record
	version := strings.ToLower(record.VersionID)
	switch {
	case r.op.publishes():
		made, ok := j.owner[version]
		switch {
		case !ok:
			return isLost, fmt.Sprintf("reported as applied, with the version %q that does not exist", version)
		case made.call != r.id:
			return isWrong, fmt.Sprintf("the record is of a version that %s has made", made.who())
		case made.APIID != at.api || made.EnvID != at.env || strings.TrimSpace(made.Remark) != strings.TrimSpace(record.Remark):
			return isLost, "the record is not what the gateway holds"
		case made.Time.After(report.at):
			return isLost, "reported before it was applied"
		}
	case r.op == opSwitch || r.op == opRollback:
		if r.op == opRollback {
			r.version = version
		}
		if version != strings.ToLower(r.version) {
			return isLost, "the record is of another version than asked for"
		}
		if !j.held(at, r.start, report.at, func(current string) bool { return current == version }) {
			return isLost, "reported as applied, but the version was not in effect at any time of the call"
		}
	case r.op == opOfflineVersion:
		version = strings.ToLower(r.version)
		if !j.held(at, r.start, report.at, func(current string) bool { return current != version }) {
			return isLost, "reported as applied, but the version was in effect all the time"
		}
	default:
		if !j.held(at, r.start, report.at, func(current string) bool { return current == "" }) {
			return isLost, "reported as applied, but a version was in effect all the time"
		}
	}
	return "", ""
}

func (e entry) who() string {
	switch {
	case e.deed:
		return "somebody else"
	case e.call < 0:
		return "somebody before the world began"
	}
	return fmt.Sprintf("call %d", e.call)
}

// held reports whether what was in effect was ever such between two times.
func (j *judgment) held(at place, from, to time.Time, such func(current string) bool) bool {
	current := ""
	for _, e := range j.journal[at] {
		if e.Time.After(to) {
			break
		}
		if e.Time.After(from) && such(current) {
			return true
		}
		current = e.after
	}
	if gone, ok := j.world.deleted[at.api]; ok && !gone.After(to) && such("") {
		return true
	}
	return such(current)
}

// excuse names the documented limit that may explain what is wrong with a
// report, or is empty.
func (j *judgment) excuse(r *running, report report, at place) string {
	doubt, ok := j.doubtSince(r, report.api, report.at)
	if !ok {
		return ""
	}
	tagged := j.world.processes[r.process].policy.TagRemark
	behind := max(0, j.world.unsteady-j.world.skew)
	if j.world.skew != 0 || j.world.unsteady != 0 {
		behind += time.Second // a Date that is moved loses its fraction once more
	}
	for _, e := range j.journal[at] {
		same := e.call >= 0 && j.world.calls[e.call].process == r.process && !r.abroad && !j.orphan(e)
		if e.Time.After(report.at) || same || e.call == r.id {
			continue
		}
		switch {
		case r.op.publishes() && !tagged && e.Action == apigtest.ActionOnline && e.Time.After(doubt.Add(-3*time.Second-behind)) &&
			strings.TrimSpace(e.Remark) == strings.TrimSpace(r.remark):
			return "another process publishes with the same remark"
		case !r.op.publishes() && e.Action == apigtest.ActionSwitch && e.Time.After(doubt):
			return "somebody else switches to an earlier version"
		}
	}
	if r.op.publishes() && !tagged && j.claimed(r, at) {
		return "another process publishes with the same remark"
	}
	return ""
}

// claimed reports whether another process has taken a version that the call has
// made for its own, within the limit that excuses that.
func (j *judgment) claimed(r *running, at place) bool {
	for _, other := range j.world.calls {
		report := other.about(at.api)
		if report == nil || report.record == nil || !other.op.publishes() || other == r || other.process == r.process && !other.abroad && !r.abroad {
			continue
		}
		if made := j.owner[strings.ToLower(report.record.VersionID)]; made.call == r.id && made.Seq > 0 {
			return true
		}
	}
	return false
}

// orphan reports whether a version was made by a call that has reported another
// one as its own, and so has left this one to be taken for somebody else's.
func (j *judgment) orphan(e entry) bool {
	report := j.world.calls[e.call].about(e.APIID)
	return e.Action == apigtest.ActionOnline && report != nil && report.record != nil && !strings.EqualFold(report.record.VersionID, e.VersionID)
}

// doubtSince is when the first request of a call began that left the outcome of
// an API open.
func (j *judgment) doubtSince(r *running, api string, before time.Time) (time.Time, bool) {
	var since time.Time
	for _, s := range r.sent {
		if s.about(api) && s.doubtful(api) && s.start.Before(before) && since.IsZero() {
			since = s.attempted()
		}
	}
	return since, !since.IsZero()
}

// about reports whether a request that changes something may change the API.
func (s *sent) about(api string) bool {
	return s.write && (s.kind != "batch" && s.kind != "action" || s.target == api || s.target == "" || slices.Contains(s.apis, api))
}

// judgeUnknown finds the unknown reports that were not necessary.
func (j *judgment) judgeUnknown(r *running, report report, at place, find func(verdict, string, ...any)) {
	doubt, ok := j.doubtSince(r, report.api, report.first)
	if !ok {
		find(isUnfounded, "unknown, though no request may have been sent whose outcome was open: %v", report.err)
		return
	}
	switch {
	case j.undecidable(r, report, at):
	case j.clear(r, report, at, doubt):
		find(isUnfounded, "unknown, though the history was there to read and decisive: %v", report.err)
	case j.impatient(r, report, at):
		find(isUnfounded, "unknown, though there was time to read the history again: %v", report.err)
	}
}

// undecidable reports whether no history can settle what was to happen to a
// version: it is not kept, or a switch may have been taken back, since nothing is
// in effect.
func (j *judgment) undecidable(r *running, report report, at place) bool {
	if !r.op.versioned() {
		return false
	}
	kept := state{}
	for _, e := range j.journal[at] {
		if e.Action == apigtest.ActionOnline && !e.Time.After(report.first) {
			_, kept = kept.next(step{what: "online", version: e.VersionID})
		}
	}
	return !slices.Contains(kept.kept, strings.ToLower(r.version)) ||
		r.op != opOfflineVersion && j.held(at, report.first, report.first, func(current string) bool { return current == "" })
}

// lackedToken reports whether its process was refused a token during the call.
func (r *running) lackedToken() bool {
	return slices.ContainsFunc(r.world.fetches, func(f fetch) bool {
		return f.process == r.process && f.failed && f.end.After(r.start) && !f.start.After(r.end)
	})
}

// impatient reports whether a call gave up reading what it could have read
// again: its last read ended in a way that may be different the next time, and
// most of the time for reading was left.
func (j *judgment) impatient(r *running, report report, at place) bool {
	if _, gone := j.world.deleted[at.api]; gone || !r.canceled.IsZero() || r.lackedToken() {
		return false
	}
	var lost, read *sent
	for _, s := range r.sent {
		switch {
		case s.start.After(report.first):
		case s.about(at.api) && s.doubtful(at.api):
			lost = s
		case s.kind == "history" && s.target == at.api:
			read = s
		}
	}
	if lost == nil || read == nil || read.start.Before(lost.end) {
		return false
	}
	switch read.fate.kind {
	case "total without rows", "short page", "page without its first rows", "200 without a list", "answer cut", "reset", "203", "5xx of the service":
		due := lost.end.Add(2 * j.world.settleWait(r.process))
		return report.first.Before(due.Add(settleTimeout / 2))
	}
	return false
}

// judgeAttempts counts the requests that a call makes to change one API. One
// more than the policy says may follow a renewal of the credentials.
func (j *judgment) judgeAttempts(r *running, api string) {
	limit := cmp.Or(j.world.processes[r.process].policy.MaxAttempts, maxAttempts) + 1
	made := 0
	for _, s := range r.sent {
		if s.write && s.about(api) {
			made++
		}
	}
	if made > limit && !r.endless {
		j.find(isForm, r, api, fmt.Sprintf("%d requests to change it", made))
	}
}

// idle is how long a call may wait for its turn while nobody is at work on its
// API: it may first need a token.
const idle = 15 * time.Second

// span is a time in which somebody is at work on an API.
type span struct {
	api      string
	from, to time.Time
}

// judgeTurn finds the calls that waited for their turn while nobody who had it
// was at work.
func (j *judgment) judgeTurn(r *running, api string) {
	if r.op.batch() { // which also waits for its own requests
		return
	}
	until := r.end
	for _, s := range r.sent {
		if (s.about(api) || s.target == api) && s.start.Before(until) {
			until = s.start
		}
	}
	// Put together the times in which others of the process were at work on it.
	var work []span
	for _, other := range j.world.calls {
		if other == r || other.process != r.process && !other.abroad || other.about(api) == nil || !other.start.Before(until) {
			continue
		}
		for _, s := range other.settlings {
			if s.api == api {
				work = append(work, s)
			}
		}
		for _, s := range other.sent {
			if s.about(api) || s.target == api {
				work = append(work, span{api, s.start, other.end})
				break
			}
		}
	}
	slices.SortFunc(work, func(a, b span) int { return a.from.Compare(b.from) })
	waited, from := time.Duration(0), r.start
	for _, w := range append(work, span{api, until, until}) {
		if w.from.After(until) {
			w.from = until
		}
		if w.from.After(from) {
			waited += w.from.Sub(from)
		}
		from = later(from, w.to)
	}
	if waited > idle {
		j.find(isHang, r, api, fmt.Sprintf("it waited %v for its turn while nobody was at work on the API", waited))
	}
}

// clear reports whether a call had everything it needs to settle an API: the
// time, a history that could be read each time, and nobody else in it.
func (j *judgment) clear(r *running, report report, at place, doubt time.Time) bool {
	w := j.world
	if _, gone := w.deleted[at.api]; gone {
		return false
	}
	if w.skew.Abs()+w.unsteady >= time.Second || r.lackedToken() {
		return false
	}
	need := longest(w.processes[r.process], len(r.reports), r.op.group())
	if !r.canceled.IsZero() && r.canceled.Sub(r.start) < need {
		return false
	}
	for _, s := range r.sent {
		if !s.write && (s.fate.kind != "" || s.fate.up+s.fate.down > time.Second) && s.start.Before(report.first) {
			return false
		}
		if s.kind == "apis" && s.fate.kind != "" {
			return false
		}
	}
	for _, e := range j.journal[at] {
		if e.call == r.id {
			continue
		}
		if e.Time.After(doubt.Add(-16*time.Second)) && !e.Time.After(report.first) {
			return false
		}
	}
	// What this client has left unknown may still turn up.
	for _, other := range w.calls {
		if other == r || other.process != r.process || other.start.After(report.first) {
			continue
		}
		if other.whole != nil && outcomeOf(other.whole) == unknown {
			return false
		}
		for _, o := range other.reports {
			if o.api == at.api && outcomeOf(o.err) == unknown {
				return false
			}
		}
	}
	return true
}

// judgeGroup judges what a call for a group says of the APIs that it does not
// name.
func (j *judgment) judgeGroup(r *running) {
	if !r.op.group() {
		return
	}
	is := outcomeOf(r.whole)
	named := map[string]bool{}
	for _, report := range r.reports {
		if named[report.api] {
			j.find(isForm, r, report.api, "the API is named twice")
		}
		named[report.api] = true
	}
	for i, api := range j.world.apis {
		if named[api] {
			continue
		}
		for _, e := range j.journal[place{api, j.env(r)}] {
			if e.call == r.id && is != unknown {
				j.find(isWrong, r, api, "it was changed, and the report does not name it")
			}
		}
		joined, late := j.world.joined[api]
		_, gone := j.world.deleted[api]
		if j.world.member[i] == r.group && r.whole == nil && !gone && (!late || joined.Before(r.start)) {
			j.find(isLost, r, api, "the report does not name this member of the group")
		}
	}
	if is == unknown {
		if !slices.ContainsFunc(r.sent, func(s *sent) bool { return s.write && s.reached && !s.whole }) {
			j.find(isUnfounded, r, "", fmt.Sprintf("unknown, though no request may have been sent whose outcome was open: %v", r.whole))
		}
	}
}

// judgeTime judges how long a call took.
func (j *judgment) judgeTime(r *running) {
	if r.endless {
		j.find(isHang, r, "", fmt.Sprintf("it had not ended after %d requests for %d APIs", len(r.sent), len(r.reports)))
		return
	}
	if !r.canceled.IsZero() {
		if r.end.After(r.canceled) {
			j.find(isHang, r, "", fmt.Sprintf("it returned %v after its context had ended", r.end.Sub(r.canceled)))
		}
		return
	}
	// The waits for turns do not count: the time of an API begins with the
	// first request about it.
	begun := map[string]time.Time{}
	from := r.start
	for _, s := range r.sent {
		if s.start.After(r.end) {
			continue
		}
		for _, key := range append([]string{s.target}, s.apis...) {
			if _, ok := begun[key]; !ok {
				begun[key] = s.start
				if s.write && s.start.After(from) {
					from = s.start
				}
			}
		}
	}
	if limit := longest(j.world.processes[r.process], len(r.reports), r.op.group()); len(begun) > 0 && r.end.Sub(from) > limit {
		j.find(isHang, r, "", fmt.Sprintf("it took %v, and may take %v", r.end.Sub(from), limit))
	}
}
