package errorbody

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// Details are what the body of an error tells. They are the server's own
// texts, of any length and with any characters: Clean makes them fit
// to print.
type Details struct{ Code, Message, RequestID string }

// The names under which services of Huawei Cloud report errors, best first.
var (
	codeKeys      = [...]string{"error_code", "errCode", "errorCode", "errorCodeStr", "code", "error_name", "workload_res_code"}
	messageKeys   = [...]string{"error_msg", "errMsg", "errorMsg", "message", "error_description", "title"}
	requestIDKeys = [...]string{"request_id", "requestId"}
)

// Parse finds the code, the message and the request ID in the body of an
// error, whichever of the known shapes it has: the documented one, the older
// ones, IAM's, or any of them one level down. Where several objects are one
// level down, that of the key "error" is the first choice, then the order of
// the keys decides. It finds nothing in what is not a JSON object, such as
// HTML. Time is linear in the body, and memory little beyond what is returned.
func Parse(body []byte) Details {
	if !json.Valid(body) {
		return Details{}
	}
	body = skipSpace(body)
	if body[0] != '{' {
		return Details{}
	}
	d, word, nested := fields(body)
	if d.Code != "" {
		return d
	}
	if nested {
		if inner, ok := firstNested(body); ok {
			return Details{inner.Code, first(inner.Message, d.Message), first(d.RequestID, inner.RequestID)}
		}
	}
	d.Message = first(d.Message, word)
	return d
}

// fields reads the known members of a valid object: the details, the text or
// number under "error", and whether there are objects in it.
func fields(object []byte) (d Details, word string, nested bool) {
	var codes [len(codeKeys)][]byte
	var messages [len(messageKeys)][]byte
	var requestIDs [len(requestIDKeys)][]byte
	var errorValue []byte
	for rest := object[1:]; ; {
		key, value, after, ok := member(rest)
		if !ok {
			break
		}
		rest = after
		nested = nested || value[0] == '{'
		switch { // of members with the same name the last one counts
		case keep(codes[:], codeKeys[:], key, value):
		case keep(messages[:], messageKeys[:], key, value):
		case keep(requestIDs[:], requestIDKeys[:], key, value):
		case string(key) == "error":
			errorValue = value
		}
	}
	return Details{best(codes[:]), best(messages[:]), best(requestIDs[:])}, scalar(errorValue), nested
}

// keep notes the value of a key that is one of names.
func keep(values [][]byte, names []string, key, value []byte) bool {
	for i, name := range names {
		if string(key) == name {
			values[i] = value
			return true
		}
	}
	return false
}

// best is the first value that is a text or a number.
func best(values [][]byte) string {
	for _, value := range values {
		if s := scalar(value); s != "" {
			return s
		}
	}
	return ""
}

// firstNested is the best of the objects in an object that say something.
func firstNested(object []byte) (found Details, ok bool) {
	var under []byte // the key of found
	for rest := object[1:]; ; {
		key, value, after, more := member(rest)
		if !more {
			return found, ok
		}
		rest = after
		if value[0] != '{' || ok && !before(key, under) {
			continue
		}
		if d, _, _ := fields(value); d.Code != "" || d.Message != "" {
			found, under, ok = d, key, true
		}
	}
}

// before reports whether an object under key a is to be preferred to one under
// b. Of two under the same key the last one counts.
func before(a, b []byte) bool {
	switch {
	case string(b) == "error":
		return string(a) == "error"
	case string(a) == "error":
		return true
	}
	return string(a) <= string(b)
}

// member splits off the first member of a valid object whose bracket, and the
// members before, are read already. The key is unquoted.
func member(rest []byte) (key, value, after []byte, ok bool) {
	rest = skipSpace(rest)
	if rest[0] == ',' {
		rest = skipSpace(rest[1:])
	}
	if rest[0] == '}' {
		return nil, nil, nil, false
	}
	n := valueLength(rest)
	key = rest[1 : n-1]
	if !plain(key) {
		key = []byte(unquoted(rest[:n]))
	}
	rest = skipSpace(rest[n:])
	rest = skipSpace(rest[1:]) // the colon
	n = valueLength(rest)
	return key, rest[:n], rest[n:], true
}

// valueLength is the length of the value that begins valid JSON.
func valueLength(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // after a number or a word
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}

// scalar is a JSON string or number as a string, and empty for anything else.
func scalar(value []byte) string {
	switch {
	case len(value) == 0:
		return ""
	case value[0] == '"' && plain(value):
		return string(value[1 : len(value)-1])
	case value[0] == '"':
		return unquoted(value)
	case value[0] == '-' || value[0] >= '0' && value[0] <= '9':
		return string(value)
	}
	return ""
}

// plain reports whether the inside of a JSON string stands for itself.
func plain(b []byte) bool { return bytes.IndexByte(b, '\\') < 0 && utf8.Valid(b) }

// unquoted is the text of a valid JSON string.
func unquoted(b []byte) string {
	var s string
	if json.Unmarshal(b, &s) != nil { // it is valid
		return ""
	}
	return s
}

func skipSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n') {
		b = b[1:]
	}
	return b
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
