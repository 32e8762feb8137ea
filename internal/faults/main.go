package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"
)

// settings are what the flags say.
type settings struct {
	calls     int
	apis      int
	seed      uint64
	parallel  int
	rate      float64
	processes int
	clients   []string
	history   string
	hurried   bool
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
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()

	describe(stdout, s)
	var results []result
	for _, c := range columns(s) {
		r, err := s.patience.leaveNothing(func() (result, error) { return try(ctx, s, c) })
		if err != nil {
			fmt.Fprintf(stderr, "faults: %s: %v\n", c.title, err)
			return 1
		}
		results = append(results, r)
	}
	return conclude(stdout, results)
}

func parse(args []string, stderr io.Writer) (settings, error) {
	s := settings{waits: scaled, patience: patience(5 * time.Second)}
	f := flag.NewFlagSet("faults", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&s.calls, "calls", 10000, "how many publishes and offlines each client makes")
	f.IntVar(&s.apis, "apis", 500, "on how many APIs")
	f.Uint64Var(&s.seed, "seed", 1, "decides the calls and the faults")
	f.IntVar(&s.parallel, "parallel", 256, "how many APIs are worked on at a time")
	f.Float64Var(&s.rate, "rate", 0.3, "the share of requests that a fault strikes, from 0 to 1")
	f.IntVar(&s.processes, "processes", 0, "if not 0: that many processes, with tagged remarks, instead of the other runs")
	clients := f.String("clients", "apig,resty,nethttp", "which clients run, separated by commas")
	f.StringVar(&s.history, "history", "both", "whether this library's client may read the history: readable, refused or both, one after the other")
	f.BoolVar(&s.hurried, "hurried", true, "whether this library's client also runs with contexts that end at any time")
	f.DurationVar(&s.limit, "limit", 15*time.Minute, "when to give up")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	s.clients = strings.Split(*clients, ",")
	if err := s.check(f.Args()); err != nil {
		fmt.Fprintf(stderr, "faults: %v\n", err)
		return s, err
	}
	return s, nil
}

func (s settings) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case s.calls < 1 || s.apis < 1 || s.parallel < 1 || s.processes < 0:
		return errors.New("-calls, -apis and -parallel must be at least 1, -processes at least 0")
	case s.rate < 0 || s.rate > 1:
		return fmt.Errorf("-rate %v is not between 0 and 1", s.rate)
	case s.history != "readable" && s.history != "refused" && s.history != "both":
		return fmt.Errorf("-history %q is none of readable, refused and both", s.history)
	}
	for _, name := range s.clients {
		if name != "apig" && name != "resty" && name != "nethttp" {
			return fmt.Errorf("-clients: %q is none of apig, resty and nethttp", name)
		}
	}
	return nil
}

// column is one run of a client, and one column of the table.
type column struct {
	title   string
	open    opener        // nil: processes of their own
	refused bool          // the history
	hurry   time.Duration // when at the latest a call's context ends; 0: never
	judged  bool          // whether its numbers decide the exit status
}

// columns says which runs there are to be.
func columns(s settings) []column {
	if s.processes > 0 {
		return []column{{title: fmt.Sprintf("apig, %d processes", s.processes), judged: true}}
	}
	var all []column
	for _, name := range s.clients {
		switch name {
		case "apig":
			if s.history != "refused" {
				all = append(all, column{title: "apig", open: openAPIG, judged: true})
			}
			if s.hurried && s.history != "refused" {
				all = append(all, column{title: "apig, hurried", open: openAPIG, judged: true, hurry: s.waits.Attempt + s.waits.Settle})
			}
			if s.history != "readable" {
				all = append(all, column{title: "apig, no history", open: openAPIG, refused: true, judged: true})
			}
		case "resty":
			all = append(all, column{title: "resty", open: openResty})
		case "nethttp":
			all = append(all, column{title: "net/http", open: openNetHTTP})
		}
	}
	return all
}
