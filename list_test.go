package apig

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	envsURL = instanceURL + "/envs"
	apisURL = instanceURL + "/apis"
)

// listOf is a list of the service, as the IDs of its rows.
type listOf struct {
	url, key, idKey, more string // more: what else a row must have
	ids                   func(*Client, context.Context) iter.Seq2[string, error]
}

var lists = map[string]listOf{
	"Environments": {envsURL, "envs", "id", "", func(c *Client, ctx context.Context) iter.Seq2[string, error] {
		return idsOf(c.Environments(ctx), func(e Environment) string { return e.ID })
	}},
	"APIs": {apisURL, "apis", "id", "", func(c *Client, ctx context.Context) iter.Seq2[string, error] {
		return idsOf(c.APIs(ctx, APIQuery{}), func(a API) string { return a.ID })
	}},
	"Versions": {historyURL, "api_versions", "version_id", `,"env_id":"e"`, func(c *Client, ctx context.Context) iter.Seq2[string, error] {
		return idsOf(c.Versions(ctx, testAPI, ""), func(v Version) string { return v.ID })
	}},
}

func idsOf[T any](seq iter.Seq2[T, error], id func(T) string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for v, err := range seq {
			if !yield(id(v), err) {
				return
			}
		}
	}
}

// collect is all that a sequence yields, until an error.
func collect[T any](seq iter.Seq2[T, error]) (all []T, err error) {
	for v, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

// nIDs are n IDs.
func nIDs(n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprint("id", i))
	}
	return ids
}

// body is a page of the list with these rows, of total in all.
func (l listOf) body(total int, ids ...string) string {
	rows := make([]string, len(ids))
	for i, id := range ids {
		rows[i] = fmt.Sprintf(`{%q:%q%s}`, l.idKey, id, l.more)
	}
	return fmt.Sprintf(`{"total":%d,%q:[%s]}`, total, l.key, strings.Join(rows, ","))
}

// serve answers with the pages of the list that ids returns for the request of this
// number, counted from 1, as the service does. It collects the queries.
func (l listOf) serve(ids func(request int) []string) (httpmock.Responder, *[]string) {
	queries := &[]string{}
	return func(r *http.Request) (*http.Response, error) {
		*queries = append(*queries, r.URL.RawQuery)
		offset, err := strconv.Atoi(r.URL.Query().Get("offset"))
		if err != nil {
			return nil, err
		}
		all := ids(len(*queries))
		page := all[min(offset, len(all)):min(offset+pageLimit, len(all))]
		return httpmock.NewStringResponse(200, l.body(len(all), page...)), nil
	}, queries
}

func always(ids []string) func(int) []string { return func(int) []string { return ids } }

func TestListPages(t *testing.T) {
	for name, list := range lists {
		t.Run(name, func(t *testing.T) {
			c, mt := newTest(t)
			for n, offsets := range map[int][]int{0: {0}, 1: {0}, 500: {0}, 501: {0, 499}, 999: {0, 499}, 1000: {0, 499, 998}, 1100: {0, 499, 998}} {
				answer, queries := list.serve(always(nIDs(n)))
				mt.RegisterResponder(http.MethodGet, list.url, answer)
				seq := list.ids(c, t.Context())
				assert.Empty(t, *queries, "nothing is read before the loop")
				for range 2 { // the sequence can be ranged over again
					*queries = nil
					got, err := collect(seq)
					require.NoError(t, err)
					require.Equal(t, nIDs(n), got)
					var want []string
					for _, offset := range offsets {
						want = append(want, fmt.Sprint("limit=500&offset=", offset))
					}
					assert.Equal(t, want, *queries)
				}
				for range seq {
					break // which a caller may do
				}
			}
		})
	}
}

