package scale

import "testing"

func TestLimit(t *testing.T) {
	if !Limit(6) || Limit(7) {
		t.Error("7 is the limit")
	}
}

func TestSmall(t *testing.T) {
	if !Small(0) || Small(1000) {
		t.Error("0 is small, 1000 is not")
	}
}
