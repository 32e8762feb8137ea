package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
	"github.com/apig-go/apig/internal/random"
)

const batchURL = instanceURL + "/apis/publish"

// batches are the two calls for many APIs, and what they do to each.
var batches = map[string]struct {
	do     func(*Client, context.Context, PublishBatchRequest) (*BatchResult, error)
	action string
}{
	"PublishBatch": {(*Client).PublishBatch, "online"},
	"OfflineBatch": {func(c *Client, ctx context.Context, r PublishBatchRequest) (*BatchResult, error) {
		return c.OfflineBatch(ctx, OfflineBatchRequest{APIIDs: r.APIIDs, GroupID: r.GroupID, EnvID: r.EnvID, Remark: r.Remark})
	}, "offline"},
}

func itemIDs(items []BatchItem) []string {
	all := make([]string, len(items))
	for i, item := range items {
		all[i] = item.APIID
	}
	return all
}

// sentBatch is the body of a batch that the gateway has received.
type sentBatch struct {
	APIs   []string `json:"apis"`
	EnvID  string   `json:"env_id"`
	Remark string   `json:"remark"`
}

func (s *site) sentBatches() (all []sentBatch) {
	for _, r := range s.Gateway.Requests() {
		if r.Op == gateway.OpBatch {
			var b sentBatch
			require.NoError(s.t, json.Unmarshal(r.Body, &b))
			all = append(all, b)
		}
	}
	return all
}

// agree compares the items of the one batch that was made with the gateway's
// journal: what is done was applied once, what is unknown at most once, and what
// has failed never.
func (s *site) agree(action string, items []BatchItem) (done, unknown, failed int) {
	s.t.Helper()
	made := map[string][]gateway.Applied{}
	for _, a := range s.Journal() {
		if a.Request != nil {
			require.Equal(s.t, action, string(a.Action))
			made[a.APIID] = append(made[a.APIID], a)
		}
	}
	for i, item := range items {
		changes := made[item.APIID]
		require.Equal(s.t, item.Err == nil, item.Record != nil, "item %d has exactly one of both", i)
		switch OutcomeOf(item.Err) {
		case Applied:
			done++
			require.Len(s.t, changes, 1, "item %d is done", i)
			require.Equal(s.t, item.APIID, item.Record.APIID)
			require.Equal(s.t, EnvRelease, item.Record.EnvID)
			if action == "online" {
				require.Equal(s.t, changes[0].VersionID, item.Record.VersionID, "item %d", i)
				require.Equal(s.t, changes[0].Remark, joinTag(item.Record.Remark, item.Record.Tag), "item %d", i)
			}
		case Unknown:
			unknown++
			require.LessOrEqual(s.t, len(changes), 1, "item %d is unknown", i)
		default:
			failed++
			require.Empty(s.t, changes, "item %d has failed: %v", i, item.Err)
		}
	}
	return done, unknown, failed
}

// failedRow is the row of an API that has failed.
func failedRow(apiID, code string) string {
	return fmt.Sprintf(`{"api_id":%q,"error_code":%q,"error_msg":"no"}`, apiID, code)
}

// failures is the answer to a batch that has failed for all of the APIs.
func failures(code string, apis ...string) string {
	rows := []string{}
	for _, id := range apis {
		rows = append(rows, failedRow(id, code))
	}
	return `{"success":[],"failure":[` + strings.Join(rows, ",") + `]}`
}

// batchRecord is a success of a batch as documented.
func batchRecord(apiID string) string {
	return fmt.Sprintf(`{"publish_id":"p-%[1]s","api_id":%[1]q,"api_name":"name of %[1]s","env_id":%[2]q,"remark":"1.4.2",`+
		`"publish_time":"2020-08-03T01:36:00.592970615Z","version_id":"v-%[1]s"}`, apiID, EnvRelease)
}

func wantBatchRecord(apiID string) *PublishRecord {
	return &PublishRecord{
		PublishID: "p-" + apiID, APIID: apiID, APIName: "name of " + apiID, EnvID: EnvRelease, Remark: "1.4.2",
		PublishTime: testTime, VersionID: "v-" + apiID, RequestID: testRequestID,
	}
}

// batchFault changes the gateway's own answer to a batch.
func batchFault(change func(success, failure []map[string]any) ([]map[string]any, []map[string]any)) gateway.Fault {
	return gateway.Fault{Rewrite: func(status int, body []byte) (int, []byte) {
		var answer struct {
			Success []map[string]any `json:"success"`
			Failure []map[string]any `json:"failure"`
		}
		if err := json.Unmarshal(body, &answer); err != nil {
			return status, body
		}
		answer.Success, answer.Failure = change(answer.Success, answer.Failure)
		b, err := json.Marshal(answer)
		if err != nil {
			return status, body
		}
		return status, b
	}}.On(gateway.OpBatch)
}

