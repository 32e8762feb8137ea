package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/apig-go/apig"
)

func TestRun(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	code := run(context.Background(), []string{"-apis", "300", "-missing", "3", "-runs", "2", "-single", "16"}, &stdout, &stderr)
	if code != 0 || stderr.Len() > 0 {
		t.Fatalf("status %d\n%s%s", code, &stdout, &stderr)
	}
	for _, want := range []string{"2 times 300 APIs, of which 3 do not exist", "single, 16 at a time", "DOUBLED", "because it does not exist"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %q in\n%s", want, &stdout)
		}
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]int{
		"-h": 0, "-apis 0": 2, "-apis 5 -missing 6": 2, "-runs 0": 2, "-rate 2": 2, "-batch-rate -1": 2, "-single 0": 2, "-single x": 2, "more": 2, "-none": 2,
	} {
		var stdout, stderr bytes.Buffer
		if code := run(context.Background(), strings.Fields(args), &stdout, &stderr); code != want {
			t.Errorf("%s: status %d, want %d", args, code, want)
		}
		if stderr.Len() == 0 || stdout.Len() > 0 {
			t.Errorf("%s: %q, %q", args, &stdout, &stderr)
		}
	}
}

// A client that lies is found out: one that reports done without asking, one
// that publishes twice, and one that reports nothing.
func TestLiars(t *testing.T) {
	t.Parallel()
	liars := map[string]struct {
		publish func(context.Context, *apig.Client, []string) []report
		want    verdict
	}{
		"nothing done": {func(_ context.Context, _ *apig.Client, apis []string) []report {
			var all []report
			for _, id := range apis {
				all = append(all, report{apiID: id, outcome: done, version: "invented"})
			}
			return all
		}, lost},
		"done in secret": {func(ctx context.Context, c *apig.Client, apis []string) []report {
			var all []report
			for _, r := range inBatch(ctx, c, apis) {
				all = append(all, report{apiID: r.apiID, outcome: notApplied, err: apig.ErrNotFound})
			}
			return all
		}, lost},
		"twice": {func(ctx context.Context, c *apig.Client, apis []string) []report {
			inBatch(ctx, c, apis)
			return inBatch(ctx, c, apis)
		}, doubled},
		"nothing said": {func(context.Context, *apig.Client, []string) []report { return nil }, wrong},
	}
	for name, liar := range liars {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := settings{apis: 20, seed: 1, runs: 1}
			r := newResult(name)
			if err := (column{publish: liar.publish}).try(context.Background(), s, &r); err != nil {
				t.Fatal(err)
			}
			if r.faults[liar.want] != 20 {
				t.Errorf("%v, want 20 %v", r.faults, liar.want)
			}
			var table bytes.Buffer
			if code := conclude(&table, s, []result{r}); code != 1 || !strings.Contains(table.String(), "FAIL") {
				t.Errorf("status %d\n%s", code, &table)
			}
		})
	}
}
