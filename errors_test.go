package apig

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
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
		request: &http.Request{URL: &url.URL{}, Header: http.Header{"X-Auth-Token": {testToken}}},
		status:  status, header: header, body: body, arrived: testTime,
	}
}

// refusal is what Publish makes of an answer that is not a success. Where it
// asks, the history shows that nothing was published.
func refusal(t testing.TB, answer httpmock.Responder) *APIGError {
	t.Helper()
	c, mt := newTest(t, attempts(1))
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

// The status, the code, the message and the request ID of an answer. The shapes of bodies
// are in the tests of internal/errorbody.
func TestErrorBody(t *testing.T) {
	const redirect = "a redirect, which is never followed; check the endpoint"
	tests := map[string]struct {
		status   int
		body     string
		header   []string
		text     string // after the operation and the API
		sentinel error
		want     APIGError // its code, message and request ID
	}{
		"request ID in the header": {404, `{"error_code":"APIG.3002","error_msg":"no"}`, []string{"X-Request-Id", "of the header"},
			"404 Not Found, APIG.3002: no (request id of the header)", ErrNotFound, APIGError{Code: "APIG.3002", Message: "no", RequestID: "of the header"}},
		"request ID in the body": {401, `{"error_msg":"decrypt token fail","error_code":"APIGW.0301","request_id":"of the body"}`, nil,
			"401 Unauthorized, APIGW.0301: decrypt token fail (request id of the body)", ErrUnauthorized,
			APIGError{Code: "APIGW.0301", Message: "decrypt token fail", RequestID: "of the body"}},
		"request ID in both": {401, `{"error_code":"APIGW.0301","request_id":"of the body"}`, []string{"X-Request-Id", "of the header"},
			"401 Unauthorized, APIGW.0301 (request id of the header)", ErrUnauthorized, APIGError{Code: "APIGW.0301", RequestID: "of the header"}},
		"a code only":                {404, `{"error_code":"APIG.3002"}`, nil, "404 Not Found, APIG.3002", ErrNotFound, APIGError{Code: "APIG.3002"}},
		"expired token, told as 403": {403, `{"error_code":"DNS.0005"}`, nil, "403 Forbidden, DNS.0005", ErrForbidden, APIGError{Code: "DNS.0005"}},
		"empty 503 with an ID":       {503, "", []string{"X-Request-Id", "r"}, "503 Service Unavailable (request id r)", ErrServer, APIGError{RequestID: "r"}},
		"a status without a name":    {494, `{"error_code":"APIGW.0201"}`, nil, "494, APIGW.0201", ErrBadRequest, APIGError{Code: "APIGW.0201"}},
		"a status of no class":       {999, "", nil, "999", ErrServer, APIGError{}},
		"request timeout":            {408, "", nil, "408 Request Timeout", ErrServer, APIGError{}},
		"precondition":               {412, "", nil, "412 Precondition Failed", ErrBadRequest, APIGError{}},
		"conflict":                   {409, "", nil, "409 Conflict", ErrConflict, APIGError{}},
		"redirect":                   {302, "<html>", []string{"Location", "https://elsewhere.example.com/"}, "302 Found: " + redirect, ErrBadRequest, APIGError{Message: redirect}},
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

// A server's text never breaks out of the line of a log, whatever part of the answer it is
// in.
func TestErrorsArePrintable(t *testing.T) {
	const text = "a\nb\r\nc\x00d\x1b[31me\x7ff\u0085g\u2028h\u202ei\u200bj\xe9\xff"
	quoted, err := json.Marshal(text)
	require.NoError(t, err)
	token := credential{auth: func(http.RoundTripper, *slog.Logger) Authenticator { return StaticToken(testToken) }}
	for place, answer := range map[string]httpmock.Responder{
		"message":              respond(400, `{"error_code":"X.1","error_msg":`+string(quoted)+`}`),
		"code":                 respond(400, `{"error_code":`+string(quoted)+`}`),
		"request id":           respond(400, `{"error_code":"X.1","request_id":`+string(quoted)+`}`),
		"request id, header":   respond(400, `{"error_code":"X.1"}`, "X-Request-Id", text),
		"record's request id":  respond(201, `{}`, "X-Request-Id", text),
		"body that breaks off": respondWith(201, func() io.Reader { return iotest.ErrReader(errors.New(text)) }),
		"no answer":            httpmock.NewErrorResponder(errors.New(text)),
		"name of an API":       respond(201, `{"`+text+`":`),
	} {
		for where, text := range faultyRun(t, token, roundTrip(answer)) {
			require.NotEmpty(t, text, place)
			for line := range strings.SplitSeq(text, "\n") {
				assertPrintable(t, line)
				if strings.HasPrefix(where, "log") && line != "" {
					assert.Contains(t, line, "level", "one line a record")
				}
			}
		}
	}
	assert.Equal(t, `a\nb`, refusal(t, respond(400, `{"error_msg":"a\nb"}`)).Message)
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
		"10 MB of junk":       {502, io.LimitReader(endless('x'), 10*mega), "", APIGError{}, mega + 64<<10},
		"an error in between": {502, io.MultiReader(strings.NewReader(systemBody[:30]), iotest.ErrReader(io.ErrUnexpectedEOF)), "", APIGError{}, 30},
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
	for status, most := range map[int]int{200: maxList, 400: maxBody, 302: maxBody, 502: maxBody} {
		c, mt := newTest(t, attempts(1))
		body := &countedBody{Reader: endless('x')}
		mt.RegisterNoResponder(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Body: body, ContentLength: -1}, nil
		})
		require.Error(t, drain(c.APIs(t.Context(), APIQuery{})))
		assert.Equal(t, most+maxDrain, body.read, "status %d", status)
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
}

// Errors that a program makes for its own tests print well, whatever they leave out.
func TestErrorsMadeByHand(t *testing.T) {
	broken := &APIGError{Op: "Publish", APIID: "a", StatusCode: 500}
	for _, tt := range []struct {
		err      error
		want     string
		sentinel error
	}{
		{broken, "apig: Publish API a: 500 Internal Server Error", ErrServer},
		{&APIGError{}, "apig: failed without a code or a message", ErrServer},
		{&APIGError{Code: CodeAPINotFound, APIID: "a"}, "apig: API a: APIG.3002", ErrNotFound},
		{&CallError{}, "apig: failed without an answer", nil},
		{&CallError{Op: "Publish", Attempts: 3}, "apig: Publish: failed without an answer (3 attempts)", nil},
		{errors.Join(&CallError{Op: "APIs"}, ErrBadResponse), "apig: APIs: failed without an answer\napig: unreadable response", ErrBadResponse},
		{&BatchError{}, "apig: 0 of 0 APIs failed", nil},
		{&BatchError{Op: "PublishBatch", Items: []BatchItem{{APIID: "a"}}}, "apig: PublishBatch: 1 of 1 APIs failed", nil},
		{&BatchError{Op: "PublishBatch", Items: []BatchItem{{Err: broken}, {}}}, "apig: PublishBatch: 2 of 2 APIs failed; the first: " + broken.Error(), ErrServer},
		{&UnknownError{}, "apig: outcome unknown", ErrOutcomeUnknown},
		{&UnknownError{Op: "Publish", APIID: "a"}, "apig: Publish API a: outcome unknown", ErrOutcomeUnknown},
	} {
		require.EqualError(t, tt.err, tt.want)
		if found := matches(tt.err); tt.sentinel == nil {
			assert.Empty(t, found, tt.want)
		} else {
			assert.Equal(t, []error{tt.sentinel}, found, tt.want)
		}
		assert.NotPanics(t, func() { _ = loggedAs(t, tt.err); _ = OutcomeOf(tt.err); _ = errors.As(tt.err, new(*APIGError)) }, tt.want)
	}
}

// Every error of this package can be compared, also with errors of others inside.
func TestErrorsAreComparable(t *testing.T) {
	c, mt := newTest(t, briefly) // a failed change is settled for half a minute by default
	mt.RegisterNoResponder(httpmock.NewErrorResponder(&net.OpError{Op: "dial", Err: uncomparable{}}))
	_, invalid := New(Config{})
	_, unnamed := c.APIByName(t.Context(), "")
	_, unsent := c.Published(t.Context(), testAPI, EnvRelease)
	_, unknown := c.Publish(t.Context(), testRequest)
	var network net.Error
	require.ErrorAs(t, unsent, &network)
	for _, err := range append([]error{invalid, unnamed, unsent, unknown, network, &APIGError{}, &BatchError{}}, sentinels...) {
		for err := range tree(err) {
			assert.NotPanics(t, func() { assert.True(t, err == err) }, "%T", err) //nolint:gocritic,testifylint // that it does not panic
			assert.NotPanics(t, func() { _ = errors.Is(err, err) }, "%T", err)
		}
	}
}

// uncomparable is an error of another package.
type uncomparable []string

func (uncomparable) Error() string   { return "x" }
func (uncomparable) Timeout() bool   { return false }
func (uncomparable) Temporary() bool { return false }

// loggedAs is what a structured log has of an error.
func loggedAs(t *testing.T, err error) string {
	t.Helper()
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Error("failed", "err", err)
	var record struct{ Err json.RawMessage }
	require.NoError(t, json.Unmarshal(out.Bytes(), &record))
	return string(record.Err)
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
