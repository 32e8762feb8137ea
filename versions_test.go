package apig

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

const (
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
	got, err := collect(c.Versions(t.Context(), VersionQuery{APIID: testAPI, EnvID: EnvRelease}))
	require.NoError(t, err)
	assert.Equal(t, []Version{{
		ID: publishedVersion, Number: "20200803093600", APIID: testAPI, EnvID: EnvRelease, EnvName: "RELEASE",
		Remark:      "Published to the production environment",
		PublishTime: time.Date(2020, 8, 3, 1, 36, 0, 0, time.UTC), Status: StatusInEffect,
	}}, got)
	assert.Equal(t, historyURL+"?env_id=DEFAULT_ENVIRONMENT_RELEASE_ID&limit=500&offset=0", request.URL.String())
	assert.Nil(t, request.Body)
	assert.Equal(t, "no-cache", request.Header.Get("Cache-Control"))

	_, err = collect(c.Versions(t.Context(), VersionQuery{APIID: testAPI}))
	require.NoError(t, err)
	assert.Equal(t, "limit=500&offset=0", request.URL.RawQuery, "of all environments")
	assert.Equal(t, 2, mt.GetTotalCallCount())
}

// Newest first, in whatever order the service lists them: those of one second as
// it does, and those without a time last.
func TestVersionsOrder(t *testing.T) {
	row := func(id, at string) string { return fmt.Sprintf(`{"version_id":%q,"publish_time":%q}`, id, at) }
	c, mt := newTest(t)
	mt.RegisterResponder(http.MethodGet, historyURL, historyOf(
		row("2", "2020-08-03T01:36:00Z"), row("none", ""), row("1a", "2020-08-03T09:36:01+08:00"), row("1b", "2020-08-03T01:36:01Z"), row("3", "2020-08-02T23:59:59Z")))
	got, err := collect(lists["Versions"].ids(c, t.Context()))
	require.NoError(t, err)
	assert.Equal(t, []string{"1a", "1b", "2", "3", "none"}, got)
}

// A caller may leave the loop.
func TestVersionsLeft(t *testing.T) {
	c, mt := newTest(t)
	mt.RegisterResponder(http.MethodGet, historyURL, historyOf(`{"version_id":"1"}`, `{"version_id":"2"}`))
	var seen []string
	for v, err := range c.Versions(t.Context(), VersionQuery{APIID: testAPI}) {
		require.NoError(t, err)
		seen = append(seen, v.ID)
		break
	}
	assert.Len(t, seen, 1)
}

// A row of another API or environment must not be taken for one that was asked
// for, nor may one of those be missing for it.
func TestVersionsOfAnother(t *testing.T) {
	for name, tt := range map[string]struct{ row, text string }{
		"another API":             {`{"version_id":"v","api_id":"` + anotherID + `"}`, "the list has a version of another API or environment"},
		"another environment":     {`{"version_id":"v","env_id":"` + anotherID + `"}`, "the list has a version of another API or environment"},
		"its environment is none": {`{"version_id":"v","env_id":"../x"}`, "the list has a version of another API or environment"},
	} {
		t.Run(name, func(t *testing.T) {
			c, mt := newTest(t, attempts(1))
			mt.RegisterResponder(http.MethodGet, historyURL, historyOf(tt.row))
			_, err := collect(c.Versions(t.Context(), VersionQuery{APIID: testAPI, EnvID: EnvRelease}))
			require.EqualError(t, err, "apig: Versions API "+testAPI+": unreadable response: status 200, "+tt.text)
			require.ErrorIs(t, err, ErrBadResponse)
		})
	}
	c, mt := newTest(t, attempts(1))
	mt.RegisterResponder(http.MethodGet, historyURL, historyOf(`{"version_id":"v","env_id":"../x"}`))
	_, err := collect(c.Versions(t.Context(), VersionQuery{APIID: testAPI}))
	require.ErrorContains(t, err, "a row has what is not an ID: ../x")

	mt.RegisterResponder(http.MethodGet, historyURL, historyOf(
		`{"version_id":"v","api_id":"`+strings.ToUpper(testAPI)+`","env_id":"`+strings.ToLower(EnvRelease)+`"}`, `{"version_id":"w"}`))
	got, err := collect(c.Versions(t.Context(), VersionQuery{APIID: testAPI, EnvID: EnvRelease}))
	require.NoError(t, err)
	assert.Len(t, got, 2, "case does not matter, and what is left out is what was asked for")
}

