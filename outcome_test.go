package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

func TestOutcomeOf(t *testing.T) {
	open, failed := &UnknownError{Op: "Publish"}, &CallError{Op: "Publish"}
	for _, r := range []struct {
		err  error
		want Outcome
		why  string
	}{
		{nil, Applied, "no error is success"},
		{io.EOF, NotApplied, "an error that says nothing else"},
		{ErrInvalidArgument, NotApplied, "nothing was sent"},
		{failed, NotApplied, "a call that failed"},
		{&APIGError{StatusCode: 500}, NotApplied, "alone it comes only where that is known"},
		{open, Unknown, "its name says so"},
		{ErrOutcomeUnknown, Unknown, "the sentinel alone"},
		{fmt.Errorf("deploy: %w", open), Unknown, "wrapped"},
		{errors.Join(failed, open), Unknown, "the worst of several"},
		{&BatchError{Items: []BatchItem{{Err: failed}}}, NotApplied, "of a batch"},
		{&BatchError{Items: []BatchItem{{Err: failed}, {Err: open}}}, Unknown, "the worst of a batch"},
	} {
		assert.Equal(t, r.want, OutcomeOf(r.err), r.why)
	}
	for outcome, text := range map[Outcome]string{Applied: "applied", NotApplied: "not applied", Unknown: "unknown", 7: "unknown"} {
		assert.Equal(t, text, outcome.String())
	}
}

// lose publishes with a lost answer and histories that cannot be read.
func (s *site) lose(remark string, fault apigtest.Fault) error {
	s.t.Helper()
	s.Inject(fault.On(apigtest.OpAction), apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory).Times(3))
	record, err := s.Publish(s.t.Context(), s.request(remark))
	require.Nil(s.t, record)
	require.ErrorIs(s.t, err, ErrOutcomeUnknown)
	return err
}

