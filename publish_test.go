package apig

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const testRequestID = "8080d377bffeb6d519b0567c09cebe6b"

// publishedRecord is publishedBody.
var publishedRecord = PublishRecord{
	PublishID:   "9191cdb430724d4b8586ed7f1b962ca2",
	APIID:       testAPI,
	APIName:     "Api_mock",
	EnvID:       EnvRelease,
	Remark:      "Published to the production environment",
	PublishTime: testTime,
	VersionID:   "ee1a5a38d3d3493abf1dc4ed6cacfa0b",
}

// recordWithout is publishedBody without some of its keys.
func recordWithout(keys ...string) string {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(publishedBody), &fields); err != nil {
		panic(err)
	}
	for _, key := range keys {
		delete(fields, key)
	}
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Whatever says success and holds a record is one, whatever its content type.
func TestActionRecord(t *testing.T) {
	with := func(r PublishRecord, change func(*PublishRecord)) PublishRecord {
		change(&r)
		return r
	}
	noVersion := with(publishedRecord, func(r *PublishRecord) { r.VersionID = "" })
	noPublication := with(publishedRecord, func(r *PublishRecord) { r.PublishID = "" })
	noName := with(publishedRecord, func(r *PublishRecord) { r.APIName = "" })
	withRequestID := with(publishedRecord, func(r *PublishRecord) { r.RequestID = testRequestID })
	offline := PublishRecord{APIID: testAPI, EnvID: EnvRelease, APIName: "Api_mock"}
	offlineWithRemark := with(offline, func(r *PublishRecord) { r.Remark = "maintenance" })
	replaced := func(body, old, replacement string) httpmock.Responder {
		return respondJSON(201, strings.Replace(body, old, replacement, 1))
	}
	tests := map[string]struct {
		op     string
		answer httpmock.Responder
		want   PublishRecord
	}{
		"published":                         {"Publish", respondJSON(201, publishedBody), publishedRecord},
		"published, with the charset":       {"Publish", respond(201, publishedBody, "Content-Type", "application/json;charset=UTF-8"), publishedRecord},
		"published, without a content type": {"Publish", respond(201, publishedBody), publishedRecord},
		"published, called text":            {"Publish", respond(201, publishedBody, "Content-Type", "text/plain"), publishedRecord},
		"published, called HTML":            {"Publish", respond(201, publishedBody, "Content-Type", "text/html"), publishedRecord},
		"published, with status 200":        {"Publish", respondJSON(200, publishedBody), publishedRecord},
		"published, with status 202":        {"Publish", respondJSON(202, publishedBody), publishedRecord},
		"request id":                        {"Publish", respondJSON(201, publishedBody, "X-Request-Id", testRequestID), withRequestID},
		"the least that is documented":      {"Publish", respondJSON(201, recordWithout("api_name", "remark")), with(noName, func(r *PublishRecord) { r.Remark = "" })},
		"fields of the future":              {"Publish", replaced(publishedBody, "{", `{"new":{"api_id":"x"},"more":[1],`), publishedRecord},
		"null in place of a text":           {"Publish", replaced(publishedBody, `"Api_mock"`, "null"), noName},
		"published, without a version":      {"Publish", respondJSON(201, recordWithout("version_id")), noVersion},
		"published, without a publication":  {"Publish", respondJSON(201, recordWithout("publish_id")), noPublication},
		"without the environment":           {"Publish", respondJSON(201, recordWithout("env_id")), with(publishedRecord, func(r *PublishRecord) { r.EnvID = "" })},
		"an ID in another case":             {"Publish", replaced(publishedBody, testAPI, strings.ToUpper(testAPI)), with(publishedRecord, func(r *PublishRecord) { r.APIID = strings.ToUpper(testAPI) })},
		"published, and 10 MB of blank": {"Publish", respondWith(201, func() io.Reader {
			return io.MultiReader(strings.NewReader(publishedBody), io.LimitReader(endless(' '), 10<<20))
		}), publishedRecord},
		"offline":                          {"Offline", respondJSON(201, offlineBody), offline},
		"offline, with what was published": {"Offline", respondJSON(201, publishedBody), publishedRecord},
		"offline, with the remark":         {"Offline", replaced(offlineBody, "{", `{"remark":"maintenance",`), offlineWithRemark},
		"offline, without a content type":  {"Offline", respond(201, offlineBody), offline},
		"offline, with status 200":         {"Offline", respondJSON(200, offlineBody), offline},
		"offline, with nothing to say": {
			"Offline", respond(204, "", "X-Request-Id", testRequestID),
			PublishRecord{APIID: testAPI, EnvID: EnvRelease, RequestID: testRequestID},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, mt := newTest(t)
			mt.RegisterResponder(http.MethodPost, actionURL, tt.answer)
			got, err := directions[tt.op](c, t.Context(), testRequest)
			require.NoError(t, err)
			assert.Equal(t, tt.want, *got)
			assert.Equal(t, 1, mt.GetTotalCallCount())
		})
	}
}

