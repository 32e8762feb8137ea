// Package others has clients of other libraries make the same changes under the same
// faults as the one of this library, in simulated worlds.
//
//	go -C internal/simulation test -v ./others
package others

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	official "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2/model"

	"github.com/apig-go/apig/internal/simulation"
)

const changes = 10_000 // of each client

// attempts is how often each client tries, as this library does.
const attempts = 4

// TestOthers prints what each client reported beside what the gateway has done. This
// library's own reports must be right; those of the others decide nothing.
func TestOthers(t *testing.T) {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	columns := []string{"changes", "applied", "not applied", "unknown", "WRONG", "LOST", "DOUBLED", "LATE"}
	fmt.Fprintf(w, "client\t%s\trequests a change\t\n", strings.Join(columns, "\t"))
	for _, c := range []struct {
		name   string
		client simulation.Client
		tags   bool
	}{
		{"apig", nil, true}, {"apig without tags", nil, false}, {"resty with retries", withResty, false}, {"official SDK in a loop", withOfficial, false},
	} {
		count, findings := simulation.Compare(t, c.client, c.tags, changes)
		fmt.Fprint(w, c.name, "\t")
		for _, column := range columns {
			fmt.Fprint(w, count[column], "\t")
		}
		fmt.Fprintf(w, "%.2f\t\n", float64(count["requests"])/float64(count["changes"]))
		if c.client == nil && len(findings) > 0 {
			t.Errorf("%s: %s", c.name, strings.Join(findings, "\n"))
		}
	}
	w.Flush()
}

// again reports whether a status is one after which clients usually try again.
func again(status int) bool { return status >= 500 || status == http.StatusTooManyRequests }

// withResty lets resty retry.
func withResty(ctx context.Context, c simulation.Change) (string, error) {
	var made struct {
		VersionID string `json:"version_id"`
	}
	action := map[string]string{"action": "offline", "env_id": c.EnvID, "api_id": c.APIID, "remark": c.Remark}
	if c.Publish {
		action["action"] = "online"
	}
	resp, err := resty.New().SetTransport(c.Transport).SetTimeout(time.Minute).SetLogger(silent{}).
		SetRetryCount(attempts-1).SetRetryWaitTime(250*time.Millisecond).SetRetryMaxWaitTime(20*time.Second).
		AddRetryCondition(func(r *resty.Response, err error) bool { return err != nil || again(r.StatusCode()) }).
		R().SetContext(ctx).SetHeader("X-Auth-Token", c.Token).SetBody(action).SetResult(&made).
		Post(c.Endpoint + "/v2/" + c.Project + "/apigw/instances/" + c.Instance + "/apis/action")
	if err == nil && resp.IsError() {
		err = errors.New(resp.Status())
	}
	return made.VersionID, err
}

// silent keeps resty from writing to stderr.
type silent struct{}

func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Debugf(string, ...any) {}

// withOfficial has the usual loop around Huawei Cloud's own SDK, which retries
// nothing by itself, takes no context and signs with access keys.
func withOfficial(_ context.Context, c simulation.Change) (string, error) {
	keys, err := basic.NewCredentialsBuilder().WithAk(c.AccessKey).WithSk(c.SecretKey).WithProjectId(c.Project).SafeBuild()
	if err != nil {
		return "", err
	}
	hc, err := official.ApigClientBuilder().WithEndpoints([]string{c.Endpoint}).WithCredential(keys).
		WithHttpConfig(config.DefaultHttpConfig().WithHttpRoundTripper(c.Transport).WithTimeout(time.Minute)).SafeBuild()
	if err != nil {
		return "", err
	}
	actions := model.GetApiActionInfoActionEnum()
	body := &model.ApiActionInfo{Action: actions.OFFLINE, EnvId: c.EnvID, ApiId: c.APIID, Remark: &c.Remark}
	if c.Publish {
		body.Action = actions.ONLINE
	}
	for attempt, wait := 1, 250*time.Millisecond; ; attempt, wait = attempt+1, 2*wait {
		resp, err := official.NewApigClient(hc).CreateOrDeletePublishRecordForApiV2(
			&model.CreateOrDeletePublishRecordForApiV2Request{InstanceId: c.Instance, Body: body})
		var refused *sdkerr.ServiceResponseError
		switch {
		case err == nil && resp.VersionId == nil:
			return "", nil
		case err == nil:
			return *resp.VersionId, nil
		case attempt == attempts || errors.As(err, &refused) && !again(refused.StatusCode):
			return "", err
		}
		time.Sleep(wait)
	}
}
