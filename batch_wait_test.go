package apig

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// timeline notes, to the nanosecond, when the gateway is asked for what.
type timeline struct {
	start time.Time

	mu sync.Mutex
	at []string // each once
}

func (l *timeline) note(what string, answer httpmock.Responder) httpmock.Responder {
	return func(r *http.Request) (*http.Response, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if entry := fmt.Sprint(what, " ", time.Since(l.start)); !slices.Contains(l.at, entry) {
			l.at = append(l.at, entry)
		}
		return answer(r)
	}
}

// dated answers with the date.
func dated(answer httpmock.Responder) httpmock.Responder {
	return func(r *http.Request) (*http.Response, error) {
		resp, err := answer(r)
		if err == nil {
			resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
		}
		return resp, err
	}
}

var anyHistory = regexp.MustCompile("/apis/publish/[^?]+")

// When a batch whose answer is lost looks at the gateway, and when it sends
// what was not applied again.
func TestBatchWaits(t *testing.T) {
	t.Parallel()
	some := func(n int) []string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf("api%d", i)
		}
		return all
	}
	success := func(apis []string) httpmock.Responder {
		var records []string
		for _, id := range apis {
			records = append(records, batchRecord(id))
		}
		return respondJSON(200, `{"success":[`+strings.Join(records, ",")+`],"failure":[]}`)
	}
	lost := httpmock.NewErrorResponder(fmt.Errorf("connection reset"))
	tests := map[string]struct {
		apis  int
		first httpmock.Responder
		want  []string
	}{
		"a few, lost": {2, lost, []string{
			"batch 0s", "history 1s", "history 2s", "history 4s", "batch 5.5s",
		}},
		"many, lost": {20, lost, []string{
			"batch 0s", "list 1s", "list 4s", "history 4s", "batch 5.5s",
		}},
		"a few, timed out on the way": {2, respond(504, ""), []string{
			"batch 0s", "history 2s", "history 4s", "history 8s", "batch 9.5s",
		}},
		"many, timed out on the way": {20, respond(504, ""), []string{
			"batch 0s", "list 2s", "list 8s", "history 8s", "batch 9.5s",
		}},
		"many, the service itself": {20, respondJSON(500, systemBody), []string{
			"batch 0s", "list 0s", "history 0s", "batch 1.5s",
		}},
		"a few, failed each": {2, respondJSON(200, failures("APIG.9999", some(2)...)), []string{
			"batch 0s", "history 1s", "history 2s", "history 4s", "batch 5.5s",
		}},
		"many, refused each": {20, respondJSON(200, failures("APIG.9008", some(20)...)), []string{
			"batch 0s", "batch 1.5s",
		}},
		"refused each, twice": {
			2, respondJSON(200, failures("APIG.9008", some(2)...)).Then(respondJSON(200, failures("APIG.9008", some(2)...))),
			[]string{"batch 0s", "batch 1.5s", "batch 4s"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, mt := newTest(t, func(cfg *Config) {
					cfg.Retry = RetryPolicy{MinWait: time.Second, MaxWait: 10 * time.Second, SettleWait: 4 * time.Second}
				})
				c.jitter = func(n int64) int64 { return n / 2 } // 1.5 s, 2.5 s
				apis := some(tt.apis)
				times := &timeline{start: time.Now()}
				mt.RegisterResponder(http.MethodPost, batchURL, times.note("batch", tt.first.Then(success(apis))))
				mt.RegisterResponder(http.MethodGet, instanceURL+"/apis", times.note("list", dated(respondJSON(200, `{"total":0,"apis":[]}`))))
				mt.RegisterRegexpResponder(http.MethodGet, anyHistory, times.note("history", dated(respondJSON(200, emptyHistoryBody))))

				result, err := c.PublishBatch(context.Background(), BatchRequest{APIIDs: apis, EnvID: EnvRelease})
				require.NoError(t, err)
				assert.Equal(t, apis, ids(result.Items))
				assert.Equal(t, tt.want, times.at)
			})
		})
	}
}

