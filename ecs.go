package apig

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/apig-go/apig/internal/errorbody"
)

// metadataService is where every server of the Elastic Cloud Server (ECS) finds
// out about itself.
const metadataService = "http://169.254.169.254"

// ECSKeys gets the temporary keys of the agency that an ECS server was given,
// from the metadata service of that server. *ECSKeys is a [KeySource]; give it to
// [KeyAuth]. Its zero value is ready to use.
//
// An attempt has 3 s. The token of the metadata service is asked for once, and the
// keys again as by any call that only reads. Of a failure Op is ECS metadata.
type ECSKeys struct {
	// Endpoint stands in for the metadata service in tests. Empty means
	// http://169.254.169.254. Nothing secret is sent there.
	Endpoint string

	// HTTPClient, if not nil, sends the requests. The default uses no proxy.
	HTTPClient *http.Client
}

// Keys gets the keys that the metadata service gives at present.
func (e *ECSKeys) Keys(ctx context.Context) (Keys, error) {
	if err := e.check(); err != nil {
		return Keys{}, err
	}
	cfg := Config{Endpoint: cmp.Or(e.Endpoint, metadataService), HTTPClient: e.HTTPClient, Auth: noAuth{}, AttemptTimeout: 3 * time.Second}
	if cfg.HTTPClient == nil {
		cfg.HTTPClient = &http.Client{Transport: &http.Transport{}}
	}
	metadata := newService(cfg)
	if e.HTTPClient == nil {
		defer metadata.http.CloseIdleConnections()
	}
	header, err := metadataToken(ctx, metadata)
	if err != nil {
		return Keys{}, err
	}
	return read(ctx, &metadata, operation{
		name:    "ECS metadata",
		request: request{method: http.MethodGet, path: "/openstack/latest/securitykey", header: header},
	}, decodeECSKeys)
}

// check reports the mistakes in e. The metadata service itself has no https.
func (e *ECSKeys) check() error {
	var bad problems
	u := checkAddress("ECSKeys.Endpoint", cmp.Or(e.Endpoint, metadataService), &bad)
	if u != nil && u.Scheme != "http" && u.Scheme != "https" {
		bad.addf("ECSKeys.Endpoint \"%s\" must be http or https", errorbody.Line(e.Endpoint, maxMessage))
	}
	if e.HTTPClient != nil {
		bad.notNil("ECSKeys.HTTPClient.Transport", e.HTTPClient.Transport)
	}
	return bad.err()
}

// metadataToken returns the header with the token that version 2 of the
// metadata service wants, and nil where there is only version 1, which the
// official SDK recognises by the same three statuses.
func metadataToken(ctx context.Context, metadata service) (http.Header, error) {
	metadata.retry.MaxAttempts = 1 // 503 is an answer here, and elsewhere than on an ECS nobody gives any
	header, err := read(ctx, &metadata, operation{
		name: "ECS metadata",
		request: request{
			method: http.MethodPut,
			path:   "/meta-data/latest/api/token",
			header: http.Header{"X-Metadata-Token-Ttl-Seconds": {"21600"}},
			body:   []byte{}, // of none at all resty would make a chunked one
		},
	}, func(a *answer) (http.Header, error) {
		if a.broken != nil {
			return nil, errors.New("the metadata token is not whole")
		}
		token := strings.TrimSpace(string(a.body))
		return http.Header{headerMetadataToken: {token}}, checkHeaderValue("metadata token", token)
	})
	var refused *APIGError
	if errors.As(err, &refused) {
		switch refused.StatusCode {
		case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusServiceUnavailable:
			return nil, nil
		}
	}
	return header, err
}

func decodeECSKeys(a *answer) (Keys, error) {
	var body struct {
		Credential struct {
			Access        string      `json:"access"`
			Secret        string      `json:"secret"`
			SecurityToken string      `json:"securitytoken"`
			ExpiresAt     gatewayTime `json:"expires_at"`
		} `json:"credential"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return Keys{}, errors.New("the body is not JSON")
	}
	k := body.Credential
	keys := Keys{k.Access, Secret(k.Secret), Secret(k.SecurityToken), k.ExpiresAt.Time}
	return keys, keys.check()
}
