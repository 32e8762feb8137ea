package simulation

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/apig-go/apig"
)

// quiet is a world in which nothing goes wrong: two calls of each of two APIs.
func quiet(t *testing.T) *world {
	p := &plan{scenario: "quiet", seed: 1, apis: 2, groups: []int{0, 0}, envs: 1, history: 3, lifetime: time.Hour,
		processes: []process{{workers: 1}}}
	p.calls = []call{
		{id: 0, op: opPublish, apis: []int{0}, remark: "one", after: time.Minute},
		{id: 1, op: opPublish, apis: []int{1}, remark: "two", after: time.Minute},
		{id: 2, op: opOffline, apis: []int{0}, after: time.Minute},
		{id: 3, op: opPublished, apis: []int{0}, after: time.Minute},
		{id: 4, op: opPublish, apis: []int{0}, remark: "three", after: time.Minute},
		{id: 5, op: opPublished, apis: []int{0}, after: time.Minute},
	}
	j := inBubble(t, p)
	if len(j.findings) > 0 {
		t.Fatalf("nothing was to go wrong: %v", j.findings)
	}
	return j.world
}

// TestJudge falsifies one report at a time, and expects the judge to see it.
func TestJudge(t *testing.T) {
	failed := errors.New("not applied")
	for _, test := range []struct {
		name    string
		want    verdict
		falsify func(w *world)
	}{
		{"applied, and says it was not", isWrong, func(w *world) {
			w.calls[0].reports[0].record, w.calls[0].reports[0].err = nil, failed
		}},
		{"the version of another call", isWrong, func(w *world) {
			w.calls[0].reports[0].record = w.calls[4].reports[0].record
		}},
		{"a version that does not exist", isLost, func(w *world) {
			w.calls[0].reports[0].record = &apig.PublishRecord{VersionID: "none"}
		}},
		{"another remark than the gateway holds", isLost, func(w *world) {
			record := *w.calls[0].reports[0].record
			record.Remark = "another"
			w.calls[0].reports[0].record = &record
		}},
		{"offline, of an API that is not", isLost, func(w *world) {
			w.calls[1].op, w.calls[1].reports[0].record = opOffline, &apig.PublishRecord{}
			w.calls[1].start = w.calls[1].end
		}},
		{"reported before it is applied", isLate, func(w *world) {
			w.calls[2].reports[0].at = w.calls[2].start
		}},
		{"unknown without a reason", isUnfounded, func(w *world) {
			w.calls[0].reports[0].was, w.calls[0].reports[0].err = apig.Unknown, apig.ErrOutcomeUnknown
		}},
		{"longer than its context", isHang, func(w *world) {
			w.calls[0].canceled = w.calls[0].end.Add(-1)
		}},
		{"longer than any call may take", isHang, func(w *world) {
			w.calls[5].end = w.calls[5].end.Add(time.Hour)
		}},
		{"a read of what was not in effect", isMisread, func(w *world) {
			w.calls[5].read = map[string]bool{w.calls[0].reports[0].record.VersionID: true}
		}},
		{"a read of what was offline", isMisread, func(w *world) {
			w.calls[3].read = map[string]bool{w.calls[0].reports[0].record.VersionID: true}
		}},
		{"two versions by one call", isDoubled, func(w *world) {
			again(w, 0)
		}},
		{"a repetition over what somebody else has done", isUndid, func(w *world) {
			again(w, 0)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := quiet(t)
			test.falsify(w)
			if j := judge(w); !slices.ContainsFunc(j.findings, func(f finding) bool { return f.verdict == test.want }) {
				t.Errorf("the judge has not found that it is %s: %v", test.want, j.findings)
			}
		})
	}
}

// again makes the last publication of the world one of an earlier call.
func again(w *world, id int) {
	for _, s := range w.calls[4].sent {
		s.running, s.nth = w.calls[id], s.nth+1
	}
}