func TestBatchOnTheWire(t *testing.T) {
	for op, batch := range batches {
		c, mt := newTest(t, func(cfg *Config) { cfg.DisableTags = true })
		mt.RegisterResponder(http.MethodPost, batchURL, func(r *http.Request) (*http.Response, error) {
			b, err := io.ReadAll(r.Body)
			assert.Equal(t, batchURL+"?action="+batch.action, r.URL.String())
			assert.Equal(t, `{"apis":["b","a"],"env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID","remark":"发布 \"1.4.2\""}`, string(b)) //nolint:testifylint // to the last byte
			assert.Equal(t, "application/json;charset=UTF-8", r.Header.Get("Content-Type"))
			assert.Equal(t, testToken, r.Header.Get("X-Auth-Token"))
			return httpmock.NewStringResponse(200, `{"success":[`+batchRecord("a")+`,`+batchRecord("b")+`],"failure":[]}`), err
		})
		result, err := batch.do(c, t.Context(), PublishBatchRequest{APIIDs: []string{"b", "a"}, EnvID: EnvRelease, Remark: `发布 "1.4.2"`})
		require.NoError(t, err, op)
		assert.Equal(t, 1, mt.GetTotalCallCount())
		assert.Equal(t, []string{"b", "a"}, itemIDs(result.Items))
	}
}

// The service answers 200 even where it has failed.
func TestBatchFailures(t *testing.T) {
	c, mt := newTest(t)
	mt.RegisterResponder(http.MethodPost, batchURL, respondJSON(200, fmt.Sprintf(`{"success":[%s,%s],
		"failure":[{"api_id":"d","api_name":"","error_code":"APIG.3002","error_msg":"Api d not found"},
		{"api_id":"b","api_name":"orders","error_code":"APIG.1005","error_msg":"No\npermissions"}]}`, batchRecord("c"), batchRecord("a")),
		"X-Request-Id", testRequestID))
	result, err := c.PublishBatch(t.Context(), PublishBatchRequest{APIIDs: []string{"a", "b", "c", "d"}, EnvID: EnvRelease})

	notFound := &APIGError{Op: "PublishBatch", APIID: "d", StatusCode: 200, Code: "APIG.3002", Message: "Api d not found", RequestID: testRequestID, Attempts: 1}
	forbidden := &APIGError{Op: "PublishBatch", APIID: "b", StatusCode: 200, Code: "APIG.1005", Message: `No\npermissions`, RequestID: testRequestID, Attempts: 1}
	failedB, failedD := BatchItem{APIID: "b", APIName: "orders", Err: forbidden}, BatchItem{APIID: "d", Err: notFound}
	assert.Equal(t, []BatchItem{
		{APIID: "a", APIName: "name of a", Record: wantBatchRecord("a")},
		failedB,
		{APIID: "c", APIName: "name of c", Record: wantBatchRecord("c")},
		failedD,
	}, result.Items, "in the order of the request")
	var e *BatchError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, []BatchItem{failedB, failedD}, e.Items)
	assert.Equal(t, []error{forbidden, notFound}, e.Unwrap())
	assert.EqualError(t, err, "apig: PublishBatch: 2 of 4 APIs failed; the first: apig: PublishBatch API b: APIG.1005: "+
		`No\npermissions (request id `+testRequestID+")")
	for _, s := range sentinels {
		assert.Equal(t, s == ErrForbidden || s == ErrNotFound, errors.Is(err, s), s)
	}
	assert.Equal(t, 1, mt.GetTotalCallCount())
	assert.EqualError(t, &BatchError{Op: "PublishBatch"}, "apig: PublishBatch: 0 of 0 APIs failed")
}

// Where the whole request is refused each item has that error.
func TestBatchRefused(t *testing.T) {
	for op, batch := range batches {
		virtually(t, op, func(t *testing.T) {
			s := newSite(t)
			s.Inject(gateway.Answer(403, noPermissionBody).On(gateway.OpBatch))
			ids := s.apis(2)
			result, err := batch.do(s.Client, t.Context(), PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease})
			assert.Equal(t, ids, itemIDs(result.Items))
			for _, item := range result.Items {
				require.ErrorIs(t, item.Err, ErrForbidden)
			}
			assert.ErrorContains(t, err, "apig: "+op+": 2 of 2 APIs failed; the first: apig: "+op+": 403 Forbidden, APIG.1005: ")
			assert.Equal(t, NotApplied, OutcomeOf(err))
			assert.Len(t, s.Gateway.Requests(), 1)
		})
	}
}

