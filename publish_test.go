package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestActionRecord(t *testing.T) {
	t.Parallel()
	published := PublishRecord{
		PublishID:   "9191cdb430724d4b8586ed7f1b962ca2",
		APIID:       testAPI,
		APIName:     "Api_mock",
		EnvID:       EnvRelease,
		Remark:      "Published to the production environment",
		PublishTime: testTime,
		VersionID:   "ee1a5a38d3d3493abf1dc4ed6cacfa0b",
	}
	with := func(r PublishRecord, change func(*PublishRecord)) PublishRecord {
		change(&r)
		return r
	}
	offline := PublishRecord{APIID: testAPI, EnvID: EnvRelease, APIName: "Api_mock"}

	tests := map[string]struct {
		op     string
		answer httpmock.Responder
		want   PublishRecord
	}{
		"published": {"Publish", respondJSON(201, publishedBody), published},
		"published, with the charset": {
			"Publish", respond(201, publishedBody, "Content-Type", "application/json;charset=UTF-8"), published,
		},
		"published, without a content type": {"Publish", respond(201, publishedBody), published},
		"published, called text":            {"Publish", respond(201, publishedBody, "Content-Type", "text/plain"), published},
		"published, called HTML":            {"Publish", respond(201, publishedBody, "Content-Type", "text/html"), published},
		"published, with status 200":        {"Publish", respondJSON(200, publishedBody), published},
		"published, with status 202":        {"Publish", respondJSON(202, publishedBody), published},
		"request id": {
			"Publish", respondJSON(201, publishedBody, "X-Request-Id", "8080d377bffeb6d519b0567c09cebe6b"),
			with(published, func(r *PublishRecord) { r.RequestID = "8080d377bffeb6d519b0567c09cebe6b" }),
		},
		"the least that the documentation shows": {
			"Publish",
			respondJSON(201, `{"api_id":"5f918d104dc84480a75166ba99efff21","env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID",
				"publish_id":"9191cdb430724d4b8586ed7f1b962ca2","publish_time":"2020-08-03T01:36:00.592970615Z",
				"version_id":"ee1a5a38d3d3493abf1dc4ed6cacfa0b"}`),
			with(published, func(r *PublishRecord) { r.APIName, r.Remark = "", "" }),
		},
		"fields of the future": {
			"Publish", respondJSON(201, strings.Replace(publishedBody, "{", `{"new":{"api_id":"x"},"more":[1],`, 1)), published,
		},
		"null in place of a text": {
			"Publish", respondJSON(201, strings.Replace(publishedBody, `"Api_mock"`, "null", 1)),
			with(published, func(r *PublishRecord) { r.APIName = "" }),
		},
		"published, and 10 MB of blank": {
			"Publish", respondWith(201, func() io.Reader {
				return io.MultiReader(strings.NewReader(publishedBody), io.LimitReader(endless(' '), 10<<20))
			}), published,
		},
		"published, without a version": {
			"Publish", respondJSON(201, omit(publishedBody, "version_id")),
			with(published, func(r *PublishRecord) { r.VersionID = "" }),
		},
		"published, without a publication": {
			"Publish", respondJSON(201, omit(publishedBody, "publish_id")),
			with(published, func(r *PublishRecord) { r.PublishID = "" }),
		},
		"offline": {"Offline", respondJSON(201, offlineBody), offline},
		"offline, with what was published": {
			"Offline", respondJSON(201, publishedBody), published,
		},
		"offline, with the remark": {
			"Offline", respondJSON(201, strings.Replace(offlineBody, "{", `{"remark":"maintenance",`, 1)),
			with(offline, func(r *PublishRecord) { r.Remark = "maintenance" }),
		},
		"offline, without a content type": {"Offline", respond(201, offlineBody), offline},
		"offline, with status 200":        {"Offline", respondJSON(200, offlineBody), offline},
		"offline, with nothing to say": {
			"Offline", respond(204, "", "X-Request-Id", "8080d377bffeb6d519b0567c09cebe6b"),
			PublishRecord{APIID: testAPI, EnvID: EnvRelease, RequestID: "8080d377bffeb6d519b0567c09cebe6b"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			mt.RegisterResponder(http.MethodPost, actionURL, tt.answer)

			got, err := directions[tt.op](c, context.Background(), testRequest)
			require.NoError(t, err)
			assert.Equal(t, tt.want, *got)
			assert.Equal(t, 1, mt.GetTotalCallCount())
		})
	}
}