// The refusals that the documentation shows, and more codes of the same
// statuses: nothing was applied, nothing is repeated, nothing has to be found out.
func TestActionRefused(t *testing.T) {
	tests := map[string]struct {
		status   int
		code     Code
		message  string
		sentinel error
		text     string
	}{
		"wrong parameter": {400, CodeInvalidParameter, "Invalid parameter value,parameterName:action. Please refer to the support documentation",
			ErrBadRequest, "400 Bad Request, APIG.2011: "},
		"not for this user":   {400, CodeOperationForbidden, "The operation is forbidden", ErrForbidden, "400 Bad Request, APIG.1119: "},
		"wrong token":         {401, CodeTokenInvalid, "Incorrect token or token resolution failed", ErrUnauthorized, "401 Unauthorized, APIG.1002: "},
		"frozen":              {401, CodeAccountFrozen, "The account is frozen", ErrForbidden, "401 Unauthorized, APIG.1013: "},
		"no permission":       {403, CodeNoPermission, "No permissions to request this method", ErrForbidden, "403 Forbidden, APIG.1005: "},
		"no such API":         {404, CodeAPINotFound, "API " + testAPI + " does not exist", ErrNotFound, "404 Not Found, APIG.3002: "},
		"no such environment": {404, CodeEnvNotFound, "The environment does not exist", ErrNotFound, "404 Not Found, APIG.3003: "},
		"no such publication": {404, CodeNotPublished, "The API publication record does not exist.", ErrNotPublished, "404 Not Found, APIG.3015: "},
	}
	for op, act := range directions {
		for name, tt := range tests {
			t.Run(op+"/"+name, func(t *testing.T) {
				c, mt := newTest(t)
				mt.RegisterResponder(http.MethodPost, actionURL,
					respondJSON(tt.status, fmt.Sprintf(`{"error_code":%q,"error_msg":%q}`, tt.code, tt.message), "X-Request-Id", testRequestID))
				record, err := act(c, t.Context(), testRequest)
				assert.Nil(t, record)
				require.EqualError(t, err, "apig: "+op+" API "+testAPI+": "+tt.text+tt.message+" (request id "+testRequestID+")")
				var e *APIGError
				require.ErrorAs(t, err, &e)
				assert.Equal(t, APIGError{
					Op: op, APIID: testAPI, StatusCode: tt.status, Code: tt.code, Message: tt.message, RequestID: testRequestID, Attempts: 1,
				}, *e)
				assert.ErrorIs(t, err, tt.sentinel)
				assert.Equal(t, NotApplied, OutcomeOf(err))
				assert.Equal(t, 1, mt.GetTotalCallCount())
			})
		}
	}
}

