package simulation

import (
	"strings"
	"testing"
)

// TestReplay runs worlds twice and compares, to the byte, the stories of all
// their calls and the gateway's journals. The requests' IDs, which the gateway
// throws in the order of arrival, are part of them.
func TestReplay(t *testing.T) {
	for _, s := range scenarios {
		for seed := range uint64(5) {
			p := newPlan(s, 1000+seed)
			first, second := everyStory(inBubble(t, p)), everyStory(inBubble(t, p))
			if first != second {
				a, b := strings.Split(first, "\n"), strings.Split(second, "\n")
				for i := range min(len(a), len(b)) {
					if a[i] != b[i] {
						t.Errorf("%s, seed %d: the second run differs:\n%s\n%s", s.name, 1000+seed, a[i], b[i])
						break
					}
				}
			}
		}
	}
}

func everyStory(j *judgment) string {
	var all strings.Builder
	for _, c := range j.world.plan.calls {
		all.WriteString(j.story(c.id))
	}
	for _, api := range j.world.apis {
		all.WriteString(j.orderStory(api))
	}
	return all.String()
}
