package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

const (
	testVersion     = "ee1a5a38d3d3493abf1dc4ed6cacfa0b"
	versionURL      = instanceURL + "/apis/versions/" + testVersion
	runtimeURL      = instanceURL + "/apis/runtime/" + testAPI
	noVersionBody   = `{"error_code" : "APIG.3022", "error_msg" : "The API version does not exist,id:ee1a5a38d3d3493abf1dc4ed6cacfa0b"}`
	notPublishedMsg = `{"error_code" : "APIG.3015", "error_msg" : "The API publication record does not exist"}`

	// As documented.
	historyBody = `{
  "total" : 1,
  "size" : 1,
  "api_versions" : [ {
    "version_id" : "ee1a5a38d3d3493abf1dc4ed6cacfa0b",
    "version_no" : "20200803093600",
    "api_id" : "5f918d104dc84480a75166ba99efff21",
    "env_id" : "DEFAULT_ENVIRONMENT_RELEASE_ID",
    "env_name" : "RELEASE",
    "remark" : "Published to the production environment",
    "publish_time" : "2020-08-03T01:36:00Z",
    "status" : 1
  } ]
}`
)

var documentedVersion = Version{
	ID: testVersion, Number: "20200803093600", APIID: testAPI, EnvID: EnvRelease, EnvName: "RELEASE",
	Remark:      "Published to the production environment",
	PublishTime: time.Date(2020, 8, 3, 1, 36, 0, 0, time.UTC), Status: StatusInEffect,
}

// pages answers a list of n rows, most of them a page whatever the request asks
// for, and collects the queries.
func pages(key string, n, most int, row func(i int) string) (httpmock.Responder, *[]string) {
	queries := &[]string{}
	return func(r *http.Request) (*http.Response, error) {
		*queries = append(*queries, r.URL.RawQuery)
		offset, err := strconv.Atoi(r.URL.Query().Get("offset"))
		if err != nil {
			return nil, err
		}
		rows := []string{}
		for i := offset; i < min(n, offset+most); i++ {
			rows = append(rows, row(i))
		}
		return httpmock.NewStringResponse(200, fmt.Sprintf(`{"total":%d,"size":%d,%q:[%s]}`, n, len(rows), key, strings.Join(rows, ","))), nil
	}, queries
}

func versionRow(i int) string {
	return fmt.Sprintf(`{"version_id":"v%d","api_id":%q,"status":2}`, i, testAPI)
}

// collect is all that a sequence yields until an error.
func collect[T any](seq func(func(T, error) bool)) ([]T, error) {
	var all []T
	for v, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

func TestVersions(t *testing.T) {
	t.Parallel()
	c, mt := newTest(t)
	var request *http.Request
	mt.RegisterResponder(http.MethodGet, historyURL, func(r *http.Request) (*http.Response, error) {
		request = r
		return httpmock.NewStringResponse(200, historyBody), nil
	})
	got, err := collect(c.Versions(context.Background(), VersionQuery{APIID: testAPI, EnvID: EnvRelease}))
	require.NoError(t, err)
	assert.Equal(t, []Version{documentedVersion}, got)
	assert.Equal(t, historyURL+"?env_id=DEFAULT_ENVIRONMENT_RELEASE_ID&limit=500&offset=0", request.URL.String())
	assert.Nil(t, request.Body)
	assert.Equal(t, "no-cache", request.Header.Get("Cache-Control"))

	_, err = collect(c.Versions(context.Background(), VersionQuery{APIID: testAPI}))
	require.NoError(t, err)
	assert.Equal(t, "limit=500&offset=0", request.URL.RawQuery, "of all environments")
	assert.Equal(t, 2, mt.GetTotalCallCount())
}

// The server decides how many rows a page has.
func TestVersionsPages(t *testing.T) {
	t.Parallel()
	c, mt := newTest(t)
	answer, queries := pages("api_versions", 7, 3, versionRow)
	mt.RegisterResponder(http.MethodGet, historyURL, answer)
	seq := c.Versions(context.Background(), VersionQuery{APIID: testAPI})
	assert.Empty(t, *queries, "nothing is read before the loop")

	all := []string{"v0", "v1", "v2", "v3", "v4", "v5", "v6"}
	for range 2 { // the sequence can be ranged over again
		*queries = nil
		var got []string
		for v, err := range seq {
			require.NoError(t, err)
			got = append(got, v.ID)
		}
		assert.Equal(t, all, got)
		assert.Equal(t, []string{"limit=500&offset=0", "limit=500&offset=3", "limit=500&offset=6"}, *queries)
	}

	*queries = nil
	for v, err := range seq {
		require.NoError(t, err)
		if v.ID == "v3" {
			break
		}
	}
	assert.Len(t, *queries, 2, "who leaves the loop needs no more pages")

	*queries = nil
	for range seq {
		break
	}
	assert.Len(t, *queries, 1)
}

func TestVersionsEmpty(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty": emptyHistoryBody, "null": `{"total":0,"api_versions":null}`, "missing": `{"total":0,"size":0}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			mt.RegisterResponder(http.MethodGet, historyURL, respondJSON(200, body))
			got, err := collect(c.Versions(context.Background(), VersionQuery{APIID: testAPI}))
			require.NoError(t, err)
			assert.Empty(t, got)
			assert.Equal(t, 1, mt.GetTotalCallCount())
		})
	}
}

