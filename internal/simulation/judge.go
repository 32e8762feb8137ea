package simulation

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/gateway"
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
	isMisread   verdict = "MISREAD"
	isForm      verdict = "FORM"
)

// verdicts are all of them, in the order of the table.
var verdicts = []verdict{isLost, isWrong, isDoubled, isLate, isUndid, isUnfounded, isHang, isLeak, isMisread, isForm}

// finding is one report that breaks the promise.
type finding struct {
	verdict verdict
	call    int // -1: none
	op      op
	api     string
	why     string
}

// same reports whether another run of a world has found the same.
func (f finding) same(o finding) bool {
	return o.verdict == f.verdict && o.call == f.call && o.api == f.api
}

func (f finding) String() string {
	return fmt.Sprintf("%s: call %d, %s, API %.8s: %s", f.verdict, f.call, f.op, f.api, f.why)
}

// place is an API in an environment.
type place struct{ api, env string }

// entry is a change in the gateway's journal, and the state after it.
type entry struct {
	gateway.Applied
	by     *sent    // nil: somebody else
	before string   // version in effect before it, or empty
	after  string   // and after it
	kept   []*entry // have made the versions that are kept, newest first
}

// of reports whether a call has made the change.
func (e *entry) of(r *running) bool { return e.by != nil && e.by.running == r }

// changed reports whether the change has changed what is in effect.
func (e *entry) changed() bool { return e.before != e.after }

// row is what has made a version that is kept, or nil.
func (e *entry) row(version string) *entry {
	if i := slices.IndexFunc(e.kept, func(o *entry) bool { return o.VersionID == version }); i >= 0 {
		return e.kept[i]
	}
	return nil
}

// judgment is all that a world has shown.
type judgment struct {
	world    *world
	journal  map[place][]*entry
	owner    map[string]*entry // of each version: what has made it
	findings []finding
	excused  map[string]int // findings that a documented limit explains, by limit
}

// judge compares every report with the journal.
func judge(w *world) *judgment {
	j := &judgment{world: w, journal: map[place][]*entry{}, owner: map[string]*entry{}, excused: map[string]int{}}
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
		for _, why := range r.hung {
			j.find(isHang, r, "", why)
		}
		for _, m := range r.minds {
			if excuse := j.excuse(r, m, place{m.api, j.env(r)}); excuse != "" {
				j.excused[excuse]++
				continue
			}
			j.find(isForm, r, m.api, fmt.Sprintf("settled as %v, and then as %v", m.was, apig.OutcomeOf(m.err)))
		}
		j.judgeTime(r)
		if r.op.reads() {
			j.judgeRead(r)
			continue
		}
		for _, report := range r.reports {
			j.judgeReport(r, report)
			j.judgeAttempts(r, report.api)
		}
		j.judgeGroup(r)
	}
	j.judgeKeys()
	return j
}

func (j *judgment) find(v verdict, r *running, api, why string) {
	j.findings = append(j.findings, finding{v, r.id, r.op, api, why})
}

func (j *judgment) readJournal() {
	for _, a := range j.world.gateway.Journal() {
		e := &entry{Applied: a}
		if a.Request != nil {
			if number, err := strconv.Atoi(a.Request.Header.Get(sentHeader)); err == nil {
				e.by = j.world.sent[number]
			}
		}
		e.Time = e.Time.Add(-j.world.clock)
		at := place{a.APIID, a.EnvID}
		if before := j.journal[at]; len(before) > 0 {
			e.before, e.kept = before[len(before)-1].after, before[len(before)-1].kept
		}
		switch a.Action {
		case gateway.ActionOnline:
			e.after, j.owner[a.VersionID] = a.VersionID, e
			e.kept = append([]*entry{e}, e.kept[:min(len(e.kept), 9)]...)
		case gateway.ActionSwitch:
			e.after = a.VersionID
		}
		j.journal[at] = append(j.journal[at], e)
	}
}

// states are what there was at any time from one to another.
func (j *judgment) states(at place, from, to time.Time) []*entry {
	states := []*entry{{}}
	for _, e := range j.journal[at] {
		if !e.Time.After(from) {
			states[0] = e
		} else if !e.Time.After(to) {
			states = append(states, e)
		}
	}
	if gone, ok := j.world.deleted[at.api]; ok && !gone.After(to) {
		states = append(states, &entry{})
	}
	return states
}

