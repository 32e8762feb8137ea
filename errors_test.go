package apig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// refusal is what Publish makes of an answer that is not a success. Where it
// asks, the history shows that nothing was published.
func refusal(t testing.TB, answer httpmock.Responder, changes ...func(*Config)) *APIGError {
	t.Helper()
	c, mt := newTest(t, append([]func(*Config){attempts(1)}, changes...)...)
	mt.RegisterResponder(http.MethodPost, actionURL, answer)
	mt.RegisterResponder(http.MethodGet, historyURL, respondJSON(200, emptyHistoryBody))
	record, err := c.Publish(context.Background(), testRequest)
	assert.Nil(t, record)
	var e *APIGError
	require.ErrorAs(t, err, &e)
	assert.NotErrorIs(t, err, ErrOutcomeUnknown)
	assert.Same(t, e, err, "the error itself, not one around it")
	return e
}

// Every shape of an error's body that services of Huawei Cloud, and what stands
// in front of them, are known to use.
func TestErrorBody(t *testing.T) {
	t.Parallel()
	const id = "8080d377bffeb6d519b0567c09cebe6b"
	xhtml := `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Error</title></head>
<body><h2>Error</h2><p>The backend server is unreachable.<br/></p></body></html>`

	tests := map[string]struct {
		status   int
		body     string
		header   []string
		text     string // after the operation and the API
		sentinel error
		want     APIGError // its code, message and request id
	}{
		"documented": {
			404, noAPIBody, nil,
			"404 Not Found, APIG.3002: API 5f918d104dc84480a75166ba99efff21 does not exist", ErrNotFound,
			APIGError{Code: "APIG.3002", Message: "API 5f918d104dc84480a75166ba99efff21 does not exist"},
		},
		"request id in the header": {
			404, `{"error_code":"APIG.3002","error_msg":"no"}`, []string{"X-Request-Id", id},
			"404 Not Found, APIG.3002: no (request id " + id + ")", ErrNotFound,
			APIGError{Code: "APIG.3002", Message: "no", RequestID: id},
		},
		"front gateway: request id in the body": {
			401, `{"error_msg":"Incorrect IAM authentication information: decrypt token fail","error_code":"APIGW.0301","request_id":"` + id + `"}`, nil,
			"401 Unauthorized, APIGW.0301: Incorrect IAM authentication information: decrypt token fail (request id " + id + ")", ErrUnauthorized,
			APIGError{Code: "APIGW.0301", Message: "Incorrect IAM authentication information: decrypt token fail", RequestID: id},
		},
		"front gateway: throttled": {
			429, `{"error_msg":"policy user over ratelimit,limit:200,time:5 minute","error_code":"APIGW.0308","request_id":"` + id + `"}`, nil,
			"429 Too Many Requests, APIGW.0308: policy user over ratelimit,limit:200,time:5 minute (request id " + id + ")", ErrThrottled,
			APIGError{Code: "APIGW.0308", Message: "policy user over ratelimit,limit:200,time:5 minute", RequestID: id},
		},
		"request id in both: the header's": {
			401, `{"error_msg":"no","error_code":"APIGW.0301","request_id":"of the body"}`, []string{"X-Request-Id", id},
			"401 Unauthorized, APIGW.0301: no (request id " + id + ")", ErrUnauthorized,
			APIGError{Code: "APIGW.0301", Message: "no", RequestID: id},
		},
		"IAM policies: an encoded message, for a tool to decode": {
			403, `{"error_code":"APIG.1020","error_msg":"Insufficient permissions.","encoded_authorization_message":"` + strings.Repeat("XQ9bGk", 1000) + `"}`, nil,
			"403 Forbidden, APIG.1020: Insufficient permissions.", ErrForbidden,
			APIGError{Code: "APIG.1020", Message: "Insufficient permissions."},
		},
		"code and message, with details": {
			400, `{"code":"common.01000001","message":"failed to read http request","details":[{"code":"x","message":"y"}]}`, nil,
			"400 Bad Request, common.01000001: failed to read http request", ErrBadRequest,
			APIGError{Code: "common.01000001", Message: "failed to read http request"},
		},
		"nested": {
			400, `{"error":{"code":"EPS.0004","message":"Invalid."}}`, nil,
			"400 Bad Request, EPS.0004: Invalid.", ErrBadRequest,
			APIGError{Code: "EPS.0004", Message: "Invalid."},
		},
		"nested under another name, with a request id": {
			400, `{"request_id":"` + id + `","fault":{"code":"F.1","message":"Invalid."}}`, nil,
			"400 Bad Request, F.1: Invalid. (request id " + id + ")", ErrBadRequest,
			APIGError{Code: "F.1", Message: "Invalid.", RequestID: id},
		},
		"nested twice: error first": {
			400, `{"a":{"code":"A.1","message":"a"},"error":{"code":"E.1","message":"e"},"z":{"code":"Z.1"}}`, nil,
			"400 Bad Request, E.1: e", ErrBadRequest,
			APIGError{Code: "E.1", Message: "e"},
		},
		"IAM: the status as a number": {
			401, `{"error":{"code":401,"message":"The username or password is wrong.","title":"Unauthorized"}}`, nil,
			"401 Unauthorized: The username or password is wrong.", ErrUnauthorized,
			APIGError{Code: "401", Message: "The username or password is wrong."},
		},
		"IAM: a title only": {
			403, `{"error":{"code":403,"title":"Forbidden by policy"}}`, nil,
			"403 Forbidden: Forbidden by policy", ErrForbidden,
			APIGError{Code: "403", Message: "Forbidden by policy"},
		},
		"a number that is not the status": {
			400, `{"code":1100,"message":"Mandatory parameters are not specified."}`, nil,
			"400 Bad Request, 1100: Mandatory parameters are not specified.", ErrBadRequest,
			APIGError{Code: "1100", Message: "Mandatory parameters are not specified."},
		},
		"errCode, errMsg": {
			400, `{"errCode":"DNS.0302","errMsg":"bad"}`, nil, "400 Bad Request, DNS.0302: bad", ErrBadRequest,
			APIGError{Code: "DNS.0302", Message: "bad"},
		},
		"errorCode, errorMsg": {
			400, `{"errorCode":"GES.8002","errorMsg":"bad"}`, nil, "400 Bad Request, GES.8002: bad", ErrBadRequest,
			APIGError{Code: "GES.8002", Message: "bad"},
		},
		"errorCodeStr": {
			400, `{"errorCodeStr":"X.1","message":"bad"}`, nil, "400 Bad Request, X.1: bad", ErrBadRequest,
			APIGError{Code: "X.1", Message: "bad"},
		},
		"error.error_code": {
			400, `{"error":{"error_code":"X.2","error_msg":"bad"}}`, nil, "400 Bad Request, X.2: bad", ErrBadRequest,
			APIGError{Code: "X.2", Message: "bad"},
		},
		"several names: the documented ones first": {
			400, `{"code":"C.1","message":"c","error_name":"N","error_code":"E.1","error_msg":"e","errorMsg":"x"}`, nil,
			"400 Bad Request, E.1: e", ErrBadRequest, APIGError{Code: "E.1", Message: "e"},
		},
		"error_name": {
			400, `{"error_name":"BadThing","message":"bad"}`, nil, "400 Bad Request, BadThing: bad", ErrBadRequest,
			APIGError{Code: "BadThing", Message: "bad"},
		},
		"workload_res_code": {
			500, `{"workload_res_code":1,"message":"bad"}`, nil, "500 Internal Server Error, 1: bad", ErrServer,
			APIGError{Code: "1", Message: "bad"},
		},
		"OAuth": {
			400, `{"error":"invalid_grant","error_description":"bad"}`, nil, "400 Bad Request: bad", ErrBadRequest,
			APIGError{Message: "bad"},
		},
		"a word": {
			400, `{"error":"bad"}`, nil, "400 Bad Request: bad", ErrBadRequest, APIGError{Message: "bad"},
		},
		"a message only": {
			404, `{"error_msg":"no route"}`, nil, "404 Not Found: no route", ErrNotFound, APIGError{Message: "no route"},
		},
		"a code only": {
			404, `{"error_code":"APIG.3002"}`, nil, "404 Not Found, APIG.3002", ErrNotFound, APIGError{Code: "APIG.3002"},
		},
		"a twin of the front gateway's": {
			429, `{"error_code":"APIG.0308","error_msg":"The throttling threshold has been reached."}`, nil,
			"429 Too Many Requests, APIG.0308: The throttling threshold has been reached.", ErrThrottled,
			APIGError{Code: "APIG.0308", Message: "The throttling threshold has been reached."},
		},
		"load balancer: XHTML": {
			502, xhtml, []string{"Content-Type", "text/html"}, "502 Bad Gateway", ErrServer, APIGError{},
		},
		"load balancer: XHTML that is called JSON": {
			503, xhtml, []string{"Content-Type", "application/json"}, "503 Service Unavailable", ErrServer, APIGError{},
		},
		"empty 500":             {500, "", nil, "500 Internal Server Error", ErrServer, APIGError{}},
		"empty 503 with an id":  {503, "", []string{"X-Request-Id", id}, "503 Service Unavailable (request id " + id + ")", ErrServer, APIGError{RequestID: id}},
		"empty 404":             {404, "", nil, "404 Not Found", ErrNotFound, APIGError{}},
		"empty object":          {400, "{}", nil, "400 Bad Request", ErrBadRequest, APIGError{}},
		"null":                  {400, "null", nil, "400 Bad Request", ErrBadRequest, APIGError{}},
		"array":                 {400, `[{"error_code":"APIG.2011"}]`, nil, "400 Bad Request", ErrBadRequest, APIGError{}},
		"text":                  {400, "bad request", nil, "400 Bad Request", ErrBadRequest, APIGError{}},
		"cut JSON":              {400, parameterBody[:40], nil, "400 Bad Request", ErrBadRequest, APIGError{}},
		"fields of other types": {400, `{"error_code":{},"error_msg":[1],"request_id":true}`, nil, "400 Bad Request", ErrBadRequest, APIGError{}},
		"null fields":           {400, `{"error_code":null,"error_msg":null,"request_id":null}`, nil, "400 Bad Request", ErrBadRequest, APIGError{}},
		"expired token, told as 403": {
			403, `{"error_code":"DNS.0005","error_msg":"The token must be updated."}`, nil,
			"403 Forbidden, DNS.0005: The token must be updated.", ErrForbidden,
			APIGError{Code: "DNS.0005", Message: "The token must be updated."},
		},
		"a gateway of the front": {
			504, `{"error_code":"APIGW.0201","error_msg":"Backend timeout."}`, nil,
			"504 Gateway Timeout, APIGW.0201: Backend timeout.", ErrServer, APIGError{Code: "APIGW.0201", Message: "Backend timeout."},
		},
		"too large": {
			413, `{"error_code":"APIGW.0201","error_msg":"Request entity too large."}`, nil,
			"413 Request Entity Too Large, APIGW.0201: Request entity too large.", ErrBadRequest,
			APIGError{Code: "APIGW.0201", Message: "Request entity too large."},
		},
		"a status without a name": {
			494, `{"error_code":"APIGW.0201","error_msg":"Request headers too large."}`, nil,
			"494, APIGW.0201: Request headers too large.", ErrBadRequest,
			APIGError{Code: "APIGW.0201", Message: "Request headers too large."},
		},
		"a server's status without a name": {599, "", nil, "599", ErrServer, APIGError{}},
		"a status of no class":             {999, "", nil, "999", ErrServer, APIGError{}},
		"request timeout":                  {408, "", nil, "408 Request Timeout", ErrServer, APIGError{}},
		"not implemented":                  {501, "", nil, "501 Not Implemented", ErrServer, APIGError{}},
		"precondition":                     {412, "", nil, "412 Precondition Failed", ErrBadRequest, APIGError{}},
		"conflict":                         {409, "", nil, "409 Conflict", ErrConflict, APIGError{}},
		"redirect": {
			302, xhtml, []string{"Location", "https://elsewhere.example.com/"},
			"302 Found: a redirect, which is never followed; check the endpoint", ErrBadRequest,
			APIGError{Message: "a redirect, which is never followed; check the endpoint"},
		},
		"redirect to nowhere": {
			304, "", nil, "304 Not Modified: a redirect, which is never followed; check the endpoint", ErrBadRequest,
			APIGError{Message: "a redirect, which is never followed; check the endpoint"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := refusal(t, respond(tt.status, tt.body, tt.header...))
			require.EqualError(t, e, "apig: Publish API "+testAPI+": "+tt.text)
			want := tt.want
			want.Op, want.APIID, want.StatusCode, want.Attempts = "Publish", testAPI, tt.status, 1
			assert.Equal(t, want, *e)
			for _, s := range sentinels {
				assert.Equal(t, s == tt.sentinel, errors.Is(e, s), "%v", s)
			}
		})
	}
}

