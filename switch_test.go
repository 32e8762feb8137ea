package apig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

const (
	publishedVersion = "ee1a5a38d3d3493abf1dc4ed6cacfa0b" // of publishedBody
	noVersionBody    = `{"error_code":"APIG.3022","error_msg":"The API version does not exist"}`
)

func TestSwitchArguments(t *testing.T) {
	c, mt := newTest(t)
	for text, do := range map[string]func() (*PublishRecord, error){
		`APIID is empty; VersionID "a?b" is not an ID`: func() (*PublishRecord, error) { return c.SwitchVersion(t.Context(), "", "a?b") },
		`APIID ".." is not an ID; VersionID is empty`:  func() (*PublishRecord, error) { return c.OfflineVersion(t.Context(), "..", "") },
		`APIID "a b" is not an ID; EnvID is empty`:     func() (*PublishRecord, error) { return c.Rollback(t.Context(), "a b", "") },
	} {
		record, err := do()
		assert.Nil(t, record)
		require.EqualError(t, err, "apig: invalid argument: "+text)
		require.ErrorIs(t, err, ErrInvalidArgument)
	}
	assert.Zero(t, mt.GetTotalCallCount())
}

func TestSwitchesOnTheWire(t *testing.T) {
	t.Run("SwitchVersion", func(t *testing.T) {
		c, mt := newTest(t)
		mt.RegisterResponder(http.MethodPut, historyURL, func(r *http.Request) (*http.Response, error) {
			b, err := io.ReadAll(r.Body)
			assert.JSONEq(t, `{"version_id":"`+publishedVersion+`"}`, string(b))
			assert.Equal(t, "application/json;charset=UTF-8", r.Header.Get("Content-Type"))
			resp := httpmock.NewStringResponse(200, publishedBody)
			resp.Header.Set("X-Request-Id", testRequestID)
			return resp, err
		})
		got, err := c.SwitchVersion(t.Context(), testAPI, publishedVersion)
		require.NoError(t, err)
		assert.Equal(t, &PublishRecord{
			PublishID: "9191cdb430724d4b8586ed7f1b962ca2", APIID: testAPI, APIName: "Api_mock", EnvID: EnvRelease,
			Remark: "Published to the production environment", PublishTime: testTime, VersionID: publishedVersion, RequestID: testRequestID,
		}, got)
		assert.Equal(t, 1, mt.GetTotalCallCount(), "an answer that can be read is all it takes")
	})
	t.Run("OfflineVersion", func(t *testing.T) {
		c, mt := newTest(t)
		mt.RegisterResponder(http.MethodDelete, instanceURL+"/apis/versions/"+publishedVersion, func(r *http.Request) (*http.Response, error) {
			b, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			assert.Empty(t, b)
			assert.Zero(t, r.ContentLength)
			assert.Empty(t, r.Header.Get("Content-Type"))
			assert.Empty(t, r.URL.RawQuery)
			return respond(204, "", "X-Request-Id", testRequestID)(r)
		})
		got, err := c.OfflineVersion(t.Context(), testAPI, publishedVersion)
		require.NoError(t, err)
		assert.Equal(t, &PublishRecord{APIID: testAPI, RequestID: testRequestID}, got)
		assert.Equal(t, 1, mt.GetTotalCallCount())
	})
}

// A record that is not of this version proves nothing.
func TestSwitchVersionUnreadable(t *testing.T) {
	for name, body := range map[string]string{
		"empty":           "",
		"another API":     strings.Replace(publishedBody, testAPI, "another", 1),
		"another version": strings.Replace(publishedBody, publishedVersion, "another", 1),
		"no record":       offlineBody,
	} {
		c, mt := newTest(t)
		mt.RegisterResponder(http.MethodPut, historyURL, respondJSON(200, body))
		mt.RegisterResponder(http.MethodGet, historyURL, respondJSON(403, noPermissionBody))
		record, err := c.SwitchVersion(t.Context(), testAPI, publishedVersion)
		assertOpen(t, record, err)
		assert.ErrorIs(t, err, ErrBadResponse, name)
		assert.Equal(t, 2, mt.GetTotalCallCount(), name)
	}
}

