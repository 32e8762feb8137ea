// Pipeline publishes all of several APIs or none: if one fails, it puts the others
// back.
//
//	go run ./examples/pipeline [API ID ...]
//	go run ./examples/pipeline -fail    the built-in gateway refuses one of three
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/examples/internal/demo"
)

func main() {
	fail := flag.Bool("fail", false, "have the built-in gateway refuse one API")
	flag.Parse()
	site, err := demo.Open(3)
	if err == nil {
		if *fail && site.Gateway != nil {
			site.Gateway.RemoveAPI(site.APIIDs[2])
		}
		err = run(site.Config, site.APIIDs)
		site.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("all of them are published")
}

func run(cfg apig.Config, apiIDs []string) error {
	client, err := apig.New(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return release(ctx, client, apiIDs, "1.4.2")
}

// release publishes the APIs in RELEASE. If it returns an error, each API is as it was
// before, except for those that the error calls "left as it is" or "not put back".
func release(ctx context.Context, client *apig.Client, apiIDs []string, remark string) error {
	before := make(map[string]*apig.Version, len(apiIDs))
	for _, id := range apiIDs {
		v, err := client.Published(ctx, id, apig.EnvRelease)
		if err != nil && !errors.Is(err, apig.ErrNotPublished) && !errors.Is(err, apig.ErrNotFound) {
			return fmt.Errorf("nothing was changed: %w", err)
		}
		before[id] = v // nil: not published
	}
	result, err := client.PublishBatch(ctx, apig.PublishBatchRequest{APIIDs: apiIDs, EnvID: apig.EnvRelease, Remark: remark})
	if err == nil {
		return nil
	}
	if result == nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	failed := []error{fmt.Errorf("the release has failed: %w", err)}
	for _, item := range result.Items {
		record := item.Record
		var lost *apig.UnknownError
		if errors.As(item.Err, &lost) {
			if record, err = client.Settle(ctx, lost); apig.OutcomeOf(err) == apig.Unknown {
				failed = append(failed, fmt.Errorf("left as it is: %w", err))
				continue
			}
		}
		if record == nil {
			continue // not applied
		}
		if err := putBack(ctx, client, item.APIID, before[item.APIID]); err != nil {
			failed = append(failed, fmt.Errorf("not put back: %w", err))
		}
	}
	return errors.Join(failed...)
}

// putBack puts the version into effect again that was in effect before, or takes the
// API offline if there was none. Client.Rollback does neither: it goes to the version
// published before the current one.
func putBack(ctx context.Context, client *apig.Client, apiID string, before *apig.Version) error {
	var err error
	if before == nil {
		_, err = client.Offline(ctx, apig.OfflineRequest{APIID: apiID, EnvID: apig.EnvRelease})
	} else {
		_, err = client.SwitchVersion(ctx, apiID, before.ID)
	}
	return err
}