// An error is the last that a sequence yields, whether or not the loop goes on.
func TestVersionsErrors(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		second   httpmock.Responder // the second page
		sentinel error
		text     string
	}{
		"refused": {respondJSON(403, noPermissionBody), ErrForbidden, "403 Forbidden, APIG.1005: No permissions to request this method"},
		"gone":    {respondJSON(404, noAPIBody), ErrNotFound, "404 Not Found, APIG.3002: API 5f918d104dc84480a75166ba99efff21 does not exist"},
		"failed":  {respondJSON(500, systemBody), ErrServer, "500 Internal Server Error, APIG.9999: System error (4 attempts)"},
		"ended too early": {
			respondJSON(200, `{"total":5,"size":0,"api_versions":[]}`), ErrBadResponse, "unreadable response: the list ends after 2 of its 5 rows",
		},
		"not a list":       {respondJSON(200, `[]`), ErrBadResponse, ""},
		"no total":         {respondJSON(200, `{}`), ErrBadResponse, ""},
		"null total":       {respondJSON(200, `{"total":null,"api_versions":[]}`), ErrBadResponse, ""},
		"total of a text":  {respondJSON(200, `{"total":"5","api_versions":[]}`), ErrBadResponse, ""},
		"negative total":   {respondJSON(200, `{"total":-1,"api_versions":[]}`), ErrBadResponse, ""},
		"rows of an error": {respondJSON(200, `{"total":5,"api_versions":{}}`), ErrBadResponse, ""},
		"HTML":             {respond(200, "<html></html>", "Content-Type", "text/html"), ErrBadResponse, ""},
		"another status":   {respondJSON(206, emptyHistoryBody), ErrBadResponse, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			first, _ := pages("api_versions", 5, 2, versionRow)
			mt.RegisterResponder(http.MethodGet, historyURL, func(r *http.Request) (*http.Response, error) {
				if r.URL.Query().Get("offset") == "0" {
					return first(r)
				}
				return tt.second(r)
			})
			var got []string
			var errs []error
			for v, err := range c.Versions(context.Background(), VersionQuery{APIID: testAPI}) {
				if err != nil {
					assert.Zero(t, v)
					errs = append(errs, err)
					continue // a loop that does not stop ends all the same
				}
				got = append(got, v.ID)
			}
			assert.Equal(t, []string{"v0", "v1"}, got)
			require.Len(t, errs, 1)
			require.ErrorIs(t, errs[0], tt.sentinel)
			assert.NotErrorIs(t, errs[0], ErrOutcomeUnknown, "reading changes nothing")
			if tt.text != "" {
				assert.EqualError(t, errs[0], "apig: Versions API "+testAPI+": "+tt.text)
			}
		})
	}
}

func TestVersionsArguments(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		query VersionQuery
		text  string
	}{
		"nothing":         {VersionQuery{}, "APIID is empty"},
		"bad API":         {VersionQuery{APIID: "a/b"}, `APIID "a/b" is not an ID`},
		"bad environment": {VersionQuery{APIID: "a", EnvID: "?"}, `EnvID "?" is not an ID`},
		"both":            {VersionQuery{EnvID: ".."}, `APIID is empty; EnvID ".." is not an ID`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			got, err := collect(c.Versions(context.Background(), tt.query))
			require.EqualError(t, err, "apig: invalid argument: "+tt.text)
			assert.ErrorIs(t, err, ErrInvalidArgument)
			assert.Empty(t, got)
			assert.Zero(t, mt.GetTotalCallCount())
		})
	}
}

func TestVersionsContext(t *testing.T) {
	t.Parallel()
	c, mt := newTest(t)
	answer, queries := pages("api_versions", 7, 3, versionRow)
	mt.RegisterResponder(http.MethodGet, historyURL, answer)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := 0
	var last error
	for _, err := range c.Versions(ctx, VersionQuery{APIID: testAPI}) {
		if last = err; err == nil {
			n++
			cancel()
		}
	}
	require.ErrorIs(t, last, context.Canceled)
	assert.Equal(t, 3, n, "the page that was read")
	assert.Len(t, *queries, 1)
}

