package apig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

const (
	notPublishedBody = `{"error_code":"APIG.3015","error_msg":"The API publication record does not exist"}`
	performedBody    = `{"error_code":"APIG.3309","error_msg":"The operation has already been performed"}`
	syncBody         = `{"error_code":"APIG.3500","error_msg":"Failed to synchronize data to etcd."}`
	gatewayPage      = `<html><body><h1>502 Bad Gateway</h1></body></html>`
)

// The judgements below are about a call that began when the clock of the
// gateway showed callBegan, and one second later read the history.
var callBegan = time.Date(2020, 8, 3, 1, 36, 9, 0, time.UTC)

func judged(date bool, versions ...Version) (h history, start time.Time) {
	start = time.Now()
	h = history{versions: versions, clock: clock{arrived: start.Add(time.Second)}}
	if date {
		h.clock.now = callBegan.Add(time.Second)
	}
	return h, start
}

// row is a version that was published so many seconds after the call began.
func row(id, remark string, seconds int, s Status) Version {
	return Version{ID: id, Remark: remark, PublishTime: callBegan.Add(time.Duration(seconds) * time.Second), Status: s}
}

// filler is n versions of others that are newer than the call.
func filler(n int) []Version {
	var all []Version
	for i := range n {
		all = append(all, row(fmt.Sprintf("filler%d", i), "other", 1, StatusNotInEffect))
	}
	return all
}

func TestJudgePublish(t *testing.T) {
	t.Parallel()
	const in, out = StatusInEffect, StatusNotInEffect
	timeless := func(id, remark string) Version { return Version{ID: id, Remark: remark, Status: out} }
	for name, r := range map[string]struct {
		versions                  []Version
		noDate, tagged, contested bool
		reported                  string
		want                      standing
		id                        string
	}{
		"nothing there":                        {want: absent},
		"ours, in effect":                      {versions: []Version{row("v", "1.4.2", 0, in)}, want: applied, id: "v"},
		"ours, later":                          {versions: []Version{row("v", "1.4.2", 100, in)}, want: applied, id: "v"},
		"ours, superseded":                     {versions: []Version{row("w", "x", 1, in), row("v", "1.4.2", 0, out)}, want: applied, id: "v"},
		"as old as whole seconds make it look": {versions: []Version{row("v", "1.4.2", -2, in)}, want: applied, id: "v"},
		"a little older":                       {versions: []Version{row("v", "1.4.2", -3, in)}, want: doubtful},
		"as old as clocks may differ":          {versions: []Version{row("v", "1.4.2", -12, in)}, want: doubtful},
		"older than that":                      {versions: []Version{row("v", "1.4.2", -13, in)}, want: absent},
		"outer spaces do not count":            {versions: []Version{row("v", "1.4.2 ", 0, in)}, want: applied, id: "v"},
		"inner ones do":                        {versions: []Version{row("v", "1.4. 2", 0, in)}, want: absent},
		"another remark":                       {versions: []Version{row("v", "1.4.3", 0, in)}, want: absent},
		"no remark":                            {versions: []Version{row("v", "", 0, in)}, want: absent},
		"reported to another call":             {versions: []Version{row("v", "1.4.2", 0, in)}, reported: "v", want: absent},
		"ours beside a reported one":           {versions: []Version{row("w", "1.4.2", 1, in), row("v", "1.4.2", 0, out)}, reported: "w", want: applied, id: "v"},
		"of two, the one in effect":            {versions: []Version{row("w", "1.4.2", 1, out), row("v", "1.4.2", 0, in)}, want: applied, id: "v"},
		"of two, the one in effect, reversed":  {versions: []Version{row("v", "1.4.2", 0, in), row("w", "1.4.2", 1, out)}, want: applied, id: "v"},
		"of two, the later":                    {versions: []Version{row("v", "1.4.2", 0, out), row("w", "1.4.2", 1, out)}, want: applied, id: "w"},
		"of two, the later, reversed":          {versions: []Version{row("w", "1.4.2", 1, out), row("v", "1.4.2", 0, out)}, want: applied, id: "w"},
		"ours beside a doubtful one":           {versions: []Version{row("w", "1.4.2", -5, out), row("v", "1.4.2", 0, in)}, want: applied, id: "v"},
		"nine of others, all newer":            {versions: filler(9), want: absent},
		"ten of others, all newer":             {versions: filler(10), want: doubtful},
		"ten of others, one older":             {versions: append(filler(9), row("v", "other", -13, out)), want: absent},
		"ten of others, one hardly older":      {versions: append(filler(9), row("v", "other", -12, out)), want: doubtful},
		"ten of others, one old of ours":       {versions: append(filler(9), row("v", "1.4.2", -13, out)), want: absent},
		"ten of others, one reported":          {versions: append(filler(9), row("v", "other", 0, out)), reported: "v", want: absent},
		"ten, one of them ours":                {versions: append(filler(9), row("v", "1.4.2", 0, out)), want: applied, id: "v"},
		"no Date, nothing there":               {noDate: true, want: absent},
		"no Date, ours":                        {noDate: true, versions: []Version{row("v", "1.4.2", 0, in)}, want: doubtful},
		"no Date, of last year":                {noDate: true, versions: []Version{row("v", "1.4.2", -365*24*3600, in)}, want: doubtful},
		"no Date, another remark":              {noDate: true, versions: []Version{row("v", "1.4.3", 0, in)}, want: absent},
		"no Date, reported":                    {noDate: true, versions: []Version{row("v", "1.4.2", 0, in)}, reported: "v", want: absent},
		"no Date, ten of others":               {noDate: true, versions: append(filler(9), row("v", "other", -999, out)), want: doubtful},
		"no Date, ten of others, one reported": {noDate: true, versions: filler(10), reported: "filler3", want: absent},
		"a row without a time, ours":           {versions: []Version{timeless("v", "1.4.2")}, want: doubtful},
		"a row without a time beside ours":     {versions: []Version{row("v", "1.4.2", 0, in), timeless("w", "x")}, want: doubtful},
		"a row without a time, ten":            {versions: append(filler(8), row("v", "other", -13, out), timeless("w", "x")), want: doubtful},
		"tagged: ours":                         {tagged: true, versions: []Version{row("v", "1.4.2", 0, in)}, want: applied, id: "v"},
		"tagged: no clock involved":            {tagged: true, noDate: true, versions: []Version{row("v", "1.4.2", -9999, in)}, want: applied, id: "v"},
		"tagged: a row without a time":         {tagged: true, versions: []Version{timeless("v", "1.4.2")}, want: applied, id: "v"},
		"tagged: another's":                    {tagged: true, versions: []Version{row("v", "1.4.3", 0, in)}, want: absent},
		"tagged: displaced":                    {tagged: true, versions: filler(10), want: doubtful},
		"contested by an earlier call":         {contested: true, versions: []Version{row("v", "1.4.2", 0, in)}, want: doubtful},
		"contested, but too old for either":    {contested: true, versions: []Version{row("v", "1.4.2", -13, in)}, want: absent},
		"contested, but reported":              {contested: true, versions: []Version{row("v", "1.4.2", 0, in)}, reported: "v", want: absent},
		"contested, but tagged":                {contested: true, tagged: true, versions: []Version{row("v", "1.4.2", 0, in)}, want: applied, id: "v"},
		"contested, and nothing there":         {contested: true, want: absent},
	} {
		h, start := judged(!r.noDate, r.versions...)
		got, v, why := h.judgePublish("1.4.2", start, r.tagged, r.contested, func(id string) bool { return id == r.reported })
		assert.Equal(t, r.want.String(), got.String(), name)
		assert.Equal(t, got == doubtful, why != "", "%s: doubt has a reason", name)
		if r.id == "" {
			assert.Nil(t, v, name)
		} else if assert.NotNil(t, v, name) {
			assert.Equal(t, r.id, v.ID, name)
		}
	}
}