// The tree of an unknown outcome has what began it and the end of the context, but
// nothing of the history.
func TestUnknownErrorTree(t *testing.T) {
	virtually(t, "of an answer", func(t *testing.T) {
		s := newSite(t)
		err := s.lose("1.4.2", withHeader(apigtest.Answer(502, gatewayPage), "X-Request-Id", "r1"))
		for _, sentinel := range sentinels {
			assert.Equal(t, sentinel == ErrOutcomeUnknown || sentinel == ErrServer, errors.Is(err, sentinel), "%v", sentinel)
		}
		var e *APIGError
		require.ErrorAs(t, err, &e)
		assert.Equal(t, &APIGError{Op: "Publish", APIID: s.api, StatusCode: 502, RequestID: "r1", Attempts: 1}, e)
		assert.Regexp(t, "^apig: Publish API "+s.api+`: 502 Bad Gateway \(request id r1\); outcome unknown: the history cannot be read: `+
			`403 Forbidden, APIG.1005: No permissions to request this method \(request id [0-9a-f]{32}\)$`, err.Error())
	})
	virtually(t, "of a context", func(t *testing.T) {
		s := newSite(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s.Inject(apigtest.CloseBefore())
		later(100*time.Millisecond, cancel)
		elapsed := took(func() {
			record, err := s.Publish(ctx, s.request(""))
			assertOpen(t, record, err)
			require.ErrorIs(t, err, io.EOF)
			require.ErrorIs(t, err, context.Canceled)
			require.NotErrorIs(t, err, context.DeadlineExceeded)
			assert.ErrorContains(t, err, "; outcome unknown: the context ended before it was settled")
		})
		assert.Equal(t, 100*time.Millisecond, elapsed)
		assert.Len(t, s.Gateway.Requests(), 1)
	})
	virtually(t, "of an unreadable success", func(t *testing.T) {
		s := newSite(t)
		err := s.lose("", apigtest.Answer(201, "{\n}"))
		require.ErrorIs(t, err, ErrBadResponse)
		assert.NotContains(t, err.Error(), "\n")
	})
}

// The fields are what a person and another process need.
func TestUnknownErrorFields(t *testing.T) {
	virtually(t, "of a publication", func(t *testing.T) {
		s := newSite(t, retry(RetryPolicy{TagRemark: true}))
		start := time.Now()
		s.Inject(apigtest.Throttle("3"))
		err := s.lose("1.4.2", apigtest.CloseBefore())
		var e *UnknownError
		require.ErrorAs(t, err, &e)
		assert.Regexp(t, `^1\.4\.2 #[0-9a-f]{10}$`, e.Remark)
		assert.Equal(t, UnknownError{Op: "Publish", InstanceID: s.InstanceID(), APIID: s.api, EnvID: EnvRelease, Remark: e.Remark, Tagged: true,
			SentAt: e.SentAt, FailedAt: e.FailedAt, Attempts: 2},
			UnknownError{Op: e.Op, InstanceID: e.InstanceID, APIID: e.APIID, EnvID: e.EnvID, VersionID: e.VersionID, Remark: e.Remark, Tagged: e.Tagged,
				SentAt: e.SentAt, SentAtGateway: e.SentAtGateway, FailedAt: e.FailedAt, Attempts: e.Attempts})
		assert.Equal(t, 3*time.Second, e.SentAt.Sub(start), "the first attempt of unknown outcome, not the refused one")
		assert.Equal(t, 3*time.Second, e.FailedAt.Sub(start))
	})
	virtually(t, "the gateway's clock, where it was told", func(t *testing.T) {
		s := newSite(t)
		s.SetClock(func() time.Time { return time.Now().Add(-5 * time.Hour) })
		s.theirs("1.4.2")
		time.Sleep(7 * time.Second)
		sent := time.Now()
		s.Inject(apigtest.CloseBefore())
		record, err := s.Publish(t.Context(), s.request("1.4.2"))
		assertOpen(t, record, err)
		var e *UnknownError
		require.ErrorAs(t, err, &e)
		assert.WithinDuration(t, sent.Add(-5*time.Hour), e.SentAtGateway, slack)
	})
	virtually(t, "of a switch", func(t *testing.T) {
		s := newSite(t)
		s.Inject(apigtest.CloseBefore(), apigtest.Answer(403, noPermissionBody).Always())
		_, err := s.SwitchVersion(t.Context(), s.api, "v1")
		var e *UnknownError
		require.ErrorAs(t, err, &e)
		assert.Equal(t, []string{"SwitchVersion", s.api, "", "v1"}, []string{e.Op, e.APIID, e.EnvID, e.VersionID})
	})
}

func TestUnknownErrorLogValue(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, r := range []struct {
		e    UnknownError
		want string
	}{
		{UnknownError{Op: "Publish"}, "[op=Publish attempts=0 reason=outcome unknown]"},
		{UnknownError{Op: "Publish", InstanceID: "i\nj", APIID: "a\nb", EnvID: "e", VersionID: "v", Remark: "r", SentAt: at, SentAtGateway: at.Add(time.Second), Attempts: 2, cause: io.EOF, why: "so"},
			`[op=Publish instance_id=i\nj api_id=a\nb env_id=e version_id=v remark=r sent_at=2026-03-01 12:00:00 +0000 UTC sent_at_gateway=2026-03-01 12:00:01 +0000 UTC attempts=2 reason=EOF; outcome unknown: so]`},
	} {
		var _ slog.LogValuer = &r.e
		assert.Equal(t, r.want, r.e.LogValue().String())
	}
}

// overJSON is the error as another process makes it again.
func overJSON(t *testing.T, err error) error {
	t.Helper()
	var e, again *UnknownError
	require.ErrorAs(t, err, &e)
	b, err := json.Marshal(e)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &again))
	return again
}

