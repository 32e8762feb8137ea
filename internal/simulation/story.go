package simulation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apig-go/apig"
)

// story tells, in the order of time, what a call did and what happened to its
// APIs meanwhile. Times count from the beginning of the world.
func (j *judgment) story(id int) string {
	r := j.world.calls[id]
	if r == nil || r.start.IsZero() {
		return fmt.Sprintf("call %d was not made\n", id)
	}
	t := teller{j: j}
	t.tell(r.start, "%v: %s", r.call, r.request())
	for _, s := range r.sent {
		t.tell(s.start, "  request %d: %s", s.n, s)
		if !s.delivered.IsZero() {
			t.tell(s.delivered, "  request %d reaches the gateway", s.n)
		}
		t.tell(s.end, "  request %d: %s", s.n, s.seen())
	}
	apis := j.interesting(r)
	last := r.end
	for _, report := range r.reports {
		if last = later(last, report.at); !slices.Contains(apis, report.api) {
			continue
		}
		t.tell(r.end, "reports of API %.8s: %s", report.api, reported(report.record, report.was, report.err))
		if report.at.After(r.end) {
			t.tell(report.at, "settled, API %.8s: %s", report.api, reported(report.record, outcomeOf(report.err), report.err))
		}
	}
	switch {
	case r.read != nil:
		t.tell(r.end, "has read: %s", r.read)
	case r.whole != nil:
		t.tell(r.end, "reports: %v: %v", outcomeOf(r.whole), r.whole)
	}
	for _, f := range j.findings {
		if f.call == id {
			t.tell(last, "%v", f)
		}
	}
	for _, api := range apis {
		t.tellPlace(place{api, j.env(r)}, r.start.Add(-2*time.Minute), last.Add(2*time.Minute))
	}
	return t.String()
}

// interesting are the APIs of a call of which something is wrong, or else the
// first few.
func (j *judgment) interesting(r *running) []string {
	var apis []string
	for _, f := range j.findings {
		if f.call == r.id && f.api != "" && !slices.Contains(apis, f.api) {
			apis = append(apis, f.api)
		}
	}
	for _, report := range r.reports {
		if len(apis) < 3 && !slices.Contains(apis, report.api) {
			apis = append(apis, report.api)
		}
	}
	if r.read != nil {
		apis = append(apis, strings.ToLower(r.apiIDs[0]))
	}
	return apis[:min(len(apis), 6)]
}

// teller puts what it is told in the order of time.
type teller struct {
	j     *judgment
	lines []line
}

type line struct {
	at   time.Time
	text string
}

func (t *teller) tell(at time.Time, format string, args ...any) {
	t.lines = append(t.lines, line{at, fmt.Sprintf(format, args...)})
}

// tellPlace tells the gateway's journal of a place.
func (t *teller) tellPlace(at place, from, to time.Time) {
	for _, e := range t.j.journal[at] {
		if !e.Time.Before(from) && !e.Time.After(to) {
			what := e.who()
			if e.call >= 0 {
				what = fmt.Sprintf("call %d, request %d", e.call, e.nth)
			}
			t.tell(e.Time, "    gateway: API %.8s %.12s: %s %.8s %q, by %s", e.APIID, e.EnvID, e.Action, e.VersionID, e.Remark, what)
		}
	}
	if gone, ok := t.j.world.deleted[at.api]; ok {
		t.tell(gone, "    gateway: API %.8s is deleted", at.api)
	}
}

func (t *teller) String() string {
	slices.SortStableFunc(t.lines, func(a, b line) int { return a.at.Compare(b.at) })
	var out strings.Builder
	for _, l := range t.lines {
		fmt.Fprintf(&out, "%14.6fs  %s\n", l.at.Sub(t.j.world.begun).Seconds(), l.text)
	}
	return out.String()
}

// request is what a call asks for.
func (r *running) request() string {
	var ids []string
	for _, id := range r.apiIDs[:min(len(r.apiIDs), 4)] {
		ids = append(ids, id[:8])
	}
	if len(r.apiIDs) > 4 {
		ids = append(ids, fmt.Sprintf("and %d more", len(r.apiIDs)-4))
	}
	s := fmt.Sprintf("APIs %s, environment %.12s, remark %q", strings.Join(ids, " "), r.world.envIDs[r.env], r.remark)
	if r.version != "" {
		s += fmt.Sprintf(", version %.8s", r.version)
	}
	return s
}

// String is what a request was and what was to happen to it.
func (s *sent) String() string {
	f := s.fate
	text := fmt.Sprintf("%s %.8s", s.kind, s.target)
	if len(s.apis) > 1 {
		text += fmt.Sprintf(" and %d more", len(s.apis)-1)
	}
	if f.kind == "" {
		return text
	}
	text += " meets " + f.kind
	if f.status != 0 {
		text += fmt.Sprintf(" (%d %s)", f.status, f.code)
	}
	if s.write && !f.decisive {
		text += [...]string{", never applied", ", applied", ", applied late"}[f.applies]
	}
	return text
}

// seen is what the client saw of a request.
func (s *sent) seen() string {
	if s.err != nil {
		return s.err.Error()
	}
	text := fmt.Sprint(s.status)
	if s.how != nil {
		text += ", then " + s.how.Error()
	}
	return text
}

func reported(record *apig.PublishRecord, is outcome, err error) string {
	if err != nil {
		return fmt.Sprintf("%v: %v", is, err)
	}
	text := fmt.Sprintf("%v", is)
	if record != nil && record.VersionID != "" {
		text += fmt.Sprintf(", version %.8s", record.VersionID)
	}
	if record != nil && record.Recovered {
		text += ", recovered"
	}
	return text
}

func (r *reading) String() string {
	if r.failed {
		return "nothing"
	}
	if r.versions == nil {
		return fmt.Sprintf("version %.8q in effect", r.current)
	}
	return fmt.Sprintf("%d versions", len(r.versions))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