// omit returns a JSON object without one of its keys.
func omit(object, key string) string {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &fields); err != nil {
		panic(err)
	}
	delete(fields, key)
	b, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// The publication is made, whatever its time looks like.
func TestPublishTime(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		raw  string // JSON
		want time.Time
	}{
		"nanoseconds":               {`"2020-08-03T01:36:00.592970615Z"`, testTime},
		"microseconds":              {`"2020-08-03T01:36:00.592970Z"`, testTime.Truncate(time.Microsecond)},
		"seconds":                   {`"2020-08-03T01:36:00Z"`, testTime.Truncate(time.Second)},
		"offset":                    {`"2020-08-03T09:36:00.592970615+08:00"`, testTime},
		"year 1":                    {`"0001-01-01T00:00:00Z"`, time.Time{}},
		"year 1 at +08:00":          {`"0001-01-01T08:00:00+08:00"`, time.Time{}},
		"year 1 by local mean time": {`"0001-01-01T08:05:43+08:05"`, time.Time{}},
		"no zone":                   {`"2020-08-03T01:36:00"`, time.Time{}},
		"another format":            {`"2020-08-03 01:36:00"`, time.Time{}},
		"several, joined":           {`"2020-08-03T01:36:00Z|2020-08-03T01:36:00Z"`, time.Time{}},
		"no such day":               {`"2020-02-30T01:36:00Z"`, time.Time{}},
		"words":                     {`"just now"`, time.Time{}},
		"empty":                     {`""`, time.Time{}},
		"null":                      {`null`, time.Time{}},
		"number":                    {`1596418560`, time.Time{}},
		"boolean":                   {`true`, time.Time{}},
		"object":                    {`{"seconds":1596418560}`, time.Time{}},
		"array":                     {`["2020-08-03T01:36:00Z"]`, time.Time{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			mt.RegisterResponder(http.MethodPost, actionURL,
				respondJSON(201, strings.Replace(publishedBody, `"2020-08-03T01:36:00.592970615Z"`, tt.raw, 1)))

			got, err := c.Publish(context.Background(), testRequest)
			require.NoError(t, err)
			assert.True(t, got.PublishTime.Equal(tt.want), "got %v, want %v", got.PublishTime, tt.want)
			assert.Equal(t, tt.want.IsZero(), got.PublishTime.IsZero())
			assert.Equal(t, "ee1a5a38d3d3493abf1dc4ed6cacfa0b", got.VersionID, "what follows the time is read too")
		})
	}
}

// A record that is written and read again is the same, but for what is not
// part of the service's form.
func TestPublishRecordJSON(t *testing.T) {
	t.Parallel()
	var record PublishRecord
	require.NoError(t, json.Unmarshal([]byte(publishedBody), &record))
	record.RequestID, record.Recovered = "8080d377bffeb6d519b0567c09cebe6b", true

	b, err := json.Marshal(record)
	require.NoError(t, err)
	assert.JSONEq(t, publishedBody, string(b))
}

