package errorbody

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/apig-go/apig/internal/plainjson"
)

// Details are the code, the message and the request ID in the body of an error.
// They are the server's own texts, of any length and with any characters: Clean
// makes them fit to print.
type Details struct{ Code, Message, RequestID string }

// The names under which services of Huawei Cloud report errors, best first.
var (
	codeKeys      = []string{"error_code", "errCode", "errorCode", "errorCodeStr", "code", "error_name", "workload_res_code"}
	messageKeys   = []string{"error_msg", "errMsg", "errorMsg", "message", "error_description", "title"}
	requestIDKeys = []string{"request_id", "requestId"}
)

// mostCommas bounds the memory that Parse takes: a map entry for each field of the
// body. Errors of the services have a dozen.
const mostCommas = 10_000

// Parse finds the code, the message and the request ID in the body of an error: in
// one of the known shapes, or in one of them one level down. One level down the
// object under "error" comes first, then the order of the keys decides. Parse finds
// nothing in a body that is not a JSON object, such as HTML, or that has more than
// ten thousand commas.
func Parse(body []byte) Details {
	if bytes.Count(body, []byte{','}) > mostCommas {
		return Details{}
	}
	if d, ok := parsePlain(body); ok {
		return d
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(body, &object) != nil {
		return Details{}
	}
	d := details(object)
	if d.Code != "" {
		return d
	}
	for _, key := range append([]string{"error"}, slices.Sorted(maps.Keys(object))...) {
		value := object[key]
		if len(value) == 0 || value[0] != '{' {
			continue
		}
		var nested map[string]json.RawMessage
		if json.Unmarshal(value, &nested) != nil { // Unmarshal has checked it before
			continue
		}
		if in := details(nested); in.Code != "" || in.Message != "" {
			return Details{in.Code, cmp.Or(in.Message, d.Message), cmp.Or(d.RequestID, in.RequestID)}
		}
	}
	d.Message = cmp.Or(d.Message, scalar(object["error"]))
	return d
}

// parsePlain is Parse for the usual form at a fraction of its cost.
func parsePlain(body []byte) (d Details, ok bool) {
	fields := [...]struct {
		keys []string
		best int // the index of the key that was found, from the end; 0: none was
		text *string
	}{{codeKeys, 0, &d.Code}, {messageKeys, 0, &d.Message}, {requestIDKeys, 0, &d.RequestID}}
	ok = plainjson.EachText(body, func(name, text string) bool {
		for i := range fields {
			f := &fields[i]
			at := slices.Index(f.keys, name)
			switch rank := len(f.keys) - at; {
			case at < 0:
			case rank == f.best:
				return false // twice
			case rank > f.best && text != "":
				f.best, *f.text = rank, text
			}
		}
		return name != "error"
	})
	return d, ok
}

func details(object map[string]json.RawMessage) Details {
	first := func(keys []string) string {
		for _, key := range keys {
			if s := scalar(object[key]); s != "" {
				return s
			}
		}
		return ""
	}
	return Details{first(codeKeys), first(messageKeys), first(requestIDKeys)}
}

// scalar is a JSON string or number as a string, and empty for anything else.
func scalar(value json.RawMessage) (s string) {
	switch {
	case len(value) == 0:
	case value[0] == '"' && bytes.IndexByte(value, '\\') < 0 && utf8.Valid(value):
		return string(value[1 : len(value)-1])
	case value[0] == '"':
		_ = json.Unmarshal(value, &s) // the value is valid JSON
	case value[0] == '-' || value[0] >= '0' && value[0] <= '9':
		return string(value)
	}
	return s
}
