package main

import (
	"context"
	"errors"

	"github.com/apig-go/apig"
)

// unknownOf is what settle needs of a change whose outcome is unknown; of any
// other error it is nil.
func unknownOf(err error) *apig.UnknownError {
	var u *apig.UnknownError
	errors.As(err, &u)
	return u
}

// sentUnknown is what is known of a change when it is sent.
func (c *change) sentUnknown(to result, sent sending) *apig.UnknownError {
	return &apig.UnknownError{
		Op: c.op, InstanceID: c.reporter.report.InstanceID, APIID: to.APIID, EnvID: to.EnvID, VersionID: sent.versionID, Remark: sent.remark, Tagged: c.tagged,
		SentAt: sent.first, Attempts: sent.attempts,
	}
}

// newestFirst reads the versions of an API.
func newestFirst(ctx context.Context, client *apig.Client, apiID, envID string) ([]apig.Version, error) {
	var versions []apig.Version
	for v, err := range client.Versions(ctx, apig.VersionQuery{APIID: apiID, EnvID: envID}) {
		if err != nil {
			return nil, err
		}
		versions = append(versions, v)
	}
	return versions, nil
}
