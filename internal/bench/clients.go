package main

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// The columns of the table. The numbers are the lengths of tokens, 60 bytes where
// there is none.
const (
	colPlain        = "net/http"
	colSafe         = "net/http, same safety"
	colSafeLong     = "net/http, same safety, 4,000"
	colResty        = "resty"
	colTuned        = "resty, tuned"
	colTunedLong    = "resty, tuned, 4,000"
	colOfficial     = "official SDK, AK/SK"
	colOurs         = "apig"
	colOursLong     = "apig, 4,000"
	colOursKeys     = "apig, AK/SK"
	shortTokenBytes = 60
	longTokenBytes  = 4000
)

var columns = []string{
	colPlain, colSafe, colResty, colTuned, colOfficial, colOurs, colOursKeys, colSafeLong, colTunedLong, colOursLong,
}

// client is one way to publish an API.
type client struct {
	column  string
	connect func(gateway) (publish, error)
}

// publish makes the call under measurement. Without an error the gateway has
// answered with a record.
type publish func(ctx context.Context, apiID string) error

// gateway is where a client sends its requests, and how.
type gateway struct {
	url       string
	transport http.RoundTripper // nil: what the client has on its own
}

// clients are all of them, those with long tokens last.
var clients = []client{
	{colPlain, connectPlain},
	{colSafe, connectSafe(shortTokenBytes)},
	{colResty, connectResty},
	{colTuned, connectTuned(shortTokenBytes)},
	{colOfficial, connectOfficial},
	{colOurs, connectOurs(shortTokenBytes)},
	{colOursKeys, connectOursWithKeys},
	{colSafeLong, connectSafe(longTokenBytes)},
	{colTunedLong, connectTuned(longTokenBytes)},
	{colOursLong, connectOurs(longTokenBytes)},
}

// What all clients are told, and send.
const (
	projectID  = "773c3c42ef494bc0a1e1a6b8d5fab32f"
	instanceID = "eddc4d25480b4cd6b512f270a1b8b341"
	apiID      = "5f918d104dc84480a75166ba99efff21"
	envID      = "DEFAULT_ENVIRONMENT_RELEASE_ID"
	remark     = "Release 1.4.2 of the orders API"
	basePath   = "/v2/" + projectID + "/apigw/instances/" + instanceID
	actionPath = basePath + "/apis/action"
	userAgent  = "apig-bench/1"

	// Published in the guide to signing; they belong to nobody.
	accessKey = "QTWAOYTTINDUT2QVKYUC"
	secretKey = "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc"

	// attemptTimeout is what bounds a call where the client has a choice.
	attemptTimeout = time.Minute
)

// token makes a token of n bytes, from the letters that those of IAM have.
func token(n int) string {
	return strings.Repeat("MIIEowYJKoZIhvcNAQcCoIIElDCCBJACAQExDTALBglghkgBZQMEAgE", n/50+1)[:n]
}

// action is the body of the request.
type action struct {
	Action string `json:"action"`
	EnvID  string `json:"env_id"`
	APIID  string `json:"api_id"`
	Remark string `json:"remark,omitempty"`
}

// record is what a hand-written client reads of a success.
type record struct {
	PublishID   string    `json:"publish_id"`
	APIID       string    `json:"api_id"`
	APIName     string    `json:"api_name"`
	EnvID       string    `json:"env_id"`
	Remark      string    `json:"remark"`
	PublishTime time.Time `json:"publish_time"`
	VersionID   string    `json:"version_id"`
}

// refusal is what a hand-written client reads of an error.
type refusal struct {
	status  int
	Code    string `json:"error_code"`
	Message string `json:"error_msg"`
}

func (r *refusal) Error() string { return http.StatusText(r.status) + ": " + r.Code + ": " + r.Message }
