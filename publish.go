package apig

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/apig-go/apig/internal/random"
)

const (
	// maxRemark is the service's limit for a remark, in characters.
	maxRemark = 255

	// tagLength is what a tag adds to a remark, in characters.
	tagLength = 12
)

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
// [ErrOutcomeUnknown] it may be; see [Client.Settle]. With any other error nothing
// was published.
func (c *Client) Publish(ctx context.Context, r ActionRequest) (*PublishRecord, error) {
	if err := r.check(c.remarkLimit()); err != nil {
		return nil, err
	}
	r.Remark = c.tag(r.Remark)
	return c.act(ctx, change{op: "Publish", action: online, tagged: c.retry.TagRemark}, r)
}

// Offline takes the API offline in the environment. [ErrNotPublished] says that
// it was not published there.
//
// With a record it is offline. With an error that matches [ErrOutcomeUnknown] it
// may be; see [Client.Settle]. With any other error nothing was changed.
func (c *Client) Offline(ctx context.Context, r ActionRequest) (*PublishRecord, error) {
	if err := r.check(maxRemark); err != nil {
		return nil, err
	}
	return c.act(ctx, change{op: "Offline", action: offline}, r)
}

// act makes the change that both share.
func (c *Client) act(ctx context.Context, ch change, r ActionRequest) (*PublishRecord, error) {
	ch.envID, ch.remark = r.EnvID, r.Remark
	body, _ := json.Marshal(&struct { // strings always marshal
		Action string `json:"action"`
		EnvID  string `json:"env_id"`
		APIID  string `json:"api_id"`
		Remark string `json:"remark,omitempty"`
	}{ch.word, r.EnvID, r.APIID, r.Remark})
	return c.apply(ctx, newSingle(ch, r.APIID, request{method: http.MethodPost, url: c.actions, body: body}))
}

// tag is the remark of one publication as it is sent: with TagRemark it has a
// tag that no other call has.
func (c *Client) tag(remark string) string {
	if !c.retry.TagRemark {
		return remark
	}
	return strings.TrimPrefix(fmt.Sprintf("%s #%010x", remark, random.Int64N(1<<40)), " ")
}

// remarkLimit is how long a caller's remark of a publication may be.
func (c *Client) remarkLimit() int {
	if c.retry.TagRemark {
		return maxRemark - tagLength
	}
	return maxRemark
}

func (r ActionRequest) check(maxRemark int) error {
	var bad problems
	bad.id("APIID", r.APIID)
	bad.id("EnvID", r.EnvID)
	bad.remark(r.Remark, maxRemark)
	return bad.err()
}