// The errors that the documentation shows, which are not success for anyone.
func TestActionRefused(t *testing.T) {
	t.Parallel()
	const requestID = "8080d377bffeb6d519b0567c09cebe6b"
	tests := map[string]struct {
		status   int
		body     string
		code     Code
		message  string
		sentinel error
		text     string // without the name of the method
	}{
		"wrong parameter": {
			400, parameterBody, CodeInvalidParameter,
			"Invalid parameter value,parameterName:action. Please refer to the support documentation", ErrBadRequest,
			"400 Bad Request, APIG.2011: Invalid parameter value,parameterName:action. Please refer to the support documentation",
		},
		"wrong token": {
			401, tokenBody, CodeTokenInvalid, "Incorrect token or token resolution failed", ErrUnauthorized,
			"401 Unauthorized, APIG.1002: Incorrect token or token resolution failed",
		},
		"no permission": {
			403, noPermissionBody, CodeNoPermission, "No permissions to request this method", ErrForbidden,
			"403 Forbidden, APIG.1005: No permissions to request this method",
		},
		"no such API": {
			404, noAPIBody, CodeAPINotFound, "API 5f918d104dc84480a75166ba99efff21 does not exist", ErrNotFound,
			"404 Not Found, APIG.3002: API 5f918d104dc84480a75166ba99efff21 does not exist",
		},
		"no such publication": {
			404, `{"error_code":"APIG.3015","error_msg":"The API publication record does not exist."}`,
			CodeNotPublished, "The API publication record does not exist.", ErrNotPublished,
			"404 Not Found, APIG.3015: The API publication record does not exist.",
		},
	}
	for op, act := range directions {
		for name, tt := range tests {
			t.Run(op+"/"+name, func(t *testing.T) {
				t.Parallel()
				c, mt := newTest(t)
				mt.RegisterResponder(http.MethodPost, actionURL, respondJSON(tt.status, tt.body, "X-Request-Id", requestID))

				record, err := act(c, context.Background(), testRequest)
				assert.Nil(t, record)
				require.EqualError(t, err, "apig: "+op+" API "+testAPI+": "+tt.text+" (request id "+requestID+")")
				var e *APIGError
				require.ErrorAs(t, err, &e)
				assert.Equal(t, APIGError{
					Op: op, APIID: testAPI, StatusCode: tt.status, Code: tt.code, Message: tt.message,
					RequestID: requestID, Attempts: 1,
				}, *e)
				assert.ErrorIs(t, err, tt.sentinel)
				assert.NotErrorIs(t, err, ErrOutcomeUnknown)
				assert.Equal(t, 1, mt.GetTotalCallCount(), "not repeated, and nothing to find out")
			})
		}
	}
}

// After a 500 the change may have been made, and the history tells.
func TestPublishServerError(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		attempts int
		history  httpmock.Responder
		unknown  bool
		text     string
	}{
		"not applied": {
			1, respondJSON(200, emptyHistoryBody), false,
			"apig: Publish API " + testAPI + ": 500 Internal Server Error, APIG.9999: System error",
		},
		"not applied, twice": {
			2, respondJSON(200, emptyHistoryBody), false,
			"apig: Publish API " + testAPI + ": 500 Internal Server Error, APIG.9999: System error (2 attempts)",
		},
		"unknown": {
			3, respondJSON(403, noPermissionBody), true, "",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t, attempts(tt.attempts))
			mt.RegisterResponder(http.MethodPost, actionURL, respondJSON(500, systemBody))
			mt.RegisterResponder(http.MethodGet, historyURL, tt.history)

			record, err := c.Publish(context.Background(), testRequest)
			assert.Nil(t, record)
			require.Error(t, err)
			var e *APIGError
			require.ErrorAs(t, err, &e)
			assert.Equal(t, 500, e.StatusCode)
			assert.Equal(t, CodeInternal, e.Code)
			assert.Equal(t, "Publish", e.Op)
			assert.ErrorIs(t, err, ErrServer)
			assert.Equal(t, tt.unknown, errors.Is(err, ErrOutcomeUnknown))
			if tt.unknown {
				assert.NotErrorIs(t, err, ErrForbidden, "that is the history's, not the publication's")
				assert.Equal(t, 1, actions(mt), "not repeated blindly")
				return
			}
			assert.EqualError(t, err, tt.text)
			assert.Equal(t, tt.attempts, e.Attempts)
			assert.Equal(t, tt.attempts, actions(mt))
		})
	}
}