func TestJudgeOffline(t *testing.T) {
	t.Parallel()
	const in, out = StatusInEffect, StatusNotInEffect
	for name, r := range map[string]struct {
		versions []Version
		noDate   bool
		reported string
		want     standing
	}{
		"never published":              {want: applied},
		"nothing in effect":            {versions: []Version{row("v", "", 0, out), row("w", "", -100, out)}, want: applied},
		"nothing in effect, no Date":   {noDate: true, versions: []Version{row("v", "", 0, out)}, want: applied},
		"in effect since before":       {versions: []Version{row("v", "", -3, in)}, want: absent},
		"in effect since just then":    {versions: []Version{row("v", "", -2, in)}, want: doubtful},
		"in effect since then":         {versions: []Version{row("v", "", 0, in)}, want: doubtful},
		"in effect, reported":          {versions: []Version{row("v", "", 0, in)}, reported: "v", want: absent},
		"in effect, another reported":  {versions: []Version{row("w", "", 0, in), row("v", "", -1, out)}, reported: "v", want: doubtful},
		"in effect, no Date":           {noDate: true, versions: []Version{row("v", "", -100, in)}, want: doubtful},
		"in effect, reported, no Date": {noDate: true, versions: []Version{row("v", "", 0, in)}, reported: "v", want: absent},
		"in effect, without a time":    {versions: []Version{{ID: "v", Status: in}}, want: doubtful},
		"a time is missing elsewhere":  {versions: []Version{row("v", "", -100, in), {ID: "w", Status: out}}, want: doubtful},
	} {
		h, start := judged(!r.noDate, r.versions...)
		got, _, why := h.judgeOffline(start, func(id string) bool { return id == r.reported })
		assert.Equal(t, r.want.String(), got.String(), name)
		assert.Equal(t, got == doubtful, why != "", "%s: doubt has a reason", name)
	}
}

// TestSettleWait has how long a lost request may take to be applied, by the way
// in which it was lost.
func TestSettleWait(t *testing.T) {
	t.Parallel()
	end := time.Now()
	for name, r := range map[string]struct {
		f    failure
		want time.Duration
	}{
		"broken":                       {failure{err: posted(io.EOF)}, time.Second},
		"own timeout":                  {failure{err: posted(context.DeadlineExceeded)}, 2 * time.Second},
		"a success that broke off":     {failure{status: 201, err: context.DeadlineExceeded}, time.Second},
		"408":                          {failure{status: 408}, 2 * time.Second},
		"504":                          {failure{status: 504}, 2 * time.Second},
		"504 of the front gateway":     {failure{status: 504, code: "APIG.0201"}, 2 * time.Second},
		"504 of the service":           {failure{status: 504, code: CodeInternal}, 2 * time.Second},
		"502 HTML":                     {failure{status: 502}, time.Second},
		"500 without a code":           {failure{status: 500}, time.Second},
		"500 of the service":           {failure{status: 500, code: CodeSyncFailed}, 0},
		"500 of the other half of it":  {failure{status: 500, code: "APIC.9999"}, 0},
		"503 of the front gateway":     {failure{status: 503, code: CodeFrontIAMUnavailable}, time.Second},
		"503 of its twin":              {failure{status: 503, code: "APIG.0613"}, time.Second},
		"503 of something in between":  {failure{status: 503, code: "503"}, time.Second},
		"201 with an error for a body": {failure{status: 201, code: CodeInternal}, time.Second},
	} {
		r.f.end = end
		l := lostSince(end.Add(-time.Minute), r.f, time.Second)
		assert.Equal(t, r.want, l.wait, name)
		assert.Equal(t, end, l.end, name)
		looks := l.looks()
		assert.Equal(t, r.want, looks[len(looks)-1], name)
	}
	assert.Equal(t, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}, lost{wait: 4 * time.Second}.looks())
	assert.Equal(t, []time.Duration{0}, lost{}.looks())
}