// versioned is a site with an API of which two versions were published long ago.
func versioned(t *testing.T) (s *site, older, newer apigtest.Version) {
	s = newSite(t)
	older = s.theirs("1.4.1")
	time.Sleep(time.Minute)
	newer = s.theirs("1.4.2")
	time.Sleep(time.Hour)
	return s, older, newer
}

// What the caller of a switch, or of a rollback, gets is what the journal says.
func TestSwitchOutcome(t *testing.T) {
	refuse := apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory).Always().Skip(1)
	lost, applied := apigtest.CloseBefore(), apigtest.ApplyThenClose()
	for name, r := range map[string]struct {
		faults    []apigtest.Fault
		recovered bool
		unknown   bool
		is        error
		applied   bool
		switches  int // requests
	}{
		"as usual":                  {applied: true, switches: 1},
		"lost":                      {faults: []apigtest.Fault{applied}, recovered: true, applied: true, switches: 1},
		"cut":                       {faults: []apigtest.Fault{apigtest.Cut(0)}, recovered: true, applied: true, switches: 1},
		"system error, but applied": {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(500, systemBody)}, recovered: true, applied: true, switches: 1},
		"not applied":               {faults: []apigtest.Fault{lost}, applied: true, switches: 2},
		"not applied twice":         {faults: []apigtest.Fault{lost.Times(2)}, applied: true, switches: 3},
		"not applied, then applied": {faults: []apigtest.Fault{lost, applied}, recovered: true, applied: true, switches: 2},
		"throttled":                 {faults: []apigtest.Fault{apigtest.Throttle("")}, applied: true, switches: 2},
		"busy":                      {faults: []apigtest.Fault{apigtest.Busy()}, applied: true, switches: 2},
		"never applied":             {faults: []apigtest.Fault{lost.Always()}, switches: 4, is: io.EOF},
		"never answered":            {faults: []apigtest.Fault{apigtest.Answer(502, "").Always()}, switches: 4, is: ErrServer},
		"lost, history refused":     {faults: []apigtest.Fault{applied, refuse}, unknown: true, applied: true, switches: 1},
		"not applied, and refused":  {faults: []apigtest.Fault{lost, refuse}, unknown: true, switches: 1},
		"refused":                   {faults: []apigtest.Fault{apigtest.Answer(403, noPermissionBody)}, is: ErrForbidden, switches: 1},
		"no such version":           {faults: []apigtest.Fault{apigtest.Answer(404, noVersionBody)}, is: ErrNotFound, switches: 1},
	} {
		for op, do := range map[string]func(*site, string) (*PublishRecord, error){
			"SwitchVersion": func(s *site, id string) (*PublishRecord, error) {
				_, err := s.Client.Published(s.t.Context(), s.api, EnvRelease) // as many reads as Rollback
				require.NoError(s.t, err)
				return s.SwitchVersion(s.t.Context(), s.api, id)
			},
			"Rollback": func(s *site, _ string) (*PublishRecord, error) { return s.Rollback(s.t.Context(), s.api, EnvRelease) },
		} {
			virtually(t, op+"/"+name, func(t *testing.T) {
				s, older, newer := versioned(t)
				for _, f := range r.faults {
					if f.Op == "" {
						f.Op = apigtest.OpSwitch
					}
					s.Inject(f)
				}
				got, err := do(s, older.ID)
				assert.Equal(t, r.switches, s.requests(apigtest.OpSwitch))
				assert.Equal(t, r.unknown, errors.Is(err, ErrOutcomeUnknown))
				if r.applied {
					assert.Equal(t, older.ID, s.effective())
					assert.Equal(t, []string{"online", "online", "switch"}, s.changes())
				} else {
					assert.Equal(t, newer.ID, s.effective())
				}
				if r.unknown || r.is != nil {
					assert.Nil(t, got)
					require.Error(t, err)
					assert.ErrorContains(t, err, "apig: "+op+" API "+s.api+": ")
					if r.is != nil {
						require.ErrorIs(t, err, r.is)
					}
					return
				}
				require.NoError(t, err)
				assert.Equal(t, r.recovered, got.Recovered)
				assert.Equal(t, []string{older.ID, older.PublishID, s.api, "orders", EnvRelease, "1.4.1"},
					[]string{got.VersionID, got.PublishID, got.APIID, got.APIName, got.EnvID, got.Remark})
			})
		}
	}
}

