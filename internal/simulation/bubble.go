package simulation

import (
	"fmt"
	"testing"
	"testing/synctest"
)

// inBubble runs a world in virtual time and judges it.
func inBubble(t *testing.T, p *plan) *judgment {
	var w *world
	if leak := bubble(t, func() { w = run(p) }); leak != "" {
		if w == nil {
			return &judgment{world: &world{plan: p}, findings: []finding{{isLeak, -1, "", "", leak}}}
		}
		j := judge(w)
		j.findings = append(j.findings, finding{isLeak, -1, "", "", leak})
		return j
	}
	return judge(w)
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