// TestPublishOutcome has faults of the gateway and what becomes of one publish:
// what the caller gets is what the journal says.
func TestPublishOutcome(t *testing.T) {
	t.Parallel()
	const action = apigtest.OpAction
	html := func(status int) apigtest.Fault { return apigtest.Answer(status, gatewayPage) }
	conflict := func(status int, code string) apigtest.Fault {
		return apigtest.Answer(status, fmt.Sprintf(`{"error_code":%q,"error_msg":"not now"}`, code))
	}
	for name, r := range map[string]struct {
		faults    []apigtest.Fault
		retry     RetryPolicy
		err       error // or nil
		recovered bool
		made      int // publications
		actions   int // requests to publish
		histories int // requests for the history; with recovered, at least
	}{
		"no fault":                     {made: 1, actions: 1},
		"lost":                         {faults: []apigtest.Fault{apigtest.CloseBefore()}, made: 1, actions: 2, histories: 3},
		"lost twice":                   {faults: []apigtest.Fault{apigtest.CloseBefore().On(action).Times(2)}, made: 1, actions: 3, histories: 6},
		"lost for ever":                {faults: []apigtest.Fault{apigtest.CloseBefore().On(action).Always()}, err: io.EOF, actions: 4, histories: 12},
		"lost, one attempt":            {faults: []apigtest.Fault{apigtest.CloseBefore()}, retry: RetryPolicy{MaxAttempts: 1}, err: io.EOF, actions: 1, histories: 3},
		"answer lost":                  {faults: []apigtest.Fault{apigtest.ApplyThenClose()}, recovered: true, made: 1, actions: 1, histories: 1},
		"answer lost, one attempt":     {faults: []apigtest.Fault{apigtest.ApplyThenClose()}, retry: RetryPolicy{MaxAttempts: 1}, recovered: true, made: 1, actions: 1, histories: 1},
		"lost, then answer lost":       {faults: []apigtest.Fault{apigtest.CloseBefore(), apigtest.ApplyThenClose().On(action)}, recovered: true, made: 1, actions: 2, histories: 4},
		"applied late":                 {faults: []apigtest.Fault{apigtest.CloseThenApply(100 * time.Millisecond)}, retry: RetryPolicy{SettleWait: 2 * time.Second}, recovered: true, made: 1, actions: 1, histories: 1},
		"busy":                         {faults: []apigtest.Fault{apigtest.Busy()}, made: 1, actions: 2, histories: 1},
		"busy, but applied":            {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(500, syncBody)}, recovered: true, made: 1, actions: 1, histories: 1},
		"system error":                 {faults: []apigtest.Fault{apigtest.Answer(500, systemBody)}, made: 1, actions: 2, histories: 1},
		"502":                          {faults: []apigtest.Fault{html(502)}, made: 1, actions: 2, histories: 3},
		"502 for ever":                 {faults: []apigtest.Fault{html(502).On(action).Always()}, err: ErrServer, actions: 4, histories: 12},
		"502, but applied":             {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(502, gatewayPage)}, recovered: true, made: 1, actions: 1, histories: 1},
		"503 of the front gateway":     {faults: []apigtest.Fault{conflict(503, "APIGW.0613")}, made: 1, actions: 2, histories: 3},
		"504":                          {faults: []apigtest.Fault{html(504)}, made: 1, actions: 2, histories: 3},
		"504, but applied":             {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(504, gatewayPage)}, recovered: true, made: 1, actions: 1, histories: 1},
		"408":                          {faults: []apigtest.Fault{html(408)}, made: 1, actions: 2, histories: 3},
		"408, but applied":             {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(408, gatewayPage)}, recovered: true, made: 1, actions: 1, histories: 1},
		"201 empty, applied":           {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(201, "")}, recovered: true, made: 1, actions: 1, histories: 1},
		"201 {}, applied":              {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(201, "{}")}, recovered: true, made: 1, actions: 1, histories: 1},
		"200 HTML, applied":            {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(200, gatewayPage)}, recovered: true, made: 1, actions: 1, histories: 1},
		"201 of another API, applied":  {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(201, publishedBody)}, recovered: true, made: 1, actions: 1, histories: 1},
		"201 with an error, applied":   {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(201, systemBody)}, recovered: true, made: 1, actions: 1, histories: 1},
		"201 {}, not applied":          {faults: []apigtest.Fault{apigtest.Answer(201, "{}")}, made: 1, actions: 2, histories: 3},
		"throttled":                    {faults: []apigtest.Fault{apigtest.Throttle("")}, made: 1, actions: 2},
		"throttled, as APIG.9008":      {faults: []apigtest.Fault{conflict(500, "APIG.9008")}, made: 1, actions: 2},
		"a task is running":            {faults: []apigtest.Fault{conflict(409, "APIG.3718")}, made: 1, actions: 2},
		"locked":                       {faults: []apigtest.Fault{conflict(400, "APIC.9222")}, made: 1, actions: 2},
		"locked for ever":              {faults: []apigtest.Fault{conflict(400, "APIC.9222").Always()}, err: ErrConflict, actions: 4},
		"refused":                      {faults: []apigtest.Fault{apigtest.Answer(400, parameterBody)}, err: ErrBadRequest, actions: 1},
		"lost, then refused":           {faults: []apigtest.Fault{apigtest.CloseBefore(), apigtest.Answer(403, noPermissionBody).On(action)}, err: ErrForbidden, actions: 2, histories: 3},
		"lost, then throttled too far": {faults: []apigtest.Fault{apigtest.CloseBefore(), apigtest.Throttle("3600").On(action)}, err: ErrThrottled, actions: 2, histories: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, g, req := newLive(t, func(cfg *Config) {
				if r.retry.MaxAttempts != 0 {
					cfg.Retry.MaxAttempts = r.retry.MaxAttempts
				}
				if r.retry.SettleWait != 0 {
					cfg.Retry.SettleWait = r.retry.SettleWait
				}
			})
			g.Inject(r.faults...)
			record, err := c.Publish(context.Background(), req)
			if r.err != nil {
				assert.Nil(t, record)
				require.ErrorIs(t, err, r.err)
				require.NotErrorIs(t, err, ErrOutcomeUnknown)
			} else {
				require.NoError(t, err)
				assert.Equal(t, r.recovered, record.Recovered)
				v, ok := g.Published(req.APIID, req.EnvID)
				require.True(t, ok)
				assert.Equal(t, []string{v.ID, v.PublishID, req.APIID, req.EnvID, "orders", req.Remark},
					[]string{record.VersionID, record.PublishID, record.APIID, record.EnvID, record.APIName, record.Remark})
				assert.Equal(t, v.Time.Truncate(time.Second), record.PublishTime.Truncate(time.Second))
				assert.Equal(t, r.recovered, record.RequestID == "")
			}
			assert.Len(t, g.Journal(), r.made)
			assert.Equal(t, r.actions, asked(g, action))
			if r.recovered {
				assert.GreaterOrEqual(t, asked(g, apigtest.OpHistory), r.histories)
			} else {
				assert.Equal(t, r.histories, asked(g, apigtest.OpHistory))
			}
		})
	}
}

// mustStayUnknown checks an error that leaves the outcome open, and that
// nothing was repeated.
func mustStayUnknown(t *testing.T, g *apigtest.Gateway, record *PublishRecord, err error, actions int) {
	t.Helper()
	assert.Nil(t, record)
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	assert.NotContains(t, err.Error(), "\n")
	assert.Equal(t, actions, asked(g, apigtest.OpAction))
}

// TestHistoryCannotBeRead loses an answer and then the history, in all ways
// that leave the outcome open.
func TestHistoryCannotBeRead(t *testing.T) {
	t.Parallel()
	rewrite := func(f func(string) string) apigtest.Fault {
		return apigtest.Fault{Rewrite: func(status int, body []byte) (int, []byte) { return status, []byte(f(string(body))) }}
	}
	for name, r := range map[string]struct {
		fault apigtest.Fault
		text  string
	}{
		"refused":               {apigtest.Answer(403, noPermissionBody), "403 Forbidden, APIG.1005"},
		"unauthorized":          {apigtest.Answer(401, tokenBody), "401 Unauthorized"},
		"no such environment":   {apigtest.Answer(404, `{"error_code":"APIG.3003","error_msg":"no such environment"}`), "APIG.3003"},
		"404 without a code":    {apigtest.Answer(404, gatewayPage), "404 Not Found"},
		"{}":                    {apigtest.Answer(200, `{}`), "without a total"},
		"null":                  {apigtest.Answer(200, `null`), "without a total"},
		"empty":                 {apigtest.Answer(200, ``), "not a list"},
		"HTML":                  {apigtest.Answer(200, gatewayPage), "not a list"},
		"cut":                   {apigtest.Cut(0), "not a list"},
		"an error for a body":   {apigtest.Answer(200, systemBody), "without a total"},
		"201":                   {apigtest.Answer(201, emptyHistoryBody), "without a total"},
		"the total is null":     {apigtest.Answer(200, `{"total":null,"api_versions":[]}`), "total"},
		"the total is text":     {apigtest.Answer(200, `{"total":"many","api_versions":[]}`), "total"},
		"the total is negative": {apigtest.Answer(200, `{"total":-1,"api_versions":[]}`), "total"},
		"short of its total":    {rewrite(func(s string) string { return strings.Replace(s, `"total":1`, `"total":2`, 1) }), "1 of its 2 rows"},
		"rows that are none":    {apigtest.Answer(200, `{"total":1,"api_versions":{}}`), "rows"},
		"500 for ever":          {apigtest.Answer(500, systemBody), "APIG.9999"},
		"lost for ever":         {apigtest.CloseBefore(), "EOF"},
		"throttled for an hour": {apigtest.Throttle("3600"), "429 Too Many Requests"},
		"throttled for ever":    {apigtest.Throttle(""), "429 Too Many Requests"},
		"redirected":            {apigtest.Answer(302, ""), "302 Found"},
	} {
		for fate, first := range map[string]apigtest.Fault{"applied": apigtest.ApplyThenClose(), "not applied": apigtest.CloseBefore()} {
			t.Run(name+", "+fate, func(t *testing.T) {
				t.Parallel()
				c, g, req := newLive(t)
				if fate == "not applied" && name == "short of its total" {
					_, err := g.Publish(req.APIID, req.EnvID, "other")
					require.NoError(t, err)
				}
				g.Inject(first.On(apigtest.OpAction), r.fault.On(apigtest.OpHistory).Always())
				record, err := c.Publish(context.Background(), req)
				mustStayUnknown(t, g, record, err, 1)
				for _, sentinel := range sentinels {
					assert.Equal(t, sentinel == ErrOutcomeUnknown, errors.Is(err, sentinel), "%v", sentinel)
				}
				assert.False(t, errors.As(err, new(*APIGError)), "the history's own error is text only")
				require.ErrorIs(t, err, io.EOF, "the cause of the attempt is matched")
				assert.ErrorContains(t, err, "outcome unknown: the history cannot be read: ")
				assert.ErrorContains(t, err, r.text)
			})
		}
	}
}