func TestBatchArguments(t *testing.T) {
	for name, tt := range map[string]struct {
		request PublishBatchRequest
		text    string
	}{
		"nothing":           {PublishBatchRequest{}, "EnvID is empty; APIIDs and GroupID are empty"},
		"an empty list":     {PublishBatchRequest{APIIDs: []string{}, EnvID: EnvRelease}, "APIIDs and GroupID are empty"},
		"APIs and a group":  {PublishBatchRequest{APIIDs: []string{"a"}, GroupID: "g", EnvID: EnvRelease}, "APIIDs and GroupID exclude each other"},
		"an empty ID":       {PublishBatchRequest{APIIDs: []string{"a", ""}, EnvID: EnvRelease}, "APIIDs[1] is empty"},
		"a bad ID":          {PublishBatchRequest{APIIDs: []string{"a", "a/b"}, EnvID: EnvRelease}, `APIIDs[1] "a/b" is not an ID`},
		"a bad group":       {PublishBatchRequest{GroupID: "..", EnvID: EnvRelease}, `GroupID ".." is not an ID`},
		"a bad environment": {PublishBatchRequest{GroupID: "g", EnvID: "a b"}, `EnvID "a b" is not an ID`},
		"twice the same":    {PublishBatchRequest{APIIDs: []string{"a", "b", "c", "b"}, EnvID: EnvRelease}, "APIIDs[1] and APIIDs[3] are the same"},
		"in another case":   {PublishBatchRequest{APIIDs: []string{"ab", "AB"}, EnvID: EnvRelease}, "APIIDs[0] and APIIDs[1] are the same"},
		"thrice the same":   {PublishBatchRequest{APIIDs: []string{"a", "a", "a"}, EnvID: EnvRelease}, "APIIDs[0] and APIIDs[1] are the same; APIIDs[1] and APIIDs[2] are the same"},
		"a long remark":     {PublishBatchRequest{GroupID: "g", EnvID: EnvRelease, Remark: strings.Repeat("发", 256)}, "Remark has 256 characters, at most 255 are allowed"},
		"all of it": {PublishBatchRequest{APIIDs: []string{"", "b", "b"}, GroupID: "g", EnvID: ".", Remark: "\xff"},
			`Remark is not valid UTF-8; EnvID "." is not an ID; APIIDs and GroupID exclude each other; APIIDs[0] is empty; APIIDs[1] and APIIDs[2] are the same`},
	} {
		for op, batch := range batches {
			c, mt := newTest(t)
			result, err := batch.do(c, t.Context(), tt.request)
			assert.Nil(t, result)
			require.EqualError(t, err, "apig: invalid argument: "+tt.text, "%s, %s", op, name)
			assert.ErrorIs(t, err, ErrInvalidArgument)
			assert.Zero(t, mt.GetTotalCallCount(), "found before the network")
		}
	}
}

// A thousand APIs are one request, and each API is in one request only.
func TestBatchOfThousands(t *testing.T) {
	for n, sizes := range map[int][]int{1000: {1000}, 1001: {1, 1000}, 5300: {300, 1000, 1000, 1000, 1000, 1000}} {
		virtually(t, fmt.Sprint(n), func(t *testing.T) {
			s := newSite(t)
			ids := s.apis(n)
			rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
			result, err := s.PublishBatch(t.Context(), PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease})
			require.NoError(t, err)
			assert.Equal(t, ids, itemIDs(result.Items))
			done, _, _ := s.agree("online", result.Items)
			assert.Equal(t, n, done)
			for _, item := range result.Items {
				require.False(t, item.Record.Recovered)
				require.Equal(t, item.APIName, item.Record.APIName)
				require.NotEmpty(t, item.Record.RequestID)
			}
			var got []int
			sent := map[string]bool{}
			for _, b := range s.sentBatches() {
				got = append(got, len(b.APIs))
				for _, id := range b.APIs {
					require.False(t, sent[id])
					sent[id] = true
				}
			}
			slices.Sort(got)
			assert.Equal(t, sizes, got)
			assert.Len(t, s.Gateway.Requests(), len(sizes))
		})
	}
}

