package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// reasons are the pairs that are allowed, each with its reason. The files of a
// pair are in alphabetical order.
type reasons map[[2]string]string

// parseReasons reads lines of the form "a.go b.go  reason".
func parseReasons(text string) (reasons, error) {
	list := make(reasons)
	number := 0
	for line := range strings.Lines(text) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if len(words) < 3 {
			return nil, fmt.Errorf("line %d: want two files and a reason", number)
		}
		files := [2]string{words[0], words[1]}
		if files[0] >= files[1] {
			return nil, fmt.Errorf("line %d: want %s and %s in alphabetical order", number, files[0], files[1])
		}
		if _, twice := list[files]; twice {
			return nil, fmt.Errorf("line %d: %s and %s are there already", number, files[0], files[1])
		}
		list[files] = strings.Join(words[2:], " ")
	}
	return list, nil
}

// check names the pairs that are found but not allowed, and those that are
// allowed but not found.
func (r reasons) check(found []pair) error {
	left := maps.Clone(r)
	var faults []error
	for _, p := range found {
		files := [2]string{p.first, p.second}
		if _, ok := r[files]; !ok {
			faults = append(faults, fmt.Errorf("%s and %s use each other, and no reason is given", p.first, p.second))
		}
		delete(left, files)
	}
	for _, files := range slices.SortedFunc(maps.Keys(left), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		faults = append(faults, fmt.Errorf("%s and %s do not use each other (any more): take the line out", files[0], files[1]))
	}
	return errors.Join(faults...)
}
