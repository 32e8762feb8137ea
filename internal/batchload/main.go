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
	"text/tabwriter"
	"time"
)

// settings are what the flags say.
type settings struct {
	apis      int
	missing   int
	single    string
	seed      uint64
	runs      int
	rate      float64
	batchRate float64
	limit     time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, columns, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()

	fmt.Fprintf(stdout, "%d times %d APIs, of which %d do not exist; faults on %.0f %% of the batches and %.0f %% of all other requests; seeds from %d, %s, %d CPUs\n",
		s.runs, s.apis, s.missing, 100*s.batchRate, 100*s.rate, s.seed, runtime.Version(), runtime.GOMAXPROCS(0))
	fmt.Fprintf(stdout, "%d attempts, MinWait %v, MaxWait %v, SettleWait %v: far less than in earnest\n\n",
		waits.MaxAttempts, waits.MinWait, waits.MaxWait, waits.SettleWait)

	var results []result
	for _, c := range columns {
		sum := newResult(c.title)
		for n := range s.runs {
			s := s
			s.seed += uint64(n)
			if err := c.try(ctx, s, &sum); err != nil {
				fmt.Fprintf(stderr, "batchload: %s: %v\n", c.title, err)
				return 1
			}
		}
		results = append(results, sum)
	}
	return conclude(stdout, s, results)
}

func parse(args []string, stderr io.Writer) (settings, []column, error) {
	var s settings
	f := flag.NewFlagSet("batchload", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&s.apis, "apis", 5000, "how many APIs are published")
	f.IntVar(&s.missing, "missing", 50, "how many of them do not exist")
	f.StringVar(&s.single, "single", "8,64", "how many single calls at a time, one run for each number")
	f.Uint64Var(&s.seed, "seed", 1, "decides the faults of the first run; the next ones count on from it")
	f.IntVar(&s.runs, "runs", 4, "how often all of it is done, each time on a new gateway; the table has the sums")
	f.Float64Var(&s.rate, "rate", 0.1, "the share of requests that a fault strikes, from 0 to 1; not of batches")
	f.Float64Var(&s.batchRate, "batch-rate", 0.7, "the share of batches that a fault strikes, from 0 to 1")
	f.DurationVar(&s.limit, "limit", 5*time.Minute, "when to give up")
	if err := f.Parse(args); err != nil {
		return s, nil, err
	}
	columns, err := s.columns(f.Args())
	if err != nil {
		fmt.Fprintf(stderr, "batchload: %v\n", err)
	}
	return s, columns, err
}

// columns checks the flags, and says which runs there are to be.
func (s settings) columns(rest []string) ([]column, error) {
	switch {
	case len(rest) > 0:
		return nil, fmt.Errorf("unexpected argument %q", rest[0])
	case s.apis < 1 || s.runs < 1 || s.missing < 0 || s.missing > s.apis:
		return nil, errors.New("-apis and -runs must be at least 1, and -missing not more than -apis")
	case min(s.rate, s.batchRate) < 0 || max(s.rate, s.batchRate) > 1:
		return nil, errors.New("-rate and -batch-rate are from 0 to 1")
	}
	columns := []column{
		{title: "batch, no faults", publish: inBatch},
		{title: "batch", publish: inBatch, faults: true},
	}
	for _, n := range strings.Split(s.single, ",") {
		var parallel int
		if _, err := fmt.Sscan(n, &parallel); err != nil || parallel < 1 {
			return nil, fmt.Errorf("-single: %q is not a positive number", n)
		}
		columns = append(columns, column{
			title: fmt.Sprintf("single, %d at a time", parallel), publish: oneByOne(parallel), faults: true,
		})
	}
	return columns, nil
}

// conclude prints the table and what is wrong with it, and returns the exit
// status.
func conclude(w io.Writer, s settings, results []result) int {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(name string, cell func(result) any) {
		for _, r := range results {
			name += fmt.Sprintf("\t%v", cell(r))
		}
		fmt.Fprintln(table, name+"\t")
	}
	line("", func(r result) any { return r.title })
	line("done", func(r result) any { return r.count[done] })
	line("recovered from the history", func(r result) any { return r.recovered })
	line("not applied", func(r result) any { return r.count[notApplied] })
	line("because it does not exist", func(r result) any { return r.missing })
	line("unknown", func(r result) any { return r.count[unknown] })
	line("WRONG", func(r result) any { return r.faults[wrong] })
	line("LOST", func(r result) any { return r.faults[lost] })
	line("DOUBLED", func(r result) any { return r.faults[doubled] })
	line("time of one run", func(r result) any { return (r.elapsed / time.Duration(s.runs)).Round(10 * time.Millisecond) })
	line("HTTP calls for one API", func(r result) any { return fmt.Sprintf("%.3f", float64(r.requests)/float64(s.runs*s.apis)) })
	line("HTTP calls", func(r result) any { return r.requests })
	for _, op := range ops {
		line(string(op), func(r result) any { return r.byOp[op] })
	}
	line("faults", func(r result) any {
		struck := 0
		for _, n := range r.struck {
			struck += n
		}
		return struck
	})
	for _, k := range kinds {
		line(k.name, func(r result) any { return r.struck[k.name] })
	}
	if err := table.Flush(); err != nil {
		return 1
	}

	code := 0
	for _, r := range results {
		for _, why := range r.why[:min(len(r.why), 10)] {
			fmt.Fprintf(w, "FAIL %s: %s\n", r.title, why)
		}
		if slices.ContainsFunc(r.faults[1:], func(n int) bool { return n > 0 }) {
			code = 1
		}
	}
	return code
}