// What became of a lost publication, asked again later: by the same client, by
// another process with the error's JSON, and after this client has forgotten it.
func TestSettle(t *testing.T) {
	askers := map[string]func(*testing.T, *site, error) (*PublishRecord, error){
		"the same client": func(t *testing.T, s *site, err error) (*PublishRecord, error) {
			return s.Settle(t.Context(), fmt.Errorf("deploy: %w", err))
		},
		"much later": func(t *testing.T, s *site, err error) (*PublishRecord, error) {
			time.Sleep(time.Hour)
			return s.Settle(t.Context(), err)
		},
		"another process": func(t *testing.T, s *site, err error) (*PublishRecord, error) {
			return clientOf(t, s.Gateway).Settle(t.Context(), overJSON(t, err))
		},
		"another process, much later": func(t *testing.T, s *site, err error) (*PublishRecord, error) {
			time.Sleep(time.Hour)
			return clientOf(t, s.Gateway).Settle(t.Context(), overJSON(t, err))
		},
	}
	for asker, settle := range askers {
		for _, tagged := range []bool{false, true} {
			name := fmt.Sprintf("%s, tagged: %v", asker, tagged)
			policy := retry(RetryPolicy{TagRemark: tagged})
			virtually(t, name+", applied", func(t *testing.T) {
				s := newSite(t, policy)
				record, err := settle(t, s, s.lose("1.4.2", apigtest.ApplyThenClose()))
				require.NoError(t, err)
				assert.True(t, record.Recovered)
				assert.Equal(t, []string{s.effective(), s.api, EnvRelease, "orders"}, []string{record.VersionID, record.APIID, record.EnvID, record.APIName})
				assert.NotEmpty(t, record.PublishID)
				assert.Equal(t, 1, s.requests(apigtest.OpAction), "it changes nothing")
			})
			virtually(t, name+", not applied", func(t *testing.T) {
				s := newSite(t, policy)
				s.theirs("1.4.1")
				time.Sleep(time.Minute)
				record, err := settle(t, s, s.lose("1.4.2", apigtest.CloseBefore()))
				assert.Nil(t, record)
				assert.Equal(t, NotApplied, OutcomeOf(err))
				assert.ErrorContains(t, err, "apig: Publish API "+s.api+": not applied, as the gateway's history shows")
				var e *CallError
				require.ErrorAs(t, err, &e)
				assert.Equal(t, 1, e.Attempts)
				assert.Equal(t, 1, s.requests(apigtest.OpAction), "it changes nothing")
			})
			virtually(t, name+", still unknown", func(t *testing.T) {
				s := newSite(t, policy)
				lost := s.lose("1.4.2", apigtest.ApplyThenClose())
				s.Inject(apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory).Always())
				record, err := settle(t, s, lost)
				assertOpen(t, record, err)
				s.ClearFaults()
				assert.ErrorContains(t, err, "the history cannot be read: 403")
				record, err = settle(t, s, err)
				require.NoError(t, err, "and again")
				assert.Equal(t, s.effective(), record.VersionID)
			})
		}
	}
	virtually(t, "the failure is told", func(t *testing.T) {
		s := newSite(t)
		lost := s.lose("", apigtest.Answer(502, gatewayPage))
		_, err := s.Settle(t.Context(), lost)
		require.ErrorIs(t, err, ErrServer)
		assert.ErrorContains(t, err, "the failure was: 502 Bad Gateway")
	})
	virtually(t, "days later", func(t *testing.T) {
		s := newSite(t)
		lost := s.lose("1.4.2", apigtest.ApplyThenClose())
		time.Sleep(72 * time.Hour)
		record, err := s.Settle(t.Context(), lost)
		require.NoError(t, err)
		assert.Equal(t, s.effective(), record.VersionID)
	})
	virtually(t, "by a clock that is ahead", func(t *testing.T) {
		s := newSite(t)
		again := overJSON(t, s.lose("1.4.2", apigtest.ApplyThenClose())).(*UnknownError)
		again.SentAt, again.FailedAt = again.SentAt.Add(time.Hour), again.FailedAt.Add(time.Hour)
		elapsed := took(func() {
			record, err := s.Settle(t.Context(), again)
			assertOpen(t, record, err)
			assert.ErrorContains(t, err, "may be of this call or of another one", "the two clocks cannot be compared")
		})
		assert.Equal(t, 2*time.Second, elapsed, "it has failed by now")
		again.SentAtGateway = time.Now().Add(-2 * time.Second)
		record, err := s.Settle(t.Context(), again)
		require.NoError(t, err, "that of the gateway can")
		assert.Equal(t, s.effective(), record.VersionID)
	})
	virtually(t, "without the time of the failure", func(t *testing.T) {
		s := newSite(t)
		again := overJSON(t, s.lose("1.4.2", apigtest.CloseBefore())).(*UnknownError)
		again.FailedAt = time.Time{}
		elapsed := took(func() {
			_, err := s.Settle(t.Context(), again)
			assert.Equal(t, NotApplied, OutcomeOf(err))
		})
		assert.Equal(t, 2*time.Second, elapsed, "it may have failed just now")
	})
	virtually(t, "what is still unknown contests later calls", func(t *testing.T) {
		s := newSite(t)
		other := clientOf(t, s.Gateway)
		again := overJSON(t, s.lose("1.4.2", apigtest.ApplyThenClose()))
		s.Inject(apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory).Always())
		record, err := other.Settle(t.Context(), again)
		assertOpen(t, record, err)
		s.ClearFaults()
		s.Inject(apigtest.CloseBefore().On(apigtest.OpAction))
		record, err = other.Publish(t.Context(), s.request("1.4.2"))
		assertOpen(t, record, err)
		_, err = other.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
	})
	virtually(t, "what is applied late is waited for", func(t *testing.T) {
		s := newSite(t)
		lost := s.lose("1.4.2", apigtest.CloseThenApply(1900*time.Millisecond))
		record, err := s.Settle(t.Context(), lost)
		require.NoError(t, err)
		assert.Equal(t, s.effective(), record.VersionID)
	})
	virtually(t, "as long as the context lasts", func(t *testing.T) {
		s := newSite(t)
		lost := s.lose("1.4.2", apigtest.ApplyThenClose())
		s.Inject(apigtest.Answer(503, html503).On(apigtest.OpHistory).Always())
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		elapsed := took(func() {
			record, err := s.Settle(ctx, lost)
			assertOpen(t, record, err)
		})
		assert.InDelta(t, time.Hour, elapsed, float64(patientWait))
		ctx, cancel = context.WithCancel(t.Context())
		later(time.Minute, cancel)
		elapsed = took(func() {
			record, err := s.Settle(ctx, lost)
			assertOpen(t, record, err)
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, err, io.EOF, "what began it stays in it")
		})
		assert.Equal(t, time.Minute, elapsed)
	})
	virtually(t, "its turn does not come", func(t *testing.T) {
		s := newSite(t)
		lost := s.lose("1.4.2", apigtest.ApplyThenClose())
		s.Inject(apigtest.Slow(time.Minute).On(apigtest.OpAction))
		go func() { _, _ = s.Publish(context.Background(), s.request("1.4.3")) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		record, err := s.Settle(ctx, lost)
		assertOpen(t, record, err)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "its turn did not come")
		time.Sleep(2 * time.Minute)
	})
	virtually(t, "a limiter's or a login's no is not an end of the context", func(t *testing.T) {
		s := newSite(t)
		lost := s.lose("1.4.2", apigtest.ApplyThenClose())
		no := clientOf(t, s.Gateway, limitedBy(func(context.Context) error { return errors.New("no") }))
		record, err := no.Settle(t.Context(), lost)
		assertOpen(t, record, err)
		require.NotErrorIs(t, err, context.Canceled)
	})
}

