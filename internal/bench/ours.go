package main

import (
	"context"
	"net/http"

	"github.com/apig-go/apig"
)

func newOurs(g gateway, auth apig.Authenticator) (*apig.Client, error) {
	cfg := apig.Config{
		Endpoint:   g.url,
		ProjectID:  projectID,
		InstanceID: instanceID,
		Auth:       auth,
		UserAgent:  userAgent,
	}
	if g.transport != nil {
		cfg.HTTPClient = &http.Client{Transport: g.transport}
	}
	return apig.New(cfg)
}

func connectOurs(tokenBytes int) func(gateway) (publish, error) {
	return func(g gateway) (publish, error) { return ours(g, apig.StaticToken(token(tokenBytes))) }
}

func connectOursWithKeys(g gateway) (publish, error) {
	return ours(g, apig.StaticKeys(accessKey, secretKey))
}

func ours(g gateway, auth apig.Authenticator) (publish, error) {
	c, err := newOurs(g, auth)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, apiID string) error {
		_, err := c.Publish(ctx, apig.ActionRequest{APIID: apiID, EnvID: envID, Remark: remark})
		return err
	}, nil
}

// publishBatchOurs publishes all of ids in one call.
func publishBatchOurs(g gateway, ids []string) (func() error, error) {
	c, err := newOurs(g, apig.StaticToken(token(shortTokenBytes)))
	if err != nil {
		return nil, err
	}
	return func() error {
		_, err := c.PublishBatch(context.Background(), apig.BatchRequest{APIIDs: ids, EnvID: envID, Remark: remark})
		return err
	}, nil
}