// TestHistoryRetried has the same failures pass.
func TestHistoryRetried(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]apigtest.Fault{
		"{}":        apigtest.Answer(200, `{}`),
		"cut":       apigtest.Cut(0),
		"HTML":      apigtest.Answer(200, gatewayPage),
		"lost":      apigtest.CloseBefore(),
		"500":       apigtest.Answer(500, systemBody),
		"throttled": apigtest.Throttle(""),
		"locked":    apigtest.Answer(409, `{"error_code":"APIC.7712"}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, g, req := newLive(t, attempts(1))
			g.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction), fault.On(apigtest.OpHistory).Times(patientAttempts-1))
			record, err := c.Publish(context.Background(), req)
			require.NoError(t, err)
			assert.True(t, record.Recovered)
			assert.Equal(t, patientAttempts, asked(g, apigtest.OpHistory), "it does not share the attempts of the call")
			assert.Len(t, g.Journal(), 1)
		})
	}
}

// TestHistoryRequest has what is asked for.
func TestHistoryRequest(t *testing.T) {
	t.Parallel()
	c, g, req := newLive(t)
	req.EnvID = g.AddEnvironment("TEST")
	g.Inject(apigtest.ApplyThenClose())
	_, err := c.Publish(context.Background(), req)
	require.NoError(t, err)
	for _, r := range g.Requests() {
		if r.Op == apigtest.OpHistory {
			assert.Equal(t, req.APIID, r.APIID)
			assert.Equal(t, req.EnvID, r.Query.Get("env_id"))
			assert.Equal(t, "500", r.Query.Get("limit"))
			assert.Equal(t, "no-cache", r.Header.Get("Cache-Control"))
			return
		}
	}
	t.Error("no history was asked for")
}

// TestHistoryOfOthers has rows that the gateway should have left out.
func TestHistoryOfOthers(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]func(ActionRequest) (apiID, envID string){
		"another API":         func(r ActionRequest) (string, string) { return "other", r.EnvID },
		"another environment": func(r ActionRequest) (string, string) { return r.APIID, "other" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, g, req := newLive(t)
			apiID, envID := other(req)
			g.Inject(apigtest.CloseBefore(), apigtest.Answer(200, fmt.Sprintf(
				`{"total":1,"api_versions":[{"version_id":"v","api_id":%q,"env_id":%q,"remark":%q,"publish_time":%q,"status":1}]}`,
				apiID, envID, req.Remark, time.Now().UTC().Format(time.RFC3339))).On(apigtest.OpHistory).Always())
			record, err := c.Publish(context.Background(), req)
			require.NoError(t, err)
			assert.False(t, record.Recovered)
			assert.Len(t, g.Journal(), 1)
		})
	}
}

// TestHistoryWithoutClock has histories that do not tell what time it is at the
// gateway. Then a version with the same remark may be anybody's.
func TestHistoryWithoutClock(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]apigtest.Fault{
		"no Date":       {Header: http.Header{"Date": nil}},
		"an unreadable": {Header: http.Header{"Date": {"now"}}},
		"beside an Age": {Header: http.Header{"Age": {"0"}}},
		"rows without any": {Rewrite: func(status int, body []byte) (int, []byte) {
			return status, []byte(strings.ReplaceAll(string(body), `"publish_time":"2`, `"publish_time":"x`))
		}},
	} {
		fault = fault.On(apigtest.OpHistory).Always()
		t.Run(name+", applied", func(t *testing.T) {
			t.Parallel()
			c, g, req := newLive(t)
			g.Inject(apigtest.ApplyThenClose(), fault)
			record, err := c.Publish(context.Background(), req)
			mustStayUnknown(t, g, record, err, 1)
		})
		t.Run(name+", not applied", func(t *testing.T) {
			t.Parallel()
			c, g, req := newLive(t)
			_, err := g.Publish(req.APIID, req.EnvID, "other")
			require.NoError(t, err)
			g.Inject(apigtest.CloseBefore(), fault)
			_, err = c.Publish(context.Background(), req)
			require.NoError(t, err, "no version has this remark, whatever the time")
			assert.Len(t, g.Journal(), 2)
		})
		t.Run(name+", tagged", func(t *testing.T) {
			t.Parallel()
			c, g, req := newLive(t, func(cfg *Config) { cfg.Retry.TagRemark = true })
			g.Inject(apigtest.ApplyThenClose(), fault)
			record, err := c.Publish(context.Background(), req)
			require.NoError(t, err, "a tag needs no clock")
			assert.True(t, record.Recovered)
		})
	}
}

// TestGatewayClock has gateways whose clocks have nothing to do with ours, and
// ones that disagree with themselves.
func TestGatewayClock(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-20 * 365 * 24 * time.Hour, -5 * time.Hour, 5 * time.Hour} {
		for name, r := range map[string]struct {
			fault     apigtest.Fault
			recovered bool
		}{
			"applied":     {apigtest.ApplyThenClose(), true},
			"not applied": {apigtest.CloseBefore(), false},
		} {
			t.Run(fmt.Sprintf("%v off, %s", off, name), func(t *testing.T) {
				t.Parallel()
				c, g, req := newLive(t)
				g.SetClock(func() time.Time { return time.Now().Add(off - time.Minute) })
				_, err := g.Publish(req.APIID, req.EnvID, req.Remark) // an earlier release
				require.NoError(t, err)
				g.SetClock(func() time.Time { return time.Now().Add(off) })
				g.Inject(r.fault)
				record, err := c.Publish(context.Background(), req)
				require.NoError(t, err)
				assert.Equal(t, r.recovered, record.Recovered)
				assert.Len(t, g.Journal(), 2)
			})
		}
	}
	t.Run("Date ahead of the history", func(t *testing.T) {
		t.Parallel()
		c, g, req := newLive(t)
		g.SetDateSkew(6 * time.Second)
		g.Inject(apigtest.ApplyThenClose())
		record, err := c.Publish(context.Background(), req)
		mustStayUnknown(t, g, record, err, 1)
	})
	t.Run("Date behind the history", func(t *testing.T) {
		t.Parallel()
		c, g, req := newLive(t)
		g.SetDateSkew(-6 * time.Second)
		g.Inject(apigtest.ApplyThenClose())
		record, err := c.Publish(context.Background(), req)
		require.NoError(t, err)
		assert.True(t, record.Recovered)
	})
}

// publishedAgo publishes as somebody else did some time ago.
func publishedAgo(t *testing.T, g *apigtest.Gateway, r ActionRequest, ago time.Duration) {
	t.Helper()
	g.SetClock(func() time.Time { return time.Now().Add(-ago) })
	_, err := g.Publish(r.APIID, r.EnvID, r.Remark)
	require.NoError(t, err)
	g.SetClock(nil)
}

// TestVersionOfSomebodyElse finds, after a loss, a version that was published
// by another process with the same remark.
func TestVersionOfSomebodyElse(t *testing.T) {
	t.Parallel()
	t.Run("older", func(t *testing.T) {
		t.Parallel()
		c, g, req := newLive(t)
		publishedAgo(t, g, req, 20*time.Second)
		g.Inject(apigtest.CloseBefore())
		record, err := c.Publish(context.Background(), req)
		require.NoError(t, err)
		assert.False(t, record.Recovered)
		assert.Len(t, g.Journal(), 2)
	})
	t.Run("a little older", func(t *testing.T) {
		t.Parallel()
		c, g, req := newLive(t)
		publishedAgo(t, g, req, 7*time.Second)
		g.Inject(apigtest.CloseBefore())
		record, err := c.Publish(context.Background(), req)
		mustStayUnknown(t, g, record, err, 1)
		assert.Len(t, g.Journal(), 1)
	})
	t.Run("a little older, with another remark", func(t *testing.T) {
		t.Parallel()
		c, g, req := newLive(t)
		publishedAgo(t, g, ActionRequest{APIID: req.APIID, EnvID: req.EnvID, Remark: "1.4.1"}, 7*time.Second)
		g.Inject(apigtest.CloseBefore())
		_, err := c.Publish(context.Background(), req)
		require.NoError(t, err)
		assert.Len(t, g.Journal(), 2)
	})
	younger := func(t *testing.T, tag bool) (*PublishRecord, apigtest.Version, *apigtest.Gateway) {
		var (
			g      *apigtest.Gateway
			req    ActionRequest
			theirs apigtest.Version
		)
		var c *Client
		c, g, req = newLive(t,
			func(cfg *Config) { cfg.Retry.TagRemark = tag },
			beforeHistory(1, func() {
				var err error
				theirs, err = g.Publish(req.APIID, req.EnvID, req.Remark)
				assert.NoError(t, err)
			}))
		g.Inject(apigtest.CloseBefore())
		record, err := c.Publish(context.Background(), req)
		require.NoError(t, err)
		return record, theirs, g
	}
	t.Run("younger: the documented limit", func(t *testing.T) {
		t.Parallel()
		record, theirs, g := younger(t, false)
		assert.True(t, record.Recovered)
		assert.Equal(t, theirs.ID, record.VersionID)
		assert.Len(t, g.Journal(), 1)
	})
	t.Run("younger: not with a tag", func(t *testing.T) {
		t.Parallel()
		record, theirs, g := younger(t, true)
		assert.False(t, record.Recovered)
		assert.NotEqual(t, theirs.ID, record.VersionID)
		assert.Len(t, g.Journal(), 2)
	})
}

// TestSameRemarkTwice loses the answers of two publishes of one API with one
// remark that are called at once. Each gets a version of its own.
func TestSameRemarkTwice(t *testing.T) {
	t.Parallel()
	c, g, req := newLive(t, func(cfg *Config) { cfg.Retry.SettleWait = 40 * time.Millisecond })
	g.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction).Times(2))
	got := make([]string, 2)
	var wg sync.WaitGroup
	for i := range got {
		wg.Add(1)
		go func() {
			defer wg.Done()
			record, err := c.Publish(context.Background(), req)
			if assert.NoError(t, err) {
				assert.True(t, record.Recovered)
				got[i] = record.VersionID
			}
		}()
	}
	wg.Wait()
	made := g.Journal()
	require.Len(t, made, 2)
	assert.ElementsMatch(t, []string{made[0].VersionID, made[1].VersionID}, got)
}

// TestSameRemarkAgain publishes twice within a second. The second is lost; the
// version of the first must not be taken for it.
func TestSameRemarkAgain(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]apigtest.Fault{"answered": {}, "recovered": apigtest.ApplyThenClose()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, g, req := newLive(t)
			g.Inject(first)
			one, err := c.Publish(context.Background(), req)
			require.NoError(t, err)
			g.Inject(apigtest.CloseBefore())
			same, err := c.Instance(g.InstanceID()) // shares what c remembers
			require.NoError(t, err)
			two, err := same.Publish(context.Background(), req)
			require.NoError(t, err)
			assert.False(t, two.Recovered)
			assert.NotEqual(t, one.VersionID, two.VersionID)
			assert.Len(t, g.Journal(), 2)
		})
	}
}

// TestSameRemarkAfterUnknown publishes again after a publish whose outcome
// stayed unknown. Its version, if it has made one, must not be taken for that
// of the second.
func TestSameRemarkAfterUnknown(t *testing.T) {
	t.Parallel()
	nameless := apigtest.Fault{Rewrite: func(status int, body []byte) (int, []byte) {
		return status, []byte(strings.ReplaceAll(string(body), `"version_id"`, `"version"`))
	}}
	for name, r := range map[string]struct {
		faults []apigtest.Fault
		err    error
	}{
		"not applied, perhaps": {[]apigtest.Fault{apigtest.ApplyThenClose().On(apigtest.OpAction), apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory)}, ErrOutcomeUnknown},
		"a version not named":  {[]apigtest.Fault{nameless}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, g, req := newLive(t)
			g.Inject(r.faults...)
			_, err := c.Publish(context.Background(), req)
			require.ErrorIs(t, err, r.err)
			g.Inject(apigtest.CloseBefore())
			record, err := c.Publish(context.Background(), req)
			mustStayUnknown(t, g, record, err, 2)
			assert.Len(t, g.Journal(), 1)
		})
	}
}

// TestDisplaced has ten others publish before the history is read: the gateway
// keeps ten versions, so ours may have been and gone.
func TestDisplaced(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]apigtest.Fault{"applied": apigtest.ApplyThenClose(), "not applied": apigtest.CloseBefore()} {
		for _, others := range []int{9, 10} {
			t.Run(fmt.Sprintf("%s, %d others", name, others), func(t *testing.T) {
				t.Parallel()
				var g *apigtest.Gateway
				var req ActionRequest
				var c *Client
				c, g, req = newLive(t, beforeHistory(1, func() {
					for i := range others {
						_, err := g.Publish(req.APIID, req.EnvID, fmt.Sprint("other ", i))
						assert.NoError(t, err)
					}
				}))
				g.Inject(fault)
				record, err := c.Publish(context.Background(), req)
				if others == 10 {
					mustStayUnknown(t, g, record, err, 1)
					return
				}
				require.NoError(t, err)
				assert.Equal(t, name == "applied", record.Recovered)
				assert.Len(t, g.Journal(), others+1)
			})
		}
	}
	t.Run("not with an older version left", func(t *testing.T) {
		t.Parallel()
		var g *apigtest.Gateway
		var req ActionRequest
		var c *Client
		c, g, req = newLive(t, beforeHistory(1, func() {
			for range 9 {
				_, err := g.Publish(req.APIID, req.EnvID, "other")
				assert.NoError(t, err)
			}
		}))
		publishedAgo(t, g, ActionRequest{APIID: req.APIID, EnvID: req.EnvID, Remark: "1.4.1"}, time.Hour)
		g.Inject(apigtest.CloseBefore())
		record, err := c.Publish(context.Background(), req)
		require.NoError(t, err)
		assert.False(t, record.Recovered)
		assert.Len(t, g.Journal(), 11)
	})
	t.Run("not with a reported one left", func(t *testing.T) {
		t.Parallel()
		var g *apigtest.Gateway
		var req ActionRequest
		var c *Client
		c, g, req = newLive(t, beforeHistory(1, func() {
			for range 9 {
				_, err := g.Publish(req.APIID, req.EnvID, "other")
				assert.NoError(t, err)
			}
		}))
		_, err := c.Publish(context.Background(), req)
		require.NoError(t, err)
		g.Inject(apigtest.CloseBefore())
		record, err := c.Publish(context.Background(), req)
		require.NoError(t, err)
		assert.False(t, record.Recovered)
		assert.Len(t, g.Journal(), 11)
	})
}

// TestAPIGone removes the API before the history is read.
func TestAPIGone(t *testing.T) {
	t.Parallel()
	for name, call := range directions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var g *apigtest.Gateway
			var req ActionRequest
			var c *Client
			c, g, req = newLive(t, beforeHistory(1, func() { g.RemoveAPI(req.APIID) }))
			publishedAgo(t, g, req, time.Hour)
			g.Inject(apigtest.ApplyThenClose())
			record, err := call(c, context.Background(), req)
			assert.Nil(t, record)
			require.ErrorIs(t, err, ErrNotFound)
			require.NotErrorIs(t, err, ErrOutcomeUnknown)
			var e *APIGError
			require.ErrorAs(t, err, &e)
			assert.Equal(t, name, e.Op)
			assert.Equal(t, req.APIID, e.APIID)
			assert.Equal(t, CodeAPINotFound, e.Code)
			assert.Equal(t, 1, asked(g, apigtest.OpAction))
		})
	}
}

// TestTagRemark has two clients publish the same API with the same remark at
// once, lose both answers, and a gateway whose clocks say nothing.
func TestTagRemark(t *testing.T) {
	t.Parallel()
	g := apigtest.NewGateway()
	t.Cleanup(g.Close)
	g.SetDateSkew(7 * time.Hour)
	req := ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease, Remark: "1.4.2"}
	const n = 4
	g.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction).Times(n))
	got := make([]*PublishRecord, n)
	var wg sync.WaitGroup
	for i := range got {
		c := newLiveClient(t, g, func(cfg *Config) { cfg.Retry.TagRemark = true })
		wg.Add(1)
		go func() {
			defer wg.Done()
			var err error
			got[i], err = c.Publish(context.Background(), req)
			assert.NoError(t, err)
		}()
	}
	wg.Wait()
	made := map[string]string{}
	for _, a := range g.Journal() {
		made[a.VersionID] = a.Remark
	}
	require.Len(t, made, n)
	for _, record := range got {
		require.NotNil(t, record)
		assert.True(t, record.Recovered)
		assert.Equal(t, made[record.VersionID], record.Remark)
		assert.Regexp(t, `^1\.4\.2 #[0-9a-f]{10}$`, record.Remark)
		delete(made, record.VersionID)
	}
	assert.Empty(t, made, "each is reported once")
}

