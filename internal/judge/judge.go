// Package judge compares what clients report of their calls with the journal of
// an apigtest.Gateway. All programs and tests below internal/ that break things
// on purpose use it, so that they mean the same by wrong, lost and doubled.
package judge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// Report is what a client says of one publish or offline of one API.
type Report struct {
	Publish   bool // or else an offline
	APIID     string
	EnvID     string
	Outcome   apig.Outcome
	VersionID string // of a publish that was applied
	Misfit    bool   // there is no record, or that of another API or environment
	Error     string

	// When the call began and ended, on the gateway's clock: an offline that
	// changed nothing is judged by what was in effect meanwhile.
	Start, End time.Time
}

// NewReport is the report of a client of this library.
func NewReport(publish bool, r apig.ActionRequest, rec *apig.PublishRecord, err error) Report {
	report := Report{Publish: publish, APIID: r.APIID, EnvID: r.EnvID, Outcome: apig.OutcomeOf(err)}
	switch {
	case err != nil:
		report.Error = err.Error()
	case rec == nil || rec.APIID != r.APIID || rec.EnvID != r.EnvID:
		report.Misfit = true
	default:
		report.VersionID = rec.VersionID
	}
	return report
}

// Verdict is what is bad about a report; several things may come together. That
// an outcome is reported as unknown is not bad by itself.
type Verdict struct {
	// Wrong is a report that is not true: applied, but it was not, or with a
	// version that another call made; or not applied, but it was, be it later.
	// An offline that changed nothing is rightly reported as applied if at some
	// time during the call the API was not in effect.
	Wrong bool

	// Lost is a wrong report of a publish that was applied and is reported as
	// not applied, or the other way round.
	Lost bool

	// Doubled is a call that was applied more than once.
	Doubled bool

	// Applied is how often the call was applied.
	Applied int
}

// Bad reports whether anything is.
func (v Verdict) Bad() bool { return v.Wrong || v.Lost || v.Doubled }

// String names what is bad, or says that the report is right.
func (v Verdict) String() string {
	var bad []string
	for _, b := range []struct {
		is   bool
		name string
	}{{v.Wrong, "wrong"}, {v.Lost, "lost"}, {v.Doubled, "doubled"}} {
		if b.is {
			bad = append(bad, b.name)
		}
	}
	if bad == nil {
		return "right"
	}
	return fmt.Sprintf("%s: applied %d times", strings.Join(bad, ", "), v.Applied)
}

// One judges a report. Of the journal, own is what its call has changed, and all
// holds at least everything that was done to its API.
func One(r Report, own, all []apigtest.Applied) Verdict {
	v := Verdict{Doubled: len(own) > 1, Applied: len(own)}
	switch r.Outcome {
	case apig.NotApplied:
		v.Wrong = len(own) > 0
		v.Lost = v.Wrong && r.Publish
	case apig.Applied:
		v.Lost = r.Publish && len(own) == 0
		v.Wrong = v.Lost || r.Misfit ||
			r.Publish && !made(own, r.VersionID) ||
			!r.Publish && len(own) == 0 && inEffectThroughout(r, all)
	}
	return v
}

func made(own []apigtest.Applied, versionID string) bool {
	return slices.ContainsFunc(own, func(a apigtest.Applied) bool { return a.VersionID == versionID })
}

// inEffectThroughout reports whether the API was in effect all the time from the
// start of the call to its end.
func inEffectThroughout(r Report, journal []apigtest.Applied) bool {
	in := false
	for _, a := range journal {
		if a.APIID != r.APIID || a.EnvID != r.EnvID {
			continue
		}
		if a.Time.After(r.End) {
			break
		}
		publishes := a.Action == apigtest.ActionOnline || a.Action == apigtest.ActionSwitch
		in = publishes && (in || a.Time.Before(r.Start))
	}
	return in
}

// All judges the reports by the whole journal, each under a key of its own; of
// tells the key of the report that a change belongs to. It returns the verdicts
// under the same keys, and the changes that belong to no report.
func All[K comparable](reports map[K]Report, journal []apigtest.Applied, of func(apigtest.Applied) K) (map[K]Verdict, []apigtest.Applied) {
	own := map[K][]apigtest.Applied{}
	ofAPI := map[string][]apigtest.Applied{}
	var strays []apigtest.Applied
	for _, a := range journal {
		ofAPI[a.APIID] = append(ofAPI[a.APIID], a)
		key := of(a)
		if _, reported := reports[key]; !reported {
			strays = append(strays, a)
			continue
		}
		own[key] = append(own[key], a)
	}
	verdicts := make(map[K]Verdict, len(reports))
	for key, r := range reports {
		verdicts[key] = One(r, own[key], ofAPI[r.APIID])
	}
	return verdicts, strays
}