// The history of another gateway says nothing: neither that nothing was published,
// nor that an API is offline.
func TestSettleOnAnotherGateway(t *testing.T) {
	calls := map[string]struct {
		op apigtest.Op
		do func(*site, apigtest.Version) error
	}{
		"Publish": {apigtest.OpAction, func(s *site, _ apigtest.Version) error {
			_, err := s.Publish(s.t.Context(), s.request("1.4.3"))
			return err
		}},
		"Offline": {apigtest.OpAction, func(s *site, _ apigtest.Version) error {
			_, err := s.Client.Offline(s.t.Context(), s.request(""))
			return err
		}},
		"PublishBatch": {apigtest.OpBatch, func(s *site, _ apigtest.Version) error {
			_, err := s.PublishBatch(s.t.Context(), BatchRequest{APIIDs: []string{s.api}, EnvID: EnvRelease})
			return err
		}},
		"SwitchVersion": {apigtest.OpSwitch, func(s *site, v apigtest.Version) error {
			_, err := s.SwitchVersion(s.t.Context(), s.api, v.ID)
			return err
		}},
	}
	for name, c := range calls {
		for how, f := range map[string]apigtest.Fault{"applied": apigtest.ApplyThenClose(), "not applied": apigtest.CloseBefore()} {
			virtually(t, name+", "+how, func(t *testing.T) {
				s := newSite(t)
				first := s.theirs("1.4.1")
				s.theirs("1.4.2")
				time.Sleep(time.Hour)
				s.Inject(f.On(c.op), apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory).Always())
				lost := c.do(s, first)
				require.ErrorIs(t, lost, ErrOutcomeUnknown)
				s.ClearFaults()
				other, err := s.Client.Instance(s.AddInstance(s.ProjectID(), "another").InstanceID())
				require.NoError(t, err)
				s.Inject(apigtest.Answer(200, emptyHistoryBody).On(apigtest.OpHistory).Always()) // as of a copy, published nowhere yet
				before := len(s.Gateway.Requests())

				for _, lost := range []error{lost, overJSON(t, lost)} {
					record, err := other.Settle(t.Context(), lost)
					assertOpen(t, record, err)
					require.ErrorIs(t, err, ErrInvalidArgument)
					assert.ErrorContains(t, err, `UnknownError.InstanceID "`+s.InstanceID()+`" is another gateway than that of the client, "another"`)
					again := overJSON(t, err).(*UnknownError)
					assert.Equal(t, s.InstanceID(), again.InstanceID, "it still is that of the change")
				}
				assert.Len(t, s.Gateway.Requests(), before, "it is not asked")

				s.ClearFaults()
				for name, id := range map[string]string{"in another case": strings.ToUpper(s.InstanceID()), "in JSON made by hand": ""} {
					again := overJSON(t, lost).(*UnknownError)
					again.InstanceID = id
					_, err := clientOf(t, s.Gateway).Settle(t.Context(), again)
					assert.Equal(t, how, OutcomeOf(err).String(), name)
				}
			})
		}
	}
}