// After a 500 the change may have been made. The history tells: that it was not,
// then it may be repeated; that it was; or nothing.
func TestActionServerError(t *testing.T) {
	inEffect := func(age time.Duration) httpmock.Responder {
		return func(r *http.Request) (*http.Response, error) {
			now := time.Now().UTC()
			return respondJSON(200, fmt.Sprintf(`{"total":1,"api_versions":[{"version_id":"v","remark":"1.4.2","status":1,"publish_time":%q}]}`,
				now.Add(-age).Format(time.RFC3339)), "Date", now.Format(http.TimeFormat))(r)
		}
	}
	none := respondJSON(200, emptyHistoryBody)
	tests := map[string]struct {
		op       string
		attempts int
		history  httpmock.Responder
		outcome  Outcome
		text     string
		actions  int
	}{
		"publish: not applied":             {"Publish", 1, none, NotApplied, "500 Internal Server Error, APIG.9999: System error", 1},
		"publish: not applied, repeatedly": {"Publish", 3, none, NotApplied, "500 Internal Server Error, APIG.9999: System error (3 attempts)", 3},
		"publish: applied":                 {"Publish", 3, inEffect(0), Applied, "", 1},
		"publish: no history": {"Publish", 3, respondJSON(403, noPermissionBody), Unknown,
			"500 Internal Server Error, APIG.9999: System error; outcome unknown: the history cannot be read: 403 Forbidden, APIG.1005: No permissions to request this method", 1},
		"offline: not applied": {"Offline", 3, inEffect(time.Hour), NotApplied, "500 Internal Server Error, APIG.9999: System error (3 attempts)", 3},
		"offline: applied":     {"Offline", 3, none, Applied, "", 1},
		"offline: no history": {"Offline", 3, respondJSON(403, noPermissionBody), Unknown,
			"500 Internal Server Error, APIG.9999: System error; outcome unknown: the history cannot be read: 403 Forbidden, APIG.1005: No permissions to request this method", 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, mt := newTest(t, attempts(tt.attempts))
			mt.RegisterResponder(http.MethodPost, actionURL, respondJSON(500, systemBody))
			mt.RegisterResponder(http.MethodGet, historyURL, tt.history)
			mt.RegisterResponder(http.MethodGet, instanceURL+"/apis/runtime/"+testAPI, respondJSON(403, noPermissionBody))
			record, err := directions[tt.op](c, t.Context(), ActionRequest{APIID: testAPI, EnvID: EnvRelease, Remark: "1.4.2"})
			assert.Equal(t, tt.outcome, OutcomeOf(err))
			assert.Equal(t, tt.actions, actions(mt))
			if tt.outcome == Applied {
				require.NoError(t, err)
				assert.True(t, record.Recovered)
				return
			}
			assert.Nil(t, record)
			require.EqualError(t, err, "apig: "+tt.op+" API "+testAPI+": "+tt.text)
			var e *APIGError
			require.ErrorAs(t, err, &e)
			assert.Equal(t, []any{tt.op, 500, CodeInternal, tt.actions}, []any{e.Op, e.StatusCode, e.Code, e.Attempts})
			assert.ErrorIs(t, err, ErrServer)
			assert.NotErrorIs(t, err, ErrForbidden, "that is the history's")
		})
	}
}

