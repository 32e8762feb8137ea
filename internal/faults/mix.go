package main

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/apig-go/apig/apigtest"
)

// mix decides which requests are struck, and by what.
type mix struct {
	seed    uint64
	rate    float64
	waits   waits
	refused bool // the history

	made   map[origin]int // requests so far
	struck []int          // by kind
	expiry time.Time      // of the last token that was made to expire
}

// tokenLife is how long a token lives at least. A call renews its token once:
// two that expire one right after the other would end all calls under way.
const tokenLife = time.Second

// origin is where a request comes from. Requests of one origin follow each other,
// so that the n-th one meets the same fate in every run, whatever else its client
// asks for meanwhile.
type origin struct {
	call  int // 0: a token, which belongs to no call
	op    apigtest.Op
	apiID string // empty for a batch
}

func originOf(r *apigtest.Request) origin {
	if r.Op == apigtest.OpToken {
		return origin{op: r.Op}
	}
	return origin{callOf(r), r.Op, r.APIID}
}

// callOf is the call that a request belongs to, or 0.
func callOf(r *apigtest.Request) int {
	id, _ := strconv.Atoi(r.Header.Get(callHeader))
	return id
}

func newMix(seed uint64, rate float64, w waits, refused bool) *mix {
	return &mix{seed: seed, rate: rate, waits: w, refused: refused, made: map[origin]int{}, struck: make([]int, len(kinds))}
}

// strike is the gateway's source of faults. It is asked about one request at a
// time.
func (m *mix) strike(r *apigtest.Request) *apigtest.Fault {
	from := originOf(r)
	m.made[from]++
	n, rng := m.fate(r, from, m.made[from])
	if n < 0 {
		return nil
	}
	if kinds[n].expires {
		if time.Since(m.expiry) < tokenLife {
			return nil
		}
		m.expiry = time.Now()
	}
	m.struck[n]++
	f := kinds[n].make(draw{rng, m.waits, r})
	return &f
}

// fate is the kind of fault that strikes the n-th request of an origin, or -1,
// and the random numbers that decide the rest. It depends on nothing that has
// happened before.
func (m *mix) fate(r *apigtest.Request, from origin, n int) (int, *rand.Rand) {
	hash := fnv.New64a()
	fmt.Fprintf(hash, "%d %s %s %d", from.call, from.op, from.apiID, n)
	rng := rand.New(rand.NewPCG(m.seed, hash.Sum64()))
	if m.refused && isHistory(r) {
		return kindNamed(historyRefused), rng
	}
	if rng.Float64() >= m.rate {
		return -1, nil
	}
	total := 0.0
	for _, k := range kinds {
		if k.strikes(r) {
			total += k.weight
		}
	}
	pick := rng.Float64() * total
	for i, k := range kinds {
		if !k.strikes(r) {
			continue
		}
		if pick -= k.weight; pick < 0 {
			return i, rng
		}
	}
	return -1, nil
}

func (k kind) strikes(r *apigtest.Request) bool { return k.only == nil || k.only(r) }

func kindNamed(name string) int {
	for i, k := range kinds {
		if k.name == name {
			return i
		}
	}
	return -1
}
