package real

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	official "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/gateway"
)

// twin is a gateway with two clients that sign with the same keys: ours, and the one of
// the official SDK. Twins are alike, down to the IDs that they will make.
type twin struct {
	*gateway.Gateway
	ours                  *apig.Client
	official              *official.ApigClient
	instance              string
	orders, busy, retired string // APIs: published twice, published thirteen times, not published
	older, newer          string // versions of orders
	group, dev            string // a group with one API; an environment with orders
}

func newTwin(t *testing.T, now time.Time) *twin {
	t.Helper()
	g := gateway.NewGateway(gateway.WithSeed(1), gateway.WithClock(func() time.Time { return now }))
	t.Cleanup(g.Close)
	g.AddKeys(accessKey, secretKey, "")
	put := func(api, env, remark string) string {
		t.Helper()
		v, err := g.Publish(api, env, remark)
		require.NoError(t, err)
		return v.ID
	}
	w := &twin{Gateway: g, instance: g.InstanceID(), orders: g.AddAPI("orders"), busy: g.AddAPI("busy"), retired: g.AddAPI("retired")}
	w.group, w.dev = g.AddGroup("shop"), g.AddEnvironment("DEV")
	g.AddAPIIn(w.group, "orders2")
	put(w.orders, w.dev, "")
	w.older, w.newer = put(w.orders, apig.EnvRelease, "1.4.1"), put(w.orders, apig.EnvRelease, remark)
	for n := range 13 {
		put(w.busy, apig.EnvRelease, fmt.Sprint("1.4.", n))
	}

	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	var err error
	w.ours, err = apig.New(apig.Config{
		Endpoint:    g.URL(),
		ProjectID:   g.ProjectID(),
		InstanceID:  w.instance,
		Auth:        apig.StaticKeys(apig.Keys{AccessKey: accessKey, SecretKey: secretKey}),
		HTTPClient:  &http.Client{Transport: transport},
		Retry:       apig.RetryPolicy{MaxAttempts: 1},
		DisableTags: true, // the SDK sends none
	})
	require.NoError(t, err)
	credentials, err := basic.NewCredentialsBuilder().WithAk(accessKey).WithSk(secretKey).WithProjectId(g.ProjectID()).SafeBuild()
	require.NoError(t, err)
	client, err := official.ApigClientBuilder().
		WithEndpoints([]string{g.URL()}).
		WithCredential(credentials).
		WithHttpConfig(config.DefaultHttpConfig().WithHttpTransport(transport)).
		SafeBuild()
	require.NoError(t, err)
	w.official = official.NewApigClient(client)
	return w
}

const remark = `发布 "1.4.2" <&>`

func ptr[T any](v T) *T { return &v }

// Both calls of each kind, where more than one case makes them. The SDK wants the page
// that our client asks for by itself.

var first, most = ptr(int64(0)), ptr(int32(500))

func (w *twin) theirAction(action model.ApiActionInfoAction, api, remark string) (any, error) {
	body := &model.ApiActionInfo{Action: action, EnvId: apig.EnvRelease, ApiId: api}
	if remark != "" {
		body.Remark = &remark
	}
	return w.official.CreateOrDeletePublishRecordForApiV2(&model.CreateOrDeletePublishRecordForApiV2Request{InstanceId: w.instance, Body: body})
}

func (w *twin) ourPublish(api, remark string) (any, error) {
	return w.ours.Publish(context.Background(), apig.PublishRequest{APIID: api, EnvID: apig.EnvRelease, Remark: remark})
}

func (w *twin) ourOffline(api string) (any, error) {
	return w.ours.Offline(context.Background(), apig.OfflineRequest{APIID: api, EnvID: apig.EnvRelease})
}

// theirBatch returns the records and, behind them, the failures.
func (w *twin) theirBatch(action string, body model.ApiBatchPublish) (any, error) {
	body.EnvId = apig.EnvRelease
	answer, err := w.official.BatchPublishOrOfflineApiV2(&model.BatchPublishOrOfflineApiV2Request{InstanceId: w.instance, Action: action, Body: &body})
	if err != nil {
		return nil, err
	}
	rows := []any{}
	for _, record := range *answer.Success {
		rows = append(rows, record)
	}
	for _, failure := range *answer.Failure {
		rows = append(rows, failure)
	}
	return rows, nil
}