func TestSwitchVersionElsewhere(t *testing.T) {
	virtually(t, "twice to the same does no harm", func(t *testing.T) {
		s, older, _ := versioned(t)
		for range 2 {
			got, err := s.SwitchVersion(t.Context(), s.api, older.ID)
			require.NoError(t, err)
			assert.False(t, got.Recovered)
		}
		assert.Equal(t, older.ID, s.effective())
	})
	virtually(t, "what is not there", func(t *testing.T) {
		s, _, _ := versioned(t)
		for _, id := range [][2]string{{s.api, "none"}, {"none", "none"}} {
			_, err := s.SwitchVersion(t.Context(), id[0], id[1])
			require.ErrorIs(t, err, ErrNotFound)
			assert.Equal(t, NotApplied, OutcomeOf(err))
		}
	})
	virtually(t, "the API goes away while the answer is lost", func(t *testing.T) {
		s, older, _ := versioned(t)
		s.Inject(apigtest.CloseBefore().On(apigtest.OpSwitch))
		later(tick, func() { s.RemoveAPI(s.api) })
		record, err := s.SwitchVersion(t.Context(), s.api, older.ID)
		assertOpen(t, record, err)
	})
	virtually(t, "it takes turns with publications", func(t *testing.T) {
		s, older, _ := versioned(t)
		s.Inject(apigtest.Slow(10 * time.Second).On(apigtest.OpAction))
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := s.Publish(t.Context(), s.request(""))
			assert.NoError(t, err)
		})
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, do := range []func() error{
			func() error { _, err := s.SwitchVersion(short, s.api, older.ID); return err },
			func() error { _, err := s.OfflineVersion(short, s.api, older.ID); return err },
			func() error { _, err := s.Rollback(short, s.api, EnvRelease); return err },
		} {
			err := do()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, NotApplied, OutcomeOf(err))
		}
		assert.Len(t, s.Gateway.Requests(), 1)
		_, err := s.SwitchVersion(t.Context(), s.api, older.ID)
		require.NoError(t, err)
		wg.Wait()
		assert.Equal(t, older.ID, s.effective())
	})
	virtually(t, "a lost publication is not found in what was switched to", func(t *testing.T) {
		s := newSite(t)
		first, err := s.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		_, err = s.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		_, err = s.SwitchVersion(t.Context(), s.api, first.VersionID)
		require.NoError(t, err)
		time.Sleep(tick)
		s.Inject(apigtest.CloseBefore().On(apigtest.OpAction))
		third, err := s.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		assert.False(t, third.Recovered)
		assert.Equal(t, third.VersionID, s.effective())
	})
	virtually(t, "nor where a switch gives a version a new time", func(t *testing.T) {
		s := newSite(t)
		old := s.theirs("1.4.2")
		s.theirs("1.4.3")
		time.Sleep(time.Hour)
		_, err := s.SwitchVersion(t.Context(), s.api, old.ID)
		require.NoError(t, err)
		time.Sleep(tick)
		now := time.Now().UTC().Format(time.RFC3339)
		s.Inject(apigtest.CloseBefore().On(apigtest.OpAction), apigtest.Fault{Rewrite: func(status int, body []byte) (int, []byte) {
			return status, []byte(strings.Replace(string(body), old.Time.Format(time.RFC3339), now, 2))
		}}.On(apigtest.OpHistory).Always())
		record, err := s.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		assert.False(t, record.Recovered)
		assert.NotEqual(t, old.ID, record.VersionID)
	})
}

