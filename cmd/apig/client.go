package main

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/apig-go/apig"
)

// maxParallel is the most requests that --parallel may have in progress.
const maxParallel = 256

// clientOptions are what flags say about the client.
type clientOptions struct {
	disableTags bool
	maxAttempts int
	busyTimeout time.Duration
	verbose     bool
	wrap        func(http.RoundTripper) http.RoundTripper // or nil
}

// newClient makes the client that the environment describes.
func (p *program) newClient(o clientOptions) (*apig.Client, apig.Config, error) {
	cfg, err := p.config()
	if err != nil {
		return nil, cfg, err
	}
	cfg.UserAgent = "apig-command"
	cfg.DisableTags = o.disableTags
	cfg.Retry.MaxAttempts = cmp.Or(o.maxAttempts, cfg.Retry.MaxAttempts)
	cfg.Retry.BusyTimeout = cmp.Or(o.busyTimeout, cfg.Retry.BusyTimeout)
	if o.verbose {
		cfg.Logger = slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	hc := http.Client{}
	if cfg.HTTPClient != nil {
		hc = *cfg.HTTPClient
	}
	if hc.Transport == nil {
		hc.Transport = newTransport()
	}
	if o.wrap != nil {
		hc.Transport = o.wrap(hc.Transport)
	}
	cfg.HTTPClient = &hc
	client, err := apig.New(cfg)
	return client, cfg, err
}

// newTransport keeps as many connections as there may be workers, closes idle ones
// before a load balancer does, and notices dead HTTP/2 connections.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = maxParallel, maxParallel
	t.IdleConnTimeout = 30 * time.Second
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second}
	return t
}

// publication is what publish and offline are asked to do in an environment.
type publication struct {
	envID, remark, key string
	offline            bool
}

// one publishes one API, or takes it offline.
func (w publication) one(client *apig.Client) func(context.Context, target) (*apig.PublishRecord, error) {
	return func(ctx context.Context, t target) (*apig.PublishRecord, error) {
		if w.offline {
			return client.Offline(ctx, apig.OfflineRequest{APIID: t.id, EnvID: w.envID, Remark: w.remark})
		}
		return client.Publish(ctx, apig.PublishRequest{APIID: t.id, EnvID: w.envID, Remark: w.remark, IdempotencyKey: w.key})
	}
}

// many does the same for all APIs in one request. The result is nil if nothing was
// sent.
func (w publication) many(ctx context.Context, client *apig.Client, ids []string) (*apig.BatchResult, error) {
	if w.offline {
		return client.OfflineBatch(ctx, apig.OfflineBatchRequest{APIIDs: ids, EnvID: w.envID, Remark: w.remark})
	}
	return client.PublishBatch(ctx, apig.PublishBatchRequest{APIIDs: ids, EnvID: w.envID, Remark: w.remark, IdempotencyKey: w.key})
}

// environments are all environments of the gateway.
func environments(ctx context.Context, client *apig.Client) ([]apig.Environment, error) {
	var all []apig.Environment
	for e, err := range client.Environments(ctx) {
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// versions are the versions of an API, newest first; envID is empty for all
// environments.
func versions(ctx context.Context, client *apig.Client, apiID, envID string) ([]shownVersion, error) {
	all := []shownVersion{}
	for v, err := range client.Versions(ctx, apiID, envID) {
		if err != nil {
			return nil, err
		}
		all = append(all, shownVersion{v.ID, v.Number, v.EnvID, v.EnvName, v.InEffect(), v.PublishTime, v.Remark, v.Tag})
	}
	return all, nil
}
