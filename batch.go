package apig

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// PublishBatchRequest says which APIs to publish, and where: either the APIs of
// APIIDs, any number of them, or all APIs of one group.
type PublishBatchRequest struct {
	APIIDs         []string
	GroupID        string
	EnvID          string // required
	Remark         string // as in PublishRequest; all APIs get the same tag
	IdempotencyKey string // as in PublishRequest; it takes one more request for each API
}

// OfflineBatchRequest says which APIs to take offline, and where: either the APIs of
// APIIDs, any number of them, or all APIs of one group.
type OfflineBatchRequest struct {
	APIIDs  []string
	GroupID string
	EnvID   string // required
	Remark  string // at most 255 characters
}

// PublishBatch publishes many APIs in one environment, up to 1,000 with one request.
// Each API succeeds or fails by itself, as with Publish.
//
//   - The result has one item for each API, in the order of APIIDs, or of the group's
//     list. If any API fails, the error is a [*BatchError] with the items that failed.
//   - If the request is invalid, or the group cannot be listed or is empty, nothing is
//     changed. The result is then nil, and the error is no BatchError.
//
// A group is listed first, which requires the right to list APIs. An API that joins
// or leaves the group at that time may be part of the batch or not. A group without
// APIs is [ErrNotFound].
func (c *Client) PublishBatch(ctx context.Context, r PublishBatchRequest) (*BatchResult, error) {
	var bad problems
	ch := c.publication("PublishBatch", r.EnvID, r.Remark, r.IdempotencyKey, &bad)
	return c.batch(ctx, ch, r.APIIDs, r.GroupID, bad)
}

// OfflineBatch takes many APIs offline in one environment, as PublishBatch publishes
// them.
func (c *Client) OfflineBatch(ctx context.Context, r OfflineBatchRequest) (*BatchResult, error) {
	var bad problems
	bad.remark(r.Remark)
	return c.batch(ctx, &change{op: "OfflineBatch", action: offline, envID: r.EnvID, remark: r.Remark}, r.APIIDs, r.GroupID, bad)
}

// batch makes a change of many APIs.
func (c *Client) batch(ctx context.Context, ch *change, apiIDs []string, groupID string, bad problems) (*BatchResult, error) {
	bad.id("EnvID", ch.envID)
	bad.apis(apiIDs, groupID)
	if err := bad.err(); err != nil {
		return nil, err
	}
	ch.request, ch.read = ch.batchRequest, ch.readBatch
	all, items := make([]item, len(apiIDs)), make([]*item, len(apiIDs))
	for i, id := range apiIDs {
		all[i] = item{BatchItem: BatchItem{APIID: id}, change: ch}
		items[i] = &all[i]
	}
	if groupID != "" {
		var err error
		if items, err = c.members(ctx, ch, groupID); err != nil {
			return nil, err
		}
	}
	c.applyAll(ctx, ch, items)
	result := &BatchResult{Items: make([]BatchItem, len(items))}
	for i, it := range items {
		result.Items[i] = it.BatchItem
	}
	return result, result.failed(ch.op)
}

// failed is the error with the items that failed; nil if none did.
func (r *BatchResult) failed(op string) error {
	failed := &BatchError{Op: op, total: len(r.Items)}
	for _, it := range r.Items {
		if it.Err != nil {
			failed.Items = append(failed.Items, it)
		}
	}
	if len(failed.Items) == 0 {
		return nil
	}
	return failed
}

// members lists the APIs of a group, each once.
func (c *Client) members(ctx context.Context, ch *change, groupID string) ([]*item, error) {
	var items []*item
	seen := map[string]bool{}
	apis, err := readAPIs(ctx, &c.service, ch.op, APIQuery{GroupID: groupID})
	if err != nil {
		return nil, err
	}
	for _, api := range apis {
		if key := strings.ToLower(api.ID); !seen[key] {
			seen[key] = true
			items = append(items, &item{BatchItem: BatchItem{APIID: api.ID, APIName: api.Name}, change: ch})
		}
	}
	if len(items) == 0 {
		return nil, &CallError{Op: ch.op, why: "the group has no APIs", tree: []error{ErrNotFound}}
	}
	return items, nil
}

// apis checks which APIs a batch is about.
func (p *problems) apis(apiIDs []string, groupID string) {
	switch {
	case len(apiIDs) > 0 && groupID != "":
		p.addf("APIIDs and GroupID exclude each other")
	case groupID != "":
		p.id("GroupID", groupID)
	case len(apiIDs) == 0:
		p.addf("APIIDs and GroupID are empty")
	}
	seen := make(map[string]int, len(apiIDs))
	var mistakes problems
	for i, id := range apiIDs {
		if !isID(id) {
			mistakes.id(fmt.Sprintf("APIIDs[%d]", i), id)
		}
		key := strings.ToLower(id) // the service may not tell them apart
		if earlier, ok := seen[key]; ok && id != "" {
			mistakes.addf("APIIDs[%d] and APIIDs[%d] are the same", earlier, i)
		}
		seen[key] = i
	}
	p.few(mistakes)
}

