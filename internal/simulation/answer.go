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

// editRows edits the rows of a list, and moves its total by more. Anything but
// a list stays as it is.
func (a *answer) editRows(edit func([]any) []any, more int) {
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
			if total, ok := list["total"].(json.Number); ok && more != 0 {
				n, _ := total.Int64() // the gateway writes no other numbers
				list["total"] = n + int64(more)
			}
		}
	}
	a.body, _ = json.Marshal(list) // what was decoded can be encoded
	a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
}

func rowAt(rows []any, n int) (map[string]any, bool) {
	if len(rows) == 0 {
		return nil, false
	}
	row, ok := rows[n%len(rows)].(map[string]any)
	return row, ok
}

// moveDate moves the Date header.
func (a *answer) moveDate(by time.Duration) {
	if date, err := http.ParseTime(a.header.Get("Date")); err == nil {
		a.header.Set("Date", date.Add(by).Format(http.TimeFormat))
	}
}

// splitItems makes the answer to a batch say of some APIs that they failed, or
// nothing at all. Those that were not applied are not in it yet.
func (a *answer) splitItems(items map[string]item, order []string) {
	var batch struct {
		Success []map[string]any `json:"success"`
		Failure []map[string]any `json:"failure"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &batch) != nil {
		return
	}
	batch.Failure = slices.DeleteFunc(batch.Failure, func(row map[string]any) bool {
		id, _ := row["api_id"].(string)
		return !slices.Contains(order, id)
	})
	success := []map[string]any{}
	for _, row := range batch.Success {
		id, _ := row["api_id"].(string)
		switch items[id] {
		case itemFailed:
			batch.Failure = append(batch.Failure, failed(id, "APIG.9999"))
		case itemSilent:
		default:
			success = append(success, row)
		}
	}
	for _, id := range order {
		switch items[id] {
		case itemBusy:
			batch.Failure = append(batch.Failure, failed(id, "APIG.3711"))
		case itemBroken:
			batch.Failure = append(batch.Failure, failed(id, "APIG.3500"))
		}
	}
	if batch.Failure == nil {
		batch.Failure = []map[string]any{}
	}
	a.body, _ = json.Marshal(map[string]any{"success": success, "failure": batch.Failure})
	a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
}

func failed(id, code string) map[string]any {
	return map[string]any{"api_id": id, "api_name": "", "error_code": code, "error_msg": "It failed."}
}
