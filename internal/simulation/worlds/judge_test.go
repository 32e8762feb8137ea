package worlds

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apig-go/apig"
)

func (r report) unknown() bool { return errors.Is(r.err, apig.ErrOutcomeUnknown) }

// judge compares the reports with what has happened.
func (w *world) judge() (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	for _, r := range w.reports {
		calls := r.by == "the call"
		say := func(what string) { bad("%s: %s says of %s: %+v, %v", what, r.by, r.a.id, r.record, r.err) }
		if (r.record == nil) == (r.err == nil) {
			say("FORM")
			continue
		}
		first, _ := w.doubts(r.a)
		own := w.changes(r.a, "send")
		switch {
		case r.record != nil && !w.applied(&r):
			say("LOST")
		case r.record != nil:
		case r.unknown():
			if calls && !w.founded(&r) || !calls && w.shows(r.a, r.a.shown(time.Since(r.at)), r.at, &r, nil) {
				say("UNFOUNDED")
			}
		case len(own) > 0 && own[len(own)-1].since.After(r.at):
			say("LATE")
		case len(own) > 0 && !w.switchedBack(r.a, first, r.at):
			say("WRONG")
		case calls && w.gaveUp():
			say("GAVE UP")
		}
	}
	for _, a := range w.apis {
		if w.method.kind == "online" {
			if made := w.changes(a, "send", "killed"); len(made) > 1 && (!w.method.killed || made[1].row(made[0].current) != nil) {
				bad("DOUBLED: %d versions of %s", len(made), a.id)
			}
		} else if what := w.undid(a); what != "" {
			bad("UNDID: %s", what)
		}
	}
	for _, slow := range w.slow {
		bad("SLOW: %s", slow)
	}
	each := attemptTimeout + 2*settleWait + 2*(settleTimeout+time.Duration(len(w.apis))*200*time.Millisecond) + w.maxWait
	most := maxAttempts*each + busyTimeout + 2*attemptTimeout + settleTimeout + 2*settleWait
	if took := w.end.Sub(w.begin); took > most || !w.deadline.IsZero() && w.end.After(w.deadline) {
		bad("SLOW: the call took %v", took)
	}
	if n := w.attempts(); n > maxAttempts {
		bad("FORM: %d requests", n)
	}
	return wrong
}

// attempts is the number of requests that count as attempts.
func (w *world) attempts() (n int) {
	for _, s := range w.sends {
		if s.name != "busy" && s.item == "" && s.code != "APIG.3500" {
			n++
		}
	}
	return n
}

// changes are the states of an API that somebody has made, by the beginnings of names.
func (w *world) changes(a *api, by ...string) (made []*state) {
	for i := range a.states {
		s := &a.states[i]
		if slices.ContainsFunc(by, func(name string) bool { return strings.HasPrefix(s.by, name) }) {
			made = append(made, s)
		}
	}
	return made
}

// applied reports whether a record is true.
func (w *world) applied(r *report) bool {
	for i := range r.a.states {
		s := &r.a.states[i]
		if s.since.After(r.at) {
			break
		}
		mine := strings.HasPrefix(s.by, "send")
		if w.method.kind == "online" {
			mine = mine || w.method.killed && s.by == "killed"
			if r.record.Replayed && w.reads[len(w.reads)-1].current != r.record.VersionID {
				return false
			}
			if mine && s.current == r.record.VersionID && r.record.Remark == "1.4.2" && (r.record.Tag == "") == w.method.untagged {
				return true
			}
			continue
		}
		held := i+1 == len(r.a.states) || !r.a.states[i+1].since.Before(w.begin)
		if mine || held && w.holds(s, r.record.VersionID) {
			return true
		}
	}
	return false
}

// holds reports whether the state is what the method asks for.
func (w *world) holds(s *state, versionID string) bool {
	switch w.method.kind {
	case "offline":
		return s.current == ""
	case "offline-version":
		return s.current != w.target
	}
	return s.current == versionID
}

// doubts are the first and the last request of unknown outcome about an API; or nil.
func (w *world) doubts(a *api) (first, last *sent) {
	for _, s := range w.sends {
		if s.doubt(a) {
			first, last = cmp.Or(first, s), s
		}
	}
	return first, last
}

// switchedBack reports whether a documented limit explains a mistake: since the first
// request of unknown outcome another client has switched to the newest version, for
// OfflineVersion to its version, for Rollback to the one that it replaces.
func (w *world) switchedBack(a *api, since *sent, until time.Time) bool {
	return since != nil && w.method.kind != "online" && slices.ContainsFunc(w.changes(a, "theirs"), func(s *state) bool {
		back := s.newest(s.current)
		switch w.method.name {
		case "OfflineVersion":
			back = s.current == w.target
		case "Rollback":
			back = back || s.current == w.reads[0].current
		}
		return s.what == "switch" && back && s.n > since.n && !s.since.After(until)
	})
}