// A list that changes between two pages neither loses a row that was there all the
// time nor has one twice.
func TestListChangesWhileItIsRead(t *testing.T) {
	for name, change := range map[string]func([]string) []string{
		"one leaves":               func(ids []string) []string { return slices.Delete(ids, 3, 4) },
		"one leaves, one joins":    func(ids []string) []string { return append(slices.Delete(ids, 3, 4), "new") },
		"the last one seen leaves": func(ids []string) []string { return slices.Delete(ids, 499, 500) },
		"half of them leave":       func(ids []string) []string { return ids[:len(ids)/2] },
		"one joins at the front":   func(ids []string) []string { return slices.Insert(ids, 0, "new") },
		"one joins at the end":     func(ids []string) []string { return append(ids, "new") },
		"the last one moves to the front": func(ids []string) []string {
			return slices.Insert(ids[:len(ids)-1], 0, ids[len(ids)-1])
		},
		"the same, and one leaves": func(ids []string) []string {
			return slices.Delete(slices.Insert(ids[:len(ids)-1], 0, ids[len(ids)-1]), 3, 4)
		},
	} {
		for _, n := range []int{501, 750, 1200} {
			t.Run(fmt.Sprint(name, "/", n), func(t *testing.T) {
				c, mt := newTest(t)
				ids := nIDs(n)
				answer, _ := lists["APIs"].serve(func(request int) []string {
					if request == 2 {
						ids = change(ids)
					}
					return ids
				})
				mt.RegisterResponder(http.MethodGet, apisURL, answer)
				got, err := collect(lists["APIs"].ids(c, t.Context()))
				require.NoError(t, err)
				assert.Equal(t, ids, got)
			})
		}
	}
}

// Nothing may be taken for missing because it was not read, and no list is read
// for ever. Each list yields its error alone.
func TestListErrors(t *testing.T) {
	const noList, changing = "the body is a list without a total or without rows (2 attempts)", "unreadable list: it changes while it is read"
	body := func(format string, args ...any) func(listOf) httpmock.Responder {
		return func(l listOf) httpmock.Responder {
			return respondJSON(200, strings.NewReplacer("KEY", l.key, "ID", l.idKey, "MORE", l.more).Replace(fmt.Sprintf(format, args...)))
		}
	}
	row := func(id string) func(listOf) httpmock.Responder {
		return body(`{"total":1,"KEY":[{"ID":"%s"MORE}]}`, id)
	}
	rows := func(total, n int) func(listOf) httpmock.Responder {
		return func(l listOf) httpmock.Responder { return respondJSON(200, l.body(total, nIDs(n)...)) }
	}
	serve := func(ids func(request int) []string) func(listOf) httpmock.Responder {
		return func(l listOf) httpmock.Responder { answer, _ := l.serve(ids); return answer }
	}
	for name, tt := range map[string]struct {
		answer   func(listOf) httpmock.Responder
		text     string
		requests int
		is       error // nil: ErrBadResponse
	}{
		"refused":                       {func(listOf) httpmock.Responder { return respondJSON(403, noPermissionBody) }, "403 Forbidden, APIG.1005: No permissions to request this method", 1, ErrForbidden},
		"failed":                        {func(listOf) httpmock.Responder { return respondJSON(500, systemBody) }, "500 Internal Server Error, APIG.9999: System error (2 attempts)", 2, ErrServer},
		"an empty object":               {body(`{}`), "unreadable response: status 200, " + noList, 2, nil},
		"no rows, not even none":        {body(`{"total":0,"size":0}`), noList, 2, nil},
		"rows under another key":        {body(`{"total":0,"rows":[],"new":{"KEY":[]}}`), noList, 2, nil},
		"short page":                    {rows(3, 2), "the page has 2 rows instead of 3 (2 attempts)", 2, nil},
		"null":                          {body(`{"total":3,"KEY":null}`), "the page has 0 rows instead of 3", 2, nil},
		"rows beyond the total":         {rows(2, 3), "the page has 3 rows instead of 2", 2, nil},
		"more rows than were asked for": {rows(999, 501), "the body is not a list: there are more than 500 rows", 2, nil},
		"the second page is short": {func(l listOf) httpmock.Responder {
			return rows(502, 500)(l).Then(rows(502, 1)(l)).Then(rows(502, 0)(l))
		}, "the page has 0 rows instead of 3 (2 attempts)", 3, nil},
		"the first page again and again": {rows(1999, 500), changing, 8, nil},
		"a list that grows and grows":    {serve(func(request int) []string { return nIDs(600 + request) }), changing, 8, nil},
		"a list that turns and turns":    {serve(func(request int) []string { return slices.Concat(nIDs(600)[request:], nIDs(600)[:request]) }), changing, 8, nil},
		"a total that no gateway has":    {rows(1e9, 500), "the list has 1000000000 rows, at most", 2, nil},
		"a row without an ID":            {body(`{"total":1,"KEY":[{"x":0MORE}]}`), "row 0: it has an invalid ID: an empty one", 2, nil},
		"an ID that changes the path":    {row("../x"), "row 0: it has an invalid ID: ../x", 2, nil},
		"an ID with the token":           {row("a" + testToken), "row 0: it has an invalid ID: aREDACTED", 2, nil},
		"an ID with a line break":        {row(`a\nb`), `row 0: it has an invalid ID: a\nb`, 2, nil},
		"an ID of 10 KB":                 {row(strings.Repeat("a", 10<<10)), "row 0: it has an invalid ID: " + strings.Repeat("a", 64) + "…", 2, nil},
	} {
		for list, l := range lists {
			t.Run(list+"/"+name, func(t *testing.T) {
				c, mt := newTest(t, attempts(2))
				mt.RegisterResponder(http.MethodGet, l.url, tt.answer(l))
				var errs []error
				for id, err := range l.ids(c, t.Context()) {
					require.Empty(t, id)
					errs = append(errs, err)
				}
				require.Len(t, errs, 1)
				require.ErrorIs(t, errs[0], cmp.Or(tt.is, ErrBadResponse))
				assert.NotErrorIs(t, errs[0], ErrOutcomeUnknown, "reading changes nothing")
				assert.Contains(t, errs[0].Error(), tt.text)
				assertPrintable(t, errs[0].Error())
				assert.Equal(t, tt.requests, mt.GetTotalCallCount())
			})
		}
	}
}