// What the answer says of an API decides, for each of them.
func TestBatchCodes(t *testing.T) {
	const always = -1
	for name, r := range map[string]struct {
		code    string
		applied bool // although the answer says that it has failed
		times   int
		batches int // requests in the end
		looks   int // for each API
		is      error
		busy    time.Duration // BusyTimeout
	}{
		"once a minute":         {code: "APIG.3711", times: 1, batches: 2},
		"throttled":             {code: "APIG.9008", times: 1, batches: 2},
		"gateway busy":          {code: "APIC.7701", times: 1, batches: 2},
		"gateway locked":        {code: "APIC.7712", times: 2, batches: 3},
		"always throttled":      {code: "APIG.9008", times: always, batches: 4, is: ErrThrottled, busy: 10 * time.Second},
		"always locked":         {code: "APIC.7712", times: always, batches: 4, is: ErrConflict, busy: 10 * time.Second},
		"not synchronized":      {code: "APIG.3500", times: 1, batches: 2, looks: 1},
		"system error":          {code: "APIG.9999", times: 1, batches: 2, looks: 1},
		"not synchronized, but": {code: "APIG.3500", applied: true, times: 1, batches: 1, looks: 1},
		"system error, but":     {code: "APIG.9999", applied: true, times: 1, batches: 1, looks: 1},
		"always a system error": {code: "APIG.9999", times: always, batches: 4, looks: 4, is: ErrServer},
		"a code of the future":  {code: "APIG.4711", times: 1, batches: 2, looks: 1},
		"no code":               {code: "", times: 1, batches: 2, looks: 1},
		"no API":                {code: "APIG.3002", times: always, batches: 1, is: ErrNotFound},
		"no environment":        {code: "APIG.3003", times: always, batches: 1, is: ErrNotFound},
		"no permission":         {code: "APIG.1005", times: always, batches: 1, is: ErrForbidden},
		"token expired":         {code: "APIG.1001", times: always, batches: 1, is: ErrUnauthorized},
		"not published":         {code: "APIG.3015", times: always, batches: 1, is: ErrNotPublished},
	} {
		for op, batch := range batches {
			virtually(t, op+"/"+name, func(t *testing.T) {
				defer random.Replace(func(int64) int64 { return 0 })()
				s := newSite(t, retry(RetryPolicy{BusyTimeout: r.busy}))
				ids := s.published(3)
				fault := gateway.Answer(200, failures(r.code, ids...))
				if r.applied {
					fault.Apply = gateway.ApplyFirst
				}
				s.Inject(fault.On(gateway.OpBatch).Times(r.times))
				result, err := batch.do(s.Client, t.Context(), PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease})
				done, unknown, failed := s.agree(batch.action, result.Items)
				assert.Zero(t, unknown)
				assert.Equal(t, r.batches, s.requests(gateway.OpBatch))
				if batch.action == "online" || r.looks < 2 {
					assert.Equal(t, 3*r.looks, s.requests(gateway.OpHistory))
				}
				if r.is == nil {
					require.NoError(t, err)
					assert.Equal(t, 3, done)
					for _, item := range result.Items {
						assert.Equal(t, r.applied, item.Record.Recovered)
					}
					return
				}
				assert.Equal(t, 3, failed)
				require.ErrorIs(t, err, r.is)
				var e *APIGError
				require.ErrorAs(t, err, &e)
				assert.Equal(t, []any{Code(r.code), ids[0], r.batches}, []any{e.Code, e.APIID, e.Attempts})
			})
		}
	}
}

// Only what has failed is sent again, with the same remark and tag.
func TestBatchRepeatsWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		ids := s.apis(3)
		s.Inject(gateway.Answer(200, strings.Replace(failures("APIG.9008", ids[0], ids[2]), `"success":[`,
			`"success":[`+strings.Replace(batchRecord("x"), `"x"`, `"`+ids[1]+`"`, 1), 1)).On(gateway.OpBatch))
		result, err := s.PublishBatch(t.Context(), PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease, Remark: "1.4.2"})
		require.NoError(t, err)
		assert.Equal(t, "v-x", result.Items[1].Record.VersionID)
		sent := s.sentBatches()
		require.Len(t, sent, 2)
		assert.Equal(t, []string{ids[0], ids[2]}, sent[1].APIs)
		assert.Regexp(t, "^1.4.2 apig:[0-9a-f]{10}$", sent[0].Remark)
		assert.Equal(t, sent[0].Remark, sent[1].Remark)
	})
}

// What a lost attempt may have taken offline already is offline, if the retry is told
// so. That is never the answer to a publication.
func TestBatchNotPublishedAfterALostAttempt(t *testing.T) {
	for op, batch := range batches {
		for _, code := range []string{"APIG.3015", "APIG.3309"} {
			virtually(t, op+"/"+code, func(t *testing.T) {
				s := newSite(t)
				ids := s.published(3)
				s.Inject(gateway.CloseBefore().On(gateway.OpBatch), gateway.Answer(200, failures(code, ids...)).On(gateway.OpBatch))
				result, err := batch.do(s.Client, t.Context(), PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease})
				assert.Equal(t, 2, s.requests(gateway.OpBatch))
				assert.NotErrorIs(t, err, ErrOutcomeUnknown)
				for _, item := range result.Items {
					if batch.action == "offline" {
						require.NoError(t, item.Err)
						require.Equal(t, &PublishRecord{APIID: item.APIID, EnvID: EnvRelease, Recovered: true}, item.Record)
					} else {
						require.Error(t, item.Err)
					}
				}
			})
		}
	}
}

