package main

import (
	"math/rand/v2"

	"github.com/apig-go/apig/apigtest"
)

// The remark of all publishes. It is the same for all, as in a pipeline that
// publishes one release everywhere: nothing tells one call's version from
// another's by its remark.
const remark = "release 1.4.2"

// call is one publish or offline that a client is to make, of one API or of a
// batch of them.
type call struct {
	ID      int // from 1
	Publish bool
	APIIDs  []string
}

// step is what happens to a set of APIs at one time: a call, or two publishes
// that begin together.
type step []call

// script is everything that happens to a set of APIs, step by step. They go
// offline only where the step before published them, so that a client which
// works rarely has a reason to be told that there is nothing to take offline.
type script []step

// Shares of the calls and steps of a plan.
const (
	offlineShare = 0.18 // of the calls that may be one, which makes about 15 % of all
	pairShare    = 0.10 // of the publishes that are followed by another
)

// newPlan deals n changes of single APIs out to the sets of APIs: each call is
// one of all APIs of a set. The last call may be of some of them only.
func newPlan(seed uint64, n int, sets [][]string, offlines bool) []script {
	rng := rand.New(rand.NewPCG(seed, 0))
	plan := make([]script, len(sets))
	for id := 1; n > 0; id++ {
		i := (id - 1) % len(sets)
		apis := sets[i][:min(n, len(sets[i]))]
		n -= len(apis)
		plan[i] = plan[i].with(call{ID: id, Publish: true, APIIDs: apis}, rng, offlines)
	}
	for len(plan) > 0 && plan[len(plan)-1] == nil { // more sets than calls
		plan = plan[:len(plan)-1]
	}
	return plan
}

// with adds a publish, or makes it an offline, or lets it begin together with
// the one before.
func (s script) with(c call, rng *rand.Rand, offlines bool) script {
	var before step
	if len(s) > 0 {
		before = s[len(s)-1]
	}
	published := before != nil && before[0].Publish
	switch {
	case offlines && published && rng.Float64() < offlineShare:
		c.Publish = false
	case published && len(before) == 1 && rng.Float64() < pairShare:
		s[len(s)-1] = append(before, c)
		return s
	}
	return append(s, step{c})
}

// oneEach makes a set of each API.
func oneEach(apis []string) [][]string {
	return split(apis, func() int { return 1 })
}

// batches makes sets of 1 to most APIs.
func batches(seed uint64, apis []string, most int) [][]string {
	rng := rand.New(rand.NewPCG(seed, 1))
	return split(apis, func() int { return 1 + rng.IntN(most) })
}

func split(apis []string, size func() int) [][]string {
	var sets [][]string
	for len(apis) > 0 {
		n := min(size(), len(apis))
		sets = append(sets, apis[:n])
		apis = apis[n:]
	}
	return sets
}

// key is one API of a call: what a report is about.
type key struct {
	call  int
	apiID string
}

// keyOf is what a change belongs to; of call 0 if of none.
func keyOf(a apigtest.Applied) key {
	if a.Request == nil {
		return key{0, a.APIID}
	}
	return key{callOf(a.Request), a.APIID}
}