// Settled once more, a change is what it was settled as before.
func TestSettleTwice(t *testing.T) {
	for name, f := range map[string]apigtest.Fault{"applied": apigtest.ApplyThenClose(), "not applied": apigtest.CloseBefore()} {
		for _, tagged := range []bool{false, true} {
			virtually(t, fmt.Sprintf("%s, tagged: %v", name, tagged), func(t *testing.T) {
				s := newSite(t, func(c *Config) { c.Retry.TagRemark = tagged })
				s.theirs("1.4.1")
				time.Sleep(time.Hour)
				s.Inject(f.On(apigtest.OpAction), apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory).Always())
				_, lost := s.Publish(t.Context(), s.request("1.4.2"))
				require.ErrorIs(t, lost, ErrOutcomeUnknown)
				s.ClearFaults()
				for range 2 {
					for _, lost := range []error{lost, overJSON(t, lost)} {
						_, err := s.Settle(t.Context(), lost)
						assert.Equal(t, name, OutcomeOf(err).String())
						time.Sleep(time.Second)
					}
				}
				_, err := s.Publish(t.Context(), s.request("1.4.2")) // which is another one with the same remark
				require.NoError(t, err)
				_, err = s.Settle(t.Context(), lost)
				assert.Equal(t, name, OutcomeOf(err).String())
			})
		}
	}
}

// So it is by a client that has switched to the version before, and lost the answer.
func TestSettleTwiceAfterASwitch(t *testing.T) {
	virtually(t, "applied", func(t *testing.T) {
		s := newSite(t)
		s.theirs("1.4.1")
		time.Sleep(time.Hour)
		s.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction), apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory).Always())
		_, lost := s.Publish(t.Context(), s.request("1.4.2"))
		require.ErrorIs(t, lost, ErrOutcomeUnknown)
		s.ClearFaults()
		version, err := s.Published(t.Context(), s.api, EnvRelease)
		require.NoError(t, err)
		other := clientOf(t, s.Gateway)
		s.Inject(apigtest.ApplyThenClose().On(apigtest.OpSwitch))
		_, err = other.SwitchVersion(t.Context(), s.api, version.ID)
		require.NoError(t, err)
		for range 2 {
			record, err := other.Settle(t.Context(), overJSON(t, lost))
			require.NoError(t, err)
			assert.Equal(t, version.ID, record.VersionID)
		}
	})
}

