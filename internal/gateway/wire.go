package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// field is a member that a request body may have.
type field struct {
	name     string
	into     any // pointer to a string or to a slice of strings
	required bool
}

// decode reads a JSON object into fields. It is stricter than encoding/json,
// which takes "API_ID" for "api_id", null for "", and the last one of two
// equal names: a client under test should hear of all that.
func decode(r *Request, code string, fields ...field) error {
	if kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil ||
		kind != "application/json" || !strings.EqualFold(params["charset"], "utf-8") && params["charset"] != "" {
		return invalid(code, "Content-Type")
	}
	dec := json.NewDecoder(bytes.NewReader(r.Body))
	var object json.RawMessage
	if err := dec.Decode(&object); err != nil {
		return unparsable(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return invalid(code, "body") // something follows
	}
	dec = json.NewDecoder(bytes.NewReader(object))
	if start, _ := dec.Token(); start != json.Delim('{') {
		return invalid(code, "body")
	}
	var seen []string
	for dec.More() {
		// Neither call can fail: the object has been parsed once.
		name, _ := dec.Token()
		var value json.RawMessage
		_ = dec.Decode(&value)
		n := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if n < 0 || slices.Contains(seen, fields[n].name) {
			return invalid(code, name.(string))
		}
		seen = append(seen, fields[n].name)
		if !utf8.Valid(value) || string(value) == "null" || json.Unmarshal(value, fields[n].into) != nil {
			return invalid(code, fields[n].name)
		}
	}
	for _, f := range fields {
		if text, ok := f.into.(*string); ok && f.required && *text == "" {
			return invalid(code, f.name)
		}
	}
	return nil
}

// unparsable is documented for a switch without a body; it is taken to be the
// same for every body that is not JSON.
func unparsable(err error) error {
	text := err.Error()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		text = "unexpected end of JSON input" // what encoding/json calls it elsewhere
	}
	return refuse(http.StatusBadRequest, "APIG.2000", "Parameter error: Serialization error: %s", text)
}

// maxRemark counts characters, not bytes.
const maxRemark = 255

func checkRemark(code, remark string) error {
	if utf8.RuneCountInString(remark) > maxRemark {
		return invalid(code, "remark")
	}
	return nil
}

// checkQuery refuses parameters that the endpoint does not have, and those
// given twice.
func checkQuery(r *Request, names ...string) error {
	if r.queryErr != nil {
		return invalid("APIG.2012", "query")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Query)) {
		values := r.Query[name]
		if !slices.Contains(names, name) || len(values) > 1 || !utf8.ValidString(values[0]) {
			return invalid("APIG.2012", name)
		}
	}
	return nil
}

// number reads an integer parameter.
func number(r *Request, name string, missing int64) (int64, error) {
	if !r.Query.Has(name) {
		return missing, nil
	}
	n, err := strconv.ParseInt(r.Query.Get(name), 10, 64)
	if err != nil {
		return 0, invalid("APIG.2012", name)
	}
	return n, nil
}

// page is the body of a list answer: the rows of the part of all that the
// request asks for.
func page[T, R any](r *Request, name string, all []T, row func(T) R) (answer, error) {
	offset, err := number(r, "offset", 0)
	if err != nil {
		return answer{}, err
	}
	limit, err := number(r, "limit", 20)
	if err != nil {
		return answer{}, err
	}
	if limit <= 0 {
		limit = 20
	}
	limit = min(limit, 500)
	from := min(max(offset, 0), int64(len(all)))
	part := all[from:min(from+limit, int64(len(all)))]
	rows := make([]R, len(part))
	for n, one := range part {
		rows[n] = row(one)
	}
	return reply(http.StatusOK, map[string]any{"total": len(all), "size": len(rows), name: rows})
}

// answer is a complete answer, not yet sent.
type answer struct {
	status int
	header http.Header // beyond what every answer has; a nil value removes one of those
	body   []byte
}

// reply answers with v as JSON.
func reply(status int, v any) (answer, error) {
	body, err := json.Marshal(v)
	return answer{status: status, body: body}, err
}

// refusal is an error that the service answers with.
type refusal struct {
	status int
	code   string
	text   string
}

func refuse(status int, code, format string, args ...any) error {
	return &refusal{status, code, fmt.Sprintf(format, args...)}
}

func (e *refusal) Error() string { return e.code + ": " + e.text }

// invalid refuses the value of a parameter in the words of the service. It
// uses APIG.2011 for what is in a body, and APIG.2012 for the rest.
func invalid(code, parameter string) error {
	return refuse(http.StatusBadRequest, code,
		"Invalid parameter value,parameterName:%s. Please refer to the support documentation", parameter)
}

// answerError makes an answer of an error. Only the front gateway, whose codes
// begin with APIGW, repeats the request id in the body.
func answerError(err error, requestID string) answer {
	var e *refusal
	if !errors.As(err, &e) {
		e = &refusal{http.StatusInternalServerError, "APIG.9999", "System error"}
	}
	body := struct {
		Code      string `json:"error_code"`
		Text      string `json:"error_msg"`
		RequestID string `json:"request_id,omitempty"`
	}{Code: e.code, Text: e.text}
	if strings.HasPrefix(e.code, "APIGW.") {
		body.RequestID = requestID
	}
	a, _ := reply(e.status, body) // strings always marshal
	return a
}

// contentType goes by the first byte, which is all that tells the bodies of
// APIG, of load balancers and of broken proxies apart.
func contentType(body []byte) string {
	switch {
	case len(body) == 0:
		return ""
	case body[0] == '{':
		return "application/json"
	case body[0] == '<':
		return "text/html"
	}
	return "text/plain"
}

// send writes the answer: n bytes of its body, or all of it if n is negative,
// but always announcing the whole.
func (g *Gateway) send(w http.ResponseWriter, r *Request, a answer, n int) {
	h := w.Header()
	h.Set("Date", g.clock.date())
	h.Set("Server", "api-gateway")
	h.Set("X-Request-Id", r.ID)
	if kind := contentType(a.body); kind != "" {
		h.Set("Content-Type", kind)
	}
	maps.Copy(h, a.header)
	if h.Get("Transfer-Encoding") == "" && a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	if n < 0 || n > len(a.body) {
		n = len(a.body)
	}
	_, _ = w.Write(a.body[:n]) // a client that has gone away misses nothing
}
