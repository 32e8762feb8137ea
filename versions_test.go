package apig

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

const (
	publishedVersion = "ee1a5a38d3d3493abf1dc4ed6cacfa0b" // of publishedBody
	noVersionBody    = `{"error_code":"APIG.3022","error_msg":"The API version does not exist"}`

	versionURL = instanceURL + "/apis/versions/" + publishedVersion
	runtimeURL = instanceURL + "/apis/runtime/" + testAPI
	anotherID  = "00000000000000000000000000000000"

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

	// With the parts that have a field here, and some that have none.
	definitionBody = `{
  "name" : "Api_http", "type" : 1, "version" : "V0.0.1", "req_protocol" : "HTTPS", "req_method" : "GET",
  "req_uri" : "/test/http", "auth_type" : "AUTHORIZER", "group_id" : "c77f5e81d9cb4424bf704ef2b0ac7600",
  "group_name" : "api_group_001", "id" : "5f918d104dc84480a75166ba99efff21",
  "run_env_id" : "DEFAULT_ENVIRONMENT_RELEASE_ID", "run_env_name" : "RELEASE",
  "publish_id" : "9191cdb430724d4b8586ed7f1b962ca2", "version_id" : "ee1a5a38d3d3493abf1dc4ed6cacfa0b",
  "publish_time" : "2020-08-03T01:36:00Z|2020-08-02T01:36:00Z",
  "backend_params" : [ { "name" : "x-degree", "origin" : "CONSTANT" } ]
}`
)

// historyOf answers with rows.
func historyOf(rows ...string) httpmock.Responder {
	return respondJSON(200, fmt.Sprintf(`{"total":%d,"api_versions":[%s]}`, len(rows), strings.Join(rows, ",")))
}

func TestVersions(t *testing.T) {
	c, mt := newTest(t)
	var request *http.Request
	mt.RegisterResponder(http.MethodGet, historyURL, func(r *http.Request) (*http.Response, error) {
		request = r
		return httpmock.NewStringResponse(200, historyBody), nil
	})
	got, err := collect(c.Versions(t.Context(), testAPI, EnvRelease))
	require.NoError(t, err)
	assert.Equal(t, []Version{{
		ID: publishedVersion, Number: "20200803093600", APIID: testAPI, EnvID: EnvRelease, EnvName: "RELEASE",
		Remark:      "Published to the production environment",
		PublishTime: time.Date(2020, 8, 3, 1, 36, 0, 0, time.UTC), Status: inEffect,
	}}, got)
	assert.Equal(t, historyURL+"?limit=500&offset=0", request.URL.String(), "of all environments")
	assert.Nil(t, request.Body)
	assert.Equal(t, "no-cache", request.Header.Get("Cache-Control"))
	assert.Equal(t, 1, mt.GetTotalCallCount())
}

// Newest first, in whatever order the service lists them: those of one second as
// it does, and those without a time last.
func TestVersionsOrder(t *testing.T) {
	row := func(id, at string) string {
		return fmt.Sprintf(`{"version_id":%q,"env_id":"e","publish_time":%q}`, id, at)
	}
	c, mt := newTest(t)
	mt.RegisterResponder(http.MethodGet, historyURL, historyOf(
		row("2", "2020-08-03T01:36:00Z"), row("none", ""), row("1a", "2020-08-03T09:36:01+08:00"), row("1b", "2020-08-03T01:36:01Z"), row("3", "2020-08-02T23:59:59Z")))
	got, err := collect(lists["Versions"].ids(c, t.Context()))
	require.NoError(t, err)
	assert.Equal(t, []string{"1a", "1b", "2", "3", "none"}, got)
}

// Versions of other environments are passed over, and any other row that may hide
// one is an error.
func TestVersionsOfAnother(t *testing.T) {
	own := `{"version_id":"v","api_id":"` + strings.ToUpper(testAPI) + `","env_id":"` + strings.ToLower(EnvRelease) + `"}`
	for row, text := range map[string]string{
		`{"version_id":"w","env_id":"` + anotherID + `"}`:                               "",
		`{"version_id":"w","api_id":"` + anotherID + `","env_id":"` + EnvRelease + `"}`: "it is a version of another API",
		`{"version_id":"w"}`:                 "it is a version of no environment",
		`{"version_id":"w","env_id":"../x"}`: "it has an invalid ID: ../x",
	} {
		c, mt := newTest(t, attempts(1))
		mt.RegisterResponder(http.MethodGet, historyURL, historyOf(row, own))
		for envID, want := range map[string]int{EnvRelease: 1, anotherID: 1, "": 2, "e": 0} {
			got, err := collect(c.Versions(t.Context(), testAPI, envID))
			if text == "" {
				require.NoError(t, err)
				assert.Len(t, got, want)
				continue
			}
			require.EqualError(t, err, "apig: Versions API "+testAPI+": unreadable response: status 200, row 0: "+text)
			require.ErrorIs(t, err, ErrBadResponse)
		}
	}
	c, mt := newTest(t, attempts(1))
	mt.RegisterResponder(http.MethodGet, historyURL, respondJSON(200, lists["Versions"].body(2001, nIDs(500)...)))
	_, err := collect(c.Versions(t.Context(), testAPI, EnvRelease))
	require.ErrorContains(t, err, "the list has 2001 rows, at most 2000 are read")
}

