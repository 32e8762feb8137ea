package apig

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// assertPrintable checks that a text has nothing that could break out of the line
// of a log, reorder it or hide in it.
func assertPrintable(t testing.TB, s string) {
	t.Helper()
	assert.True(t, utf8.ValidString(s), "%q", s)
	for _, r := range s {
		if !strconv.IsPrint(r) {
			assert.Fail(t, "it cannot be printed", "%q in %q", r, s)
			return
		}
	}
}

// matches lists the sentinels of an error.
func matches(err error) []error {
	return slices.DeleteFunc(slices.Clone(sentinels), func(s error) bool { return !errors.Is(err, s) })
}

// someAnswer is an answer to a request that carried the tests' token.
func someAnswer(status int, body []byte, header http.Header) *answer {
	return &answer{
		request: &http.Request{Header: http.Header{"X-Auth-Token": {testToken}}},
		status:  status, header: header, body: body, arrived: testTime,
	}
}

// refusal is what Publish makes of an answer that is not a success. Where it
// asks, the history shows that nothing was published.
func refusal(t testing.TB, answer httpmock.Responder, changes ...func(*Config)) *APIGError {
	t.Helper()
	c, mt := newTest(t, append([]func(*Config){attempts(1)}, changes...)...)
	mt.RegisterResponder(http.MethodPost, actionURL, answer)
	mt.RegisterResponder(http.MethodGet, historyURL, respondJSON(200, emptyHistoryBody))
	record, err := c.Publish(t.Context(), testRequest)
	assert.Nil(t, record)
	var e *APIGError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, NotApplied, OutcomeOf(err))
	assert.Same(t, e, err, "the error itself, not one around it")
	return e
}

