package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/apig-go/apig/apigtest"
)

// verdict is what the journal says about the reports. See the package's
// documentation for what is wrong, lost, doubled and unfounded.
type verdict struct {
	publishes int
	offlines  int

	done       int
	recovered  int // of them, from the history
	notApplied int
	unknown    int
	settled    int // of the unknown: applied after all

	wrong     int
	lost      int
	doubled   int
	unfounded int
	strays    int // changes that belong to no report

	// The first few, to look into.
	bad     []finding
	reasons []string // why calls were not applied
}

// finding is a call that was judged bad.
type finding struct {
	call  int
	text  string
	trace []string
}

const findings = 5

// judge compares what a client reported with what the gateway has done.
// founded has the calls whose outcome may be unknown.
func judge(reports []report, journal []apigtest.Applied, founded map[int]bool) verdict {
	changes := map[int][]apigtest.Applied{} // by call
	for _, a := range journal {
		changes[callOf(a)] = append(changes[callOf(a)], a)
	}
	effect := timesInEffect(journal)
	var v verdict
	for _, r := range reports {
		own := changes[r.Call.ID]
		delete(changes, r.Call.ID)
		v.count(r, len(own) > 0)
		find := func(count *int, what string) {
			*count++
			v.add(r, own, what)
		}
		if len(own) > 1 {
			find(&v.doubled, "doubled")
		}
		switch {
		case r.Outcome == unknown && !founded[r.Call.ID]:
			find(&v.unfounded, "unknown without a reason")
		case r.Outcome == notApplied && len(own) > 0,
			r.Outcome == done && len(own) == 0 && r.Call.Publish:
			find(&v.wrong, "wrong")
			if r.Call.Publish {
				v.lost++
			}
		case r.Outcome == done && len(own) == 0 && effect.throughout(r.Call.APIID, r.Start, r.End):
			find(&v.wrong, "wrong: still in effect")
		case r.Outcome == done && r.Call.Publish && !made(own, r.VersionID):
			find(&v.wrong, "wrong: another call's version")
		}
	}
	for id, own := range changes {
		v.strays += len(own)
		v.add(report{Call: call{ID: id}}, own, "stray")
	}
	return v
}

func (v *verdict) count(r report, applied bool) {
	if r.Call.Publish {
		v.publishes++
	} else {
		v.offlines++
	}
	switch r.Outcome {
	case done:
		v.done++
		if r.Recovered {
			v.recovered++
		}
	case notApplied:
		v.notApplied++
		if len(v.reasons) < findings {
			v.reasons = append(v.reasons, r.Error)
		}
	case unknown:
		v.unknown++
		if applied {
			v.settled++
		}
	}
}

func (v *verdict) add(r report, own []apigtest.Applied, what string) {
	if len(v.bad) == findings {
		return
	}
	v.bad = append(v.bad, finding{call: r.Call.ID, text: fmt.Sprintf(
		"%s: %+v was reported %s, version %q, recovered %v, error %q; it was applied %d times",
		what, r.Call, r.Outcome, r.VersionID, r.Recovered, r.Error, len(own))})
}

func made(own []apigtest.Applied, versionID string) bool {
	return slices.ContainsFunc(own, func(a apigtest.Applied) bool { return a.VersionID == versionID })
}

// callOf is the call that made a change, or 0.
func callOf(a apigtest.Applied) int {
	if a.Request == nil {
		return 0
	}
	id, _ := strconv.Atoi(a.Request.Header.Get(callHeader))
	return id
}

// history knows, for each API, when it was published and when it was not.
type history map[string][]apigtest.Applied

func timesInEffect(journal []apigtest.Applied) history {
	h := history{}
	for _, a := range journal {
		h[a.APIID] = append(h[a.APIID], a)
	}
	return h
}

// throughout reports whether the API was in effect all the time from start to
// end.
func (h history) throughout(apiID string, start, end time.Time) bool {
	in := false
	for _, a := range h[apiID] {
		if a.Time.After(end) {
			break
		}
		in = a.Op == "online" && (in || a.Time.Before(start))
	}
	return in
}