// An answer that does not say what became of an API, or says it twice, leaves that
// open. It is settled for that API alone.
func TestBatchAnswerLeavesOut(t *testing.T) {
	const n = 5
	for op, batch := range batches {
		for name, r := range map[string]struct {
			fault   func(ids []string) gateway.Fault
			batches int
			open    []int // the items that the answer leaves open, and that are applied
		}{
			"one, applied": {func(ids []string) gateway.Fault {
				return batchFault(func(success, failure []map[string]any) ([]map[string]any, []map[string]any) {
					return slices.DeleteFunc(success, func(r map[string]any) bool { return r["api_id"] == ids[4] }), failure
				})
			}, 1, []int{4}},
			"twice, applied": {func(ids []string) gateway.Fault {
				return batchFault(func(success, failure []map[string]any) ([]map[string]any, []map[string]any) {
					return append(success[:n-1], success[1]), append(failure, map[string]any{"api_id": ids[3], "error_code": "APIG.3002"})
				})
			}, 1, []int{1, 3, 4}},
			"all, applied":     {func([]string) gateway.Fault { return gateway.ApplyThenAnswer(200, failures("")) }, 1, []int{0, 1, 2, 3, 4}},
			"all, not applied": {func([]string) gateway.Fault { return gateway.Answer(200, failures("")) }, 2, nil},
		} {
			virtually(t, op+"/"+name, func(t *testing.T) {
				s := newSite(t)
				ids := s.published(n)
				s.Inject(r.fault(ids).On(gateway.OpBatch))
				result, err := batch.do(s.Client, t.Context(), PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease})
				require.NoError(t, err)
				s.agree(batch.action, result.Items)
				assert.Equal(t, r.batches, s.requests(gateway.OpBatch))
				if r.open != nil {
					assert.Equal(t, len(r.open), s.requests(gateway.OpHistory))
				}
				for i, item := range result.Items {
					assert.Equal(t, slices.Contains(r.open, i), item.Record.Recovered)
				}
			})
		}
	}
}

// What cannot be read, or is of something else, proves nothing.
func TestBatchUnreadableAnswers(t *testing.T) {
	whole := `{"success":[` + batchRecord("a") + `],"failure":[{"api_id":"b","error_code":"APIG.3002","error_msg":"no"}]}`
	answers := map[string]string{
		"empty":                     "",
		"empty object":              "{}",
		"null":                      "null",
		"both null":                 `{"success":null,"failure":null}`,
		"HTML":                      gatewayPage,
		"error":                     systemBody,
		"record":                    publishedBody,
		"success of wrong type":     `{"success":{},"failure":[]}`,
		"too many rows":             `{"success":[` + batchRecord("a") + `,` + batchRecord("b") + `,` + batchRecord("c") + `]}`,
		"junk behind":               whole + "}",
		"records of other APIs":     strings.NewReplacer(`"a"`, `"y"`, `"b"`, `"z"`).Replace(whole),
		"of another environment":    strings.Replace(`{"success":[`+batchRecord("a")+`]}`, EnvRelease, "z", 1),
		"records of no publication": `{"success":[{"api_id":"a","api_name":"name of a","env_id":"` + EnvRelease + `"}]}`,
		"a version that is no ID":   `{"success":[` + strings.Replace(batchRecord("a"), "v-a", "../v", 1) + `]}`,
		"records of no API":         `{"success":[{"publish_id":"p","version_id":"v"}]}`,
	}
	for n := range len(whole) {
		answers[fmt.Sprint("cut at ", n)] = whole[:n]
	}
	synctest.Test(t, func(t *testing.T) {
		for name, body := range answers {
			c, mt := newTest(t)
			mt.RegisterResponder(http.MethodPost, batchURL, respondJSON(200, body))
			for _, id := range []string{"a", "b"} {
				mt.RegisterResponder(http.MethodGet, batchURL+"/"+id, respondJSON(403, noPermissionBody))
			}
			result, err := c.PublishBatch(t.Context(), PublishBatchRequest{APIIDs: []string{"a", "b"}, EnvID: EnvRelease})
			require.ErrorIs(t, err, ErrBadResponse, name)
			require.NotErrorIs(t, err, ErrForbidden, name)
			for _, item := range result.Items {
				assertOpen(t, item.Record, item.Err)
			}
			require.Equal(t, 1, mt.GetCallCountInfo()[http.MethodPost+" "+batchURL], "%s: not repeated blindly", name)
		}
	})
	c, mt := newTest(t)
	mt.RegisterResponder(http.MethodPost, batchURL, respondJSON(200, whole, "X-Request-Id", testRequestID))
	result, err := c.PublishBatch(t.Context(), PublishBatchRequest{APIIDs: []string{"a", "b"}, EnvID: EnvRelease})
	require.ErrorIs(t, err, ErrNotFound)
	assert.Equal(t, wantBatchRecord("a"), result.Items[0].Record, "the whole of it can be read")
}