// A page that fails for the moment is read again.
func TestVersionsRetried(t *testing.T) {
	t.Parallel()
	c, mt := newTest(t)
	mt.RegisterResponder(http.MethodGet, historyURL,
		httpmock.NewErrorResponder(errors.New("connection reset")).
			Then(respond(502, "<html></html>")).Then(respondJSON(200, historyBody)))
	got, err := collect(c.Versions(context.Background(), VersionQuery{APIID: testAPI}))
	require.NoError(t, err)
	assert.Equal(t, []Version{documentedVersion}, got)
}

func TestVersionsOfAGateway(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	dev := s.AddEnvironment("DEV")
	for n := range 12 {
		s.publishEarlier(t, time.Hour, fmt.Sprint("1.", n), s.apis[0])
		_, err := s.Publish(s.apis[0], dev, "dev")
		require.NoError(t, err)
	}
	s.publishEarlier(t, time.Hour, "other", s.apis[1])

	got, err := collect(s.client.Versions(context.Background(), VersionQuery{APIID: s.apis[0], EnvID: EnvRelease}))
	require.NoError(t, err)
	require.Len(t, got, 10)
	kept := s.History(s.apis[0], EnvRelease)
	for i, v := range got {
		want := kept[i]
		assert.Equal(t, Version{
			ID: want.ID, Number: want.Number, APIID: s.apis[0], EnvID: EnvRelease, EnvName: "RELEASE", Remark: fmt.Sprint("1.", 11-i),
			PublishTime: want.Time.Truncate(time.Second), Status: v.Status,
		}, v)
		assert.Equal(t, i == 0, v.InEffect())
	}
	got, err = collect(s.client.Versions(context.Background(), VersionQuery{APIID: s.apis[0]}))
	require.NoError(t, err)
	assert.Len(t, got, 20)
}

func TestPublished(t *testing.T) {
	t.Parallel()
	row := func(id, env string, status int) string {
		return fmt.Sprintf(`{"version_id":%q,"api_id":%q,"env_id":%q,"status":%d}`, id, testAPI, env, status)
	}
	list := func(rows ...string) httpmock.Responder {
		return respondJSON(200, fmt.Sprintf(`{"total":%d,"api_versions":[%s]}`, len(rows), strings.Join(rows, ",")))
	}
	tests := map[string]struct {
		answer   httpmock.Responder
		want     string
		sentinel error
		text     string
	}{
		"documented":         {answer: respondJSON(200, historyBody), want: testVersion},
		"in the middle":      {answer: list(row("a", EnvRelease, 2), row("b", EnvRelease, 1), row("c", EnvRelease, 2)), want: "b"},
		"not published":      {answer: list(row("a", EnvRelease, 2)), sentinel: ErrNotPublished, text: "not published"},
		"never published":    {answer: respondJSON(200, emptyHistoryBody), sentinel: ErrNotPublished, text: "not published"},
		"published there":    {answer: list(row("a", "elsewhere", 1)), sentinel: ErrNotPublished, text: "not published"},
		"published here too": {answer: list(row("a", "elsewhere", 1), row("b", EnvRelease, 1)), want: "b"},
		"an unknown state":   {answer: list(row("a", EnvRelease, 3)), sentinel: ErrNotPublished, text: "not published"},
		"no API":             {answer: respondJSON(404, noAPIBody), sentinel: ErrNotFound, text: "404 Not Found, APIG.3002: API 5f918d104dc84480a75166ba99efff21 does not exist"},
		"no list":            {answer: respondJSON(200, "{}"), sentinel: ErrBadResponse},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			mt.RegisterResponder(http.MethodGet, historyURL, tt.answer)
			got, err := c.Published(context.Background(), testAPI, EnvRelease)
			if tt.sentinel == nil {
				require.NoError(t, err)
				assert.Equal(t, tt.want, got.ID)
				assert.True(t, got.InEffect())
				return
			}
			assert.Nil(t, got)
			require.ErrorIs(t, err, tt.sentinel)
			assert.Equal(t, tt.sentinel == ErrNotPublished, errors.Is(err, ErrNotPublished))
			if tt.text != "" {
				assert.EqualError(t, err, "apig: Published API "+testAPI+": "+tt.text)
			}
		})
	}
}

// Published does not stop at the first page.
func TestPublishedOnTheLastPage(t *testing.T) {
	t.Parallel()
	c, mt := newTest(t)
	answer, _ := pages("api_versions", 5, 2, func(i int) string {
		return fmt.Sprintf(`{"version_id":"v%d","status":%d}`, i, 2-i/4)
	})
	mt.RegisterResponder(http.MethodGet, historyURL, answer)
	got, err := c.Published(context.Background(), testAPI, EnvRelease)
	require.NoError(t, err)
	assert.Equal(t, "v4", got.ID)
}