// TestTagRemarkOneCall has the same tag on every attempt of a call, and another
// one on the next call's.
func TestTagRemarkOneCall(t *testing.T) {
	t.Parallel()
	c, g, req := newLive(t, func(cfg *Config) { cfg.Retry.TagRemark = true })
	req.Remark = ""
	g.Inject(apigtest.CloseBefore().On(apigtest.OpAction).Times(2))
	first, err := c.Publish(context.Background(), req)
	require.NoError(t, err)
	assert.Regexp(t, `^#[0-9a-f]{10}$`, first.Remark)
	second, err := c.Publish(context.Background(), req)
	require.NoError(t, err)
	assert.NotEqual(t, first.Remark, second.Remark)
	var sent []string
	for _, r := range g.Requests() {
		if r.Op == apigtest.OpAction {
			_, tag, _ := strings.Cut(string(r.Body), `"remark":`)
			sent = append(sent, strings.Trim(tag, `"}`))
		}
	}
	assert.Equal(t, []string{first.Remark, first.Remark, first.Remark, second.Remark}, sent)
}

func TestTagRemarkLimit(t *testing.T) {
	t.Parallel()
	c, g, req := newLive(t, func(cfg *Config) { cfg.Retry.TagRemark = true })
	req.Remark = strings.Repeat("发", 255-tagLength)
	record, err := c.Publish(context.Background(), req)
	require.NoError(t, err)
	assert.Equal(t, 255, utf8.RuneCountInString(record.Remark))
	req.Remark += "布"
	_, err = c.Publish(context.Background(), req)
	require.ErrorIs(t, err, ErrInvalidArgument)
	assert.ErrorContains(t, err, "244 characters, at most 243")
	req.Remark = strings.Repeat("发", 255)
	_, err = c.Offline(context.Background(), req)
	require.NoError(t, err, "what is taken offline needs no tag")
	assert.Len(t, g.Journal(), 2)
}

