package apigtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

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
