package apig

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
)

// BatchRequest says which APIs to publish or take offline, and where: either
// those of APIIDs, any number of them, or all of one group.
type BatchRequest struct {
	APIIDs  []string
	GroupID string
	EnvID   string // required
	Remark  string // as in ActionRequest
}

// PublishBatch publishes many APIs in one environment, with one request for a
// thousand. What fails does so API by API, as Publish does, and is reported in
// a [*BatchError]; the result then still has an item for every API, those that failed
// included. It is nil only if nothing was sent: r is invalid, or the group cannot
// be listed.
//
// A group is listed first, which takes the right to list APIs, and then is a
// batch of its members. An API that joins or leaves it meanwhile may or may not
// be part of that. A group without members is [ErrNotFound].
func (c *Client) PublishBatch(ctx context.Context, r BatchRequest) (*BatchResult, error) {
	if err := r.check(c.remarkLimit()); err != nil {
		return nil, err
	}
	r.Remark = c.tag(r.Remark)
	return c.batch(ctx, "PublishBatch", online, r)
}

// OfflineBatch takes many APIs offline in one environment, as PublishBatch
// publishes them.
func (c *Client) OfflineBatch(ctx context.Context, r BatchRequest) (*BatchResult, error) {
	if err := r.check(maxRemark); err != nil {
		return nil, err
	}
	return c.batch(ctx, "OfflineBatch", offline, r)
}

func (c *Client) batch(ctx context.Context, op string, a *action, r BatchRequest) (*BatchResult, error) {
	items := make([]*item, len(r.APIIDs))
	for i, id := range r.APIIDs {
		items[i] = &item{BatchItem: BatchItem{APIID: id}}
	}
	if r.GroupID != "" {
		var err error
		if items, err = c.members(ctx, op, r.GroupID); err != nil {
			return nil, err
		}
	}
	ch := &change{op: op, action: a, envID: r.EnvID, remark: r.Remark, tagged: a == online && c.retry.TagRemark}
	ch.form, ch.refused = batchForm{ch}, new(atomic.Pointer[error])
	c.applyAll(ctx, ch, items)

	result := &BatchResult{Items: make([]BatchItem, len(items))}
	failed := &BatchError{Op: op, total: len(items)}
	for i, it := range items {
		result.Items[i] = it.BatchItem
		if it.Err != nil {
			failed.Items = append(failed.Items, it.BatchItem)
		}
	}
	if len(failed.Items) > 0 {
		return result, failed
	}
	return result, nil
}

// members lists the APIs of a group, each once, with the patience of settling and
// within RetryPolicy.SettleTimeout.
func (c *Client) members(ctx context.Context, op, groupID string) ([]*item, error) {
	listing, cancel := context.WithTimeout(ctx, c.retry.SettleTimeout)
	defer cancel()
	var items []*item
	seen := map[string]bool{}
	for api, err := range (APIQuery{GroupID: groupID}).list(op).all(listing, c.patient(), nil) {
		if err != nil {
			return nil, err
		}
		if key := strings.ToLower(api.ID); !seen[key] {
			seen[key] = true
			items = append(items, &item{BatchItem: BatchItem{APIID: api.ID, APIName: api.Name}})
		}
	}
	if len(items) == 0 {
		return nil, &CallError{Op: op, why: "the group has no APIs", tree: []error{ErrNotFound}}
	}
	return items, nil
}

func (r BatchRequest) check(maxRemark int) error {
	var bad problems
	bad.id("EnvID", r.EnvID)
	bad.remark(r.Remark, maxRemark)
	switch {
	case len(r.APIIDs) > 0 && r.GroupID != "":
		bad.addf("APIIDs and GroupID exclude each other")
	case r.GroupID != "":
		bad.id("GroupID", r.GroupID)
	case len(r.APIIDs) == 0:
		bad.addf("APIIDs and GroupID are empty")
	}
	seen := make(map[string]int, len(r.APIIDs))
	var mistakes problems
	for i, id := range r.APIIDs {
		if !isID(id) {
			mistakes.id(fmt.Sprintf("APIIDs[%d]", i), id)
		}
		key := strings.ToLower(id) // the service may not tell them apart
		if earlier, ok := seen[key]; ok && id != "" {
			mistakes.addf("APIIDs[%d] and APIIDs[%d] are the same", earlier, i)
		}
		seen[key] = i
	}
	bad.few(mistakes)
	return bad.err()
}