// TestRuntimeOfRecovered has what the history does not name.
func TestRuntimeOfRecovered(t *testing.T) {
	t.Parallel()
	t.Run("cannot be read", func(t *testing.T) {
		t.Parallel()
		c, g, req := newLive(t)
		g.Inject(apigtest.ApplyThenClose(), apigtest.Answer(500, systemBody).On(apigtest.OpRuntime).Always())
		record, err := c.Publish(context.Background(), req)
		require.NoError(t, err)
		v, _ := g.Published(req.APIID, req.EnvID)
		assert.Equal(t, &PublishRecord{APIID: req.APIID, EnvID: req.EnvID, Remark: req.Remark,
			PublishTime: v.Time.Truncate(time.Second), VersionID: v.ID, Recovered: true}, record)
		assert.Equal(t, 1, asked(g, apigtest.OpRuntime), "it is worth one request")
	})
	t.Run("is of another version", func(t *testing.T) {
		t.Parallel()
		var g *apigtest.Gateway
		var req ActionRequest
		var c *Client
		c, g, req = newLive(t, beforeHistory(1, func() {
			_, err := g.Publish(req.APIID, req.EnvID, "1.4.3")
			assert.NoError(t, err)
		}))
		g.Inject(apigtest.ApplyThenClose())
		record, err := c.Publish(context.Background(), req)
		require.NoError(t, err)
		assert.Equal(t, g.Journal()[0].VersionID, record.VersionID)
		assert.Equal(t, "1.4.2", record.Remark)
		assert.Empty(t, record.PublishID)
		assert.Empty(t, record.APIName)
		assert.Zero(t, asked(g, apigtest.OpRuntime))
	})
}