// A history is no longer than it can be.
func TestVersionsBounds(t *testing.T) {
	c, mt := newTest(t, attempts(1))
	for total, q := range map[int]VersionQuery{501: {APIID: testAPI, EnvID: EnvRelease}, 2001: {APIID: testAPI}} {
		mt.RegisterResponder(http.MethodGet, historyURL, respondJSON(200, fmt.Sprintf(`{"total":%d,"api_versions":[%s]}`, total, rowsOf("version_id", 0, 500))))
		_, err := collect(c.Versions(t.Context(), q))
		require.ErrorContains(t, err, fmt.Sprintf("the list has %d rows, at most %d are read", total, total-1))
	}
}

func TestVersionsOfAGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		dev := s.AddEnvironment("DEV")
		for n := range 12 {
			for _, env := range []string{EnvRelease, dev} {
				_, err := s.Gateway.Publish(s.api, env, fmt.Sprint("1.", n))
				require.NoError(t, err)
			}
			time.Sleep(time.Minute)
		}
		got, err := collect(s.Versions(t.Context(), VersionQuery{APIID: s.api, EnvID: EnvRelease}))
		require.NoError(t, err)
		require.Len(t, got, 10)
		for i, want := range s.History(s.api, EnvRelease) {
			assert.True(t, got[i].PublishTime.Equal(want.Time.Truncate(time.Second)))
			got[i].PublishTime = time.Time{}
			assert.Equal(t, Version{
				ID: want.ID, Number: want.Number, APIID: s.api, EnvID: EnvRelease, EnvName: "RELEASE",
				Remark: fmt.Sprint("1.", 11-i), Status: map[bool]Status{true: StatusInEffect, false: StatusNotInEffect}[i == 0],
			}, got[i])
		}
		got, err = collect(s.Versions(t.Context(), VersionQuery{APIID: s.api}))
		require.NoError(t, err)
		assert.Len(t, got, 20)
	})
}

func TestPublished(t *testing.T) {
	row := func(id string, status int) string {
		return fmt.Sprintf(`{"version_id":%q,"api_id":%q,"env_id":%q,"status":%d}`, id, testAPI, EnvRelease, status)
	}
	tests := map[string]struct {
		answer   httpmock.Responder
		want     string
		sentinel error
		text     string
	}{
		"documented":       {respondJSON(200, historyBody), publishedVersion, nil, ""},
		"in the middle":    {historyOf(row("a", 2), row("b", 1), row("c", 2)), "b", nil, ""},
		"not published":    {historyOf(row("a", 2)), "", ErrNotPublished, "not published"},
		"never published":  {respondJSON(200, emptyHistoryBody), "", ErrNotPublished, "not published"},
		"an unknown state": {historyOf(row("a", 3)), "", ErrNotPublished, "not published"},
		"no API":           {respondJSON(404, noAPIBody), "", ErrNotFound, "404 Not Found, APIG.3002: API 5f918d104dc84480a75166ba99efff21 does not exist"},
		"no list":          {respondJSON(200, "{}"), "", ErrBadResponse, "unreadable response: status 200, the body is a list without a total (4 attempts)"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, mt := newTest(t)
			mt.RegisterResponder(http.MethodGet, historyURL, tt.answer)
			got, err := c.Published(t.Context(), testAPI, EnvRelease)
			if tt.sentinel == nil {
				require.NoError(t, err)
				assert.Equal(t, tt.want, got.ID)
				assert.True(t, got.InEffect())
				return
			}
			assert.Nil(t, got)
			require.EqualError(t, err, "apig: Published API "+testAPI+": "+tt.text)
			want := []error{tt.sentinel}
			if tt.sentinel == ErrNotPublished {
				want = []error{ErrNotFound, ErrNotPublished}
			}
			assert.Equal(t, want, matches(err))
		})
	}
}