func ourBatch(result *apig.BatchResult, err error) (any, error) {
	var failed *apig.BatchError
	if err != nil && !errors.As(err, &failed) {
		return nil, err
	}
	rows := []any{}
	for _, item := range result.Items {
		var e *apig.APIGError
		if errors.As(item.Err, &e) {
			rows = append(rows, model.BatchFailure{ApiId: &e.APIID, ErrorCode: (*string)(&e.Code), ErrorMsg: &e.Message})
		} else {
			rows = append(rows, item.Record)
		}
	}
	return rows, nil
}

func (w *twin) theirSwitch(api, version string) (any, error) {
	return w.official.ChangeApiVersionV2(&model.ChangeApiVersionV2Request{
		InstanceId: w.instance, ApiId: api, Body: &model.ApiVersion{VersionId: &version},
	})
}

func (w *twin) theirOfflineVersion(version string) (any, error) {
	return w.official.DeleteApiByVersionIdV2(&model.DeleteApiByVersionIdV2Request{InstanceId: w.instance, VersionId: version})
}

func (w *twin) theirVersions(api string) (any, error) {
	return w.official.ListApiVersionsV2(&model.ListApiVersionsV2Request{InstanceId: w.instance, ApiId: api, Offset: first, Limit: most})
}

func (w *twin) theirVersion(version string) (any, error) {
	return w.official.ListApiVersionDetailV2(&model.ListApiVersionDetailV2Request{InstanceId: w.instance, VersionId: version})
}

func (w *twin) theirRuntime(api string) (any, error) {
	return w.official.ListApiRuntimeDefinitionV2(&model.ListApiRuntimeDefinitionV2Request{InstanceId: w.instance, ApiId: api, EnvId: ptr(apig.EnvRelease)})
}

func (w *twin) theirAPIs(r model.ListApisV2Request) (any, error) {
	r.InstanceId, r.Offset, r.Limit = w.instance, first, most
	return w.official.ListApisV2(&r)
}

// ourAPIs have their environments in one text, as in the answer.
func (w *twin) ourAPIs(query apig.APIQuery) (any, error) {
	type row struct {
		apig.API
		IDs   string `json:"run_env_id"`
		Names string `json:"run_env_name"`
	}
	apis, err := collect(w.ours.APIs(context.Background(), query))
	rows := []row{}
	for _, api := range apis {
		var ids, names []string
		for _, e := range api.Environments {
			ids, names = append(ids, e.ID), append(names, e.Name)
		}
		rows = append(rows, row{api, strings.Join(ids, "|"), strings.Join(names, "|")})
	}
	return rows, err
}