// held reports whether what was in effect was ever such between two times.
func (j *judgment) held(at place, from, to time.Time, such func(current string) bool) bool {
	return slices.ContainsFunc(j.states(at, from, to), func(e *entry) bool { return such(e.after) })
}

// env is the environment that a call is about, which for a version is the
// version's.
func (j *judgment) env(r *running) string { return j.world.envIDs[r.env] }

// judgeReport judges what a call says became of one API.
func (j *judgment) judgeReport(r *running, report report) {
	at := place{report.api, j.env(r)}
	var own []*entry
	for _, e := range j.journal[at] {
		if e.of(r) {
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
		if e.Action == gateway.ActionOnline {
			made++
		}
		if i > 0 && e.changed() && slices.ContainsFunc(j.between(at, own[i-1], e), func(o *entry) bool { return !o.of(r) }) {
			find(isUndid, "its request %d undid what somebody had done since its request %d was applied", e.by.n, own[i-1].by.n)
		}
		if why := j.overOthers(r, at, e); why != "" {
			find(isUndid, "%s", why)
		}
	}
	if made > 1 {
		find(isDoubled, "%d versions", made)
	}
	is := apig.OutcomeOf(report.err)
	for _, e := range own {
		switch {
		case is == apig.NotApplied && !e.Time.After(report.at):
			find(isWrong, "reported as not applied, but request %d was applied %v before: %v", e.by.n, report.at.Sub(e.Time), report.err)
		case is != apig.Unknown && e.Time.After(report.at) && e.changed():
			find(isLate, "request %d was applied %v after it was reported as %v", e.by.n, e.Time.Sub(report.at), is)
		}
	}
	var superseded *apig.SupersededError
	if errors.As(report.err, &superseded) {
		made := strings.ToLower(superseded.Made.ID)
		if is != apig.NotApplied || j.owner[made] == nil || !j.sameKey(j.owner[made], r) || !j.held(at, r.start.Add(-j.world.lag), report.at, func(current string) bool { return current != made }) {
			find(isWrong, "superseded, though it was not so at any time of the call: %v", report.err)
		}
	}
	if is == apig.Applied {
		if v, why := j.judgeRecord(r, report, at); why != "" {
			find(v, "%s", why)
		}
	}
	if report.was == apig.Unknown {
		if why := j.unfounded(r, report, at); why != "" {
			find(isUnfounded, "unknown, though %s", why)
		}
	}
}

// overOthers finds a retry of a change of state that undid what somebody else had
// done before the last look of the call, or since then though the look was old.
func (j *judgment) overOthers(r *running, at place, e *entry) string {
	if r.op.publishes() || !e.changed() {
		return ""
	}
	i := slices.IndexFunc(r.sent, func(s *sent) bool { return s.about(at.api) && s.doubtful(at.api) })
	if r.op == opRollback { // which goes by what it has read before its first request
		i = slices.IndexFunc(r.sent, func(s *sent) bool { return s.write }) - 1
	}
	if i < 0 || i >= e.by.n {
		return ""
	}
	since, again := r.sent[i].start, r.sent[e.by.n]
	if r.op == opRollback {
		since = r.sent[i].delivered
	}
	for _, o := range j.journal[at] {
		if o.of(r) || !o.changed() || !o.Time.After(since) || !o.Time.Before(again.start) || o.after == e.after || len(j.between(at, o, e)) > 0 ||
			slices.ContainsFunc(r.sent[i+1:e.by.n+1], func(s *sent) bool { return s.about(at.api) && j.betweenLookAnd(s, at.api, o) }) {
			continue
		}
		return fmt.Sprintf("its request %d undid what %s had done %v before it was sent", e.by.n, o.who(), again.start.Sub(o.Time))
	}
	return ""
}

// betweenLookAnd reports whether a change came between the last look of a call and a
// retry that followed it in time: in a batch after its histories were read.
func (j *judgment) betweenLookAnd(again *sent, api string, o *entry) bool {
	r := again.running
	var look *sent
	for _, s := range r.sent[:again.n] {
		if s.kind == "history" && s.target == api && s.whole && s.status == 200 && !s.end.After(again.start) {
			look = s
		}
	}
	if look == nil || o.Time.Before(look.delivered.Add(-j.world.lag)) || !o.Time.Before(again.start) {
		return false
	}
	fresh := again.start.Add(-j.world.settleWait(r.process))
	for _, f := range j.world.fetches { // a retry needs credentials
		if f.process == r.process && f.end.After(look.end) && f.start.Before(again.start) {
			fresh = fresh.Add(f.start.Sub(f.end) - time.Second)
		}
	}
	return len(r.reports) > 1 || !look.end.Before(fresh)
}

// between are the changes of what is in effect after one and before another.
func (j *judgment) between(at place, a, b *entry) (between []*entry) {
	for _, e := range j.journal[at] {
		if e.Seq > a.Seq && e.Seq < b.Seq && e.changed() {
			between = append(between, e)
		}
	}
	return between
}

// sameRemark compares a remark on the wire with that of a record.
func (j *judgment) sameRemark(wire string, r *apig.PublishRecord) bool {
	if j.world.remarks != "" {
		return true
	}
	told := r.Remark
	if r.Tag != "" {
		told += " apig:" + r.Tag
	}
	return slices.Equal(strings.Fields(wire), strings.Fields(told)) // spaces at the ends of a remark are not kept
}

// judgeRecord compares a report of success with the journal.
func (j *judgment) judgeRecord(r *running, report report, at place) (verdict, string) {
	record := report.record
	version := strings.ToLower(record.VersionID)
	if !r.op.publishes() {
		wanted := strings.ToLower(r.version)
		if r.op == opRollback {
			wanted = version
		}
		if r.op == opSwitch && version != wanted {
			return isLost, "the record is of another version than asked for"
		}
		if !j.held(at, r.start, report.at, func(current string) bool {
			switch r.op {
			case opSwitch, opRollback:
				return current == wanted
			case opOfflineVersion:
				return current != wanted
			}
			return current == ""
		}) {
			return isLost, "reported as applied, but it was not so at any time of the call"
		}
		return "", ""
	}
	made, ok := j.owner[version]
	switch {
	case !ok:
		return isLost, fmt.Sprintf("reported as applied, with the version %q that does not exist", version)
	case !made.of(r) && !j.sameKey(made, r):
		return isWrong, fmt.Sprintf("the record is of a version that %s has made", made.who())
	case !made.of(r) && !record.Replayed && !record.Recovered || record.Replayed && record.Recovered:
		return isWrong, "the record does not tell, or tells twice, that it is of an earlier request"
	case record.Replayed && !j.held(at, r.start.Add(-j.world.lag), report.at, func(current string) bool { return current == version }):
		return isLost, "replayed, but the version was not in effect at any time of the call"
	case made.APIID != at.api || made.EnvID != at.env || !j.sameRemark(made.Remark, record):
		return isLost, "the record is not what the gateway holds"
	case made.Time.After(report.at):
		return isLost, "reported before it was applied"
	}
	return "", ""
}

func (e *entry) who() string {
	if e.by == nil {
		return "somebody else"
	}
	return fmt.Sprintf("call %d, request %d", e.by.id, e.by.n)
}

// excuse names the documented limit that may explain what is wrong with a
// report, or is empty. A publication has no excuse.
func (j *judgment) excuse(r *running, report report, at place) string {
	if r.op.publishes() {
		return ""
	}
	doubt, first := r.start, r.start // by first, a Rollback has read the version to replace
	if r.op == opRollback {
		if i := slices.IndexFunc(r.sent, func(s *sent) bool { return s.write }); i >= 0 {
			first = r.sent[i].start
		}
	} else {
		i := slices.IndexFunc(r.sent, func(s *sent) bool { return s.about(at.api) && s.doubtful(at.api) && s.start.Before(report.at) })
		if i < 0 {
			return ""
		}
		doubt = r.sent[i].attempted()
	}
	version := strings.ToLower(r.version)
	for _, e := range j.journal[at] {
		if e.of(r) || e.Action != gateway.ActionSwitch || e.Time.After(report.at) || !e.Time.After(doubt.Add(-j.world.lag)) {
			continue
		}
		switch {
		case r.op == opOfflineVersion && e.VersionID == version:
			return "another client switches back to the version that OfflineVersion takes offline"
		case r.op == opRollback && j.held(at, r.start.Add(-j.world.lag), first.Add(time.Second), func(current string) bool { return current == e.VersionID }):
			return "another client switches back to the version that Rollback replaces"
		case r.op != opOfflineVersion && e.kept[0].VersionID == e.VersionID:
			return "another client switches to the newest version"
		}
	}
	return ""
}

// about reports whether a request that changes something may change the API.
func (s *sent) about(api string) bool {
	return s.write && slices.Contains(s.apis, api)
}

// unfounded says why an outcome should not be unknown, or nothing.
func (j *judgment) unfounded(r *running, report report, at place) string {
	var lost, look *sent // the latest ones
	for _, s := range r.sent {
		switch {
		case !s.start.Before(report.first):
		case s.about(at.api) && s.doubtful(at.api):
			lost, look = s, nil
		case s.kind == "history" && s.target == at.api && lost != nil && !s.start.Before(lost.end.Add(j.world.settleWait(r.process))):
			look = s
		}
	}
	switch {
	case lost == nil:
		return "no request may have been sent whose outcome was open"
	case look != nil && look.fate.kind == "" && look.whole && look.status == http.StatusOK:
		if j.decisive(r, at, lost, look) {
			return "the history was decisive"
		}
	case j.impatient(r, report, at, lost, look):
		return "there was time to read the history"
	}
	return ""
}

// decisive reports whether the history that a look has shown surely settles what became
// of a lost request.
func (j *judgment) decisive(r *running, at place, lost, look *sent) bool {
	w := j.world
	shown := j.states(at, look.delivered.Add(-w.lag), time.Time{})[0]
	// Whole seconds and the way of an answer add to the margin of four seconds.
	before := lost.attempted().Add(-7*time.Second - w.skew.Abs() - w.unsteady)
	if r.op.publishes() {
		complete, untagged := len(shown.kept) < 10, false
		keepsTags := w.remarks != "cut" && w.remarks != "drop"
		for _, e := range shown.kept {
			if e.of(r) {
				return w.processes[r.process].tagged && keepsTags
			}
			old := e.Time.Before(before)
			complete = complete || old
			tagged := keepsTags && strings.Contains(strings.ToLower(alter(w.remarks, e.Remark)), "apig:") // an escaped colon hides the tags of others
			untagged = untagged || !old && !tagged
		}
		return complete && !untagged
	}
	current := shown.row(shown.after)
	untouched := current != nil && current.Time.Before(before) && !slices.ContainsFunc(shown.kept, func(o *entry) bool {
		return o != current && o.Time.After(current.Time.Add(-time.Second))
	})
	switch r.op {
	case opSwitch:
		return current != nil && shown.row(lost.version) != nil && (shown.after == lost.version || untouched)
	case opRollback:
		return current != nil && shown.after == lost.version
	case opOfflineVersion:
		return shown.row(strings.ToLower(r.version)) != nil
	}
	return len(shown.kept) > 0 && (current == nil || untouched)
}

// impatient reports whether a call has not read the history, or not again, though
// nothing stood in its way and most of the time for it was left.
func (j *judgment) impatient(r *running, report report, at place, lost, look *sent) bool {
	enough := lost.end.Add(2*j.world.settleWait(r.process) + settleTimeout/2)
	_, hopeless := j.world.deleted[at.api]
	if look != nil {
		empty := len(j.states(at, report.first, time.Time{})[0].kept) == 0 // so that a page without rows is right
		hopeless = hopeless || !slices.Contains(passing, look.fate.kind) || empty && look.fate.edit != nil
	}
	return !hopeless && report.first.Before(enough) && (r.canceled.IsZero() || r.canceled.After(enough)) &&
		!r.lackedToken() && r.limited == 0 && !r.heldBack(report.first)
}

// passing are the faults of a read that may be gone the next time.
var passing = []string{"total without rows", "short page", "page without its first rows", "200 without a list", "answer cut", "reset", "203", "5xx of the service"}

// lackedToken reports whether its process was refused a token during the call.
func (r *running) lackedToken() bool {
	return slices.ContainsFunc(r.world.fetches, func(f fetch) bool {
		return f.process == r.process && f.failed && f.end.After(r.start) && !f.start.After(r.end)
	})
}

// heldBack reports whether the service had told the process to wait for long.
func (r *running) heldBack(before time.Time) bool {
	return slices.ContainsFunc(r.world.sent, func(s *sent) bool {
		return s.process == r.process && s.status == http.StatusTooManyRequests && s.fate.header != nil &&
			s.end.After(before.Add(-2*busyTimeout)) && s.end.Before(before)
	})
}

// judgeAttempts counts the requests that a call makes to change one API. One
// more than the policy says may follow a renewal of the credentials.
func (j *judgment) judgeAttempts(r *running, api string) {
	limit := cmp.Or(j.world.processes[r.process].policy.MaxAttempts, maxAttempts) + 1
	made := 0
	for _, s := range r.sent {
		if s.write && s.about(api) && !s.notNow(api) {
			made++
		}
	}
	if made > limit && !r.stopped {
		j.find(isForm, r, api, fmt.Sprintf("%d requests to change it", made))
	}
}

// notNow reports whether a request was refused for now, which is no attempt, or may
// have been proved to be so.
func (s *sent) notNow(api string) bool {
	busy := []string{"APIGW.0308", "APIG.3711", "APIG.3718", "APIC.7712", "APIC.9222", "APIG.9008", "APIG.3500"}
	return s.status > 0 && slices.Contains(busy, s.fate.code) || s.fate.items[api] == itemBusy || s.fate.items[api] == itemBroken
}

// judgeGroup judges what a call for a group says of the APIs that it does not
// name.
func (j *judgment) judgeGroup(r *running) {
	if !r.op.group() {
		return
	}
	is := apig.OutcomeOf(r.whole)
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
			if e.of(r) && is != apig.Unknown {
				j.find(isWrong, r, api, "it was changed, and the report does not name it")
			}
		}
		joined, late := j.world.joined[api]
		_, gone := j.world.deleted[api]
		if j.world.member[i] == r.group && r.whole == nil && !gone && (!late || joined.Before(r.start)) {
			j.find(isLost, r, api, "the report does not name this member of the group")
		}
	}
	if is == apig.Unknown && !slices.ContainsFunc(r.sent, func(s *sent) bool { return s.write && s.reached && !s.whole }) {
		j.find(isUnfounded, r, "", fmt.Sprintf("unknown, though no request may have been sent whose outcome was open: %v", r.whole))
	}
}