// An answer that says success but shows no record proves nothing.
func TestUnreadableSuccess(t *testing.T) {
	broken := func(body string) httpmock.Responder {
		return respondWith(201, func() io.Reader {
			return io.MultiReader(strings.NewReader(body), iotest.ErrReader(io.ErrUnexpectedEOF))
		})
	}
	with := func(old, replacement string) httpmock.Responder {
		require.Contains(t, publishedBody, old)
		return respondJSON(201, strings.Replace(publishedBody, old, replacement, 1))
	}
	const another = "00000000000000000000000000000000"
	tests := map[string]struct {
		answer httpmock.Responder
		only   string // the method that it is unreadable for; both if empty
		why    string
	}{
		"empty":                    {respondJSON(201, ""), "", "status 201, the body is empty"},
		"empty 200":                {respondJSON(200, ""), "", "status 200, the body is empty"},
		"empty 202":                {respondJSON(202, ""), "", "status 202, the body is empty"},
		"no content":               {respond(204, ""), "Publish", "status 204, the body is empty"},
		"null":                     {respondJSON(201, "null"), "", "not a record of this API in this environment"},
		"empty object":             {respondJSON(201, "{}"), "", "not a record of this API in this environment"},
		"array":                    {respondJSON(201, "["+publishedBody+"]"), "", "not a publication record: json: cannot unmarshal array"},
		"string":                   {respondJSON(201, `"ok"`), "", "cannot unmarshal string"},
		"number":                   {respondJSON(201, "201"), "", "cannot unmarshal number"},
		"HTML":                     {respond(201, "<html><body>Welcome</body></html>", "Content-Type", "text/html"), "", "invalid character '<'"},
		"HTML that is called JSON": {respondJSON(200, "<html><body>Welcome</body></html>"), "", "invalid character '<'"},
		"error":                    {respondJSON(201, systemBody), "", "not a record of this API"},
		"error with 200":           {respondJSON(200, noAPIBody), "", "not a record of this API"},
		"answer to a batch":        {respondJSON(200, `{"success":[`+publishedBody+`],"failure":[]}`), "", "not a record of this API"},
		"trailing junk":            {respondJSON(201, publishedBody+"}"), "", "after top-level value"},
		"two records":              {respondJSON(201, publishedBody+publishedBody), "", "after top-level value"},
		"byte order mark":          {respondJSON(201, "\ufeff"+publishedBody), "", "invalid character"},
		"broken off":               {broken(publishedBody[:len(publishedBody)/2]), "", "(the body broke off: unexpected EOF)"},
		"broken off at once":       {broken(""), "", "the body is empty (the body broke off: unexpected EOF)"},
		"10 MB of junk": {respondWith(201, func() io.Reader { return io.LimitReader(endless('x'), 10<<20) }), "",
			"(the body broke off: it is longer than 1048576 bytes)"},
		"no API":                          {respondJSON(201, recordWithout("api_id")), "", "not a record of this API"},
		"another API":                     {with(testAPI, another), "", "not a record of this API"},
		"another environment":             {with(EnvRelease, another), "", "not a record of this API"},
		"API of a wrong type":             {with(`"`+testAPI+`"`, "5"), "", "cannot unmarshal number"},
		"version of a wrong type":         {with(`"ee1a5a38d3d3493abf1dc4ed6cacfa0b"`, "{}"), "", "cannot unmarshal object"},
		"remark of a wrong type":          {with(`"Published to the production environment"`, "[]"), "", "cannot unmarshal array"},
		"neither publication nor version": {respondJSON(201, recordWithout("publish_id", "version_id")), "Publish", "names neither publication nor version"},
		"offline, in place of published":  {respondJSON(201, offlineBody), "Publish", "names neither publication nor version"},
		"no content, with content":        {respondJSON(204, "{}"), "", "not a record of this API"},
	}
	for op, act := range directions {
		for name, tt := range tests {
			if tt.only != "" && tt.only != op {
				continue
			}
			t.Run(op+"/"+name, func(t *testing.T) {
				c, mt := newTest(t)
				mt.RegisterResponder(http.MethodPost, actionURL, tt.answer)
				mt.RegisterResponder(http.MethodGet, historyURL, respondJSON(403, noPermissionBody))
				record, err := act(c, t.Context(), testRequest)
				assert.Nil(t, record)
				require.Error(t, err)
				assert.Equal(t, []error{ErrBadResponse, ErrOutcomeUnknown}, matches(err))
				assert.True(t, strings.HasPrefix(err.Error(), "apig: "+op+" API "+testAPI+": unreadable response: status 20"), err)
				assert.Contains(t, err.Error(), tt.why)
				assertPrintable(t, err.Error())
				assert.Less(t, len(err.Error()), 1000)
				assert.Equal(t, 1, actions(mt), "not repeated blindly")
			})
		}
	}
}

// A record is read whole or not at all.
func TestCutRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, mt := newTest(t)
		mt.RegisterResponder(http.MethodGet, historyURL, respondJSON(403, noPermissionBody))
		for n := range len(publishedBody) {
			mt.RegisterResponder(http.MethodPost, actionURL, respondJSON(201, publishedBody[:n]))
			for op, act := range directions {
				record, err := act(c, t.Context(), testRequest)
				require.Nil(t, record)
				require.Equal(t, []error{ErrBadResponse, ErrOutcomeUnknown}, matches(err), "%s, cut after %d bytes", op, n)
			}
		}
	})
}