// undid says what another client has done that a retry has changed though the last
// look had shown it.
func (w *world) undid(a *api) string {
	first, _ := w.doubts(a)
	if first == nil {
		return ""
	}
	for _, s := range w.sends {
		made := w.changes(a, s.by)
		if len(made) == 0 || s.n <= first.n {
			continue
		}
		seen, at := s.n, s.at // if there was no look
		for _, look := range w.reads {
			if look.a == a && look.n > first.n && look.n < s.n {
				seen, at = look.state.n, look.at
			}
		}
		for _, t := range w.changes(a, "theirs") {
			old := t.n < s.n && s.at.Sub(at) > settleWait && s.at.Sub(t.since) > settleWait // another look was due
			if t.n > first.n && (t.n <= seen || old) && !w.switchedBack(a, first, made[0].since) {
				return fmt.Sprintf("%s of %s, %v after the first request, by %s", t.what, a.id, t.since.Sub(first.at), s.by)
			}
		}
	}
	return ""
}

// founded reports whether the call could not know the outcome.
func (w *world) founded(r *report) bool {
	_, lost := w.doubts(r.a)
	if lost == nil {
		return false
	}
	var last *read
	seen := map[string]bool{}
	for i := range w.reads {
		switch look := &w.reads[i]; {
		case look.a != r.a:
		case look.n > lost.n:
			last = look
		default:
			for _, v := range look.rows {
				seen[v.id] = true
			}
		}
	}
	due := lost.failed.Add(lost.window)
	tooSoon := !w.deadline.IsZero() && !due.Before(w.deadline) // in the very instant there may be a look, or none
	switch {
	case last != nil && (!tooSoon || !last.at.Before(due) || w.tagged(&last.state, lost)):
		return !w.shows(r.a, &last.state, last.at, r, seen)
	case tooSoon:
		return errors.Is(r.err, context.DeadlineExceeded)
	}
	return w.broken > 0 && r.a == w.subject() || !w.deadline.IsZero()
}

// tagged reports whether the tag of the request is in the history.
func (w *world) tagged(s *state, lost *sent) bool {
	return !w.method.untagged && slices.ContainsFunc(s.rows, func(v version) bool { return v.remark == lost.remark })
}

// shows reports whether a history surely decides the outcome of the latest request of
// unknown outcome. Where clocks are rounded, a version is old only by the whole margin.
func (w *world) shows(a *api, s *state, arrived time.Time, r *report, seen map[string]bool) bool {
	_, lost := w.doubts(a)
	margin := 5*time.Second - w.ahead
	if r.json {
		margin += time.Minute - r.clock
	}
	old := func(v *version) bool {
		comparable := w.clock != "no-date" && (!r.json || !lost.at.Add(r.clock).After(arrived))
		return seen[v.id] || comparable && lost.at.Sub(v.at) > margin
	}
	current := s.row(s.current)
	switch w.method.kind {
	case "online":
		complete, untagged := len(s.rows) < 10, false
		for i := range s.rows {
			v := &s.rows[i]
			complete = complete || old(v)
			untagged = untagged || !old(v) && !v.tagged()
		}
		return w.tagged(s, lost) || complete && !untagged
	case "offline":
		return len(s.rows) > 0 && (current == nil || old(current) && s.newest(current.id))
	case "offline-version":
		return s.row(w.target) != nil
	}
	if s.row(lost.version) == nil || current == nil {
		return false
	}
	if w.method.name == "Rollback" && r.by == "the call" {
		return current.id == lost.version || current.id == w.reads[0].current
	}
	return current.id == lost.version || old(current) && s.newest(current.id)
}

// gaveUp reports whether a call has failed although a request was left and nothing
// stood in its way.
func (w *world) gaveUp() bool {
	if slices.ContainsFunc(w.sends, func(s *sent) bool { return s.final }) ||
		slices.ContainsFunc(w.apis, func(a *api) bool { return len(w.changes(a, "theirs")) > 0 }) {
		return false
	}
	first := w.subject().states[0]
	refused := w.method.apis > 0 && w.method.kind == "offline" && first.current == "" ||
		w.method.name == "Rollback" && (first.current == "" || len(first.rows) < 2 || first.rows[0].id == first.current)
	return w.attempts() < maxAttempts && w.broken == 0 && w.deadline.IsZero() && !refused
}