func TestVersionCallArguments(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	tests := map[string]struct {
		do   func(*Client) (any, error)
		text string
	}{
		"Published":         {func(c *Client) (any, error) { v, err := c.Published(ctx, "", ""); return v == nil, err }, "APIID is empty; EnvID is empty"},
		"SwitchVersion":     {func(c *Client) (any, error) { v, err := c.SwitchVersion(ctx, "", "a?b"); return v == nil, err }, `APIID is empty; VersionID "a?b" is not an ID`},
		"OfflineVersion":    {func(c *Client) (any, error) { return true, c.OfflineVersion(ctx, "..") }, `VersionID ".." is not an ID`},
		"RuntimeDefinition": {func(c *Client) (any, error) { v, err := c.RuntimeDefinition(ctx, "a", ""); return v == nil, err }, "EnvID is empty"},
		"VersionDefinition": {func(c *Client) (any, error) { v, err := c.VersionDefinition(ctx, ""); return v == nil, err }, "VersionID is empty"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			isNil, err := tt.do(c)
			require.EqualError(t, err, "apig: invalid argument: "+tt.text)
			assert.ErrorIs(t, err, ErrInvalidArgument)
			assert.Equal(t, true, isNil)
			assert.Zero(t, mt.GetTotalCallCount())
		})
	}
}

func TestSwitchVersion(t *testing.T) {
	t.Parallel()
	c, mt := newTest(t)
	var body string
	var header http.Header
	mt.RegisterResponder(http.MethodPut, historyURL, func(r *http.Request) (*http.Response, error) {
		b, err := io.ReadAll(r.Body)
		body, header = string(b), r.Header
		resp := httpmock.NewStringResponse(200, publishedBody)
		resp.Header.Set("X-Request-Id", "8080d377bffeb6d519b0567c09cebe6b")
		return resp, err
	})
	got, err := c.SwitchVersion(context.Background(), testAPI, testVersion)
	require.NoError(t, err)
	assert.Equal(t, &PublishRecord{
		PublishID: "9191cdb430724d4b8586ed7f1b962ca2", APIID: testAPI, APIName: "Api_mock", EnvID: EnvRelease,
		Remark: "Published to the production environment", PublishTime: testTime, VersionID: testVersion,
		RequestID: "8080d377bffeb6d519b0567c09cebe6b",
	}, got)
	assert.Equal(t, `{"version_id":"ee1a5a38d3d3493abf1dc4ed6cacfa0b"}`, body)
	assert.Equal(t, "application/json;charset=UTF-8", header.Get("Content-Type"))
	assert.Equal(t, 1, mt.GetTotalCallCount(), "an answer that can be read is all it takes")
}

// A record that is not of this version proves nothing.
func TestSwitchVersionUnreadable(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"empty":           "",
		"another API":     strings.Replace(publishedBody, testAPI, "another", 1),
		"another version": strings.Replace(publishedBody, testVersion, "another", 1),
		"no record":       offlineBody,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			mt.RegisterResponder(http.MethodPut, historyURL, respondJSON(200, body))
			mt.RegisterResponder(http.MethodGet, historyURL, respondJSON(403, noPermissionBody))
			got, err := c.SwitchVersion(context.Background(), testAPI, testVersion)
			assert.Nil(t, got)
			require.ErrorIs(t, err, ErrOutcomeUnknown)
			assert.ErrorIs(t, err, ErrBadResponse)
			assert.Equal(t, 2, mt.GetTotalCallCount())
		})
	}
}

// versioned is a site with an API of which two versions are published.
func versioned(t *testing.T) (s *site, older, newer apigtest.Version) {
	t.Helper()
	s = newSite(t, 1)
	s.publishEarlier(t, time.Hour, "1.4.1")
	s.publishEarlier(t, time.Minute, "1.4.2")
	kept := s.History(s.apis[0], EnvRelease)
	return s, kept[1], kept[0]
}

