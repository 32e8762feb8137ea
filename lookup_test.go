package apig

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

const (
	envsURL = instanceURL + "/envs"
	apisURL = instanceURL + "/apis"

	// As documented.
	envsBody = `{
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
)

// recordQueries collects the queries of the requests that it answers.
func recordQueries(queries *[]url.Values, answer httpmock.Responder) httpmock.Responder {
	return func(r *http.Request) (*http.Response, error) {
		*queries = append(*queries, r.URL.Query())
		return answer(r)
	}
}

func TestEnvironments(t *testing.T) {
	t.Parallel()
	c, mt := newTest(t)
	var queries []url.Values
	mt.RegisterResponder(http.MethodGet, envsURL, recordQueries(&queries, respondJSON(200, envsBody)))
	dev := Environment{
		ID: "7a1ad0c350844ee69435ab297c1e6d18", Name: "DEV", Remark: "Development environment",
		CreateTime: time.Date(2020, 7, 31, 6, 57, 8, 0, time.UTC),
	}
	release := Environment{ID: EnvRelease, Name: "RELEASE"}

	got, err := collect(c.Environments(context.Background(), EnvironmentQuery{}))
	require.NoError(t, err)
	assert.Equal(t, []Environment{dev, release}, got)

	// The service may take a name for a part of one.
	got, err = collect(c.Environments(context.Background(), EnvironmentQuery{Name: "DEV"}))
	require.NoError(t, err)
	assert.Equal(t, []Environment{dev}, got)

	assert.Equal(t, []url.Values{
		{"offset": {"0"}, "limit": {"500"}},
		{"offset": {"0"}, "limit": {"500"}, "name": {"DEV"}},
	}, queries)
}

func TestEnvironmentTime(t *testing.T) {
	t.Parallel()
	c, mt := newTest(t)
	mt.RegisterResponder(http.MethodGet, envsURL, respondJSON(200,
		`{"total":3,"envs":[{"id":"a","create_time":"yesterday"},{"id":"b","create_time":5},{"id":"c"}]}`))
	got, err := collect(c.Environments(context.Background(), EnvironmentQuery{}))
	require.NoError(t, err)
	assert.Equal(t, []Environment{{ID: "a"}, {ID: "b"}, {ID: "c"}}, got)
}

// Lists behave as Versions does.
func TestListsOfPages(t *testing.T) {
	t.Parallel()
	lists := map[string]struct {
		url, key string
		ids      func(*Client, context.Context) func(func(string, error) bool)
	}{
		"Environments": {envsURL, "envs", func(c *Client, ctx context.Context) func(func(string, error) bool) {
			return idsOf(c.Environments(ctx, EnvironmentQuery{}), func(e Environment) string { return e.ID })
		}},
		"APIs": {apisURL, "apis", func(c *Client, ctx context.Context) func(func(string, error) bool) {
			return idsOf(c.APIs(ctx, APIQuery{}), func(a API) string { return a.ID })
		}},
	}
	for name, list := range lists {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			answer, queries := pages(list.key, 5, 2, func(i int) string { return fmt.Sprintf(`{"id":"%d"}`, i) })
			mt.RegisterResponder(http.MethodGet, list.url, answer)
			seq := list.ids(c, context.Background())
			for range 2 {
				*queries = nil
				got, err := collect(seq)
				require.NoError(t, err)
				assert.Equal(t, []string{"0", "1", "2", "3", "4"}, got)
				assert.Equal(t, []string{"limit=500&offset=0", "limit=500&offset=2", "limit=500&offset=4"}, *queries)
			}
			*queries = nil
			for range seq {
				break
			}
			assert.Len(t, *queries, 1)

			mt.RegisterResponder(http.MethodGet, list.url, answer.Then(respondJSON(403, noPermissionBody)))
			var got []string
			var errs []error
			for id, err := range seq {
				if err != nil {
					errs = append(errs, err)
					continue
				}
				got = append(got, id)
			}
			assert.Equal(t, []string{"0", "1"}, got)
			require.Len(t, errs, 1)
			assert.EqualError(t, errs[0], "apig: "+name+": 403 Forbidden, APIG.1005: No permissions to request this method")
			require.ErrorIs(t, errs[0], ErrForbidden)

			mt.RegisterResponder(http.MethodGet, list.url, respondJSON(200, "{}"))
			_, err := collect(seq)
			require.ErrorIs(t, err, ErrBadResponse, "not an empty list")
		})
	}
}

func idsOf[T any](seq func(func(T, error) bool), id func(T) string) func(func(string, error) bool) {
	return func(yield func(string, error) bool) {
		for v, err := range seq {
			if !yield(id(v), err) {
				return
			}
		}
	}
}

// apiRow is an API in a list with what belongs to its publications.
func apiRow(parts string) string { return `{"id":"a","name":"orders"` + parts + `}` }

func TestAPIs(t *testing.T) {
	t.Parallel()
	at := time.Date(2020, 8, 3, 1, 36, 0, 0, time.UTC)
	tests := map[string]struct {
		parts string
		want  []Publication
	}{
		"not published":                 {"", nil},
		"not published, says the empty": {`,"run_env_id":"","run_env_name":"","publish_id":"","publish_time":""`, nil},
		"not published, says null":      {`,"run_env_id":null,"run_env_name":null,"publish_id":null,"publish_time":null`, nil},
		"in one environment": {
			`,"run_env_id":"e1","run_env_name":"RELEASE","publish_id":"p1","publish_time":"2020-08-03T01:36:00Z"`,
			[]Publication{{"e1", "RELEASE", "p1", at}},
		},
		"in three": {
			`,"run_env_id":"e3|e1|e2","run_env_name":"C|A|B","publish_id":"p3|p1|p2",
				"publish_time":"2020-08-03T01:36:02Z|2020-08-03T01:36:01Z|2020-08-03T01:36:00Z"`,
			[]Publication{{"e3", "C", "p3", at.Add(2 * time.Second)}, {"e1", "A", "p1", at.Add(time.Second)}, {"e2", "B", "p2", at}},
		},
		"parts are missing": {
			`,"run_env_id":"e1|e2|e3","run_env_name":"A","publish_id":"p1|p2","publish_time":"2020-08-03T01:36:00Z|2020-08-03T01:36:00Z"`,
			[]Publication{{"e1", "A", "p1", at}, {"e2", "", "p2", at}, {"e3", "", "", time.Time{}}},
		},
		"a list is missing": {
			`,"run_env_id":"e1|e2","publish_id":"p1|p2"`,
			[]Publication{{EnvID: "e1", PublishID: "p1"}, {EnvID: "e2", PublishID: "p2"}},
		},
		"parts are empty": {
			`,"run_env_id":"e1|e2","run_env_name":"|B","publish_id":"p1|","publish_time":"|2020-08-03T01:36:00Z"`,
			[]Publication{{"e1", "", "p1", time.Time{}}, {"e2", "B", "", at}},
		},
		"too many names": {
			`,"run_env_id":"e1","run_env_name":"A|B","publish_id":"p1|p2","publish_time":"2020-08-03T01:36:00Z|2020-08-03T01:36:00Z"`,
			[]Publication{{"e1", "A", "p1", at}},
		},
		"a time that cannot be read": {
			`,"run_env_id":"e1|e2","publish_time":"now|2020-08-03T01:36:00Z"`,
			[]Publication{{EnvID: "e1"}, {EnvID: "e2", PublishTime: at}},
		},
		"of wrong types": {
			`,"run_env_id":"e1","run_env_name":5,"publish_id":["p1"],"publish_time":{}`, []Publication{{EnvID: "e1"}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			mt.RegisterResponder(http.MethodGet, apisURL, respondJSON(200, `{"total":1,"apis":[`+apiRow(tt.parts)+`]}`))
			got, err := collect(c.APIs(context.Background(), APIQuery{}))
			require.NoError(t, err)
			assert.Equal(t, []API{{ID: "a", Name: "orders", Publications: tt.want}}, got)
		})
	}
}

func TestAPIFields(t *testing.T) {
	t.Parallel()
	c, mt := newTest(t)
	mt.RegisterResponder(http.MethodGet, apisURL, respondJSON(200, `{"total":1,"size":1,"apis":[{
		"id":"5f918d104dc84480a75166ba99efff21","name":"Api_http","group_id":"c77f5e81d9cb4424bf704ef2b0ac7600",
		"group_name":"api_group_001","req_protocol":"HTTPS","req_method":"GET","req_uri":"/test/http","auth_type":"AUTHORIZER",
		"remark":"for the shop","type":1,"status":1,"match_mode":"NORMAL","backend_type":"HTTP","tags":["a"]}]}`))
	got, err := collect(c.APIs(context.Background(), APIQuery{}))
	require.NoError(t, err)
	assert.Equal(t, []API{{
		ID: testAPI, Name: "Api_http", GroupID: "c77f5e81d9cb4424bf704ef2b0ac7600", GroupName: "api_group_001",
		Protocol: "HTTPS", Method: "GET", Path: "/test/http", AuthType: "AUTHORIZER", Remark: "for the shop",
	}}, got)
}

func TestAPIQuery(t *testing.T) {
	t.Parallel()
	paged := func(more url.Values) url.Values {
		more.Set("offset", "0")
		more.Set("limit", "500")
		return more
	}
	tests := map[string]struct {
		query APIQuery
		want  url.Values
	}{
		"all":            {APIQuery{}, url.Values{}},
		"by name":        {APIQuery{Name: "orders"}, url.Values{"name": {"orders"}, "precise_search": {"name"}}},
		"by group":       {APIQuery{GroupID: "g"}, url.Values{"group_id": {"g"}}},
		"by environment": {APIQuery{EnvID: "e"}, url.Values{"env_id": {"e"}}},
		"by everything": {
			APIQuery{Name: "a b", GroupID: "g&h", EnvID: "e=f"},
			url.Values{"name": {"a b"}, "precise_search": {"name"}, "group_id": {"g&h"}, "env_id": {"e=f"}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			var queries []url.Values
			mt.RegisterResponder(http.MethodGet, apisURL, recordQueries(&queries, respondJSON(200, `{"total":0,"apis":[]}`)))
			_, err := collect(c.APIs(context.Background(), tt.query))
			require.NoError(t, err)
			assert.Equal(t, []url.Values{paged(tt.want)}, queries)
		})
	}
}

// byName are the two look-ups.
var byName = map[string]struct {
	url, key string
	find     func(*Client, context.Context, string) (id string, err error)
	query    url.Values
}{
	"EnvironmentByName": {envsURL, "envs", func(c *Client, ctx context.Context, name string) (string, error) {
		e, err := c.EnvironmentByName(ctx, name)
		if e == nil {
			return "", err
		}
		return e.ID, err
	}, url.Values{"offset": {"0"}, "limit": {"500"}}},
	"APIByName": {apisURL, "apis", func(c *Client, ctx context.Context, name string) (string, error) {
		a, err := c.APIByName(ctx, name)
		if a == nil {
			return "", err
		}
		return a.ID, err
	}, url.Values{"offset": {"0"}, "limit": {"500"}, "precise_search": {"name"}}},
}

func TestByName(t *testing.T) {
	t.Parallel()
	row := func(id, name string) string { return fmt.Sprintf(`{"id":%q,"name":%q}`, id, name) }
	tests := map[string]struct {
		name     string
		rows     []string
		want     string
		sentinel error
		text     string
	}{
		"none":                 {name: "orders", sentinel: ErrNotFound, text: `not found: none is named "orders"`},
		"one":                  {name: "orders", rows: []string{row("a", "orders")}, want: "a"},
		"several":              {name: "orders", rows: []string{row("a", "orders"), row("b", "orders")}, sentinel: ErrAmbiguous, text: `ambiguous name: several are named "orders"`},
		"a part only":          {name: "orders", rows: []string{row("a", "orders2"), row("b", "my-orders")}, sentinel: ErrNotFound, text: `not found: none is named "orders"`},
		"a part, and the name": {name: "orders", rows: []string{row("a", "orders2"), row("b", "orders"), row("c", "orders3")}, want: "b"},
		"another case":         {name: "orders", rows: []string{row("a", "Orders"), row("b", "ORDERS")}, sentinel: ErrNotFound, text: `not found: none is named "orders"`},
		"special characters":   {name: `a b&c=d+e%2f#?/"发`, rows: []string{row("a", `a b&c=d+e%2f#?/"发`)}, want: "a"},
		"none of a strange one": {
			name: "a\nb", sentinel: ErrNotFound, text: `not found: none is named "a\nb"`,
		},
	}
	for op, lookup := range byName {
		for name, tt := range tests {
			t.Run(op+"/"+name, func(t *testing.T) {
				t.Parallel()
				c, mt := newTest(t)
				var queries []url.Values
				mt.RegisterResponder(http.MethodGet, lookup.url, recordQueries(&queries, respondJSON(200,
					fmt.Sprintf(`{"total":%d,%q:[%s]}`, len(tt.rows), lookup.key, strings.Join(tt.rows, ",")))))
				got, err := lookup.find(c, context.Background(), tt.name)
				want := url.Values{"name": {tt.name}}
				for key, values := range lookup.query {
					want[key] = values
				}
				assert.Equal(t, []url.Values{want}, queries)
				assert.Equal(t, tt.want, got)
				if tt.sentinel == nil {
					require.NoError(t, err)
					return
				}
				require.EqualError(t, err, "apig: "+op+": "+tt.text)
				for _, s := range []error{ErrNotFound, ErrAmbiguous, ErrNotPublished, ErrInvalidArgument, ErrOutcomeUnknown} {
					assert.Equal(t, s == tt.sentinel, errors.Is(err, s), s)
				}
			})
		}
		t.Run(op+"/empty", func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			got, err := lookup.find(c, context.Background(), "")
			require.EqualError(t, err, "apig: invalid argument: Name is empty")
			require.ErrorIs(t, err, ErrInvalidArgument)
			assert.Empty(t, got)
			assert.Zero(t, mt.GetTotalCallCount())
		})
		t.Run(op+"/refused", func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			mt.RegisterResponder(http.MethodGet, lookup.url, respondJSON(403, noPermissionBody))
			got, err := lookup.find(c, context.Background(), "orders")
			require.ErrorIs(t, err, ErrForbidden)
			assert.NotErrorIs(t, err, ErrNotFound)
			assert.Empty(t, got)
		})
		t.Run(op+"/on the last page", func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			answer, queries := pages(lookup.key, 5, 2, func(i int) string {
				return row(fmt.Sprint("id", i), []string{"x", "orders", "y", "z", "orders"}[i])
			})
			mt.RegisterResponder(http.MethodGet, lookup.url, answer)
			_, err := lookup.find(c, context.Background(), "orders")
			require.ErrorIs(t, err, ErrAmbiguous, "the first is not good enough")
			got, err := lookup.find(c, context.Background(), "z")
			require.NoError(t, err)
			assert.Equal(t, "id3", got)
			assert.Len(t, *queries, 6)
		})
	}
}