// judgeTime judges how long a call took.
func (j *judgment) judgeTime(r *running) {
	if r.stopped {
		j.find(isHang, r, "", fmt.Sprintf("it had not ended after %d requests for %d APIs", len(r.sent), len(r.reports)))
		return
	}
	if !r.canceled.IsZero() {
		if r.end.After(r.canceled) {
			j.find(isHang, r, "", fmt.Sprintf("it returned %v after its context had ended", r.end.Sub(r.canceled)))
		}
		return
	}
	if limit := longest(j.world.processes[r.process], r.call, len(r.reports)) + r.limited; r.end.Sub(r.start) > limit {
		j.find(isHang, r, "", fmt.Sprintf("it took %v, and may take %v", r.end.Sub(r.start), limit))
	}
}

// sameKey reports whether a version was made by a call with the same key.
func (j *judgment) sameKey(made *entry, r *running) bool {
	return r.key != "" && made.by != nil && made.by.running.key == r.key
}

// judgeKeys finds the APIs that calls with one key have published more than once,
// though the first version was kept.
func (j *judgment) judgeKeys() {
	for _, at := range slices.SortedFunc(maps.Keys(j.journal), func(a, b place) int { return strings.Compare(a.api+a.env, b.api+b.env) }) {
		made := map[string]*entry{}
		for _, e := range j.journal[at] {
			if e.Action != gateway.ActionOnline || e.by == nil || e.by.running.key == "" {
				continue
			}
			r := e.by.running
			first, ok := made[r.key]
			if !ok {
				made[r.key] = e
				continue
			}
			if !slices.Contains(e.kept, first) {
				j.excused["ten versions newer than that of a key"]++
			} else if !first.of(r) { // else it is found already
				j.find(isDoubled, r, at.api, fmt.Sprintf("%s has published under the key already, %v before", first.who(), e.Time.Sub(first.Time)))
			}
		}
	}
}

// judgeRead compares what a call has read with what was there at any time of it. What
// an answer says that was edited does not count.
func (j *judgment) judgeRead(r *running) {
	api := strings.ToLower(r.apiIDs[0])
	_, gone := j.world.deleted[api]
	if gone || r.unread || slices.ContainsFunc(r.sent, func(s *sent) bool { return s.fate.edit != nil }) {
		return
	}
	for _, s := range j.states(place{api, j.env(r)}, r.start.Add(-j.world.lag), r.end) {
		there := map[string]bool{}
		for _, e := range s.kept {
			if r.op == opVersions || e.VersionID == s.after {
				there[e.VersionID] = e.VersionID == s.after
			}
		}
		if maps.Equal(r.read, there) {
			return
		}
	}
	j.find(isMisread, r, api, fmt.Sprintf("it has read what was not there at any time of the call: %v", r.read))
}
