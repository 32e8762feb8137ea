package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
)

// processVariable is set in the environment of a process that is to be one of
// several clients. It reads its assignment from stdin, and writes its reports
// to stdout, one JSON value a line.
const processVariable = "APIG_FAULTS_PROCESS"

// assignment is what one process has to do.
type assignment struct {
	Site     site
	Waits    waits
	Parallel int
	Patience patience
	Plan     []script
}

// runProcesses starts the processes, gives each of them its share of every
// step of the plan, and collects their reports.
func runProcesses(ctx context.Context, s settings, at site, plan []script) ([]report, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // When one fails the others need not go on.
	var (
		mu      sync.Mutex
		reports []report
		failed  error
		running sync.WaitGroup
	)
	for _, part := range deal(plan, s.processes) {
		running.Add(1)
		go func() {
			defer running.Done()
			got, err := runProcess(ctx, program, assignment{at, s.waits, max(1, s.parallel/s.processes), s.patience, part})
			mu.Lock()
			defer mu.Unlock()
			reports = append(reports, got...)
			if err != nil {
				failed = errors.Join(failed, err)
				cancel()
			}
		}()
	}
	running.Wait()
	return reports, failed
}

// deal gives each of n processes its part of the steps of each API.
func deal(plan []script, n int) [][]script {
	parts := make([][]script, n)
	for _, s := range plan {
		own := make([]script, n)
		for i, st := range s {
			own[i%n] = append(own[i%n], st)
		}
		for i := range parts {
			if own[i] != nil {
				parts[i] = append(parts[i], own[i])
			}
		}
	}
	return parts
}

func runProcess(ctx context.Context, program string, a assignment) ([]report, error) {
	input, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), processVariable+"=1")
	cmd.Stdin = bytes.NewReader(input)
	cmd.Stdout = &output
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("a process of its own: %w", err)
	}
	var reports []report
	for dec := json.NewDecoder(&output); ; {
		var r report
		err := dec.Decode(&r)
		if err == io.EOF {
			return reports, nil
		}
		if err != nil {
			return nil, fmt.Errorf("the reports of a process: %w", err)
		}
		reports = append(reports, r)
	}
}

// serveProcess is such a process. It returns the exit status.
func serveProcess(stdin io.Reader, stdout, stderr io.Writer) int {
	if err := serveAssignment(stdin, stdout); err != nil {
		fmt.Fprintf(stderr, "faults: process %d: %v\n", os.Getpid(), err)
		return 1
	}
	return 0
}

func serveAssignment(stdin io.Reader, stdout io.Writer) error {
	var a assignment
	if err := json.NewDecoder(stdin).Decode(&a); err != nil {
		return err
	}
	goroutines := runtime.NumGoroutine()
	over := newWire()
	c, err := openAPIG(a.Site, a.Waits, over)
	if err != nil {
		return err
	}
	out := json.NewEncoder(stdout)
	var failed error
	carryOut(context.Background(), c, a.Plan, a.Parallel, 0, func(all []report) {
		for _, r := range all {
			r.Broken, r.Late = over.seen(r.Call)
			if err := out.Encode(r); err != nil {
				failed = err
			}
		}
	})
	left := a.Patience.untilZero(func() int {
		c.close()
		return runtime.NumGoroutine() - goroutines
	})
	if left > 0 {
		failed = errors.Join(failed, fmt.Errorf("%d goroutines left", left))
	}
	return failed
}
