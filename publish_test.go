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
		"with a tag":                        {"Publish", replaced(publishedBody, `environment"`, `environment apig:3FA9c1b2d0"`), with(publishedRecord, func(r *PublishRecord) { r.Tag = "3fa9c1b2d0" })},
		"with escapes":                      {"Publish", replaced(publishedBody, "Api_mock", `Api_mock`), publishedRecord},
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
	}
	for name, tt := range tests {
		c, mt := newTest(t)
		mt.RegisterResponder(http.MethodPost, actionURL, tt.answer)
		got, err := directions[tt.op](c, t.Context(), testRequest)
		require.NoError(t, err, name)
		assert.Equal(t, tt.want, *got, name)
		assert.Equal(t, 1, mt.GetTotalCallCount())
	}
}

// Refusals as the documentation shows them: nothing was applied, nothing is sent again,
// nothing has to be found out.
func TestActionRefused(t *testing.T) {
	for _, tt := range []struct {
		status  int
		code    Code
		message string
		is      error
		text    string
	}{
		{400, "APIG.2011", "Invalid parameter value,parameterName:action. Please refer to the support documentation", ErrBadRequest, "400 Bad Request"},
		{401, "APIG.1002", "Incorrect token or token resolution failed", ErrUnauthorized, "401 Unauthorized"},
		{403, "APIG.1005", "No permissions to request this method", ErrForbidden, "403 Forbidden"},
		{404, CodeAPINotFound, "API " + testAPI + " does not exist", ErrNotFound, "404 Not Found"},
		{404, codeNotPublished, "The API publication record does not exist.", ErrNotPublished, "404 Not Found"},
	} {
		for op, act := range directions {
			c, mt := newTest(t)
			mt.RegisterResponder(http.MethodPost, actionURL,
				respondJSON(tt.status, fmt.Sprintf(`{"error_code":%q,"error_msg":%q}`, tt.code, tt.message), "X-Request-Id", testRequestID))
			record, err := act(c, t.Context(), testRequest)
			assert.Nil(t, record)
			require.EqualError(t, err, fmt.Sprintf("apig: %s API %s: %s, %s: %s (request id %s)", op, testAPI, tt.text, tt.code, tt.message, testRequestID))
			var e *APIGError
			require.ErrorAs(t, err, &e)
			assert.Equal(t, APIGError{
				Op: op, APIID: testAPI, StatusCode: tt.status, Code: tt.code, Message: tt.message, RequestID: testRequestID, Attempts: 1,
			}, *e)
			assert.ErrorIs(t, err, tt.is)
			assert.Equal(t, NotApplied, OutcomeOf(err))
			assert.Equal(t, 1, mt.GetTotalCallCount())
		}
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
		"empty 202":                {respondJSON(202, ""), "", "status 202, "},
		"accepted":                 {respondJSON(202, publishedBody), "Offline", "status 202, which only says that the change was accepted"},
		"no content":               {respond(204, ""), "", "status 204, the body is empty"},
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
		"a version that is no ID":         {with("ee1a5a38d3d3493abf1dc4ed6cacfa0b", "../x"), "", "it has an invalid ID: ../x"},
		"a version with the token":        {with("ee1a5a38d3d3493abf1dc4ed6cacfa0b", testToken), "", "it has an invalid ID: REDACTED"},
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
	request := func(apiID string) PublishRequest { return PublishRequest{APIID: apiID, EnvID: EnvRelease} }
	tests := map[string]struct {
		request PublishRequest
		text    string
	}{
		"nothing":                 {PublishRequest{}, "APIID is empty; EnvID is empty"},
		"no API":                  {request(""), "APIID is empty"},
		"no environment":          {PublishRequest{APIID: testAPI}, "EnvID is empty"},
		"two dots":                {request(".."), `APIID ".." is not an ID`},
		"path":                    {request("a/b"), `APIID "a/b" is not an ID`},
		"line break":              {request(testAPI + "\n"), "APIID \"" + testAPI + `\n" is not an ID`},
		"C1":                      {request("a\u0085"), `APIID "a\u0085" is not an ID`},
		"API of invalid UTF-8":    {request("a\xff"), `APIID "a\xff" is not an ID`},
		"environment as a path":   {PublishRequest{APIID: testAPI, EnvID: "../x"}, `EnvID "../x" is not an ID`},
		"long and no ID":          {request(strings.Repeat("x/", 100)), `APIID "` + strings.Repeat("x/", 32) + `…" is not an ID`},
		"very long":               {request(strings.Repeat("x", 1<<20)), "APIID has 1048576 bytes, an ID has at most 255"},
		"a byte too long":         {request(strings.Repeat("発", 85) + "x"), "APIID has 256 bytes, an ID has at most 255"},
		"remark of invalid UTF-8": {PublishRequest{APIID: testAPI, EnvID: EnvRelease, Remark: "caf\xe9"}, "Remark is not valid UTF-8"},
		"everything": {
			PublishRequest{EnvID: "..", Remark: strings.Repeat("x", 256)},
			`APIID is empty; EnvID ".." is not an ID; Remark has 256 characters, at most 255 are allowed`,
		},
	}
	for op, act := range directions {
		for name, tt := range tests {
			c, mt := newTest(t)
			record, err := act(c, t.Context(), tt.request)
			assert.Nil(t, record)
			require.EqualError(t, err, "apig: invalid argument: "+tt.text, "%s, %s", op, name)
			assert.ErrorIs(t, err, ErrInvalidArgument)
			assert.Zero(t, mt.GetTotalCallCount())
		}
	}
}

// The remark on the wire. The service counts characters, which are not bytes.
func TestRemarkAndTag(t *testing.T) {
	const tag = " apig:[0-9a-f]{10}$"
	long := func(n int, character string) string { return strings.Repeat(character, n) }
	seen := map[string]bool{}
	for _, tt := range []struct {
		op, remark, want string // a pattern
		disabled         bool
	}{
		{"Publish", "", "^apig:[0-9a-f]{10}$", false}, // no space in front of a tag that stands alone
		{"Publish", "1.4.2", "^1.4.2" + tag, false},
		{"Publish", "1.4.2", "^1.4.2" + tag, false},
		{"Publish", "1.4.2 apig:0123456789", "^1.4.2" + tag, false}, // a copied tag is taken off
		{"Publish", "apig:0123456789", "^apig:[0-9a-f]{10}$", false},
		{"Publish", "see apig:0123456789 there", "^see apig:0123456789 there" + tag, false},
		{"Publish", long(239, "x"), "^x{239}" + tag, false}, // a space, apig, a colon and ten digits follow
		{"Publish", long(239, "发"), "^发{239}" + tag, false},
		{"Publish", long(239, "🚀"), "^🚀{239}" + tag, false},
		{"Publish", long(240, "🚀"), "^🚀{240}$", false},
		{"Publish", long(255, "x"), "^x{255}$", false},
		{"Publish", "1.4.2", "^1.4.2$", true},
		{"Publish", "1.4.2 apig:0123456789", "^1.4.2 apig:0123456789$", true},
		{"Publish", long(255, "发"), "^发{255}$", true},
		{"Offline", "1.4.2", "^1.4.2$", false},
		{"Offline", long(255, "🚀"), "^🚀{255}$", false},
		{"Publish", long(256, "x"), "", false},
		{"Publish", long(256, "发"), "", true},
		{"Offline", long(256, "🚀"), "", false},
	} {
		c, mt := newTest(t, func(cfg *Config) { cfg.DisableTags = tt.disabled })
		mt.RegisterResponder(http.MethodPost, actionURL, func(r *http.Request) (*http.Response, error) {
			var body struct{ Remark string }
			err := json.NewDecoder(r.Body).Decode(&body)
			assert.Regexp(t, tt.want, body.Remark)
			if strings.Contains(tt.want, "{10}") {
				assert.False(t, seen[body.Remark], "each call has a tag of its own")
				seen[body.Remark] = true
			}
			return httpmock.NewStringResponse(201, publishedBody), err
		})
		_, err := directions[tt.op](c, t.Context(), PublishRequest{APIID: testAPI, EnvID: EnvRelease, Remark: tt.remark})
		if tt.want == "" {
			require.EqualError(t, err, "apig: invalid argument: Remark has 256 characters, at most 255 are allowed")
			assert.Zero(t, mt.GetTotalCallCount())
			continue
		}
		require.NoError(t, err)
	}
}

// Remarks as callers write them and as a service may change them.
func TestSplitTag(t *testing.T) {
	const tag = "3fa9c1b2d0"
	for remark, text := range map[string]string{
		"1.4.2 apig:3fa9c1b2d0":               "1.4.2",
		"apig:3fa9c1b2d0":                     "",
		" apig:3fa9c1b2d0":                    "",
		"1.4.2 APIG:3FA9C1B2D0":               "1.4.2",
		"1.4.2\r\napig:3fa9c1b2d0\r\n":        "1.4.2\r\n",
		"1.4.2\u00a0apig：3fa9c1b2d0。":         "1.4.2\u00a0",
		"1.4.2 apig_3fa9c1b2d0":               "1.4.2",
		"1.4.2 apig 3fa9c1b2d0":               "1.4.2",
		"发布 apig:3fa9c1b2d0":                  "发布",
		"a apig:0123456789 apig:3fa9c1b2d0":   "a apig:0123456789",
		"ends in blanks  \n apig:3fa9c1b2d0 ": "ends in blanks  \n",
	} {
		got, digits := splitTag(remark)
		assert.Equal(t, []string{text, tag}, []string{got, digits}, "%q", remark)
		v := Version{Remark: got, Tag: digits}
		assert.True(t, v.endsIn(tag), "%q", remark)
	}
	for _, remark := range []string{ // no tag, but an escape or a missing colon does not hide it either
		"1.4.2 apig%3A3fa9c1b2d0", "1.4.2 apig&#58;3fa9c1b2d0", "1.4.2 apig&colon;3fa9c1b2d0", `1.4.2 apig\u003a3fa9c1b2d0`,
		"1.4.2 apig3fa9c1b2d0.", "myapig:3fa9c1b2d0", "apig of the shop 3fa9c1b2d0", "#3FA9C1B2D0", tag,
	} {
		got, digits := splitTag(remark)
		assert.Equal(t, []string{remark, ""}, []string{got, digits}, "%q", remark)
		assert.True(t, (&Version{Remark: remark}).endsIn(tag), "%q", remark)
	}
	for _, remark := range []string{
		"", "1.4.2", "apig", "apig:", "apig:3fa9c1b2d", "apig:3fa9c1b2d0a", "apig:3fa9c1b2dg", "apig:3fa9c1b2d０",
		"reverts apig:3fa9c1b2d0 of yesterday", "apig:3fa9c1b2d0 2", "\xffapig:3fa9c1b2d0\xffa", "发布发布发布发布",
	} {
		got, digits := splitTag(remark)
		assert.Equal(t, []string{remark, ""}, []string{got, digits}, "%q", remark)
		assert.False(t, (&Version{Remark: remark}).endsIn(tag), "%q", remark)
	}
	assert.Equal(t, "1.4.2 apig:3fa9c1b2d0", joinTag("1.4.2", tag))
	assert.Equal(t, "apig:3fa9c1b2d0", joinTag("", tag))
	assert.Equal(t, "1.4.2", joinTag("1.4.2", ""))
}

// What was joined is split again, whatever the service does with punctuation and
// case. A remark that has no tag stays as it is.
func FuzzTag(f *testing.F) {
	for _, s := range []string{"", "1.4.2", "apig", "apig:3fa9c1b2d0", " apig:3fa9c1b2d0 ", "x%3a", "\xff", "发布\n"} {
		f.Add(s, ":", "\n")
	}
	f.Fuzz(func(t *testing.T, remark, colon, end string) {
		text, tag := splitTag(remark)
		if tag == "" && text != remark || len(tag) != 0 && (len(tag) != tagDigits || tag != strings.ToLower(tag)) || !strings.HasPrefix(remark, text) {
			t.Errorf("%q, %q of %q", text, tag, remark)
		}
		const ours = "3fa9c1b2d0"
		joined := joinTag(remark, ours)
		if colon != "" && strings.TrimFunc(colon+end, isPunctuation) == "" {
			joined = strings.TrimSuffix(strings.ToUpper(joined), ":"+strings.ToUpper(ours)) + colon + ours + end
		}
		if _, got := splitTag(joined); got != ours {
			t.Errorf("%q of %q", got, joined)
		}
	})
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
			cfg.Endpoint, cfg.UserAgent, cfg.DisableTags = server.URL+"/", tt.userAgent, true
			c, err := New(cfg)
			require.NoError(t, err)
			t.Cleanup(c.CloseIdleConnections)

			_, err = directions[tt.op](c, t.Context(), PublishRequest{APIID: testAPI, EnvID: EnvRelease, Remark: tt.remark})
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

// What is read without encoding/json is what encoding/json would read.
func FuzzReadRecord(f *testing.F) {
	usual := `{ "publish_id" : "p", "api_id":"a","api_name":"näme","env_id":"e", "remark":"", "publish_time":"2020-08-03T01:36:00.592970615Z","version_id":"v"}`
	for _, s := range []string{
		usual, usual + " \n", usual + "x", strings.ToUpper(usual), publishedBody, offlineBody, `{}`, ``, `} `, `null`, `[]`, `{"api_id":"a",}`, `{"api_id":"a"`,
		`{"api_id":1}`, `{"api_id":null}`, `{"api_id":"\u0061"}`, `{"api_id":"a","api_id":"b"}`, `{"API_ID":"a"}`, `{"api_id":"a","other":"b"}`,
		`{"api_id":"a","publish_time":"never"}`, `{"publish_time":"0001-01-01T00:00:00Z"}`, `{"publish_time":"2020-08-03T01:36:00+08:00"}`,
		"{\"api_id\":\"a\tb\"}", "{\"api_id\":\"\xff\"}", "{\"api_id\":\"a\"}\x00", "{\"api_id\":\"a\"\u00a0}", `{"api_id" "a"}`, `{"remark":"a\"b"}`,
		`{"publish_time":"2020-08-03T01:36:00Z","publish_time":""}`, `{"remark":"1.4.2 apig:3fa9c1b2d0"}`, `{"remark":"apig:3FA9C1B2D0"}`, `{"api_id":"a""env_id":"e"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var want, got PublishRecord
		wantErr := json.Unmarshal(b, &want)
		require.Equal(t, wantErr == nil, readRecord(b, &got) == nil)
		if wantErr == nil {
			assert.Equal(t, want, got)
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
		for op, decode := range map[string]func(*answer, target) (*PublishRecord, error){
			"Publish": decodePublished, "Offline": (*answer).record,
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
			case !json.Valid(body):
				t.Errorf("%s: a record from %q", op, body)
			}
		}
	})
}
