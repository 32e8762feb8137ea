package apig

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

const batchURL = instanceURL + "/apis/publish"

// batches are the two calls for many APIs, and what they do to each.
var batches = map[string]struct {
	do     func(*Client, context.Context, BatchRequest) (*BatchResult, error)
	action string
}{
	"PublishBatch": {(*Client).PublishBatch, "online"},
	"OfflineBatch": {(*Client).OfflineBatch, "offline"},
}

// site is a gateway over real sockets, with APIs on it and a client of it.
type site struct {
	*apigtest.Gateway
	client *Client
	apis   []string // IDs; their names are api-0, api-1 and so on
}

// siteSettleWait is how long the clients of sites wait for a lost request.
const siteSettleWait = 40 * time.Millisecond

func newSite(t testing.TB, apis int, changes ...func(*Config)) *site {
	t.Helper()
	s := &site{Gateway: apigtest.NewGateway()}
	t.Cleanup(s.Close)
	for i := range apis {
		s.apis = append(s.apis, s.AddAPI(fmt.Sprintf("api-%d", i)))
	}
	s.client = s.newClient(t, changes...)
	return s
}

// newClient makes a client with connections and turns of its own: another
// process, as far as the gateway can see.
func (s *site) newClient(t testing.TB, changes ...func(*Config)) *Client {
	t.Helper()
	cfg := testConfig(&http.Transport{MaxIdleConnsPerHost: 64})
	cfg.Endpoint, cfg.ProjectID, cfg.InstanceID = s.URL(), s.ProjectID(), s.InstanceID()
	cfg.Auth = StaticToken(s.Token())
	cfg.Retry.SettleWait = siteSettleWait
	for _, change := range changes {
		change(&cfg)
	}
	c, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// all is a batch of all APIs of the site.
func (s *site) all() BatchRequest { return BatchRequest{APIIDs: s.apis, EnvID: EnvRelease} }

// count is how many requests of a kind the gateway has received, or of all
// kinds if that is empty.
func (s *site) count(op apigtest.Op) int {
	n := 0
	for _, r := range s.Requests() {
		if op == "" || r.Op == op {
			n++
		}
	}
	return n
}

// batchBodies are the bodies of the batches that the gateway has received.
func (s *site) batchBodies(t testing.TB) []batchBodyOnWire {
	t.Helper()
	var all []batchBodyOnWire
	for _, r := range s.Requests() {
		if r.Op == apigtest.OpBatch {
			var b batchBodyOnWire
			require.NoError(t, json.Unmarshal(r.Body, &b))
			all = append(all, b)
		}
	}
	return all
}

type batchBodyOnWire struct {
	APIs    []string `json:"apis"`
	GroupID string   `json:"group_id"`
	EnvID   string   `json:"env_id"`
	Remark  string   `json:"remark"`
}

// changes are the changes that requests have made to an API, oldest first;
// those that the test made itself are left out.
func (s *site) changes() map[string][]apigtest.Applied {
	all := map[string][]apigtest.Applied{}
	for _, a := range s.Journal() {
		if a.Request != nil {
			all[a.APIID] = append(all[a.APIID], a)
		}
	}
	return all
}

// agree compares the items of the one batch that was made with the gateway's
// journal: done is applied once, unknown at most once, failed never.
func (s *site) agree(t testing.TB, action string, items []BatchItem) (done, unknown, failed int) {
	t.Helper()
	changes := s.changes()
	for i, item := range items {
		made := changes[item.APIID]
		for _, a := range made {
			require.Equal(t, action, a.Op)
			require.Equal(t, EnvRelease, a.EnvID)
		}
		switch {
		case item.Err == nil:
			done++
			require.NotNil(t, item.Record, "item %d", i)
			require.Equal(t, 1, len(made), "item %d is done", i)
			require.Equal(t, item.APIID, item.Record.APIID)
			require.Equal(t, EnvRelease, item.Record.EnvID)
			if action == "online" {
				require.Equal(t, made[0].VersionID, item.Record.VersionID, "item %d", i)
				require.Equal(t, made[0].Remark, item.Record.Remark, "item %d", i)
			} else {
				_, ok := s.Published(item.APIID, EnvRelease)
				require.False(t, ok, "item %d is offline", i)
			}
		case errors.Is(item.Err, ErrOutcomeUnknown):
			unknown++
			require.Nil(t, item.Record, "item %d", i)
			require.LessOrEqual(t, len(made), 1, "item %d is unknown", i)
		default:
			failed++
			require.Nil(t, item.Record, "item %d", i)
			require.Equal(t, 0, len(made), "item %d has failed: %v", i, item.Err)
		}
	}
	return done, unknown, failed
}

func ids(items []BatchItem) []string {
	all := make([]string, len(items))
	for i, item := range items {
		all[i] = item.APIID
	}
	return all
}

// failures is the answer to a batch that has failed for all of the APIs.
func failures(code string, apis ...string) string {
	type failure struct {
		APIID string `json:"api_id"`
		Code  string `json:"error_code"`
		Text  string `json:"error_msg"`
	}
	all := []failure{}
	for _, id := range apis {
		all = append(all, failure{id, code, "no"})
	}
	b, err := json.Marshal(map[string]any{"success": []any{}, "failure": all})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// batchRecord is a success of a batch as documented.
func batchRecord(apiID string) string {
	return fmt.Sprintf(`{"publish_id":"p-%[1]s","api_id":%[1]q,"api_name":"name of %[1]s","env_id":%[2]q,"remark":"1.4.2",`+
		`"publish_time":"2020-08-03T01:36:00.592970615Z","version_id":"v-%[1]s"}`, apiID, EnvRelease)
}

func wantBatchRecord(apiID string) *PublishRecord {
	return &PublishRecord{
		PublishID: "p-" + apiID, APIID: apiID, APIName: "name of " + apiID, EnvID: EnvRelease, Remark: "1.4.2",
		PublishTime: testTime, VersionID: "v-" + apiID, RequestID: "8080d377bffeb6d519b0567c09cebe6b",
	}
}

func TestBatchOnTheWire(t *testing.T) {
	t.Parallel()
	const env = `"env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID"`
	tests := map[string]struct {
		request BatchRequest
		body    string
	}{
		"APIs": {
			BatchRequest{APIIDs: []string{"b", "a"}, EnvID: EnvRelease}, `{"apis":["b","a"],` + env + `}`,
		},
		"APIs with a remark": {
			BatchRequest{APIIDs: []string{"b"}, EnvID: EnvRelease, Remark: `发布 "1.4.2"`},
			`{"apis":["b"],` + env + `,"remark":"发布 \"1.4.2\""}`,
		},
		"group": {
			BatchRequest{GroupID: "g", EnvID: EnvRelease}, `{"group_id":"g",` + env + `}`,
		},
		"group with a remark": {
			BatchRequest{GroupID: "g", EnvID: EnvRelease, Remark: "1.4.2"}, `{"group_id":"g",` + env + `,"remark":"1.4.2"}`,
		},
	}
	for op, batch := range batches {
		for name, tt := range tests {
			t.Run(op+"/"+name, func(t *testing.T) {
				t.Parallel()
				c, mt := newTest(t)
				var url, body string
				var header http.Header
				mt.RegisterResponder(http.MethodPost, batchURL, func(r *http.Request) (*http.Response, error) {
					b, err := io.ReadAll(r.Body)
					url, body, header = r.URL.String(), string(b), r.Header
					return httpmock.NewStringResponse(200,
						`{"success":[`+batchRecord("a")+`,`+batchRecord("b")+`],"failure":[]}`), err
				})
				result, err := batch.do(c, context.Background(), tt.request)
				require.NoError(t, err)
				assert.Equal(t, batchURL+"?action="+batch.action, url)
				assert.Equal(t, tt.body, body)
				assert.Equal(t, "application/json;charset=UTF-8", header.Get("Content-Type"))
				assert.Equal(t, testToken, header.Get("X-Auth-Token"))
				assert.Equal(t, 1, mt.GetTotalCallCount())
				want := tt.request.APIIDs
				if want == nil {
					want = []string{"a", "b"} // as answered
				}
				assert.Equal(t, want, ids(result.Items))
			})
		}
	}
}

// The service answers 200 even where it has failed.
func TestBatchFailures(t *testing.T) {
	t.Parallel()
	const (
		requestID = "8080d377bffeb6d519b0567c09cebe6b"
		success   = `"success":[%s,%s]`
		failure   = `"failure":[{"api_id":"d","api_name":"","error_code":"APIG.3002","error_msg":"Api d not found"},
			{"api_id":"b","api_name":"orders","error_code":"APIG.1005","error_msg":"No\npermissions"}]`
	)
	notFound := &APIGError{Op: "PublishBatch", APIID: "d", StatusCode: 200, Code: "APIG.3002", Message: "Api d not found", RequestID: requestID, Attempts: 1}
	forbidden := &APIGError{Op: "PublishBatch", APIID: "b", StatusCode: 200, Code: "APIG.1005", Message: `No\npermissions`, RequestID: requestID, Attempts: 1}

	c, mt := newTest(t)
	mt.RegisterResponder(http.MethodPost, batchURL, respondJSON(200,
		fmt.Sprintf("{"+success+","+failure+"}", batchRecord("c"), batchRecord("a")), "X-Request-Id", requestID))
	result, err := c.PublishBatch(context.Background(), BatchRequest{APIIDs: []string{"a", "b", "c", "d"}, EnvID: EnvRelease})

	failedB := BatchItem{APIID: "b", APIName: "orders", Err: forbidden}
	failedD := BatchItem{APIID: "d", Err: notFound}
	require.NotNil(t, result)
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
	assert.EqualError(t, err, "apig: PublishBatch: 2 of 4 APIs failed; the first: apig: PublishBatch API b: 200 OK, APIG.1005: "+
		`No\npermissions (request id `+requestID+")")
	var first *APIGError
	require.ErrorAs(t, err, &first)
	assert.Same(t, e.Items[0].Err, first)
	for _, s := range sentinels {
		assert.Equal(t, s == ErrForbidden || s == ErrNotFound, errors.Is(err, s), s)
	}
	assert.Equal(t, 1, mt.GetTotalCallCount())
}

// A batch in which everything has failed is an error like any other, and has a
// result.
func TestBatchFailsAltogether(t *testing.T) {
	t.Parallel()
	for op, batch := range batches {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 0)
			r := BatchRequest{APIIDs: []string{"x", "y"}, EnvID: EnvRelease}
			result, err := batch.do(s.client, context.Background(), r)
			require.NotNil(t, result)
			assert.Equal(t, r.APIIDs, ids(result.Items))
			require.ErrorIs(t, err, ErrNotFound)
			assert.NotErrorIs(t, err, ErrNotPublished)
			assert.NotErrorIs(t, err, ErrOutcomeUnknown)
			var e *BatchError
			require.ErrorAs(t, err, &e)
			assert.Equal(t, result.Items, e.Items)
			assert.Equal(t, 1, s.count(""))
		})
	}
}

