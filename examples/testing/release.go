// Package release is somebody's own code that publishes, to show how to test it.
// Its test is the example.
//
//	go test ./examples/testing
package release

import (
	"context"
	"fmt"
	"time"

	"github.com/apig-go/apig"
)

// Patience is how long Publish takes at most, before it looks again.
const Patience = 20 * time.Second

// Publish publishes an API in RELEASE and returns the ID of its version. If what
// became of it is unknown after Patience, it looks for as long again.
func Publish(ctx context.Context, client *apig.Client, apiID, remark string) (versionID string, err error) {
	first, cancel := context.WithTimeout(ctx, Patience)
	rec, err := client.Publish(first, apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease, Remark: remark})
	cancel()
	if apig.OutcomeOf(err) == apig.Unknown {
		second, cancel := context.WithTimeout(ctx, Patience)
		rec, err = client.Settle(second, err)
		cancel()
	}
	if err != nil {
		return "", fmt.Errorf("release of %s is %v: %w", remark, apig.OutcomeOf(err), err)
	}
	return rec.VersionID, nil
}
