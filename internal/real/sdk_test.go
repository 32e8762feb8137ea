package real

import (
	"context"
	"encoding/json"
	"fmt"
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

// both is a gateway with two clients that sign with the same keys: ours, and the one of
// the official SDK.
type both struct {
	*gateway.Gateway
	t        *testing.T
	ours     *apig.Client
	official *official.ApigClient
	instance string
	api      string // not published yet
}

func newBoth(t *testing.T) *both {
	t.Helper()
	b := &both{Gateway: gateway.NewGateway(), t: t}
	t.Cleanup(b.Close)
	b.AddKeys(accessKey, secretKey, "")
	b.instance, b.api = b.InstanceID(), b.AddAPI("orders")

	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	var err error
	b.ours, err = apig.New(apig.Config{
		Endpoint:   b.URL(),
		ProjectID:  b.ProjectID(),
		InstanceID: b.instance,
		Auth:       apig.StaticKeys(apig.Keys{AccessKey: accessKey, SecretKey: secretKey}),
		HTTPClient: &http.Client{Transport: transport},
		Retry:      apig.RetryPolicy{MaxAttempts: 1, SettleWait: time.Millisecond},

		DisableTags: true, // the SDK sends none
	})
	require.NoError(t, err)
	credentials, err := basic.NewCredentialsBuilder().WithAk(accessKey).WithSk(secretKey).WithProjectId(b.ProjectID()).SafeBuild()
	require.NoError(t, err)
	client, err := official.ApigClientBuilder().
		WithEndpoints([]string{b.URL()}).
		WithCredential(credentials).
		WithHttpConfig(config.DefaultHttpConfig().WithHttpTransport(transport)).
		SafeBuild()
	require.NoError(t, err)
	b.official = official.NewApigClient(client)
	return b
}

func ptr[T any](v T) *T { return &v }

// errOf is the error of a call.
func errOf[T any](_ T, err error) error { return err }

// Calls of the official client.

func (b *both) action(action model.ApiActionInfoAction, apiID, envID, remark string) (*model.CreateOrDeletePublishRecordForApiV2Response, error) {
	body := &model.ApiActionInfo{Action: action, EnvId: envID, ApiId: apiID}
	if remark != "" {
		body.Remark = &remark
	}
	return b.official.CreateOrDeletePublishRecordForApiV2(&model.CreateOrDeletePublishRecordForApiV2Request{InstanceId: b.instance, Body: body})
}

func (b *both) publish(apiID, envID, remark string) (*model.CreateOrDeletePublishRecordForApiV2Response, error) {
	return b.action(model.GetApiActionInfoActionEnum().ONLINE, apiID, envID, remark)
}

func (b *both) offline(apiID, envID string) (*model.CreateOrDeletePublishRecordForApiV2Response, error) {
	return b.action(model.GetApiActionInfoActionEnum().OFFLINE, apiID, envID, "")
}

func (b *both) batch(action string, body model.ApiBatchPublish) (*model.BatchPublishOrOfflineApiV2Response, error) {
	return b.official.BatchPublishOrOfflineApiV2(&model.BatchPublishOrOfflineApiV2Request{InstanceId: b.instance, Action: action, Body: &body})
}

func (b *both) versions(apiID, envID string) (*model.ListApiVersionsV2Response, error) {
	return b.official.ListApiVersionsV2(&model.ListApiVersionsV2Request{
		InstanceId: b.instance, ApiId: apiID, EnvId: &envID, Offset: ptr(int64(0)), Limit: ptr(int32(500)),
	})
}

func (b *both) switchTo(apiID, versionID string) (*model.ChangeApiVersionV2Response, error) {
	return b.official.ChangeApiVersionV2(&model.ChangeApiVersionV2Request{
		InstanceId: b.instance, ApiId: apiID, Body: &model.ApiVersion{VersionId: &versionID},
	})
}

func (b *both) offlineVersion(versionID string) (*model.DeleteApiByVersionIdV2Response, error) {
	return b.official.DeleteApiByVersionIdV2(&model.DeleteApiByVersionIdV2Request{InstanceId: b.instance, VersionId: versionID})
}

func (b *both) version(versionID string) (*model.ListApiVersionDetailV2Response, error) {
	return b.official.ListApiVersionDetailV2(&model.ListApiVersionDetailV2Request{InstanceId: b.instance, VersionId: versionID})
}

func (b *both) runtime(apiID, envID string) (*model.ListApiRuntimeDefinitionV2Response, error) {
	return b.official.ListApiRuntimeDefinitionV2(&model.ListApiRuntimeDefinitionV2Request{InstanceId: b.instance, ApiId: apiID, EnvId: &envID})
}

func (b *both) environments(name *string) (*model.ListEnvironmentsV2Response, error) {
	return b.official.ListEnvironmentsV2(&model.ListEnvironmentsV2Request{
		InstanceId: b.instance, Name: name, Offset: ptr(int64(0)), Limit: ptr(int32(500)),
	})
}

func (b *both) apis(r model.ListApisV2Request) (*model.ListApisV2Response, error) {
	r.InstanceId, r.Offset, r.Limit = b.instance, ptr(int64(0)), ptr(int32(500))
	return b.official.ListApisV2(&r)
}

// The members of an answer that both clients read.
var (
	ofRecord      = []string{"publish_id", "api_id", "api_name", "env_id", "remark", "publish_time", "version_id"}
	ofVersion     = []string{"version_id", "version_no", "api_id", "env_id", "env_name", "remark", "publish_time", "status"}
	ofEnvironment = []string{"id", "name"}
	ofAPI         = []string{"id", "name", "group_id", "group_name", "req_method", "req_uri"}
	ofDefinition  = []string{"id", "name", "run_env_id", "publish_id", "version_id"}
)

// fields are members of a value in JSON. The types of both clients have the form of the
// service there. Times are in whole seconds, because the official client writes no others.
func fields(t *testing.T, value any, names []string) map[string]any {
	t.Helper()
	text, err := json.Marshal(value)
	require.NoError(t, err)
	var all map[string]any
	require.NoError(t, json.Unmarshal(text, &all), "%s", text)
	chosen := map[string]any{}
	for _, name := range names {
		switch v := all[name].(type) {
		case nil:
			chosen[name] = ""
		case string:
			chosen[name] = v
			if at, err := time.Parse(time.RFC3339, v); err == nil && at.IsZero() {
				chosen[name] = ""
			} else if err == nil {
				chosen[name] = at.Truncate(time.Second).Format(time.RFC3339)
			}
		default:
			chosen[name] = v
		}
	}
	return chosen
}

// same fails unless both clients have read the same.
func same(t *testing.T, names []string, official, ours any) {
	t.Helper()
	assert.Equal(t, fields(t, official, names), fields(t, ours, names))
}

// agree fails unless both clients see the versions that the gateway has: n, with the one
// of this ID in effect, or none if the ID is empty.
func (b *both) agree(apiID, envID string, n int, inEffect string) {
	b.t.Helper()
	resp, err := b.versions(apiID, envID)
	require.NoError(b.t, err)
	var ours []apig.Version
	for v, err := range b.ours.Versions(context.Background(), apiID, envID) {
		require.NoError(b.t, err)
		ours = append(ours, v)
	}
	held := b.History(apiID, envID)
	require.Len(b.t, held, n)
	require.Len(b.t, *resp.ApiVersions, n)
	require.Len(b.t, ours, n)
	assert.EqualValues(b.t, n, resp.Total)
	for i, v := range held {
		same(b.t, ofVersion, (*resp.ApiVersions)[i], ours[i])
		assert.Equal(b.t, v.InEffect, v.ID == inEffect)
		got := fields(b.t, ours[i], ofVersion)
		assert.Equal(b.t, v.ID, ours[i].ID)
		assert.Equal(b.t, []any{v.ID, v.Number, v.APIID, v.EnvID, v.Remark, v.Time.UTC().Truncate(time.Second).Format(time.RFC3339)},
			[]any{got["version_id"], got["version_no"], got["api_id"], got["env_id"], got["remark"], got["publish_time"]})
	}
	v, err := b.ours.Published(context.Background(), apiID, envID)
	if inEffect == "" {
		require.ErrorIs(b.t, err, apig.ErrNotPublished)
		return
	}
	require.NoError(b.t, err)
	assert.Equal(b.t, inEffect, v.ID)
}

// held checks a record of our client against the gateway.
func (b *both) held(r *apig.PublishRecord) {
	b.t.Helper()
	v, ok := b.Published(r.APIID, r.EnvID)
	require.True(b.t, ok)
	assert.Equal(b.t, []any{v.PublishID, v.EnvID, v.ID, v.Remark}, []any{r.PublishID, r.EnvID, r.VersionID, fields(b.t, r, ofRecord)["remark"]})
	assert.True(b.t, v.Time.Equal(r.PublishTime))
}

// Each client publishes and takes offline, and the other one sees that.
func TestPublishAndOffline(t *testing.T) {
	b, ctx := newBoth(t), context.Background()
	const remark = `发布 "1.4.2" <&>`
	first, err := b.publish(b.api, apig.EnvRelease, remark)
	require.NoError(t, err)
	assert.Equal(t, 201, first.HttpStatusCode)
	b.agree(b.api, apig.EnvRelease, 1, *first.VersionId)

	second, err := publish.make(ctx, b.ours, b.api, remark)
	require.NoError(t, err)
	b.held(second)
	assert.Equal(t, *first.PublishId, second.PublishID)
	b.agree(b.api, apig.EnvRelease, 2, second.VersionID)

	theirs, err := b.offline(b.api, apig.EnvRelease)
	require.NoError(t, err)
	b.agree(b.api, apig.EnvRelease, 2, "")
	require.NoError(t, errOf(b.publish(b.api, apig.EnvRelease, "")))
	ours, err := offline.make(ctx, b.ours, b.api, "")
	require.NoError(t, err)
	b.agree(b.api, apig.EnvRelease, 3, "")
	same(t, ofRecord, theirs, ours)
}

func TestBatch(t *testing.T) {
	b, ctx := newBoth(t), context.Background()
	group := b.AddGroup("shop")
	b.AddAPIIn(group, "orders")
	some := []string{b.AddAPI("orders"), "none", b.api}
	for name, body := range map[string]model.ApiBatchPublish{
		"APIs":  {Apis: &some, EnvId: apig.EnvRelease},
		"group": {GroupId: &group, EnvId: apig.EnvRelease},
	} {
		r := apig.PublishBatchRequest{EnvID: apig.EnvRelease}
		failures := 0
		if name == "APIs" {
			r.APIIDs, failures = some, 1
		} else {
			r.GroupID = group
		}
		for action, do := range map[string]func(context.Context, apig.PublishBatchRequest) (*apig.BatchResult, error){
			"online": b.ours.PublishBatch,
			"offline": func(ctx context.Context, r apig.PublishBatchRequest) (*apig.BatchResult, error) {
				return b.ours.OfflineBatch(ctx, apig.OfflineBatchRequest{APIIDs: r.APIIDs, GroupID: r.GroupID, EnvID: r.EnvID})
			},
		} {
			t.Run(name+"/"+action, func(t *testing.T) {
				require.NoError(t, errOf(b.batch("online", body)))
				theirs, err := b.batch(action, body)
				require.NoError(t, err)
				require.NoError(t, errOf(b.batch("online", body)))
				ours, err := do(ctx, r)
				var failed *apig.BatchError
				if failures == 0 {
					require.NoError(t, err)
				} else {
					require.ErrorAs(t, err, &failed)
					require.Len(t, failed.Items, 1)
					require.Len(t, *theirs.Failure, 1)
					f := (*theirs.Failure)[0]
					var e *apig.APIGError
					require.ErrorAs(t, failed.Items[0].Err, &e)
					assert.Equal(t, []string{*f.ApiId, *f.ErrorCode, *f.ErrorMsg}, []string{e.APIID, string(e.Code), e.Message})
				}
				require.Len(t, ours.Items, len(*theirs.Success)+failures)
				i := 0
				for _, item := range ours.Items {
					if item.Err != nil {
						continue
					}
					names := ofRecord
					if action == "online" { // each has made a version of its own
						b.held(item.Record)
						names = []string{"publish_id", "api_id", "api_name", "env_id"}
					}
					same(t, names, (*theirs.Success)[i], item.Record)
					_, published := b.Published(item.APIID, apig.EnvRelease)
					assert.Equal(t, action == "online", published)
					i++
				}
			})
		}
	}
}

func TestSwitchVersion(t *testing.T) {
	b, ctx := newBoth(t), context.Background()
	older, err := b.publish(b.api, apig.EnvRelease, "1.4.1")
	require.NoError(t, err)
	newer, err := b.publish(b.api, apig.EnvRelease, "1.4.2")
	require.NoError(t, err)
	theirs, err := b.switchTo(b.api, *older.VersionId)
	require.NoError(t, err)
	b.agree(b.api, apig.EnvRelease, 2, *older.VersionId)
	forth, err := b.ours.SwitchVersion(ctx, b.api, *newer.VersionId)
	require.NoError(t, err)
	b.agree(b.api, apig.EnvRelease, 2, *newer.VersionId)
	back, err := b.ours.SwitchVersion(ctx, b.api, *older.VersionId)
	require.NoError(t, err)
	b.agree(b.api, apig.EnvRelease, 2, *older.VersionId)
	same(t, []string{"publish_id", "api_id", "env_id", "version_id", "remark"}, theirs, back)
	assert.False(t, forth.Recovered || back.Recovered, "from the history")
}

func TestOfflineVersion(t *testing.T) {
	b := newBoth(t)
	first, err := b.publish(b.api, apig.EnvRelease, "")
	require.NoError(t, err)
	require.NoError(t, errOf(b.ours.OfflineVersion(context.Background(), b.api, *first.VersionId)))
	b.agree(b.api, apig.EnvRelease, 1, "")
	second, err := b.publish(b.api, apig.EnvRelease, "")
	require.NoError(t, err)
	require.NoError(t, errOf(b.offlineVersion(*second.VersionId)))
	b.agree(b.api, apig.EnvRelease, 2, "")
}

func TestDefinitions(t *testing.T) {
	b, ctx := newBoth(t), context.Background()
	published, err := publish.make(ctx, b.ours, b.api, "")
	require.NoError(t, err)
	version, err := b.version(published.VersionID)
	require.NoError(t, err)
	ours, err := b.ours.VersionDefinition(ctx, published.VersionID)
	require.NoError(t, err)
	same(t, ofDefinition, version, ours)
	assert.Equal(t, published.VersionID, ours.VersionID)
	runtime, err := b.runtime(b.api, apig.EnvRelease)
	require.NoError(t, err)
	ours, err = b.ours.RuntimeDefinition(ctx, b.api, apig.EnvRelease)
	require.NoError(t, err)
	same(t, ofDefinition, runtime, ours)
	assert.Equal(t, published.PublishID, ours.PublishID)
}

func TestEnvironments(t *testing.T) {
	b, ctx := newBoth(t), context.Background()
	created, err := b.official.CreateEnvironmentV2(&model.CreateEnvironmentV2Request{
		InstanceId: b.instance, Body: &model.EnvCreate{Name: "DEV", Remark: ptr("for development")},
	})
	require.NoError(t, err)
	found, err := b.ours.EnvironmentByName(ctx, "DEV")
	require.NoError(t, err)
	same(t, ofEnvironment, created, found)
	resp, err := b.environments(nil)
	require.NoError(t, err)
	require.Len(t, *resp.Envs, 2)
	for i, theirs := range *resp.Envs {
		ours, err := b.ours.EnvironmentByName(ctx, *theirs.Name)
		require.NoError(t, err)
		same(t, ofEnvironment, theirs, ours)
		assert.Equal(t, *(*resp.Envs)[i].Id, ours.ID)
	}
}

func TestAPIs(t *testing.T) {
	b, ctx := newBoth(t), context.Background()
	dev, group := b.AddEnvironment("DEV"), b.AddGroup("shop")
	b.AddAPIIn(group, "orders2")
	for _, env := range []string{apig.EnvRelease, dev} {
		require.NoError(t, errOf(b.publish(b.api, env, "")))
	}
	for _, tt := range []struct {
		theirs model.ListApisV2Request
		ours   apig.APIQuery
		want   int
	}{
		{model.ListApisV2Request{}, apig.APIQuery{}, 2},
		{model.ListApisV2Request{Name: ptr("orders"), PreciseSearch: ptr("name")}, apig.APIQuery{Name: "orders"}, 1},
		{model.ListApisV2Request{GroupId: &group}, apig.APIQuery{GroupID: group}, 1},
		{model.ListApisV2Request{EnvId: &dev}, apig.APIQuery{EnvID: dev}, 1},
	} {
		resp, err := b.apis(tt.theirs)
		require.NoError(t, err)
		require.Len(t, *resp.Apis, tt.want)
		i := 0
		for ours, err := range b.ours.APIs(ctx, tt.ours) {
			require.NoError(t, err)
			theirs := (*resp.Apis)[i]
			same(t, ofAPI, theirs, ours)
			if theirs.RunEnvId != nil { // lists, in one text each
				var ids, names []string
				for _, e := range ours.Environments {
					ids, names = append(ids, e.ID), append(names, e.Name)
				}
				assert.Equal(t, [2]string{*theirs.RunEnvId, *theirs.RunEnvName}, [2]string{strings.Join(ids, "|"), strings.Join(names, "|")})
			}
			i++
		}
		assert.Equal(t, tt.want, i)
	}
}

// twice is the same call of both clients.
type twice struct {
	name           string
	official, ours func() error
}

// Both clients make the same of a refusal.
func TestRefusals(t *testing.T) {
	b, ctx := newBoth(t), context.Background()
	published, err := b.publish(b.api, apig.EnvRelease, "")
	require.NoError(t, err)
	superseded := *published.VersionId
	require.NoError(t, errOf(b.publish(b.api, apig.EnvRelease, "")))
	unpublished := b.AddAPI("unpublished")
	for _, call := range []twice{
		{"publish, no API",
			func() error { return errOf(b.publish("none", apig.EnvRelease, "")) },
			func() error { return errOf(publish.make(ctx, b.ours, "none", "")) }},
		{"offline, not published",
			func() error { return errOf(b.offline(unpublished, apig.EnvRelease)) },
			func() error { return errOf(offline.make(ctx, b.ours, unpublished, "")) }},
		{"history, no API",
			func() error { return errOf(b.versions("none", apig.EnvRelease)) },
			func() error { return errOf(b.ours.Published(ctx, "none", apig.EnvRelease)) }},
		{"switch, no version",
			func() error { return errOf(b.switchTo(b.api, "none")) },
			func() error { return errOf(b.ours.SwitchVersion(ctx, b.api, "none")) }},
		{"offline of a version that is not in effect",
			func() error { return errOf(b.offlineVersion(superseded)) },
			func() error { return errOf(b.ours.OfflineVersion(ctx, b.api, superseded)) }},
		{"no version",
			func() error { return errOf(b.version("none")) },
			func() error { return errOf(b.ours.VersionDefinition(ctx, "none")) }},
		{"runtime, not published",
			func() error { return errOf(b.runtime(unpublished, apig.EnvRelease)) },
			func() error { return errOf(b.ours.RuntimeDefinition(ctx, unpublished, apig.EnvRelease)) }},
	} {
		t.Run(call.name, func(t *testing.T) {
			var theirs *sdkerr.ServiceResponseError
			require.ErrorAs(t, call.official(), &theirs)
			asked := b.Requests()[len(b.Requests())-1]
			err := call.ours()
			assert.Equal(t, apig.NotApplied, apig.OutcomeOf(err))
			var ours *apig.APIGError
			require.ErrorAs(t, err, &ours)
			assert.Equal(t, []any{theirs.StatusCode, theirs.ErrorCode, theirs.ErrorMessage}, []any{ours.StatusCode, string(ours.Code), ours.Message})
			assert.Equal(t, asked.ID, theirs.RequestId)
			assert.Equal(t, b.Requests()[len(b.Requests())-1].ID, ours.RequestID)
		})
	}
}

// For the same call both clients send the same request.
func TestRequests(t *testing.T) {
	b, ctx := newBoth(t), context.Background()
	const remark = `发布 "1.4.2" <&>`
	some := []string{b.AddAPI("orders2"), b.api}
	theirSome := model.ApiBatchPublish{Apis: &some, EnvId: apig.EnvRelease, Remark: ptr(remark)}
	ourSome := apig.PublishBatchRequest{APIIDs: some, EnvID: apig.EnvRelease, Remark: remark}
	put := func() string {
		t.Helper()
		v, err := b.Publish(b.api, apig.EnvRelease, "")
		require.NoError(t, err)
		return v.ID
	}
	older, newer := put(), put()
	back := func() { require.NoError(t, errOf(b.switchTo(b.api, older))) }
	for _, call := range []twice{
		{"version",
			func() error { return errOf(b.version(older)) },
			func() error { return errOf(b.ours.VersionDefinition(ctx, older)) }},
		{"publish",
			func() error { return errOf(b.publish(b.api, apig.EnvRelease, remark)) },
			func() error { return errOf(publish.make(ctx, b.ours, b.api, remark)) }},
		{"publish without a remark",
			func() error { return errOf(b.publish(b.api, apig.EnvRelease, "")) },
			func() error { return errOf(publish.make(ctx, b.ours, b.api, "")) }},
		{"switch",
			func() error { back(); return errOf(b.switchTo(b.api, newer)) },
			func() error { back(); return errOf(b.ours.SwitchVersion(ctx, b.api, newer)) }},
		{"offline of a version",
			func() error { put(); back(); return errOf(b.offlineVersion(older)) },
			func() error { put(); back(); return errOf(b.ours.OfflineVersion(ctx, b.api, older)) }},
		{"offline",
			func() error { put(); return errOf(b.offline(b.api, apig.EnvRelease)) },
			func() error { put(); return errOf(offline.make(ctx, b.ours, b.api, "")) }},
		{"batch",
			func() error { return errOf(b.batch("online", theirSome)) },
			func() error { return errOf(b.ours.PublishBatch(ctx, ourSome)) }},
		{"runtime",
			func() error { return errOf(b.runtime(b.api, apig.EnvRelease)) },
			func() error { return errOf(b.ours.RuntimeDefinition(ctx, b.api, apig.EnvRelease)) }},
		{"environments",
			func() error { return errOf(b.environments(nil)) },
			func() error { return errOf(b.ours.EnvironmentByName(ctx, "RELEASE")) }},
		{"APIs",
			func() error {
				return errOf(b.apis(model.ListApisV2Request{Name: ptr("orders"), PreciseSearch: ptr("name")}))
			},
			func() error { return errOf(b.ours.APIByName(ctx, "orders")) }},
	} {
		t.Run(call.name, func(t *testing.T) {
			require.NoError(t, call.official())
			theirs := b.sent()
			require.NoError(t, call.ours())
			assert.Equal(t, theirs, b.sent())
		})
	}
}

// sent is the last request: its method, path, query and body, in the order of the names,
// and the type of its body.
func (b *both) sent() [5]string {
	b.t.Helper()
	r := b.Requests()[len(b.Requests())-1]
	sent := [5]string{r.Method, r.Path, url.Values(r.Query).Encode()}
	if len(r.Body) > 0 {
		var body any
		require.NoError(b.t, json.Unmarshal(r.Body, &body))
		sent[3], sent[4] = fmt.Sprint(body), r.Header.Get("Content-Type")
	}
	return sent
}

// A whole history is the same to both: the ten versions that the gateway keeps.
func TestTenVersions(t *testing.T) {
	b := newBoth(t)
	var last string
	for n := range 13 {
		v, err := b.Publish(b.api, apig.EnvRelease, fmt.Sprint("1.4.", n))
		require.NoError(t, err)
		last = v.ID
	}
	b.agree(b.api, apig.EnvRelease, 10, last)
}