// Mistakes are found before the network, all of them at once, and named.
func TestActionArguments(t *testing.T) {
	request := func(apiID string) ActionRequest { return ActionRequest{APIID: apiID, EnvID: EnvRelease} }
	tests := map[string]struct {
		request ActionRequest
		text    string
	}{
		"nothing":                 {ActionRequest{}, "APIID is empty; EnvID is empty"},
		"no API":                  {request(""), "APIID is empty"},
		"no environment":          {ActionRequest{APIID: testAPI}, "EnvID is empty"},
		"dot":                     {request("."), `APIID "." is not an ID`},
		"two dots":                {request(".."), `APIID ".." is not an ID`},
		"path":                    {request("a/b"), `APIID "a/b" is not an ID`},
		"slash":                   {request("/"), `APIID "/" is not an ID`},
		"backslash":               {request(`a\b`), `APIID "a\b" is not an ID`},
		"query":                   {request("a?b=c"), `APIID "a?b=c" is not an ID`},
		"fragment":                {request("a#b"), `APIID "a#b" is not an ID`},
		"escape":                  {request("a%2fb"), `APIID "a%2fb" is not an ID`},
		"line break":              {request(testAPI + "\n"), "APIID \"" + testAPI + `\n" is not an ID`},
		"space":                   {request("a b"), `APIID "a b" is not an ID`},
		"NUL":                     {request("a\x00"), `APIID "a\x00" is not an ID`},
		"DEL":                     {request("a\x7f"), `APIID "a\x7f" is not an ID`},
		"C1":                      {request("a\u0085"), `APIID "a\u0085" is not an ID`},
		"API of invalid UTF-8":    {request("a\xff"), `APIID "a\xff" is not an ID`},
		"environment as a path":   {ActionRequest{APIID: testAPI, EnvID: "../x"}, `EnvID "../x" is not an ID`},
		"very long":               {request(strings.Repeat("x/", 500)), `APIID "` + strings.Repeat("x/", 32) + `…" is not an ID`},
		"remark of invalid UTF-8": {ActionRequest{APIID: testAPI, EnvID: EnvRelease, Remark: "caf\xe9"}, "Remark is not valid UTF-8"},
		"everything": {
			ActionRequest{EnvID: "..", Remark: strings.Repeat("x", 256)},
			`APIID is empty; EnvID ".." is not an ID; Remark has 256 characters, at most 255 are allowed`,
		},
	}
	for op, act := range directions {
		for name, tt := range tests {
			t.Run(op+"/"+name, func(t *testing.T) {
				c, mt := newTest(t)
				record, err := act(c, t.Context(), tt.request)
				assert.Nil(t, record)
				require.EqualError(t, err, "apig: invalid argument: "+tt.text)
				assert.ErrorIs(t, err, ErrInvalidArgument)
				assert.Zero(t, mt.GetTotalCallCount())
			})
		}
	}
}

// sentRemarks answers every action as documented and collects the remarks that
// came with them.
func sentRemarks(mt *httpmock.MockTransport) *[]string {
	remarks := &[]string{}
	mt.RegisterResponder(http.MethodPost, actionURL, func(r *http.Request) (*http.Response, error) {
		var body struct{ Remark string }
		err := json.NewDecoder(r.Body).Decode(&body)
		*remarks = append(*remarks, body.Remark)
		return httpmock.NewStringResponse(201, publishedBody), err
	})
	return remarks
}

// The service counts characters, which are not bytes.
func TestRemarkLength(t *testing.T) {
	for name, tt := range map[string]struct {
		op     string
		tagged bool
		most   int
	}{
		"publish":                   {"Publish", false, 255},
		"publish, with a tag":       {"Publish", true, 243}, // a space, a number sign and ten digits follow
		"offline":                   {"Offline", false, 255},
		"offline, which has no tag": {"Offline", true, 255},
	} {
		for script, character := range map[string]string{"ASCII": "x", "CJK": "发", "emoji": "🚀"} {
			t.Run(name+"/"+script, func(t *testing.T) {
				c, mt := newTest(t, func(cfg *Config) { cfg.Retry.TagRemark = tt.tagged })
				sent := sentRemarks(mt)
				r := testRequest
				r.Remark = strings.Repeat(character, tt.most+1)
				_, err := directions[tt.op](c, t.Context(), r)
				require.EqualError(t, err, fmt.Sprintf("apig: invalid argument: Remark has %d characters, at most %d are allowed", tt.most+1, tt.most))
				assert.Empty(t, *sent)

				r.Remark = strings.Repeat(character, tt.most)
				_, err = directions[tt.op](c, t.Context(), r)
				require.NoError(t, err)
				require.Len(t, *sent, 1)
				if tt.most == 255 {
					assert.Equal(t, r.Remark, (*sent)[0])
				} else {
					assert.Regexp(t, "^"+character+"{243} #[0-9a-f]{10}$", (*sent)[0])
				}
			})
		}
	}
}

