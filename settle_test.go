package apig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

// changes are all changes of one API. Each begins with two versions, of which the
// newer one has been in effect for an hour.
var allChanges = map[string]struct {
	op gateway.Op
	do func(s *site, ctx context.Context, older, newer string) (*PublishRecord, error)
}{
	"Publish": {gateway.OpAction, func(s *site, ctx context.Context, _, _ string) (*PublishRecord, error) {
		return s.Publish(ctx, s.request("1.4.3"))
	}},
	"Offline": {gateway.OpAction, func(s *site, ctx context.Context, _, _ string) (*PublishRecord, error) {
		return s.Offline(ctx, s.takeOff())
	}},
	"SwitchVersion": {gateway.OpSwitch, func(s *site, ctx context.Context, older, _ string) (*PublishRecord, error) {
		return s.SwitchVersion(ctx, s.api, older)
	}},
	"Rollback": {gateway.OpSwitch, func(s *site, ctx context.Context, _, _ string) (*PublishRecord, error) {
		return s.Rollback(ctx, s.api, EnvRelease)
	}},
	"OfflineVersion": {gateway.OpOfflineVersion, func(s *site, ctx context.Context, _, newer string) (*PublishRecord, error) {
		return s.OfflineVersion(ctx, s.api, newer)
	}},
	"PublishBatch": {gateway.OpBatch, func(s *site, ctx context.Context, _, _ string) (*PublishRecord, error) {
		result, err := s.PublishBatch(ctx, PublishBatchRequest{APIIDs: []string{s.api}, EnvID: EnvRelease})
		return result.Items[0].Record, err
	}},
	"OfflineBatch": {gateway.OpBatch, func(s *site, ctx context.Context, _, _ string) (*PublishRecord, error) {
		result, err := s.OfflineBatch(ctx, OfflineBatchRequest{APIIDs: []string{s.api}, EnvID: EnvRelease})
		return result.Items[0].Record, err
	}},
}

// looksFirst is how often a change reads the history before its first request.
var looksFirst = map[string]int{"Rollback": 1}

