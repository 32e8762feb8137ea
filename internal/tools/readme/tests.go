package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	testName = regexp.MustCompile(`^(Test|Fuzz|Example)[A-Z]\w*$`)
	testRun  = regexp.MustCompile(`go (?:-C \S+ )?test (?:\S+ )*?-run '?([^' ]+)'?`)
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w+)\(`)
)

// checkTests names the tests that the document at path speaks of and that the checkout
// has not: in code within a line, by name or as what go test is to run. Each alternative of
// such a pattern has to match one.
func checkTests(path, checkout string, doc document) error {
	var all []string // the checkout's tests, once they are needed
	var faults []error
	for _, s := range doc.spans {
		var patterns []string
		if testName.MatchString(s.text) {
			patterns = []string{"^" + s.text + "$"}
		}
		for _, run := range testRun.FindAllStringSubmatch(s.text, -1) {
			patterns = append(patterns, strings.Split(strings.ReplaceAll(run[1], `\|`, "|"), "|")...)
		}
		if len(patterns) > 0 && all == nil {
			var err error
			if all, err = testsOf(checkout); err != nil {
				return err
			}
		}
		for _, p := range patterns {
			if !anyMatches(all, p) {
				faults = append(faults, fmt.Errorf("%s:%d: there is no test %s", path, s.line, strings.Trim(p, "^$")))
			}
		}
	}
	return errors.Join(faults...)
}

// testsOf lists the tests, fuzz targets and examples of all modules of the checkout.
func testsOf(checkout string) ([]string, error) {
	all := []string{}
	err := filepath.WalkDir(checkout, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == "testdata" {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, name := range testFunc.FindAllStringSubmatch(string(text), -1) {
			all = append(all, name[1])
		}
		return nil
	})
	return all, err
}

func anyMatches(names []string, pattern string) bool {
	match, err := regexp.Compile(pattern)
	if err != nil {
		return false
	}
	for _, name := range names {
		if match.MatchString(name) {
			return true
		}
	}
	return false
}