// The status, the code, the message and the request ID of an answer, in the shapes
// that services of Huawei Cloud and what stands in front of them use.
func TestErrorBody(t *testing.T) {
	const (
		redirect = "a redirect, which is never followed; check the endpoint"
		xhtml    = `<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><body><p>The backend server is unreachable.<br/></p></body></html>`
	)
	tests := map[string]struct {
		status   int
		body     string
		header   []string
		text     string // after the operation and the API
		sentinel error
		want     APIGError // its code, message and request ID
	}{
		"documented": {404, `{"error_code":"APIG.3002","error_msg":"no"}`, nil,
			"404 Not Found, APIG.3002: no", ErrNotFound, APIGError{Code: "APIG.3002", Message: "no"}},
		"request ID in the header": {404, `{"error_code":"APIG.3002","error_msg":"no"}`, []string{"X-Request-Id", "of the header"},
			"404 Not Found, APIG.3002: no (request id of the header)", ErrNotFound, APIGError{Code: "APIG.3002", Message: "no", RequestID: "of the header"}},
		"request ID in the body": {401, `{"error_msg":"decrypt token fail","error_code":"APIGW.0301","request_id":"of the body"}`, nil,
			"401 Unauthorized, APIGW.0301: decrypt token fail (request id of the body)", ErrUnauthorized,
			APIGError{Code: "APIGW.0301", Message: "decrypt token fail", RequestID: "of the body"}},
		"request ID in both": {401, `{"error_code":"APIGW.0301","request_id":"of the body"}`, []string{"X-Request-Id", "of the header"},
			"401 Unauthorized, APIGW.0301 (request id of the header)", ErrUnauthorized, APIGError{Code: "APIGW.0301", RequestID: "of the header"}},
		"throttled in front": {429, `{"error_msg":"policy user over ratelimit,limit:200,time:5 minute","error_code":"APIGW.0308"}`, nil,
			"429 Too Many Requests, APIGW.0308: policy user over ratelimit,limit:200,time:5 minute", ErrThrottled,
			APIGError{Code: "APIGW.0308", Message: "policy user over ratelimit,limit:200,time:5 minute"}},
		"code and message, with details": {400, `{"code":"common.01000001","message":"bad","details":[{"code":"x","message":"y"}]}`, nil,
			"400 Bad Request, common.01000001: bad", ErrBadRequest, APIGError{Code: "common.01000001", Message: "bad"}},
		"nested": {400, `{"error":{"code":"EPS.0004","message":"Invalid."}}`, nil,
			"400 Bad Request, EPS.0004: Invalid.", ErrBadRequest, APIGError{Code: "EPS.0004", Message: "Invalid."}},
		"IAM: the status as a number": {401, `{"error":{"code":401,"message":"The username or password is wrong.","title":"Unauthorized"}}`, nil,
			"401 Unauthorized: The username or password is wrong.", ErrUnauthorized, APIGError{Code: "401", Message: "The username or password is wrong."}},
		"errorCode, errorMsg":        {400, `{"errorCode":"GES.8002","errorMsg":"bad"}`, nil, "400 Bad Request, GES.8002: bad", ErrBadRequest, APIGError{Code: "GES.8002", Message: "bad"}},
		"a message only":             {404, `{"error_msg":"no route"}`, nil, "404 Not Found: no route", ErrNotFound, APIGError{Message: "no route"}},
		"a code only":                {404, `{"error_code":"APIG.3002"}`, nil, "404 Not Found, APIG.3002", ErrNotFound, APIGError{Code: "APIG.3002"}},
		"expired token, told as 403": {403, `{"error_code":"DNS.0005"}`, nil, "403 Forbidden, DNS.0005", ErrForbidden, APIGError{Code: "DNS.0005"}},
		"load balancer: XHTML":       {502, xhtml, []string{"Content-Type", "text/html"}, "502 Bad Gateway", ErrServer, APIGError{}},
		"XHTML that is called JSON":  {503, xhtml, []string{"Content-Type", "application/json"}, "503 Service Unavailable", ErrServer, APIGError{}},
		"empty 500":                  {500, "", nil, "500 Internal Server Error", ErrServer, APIGError{}},
		"empty 503 with an ID":       {503, "", []string{"X-Request-Id", "r"}, "503 Service Unavailable (request id r)", ErrServer, APIGError{RequestID: "r"}},
		"cut JSON":                   {400, parameterBody[:40], nil, "400 Bad Request", ErrBadRequest, APIGError{}},
		"fields of other types":      {400, `{"error_code":{},"error_msg":[1],"request_id":true}`, nil, "400 Bad Request", ErrBadRequest, APIGError{}},
		"a status without a name":    {494, `{"error_code":"APIGW.0201"}`, nil, "494, APIGW.0201", ErrBadRequest, APIGError{Code: "APIGW.0201"}},
		"a server's status, unnamed": {599, "", nil, "599", ErrServer, APIGError{}},
		"a status of no class":       {999, "", nil, "999", ErrServer, APIGError{}},
		"request timeout":            {408, "", nil, "408 Request Timeout", ErrServer, APIGError{}},
		"not implemented":            {501, "", nil, "501 Not Implemented", ErrServer, APIGError{}},
		"precondition":               {412, "", nil, "412 Precondition Failed", ErrBadRequest, APIGError{}},
		"conflict":                   {409, "", nil, "409 Conflict", ErrConflict, APIGError{}},
		"redirect":                   {302, xhtml, []string{"Location", "https://elsewhere.example.com/"}, "302 Found: " + redirect, ErrBadRequest, APIGError{Message: redirect}},
		"redirect to nowhere":        {304, "", nil, "304 Not Modified: " + redirect, ErrBadRequest, APIGError{Message: redirect}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := refusal(t, respond(tt.status, tt.body, tt.header...))
			require.EqualError(t, e, "apig: Publish API "+testAPI+": "+tt.text)
			want := tt.want
			want.Op, want.APIID, want.StatusCode, want.Attempts = "Publish", testAPI, tt.status, 1
			assert.Equal(t, want, *e)
			assert.Equal(t, []error{tt.sentinel}, matches(e))
		})
	}
}