// Whatever strikes the first request of a change, the caller knows what happened,
// and it happened once.
func TestOutcomes(t *testing.T) {
	type fault struct {
		gateway.Fault
		recovered, unknown, failed bool
		waits                      time.Duration // at least
	}
	const sec = time.Second
	conflict := `{"error_code":"APIG.3500","error_msg":"sync failed"}`
	for op, c := range allChanges {
		for name, f := range map[string]fault{
			"nothing":                        {Fault: gateway.Slow(0)},
			"lost":                           {Fault: gateway.CloseBefore(), waits: sec},
			"applied, lost":                  {Fault: gateway.ApplyThenClose(), recovered: true, waits: sec},
			"applied, cut":                   {Fault: gateway.Cut(0), recovered: op != "OfflineVersion", waits: 0},
			"applied late":                   {Fault: gateway.CloseThenApply(900 * time.Millisecond), recovered: true, waits: sec},
			"applied late, 9999":             {Fault: gateway.Fault{Apply: gateway.ApplyLater, After: 900 * time.Millisecond, Status: 500, Body: systemBody}, recovered: true, waits: sec},
			"applied late, 504":              {Fault: gateway.Fault{Apply: gateway.ApplyLater, After: 1900 * time.Millisecond, Status: 504}, recovered: true, waits: 2 * sec},
			"applied, timed out":             {Fault: gateway.Fault{Apply: gateway.ApplyLater, After: 61900 * time.Millisecond, End: gateway.EndHang}, recovered: true, waits: 62 * sec},
			"another write":                  {Fault: gateway.Answer(500, conflict), waits: sec},
			"another write, applied":         {Fault: gateway.ApplyThenAnswer(500, conflict), recovered: true, waits: sec},
			"throttled":                      {Fault: gateway.Throttle(""), waits: sec},
			"forbidden":                      {Fault: gateway.Forbidden(), failed: true},
			"202 without a body":             {Fault: gateway.ApplyThenAnswer(202, ""), recovered: true, waits: sec},
			"204 without a body":             {Fault: gateway.ApplyThenAnswer(204, ""), recovered: op != "OfflineVersion"},
			"204 of somebody else":           {Fault: gateway.Answer(204, ""), failed: op == "OfflineVersion"},
			"a page":                         {Fault: gateway.Answer(200, "<html>"), waits: sec},
			"applied, then cannot be read":   {Fault: gateway.ApplyThenClose(), unknown: true},
			"not applied and cannot be read": {Fault: gateway.CloseBefore(), unknown: true},
		} {
			if op == "OfflineVersion" && name == "204 of somebody else" {
				continue // no client can tell: it is what the service itself answers
			}
			virtually(t, op+"/"+name, func(t *testing.T) {
				s, older, newer := versioned(t)
				before := len(s.Journal())
				s.Inject(f.On(c.op))
				if f.unknown {
					s.Inject(gateway.SystemError().On(gateway.OpHistory).Always().Skip(looksFirst[op]))
				}
				begin := time.Now()
				record, err := c.do(s, t.Context(), older.ID, newer.ID)
				elapsed := time.Since(begin)
				time.Sleep(time.Minute)
				applied := len(s.Journal()) - before
				switch {
				case f.unknown:
					assertOpen(t, record, err)
					lost := lostIn(t, err)
					assert.Equal(t, op, lost.Op)
					assert.Equal(t, sec, lost.ArrivesWithin)
					assert.Equal(t, strings.HasPrefix(op, "Publish"), lost.Tag != "")
					assert.LessOrEqual(t, elapsed, 32*sec)
				case f.failed:
					require.Error(t, err)
					require.NotErrorIs(t, err, ErrOutcomeUnknown)
					assert.Zero(t, applied)
				default:
					require.NoError(t, err)
					require.NotNil(t, record)
					assert.Equal(t, f.recovered, record.Recovered)
					assert.Equal(t, 1, applied)
					assert.GreaterOrEqual(t, elapsed, f.waits)
					assert.Equal(t, s.api, record.APIID)
					if op == "Publish" {
						assert.Equal(t, "1.4.3", record.Remark)
						assert.Regexp(t, "^[0-9a-f]{10}$", record.Tag)
						assert.Equal(t, s.effective(), record.VersionID)
					}
				}
			})
		}
	}
}

// A service that changes remarks does not make two versions of a lost publication.
func TestAlteredRemarks(t *testing.T) {
	for name, r := range map[string]struct {
		change  func(string) string
		unknown bool
	}{
		"line breaks":     {change: func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }},
		"capitals":        {change: func(s string) string { return strings.Replace(s, "apig:", "APIG:", 1) }},
		"an escape":       {change: func(s string) string { return strings.Replace(s, "apig:", "apig&#58;", 1) }},
		"no punctuation":  {change: func(s string) string { return strings.Replace(s, "apig:", "apig", 1) }},
		"a full stop":     {change: func(s string) string { return s + "." }},
		"the tag dropped": {change: func(s string) string { return s[:strings.Index(s, " apig:")] }, unknown: true},
		"the tag cut":     {change: func(s string) string { return s[:len(s)-5] }, unknown: true},
	} {
		for _, fault := range []gateway.Fault{gateway.ApplyThenClose(), gateway.CloseBefore()} {
			virtually(t, fmt.Sprint(name, ", applied ", fault.Apply == gateway.ApplyFirst), func(t *testing.T) {
				s := newSite(t)
				s.AlterRemarks(r.change)
				s.Inject(fault.On(gateway.OpAction))
				record, err := s.Publish(t.Context(), s.request("two\nlines"))
				assert.Len(t, s.Journal(), 1)
				if r.unknown && fault.Apply == gateway.ApplyFirst {
					assertOpen(t, record, err)
				} else {
					require.NoError(t, err)
				}
			})
		}
	}
}