func TestPublished(t *testing.T) {
	row := func(id string, status int) string {
		return fmt.Sprintf(`{"version_id":%q,"api_id":%q,"env_id":%q,"status":%d}`, id, testAPI, EnvRelease, status)
	}
	none := []error{ErrNotFound, ErrNotPublished}
	for name, tt := range map[string]struct {
		answer httpmock.Responder
		want   string // the ID, or the error
		is     []error
	}{
		"documented":       {respondJSON(200, historyBody), publishedVersion, nil},
		"in the middle":    {historyOf(row("a", 2), row("b", 1), row("c", 2)), "b", nil},
		"not published":    {historyOf(row("a", 2)), "not published", none},
		"never published":  {respondJSON(200, emptyHistoryBody), "not published", none},
		"an unknown state": {historyOf(row("a", 3)), "not published", none},
		"no API":           {respondJSON(404, noAPIBody), "404 Not Found, APIG.3002: API 5f918d104dc84480a75166ba99efff21 does not exist", []error{ErrNotFound}},
		"no list":          {respondJSON(200, "{}"), "unreadable response: status 200, the body is a list without a total or without rows (4 attempts)", []error{ErrBadResponse}},
	} {
		c, mt := newTest(t)
		mt.RegisterResponder(http.MethodGet, historyURL, tt.answer)
		got, err := c.Published(t.Context(), testAPI, EnvRelease)
		if tt.is == nil {
			require.NoError(t, err, name)
			assert.Equal(t, tt.want, got.ID)
			assert.True(t, got.InEffect())
			continue
		}
		assert.Nil(t, got)
		require.EqualError(t, err, "apig: Published API "+testAPI+": "+tt.want, name)
		assert.Equal(t, tt.is, matches(err))
	}
}

// Mistakes are found before the network.
func TestVersionArguments(t *testing.T) {
	c, mt := newTest(t)
	versions := func(api, env string) error { return drain(c.Versions(t.Context(), api, env)) }
	published := func(api, env string) error { _, err := c.Published(t.Context(), api, env); return err }
	runtime := func(api, env string) error { _, err := c.RuntimeDefinition(t.Context(), api, env); return err }
	version := func(id string) error { _, err := c.VersionDefinition(t.Context(), id); return err }
	switchTo := func(api, id string) error { _, err := c.SwitchVersion(t.Context(), api, id); return err }
	takeOff := func(api, id string) error { _, err := c.OfflineVersion(t.Context(), api, id); return err }
	rollback := func(api, env string) error { _, err := c.Rollback(t.Context(), api, env); return err }
	for want, err := range map[string]error{
		"APIID is empty":                                 versions("", ""),
		`APIID "a/b" is not an ID`:                       versions("a/b", ""),
		`EnvID "?" is not an ID`:                         versions("a", "?"),
		`APIID is empty; EnvID ".." is not an ID`:        versions("", ".."),
		"APIID is empty; EnvID is empty":                 published("", ""),
		"EnvID is empty":                                 runtime("a", ""),
		`APIID "." is not an ID; EnvID "#" is not an ID`: runtime(".", "#"),
		"VersionID is empty":                             version(""),
		`VersionID "a?b" is not an ID`:                   version("a?b"),
		`APIID is empty; VersionID "a?b" is not an ID`:   switchTo("", "a?b"),
		`APIID ".." is not an ID; VersionID is empty`:    takeOff("..", ""),
		`APIID "a b" is not an ID; EnvID is empty`:       rollback("a b", ""),
	} {
		require.EqualError(t, err, "apig: invalid argument: "+want)
		assert.ErrorIs(t, err, ErrInvalidArgument)
	}
	assert.Zero(t, mt.GetTotalCallCount())
}

