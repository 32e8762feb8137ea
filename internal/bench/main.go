// Bench measures what a call of this library costs beside the other ways to make
// the same call: hand-written net/http, resty, and the official SDK.
//
//	go -C internal/bench run .                      everything, in about two minutes
//	go -C internal/bench run . -quick               the same, shorter and rougher
//	go -C internal/bench run . -part cpu,loopback   some parts of it
//	go -C internal/bench run . -check               the budgets alone: it fails if one is exceeded
//
// All parts end up in one table, in Markdown: a row for each thing that is
// measured, a column for each client.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

// settings are what the flags say.
type settings struct {
	parts   []part
	quick   bool
	check   bool
	cold    bool
	table   string // a file, or empty
	picture string // a file, or empty
	budgets []budget
}

// part is one kind of measurement.
type part struct {
	name    string
	counts  bool // it has results that do not depend on time, and so budgets
	measure func(context.Context, settings, *table) error
}

var parts = []part{
	{"allocations", true, measureAllocations},
	{"cpu", false, measureCPU},
	{"loopback", false, measureLoopback},
	{"memory", true, measureMemory},
	{"footprint", true, measureFootprint},
}

// limit ends a run that hangs.
const limit = 30 * time.Minute

func main() {
	if os.Getenv(serverVariable) != "" {
		os.Exit(serve(os.Stdin, os.Stdout, os.Stderr))
	}
	if apis := os.Getenv(memoryVariable); apis != "" {
		measureManyAPIs(apis)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program. It returns the exit status: 1 if something could not
// be measured or a budget is exceeded.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	results := &table{}
	for _, p := range s.parts {
		begin := time.Now()
		if err := p.measure(ctx, s, results); err != nil {
			fmt.Fprintf(stderr, "bench: %s: %v\n", p.name, err)
			return 1
		}
		fmt.Fprintf(stderr, "%s: %.0f s\n", p.name, time.Since(begin).Seconds())
	}
	if s.check {
		return checkBudgets(stdout, results, s.budgets)
	}
	if err := publishResults(s, results, stdout); err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}

// publishResults prints the table, and writes the files that were asked for.
func publishResults(s settings, results *table, stdout io.Writer) error {
	text := fmt.Sprintf("%s, %s/%s, %d CPUs\n\n%s",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), results.markdown(s.budgets))
	if _, err := io.WriteString(stdout, text); err != nil {
		return err
	}
	if s.table != "" {
		if err := os.WriteFile(s.table, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if s.picture == "" {
		return nil
	}
	svg, err := picture(results)
	if err != nil {
		return err
	}
	return os.WriteFile(s.picture, []byte(svg), 0o644)
}

func parse(args []string, stderr io.Writer) (settings, error) {
	s := settings{budgets: budgets}
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	chosen := flags.String("part", "", "what to measure, separated by commas: "+strings.Join(names, ", ")+"; empty: everything")
	flags.BoolVar(&s.quick, "quick", false, "measure less, and less exactly")
	flags.BoolVar(&s.check, "check", false, "measure only what does not depend on time, and fail if a budget is exceeded")
	flags.BoolVar(&s.cold, "cold", false, "also build the small programs with an empty cache, which takes minutes")
	flags.StringVar(&s.table, "o", "", "also write the table to this `file`")
	flags.StringVar(&s.picture, "svg", "", "draw allocations and CPU a publish into this `file`")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	for _, p := range parts {
		if *chosen == "" && (p.counts || !s.check) || *chosen != "" && slices.Contains(strings.Split(*chosen, ","), p.name) {
			s.parts = append(s.parts, p)
		}
	}
	if s.check && *chosen != "" {
		err := errors.New("-check measures all that has a budget, so it goes without -part")
		fmt.Fprintln(stderr, "bench:", err)
		return s, err
	}
	for name := range strings.SplitSeq(*chosen, ",") {
		if *chosen != "" && !slices.Contains(names, name) {
			err := fmt.Errorf("there is no part %q, only %s", name, strings.Join(names, ", "))
			fmt.Fprintln(stderr, "bench:", err)
			return s, err
		}
	}
	return s, nil
}
