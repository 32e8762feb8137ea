package apig

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
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

// queriesTo collects the queries of the requests that it answers.
func queriesTo(queries *[]url.Values, answer httpmock.Responder) httpmock.Responder {
	return func(r *http.Request) (*http.Response, error) {
		*queries = append(*queries, r.URL.Query())
		return answer(r)
	}
}

// paged is a query of the first page.
func paged(query url.Values) url.Values {
	query.Set("offset", "0")
	query.Set("limit", "500")
	return query
}

func TestEnvironments(t *testing.T) {
	c, mt := newTest(t)
	var queries []url.Values
	mt.RegisterResponder(http.MethodGet, envsURL, queriesTo(&queries, respondJSON(200, envsBody)))
	dev := Environment{
		ID: "7a1ad0c350844ee69435ab297c1e6d18", Name: "DEV",
	}
	got, err := collect(c.Environments(t.Context()))
	require.NoError(t, err)
	assert.Equal(t, []Environment{dev, {ID: EnvRelease, Name: "RELEASE"}}, got)

	assert.Equal(t, []url.Values{paged(url.Values{})}, queries)
}

func TestAPIs(t *testing.T) {
	c, mt := newTest(t)
	mt.RegisterResponder(http.MethodGet, apisURL, respondJSON(200, `{"total":1,"size":1,"apis":[{
		"id":"5f918d104dc84480a75166ba99efff21","name":"Api_http","group_id":"c77f5e81d9cb4424bf704ef2b0ac7600",
		"group_name":"api_group_001","req_protocol":"HTTPS","req_method":"GET","req_uri":"/test/http","auth_type":"AUTHORIZER",
		"remark":"for the shop","type":1,"status":1,"match_mode":"NORMAL","backend_type":"HTTP","tags":["a"],"run_env_id":"e1"}]}`))
	got, err := collect(c.APIs(t.Context(), APIQuery{}))
	require.NoError(t, err)
	assert.Equal(t, []API{{
		ID: testAPI, Name: "Api_http", GroupID: "c77f5e81d9cb4424bf704ef2b0ac7600", GroupName: "api_group_001",
		Method: "GET", Path: "/test/http", Environments: []Environment{{ID: "e1"}},
	}}, got)
}

func TestAPIQuery(t *testing.T) {
	for query, want := range map[APIQuery]url.Values{
		{}:                                    {},
		{Name: "a b&c"}:                       {"name": {"a b&c"}, "precise_search": {"name"}},
		{GroupID: "g&h"}:                      {"group_id": {"g&h"}},
		{EnvID: "e=f"}:                        {"env_id": {"e=f"}},
		{Name: "n", GroupID: "g", EnvID: "e"}: {"name": {"n"}, "precise_search": {"name"}, "group_id": {"g"}, "env_id": {"e"}},
	} {
		c, mt := newTest(t)
		var queries []url.Values
		mt.RegisterResponder(http.MethodGet, apisURL, queriesTo(&queries, respondJSON(200, `{"total":0,"apis":[]}`)))
		_, err := collect(c.APIs(t.Context(), query))
		require.NoError(t, err)
		assert.Equal(t, []url.Values{paged(want)}, queries)
	}
	c, mt := newTest(t)
	_, err := collect(c.APIs(t.Context(), APIQuery{GroupID: "a/b", EnvID: ".."}))
	require.EqualError(t, err, `apig: invalid argument: GroupID "a/b" is not an ID; EnvID ".." is not an ID`)
	assert.Zero(t, mt.GetTotalCallCount())
}

// All IDs of an API are checked, not its own alone.
func TestIDsOfAnAPI(t *testing.T) {
	for row, bad := range map[string]string{
		`"group_id":"","run_env_id":"e1|"`: "",
		`"group_id":"../x"`:                "../x",
		`"run_env_id":"e1|../x"`:           "../x",
		`"group_id":"` + testToken + `"`:   "REDACTED",
		`"run_env_id":"a\u202eb"`:          `a\u202eb`,
	} {
		c, mt := newTest(t, attempts(1))
		mt.RegisterResponder(http.MethodGet, apisURL, respondJSON(200, `{"total":1,"apis":[{"id":"a",`+row+`}]}`))
		_, err := collect(c.APIs(t.Context(), APIQuery{}))
		if bad == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, "row 0: it has an invalid ID: "+bad, row)
	}
}

// byName are the two look-ups.
var byName = map[string]struct {
	url, key string
	find     func(*Client, context.Context, string) (id string, err error)
	query    func(name string) url.Values
}{
	"EnvironmentByName": {envsURL, "envs", func(c *Client, ctx context.Context, name string) (string, error) {
		e, err := c.EnvironmentByName(ctx, name)
		if e == nil {
			return "", err
		}
		return e.ID, err
	}, func(string) url.Values { return url.Values{} }},
	"APIByName": {apisURL, "apis", func(c *Client, ctx context.Context, name string) (string, error) {
		a, err := c.APIByName(ctx, name)
		if a == nil {
			return "", err
		}
		return a.ID, err
	}, func(name string) url.Values { return url.Values{"name": {name}, "precise_search": {"name"}} }},
}

