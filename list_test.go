package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

const (
	envsURL = instanceURL + "/envs"
	apisURL = instanceURL + "/apis"
)

// lists are the lists of the service, as the IDs of their rows.
var lists = map[string]struct {
	url, key, idKey string
	ids             func(*Client, context.Context) iter.Seq2[string, error]
}{
	"Environments": {envsURL, "envs", "id", func(c *Client, ctx context.Context) iter.Seq2[string, error] {
		return idsOf(c.Environments(ctx, EnvironmentQuery{}), func(e Environment) string { return e.ID })
	}},
	"APIs": {apisURL, "apis", "id", func(c *Client, ctx context.Context) iter.Seq2[string, error] {
		return idsOf(c.APIs(ctx, APIQuery{}), func(a API) string { return a.ID })
	}},
	"Versions": {historyURL, "api_versions", "version_id", func(c *Client, ctx context.Context) iter.Seq2[string, error] {
		return idsOf(c.Versions(ctx, VersionQuery{APIID: testAPI}), func(v Version) string { return v.ID })
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

// rowsOf writes rows with nothing but an ID: the first one's number and how many.
func rowsOf(idKey string, first, n int) string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{%q:"id%d"}`, idKey, first+i)
	}
	return strings.Join(rows, ",")
}

// pagesOf answers a list with n rows as the service does, and collects the
// queries. change, if not nil, gives the total and the row that a page begins
// with in place of the true ones.
func pagesOf(key, idKey string, n int, change func(offset int) (total, first int)) (httpmock.Responder, *[]string) {
	queries := &[]string{}
	return func(r *http.Request) (*http.Response, error) {
		*queries = append(*queries, r.URL.RawQuery)
		offset, err := strconv.Atoi(r.URL.Query().Get("offset"))
		if err != nil {
			return nil, err
		}
		total, first := n, offset
		if change != nil {
			total, first = change(offset)
		}
		rows := rowsOf(idKey, first, max(0, min(pageLimit, total-offset)))
		return httpmock.NewStringResponse(200, fmt.Sprintf(`{"total":%d,%q:[%s]}`, total, key, rows)), nil
	}, queries
}

func TestListPages(t *testing.T) {
	for name, list := range lists {
		t.Run(name, func(t *testing.T) {
			c, mt := newTest(t)
			answer, queries := pagesOf(list.key, list.idKey, 1100, nil)
			mt.RegisterResponder(http.MethodGet, list.url, answer)
			seq := list.ids(c, t.Context())
			assert.Empty(t, *queries, "nothing is read before the loop")
			for range 2 { // the sequence can be ranged over again
				*queries = nil
				got, err := collect(seq)
				require.NoError(t, err)
				require.Len(t, got, 1100)
				assert.Equal(t, "id0 id1099", got[0]+" "+got[1099])
				assert.Equal(t, []string{"limit=500&offset=0", "limit=500&offset=500", "limit=500&offset=1000"}, *queries)
			}
			if name == "Versions" {
				return // which are sorted, so all of them are read first
			}
			*queries = nil
			for id, err := range seq {
				require.NoError(t, err)
				if id == "id500" {
					break
				}
			}
			assert.Len(t, *queries, 2, "who leaves the loop needs no more pages")
		})
	}
}

// Nothing may be taken for missing because it was not read, and no list is read
// for ever. An error is the last that a sequence yields, whether or not the loop
// goes on.
func TestListErrors(t *testing.T) {
	const unreadable = "unreadable response: status 200, "
	body := func(format string, args ...any) httpmock.Responder {
		return respondJSON(200, fmt.Sprintf(format, args...))
	}
	tests := map[string]struct {
		answer   func(key, idKey string) httpmock.Responder
		sentinel error
		text     string
		rows     int // before the error
		requests int
	}{
		"refused": {
			func(string, string) httpmock.Responder { return respondJSON(403, noPermissionBody) },
			ErrForbidden, "403 Forbidden, APIG.1005: No permissions to request this method", 0, 1,
		},
		"failed": {
			func(string, string) httpmock.Responder { return respondJSON(500, systemBody) },
			ErrServer, "500 Internal Server Error, APIG.9999: System error (2 attempts)", 0, 2,
		},
		"an empty object is no empty list": {
			func(string, string) httpmock.Responder { return body(`{}`) },
			ErrBadResponse, unreadable + "the body is a list without a total (2 attempts)", 0, 2,
		},
		"short page": {
			func(key, idKey string) httpmock.Responder {
				return body(`{"total":3,%q:[%s]}`, key, rowsOf(idKey, 0, 2))
			},
			ErrBadResponse, unreadable + "the page has 2 rows instead of 3 (2 attempts)", 0, 2,
		},
		"rows beyond the total": {
			func(key, idKey string) httpmock.Responder {
				return body(`{"total":2,%q:[%s]}`, key, rowsOf(idKey, 0, 3))
			},
			ErrBadResponse, unreadable + "the page has 3 rows instead of 2 (2 attempts)", 0, 2,
		},
		"more rows than were asked for": {
			func(key, idKey string) httpmock.Responder {
				return body(`{"total":999,%q:[%s]}`, key, rowsOf(idKey, 0, 501))
			},
			ErrBadResponse, unreadable + "the body is not a list: there are more than 500 rows (2 attempts)", 0, 2,
		},
		"the second page is short": {
			func(key, idKey string) httpmock.Responder {
				answer, _ := pagesOf(key, idKey, 502, nil)
				return answer.Then(body(`{"total":502,%q:[%s]}`, key, rowsOf(idKey, 500, 1))).
					Then(body(`{"total":502,%q:[]}`, key))
			},
			ErrBadResponse, unreadable + "the page has 0 rows instead of 2 (2 attempts)", 500, 3,
		},
		"the first page again and again": {
			func(key, idKey string) httpmock.Responder {
				answer, _ := pagesOf(key, idKey, 0, func(int) (int, int) { return 1999, 0 })
				return answer
			},
			ErrBadResponse, "unreadable list: a page comes again", 500, 2,
		},
		"the second page again and again": {
			func(key, idKey string) httpmock.Responder {
				answer, _ := pagesOf(key, idKey, 0, func(offset int) (int, int) { return 1999, min(offset, 500) })
				return answer
			},
			ErrBadResponse, "unreadable list: a page comes again", 1000, 3,
		},
		"a total that grows and grows": {
			func(key, idKey string) httpmock.Responder {
				answer, _ := pagesOf(key, idKey, 0, func(offset int) (int, int) { return offset + 501, offset })
				return answer
			},
			ErrBadResponse, "unreadable list: its total has grown from 501 to 1501", 1000, 3,
		},
		"a total that no gateway has": {
			func(key, idKey string) httpmock.Responder {
				return body(`{"total":1000000000,%q:[%s]}`, key, rowsOf(idKey, 0, 500))
			},
			ErrBadResponse, "the list has 1000000000 rows, at most", 0, 2,
		},
		"a row without an ID": {
			func(key, _ string) httpmock.Responder { return body(`{"total":1,%q:[{}]}`, key) },
			ErrBadResponse, "unreadable list: a row has what is not an ID: nothing", 0, 1,
		},
		"an ID that changes the path": {
			func(key, idKey string) httpmock.Responder { return body(`{"total":1,%q:[{%q:"../x"}]}`, key, idKey) },
			ErrBadResponse, "unreadable list: a row has what is not an ID: ../x", 0, 1,
		},
		"an ID with the token": {
			func(key, idKey string) httpmock.Responder {
				return body(`{"total":1,%q:[{%q:"a%s"}]}`, key, idKey, testToken)
			},
			ErrBadResponse, "unreadable list: a row has what is not an ID: aREDACTED", 0, 1,
		},
		"an ID with a line break": {
			func(key, idKey string) httpmock.Responder { return body(`{"total":1,%q:[{%q:"a\nb"}]}`, key, idKey) },
			ErrBadResponse, `unreadable list: a row has what is not an ID: a\nb`, 0, 1,
		},
		"an ID of invisible characters": {
			func(key, idKey string) httpmock.Responder {
				return body(`{"total":1,%q:[{%q:"a\u202eb"}]}`, key, idKey)
			},
			ErrBadResponse, `unreadable list: a row has what is not an ID: a\u202eb`, 0, 1,
		},
		"an ID of 10 KB": {
			func(key, idKey string) httpmock.Responder {
				return body(`{"total":1,%q:[{%q:%q}]}`, key, idKey, strings.Repeat("a", 10<<10))
			},
			ErrBadResponse, "unreadable list: a row has what is not an ID: " + strings.Repeat("a", 64) + "…", 0, 1,
		},
	}
	for list, l := range lists {
		for name, tt := range tests {
			t.Run(list+"/"+name, func(t *testing.T) {
				c, mt := newTest(t, attempts(2))
				mt.RegisterResponder(http.MethodGet, l.url, tt.answer(l.key, l.idKey))
				rows := 0
				var errs []error
				for _, err := range l.ids(c, t.Context()) {
					if err == nil {
						rows++
					} else {
						errs = append(errs, err)
					}
				}
				if list == "Versions" {
					tt.rows = 0 // all or nothing
				}
				assert.Equal(t, tt.rows, rows)
				require.Len(t, errs, 1)
				require.ErrorIs(t, errs[0], tt.sentinel)
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
	for name, body := range map[string]string{
		"nothing":              ``,
		"null":                 `null`,
		"array":                `[]`,
		"HTML":                 `<html></html>`,
		"null total":           `{"total":null,"apis":[]}`,
		"total of a text":      `{"total":"0","apis":[]}`,
		"negative total":       `{"total":-1,"apis":[]}`,
		"total of a fraction":  `{"total":0.5,"apis":[]}`,
		"rows of an object":    `{"total":1,"apis":{}}`,
		"row of a number":      `{"total":1,"apis":[5]}`,
		"rows without an end":  `{"total":1,"apis":[{"id":"a"}}`,
		"cut":                  `{"total":1,"apis":[{"id":"a"}]`,
		"cut in a key":         `{"total":1,"ap`,
		"something follows":    `{"total":0,"apis":[]}{}`,
		"a bracket follows":    `{"total":0,"apis":[]}]`,
		"an error":             noAPIBody,
		"too many fields":      `{"total":0` + strings.Repeat(`,"x":0`, 64) + `}`,
		"a value of 70 KB":     `{"total":0,"x":"` + strings.Repeat("x", 70<<10) + `"}`,
		"70 KB of blank":       `{"total":0` + strings.Repeat(" ", 70<<10) + `}`,
		"a row of 70 KB":       `{"total":1,"apis":[{"id":"a","name":"` + strings.Repeat("x", 70<<10) + `"}]}`,
		"201 environments":     `{"total":1,"apis":[{"id":"a","run_env_id":"` + strings.Repeat("|", 200) + `"}]}`,
		"deeper than JSON may": `{"total":0,"x":` + strings.Repeat("[", 20_000) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			c, mt := newTest(t, attempts(1))
			mt.RegisterResponder(http.MethodGet, apisURL, respondJSON(200, body))
			got, err := collect(c.APIs(t.Context(), APIQuery{}))
			require.ErrorIs(t, err, ErrBadResponse)
			assert.Empty(t, got)
			assert.Less(t, len(err.Error()), 400)
			assertPrintable(t, err.Error())
		})
	}
	for name, answer := range map[string]httpmock.Responder{
		"another status": respondJSON(206, `{"total":0,"apis":[]}`),
		"no content":     respond(204, ""),
	} {
		t.Run(name, func(t *testing.T) {
			c, mt := newTest(t, attempts(1))
			mt.RegisterResponder(http.MethodGet, apisURL, answer)
			_, err := collect(c.APIs(t.Context(), APIQuery{}))
			require.ErrorIs(t, err, ErrBadResponse)
		})
	}
}

func TestListEmpty(t *testing.T) {
	for name, format := range map[string]string{
		"empty": `{"total":0,"size":0,%q:[]}`, "null": `{%[1]q:null,"total":0}`, "missing": `{"total":0,"x":%[1]q}`,
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

// A few rows may come and go while a list is read.
func TestListInMotion(t *testing.T) {
	for name, change := range map[string]func(offset int) (total, first int){
		"grows":   func(offset int) (int, int) { return 900 + offset/10, offset },
		"shrinks": func(offset int) (int, int) { return 900 - offset, offset },
	} {
		t.Run(name, func(t *testing.T) {
			c, mt := newTest(t)
			answer, _ := pagesOf("apis", "id", 0, change)
			mt.RegisterResponder(http.MethodGet, apisURL, answer)
			got, err := collect(c.APIs(t.Context(), APIQuery{}))
			require.NoError(t, err)
			total, _ := change(500)
			assert.Len(t, got, max(500, total))
		})
	}
}

// A page that fails for the moment is read again, and only that page.
func TestListPageIsReadAgain(t *testing.T) {
	for name, failure := range map[string]httpmock.Responder{
		"no answer":  httpmock.NewErrorResponder(errors.New("connection reset")),
		"HTML":       respond(502, "<html></html>"),
		"throttled":  respond(429, ""),
		"short page": respondJSON(200, `{"total":502,"apis":[]}`),
		"not a list": respondJSON(200, "{}"),
	} {
		t.Run(name, func(t *testing.T) {
			c, mt := newTest(t)
			answer, queries := pagesOf("apis", "id", 502, nil)
			mt.RegisterResponder(http.MethodGet, apisURL, answer.Then(failure).Then(answer))
			got, err := collect(c.APIs(t.Context(), APIQuery{}))
			require.NoError(t, err)
			assert.Len(t, got, 502)
			assert.Equal(t, []string{"limit=500&offset=0", "limit=500&offset=500"}, *queries)
			assert.Equal(t, 3, mt.GetTotalCallCount())
		})
	}
}

func TestListContext(t *testing.T) {
	c, mt := newTest(t)
	answer, queries := pagesOf("apis", "id", 1200, nil)
	mt.RegisterResponder(http.MethodGet, apisURL, answer)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	var last error
	for _, err := range c.APIs(ctx, APIQuery{}) {
		if last = err; err == nil {
			n++
			cancel()
		}
	}
	require.ErrorIs(t, last, context.Canceled)
	assert.EqualError(t, last, "apig: APIs: context canceled")
	assert.Equal(t, 500, n, "the page that was read")
	assert.Len(t, *queries, 1)
}

// More APIs than fit in one page of the service.
func TestListsOfAGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		apis := []string{s.api}
		for range 1233 {
			apis = append(apis, s.AddAPI("api"))
		}
		got, err := collect(lists["APIs"].ids(s.Client, t.Context()))
		require.NoError(t, err)
		assert.Equal(t, apis, got)
		assert.Equal(t, 3, s.requests(apigtest.OpAPIs))
	})
}

func FuzzList(f *testing.F) {
	for _, body := range []string{
		"", "null", "{}", "[]", historyBody, envsBody, historyBody[:200], `{"total":0}`, `{"total":1,"api_versions":[{}]}`,
		`{"total":2,"api_versions":[{"version_id":"a"},{"version_id":"` + testToken + `"}]}`,
		`{"api_versions":null,"total":0,"total":1}`, `{"total":1,"api_versions":[null]}`, `{"total":0,"x":{"a":[1,{"b":"\ud800"}]}}`,
		`{"total":1,"api_versions":[{"version_id":"a","env_id":"../x"}]}`, `{"total":1,"api_versions":[{"version_id":"a\nb"}]} `,
	} {
		f.Add(200, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		var p page[Version]
		l := versionList("Versions", testAPI, "")
		if err := l.decode(someAnswer(status, body, http.Header{}), &p); err != nil {
			assertPrintable(t, err.Error())
			if strings.Contains(err.Error(), testToken) {
				t.Errorf("the token is in %q", err)
			}
			return
		}
		if status != 200 || !json.Valid(body) || len(p.rows) != min(pageLimit, p.total) || p.total > l.most {
			t.Errorf("%d, %d of %d rows, of %q", status, len(p.rows), p.total, body)
		}
		for _, v := range p.rows {
			if p.badID == nil && (v.ID == "" || strings.ContainsAny(v.ID, "/\n") || strings.Contains(v.ID, testToken)) {
				t.Errorf("the ID %q", v.ID)
			}
		}
		if p.badID != nil {
			assertPrintable(t, p.badID.Error())
		}
	})
}