// The answer to a thousand APIs may be long, but what is longer than any answer
// can be is not read.
func TestBatchAnswerTooLong(t *testing.T) {
	ids, rows := nIDs(batchLimit), []string(nil)
	for _, id := range ids {
		rows = append(rows, strings.Replace(batchRecord(id), "name of", strings.Repeat("long ", 400), 1))
	}
	whole := `{"success":[` + strings.Join(rows, ",") + `]}`
	require.Greater(t, len(whole), maxBody)
	for name, r := range map[string]struct {
		body func() io.Reader
		is   error
	}{
		"as long as it may be": {func() io.Reader { return strings.NewReader(whole) }, nil},
		"whole, and endless":   {func() io.Reader { return io.MultiReader(strings.NewReader(whole), endless(' ')) }, nil},
		"endless":              {func() io.Reader { return io.MultiReader(strings.NewReader(whole[:len(whole)-1]), endless(' ')) }, ErrBadResponse},
	} {
		c, mt := newTest(t)
		body := &countedBody{Reader: r.body()}
		mt.RegisterResponder(http.MethodPost, batchURL, respondWith(200, func() io.Reader { return body }))
		mt.RegisterNoResponder(respondJSON(403, noPermissionBody))
		_, err := c.PublishBatch(t.Context(), PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease})
		require.ErrorIs(t, err, r.is, name)
		assert.LessOrEqual(t, body.read, maxList+maxDrain)
	}
}

// What cannot be read stays unknown, for those APIs: neither done nor repeated.
func TestBatchUnsettled(t *testing.T) {
	for fate, fault := range map[string]gateway.Fault{"applied": gateway.Cut(0), "not applied": gateway.CloseBefore()} {
		virtually(t, fate, func(t *testing.T) {
			s := newSite(t)
			ids := s.apis(10)
			s.Inject(fault.On(gateway.OpBatch), gateway.Answer(403, noPermissionBody).On(gateway.OpHistory).Always().
				When(func(r *gateway.Request) bool { return slices.Contains(ids[:3], r.APIID) }))
			result, err := s.PublishBatch(t.Context(), PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease})
			require.ErrorIs(t, err, ErrOutcomeUnknown)
			assert.NotErrorIs(t, err, ErrForbidden, "that is the history's")
			done, unknown, failed := s.agree("online", result.Items)
			assert.Equal(t, []int{7, 3, 0}, []int{done, unknown, failed})
			for _, item := range result.Items[:3] {
				assertOpen(t, item.Record, item.Err)
				require.ErrorContains(t, item.Err, "outcome unknown: the history cannot be read")
			}
		})
	}
}

// The context ends before anything, in the middle, and while it is settled.
func TestBatchContextEnds(t *testing.T) {
	for op, batch := range batches {
		virtually(t, op+", before", func(t *testing.T) {
			s := newSite(t)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			ids := s.apis(3)
			result, err := batch.do(s.Client, ctx, PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease})
			require.ErrorIs(t, err, context.Canceled)
			assert.Equal(t, NotApplied, OutcomeOf(err))
			assert.Equal(t, ids, itemIDs(result.Items))
			for _, item := range result.Items {
				assert.Regexp(t, "^apig: "+op+" API "+item.APIID+": context canceled$", item.Err.Error())
			}
			result, err = batch.do(s.Client, ctx, PublishBatchRequest{GroupID: "g", EnvID: EnvRelease})
			assert.Nil(t, result)
			require.ErrorIs(t, err, context.Canceled)
			assert.Empty(t, s.Gateway.Requests())
		})
		// Four requests are under way and hang, though applied; the rest was
		// not sent yet.
		virtually(t, op+", in the middle", func(t *testing.T) {
			s := newSite(t)
			ids := s.published(5500)
			s.Inject(gateway.Fault{Apply: gateway.ApplyFirst, End: gateway.EndHang}.On(gateway.OpBatch).Always())
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var result *BatchResult
			elapsed := took(func() { result, _ = batch.do(s.Client, ctx, PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease}) })
			assert.Equal(t, 10*time.Second, elapsed)
			_, unknown, failed := s.agree(batch.action, result.Items)
			assert.Equal(t, []int{4000, 1500}, []int{unknown, failed})
			for _, item := range result.Items {
				require.ErrorIs(t, item.Err, context.DeadlineExceeded)
			}
			assert.Len(t, s.Gateway.Requests(), 4, "nothing is read or sent after the context's end")
		})
	}
	virtually(t, "while it is settled", func(t *testing.T) {
		s := newSite(t)
		ids := s.apis(60)
		s.Inject(gateway.Cut(0).On(gateway.OpBatch), gateway.Hang().On(gateway.OpHistory).Always().
			When(func(r *gateway.Request) bool { return slices.Contains(ids[:5], r.APIID) }))
		ctx, cancel := context.WithCancel(t.Context())
		later(3*time.Second, cancel)
		result, err := s.PublishBatch(ctx, PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease})
		require.ErrorIs(t, err, context.Canceled)
		done, unknown, _ := s.agree("online", result.Items)
		assert.Equal(t, []int{55, 5}, []int{done, unknown})
		assert.Equal(t, 1, s.requests(gateway.OpBatch))
	})
}