// Where the whole call is refused, each item has that error.
func TestBatchRefused(t *testing.T) {
	t.Parallel()
	for op, batch := range batches {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			mt.RegisterResponder(http.MethodPost, batchURL, respondJSON(403, noPermissionBody))

			result, err := batch.do(c, context.Background(), BatchRequest{APIIDs: []string{"b", "a"}, EnvID: EnvRelease})
			require.NotNil(t, result)
			assert.Equal(t, []string{"b", "a"}, ids(result.Items))
			for _, item := range result.Items {
				assert.Nil(t, item.Record)
				require.ErrorIs(t, item.Err, ErrForbidden)
			}
			assert.EqualError(t, err, "apig: "+op+": 2 of 2 APIs failed; the first: apig: "+op+
				": 403 Forbidden, APIG.1005: No permissions to request this method")
			assert.Equal(t, 1, mt.GetTotalCallCount())

			// A group of which nothing is known has no items.
			result, err = batch.do(c, context.Background(), BatchRequest{GroupID: "g", EnvID: EnvRelease})
			require.NotNil(t, result)
			assert.Empty(t, result.Items)
			assert.EqualError(t, err, "apig: "+op+": 403 Forbidden, APIG.1005: No permissions to request this method")
			assert.NotErrorIs(t, err, ErrOutcomeUnknown)
			assert.Equal(t, 2, mt.GetTotalCallCount())
		})
	}
}

// Refused credentials end a batch: what is under way is all that is sent with
// them, since five refused signatures lock a key.
func TestBatchCredentialsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, 6500, authBy(StaticToken("wrong-token")))
	result, err := s.client.PublishBatch(context.Background(), s.all())
	require.ErrorIs(t, err, ErrUnauthorized)
	assert.NotErrorIs(t, err, ErrOutcomeUnknown)
	assert.Equal(t, s.apis, ids(result.Items))
	for i, item := range result.Items {
		require.ErrorIs(t, item.Err, ErrUnauthorized, "item %d", i)
		require.Nil(t, item.Record)
	}
	assert.LessOrEqual(t, s.count(""), batchParallel)
}

func TestBatchArguments(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		request BatchRequest
		text    string
	}{
		"nothing":        {BatchRequest{}, "EnvID is empty; APIIDs and GroupID are empty"},
		"no environment": {BatchRequest{APIIDs: []string{"a"}}, "EnvID is empty"},
		"no APIs":        {BatchRequest{EnvID: EnvRelease}, "APIIDs and GroupID are empty"},
		"an empty list":  {BatchRequest{APIIDs: []string{}, EnvID: EnvRelease}, "APIIDs and GroupID are empty"},
		"APIs and a group": {
			BatchRequest{APIIDs: []string{"a"}, GroupID: "g", EnvID: EnvRelease}, "APIIDs and GroupID exclude each other",
		},
		"an empty ID": {BatchRequest{APIIDs: []string{"a", ""}, EnvID: EnvRelease}, "APIIDs[1] is empty"},
		"a bad ID":    {BatchRequest{APIIDs: []string{"a", "a/b"}, EnvID: EnvRelease}, `APIIDs[1] "a/b" is not an ID`},
		"a bad group": {BatchRequest{GroupID: "..", EnvID: EnvRelease}, `GroupID ".." is not an ID`},
		"a bad environment": {
			BatchRequest{GroupID: "g", EnvID: "a b"}, `EnvID "a b" is not an ID`,
		},
		"twice the same": {
			BatchRequest{APIIDs: []string{"a", "b", "c", "b"}, EnvID: EnvRelease}, "APIIDs[1] and APIIDs[3] are the same",
		},
		"thrice the same": {
			BatchRequest{APIIDs: []string{"a", "a", "a"}, EnvID: EnvRelease},
			"APIIDs[0] and APIIDs[1] are the same; APIIDs[1] and APIIDs[2] are the same",
		},
		"a long remark": {
			BatchRequest{GroupID: "g", EnvID: EnvRelease, Remark: strings.Repeat("发", 256)},
			"Remark has 256 characters, at most 255 are allowed",
		},
		"all of it": {
			BatchRequest{APIIDs: []string{"", "b", "b"}, GroupID: "g", EnvID: ".", Remark: "\xff"},
			`EnvID "." is not an ID; Remark is not valid UTF-8; APIIDs and GroupID exclude each other; ` +
				"APIIDs[0] is empty; APIIDs[1] and APIIDs[2] are the same",
		},
	}
	for op, batch := range batches {
		for name, tt := range tests {
			t.Run(op+"/"+name, func(t *testing.T) {
				t.Parallel()
				c, mt := newTest(t)
				result, err := batch.do(c, context.Background(), tt.request)
				assert.Nil(t, result)
				require.EqualError(t, err, "apig: invalid argument: "+tt.text)
				assert.ErrorIs(t, err, ErrInvalidArgument)
				assert.Zero(t, mt.GetTotalCallCount(), "found before the network")
			})
		}
	}
}

