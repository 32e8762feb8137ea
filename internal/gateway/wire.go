package gateway

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decode reads a JSON object into a struct. It is stricter than encoding/json,
// which takes "API_ID" for "api_id", null for "", and the last one of two
// equal names: a client under test should hear of all that. It returns the name of
// what is wrong, or "", and an error for what is not JSON or does not parse.
func decode(body []byte, into any) (wrong string, err error) {
	var plain json.RawMessage
	if err := json.Unmarshal(body, &plain); err != nil {
		return "", err
	}
	if wrong = strange(json.NewDecoder(bytes.NewReader(body)), "body"); wrong != "" {
		return wrong, nil
	}
	if !utf8.Valid(body) {
		return "body", nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err = dec.Decode(into); err == nil {
		return "", nil
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		path := strings.Split(wrongType.Field, ".")
		return cmp.Or(path[len(path)-1], "body"), nil
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return strings.Trim(name, `"`), nil
	}
	return "", err
}

// strange is the first name in valid JSON that is not in lower case, is given twice,
// or has the value null. All names of the service are in lower case.
func strange(dec *json.Decoder, name string) string {
	start, _ := dec.Token()
	if start == nil {
		return name
	}
	bracket, ok := start.(json.Delim)
	if !ok {
		return ""
	}
	seen := make(map[string]bool)
	for dec.More() {
		if bracket == '{' {
			token, _ := dec.Token()
			name, _ = token.(string)
			if seen[name] || name != strings.ToLower(name) {
				return name
			}
			seen[name] = true
		}
		if inner := strange(dec, name); inner != "" {
			return inner
		}
	}
	_, _ = dec.Token() // the end
	return ""
}

// decode reads the body of a request.
func (r *Request) decode(into any) (wrong string, err error) {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(params["charset"]) // "utf8" is documented for IAM
	ok := err == nil && kind == "application/json" && slices.Contains([]string{"", "utf-8", "utf8"}, charset)
	if !ok {
		return "Content-Type", nil
	}
	return decode(r.Body, into)
}

// parameters reads the body of a request to the service. The refusal of what is not
// JSON is documented for a switch without a body; it is taken to be the same elsewhere.
func (r *Request) parameters(code string, into any) error {
	wrong, err := r.decode(into)
	switch {
	case err != nil:
		return refuse(http.StatusBadRequest, "APIG.2000", "Parameter error: Serialization error: %s", err)
	case wrong != "":
		return invalid(code, wrong)
	}
	return nil
}

// maxRemark counts characters, not bytes.
const maxRemark = 255

// check refuses a remark that is too long, and the first parameter that is empty; names
// and values take turns.
func check(code, remark string, parameters ...string) error {
	for n := 0; n < len(parameters); n += 2 {
		if parameters[n+1] == "" {
			return invalid(code, parameters[n])
		}
	}
	if utf8.RuneCountInString(remark) > maxRemark {
		return invalid(code, "remark")
	}
	return nil
}

// checkQuery refuses parameters that the endpoint does not have, and those
// given twice.
func (r *Request) checkQuery(names []string) error {
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
func (r *Request) number(name string, missing int64) (int64, error) {
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
func page[T, R any](r *Request, name string, all []T, row func(T) R) (any, error) {
	offset, err := r.number("offset", 0)
	if err != nil {
		return nil, err
	}
	limit, err := r.number("limit", 20)
	if err != nil {
		return nil, err
	}
	if limit <= 0 {
		limit = 20
	}
	limit = min(limit, 500)
	from := min(max(offset, 0), int64(len(all)))
	rows := []R{}
	for _, one := range all[from:min(from+limit, int64(len(all)))] {
		rows = append(rows, row(one))
	}
	return map[string]any{"total": len(all), "size": len(rows), name: rows}, nil
}

// refusal is an error that the service answers with. One without a code is of IAM.
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

// systemError is the answer to what nobody has foreseen.
var systemError = &refusal{http.StatusInternalServerError, "APIG.9999", "System error"}

// json is the error body. The one of IAM has its status as the code. Only the front
// gateway, whose codes begin with APIGW, repeats the request id in the body.
func (e *refusal) json(requestID string) string {
	var body any
	if e.code == "" {
		body = map[string]any{"error": map[string]any{"code": e.status, "message": e.text, "title": http.StatusText(e.status)}}
	} else {
		if !strings.HasPrefix(e.code, "APIGW.") {
			requestID = ""
		}
		body = struct {
			Code      string `json:"error_code"`
			Text      string `json:"error_msg"`
			RequestID string `json:"request_id,omitempty"`
		}{e.code, e.text, requestID}
	}
	text, _ := json.Marshal(body) // strings always marshal
	return string(text)
}

// answer is a complete answer, not yet sent.
type answer struct {
	status int
	header http.Header // beyond what every answer has; a nil value removes one of those
	body   []byte
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
