package compat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdktime"
	official "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2/model"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// both is a gateway, and both clients of it, which sign with the same keys.
type both struct {
	*apigtest.Gateway
	t        *testing.T
	ours     *apig.Client
	official *official.ApigClient
	instance string
	api      string // published nowhere yet
}

func newBoth(t *testing.T) *both {
	t.Helper()
	b := &both{Gateway: apigtest.NewGateway(), t: t}
	t.Cleanup(b.Close)
	b.AddKeys(accessKey, secretKey, "")
	b.instance, b.api = b.InstanceID(), b.AddAPI("orders")

	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	ours, err := apig.New(apig.Config{
		Endpoint:   b.URL(),
		ProjectID:  b.ProjectID(),
		InstanceID: b.instance,
		Auth:       apig.StaticKeys(accessKey, secretKey),
		HTTPClient: &http.Client{Transport: transport},
		Retry:      apig.RetryPolicy{MaxAttempts: 1, SettleWait: time.Millisecond},
	})
	must(t, err)
	credentials, err := basic.NewCredentialsBuilder().WithAk(accessKey).WithSk(secretKey).WithProjectId(b.ProjectID()).SafeBuild()
	must(t, err)
	client, err := official.ApigClientBuilder().
		WithEndpoints([]string{b.URL()}).
		WithCredential(credentials).
		WithHttpConfig(config.DefaultHttpConfig().WithHttpTransport(transport)).
		SafeBuild()
	must(t, err)
	b.ours, b.official = ours, official.NewApigClient(client)
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same compares what should be equal.
func same[T any](t *testing.T, what string, official, ours T) {
	t.Helper()
	if !reflect.DeepEqual(official, ours) {
		t.Errorf("%s\nofficial %+v\nours     %+v", what, official, ours)
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func at(s *sdktime.SdkTime) time.Time {
	if s == nil {
		return time.Time{}
	}
	return time.Time(*s)
}

func ptr[T any](v T) *T { return &v }

// The calls of the official client.

func (b *both) action(action model.ApiActionInfoAction, apiID, envID, remark string) (*model.CreateOrDeletePublishRecordForApiV2Response, error) {
	return b.official.CreateOrDeletePublishRecordForApiV2(&model.CreateOrDeletePublishRecordForApiV2Request{
		InstanceId: b.instance,
		Body:       &model.ApiActionInfo{Action: action, EnvId: envID, ApiId: apiID, Remark: optional(remark)},
	})
}

func (b *both) publish(apiID, envID, remark string) (*model.CreateOrDeletePublishRecordForApiV2Response, error) {
	return b.action(model.GetApiActionInfoActionEnum().ONLINE, apiID, envID, remark)
}

func (b *both) offline(apiID, envID, remark string) (*model.CreateOrDeletePublishRecordForApiV2Response, error) {
	return b.action(model.GetApiActionInfoActionEnum().OFFLINE, apiID, envID, remark)
}

func (b *both) batch(action string, r apig.BatchRequest) (*model.BatchPublishOrOfflineApiV2Response, error) {
	body := &model.ApiBatchPublish{EnvId: r.EnvID, GroupId: optional(r.GroupID), Remark: optional(r.Remark)}
	if r.APIIDs != nil {
		body.Apis = &r.APIIDs
	}
	return b.official.BatchPublishOrOfflineApiV2(&model.BatchPublishOrOfflineApiV2Request{InstanceId: b.instance, Action: action, Body: body})
}

func (b *both) versions(apiID, envID string) (*model.ListApiVersionsV2Response, error) {
	return b.official.ListApiVersionsV2(&model.ListApiVersionsV2Request{
		InstanceId: b.instance, ApiId: apiID, EnvId: optional(envID), Offset: ptr(int64(0)), Limit: ptr(int32(500)),
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
	return b.official.ListApiRuntimeDefinitionV2(&model.ListApiRuntimeDefinitionV2Request{InstanceId: b.instance, ApiId: apiID, EnvId: optional(envID)})
}

func (b *both) environments(name string) (*model.ListEnvironmentsV2Response, error) {
	return b.official.ListEnvironmentsV2(&model.ListEnvironmentsV2Request{
		InstanceId: b.instance, Name: optional(name), Offset: ptr(int64(0)), Limit: ptr(int32(500)),
	})
}

func (b *both) apis(r model.ListApisV2Request) (*model.ListApisV2Response, error) {
	r.InstanceId, r.Offset, r.Limit = b.instance, ptr(int64(0)), ptr(int32(500))
	return b.official.ListApisV2(&r)
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// record is what both clients say of a publication.
type record struct {
	PublishID, APIID, APIName, EnvID, Remark string
	Time                                     time.Time
	VersionID                                string
}

func recordOf(r *apig.PublishRecord) record {
	return record{r.PublishID, r.APIID, r.APIName, r.EnvID, r.Remark, r.PublishTime, r.VersionID}
}

func officialRecord(r *model.PublishResp) record {
	return record{text(r.PublishId), text(r.ApiId), text(r.ApiName), text(r.EnvId), text(r.Remark), at(r.PublishTime), text(r.VersionId)}
}

// held is the same as the gateway has it.
func (b *both) held(apiID, envID string) record {
	v, _ := b.Published(apiID, envID)
	return record{v.PublishID, v.APIID, "orders", v.EnvID, v.Remark, v.Time, v.ID}
}

// version is what both clients say of a version.
type version struct {
	ID, Number, APIID, EnvID, EnvName, Remark string
	Time                                      time.Time
	Status                                    int
}

func (b *both) ourVersions(apiID, envID string) []version {
	b.t.Helper()
	var all []version
	for v, err := range b.ours.Versions(context.Background(), apig.VersionQuery{APIID: apiID, EnvID: envID}) {
		must(b.t, err)
		all = append(all, version{v.ID, v.Number, v.APIID, v.EnvID, v.EnvName, v.Remark, v.PublishTime, int(v.Status)})
	}
	return all
}

func (b *both) officialVersions(apiID, envID string) []version {
	b.t.Helper()
	resp, err := b.versions(apiID, envID)
	must(b.t, err)
	var all []version
	for _, v := range *resp.ApiVersions {
		all = append(all, version{
			text(v.VersionId), text(v.VersionNo), text(v.ApiId), text(v.EnvId), text(v.EnvName), text(v.Remark),
			at(v.PublishTime), int(v.Status.Value()),
		})
	}
	if int(resp.Total) != len(all) || int(resp.Size) != len(all) {
		b.t.Errorf("total %d, size %d of %d versions", resp.Total, resp.Size, len(all))
	}
	return all
}

// agree checks that both clients see the same versions, those that the gateway
// holds, of which there are to be n, the one with the given ID in effect; none
// is if that is empty.
func (b *both) agree(apiID, envID string, n int, inEffect string) {
	b.t.Helper()
	theirs := b.officialVersions(apiID, envID)
	same(b.t, "versions", theirs, b.ourVersions(apiID, envID))
	var held []version
	for _, v := range b.History(apiID, envID) {
		name, status := "RELEASE", 2
		if envID != apig.EnvRelease {
			name = "DEV"
		}
		if v.InEffect {
			status = 1
		}
		held = append(held, version{v.ID, v.Number, v.APIID, v.EnvID, name, v.Remark, v.Time.Truncate(time.Second), status})
	}
	same(b.t, "versions, and the gateway", theirs, held)
	if len(theirs) != n {
		b.t.Errorf("%d versions, want %d", len(theirs), n)
	}
	v, err := b.ours.Published(context.Background(), apiID, envID)
	if inEffect == "" {
		if !errors.Is(err, apig.ErrNotPublished) {
			b.t.Errorf("ours: %v, %v, want nothing published", v, err)
		}
		if slices.ContainsFunc(theirs, func(v version) bool { return v.Status == 1 }) {
			b.t.Errorf("official: %+v, want nothing published", theirs)
		}
		return
	}
	must(b.t, err)
	same(b.t, "in effect", inEffect, v.ID)
	for _, v := range theirs {
		same(b.t, "status of "+v.ID, 2-map[bool]int{true: 1}[v.ID == inEffect], v.Status)
	}
}

// Each client publishes and takes offline, and the other one sees that.
func TestPublishAndOffline(t *testing.T) {
	b, ctx := newBoth(t), context.Background()
	const remark = `发布 "1.4.2" <&>`

	first, err := b.publish(b.api, apig.EnvRelease, remark)
	must(t, err)
	theirs := record{
		text(first.PublishId), text(first.ApiId), text(first.ApiName), text(first.EnvId), text(first.Remark), at(first.PublishTime), text(first.VersionId),
	}
	same(t, "official publish, and the gateway", theirs, b.held(b.api, apig.EnvRelease))
	same(t, "status", first.HttpStatusCode, 201)
	b.agree(b.api, apig.EnvRelease, 1, theirs.VersionID)

	second, err := b.ours.Publish(ctx, apig.ActionRequest{APIID: b.api, EnvID: apig.EnvRelease, Remark: remark})
	must(t, err)
	same(t, "our publish, and the gateway", b.held(b.api, apig.EnvRelease), recordOf(second))
	same(t, "publication", theirs.PublishID, second.PublishID)
	b.agree(b.api, apig.EnvRelease, 2, second.VersionID)

	down, err := b.offline(b.api, apig.EnvRelease, "")
	must(t, err)
	b.agree(b.api, apig.EnvRelease, 2, "")
	_, err = b.publish(b.api, apig.EnvRelease, "")
	must(t, err)
	ourDown, err := b.ours.Offline(ctx, apig.ActionRequest{APIID: b.api, EnvID: apig.EnvRelease})
	must(t, err)
	b.agree(b.api, apig.EnvRelease, 3, "")
	same(t, "offline", record{
		text(down.PublishId), text(down.ApiId), text(down.ApiName), text(down.EnvId), text(down.Remark), at(down.PublishTime), text(down.VersionId),
	}, recordOf(ourDown))
}

func TestBatch(t *testing.T) {
	b, ctx := newBoth(t), context.Background()
	other := b.AddAPI("orders")
	group := b.AddGroup("shop")
	member := b.AddAPIIn(group, "orders")
	requests := map[string]apig.BatchRequest{
		"APIs":  {APIIDs: []string{other, "none", b.api}, EnvID: apig.EnvRelease, Remark: "1.4.2"},
		"group": {GroupID: group, EnvID: apig.EnvRelease},
	}
	for name, r := range requests {
		for _, action := range []string{"online", "offline"} {
			t.Run(name+"/"+action, func(t *testing.T) {
				do := b.ours.PublishBatch
				if action == "offline" {
					do = b.ours.OfflineBatch
				}
				before := len(b.Journal())
				theirs, err := b.batch(action, r)
				must(t, err)
				if action == "offline" {
					// Each has to find them published.
					_, err := b.batch("online", r)
					must(t, err)
				}
				ours, err := do(ctx, r)
				var failed *apig.BatchError
				if name == "group" {
					must(t, err)
				} else if !errors.As(err, &failed) || len(failed.Items) != 1 || len(ours.Items) != 3 {
					t.Fatalf("%+v, %v: want one failure of three", ours, err)
				}
				i := 0
				for _, item := range ours.Items {
					if item.Err != nil {
						continue
					}
					got, want := recordOf(item.Record), officialRecord(&(*theirs.Success)[i])
					i++
					if action == "online" { // each has made a version
						same(t, "our batch, and the gateway", b.held(item.APIID, apig.EnvRelease), got)
						want.VersionID, want.Time = got.VersionID, got.Time
					}
					same(t, "record", want, got)
				}
				same(t, "successes", len(*theirs.Success), i)
				if failed != nil {
					var e *apig.APIGError
					if !errors.As(err, &e) {
						t.Fatal(err)
					}
					f := (*theirs.Failure)[0]
					same(t, "failure", [4]string{text(f.ApiId), text(f.ApiName), text(f.ErrorCode), text(f.ErrorMsg)},
						[4]string{e.APIID, failed.Items[0].APIName, string(e.Code), e.Message})
				}
				if len(b.Journal()) < before+2*i {
					t.Errorf("%d changes by two batches of %d", len(b.Journal())-before, i)
				}
			})
		}
	}
	if _, ok := b.Published(member, apig.EnvRelease); ok {
		t.Error("the group is still published")
	}
}

func TestSwitchVersion(t *testing.T) {
	b, ctx := newBoth(t), context.Background()
	older, err := b.publish(b.api, apig.EnvRelease, "1.4.1")
	must(t, err)
	newer, err := b.publish(b.api, apig.EnvRelease, "1.4.2")
	must(t, err)

	back, err := b.switchTo(b.api, text(older.VersionId))
	must(t, err)
	b.agree(b.api, apig.EnvRelease, 2, text(older.VersionId))
	forth, err := b.ours.SwitchVersion(ctx, b.api, text(newer.VersionId))
	must(t, err)
	b.agree(b.api, apig.EnvRelease, 2, text(newer.VersionId))
	again, err := b.ours.SwitchVersion(ctx, b.api, text(older.VersionId))
	must(t, err)
	b.agree(b.api, apig.EnvRelease, 2, text(older.VersionId))

	theirs := record{text(back.PublishId), text(back.ApiId), text(back.ApiName), text(back.EnvId), text(back.Remark), again.PublishTime, text(back.VersionId)}
	same(t, "switch", theirs, recordOf(again))
	same(t, "status", back.HttpStatusCode, 200)
	if forth.Recovered || again.Recovered {
		t.Error("our client could not read the answer to a switch")
	}
}

func TestOfflineVersion(t *testing.T) {
	b := newBoth(t)
	first, err := b.publish(b.api, apig.EnvRelease, "")
	must(t, err)
	record, err := b.ours.OfflineVersion(context.Background(), b.api, text(first.VersionId))
	must(t, err)
	same(t, "record", *record, apig.PublishRecord{APIID: b.api, RequestID: record.RequestID})
	b.agree(b.api, apig.EnvRelease, 1, "")
	second, err := b.publish(b.api, apig.EnvRelease, "")
	must(t, err)
	resp, err := b.offlineVersion(text(second.VersionId))
	must(t, err)
	same(t, "status", resp.HttpStatusCode, 204)
	b.agree(b.api, apig.EnvRelease, 2, "")
}

func TestDefinitions(t *testing.T) {
	b, ctx := newBoth(t), context.Background()
	published, err := b.ours.Publish(ctx, apig.ActionRequest{APIID: b.api, EnvID: apig.EnvRelease})
	must(t, err)

	version, err := b.version(published.VersionID)
	must(t, err)
	ours, err := b.ours.VersionDefinition(ctx, published.VersionID)
	must(t, err)
	ours.Raw = nil
	same(t, "version", apig.Definition{
		APIID: text(version.Id), Name: version.Name, GroupID: version.GroupId, GroupName: text(version.GroupName),
		Protocol: version.ReqProtocol.Value(), Method: version.ReqMethod.Value(), Path: version.ReqUri, AuthType: version.AuthType.Value(),
		EnvID: text(version.RunEnvId), EnvName: text(version.RunEnvName), PublishID: text(version.PublishId), VersionID: text(version.VersionId),
	}, *ours)
	same(t, "time", at(version.PublishTime), published.PublishTime.Truncate(time.Second))

	runtime, err := b.runtime(b.api, apig.EnvRelease)
	must(t, err)
	ours, err = b.ours.RuntimeDefinition(ctx, b.api, apig.EnvRelease)
	must(t, err)
	ours.Raw = nil
	same(t, "runtime", apig.Definition{
		APIID: text(runtime.Id), Name: runtime.Name, GroupID: runtime.GroupId, GroupName: text(runtime.GroupName),
		Protocol: runtime.ReqProtocol.Value(), Method: runtime.ReqMethod.Value(), Path: runtime.ReqUri, AuthType: runtime.AuthType.Value(),
		EnvID: text(runtime.RunEnvId), EnvName: text(runtime.RunEnvName), PublishID: text(runtime.PublishId),
	}, *ours)
	same(t, "publication", text(runtime.PublishId), published.PublishID)
}

func TestEnvironments(t *testing.T) {
	b, ctx := newBoth(t), context.Background()
	created, err := b.official.CreateEnvironmentV2(&model.CreateEnvironmentV2Request{
		InstanceId: b.instance, Body: &model.EnvCreate{Name: "DEV", Remark: ptr("for development")},
	})
	must(t, err)
	same(t, "status", created.HttpStatusCode, 201)
	found, err := b.ours.EnvironmentByName(ctx, "DEV")
	must(t, err)
	same(t, "created", apig.Environment{
		ID: text(created.Id), Name: text(created.Name), Remark: text(created.Remark), CreateTime: at(created.CreateTime),
	}, *found)

	resp, err := b.environments("")
	must(t, err)
	var theirs, ours []apig.Environment
	for _, e := range *resp.Envs {
		theirs = append(theirs, apig.Environment{ID: text(e.Id), Name: text(e.Name), Remark: text(e.Remark), CreateTime: at(e.CreateTime)})
	}
	for e, err := range b.ours.Environments(ctx, apig.EnvironmentQuery{}) {
		must(t, err)
		ours = append(ours, e)
	}
	same(t, "environments", theirs, ours)
	same(t, "number of environments", 2, len(ours))

	record, err := b.ours.Publish(ctx, apig.ActionRequest{APIID: b.api, EnvID: found.ID})
	must(t, err)
	b.agree(b.api, text(created.Id), 1, record.VersionID)
	b.agree(b.api, apig.EnvRelease, 0, "")
}

func TestAPIs(t *testing.T) {
	b, ctx := newBoth(t), context.Background()
	dev, group := b.AddEnvironment("DEV"), b.AddGroup("shop")
	b.AddAPIIn(group, "orders2")
	for _, env := range []string{apig.EnvRelease, dev} {
		_, err := b.publish(b.api, env, "")
		must(t, err)
	}
	tests := map[string]struct {
		theirs model.ListApisV2Request
		ours   apig.APIQuery
		want   int
	}{
		"all":            {model.ListApisV2Request{}, apig.APIQuery{}, 2},
		"by name":        {model.ListApisV2Request{Name: ptr("orders"), PreciseSearch: ptr("name")}, apig.APIQuery{Name: "orders"}, 1},
		"by group":       {model.ListApisV2Request{GroupId: &group}, apig.APIQuery{GroupID: group}, 1},
		"by environment": {model.ListApisV2Request{EnvId: &dev}, apig.APIQuery{EnvID: dev}, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			resp, err := b.apis(tt.theirs)
			must(t, err)
			var theirs, ours []apig.API
			for _, a := range *resp.Apis {
				theirs = append(theirs, apig.API{
					ID: text(a.Id), Name: a.Name, GroupID: a.GroupId, GroupName: text(a.GroupName), Protocol: a.ReqProtocol.Value(),
					Method: a.ReqMethod.Value(), Path: a.ReqUri, AuthType: a.AuthType.Value(), Remark: text(a.Remark),
					Publications: publications(t, &a),
				})
			}
			for a, err := range b.ours.APIs(ctx, tt.ours) {
				must(t, err)
				ours = append(ours, a)
			}
			same(t, "APIs", theirs, ours)
			same(t, "number of APIs", tt.want, len(ours))
		})
	}
}

// publications takes the four lists of the official client apart.
func publications(t *testing.T, a *model.ApiInfoPerPage) []apig.Publication {
	t.Helper()
	if text(a.RunEnvId) == "" {
		return nil
	}
	ids, names := strings.Split(*a.RunEnvId, "|"), strings.Split(*a.RunEnvName, "|")
	published, times := strings.Split(*a.PublishId, "|"), strings.Split(*a.PublishTime, "|")
	var all []apig.Publication
	for i := range ids {
		when, err := time.Parse(time.RFC3339, times[i])
		must(t, err)
		all = append(all, apig.Publication{EnvID: ids[i], EnvName: names[i], PublishID: published[i], PublishTime: when})
	}
	return all
}

// Both clients make the same of a refusal.
func TestRefusals(t *testing.T) {
	b, ctx := newBoth(t), context.Background()
	published, err := b.publish(b.api, apig.EnvRelease, "")
	must(t, err)
	superseded := text(published.VersionId)
	_, err = b.publish(b.api, apig.EnvRelease, "")
	must(t, err)
	unpublished := b.AddAPI("unpublished")

	tests := map[string]struct {
		official func() error
		ours     func() error
		code     apig.Code
	}{
		"publish, no API": {
			func() error { _, err := b.publish("none", apig.EnvRelease, ""); return err },
			func() error {
				_, err := b.ours.Publish(ctx, apig.ActionRequest{APIID: "none", EnvID: apig.EnvRelease})
				return err
			},
			apig.CodeAPINotFound,
		},
		"publish, no environment": {
			func() error { _, err := b.publish(b.api, "none", ""); return err },
			func() error {
				_, err := b.ours.Publish(ctx, apig.ActionRequest{APIID: b.api, EnvID: "none"})
				return err
			},
			apig.CodeEnvNotFound,
		},
		"offline, not published": {
			func() error { _, err := b.offline(unpublished, apig.EnvRelease, ""); return err },
			func() error {
				_, err := b.ours.Offline(ctx, apig.ActionRequest{APIID: unpublished, EnvID: apig.EnvRelease})
				return err
			},
			apig.CodeNotPublished,
		},
		"history, no API": {
			func() error { _, err := b.versions("none", apig.EnvRelease); return err },
			func() error { _, err := b.ours.Published(ctx, "none", apig.EnvRelease); return err },
			apig.CodeAPINotFound,
		},
		"switch, no version": {
			func() error { _, err := b.switchTo(b.api, "none"); return err },
			func() error { _, err := b.ours.SwitchVersion(ctx, b.api, "none"); return err },
			apig.CodeVersionNotFound,
		},
		"offline of a version that is not in effect": {
			func() error { _, err := b.offlineVersion(superseded); return err },
			func() error { _, err := b.ours.OfflineVersion(ctx, b.api, superseded); return err },
			apig.CodeVersionNotFound,
		},
		"no version": {
			func() error { _, err := b.version("none"); return err },
			func() error { _, err := b.ours.VersionDefinition(ctx, "none"); return err },
			apig.CodeVersionNotFound,
		},
		"runtime, not published": {
			func() error { _, err := b.runtime(unpublished, apig.EnvRelease); return err },
			func() error { _, err := b.ours.RuntimeDefinition(ctx, unpublished, apig.EnvRelease); return err },
			apig.CodeNotPublished,
		},
	}
	type refusal struct {
		status        int
		code, message string
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var theirs *sdkerr.ServiceResponseError
			if err := tt.official(); !errors.As(err, &theirs) {
				t.Fatalf("official: %v", err)
			}
			var ours *apig.APIGError
			if err := tt.ours(); !errors.As(err, &ours) || errors.Is(err, apig.ErrOutcomeUnknown) {
				t.Fatalf("ours: %v", err)
			}
			same(t, "refusal", refusal{theirs.StatusCode, theirs.ErrorCode, theirs.ErrorMessage}, refusal{ours.StatusCode, string(ours.Code), ours.Message})
			same(t, "code", tt.code, ours.Code)
			requests := b.Requests()
			same(t, "request ids", [2]string{theirs.RequestId, ours.RequestID},
				[2]string{requests[len(requests)-2].ID, requests[len(requests)-1].ID})
		})
	}
}

// For the same call both clients send the same request.
func TestRequests(t *testing.T) {
	b, ctx := newBoth(t), context.Background()
	other, group := b.AddAPI("orders2"), b.AddGroup("shop")
	b.AddAPIIn(group, "orders3")
	const remark = `发布 "1.4.2" <&>`
	in := func(remark string) apig.ActionRequest {
		return apig.ActionRequest{APIID: b.api, EnvID: apig.EnvRelease, Remark: remark}
	}
	some := apig.BatchRequest{APIIDs: []string{other, b.api}, EnvID: apig.EnvRelease, Remark: remark}
	published := func() string {
		v, err := b.Publish(b.api, apig.EnvRelease, "")
		must(t, err)
		return v.ID
	}
	online := func() { published(); _, err := b.Publish(other, apig.EnvRelease, ""); must(t, err) }
	var id string
	another := func() { id = published() }
	v, err := b.Publish(b.AddAPI("kept"), apig.EnvRelease, "")
	must(t, err)
	kept := v.ID // whatever else is published

	calls := map[string]struct {
		before   func() // to be done before each
		official func() error
		ours     func() error
	}{
		"publish": {
			nil,
			func() error { _, err := b.publish(b.api, apig.EnvRelease, remark); return err },
			func() error { _, err := b.ours.Publish(ctx, in(remark)); return err },
		},
		"publish without a remark": {
			nil,
			func() error { _, err := b.publish(b.api, apig.EnvRelease, ""); return err },
			func() error { _, err := b.ours.Publish(ctx, in("")); return err },
		},
		"offline": {
			online,
			func() error { _, err := b.offline(b.api, apig.EnvRelease, ""); return err },
			func() error { _, err := b.ours.Offline(ctx, in("")); return err },
		},
		"batch": {
			nil,
			func() error { _, err := b.batch("online", some); return err },
			func() error { _, err := b.ours.PublishBatch(ctx, some); return err },
		},
		"batch offline": {
			online,
			func() error { _, err := b.batch("offline", some); return err },
			func() error { _, err := b.ours.OfflineBatch(ctx, some); return err },
		},
		"history": {
			nil,
			func() error { _, err := b.versions(b.api, apig.EnvRelease); return err },
			func() error { b.ourVersions(b.api, apig.EnvRelease); return nil },
		},
		"switch": {
			another,
			func() error { _, err := b.switchTo(b.api, id); return err },
			func() error { _, err := b.ours.SwitchVersion(ctx, b.api, id); return err },
		},
		"version": {
			nil,
			func() error { _, err := b.version(kept); return err },
			func() error { _, err := b.ours.VersionDefinition(ctx, kept); return err },
		},
		"runtime": {
			online,
			func() error { _, err := b.runtime(b.api, apig.EnvRelease); return err },
			func() error { _, err := b.ours.RuntimeDefinition(ctx, b.api, apig.EnvRelease); return err },
		},
		"environments": {
			nil,
			func() error { _, err := b.environments("RELEASE"); return err },
			func() error { _, err := b.ours.EnvironmentByName(ctx, "RELEASE"); return err },
		},
		"APIs": {
			nil,
			func() error {
				_, err := b.apis(model.ListApisV2Request{Name: ptr("orders"), PreciseSearch: ptr("name")})
				return err
			},
			func() error { _, err := b.ours.APIByName(ctx, "orders"); return err },
		},
		"no query": {
			nil,
			func() error { _, err := b.apis(model.ListApisV2Request{}); return err },
			func() error {
				for _, err := range b.ours.APIs(ctx, apig.APIQuery{}) {
					return err
				}
				return nil
			},
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			var sent [2]wire
			for i, do := range []func() error{call.official, call.ours} {
				if call.before != nil {
					call.before()
				}
				n := len(b.Requests())
				must(t, do())
				requests := b.Requests()[n:]
				if len(requests) != 1 {
					t.Fatalf("%d requests", len(requests))
				}
				sent[i] = wireOf(t, &requests[0])
			}
			if call.before != nil && strings.Contains(sent[0].Body, "version_id") {
				sent[0].Body, sent[1].Body = "version", "version" // each has its own
			}
			same(t, "request", sent[0], sent[1])
		})
	}

	// The one that has an ID of its own in its path.
	var sent [2]wire
	for i, do := range []func(string) error{
		func(id string) error { _, err := b.offlineVersion(id); return err },
		func(id string) error { _, err := b.ours.OfflineVersion(ctx, b.api, id); return err },
	} {
		id := published()
		must(t, do(id))
		requests := b.Requests()
		sent[i] = wireOf(t, &requests[len(requests)-1])
		sent[i].Path = strings.Replace(sent[i].Path, id, "", 1)
	}
	same(t, "request", sent[0], sent[1])
}

// wire is what counts of a request.
type wire struct {
	Op     apigtest.Op
	Method string
	Path   string
	Query  string // in order
	Body   string // as JSON without blanks, its keys in order
	Type   string // of the content, where there is some
}

func wireOf(t *testing.T, r *apigtest.Request) wire {
	t.Helper()
	sent := wire{Op: r.Op, Method: r.Method, Path: r.Path, Query: url.Values(r.Query).Encode()}
	if len(r.Body) == 0 {
		return sent
	}
	var body any
	must(t, json.Unmarshal(r.Body, &body))
	inOrder, err := json.Marshal(body)
	must(t, err)
	sent.Body, sent.Type = string(inOrder), r.Header.Get("Content-Type")
	return sent
}

// A whole page is the same to both, and so are the ten versions that are kept.
func TestTenVersions(t *testing.T) {
	b := newBoth(t)
	var last string
	for n := range 13 {
		v, err := b.Publish(b.api, apig.EnvRelease, fmt.Sprint("1.4.", n))
		must(t, err)
		last = v.ID
	}
	b.agree(b.api, apig.EnvRelease, 10, last)
}
