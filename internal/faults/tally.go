package main

import (
	"fmt"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/internal/judge"
)

// tally counts what the reports of a run say, and what is bad about them.
type tally struct {
	publishes int
	offlines  int

	applied    int
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
	reasons []string // why changes were reported as not applied
	doubts  []string // and why as unknown
}

// finding is a report that is bad, or a change that nobody has reported.
type finding struct {
	key
	text  string
	trace []string
}

const findings = 5

// count judges the reports of a run. founded has the calls whose outcome may be
// unknown.
func count(reports []report, journal []apigtest.Applied, founded map[int]bool) tally {
	byKey := make(map[key]judge.Report, len(reports))
	for _, r := range reports {
		byKey[r.key()] = r.Report
	}
	verdicts, strays := judge.All(byKey, journal, keyOf)
	t := tally{strays: len(strays)}
	for _, r := range reports {
		v := verdicts[r.key()]
		t.add(r, v)
		if v.Bad() {
			t.find(r.key(), fmt.Sprintf("%v: %v", v, r))
		}
		if r.Outcome == apig.Unknown && !founded[r.Call] {
			t.unfounded++
			t.find(r.key(), fmt.Sprintf("unknown without a reason: %v", r))
		}
	}
	for _, a := range strays {
		t.find(keyOf(a), fmt.Sprintf("a change that nobody has reported: %s of API %s, version %s", a.Action, a.APIID, a.VersionID))
	}
	return t
}

func (t *tally) add(r report, v judge.Verdict) {
	plus := func(n *int, is bool) {
		if is {
			*n++
		}
	}
	plus(&t.publishes, r.Publish)
	plus(&t.offlines, !r.Publish)
	plus(&t.wrong, v.Wrong)
	plus(&t.lost, v.Lost)
	plus(&t.doubled, v.Doubled)
	switch r.Outcome {
	case apig.Applied:
		t.applied++
		plus(&t.recovered, r.Recovered)
	case apig.NotApplied:
		t.notApplied++
		if len(t.reasons) < findings {
			t.reasons = append(t.reasons, r.Error)
		}
	case apig.Unknown:
		t.unknown++
		plus(&t.settled, v.Applied > 0)
		if len(t.doubts) < findings {
			t.doubts = append(t.doubts, r.Error)
		}
	}
}

func (t *tally) find(k key, text string) {
	if len(t.bad) < findings {
		t.bad = append(t.bad, finding{key: k, text: text})
	}
}
