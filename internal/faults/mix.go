package main

import (
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

// origin is where a request comes from. The publish requests of a call are
// counted apart, so that the n-th one meets the same fate whatever else its
// client asks for in between.
type origin struct {
	call int // 0: a token, which belongs to no call
	op   uint64
}

const (
	fromToken uint64 = iota
	fromAction
	fromOther
)

func originOf(r *apigtest.Request) origin {
	call, _ := strconv.Atoi(r.Header.Get(callHeader))
	switch r.Op {
	case apigtest.OpToken:
		return origin{0, fromToken}
	case apigtest.OpAction:
		return origin{call, fromAction}
	}
	return origin{call, fromOther}
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
	f := kinds[n].make(rng, m.waits)
	return &f
}

// fate is the kind of fault that strikes the n-th request of an origin, or -1,
// and the random numbers that decide the rest. It depends on nothing that has
// happened before.
func (m *mix) fate(r *apigtest.Request, from origin, n int) (int, *rand.Rand) {
	if m.refused && r.Op == apigtest.OpHistory {
		return len(kinds) - 1, nil
	}
	rng := rand.New(rand.NewPCG(m.seed, uint64(from.call)<<32|from.op<<24|uint64(n)))
	if rng.Float64() >= m.rate {
		return -1, nil
	}
	total := 0.0
	for _, k := range kinds {
		if k.only == nil || k.only(r) {
			total += k.weight
		}
	}
	pick := rng.Float64() * total
	for i, k := range kinds {
		if k.only != nil && !k.only(r) {
			continue
		}
		if pick -= k.weight; pick < 0 {
			return i, rng
		}
	}
	return -1, nil
}