func TestBatchOfThousands(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2500)
	s.apis = append(s.apis[1800:], s.apis[:1800]...) // any order
	result, err := s.client.PublishBatch(context.Background(), s.all())
	require.NoError(t, err)
	assert.Equal(t, s.apis, ids(result.Items))
	done, _, _ := s.agree(t, "online", result.Items)
	assert.Equal(t, 2500, done)
	for i, item := range result.Items {
		require.Equal(t, item.APIName, item.Record.APIName)
		require.NotEmpty(t, item.APIName)
		require.NotEmpty(t, item.Record.PublishID)
		require.NotEmpty(t, item.Record.RequestID)
		require.False(t, item.Record.Recovered, "item %d", i)
	}

	assert.Equal(t, 3, s.count(""))
	bodies := s.batchBodies(t)
	slices.SortFunc(bodies, func(a, b batchBodyOnWire) int {
		return slices.Index(s.apis, a.APIs[0]) - slices.Index(s.apis, b.APIs[0])
	})
	var sent []string
	for n, want := range []int{1000, 1000, 500} {
		assert.Len(t, bodies[n].APIs, want)
		sent = append(sent, bodies[n].APIs...)
	}
	assert.Equal(t, s.apis, sent, "each once, in the order of the request")
}

// Exactly a thousand is one request.
func TestBatchOfOneThousand(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1001)
	_, err := s.client.PublishBatch(context.Background(), BatchRequest{APIIDs: s.apis[:1000], EnvID: EnvRelease})
	require.NoError(t, err)
	assert.Equal(t, 1, s.count(""))
	_, err = s.client.OfflineBatch(context.Background(), BatchRequest{APIIDs: s.apis[:999], EnvID: EnvRelease})
	require.NoError(t, err)
	assert.Equal(t, 2, s.count(""))
	result, err := s.client.PublishBatch(context.Background(), s.all())
	require.NoError(t, err)
	assert.Equal(t, 4, s.count(""))
	assert.Equal(t, s.apis, ids(result.Items))
}

// What the answer says of an API, for all APIs at once, and what comes of it.
func TestBatchCodes(t *testing.T) {
	t.Parallel()
	const always = -1
	tests := map[string]struct {
		code      string
		applied   bool // although the answer says that it has failed
		times     int
		batches   int // requests in the end
		histories int // for each API
		sentinel  error
	}{
		"once a minute":         {code: "APIG.3711", times: 1, batches: 2},
		"throttled":             {code: "APIG.9008", times: 1, batches: 2},
		"throttled in front":    {code: "APIGW.0308", times: 1, batches: 2},
		"task running":          {code: "APIG.3718", times: 1, batches: 2},
		"gateway busy":          {code: "APIC.7701", times: 1, batches: 2},
		"gateway locked":        {code: "APIC.7712", times: 2, batches: 3},
		"gateway not lockable":  {code: "APIC.9222", times: 3, batches: 4},
		"always throttled":      {code: "APIG.9008", times: always, batches: 4, sentinel: ErrThrottled},
		"always locked":         {code: "APIC.7712", times: always, batches: 4, sentinel: ErrConflict},
		"not synchronized":      {code: "APIG.3500", times: 1, batches: 2, histories: 3},
		"system error":          {code: "APIG.9999", times: 1, batches: 2, histories: 3},
		"not synchronized, but": {code: "APIG.3500", applied: true, times: 1, batches: 1, histories: 1},
		"system error, but":     {code: "APIG.9999", applied: true, times: 1, batches: 1, histories: 1},
		"always a system error": {code: "APIG.9999", times: always, batches: 4, histories: 12, sentinel: ErrServer},
		"a code of the future":  {code: "APIG.4711", times: 1, batches: 2, histories: 3},
		"no API":                {code: "APIG.3002", times: always, batches: 1, sentinel: ErrNotFound},
		"no environment":        {code: "APIG.3003", times: always, batches: 1, sentinel: ErrNotFound},
		"no permission":         {code: "APIG.1005", times: always, batches: 1, sentinel: ErrForbidden},
		"token expired":         {code: "APIG.1001", times: always, batches: 1, sentinel: ErrUnauthorized},
		"wrong parameter":       {code: "APIG.2011", times: always, batches: 1, sentinel: ErrBadRequest},
		"not published":         {code: "APIG.3015", times: always, batches: 1, sentinel: ErrNotPublished},
	}
	for op, batch := range batches {
		for name, tt := range tests {
			t.Run(op+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := newSite(t, 3)
				if batch.action == "offline" {
					s.publishEarlier(t, time.Hour, "1.4.1")
				}
				fault := apigtest.Answer(200, failures(tt.code, s.apis...))
				if tt.applied {
					fault.Apply = apigtest.ApplyFirst
				}
				s.Inject(fault.On(apigtest.OpBatch).Times(tt.times))

				result, err := batch.do(s.client, context.Background(), s.all())
				require.NotNil(t, result)
				done, unknown, failed := s.agree(t, batch.action, result.Items)
				assert.Zero(t, unknown)
				assert.Equal(t, tt.batches, s.count(apigtest.OpBatch))
				assert.Equal(t, 3*tt.histories, s.count(apigtest.OpHistory))
				if tt.sentinel == nil {
					require.NoError(t, err)
					assert.Equal(t, 3, done)
					for _, item := range result.Items {
						assert.Equal(t, tt.applied, item.Record.Recovered)
					}
					return
				}
				assert.Equal(t, 3, failed)
				require.ErrorIs(t, err, tt.sentinel)
				var e *APIGError
				require.ErrorAs(t, err, &e)
				assert.Equal(t, Code(tt.code), e.Code)
				assert.Equal(t, s.apis[0], e.APIID)
				assert.Equal(t, tt.batches, e.Attempts)
			})
		}
	}
}

// publishEarlier has somebody else publish all APIs some time ago, or those
// that are given.
func (s *site) publishEarlier(t testing.TB, ago time.Duration, remark string, apis ...string) {
	t.Helper()
	if apis == nil {
		apis = s.apis
	}
	s.SetClock(func() time.Time { return time.Now().Add(-ago) })
	for _, id := range apis {
		_, err := s.Publish(id, EnvRelease, remark)
		require.NoError(t, err)
	}
	s.SetClock(nil)
}

// Only what has failed is sent again.
func TestBatchRepeatsWhatFailed(t *testing.T) {
	t.Parallel()
	c, mt := newTest(t)
	var bodies []string
	mt.RegisterResponder(http.MethodPost, batchURL, func(r *http.Request) (*http.Response, error) {
		b, err := io.ReadAll(r.Body)
		bodies = append(bodies, string(b))
		answer := `{"success":[` + batchRecord("b") + `],"failure":[]}`
		if len(bodies) == 1 {
			answer = `{"success":[` + batchRecord("c") + `],"failure":[{"api_id":"b","error_code":"APIG.9008"},{"api_id":"a","error_code":"APIG.3002"}]}`
		}
		resp := httpmock.NewStringResponse(200, answer)
		resp.Header.Set("X-Request-Id", "8080d377bffeb6d519b0567c09cebe6b")
		return resp, err
	})
	result, err := c.PublishBatch(context.Background(), BatchRequest{APIIDs: []string{"a", "b", "c"}, EnvID: EnvRelease, Remark: "1.4.2"})
	require.ErrorIs(t, err, ErrNotFound)
	assert.NotErrorIs(t, err, ErrThrottled)
	require.Len(t, result.Items, 3)
	assert.Equal(t, wantBatchRecord("b"), result.Items[1].Record)
	assert.Equal(t, wantBatchRecord("c"), result.Items[2].Record)
	assert.Equal(t, []string{
		`{"apis":["a","b","c"],"env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID","remark":"1.4.2"}`,
		`{"apis":["b"],"env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID","remark":"1.4.2"}`,
	}, bodies)
}

// What a lost attempt may have taken offline already is offline, when the next
// one is told so. Before any was lost, that is an error; and it never is the
// answer to a publication.
func TestBatchNotPublishedAfterALostAttempt(t *testing.T) {
	t.Parallel()
	for _, apis := range []int{3, 30} {
		for op, batch := range batches {
			for _, code := range []string{"APIG.3015", "APIG.3309"} {
				t.Run(fmt.Sprint(op, "/", code, "/", apis), func(t *testing.T) {
					t.Parallel()
					s := newSite(t, apis)
					s.publishEarlier(t, time.Hour, "1.4.1")
					s.Inject(apigtest.CloseBefore().On(apigtest.OpBatch),
						apigtest.Answer(200, failures(code, s.apis...)).On(apigtest.OpBatch))
					result, err := batch.do(s.client, context.Background(), s.all())
					assert.Equal(t, 2, s.count(apigtest.OpBatch))
					assert.NotErrorIs(t, err, ErrOutcomeUnknown)
					for _, item := range result.Items {
						if batch.action == "offline" {
							require.NoError(t, item.Err)
							require.Equal(t, &PublishRecord{APIID: item.APIID, EnvID: EnvRelease, Recovered: true}, item.Record)
						} else {
							require.Error(t, item.Err)
							require.Nil(t, item.Record)
						}
					}
				})
			}
		}
	}
}