// A change other than a publication that was not applied is sent again only while
// nobody else has changed anything, however long the wait for the retry was.
func TestRetryAfterALongWait(t *testing.T) {
	const sec = time.Second
	retryAfter := withHeader(gateway.Answer(503, ""), "Retry-After", "15")
	for op, c := range allChanges {
		if strings.HasPrefix(op, "Publish") {
			continue
		}
		for name, r := range map[string]struct {
			faults  []gateway.Fault
			limiter time.Duration // from the second request on
			at      time.Duration // when the other client publishes
			applied bool
		}{
			"Retry-After, quiet":               {faults: []gateway.Fault{retryAfter}, applied: true},
			"Retry-After, published":           {faults: []gateway.Fault{retryAfter}, at: 8 * sec},
			"throttled for minutes, quiet":     {faults: []gateway.Fault{gateway.CloseBefore(), gateway.Throttle("200")}, applied: true},
			"throttled for minutes, published": {faults: []gateway.Fault{gateway.CloseBefore(), gateway.Throttle("200")}, at: 190 * sec},
			"throttled twice, published":       {faults: []gateway.Fault{gateway.CloseBefore(), gateway.Throttle("100"), gateway.Throttle("100")}, at: 150 * sec},
			"a slow limiter, quiet":            {faults: []gateway.Fault{gateway.CloseBefore()}, limiter: 10 * sec, applied: true},
			"a slow limiter, published":        {faults: []gateway.Fault{gateway.CloseBefore()}, limiter: 10 * sec, at: 18 * sec},
			"published before the look":        {faults: []gateway.Fault{gateway.CloseBefore()}, at: sec / 2},
		} {
			virtually(t, op+"/"+name, func(t *testing.T) {
				var asked atomic.Int32
				s, older, newer := versioned(t)
				s.Client = clientOf(t, s.Gateway, limitedBy(func(context.Context) error {
					if asked.Add(1) > 1 {
						time.Sleep(r.limiter)
					}
					return nil
				}))
				for _, f := range r.faults {
					s.Inject(f.On(c.op))
				}
				var theirs gateway.Version
				if r.at > 0 {
					later(r.at, func() { theirs = s.theirs("theirs") })
				}
				_, err := c.do(s, t.Context(), older.ID, newer.ID)
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				if r.applied {
					require.NoError(t, err)
					assert.NotEqual(t, newer.ID, s.effective())
					return
				}
				if op != "OfflineVersion" { // the other client has put it out of effect
					require.Error(t, err)
				}
				assert.Equal(t, theirs.ID, s.effective(), "what the other client has published stays")
			})
		}
	}
}

// The history is read while the service allows it, also after a long throttling.
func TestThrottledHistory(t *testing.T) {
	for _, after := range []string{"", "25", "60", "300"} {
		virtually(t, "Retry-After "+after, func(t *testing.T) {
			s := newSite(t)
			s.Inject(gateway.ApplyThenClose().On(gateway.OpAction), gateway.Throttle(after).On(gateway.OpHistory))
			record, err := s.Publish(t.Context(), s.request(""))
			require.NoError(t, err)
			assert.True(t, record.Recovered)
		})
	}
	virtually(t, "for ever", func(t *testing.T) {
		s := newSite(t)
		s.Inject(gateway.ApplyThenClose().On(gateway.OpAction), gateway.Throttle("").On(gateway.OpHistory).Always())
		elapsed := took(func() {
			record, err := s.Publish(t.Context(), s.request(""))
			assertOpen(t, record, err)
		})
		assert.LessOrEqual(t, elapsed, 7*time.Minute)
		assert.Less(t, s.requests(gateway.OpHistory), 40)
	})
}

// Where the context ends before a lost request can no longer arrive, or in that very
// instant, a tag still proves that it was applied, and nothing else is proved.
func TestDeadlineBeforeTheLook(t *testing.T) {
	for applied, fault := range map[bool]gateway.Fault{true: gateway.ApplyThenClose(), false: gateway.CloseBefore()} {
		for _, timeout := range []time.Duration{800 * time.Millisecond, time.Second} {
			virtually(t, fmt.Sprint("applied ", applied, ", ", timeout), func(t *testing.T) {
				s := newSite(t)
				s.Inject(fault)
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				record, err := s.Publish(ctx, s.request(""))
				if applied {
					require.NoError(t, err)
					assert.True(t, record.Recovered)
					return
				}
				assertOpen(t, record, err)
				require.ErrorIs(t, err, context.DeadlineExceeded)
			})
		}
	}
}