// echoAnswers are answers that have a text in each place that reaches an error.
func echoAnswers(status int, text string) map[string]httpmock.Responder {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return map[string]httpmock.Responder{
		"message":              respond(status, `{"error_code":"X.1","error_msg":`+string(quoted)+`}`),
		"code":                 respond(status, `{"error_code":`+string(quoted)+`}`),
		"request id":           respond(status, `{"error_code":"X.1","request_id":`+string(quoted)+`}`),
		"request id, header":   respond(status, `{"error_code":"X.1"}`, "X-Request-Id", text),
		"record's request id":  respond(201, `{}`, "X-Request-Id", text),
		"body that breaks off": respondWith(201, func() io.Reader { return iotest.ErrReader(errors.New(text)) }),
		"no answer":            httpmock.NewErrorResponder(errors.New(text)),
		"name of an API":       respond(201, `{"`+text+`":`),
	}
}

// What the server sends never breaks out of the line of a log, whatever part of
// the answer it is in.
func TestErrorsArePrintable(t *testing.T) {
	for place, answer := range echoAnswers(400, "a\nb\r\nc\x00d\x1b[31me\x7ff\u0085g\u2028h\u202ei\u200bj") {
		t.Run(place, func(t *testing.T) {
			var text, structured buffer
			log := slog.New(tee{
				slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}),
				slog.NewJSONHandler(&structured, &slog.HandlerOptions{Level: slog.LevelDebug}),
			})
			c, mt := newTest(t, logTo(log), attempts(1))
			mt.RegisterResponder(http.MethodPost, actionURL, answer)
			mt.RegisterResponder(http.MethodGet, historyURL, respondJSON(403, noPermissionBody))
			_, err := c.Publish(t.Context(), testRequest)
			require.Error(t, err)
			log.Error("failed", "err", err)
			log.Error("failed", "err", fmt.Errorf("deploying: %w", err))

			assertPrintable(t, err.Error())
			for line := range strings.SplitSeq(strings.TrimSpace(text.String()), "\n") {
				assertPrintable(t, line)
				assert.Contains(t, line, "level=", "one line a record")
			}
			for line := range strings.SplitSeq(strings.TrimSpace(structured.String()), "\n") {
				var v any
				require.NoError(t, json.Unmarshal([]byte(line), &v))
				assertPrintable(t, fmt.Sprint(v)) // JSON's own escapes undone
			}
			for err := range tree(err) {
				assertPrintable(t, err.Error())
			}
		})
	}
	for place, answer := range echoAnswers(400, "caf\xe9 \xff\xfe") {
		t.Run(place+", not UTF-8", func(t *testing.T) {
			c, mt := newTest(t, attempts(1))
			mt.RegisterResponder(http.MethodPost, actionURL, answer)
			mt.RegisterResponder(http.MethodGet, historyURL, respondJSON(403, noPermissionBody))
			_, err := c.Publish(t.Context(), testRequest)
			require.Error(t, err)
			assertPrintable(t, err.Error())
		})
	}
	assert.Equal(t, `a\nb`, refusal(t, respond(400, `{"error_msg":"a\nb"}`)).Message)
}

// Whatever the server repeats of the credentials is cut out, in every text of the
// whole error, in every verb and in every log.
func TestErrorsHideCredentials(t *testing.T) {
	token := strings.Repeat("MIIQy+/TOKEN-", 300) + "=="
	for place, answer := range echoAnswers(401, "token "+token+" expired") {
		t.Run(place, func(t *testing.T) {
			var text buffer
			log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
			c, mt := newTest(t, authBy(StaticToken(token)), logTo(log), attempts(1))
			mt.RegisterResponder(http.MethodPost, actionURL, answer)
			mt.RegisterResponder(http.MethodGet, historyURL, respondJSON(403, noPermissionBody))
			_, err := c.Publish(t.Context(), testRequest)
			require.Error(t, err)
			log.Error("failed", "err", err)
			for err := range tree(err) {
				for _, verb := range []string{"%v", "%s", "%q"} {
					assert.NotContains(t, fmt.Sprintf(verb, err), "TOKEN-")
				}
			}
			assert.NotContains(t, text.String(), "TOKEN-")
		})
	}
	e := refusal(t, echoAnswers(401, "token "+token+" expired")["message"], authBy(StaticToken(token)))
	assert.Equal(t, "token REDACTED expired", e.Message, "the rest of the text stays")
	assert.NotContains(t, fmt.Sprintf("%+v", *e), "TOKEN-")
}