// An answer that says success but shows no record proves nothing.
func TestUnreadableSuccess(t *testing.T) {
	t.Parallel()
	broken := func(body string) httpmock.Responder {
		return respondWith(201, func() io.Reader {
			return io.MultiReader(strings.NewReader(body), iotest.ErrReader(io.ErrUnexpectedEOF))
		})
	}
	const another = "00000000000000000000000000000000"
	tests := map[string]struct {
		answer httpmock.Responder
		only   string // the method that it is unreadable for; both if empty
	}{
		"empty":                    {answer: respondJSON(201, "")},
		"empty 200":                {answer: respondJSON(200, "")},
		"empty 202":                {answer: respondJSON(202, "")},
		"no content":               {answer: respond(204, ""), only: "Publish"},
		"null":                     {answer: respondJSON(201, "null")},
		"empty object":             {answer: respondJSON(201, "{}")},
		"array":                    {answer: respondJSON(201, "["+publishedBody+"]")},
		"string":                   {answer: respondJSON(201, `"ok"`)},
		"number":                   {answer: respondJSON(201, "201")},
		"HTML":                     {answer: respond(201, "<html><body>Welcome</body></html>", "Content-Type", "text/html")},
		"HTML that is called JSON": {answer: respondJSON(200, "<html><body>Welcome</body></html>")},
		"error":                    {answer: respondJSON(201, systemBody)},
		"error with 200":           {answer: respondJSON(200, noAPIBody)},
		"answer to a batch":        {answer: respondJSON(200, `{"success":[`+publishedBody+`],"failure":[]}`)},
		"trailing junk":            {answer: respondJSON(201, publishedBody+"}")},
		"two records":              {answer: respondJSON(201, publishedBody+publishedBody)},
		"byte order mark":          {answer: respondJSON(201, "\ufeff"+publishedBody)},
		"broken off":               {answer: broken(publishedBody[:len(publishedBody)/2])},
		"broken off at once":       {answer: broken("")},
		"10 MB of junk":            {answer: respondWith(201, func() io.Reader { return io.LimitReader(endless('x'), 10<<20) })},
		"no API":                   {answer: respondJSON(201, omit(publishedBody, "api_id"))},
		"another API":              {answer: respondJSON(201, strings.Replace(publishedBody, testAPI, another, 1))},
		"another environment":      {answer: respondJSON(201, strings.Replace(publishedBody, EnvRelease, another, 1))},
		"API of a wrong type":      {answer: respondJSON(201, strings.Replace(publishedBody, `"`+testAPI+`"`, "5", 1))},
		"version of a wrong type":  {answer: respondJSON(201, strings.Replace(publishedBody, `"ee1a5a38d3d3493abf1dc4ed6cacfa0b"`, "{}", 1))},
		"remark of a wrong type":   {answer: respondJSON(201, strings.Replace(publishedBody, `"Published to the production environment"`, "[]", 1))},
		"neither publication nor version": {
			answer: respondJSON(201, omit(omit(publishedBody, "publish_id"), "version_id")), only: "Publish",
		},
		"offline, in place of published": {answer: respondJSON(201, offlineBody), only: "Publish"},
	}
	for op, act := range directions {
		for name, tt := range tests {
			if tt.only != "" && tt.only != op {
				continue
			}
			t.Run(op+"/"+name, func(t *testing.T) {
				t.Parallel()
				c, mt := newTest(t)
				mt.RegisterResponder(http.MethodPost, actionURL, tt.answer)
				mt.RegisterResponder(http.MethodGet, historyURL, respondJSON(403, noPermissionBody))

				record, err := act(c, context.Background(), testRequest)
				assert.Nil(t, record)
				require.ErrorIs(t, err, ErrBadResponse)
				assert.ErrorIs(t, err, ErrOutcomeUnknown)
				for _, s := range sentinels {
					if s != ErrBadResponse && s != ErrOutcomeUnknown {
						assert.NotErrorIs(t, err, s)
					}
				}
				assert.True(t, strings.HasPrefix(err.Error(), "apig: "+op+" API "+testAPI+": unreadable response: status 20"), err)
				assert.NotContains(t, err.Error(), "\n")
				assert.Less(t, len(err.Error()), 1000)
				assert.Equal(t, 1, actions(mt), "not repeated blindly")
				assert.Equal(t, 1, histories(mt))
			})
		}
	}
}

// A record is read whole or not at all.
func TestCutRecord(t *testing.T) {
	t.Parallel()
	for op, act := range directions {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			for n := range len(publishedBody) {
				c, mt := newTest(t)
				mt.RegisterResponder(http.MethodPost, actionURL, respondJSON(201, publishedBody[:n]))
				mt.RegisterResponder(http.MethodGet, historyURL, respondJSON(403, noPermissionBody))
				record, err := act(c, context.Background(), testRequest)
				require.ErrorIs(t, err, ErrBadResponse, "cut after %d bytes", n)
				require.ErrorIs(t, err, ErrOutcomeUnknown, "cut after %d bytes", n)
				require.Nil(t, record)
			}
		})
	}
}

