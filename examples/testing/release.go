// Package release is code that uses apig. The example is its test.
//
//	go test ./examples/testing
package release

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apig-go/apig"
)

// Patience is how long one publication takes at most, and settling it after that.
const Patience = 20 * time.Second

// Publish publishes an API in RELEASE and returns the ID of its version. If the
// outcome is unknown, it looks again.
func Publish(ctx context.Context, client *apig.Client, apiID, remark string) (versionID string, err error) {
	first, cancel := context.WithTimeout(ctx, Patience)
	rec, err := client.Publish(first, apig.PublishRequest{APIID: apiID, EnvID: apig.EnvRelease, Remark: remark})
	cancel()
	var lost *apig.UnknownError
	if errors.As(err, &lost) {
		second, cancel := context.WithTimeout(ctx, Patience)
		rec, err = client.Settle(second, lost)
		cancel()
	}
	if err != nil {
		return "", fmt.Errorf("release of %s is %v: %w", remark, apig.OutcomeOf(err), err)
	}
	return rec.VersionID, nil
}