// Nothing but a list is a list.
func TestListBodies(t *testing.T) {
	answers := map[string]httpmock.Responder{
		"another status": respondJSON(206, `{"total":0,"apis":[]}`),
		"accepted":       respondJSON(202, `{"total":0,"apis":[]}`),
		"no content":     respond(204, ""),
		"from a cache":   respondJSON(200, `{"total":0,"apis":[]}`, "Age", "0"),
	}
	for name, body := range map[string]string{
		"nothing":              ``,
		"null":                 `null`,
		"array":                `[]`,
		"HTML":                 `<html></html>`,
		"null total":           `{"total":null,"apis":[]}`,
		"total of a text":      `{"total":"0","apis":[]}`,
		"negative total":       `{"total":-1,"apis":[]}`,
		"total of a fraction":  `{"total":0.5,"apis":[]}`,
		"two totals":           `{"total":0,"total":0,"apis":[]}`,
		"rows twice":           `{"total":0,"apis":[],"apis":[]}`,
		"a name of a number":   `{"total":0,"apis":[],5:0}`,
		"a comma too many":     `{"total":0,"apis":[],}`,
		"a comma in the rows":  `{"total":1,"apis":[{"id":"a"},]}`,
		"no comma":             `{"total":0 "apis":[]}`,
		"no colon":             `{"total" 0,"apis":[]}`,
		"no value":             `{"total":,"apis":[]}`,
		"junk in a field":      `{"total":0,"apis":[],"x":{"a":[1}]}`,
		"junk in a row":        `{"total":1,"apis":[{"id":"a",}]}`,
		"a total in capitals":  `{"TOTAL":0,"apis":[]}`,
		"rows of an object":    `{"total":1,"apis":{}}`,
		"row of a number":      `{"total":1,"apis":[5]}`,
		"row of null":          `{"total":1,"apis":[null]}`,
		"rows without an end":  `{"total":1,"apis":[{"id":"a"}}`,
		"cut":                  `{"total":1,"apis":[{"id":"a"}]`,
		"cut in a key":         `{"total":1,"ap`,
		"something follows":    `{"total":0,"apis":[]}{}`,
		"a bracket follows":    `{"total":0,"apis":[]}]`,
		"an error":             noAPIBody,
		"201 environments":     `{"total":1,"apis":[{"id":"a","run_env_id":"` + strings.Repeat("|", 200) + `"}]}`,
		"deeper than JSON may": `{"total":0,"apis":[],"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`,
	} {
		answers[name] = respondJSON(200, body)
	}
	for name, answer := range answers {
		c, mt := newTest(t, attempts(1))
		mt.RegisterResponder(http.MethodGet, apisURL, answer)
		got, err := collect(c.APIs(t.Context(), APIQuery{}))
		require.ErrorIs(t, err, ErrBadResponse, name)
		assert.Empty(t, got)
		assert.Less(t, len(err.Error()), 400)
		assertPrintable(t, err.Error())
	}
}

