package main

import (
	"errors"
	"slices"
	"testing"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	notFound := &apig.APIGError{StatusCode: 200, Code: apig.CodeAPINotFound}
	tests := map[string]struct {
		report  report
		missing bool
		applied []string // versions
		want    verdict
	}{
		"done":                         {report{outcome: done, version: "a"}, false, []string{"a"}, right},
		"done with another's version":  {report{outcome: done, version: "b"}, false, []string{"a"}, wrong},
		"done with no version":         {report{outcome: done}, false, []string{"a"}, wrong},
		"done, never applied":          {report{outcome: done, version: "a"}, false, nil, lost},
		"done twice":                   {report{outcome: done, version: "b"}, false, []string{"a", "b"}, doubled},
		"not applied":                  {report{outcome: notApplied, err: errors.New("no")}, false, nil, right},
		"not applied, but it was":      {report{outcome: notApplied, err: errors.New("no")}, false, []string{"a"}, lost},
		"unknown, applied":             {report{outcome: unknown}, false, []string{"a"}, right},
		"unknown, not applied":         {report{outcome: unknown}, false, nil, right},
		"unknown, applied twice":       {report{outcome: unknown}, false, []string{"a", "b"}, doubled},
		"it does not exist":            {report{outcome: notApplied, err: notFound}, true, nil, right},
		"it does not exist, it says":   {report{outcome: notApplied, err: errors.New("no")}, true, nil, wrong},
		"done, though it is not there": {report{outcome: done, version: "a"}, true, nil, lost},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var applied []apigtest.Applied
			for _, v := range tt.applied {
				applied = append(applied, apigtest.Applied{VersionID: v})
			}
			if got := tt.report.judge(tt.missing, applied); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestJudgeAll(t *testing.T) {
	t.Parallel()
	apis := []string{"a", "b"}
	a, b := report{apiID: "a", outcome: notApplied}, report{apiID: "b", outcome: unknown}
	for name, tt := range map[string]struct {
		reports []report
		wrong   int
	}{
		"as they should be": {[]report{a, b}, 0},
		"one is missing":    {[]report{a}, 1},
		"none at all":       {nil, 2},
		"another order":     {[]report{b, a}, 2},
		"one too many":      {[]report{a, b, b}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newResult("")
			r.judge(apis, nil, slices.Clone(tt.reports), nil)
			if r.faults[wrong] != tt.wrong || len(r.why) != tt.wrong {
				t.Errorf("%d wrong, %q, want %d", r.faults[wrong], r.why, tt.wrong)
			}
		})
	}
}