// Mistakes are found before the network.
func TestReadArguments(t *testing.T) {
	c, mt := newTest(t)
	versions := func(q VersionQuery) error {
		got, err := collect(c.Versions(t.Context(), q))
		assert.Empty(t, got)
		return err
	}
	published := func(api, env string) error { _, err := c.Published(t.Context(), api, env); return err }
	runtime := func(api, env string) error { _, err := c.RuntimeDefinition(t.Context(), api, env); return err }
	version := func(id string) error { _, err := c.VersionDefinition(t.Context(), id); return err }
	for want, err := range map[string]error{
		"APIID is empty":                                 versions(VersionQuery{}),
		`APIID "a/b" is not an ID`:                       versions(VersionQuery{APIID: "a/b"}),
		`EnvID "?" is not an ID`:                         versions(VersionQuery{APIID: "a", EnvID: "?"}),
		`APIID is empty; EnvID ".." is not an ID`:        versions(VersionQuery{EnvID: ".."}),
		"APIID is empty; EnvID is empty":                 published("", ""),
		"EnvID is empty":                                 runtime("a", ""),
		`APIID "." is not an ID; EnvID "#" is not an ID`: runtime(".", "#"),
		"VersionID is empty":                             version(""),
		`VersionID "a?b" is not an ID`:                   version("a?b"),
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
				APIID: testAPI, Name: "Api_http", GroupID: "c77f5e81d9cb4424bf704ef2b0ac7600", GroupName: "api_group_001",
				Protocol: "HTTPS", Method: "GET", Path: "/test/http", AuthType: "AUTHORIZER", EnvID: EnvRelease, EnvName: "RELEASE",
				PublishID: "9191cdb430724d4b8586ed7f1b962ca2", VersionID: publishedVersion,
			}, got)

			for _, body := range []string{"", "{}", "[]", "null", "<html></html>", `{"id":""}`, `{"id":5}`, definitionBody[:200]} {
				mt.RegisterResponder(http.MethodGet, call.url, respondJSON(200, body))
				got, err = call.do(c)
				assert.Nil(t, got)
				assert.Equal(t, []error{ErrBadResponse}, matches(err), body)
				assert.True(t, strings.HasPrefix(err.Error(), "apig: "+call.text+": unreadable response: status 200, the body is not "), err)
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

func TestDefinitionsOfAGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, older, newer := versioned(t)
		for _, v := range []apigtest.Version{older, newer} {
			d, err := s.VersionDefinition(t.Context(), v.ID)
			require.NoError(t, err)
			assert.Equal(t, []string{v.ID, s.api, "orders", "RELEASE"}, []string{d.VersionID, d.APIID, d.Name, d.EnvName})
		}
		d, err := s.RuntimeDefinition(t.Context(), s.api, EnvRelease)
		require.NoError(t, err)
		assert.Equal(t, newer.PublishID, d.PublishID)
		var raw map[string]any
		require.NoError(t, json.Unmarshal(d.Raw, &raw))
		assert.Equal(t, "MOCK", raw["backend_type"], "what has no field is in Raw")

		require.NoError(t, s.Gateway.Offline(s.api, EnvRelease))
		_, err = s.RuntimeDefinition(t.Context(), s.api, EnvRelease)
		require.ErrorIs(t, err, ErrNotPublished)
		_, err = s.VersionDefinition(t.Context(), "none")
		require.ErrorIs(t, err, ErrNotFound)
	})
}
