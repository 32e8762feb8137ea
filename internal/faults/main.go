package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// settings are what the flags say.
type settings struct {
	calls     int
	apis      int
	batch     int
	seed      uint64
	parallel  int
	rate      float64
	processes int
	columns   []column
	limit     time.Duration
	waits     waits
	patience  patience
}

func main() {
	if os.Getenv(processVariable) != "" {
		os.Exit(serveProcess(os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	describe(stdout, s)
	var results []result
	for _, c := range s.columns {
		results = append(results, s.patience.leaveNothing(func() result { return try(ctx, s, c) }))
		if ctx.Err() != nil {
			break // interrupted
		}
	}
	return conclude(stdout, s, results)
}

func parse(args []string, stderr io.Writer) (settings, error) {
	s := settings{waits: scaled, patience: patient}
	var names []string
	for _, c := range columns {
		names = append(names, c.name)
	}
	f := flag.NewFlagSet("faults", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&s.calls, "calls", 10000, "how many publishes and offlines each client makes; each API of a batch counts")
	f.IntVar(&s.apis, "apis", 500, "on how many APIs")
	f.IntVar(&s.batch, "batch", 30, "how many APIs a batch has at most; at least 1")
	f.Uint64Var(&s.seed, "seed", 1, "decides the calls and the faults")
	f.IntVar(&s.parallel, "parallel", 256, "how many calls there are at a time")
	f.Float64Var(&s.rate, "rate", 0.3, "the share of requests that a fault strikes, from 0 to 1")
	f.IntVar(&s.processes, "processes", 0, "if not 0: that many processes, with tagged remarks, instead of the columns")
	chosen := f.String("columns", strings.Join(names, ","), "which columns the table has")
	f.DurationVar(&s.limit, "limit", 15*time.Minute, "when to give a column up")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	err := s.choose(strings.Split(*chosen, ","))
	if err == nil {
		err = s.check(f.Args())
	}
	if err != nil {
		fmt.Fprintf(stderr, "faults: %v\n", err)
	}
	return s, err
}

// choose says which runs there are to be.
func (s *settings) choose(names []string) error {
	if s.processes > 0 {
		s.columns = []column{{title: fmt.Sprintf("apig, %d processes", s.processes), judged: true}}
		return nil
	}
	for _, name := range names {
		n := slices.IndexFunc(columns, func(c column) bool { return c.name == name })
		if n < 0 {
			return fmt.Errorf("-columns: there is no %q", name)
		}
		s.columns = append(s.columns, columns[n])
	}
	return nil
}

func (s *settings) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case min(s.calls, s.apis, s.parallel, s.batch) < 1 || s.processes < 0:
		return errors.New("-calls, -apis, -parallel and -batch must be at least 1, -processes at least 0")
	case s.rate < 0 || s.rate > 1:
		return fmt.Errorf("-rate %v is not between 0 and 1", s.rate)
	}
	return nil
}

// column is one run of a client, and one column of the table.
type column struct {
	name    string // in -columns
	title   string
	open    opener // nil: processes of their own
	batches bool
	refused bool // the history
	hurried bool // contexts end at any time
	judged  bool // whether its numbers decide the exit status
}

var columns = []column{
	{name: "apig", title: "apig", open: openAPIG, judged: true},
	{name: "hurried", title: "apig, hurried", open: openAPIG, hurried: true, judged: true},
	{name: "refused", title: "apig, no history", open: openAPIG, refused: true, judged: true},
	{name: "batches", title: "apig, batches", open: openBatches, batches: true, judged: true},
	{name: "hurried-batches", title: "batches, hurried", open: openBatches, batches: true, hurried: true, judged: true},
	{name: "official", title: "official SDK", open: openOfficial},
	{name: "resty", title: "resty", open: openResty},
	{name: "nethttp", title: "net/http", open: openNetHTTP},
}

// hurry is when the context of a call in a hurry has ended at the latest: after
// the first attempt has timed out and most looks at the history are made.
func (c column) hurry(w waits) time.Duration {
	if !c.hurried {
		return 0
	}
	return w.Attempt + w.Settle
}