// tree yields an error and all that it wraps.
func tree(err error) func(func(error) bool) {
	var walk func(error, func(error) bool) bool
	walk = func(err error, yield func(error) bool) bool {
		if err == nil || !yield(err) {
			return err == nil
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			return walk(e.Unwrap(), yield)
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				if !walk(inner, yield) {
					return false
				}
			}
		}
		return true
	}
	return func(yield func(error) bool) { walk(err, yield) }
}

// Malformed answers are quoted by net/http, credentials that they repeat
// included. Neither the text nor anything in the error has them, and still it
// matches what callers look for.
func TestMalformedAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"protocol":       "%s 200 OK\r\n\r\n",
		"status":         "HTTP/1.1 %s\r\n\r\n",
		"header":         "HTTP/1.1 200 OK\r\n%s\r\n\r\n",
		"content length": "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
		"encoding":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
		"chunk":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, err := New(testConfig(&http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go func() {
					defer server.Close()
					if r, err := http.ReadRequest(bufio.NewReader(server)); err == nil {
						fmt.Fprintf(server, answer, r.Header.Get("X-Auth-Token"))
					}
				}()
				return client, nil
			}}))
			require.NoError(t, err)
			defer c.CloseIdleConnections()
			_, err = c.Published(t.Context(), testAPI, EnvRelease)
			require.Error(t, err)
			assert.NotErrorIs(t, err, ErrNotPublished)
			for err := range tree(err) {
				assert.NotContains(t, err.Error(), testToken)
				assert.NotContains(t, fmt.Sprintf("%+v %#v", err, err.Error()), testToken)
			}
			var inner *url.Error
			assert.NotErrorAs(t, err, &inner, "its text is net/http's")
		})
	}
}

// An error of the network matches what it matches without this package.
func TestNetworkErrors(t *testing.T) {
	op := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	dns := &net.DNSError{Err: "no such host", Name: "apig.example.com", IsNotFound: true}
	late := &net.OpError{Op: "read", Net: "tcp", Err: &timeoutError{}}
	for name, sent := range map[string]error{"refused": op, "no such host": dns, "late": late, "EOF": io.ErrUnexpectedEOF} {
		t.Run(name, func(t *testing.T) {
			c, mt := newTest(t, attempts(2))
			mt.RegisterNoResponder(httpmock.NewErrorResponder(sent))
			_, err := c.Published(t.Context(), testAPI, EnvRelease)
			var e *CallError
			require.ErrorAs(t, err, &e)
			assert.Equal(t, []any{"Published", testAPI, 2}, []any{e.Op, e.APIID, e.Attempts})
			require.ErrorIs(t, err, sent)
			assert.Empty(t, matches(err))
			assert.Contains(t, err.Error(), sent.Error())
			assert.True(t, strings.HasSuffix(err.Error(), " (2 attempts)"), err)
			var network net.Error
			require.ErrorAs(t, err, &network)
			assert.Equal(t, name == "late", network.Timeout())
			assert.Equal(t, name == "late", network.(interface{ Temporary() bool }).Temporary())
			assert.Contains(t, network.Error(), sent.Error())
			var number syscall.Errno
			assert.Equal(t, name == "refused", errors.As(err, &number))
			var unresolved *net.DNSError
			assert.Equal(t, name == "no such host", errors.As(err, &unresolved))
		})
	}
}

