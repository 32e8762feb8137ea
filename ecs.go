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

// metadataService is the address of the metadata service on every server of Elastic Cloud
// Server (ECS).
const metadataService = "http://169.254.169.254"

// ECSKeys gets the temporary keys of an ECS server's agency from the metadata service of
// that server. *ECSKeys is a [KeySource]; give it to [KeyAuth]. Its zero value is ready to
// use.
//
// Each attempt times out after 3 s. Each call of Keys requests a metadata token, without
// retries, and then the keys, with the usual retries for reads. In errors Op is ECS
// metadata.
type ECSKeys struct {
	// Endpoint replaces the metadata service in tests. Empty means
	// http://169.254.169.254. It gets no secret but the metadata token that it issued.
	Endpoint string

	// HTTPClient, if not nil, sends the requests. The default uses no proxy.
	HTTPClient *http.Client
}

// Keys gets the present keys from the metadata service.
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
	bad.httpClient("ECSKeys.HTTPClient", e.HTTPClient)
	return bad.err()
}

// metadataToken returns a header with the token for version 2 of the metadata service, or
// nil if there is only version 1, which the official SDK recognises by the same three
// statuses.
func metadataToken(ctx context.Context, metadata service) (http.Header, error) {
	metadata.retry = RetryPolicy{MaxAttempts: 1}.withDefaults() // 503 means version 1 here, and only an ECS server has this service
	header, err := read(ctx, &metadata, operation{
		name: "ECS metadata",
		request: request{
			method: http.MethodPut,
			path:   "/meta-data/latest/api/token",
			header: http.Header{"X-Metadata-Token-Ttl-Seconds": {"21600"}},
			body:   []byte{}, // without it resty sends a chunked body
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
			Access        string  `json:"access"`
			Secret        string  `json:"secret"`
			SecurityToken string  `json:"securitytoken"`
			ExpiresAt     rawText `json:"expires_at"`
		} `json:"credential"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return Keys{}, errors.New("the body is not JSON")
	}
	k := body.Credential
	keys := Keys{k.Access, Secret(k.Secret), Secret(k.SecurityToken), parseTime(k.ExpiresAt.text())}
	return keys, keys.check()
}