func collect[T any](all iter.Seq2[T, error]) (values []T, err error) {
	for v, err := range all {
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// The members of an answer that both clients read.
var (
	ofRecord      = []string{"publish_id", "api_id", "env_id", "remark", "publish_time", "version_id"}
	ofBatch       = append(ofRecord[:6:6], "api_name", "error_code", "error_msg")
	ofVersion     = []string{"version_id", "version_no", "api_id", "env_id", "env_name", "remark", "publish_time", "status"}
	ofEnvironment = []string{"id", "name"}
	ofAPI         = []string{"id", "name", "group_id", "group_name", "req_method", "req_uri", "run_env_id", "run_env_name"}
	ofDefinition  = []string{"id", "name", "run_env_id", "publish_id", "version_id"}
)

// TestOfficialSDK makes the same call with the official client and with ours, of
// gateways that are alike. It proves that ours sends what Huawei's own client sends,
// and understands of the answer or the refusal what Huawei's own client understands.
func TestOfficialSDK(t *testing.T) {
	ctx, actions := context.Background(), model.GetApiActionInfoActionEnum()
	now := time.Now().UTC().Truncate(time.Second) // the official client writes times without fractions
	for _, test := range []struct {
		name           string
		official, ours func(w *twin) (any, error)
		members        []string // nil: a refusal, or an answer without a body
	}{
		{"publish",
			func(w *twin) (any, error) { return w.theirAction(actions.ONLINE, w.orders, remark) },
			func(w *twin) (any, error) { return w.ourPublish(w.orders, remark) }, ofRecord},
		{"publish without a remark",
			func(w *twin) (any, error) { return w.theirAction(actions.ONLINE, w.orders, "") },
			func(w *twin) (any, error) { return w.ourPublish(w.orders, "") }, ofRecord},
		{"publish, no API",
			func(w *twin) (any, error) { return w.theirAction(actions.ONLINE, "none", "") },
			func(w *twin) (any, error) { return w.ourPublish("none", "") }, nil},
		{"offline",
			func(w *twin) (any, error) { return w.theirAction(actions.OFFLINE, w.orders, "") },
			func(w *twin) (any, error) { return w.ourOffline(w.orders) }, ofRecord},
		{"offline, not published",
			func(w *twin) (any, error) { return w.theirAction(actions.OFFLINE, w.retired, "") },
			func(w *twin) (any, error) { return w.ourOffline(w.retired) }, nil},
		{"batch of APIs, one unknown",
			func(w *twin) (any, error) {
				return w.theirBatch("online", model.ApiBatchPublish{Apis: &[]string{w.retired, w.orders, "none"}, Remark: ptr(remark)})
			},
			func(w *twin) (any, error) {
				return ourBatch(w.ours.PublishBatch(ctx, apig.PublishBatchRequest{
					APIIDs: []string{w.retired, w.orders, "none"}, EnvID: apig.EnvRelease, Remark: remark,
				}))
			}, ofBatch},
		{"batch offline, one unknown",
			func(w *twin) (any, error) {
				return w.theirBatch("offline", model.ApiBatchPublish{Apis: &[]string{w.busy, w.orders, "none"}})
			},
			func(w *twin) (any, error) {
				return ourBatch(w.ours.OfflineBatch(ctx, apig.OfflineBatchRequest{
					APIIDs: []string{w.busy, w.orders, "none"}, EnvID: apig.EnvRelease,
				}))
			}, ofBatch},
		{"switch",
			func(w *twin) (any, error) { return w.theirSwitch(w.orders, w.older) },
			func(w *twin) (any, error) { return w.ours.SwitchVersion(ctx, w.orders, w.older) }, ofRecord},
		{"switch, no version",
			func(w *twin) (any, error) { return w.theirSwitch(w.orders, "none") },
			func(w *twin) (any, error) { return w.ours.SwitchVersion(ctx, w.orders, "none") }, nil},
		{"offline of a version",
			func(w *twin) (any, error) { return w.theirOfflineVersion(w.newer) },
			func(w *twin) (any, error) { return w.ours.OfflineVersion(ctx, w.orders, w.newer) }, nil},
		{"offline of a version that is not in effect",
			func(w *twin) (any, error) { return w.theirOfflineVersion(w.older) },
			func(w *twin) (any, error) { return w.ours.OfflineVersion(ctx, w.orders, w.older) }, nil},
		{"history, ten versions",
			func(w *twin) (any, error) { return w.theirVersions(w.busy) },
			func(w *twin) (any, error) { return collect(w.ours.Versions(ctx, w.busy, apig.EnvRelease)) }, ofVersion},
		{"history, no API",
			func(w *twin) (any, error) { return w.theirVersions("none") },
			func(w *twin) (any, error) { return collect(w.ours.Versions(ctx, "none", apig.EnvRelease)) }, nil},
		{"definition",
			func(w *twin) (any, error) { return w.theirVersion(w.older) },
			func(w *twin) (any, error) { return w.ours.VersionDefinition(ctx, w.older) }, ofDefinition},
		{"definition, no version",
			func(w *twin) (any, error) { return w.theirVersion("none") },
			func(w *twin) (any, error) { return w.ours.VersionDefinition(ctx, "none") }, nil},
		{"definition at runtime",
			func(w *twin) (any, error) { return w.theirRuntime(w.orders) },
			func(w *twin) (any, error) { return w.ours.RuntimeDefinition(ctx, w.orders, apig.EnvRelease) }, ofDefinition},
		{"definition at runtime, not published",
			func(w *twin) (any, error) { return w.theirRuntime(w.retired) },
			func(w *twin) (any, error) { return w.ours.RuntimeDefinition(ctx, w.retired, apig.EnvRelease) }, nil},
		{"environments",
			func(w *twin) (any, error) {
				return w.official.ListEnvironmentsV2(&model.ListEnvironmentsV2Request{InstanceId: w.instance, Offset: first, Limit: most})
			},
			func(w *twin) (any, error) { return collect(w.ours.Environments(ctx)) }, ofEnvironment},
		{"APIs",
			func(w *twin) (any, error) { return w.theirAPIs(model.ListApisV2Request{}) },
			func(w *twin) (any, error) { return w.ourAPIs(apig.APIQuery{}) }, ofAPI},
		{"APIs by name",
			func(w *twin) (any, error) {
				return w.theirAPIs(model.ListApisV2Request{Name: ptr("orders"), PreciseSearch: ptr("name")})
			},
			func(w *twin) (any, error) { return w.ourAPIs(apig.APIQuery{Name: "orders"}) }, ofAPI},
		{"APIs of a group",
			func(w *twin) (any, error) { return w.theirAPIs(model.ListApisV2Request{GroupId: &w.group}) },
			func(w *twin) (any, error) { return w.ourAPIs(apig.APIQuery{GroupID: w.group}) }, ofAPI},
		{"APIs in an environment",
			func(w *twin) (any, error) { return w.theirAPIs(model.ListApisV2Request{EnvId: &w.dev}) },
			func(w *twin) (any, error) { return w.ourAPIs(apig.APIQuery{EnvID: w.dev}) }, ofAPI},
	} {
		t.Run(test.name, func(t *testing.T) {
			theirs, ours := newTwin(t, now), newTwin(t, now)
			theirAnswer, theirErr := test.official(theirs)
			ourAnswer, ourErr := test.ours(ours)
			assert.Equal(t, theirs.sent(t), ours.sent(t))
			assert.Equal(t, theirs.history(), ours.history())
			var refused *sdkerr.ServiceResponseError
			if !errors.As(theirErr, &refused) {
				require.NoError(t, theirErr)
				require.NoError(t, ourErr)
				assert.Equal(t, read(t, theirAnswer, test.members), read(t, ourAnswer, test.members))
				return
			}
			var e *apig.APIGError
			require.ErrorAs(t, ourErr, &e)
			assert.Equal(t, []any{refused.StatusCode, refused.ErrorCode, refused.ErrorMessage, refused.RequestId},
				[]any{e.StatusCode, string(e.Code), e.Message, e.RequestID})
			assert.Equal(t, apig.NotApplied, apig.OutcomeOf(ourErr))
			assert.Nil(t, test.members, "a call that should succeed")
		})
	}
}

// sent is the last request: its method, path, query and body, in the order of the names,
// and the type of its body.
func (w *twin) sent(t *testing.T) [5]string {
	t.Helper()
	r := w.Requests()[len(w.Requests())-1]
	sent := [5]string{r.Method, r.Path, url.Values(r.Query).Encode()}
	if len(r.Body) > 0 {
		var body any
		require.NoError(t, json.Unmarshal(r.Body, &body))
		sent[3], sent[4] = fmt.Sprint(body), r.Header.Get("Content-Type")
	}
	return sent
}

// history is every change of the gateway.
func (w *twin) history() []gateway.Applied {
	journal := w.Journal()
	for n := range journal {
		journal[n].Request = nil // sent compares it
	}
	return journal
}

// read returns members of each row of an answer. The types of both clients have the
// form of the service in JSON. A member that is absent there is empty in the answer.
func read(t *testing.T, answer any, members []string) (rows [][]any) {
	t.Helper()
	text, err := json.Marshal(answer)
	require.NoError(t, err)
	var all any
	require.NoError(t, json.Unmarshal(text, &all), "%s", text)
	if object, ok := all.(map[string]any); ok {
		all = []any{object}
		for _, list := range []string{"api_versions", "envs", "apis"} {
			if object[list] != nil {
				all = object[list]
			}
		}
	}
	for _, row := range all.([]any) {
		var values []any
		for _, name := range members {
			value := row.(map[string]any)[name]
			if at, ok := value.(string); value == nil || ok && strings.HasPrefix(at, "0001-01-01T00:00:00") {
				value = ""
			}
			values = append(values, value)
		}
		rows = append(rows, values)
	}
	return rows
}
