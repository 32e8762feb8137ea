// Mutate changes a package in one small place at a time and runs its tests: a
// change that no test notices is a line that no test holds.
//
//	go -C internal/tools run ./mutate [-first FILES] [-run REGEXP] [-only REGEXP] [-explained FILE] [-parallel N] [-timeout D] DIRECTORY [FILE.go ...]
//
// A comparison gets another bound or its opposite, && becomes || and the other way
// round, a condition is negated, an integer becomes one more and one less, + becomes -,
// true becomes false; calls, assignments, defer, break, continue and early returns go.
// Such a mutant exists in a file beside the tree only, so the tree does not change.
//
// A mutant that survives is printed as FILE:LINE FUNCTION: CHANGE. Some change nothing
// that can be seen, or only how fast something is: FILE of -explained holds them, each
// with the reason in indented lines below it, and without the line number, so that
// edits elsewhere do not touch it. The command fails if a mutant survives
// that is not explained there, and if one is explained there that does not survive.
//
// Where all the tests take long, FILES of -first, separated by commas, are those whose
// tests are about the file: they are built and run alone first, and only the mutants
// that they do not kill meet all of them.
//
// The score is how many of the mutants that compile are killed. A mutant that makes
// the tests run longer than the limit is killed too. By default the limit is four times
// what they take without a change, and five seconds more.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/apig-go/apig/internal/tools/source"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mutate", flag.ContinueOnError)
	first := flags.String("first", "", "`files` whose tests run before all others")
	tests := flags.String("run", "", "which tests to run, as of go test (default all)")
	only := flags.String("only", "", "which mutants, by what is printed of them without the line (default all)")
	list := flags.String("explained", "", "`file` with the mutants that may survive, and why")
	parallel := flags.Int("parallel", 2, "how many mutants at a time")
	timeout := flags.Duration("timeout", 0, "limit of the tests against one mutant")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("say which directory")
	}
	dir, files := flags.Arg(0), flags.Args()[1:]

	explained := make(map[string]string)
	if *list != "" {
		text, err := os.ReadFile(*list)
		if err != nil {
			return err
		}
		if explained, err = parseExplained(string(text)); err != nil {
			return fmt.Errorf("%s: %w", *list, err)
		}
	}
	p, err := source.Load(dir)
	if err != nil {
		return err
	}
	all, err := mutants(p, files)
	if err != nil {
		return err
	}
	chosen, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(m mutant) bool { return !chosen.MatchString(m.key) })
	maps.DeleteFunc(explained, func(key, _ string) bool { return !chosen.MatchString(key) })
	if len(all) == 0 {
		return errors.New("no mutants")
	}
	scratch, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(scratch) }()

	s := suite{dir: dir, scratch: scratch, run: *tests, timeout: *timeout}
	if *first != "" {
		s.first = strings.Split(*first, ",")
	}
	if err := s.measure(ctx, all[0].file); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d mutants, at most %v for the tests of each\n", len(all), s.timeout.Round(time.Second))
	r := &report{out: out, explained: explained, counts: make(map[verdict]int)}
	if err := s.testAll(ctx, all, *parallel, r); err != nil {
		return err
	}
	return r.end(all)
}

// measure runs the tests without a change, which they must pass, and sets the limit
// for each mutant if none is given.
func (s *suite) measure(ctx context.Context, file string) error {
	src, err := os.ReadFile(filepath.Join(s.dir, file))
	if err != nil {
		return err
	}
	limit := s.timeout
	if limit == 0 {
		s.timeout = 10 * time.Minute
	}
	begin := time.Now()
	v, text, err := s.test(ctx, file, src)
	if err != nil {
		return err
	}
	if v != survived {
		return fmt.Errorf("the tests fail without any change:\n%s", text)
	}
	if limit == 0 {
		s.timeout = 4*time.Since(begin) + 5*time.Second
	}
	return nil
}

// testAll tests every mutant, some at a time, and stops at the first error, which is
// none of the mutants'.
func (s suite) testAll(ctx context.Context, all []mutant, parallel int, r *report) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var lock sync.Mutex // of r
	var group sync.WaitGroup
	next := make(chan mutant)
	for range max(parallel, 1) {
		group.Go(func() {
			for m := range next {
				v, err := s.testOne(ctx, m)
				if err != nil {
					stop(err)
					continue
				}
				lock.Lock()
				r.add(m, v)
				lock.Unlock()
			}
		})
	}
	for _, m := range all {
		next <- m
	}
	close(next)
	group.Wait()
	return context.Cause(ctx)
}

func (s suite) testOne(ctx context.Context, m mutant) (verdict, error) {
	src, err := os.ReadFile(filepath.Join(s.dir, m.file))
	if err != nil {
		return 0, err
	}
	v, _, err := s.test(ctx, m.file, m.apply(src))
	return v, err
}