// An error that comes with the status of a success is no success.
func TestErrorBodyWithSuccess(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 201} {
		c, mt := newTest(t)
		mt.RegisterResponder(http.MethodPost, actionURL, respondJSON(status, noAPIBody))
		mt.RegisterResponder(http.MethodGet, historyURL, respondJSON(404, noAPIBody))
		record, err := c.Publish(context.Background(), testRequest)
		assert.Nil(t, record)
		require.EqualError(t, err, "apig: Publish API "+testAPI+": 404 Not Found, APIG.3002: API "+testAPI+" does not exist",
			"the history knows what the answer meant")
		assert.ErrorIs(t, err, ErrNotFound)
	}
}

// What the server sends never breaks out of the line of a log, whatever part of
// the answer it is in.
func TestErrorControlCharacters(t *testing.T) {
	t.Parallel()
	nasty := "a\nb\r\nc\x00d\x1b[31me\x7ff\u0085g\u2028h\u202ei\u200bj"
	quoted, err := json.Marshal(nasty)
	require.NoError(t, err)
	const escaped = `a\nb\r\nc\x00d\x1b[31me\x7ff\u0085g\u2028h\u202ei\u200bj`

	tests := map[string]struct {
		answer httpmock.Responder
		want   APIGError
	}{
		"message": {
			respond(400, `{"error_code":"X.1","error_msg":`+string(quoted)+`}`),
			APIGError{Code: "X.1", Message: escaped},
		},
		"code":               {respond(400, `{"error_code":`+string(quoted)+`}`), APIGError{Code: escaped}},
		"request id":         {respond(400, `{"error_code":"X.1","request_id":`+string(quoted)+`}`), APIGError{Code: "X.1", RequestID: escaped}},
		"request id, header": {respond(400, `{"error_code":"X.1"}`, "X-Request-Id", nasty), APIGError{Code: "X.1", RequestID: escaped}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var text, records buffer
			log := slog.New(tee{
				slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}),
				slog.NewJSONHandler(&records, &slog.HandlerOptions{Level: slog.LevelDebug}),
			})
			e := refusal(t, tt.answer, logTo(log))
			log.Error("failed", "err", e)
			log.Error("failed", "err", fmt.Errorf("deploying: %w", e))

			assert.Equal(t, tt.want.Code, e.Code)
			assert.Equal(t, tt.want.Message, e.Message)
			assert.Equal(t, tt.want.RequestID, e.RequestID)
			assertOneLine(t, e.Error())
			assert.Equal(t, 3, strings.Count(text.String(), "\n"), "one line a record")
			for _, line := range strings.Split(strings.TrimSpace(text.String()), "\n") {
				assertOneLine(t, line)
			}
			for _, line := range strings.Split(strings.TrimSpace(records.String()), "\n") {
				var v any
				require.NoError(t, json.Unmarshal([]byte(line), &v))
				assertOneLine(t, fmt.Sprint(v)) // JSON's own escapes undone
			}
		})
	}
}

