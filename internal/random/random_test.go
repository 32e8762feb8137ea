package random_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/apig-go/apig/internal/random"
)

func TestReplace(t *testing.T) {
	restore := random.Replace(func(n int64) int64 { return n - 1 })
	assert.Equal(t, int64(6), random.Int64N(7))
	inner := random.Replace(func(int64) int64 { return 0 })
	assert.Zero(t, random.Int64N(7))
	inner()
	assert.Equal(t, int64(6), random.Int64N(7))
	restore()
	for range 100 {
		assert.Contains(t, []int64{0, 1, 2}, random.Int64N(3))
	}
}