// Settle answers for an error in hand as for one from JSON. Its error wraps the failure
// that began it.
func TestSettle(t *testing.T) {
	for op, c := range allChanges {
		for name, fault := range map[string]gateway.Fault{"applied": gateway.ApplyThenClose(), "not applied": gateway.CloseBefore()} {
			virtually(t, op+"/"+name, func(t *testing.T) {
				s, older, newer := versioned(t)
				s.Inject(fault.On(c.op), gateway.Forbidden().On(gateway.OpHistory).Always().Skip(looksFirst[op]))
				record, err := c.do(s, t.Context(), older.ID, newer.ID)
				assertOpen(t, record, err)
				s.ClearFaults()
				begin := time.Now()
				first, firstErr := s.Settle(t.Context(), lostIn(t, err))
				assert.Zero(t, time.Since(begin), "it can no longer arrive")
				second, secondErr := clientOf(t, s.Gateway).Settle(t.Context(), overJSON(t, err))
				if name == "applied" {
					require.NoError(t, errors.Join(firstErr, secondErr))
					assert.True(t, first.Recovered && second.Recovered)
					return
				}
				assert.Equal(t, []Outcome{NotApplied, NotApplied}, []Outcome{OutcomeOf(firstErr), OutcomeOf(secondErr)})
				require.ErrorIs(t, firstErr, io.EOF)
				require.ErrorAs(t, secondErr, new(*CallError))
			})
		}
	}
}

// SettleBatch ends within its bound though its context does not, and one history that
// cannot be read does not hold up the others.
func TestSettleIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		ids := append(s.apis(99), s.api)
		s.Inject(gateway.ApplyThenClose().On(gateway.OpBatch), gateway.Forbidden().On(gateway.OpHistory).Always())
		_, err := s.PublishBatch(t.Context(), PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease})
		var batch *BatchError
		require.ErrorAs(t, err, &batch)
		require.Len(t, batch.Items, 100)
		s.ClearFaults()
		s.Inject(gateway.Fault{Op: gateway.OpHistory, End: gateway.EndHang, Match: func(r *gateway.Request) bool { return r.APIID == s.api }}.Always())
		elapsed := took(func() {
			result, err := s.SettleBatch(t.Context(), batch)
			require.Len(t, result.Items, 100)
			var left *BatchError
			require.ErrorAs(t, err, &left)
			require.Len(t, left.Items, 1)
			assert.Equal(t, s.api, left.Items[0].APIID)
			assert.Equal(t, Unknown, OutcomeOf(err))
		})
		assert.LessOrEqual(t, elapsed, 52*time.Second)
		s.ClearFaults()
		result, err := s.SettleBatch(t.Context(), batch)
		require.NoError(t, err)
		assert.True(t, result.Items[99].Record.Recovered)
	})
}

