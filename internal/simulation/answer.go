package simulation

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// answer is the gateway's own answer to a request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// WriteHeader, Write and Header make it what the gateway writes to.
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(b []byte) (int, error) { a.body = append(a.body, b...); return len(b), nil }

// editRows edits the rows of a list. Anything but a list stays as it is.
func (a *answer) editRows(edit func([]any) []any) {
	var list map[string]any
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	decoder.UseNumber()
	if a.status != http.StatusOK || decoder.Decode(&list) != nil {
		return
	}
	for _, key := range []string{"api_versions", "apis"} {
		if rows, ok := list[key].([]any); ok {
			rows = edit(rows)
			list[key], list["size"] = rows, len(rows)
		}
	}
	a.setBody(list)
}

func (a *answer) setBody(of any) {
	a.body, _ = json.Marshal(of) // what was decoded can be encoded
	a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
}

// moveDate moves the Date header.
func (a *answer) moveDate(by time.Duration) {
	if date, err := http.ParseTime(a.header.Get("Date")); err == nil {
		a.header.Set("Date", date.Add(by).Format(http.TimeFormat))
	}
}

// splitItems makes the answer to a batch say of some APIs that they failed, or nothing
// at all. Those that were not applied are not in it yet.
func (a *answer) splitItems(items map[string]item, order []string) {
	var batch struct {
		Success []map[string]any `json:"success"`
		Failure []map[string]any `json:"failure"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &batch) != nil {
		return
	}
	about := func(id string) func(row map[string]any) bool {
		return func(row map[string]any) bool { return row["api_id"] == id }
	}
	batch.Failure = slices.DeleteFunc(batch.Failure, func(row map[string]any) bool { return !slices.Contains(order, row["api_id"].(string)) })
	for _, id := range order {
		if items[id] != itemDone {
			batch.Success = slices.DeleteFunc(batch.Success, about(id))
		}
		if code := codes[items[id]]; code != "" && !slices.ContainsFunc(batch.Failure, about(id)) {
			batch.Failure = append(batch.Failure, map[string]any{"api_id": id, "api_name": "", "error_code": code, "error_msg": "It failed."})
		}
	}
	a.setBody(batch)
}

// codes are those of the items of a batch that have one.
var codes = map[item]string{itemBusy: "APIG.3711", itemFailed: "APIG.9999", itemBroken: "APIG.3500"}