// rewriteBatch changes the gateway's own answer to a batch.
func rewriteBatch(change func(success, failure []map[string]any) ([]map[string]any, []map[string]any)) apigtest.Fault {
	return apigtest.Fault{Rewrite: func(status int, body []byte) (int, []byte) {
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
	}}.On(apigtest.OpBatch)
}

// An answer that does not say what became of an API leaves that open, be it
// none of them that it speaks of.
func TestBatchAnswerLeavesOut(t *testing.T) {
	t.Parallel()
	drop := func(which func(record map[string]any) bool) apigtest.Fault {
		return rewriteBatch(func(success, failure []map[string]any) ([]map[string]any, []map[string]any) {
			return slices.DeleteFunc(success, which), failure
		})
	}
	for op, batch := range batches {
		for _, apis := range []int{5, 40} { // settled one by one, and together
			name := fmt.Sprintf("%s/%d", op, apis)
			t.Run(name+"/one, which was applied", func(t *testing.T) {
				t.Parallel()
				s := newSite(t, apis)
				if batch.action == "offline" {
					s.publishEarlier(t, time.Hour, "1.4.1")
				}
				s.Inject(drop(func(r map[string]any) bool { return r["api_name"] == "api-3" }))
				result, err := batch.do(s.client, context.Background(), s.all())
				require.NoError(t, err)
				s.agree(t, batch.action, result.Items)
				for i, item := range result.Items {
					assert.Equal(t, i == 3, item.Record.Recovered)
				}
				assert.Equal(t, 1, s.count(apigtest.OpBatch))
				assert.Equal(t, 1, s.count(apigtest.OpHistory), "of that one only")
			})
			t.Run(name+"/all, which were applied", func(t *testing.T) {
				t.Parallel()
				s := newSite(t, apis)
				if batch.action == "offline" {
					s.publishEarlier(t, time.Hour, "1.4.1")
				}
				s.Inject(drop(func(map[string]any) bool { return true }))
				result, err := batch.do(s.client, context.Background(), s.all())
				require.NoError(t, err)
				done, _, _ := s.agree(t, batch.action, result.Items)
				assert.Equal(t, apis, done)
				assert.Equal(t, 1, s.count(apigtest.OpBatch))
			})
			t.Run(name+"/all, which were not applied", func(t *testing.T) {
				t.Parallel()
				s := newSite(t, apis)
				if batch.action == "offline" {
					s.publishEarlier(t, time.Hour, "1.4.1")
				}
				s.Inject(apigtest.Answer(200, `{"success":[],"failure":[]}`).On(apigtest.OpBatch))
				result, err := batch.do(s.client, context.Background(), s.all())
				require.NoError(t, err)
				done, _, _ := s.agree(t, batch.action, result.Items)
				assert.Equal(t, apis, done)
				assert.Equal(t, 2, s.count(apigtest.OpBatch))
			})
		}
	}
}

// Records that are not of this batch say nothing.
func TestBatchForeignRecords(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"another API":         strings.ReplaceAll(batchRecord("a"), `"api_id":"a"`, `"api_id":"z"`),
		"another environment": strings.Replace(batchRecord("a"), EnvRelease, "z", 1),
		"no publication":      `{"api_id":"a","api_name":"name of a","env_id":"` + EnvRelease + `"}`,
		"no API":              omit(batchRecord("a"), "api_id"),
	}
	for name, record := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			mt.RegisterResponder(http.MethodPost, batchURL, respondJSON(200, `{"success":[`+record+`],"failure":[]}`))
			mt.RegisterResponder(http.MethodGet, batchURL+"/a", respondJSON(403, noPermissionBody))
			result, err := c.PublishBatch(context.Background(), BatchRequest{APIIDs: []string{"a"}, EnvID: EnvRelease})
			require.ErrorIs(t, err, ErrOutcomeUnknown)
			assert.ErrorIs(t, err, ErrBadResponse)
			assert.NotErrorIs(t, err, ErrForbidden)
			assert.Equal(t, []string{"a"}, ids(result.Items))
			assert.Nil(t, result.Items[0].Record)
			assert.Equal(t, 2, mt.GetTotalCallCount(), "not repeated blindly")
		})
	}
}

// A success that cannot be read proves nothing.
func TestBatchUnreadableSuccess(t *testing.T) {
	t.Parallel()
	whole := `{"success":[` + batchRecord("a") + `],"failure":[]}`
	tests := map[string]httpmock.Responder{
		"empty":                 respondJSON(200, ""),
		"no content":            respond(204, ""),
		"empty object":          respondJSON(200, "{}"),
		"null":                  respondJSON(200, "null"),
		"both null":             respondJSON(200, `{"success":null,"failure":null}`),
		"HTML":                  respond(200, "<html></html>", "Content-Type", "text/html"),
		"error":                 respondJSON(200, systemBody),
		"record":                respondJSON(201, publishedBody),
		"success of wrong type": respondJSON(200, `{"success":{},"failure":[]}`),
		"junk behind":           respondJSON(200, whole+"}"),
		"cut":                   respondJSON(200, whole[:len(whole)-1]),
	}
	for op, batch := range batches {
		for name, answer := range tests {
			t.Run(op+"/"+name, func(t *testing.T) {
				t.Parallel()
				c, mt := newTest(t)
				mt.RegisterResponder(http.MethodPost, batchURL, answer)
				mt.RegisterResponder(http.MethodGet, batchURL+"/a", respondJSON(403, noPermissionBody))
				mt.RegisterResponder(http.MethodGet, instanceURL+"/apis", respondJSON(403, noPermissionBody))

				result, err := batch.do(c, context.Background(), BatchRequest{APIIDs: []string{"a"}, EnvID: EnvRelease})
				require.ErrorIs(t, err, ErrOutcomeUnknown)
				assert.ErrorIs(t, err, ErrBadResponse)
				assert.Equal(t, []string{"a"}, ids(result.Items))
				assert.Nil(t, result.Items[0].Record)
				assert.Equal(t, 2, mt.GetTotalCallCount())

				result, err = batch.do(c, context.Background(), BatchRequest{GroupID: "g", EnvID: EnvRelease})
				require.ErrorIs(t, err, ErrOutcomeUnknown)
				assert.ErrorIs(t, err, ErrBadResponse)
				assert.NotErrorIs(t, err, ErrForbidden)
				require.NotNil(t, result)
				assert.Empty(t, result.Items)
				assert.Equal(t, 4, mt.GetTotalCallCount())
			})
		}
	}
}

// The answer to a thousand APIs may be long, but what is longer than any answer
// can be is not read.
func TestBatchAnswerTooLong(t *testing.T) {
	t.Parallel()
	answer := func(c *Client, mt *httpmock.MockTransport, blanks int64) (read int, err error) {
		body := &countedBody{Reader: io.MultiReader(io.LimitReader(endless(' '), blanks), strings.NewReader(`{"success":[`+batchRecord("a")+`]}`))}
		mt.RegisterResponder(http.MethodPost, batchURL, respondWith(200, func() io.Reader { return body }))
		mt.RegisterResponder(http.MethodGet, batchURL+"/a", respondJSON(403, noPermissionBody))
		_, err = c.PublishBatch(context.Background(), BatchRequest{APIIDs: []string{"a"}, EnvID: EnvRelease})
		return body.read, err
	}
	c, mt := newTest(t)
	_, err := answer(c, mt, maxBody)
	require.NoError(t, err)
	read, err := answer(c, mt, maxList)
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	require.ErrorIs(t, err, ErrBadResponse)
	assert.LessOrEqual(t, read, maxList+maxDrain)
}