// group adds a group of APIs, m0 and so on.
func (s *site) group(n int) (group string, members []string) {
	group = s.AddGroup("shop")
	for i := range n {
		members = append(members, s.AddAPIIn(group, fmt.Sprint("m", i)))
	}
	return group, members
}

// A group is listed first, and then it is a batch of its members.
func TestGroup(t *testing.T) {
	for name, r := range map[string]struct {
		fault gateway.Fault
		n     int
	}{
		"as usual":    {gateway.Fault{}, 5},
		"of many":     {gateway.Fault{}, 1200},
		"answer lost": {gateway.ApplyThenClose(), 5},
		"not applied": {gateway.CloseBefore(), 5},
		"throttled":   {gateway.Throttle(""), 5},
	} {
		for op, batch := range batches {
			virtually(t, op+"/"+name, func(t *testing.T) {
				s := newSite(t)
				group, members := s.group(r.n)
				s.theirs("1.4.1", members...)
				time.Sleep(time.Hour)
				s.Inject(r.fault.On(gateway.OpBatch), gateway.Throttle("").On(gateway.OpAPIs).Times(8))
				result, err := batch.do(s.Client, t.Context(), PublishBatchRequest{GroupID: group, EnvID: EnvRelease})
				require.NoError(t, err, "the list is read with patience")
				assert.Equal(t, members, itemIDs(result.Items), "in the order of the list")
				done, _, _ := s.agree(batch.action, result.Items)
				assert.Equal(t, r.n, done)
				for i, item := range result.Items {
					require.Equal(t, fmt.Sprint("m", i), item.APIName)
				}
				for _, sent := range s.sentBatches() {
					assert.NotContains(t, sent.APIs, s.api, "of another group")
				}
			})
		}
	}
}

// Without its members nothing is sent of a group.
func TestGroupThatCannotBeListed(t *testing.T) {
	list := func(rows string, n int) gateway.Fault {
		return gateway.Answer(200, fmt.Sprintf(`{"total":%d,"apis":[%s]}`, n, rows)).Always()
	}
	for name, r := range map[string]struct {
		fault gateway.Fault
		is    error
		text  string
		end   time.Duration
	}{
		"no members":     {list("", 0), ErrNotFound, "the group has no APIs", 0},
		"no such group":  {gateway.Answer(404, `{"error_code":"APIG.3001"}`).Always(), ErrNotFound, "APIG.3001", 0},
		"no permission":  {gateway.Answer(403, noPermissionBody).Always(), ErrForbidden, "APIG.1005", 0},
		"a bad ID":       {list(`{"id":"../x"}`, 1), ErrBadResponse, "row 0: it has an invalid ID: ../x", 750 * time.Millisecond},
		"an empty ID":    {list(`{"name":"x"}`, 1), ErrBadResponse, "row 0: it has an invalid ID: an empty one", 750 * time.Millisecond},
		"of another one": {list(`{"id":"a","group_id":"g"},{"id":"b","group_id":"h"}`, 2), ErrBadResponse, "row 1: it is an API of another group", 750 * time.Millisecond},
		"it hangs":       {gateway.Hang().Always(), context.DeadlineExceeded, "", 4*time.Minute + 750*time.Millisecond},
		"always 503":     {gateway.Answer(503, html503).Always(), ErrServer, "503", 750 * time.Millisecond},
		"short for ever": {list(`{"id":"a"}`, 2), ErrBadResponse, "", 750 * time.Millisecond},
	} {
		for op, batch := range batches {
			virtually(t, op+"/"+name, func(t *testing.T) {
				defer random.Replace(func(int64) int64 { return 0 })()
				s := newSite(t)
				s.Inject(r.fault.On(gateway.OpAPIs))
				elapsed := took(func() {
					result, err := batch.do(s.Client, t.Context(), PublishBatchRequest{GroupID: "g", EnvID: EnvRelease})
					assert.Nil(t, result)
					require.ErrorIs(t, err, r.is)
					assert.ErrorContains(t, err, "apig: "+op+": ")
					assert.ErrorContains(t, err, r.text)
					assert.Equal(t, NotApplied, OutcomeOf(err))
				})
				assert.Equal(t, r.end, elapsed)
				assert.Zero(t, s.requests(gateway.OpBatch))
			})
		}
	}
	virtually(t, "a list that names one twice", func(t *testing.T) {
		s := newSite(t)
		ids := s.apis(2)
		row := func(id string) string { return fmt.Sprintf(`{"id":%q,"name":"n"}`, id) }
		s.Inject(list(row(ids[0])+","+row(ids[1])+","+row(strings.ToUpper(ids[0])), 3).On(gateway.OpAPIs))
		result, err := s.PublishBatch(t.Context(), PublishBatchRequest{GroupID: "g", EnvID: EnvRelease})
		require.NoError(t, err)
		assert.Equal(t, ids, itemIDs(result.Items))
	})
}

