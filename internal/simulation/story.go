package simulation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apig-go/apig"
)

// story tells, in the order of time, what a call did and what happened to its APIs
// meanwhile. Times count from the beginning of the world.
func (j *judgment) story(id int) string {
	r := j.world.calls[id]
	if r == nil || r.start.IsZero() {
		return fmt.Sprintf("call %d was not made\n", id)
	}
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	tell := func(at time.Time, format string, args ...any) {
		lines = append(lines, line{at, fmt.Sprintf(format, args...)})
	}
	tell(r.start, "call %d, process %d, %s, deadline %v, canceled after %v: APIs %.8s, environment %.12s, remark %q, version %.8s",
		r.id, r.process, r.op, r.deadline, r.cancel, r.apiIDs, j.env(r), r.remark, r.version)
	for _, s := range r.sent {
		tell(s.start, "  request %d: %s", s.n, s)
		if !s.delivered.IsZero() {
			tell(s.delivered, "  request %d reaches the gateway", s.n)
		}
		tell(s.end, "  request %d: %d, %v, %v", s.n, s.status, s.err, s.how)
	}
	if r.op.reads() {
		tell(r.end, "has read: %v", r.read)
	}
	if r.whole != nil {
		tell(r.end, "reports: %v: %v", apig.OutcomeOf(r.whole), r.whole)
	}
	apis, last := j.interesting(r), r.end
	for _, report := range r.reports {
		if report.at.After(last) {
			last = report.at
		}
		if !slices.Contains(apis, report.api) {
			continue
		}
		tell(r.end, "reports of API %.8s: %v", report.api, report.was)
		tell(report.at, "in the end, of API %.8s: %v: %s, %v", report.api, apig.OutcomeOf(report.err), recorded(report.record), report.err)
	}
	for _, f := range j.findings {
		if f.call == id {
			tell(last, "%v", f)
		}
	}
	for _, api := range apis {
		for _, e := range j.journal[place{api, j.env(r)}] {
			if e.Time.After(r.start.Add(-2*time.Minute)) && e.Time.Before(last.Add(2*time.Minute)) {
				tell(e.Time, "    gateway: API %.8s: %s %.8s %q, by %s", e.APIID, e.Action, e.VersionID, e.Remark, e.who())
			}
		}
		if gone, ok := j.world.deleted[api]; ok {
			tell(gone, "    gateway: API %.8s is deleted", api)
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return a.at.Compare(b.at) })
	var out strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&out, "%14.6fs  %s\n", l.at.Sub(j.world.begun).Seconds(), l.text)
	}
	return out.String()
}

// interesting are the APIs of a call of which something is wrong, or else the first few.
func (j *judgment) interesting(r *running) (apis []string) {
	for _, f := range j.findings {
		if f.call == r.id && f.api != "" && !slices.Contains(apis, f.api) {
			apis = append(apis, f.api)
		}
	}
	if len(apis) > 0 {
		return apis
	}
	for _, id := range r.apiIDs[:min(len(r.apiIDs), 3)] {
		apis = append(apis, strings.ToLower(id))
	}
	return apis
}

// String is what a request was and what was to happen to it.
func (s *sent) String() string {
	f := s.fate
	text := fmt.Sprintf("%s %.8s", s.kind, s.target)
	if len(s.apis) > 1 {
		text += fmt.Sprintf(" and %d more", len(s.apis)-1)
	}
	if f.kind != "" {
		text += fmt.Sprintf(" meets %s (%d %s)", f.kind, f.status, f.code)
	}
	if f.kind != "" && s.write && !f.decisive {
		text += [...]string{", never applied", ", applied", ", applied late"}[f.applies]
	}
	return text
}

func recorded(r *apig.PublishRecord) string {
	if r == nil {
		return "no record"
	}
	return fmt.Sprintf("version %.8s, recovered %v, replayed %v", r.VersionID, r.Recovered, r.Replayed)
}
