// Rate keeps a client below ten requests a second, with golang.org/x/time/rate.
// The limiter is asked before each request, also before retries and before the history
// is read. Several clients may share one.
//
//	go -C examples/libraries run ./rate [API ID ...]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"golang.org/x/time/rate"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/examples/internal/demo"
)

func main() {
	flag.Parse()
	site, err := demo.Open(11)
	if err == nil {
		var took time.Duration
		took, err = publish(context.Background(), site, rate.NewLimiter(10, 1))
		site.Close()
		fmt.Printf("%d APIs in %.1f s\n", len(site.APIIDs), took.Seconds())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// publish publishes all APIs, one after the other, and returns how long it took.
func publish(ctx context.Context, site *demo.Site, limiter *rate.Limiter) (time.Duration, error) {
	cfg := site.Config
	cfg.Limiter = limiter // *rate.Limiter is an apig.Limiter as it is
	client, err := apig.New(cfg)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	for _, id := range site.APIIDs {
		if _, err := client.Publish(ctx, apig.PublishRequest{APIID: id, EnvID: apig.EnvRelease}); err != nil {
			return time.Since(begun), err
		}
	}
	return time.Since(begun), nil
}