func TestActionArguments(t *testing.T) {
	t.Parallel()
	const invalid = "apig: invalid argument: "
	tests := map[string]struct {
		request ActionRequest
		text    string
	}{
		"nothing":               {ActionRequest{}, "APIID is empty; EnvID is empty"},
		"no API":                {ActionRequest{EnvID: EnvRelease}, "APIID is empty"},
		"no environment":        {ActionRequest{APIID: testAPI}, "EnvID is empty"},
		"dot":                   {ActionRequest{APIID: ".", EnvID: EnvRelease}, `APIID "." is not an ID`},
		"two dots":              {ActionRequest{APIID: "..", EnvID: EnvRelease}, `APIID ".." is not an ID`},
		"path":                  {ActionRequest{APIID: "a/b", EnvID: EnvRelease}, `APIID "a/b" is not an ID`},
		"slash":                 {ActionRequest{APIID: "/", EnvID: EnvRelease}, `APIID "/" is not an ID`},
		"backslash":             {ActionRequest{APIID: `a\b`, EnvID: EnvRelease}, `APIID "a\\b" is not an ID`},
		"query":                 {ActionRequest{APIID: "a?b=c", EnvID: EnvRelease}, `APIID "a?b=c" is not an ID`},
		"fragment":              {ActionRequest{APIID: "a#b", EnvID: EnvRelease}, `APIID "a#b" is not an ID`},
		"escape":                {ActionRequest{APIID: "a%2fb", EnvID: EnvRelease}, `APIID "a%2fb" is not an ID`},
		"line break":            {ActionRequest{APIID: testAPI + "\n", EnvID: EnvRelease}, `APIID "` + testAPI + `\n" is not an ID`},
		"space":                 {ActionRequest{APIID: "a b", EnvID: EnvRelease}, `APIID "a b" is not an ID`},
		"NUL":                   {ActionRequest{APIID: "a\x00", EnvID: EnvRelease}, `APIID "a\x00" is not an ID`},
		"DEL":                   {ActionRequest{APIID: "a\x7f", EnvID: EnvRelease}, `APIID "a\x7f" is not an ID`},
		"C1":                    {ActionRequest{APIID: "a\u0085", EnvID: EnvRelease}, `APIID "a\u0085" is not an ID`},
		"API of invalid UTF-8":  {ActionRequest{APIID: "a\xff", EnvID: EnvRelease}, `APIID "a\xff" is not an ID`},
		"environment as a path": {ActionRequest{APIID: testAPI, EnvID: "../x"}, `EnvID "../x" is not an ID`},
		"very long": {
			ActionRequest{APIID: strings.Repeat("x/", 500), EnvID: EnvRelease},
			`APIID "` + strings.Repeat("x/", 32) + `…" is not an ID`,
		},
		"remark of invalid UTF-8": {
			ActionRequest{APIID: testAPI, EnvID: EnvRelease, Remark: "caf\xe9"}, "Remark is not valid UTF-8",
		},
		"everything": {
			ActionRequest{APIID: "", EnvID: "..", Remark: strings.Repeat("x", 256)},
			`APIID is empty; EnvID ".." is not an ID; Remark has 256 characters, at most 255 are allowed`,
		},
	}
	for op, act := range directions {
		for name, tt := range tests {
			t.Run(op+"/"+name, func(t *testing.T) {
				t.Parallel()
				c, mt := newTest(t)
				record, err := act(c, context.Background(), tt.request)
				assert.Nil(t, record)
				require.EqualError(t, err, invalid+tt.text)
				assert.ErrorIs(t, err, ErrInvalidArgument)
				assert.Zero(t, mt.GetTotalCallCount(), "found before the network")
			})
		}
	}
}

