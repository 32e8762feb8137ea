package apig

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

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
		row := func(id, code string) string {
			return fmt.Sprintf(`{"api_id":%q,"error_code":%q,"error_msg":"no"}`, id, code)
		}
		s.Inject(gateway.Answer(200, `{"success":[],"failure":[`+row(ids[0], "APIG.3711")+","+row(ids[1], "APIG.3500")+`]}`).On(gateway.OpBatch).Delayed(30 * time.Second))
		var theirs gateway.Version
		later(20*time.Second, func() { theirs = s.theirs("theirs", ids[0]) })
		_, err := s.OfflineBatch(t.Context(), OfflineBatchRequest{APIIDs: ids, EnvID: EnvRelease})
		synctest.Wait()
		require.Error(t, err)
		v, _ := s.Gateway.Published(ids[0], EnvRelease)
		assert.Equal(t, theirs.ID, v.ID)
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

// A group that has lost all its members when its list is read again is empty.
func TestGroupThatBecomesEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		group := s.AddGroup("shop")
		var ids []string
		for i := range 600 {
			ids = append(ids, s.AddAPIIn(group, fmt.Sprint("shop-", i)))
		}
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

// A nonsensical Retry-After silences a client for ten minutes only.
func TestAbsurdRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.Inject(gateway.Throttle("1765000000").On(gateway.OpAction))
		elapsed := took(func() {
			_, err := s.Publish(t.Context(), s.request(""))
			require.ErrorIs(t, err, ErrThrottled)
		})
		assert.Zero(t, elapsed)
		time.Sleep(10 * time.Minute)
		_, err := s.Publish(t.Context(), s.request(""))
		require.NoError(t, err)
	})
}

// A text of a Limiter stays on one line.
func TestLimiterErrorOnOneLine(t *testing.T) {
	raw := errors.New("redis:\n\x1b[31mno\u202e")
	for _, op := range []string{"Publish", "Rollback"} {
		s := newSite(t)
		s.theirs("1")
		s.theirs("2")
		s.Client = clientOf(t, s.Gateway, limitedBy(func(context.Context) error { return raw }))
		var err error
		if op == "Publish" {
			_, err = s.Publish(t.Context(), s.request(""))
		} else {
			_, err = s.Rollback(t.Context(), s.api, EnvRelease)
		}
		require.ErrorIs(t, err, raw)
		for _, bad := range []string{"\n", "\x1b", "\u202e"} {
			assert.NotContains(t, err.Error(), bad)
		}
		assert.Equal(t, 1, strings.Count(err.Error(), "apig:"), err.Error())
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

// In a batch an API that keeps failing does not use up the time that another one is
// refused for now.
func TestBatchWaitsOutARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		ids := s.apis(2)
		start := time.Now()
		s.Inject(gateway.Fault{Op: gateway.OpBatch, Rewrite: func(status int, body []byte) (int, []byte) {
			var rows []string
			if time.Since(start) < time.Minute {
				rows = append(rows, fmt.Sprintf(`{"api_id":%q,"error_code":"APIG.3711"}`, ids[0]))
				rows = append(rows, fmt.Sprintf(`{"api_id":%q,"error_code":"APIC.7701"}`, ids[1]))
				return 200, []byte(`{"failure":[` + strings.Join(rows, ",") + `]}`)
			}
			return status, body
		}}.Always())
		result, err := s.PublishBatch(t.Context(), PublishBatchRequest{APIIDs: ids, EnvID: EnvRelease})
		require.ErrorIs(t, err, ErrConflict)
		assert.NoError(t, result.Items[0].Err)
		require.ErrorIs(t, result.Items[1].Err, ErrConflict)
	})
}
