package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// maxRemark is the service's limit for a remark, in characters.
const maxRemark = 255

// ActionRequest says which API to publish or take offline, and where.
type ActionRequest struct {
	APIID  string // required
	EnvID  string // required; EnvRelease is the environment every gateway has
	Remark string // at most 255 characters; 243 with RetryPolicy.TagRemark
}

// Publish publishes the API in the environment, as it is defined now.
// Publishing what is published already makes a new version.
//
// With a record the publication is in effect. With an error that matches
// ErrOutcomeUnknown it may be. With any other error nothing was published.
func (c *Client) Publish(ctx context.Context, r ActionRequest) (*PublishRecord, error) {
	if err := r.check(c.remarkLimit()); err != nil {
		return nil, err
	}
	r.Remark = c.tagged(r.Remark)
	return c.act(ctx, "Publish", "online", r, func(t *turn) operation[*PublishRecord] {
		return operation[*PublishRecord]{
			decode: r.decodePublished,
			settle: func(ctx context.Context, l lost) settled[*PublishRecord] {
				return c.settlePublish(ctx, l, "Publish", r, t)
			},
		}
	})
}

// Offline takes the API offline in the environment. ErrNotPublished says that
// it was not published there.
//
// With a record it is offline. With an error that matches ErrOutcomeUnknown it
// may be. With any other error nothing was changed.
func (c *Client) Offline(ctx context.Context, r ActionRequest) (*PublishRecord, error) {
	if err := r.check(maxRemark); err != nil {
		return nil, err
	}
	return c.act(ctx, "Offline", "offline", r, func(t *turn) operation[*PublishRecord] {
		return operation[*PublishRecord]{
			decode: r.decodeOffline,
			settle: func(ctx context.Context, l lost) settled[*PublishRecord] {
				return c.settleOffline(ctx, l, "Offline", r, t)
			},
			forgive: func(code Code) (*PublishRecord, bool) {
				return r.takenOffline(), code == CodeNotPublished || code == CodeAlreadyPerformed
			},
		}
	})
}

// act waits for the turn and makes the one request that both directions share.
func (c *Client) act(ctx context.Context, name, action string, r ActionRequest,
	direction func(*turn) operation[*PublishRecord],
) (*PublishRecord, error) {
	body, err := json.Marshal(struct {
		Action string `json:"action"`
		EnvID  string `json:"env_id"`
		APIID  string `json:"api_id"`
		Remark string `json:"remark,omitempty"`
	}{action, r.EnvID, r.APIID, r.Remark})
	if err != nil {
		return nil, err
	}
	t, err := c.turns.take(ctx, place{c.instanceID, r.APIID})
	if err != nil {
		return nil, &interruptedError{subject: subject(name, r.APIID), ctx: err}
	}
	defer c.turns.release(t)

	op := direction(t)
	op.name, op.apiID = name, r.APIID
	op.method, op.path, op.body = http.MethodPost, "/apis/action", body
	record, err := call(ctx, c, op)
	if action == "online" {
		t.published(r.EnvID, r.Remark, record, err, 2*c.retry.SettleWait)
	}
	return record, err
}

func (r ActionRequest) check(maxRemark int) error {
	var bad problems
	bad.id("APIID", r.APIID)
	bad.id("EnvID", r.EnvID)
	bad.remark(r.Remark, maxRemark)
	return bad.err()
}

// decodePublished reads the answer to a publication: a record of this API in
// this environment that names what was made.
func (r ActionRequest) decodePublished(a *answer) (*PublishRecord, error) {
	record, err := r.decode(a)
	if err == nil && !record.namesPublication() {
		return nil, errors.New("the record names neither publication nor version")
	}
	return record, err
}

// decodeOffline reads the answer to a withdrawal: a record of this API in this
// environment, or no content at all.
func (r ActionRequest) decodeOffline(a *answer) (*PublishRecord, error) {
	if a.status == http.StatusNoContent && len(a.body) == 0 {
		return &PublishRecord{APIID: r.APIID, EnvID: r.EnvID, RequestID: a.requestID()}, nil
	}
	return r.decode(a)
}

func (r ActionRequest) decode(a *answer) (*PublishRecord, error) {
	if len(a.body) == 0 {
		return nil, errors.New("the body is empty")
	}
	record := &PublishRecord{}
	if err := record.UnmarshalJSON(a.body); err != nil {
		return nil, fmt.Errorf("the body is not a publication record: %s", a.text(err.Error(), maxMessage))
	}
	if record.APIID != r.APIID || r.EnvID != "" && record.EnvID != "" && record.EnvID != r.EnvID {
		return nil, errors.New("the body is not a record of this API in this environment")
	}
	record.RequestID = a.requestID()
	return record, nil
}