func TestSwitchVersionOutcomes(t *testing.T) {
	t.Parallel()
	refuse := apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory).Always()
	tests := map[string]struct {
		faults    []apigtest.Fault
		recovered bool
		unknown   bool
		sentinel  error
		applied   int
		switches  int // requests
	}{
		"as usual":                  {applied: 1, switches: 1},
		"lost":                      {faults: []apigtest.Fault{apigtest.ApplyThenClose()}, recovered: true, applied: 1, switches: 1},
		"cut":                       {faults: []apigtest.Fault{apigtest.Cut(0)}, recovered: true, applied: 1, switches: 1},
		"system error, but applied": {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(500, systemBody)}, recovered: true, applied: 1, switches: 1},
		"not applied":               {faults: []apigtest.Fault{apigtest.CloseBefore()}, applied: 1, switches: 2},
		"not applied twice":         {faults: []apigtest.Fault{apigtest.CloseBefore().Times(2)}, applied: 1, switches: 3},
		"not applied, then applied": {faults: []apigtest.Fault{apigtest.CloseBefore(), apigtest.ApplyThenClose()}, recovered: true, applied: 1, switches: 2},
		"throttled":                 {faults: []apigtest.Fault{apigtest.Throttle("")}, applied: 1, switches: 2},
		"busy":                      {faults: []apigtest.Fault{apigtest.Busy()}, applied: 1, switches: 2},
		"never applied":             {faults: []apigtest.Fault{apigtest.CloseBefore().Always()}, switches: 4, sentinel: io.EOF},
		"never answered":            {faults: []apigtest.Fault{apigtest.Answer(502, "").Always()}, switches: 4, sentinel: ErrServer},
		"lost, history refused":     {faults: []apigtest.Fault{apigtest.ApplyThenClose(), refuse}, unknown: true, applied: 1, switches: 1},
		"not applied, and refused":  {faults: []apigtest.Fault{apigtest.CloseBefore(), refuse}, unknown: true, switches: 1},
		"refused":                   {faults: []apigtest.Fault{apigtest.Answer(403, noPermissionBody)}, sentinel: ErrForbidden, switches: 1},
		"no such version":           {faults: []apigtest.Fault{apigtest.Answer(404, noVersionBody)}, sentinel: ErrNotFound, switches: 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, older, newer := versioned(t)
			for _, f := range tt.faults {
				if f.Op == "" {
					f.Op = apigtest.OpSwitch
				}
				s.Inject(f)
			}
			got, err := s.client.SwitchVersion(context.Background(), s.apis[0], older.ID)
			var switched int
			for _, a := range s.changes()[s.apis[0]] {
				assert.Equal(t, "switch", a.Op)
				assert.Equal(t, older.ID, a.VersionID)
				switched++
			}
			assert.Equal(t, tt.applied, switched)
			assert.Equal(t, tt.switches, s.count(apigtest.OpSwitch))
			in, _ := s.Published(s.apis[0], EnvRelease)
			if tt.applied > 0 {
				assert.Equal(t, older.ID, in.ID)
			} else {
				assert.Equal(t, newer.ID, in.ID)
			}
			assert.Equal(t, tt.unknown, errors.Is(err, ErrOutcomeUnknown))
			if tt.unknown || tt.sentinel != nil {
				assert.Nil(t, got)
				require.Error(t, err)
				assert.NotErrorIs(t, err, ErrNotPublished)
				if tt.sentinel != nil {
					require.ErrorIs(t, err, tt.sentinel)
				}
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.recovered, got.Recovered)
			assert.Equal(t, older.ID, got.VersionID)
			assert.Equal(t, s.apis[0], got.APIID)
			assert.Equal(t, EnvRelease, got.EnvID)
			assert.Equal(t, "1.4.1", got.Remark)
			if !tt.recovered {
				assert.Equal(t, in.PublishID, got.PublishID)
				assert.Equal(t, "api-0", got.APIName)
			}
		})
	}
}

// Switching twice to the same version does no harm.
func TestSwitchVersionTwice(t *testing.T) {
	t.Parallel()
	s, older, _ := versioned(t)
	for range 2 {
		got, err := s.client.SwitchVersion(context.Background(), s.apis[0], older.ID)
		require.NoError(t, err)
		assert.Equal(t, older.ID, got.VersionID)
		assert.False(t, got.Recovered)
	}
	in, _ := s.Published(s.apis[0], EnvRelease)
	assert.Equal(t, older.ID, in.ID)
}

func TestSwitchVersionNotFound(t *testing.T) {
	t.Parallel()
	s, _, _ := versioned(t)
	for _, id := range [][2]string{{s.apis[0], "none"}, {"none", "none"}} {
		_, err := s.client.SwitchVersion(context.Background(), id[0], id[1])
		require.ErrorIs(t, err, ErrNotFound)
		assert.NotErrorIs(t, err, ErrOutcomeUnknown)
	}
	// The API goes away while the answer is lost.
	s.Inject(apigtest.CloseBefore().On(apigtest.OpSwitch).When(func(*apigtest.Request) bool {
		s.RemoveAPI(s.apis[0])
		return true
	}))
	_, err := s.client.SwitchVersion(context.Background(), s.apis[0], "none")
	require.ErrorIs(t, err, ErrNotFound)
	assert.NotErrorIs(t, err, ErrOutcomeUnknown)
	var e *APIGError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "SwitchVersion", e.Op)
}