// What is no unknown outcome comes back as it was.
func TestSettleOfAnythingElse(t *testing.T) {
	s := newSite(t)
	for _, err := range []error{nil, io.EOF, ErrNotFound, &CallError{Op: "Publish"}, &BatchError{Items: []BatchItem{{Err: io.EOF}}}, ErrOutcomeUnknown} {
		record, got := s.Settle(t.Context(), err)
		assert.Nil(t, record)
		assert.Equal(t, err, got)
	}
	sent := time.Now()
	for text, e := range map[string]*UnknownError{
		`UnknownError.Op "Versions" is not a method that changes something; UnknownError.APIID is empty; UnknownError.VersionID is empty; UnknownError.SentAt is zero`: {Op: "Versions"},
		`UnknownError.APIID "a/b" is not an ID`:             {Op: "Publish", APIID: "a/b", EnvID: "e", SentAt: sent},
		`UnknownError.EnvID is empty`:                       {Op: "OfflineBatch", APIID: "a", SentAt: sent},
		`UnknownError.VersionID is empty`:                   {Op: "Rollback", APIID: "a", EnvID: "e", SentAt: sent},
		`UnknownError.VersionID ".." is not an ID`:          {Op: "OfflineVersion", APIID: "a", VersionID: "..", SentAt: sent},
		`UnknownError.SentAt is zero`:                       {Op: "Publish", APIID: "a", EnvID: "e"},
		`UnknownError.InstanceID "x\ny" is another gateway`: {Op: "Publish", InstanceID: "x\ny", APIID: "a", EnvID: "e", SentAt: sent},
	} {
		_, err := s.Settle(t.Context(), e)
		require.ErrorIs(t, err, ErrInvalidArgument)
		assert.ErrorContains(t, err, text)
		assert.Equal(t, Unknown, OutcomeOf(err), "a mistake in the question does not settle it")
	}
	assert.Empty(t, s.Gateway.Requests())
}

func TestSettleBatch(t *testing.T) {
	lose := func(s *site, ids []string, f apigtest.Fault) error {
		s.Inject(f.On(apigtest.OpBatch), apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory).Times(3*len(ids)))
		_, err := s.PublishBatch(s.t.Context(), BatchRequest{APIIDs: ids, EnvID: EnvRelease, Remark: "1.4.2"})
		require.ErrorIs(s.t, err, ErrOutcomeUnknown)
		s.ClearFaults()
		return err
	}
	virtually(t, "one item, applied", func(t *testing.T) {
		s := newSite(t)
		err := lose(s, []string{s.api}, apigtest.ApplyThenClose())
		record, err := s.Settle(t.Context(), err)
		require.NoError(t, err)
		assert.Equal(t, s.effective(), record.VersionID)
	})
	virtually(t, "several, all applied", func(t *testing.T) {
		s := newSite(t)
		err := lose(s, s.apis(3), apigtest.ApplyThenClose())
		record, err := s.Settle(t.Context(), err)
		require.NoError(t, err)
		assert.Nil(t, record)
	})
	virtually(t, "several, none applied", func(t *testing.T) {
		s := newSite(t)
		ids := s.apis(3)
		err := lose(s, ids, apigtest.CloseBefore())
		_, err = s.Settle(t.Context(), fmt.Errorf("deploy: %w", err))
		assert.Equal(t, NotApplied, OutcomeOf(err))
		var e *BatchError
		require.ErrorAs(t, err, &e)
		assert.Equal(t, "PublishBatch", e.Op)
		require.Len(t, e.Items, 3)
		for i, item := range e.Items {
			assert.Equal(t, ids[i], item.APIID)
			require.ErrorAs(t, item.Err, new(*CallError))
		}
	})
	virtually(t, "several, each another way", func(t *testing.T) {
		s := newSite(t)
		ids := append(s.apis(2), "none")
		err := lose(s, ids, apigtest.Cut(0))
		s.Inject(apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory).Always().When(func(r *apigtest.Request) bool { return r.APIID == ids[1] }))
		_, err = s.Settle(t.Context(), err)
		var e *BatchError
		require.ErrorAs(t, err, &e)
		require.Len(t, e.Items, 2, "the first was applied")
		assert.Equal(t, []string{ids[1], "none"}, []string{e.Items[0].APIID, e.Items[1].APIID})
		assert.Equal(t, Unknown, OutcomeOf(err))
		assert.ErrorContains(t, err, "apig: PublishBatch: 2 of 3 APIs failed; the first: ")
	})
	virtually(t, "its context ends", func(t *testing.T) {
		s := newSite(t)
		err := lose(s, s.apis(3), apigtest.ApplyThenClose())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = s.Settle(ctx, err)
		require.ErrorIs(t, err, context.Canceled)
		var e *BatchError
		require.ErrorAs(t, err, &e)
		for _, item := range e.Items {
			require.ErrorIs(t, item.Err, ErrOutcomeUnknown)
		}
	})
}

