package simulation

import (
	"fmt"
	"strings"
	"testing"
)

// TestReplay runs worlds again and compares, to the byte, the stories of all their
// calls and the gateway's journals. Requests that wait for the same instant, as those
// that the service throttles or the histories of a batch, go on in an order of chance:
// the worlds here have one worker and few APIs, and two of a few runs have to be the
// same. In limits and outages so many requests wait together that this takes too many
// runs.
func TestReplay(t *testing.T) {
	for _, s := range scenarios {
		switch s.name {
		case "pages": // they are long, and nothing in them is of their own
			continue
		case "limits", "outages":
			continue
		}
		s.processes, s.workers, s.apis = [2]int{1, 1}, [2]int{1, 1}, [2]int{1, 4}
		for seed := uint64(1000); seed < 1002; seed++ {
			p := newPlan(s, seed)
			told := map[string]bool{}
			same := false
			for n := 0; n < 20 && !same; n++ {
				story := everyStory(inBubble(t, p))
				same, told[story] = told[story], true
			}
			if !same {
				t.Errorf("%s, seed %d: no two runs are the same", s.name, seed)
			}
		}
	}
}

func everyStory(j *judgment) string {
	var all strings.Builder
	for _, c := range j.world.plan.calls {
		all.WriteString(j.story(c.id))
	}
	for _, a := range j.world.gateway.Journal() {
		fmt.Fprintln(&all, a.Seq, a.Time, a.Action, a.APIID, a.EnvID, a.VersionID, a.Remark)
	}
	return all.String()
}