// A sentinel has a text, should a caller return it.
func TestNotPublishedText(t *testing.T) {
	assert.EqualError(t, ErrNotPublished, "apig: not published")
}

// What a RoundTripper of the caller's gives back bare need not be an error of the
// network.
func TestErrorThatIsNoNetworkError(t *testing.T) {
	var network net.Error
	require.NotErrorAs(t, &transportError{"closed", io.ErrClosedPipe}, &network)
	assert.Nil(t, network)
}

type timeoutError struct{}

func (*timeoutError) Error() string   { return "i/o timeout" }
func (*timeoutError) Timeout() bool   { return true }
func (*timeoutError) Temporary() bool { return true }

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

// A server can send what it likes: the error stays short, and so does what is
// read.
func TestErrorBounds(t *testing.T) {
	const mega = 1 << 20
	long := strings.Repeat("发", 100_000)
	first := func(n int) string { return long[:n*len("发")] }
	tests := map[string]struct {
		status int
		body   io.Reader
		header string
		want   APIGError // its code, message and request ID
		read   int       // at most
	}{
		"long fields": {400, strings.NewReader(`{"error_code":"` + long + `","error_msg":"` + long + `","request_id":"` + long + `"}`), "",
			APIGError{Code: Code(first(64) + "…"), Message: first(512) + "…", RequestID: first(128) + "…"}, mega},
		"long request ID in the header": {400, strings.NewReader(""), long, APIGError{RequestID: first(128) + "…"}, 0},
		"just long enough": {400, strings.NewReader(`{"error_code":"` + first(64) + `","error_msg":"` + first(512) + `"}`), "",
			APIGError{Code: Code(first(64)), Message: first(512)}, mega},
		"10 MB of junk":          {502, io.LimitReader(endless('x'), 10*mega), "", APIGError{}, mega + 64<<10},
		"10 MB in a message":     {400, io.MultiReader(strings.NewReader(`{"error_msg":"`), io.LimitReader(endless('x'), 10*mega)), "", APIGError{}, mega + 64<<10},
		"10 MB of open brackets": {502, io.LimitReader(endless('['), 10*mega), "", APIGError{}, mega + 64<<10},
		"an error in between":    {502, io.MultiReader(strings.NewReader(systemBody[:30]), iotest.ErrReader(io.ErrUnexpectedEOF)), "", APIGError{}, 30},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			body := &countedBody{Reader: tt.body}
			e := refusal(t, func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: tt.status, Header: http.Header{"X-Request-Id": {tt.header}}, Body: body, ContentLength: -1}, nil
			})
			assert.Equal(t, []any{tt.want.Code, tt.want.Message, tt.want.RequestID}, []any{e.Code, e.Message, e.RequestID})
			assert.LessOrEqual(t, utf8.RuneCountInString(e.Error()), 1000)
			assert.LessOrEqual(t, body.read, tt.read)
			assert.True(t, body.closed)
		})
	}
}

// A refusal of a list is read no further than any other, a list itself is.
func TestReadBounds(t *testing.T) {
	const mega = 1 << 20
	for status, most := range map[int]int{200: 8 * mega, 400: mega, 302: mega, 502: mega} {
		c, mt := newTest(t, attempts(1))
		body := &countedBody{Reader: endless('x')}
		mt.RegisterNoResponder(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Body: body, ContentLength: -1}, nil
		})
		_, err := collect(c.APIs(t.Context(), APIQuery{}))
		require.Error(t, err)
		assert.Equal(t, most+64<<10, body.read, "status %d", status)
		assert.True(t, body.closed)
	}
}

