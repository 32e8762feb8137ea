package main

import "math/rand/v2"

// The remark of all publishes. It is the same for all, as in a pipeline that
// publishes one release everywhere: nothing tells one call's version from
// another's by its remark.
const remark = "release 1.4.2"

// call is one publish or offline that a client is to make.
type call struct {
	ID      int // from 1
	Publish bool
	APIID   string
}

// step is what happens to an API at one time: a call, or two publishes that
// begin together.
type step []call

// script is everything that happens to one API, step by step. An API goes
// offline only where the step before published it, so that a client which
// works never has a reason to be told that there is nothing to take offline.
type script []step

// Shares of the calls and steps of a plan.
const (
	offlineShare = 0.18 // of the calls that may be one, which makes about 15 % of all
	pairShare    = 0.10 // of the publishes that are followed by another
)

// newPlan deals n calls out to the APIs.
func newPlan(seed uint64, n int, apis []string, offlines bool) []script {
	rng := rand.New(rand.NewPCG(seed, 0))
	var plan []script
	for i, api := range apis {
		var s script
		for k := i; k < n; k += len(apis) {
			c := call{ID: k + 1, Publish: true, APIID: api}
			var before step
			if len(s) > 0 {
				before = s[len(s)-1]
			}
			switch published := before != nil && before[0].Publish; {
			case offlines && published && rng.Float64() < offlineShare:
				c.Publish = false
				s = append(s, step{c})
			case published && len(before) == 1 && rng.Float64() < pairShare:
				s[len(s)-1] = append(before, c)
			default:
				s = append(s, step{c})
			}
		}
		if s != nil {
			plan = append(plan, s)
		}
	}
	return plan
}
