package main

import (
	"errors"
	"fmt"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// verdict is what is to be said of a report.
type verdict int

const (
	right verdict = iota
	wrong
	lost
	doubled
)

func (v verdict) String() string { return [...]string{"right", "wrong", "lost", "doubled"}[v] }

// judge compares the reports, which should be one for each API in the same
// order, with what the gateway has done.
func (r *result) judge(apis []string, missing map[string]bool, reports []report, journal []apigtest.Applied) {
	applied := map[string][]apigtest.Applied{}
	for _, a := range journal {
		applied[a.APIID] = append(applied[a.APIID], a)
	}
	for i, id := range apis {
		if i >= len(reports) || reports[i].apiID != id {
			r.blame(wrong, fmt.Sprintf("nothing is reported of API %s, number %d of %d", id, i, len(apis)))
			continue
		}
		report := reports[i]
		r.count[report.outcome]++
		if report.recovered {
			r.recovered++
		}
		if missing[id] && report.outcome == notApplied {
			r.missing++
		}
		v := report.judge(missing[id], applied[id])
		r.blame(v, fmt.Sprintf("%s: API %s: %+v, applied: %+v", v, id, report, applied[id]))
	}
	if len(reports) > len(apis) {
		r.blame(wrong, fmt.Sprintf("%d reports of %d APIs", len(reports), len(apis)))
	}
}

func (r *result) blame(v verdict, why string) {
	r.faults[v]++
	if v != right {
		r.why = append(r.why, why)
	}
}

// judge compares a report with what was applied to its API.
func (r report) judge(missing bool, applied []apigtest.Applied) verdict {
	switch {
	case len(applied) > 1:
		return doubled
	case r.outcome == done && len(applied) == 0, r.outcome == notApplied && len(applied) == 1:
		return lost
	case r.outcome == done && r.version != applied[0].VersionID:
		return wrong
	case r.outcome == notApplied && missing && !errors.Is(r.err, apig.ErrNotFound):
		return wrong
	}
	return right
}