func TestListEmpty(t *testing.T) {
	for name, format := range map[string]string{
		"empty": `{"total":0,"size":0,%q:[]}`, "null": `{%[1]q:null,"total":0}`,
		"of the future": `{"new":{"total":5,%[1]q:[{}]},"total":0,%[1]q:[]}`, "with blanks around": " \n{\"total\" : 0 , %q : [ ] }\r\n ",
	} {
		for list, l := range lists {
			t.Run(list+"/"+name, func(t *testing.T) {
				c, mt := newTest(t)
				mt.RegisterResponder(http.MethodGet, l.url, respondJSON(200, fmt.Sprintf(format, l.key)))
				got, err := collect(l.ids(c, t.Context()))
				require.NoError(t, err)
				assert.Empty(t, got)
				assert.Equal(t, 1, mt.GetTotalCallCount())
			})
		}
	}
}

// A page that fails for the moment is read again, and only that page.
func TestListPageIsReadAgain(t *testing.T) {
	list := lists["APIs"]
	for name, failure := range map[string]httpmock.Responder{
		"no answer":      httpmock.NewErrorResponder(errors.New("connection reset")),
		"HTML":           respond(502, "<html></html>"),
		"throttled":      respond(429, ""),
		"short page":     respondJSON(200, list.body(502)),
		"wrong last row": respondJSON(200, list.body(502, "id499", "x", "")),
		"not a list":     respondJSON(200, "{}"),
	} {
		t.Run(name, func(t *testing.T) {
			c, mt := newTest(t)
			answer, queries := list.serve(always(nIDs(502)))
			mt.RegisterResponder(http.MethodGet, apisURL, answer.Then(failure).Then(answer))
			got, err := collect(list.ids(c, t.Context()))
			require.NoError(t, err)
			assert.Equal(t, nIDs(502), got)
			assert.Equal(t, []string{"limit=500&offset=0", "limit=500&offset=499"}, *queries)
			assert.Equal(t, 3, mt.GetTotalCallCount())
		})
	}
}

func FuzzList(f *testing.F) {
	for _, body := range []string{
		"", "null", "{}", "[]", historyBody, envsBody, historyBody[:200], `{"total":0}`, `{"total":1,"api_versions":[{}]}`,
		`{"total":2,"api_versions":[{"version_id":"a","env_id":"e"},{"version_id":"` + testToken + `","env_id":"e"}]}`,
		`{"api_versions":null,"total":0,"total":1}`, `{"total":1,"api_versions":[null]}`, `{"total":0,"api_versions":[],"x":{"a":[1,{"b":"\ud800"}]}}`,
		`{"total":1,"api_versions":[{"version_id":"a","env_id":"../x"}]}`, `{"total":1,"api_versions":[{"version_id":"a\nb"}]} `,
	} {
		f.Add(200, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		l := list{key: "api_versions", most: 2000}
		var all []Version
		p, err := l.decode(someAnswer(status, body, http.Header{}), 0, rowsInto(&all, func(_ *answer, v *Version) (string, error) { return v.ID, nil }))
		if err != nil {
			assertPrintable(t, err.Error())
			if strings.Contains(err.Error(), testToken) {
				t.Errorf("the token is in %q", err)
			}
			return
		}
		want := struct {
			Total    int       `json:"total"`
			Versions []Version `json:"api_versions"`
		}{}
		if err := json.Unmarshal(body, &want); err != nil && !errors.As(err, new(*json.UnmarshalTypeError)) || status != 200 ||
			len(all) != p.rows || p.rows != min(pageLimit, p.total) || p.total > l.most {
			t.Errorf("%d, %v, %d of %d rows, of %q", status, err, p.rows, p.total, body)
		}
		for _, v := range all {
			if v.ID == "" || strings.ContainsAny(v.ID, "/\n") || strings.Contains(v.ID, testToken) {
				t.Errorf("the ID %q", v.ID)
			}
		}
	})
}