// Switches take turns with publications of the same API.
func TestSwitchVersionTakesTurns(t *testing.T) {
	t.Parallel()
	s, older, _ := versioned(t)
	s.Inject(apigtest.Hang().On(apigtest.OpAction))
	ctx, cancel := context.WithCancel(context.Background())
	var held sync.WaitGroup
	held.Add(1)
	go func() {
		defer held.Done()
		_, _ = s.client.Publish(ctx, ActionRequest{APIID: s.apis[0], EnvID: EnvRelease})
	}()
	s.eventually(t, apigtest.OpAction, 1)
	short, stop := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer stop()
	_, err := s.client.SwitchVersion(short, s.apis[0], older.ID)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.NotErrorIs(t, err, ErrOutcomeUnknown)
	assert.Zero(t, s.count(apigtest.OpSwitch))
	cancel()
	held.Wait()
	_, err = s.client.SwitchVersion(context.Background(), s.apis[0], older.ID)
	require.NoError(t, err)
}

// A publication with a lost answer is not found in the version that a switch
// has put into effect since.
func TestPublishAfterSwitch(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	ctx, r := context.Background(), ActionRequest{APIID: s.apis[0], EnvID: EnvRelease, Remark: "1.4.2"}
	first, err := s.client.Publish(ctx, r)
	require.NoError(t, err)
	_, err = s.client.Publish(ctx, r)
	require.NoError(t, err)
	_, err = s.client.SwitchVersion(ctx, s.apis[0], first.VersionID)
	require.NoError(t, err)
	s.Inject(apigtest.CloseBefore().On(apigtest.OpAction))
	third, err := s.client.Publish(ctx, r)
	require.NoError(t, err)
	assert.False(t, third.Recovered)
	assert.Len(t, s.History(s.apis[0], EnvRelease), 3)
	in, _ := s.Published(s.apis[0], EnvRelease)
	assert.Equal(t, in.ID, third.VersionID)
}

// The same where the service gives a version a new time with each switch: then
// it looks as new as the publication that is being looked for.
func TestPublishAfterSwitchThatRenews(t *testing.T) {
	t.Parallel()
	c, mt := newTest(t)
	mt.RegisterResponder(http.MethodPut, historyURL, respondJSON(200, publishedBody))
	_, err := c.SwitchVersion(context.Background(), testAPI, testVersion)
	require.NoError(t, err)

	another := strings.Replace(publishedBody, testVersion, "another", 1)
	mt.RegisterResponder(http.MethodPost, actionURL, respond(502, "").Then(respondJSON(201, another)))
	mt.RegisterResponder(http.MethodGet, historyURL, func(r *http.Request) (*http.Response, error) {
		now := time.Now().UTC()
		return respondJSON(200, strings.Replace(historyBody, "2020-08-03T01:36:00Z", now.Format(time.RFC3339), 1),
			"Date", now.Format(http.TimeFormat))(r)
	})
	got, err := c.Publish(context.Background(), ActionRequest{APIID: testAPI, EnvID: EnvRelease, Remark: documentedVersion.Remark})
	require.NoError(t, err)
	assert.Equal(t, "another", got.VersionID)
	assert.False(t, got.Recovered)
	assert.Equal(t, 2, actions(mt))
}

// What a pipeline does when a release goes wrong: two calls.
func TestRollBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	ctx, api := context.Background(), s.apis[0]
	for _, remark := range []string{"1.4.1", "1.4.2"} {
		_, err := s.client.Publish(ctx, ActionRequest{APIID: api, EnvID: EnvRelease, Remark: remark})
		require.NoError(t, err)
	}
	var previous Version
	for v, err := range s.client.Versions(ctx, VersionQuery{APIID: api, EnvID: EnvRelease}) {
		require.NoError(t, err)
		if !v.InEffect() {
			previous = v
			break
		}
	}
	record, err := s.client.SwitchVersion(ctx, api, previous.ID)
	require.NoError(t, err)
	assert.Equal(t, "1.4.1", record.Remark)
	now, err := s.client.Published(ctx, api, EnvRelease)
	require.NoError(t, err)
	assert.Equal(t, "1.4.1", now.Remark)
	assert.Equal(t, 2, s.count(apigtest.OpAction), "nothing was published again")
}