// TestOfflineOutcome has the rules for taking an API offline.
func TestOfflineOutcome(t *testing.T) {
	t.Parallel()
	const action = apigtest.OpAction
	// The history still shows the version in effect that was taken offline.
	stale := apigtest.Fault{Op: apigtest.OpHistory, Rewrite: func(status int, body []byte) (int, []byte) {
		return status, []byte(strings.ReplaceAll(string(body), `"status":2`, `"status":1`))
	}}.Always()
	older := func(t *testing.T, _ *Client, g *apigtest.Gateway, r ActionRequest) { publishedAgo(t, g, r, time.Hour) }
	younger := func(t *testing.T, _ *Client, g *apigtest.Gateway, r ActionRequest) { publishedAgo(t, g, r, 0) }
	own := func(t *testing.T, c *Client, _ *apigtest.Gateway, r ActionRequest) {
		_, err := c.Publish(context.Background(), r)
		require.NoError(t, err)
	}
	nothing := func(*testing.T, *Client, *apigtest.Gateway, ActionRequest) {}
	for name, r := range map[string]struct {
		before    func(*testing.T, *Client, *apigtest.Gateway, ActionRequest)
		faults    []apigtest.Fault
		err       error
		recovered bool
		journal   []string
	}{
		"no fault":                       {before: own, journal: []string{"online", "offline"}},
		"not published":                  {before: nothing, err: ErrNotPublished},
		"performed already":              {before: older, faults: []apigtest.Fault{apigtest.Answer(400, performedBody)}, err: ErrNotPublished, journal: []string{"online"}},
		"answer lost":                    {before: older, faults: []apigtest.Fault{apigtest.ApplyThenClose()}, recovered: true, journal: []string{"online", "offline"}},
		"answer lost, one in a second":   {before: own, faults: []apigtest.Fault{apigtest.ApplyThenClose()}, recovered: true, journal: []string{"online", "offline"}},
		"lost, nothing in effect":        {before: nothing, faults: []apigtest.Fault{apigtest.CloseBefore()}, recovered: true},
		"lost, published long before":    {before: older, faults: []apigtest.Fault{apigtest.CloseBefore()}, journal: []string{"online", "offline"}},
		"lost, published by us just now": {before: own, faults: []apigtest.Fault{apigtest.CloseBefore()}, journal: []string{"online", "offline"}},
		"lost, published by somebody":    {before: younger, faults: []apigtest.Fault{apigtest.CloseBefore()}, err: ErrOutcomeUnknown, journal: []string{"online"}},
		"lost, nobody knows when": {before: older, faults: []apigtest.Fault{apigtest.CloseBefore(),
			apigtest.Fault{Op: apigtest.OpHistory, Header: http.Header{"Date": nil}}.Always()}, err: ErrOutcomeUnknown, journal: []string{"online"}},
		"lost, by us, nobody knows when": {before: own, faults: []apigtest.Fault{apigtest.CloseBefore(),
			apigtest.Fault{Op: apigtest.OpHistory, Header: http.Header{"Date": nil}}.Always()}, journal: []string{"online", "offline"}},
		"busy":                            {before: older, faults: []apigtest.Fault{apigtest.Busy()}, journal: []string{"online", "offline"}},
		"busy, but applied":               {before: older, faults: []apigtest.Fault{apigtest.ApplyThenAnswer(500, syncBody)}, recovered: true, journal: []string{"online", "offline"}},
		"201 empty, applied":              {before: older, faults: []apigtest.Fault{apigtest.ApplyThenAnswer(201, "")}, recovered: true, journal: []string{"online", "offline"}},
		"repeated, then not published":    {before: older, faults: []apigtest.Fault{apigtest.ApplyThenClose(), stale}, recovered: true, journal: []string{"online", "offline"}},
		"repeated, then performed":        {before: older, faults: []apigtest.Fault{apigtest.ApplyThenClose(), stale, apigtest.Answer(400, performedBody).On(action)}, recovered: true, journal: []string{"online", "offline"}},
		"throttled, then not published":   {before: nothing, faults: []apigtest.Fault{apigtest.Throttle("")}, err: ErrNotPublished},
		"repeated, then refused":          {before: older, faults: []apigtest.Fault{apigtest.CloseBefore(), apigtest.Answer(403, noPermissionBody).On(action)}, err: ErrForbidden, journal: []string{"online"}},
		"answer lost, history refused":    {before: older, faults: []apigtest.Fault{apigtest.ApplyThenClose(), apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory)}, err: ErrOutcomeUnknown, journal: []string{"online", "offline"}},
		"lost, history {}, not published": {before: nothing, faults: []apigtest.Fault{apigtest.CloseBefore(), apigtest.Answer(200, "{}").On(apigtest.OpHistory).Always()}, err: ErrOutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, g, req := newLive(t)
			r.before(t, c, g, req)
			g.Inject(r.faults...)
			record, err := c.Offline(context.Background(), req)
			if r.err != nil {
				assert.Nil(t, record)
				require.ErrorIs(t, err, r.err)
				assert.Equal(t, r.err == ErrOutcomeUnknown, errors.Is(err, ErrOutcomeUnknown))
			} else {
				require.NoError(t, err)
				assert.Equal(t, []string{req.APIID, req.EnvID, "", ""}, []string{record.APIID, record.EnvID, record.PublishID, record.VersionID})
				assert.Equal(t, r.recovered, record.Recovered)
				assert.Zero(t, record.PublishTime)
			}
			assert.ElementsMatch(t, r.journal, ops(g))
		})
	}
}

// TestOfflineThenPublishedBySomebody loses the answer of a withdrawal, after
// which somebody else publishes. Repeating it would take theirs offline.
func TestOfflineThenPublishedBySomebody(t *testing.T) {
	t.Parallel()
	var g *apigtest.Gateway
	var req ActionRequest
	var c *Client
	c, g, req = newLive(t, beforeHistory(1, func() {
		_, err := g.Publish(req.APIID, req.EnvID, req.Remark)
		assert.NoError(t, err)
	}))
	_, err := c.Publish(context.Background(), req)
	require.NoError(t, err)
	g.Inject(apigtest.ApplyThenClose())
	record, err := c.Offline(context.Background(), req)
	mustStayUnknown(t, g, record, err, 2)
	assert.Equal(t, []string{"online", "offline", "online"}, ops(g))
}

// TestVersionOutcome has the rules for versions.
func TestVersionOutcome(t *testing.T) {
	t.Parallel()
	t.Run("SwitchVersion", func(t *testing.T) {
		t.Parallel()
		for name, r := range map[string]struct {
			fault     apigtest.Fault
			recovered bool
			requests  int
		}{
			"answer lost": {apigtest.ApplyThenClose(), true, 1},
			"lost":        {apigtest.CloseBefore(), false, 2},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c, g, req := newLive(t)
				first, err := g.Publish(req.APIID, req.EnvID, "1.4.1")
				require.NoError(t, err)
				_, err = g.Publish(req.APIID, req.EnvID, "1.4.2")
				require.NoError(t, err)
				g.Inject(r.fault.On(apigtest.OpSwitch))
				record, err := c.SwitchVersion(context.Background(), req.APIID, first.ID)
				require.NoError(t, err)
				assert.Equal(t, first.ID, record.VersionID)
				assert.Equal(t, r.recovered, record.Recovered)
				assert.Equal(t, r.requests, asked(g, apigtest.OpSwitch))
				assert.Equal(t, []string{"online", "online", "switch"}, ops(g))
			})
		}
	})
	t.Run("OfflineVersion", func(t *testing.T) {
		t.Parallel()
		const op = apigtest.OpOfflineVersion
		for name, r := range map[string]struct {
			faults  []apigtest.Fault
			err     error
			journal []string
		}{
			"answer lost":                   {faults: []apigtest.Fault{apigtest.ApplyThenClose()}, journal: []string{"online", "offline-version"}},
			"lost":                          {faults: []apigtest.Fault{apigtest.CloseBefore()}, journal: []string{"online", "offline-version"}},
			"refused":                       {faults: []apigtest.Fault{apigtest.Answer(403, noPermissionBody)}, err: ErrForbidden, journal: []string{"online"}},
			"answer lost, then refused":     {faults: []apigtest.Fault{apigtest.ApplyThenClose(), apigtest.Answer(403, noPermissionBody)}, err: ErrOutcomeUnknown, journal: []string{"online", "offline-version"}},
			"answer lost, then throttled":   {faults: []apigtest.Fault{apigtest.ApplyThenClose(), apigtest.Throttle("3600")}, err: ErrOutcomeUnknown, journal: []string{"online", "offline-version"}},
			"answer lost, then throttled …": {faults: []apigtest.Fault{apigtest.ApplyThenClose(), apigtest.Throttle("").Always()}, err: ErrOutcomeUnknown, journal: []string{"online", "offline-version"}},
			"lost for ever":                 {faults: []apigtest.Fault{apigtest.CloseBefore().Always()}, err: ErrOutcomeUnknown, journal: []string{"online"}},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c, g, req := newLive(t)
				v, err := g.Publish(req.APIID, req.EnvID, req.Remark)
				require.NoError(t, err)
				for _, f := range r.faults {
					g.Inject(f.On(op))
				}
				err = c.OfflineVersion(context.Background(), v.ID)
				if r.err == nil {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, r.err)
					if r.err == ErrOutcomeUnknown {
						require.ErrorIs(t, err, io.EOF, "the attempt that may have done it")
						require.NotErrorIs(t, err, ErrForbidden)
						require.NotErrorIs(t, err, ErrThrottled)
					}
				}
				assert.Equal(t, r.journal, ops(g))
			})
		}
		t.Run("not in effect", func(t *testing.T) {
			t.Parallel()
			c, _, _ := newLive(t)
			require.ErrorIs(t, c.OfflineVersion(context.Background(), "nothing"), ErrNotFound)
		})
	})
}