func TestAPIGErrorText(t *testing.T) {
	for want, e := range map[string]APIGError{
		"apig: Offline API a: 429 Too Many Requests, APIGW.0308: slow down (request id r, retry after 1m30s, 3 attempts)": {
			Op: "Offline", APIID: "a", StatusCode: 429, Code: "APIGW.0308", Message: "slow down", RequestID: "r", RetryAfter: 90 * time.Second, Attempts: 3,
		},
		"apig: IAM: 503 Service Unavailable":                                          {Op: "IAM", StatusCode: 503, Attempts: 1},
		"apig: Publish API a: 503 Service Unavailable (2 attempts)":                   {Op: "Publish", APIID: "a", StatusCode: 503, Attempts: 2},
		"apig: Publish API " + strings.Repeat("a", 64) + "…: 400 Bad Request":         {Op: "Publish", APIID: strings.Repeat("a", 100), StatusCode: 400},
		`apig: Publish API a\nb: 400 Bad Request`:                                     {Op: "Publish", APIID: "a\nb", StatusCode: 400},
		"apig: IAM: 400 Bad Request, 1100":                                            {Op: "IAM", StatusCode: 400, Code: "1100"},
		"apig: IAM: 401 Unauthorized":                                                 {Op: "IAM", StatusCode: 401, Code: "401"},
		"apig: IAM: 300 Multiple Choices":                                             {Op: "IAM", StatusCode: 300},
		"apig: IAM: a code of 299":                                                    {Op: "IAM", StatusCode: 299, Code: "a code of 299"},
		"apig: IAM: a code of 200":                                                    {Op: "IAM", StatusCode: 200, Code: "a code of 200"},
		"apig: IAM: 199":                                                              {Op: "IAM", StatusCode: 199},
		"apig: IAM: 1":                                                                {Op: "IAM", StatusCode: 1},
		"apig: IAM: no status":                                                        {Op: "IAM", Message: "no status"},
		"apig: IAM: 429 Too Many Requests (retry after 1ns)":                          {Op: "IAM", StatusCode: 429, RetryAfter: 1},
		"apig: PublishBatch API a: APIG.3002: no such API":                            {Op: "PublishBatch", APIID: "a", StatusCode: 200, Code: "APIG.3002", Message: "no such API"},
		"apig: PublishBatch API a: no such API":                                       {Op: "PublishBatch", APIID: "a", StatusCode: 200, Message: "no such API"},
		"apig: PublishBatch API a: failed without a code or a message (request id r)": {Op: "PublishBatch", APIID: "a", StatusCode: 200, RequestID: "r"},
	} {
		assert.EqualError(t, &e, want)
	}
}

// The attempts are told where there were several, and once.
func TestCallErrorText(t *testing.T) {
	last := &APIGError{Op: "Publish", APIID: "a", StatusCode: 503, Attempts: 2}
	for want, e := range map[string]*CallError{
		"apig: Publish API a: EOF":              {Op: "Publish", APIID: "a", Attempts: 1, why: "EOF"},
		"apig: Publish API a: EOF (2 attempts)": {Op: "Publish", APIID: "a", Attempts: 2, why: "EOF"},
		"apig: Publish API a: context canceled; before that: 503 Service Unavailable (2 attempts)": {
			Op: "Publish", APIID: "a", Attempts: 3, why: "context canceled", last: last},
	} {
		assert.EqualError(t, e, want)
	}
	assert.EqualError(t, &BatchError{Op: "PublishBatch"}, "apig: PublishBatch: 0 of 0 APIs failed")
}

// loggedAs is what a structured log has of an error.
func loggedAs(t *testing.T, err error) string {
	t.Helper()
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Error("failed", "err", err)
	var record struct{ Err json.RawMessage }
	require.NoError(t, json.Unmarshal(out.Bytes(), &record))
	return string(record.Err)
}

