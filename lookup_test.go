package apig

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// envsBody is as documented.
const envsBody = `{
  "total" : 2,
  "size" : 2,
  "envs" : [ {
    "create_time" : "2020-07-31T06:57:08Z",
    "name" : "DEV",
    "remark" : "Development environment",
    "id" : "7a1ad0c350844ee69435ab297c1e6d18"
  }, {
    "create_time" : "0001-01-01T00:00:00Z",
    "name" : "RELEASE",
    "remark" : "",
    "id" : "DEFAULT_ENVIRONMENT_RELEASE_ID"
  } ]
}`

func TestEnvironments(t *testing.T) {
	c, mt := newTest(t)
	mt.RegisterResponder(http.MethodGet, envsURL, respondJSON(200, envsBody))
	got, err := collect(c.Environments(t.Context()))
	require.NoError(t, err)
	assert.Equal(t, []Environment{{ID: "7a1ad0c350844ee69435ab297c1e6d18", Name: "DEV"}, {ID: EnvRelease, Name: "RELEASE"}}, got)
}

func TestAPIs(t *testing.T) {
	c, mt := newTest(t)
	mt.RegisterResponder(http.MethodGet, apisURL, respondJSON(200, `{"total":2,"size":2,"apis":[{"id":"b","name":"Api_http2"},{
		"id":"5f918d104dc84480a75166ba99efff21","name":"Api_http","group_id":"c77f5e81d9cb4424bf704ef2b0ac7600",
		"group_name":"api_group_001","req_protocol":"HTTPS","req_method":"GET","req_uri":"/test/http","auth_type":"AUTHORIZER",
		"remark":"for the shop","type":1,"status":1,"match_mode":"NORMAL","backend_type":"HTTP","tags":["a"],"run_env_id":"e1"}]}`))
	got, err := collect(c.APIs(t.Context(), APIQuery{Name: "Api_http"})) // whose name another one begins with
	require.NoError(t, err)
	assert.Equal(t, []API{{
		ID: testAPI, Name: "Api_http", GroupID: "c77f5e81d9cb4424bf704ef2b0ac7600", GroupName: "api_group_001",
		Method: "GET", Path: "/test/http", Environments: []Environment{{ID: "e1"}},
	}}, got)
}

func TestAPIQuery(t *testing.T) {
	for query, want := range map[APIQuery]string{
		{}:                                    "limit=500&offset=0",
		{Name: "a b&c"}:                       "limit=500&name=a+b%26c&offset=0&precise_search=name",
		{GroupID: "g&h"}:                      "group_id=g%26h&limit=500&offset=0",
		{EnvID: "e=f"}:                        "env_id=e%3Df&limit=500&offset=0",
		{Name: "n", GroupID: "g", EnvID: "e"}: "env_id=e&group_id=g&limit=500&name=n&offset=0&precise_search=name",
	} {
		c, mt := newTest(t)
		answer, queries := lists["APIs"].serve(always(nil))
		mt.RegisterResponder(http.MethodGet, apisURL, answer)
		require.NoError(t, drain(c.APIs(t.Context(), query)))
		assert.Equal(t, []string{want}, *queries)
	}
	c, mt := newTest(t)
	err := drain(c.APIs(t.Context(), APIQuery{GroupID: "a/b", EnvID: ".."}))
	require.EqualError(t, err, `apig: invalid argument: GroupID "a/b" is not an ID; EnvID ".." is not an ID`)
	assert.Zero(t, mt.GetTotalCallCount())
}

// All IDs of an API are checked, not its own alone.
func TestIDsOfAnAPI(t *testing.T) {
	for row, bad := range map[string]string{
		`"group_id":"../x"`:              "../x",
		`"run_env_id":"e1|../x"`:         "../x",
		`"group_id":"` + testToken + `"`: "REDACTED",
		`"run_env_id":"a\u202eb"`:        `a\u202eb`,
	} {
		c, mt := newTest(t, attempts(1))
		mt.RegisterResponder(http.MethodGet, apisURL, respondJSON(200, `{"total":1,"apis":[{"id":"a",`+row+`}]}`))
		err := drain(c.APIs(t.Context(), APIQuery{}))
		require.ErrorContains(t, err, "row 0: it has an invalid ID: "+bad, row)
	}
}

