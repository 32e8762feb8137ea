package apig

import (
	"context"
	"fmt"
)

// BatchRequest says which APIs to publish or take offline, and where: either
// those of APIIDs, any number of them, or all of one group.
type BatchRequest struct {
	APIIDs  []string
	GroupID string
	EnvID   string // required
	Remark  string // as in ActionRequest
}

// BatchItem is what became of one API of a batch: exactly one of Record and Err
// is set, and Err means the same as the error of Publish or Offline.
type BatchItem struct {
	APIID   string
	APIName string // empty if the gateway did not tell
	Record  *PublishRecord
	Err     error
}

// BatchResult has one item for each API: in the order of APIIDs, or for a group
// in the order of the gateway's answer.
type BatchResult struct {
	Items []BatchItem
}

// BatchError holds the items that failed. errors.Is and errors.As look into all
// of them, so errors.Is(err, ErrOutcomeUnknown) asks whether the outcome of any
// is unknown.
type BatchError struct {
	Items []BatchItem

	op    string // the method
	total int    // items of the batch
}

// Error is one line: how many failed, and how the first did.
func (e *BatchError) Error() string {
	s := fmt.Sprintf("apig: %s: %d of %d APIs failed", e.op, len(e.Items), e.total)
	if len(e.Items) > 0 {
		s += "; the first: " + e.Items[0].Err.Error()
	}
	return s
}

// Unwrap returns the errors of the items.
func (e *BatchError) Unwrap() []error {
	errs := make([]error, len(e.Items))
	for i, item := range e.Items {
		errs[i] = item.Err
	}
	return errs
}

// PublishBatch publishes many APIs in one environment, with one request for a
// thousand. What fails does so API by API, as Publish does, and is reported in
// a *BatchError; the result then has the others all the same. It is nil only if
// r is invalid. A group whose request fails as a whole has no items, and the
// error is that of Publish.
func (c *Client) PublishBatch(ctx context.Context, r BatchRequest) (*BatchResult, error) {
	return c.batch(ctx, "PublishBatch", r, publishing)
}

// OfflineBatch takes many APIs offline in one environment, as PublishBatch
// publishes them.
func (c *Client) OfflineBatch(ctx context.Context, r BatchRequest) (*BatchResult, error) {
	return c.batch(ctx, "OfflineBatch", r, withdrawing)
}

func (c *Client) batch(ctx context.Context, op string, r BatchRequest, d direction) (*BatchResult, error) {
	most := maxRemark
	if d == publishing {
		most = c.remarkLimit()
	}
	if err := r.check(most); err != nil {
		return nil, err
	}
	b := &batch{Client: c, op: op, direction: d, envID: r.EnvID, remark: r.Remark}
	if d == publishing {
		b.remark = c.tagged(r.Remark)
	}
	if r.GroupID == "" {
		return b.result(b.apis(ctx, r.APIIDs))
	}
	calls, err := b.group(ctx, r.GroupID)
	if err != nil {
		return &BatchResult{}, err
	}
	return b.result(calls)
}

func (b *batch) result(calls []*batchCall) (*BatchResult, error) {
	result := &BatchResult{Items: make([]BatchItem, len(calls))}
	failed := &BatchError{op: b.op, total: len(calls)}
	for i, c := range calls {
		result.Items[i] = c.BatchItem
		if c.Err != nil {
			failed.Items = append(failed.Items, c.BatchItem)
		}
	}
	if len(failed.Items) > 0 {
		return result, failed
	}
	return result, nil
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
	for i, id := range r.APIIDs {
		bad.id(fmt.Sprintf("APIIDs[%d]", i), id)
		if earlier, ok := seen[id]; ok && id != "" {
			bad.addf("APIIDs[%d] and APIIDs[%d] are the same", earlier, i)
		}
		seen[id] = i
	}
	return bad.err()
}
