package simulation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// choice is the part of a plan that is kept: of a world that fails, what it
// needs to fail. The zero value keeps everything.
type choice struct {
	limited bool
	calls   []int // that are made
	stormy  []int // of these, those whose requests meet faults
	deeds   []int
	outages []int
}

// everything is the choice that keeps all of a plan, item by item.
func everything(p *plan) choice {
	c := choice{limited: true}
	for _, call := range p.calls {
		c.calls, c.stormy = append(c.calls, call.id), append(c.stormy, call.id)
	}
	for _, d := range p.deeds {
		c.deeds = append(c.deeds, d.id)
	}
	for i := range p.outages {
		c.outages = append(c.outages, i)
	}
	return c
}

// of applies the choice to a plan. A call that is left out still takes the time
// that its worker waited before it.
func (c choice) of(p *plan) *plan {
	if !c.limited {
		return p
	}
	q := *p
	q.calls, q.deeds, q.outages = slices.Clone(p.calls), nil, nil
	for i := range q.calls {
		call := &q.calls[i]
		call.skip = !slices.Contains(c.calls, call.id)
		if !slices.Contains(c.stormy, call.id) {
			call.writes, call.reads = 0, 0
		}
	}
	for _, d := range p.deeds {
		if slices.Contains(c.deeds, d.id) && slices.Contains(c.calls, d.call) {
			q.deeds = append(q.deeds, d)
		}
	}
	for i, o := range p.outages {
		if slices.Contains(c.outages, i) {
			q.outages = append(q.outages, o)
		}
	}
	return &q
}

// String is the choice as -keep takes it.
func (c choice) String() string {
	if !c.limited {
		return ""
	}
	return numbers(c.calls) + "/" + numbers(c.stormy) + "/" + numbers(c.deeds) + "/" + numbers(c.outages)
}

// parseChoice reads what String has written.
func parseChoice(s string) (choice, error) {
	if s == "" {
		return choice{}, nil
	}
	c := choice{limited: true}
	part := strings.Split(s, "/")
	if len(part) != 4 {
		return choice{}, fmt.Errorf("%q is not calls/stormy calls/deeds/outages", s)
	}
	for i, into := range []*[]int{&c.calls, &c.stormy, &c.deeds, &c.outages} {
		if part[i] == "" {
			continue
		}
		for _, n := range strings.Split(part[i], ",") {
			v, err := strconv.Atoi(n)
			if err != nil {
				return choice{}, err
			}
			*into = append(*into, v)
		}
	}
	return c, nil
}

func numbers(n []int) string {
	text := make([]string, len(n))
	for i, v := range n {
		text[i] = strconv.Itoa(v)
	}
	return strings.Join(text, ",")
}

// shrink leaves out of a failing world what it does not need to fail as it
// does: first calls, then deeds, outages and faults, in ever smaller parts. It
// runs the world at most so many times.
func shrink(p *plan, fails func(*plan) bool, runs int) choice {
	best := everything(p)
	for _, part := range []func(*choice) *[]int{
		func(c *choice) *[]int { return &c.calls },
		func(c *choice) *[]int { return &c.deeds },
		func(c *choice) *[]int { return &c.outages },
		func(c *choice) *[]int { return &c.stormy },
		func(c *choice) *[]int { return &c.calls },
	} {
		for size := len(*part(&best)); size > 0; size /= 2 {
			for from := 0; from < len(*part(&best)); {
				if runs--; runs < 0 {
					return best
				}
				next := best
				all := *part(&best)
				*part(&next) = slices.Concat(all[:from], all[min(from+size, len(all)):])
				if fails(next.of(p)) {
					best = next
				} else {
					from += size
				}
			}
		}
	}
	best.stormy = slices.DeleteFunc(slices.Clone(best.stormy), func(id int) bool { return !slices.Contains(best.calls, id) })
	return best
}