func TestOfflineVersionOnTheWire(t *testing.T) {
	t.Parallel()
	c, mt := newTest(t)
	var request *http.Request
	var body string
	mt.RegisterResponder(http.MethodDelete, versionURL, func(r *http.Request) (*http.Response, error) {
		request = r
		b, err := io.ReadAll(r.Body)
		body = string(b)
		return httpmock.NewStringResponse(204, ""), err
	})
	require.NoError(t, c.OfflineVersion(context.Background(), testVersion))
	assert.Empty(t, body)
	assert.Zero(t, request.ContentLength)
	assert.Empty(t, request.Header.Get("Content-Type"))
	assert.Empty(t, request.URL.RawQuery)
	assert.Equal(t, 1, mt.GetTotalCallCount())
}

func TestOfflineVersion(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		faults   []apigtest.Fault
		sentinel error
		unknown  bool
		applied  int
		requests int
	}{
		"as usual":                 {applied: 1, requests: 1},
		"lost":                     {faults: []apigtest.Fault{apigtest.ApplyThenClose()}, applied: 1, requests: 2},
		"system error, but":        {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(500, systemBody)}, applied: 1, requests: 2},
		"another success":          {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(200, `<html></html>`)}, applied: 1, requests: 2},
		"not applied":              {faults: []apigtest.Fault{apigtest.CloseBefore()}, applied: 1, requests: 2},
		"throttled":                {faults: []apigtest.Fault{apigtest.Throttle("")}, applied: 1, requests: 2},
		"throttled, then missing":  {faults: []apigtest.Fault{apigtest.Throttle(""), apigtest.Answer(404, noVersionBody)}, sentinel: ErrNotFound, requests: 2},
		"missing at first":         {faults: []apigtest.Fault{apigtest.Answer(404, noVersionBody)}, sentinel: ErrNotFound, requests: 1},
		"refused":                  {faults: []apigtest.Fault{apigtest.Answer(403, noPermissionBody)}, sentinel: ErrForbidden, requests: 1},
		"lost, then refused":       {faults: []apigtest.Fault{apigtest.ApplyThenClose(), apigtest.Answer(403, noPermissionBody)}, unknown: true, applied: 1, requests: 2},
		"lost, then throttled":     {faults: []apigtest.Fault{apigtest.ApplyThenClose(), apigtest.Throttle("").Always()}, unknown: true, applied: 1, requests: 4},
		"never answered":           {faults: []apigtest.Fault{apigtest.Answer(502, "").Always()}, unknown: true, requests: 4},
		"lost, another then":       {faults: []apigtest.Fault{apigtest.ApplyThenClose(), apigtest.Answer(404, noAPIBody)}, unknown: true, applied: 1, requests: 2},
		"lost, then lost, then so": {faults: []apigtest.Fault{apigtest.ApplyThenClose(), apigtest.CloseBefore()}, applied: 1, requests: 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _, newer := versioned(t)
			for _, f := range tt.faults {
				s.Inject(f.On(apigtest.OpOfflineVersion))
			}
			err := s.client.OfflineVersion(context.Background(), newer.ID)
			made := s.changes()[s.apis[0]]
			assert.Len(t, made, tt.applied)
			for _, a := range made {
				assert.Equal(t, "offline-version", a.Op)
				assert.Equal(t, newer.ID, a.VersionID)
			}
			assert.Equal(t, tt.requests, s.count(""), "it reads nothing")
			assert.Equal(t, tt.unknown, errors.Is(err, ErrOutcomeUnknown))
			switch {
			case tt.sentinel != nil:
				require.ErrorIs(t, err, tt.sentinel)
			case tt.unknown:
				require.Error(t, err)
				assert.NotErrorIs(t, err, ErrForbidden)
				assert.NotErrorIs(t, err, ErrThrottled)
			default:
				require.NoError(t, err)
				_, ok := s.Published(s.apis[0], EnvRelease)
				assert.False(t, ok)
			}
		})
	}
}

// Only what is in effect can be taken offline.
func TestOfflineVersionNotInEffect(t *testing.T) {
	t.Parallel()
	s, older, newer := versioned(t)
	err := s.client.OfflineVersion(context.Background(), older.ID)
	require.ErrorIs(t, err, ErrNotFound)
	assert.NotErrorIs(t, err, ErrOutcomeUnknown)
	var e *APIGError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, CodeVersionNotFound, e.Code)
	assert.Equal(t, "OfflineVersion", e.Op)
	in, ok := s.Published(s.apis[0], EnvRelease)
	require.True(t, ok)
	assert.Equal(t, newer.ID, in.ID)
}