// A mistake in an UnknownError leaves the outcome unknown.
func TestSettleMistakes(t *testing.T) {
	s := newSite(t)
	good := UnknownError{Op: "Publish", APIID: "a", EnvID: "e", Tag: "0123456789", SentAt: time.Now(), FailedAt: time.Now()}
	for text, change := range map[string]func(*UnknownError){
		`Op "Deploy" is not a method`:   func(e *UnknownError) { e.Op = "Deploy" },
		`APIID is empty`:                func(e *UnknownError) { e.APIID = "" },
		`EnvID "a/b" is not an ID`:      func(e *UnknownError) { e.EnvID = "a/b" },
		`VersionID is empty`:            func(e *UnknownError) { e.Op = "SwitchVersion" },
		`SentAt is zero`:                func(e *UnknownError) { e.SentAt = time.Time{} },
		`Tag "x" is not a tag`:          func(e *UnknownError) { e.Tag = "x" },
		`ArrivesWithin -1ns`:            func(e *UnknownError) { e.ArrivesWithin = -1 },
		`InstanceID "other" is another`: func(e *UnknownError) { e.InstanceID = "other" },
	} {
		lost := good
		change(&lost)
		record, err := s.Settle(t.Context(), &lost)
		assertOpen(t, record, err)
		require.ErrorIs(t, err, ErrInvalidArgument)
		assert.ErrorContains(t, err, "UnknownError."+text)
	}
	_, err := s.Settle(t.Context(), nil)
	require.ErrorIs(t, err, ErrInvalidArgument)
	_, err = s.SettleBatch(t.Context(), nil)
	require.ErrorIs(t, err, ErrInvalidArgument)
	assert.Empty(t, s.Gateway.Requests())
}

// A panic of the caller's own code reaches the caller.
func TestPanicReachesTheCaller(t *testing.T) {
	s := newSite(t, func(cfg *Config) {
		cfg.HTTPClient = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { panic("mine") })}
	})
	assert.PanicsWithValue(t, "mine", func() { _, _ = s.Publish(t.Context(), s.request("")) })
	assert.PanicsWithValue(t, "mine", func() {
		_, _ = s.PublishBatch(t.Context(), PublishBatchRequest{APIIDs: nIDs(2500), EnvID: EnvRelease})
	})
}

// Rollback reads the history before each request, also if SettleWait is long.
func TestRollbackReadsEachTime(t *testing.T) {
	for name, f := range map[string]gateway.Fault{"Retry-After": gateway.Throttle("10"), "7701": gateway.Conflict()} {
		virtually(t, name, func(t *testing.T) {
			s, _, _ := versioned(t)
			s.Client = clientOf(t, s.Gateway, retry(RetryPolicy{SettleWait: 20 * time.Second, MinWait: 5 * time.Second}))
			s.Inject(f.On(gateway.OpSwitch))
			var theirs gateway.Version
			later(3*time.Second, func() { theirs = s.theirs("theirs") })
			_, err := s.Rollback(t.Context(), s.api, EnvRelease)
			synctest.Wait()
			require.ErrorIs(t, err, ErrConflict)
			assert.Equal(t, theirs.ID, s.effective())
		})
	}
}

// A request goes on after the caller has cancelled it, as after a timeout.
func TestCancelledRequestGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		ctx, cancel := context.WithCancel(t.Context())
		s.Inject(gateway.Hang().AppliedAfter(1500 * time.Millisecond).On(gateway.OpAction))
		later(10*time.Millisecond, cancel)
		record, err := s.Publish(ctx, s.request(""))
		assertOpen(t, record, err)
		assert.Equal(t, 2*time.Second, lostIn(t, err).ArrivesWithin)
		_, err = s.Settle(t.Context(), lostIn(t, err))
		require.NoError(t, err)
	})
}

// A remark that the service cuts so that it ends in a tag that it mentions proves
// nothing about a lost publication.
func TestRemarkCutBehindAMentionedTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.AlterRemarks(func(remark string) string { return remark[:20] })
		s.Inject(gateway.ApplyThenClose().On(gateway.OpAction))
		record, err := s.Publish(t.Context(), s.request("see apig:0123456789 there"))
		assertOpen(t, record, err)
		assert.Len(t, s.Journal(), 1)
	})
}

// A Rollback that the throttling of other calls ends has one prefix in its text.
func TestHeldRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := versioned(t)
		s.Inject(gateway.Throttle("500").On(gateway.OpAction))
		_, err := s.Publish(t.Context(), s.request(""))
		require.ErrorIs(t, err, ErrThrottled)
		_, err = s.Rollback(t.Context(), s.api, EnvRelease)
		require.ErrorIs(t, err, ErrThrottled)
		assert.Equal(t, 1, strings.Count(err.Error(), "apig:"), err.Error())
	})
}
