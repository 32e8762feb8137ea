package main

import (
	"context"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	official "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/apig/v2/model"
)

func newOfficial(g gateway) (*official.ApigClient, error) {
	credentials, err := basic.NewCredentialsBuilder().
		WithAk(accessKey).WithSk(secretKey).WithProjectId(projectID).
		SafeBuild()
	if err != nil {
		return nil, err
	}
	cfg := config.DefaultHttpConfig()
	if g.transport != nil {
		cfg.WithHttpRoundTripper(g.transport)
	}
	hc, err := official.ApigClientBuilder().
		WithEndpoints([]string{g.url}).
		WithCredential(credentials).
		WithHttpConfig(cfg).
		SafeBuild()
	if err != nil {
		return nil, err
	}
	return official.NewApigClient(hc), nil
}

// connectOfficial is Huawei Cloud's own SDK. It takes no context: a call ends
// after two minutes at the latest.
func connectOfficial(g gateway) (publish, error) {
	sdk, err := newOfficial(g)
	if err != nil {
		return nil, err
	}
	return func(_ context.Context, apiID string) error {
		note := remark
		_, err := sdk.CreateOrDeletePublishRecordForApiV2(&model.CreateOrDeletePublishRecordForApiV2Request{
			InstanceId: instanceID,
			Body: &model.ApiActionInfo{
				Action: model.GetApiActionInfoActionEnum().ONLINE,
				EnvId:  envID,
				ApiId:  apiID,
				Remark: &note,
			},
		})
		return err
	}, nil
}

// publishBatchOfficial publishes all of ids in one call.
func publishBatchOfficial(g gateway, ids []string) (func() error, error) {
	sdk, err := newOfficial(g)
	if err != nil {
		return nil, err
	}
	return func() error {
		note := remark
		_, err := sdk.BatchPublishOrOfflineApiV2(&model.BatchPublishOrOfflineApiV2Request{
			InstanceId: instanceID,
			Action:     "online",
			Body:       &model.ApiBatchPublish{Apis: &ids, EnvId: envID, Remark: &note},
		})
		return err
	}, nil
}