// What the gateway makes of the queries.
func TestLookupOfAGateway(t *testing.T) {
	t.Parallel()
	s := newSite(t, 0)
	ctx := context.Background()
	orders := s.AddAPI("orders")
	orders2 := s.AddAPI("orders2")
	twice := s.AddAPI("twice")
	groupID := s.AddGroup("shop")
	other := s.AddAPIIn(groupID, "twice")
	strange := s.AddAPI("a b&c+d")
	dev := s.AddEnvironment("DEV")
	s.AddEnvironment("DEV2")
	for _, at := range []struct{ api, env string }{{orders, EnvRelease}, {orders, dev}, {other, dev}} {
		_, err := s.Publish(at.api, at.env, "")
		require.NoError(t, err)
	}

	for name, want := range map[string]string{"orders": orders, "orders2": orders2, "a b&c+d": strange} {
		got, err := s.client.APIByName(ctx, name)
		require.NoError(t, err)
		assert.Equal(t, want, got.ID)
		assert.Equal(t, name, got.Name)
	}
	_, err := s.client.APIByName(ctx, "twice")
	require.ErrorIs(t, err, ErrAmbiguous)
	_, err = s.client.APIByName(ctx, "order")
	require.ErrorIs(t, err, ErrNotFound)

	env, err := s.client.EnvironmentByName(ctx, "DEV")
	require.NoError(t, err)
	assert.Equal(t, dev, env.ID)
	release, err := s.client.EnvironmentByName(ctx, "RELEASE")
	require.NoError(t, err)
	assert.Equal(t, EnvRelease, release.ID)
	_, err = s.client.EnvironmentByName(ctx, "DE")
	require.ErrorIs(t, err, ErrNotFound)

	list := func(q APIQuery) []string {
		got, err := collect(idsOf(s.client.APIs(ctx, q), func(a API) string { return a.ID }))
		require.NoError(t, err)
		return got
	}
	assert.Equal(t, []string{orders, orders2, twice, other, strange}, list(APIQuery{}))
	assert.Equal(t, []string{other}, list(APIQuery{GroupID: groupID}))
	assert.Equal(t, []string{orders, other}, list(APIQuery{EnvID: dev}))
	assert.Equal(t, []string{other}, list(APIQuery{Name: "twice", EnvID: dev}))

	got, err := s.client.APIByName(ctx, "orders")
	require.NoError(t, err)
	inDev, _ := s.Published(orders, dev)
	inRelease, _ := s.Published(orders, EnvRelease)
	assert.Equal(t, []Publication{
		{dev, "DEV", inDev.PublishID, inDev.Time.Truncate(time.Second)},
		{EnvRelease, "RELEASE", inRelease.PublishID, inRelease.Time.Truncate(time.Second)},
	}, got.Publications, "newest first")
}

// More APIs than fit in one page of the service.
func TestAPIsOfThousands(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1234)
	got, err := collect(idsOf(s.client.APIs(context.Background(), APIQuery{}), func(a API) string { return a.ID }))
	require.NoError(t, err)
	assert.True(t, slices.Equal(s.apis, got))
	assert.Equal(t, 3, s.count(apigtest.OpAPIs))
}