func TestLogValues(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"everything": {
			&APIGError{
				Op: "Publish", APIID: testAPI, StatusCode: 429, Code: "APIGW.0308", Message: "slow down",
				RequestID: "8080d377", RetryAfter: time.Second, Attempts: 4,
			},
			`{"op":"Publish","status":429,"api_id":"` + testAPI + `","code":"APIGW.0308","message":"slow down",
				"request_id":"8080d377","retry_after":1000000000,"attempts":4}`,
		},
		"what is not known is left out": {&APIGError{Op: "Environments", StatusCode: 502, Attempts: 1}, `{"op":"Environments","status":502,"attempts":1}`},
		"the shortest wait":             {&APIGError{Op: "APIs", StatusCode: 429, RetryAfter: 1}, `{"op":"APIs","status":429,"retry_after":1,"attempts":0}`},
		"an API of a batch":             {&APIGError{Op: "PublishBatch", StatusCode: 200, Code: "X", Attempts: 1}, `{"op":"PublishBatch","code":"X","attempts":1}`},
		"without an answer":             {&CallError{Op: "Publish", APIID: "a", Attempts: 2, why: "EOF"}, `{"op":"Publish","api_id":"a","reason":"EOF","attempts":2}`},
		"a strange ID":                  {&CallError{Op: "Publish", APIID: "a\u202eb", why: "EOF"}, `{"op":"Publish","api_id":"a\\u202eb","reason":"EOF","attempts":0}`},
		"a strange ID, answered":        {&APIGError{Op: "Publish", APIID: "a\nb", StatusCode: 400}, `{"op":"Publish","status":400,"api_id":"a\\nb","attempts":0}`},
		"without an API":                {&CallError{Op: "APIs", Attempts: 1, why: "EOF"}, `{"op":"APIs","reason":"EOF","attempts":1}`},
	} {
		t.Run(name, func(t *testing.T) { assert.JSONEq(t, tt.want, loggedAs(t, tt.err)) })
	}
}

// An API that failed in a batch has no status of its own.
func TestBatchItemText(t *testing.T) {
	c, mt := newTest(t)
	mt.RegisterNoResponder(respondJSON(200, `{"success":[],"failure":[{"api_id":"`+testAPI+`","api_name":"orders","error_code":"APIG.3002","error_msg":"no\nsuch API"}]}`))
	_, err := c.PublishBatch(t.Context(), BatchRequest{APIIDs: []string{testAPI}, EnvID: EnvRelease})
	require.EqualError(t, err, "apig: PublishBatch: 1 of 1 APIs failed; the first: apig: PublishBatch API "+testAPI+`: APIG.3002: no\nsuch API`)
}

func FuzzErrorBody(f *testing.F) {
	for _, body := range []string{
		"", "null", "{}", "[]", "<html>", parameterBody, noAPIBody, "\xff", `{"error_msg":"` + testToken + `"}`,
		`{"error":{"code":401,"message":"The username or password is wrong.","title":"Unauthorized"}}`,
		`{"errCode":"X.1","errMsg":"a\nb\u0000\u202e"}`, `{"error_code":"APIG.3015"}`, `{"a":{"code":"1"},"error":{"message":"x"}}`,
	} {
		f.Add(404, []byte(body), testRequestID)
	}
	f.Add(-5, []byte(systemBody), "id\r\nSet-Cookie: x")
	f.Fuzz(func(t *testing.T, status int, body []byte, requestID string) {
		header := http.Header{"X-Request-Id": {requestID}}
		e := someAnswer(status, body, header).apiError("Offline", testAPI)
		assertPrintable(t, e.Error())
		if n := utf8.RuneCountInString(e.Error()); n > 1000 {
			t.Errorf("%d characters: %q", n, e.Error())
		}
		if strings.Contains(e.Error(), testToken) {
			t.Errorf("the token is in %q", e.Error())
		}
		if found := matches(e); len(found) != 1 && !slices.Equal(found, []error{ErrNotFound, ErrNotPublished}) {
			t.Errorf("sentinels: %v", found)
		}
		if e.StatusCode != status || e.Op != "Offline" || e.APIID != testAPI {
			t.Errorf("%+v", *e)
		}
		if again := someAnswer(status, body, header).apiError("Offline", testAPI); *again != *e {
			t.Errorf("the same answer made %q and %q", e, again)
		}
	})
}