func assertOneLine(t testing.TB, s string) {
	t.Helper()
	assert.True(t, utf8.ValidString(s), "%q", s)
	for _, r := range s {
		if !strconv.IsPrint(r) {
			assert.Fail(t, "raw control character", "%q in %q", r, s)
			return
		}
	}
}

// tee gives every record to several handlers.
type tee []slog.Handler

func (h tee) Enabled(context.Context, slog.Level) bool { return true }
func (h tee) Handle(ctx context.Context, r slog.Record) error {
	var errs []error
	for _, to := range h {
		errs = append(errs, to.Handle(ctx, r.Clone()))
	}
	return errors.Join(errs...)
}
func (h tee) WithAttrs([]slog.Attr) slog.Handler { panic("not used") }
func (h tee) WithGroup(string) slog.Handler      { panic("not used") }

func TestErrorInvalidUTF8(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]httpmock.Responder{
		"message":    respond(400, "{\"error_code\":\"X.1\",\"error_msg\":\"caf\xe9 \xff\xfe\"}"),
		"code":       respond(400, "{\"error_code\":\"X\xff\"}"),
		"body":       respond(400, "\xff\xfe{\x00}"),
		"request id": respond(400, `{"error_code":"X.1"}`, "X-Request-Id", "id\xff"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assertOneLine(t, refusal(t, answer).Error())
		})
	}
}

