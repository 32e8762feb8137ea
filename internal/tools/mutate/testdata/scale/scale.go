// Package scale is mutated by the tests of mutate.
package scale

// Limit is tested exactly.
func Limit(n int) bool { return n < 7 }

// Small is tested far from its bound only.
func Small(n int) bool { return n < 100 }

// Wait ends at once, and never if its loop does not count.
func Wait() (n int) {
	for n != 3 {
		n++
	}
	return n
}
