package main

import (
	"context"
	"errors"
	"strconv"

	"github.com/apig-go/apig"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	official "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2/model"
)

// openOfficial is Huawei Cloud's own SDK with the usual loop around it: by
// itself it repeats nothing. It takes no context and signs with access keys.
func openOfficial(s site, w waits, over *wire) (client, error) {
	credentials, err := basic.NewCredentialsBuilder().
		WithAk(s.AccessKey).WithSk(s.SecretKey).WithProjectId(s.ProjectID).
		SafeBuild()
	if err != nil {
		return nil, err
	}
	hc, err := official.ApigClientBuilder().
		WithEndpoints([]string{s.URL}).
		WithCredential(credentials).
		WithHttpConfig(config.DefaultHttpConfig().WithHttpRoundTripper(over).WithTimeout(w.Attempt)).
		SafeBuild()
	if err != nil {
		return nil, err
	}
	sdk := official.NewApigClient(hc)
	publish := func(_ context.Context, what call) (string, error) {
		return usualLoop(w, func() (string, bool, error) { return tryOfficial(sdk, s.InstanceID, what) })
	}
	return single{publish, over.CloseIdleConnections}, nil
}

func tryOfficial(sdk *official.ApigClient, instanceID string, what call) (versionID string, again bool, err error) {
	actions, note := model.GetApiActionInfoActionEnum(), remark
	body := &model.ApiActionInfo{Action: actions.OFFLINE, EnvId: apig.EnvRelease, ApiId: what.APIIDs[0], Remark: &note}
	if what.Publish {
		body.Action = actions.ONLINE
	}
	invoker := sdk.CreateOrDeletePublishRecordForApiV2Invoker(
		&model.CreateOrDeletePublishRecordForApiV2Request{InstanceId: instanceID, Body: body})
	invoker.AddHeaders(map[string]string{callHeader: strconv.Itoa(what.ID)})
	resp, err := invoker.Invoke()
	if err != nil {
		var refused *sdkerr.ServiceResponseError
		return "", !errors.As(err, &refused) || worthAnother(refused.StatusCode), err
	}
	if resp.VersionId == nil {
		return "", false, nil
	}
	return *resp.VersionId, false, nil
}