// batchRequest is how a change of many APIs goes over the wire: POST /apis/publish.
func (ch *change) batchRequest(items []*item) request {
	ids := make([]string, len(items))
	for i, it := range items {
		ids[i] = it.APIID
	}
	body, _ := json.Marshal(struct { // strings always marshal
		APIs   []string `json:"apis"`
		EnvID  string   `json:"env_id"`
		Remark string   `json:"remark,omitempty"`
	}{ids, ch.envID, joinTag(ch.remark, ch.tag)})
	return request{method: http.MethodPost, path: "/apis/publish?action=" + ch.word, body: body, bound: maxList}
}

// readBatch gives each item its record or its failure. An API that the answer names
// nowhere, or more than once, is unknown. Rows of APIs that were not asked for are
// passed over.
func (ch *change) readBatch(a *answer, items []*item) error {
	type named struct {
		*item
		times int
	}
	all, byAPI := make([]named, len(items)), make(map[string]*named, len(items))
	for i, it := range items {
		it.Record, it.failed = nil, nil
		all[i].item = it
		byAPI[strings.ToLower(it.APIID)] = &all[i]
	}
	requestID := a.requestID()
	records := make([]PublishRecord, 0, len(items)) // in one piece
	err := batchRows(a.body, len(items), func(row []byte) error {
		records = records[:len(records)+1]
		r := &records[len(records)-1]
		if err := readRecord(row, r); err != nil {
			return err
		}
		if n := byAPI[strings.ToLower(r.APIID)]; n != nil {
			n.times++
			if ch.shows(a, r) {
				r.RequestID, n.Record = requestID, r
			}
		}
		return nil
	}, func(row []byte) error {
		var r struct {
			APIID   string `json:"api_id"`
			APIName string `json:"api_name"`
			Code    string `json:"error_code"`
			Message string `json:"error_msg"`
		}
		if err := json.Unmarshal(row, &r); err != nil {
			return err
		}
		if n := byAPI[strings.ToLower(r.APIID)]; n != nil {
			n.times++
			n.APIName = cmp.Or(a.text(r.APIName, maxMessage), n.APIName)
			n.failed = a.batchFailure(&APIGError{Op: ch.op, APIID: n.APIID, StatusCode: a.status, Code: Code(a.text(r.Code, maxCode)),
				Message: a.text(r.Message, maxMessage), RequestID: requestID})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("the body is not a batch of records: %s", a.text(err.Error(), maxMessage))
	}
	for _, n := range all {
		if n.times != 1 || n.Record == nil && n.failed == nil {
			n.Record, n.failed = nil, ch.unmentioned(a, n.item)
		}
	}
	return nil
}

// batchRows gives the rows of both lists of an answer to success and to failure. Each
// list has at most that many rows.
func batchRows(body []byte, most int, success, failure func(row []byte) error) error {
	done, failed, err := twoFields(body, "success", "failure")
	if err != nil {
		return err
	}
	empty := true
	for _, list := range []struct {
		rows  []byte
		visit func([]byte) error
	}{{done, success}, {failed, failure}} {
		if list.rows == nil || string(list.rows) == "null" {
			continue
		}
		if empty = false; !isArray(list.rows) {
			return errors.New("the rows are not an array")
		}
		n := 0
		if err := members(list.rows, func(_, row []byte) error {
			if n++; n > most {
				return fmt.Errorf("there are more than %d rows", most)
			}
			return list.visit(row)
		}); err != nil {
			return err
		}
	}
	if empty {
		return errors.New("it has neither successes nor failures")
	}
	return nil
}

// shows reports whether the record is of this batch and proves the change. Status
// 202 only promises that an API will be taken offline.
func (ch *change) shows(a *answer, r *PublishRecord) bool {
	proof := a.status != http.StatusAccepted
	if ch.makesVersion {
		proof = r.namesPublication()
	}
	return proof && a.checkRecord(r, ch.envID) == nil
}

// unmentioned is the failure of an API that the answer names nowhere, twice, or in a
// record that proves nothing.
func (ch *change) unmentioned(a *answer, it *item) *failure {
	f := a.failure(&CallError{Op: ch.op, APIID: it.APIID, why: "unreadable response: it does not say what became of the API", tree: []error{ErrBadResponse}})
	f.verdict = unknown
	return f
}

// batchFailure is the failure of an API, in an answer of status 200. Only the code has
// a meaning; an unknown code has none.
func (a *answer) batchFailure(err *APIGError) *failure {
	f := a.failure(err)
	f.code, f.verdict = err.Code, unknown
	if known, ok := err.Code.meaning(); ok {
		f.verdict = known.verdict
	}
	if f.verdict == renew {
		f.verdict = final
	}
	return f
}