// The promise: whatever becomes of the one answer to a thousand APIs, the
// caller knows of each what happened, and the gateway is not asked too often.
func TestBatchAnswerLost(t *testing.T) {
	t.Parallel()
	const many, some = 1000, 60
	// half is that somebody else has published every other API before.
	half := func(ago time.Duration, remark string) func(*testing.T, *site) {
		return func(t *testing.T, s *site) {
			var others []string
			for i := 0; i < len(s.apis); i += 2 {
				others = append(others, s.apis[i])
			}
			s.publishEarlier(t, ago, remark, others...)
		}
	}
	// nowAndThen is that a request for the history is refused, for a second or
	// without saying for how long.
	nowAndThen := func(_ *testing.T, s *site) {
		s.Inject(apigtest.Throttle("1").On(apigtest.OpHistory).Skip(10).Times(2))
		s.InjectFunc(apigtest.Mix(1, 0.02, apigtest.Throttle("").On(apigtest.OpHistory)))
	}
	// patience is that reading fails oftener than any other call is attempted.
	patience := func(op apigtest.Op) func(*testing.T, *site) {
		return func(_ *testing.T, s *site) { s.Inject(apigtest.Throttle("").On(op).Times(8)) }
	}
	tests := map[string]struct {
		apis   int
		fault  apigtest.Fault
		before func(*testing.T, *site)
		tagged bool
		settle time.Duration
	}{
		"cut":                            {apis: many, fault: apigtest.Cut(0)},
		"not applied":                    {apis: many, fault: apigtest.CloseBefore()},
		"cut, half others'":              {apis: many, fault: apigtest.Cut(0), before: half(5*time.Second, "1.4.1")},
		"not applied, half others'":      {apis: some, fault: apigtest.CloseBefore(), before: half(5*time.Second, "1.4.1")},
		"cut, throttled":                 {apis: many, fault: apigtest.Cut(0), before: nowAndThen},
		"closed":                         {apis: some, fault: apigtest.ApplyThenClose()},
		"reset":                          {apis: some, fault: apigtest.Fault{Apply: apigtest.ApplyFirst, End: apigtest.EndReset}},
		"applied later":                  {apis: some, fault: apigtest.CloseThenApply(20 * time.Millisecond), settle: 500 * time.Millisecond},
		"gateway timeout":                {apis: some, fault: apigtest.ApplyThenAnswer(504, "<html></html>")},
		"gateway timeout, not applied":   {apis: some, fault: apigtest.Answer(504, "<html></html>")},
		"system error":                   {apis: some, fault: apigtest.ApplyThenAnswer(500, systemBody)},
		"system error, not applied":      {apis: some, fault: apigtest.Answer(500, systemBody)},
		"empty":                          {apis: some, fault: apigtest.ApplyThenAnswer(200, "")},
		"cut, half just now":             {apis: some, fault: apigtest.Cut(0), before: half(0, "1.4.1")},
		"cut, half the same":             {apis: some, fault: apigtest.Cut(0), before: half(5*time.Second, "1.4.2")},
		"cut, half just now, tagged":     {apis: some, fault: apigtest.Cut(0), before: half(0, "1.4.2"), tagged: true},
		"not applied, half just now":     {apis: some, fault: apigtest.CloseBefore(), before: half(0, "1.4.1")},
		"not applied, half long ago":     {apis: some, fault: apigtest.CloseBefore(), before: half(time.Minute, "1.4.2")},
		"not applied, half now, tagged":  {apis: some, fault: apigtest.CloseBefore(), before: half(0, "1.4.2"), tagged: true},
		"not applied twice":              {apis: some, fault: apigtest.CloseBefore().Times(2)},
		"applied at the second time":     {apis: some, fault: apigtest.Fault{Apply: apigtest.ApplyFirst, End: apigtest.EndClose}.Skip(1), before: func(_ *testing.T, s *site) { s.Inject(apigtest.CloseBefore().On(apigtest.OpBatch)) }},
		"one, read at the ninth time":    {apis: 1, fault: apigtest.Cut(0), before: patience(apigtest.OpHistory)},
		"some, listed at the ninth time": {apis: some, fault: apigtest.Cut(0), before: patience(apigtest.OpAPIs)},
		"a few, cut":                     {apis: fewCalls, fault: apigtest.Cut(0)},
		"a few, not applied":             {apis: fewCalls, fault: apigtest.CloseBefore()},
		"a few, half just now":           {apis: fewCalls, fault: apigtest.CloseBefore(), before: half(0, "1.4.1")},
		"a few, throttled":               {apis: fewCalls, fault: apigtest.CloseBefore(), before: nowAndThen},
		"one more than a few":            {apis: fewCalls + 1, fault: apigtest.Cut(0)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, tt.apis, func(cfg *Config) {
				cfg.Retry.TagRemark = tt.tagged
				cfg.Retry.MaxWait = 2 * time.Second // or a Retry-After would end a read
				cfg.Retry.SettleWait = cmp.Or(tt.settle, siteSettleWait)
			})
			if tt.before != nil {
				tt.before(t, s)
			}
			s.Inject(tt.fault.On(apigtest.OpBatch))

			r := s.all()
			r.Remark = "1.4.2"
			result, err := s.client.PublishBatch(context.Background(), r)
			require.NoError(t, err)
			assert.Equal(t, s.apis, ids(result.Items))
			done, _, _ := s.agree(t, "online", result.Items)
			assert.Equal(t, tt.apis, done)
			for i, item := range result.Items {
				v, ok := s.Published(item.APIID, EnvRelease)
				require.True(t, ok)
				require.Equal(t, v.PublishID, item.Record.PublishID)
				require.Equal(t, fmt.Sprintf("api-%d", i), item.APIName)
				require.Equal(t, item.APIName, item.Record.APIName)
			}
			t.Logf("%d calls: %d batches, %d lists, %d histories", s.count(""),
				s.count(apigtest.OpBatch), s.count(apigtest.OpAPIs), s.count(apigtest.OpHistory))
			if tt.apis == many {
				assert.Less(t, s.count(""), 2200)
			}
			assert.Positive(t, s.Faults())
		})
	}
}

func TestOfflineBatchAnswerLost(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		apis  int
		fault apigtest.Fault
		calls int // at most
	}{
		"cut":           {1000, apigtest.Cut(0), 2},
		"not applied":   {1000, apigtest.CloseBefore(), 6},
		"closed":        {100, apigtest.ApplyThenClose(), 2},
		"applied later": {100, apigtest.CloseThenApply(siteSettleWait / 2), 4},
		"timeout":       {100, apigtest.Answer(504, "<html></html>"), 4},
		"a few":         {fewCalls, apigtest.Cut(0), 1 + fewCalls},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, tt.apis)
			s.publishEarlier(t, time.Hour, "1.4.1")
			s.Inject(tt.fault.On(apigtest.OpBatch))

			result, err := s.client.OfflineBatch(context.Background(), s.all())
			require.NoError(t, err)
			assert.Equal(t, s.apis, ids(result.Items))
			done, _, _ := s.agree(t, "offline", result.Items)
			assert.Equal(t, tt.apis, done)
			t.Logf("%d calls", s.count(""))
			assert.LessOrEqual(t, s.count(""), tt.calls)
		})
	}
}

// While it lists what is published, others go offline: the list grows shorter
// under the reader and hides some that are still published.
func TestOfflineBatchWhileTheListShrinks(t *testing.T) {
	t.Parallel()
	s := newSite(t, 600)
	s.publishEarlier(t, time.Hour, "1.4.1")
	r := BatchRequest{APIIDs: s.apis[490:520], EnvID: EnvRelease}
	s.Inject(apigtest.CloseBefore().On(apigtest.OpBatch))
	s.Inject(apigtest.Fault{}.On(apigtest.OpAPIs).Always().When(func(page *apigtest.Request) bool {
		if page.Query.Get("offset") != "0" {
			for _, id := range s.apis[:20] {
				_ = s.Offline(id, EnvRelease) // from the second time on it is offline already
			}
		}
		return true
	}))
	result, err := s.client.OfflineBatch(context.Background(), r)
	require.NoError(t, err)
	done, _, _ := s.agree(t, "offline", result.Items)
	assert.Equal(t, 30, done)
}

