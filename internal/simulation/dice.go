package simulation

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// dice is a source of chance. Each part of a world has dice of its own, thrown
// from the seed and from what the part is, never from what happened before it:
// so leaving out one call does not change what strikes another, and the order in
// which goroutines run decides nothing.
type dice struct{ *rand.Rand }

func newDice(seed uint64, of ...any) dice {
	h := fnv.New64a()
	fmt.Fprintln(h, of...)
	return dice{rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// chance is true with the probability p.
func (d dice) chance(p float64) bool { return d.Float64() < p }

// between is a time from a to b, to the nanosecond: two are never the same.
func (d dice) between(a, b time.Duration) time.Duration {
	return a + time.Duration(d.Int64N(int64(b-a)+1))
}

// usually is a time from a to b, near a most of the time.
func (d dice) usually(a, b time.Duration) time.Duration {
	f := d.Float64()
	return a + time.Duration(f*f*f*f*float64(b-a)) + time.Duration(d.IntN(1_000_000))
}

func (d dice) within(a, b int) int { return a + d.IntN(b-a+1) }

// pick chooses one of several by their weights.
func pick[T any](d dice, of []weighted[T]) T {
	total := 0
	for _, w := range of {
		total += w.weight
	}
	n := d.IntN(total)
	for _, w := range of {
		if n -= w.weight; n < 0 {
			return w.it
		}
	}
	panic("unreachable: the weights add up")
}

type weighted[T any] struct {
	weight int
	it     T
}