// A definition as documented, with the parts that have a field here, and some
// that have none.
const definitionBody = `{
  "name" : "Api_http", "type" : 1, "version" : "V0.0.1", "req_protocol" : "HTTPS", "req_method" : "GET",
  "req_uri" : "/test/http", "auth_type" : "AUTHORIZER", "group_id" : "c77f5e81d9cb4424bf704ef2b0ac7600",
  "group_name" : "api_group_001", "id" : "5f918d104dc84480a75166ba99efff21",
  "run_env_id" : "DEFAULT_ENVIRONMENT_RELEASE_ID", "run_env_name" : "RELEASE",
  "publish_id" : "9191cdb430724d4b8586ed7f1b962ca2", "version_id" : "ee1a5a38d3d3493abf1dc4ed6cacfa0b",
  "publish_time" : "2020-08-03T01:36:00Z|2020-08-02T01:36:00Z",
  "backend_params" : [ { "name" : "x-degree", "origin" : "CONSTANT" } ]
}`

func TestDefinitions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	calls := map[string]struct {
		do    func(*Client) (*Definition, error)
		url   string
		query string
		text  string // of errors
	}{
		"RuntimeDefinition": {
			func(c *Client) (*Definition, error) { return c.RuntimeDefinition(ctx, testAPI, "a&b=c") },
			runtimeURL, "env_id=a%26b%3Dc", "RuntimeDefinition API " + testAPI,
		},
		"VersionDefinition": {
			func(c *Client) (*Definition, error) { return c.VersionDefinition(ctx, testVersion) },
			versionURL, "", "VersionDefinition",
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			var query string
			mt.RegisterResponder(http.MethodGet, call.url, func(r *http.Request) (*http.Response, error) {
				query = r.URL.RawQuery
				return httpmock.NewStringResponse(200, definitionBody), nil
			})
			got, err := call.do(c)
			require.NoError(t, err)
			assert.Equal(t, call.query, query)
			assert.JSONEq(t, definitionBody, string(got.Raw))
			got.Raw = nil
			assert.Equal(t, &Definition{
				APIID: testAPI, Name: "Api_http", GroupID: "c77f5e81d9cb4424bf704ef2b0ac7600", GroupName: "api_group_001",
				Protocol: "HTTPS", Method: "GET", Path: "/test/http", AuthType: "AUTHORIZER", EnvID: EnvRelease, EnvName: "RELEASE",
				PublishID: "9191cdb430724d4b8586ed7f1b962ca2", VersionID: testVersion,
			}, got)

			for _, body := range []string{"", "{}", "[]", "null", "<html></html>", `{"id":""}`, definitionBody[:200]} {
				mt.RegisterResponder(http.MethodGet, call.url, respondJSON(200, body))
				got, err = call.do(c)
				assert.Nil(t, got)
				require.ErrorIs(t, err, ErrBadResponse, body)
				assert.NotErrorIs(t, err, ErrOutcomeUnknown)
				assert.True(t, strings.HasPrefix(err.Error(), "apig: "+call.text+": unreadable response: status 200, "), err)
			}
			mt.RegisterResponder(http.MethodGet, call.url, respondJSON(404, noVersionBody))
			_, err = call.do(c)
			require.ErrorIs(t, err, ErrNotFound)
		})
	}
}

func TestRuntimeDefinitionOfAnother(t *testing.T) {
	t.Parallel()
	c, mt := newTest(t)
	mt.RegisterResponder(http.MethodGet, runtimeURL, respondJSON(200, strings.Replace(definitionBody, testAPI, "another", 1)))
	_, err := c.RuntimeDefinition(context.Background(), testAPI, EnvRelease)
	require.ErrorIs(t, err, ErrBadResponse)
}

func TestDefinitionsOfAGateway(t *testing.T) {
	t.Parallel()
	s, older, newer := versioned(t)
	ctx := context.Background()
	for _, v := range []apigtest.Version{older, newer} {
		d, err := s.client.VersionDefinition(ctx, v.ID)
		require.NoError(t, err)
		assert.Equal(t, v.ID, d.VersionID)
		assert.Equal(t, s.apis[0], d.APIID)
		assert.Equal(t, "api-0", d.Name)
		assert.Equal(t, "RELEASE", d.EnvName)
	}
	d, err := s.client.RuntimeDefinition(ctx, s.apis[0], EnvRelease)
	require.NoError(t, err)
	assert.Equal(t, newer.PublishID, d.PublishID)
	var raw map[string]any
	require.NoError(t, json.Unmarshal(d.Raw, &raw))
	assert.Equal(t, "MOCK", raw["backend_type"], "what has no field is in Raw")

	require.NoError(t, s.client.OfflineVersion(ctx, newer.ID))
	_, err = s.client.RuntimeDefinition(ctx, s.apis[0], EnvRelease)
	require.ErrorIs(t, err, ErrNotPublished)
	_, err = s.client.VersionDefinition(ctx, "none")
	require.ErrorIs(t, err, ErrNotFound)
	assert.Equal(t, 3, s.count(apigtest.OpVersion))
}
