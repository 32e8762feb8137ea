// Pipeline publishes a set of APIs all or nothing: if one of them fails, the
// others are put back to what they were.
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
	cfg.Retry.TagRemark = true // nobody watches a pipeline
	client, err := apig.New(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	return release(ctx, client, apiIDs, "1.4.2")
}

// release publishes the APIs in RELEASE. An error says that it has put back what
// had been in effect there, or what it could not put back.
func release(ctx context.Context, client *apig.Client, apiIDs []string, remark string) error {
	before := make(map[string]*apig.Version, len(apiIDs))
	for _, id := range apiIDs {
		v, err := client.Published(ctx, id, apig.EnvRelease)
		if err != nil && !errors.Is(err, apig.ErrNotPublished) && !errors.Is(err, apig.ErrNotFound) {
			return fmt.Errorf("nothing was changed: %w", err)
		}
		before[id] = v // nil: it was not published
	}
	result, err := client.PublishBatch(ctx, apig.BatchRequest{APIIDs: apiIDs, EnvID: apig.EnvRelease, Remark: remark})
	if err == nil {
		return nil
	}
	if result == nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	failed := []error{fmt.Errorf("the release is off: %w", err)}
	for _, item := range result.Items {
		record := item.Record
		if apig.OutcomeOf(item.Err) == apig.Unknown {
			if record, err = client.Settle(ctx, item.Err); apig.OutcomeOf(err) == apig.Unknown {
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

// putBack is more exact than Client.Rollback, which does not know whether the API
// was published at all.
func putBack(ctx context.Context, client *apig.Client, apiID string, before *apig.Version) error {
	var err error
	if before == nil {
		_, err = client.Offline(ctx, apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease})
	} else {
		_, err = client.SwitchVersion(ctx, apiID, before.ID)
	}
	return err
}
