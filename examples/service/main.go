// Service publishes many APIs side by side, with progress, one deadline for all of
// them, and structured logs.
//
//	go run ./examples/service [API ID ...]
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/examples/internal/demo"
)

const (
	apis    = 200 // of the built-in gateway
	atOnce  = 16
	allTime = time.Minute
)

func main() {
	verbose := flag.Bool("v", false, "log every attempt, not only retries")
	flag.Parse()
	site, err := demo.Open(apis)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// Faults of the built-in gateway: a lost answer, throttling, an error page.
	site.Inject(apigtest.ApplyThenClose().Skip(20), apigtest.Throttle("1").Skip(60), apigtest.ApplyThenAnswer(502, "<html>").Skip(120))

	options := &slog.HandlerOptions{Level: slog.LevelWarn}
	if *verbose {
		options.Level = slog.LevelDebug
	}
	site.Config.Logger = slog.New(slog.NewTextHandler(os.Stderr, options))
	client, err := apig.New(site.Config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, cancel := context.WithTimeout(context.Background(), allTime)
	failed := publishAll(ctx, client, site.APIIDs, site.Config.Logger)
	cancel()
	site.Close()
	if failed > 0 {
		os.Exit(1)
	}
}

// publishAll publishes the APIs and prints its progress. It returns how many APIs were
// not published, or perhaps not.
func publishAll(ctx context.Context, client *apig.Client, apiIDs []string, log *slog.Logger) (failed int) {
	type result struct {
		apiID string
		err   error
	}
	results := make(chan result)
	go func() {
		defer close(results)
		var calls sync.WaitGroup
		slots := make(chan struct{}, atOnce)
		for _, id := range apiIDs {
			slots <- struct{}{}
			calls.Go(func() {
				_, err := client.Publish(ctx, apig.PublishRequest{APIID: id, EnvID: apig.EnvRelease, Remark: "1.4.2"})
				results <- result{id, err}
				<-slots
			})
		}
		calls.Wait()
	}()

	count := map[apig.Outcome]int{}
	begun := time.Now()
	for done := 1; done <= len(apiIDs); done++ {
		r := <-results
		outcome := apig.OutcomeOf(r.err)
		count[outcome]++
		if r.err != nil {
			log.Error("publish", "api_id", r.apiID, "outcome", outcome.String(), "error", r.err)
		}
		if done%50 == 0 || done == len(apiIDs) {
			fmt.Printf("%d of %d after %v: %d applied, %d not applied, %d unknown\n", done, len(apiIDs),
				time.Since(begun).Round(time.Millisecond), count[apig.Applied], count[apig.NotApplied], count[apig.Unknown])
		}
	}
	return count[apig.NotApplied] + count[apig.Unknown]
}