// What is known at the first look ends the waiting.
func TestBatchWaitsNoLongerThanItMust(t *testing.T) {
	t.Parallel()
	for _, apis := range []int{2, 20} {
		t.Run(fmt.Sprint(apis), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, mt := newTest(t, func(cfg *Config) { cfg.Retry.SettleWait = 4 * time.Second })
				mt.RegisterResponder(http.MethodPost, batchURL, respond(502, ""))
				mt.RegisterResponder(http.MethodGet, instanceURL+"/apis", dated(respondJSON(200, `{"total":0,"apis":[]}`)))
				mt.RegisterRegexpResponder(http.MethodGet, anyHistory, dated(respondJSON(200, emptyHistoryBody)))
				r := BatchRequest{EnvID: EnvRelease}
				for i := range apis {
					r.APIIDs = append(r.APIIDs, fmt.Sprint("api", i))
				}
				start := time.Now()
				result, err := c.OfflineBatch(context.Background(), r)
				require.NoError(t, err)
				for _, item := range result.Items {
					assert.Equal(t, &PublishRecord{APIID: item.APIID, EnvID: EnvRelease, Recovered: true}, item.Record)
				}
				assert.Equal(t, time.Second, time.Since(start))
			})
		})
	}
}

// A version of somebody else's, who published while the request was under way,
// does not hide that the request is applied later.
func TestBatchAppliedBetweenTheLooks(t *testing.T) {
	t.Parallel()
	for _, apis := range []int{2, 20} {
		t.Run(fmt.Sprint(apis), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, mt := newTest(t, func(cfg *Config) { cfg.Retry.SettleWait = 4 * time.Second })
				start := time.Now().UTC()
				at := start.Format(time.RFC3339)
				r := BatchRequest{EnvID: EnvRelease, Remark: "1.4.2"}
				var rows []string
				for i := range apis {
					id := fmt.Sprint("api", i)
					r.APIIDs = append(r.APIIDs, id)
					rows = append(rows, fmt.Sprintf(`{"id":%q,"run_env_id":%q,"publish_time":%q}`, id, EnvRelease, at))
				}
				theirs := `{"version_id":"theirs","remark":"1.4.1","status":2,"publish_time":"` + at + `"}`
				ours := `{"version_id":"ours","remark":"1.4.2","status":1,"publish_time":"` + start.Add(2*time.Second).Format(time.RFC3339) + `"}`
				mt.RegisterResponder(http.MethodPost, batchURL, respond(502, ""))
				mt.RegisterResponder(http.MethodGet, instanceURL+"/apis", dated(respondJSON(200,
					fmt.Sprintf(`{"total":%d,"apis":[%s]}`, apis, strings.Join(rows, ",")))))
				mt.RegisterRegexpResponder(http.MethodGet, anyHistory, dated(func(q *http.Request) (*http.Response, error) {
					if time.Since(start) < 3*time.Second {
						return respondJSON(200, `{"total":1,"api_versions":[`+theirs+`]}`)(q)
					}
					return respondJSON(200, `{"total":2,"api_versions":[`+theirs+`,`+ours+`]}`)(q)
				}))
				result, err := c.PublishBatch(context.Background(), r)
				require.NoError(t, err)
				for _, item := range result.Items {
					assert.Equal(t, "ours", item.Record.VersionID)
				}
				assert.Equal(t, 1, mt.GetCallCountInfo()[http.MethodPost+" "+batchURL])
			})
		})
	}
}

