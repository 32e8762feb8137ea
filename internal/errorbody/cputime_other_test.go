//go:build !unix

package errorbody

import (
	"testing"
	"time"
)

// cpuTime is measured on Unix only.
func cpuTime(_ *testing.T, f func()) time.Duration {
	f()
	return 0
}