// Rollback goes to the version that was published before the one in effect.
func TestRollback(t *testing.T) {
	virtually(t, "step by step", func(t *testing.T) {
		s := newSite(t)
		var made []string
		for range 3 { // within one second
			made = append(made, s.theirs("x").ID)
		}
		for _, want := range []string{made[1], made[0]} {
			record, err := s.Rollback(t.Context(), s.api, EnvRelease)
			require.NoError(t, err)
			assert.Equal(t, want, record.VersionID)
			assert.Equal(t, want, s.effective())
		}
		_, err := s.Rollback(t.Context(), s.api, EnvRelease)
		require.ErrorIs(t, err, ErrNotFound)
		require.NotErrorIs(t, err, ErrNotPublished)
		assert.Equal(t, NotApplied, OutcomeOf(err))
		assert.ErrorContains(t, err, "apig: Rollback API "+s.api+": the gateway holds no version before the one in effect")
		assert.Equal(t, made[0], s.effective())
	})
	virtually(t, "nothing in effect", func(t *testing.T) {
		s, _, _ := versioned(t)
		require.NoError(t, s.Gateway.Offline(s.api, EnvRelease))
		_, err := s.Rollback(t.Context(), s.api, EnvRelease)
		require.ErrorIs(t, err, ErrNotPublished)
		_, err = s.Rollback(t.Context(), s.AddAPI("never published"), EnvRelease)
		require.ErrorIs(t, err, ErrNotPublished)
		assert.Zero(t, s.requests(apigtest.OpSwitch))
	})
	virtually(t, "in its environment", func(t *testing.T) {
		s, older, _ := versioned(t)
		env := s.AddEnvironment("TEST")
		_, err := s.Gateway.Publish(s.api, env, "x")
		require.NoError(t, err)
		record, err := s.Rollback(t.Context(), s.api, EnvRelease)
		require.NoError(t, err)
		assert.Equal(t, older.ID, record.VersionID)
		_, err = s.Rollback(t.Context(), s.api, env)
		require.ErrorIs(t, err, ErrNotFound)
	})
	virtually(t, "the turn is given back when the history cannot be read", func(t *testing.T) {
		s, _, _ := versioned(t)
		s.Inject(apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory))
		_, err := s.Rollback(t.Context(), s.api, EnvRelease)
		require.ErrorIs(t, err, ErrForbidden)
		_, err = s.Rollback(t.Context(), s.api, EnvRelease)
		require.NoError(t, err)
	})
	virtually(t, "no call of this client comes in between", func(t *testing.T) {
		s, older, _ := versioned(t)
		s.Inject(apigtest.Slow(5 * time.Second).On(apigtest.OpHistory))
		var wg sync.WaitGroup
		wg.Go(func() {
			record, err := s.Rollback(t.Context(), s.api, EnvRelease)
			assert.NoError(t, err)
			assert.Equal(t, older.ID, record.VersionID)
		})
		synctest.Wait()
		_, err := s.Publish(t.Context(), s.request("1.4.3"))
		require.NoError(t, err)
		wg.Wait()
		assert.Equal(t, []string{"online", "online", "switch", "online"}, s.changes())
	})
}