// An attempt that is applied later than anybody could expect, after it had been
// found absent, is still found when the next one is lost too.
func TestBatchFirstAttemptAppliedTooLate(t *testing.T) {
	t.Parallel()
	for _, apis := range []int{2, 20} {
		t.Run(fmt.Sprint(apis), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, mt := newTest(t, func(cfg *Config) {
					cfg.Retry = RetryPolicy{MinWait: 9 * time.Second, MaxWait: 9 * time.Second, SettleWait: 4 * time.Second}
				})
				start := time.Now().UTC()
				at := start.Add(5 * time.Second).Format(time.RFC3339)
				r := BatchRequest{EnvID: EnvRelease, Remark: "1.4.2"}
				var rows []string
				for i := range apis {
					id := fmt.Sprint("api", i)
					r.APIIDs = append(r.APIIDs, id)
					rows = append(rows, fmt.Sprintf(`{"id":%q,"run_env_id":%q,"publish_time":%q}`, id, EnvRelease, at))
				}
				late := func(before, after string) httpmock.Responder {
					return dated(func(q *http.Request) (*http.Response, error) {
						if time.Since(start) < 5*time.Second {
							return respondJSON(200, before)(q)
						}
						return respondJSON(200, after)(q)
					})
				}
				mt.RegisterResponder(http.MethodPost, batchURL, respond(502, ""))
				mt.RegisterResponder(http.MethodGet, instanceURL+"/apis",
					late(`{"total":0}`, fmt.Sprintf(`{"total":%d,"apis":[%s]}`, apis, strings.Join(rows, ","))))
				mt.RegisterRegexpResponder(http.MethodGet, anyHistory, late(emptyHistoryBody,
					`{"total":1,"api_versions":[{"version_id":"ours","remark":"1.4.2","status":1,"publish_time":"`+at+`"}]}`))
				result, err := c.PublishBatch(context.Background(), r)
				require.NoError(t, err)
				for _, item := range result.Items {
					assert.Equal(t, "ours", item.Record.VersionID)
				}
				assert.Equal(t, 2, mt.GetCallCountInfo()[http.MethodPost+" "+batchURL])
			})
		})
	}
}

// A version that somebody else has made while this batch waited out a refusal,
// before its one attempt with an unknown outcome, is not taken for its own.
func TestBatchWindowBeginsWithTheUnknownAttempt(t *testing.T) {
	t.Parallel()
	throttled := respondJSON(429, `{"error_code":"APIGW.0308"}`, "Retry-After", "9")
	failed := respondJSON(200, failures("APIG.3500", "a"))
	tests := map[string]struct {
		request BatchRequest
		first   httpmock.Responder
		second  httpmock.Responder
	}{
		"refused, then failed":          {BatchRequest{APIIDs: []string{"a"}}, throttled, failed},
		"refused, then lost":            {BatchRequest{APIIDs: []string{"a"}}, throttled, respond(502, "")},
		"refused inside, then failed":   {BatchRequest{APIIDs: []string{"a"}}, respondJSON(200, failures("APIG.9008", "a")), failed},
		"group: refused, then failed":   {BatchRequest{GroupID: "g"}, throttled, failed},
		"group: refused, then lost":     {BatchRequest{GroupID: "g"}, throttled, respond(502, "")},
		"group: refused inside, failed": {BatchRequest{GroupID: "g"}, respondJSON(200, failures("APIG.9008", "a")), failed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, mt := newTest(t, func(cfg *Config) { cfg.Retry.MinWait, cfg.Retry.MaxWait = 9*time.Second, 9*time.Second })
				mt.RegisterResponder(http.MethodPost, batchURL, tt.first.Then(tt.second))
				theirs := time.Now().UTC().Add(4 * time.Second).Format(time.RFC3339)
				mt.RegisterResponder(http.MethodGet, instanceURL+"/apis", dated(respondJSON(200, `{"total":1,"apis":[{"id":"a"}]}`)))
				mt.RegisterRegexpResponder(http.MethodGet, anyHistory, dated(respondJSON(200,
					`{"total":1,"api_versions":[{"version_id":"theirs","remark":"1.4.2","status":1,"publish_time":"`+theirs+`"}]}`)))
				tt.request.EnvID, tt.request.Remark = EnvRelease, "1.4.2"

				result, err := c.PublishBatch(context.Background(), tt.request)
				require.ErrorIs(t, err, ErrOutcomeUnknown)
				require.ErrorIs(t, err, ErrServer)
				require.Len(t, result.Items, 1)
				assert.Nil(t, result.Items[0].Record)
				assert.Equal(t, 2, mt.GetCallCountInfo()[http.MethodPost+" "+batchURL])
			})
		})
	}
}