// What cannot be read stays unknown: neither done nor repeated.
func TestBatchUnsettled(t *testing.T) {
	t.Parallel()
	refuse := func(op apigtest.Op) apigtest.Fault { return apigtest.Answer(403, noPermissionBody).On(op).Always() }
	tests := map[string]struct {
		apis     int
		fault    apigtest.Fault
		unread   apigtest.Op // which request is refused
		except   int         // if not 0: only for the first so many APIs
		why      string
		requests int // besides the batch; 0: any
	}{
		"history of a few":           {apis: 10, fault: apigtest.Cut(0), unread: apigtest.OpHistory, why: "the history cannot be read", requests: 10},
		"history of some of a few":   {apis: 10, fault: apigtest.Cut(0), unread: apigtest.OpHistory, except: 3, why: "the history cannot be read"},
		"list":                       {apis: 40, fault: apigtest.Cut(0), unread: apigtest.OpAPIs, why: "the history cannot be read", requests: 1},
		"list, not applied":          {apis: 40, fault: apigtest.CloseBefore(), unread: apigtest.OpAPIs, why: "the history cannot be read", requests: 1},
		"history of many":            {apis: 40, fault: apigtest.Cut(0), unread: apigtest.OpHistory, why: "the history cannot be read", requests: 41},
		"history of some":            {apis: 40, fault: apigtest.Cut(0), unread: apigtest.OpHistory, except: 7, why: "the history cannot be read", requests: 41},
		"history of some, no answer": {apis: 40, fault: apigtest.CloseBefore(), unread: apigtest.OpHistory, except: 7, why: "the history cannot be read"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, tt.apis)
			blind := s.apis
			if tt.except > 0 {
				blind = s.apis[:tt.except]
			}
			s.Inject(tt.fault.On(apigtest.OpBatch))
			s.Inject(refuse(tt.unread).When(func(r *apigtest.Request) bool {
				return tt.except == 0 || slices.Contains(blind, r.APIID)
			}))
			result, err := s.client.PublishBatch(context.Background(), s.all())
			require.ErrorIs(t, err, ErrOutcomeUnknown)
			assert.NotErrorIs(t, err, ErrForbidden, "that is the history's")
			assert.NotErrorIs(t, err, ErrNotFound)
			done, unknown, failed := s.agree(t, "online", result.Items)
			assert.Equal(t, []int{tt.apis - len(blind), len(blind), 0}, []int{done, unknown, failed})
			for _, item := range result.Items {
				if slices.Contains(blind, item.APIID) {
					require.ErrorIs(t, item.Err, ErrOutcomeUnknown)
					require.ErrorContains(t, item.Err, "outcome unknown: "+tt.why)
					require.NotContains(t, item.Err.Error(), "\n")
				}
			}
			if tt.requests > 0 {
				assert.Equal(t, 1+tt.requests, s.count(""))
			}
		})
	}
}

// An API that is gone when its history is asked for was an answer.
func TestBatchOfAPIsThatAreGone(t *testing.T) {
	t.Parallel()
	for _, apis := range []int{5, 40} {
		t.Run(fmt.Sprint(apis), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, apis)
			s.Inject(apigtest.CloseBefore().On(apigtest.OpBatch).When(func(*apigtest.Request) bool {
				s.RemoveAPI(s.apis[2])
				return true
			}))
			result, err := s.client.PublishBatch(context.Background(), s.all())
			require.ErrorIs(t, err, ErrNotFound)
			assert.NotErrorIs(t, err, ErrOutcomeUnknown)
			done, unknown, failed := s.agree(t, "online", result.Items)
			assert.Equal(t, []int{apis - 1, 0, 1}, []int{done, unknown, failed})
			var e *APIGError
			require.ErrorAs(t, result.Items[2].Err, &e)
			assert.Equal(t, CodeAPINotFound, e.Code)
			assert.Equal(t, "PublishBatch", e.Op)
		})
	}
}

// attemptLog is a logger that tells of each attempt of a client.
type attemptLog struct{ attempts chan<- string }

func (attemptLog) Enabled(context.Context, slog.Level) bool { return true }
func (l attemptLog) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l attemptLog) WithGroup(string) slog.Handler          { return l }

func (l attemptLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "apig: attempt" {
		return nil
	}
	var what string
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "op" || a.Key == "status" {
			what += " " + a.Value.String()
		}
		return true
	})
	l.attempts <- strings.TrimSpace(what)
	return nil
}

// attemptsTo returns a change of a configuration that sends to the channel, for
// each attempt, the operation and the status.
func attemptsTo(attempts chan<- string) func(*Config) {
	return logTo(slog.New(attemptLog{attempts}))
}

// await waits for the wanted attempt. It may be called from any goroutine, as
// may eventually.
func await(t testing.TB, attempts <-chan string, want string) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case got := <-attempts:
			if got == want {
				return
			}
		case <-timeout:
			assert.Fail(t, "no attempt: "+want)
			return
		}
	}
}

// eventually waits until the gateway has received so many requests of a kind.
func (s *site) eventually(t testing.TB, op apigtest.Op, n int) {
	t.Helper()
	assert.Eventually(t, func() bool { return s.count(op) >= n }, 20*time.Second, time.Millisecond)
}

func TestBatchContextEndedBefore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for op, batch := range batches {
		s := newSite(t, 3)
		result, err := batch.do(s.client, ctx, s.all())
		require.ErrorIs(t, err, context.Canceled)
		assert.NotErrorIs(t, err, ErrOutcomeUnknown)
		require.NotNil(t, result)
		assert.Equal(t, s.apis, ids(result.Items))
		for _, item := range result.Items {
			require.ErrorIs(t, item.Err, context.Canceled)
			assert.Regexp(t, "^apig: "+op+".*: context canceled$", item.Err.Error())
		}
		result, err = batch.do(s.client, ctx, BatchRequest{GroupID: "g", EnvID: EnvRelease})
		require.ErrorIs(t, err, context.Canceled)
		assert.NotErrorIs(t, err, ErrOutcomeUnknown)
		require.NotNil(t, result)
		assert.Empty(t, result.Items)
		assert.Zero(t, s.count(""))
	}
}

// Four requests hang when the context ends, one has been answered, and one was
// not sent yet.
func TestBatchContextEndsInTheMiddle(t *testing.T) {
	t.Parallel()
	for op, batch := range batches {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			attempts := make(chan string, 100)
			s := newSite(t, 5500, attemptsTo(attempts))
			if batch.action == "offline" {
				s.publishEarlier(t, time.Hour, "1.4.1")
			}
			hang := apigtest.Hang()
			hang.Apply = apigtest.ApplyFirst // and yet nobody is told
			s.Inject(hang.On(apigtest.OpBatch).Always().When(func(r *apigtest.Request) bool {
				return !bytes.Contains(r.Body, []byte(s.apis[500])) // of the first thousand
			}))
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() {
				defer cancel()
				await(t, attempts, op+" 200")
				s.eventually(t, apigtest.OpBatch, 5)
			}()
			result, err := batch.do(s.client, ctx, s.all())
			require.ErrorIs(t, err, ErrOutcomeUnknown)
			require.ErrorIs(t, err, context.Canceled)
			assert.Equal(t, s.apis, ids(result.Items))
			s.agree(t, batch.action, result.Items)
			for i, item := range result.Items {
				switch {
				case i < 1000:
					require.NoError(t, item.Err, "item %d", i)
				case i < 5000:
					require.ErrorIs(t, item.Err, ErrOutcomeUnknown, "item %d was sent", i)
					require.ErrorIs(t, item.Err, context.Canceled, "item %d", i)
				default:
					require.NotErrorIs(t, item.Err, ErrOutcomeUnknown, "item %d was not sent", i)
					require.ErrorIs(t, item.Err, context.Canceled, "item %d", i)
				}
			}
			assert.Equal(t, 5, s.count(""), "nothing is read or sent after the context's end")
		})
	}
}

// The context ends while it is being settled: what is known by then is reported.
func TestBatchContextEndsWhileSettling(t *testing.T) {
	t.Parallel()
	for _, apis := range []int{6, 60} {
		t.Run(fmt.Sprint(apis), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, apis)
			blind := s.apis[:5]
			s.Inject(apigtest.Cut(0).On(apigtest.OpBatch))
			s.Inject(apigtest.Hang().On(apigtest.OpHistory).Always().When(func(r *apigtest.Request) bool { return slices.Contains(blind, r.APIID) }))
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() {
				defer cancel()
				s.eventually(t, apigtest.OpHistory, apis)
				s.eventually(t, apigtest.OpRuntime, apis%60-5)
			}()
			result, err := s.client.PublishBatch(ctx, s.all())
			require.ErrorIs(t, err, ErrOutcomeUnknown)
			require.ErrorIs(t, err, context.Canceled)
			s.agree(t, "online", result.Items)
			for _, item := range result.Items {
				if slices.Contains(blind, item.APIID) {
					require.ErrorIs(t, item.Err, ErrOutcomeUnknown)
					require.ErrorIs(t, item.Err, context.Canceled)
				}
			}
			assert.Equal(t, 1, s.count(apigtest.OpBatch))
		})
	}
}

