package apig

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// batchForm is how a change of many APIs goes over the wire: POST /apis/publish.
type batchForm struct{ *change }

func (b batchForm) request(items []*item) (request, error) {
	ids := make([]string, len(items))
	for i, it := range items {
		ids[i] = it.APIID
	}
	body, err := json.Marshal(struct {
		APIs   []string `json:"apis"`
		EnvID  string   `json:"env_id"`
		Remark string   `json:"remark,omitempty"`
	}{ids, b.envID, b.remark})
	return request{method: http.MethodPost, path: "/apis/publish?action=" + b.word, body: body, bound: maxList}, err
}

// batchFailure is what the answer says of an API that has failed.
type batchFailure struct {
	APIID     string `json:"api_id"`
	APIName   string `json:"api_name"`
	ErrorCode string `json:"error_code"`
	ErrorMsg  string `json:"error_msg"`
}

func (b batchForm) reader(items []*item) decoder {
	return decodeFunc(func(a *answer) error { return b.read(a, items) })
}

// read gives each item what the answer says of it. Rows of APIs that were not
// asked for are passed over.
func (b batchForm) read(a *answer, items []*item) error {
	var success []wireRecord
	var failure []batchFailure
	err := decodeObject(a.body, fieldDecoders{"success": decodeRows(&success, len(items)), "failure": decodeRows(&failure, len(items))})
	if err != nil {
		return fmt.Errorf("the body is not a batch of records: %s", a.text(err.Error(), maxMessage))
	}
	if success == nil && failure == nil {
		return errors.New("the body has neither successes nor failures")
	}
	requestID := a.requestID()
	byAPI := make(map[string]*item, len(items))
	for _, it := range items {
		byAPI[strings.ToLower(it.APIID)] = it
		it.Record, it.failed = nil, nil
	}
	for i := range failure {
		if it := byAPI[strings.ToLower(failure[i].APIID)]; it != nil {
			it.failed = b.failure(a, it, &failure[i], requestID)
		}
	}
	for i := range success {
		record := success[i].record()
		if it := byAPI[strings.ToLower(record.APIID)]; it != nil && b.shows(record) {
			record.RequestID = requestID
			it.Record, it.failed = record, nil
		}
	}
	for _, it := range items {
		if it.Record == nil && it.failed == nil {
			it.failed = b.unmentioned(a, it)
		}
	}
	return nil
}

// shows reports whether the record is of this batch and shows what it did.
func (b batchForm) shows(r *PublishRecord) bool {
	return sameOrEmpty(r.EnvID, b.envID) && (!b.makesVersion || r.namesPublication())
}

// unmentioned is the failure of an API that the answer does not mention.
func (b batchForm) unmentioned(a *answer, it *item) *failure {
	f := a.failure(&CallError{Op: b.op, APIID: it.APIID, why: "unreadable response: it does not say what became of the API", tree: []error{ErrBadResponse}})
	f.verdict = unknown
	return f
}

// failure is the failure of an API, in an answer of status 200: only the code says
// what it means, and one that nobody knows says nothing.
func (b batchForm) failure(a *answer, it *item, row *batchFailure, requestID string) *failure {
	code := Code(a.text(row.ErrorCode, maxCode))
	if name := a.text(row.APIName, maxMessage); name != "" {
		it.APIName = name
	}
	f := a.failure(&APIGError{
		Op:         b.op,
		APIID:      it.APIID,
		StatusCode: a.status,
		Code:       code,
		Message:    a.text(row.ErrorMsg, maxMessage),
		RequestID:  requestID,
	})
	f.code, f.end = code, time.Now()
	f.verdict = unknown
	if known, ok := code.meaning(); ok && known.verdict != renew {
		f.verdict = known.verdict
	} else if ok {
		f.verdict = final
	}
	return f
}