// A server can send what it likes: the error stays short, and so does what is
// read.
func TestErrorBounds(t *testing.T) {
	t.Parallel()
	const mega = 1 << 20
	long := strings.Repeat("发", 100_000)
	tests := map[string]struct {
		status int
		body   io.Reader
		header string
		want   APIGError
		read   int // at most
	}{
		"long fields": {
			400, strings.NewReader(`{"error_code":"` + long + `","error_msg":"` + long + `","request_id":"` + long + `"}`), "",
			APIGError{Code: Code(long[:64*3] + "…"), Message: long[:512*3] + "…", RequestID: long[:128*3] + "…"}, mega,
		},
		"long request id in the header": {
			400, strings.NewReader(""), long,
			APIGError{RequestID: long[:128*3] + "…"}, 0,
		},
		"just long enough": {
			400, strings.NewReader(`{"error_code":"` + long[:64*3] + `","error_msg":"` + long[:512*3] + `"}`), "",
			APIGError{Code: Code(long[:64*3]), Message: long[:512*3]}, mega,
		},
		"10 MB of junk":          {502, io.LimitReader(endless('x'), 10*mega), "", APIGError{}, mega + 64<<10},
		"10 MB in a message":     {400, io.MultiReader(strings.NewReader(`{"error_msg":"`), io.LimitReader(endless('x'), 10*mega)), "", APIGError{}, mega + 64<<10},
		"10 MB of open brackets": {502, io.LimitReader(endless('['), 10*mega), "", APIGError{}, mega + 64<<10},
		"an error in between":    {502, io.MultiReader(strings.NewReader(systemBody[:30]), iotest.ErrReader(io.ErrUnexpectedEOF)), "", APIGError{}, 30},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := &countedBody{Reader: tt.body}
			e := refusal(t, func(*http.Request) (*http.Response, error) {
				h := http.Header{}
				if tt.header != "" {
					h.Set("X-Request-Id", tt.header)
				}
				return &http.Response{StatusCode: tt.status, Header: h, Body: body, ContentLength: -1}, nil
			})
			assert.Equal(t, tt.want.Code, e.Code)
			assert.Equal(t, tt.want.Message, e.Message)
			assert.Equal(t, tt.want.RequestID, e.RequestID)
			assertOneLine(t, e.Error())
			assert.LessOrEqual(t, utf8.RuneCountInString(e.Error()), 1000)
			assert.LessOrEqual(t, body.read, tt.read)
			assert.True(t, body.closed)
		})
	}
}

