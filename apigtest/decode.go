package apigtest

import (
	"bytes"
	"encoding/json"
	"errors"
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
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
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

// page is the body of a list answer with the part of all that the request asks
// for.
func page[T any](r *Request, name string, all []T) (answer, error) {
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
	return reply(http.StatusOK, map[string]any{"total": len(all), "size": len(part), name: part})
}