func TestOfflineVersionOutcome(t *testing.T) {
	lost, applied := apigtest.CloseBefore(), apigtest.ApplyThenClose()
	refuse := apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory).Always()
	type row struct {
		faults   []apigtest.Fault
		is       error
		applied  bool
		requests int // to take it offline
		looks    int
	}
	rows := map[string]row{
		"as usual":                {applied: true, requests: 1},
		"lost":                    {faults: []apigtest.Fault{applied}, applied: true, requests: 1, looks: 1},
		"system error, but":       {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(500, systemBody)}, applied: true, requests: 1, looks: 1},
		"not applied":             {faults: []apigtest.Fault{lost}, applied: true, requests: 2, looks: 1},
		"throttled":               {faults: []apigtest.Fault{apigtest.Throttle("")}, applied: true, requests: 2},
		"throttled, then missing": {faults: []apigtest.Fault{apigtest.Throttle(""), apigtest.Answer(404, noVersionBody)}, is: ErrNotFound, requests: 2},
		"missing at first":        {faults: []apigtest.Fault{apigtest.Answer(404, noVersionBody)}, is: ErrNotFound, requests: 1},
		"refused":                 {faults: []apigtest.Fault{apigtest.Answer(403, noPermissionBody)}, is: ErrForbidden, requests: 1},
		"lost, then refused":      {faults: []apigtest.Fault{lost, apigtest.Answer(403, noPermissionBody)}, is: ErrForbidden, requests: 2, looks: 1},
		"lost, then throttled":    {faults: []apigtest.Fault{lost, apigtest.Throttle("").Always()}, is: ErrThrottled, requests: 4, looks: 1},
		"lost for ever":           {faults: []apigtest.Fault{lost.Always()}, is: io.EOF, requests: 4, looks: 4},
		"answer lost, unread":     {faults: []apigtest.Fault{applied, refuse}, is: ErrOutcomeUnknown, applied: true, requests: 1, looks: 1},
		"lost, unread":            {faults: []apigtest.Fault{lost, refuse}, is: ErrOutcomeUnknown, requests: 1, looks: 1},
		"lost, then missing":      {faults: []apigtest.Fault{lost, apigtest.Answer(404, noVersionBody)}, requests: 2, looks: 1}, // it was applied late
	}
	// Success is 204 with nothing: anything else may come from anybody.
	for _, f := range []apigtest.Fault{
		apigtest.Answer(200, ""), apigtest.Answer(200, "{}"), apigtest.Answer(200, gatewayPage), apigtest.Answer(200, publishedBody),
		apigtest.Answer(201, ""), apigtest.Answer(202, ""), apigtest.Answer(203, ""), apigtest.Answer(205, ""), apigtest.Answer(206, "{"),
		{Status: 200, Body: `{"a":1}`, End: apigtest.EndCut, CutAt: 3},
	} {
		rows[fmt.Sprintf("answered %d %q, not applied", f.Status, f.Body)] = row{faults: []apigtest.Fault{f}, applied: true, requests: 2, looks: 1}
		f.Apply = apigtest.ApplyFirst
		rows[fmt.Sprintf("answered %d %q, applied", f.Status, f.Body)] = row{faults: []apigtest.Fault{f}, applied: true, requests: 1, looks: 1}
	}
	for name, r := range rows {
		virtually(t, name, func(t *testing.T) {
			s, _, newer := versioned(t)
			for _, f := range r.faults {
				if f.Op == "" {
					f.Op = apigtest.OpOfflineVersion
				}
				s.Inject(f)
			}
			record, err := s.OfflineVersion(t.Context(), s.api, newer.ID)
			require.ErrorIs(t, err, r.is)
			if r.is != nil {
				assert.Nil(t, record)
			} else {
				recovered := r.looks > 0 && s.requests(apigtest.OpOfflineVersion) == 1 || name == "lost, then missing"
				require.NotNil(t, record)
				assert.Equal(t, recovered, record.RequestID == "")
				assert.Equal(t, &PublishRecord{APIID: s.api, RequestID: record.RequestID, Recovered: recovered}, record)
			}
			assert.Equal(t, r.is == ErrOutcomeUnknown, errors.Is(err, ErrOutcomeUnknown))
			assert.Equal(t, r.applied, len(s.Journal()) == 3)
			assert.Equal(t, r.requests, s.requests(apigtest.OpOfflineVersion))
			assert.Equal(t, r.looks, s.requests(apigtest.OpHistory))
		})
	}
	virtually(t, "only what is in effect can be taken offline", func(t *testing.T) {
		s, older, newer := versioned(t)
		_, err := s.OfflineVersion(t.Context(), s.api, older.ID)
		require.ErrorIs(t, err, ErrNotFound)
		assert.Equal(t, NotApplied, OutcomeOf(err))
		var e *APIGError
		require.ErrorAs(t, err, &e)
		assert.Equal(t, []any{CodeVersionNotFound, "OfflineVersion", s.api}, []any{e.Code, e.Op, e.APIID})
		assert.Equal(t, newer.ID, s.effective())
	})
	virtually(t, "the version of another API", func(t *testing.T) {
		s, _, newer := versioned(t)
		s.Inject(apigtest.CloseBefore().On(apigtest.OpOfflineVersion))
		record, err := s.OfflineVersion(t.Context(), s.AddAPI("another"), newer.ID)
		assertOpen(t, record, err)
		assert.Equal(t, newer.ID, s.effective())
	})
}