func TestRemarkTag(t *testing.T) {
	c, mt := newTest(t, func(cfg *Config) { cfg.Retry.TagRemark = true })
	sent := sentRemarks(mt)
	for _, remark := range []string{"", "1.4.2", "1.4.2"} {
		_, err := c.Publish(t.Context(), ActionRequest{APIID: testAPI, EnvID: EnvRelease, Remark: remark})
		require.NoError(t, err)
	}
	require.Len(t, *sent, 3)
	assert.Regexp(t, "^#[0-9a-f]{10}$", (*sent)[0], "no space in front of a tag that stands alone")
	assert.Regexp(t, "^1.4.2 #[0-9a-f]{10}$", (*sent)[1])
	assert.NotEqual(t, (*sent)[1], (*sent)[2], "a tag is of one call")
}

// What a proxy or a server sees, to the last byte.
func TestActionOnTheWire(t *testing.T) {
	const ids = `"env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID","api_id":"5f918d104dc84480a75166ba99efff21"`
	for name, tt := range map[string]struct{ op, remark, userAgent, body, agent string }{
		"publish":                        {"Publish", "", "", `{"action":"online",` + ids + `}`, "apig-go/" + version},
		"publish with a remark":          {"Publish", `发布 "1.4.2"`, "", `{"action":"online",` + ids + `,"remark":"发布 \"1.4.2\""}`, "apig-go/" + version},
		"offline by a program of a name": {"Offline", "", "deploy/3", `{"action":"offline",` + ids + `}`, "deploy/3 apig-go/" + version},
	} {
		t.Run(name, func(t *testing.T) {
			type request struct {
				method, uri, host, body string
				length                  int64
				header                  http.Header
			}
			requests := make(chan request, 10)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				requests <- request{r.Method, r.RequestURI, r.Host, string(body), r.ContentLength, r.Header}
				w.WriteHeader(http.StatusCreated)
				_, _ = io.WriteString(w, publishedBody)
			}))
			t.Cleanup(server.Close)
			cfg := testConfig(&http.Transport{})
			cfg.Endpoint, cfg.UserAgent = server.URL+"/", tt.userAgent
			c, err := New(cfg)
			require.NoError(t, err)
			t.Cleanup(c.CloseIdleConnections)

			_, err = directions[tt.op](c, t.Context(), ActionRequest{APIID: testAPI, EnvID: EnvRelease, Remark: tt.remark})
			require.NoError(t, err)
			require.Len(t, requests, 1)
			assert.Equal(t, request{
				method: "POST",
				uri:    "/v2/" + testProject + "/apigw/instances/" + testInstance + "/apis/action",
				host:   strings.TrimPrefix(server.URL, "http://"),
				body:   tt.body,
				length: int64(len(tt.body)),
				header: http.Header{
					"Accept":          {"application/json"},
					"Accept-Encoding": {"gzip"}, // net/http's own, which it undoes
					"Content-Length":  {fmt.Sprint(len(tt.body))},
					"Content-Type":    {"application/json;charset=UTF-8"},
					"User-Agent":      {tt.agent},
					"X-Auth-Token":    {testToken},
				},
			}, <-requests)
		})
	}
}

// Nothing is sent for a context that has ended.
func TestActionContextEnded(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancelLate()
	for op, act := range directions {
		for want, ctx := range map[error]context.Context{context.Canceled: cancelled, context.DeadlineExceeded: late} {
			c, mt := newTest(t)
			record, err := act(c, ctx, testRequest)
			assert.Nil(t, record)
			require.ErrorIs(t, err, want)
			assert.EqualError(t, err, "apig: "+op+" API "+testAPI+": "+want.Error())
			assert.Equal(t, NotApplied, OutcomeOf(err))
			assert.Zero(t, mt.GetTotalCallCount())
		}
	}
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
		for op, decode := range map[string]func(*answer, target) (*PublishRecord, error){
			"Publish": decodePublished, "Offline": decodeOffline,
		} {
			record, err := decode(someAnswer(status, body, http.Header{}), target{apiID: testAPI, envID: EnvRelease})
			switch {
			case (record == nil) == (err == nil):
				t.Errorf("%s: %v, %v", op, record, err)
			case err != nil:
				assertPrintable(t, err.Error())
			case !strings.EqualFold(record.APIID, testAPI), record.EnvID != "" && !strings.EqualFold(record.EnvID, EnvRelease):
				t.Errorf("%s: a record of something else: %+v", op, record)
			case op == "Publish" && record.VersionID == "" && record.PublishID == "":
				t.Errorf("a hollow record: %+v", record)
			case status != 204 && !json.Valid(body):
				t.Errorf("%s: a record from %q", op, body)
			}
		}
	})
}