// Where the time left is too short to settle, it looks once and returns.
func TestBatchDeadlineBeforeSettled(t *testing.T) {
	t.Parallel()
	for _, apis := range []int{5, 40} {
		for name, fault := range map[string]apigtest.Fault{"applied": apigtest.Cut(0), "not applied": apigtest.CloseBefore()} {
			t.Run(fmt.Sprint(name, "/", apis), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, apis, func(cfg *Config) { cfg.Retry.SettleWait = time.Hour })
				s.Inject(fault.On(apigtest.OpBatch))
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				result, err := s.client.PublishBatch(ctx, s.all())
				require.NoError(t, ctx.Err(), "it returns at once")
				done, unknown, _ := s.agree(t, "online", result.Items)
				if name == "applied" {
					require.NoError(t, err)
					assert.Equal(t, apis, done)
					return
				}
				require.ErrorIs(t, err, ErrOutcomeUnknown)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Equal(t, apis, unknown)
				assert.Equal(t, 1, s.count(apigtest.OpBatch))
			})
		}
	}
}

// Where the time left is too short for the next round, it returns at once.
func TestBatchDeadlineBeforeNextRound(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2, func(cfg *Config) { cfg.Retry.MinWait, cfg.Retry.MaxWait = time.Hour, time.Hour })
	s.Inject(apigtest.Answer(200, failures("APIG.9008", s.apis...)).On(apigtest.OpBatch))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	result, err := s.client.PublishBatch(ctx, s.all())
	require.NoError(t, ctx.Err(), "it returns at once")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorIs(t, err, ErrThrottled)
	assert.NotErrorIs(t, err, ErrOutcomeUnknown)
	_, _, failed := s.agree(t, "online", result.Items)
	assert.Equal(t, 2, failed)
}

func TestBatchTagRemark(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3, func(cfg *Config) { cfg.Retry.TagRemark = true })
	r := s.all()
	r.Remark = "1.4.2"
	for range 2 {
		// The answer is lost, and somebody else has published the same.
		s.Inject(apigtest.Cut(0).On(apigtest.OpBatch).When(func(*apigtest.Request) bool {
			for _, id := range s.apis {
				_, err := s.Publish(id, EnvRelease, "1.4.2")
				assert.NoError(t, err)
			}
			return true
		}))
		result, err := s.client.PublishBatch(context.Background(), r)
		require.NoError(t, err)
		changes := s.changes()
		for _, item := range result.Items {
			made := changes[item.APIID]
			assert.Equal(t, made[len(made)-1].VersionID, item.Record.VersionID)
		}
	}
	bodies := s.batchBodies(t)
	require.Len(t, bodies, 2)
	for _, b := range bodies {
		assert.Regexp(t, "^1.4.2 #[0-9a-f]{10}$", b.Remark)
	}
	assert.NotEqual(t, bodies[0].Remark, bodies[1].Remark)

	_, err := s.client.OfflineBatch(context.Background(), r)
	require.NoError(t, err)
	assert.Equal(t, "1.4.2", s.batchBodies(t)[2].Remark, "nothing is published")

	r.Remark = strings.Repeat("x", 244)
	_, err = s.client.PublishBatch(context.Background(), r)
	require.EqualError(t, err, "apig: invalid argument: Remark has 244 characters, at most 243 are allowed")
	_, err = s.client.PublishBatch(context.Background(), BatchRequest{APIIDs: s.apis, EnvID: EnvRelease, Remark: r.Remark[1:]})
	require.NoError(t, err)
	assert.Len(t, s.batchBodies(t)[3].Remark, 255)
}

// One tag lasts for all the rounds of a batch.
func TestBatchTagIsOfTheCall(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2, func(cfg *Config) { cfg.Retry.TagRemark = true })
	s.Inject(apigtest.Answer(200, failures("APIG.9008", s.apis...)).On(apigtest.OpBatch))
	_, err := s.client.PublishBatch(context.Background(), s.all())
	require.NoError(t, err)
	bodies := s.batchBodies(t)
	require.Len(t, bodies, 2)
	assert.Regexp(t, "^#[0-9a-f]{10}$", bodies[0].Remark)
	assert.Equal(t, bodies[0].Remark, bodies[1].Remark)
}

// addGroup adds a group with some of the site's APIs, which it returns in the
// order in which the gateway answers.
func (s *site) addGroup(name string, apis int) (groupID string, members []string) {
	groupID = s.AddGroup(name)
	for i := range apis {
		members = append(members, s.AddAPIIn(groupID, fmt.Sprintf("%s-%d", name, i)))
	}
	return groupID, members
}

func TestGroup(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fault  apigtest.Fault
		apis   int
		sorted bool // the items have another order than the gateway's
	}{
		"as usual":                    {fault: apigtest.Fault{}, apis: 5},
		"answer lost":                 {fault: apigtest.ApplyThenClose(), apis: 5},
		"answer cut, many":            {fault: apigtest.Cut(0), apis: 600},
		"not applied":                 {fault: apigtest.CloseBefore(), apis: 5},
		"not applied, many":           {fault: apigtest.CloseBefore(), apis: 40},
		"throttled":                   {fault: apigtest.Throttle(""), apis: 5},
		"one left out of the answer":  {apis: 5},
		"one fails at first":          {apis: 5},
		"system error, but applied":   {fault: apigtest.ApplyThenAnswer(500, systemBody), apis: 5},
		"busy, nothing of it applied": {fault: apigtest.Busy(), apis: 30},
	}
	for op, batch := range batches {
		for name, tt := range tests {
			t.Run(op+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := newSite(t, 2)
				groupID, members := s.addGroup("g", tt.apis)
				if batch.action == "offline" {
					s.publishEarlier(t, time.Hour, "1.4.1", members...)
				}
				switch name {
				case "one left out of the answer":
					// Then it is not known to be of the group.
					tt.fault = rewriteBatch(func(success, failure []map[string]any) ([]map[string]any, []map[string]any) {
						return success[1:], failure
					})
					members = members[1:]
				case "one fails at first":
					tt.fault = rewriteBatch(func(success, failure []map[string]any) ([]map[string]any, []map[string]any) {
						last := len(success) - 1
						failure = append(failure, map[string]any{"api_id": success[last]["api_id"], "error_code": "APIG.3500"})
						return success[:last], failure
					})
				}
				s.Inject(tt.fault.On(apigtest.OpBatch))
				s.Inject(apigtest.Throttle("").On(apigtest.OpAPIs).Times(8)) // whatever lists the members is patient
				result, err := batch.do(s.client, context.Background(), BatchRequest{GroupID: groupID, EnvID: EnvRelease})
				require.NoError(t, err)
				assert.Equal(t, members, ids(result.Items), "in the order of the answer")
				done, _, _ := s.agree(t, batch.action, result.Items)
				assert.Equal(t, len(members), done)
				if batch.action == "online" {
					for _, item := range result.Items {
						assert.NotEmpty(t, item.APIName)
					}
				}
				for _, id := range s.apis {
					assert.Empty(t, s.changes()[id], "of another group")
				}
			})
		}
	}
}

// What is left of a group is sent by the names of its APIs, and not more of
// them at a time than the service takes.
func TestGroupOfMoreThanAThousand(t *testing.T) {
	t.Parallel()
	s := newSite(t, 0)
	groupID, members := s.addGroup("g", 1200)
	s.publishEarlier(t, time.Hour, "1.4.1", members...)
	s.Inject(apigtest.Busy().On(apigtest.OpBatch))
	result, err := s.client.OfflineBatch(context.Background(), BatchRequest{GroupID: groupID, EnvID: EnvRelease})
	require.NoError(t, err)
	assert.Equal(t, members, ids(result.Items))
	done, _, _ := s.agree(t, "offline", result.Items)
	assert.Equal(t, 1200, done)
	assert.Equal(t, 3, s.count(apigtest.OpBatch))
}

func TestGroupOfNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	result, err := s.client.PublishBatch(context.Background(), BatchRequest{GroupID: s.AddGroup("empty"), EnvID: EnvRelease})
	require.NoError(t, err)
	require.NotNil(t, result)
	assert.Empty(t, result.Items)

	result, err = s.client.PublishBatch(context.Background(), BatchRequest{GroupID: "none", EnvID: EnvRelease})
	require.ErrorIs(t, err, ErrNotFound)
	assert.NotErrorIs(t, err, ErrOutcomeUnknown)
	var e *APIGError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, CodeGroupNotFound, e.Code)
	require.NotNil(t, result)
	assert.Empty(t, result.Items)
}

// An answer or a list that names an API twice does not make the group wait for
// itself.
func TestGroupNamedTwice(t *testing.T) {
	t.Parallel()
	api := `{"id":"a","name":"name of a"}`
	tests := map[string]httpmock.Responder{
		"in the answer":                 respondJSON(200, `{"success":[`+batchRecord("a")+`,`+batchRecord("b")+`,`+batchRecord("a")+`],"failure":[]}`),
		"as a success and as a failure": respondJSON(200, `{"success":[`+batchRecord("a")+`,`+batchRecord("b")+`],"failure":[{"api_id":"a","error_code":"APIG.3002"}]}`),
		"in the list":                   respondJSON(502, "<html></html>").Then(respondJSON(200, `{"success":[`+batchRecord("a")+`,`+batchRecord("b")+`]}`)),
	}
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, mt := newTest(t)
			mt.RegisterResponder(http.MethodPost, batchURL, answer)
			mt.RegisterResponder(http.MethodGet, instanceURL+"/apis", respondJSON(200, `{"total":3,"apis":[`+api+`,{"id":"b","name":"name of b"},`+api+`]}`))
			mt.RegisterRegexpResponder(http.MethodGet, regexp.MustCompile("/apis/publish/"), respondJSON(200, emptyHistoryBody))
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			result, err := c.PublishBatch(ctx, BatchRequest{GroupID: "g", EnvID: EnvRelease})
			require.NoError(t, ctx.Err(), "it waits for itself")
			require.NoError(t, err)
			assert.Equal(t, []string{"a", "b"}, ids(result.Items))
		})
	}
}

// The members of a group are known only when it has been published. That the
// turn of one of them does not come in time changes nothing about that.
func TestGroupContextEndsBeforeItsTurn(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fault   apigtest.Fault
		attempt string // after which the context ends
		want    []int  // done, unknown, failed
	}{
		"answered": {apigtest.Fault{}, "PublishBatch 200", []int{3, 0, 0}},
		"lost":     {apigtest.Cut(0), "PublishBatch 200", []int{0, 3, 0}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			attempts := make(chan string, 100)
			s := newSite(t, 0, attemptsTo(attempts))
			groupID, members := s.addGroup("g", 3)
			holder, release := context.WithCancel(context.Background())
			var holding sync.WaitGroup
			defer holding.Wait()
			defer release()
			s.Inject(apigtest.Hang().On(apigtest.OpAction))
			holding.Add(1)
			go func() {
				defer holding.Done()
				_, _ = s.client.Publish(holder, ActionRequest{APIID: members[1], EnvID: EnvRelease})
			}()
			s.eventually(t, apigtest.OpAction, 1)

			s.Inject(tt.fault.On(apigtest.OpBatch))
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() {
				defer cancel()
				await(t, attempts, tt.attempt)
				if name == "lost" {
					await(t, attempts, "PublishBatch 200") // the list of the members
				}
			}()
			result, err := s.client.PublishBatch(ctx, BatchRequest{GroupID: groupID, EnvID: EnvRelease})
			if name == "lost" && len(result.Items) == 0 { // the context has ended before the list was read
				require.ErrorIs(t, err, ErrOutcomeUnknown)
				return
			}
			done, unknown, failed := s.agree(t, "online", result.Items)
			assert.Equal(t, tt.want, []int{done, unknown, failed})
			assert.Equal(t, name == "answered", err == nil)
		})
	}
}

// Batches and single calls for the same APIs take turns. None takes the version
// of another for its own, though all have the same remark and answers are lost.
func TestBatchTurns(t *testing.T) {
	t.Parallel()
	const apis, rounds = 40, 3
	s := newSite(t, apis, attempts(50)) // or one may well be lost four times
	lost := []apigtest.Fault{apigtest.ApplyThenClose(), apigtest.CloseBefore(), apigtest.Cut(0)}
	var fits []apigtest.Fault
	for _, f := range lost {
		fits = append(fits, f.On(apigtest.OpAction), f.On(apigtest.OpBatch))
	}
	s.InjectFunc(apigtest.Mix(7, 0.4, fits...))

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var (
		mu       sync.Mutex
		versions = map[string]string{} // by version: its API
		wg       sync.WaitGroup
	)
	report := func(id string, r *PublishRecord, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Errorf("API %s: %v", id, err)
			return
		}
		if earlier, ok := versions[r.VersionID]; ok {
			t.Errorf("version %s is reported for %s and %s", r.VersionID, earlier, id)
		}
		versions[r.VersionID] = id
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3 {
		order := slices.Clone(s.apis)
		rng.Shuffle(apis, func(i, j int) { order[i], order[j] = order[j], order[i] })
		wg.Add(2)
		go func() {
			defer wg.Done()
			for range rounds {
				result, err := s.client.PublishBatch(ctx, BatchRequest{APIIDs: order, EnvID: EnvRelease})
				if len(result.Items) != apis {
					t.Errorf("%d items: %v", len(result.Items), err)
				}
				for _, item := range result.Items {
					report(item.APIID, item.Record, item.Err)
				}
			}
		}()
		go func() {
			defer wg.Done()
			for _, id := range order {
				record, err := s.client.Publish(ctx, ActionRequest{APIID: id, EnvID: EnvRelease})
				report(id, record, err)
			}
		}()
	}
	wg.Wait()
	require.NoError(t, ctx.Err(), "they wait for each other")

	journal := s.Journal()
	assert.Equal(t, 3*apis*(rounds+1), len(journal), "nothing twice")
	for _, a := range journal {
		assert.Equal(t, a.APIID, versions[a.VersionID], "%+v", a)
	}
	assert.Greater(t, s.Faults(), 10, "or nothing was tested")
}

// Two batches of the same APIs in opposite orders, each too large for one
// request, do not wait for each other for ever.
func TestBatchesInOppositeOrders(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1200)
	backwards := slices.Clone(s.apis)
	slices.Reverse(backwards)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, order := range [][]string{s.apis, backwards, s.apis, backwards} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			result, err := s.client.PublishBatch(ctx, BatchRequest{APIIDs: order, EnvID: EnvRelease})
			assert.NoError(t, err)
			assert.Equal(t, order, ids(result.Items))
		}()
	}
	wg.Wait()
	require.NoError(t, ctx.Err())
	assert.Equal(t, 4*1200, len(s.Journal()))
}

// A batch that waits for the turn of one API leaves with its context, having
// sent nothing, and leaves all turns behind.
func TestBatchLeavesItsTurn(t *testing.T) {
	t.Parallel()
	s := newSite(t, 5)
	slow := apigtest.Hang().On(apigtest.OpAction)
	s.Inject(slow)
	holder, release := context.WithCancel(context.Background())
	held := make(chan error, 1)
	defer release()
	go func() {
		_, err := s.client.Publish(holder, ActionRequest{APIID: s.apis[2], EnvID: EnvRelease})
		held <- err
	}()
	s.eventually(t, apigtest.OpAction, 1)

	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	result, err := s.client.PublishBatch(ctx, s.all())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.NotErrorIs(t, err, ErrOutcomeUnknown)
	_, _, failed := s.agree(t, "online", result.Items)
	assert.Equal(t, 5, failed)
	assert.Zero(t, s.count(apigtest.OpBatch))

	release()
	require.ErrorIs(t, <-held, ErrOutcomeUnknown)
	result, err = s.client.PublishBatch(context.Background(), s.all())
	require.NoError(t, err)
	assert.Len(t, result.Items, 5)
}