func TestByName(t *testing.T) {
	row := func(id, name string) string { return fmt.Sprintf(`{"id":%q,"name":%q}`, id, name) }
	const none = `none is named "orders"`
	tests := map[string]struct {
		name     string
		rows     []string
		want     string
		sentinel error
		text     string
	}{
		"none":                  {"orders", nil, "", ErrNotFound, none},
		"one":                   {"orders", []string{row("a", "orders")}, "a", nil, ""},
		"several":               {"orders", []string{row("a", "orders"), row("b", "orders")}, "", ErrAmbiguous, `several are named "orders"`},
		"a part only":           {"orders", []string{row("a", "orders2"), row("b", "my-orders")}, "", ErrNotFound, none},
		"a part, and the name":  {"orders", []string{row("a", "orders2"), row("b", "orders"), row("c", "orders3")}, "b", nil, ""},
		"another case":          {"orders", []string{row("a", "Orders"), row("b", "ORDERS")}, "", ErrNotFound, none},
		"special characters":    {`a b&c=d+e%2f#?/"发`, []string{row("a", `a b&c=d+e%2f#?/"发`)}, "a", nil, ""},
		"none of a strange one": {"a\nb", nil, "", ErrNotFound, `none is named "a\nb"`},
	}
	for op, lookup := range byName {
		for name, tt := range tests {
			t.Run(op+"/"+name, func(t *testing.T) {
				c, mt := newTest(t)
				var queries []url.Values
				mt.RegisterResponder(http.MethodGet, lookup.url, queriesTo(&queries, respondJSON(200,
					fmt.Sprintf(`{"total":%d,%q:[%s]}`, len(tt.rows), lookup.key, strings.Join(tt.rows, ",")))))
				got, err := lookup.find(c, t.Context(), tt.name)
				assert.Equal(t, []url.Values{paged(lookup.query(tt.name))}, queries)
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
		t.Run(op+"/empty", func(t *testing.T) {
			c, mt := newTest(t)
			_, err := lookup.find(c, t.Context(), "")
			require.EqualError(t, err, "apig: invalid argument: Name is empty")
			require.ErrorIs(t, err, ErrInvalidArgument)
			assert.Zero(t, mt.GetTotalCallCount())
		})
		t.Run(op+"/on the last page", func(t *testing.T) { // the first one found is not good enough
			c, mt := newTest(t)
			for last, want := range map[string]error{"orders": ErrAmbiguous, "z": nil} {
				rows := []string{row("id0", "orders")}
				for i := range 499 {
					rows = append(rows, row(fmt.Sprint("id", i+1), "x"))
				}
				rows = append(rows, row("last", last))
				mt.RegisterResponder(http.MethodGet, lookup.url, func(r *http.Request) (*http.Response, error) {
					page := rows[:500]
					if r.URL.Query().Get("offset") != "0" {
						page = rows[499:]
					}
					return httpmock.NewStringResponse(200, fmt.Sprintf(`{"total":501,%q:[%s]}`, lookup.key, strings.Join(page, ","))), nil
				})
				_, err := lookup.find(c, t.Context(), last)
				require.ErrorIs(t, err, want)
			}
		})
	}
}

// What the gateway makes of the queries.
func TestLookupOfAGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		orders2, twice, group := s.AddAPI("orders2"), s.AddAPI("twice"), s.AddGroup("shop")
		other, strange := s.AddAPIIn(group, "twice"), s.AddAPI("a b&c+d")
		dev := s.AddEnvironment("DEV")
		s.AddEnvironment("DEV2")
		for _, at := range [][2]string{{s.api, EnvRelease}, {s.api, dev}, {other, dev}} {
			_, err := s.Gateway.Publish(at[0], at[1], "")
			require.NoError(t, err)
			time.Sleep(time.Minute)
		}
		for name, want := range map[string]string{"orders": s.api, "orders2": orders2, "a b&c+d": strange} {
			got, err := s.APIByName(t.Context(), name)
			require.NoError(t, err)
			assert.Equal(t, want+" "+name, got.ID+" "+got.Name)
		}
		_, err := s.APIByName(t.Context(), "twice")
		require.ErrorIs(t, err, ErrAmbiguous)
		_, err = s.APIByName(t.Context(), "order")
		require.ErrorIs(t, err, ErrNotFound)
		for name, want := range map[string]string{"DEV": dev, "RELEASE": EnvRelease} {
			env, err := s.EnvironmentByName(t.Context(), name)
			require.NoError(t, err)
			assert.Equal(t, want, env.ID)
		}
		_, err = s.EnvironmentByName(t.Context(), "DE")
		require.ErrorIs(t, err, ErrNotFound)

		for q, want := range map[APIQuery][]string{
			{}:                          {s.api, orders2, twice, other, strange},
			{GroupID: group}:            {other},
			{EnvID: dev}:                {s.api, other},
			{Name: "twice", EnvID: dev}: {other},
		} {
			got, err := collect(idsOf(s.APIs(t.Context(), q), func(a API) string { return a.ID }))
			require.NoError(t, err)
			assert.Equal(t, want, got, "%+v", q)
		}
		got, err := s.APIByName(t.Context(), "orders")
		require.NoError(t, err)
		assert.Equal(t, []Environment{{dev, "DEV"}, {EnvRelease, "RELEASE"}}, got.Environments, "the newest first")
	})
}