func TestDefinitions(t *testing.T) {
	calls := map[string]struct {
		do    func(*Client) (*Definition, error)
		url   string
		query string
		text  string // of errors
	}{
		"RuntimeDefinition": {
			func(c *Client) (*Definition, error) { return c.RuntimeDefinition(t.Context(), testAPI, "a&b=c") },
			runtimeURL, "env_id=a%26b%3Dc", "RuntimeDefinition API " + testAPI,
		},
		"VersionDefinition": {
			func(c *Client) (*Definition, error) { return c.VersionDefinition(t.Context(), publishedVersion) },
			versionURL, "", "VersionDefinition",
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			c, mt := newTest(t, attempts(1))
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
				APIID: testAPI, Name: "Api_http", EnvID: EnvRelease,
				PublishID: "9191cdb430724d4b8586ed7f1b962ca2", VersionID: publishedVersion,
			}, got)

			for _, body := range []string{"", "{}", "[]", "null", "<html></html>", `{"id":""}`, `{"id":5}`, definitionBody[:200]} {
				mt.RegisterResponder(http.MethodGet, call.url, respondJSON(200, body))
				got, err = call.do(c)
				assert.Nil(t, got)
				assert.Equal(t, []error{ErrBadResponse}, matches(err), body)
				assert.True(t, strings.HasPrefix(err.Error(), "apig: "+call.text+": unreadable response: status 200, the body is not "), err)
			}
			for _, field := range []string{"run_env_id", "publish_id", "version_id"} {
				mt.RegisterResponder(http.MethodGet, call.url, respondJSON(200, `{"id":"`+testAPI+`","`+field+`":"../x"}`))
				_, err = call.do(c)
				require.ErrorContains(t, err, "it has an invalid ID: ../x", field)
			}
			mt.RegisterResponder(http.MethodGet, call.url, respondJSON(404, noVersionBody))
			_, err = call.do(c)
			require.ErrorIs(t, err, ErrNotFound)
		})
	}
	c, mt := newTest(t, attempts(1))
	mt.RegisterResponder(http.MethodGet, runtimeURL, respondJSON(200, strings.Replace(definitionBody, testAPI, anotherID, 1)))
	_, err := c.RuntimeDefinition(t.Context(), testAPI, EnvRelease)
	require.ErrorIs(t, err, ErrBadResponse, "of another API")
}

func TestSwitchesOnTheWire(t *testing.T) {
	t.Run("SwitchVersion", func(t *testing.T) {
		c, mt := newTest(t)
		mt.RegisterResponder(http.MethodPut, historyURL, func(r *http.Request) (*http.Response, error) {
			b, err := io.ReadAll(r.Body)
			assert.JSONEq(t, `{"version_id":"`+publishedVersion+`"}`, string(b))
			assert.Equal(t, "application/json;charset=UTF-8", r.Header.Get("Content-Type"))
			resp := httpmock.NewStringResponse(200, publishedBody)
			resp.Header.Set("X-Request-Id", testRequestID)
			return resp, err
		})
		got, err := c.SwitchVersion(t.Context(), testAPI, publishedVersion)
		require.NoError(t, err)
		assert.Equal(t, &PublishRecord{
			PublishID: "9191cdb430724d4b8586ed7f1b962ca2", APIID: testAPI, APIName: "Api_mock", EnvID: EnvRelease,
			Remark: "Published to the production environment", PublishTime: testTime, VersionID: publishedVersion, RequestID: testRequestID,
		}, got)
		assert.Equal(t, 1, mt.GetTotalCallCount(), "an answer that can be read is all it takes")
	})
	t.Run("OfflineVersion", func(t *testing.T) {
		c, mt := newTest(t)
		mt.RegisterResponder(http.MethodDelete, instanceURL+"/apis/versions/"+publishedVersion, func(r *http.Request) (*http.Response, error) {
			b, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			assert.Empty(t, b)
			assert.Zero(t, r.ContentLength)
			assert.Empty(t, r.Header.Get("Content-Type"))
			assert.Empty(t, r.URL.RawQuery)
			return respond(204, "", "X-Request-Id", testRequestID)(r)
		})
		got, err := c.OfflineVersion(t.Context(), testAPI, publishedVersion)
		require.NoError(t, err)
		assert.Equal(t, &PublishRecord{APIID: testAPI, RequestID: testRequestID}, got)
		assert.Equal(t, 1, mt.GetTotalCallCount())
	})
}

// versioned is a site with an API of which two versions were published long ago.
func versioned(t *testing.T) (s *site, older, newer gateway.Version) {
	s = newSite(t)
	older = s.theirs("1.4.1")
	time.Sleep(time.Minute)
	newer = s.theirs("1.4.2")
	time.Sleep(time.Hour)
	return s, older, newer
}