// A version is not taken for that of a lost publication when another call with the
// same remark may have made it.
func TestSettleAmongRivals(t *testing.T) {
	for name, pause := range map[string]time.Duration{"at once": 0, "in half a minute": 30 * time.Second, "in an hour": time.Hour} {
		virtually(t, "lost, then published again "+name, func(t *testing.T) {
			s := newSite(t)
			lost := s.lose("1.4.2", apigtest.CloseBefore())
			if pause > time.Second {
				time.Sleep(pause)
			}
			_, err := s.Publish(t.Context(), s.request("1.4.2"))
			require.NoError(t, err)
			for range 2 {
				_, err = s.Settle(t.Context(), lost)
				assert.Equal(t, NotApplied, OutcomeOf(err), "the one version is the rival's")
				time.Sleep(time.Hour) // and the turn has forgotten all of it
			}
		})
		virtually(t, "applied, then published again "+name, func(t *testing.T) {
			s := newSite(t)
			lost := s.lose("1.4.2", apigtest.ApplyThenClose())
			ours := s.effective()
			time.Sleep(pause)
			rival, err := s.Publish(t.Context(), s.request("1.4.2"))
			require.NoError(t, err)
			time.Sleep(time.Hour)
			record, err := s.Settle(t.Context(), lost)
			require.NoError(t, err)
			assert.Equal(t, ours, record.VersionID)
			assert.NotEqual(t, ours, rival.VersionID)
		})
	}
	for name, pause := range map[string]time.Duration{"at once": 0, "in an hour, when the turn has forgotten both": time.Hour} {
		virtually(t, "both lost, settled "+name, func(t *testing.T) {
			s := newSite(t)
			first := s.lose("1.4.2", apigtest.ApplyThenClose())
			second := s.lose("1.4.2", apigtest.CloseBefore())
			time.Sleep(pause)
			for _, lost := range []error{first, second} {
				record, err := s.Settle(t.Context(), lost)
				assertOpen(t, record, err)
			}
		})
	}
	virtually(t, "a batch is a rival too", func(t *testing.T) {
		s := newSite(t)
		lost := s.lose("1.4.2", apigtest.CloseBefore())
		_, err := s.PublishBatch(t.Context(), BatchRequest{APIIDs: []string{s.api}, EnvID: EnvRelease, Remark: "1.4.2"})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		_, err = s.Settle(t.Context(), lost)
		assert.Equal(t, NotApplied, OutcomeOf(err))
	})
	virtually(t, "another process does not know what this one has reported", func(t *testing.T) {
		s := newSite(t)
		lost := s.lose("1.4.2", apigtest.CloseBefore())
		rival, err := s.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		record, err := clientOf(t, s.Gateway).Settle(t.Context(), overJSON(t, lost))
		require.NoError(t, err)
		assert.Equal(t, rival.VersionID, record.VersionID, "the documented limit")
	})
	virtually(t, "not with tags", func(t *testing.T) {
		s := newSite(t, retry(RetryPolicy{TagRemark: true}))
		lost := s.lose("1.4.2", apigtest.CloseBefore())
		_, err := s.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		_, err = s.Settle(t.Context(), lost)
		assert.Equal(t, NotApplied, OutcomeOf(err))
	})
	virtually(t, "not with another remark or in another environment", func(t *testing.T) {
		s := newSite(t)
		env := s.AddEnvironment("TEST")
		lost := s.lose("1.4.2", apigtest.ApplyThenClose())
		ours := s.effective()
		for _, r := range []ActionRequest{s.request("1.4.3"), {APIID: s.api, EnvID: env, Remark: "1.4.2"}} {
			_, err := s.Publish(t.Context(), r)
			require.NoError(t, err)
		}
		record, err := s.Settle(t.Context(), lost)
		require.NoError(t, err)
		assert.Equal(t, ours, record.VersionID)
	})
}

