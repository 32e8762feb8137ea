package apig

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apig-go/apig/internal/sdkhmac"
)

// Bounds, in characters, of what is taken from an answer into an error: enough
// for every text in the service's documentation.
const (
	maxMessage   = 512
	maxCode      = 64
	maxRequestID = 128
)

// apiError makes an error of an answer that is not a success.
func (a *answer) apiError(op, apiID string, attempts int) *APIGError {
	code, message, requestID := errorDetails(a.body)
	if id := a.header.Get("X-Request-Id"); id != "" {
		requestID = id
	}
	if a.status >= 300 && a.status < 400 {
		message = "a redirect, which is never followed; check the endpoint"
	}
	message = a.text(message, maxMessage)
	if skew := a.clockSkew(); a.status == http.StatusUnauthorized && skew.Abs() > tolerableSkew {
		message += fmt.Sprintf(" (the request was signed with a clock that is %v off the gateway's)", skew)
	}
	return &APIGError{
		Op:         op,
		APIID:      apiID,
		StatusCode: a.status,
		Code:       Code(a.text(code, maxCode)),
		Message:    message,
		RequestID:  a.text(requestID, maxRequestID),
		RetryAfter: a.retryAfter(),
		Attempts:   attempts,
	}
}

// tolerableSkew is well below the 15 minutes from which on the service refuses
// a signature for its date.
const tolerableSkew = 5 * time.Minute

// clockSkew is how far the date of a signed request is ahead of the gateway's
// clock, to the second, and zero if one of the two is not known.
func (a *answer) clockSkew() time.Duration {
	signed, err := time.Parse(sdkhmac.DateLayout, a.request.Header.Get("X-Sdk-Date"))
	if now := a.date(); err == nil && !now.IsZero() {
		return signed.Sub(now)
	}
	return 0
}

// text makes a server's text fit to be printed: without the credentials that
// the request carried (a signature error echoes the signed headers), on one
// line, and cut.
func (a *answer) text(s string, most int) string {
	return cut(oneLine(a.withoutSecrets(s)), most)
}

// The names under which services of Huawei Cloud report errors, best first.
var (
	codeKeys      = []string{"error_code", "errCode", "errorCode", "errorCodeStr", "code", "error_name", "workload_res_code"}
	messageKeys   = []string{"error_msg", "errMsg", "errorMsg", "message", "error_description", "title"}
	requestIDKeys = []string{"request_id", "requestId"}
)

// errorDetails finds the code, the message and the request ID in the body of
// an error, whichever of the known shapes it has: the documented one, the older
// ones, IAM's, or any of them one level down. It finds nothing in HTML.
func errorDetails(body []byte) (code, message, requestID string) {
	var object map[string]json.RawMessage
	if json.Unmarshal(body, &object) != nil {
		return "", "", ""
	}
	code, message, requestID = errorFields(object)
	if code != "" {
		return code, message, requestID
	}
	for _, key := range errorFirst(object) {
		var nested map[string]json.RawMessage
		if json.Unmarshal(object[key], &nested) != nil {
			continue
		}
		c, m, id := errorFields(nested)
		if c == "" && m == "" {
			continue
		}
		return c, first(m, message), first(requestID, id)
	}
	if message == "" {
		message = scalar(object["error"])
	}
	return code, message, requestID
}

// errorFirst lists the keys of an object in an order that is always the same.
func errorFirst(object map[string]json.RawMessage) []string {
	keys := slices.Sorted(maps.Keys(object))
	if i, ok := slices.BinarySearch(keys, "error"); ok {
		keys = append([]string{"error"}, slices.Delete(keys, i, i+1)...)
	}
	return keys
}

func errorFields(object map[string]json.RawMessage) (code, message, requestID string) {
	return field(object, codeKeys), field(object, messageKeys), field(object, requestIDKeys)
}

// field returns the first of the keys that holds a text or a number.
func field(object map[string]json.RawMessage, keys []string) string {
	for _, key := range keys {
		if s := scalar(object[key]); s != "" {
			return s
		}
	}
	return ""
}

// scalar is a JSON string or number as a string, and empty for anything else.
func scalar(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// retryAfter reads Retry-After as seconds or as a date on the gateway's clock.
// It is zero if the header is missing, unreadable or in the past.
func (a *answer) retryAfter() time.Duration {
	s := strings.TrimSpace(a.header.Get("Retry-After"))
	if s == "" {
		return 0
	}
	if seconds, err := strconv.ParseInt(s, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		// Beyond a year the wait only has to stay long and not overflow.
		return time.Duration(min(max(seconds, 0), 365*24*3600)) * time.Second
	}
	until, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	now := a.date()
	if now.IsZero() {
		now = a.arrived
	}
	return max(until.Sub(now), 0)
}

// date is the gateway's clock when it answered, or zero if the answer does not
// tell or comes from a cache.
func (a *answer) date() time.Time {
	if a.header.Get("Age") != "" {
		return time.Time{}
	}
	t, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return t
}

// oneLine escapes whatever could break out of a line of a log: line breaks and
// other control characters, and what is invisible or not UTF-8.
func oneLine(s string) string {
	clean := func(r rune) bool { return strconv.IsPrint(r) && r != utf8.RuneError }
	if !strings.ContainsFunc(s, func(r rune) bool { return !clean(r) }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if clean(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRune(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

// cut keeps at most n characters of s.
func cut(s string, n int) string {
	seen := 0
	for i := range s {
		if seen == n {
			return s[:i] + "…"
		}
		seen++
	}
	return s
}

// shortestSecret keeps a placeholder of a few letters, as tests have, from
// being cut out of every word.
const shortestSecret = 6

// withoutSecrets removes the credentials that the request carried from a text
// that came back.
func (a *answer) withoutSecrets(s string) string {
	s = withoutEscaped(s, a.secret)
	if a.request == nil {
		return s
	}
	for _, name := range credentialHeaders {
		s = without(s, a.request.Header.Get(name))
	}
	return s
}

func without(s, secret string) string {
	switch {
	case len(secret) < shortestSecret:
		return s
	case strings.ContainsAny(secret, `"\<>&`): // which a token of IAM has none of
		return withoutEscaped(s, secret)
	}
	return strings.ReplaceAll(s, secret, redacted)
}

// withoutEscaped is without for a secret of any characters. A server may write
// it back as it stands in a body of JSON, in a string of Python, or in HTML.
func withoutEscaped(s, secret string) string {
	if len(secret) < shortestSecret {
		return s
	}
	var echo strings.Builder
	for _, r := range secret {
		short := ""
		if r < ' ' {
			short = `|[abfnrtv]|x[0-9a-f]{2}`
		}
		fmt.Fprintf(&echo, `(?:\\*(?:%s|(?i:u%04x)%s)|&#?\w+;)`, regexp.QuoteMeta(string(r)), r, short)
	}
	return regexp.MustCompile(echo.String()).ReplaceAllLiteralString(s, redacted)
}
