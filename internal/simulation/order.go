package simulation

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/apig-go/apig/apigtest"
)

// state is what is in effect in a place, and the versions that are kept there,
// newest first.
type state struct {
	current string
	kept    []string
}

// step is one operation on a place, as those who made it can know it.
type step struct {
	what    string // online, offline, switch, gone, holds, lacks, current, versions
	version string
	list    []string // of versions, with a + before the one in effect, sorted
}

// next is the state after a step, and whether the step is possible at all.
func (s state) next(t step) (bool, state) {
	switch t.what {
	case "online":
		kept := append([]string{t.version}, s.kept...)
		return true, state{t.version, kept[:min(len(kept), 10)]}
	case "offline":
		return s.current != "", state{"", s.kept}
	case "switch":
		return slices.Contains(s.kept, t.version), state{t.version, s.kept}
	case "gone":
		return true, state{}
	case "holds", "current":
		return s.current == t.version, s
	case "lacks":
		return s.current != t.version, s
	}
	return slices.Equal(s.list(), t.list), s
}

func (s state) list() []string {
	var list []string
	for _, v := range s.kept {
		if v == s.current {
			v = "+" + v
		}
		list = append(list, v)
	}
	slices.Sort(list)
	return list
}

// model is a place of the gateway for porcupine.
func model(initial state) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return initial },
		Step: func(s, input, _ any) (bool, any) {
			ok, next := s.(state).next(input.(step))
			return ok, next
		},
		Equal: func(a, b any) bool {
			x, y := a.(state), b.(state)
			return x.current == y.current && slices.Equal(x.kept, y.kept)
		},
		DescribeOperation: func(input, _ any) string { return fmt.Sprint(input) },
	}
}

// open is the end of an operation that was reported as unknown.
const open = math.MaxInt64

// judgeOrder asks whether the calls of each place, with what they have reported
// and read, can have happened one after the other, each at one moment between
// its beginning and its report. A place where a report is wrong already is left
// out: the order adds what no report shows on its own.
func (j *judgment) judgeOrder() {
	flawed := map[string]bool{}
	for _, f := range j.findings {
		flawed[f.api] = true
	}
	if len(j.excused) > 0 {
		return
	}
	for _, api := range j.world.apis {
		for _, env := range j.world.envIDs {
			if flawed[api] {
				continue
			}
			at := place{api, env}
			initial, operations := j.operations(at)
			if porcupine.CheckOperationsTimeout(model(initial), operations, 5*time.Second) == porcupine.Illegal {
				j.findings = append(j.findings, finding{isOrder, -1, "", api, "no order of the calls explains what they report and read in " + env})
			}
		}
	}
}

// operations are what happened in a place, as those who did it know it, and
// what was there before.
func (j *judgment) operations(at place) (state, []porcupine.Operation) {
	var (
		initial state
		all     []porcupine.Operation
		w       = j.world
		since   = func(t time.Time) int64 { return int64(t.Sub(w.begun)) }
		add     = func(id int, from, to int64, s step) {
			all = append(all, porcupine.Operation{ClientId: id, Input: s, Call: from, Return: to})
		}
		own = map[int]bool{}
	)
	for _, e := range j.journal[at] {
		s := step{what: string(e.Action), version: e.VersionID}
		if e.Action == apigtest.ActionOfflineVersion {
			s.what = "offline"
		}
		switch {
		case e.call >= 0:
			r, to := w.calls[e.call], int64(open)
			own[e.call] = true
			if report := r.about(at.api); report != nil && outcomeOf(report.err) != unknown {
				to = since(report.at)
			}
			add(e.call, since(r.start), to, s)
		case e.deed:
			add(len(all)+1000, since(e.Time), since(e.Time), s)
		default:
			_, initial = initial.next(s)
		}
	}
	if gone, ok := w.deleted[at.api]; ok {
		add(len(all)+1000, since(gone), since(gone), step{what: "gone"})
	}
	for _, c := range w.plan.calls {
		r := w.calls[c.id]
		if j.env(r) != at.env || r.end.IsZero() {
			continue
		}
		if r.read != nil {
			if s, ok := r.step(); ok && strings.ToLower(r.apiIDs[0]) == at.api {
				add(r.id, since(r.start), since(r.end), s)
			}
			continue
		}
		report := r.about(at.api)
		if own[r.id] || report == nil || outcomeOf(report.err) != applied {
			continue
		}
		s := step{what: "holds"} // nothing
		switch r.op {
		case opSwitch, opRollback:
			s.version = strings.ToLower(r.version)
		case opOfflineVersion:
			s = step{"lacks", strings.ToLower(r.version), nil}
		}
		add(r.id, since(r.start), since(report.at), s)
	}
	return initial, all
}

// about is what a call reports of an API, or nil.
func (r *running) about(api string) *report {
	for i := range r.reports {
		if r.reports[i].api == api {
			return &r.reports[i]
		}
	}
	return nil
}

// step is what a call has read. What it was told by an answer that was edited
// does not count.
func (r *running) step() (step, bool) {
	if r.read.failed || slices.ContainsFunc(r.sent, func(s *sent) bool { return s.fate.edit != nil }) {
		return step{}, false
	}
	if r.op == opPublished {
		return step{what: "current", version: r.read.current}, true
	}
	s := step{what: "versions"}
	for _, v := range r.read.versions {
		id := strings.ToLower(v.ID)
		if v.InEffect() {
			id = "+" + id
		}
		s.list = append(s.list, id)
	}
	slices.Sort(s.list)
	return s, true
}