// What rests on a state is not judged once this client has changed that state.
func TestSettleOfStates(t *testing.T) {
	type call func(s *site, first, current string) error
	calls := map[string]struct {
		op  apigtest.Op
		do  call
		off bool // what it is to bring about
	}{
		"Offline": {apigtest.OpAction, func(s *site, _, _ string) error {
			_, err := s.Client.Offline(s.t.Context(), s.request(""))
			return err
		}, true},
		"OfflineVersion": {apigtest.OpOfflineVersion, func(s *site, _, current string) error {
			_, err := s.OfflineVersion(s.t.Context(), s.api, current)
			return err
		}, true},
		"SwitchVersion": {apigtest.OpSwitch, func(s *site, first, _ string) error {
			_, err := s.SwitchVersion(s.t.Context(), s.api, first)
			return err
		}, false},
		"Rollback": {apigtest.OpSwitch, func(s *site, _, _ string) error {
			_, err := s.Rollback(s.t.Context(), s.api, EnvRelease)
			return err
		}, false},
	}
	for name, c := range calls {
		lose := func(t *testing.T, f apigtest.Fault) (s *site, first, current string, lost error) {
			s = newSite(t)
			first, current = s.theirs("1.4.1").ID, s.theirs("1.4.2").ID
			time.Sleep(time.Hour)
			s.Inject(f.On(c.op))
			skip := 0
			if name == "Rollback" {
				skip = 1
			}
			s.Inject(apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory).Skip(skip))
			lost = c.do(s, first, current)
			require.ErrorIs(t, lost, ErrOutcomeUnknown)
			return s, first, current, lost
		}
		for asker, again := range map[string]func(*testing.T, *site, error) (*Client, error){
			"the same client": func(_ *testing.T, s *site, err error) (*Client, error) { return s.Client, err },
			"another process": func(t *testing.T, s *site, err error) (*Client, error) {
				return clientOf(t, s.Gateway), overJSON(t, err)
			},
		} {
			virtually(t, name+", "+asker+", applied", func(t *testing.T) {
				s, first, _, lost := lose(t, apigtest.ApplyThenClose())
				client, lost := again(t, s, lost)
				record, err := client.Settle(t.Context(), lost)
				require.NoError(t, err)
				assert.True(t, record.Recovered)
				if !c.off {
					assert.Equal(t, first, record.VersionID)
				}
			})
			virtually(t, name+", "+asker+", not applied", func(t *testing.T) {
				s, _, current, lost := lose(t, apigtest.CloseBefore())
				client, lost := again(t, s, lost)
				record, err := client.Settle(t.Context(), lost)
				assert.Nil(t, record)
				assert.Equal(t, NotApplied, OutcomeOf(err))
				assert.Equal(t, current, s.effective())
			})
			virtually(t, name+", "+asker+", over somebody's publication", func(t *testing.T) {
				s, _, _, lost := lose(t, apigtest.ApplyThenClose())
				s.theirs("theirs")
				client, lost := again(t, s, lost)
				record, err := client.Settle(t.Context(), lost)
				if name == "OfflineVersion" {
					require.NoError(t, err, "that version is offline all the same")
					return
				}
				assertOpen(t, record, err)
			})
		}
		virtually(t, name+", after a publication of this client", func(t *testing.T) {
			s, _, _, lost := lose(t, apigtest.ApplyThenClose())
			_, err := s.Publish(t.Context(), s.request("1.4.3"))
			require.NoError(t, err)
			record, err := s.Settle(t.Context(), lost)
			if name == "OfflineVersion" {
				require.NoError(t, err, "that version is offline all the same")
				return
			}
			assertOpen(t, record, err)
		})
		virtually(t, name+", after this client has switched back", func(t *testing.T) {
			s, _, current, lost := lose(t, apigtest.ApplyThenClose())
			_, err := s.SwitchVersion(t.Context(), s.api, current)
			require.NoError(t, err)
			record, err := s.Settle(t.Context(), lost)
			assertOpen(t, record, err)
		})
	}
}
