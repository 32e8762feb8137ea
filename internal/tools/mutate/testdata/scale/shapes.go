package scale

import "strings"

type text string

func (t *text) shape(a, b bool, list []int) (text, bool) {
	if !a || strings.Contains(string(*t), "x") {
		return "", false
	}
	switch {
	case b, len(list) >= 3:
		*t += "y"
		return *t, true
	}
	out := make([]int, 1, 64)
	for i, n := range list {
		if n == 0 {
			continue
		}
		out[0] += n * i
	}
	copy(list, out)
	_ = out
	return *t + "z", list[0] > 0x10
}
