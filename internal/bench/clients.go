package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	sdk "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2/model"

	"github.com/apig-go/apig"
)

// What all clients are told, and send.
const (
	projectID  = "773c3c42ef494bc0a1e1a6b8d5fab32f"
	instanceID = "eddc4d25480b4cd6b512f270a1b8b341"
	apiID      = "5f918d104dc84480a75166ba99efff21"
	envID      = "DEFAULT_ENVIRONMENT_RELEASE_ID"
	remark     = "Release 1.4.2 of the orders API"
	actionPath = "/v2/" + projectID + "/apigw/instances/" + instanceID + "/apis/action"

	// Published in the guide to signing; they belong to no account.
	accessKey = "QTWAOYTTINDUT2QVKYUC"
	secretKey = "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc"
)

// token makes a token of n bytes, from the letters of IAM's tokens.
func token(n int) string {
	return strings.Repeat("MIIEowYJKoZIhvcNAQcCoIIElDCCBJACAQExDTALBglghkgBZQMEAgE", n/50+1)[:n]
}

// distinctID makes an ID like those of the service, a different one for each i.
func distinctID(i int) string { return fmt.Sprintf("5f918d104dc84480a75166ba%08x", i) }

func distinctIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = distinctID(i)
	}
	return ids
}

// publisher is a client that is ready. Its calls succeed if the gateway has answered
// with a record.
type publisher struct {
	one   func(ctx context.Context, apiID string) error
	batch func(ctx context.Context, apiIDs []string) error // nil: it has none
}

// connect makes a client, for each column of the table. Without a token it signs with
// AK/SK. The official SDK always signs.
var connect = [columns]func(t http.RoundTripper, token string) (publisher, error){connectByHand, connectResty, connectTuned, connectOfficial, connectOurs}

// action is the body of a request by hand.
type action struct {
	Action string `json:"action"`
	EnvID  string `json:"env_id"`
	APIID  string `json:"api_id"`
	Remark string `json:"remark,omitempty"`
}

// record is what code by hand reads of a success.
type record struct {
	PublishID   string    `json:"publish_id"`
	APIID       string    `json:"api_id"`
	APIName     string    `json:"api_name"`
	EnvID       string    `json:"env_id"`
	Remark      string    `json:"remark"`
	PublishTime time.Time `json:"publish_time"`
	VersionID   string    `json:"version_id"`
}

// refusal is what code by hand reads of an error.
type refusal struct {
	status  int
	Code    string `json:"error_code"`
	Message string `json:"error_msg"`
}

func (r *refusal) Error() string { return http.StatusText(r.status) + ": " + r.Code + ": " + r.Message }

// connectByHand is hand-written code with the safety that this library has around
// one attempt: no redirects, a bounded time, a bounded and drained body, and a
// record that is checked. All others are compared with it.
func connectByHand(t http.RoundTripper, token string) (publisher, error) {
	hc := &http.Client{Transport: t, CheckRedirect: noRedirects}
	header := http.Header{ // all requests share it, since none changes it
		"Accept":       {"application/json"},
		"Content-Type": {"application/json;charset=UTF-8"},
		"User-Agent":   {"bench/1"},
		"X-Auth-Token": {token},
	}
	return publisher{one: func(ctx context.Context, apiID string) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		body, err := json.Marshal(action{"online", envID, apiID, remark})
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, stubURL+actionPath, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header = header
		resp, err := hc.Do(req)
		if err != nil {
			return err
		}
		return readRecord(resp, apiID)
	}}, nil
}

func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// readRecord reads an answer and says whether it is a record of the API.
func readRecord(resp *http.Response, apiID string) error {
	const maxBody, maxDrain = 1 << 20, 64 << 10
	defer resp.Body.Close()
	var body []byte
	var err error
	if n := resp.ContentLength; n > 0 && n <= maxDrain {
		body = make([]byte, n)
		_, err = io.ReadFull(resp.Body, body)
	} else if body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody)); err == nil && len(body) == maxBody {
		_, err = io.CopyN(io.Discard, resp.Body, maxDrain)
	}
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusCreated {
		refused := &refusal{status: resp.StatusCode}
		if err := json.Unmarshal(body, refused); err != nil {
			return fmt.Errorf("status %d: %w", resp.StatusCode, err)
		}
		return refused
	}
	var r record
	if err := json.Unmarshal(body, &r); err != nil {
		return err
	}
	if r.APIID != apiID || r.EnvID != envID || r.VersionID == "" {
		return errors.New("the body is not a record of this API")
	}
	return nil
}

