package judge

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

func at(second int) time.Time { return time.Unix(int64(second), 0) }

// change is one of call n to the API a.
func change(n int, action apigtest.Action, second int) apigtest.Applied {
	return apigtest.Applied{Seq: n, APIID: "a", EnvID: "e", Action: action, Time: at(second), VersionID: fmt.Sprint("v", n)}
}

func callOf(a apigtest.Applied) int { return a.Seq }

// The reports are of call 1, from second 10 to second 20.
func TestReports(t *testing.T) {
	publish := func(o apig.Outcome) Report { return Report{Publish: true, Outcome: o} }
	offline := func(o apig.Outcome) Report { return Report{Outcome: o} }
	online := func(n, second int) apigtest.Applied { return change(n, apigtest.ActionOnline, second) }
	took := func(n, second int) apigtest.Applied { return change(n, apigtest.ActionOffline, second) }
	type journal = []apigtest.Applied
	right := Verdict{}
	wrong := Verdict{Wrong: true}
	lost := Verdict{Wrong: true, Lost: true}
	doubled := Verdict{Doubled: true}
	for name, test := range map[string]struct {
		report  Report
		version string
		journal journal
		want    Verdict
	}{
		"a publish":                                        {publish(apig.Applied), "v1", journal{online(1, 15)}, right},
		"a publish that came to nothing":                   {publish(apig.Applied), "v1", nil, lost},
		"a publish with another call's version":            {publish(apig.Applied), "v2", journal{online(2, 14), online(1, 15)}, wrong},
		"a publish without a version":                      {publish(apig.Applied), "", journal{online(1, 15)}, wrong},
		"a publish that was made twice":                    {publish(apig.Applied), "v1", journal{online(1, 15), online(1, 16)}, doubled},
		"a publish that was not applied":                   {publish(apig.NotApplied), "", nil, right},
		"not applied, but it was":                          {publish(apig.NotApplied), "", journal{online(1, 15)}, lost},
		"not applied, but it was later":                    {publish(apig.NotApplied), "", journal{online(1, 30)}, lost},
		"unknown, and applied":                             {publish(apig.Unknown), "", journal{online(1, 15)}, right},
		"unknown, and not applied":                         {publish(apig.Unknown), "", nil, right},
		"unknown, and applied twice":                       {publish(apig.Unknown), "", journal{online(1, 15), online(1, 30)}, doubled},
		"an offline":                                       {offline(apig.Applied), "", journal{online(2, 5), took(1, 15)}, right},
		"not taken offline, but it was later":              {offline(apig.NotApplied), "", journal{online(2, 5), took(1, 30)}, wrong},
		"taken offline, never published":                   {offline(apig.Applied), "", nil, right},
		"taken offline, but in effect":                     {offline(apig.Applied), "", journal{online(2, 5)}, wrong},
		"taken offline, but switched to":                   {offline(apig.Applied), "", journal{online(2, 5), change(3, apigtest.ActionSwitch, 12)}, wrong},
		"taken offline, and published later in the call":   {offline(apig.Applied), "", journal{online(2, 15)}, right},
		"taken offline, and published afterwards":          {offline(apig.Applied), "", journal{online(2, 25)}, right},
		"taken offline by another call before":             {offline(apig.Applied), "", journal{online(2, 4), took(3, 6)}, right},
		"taken offline by another call meanwhile":          {offline(apig.Applied), "", journal{online(2, 5), took(3, 12), online(4, 14)}, right},
		"taken offline by another call afterwards":         {offline(apig.Applied), "", journal{online(2, 5), took(3, 25)}, wrong},
		"taken offline, one version, by a call before":     {offline(apig.Applied), "", journal{online(2, 4), change(3, apigtest.ActionOfflineVersion, 6)}, right},
		"the record is another API's, though it went well": {Report{Outcome: apig.Applied, Misfit: true}, "", journal{online(2, 5), took(1, 15)}, wrong},
	} {
		t.Run(name, func(t *testing.T) {
			r := test.report
			r.APIID, r.EnvID, r.VersionID, r.Start, r.End = "a", "e", test.version, at(10), at(20)
			// What happens to others must not matter.
			elsewhere := journal{
				{APIID: "b", EnvID: "e", Action: apigtest.ActionOnline, Time: at(1)},
				{APIID: "a", EnvID: "f", Action: apigtest.ActionOnline, Time: at(1)},
			}
			verdicts, _ := All(map[int]Report{1: r}, append(elsewhere, test.journal...), callOf)
			got := verdicts[1]
			test.want.Applied = got.Applied
			assert.Equal(t, test.want, got)
			assert.Equal(t, test.want != Verdict{Applied: got.Applied}, got.Bad())
		})
	}
}

func TestStrays(t *testing.T) {
	journal := []apigtest.Applied{change(1, apigtest.ActionOnline, 1), change(2, apigtest.ActionOnline, 2)}
	r := Report{Publish: true, APIID: "a", EnvID: "e", Outcome: apig.Applied, VersionID: "v1"}
	verdicts, strays := All(map[int]Report{1: r}, journal, callOf)
	assert.Equal(t, map[int]Verdict{1: {Applied: 1}}, verdicts)
	assert.Equal(t, journal[1:], strays)
}

func TestNewReport(t *testing.T) {
	r := apig.ActionRequest{APIID: "a", EnvID: "e"}
	record := &apig.PublishRecord{APIID: "a", EnvID: "e", VersionID: "v"}
	base := Report{Publish: true, APIID: "a", EnvID: "e"}
	with := func(change func(*Report)) Report { r := base; change(&r); return r }
	for name, test := range map[string]struct {
		record *apig.PublishRecord
		err    error
		want   Report
	}{
		"applied":             {record, nil, with(func(r *Report) { r.Outcome, r.VersionID = apig.Applied, "v" })},
		"no record":           {nil, nil, with(func(r *Report) { r.Outcome, r.Misfit = apig.Applied, true })},
		"another API's":       {&apig.PublishRecord{APIID: "b", EnvID: "e"}, nil, with(func(r *Report) { r.Outcome, r.Misfit = apig.Applied, true })},
		"another environment": {&apig.PublishRecord{APIID: "a", EnvID: "f"}, nil, with(func(r *Report) { r.Outcome, r.Misfit = apig.Applied, true })},
		"not applied":         {nil, errors.New("no"), with(func(r *Report) { r.Outcome, r.Error = apig.NotApplied, "no" })},
		"unknown": {nil, apig.ErrOutcomeUnknown,
			with(func(r *Report) { r.Outcome, r.Error = apig.Unknown, apig.ErrOutcomeUnknown.Error() })},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, NewReport(true, r, test.record, test.err)) })
	}
}

func TestVerdictString(t *testing.T) {
	assert.Equal(t, "right", Verdict{Applied: 1}.String())
	assert.Equal(t, "wrong, lost: applied 0 times", Verdict{Wrong: true, Lost: true}.String())
	assert.Equal(t, "doubled: applied 2 times", Verdict{Doubled: true, Applied: 2}.String())
}
