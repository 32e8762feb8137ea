package scale

import "testing"

func TestWait(t *testing.T) {
	if Wait() != 3 {
		t.Error("not 3")
	}
}