// TestUnknownError has the whole tree of an error and its text.
func TestUnknownError(t *testing.T) {
	t.Parallel()
	t.Run("of an answer", func(t *testing.T) {
		t.Parallel()
		s := (&stage{}).
			on(kindOnline, answers(502, gatewayPage, "X-Request-Id", "r1")).
			on(kindHistory, answers(403, noPermissionBody, "X-Request-Id", "r2"))
		_, err := newStaged(t, s, policy(quick)).Publish(context.Background(), testRequest)
		for _, sentinel := range sentinels {
			want := sentinel == ErrOutcomeUnknown || sentinel == ErrServer
			assert.Equal(t, want, errors.Is(err, sentinel), "%v", sentinel)
		}
		var e *APIGError
		require.ErrorAs(t, err, &e)
		assert.Equal(t, &APIGError{Op: "Publish", APIID: testAPI, StatusCode: 502, RequestID: "r1", Attempts: 1}, e)
		assert.EqualError(t, err, "apig: Publish API "+testAPI+": 502 Bad Gateway (request id r1); outcome unknown: "+
			"the history cannot be read: history API "+testAPI+": 403 Forbidden, APIG.1005: No permissions to request this method (request id r2)")
	})
	t.Run("of a context", func(t *testing.T) {
		t.Parallel()
		cause := errors.New("the wire is cut")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		s := (&stage{}).on(kindOnline, func(*http.Request, func() *http.Response) (*http.Response, error) {
			cancel()
			return nil, cause
		})
		_, err := newStaged(t, s, policy(quick)).Publish(ctx, testRequest)
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		require.ErrorIs(t, err, cause)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, []string{kindOnline}, s.requests())
		assert.NotContains(t, err.Error(), "\n")
		assert.ErrorContains(t, err, "; outcome unknown: the context ended before it was settled")
	})
	t.Run("of an unreadable success", func(t *testing.T) {
		t.Parallel()
		s := (&stage{}).on(kindOnline, answers(201, "{\n}")).on(kindHistory, answers(403, "a\nb"))
		_, err := newStaged(t, s, policy(quick)).Publish(context.Background(), testRequest)
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		require.ErrorIs(t, err, ErrBadResponse)
		assert.NotContains(t, err.Error(), "\n")
	})
}

// TestTurns has concurrent calls for one API, of a client and its instances,
// and no two of them under way at once.
func TestTurns(t *testing.T) {
	t.Parallel()
	var under, most, other atomic.Int32
	c, g, req := newLive(t)
	second := g.AddAPI("customers")
	c.http.Transport = meddler{c.http.Transport, func(r *http.Request) {}}
	inner := c.http.Transport
	c.http.Transport = transportFunc(func(r *http.Request) (*http.Response, error) {
		body, _ := r.GetBody()
		sent, _ := io.ReadAll(body)
		if !strings.Contains(string(sent), req.APIID) {
			other.Add(1)
			return inner.RoundTrip(r)
		}
		if now := under.Add(1); now > most.Load() {
			most.Store(now)
		}
		defer under.Add(-1)
		return inner.RoundTrip(r)
	})
	c.rest = newREST(c.http, c.log, "test", c.authenticate)
	same, err := c.Instance(c.instanceID)
	require.NoError(t, err)
	env := g.AddEnvironment("TEST")
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			r, on := req, c
			switch i % 4 {
			case 1:
				r.EnvID = env
			case 2:
				on = same
			case 3:
				r.APIID = second
			}
			_, err := on.Publish(context.Background(), r)
			assert.NoError(t, err)
		}()
	}
	wg.Wait()
	assert.EqualValues(t, 1, most.Load())
	assert.EqualValues(t, 6, other.Load())
	assert.Len(t, g.Journal(), 24)
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestTurnIsAwaited waits for a turn that is not given back, as long as the
// context allows. Another API need not wait.
func TestTurnIsAwaited(t *testing.T) {
	t.Parallel()
	c, g, req := newLive(t)
	g.Inject(apigtest.Hang().On(apigtest.OpAction))
	held, release := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := c.Publish(held, req)
		assert.ErrorIs(t, err, ErrOutcomeUnknown)
	}()
	defer func() { <-done }()
	defer release()
	require.Eventually(t, func() bool { return g.Faults() == 1 }, 10*time.Second, time.Millisecond)

	for name, call := range directions {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		record, err := call(c, ctx, req)
		cancel()
		assert.Nil(t, record)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, ErrOutcomeUnknown)
		assert.EqualError(t, err, "apig: "+name+" API "+req.APIID+": context deadline exceeded")
	}
	_, err := c.Publish(context.Background(), ActionRequest{APIID: g.AddAPI("customers"), EnvID: EnvRelease})
	require.NoError(t, err)
	assert.Equal(t, 2, asked(g, apigtest.OpAction), "who waited in vain has sent nothing")

	release()
	<-done
	_, err = c.Publish(context.Background(), req)
	require.NoError(t, err, "the turn goes on to the next")
}

// TestTurnsAreForgotten frees the memory of places that nobody uses.
func TestTurnsAreForgotten(t *testing.T) {
	t.Parallel()
	turns := newTurns()
	ctx := context.Background()
	for i := range 1000 {
		own, err := turns.take(ctx, place{"i", fmt.Sprint(i)})
		require.NoError(t, err)
		own.report("e", "v")
		turns.release(own)
	}
	held, err := turns.take(ctx, place{"i", "held"})
	require.NoError(t, err)
	require.Len(t, turns.at, 1001)

	now := time.Now()
	turns.sweep(now.Add(remembered / 2))
	assert.Len(t, turns.at, 1001, "too early")
	turns.swept = now
	turns.sweep(now.Add(remembered + time.Second))
	assert.Len(t, turns.at, 1, "the one in use stays")
	assert.Contains(t, turns.at, place{"i", "held"})
	held.published("e", "1.4.2", nil, ErrOutcomeUnknown, 3*remembered)
	turns.release(held)
	turns.sweep(now.Add(3 * remembered))
	assert.Len(t, turns.at, 1, "so does one where an outcome is open")
	turns.sweep(now.Add(5 * remembered))
	assert.Empty(t, turns.at)
}

// TestTurnRemembersTen has as many reported versions as a gateway keeps.
func TestTurnRemembersTen(t *testing.T) {
	t.Parallel()
	own := &turn{reported: map[string]*reports{}}
	for i := range 25 {
		own.report("e", fmt.Sprint("v", i))
		own.report("f", "w")
	}
	for i := range 25 {
		assert.Equal(t, i >= 15, own.knows("e")(fmt.Sprint("v", i)), "%d", i)
	}
	assert.True(t, own.knows("f")("w"))
	assert.False(t, own.knows("e")("w"))
	assert.False(t, own.knows("g")("w"))
	assert.False(t, own.knows("e")(""))
}
