// Bench measures what this library costs beside the other ways to make the same
// calls: hand-written net/http, resty, and the official SDK.
//
//	go -C internal/bench run .          prints the table
//	go -C internal/bench run . -write   puts it into docs/cost.md
//	go -C internal/bench run . -check   only what does not depend on time; fails if it is above what is allowed
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
)

func main() {
	check := flag.Bool("check", false, "measure only what does not depend on time, and fail if it is above what is allowed")
	write := flag.Bool("write", false, "put the table into docs/cost.md")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	work := func() error { return run(ctx, *check, *write) }
	if os.Getenv(serverVariable) != "" {
		work = serve
	}
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, check, write bool) error {
	var t table
	for _, measure := range []func(context.Context, bool, *table) error{measureCalls, measureRates, measureMemory, measureGrowth, measureFootprint} {
		if err := errors.Join(ctx.Err(), measure(ctx, !check, &t)); err != nil {
			return err
		}
	}
	if check {
		return t.check(os.Stdout, budgets)
	}
	text := fmt.Sprintf("%s\n%s\n%s, %s/%s, %d CPUs\n\n%s",
		t.chart(rowPublish+": allocations", "Allocations of a publish"),
		t.chart(rowPublish+": CPU beside a publish by hand", "CPU of a publish, net/http by hand = 1"),
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), t.markdown(budgets))
	fmt.Print(text)
	if !write {
		return nil
	}
	const page = "../../docs/cost.md"
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	begin, end := []byte("<!-- measured -->\n"), []byte("<!-- end -->")
	before, rest, found := bytes.Cut(old, begin)
	_, after, ended := bytes.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("%s has no place for the table", page)
	}
	return os.WriteFile(page, bytes.Join([][]byte{before, begin, []byte("\n" + text + "\n"), end, after}, nil), 0o644)
}