// connectResty is resty as its documentation shows it.
func connectResty(t http.RoundTripper, token string) (publisher, error) {
	rest := resty.New().SetBaseURL(stubURL).SetHeader("X-Auth-Token", token).SetTransport(t)
	return publisher{one: func(ctx context.Context, apiID string) error {
		var r record
		var refused refusal
		resp, err := rest.R().SetContext(ctx).SetBody(action{"online", envID, apiID, remark}).
			SetResult(&r).SetError(&refused).Post(actionPath)
		if err != nil {
			return err
		}
		if resp.IsError() {
			refused.status = resp.StatusCode()
			return &refused
		}
		return nil
	}}, nil
}

// connectTuned is resty at its least cost: the URL is whole, the headers are the
// client's, the body is bytes already, and the answer is read as by hand.
func connectTuned(t http.RoundTripper, token string) (publisher, error) {
	rest := resty.NewWithClient(&http.Client{Transport: t, CheckRedirect: noRedirects}).
		SetDoNotParseResponse(true).
		SetHeader("Accept", "application/json").
		SetHeader("Content-Type", "application/json;charset=UTF-8").
		SetHeader("User-Agent", "bench/1").
		SetHeader("X-Auth-Token", token)
	url, blank := stubURL+actionPath, rest.R()
	return publisher{one: func(ctx context.Context, apiID string) error {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		body, err := json.Marshal(action{"online", envID, apiID, remark})
		if err != nil {
			return err
		}
		req := *blank // which saves the maps that R makes
		req.Header = http.Header{}
		resp, err := req.SetContext(ctx).SetBody(bytes.NewReader(body)).Post(url)
		if err != nil {
			return err
		}
		return readRecord(resp.RawResponse, apiID)
	}}, nil
}

// connectOfficial is Huawei Cloud's own SDK. It takes no context: a call ends after
// two minutes at the latest.
func connectOfficial(t http.RoundTripper, token string) (publisher, error) {
	keys, err := basic.NewCredentialsBuilder().WithAk(accessKey).WithSk(secretKey).WithProjectId(projectID).SafeBuild()
	if err != nil {
		return publisher{}, err
	}
	hc, err := sdk.ApigClientBuilder().WithEndpoints([]string{stubURL}).WithCredential(keys).
		WithHttpConfig(config.DefaultHttpConfig().WithHttpRoundTripper(t)).SafeBuild()
	if err != nil {
		return publisher{}, err
	}
	client, note := sdk.NewApigClient(hc), remark
	return publisher{
		one: func(_ context.Context, apiID string) error {
			_, err := client.CreateOrDeletePublishRecordForApiV2(&model.CreateOrDeletePublishRecordForApiV2Request{
				InstanceId: instanceID,
				Body:       &model.ApiActionInfo{Action: model.GetApiActionInfoActionEnum().ONLINE, EnvId: envID, ApiId: apiID, Remark: &note},
			})
			return err
		},
		batch: func(_ context.Context, ids []string) error {
			_, err := client.BatchPublishOrOfflineApiV2(&model.BatchPublishOrOfflineApiV2Request{
				InstanceId: instanceID,
				Action:     "online",
				Body:       &model.ApiBatchPublish{Apis: &ids, EnvId: envID, Remark: &note},
			})
			return err
		},
	}, nil
}

func newOurs(t http.RoundTripper, token string) (*apig.Client, error) {
	var auth apig.Authenticator = apig.StaticKeys(apig.Keys{AccessKey: accessKey, SecretKey: secretKey})
	if token != "" {
		auth = apig.StaticToken(token)
	}
	return apig.New(apig.Config{Endpoint: stubURL, ProjectID: projectID, InstanceID: instanceID, Auth: auth,
		UserAgent: "bench/1", HTTPClient: &http.Client{Transport: t}})
}

func connectOurs(t http.RoundTripper, token string) (publisher, error) {
	c, err := newOurs(t, token)
	return publisher{
		one: func(ctx context.Context, apiID string) error {
			_, err := c.Publish(ctx, apig.PublishRequest{APIID: apiID, EnvID: envID, Remark: remark})
			return err
		},
		batch: func(ctx context.Context, ids []string) error {
			_, err := c.PublishBatch(ctx, apig.PublishBatchRequest{APIIDs: ids, EnvID: envID, Remark: remark})
			return err
		},
	}, err
}
