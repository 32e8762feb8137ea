package simulation

import (
	"fmt"
	"testing"
	"testing/synctest"
)

// inBubble runs a world in virtual time and judges it.
func inBubble(t *testing.T, p *plan) *judgment {
	var w *world
	leak := bubble(t, func() { w = run(p) })
	j := &judgment{world: &world{plan: p}}
	if w != nil {
		j = judge(w)
	}
	if leak != "" {
		j.findings = append(j.findings, finding{isLeak, -1, "", "", leak})
	}
	return j
}

// bubble runs do in a bubble, and returns what synctest says of goroutines that
// are left when do has returned, or that wait for each other.
func bubble(t *testing.T, do func()) (leak string) {
	defer func() {
		if r := recover(); r != nil {
			leak = fmt.Sprint(r)
		}
	}()
	synctest.Test(t, func(*testing.T) { do() })
	return ""
}