// byName are the two look-ups. Only that of an API can tell the service the name.
var byName = map[string]struct {
	url, key string
	precise  bool
	find     func(*Client, context.Context, string) (id string, err error)
}{
	"EnvironmentByName": {envsURL, "envs", false, func(c *Client, ctx context.Context, name string) (string, error) {
		e, err := c.EnvironmentByName(ctx, name)
		if e == nil {
			return "", err
		}
		return e.ID, err
	}},
	"APIByName": {apisURL, "apis", true, func(c *Client, ctx context.Context, name string) (string, error) {
		a, err := c.APIByName(ctx, name)
		if a == nil {
			return "", err
		}
		return a.ID, err
	}},
}

func TestByName(t *testing.T) {
	const strange, none, several = `a b&c=d+e%2f#?/"发`, `none is named "orders"`, `several are named "orders"`
	page := slices.Repeat([]string{"x"}, pageLimit)
	tests := map[string]struct {
		name     string
		rows     []string // names; the IDs are id0, id1 and so on
		want     string
		sentinel error
		text     string
	}{
		"none":                  {"orders", nil, "", ErrNotFound, none},
		"one":                   {"orders", []string{"orders"}, "id0", nil, ""},
		"several":               {"orders", []string{"orders", "orders"}, "", ErrAmbiguous, several},
		"a part only":           {"orders", []string{"orders2", "my-orders"}, "", ErrNotFound, none},
		"a part, and the name":  {"orders", []string{"orders2", "orders", "orders3"}, "id1", nil, ""},
		"another case":          {"orders", []string{"Orders", "ORDERS"}, "", ErrNotFound, none},
		"special characters":    {strange, []string{strange}, "id0", nil, ""},
		"none of a strange one": {"a\nb", nil, "", ErrNotFound, `none is named "a\nb"`},
		"on the last page":      {"orders", slices.Concat(page, []string{"orders"}), "id500", nil, ""},
		"two pages apart":       {"orders", slices.Concat([]string{"orders"}, page, []string{"orders"}), "", ErrAmbiguous, several},
	}
	for op, lookup := range byName {
		for name, tt := range tests {
			t.Run(op+"/"+name, func(t *testing.T) {
				var rows []string
				for i, name := range tt.rows {
					rows = append(rows, fmt.Sprintf(`{"id":"id%d","name":%q}`, i, name))
				}
				c, mt := newTest(t)
				mt.RegisterResponder(http.MethodGet, lookup.url, func(r *http.Request) (*http.Response, error) {
					query := r.URL.Query()
					assert.Equal(t, lookup.precise, query.Get("name") == tt.name && query.Get("precise_search") == "name")
					offset, err := strconv.Atoi(query.Get("offset"))
					require.NoError(t, err)
					page := rows[offset:min(offset+pageLimit, len(rows))]
					return respondJSON(200, fmt.Sprintf(`{"total":%d,%q:[%s]}`, len(rows), lookup.key, strings.Join(page, ",")))(r)
				})
				got, err := lookup.find(c, t.Context(), tt.name)
				assert.Equal(t, tt.want, got)
				if tt.sentinel == nil {
					require.NoError(t, err)
					return
				}
				require.EqualError(t, err, "apig: "+op+": "+tt.text)
				require.ErrorIs(t, err, tt.sentinel)
				assert.NotErrorIs(t, err, map[error]error{ErrNotFound: ErrAmbiguous, ErrAmbiguous: ErrNotFound}[tt.sentinel])
				assert.NotErrorIs(t, err, ErrNotPublished)
			})
		}
		c, mt := newTest(t)
		_, err := lookup.find(c, t.Context(), "")
		require.EqualError(t, err, "apig: invalid argument: Name is empty", op)
		require.ErrorIs(t, err, ErrInvalidArgument)
		assert.Zero(t, mt.GetTotalCallCount())
	}
}
