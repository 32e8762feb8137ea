package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A verdict is what the tests say of a mutant.
type verdict int

const (
	survived verdict = iota // no test fails
	killed                  // a test fails
	late                    // the tests do not end in time, or take too much memory: killed as well
	unbuilt                 // it does not compile, and counts for nothing
)

// memory is how much address space the tests may take, in kilobytes: a mutant whose
// loop never ends must not take the machine with it. What the Go runtime only reserves
// counts too, so this is well above what the tests use.
const memory = 6 << 20

// A suite is the tests of one package.
type suite struct {
	dir     string   // of the package
	scratch string   // for what is built; removed by the caller
	first   []string // names of the files whose tests run before all others; empty: none
	run     string   // which tests, as of go test -run
	timeout time.Duration
}

// test runs the tests against src in the place of the file, and returns what they
// print. The file itself stays as it is: the compiler is told to read another one
// instead.
func (s suite) test(ctx context.Context, file string, src []byte) (verdict, []byte, error) {
	work, err := os.MkdirTemp(s.scratch, "")
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = os.RemoveAll(work) }() // what is left goes with scratch

	changed := filepath.Join(work, file)
	if err := os.WriteFile(changed, src, 0o600); err != nil {
		return 0, nil, err
	}
	if len(s.first) > 0 {
		replace, err := s.others()
		if err != nil {
			return 0, nil, err
		}
		replace[file] = changed
		// Optimizing and what debuggers read take longer than these tests.
		v, out, err := s.testWith(ctx, work, replace, "-gcflags=-N -l", "-ldflags=-s -w")
		if err != nil || v != survived {
			return v, out, err
		}
	}
	return s.testWith(ctx, work, map[string]string{file: changed})
}

// others replaces every test file by nothing that is not one of the first.
func (s suite) others() (map[string]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	replace := make(map[string]string)
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, "_test.go") && !slices.Contains(s.first, name) {
			replace[name] = ""
		}
	}
	return replace, nil
}

// testWith runs the tests of the package in which other files, or none, stand for
// those whose names are the keys of replace.
func (s suite) testWith(ctx context.Context, work string, replace map[string]string, flags ...string) (verdict, []byte, error) {
	dir, err := filepath.Abs(s.dir)
	if err != nil {
		return 0, nil, err
	}
	paths := make(map[string]string)
	for name, path := range replace {
		paths[filepath.Join(dir, name)] = path
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": paths})
	if err != nil {
		return 0, nil, err
	}
	list, binary := filepath.Join(work, "overlay.json"), filepath.Join(work, "tests.exe")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return 0, nil, err
	}
	build := exec.CommandContext(ctx, "go", slices.Concat([]string{"test", "-c", "-overlay", list, "-o", binary}, flags, []string{"."})...)
	build.Dir = s.dir
	if out, err := build.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return 0, nil, ctx.Err()
		}
		return unbuilt, out, nil
	}

	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	tests := command(limited, binary, "-test.failfast", "-test.run", s.run)
	tests.Dir = s.dir
	tests.WaitDelay = time.Second // for a process that a test has started and not ended
	out, err := tests.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return 0, nil, ctx.Err()
	case limited.Err() != nil:
		return late, out, nil
	case err != nil:
		return killed, out, nil
	}
	return survived, out, nil
}

// command runs the binary with bounded memory, where the system has a shell that
// can do that.
func command(ctx context.Context, binary string, args ...string) *exec.Cmd {
	if runtime.GOOS == "windows" {
		return exec.CommandContext(ctx, binary, args...)
	}
	script := "ulimit -v " + strconv.Itoa(memory) + ` && exec "$0" "$@"`
	return exec.CommandContext(ctx, "sh", append([]string{"-c", script, binary}, args...)...)
}