// The answer to a thousand APIs is lost: every one of them is settled and sent again,
// however slow the reading is.
func TestLostBatch(t *testing.T) {
	for name, r := range map[string]struct {
		history time.Duration // how long each one takes
		rate    time.Duration // between two requests that the limiter lets pass
	}{
		"a limiter of 10/s":  {rate: 100 * time.Millisecond},
		"a history of 1.2 s": {history: 1200 * time.Millisecond},
	} {
		for op, batch := range batches {
			virtually(t, op+"/"+name, func(t *testing.T) {
				one := make(chan bool, 1)
				s := newSite(t, limitedBy(func(context.Context) error {
					one <- true
					time.Sleep(r.rate)
					<-one
					return nil
				}))
				ids := s.published(1000)
				s.Inject(gateway.CloseBefore().On(gateway.OpBatch), gateway.Slow(r.history).On(gateway.OpHistory).Always())
				result, err := batch.do(s.Client, t.Context(), PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease, Remark: "1.4.2"})
				require.NoError(t, err)
				done, _, _ := s.agree(batch.action, result.Items)
				assert.Equal(t, 1000, done)
			})
		}
	}
}

// In a batch a look at one history does not count as a look at another one. The first
// API was lost, then refused for now, and another client published it in between. The
// second API was lost twice, so that its history was read last.
func TestBatchLooksAtEachAPIAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		ids := s.apis(2)
		s.theirs("old", ids...)
		time.Sleep(time.Hour)
		s.Inject(gateway.CloseBefore().On(gateway.OpBatch))
		s.Inject(gateway.Answer(200, `{"success":[],"failure":[`+failedRow(ids[0], "APIG.3711")+","+failedRow(ids[1], "APIG.3500")+`]}`).On(gateway.OpBatch).Delayed(30 * time.Second))
		var theirs gateway.Version
		later(20*time.Second, func() { theirs = s.theirs("theirs", ids[0]) })
		_, err := s.OfflineBatch(t.Context(), OfflineBatchRequest{APIIDs: ids, EnvID: EnvRelease})
		synctest.Wait()
		require.Error(t, err)
		v, _ := s.Gateway.Published(ids[0], EnvRelease)
		assert.Equal(t, theirs.ID, v.ID)
	})
}

// A group that has lost all its members when its list is read again is empty.
func TestGroupThatBecomesEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		group, ids := s.group(600)
		s.Inject(gateway.Do(func(*gateway.Request) {
			for _, id := range ids {
				s.RemoveAPI(id)
			}
		}).On(gateway.OpAPIs).Skip(1))
		result, err := s.PublishBatch(t.Context(), PublishBatchRequest{GroupID: group, EnvID: EnvRelease})
		assert.Nil(t, result)
		require.ErrorIs(t, err, ErrNotFound)
		assert.Zero(t, s.requests(gateway.OpBatch))
	})
}

// In a batch an API that keeps failing does not use up the time that another one is
// refused for now.
func TestBatchWaitsOutARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		ids := s.apis(2)
		start := time.Now()
		s.Inject(gateway.Fault{Op: gateway.OpBatch, Rewrite: func(status int, body []byte) (int, []byte) {
			if time.Since(start) < time.Minute {
				return 200, []byte(`{"failure":[` + failedRow(ids[0], "APIG.3711") + "," + failedRow(ids[1], "APIC.7701") + `]}`)
			}
			return status, body
		}}.Always())
		result, err := s.PublishBatch(t.Context(), PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease})
		require.ErrorIs(t, err, ErrConflict)
		assert.NoError(t, result.Items[0].Err)
		require.ErrorIs(t, result.Items[1].Err, ErrConflict)
	})
}