// The service counts characters, which are not bytes.
func TestRemarkLength(t *testing.T) {
	t.Parallel()
	characters := map[string]string{"ASCII": "x", "CJK": "发", "emoji": "🚀"}
	tests := map[string]struct {
		op     string
		tagged bool
		most   int
	}{
		"publish":                   {"Publish", false, 255},
		"publish, with a tag":       {"Publish", true, 243}, // a space, a number sign and ten digits follow
		"offline":                   {"Offline", false, 255},
		"offline, which has no tag": {"Offline", true, 255},
	}
	for name, tt := range tests {
		for script, character := range characters {
			t.Run(name+"/"+script, func(t *testing.T) {
				t.Parallel()
				c, mt := newTest(t, func(cfg *Config) { cfg.Retry.TagRemark = tt.tagged })
				sent := sentRemarks(mt)
				r := testRequest

				r.Remark = strings.Repeat(character, tt.most+1)
				record, err := directions[tt.op](c, context.Background(), r)
				assert.Nil(t, record)
				require.EqualError(t, err, fmt.Sprintf("apig: invalid argument: Remark has %d characters, at most %d are allowed", tt.most+1, tt.most))
				assert.Zero(t, mt.GetTotalCallCount())

				r.Remark = strings.Repeat(character, tt.most)
				_, err = directions[tt.op](c, context.Background(), r)
				require.NoError(t, err)
				require.Len(t, *sent, 1)
				assert.LessOrEqual(t, len([]rune((*sent)[0])), 255)
				if tt.most == 255 {
					assert.Equal(t, r.Remark, (*sent)[0])
				} else {
					assert.Regexp(t, "^"+character+"{243} #[0-9a-f]{10}$", (*sent)[0])
				}
			})
		}
	}
}

// sentRemarks answers every action as documented and collects the remarks that
// came with them.
func sentRemarks(mt *httpmock.MockTransport) *[]string {
	remarks := &[]string{}
	mt.RegisterResponder(http.MethodPost, actionURL, func(r *http.Request) (*http.Response, error) {
		var body struct {
			Remark string `json:"remark"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			return nil, err
		}
		*remarks = append(*remarks, body.Remark)
		return httpmock.NewStringResponse(201, publishedBody), nil
	})
	return remarks
}

func TestRemarkTag(t *testing.T) {
	t.Parallel()
	c, mt := newTest(t, func(cfg *Config) { cfg.Retry.TagRemark = true })
	sent := sentRemarks(mt)
	for _, remark := range []string{"", "1.4.2", "1.4.2"} {
		_, err := c.Publish(context.Background(), ActionRequest{APIID: testAPI, EnvID: EnvRelease, Remark: remark})
		require.NoError(t, err)
	}
	require.Len(t, *sent, 3)
	assert.Regexp(t, "^#[0-9a-f]{10}$", (*sent)[0], "no space in front of a tag that stands alone")
	assert.Regexp(t, "^1.4.2 #[0-9a-f]{10}$", (*sent)[1])
	assert.NotEqual(t, (*sent)[1], (*sent)[2], "a tag is of one call")
}

// What a proxy or a server sees, to the last byte.
func TestActionOnTheWire(t *testing.T) {
	t.Parallel()
	const path = "/v2/" + testProject + "/apigw/instances/" + testInstance + "/apis/action"
	tests := map[string]struct {
		op        string
		remark    string
		userAgent string
		body      string
		agent     string
	}{
		"publish": {
			op:    "Publish",
			body:  `{"action":"online","env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID","api_id":"5f918d104dc84480a75166ba99efff21"}`,
			agent: "apig-go/" + version,
		},
		"publish with a remark": {
			op: "Publish", remark: `发布 "1.4.2"`,
			body:  `{"action":"online","env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID","api_id":"5f918d104dc84480a75166ba99efff21","remark":"发布 \"1.4.2\""}`,
			agent: "apig-go/" + version,
		},
		"offline by a program of a name": {
			op: "Offline", userAgent: "deploy/3",
			body:  `{"action":"offline","env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID","api_id":"5f918d104dc84480a75166ba99efff21"}`,
			agent: "deploy/3 apig-go/" + version,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
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

			_, err = directions[tt.op](c, context.Background(), ActionRequest{APIID: testAPI, EnvID: EnvRelease, Remark: tt.remark})
			require.NoError(t, err)
			require.Len(t, requests, 1)
			assert.Equal(t, request{
				method: "POST",
				uri:    path,
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

func TestActionContextEnded(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	late, cancelLate := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancelLate()
	for op, act := range directions {
		for want, ctx := range map[error]context.Context{context.Canceled: cancelled, context.DeadlineExceeded: late} {
			c, mt := newTest(t)
			record, err := act(c, ctx, testRequest)
			assert.Nil(t, record)
			require.ErrorIs(t, err, want)
			assert.EqualError(t, err, "apig: "+op+" API "+testAPI+": "+want.Error())
			assert.NotErrorIs(t, err, ErrOutcomeUnknown, "nothing was sent")
			assert.Zero(t, mt.GetTotalCallCount())
		}
	}
}