// The front gateway repeats what it was sent in its errors.
func TestErrorEchoesCredentials(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("MIIQy+/TOKEN-", 300) + "=="
	quoted := strconv.Quote("token " + token + " expired")
	for name, answer := range map[string]httpmock.Responder{
		"message":           respond(401, `{"error_code":"APIGW.0301","error_msg":`+quoted+`}`),
		"code":              respond(401, `{"error_code":`+quoted+`}`),
		"request id":        respond(401, `{"error_code":"APIGW.0301","error_msg":"no","request_id":`+quoted+`}`),
		"request id header": respond(401, `{"error_code":"APIGW.0301"}`, "X-Request-Id", "token "+token+" expired"),
		"twice":             respond(401, `{"error_code":"X.1","error_msg":"token `+token+` expired,`+token+`"}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := refusal(t, answer, authBy(StaticToken(token)))
			assert.NotContains(t, fmt.Sprintf("%+v", *e), "TOKEN-")
			assert.Contains(t, e.Error(), "token REDACTED expired", "the rest of the text stays")
		})
	}
}

// The meaning of every code, by the service's own table of error codes: its
// statuses and, where the sentinel is not that of the status, the reason.
func TestCodes(t *testing.T) {
	t.Parallel()
	const (
		permission = "a matter of permissions: no other credentials of this user and no other request help"
		account    = "new credentials do not cure what is wrong with the account"
		passing    = "the state of the gateway, which passes; the request is right"
	)
	type row struct {
		statuses []int
		sentinel error
		reason   string // where the sentinel is not that of the status
	}
	codes := map[Code]row{
		"APIG.1000":  {[]int{401}, ErrUnauthorized, ""},
		"APIG.1001":  {[]int{401}, ErrUnauthorized, ""},
		"APIG.1002":  {[]int{401}, ErrUnauthorized, ""},
		"APIG.1003":  {[]int{401}, ErrUnauthorized, ""},
		"APIG.1005":  {[]int{403, 401}, ErrForbidden, permission + "; the table says 401, the pages say 403"},
		"APIG.1007":  {[]int{401}, ErrUnauthorized, ""},
		"APIG.1008":  {[]int{401}, ErrUnauthorized, ""},
		"APIG.1009":  {[]int{401}, ErrUnauthorized, ""},
		"APIG.1010":  {[]int{401}, ErrServer, "the service could not reach a server of its own"},
		"APIG.1011":  {[]int{401}, ErrForbidden, account},
		"APIG.1012":  {[]int{401}, ErrForbidden, account},
		"APIG.1013":  {[]int{401}, ErrForbidden, account},
		"APIG.1020":  {[]int{403}, ErrForbidden, ""},
		"APIG.1102":  {[]int{403}, ErrForbidden, ""},
		"APIG.1103":  {[]int{403}, ErrForbidden, ""},
		"APIG.1119":  {[]int{400}, ErrForbidden, permission},
		"APIG.1136":  {[]int{403}, ErrForbidden, ""},
		"APIG.1149":  {[]int{409}, ErrForbidden, permission},
		"APIG.2000":  {[]int{400}, ErrBadRequest, ""},
		"APIG.2011":  {[]int{400}, ErrBadRequest, ""},
		"APIG.2012":  {[]int{400}, ErrBadRequest, ""},
		"APIG.3001":  {[]int{404}, ErrNotFound, ""},
		"APIG.3002":  {[]int{404}, ErrNotFound, ""},
		"APIG.3003":  {[]int{404}, ErrNotFound, ""},
		"APIG.3015":  {[]int{404}, ErrNotPublished, "what is not there is the publication; it is ErrNotFound too"},
		"APIG.3022":  {[]int{404}, ErrNotFound, ""},
		"APIG.3030":  {[]int{404}, ErrNotFound, ""},
		"APIG.3309":  {[]int{400}, ErrConflict, "it is so already; the request is right"},
		"APIG.3500":  {[]int{500}, ErrServer, ""},
		"APIG.3711":  {[]int{409}, ErrThrottled, "once a minute is a limit of the rate"},
		"APIG.3718":  {[]int{409}, ErrConflict, ""},
		"APIG.9008":  {[]int{500}, ErrThrottled, "too many requests, whatever the status"},
		"APIG.9999":  {[]int{500}, ErrServer, ""},
		"APIC.7100":  {[]int{401}, ErrUnauthorized, ""},
		"APIC.7101":  {[]int{401}, ErrUnauthorized, ""},
		"APIC.7102":  {[]int{401}, ErrUnauthorized, ""},
		"APIC.7302":  {[]int{404}, ErrNotFound, ""},
		"APIC.7701":  {[]int{409}, ErrConflict, ""},
		"APIC.7712":  {[]int{409}, ErrConflict, ""},
		"APIC.9222":  {[]int{400}, ErrConflict, passing},
		"APIGW.0101": {[]int{404}, ErrNotFound, ""},
		"APIGW.0301": {[]int{401}, ErrUnauthorized, ""},
		"APIGW.0303": {[]int{401}, ErrUnauthorized, ""},
		"APIGW.0307": {[]int{401}, ErrUnauthorized, ""},
		"APIGW.0308": {[]int{429}, ErrThrottled, ""},
		"APIGW.0613": {[]int{503}, ErrServer, ""},
		"APIGW.0802": {[]int{403}, ErrForbidden, ""},
	}
	ofStatus := map[int]error{
		400: ErrBadRequest, 401: ErrUnauthorized, 403: ErrForbidden, 404: ErrNotFound,
		409: ErrConflict, 429: ErrThrottled, 500: ErrServer, 503: ErrServer,
	}
	for code, want := range codes {
		differs := false
		for _, status := range want.statuses {
			e := &APIGError{Op: "Publish", StatusCode: status, Code: code}
			for _, s := range sentinels {
				also := want.sentinel == ErrNotPublished && s == ErrNotFound
				assert.Equal(t, s == want.sentinel || also, errors.Is(e, s), "%s with %d: %v", code, status, s)
			}
			differs = differs || want.sentinel != ofStatus[status]

			// The code decides, with whatever status it comes.
			e.StatusCode = 418
			assert.ErrorIs(t, e, want.sentinel, "%s with 418", code)
		}
		assert.Equal(t, differs, want.reason != "", "%s: a reason where the sentinel is not that of the status, and only there", code)
	}

	// Every code that is exported has a row, and the status in its comment is
	// that of the table.
	exported := exportedCodes(t)
	for name, c := range exported {
		want, ok := codes[c.code]
		if assert.True(t, ok, "%s (%s) has no row", name, c.code) {
			assert.Equal(t, want.statuses[0], c.status, "the comment of %s", name)
		}
	}
	assert.Len(t, exported, len(codes))
}

type exportedCode struct {
	code   Code
	status int // in its comment
}

// exportedCodes reads the constants of type Code in the source.
func exportedCodes(t *testing.T) map[string]exportedCode {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, parser.ParseComments)
	require.NoError(t, err)
	codes := map[string]exportedCode{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !spec.Names[0].IsExported() {
			return true
		}
		value, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			return true
		}
		code, err := strconv.Unquote(value.Value)
		require.NoError(t, err)
		comment := strings.TrimSpace(spec.Comment.Text())
		require.GreaterOrEqual(t, len(comment), 3, "%s has no comment", code)
		status, err := strconv.Atoi(comment[:3])
		require.NoError(t, err, "the comment of %s begins with its status", code)
		codes[spec.Names[0].Name] = exportedCode{Code(code), status}
		return true
	})
	require.NotEmpty(t, codes)
	return codes
}

// The gateway in front of the service writes its codes in two ways.
func TestTwinCodes(t *testing.T) {
	t.Parallel()
	for name, c := range exportedCodes(t) {
		number, ok := strings.CutPrefix(string(c.code), "APIGW.")
		if !ok {
			continue
		}
		for _, status := range []int{c.status, 418} {
			one := &APIGError{Op: "Publish", StatusCode: status, Code: c.code}
			two := &APIGError{Op: "Publish", StatusCode: status, Code: Code("APIG." + number)}
			for _, s := range sentinels {
				assert.Equal(t, errors.Is(one, s), errors.Is(two, s), "%s with %d: %v", name, status, s)
			}
		}
	}
	assert.ErrorIs(t, &APIGError{StatusCode: 418, Code: "APIG.0308"}, ErrThrottled)
	assert.NotErrorIs(t, &APIGError{StatusCode: 418, Code: "APIGW.3002"}, ErrNotFound, "a code of the service has no twin")
	assert.NotErrorIs(t, &APIGError{StatusCode: 418, Code: "APIGW.1002"}, ErrUnauthorized)
}

// That the operation has been performed already says that the API is offline,
// if taking it offline was the operation.
func TestAlreadyPerformed(t *testing.T) {
	t.Parallel()
	for op, offline := range map[string]bool{
		"Publish": false, "Offline": true, "PublishBatch": false, "OfflineBatch": true, "SwitchVersion": false, "": false,
	} {
		e := &APIGError{Op: op, StatusCode: 400, Code: CodeAlreadyPerformed}
		assert.Equal(t, offline, errors.Is(e, ErrNotPublished), op)
		assert.Equal(t, offline, errors.Is(e, ErrNotFound), op)
		assert.Equal(t, !offline, errors.Is(e, ErrConflict), op)
	}
}

// Whoever switches on the sentinels takes exactly one branch.
func TestOneSentinel(t *testing.T) {
	t.Parallel()
	codes := []Code{"", "APIG.4711", "APIGW.0201", "APIG.0201", "IAM.0101", "401", "nonsense"}
	for _, c := range exportedCodes(t) {
		codes = append(codes, c.code)
	}
	statuses := []int{0, 700, 999, -1}
	for status := 100; status < 600; status++ {
		statuses = append(statuses, status)
	}
	for _, op := range []string{"Publish", "Offline", "OfflineVersion"} {
		for _, code := range codes {
			for _, status := range statuses {
				e := &APIGError{Op: op, StatusCode: status, Code: code}
				if found := matches(e); len(found) != 1 {
					require.Equal(t, []error{ErrNotFound, ErrNotPublished}, found, "%s: %s with %d", op, code, status)
				}
			}
		}
	}
}

// matches lists the sentinels of an error.
func matches(err error) []error {
	return slices.DeleteFunc(slices.Clone(sentinels), func(s error) bool { return !errors.Is(err, s) })
}

func TestAPIGErrorText(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err  APIGError
		want string
	}{
		"everything": {
			APIGError{
				Op: "Offline", APIID: "a", StatusCode: 429, Code: "APIGW.0308", Message: "slow down",
				RequestID: "r", RetryAfter: 90 * time.Second, Attempts: 3,
			},
			"apig: Offline API a: 429 Too Many Requests, APIGW.0308: slow down (request id r, retry after 1m30s, 3 attempts)",
		},
		"no API":      {APIGError{Op: "IAM", StatusCode: 503, Attempts: 1}, "apig: IAM: 503 Service Unavailable"},
		"attempts":    {APIGError{Op: "Publish", APIID: "a", StatusCode: 503, Attempts: 2}, "apig: Publish API a: 503 Service Unavailable (2 attempts)"},
		"a long ID":   {APIGError{Op: "Publish", APIID: strings.Repeat("a", 100), StatusCode: 400}, "apig: Publish API " + strings.Repeat("a", 64) + "…: 400 Bad Request"},
		"zero value":  {APIGError{}, "apig: : 0"},
		"code 1100":   {APIGError{Op: "IAM", StatusCode: 400, Code: "1100"}, "apig: IAM: 400 Bad Request, 1100"},
		"status code": {APIGError{Op: "IAM", StatusCode: 401, Code: "401"}, "apig: IAM: 401 Unauthorized"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.EqualError(t, &tt.err, tt.want)
			assert.Equal(t, tt.want, fmt.Sprint(&tt.err))
		})
	}
}

func TestAPIGErrorLogValue(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err  APIGError
		want string // JSON
	}{
		"everything": {
			APIGError{
				Op: "Publish", APIID: testAPI, StatusCode: 429, Code: "APIGW.0308", Message: "slow down",
				RequestID: "8080d377", RetryAfter: time.Second, Attempts: 4,
			},
			`{"op":"Publish","status":429,"api_id":"` + testAPI + `","code":"APIGW.0308","message":"slow down",
				"request_id":"8080d377","retry_after":1000000000,"attempts":4}`,
		},
		"what is not known is left out": {
			APIGError{Op: "Environments", StatusCode: 502, Attempts: 1},
			`{"op":"Environments","status":502,"attempts":1}`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			slog.New(slog.NewJSONHandler(&out, nil)).Error("failed", "err", &tt.err)
			var record struct {
				Err json.RawMessage `json:"err"`
			}
			require.NoError(t, json.Unmarshal(out.Bytes(), &record))
			assert.JSONEq(t, tt.want, string(record.Err))
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const date = "Mon, 03 Aug 2020 01:36:00 GMT"
	tests := map[string]struct {
		header []string
		want   time.Duration
	}{
		"none":                      {nil, 0},
		"empty":                     {[]string{"Retry-After", ""}, 0},
		"seconds":                   {[]string{"Retry-After", "5"}, 5 * time.Second},
		"seconds, with blanks":      {[]string{"Retry-After", " 7 "}, 7 * time.Second},
		"zero":                      {[]string{"Retry-After", "0"}, 0},
		"negative":                  {[]string{"Retry-After", "-3"}, 0},
		"fraction":                  {[]string{"Retry-After", "1.5"}, 0},
		"unit":                      {[]string{"Retry-After", "5s"}, 0},
		"words":                     {[]string{"Retry-After", "soon"}, 0},
		"the first of two":          {[]string{"Retry-After", "5", "Retry-After", "9"}, 5 * time.Second},
		"a year":                    {[]string{"Retry-After", "31536000"}, 365 * 24 * time.Hour},
		"more than a duration":      {[]string{"Retry-After", "9223372036854775807"}, 365 * 24 * time.Hour},
		"more than an integer":      {[]string{"Retry-After", "99999999999999999999"}, 365 * 24 * time.Hour},
		"less than an integer":      {[]string{"Retry-After", "-99999999999999999999"}, 0},
		"date":                      {[]string{"Date", date, "Retry-After", "Mon, 03 Aug 2020 01:37:30 GMT"}, 90 * time.Second},
		"date, RFC 850":             {[]string{"Date", date, "Retry-After", "Monday, 03-Aug-20 01:37:30 GMT"}, 90 * time.Second},
		"date, ANSI C":              {[]string{"Date", date, "Retry-After", "Mon Aug  3 01:37:30 2020"}, 90 * time.Second},
		"date in the past":          {[]string{"Date", date, "Retry-After", "Mon, 03 Aug 2020 01:35:00 GMT"}, 0},
		"date at once":              {[]string{"Date", date, "Retry-After", date}, 0},
		"date that does not exist":  {[]string{"Date", date, "Retry-After", "Mon, 32 Aug 2020 01:37:30 GMT"}, 0},
		"past date, own clock":      {[]string{"Retry-After", date}, 0},
		"past date, unreadable one": {[]string{"Date", "now", "Retry-After", date}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := refusal(t, respond(400, "", tt.header...))
			assert.Equal(t, tt.want, e.RetryAfter)
		})
	}
}

// Without a Date to compare it with, a date is measured by our own clock; with
// one that a cache has held back too.
func TestRetryAfterOwnClock(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][]string{
		"no Date":      nil,
		"cached":       {"Date", "Mon, 03 Aug 2020 01:36:00 GMT", "Age", "3600"},
		"invalid Date": {"Date", "today"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			until := time.Now().Add(time.Hour).Truncate(time.Second)
			e := refusal(t, respond(400, "", append(header, "Retry-After", until.UTC().Format(http.TimeFormat))...))
			assert.Greater(t, e.RetryAfter, 50*time.Minute)
			assert.LessOrEqual(t, e.RetryAfter, time.Hour)
		})
	}
}

// A date can be further away than a duration can be long.
func TestRetryAfterFarFuture(t *testing.T) {
	t.Parallel()
	e := refusal(t, respond(400, "", "Date", "Mon, 03 Aug 2020 01:36:00 GMT", "Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"))
	assert.Greater(t, e.RetryAfter, 365*24*time.Hour-1)
	assert.Positive(t, e.RetryAfter)
}

// fuzzAnswer is an answer to a request that carried the tests' token.
func fuzzAnswer(status int, body []byte, header http.Header) *answer {
	return &answer{
		request: &http.Request{Header: http.Header{"X-Auth-Token": {testToken}}},
		status:  status, header: header, body: body, arrived: testTime,
	}
}

func FuzzErrorBody(f *testing.F) {
	for _, body := range []string{
		"", "null", "{}", "[]", "<html>", parameterBody, noAPIBody, "\xff", `{"error_msg":"` + testToken + `"}`,
		`{"error":{"code":401,"message":"The username or password is wrong.","title":"Unauthorized"}}`,
		`{"errCode":"X.1","errMsg":"a\nb\u0000\u202e"}`, `{"error_code":"APIG.3015"}`, `{"a":{"code":"1"},"error":{"message":"x"}}`,
	} {
		f.Add(404, []byte(body), "8080d377bffeb6d519b0567c09cebe6b")
	}
	f.Add(-5, []byte(systemBody), "id\r\nSet-Cookie: x")
	f.Fuzz(func(t *testing.T, status int, body []byte, requestID string) {
		header := http.Header{}
		if requestID != "" {
			header["X-Request-Id"] = []string{requestID}
		}
		e := fuzzAnswer(status, body, header).apiError("Offline", testAPI, 1)
		assertOneLine(t, e.Error())
		if utf8.RuneCountInString(e.Error()) > 1000 {
			t.Errorf("%d characters: %q", utf8.RuneCountInString(e.Error()), e.Error())
		}
		if strings.Contains(e.Error(), testToken) {
			t.Errorf("the token is in %q", e.Error())
		}
		if found := matches(e); len(found) != 1 && !slices.Equal(found, []error{ErrNotFound, ErrNotPublished}) {
			t.Errorf("%d sentinels: %v", len(found), found)
		}
		if e.StatusCode != status || e.Op != "Offline" || e.APIID != testAPI || e.Attempts != 1 {
			t.Errorf("%+v", *e)
		}
		if again := fuzzAnswer(status, body, header).apiError("Offline", testAPI, 1); *again != *e {
			t.Errorf("the same answer made %q and %q", e, again)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	const date = "Mon, 03 Aug 2020 01:36:00 GMT"
	for _, after := range []string{
		"", "0", "5", "-1", "1.5", "soon", "99999999999999999999", date, "Fri, 31 Dec 9999 23:59:59 GMT", "Monday, 03-Aug-20 01:37:30 GMT",
	} {
		f.Add(after, date)
		f.Add(after, "")
	}
	f.Fuzz(func(t *testing.T, after, date string) {
		got := fuzzAnswer(503, nil, http.Header{"Retry-After": {after}, "Date": {date}}).retryAfter()
		if got < 0 {
			t.Errorf("negative: %v", got)
		}
		if n, err := strconv.Atoi(after); err == nil && n >= 0 && n <= 1000 && got != time.Duration(n)*time.Second {
			t.Errorf("%v for %q", got, after)
		}
	})
}

func FuzzTime(f *testing.F) {
	for _, s := range []string{
		"2020-08-03T01:36:00.592970615Z", "2020-08-03T01:36:00Z", "2020-08-03T09:36:00+08:00", "0001-01-01T00:00:00Z",
		"0000-12-31T23:00:00-01:00", "", "null", "now", "2020-08-03T01:36:00Z|2020-08-03T01:36:00Z",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw, err := json.Marshal(s)
		if err != nil {
			t.Skip("not a text")
		}
		var record PublishRecord
		if err := json.Unmarshal([]byte(`{"publish_time":`+string(raw)+`,"version_id":"v"}`), &record); err != nil {
			t.Fatalf("an unreadable time is no error: %v", err)
		}
		if record.VersionID != "v" {
			t.Error("what follows the time is lost")
		}
		if got := record.PublishTime; !got.IsZero() {
			want, err := time.Parse(time.RFC3339, s)
			if err != nil || !got.Equal(want) || got.UTC().Year() < 2 {
				t.Errorf("%v for %q", got, s)
			}
		}
	})
}

func FuzzRecord(f *testing.F) {
	for _, body := range []string{
		"", "null", "{}", "[]", `""`, "0", publishedBody, offlineBody, noAPIBody, publishedBody[:100], publishedBody + "x",
		`{"api_id":5}`, `{"API_ID":"` + testAPI + `","Version_Id":"v"}`,
		`{"api_id":"` + testAPI + `","api_id":"x","version_id":"v"}`, `{"api_id":"` + testAPI + `","publish_time":{"a":[1]},"publish_id":"p"}`,
	} {
		f.Add(201, []byte(body))
		f.Add(204, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for op, decode := range map[string]func(*answer) (*PublishRecord, error){
			"Publish": testRequest.decodePublished, "Offline": testRequest.decodeOffline,
		} {
			record, err := decode(fuzzAnswer(status, body, http.Header{}))
			switch {
			case (record == nil) == (err == nil):
				t.Errorf("%s: %v, %v", op, record, err)
			case err != nil:
				assertOneLine(t, err.Error())
			case record.APIID != testAPI, record.EnvID != "" && record.EnvID != EnvRelease:
				t.Errorf("%s: a record of something else: %+v", op, record)
			case op == "Publish" && record.VersionID == "" && record.PublishID == "":
				t.Errorf("a hollow record: %+v", record)
			case status != 204 && !json.Valid(body):
				t.Errorf("%s: a record from %q", op, body)
			}
		}
	})
}
