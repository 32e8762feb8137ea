package apig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/internal/random"
)

// virtually runs a test on a clock of its own, on which time.Sleep takes no time.
func virtually(t *testing.T, name string, test func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// theirs publishes an API, the site's own if none is given, as somebody else does.
func (s *site) theirs(remark string, apis ...string) apigtest.Version {
	s.t.Helper()
	if apis == nil {
		apis = []string{s.api}
	}
	var last apigtest.Version
	for _, id := range apis {
		var err error
		last, err = s.Gateway.Publish(id, EnvRelease, remark)
		require.NoError(s.t, err)
	}
	return last
}

// apis adds APIs to the gateway.
func (s *site) apis(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = s.AddAPI(fmt.Sprint("api-", i))
	}
	return ids
}

// effective is the ID of the version of the site's API that is in effect, or empty.
func (s *site) effective() string {
	v, _ := s.Gateway.Published(s.api, EnvRelease)
	return v.ID
}

// changes are the words of all changes that the gateway has made, in order.
func (s *site) changes() []string {
	var words []string
	for _, a := range s.Journal() {
		words = append(words, string(a.Action))
	}
	return words
}

// times are when the requests of a kind have arrived, after start.
func (s *site) times(op apigtest.Op, start time.Time) []time.Duration {
	var at []time.Duration
	for _, r := range s.Gateway.Requests() {
		if r.Op == op {
			at = append(at, r.Time.Sub(start))
		}
	}
	return at
}

// tick passes between two calls, which no two clocks would otherwise tell apart.
const tick = time.Millisecond

// later runs f when so much time has passed.
func later(d time.Duration, f func()) { time.AfterFunc(d, f) }

// lateHistory has the answers to reads of the history under way for a while, after
// the gateway has made them.
func lateHistory(d time.Duration) func(*Config) {
	return func(cfg *Config) { cfg.HTTPClient = &http.Client{Transport: late{cfg.HTTPClient.Transport, d}} }
}

type late struct {
	http.RoundTripper
	by time.Duration
}

func (l late) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.RoundTripper.RoundTrip(r)
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/apis/publish/") {
		time.Sleep(l.by)
	}
	return resp, err
}

// upperCase has the gateway answer with IDs in another case than the caller's.
func (s *site) upperCase(ops ...apigtest.Op) {
	for _, op := range ops {
		s.Inject(apigtest.Fault{Rewrite: func(status int, body []byte) (int, []byte) {
			return status, []byte(strings.ReplaceAll(string(body), s.api, strings.ToUpper(s.api)))
		}}.On(op).Always())
	}
}

// assertOpen checks an error that leaves the outcome open.
func assertOpen(t *testing.T, record *PublishRecord, err error) {
	t.Helper()
	assert.Nil(t, record)
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	assert.Equal(t, Unknown, OutcomeOf(err))
	assert.NotContains(t, err.Error(), "\n")
}

// A look before the last one proves nothing but that a version is there: what is
// not there yet may still come.
func TestDeadlineBetweenTwoLooks(t *testing.T) {
	for _, apis := range []int{1, fewItems, fewItems + 1, 40} {
		for _, settled := range []bool{true, false} {
			virtually(t, fmt.Sprintf("%d, settled later: %v", apis, settled), func(t *testing.T) {
				s := newSite(t)
				ids := s.apis(apis)
				s.Inject(apigtest.CloseThenApply(800 * time.Millisecond).On(apigtest.OpBatch))
				ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
				defer cancel()
				result, err := s.PublishBatch(ctx, BatchRequest{APIIDs: ids, EnvID: EnvRelease, Remark: "1.4.2"})
				require.NoError(t, ctx.Err(), "it returns without waiting for the end")
				require.ErrorIs(t, err, context.DeadlineExceeded)
				for _, item := range result.Items {
					assertOpen(t, item.Record, item.Err)
				}
				assert.Equal(t, 1, s.requests(apigtest.OpBatch))

				time.Sleep(time.Second)
				require.Len(t, s.Journal(), apis, "all of it is applied after the report")
				if settled {
					_, err = s.Settle(t.Context(), err)
					require.NoError(t, err)
					return
				}
				s.Inject(apigtest.CloseBefore().On(apigtest.OpAction))
				record, err := s.Publish(t.Context(), ActionRequest{APIID: ids[0], EnvID: EnvRelease, Remark: "1.4.2"})
				assertOpen(t, record, err) // the version is not taken by a later call
			})
		}
	}
}

// Settle leaves out the looks that are past, but for the latest of them.
func TestLooksOfSettle(t *testing.T) {
	virtually(t, "all are past", func(t *testing.T) {
		s := newSite(t)
		lost := s.lose("1.4.2", apigtest.CloseBefore())
		time.Sleep(time.Minute)
		before := s.requests(apigtest.OpHistory)
		_, err := s.Settle(t.Context(), lost)
		require.Error(t, err)
		assert.Equal(t, NotApplied, OutcomeOf(err))
		assert.Equal(t, before+1, s.requests(apigtest.OpHistory))
	})
	virtually(t, "one of them is past", func(t *testing.T) {
		s := newSite(t)
		s.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction), apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, lost := s.Publish(ctx, s.request("1.4.2"))
		require.ErrorIs(t, lost, ErrOutcomeUnknown)
		time.Sleep(700 * time.Millisecond) // the looks are after half a second, one and two
		elapsed := took(func() {
			_, err := s.Settle(t.Context(), lost)
			require.NoError(t, err)
		})
		assert.Zero(t, elapsed)
	})
}

// The version of another unknown publication with the same remark is not taken for
// that of an error made again from its JSON, which does not know of the other.
func TestSettleBesideAnotherUnknown(t *testing.T) {
	virtually(t, "from JSON", func(t *testing.T) {
		s := newSite(t)
		first := s.lose("1.4.2", apigtest.CloseBefore())
		time.Sleep(tick)
		s.lose("1.4.2", apigtest.ApplyThenClose())
		record, err := s.Settle(t.Context(), overJSON(t, first))
		assertOpen(t, record, err)
	})
}

// No change is sent for an API of a group whose turn is not held.
func TestGroupWaitsForItsMembers(t *testing.T) {
	group := func(s *site) (string, []string) {
		id := s.AddGroup("shop")
		return id, []string{s.AddAPIIn(id, "a"), s.AddAPIIn(id, "b"), s.AddAPIIn(id, "c")}
	}
	virtually(t, "a publication under way is not taken offline", func(t *testing.T) {
		s := newSite(t)
		id, members := group(s)
		s.theirs("1.4.1", members...)
		time.Sleep(time.Minute)
		s.Inject(apigtest.Slow(10 * time.Second).On(apigtest.OpAction))
		var wg sync.WaitGroup
		wg.Go(func() {
			record, err := s.Publish(t.Context(), ActionRequest{APIID: members[1], EnvID: EnvRelease})
			if assert.NoError(t, err) {
				assert.False(t, record.Recovered)
			}
		})
		synctest.Wait()
		elapsed := took(func() {
			_, err := s.OfflineBatch(t.Context(), BatchRequest{GroupID: id, EnvID: EnvRelease})
			require.NoError(t, err)
		})
		wg.Wait()
		assert.Equal(t, 10*time.Second, elapsed)
		assert.Equal(t, []string{"online", "online", "online", "offline", "offline", "online", "offline"}, s.changes())
		assert.Equal(t, 2, s.requests(apigtest.OpBatch), "those that are free at once, and the one that follows")
	})
	virtually(t, "a lost publication is settled", func(t *testing.T) {
		s := newSite(t)
		id, members := group(s)
		s.theirs("1.4.1", members...)
		time.Sleep(time.Minute)
		s.Inject(apigtest.CloseBefore().On(apigtest.OpAction))
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := s.Publish(t.Context(), ActionRequest{APIID: members[1], EnvID: EnvRelease})
			assert.NoError(t, err)
		})
		synctest.Wait()
		_, err := s.OfflineBatch(t.Context(), BatchRequest{GroupID: id, EnvID: EnvRelease})
		require.NoError(t, err)
		wg.Wait()
		_, published := s.Gateway.Published(members[1], EnvRelease)
		assert.False(t, published)
	})
	virtually(t, "the version of the group is its own", func(t *testing.T) {
		s := newSite(t, attempts(1))
		id, members := group(s)
		s.Inject(apigtest.CloseBefore().On(apigtest.OpAction))
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := s.Publish(t.Context(), ActionRequest{APIID: members[1], EnvID: EnvRelease, Remark: "1.4.2"})
			assert.Equal(t, NotApplied, OutcomeOf(err))
		})
		synctest.Wait()
		s.Inject(apigtest.ApplyThenClose().On(apigtest.OpBatch))
		result, err := s.PublishBatch(t.Context(), BatchRequest{GroupID: id, EnvID: EnvRelease, Remark: "1.4.2"})
		require.NoError(t, err)
		wg.Wait()
		for i, item := range result.Items {
			v, _ := s.Gateway.Published(members[i], EnvRelease)
			assert.Equal(t, v.ID, item.Record.VersionID)
		}
		assert.Len(t, s.Journal(), 3)
	})
	virtually(t, "what a switch has put into effect is not published over", func(t *testing.T) {
		s := newSite(t)
		id, members := group(s)
		first := s.theirs("1.4.1", members[0])
		s.theirs("1.4.2", members[0])
		time.Sleep(time.Minute)
		s.Inject(apigtest.ApplyThenClose().On(apigtest.OpBatch))
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := s.PublishBatch(t.Context(), BatchRequest{GroupID: id, EnvID: EnvRelease, Remark: "1.4.3"})
			assert.NoError(t, err)
		})
		synctest.Wait()
		_, err := s.SwitchVersion(t.Context(), members[0], first.ID)
		require.NoError(t, err)
		wg.Wait()
		v, _ := s.Gateway.Published(members[0], EnvRelease)
		assert.Equal(t, first.ID, v.ID)
		assert.Equal(t, 1, s.requests(apigtest.OpBatch))
	})
}

// A turn remembers each reported version once, however often it is switched to.
func TestSwitchesDoNotDisplaceWhatWasReported(t *testing.T) {
	for _, switches := range []int{1, 10, 30} {
		virtually(t, fmt.Sprint(switches), func(t *testing.T) {
			s := newSite(t)
			first, err := s.Publish(t.Context(), s.request("1.4.2"))
			require.NoError(t, err)
			others := []apigtest.Version{s.theirs("a"), s.theirs("b"), s.theirs("c")}
			for i := range switches {
				_, err := s.SwitchVersion(t.Context(), s.api, others[i%3].ID)
				require.NoError(t, err)
			}
			s.Inject(apigtest.CloseBefore().On(apigtest.OpAction))
			second, err := s.Publish(t.Context(), s.request("1.4.2"))
			require.NoError(t, err)
			assert.NotEqual(t, first.VersionID, second.VersionID)
			assert.False(t, second.Recovered)
		})
	}
}

// A lost switch is repeated only over what was in effect before it.
func TestLostSwitchIsNotRepeatedOverAnothersChange(t *testing.T) {
	for name, fault := range map[string]apigtest.Fault{"applied": apigtest.ApplyThenClose(), "not applied": apigtest.CloseBefore()} {
		for change, theirs := range map[string]func(*site){
			"published":     func(s *site) { s.theirs("theirs") },
			"taken offline": func(s *site) { assert.NoError(s.t, s.Gateway.Offline(s.api, EnvRelease)) },
		} {
			for _, most := range []int{1, 4} {
				virtually(t, fmt.Sprintf("%s, %s by somebody, %d attempts", name, change, most), func(t *testing.T) {
					s := newSite(t, attempts(most))
					first := s.theirs("1.4.1")
					s.theirs("1.4.2")
					time.Sleep(time.Hour)
					s.Inject(fault.On(apigtest.OpSwitch))
					var after string
					later(100*time.Millisecond, func() { theirs(s); after = s.effective() })
					record, err := s.SwitchVersion(t.Context(), s.api, first.ID)
					assertOpen(t, record, err)
					synctest.Wait()
					assert.Equal(t, 1, s.requests(apigtest.OpSwitch))
					assert.Equal(t, after, s.effective())
				})
			}
		}
	}
}

// What rests on a state counts only when the lost request can no longer arrive:
// the next call is not undone by it.
func TestSuccessByStateIsReportedAfterTheLastLook(t *testing.T) {
	const lost = 900 * time.Millisecond
	for name, r := range map[string]struct {
		op    apigtest.Op
		state func(s *site, first, current apigtest.Version) // what somebody does meanwhile
		call  func(s *site, first, current apigtest.Version) error
	}{
		"Offline": {
			apigtest.OpAction,
			func(s *site, _, _ apigtest.Version) { assert.NoError(s.t, s.Gateway.Offline(s.api, EnvRelease)) },
			func(s *site, _, _ apigtest.Version) error {
				_, err := s.Client.Offline(s.t.Context(), s.request(""))
				return err
			},
		},
		"OfflineBatch": {
			apigtest.OpBatch,
			func(s *site, _, _ apigtest.Version) { assert.NoError(s.t, s.Gateway.Offline(s.api, EnvRelease)) },
			func(s *site, _, _ apigtest.Version) error {
				_, err := s.OfflineBatch(s.t.Context(), BatchRequest{APIIDs: []string{s.api}, EnvID: EnvRelease})
				return err
			},
		},
		"OfflineVersion": {
			apigtest.OpOfflineVersion,
			func(s *site, _, _ apigtest.Version) { assert.NoError(s.t, s.Gateway.Offline(s.api, EnvRelease)) },
			func(s *site, _, current apigtest.Version) error {
				_, err := s.OfflineVersion(s.t.Context(), s.api, current.ID)
				return err
			},
		},
		"SwitchVersion": {
			apigtest.OpSwitch,
			func(s *site, first, _ apigtest.Version) {
				_, err := clientOf(s.t, s.Gateway).SwitchVersion(context.Background(), s.api, first.ID)
				assert.NoError(s.t, err)
			},
			func(s *site, first, _ apigtest.Version) error {
				_, err := s.SwitchVersion(s.t.Context(), s.api, first.ID)
				return err
			},
		},
	} {
		virtually(t, name, func(t *testing.T) {
			s := newSite(t)
			first, current := s.theirs("1.4.1"), s.theirs("1.4.2")
			time.Sleep(time.Hour)
			s.Inject(apigtest.CloseThenApply(lost).On(r.op))
			later(100*time.Millisecond, func() { r.state(s, first, current) })
			elapsed := took(func() { require.NoError(t, r.call(s, first, current)) })
			assert.Equal(t, time.Second, elapsed)
			record, err := s.Publish(t.Context(), s.request("1.4.3"))
			require.NoError(t, err)
			time.Sleep(time.Minute)
			assert.Equal(t, record.VersionID, s.effective(), "nothing undoes the next call")
		})
	}
}

// IDs are the same in whatever case the gateway writes them.
func TestIDsInAnotherCase(t *testing.T) {
	virtually(t, "Publish finds its version", func(t *testing.T) {
		s := newSite(t)
		s.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction))
		s.upperCase(apigtest.OpAction, apigtest.OpHistory, apigtest.OpRuntime)
		record, err := s.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		assert.True(t, record.Recovered)
		assert.Equal(t, "orders", record.APIName)
		assert.Len(t, s.Journal(), 1)
	})
	virtually(t, "Publish reads its answer", func(t *testing.T) {
		s := newSite(t)
		s.upperCase(apigtest.OpAction, apigtest.OpBatch)
		record, err := s.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		assert.False(t, record.Recovered)
		result, err := s.PublishBatch(t.Context(), BatchRequest{APIIDs: []string{s.api}, EnvID: EnvRelease})
		require.NoError(t, err)
		assert.False(t, result.Items[0].Record.Recovered)
		assert.Len(t, s.Journal(), 2)
	})
	virtually(t, "Offline is not done while a version is in effect", func(t *testing.T) {
		s := newSite(t)
		s.theirs("1.4.1")
		time.Sleep(time.Hour)
		s.Inject(apigtest.CloseBefore().On(apigtest.OpAction))
		s.upperCase(apigtest.OpAction, apigtest.OpHistory)
		record, err := s.Client.Offline(t.Context(), s.request(""))
		require.NoError(t, err)
		assert.False(t, record.Recovered)
		assert.Empty(t, s.effective())
	})
	virtually(t, "the environment too", func(t *testing.T) {
		s := newSite(t)
		s.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction), apigtest.Fault{Rewrite: func(status int, body []byte) (int, []byte) {
			return status, []byte(strings.ReplaceAll(string(body), EnvRelease, strings.ToLower(EnvRelease)))
		}}.On(apigtest.OpHistory).Always())
		record, err := s.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		assert.True(t, record.Recovered)
	})
	for name, row := range map[string]string{
		"a row of another API":         `"api_id":"other","env_id":"` + EnvRelease + `"`,
		"a row of another environment": `"env_id":"other"`,
	} {
		virtually(t, name+" proves nothing", func(t *testing.T) {
			s := newSite(t)
			s.Inject(apigtest.CloseBefore().On(apigtest.OpAction), apigtest.Answer(200, fmt.Sprintf(
				`{"total":1,"api_versions":[{"version_id":"v",%s,"remark":"x","publish_time":"1999-01-01T00:00:00Z","status":1}]}`, row)).On(apigtest.OpHistory).Always())
			record, err := s.Publish(t.Context(), s.request("1.4.2"))
			assertOpen(t, record, err)
			assert.ErrorContains(t, err, "another API or environment")
			assert.Equal(t, 1, s.requests(apigtest.OpAction))
		})
	}
}

// The time that the answer of the history took must not make a version ours.
func TestSlowHistoryDoesNotWidenTheWindow(t *testing.T) {
	virtually(t, "a version of somebody else", func(t *testing.T) {
		s := newSite(t, lateHistory(8*time.Second))
		s.theirs("1.4.2")
		time.Sleep(6 * time.Second)
		s.Inject(apigtest.CloseBefore().On(apigtest.OpAction))
		record, err := s.Publish(t.Context(), s.request("1.4.2"))
		assertOpen(t, record, err)
		assert.Len(t, s.Journal(), 1)
	})
	virtually(t, "our own is found all the same", func(t *testing.T) {
		s := newSite(t, lateHistory(8*time.Second))
		s.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction))
		record, err := s.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		assert.True(t, record.Recovered)
		assert.Len(t, s.Journal(), 1)
	})
	virtually(t, "what makes a version doubtful is read again", func(t *testing.T) {
		s := newSite(t)
		s.theirs("1.4.2")
		time.Sleep(20 * time.Second)
		s.Inject(apigtest.CloseBefore().On(apigtest.OpAction), apigtest.Slow(9*time.Second).On(apigtest.OpHistory).Times(3))
		_, err := s.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		assert.Len(t, s.Journal(), 2)
	})
}

// What stays doubtful is read again only while reading is slow, and not for ever.
func TestDoubtfulHistoryIsReadAgain(t *testing.T) {
	for took, reads := range map[time.Duration]int{slowRead - 1: 1, slowRead: slowReads} {
		virtually(t, took.String(), func(t *testing.T) {
			s := newSite(t, lateHistory(took), retry(RetryPolicy{SettleWait: 10 * time.Second}))
			s.theirs("1.4.2")
			time.Sleep(6 * time.Second)
			s.Inject(apigtest.CloseBefore().On(apigtest.OpAction))
			record, err := s.Publish(t.Context(), s.request("1.4.2"))
			assertOpen(t, record, err)
			assert.Equal(t, 2+reads, s.requests(apigtest.OpHistory), "once by each look, but for the last one")
		})
	}
}

// The gateway's time of a lost request is told only where the read was fast enough to
// know it.
func TestSentAtGatewayIsExact(t *testing.T) {
	for took, told := range map[time.Duration]bool{slack: true, slack + 1: false} {
		virtually(t, took.String(), func(t *testing.T) {
			s := newSite(t, lateHistory(took))
			s.theirs("1.4.2")
			time.Sleep(6 * time.Second)
			sentAt := time.Now()
			s.Inject(apigtest.CloseBefore().On(apigtest.OpAction))
			_, err := s.Publish(t.Context(), s.request("1.4.2"))
			var lost *UnknownError
			require.ErrorAs(t, err, &lost)
			assert.Equal(t, told, !lost.SentAtGateway.IsZero())
			if told {
				assert.WithinDuration(t, sentAt, lost.SentAtGateway, slack)
			}
		})
	}
}

// What was published up to twelve seconds before a lost Offline may have been
// published after it.
func TestOfflineHasTheMarginsOfPublish(t *testing.T) {
	for ago, unknown := range map[time.Duration]bool{0: true, 6 * time.Second: true, 11 * time.Second: true, 14 * time.Second: false, time.Hour: false} {
		virtually(t, ago.String(), func(t *testing.T) {
			s := newSite(t)
			s.theirs("theirs")
			time.Sleep(ago)
			s.Inject(apigtest.CloseBefore().On(apigtest.OpAction))
			record, err := s.Client.Offline(t.Context(), s.request(""))
			if unknown {
				assertOpen(t, record, err)
				assert.NotEmpty(t, s.effective())
				return
			}
			require.NoError(t, err)
			assert.Empty(t, s.effective())
		})
	}
}

// An API that is gone when its history is read proves nothing.
func TestAPIGoneLeavesItOpen(t *testing.T) {
	for name, call := range directions {
		for fate, fault := range map[string]apigtest.Fault{"applied": apigtest.ApplyThenClose(), "not applied": apigtest.CloseBefore()} {
			virtually(t, name+", "+fate, func(t *testing.T) {
				s := newSite(t)
				s.theirs("1.4.1")
				time.Sleep(time.Hour)
				s.Inject(fault.On(apigtest.OpAction))
				later(100*time.Millisecond, func() { s.RemoveAPI(s.api) })
				record, err := call(s.Client, t.Context(), s.request("1.4.2"))
				assertOpen(t, record, err)
				require.NotErrorIs(t, err, ErrNotFound)
				assert.ErrorContains(t, err, "APIG.3002")
				assert.Equal(t, 1, s.requests(apigtest.OpAction))
			})
		}
	}
}

// A batch of any size finds its versions, whatever is in effect by then.
func TestBatchAfterAnothersSwitch(t *testing.T) {
	for _, apis := range []int{2, 20} {
		virtually(t, fmt.Sprint(apis), func(t *testing.T) {
			s := newSite(t)
			ids := s.apis(apis)
			before := s.theirs("1.4.1", ids...)
			last := ids[apis-1]
			time.Sleep(time.Hour)
			s.Inject(apigtest.Cut(0).On(apigtest.OpBatch))
			other := clientOf(t, s.Gateway)
			later(100*time.Millisecond, func() {
				_, err := other.SwitchVersion(context.Background(), last, before.ID)
				assert.NoError(t, err)
			})
			result, err := s.PublishBatch(t.Context(), BatchRequest{APIIDs: ids, EnvID: EnvRelease, Remark: "1.4.2"})
			require.NoError(t, err)
			assert.Equal(t, s.History(last, EnvRelease)[0].ID, result.Items[apis-1].Record.VersionID)
			assert.Equal(t, 1, s.requests(apigtest.OpBatch))
			v, _ := s.Gateway.Published(last, EnvRelease)
			assert.Equal(t, before.ID, v.ID)
		})
	}
}

// What somebody has published since the history was read is not taken offline by a
// repetition that rests on it.
func TestOfflineBatchDoesNotRepeatOnAnOldLook(t *testing.T) {
	virtually(t, "the history of another API is slow", func(t *testing.T) {
		s := newSite(t)
		ids := s.apis(2)
		s.theirs("1.4.1", ids...)
		time.Sleep(time.Hour)
		s.Inject(apigtest.CloseBefore().On(apigtest.OpBatch),
			apigtest.Slow(9*time.Second).On(apigtest.OpHistory).Times(3).When(func(r *apigtest.Request) bool { return r.APIID == ids[1] }))
		var theirs apigtest.Version
		later(7*time.Second, func() { theirs = s.theirs("theirs", ids[0]) })
		_, _ = s.OfflineBatch(t.Context(), BatchRequest{APIIDs: ids, EnvID: EnvRelease})
		synctest.Wait()
		v, _ := s.Gateway.Published(ids[0], EnvRelease)
		assert.Equal(t, theirs.ID, v.ID)
	})
}

// After a refused signature no other history is read, since five in a row lock the
// key: what is under way is all that is sent with it.
func TestBatchReadsNothingAfterARefusedSignature(t *testing.T) {
	virtually(t, "of many", func(t *testing.T) {
		s := keysSite(t, "")
		ids := s.apis(3 * historiesAtOnce)
		signature := apigtest.Answer(401, `{"error_code":"APIGW.0301","error_msg":"verify aksk signature fail"}`)
		s.Inject(apigtest.CloseBefore().On(apigtest.OpBatch), signature.On(apigtest.OpHistory).Always())
		result, err := clientOf(t, s.Gateway, authBy(StaticKeys(keysAccess, keysSecret))).
			PublishBatch(t.Context(), BatchRequest{APIIDs: ids, EnvID: EnvRelease})
		require.Error(t, err)
		for i, item := range result.Items {
			assertOpen(t, item.Record, item.Err)
			assert.ErrorContains(t, item.Err, "outcome unknown: the history cannot be read: ", "item %d", i)
		}
		assert.LessOrEqual(t, s.requests(apigtest.OpHistory), historiesAtOnce)
		assert.Equal(t, 1, s.requests(apigtest.OpBatch))
	})
}

// No other failure to read a history ends the looks.
func TestLooksGoOnAfterOtherFailures(t *testing.T) {
	for name, r := range map[string]struct {
		auth   Authenticator
		status int
		body   string
	}{
		"a signature, and a server error": {StaticKeys(keysAccess, keysSecret), 503, systemBody},
		"a signature, and no permission":  {StaticKeys(keysAccess, keysSecret), 403, noPermissionBody},
		"a token, refused":                {nil, 401, tokenBody},
	} {
		virtually(t, name, func(t *testing.T) {
			s := keysSite(t, "")
			auth := r.auth
			if auth == nil {
				auth = StaticToken(s.Token())
			}
			s.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction), apigtest.Answer(r.status, r.body).On(apigtest.OpHistory))
			record, err := clientOf(t, s.Gateway, authBy(auth)).Publish(t.Context(), s.request("1.4.2"))
			require.NoError(t, err)
			assert.True(t, record.Recovered)
			assert.Equal(t, 2, s.requests(apigtest.OpHistory))
		})
	}
}

// Attempts count per API, whatever ends them.
func TestBatchMakesNoMoreAttemptsThanAllowed(t *testing.T) {
	for name, faults := range map[string][]apigtest.Fault{
		"refused as a whole": {apigtest.Throttle("").Always()},
		"refused each":       {apigtest.Answer(200, failures("APIG.9008", "id")).Always()},
		"lost":               {apigtest.CloseBefore().Always()},
		"in turns":           {apigtest.Throttle(""), apigtest.CloseBefore(), apigtest.Throttle(""), apigtest.CloseBefore(), apigtest.Throttle("").Always()},
	} {
		virtually(t, name, func(t *testing.T) {
			s := newSite(t)
			ids := s.apis(3)
			for _, f := range faults {
				f.Body = strings.ReplaceAll(f.Body, `"id"`, `"`+ids[0]+`"`)
				s.Inject(f.On(apigtest.OpBatch))
			}
			_, err := s.PublishBatch(t.Context(), BatchRequest{APIIDs: ids, EnvID: EnvRelease})
			assert.Equal(t, NotApplied, OutcomeOf(err))
			assert.Equal(t, 4, s.requests(apigtest.OpBatch))
		})
	}
}

// A page short of its total is read again.
func TestHistoryShortOfItsTotalIsReadAgain(t *testing.T) {
	for name, body := range map[string]string{
		"no rows":        `{"total":1,"size":0,"api_versions":[]}`,
		"no rows at all": `{"total":1,"size":0}`,
		"no total":       `{"size":0,"api_versions":[]}`,
		"nothing":        `{}`,
	} {
		virtually(t, name, func(t *testing.T) {
			s := newSite(t, attempts(1))
			s.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction), apigtest.Answer(200, body).On(apigtest.OpHistory).Times(12))
			record, err := s.Publish(t.Context(), s.request("1.4.2"))
			require.NoError(t, err)
			assert.True(t, record.Recovered)
			assert.Len(t, s.Journal(), 1)
		})
	}
}

// The longest waits add up to what they are.
func TestLongestSettleWait(t *testing.T) {
	virtually(t, "twice a day", func(t *testing.T) {
		s := newSite(t, retry(RetryPolicy{MaxAttempts: 1, SettleWait: longestWait, SettleTimeout: longestWait}))
		s.Inject(apigtest.Answer(504, "").On(apigtest.OpAction))
		elapsed := took(func() {
			_, err := s.Publish(t.Context(), s.request("1.4.2"))
			assert.Equal(t, NotApplied, OutcomeOf(err))
		})
		assert.Equal(t, 48*time.Hour, elapsed)
	})
}

// A batch holds no turn that it does not use.
func TestBatchHoldsNoIdleTurns(t *testing.T) {
	virtually(t, "a publication of an idle API", func(t *testing.T) {
		s := newSite(t)
		ids := s.apis(3)
		s.Inject(apigtest.Slow(50 * time.Second).On(apigtest.OpAction))
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := s.Publish(t.Context(), ActionRequest{APIID: ids[1], EnvID: EnvRelease})
			assert.NoError(t, err)
		})
		synctest.Wait()
		wg.Go(func() {
			result, err := s.PublishBatch(t.Context(), BatchRequest{APIIDs: ids, EnvID: EnvRelease})
			assert.NoError(t, err)
			assert.Len(t, result.Items, 3)
		})
		synctest.Wait()
		for _, id := range []string{ids[0], ids[2]} {
			elapsed := took(func() {
				_, err := s.Publish(t.Context(), ActionRequest{APIID: id, EnvID: EnvRelease})
				require.NoError(t, err)
			})
			assert.Zero(t, elapsed)
		}
		wg.Wait()
		var sent []string
		for _, r := range s.Gateway.Requests() {
			if r.Op == apigtest.OpBatch {
				sent = append(sent, string(r.Body))
			}
		}
		require.Len(t, sent, 2)
		assert.NotContains(t, sent[0], ids[1])
		assert.Contains(t, sent[1], fmt.Sprintf(`{"apis":["%s"],`, ids[1]))
	})
}

const performedBody = `{"error_code":"APIG.3309","error_msg":"The operation has already been performed"}`

// What the caller of a publication gets is what the gateway's journal says.
func TestPublishOutcome(t *testing.T) {
	const action = apigtest.OpAction
	ms, sec := time.Millisecond, time.Second
	refused := func(status int, code string) apigtest.Fault {
		return apigtest.Answer(status, fmt.Sprintf(`{"error_code":%q,"error_msg":"not now"}`, code))
	}
	for name, r := range map[string]struct {
		faults    []apigtest.Fault
		attempts  int
		is        error
		recovered bool
		actions   int           // requests to publish
		looks     int           // requests for the history
		end       time.Duration // of the call
	}{
		"no fault":                     {actions: 1},
		"lost":                         {faults: []apigtest.Fault{apigtest.CloseBefore()}, actions: 2, looks: 3, end: sec},
		"lost twice":                   {faults: []apigtest.Fault{apigtest.CloseBefore().Times(2)}, actions: 3, looks: 6, end: 2 * sec},
		"lost for ever":                {faults: []apigtest.Fault{apigtest.CloseBefore().Always()}, is: io.EOF, actions: 4, looks: 12, end: 4 * sec},
		"lost, one attempt":            {faults: []apigtest.Fault{apigtest.CloseBefore()}, attempts: 1, is: io.EOF, actions: 1, looks: 3, end: sec},
		"answer lost":                  {faults: []apigtest.Fault{apigtest.ApplyThenClose()}, recovered: true, actions: 1, looks: 1, end: 250 * ms},
		"answer lost, one attempt":     {faults: []apigtest.Fault{apigtest.ApplyThenClose()}, attempts: 1, recovered: true, actions: 1, looks: 1, end: 250 * ms},
		"reset":                        {faults: []apigtest.Fault{{Apply: apigtest.ApplyFirst, End: apigtest.EndReset}}, recovered: true, actions: 1, looks: 1, end: 250 * ms},
		"lost, then answer lost":       {faults: []apigtest.Fault{apigtest.CloseBefore(), apigtest.ApplyThenClose()}, recovered: true, actions: 2, looks: 4, end: 1250 * ms},
		"busy":                         {faults: []apigtest.Fault{apigtest.Busy()}, actions: 2, looks: 1, end: 250 * ms},
		"busy, but applied":            {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(500, syncBody)}, recovered: true, actions: 1, looks: 1},
		"system error":                 {faults: []apigtest.Fault{apigtest.Answer(500, systemBody)}, actions: 2, looks: 1, end: 250 * ms},
		"502":                          {faults: []apigtest.Fault{apigtest.Answer(502, gatewayPage)}, actions: 2, looks: 3, end: sec},
		"502 for ever":                 {faults: []apigtest.Fault{apigtest.Answer(502, gatewayPage).Always()}, is: ErrServer, actions: 4, looks: 12, end: 4 * sec},
		"502, but applied":             {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(502, gatewayPage)}, recovered: true, actions: 1, looks: 1, end: 250 * ms},
		"503 of the front gateway":     {faults: []apigtest.Fault{refused(503, "APIGW.0613")}, actions: 2, looks: 3, end: sec},
		"503 of something in between":  {faults: []apigtest.Fault{apigtest.Answer(503, `{"code":503,"message":"no healthy upstream"}`)}, actions: 2, looks: 3, end: sec},
		"500 without a code":           {faults: []apigtest.Fault{apigtest.Answer(500, "")}, actions: 2, looks: 3, end: sec},
		"504":                          {faults: []apigtest.Fault{apigtest.Answer(504, gatewayPage)}, actions: 2, looks: 3, end: 2 * sec},
		"504, but applied":             {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(504, gatewayPage)}, recovered: true, actions: 1, looks: 1, end: 500 * ms},
		"408":                          {faults: []apigtest.Fault{apigtest.Answer(408, "")}, actions: 2, looks: 3, end: 2 * sec},
		"408, but applied":             {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(408, "")}, recovered: true, actions: 1, looks: 1, end: 500 * ms},
		"201 empty, applied":           {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(201, "")}, recovered: true, actions: 1, looks: 1, end: 250 * ms},
		"201 {}, applied":              {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(201, "{}")}, recovered: true, actions: 1, looks: 1, end: 250 * ms},
		"201 cut, applied":             {faults: []apigtest.Fault{apigtest.Cut(0)}, recovered: true, actions: 1, looks: 1, end: 250 * ms},
		"200 HTML, applied":            {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(200, gatewayPage)}, recovered: true, actions: 1, looks: 1, end: 250 * ms},
		"201 of another API, applied":  {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(201, publishedBody)}, recovered: true, actions: 1, looks: 1, end: 250 * ms},
		"201 with an error, applied":   {faults: []apigtest.Fault{apigtest.ApplyThenAnswer(201, systemBody)}, recovered: true, actions: 1, looks: 1, end: 250 * ms},
		"201 {}, not applied":          {faults: []apigtest.Fault{apigtest.Answer(201, "{}")}, actions: 2, looks: 3, end: sec},
		"throttled":                    {faults: []apigtest.Fault{apigtest.Throttle("")}, actions: 2, end: 250 * ms},
		"throttled, as APIG.9008":      {faults: []apigtest.Fault{refused(500, "APIG.9008")}, actions: 2, end: 250 * ms},
		"once a minute":                {faults: []apigtest.Fault{refused(409, "APIG.3711")}, actions: 2, end: 250 * ms},
		"a task is running":            {faults: []apigtest.Fault{refused(409, "APIG.3718")}, actions: 2, end: 250 * ms},
		"locked":                       {faults: []apigtest.Fault{refused(400, "APIC.9222")}, actions: 2, end: 250 * ms},
		"locked for ever":              {faults: []apigtest.Fault{refused(400, "APIC.9222").Always()}, is: ErrConflict, actions: 4, end: 750 * ms},
		"refused":                      {faults: []apigtest.Fault{apigtest.Answer(400, parameterBody)}, is: ErrBadRequest, actions: 1},
		"lost, then refused":           {faults: []apigtest.Fault{apigtest.CloseBefore(), apigtest.Answer(403, noPermissionBody)}, is: ErrForbidden, actions: 2, looks: 3, end: sec},
		"lost, then throttled too far": {faults: []apigtest.Fault{apigtest.CloseBefore(), apigtest.Throttle("3600")}, is: ErrThrottled, actions: 2, looks: 3, end: sec},
	} {
		virtually(t, name, func(t *testing.T) {
			defer random.Replace(func(int64) int64 { return 0 })()
			s := newSite(t, attempts(r.attempts))
			for _, f := range r.faults {
				s.Inject(f.On(action))
			}
			var record *PublishRecord
			var err error
			elapsed := took(func() { record, err = s.Publish(t.Context(), s.request("1.4.2")) })
			assert.Equal(t, r.end, elapsed)
			assert.Equal(t, r.actions, s.requests(action))
			assert.Equal(t, r.looks, s.requests(apigtest.OpHistory))
			if r.is != nil {
				assert.Nil(t, record)
				require.ErrorIs(t, err, r.is)
				assert.Equal(t, NotApplied, OutcomeOf(err))
				assert.Empty(t, s.Journal())
				return
			}
			require.NoError(t, err)
			v, _ := s.Gateway.Published(s.api, EnvRelease)
			assert.Equal(t, []string{v.ID, v.PublishID, s.api, EnvRelease, "orders", "1.4.2"},
				[]string{record.VersionID, record.PublishID, record.APIID, record.EnvID, record.APIName, record.Remark})
			assert.Equal(t, v.Time.Truncate(time.Second), record.PublishTime.Truncate(time.Second))
			assert.Equal(t, r.recovered, record.Recovered)
			assert.Equal(t, r.recovered, record.RequestID == "")
			assert.Len(t, s.Journal(), 1)
		})
	}
}

// What cannot be read leaves the outcome open, whatever it was. Once it can be,
// the outcome is known, with one attempt as with many.
func TestHistoryThatCannotBeRead(t *testing.T) {
	for name, r := range map[string]struct {
		fault  apigtest.Fault
		text   string
		passes bool // it is read again
	}{
		"refused":               {apigtest.Answer(403, noPermissionBody), "403 Forbidden, APIG.1005", false},
		"unauthorized":          {apigtest.Answer(401, tokenBody), "401 Unauthorized", false},
		"no such environment":   {apigtest.Answer(404, `{"error_code":"APIG.3003","error_msg":"no such environment"}`), "APIG.3003", false},
		"404 without a code":    {apigtest.Answer(404, gatewayPage), "404 Not Found", false},
		"redirected":            {apigtest.Answer(302, ""), "302 Found", false},
		"{}":                    {apigtest.Answer(200, `{}`), "without a total", true},
		"null":                  {apigtest.Answer(200, `null`), "not a list", true},
		"empty":                 {apigtest.Answer(200, ``), "not a list", true},
		"HTML":                  {apigtest.Answer(200, gatewayPage), "not a list", true},
		"cut":                   {apigtest.Cut(0), "not a list", true},
		"an error for a body":   {apigtest.Answer(200, systemBody), "without a total", true},
		"201":                   {apigtest.Answer(201, emptyHistoryBody), "without a total", true},
		"the total is null":     {apigtest.Answer(200, `{"total":null,"api_versions":[]}`), "total", true},
		"the total is text":     {apigtest.Answer(200, `{"total":"many","api_versions":[]}`), "not a list", true},
		"the total is negative": {apigtest.Answer(200, `{"total":-1,"api_versions":[]}`), "total", true},
		"short of its total":    {apigtest.Answer(200, `{"total":2,"api_versions":[]}`), "rows", true},
		"more than its total":   {apigtest.Answer(200, `{"total":0,"api_versions":[{"version_id":"v"}]}`), "1 rows instead of 0", true},
		"rows that are none":    {apigtest.Answer(200, `{"total":1,"api_versions":{}}`), "rows", true},
		"500":                   {apigtest.Answer(500, systemBody), "APIG.9999", true},
		"lost":                  {apigtest.CloseBefore(), "EOF", true},
		"throttled":             {apigtest.Throttle(""), "429 Too Many Requests", true},
		"throttled for a while": {apigtest.Throttle("5"), "429 Too Many Requests", true},
		"locked":                {apigtest.Answer(409, `{"error_code":"APIC.7712"}`), "APIC.7712", true},
	} {
		for fate, first := range map[string]apigtest.Fault{"applied": apigtest.ApplyThenClose(), "not applied": apigtest.CloseBefore()} {
			virtually(t, name+", "+fate, func(t *testing.T) {
				s := newSite(t)
				s.theirs("1.4.1")
				time.Sleep(time.Minute)
				s.Inject(first.On(apigtest.OpAction), r.fault.On(apigtest.OpHistory).Always())
				record, err := s.Publish(t.Context(), s.request("1.4.2"))
				assertOpen(t, record, err)
				assert.Equal(t, 1, s.requests(apigtest.OpAction), "nothing is repeated blindly")
				for _, sentinel := range sentinels {
					assert.Equal(t, sentinel == ErrOutcomeUnknown, errors.Is(err, sentinel), "%v", sentinel)
				}
				assert.NotErrorAs(t, err, new(*APIGError), "the history's own error is text only")
				require.ErrorIs(t, err, io.EOF, "what began it is matched")
				assert.ErrorContains(t, err, "outcome unknown: the history cannot be read: ")
				assert.ErrorContains(t, err, r.text)
			})
		}
		if r.passes {
			virtually(t, name+", and then read", func(t *testing.T) {
				s := newSite(t, attempts(1))
				s.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction), r.fault.On(apigtest.OpHistory).Times(5))
				record, err := s.Publish(t.Context(), s.request("1.4.2"))
				require.NoError(t, err)
				assert.True(t, record.Recovered)
				assert.Len(t, s.Journal(), 1)
			})
		}
	}
}

func TestHistoryRequest(t *testing.T) {
	virtually(t, "as documented", func(t *testing.T) {
		s := newSite(t)
		env := s.AddEnvironment("TEST")
		s.Inject(apigtest.ApplyThenClose())
		_, err := s.Publish(t.Context(), ActionRequest{APIID: s.api, EnvID: env})
		require.NoError(t, err)
		r := s.Gateway.Requests()[1]
		assert.Equal(t, apigtest.OpHistory, r.Op)
		assert.Equal(t, "env_id="+env+"&limit=500&offset=0", r.Query.Encode())
		assert.Equal(t, "no-cache", r.Header.Get("Cache-Control"))
	})
}

// Without a clock a version with the same remark may be anybody's.
func TestHistoryWithoutClock(t *testing.T) {
	for name, fault := range map[string]apigtest.Fault{
		"no Date":       {Header: http.Header{"Date": nil}},
		"unreadable":    {Header: http.Header{"Date": {"now"}}},
		"beside an Age": {Header: http.Header{"Age": {"0"}}},
		"rows without any": {Rewrite: func(status int, body []byte) (int, []byte) {
			return status, []byte(strings.ReplaceAll(string(body), `"publish_time":"2`, `"publish_time":"x`))
		}},
	} {
		fault = fault.On(apigtest.OpHistory).Always()
		virtually(t, name+", applied", func(t *testing.T) {
			s := newSite(t)
			s.Inject(apigtest.ApplyThenClose(), fault)
			record, err := s.Publish(t.Context(), s.request("1.4.2"))
			assertOpen(t, record, err)
			assert.Equal(t, 1, s.requests(apigtest.OpAction))
		})
		virtually(t, name+", not applied", func(t *testing.T) {
			s := newSite(t)
			s.theirs("other")
			s.Inject(apigtest.CloseBefore(), fault)
			_, err := s.Publish(t.Context(), s.request("1.4.2"))
			require.NoError(t, err, "no version has this remark, whatever the time")
			assert.Len(t, s.Journal(), 2)
		})
		virtually(t, name+", tagged", func(t *testing.T) {
			s := newSite(t, retry(RetryPolicy{TagRemark: true}))
			s.Inject(apigtest.ApplyThenClose(), fault)
			record, err := s.Publish(t.Context(), s.request("1.4.2"))
			require.NoError(t, err, "a tag needs no clock")
			assert.True(t, record.Recovered)
		})
	}
}

// The gateway's clock has nothing to do with ours, and its Date may be off against
// its own publish times by the margins.
func TestClocksThatDisagree(t *testing.T) {
	for _, off := range []time.Duration{-20 * 365 * 24 * time.Hour, -5 * time.Hour, 5 * time.Hour} {
		for fate, fault := range map[string]apigtest.Fault{"applied": apigtest.ApplyThenClose(), "not applied": apigtest.CloseBefore()} {
			virtually(t, fmt.Sprintf("%v off, %s", off, fate), func(t *testing.T) {
				s := newSite(t)
				s.SetClock(func() time.Time { return time.Now().Add(off) })
				s.theirs("1.4.2") // an earlier release
				time.Sleep(time.Minute)
				s.Inject(fault)
				record, err := s.Publish(t.Context(), s.request("1.4.2"))
				require.NoError(t, err)
				assert.Equal(t, fate == "applied", record.Recovered)
				assert.Len(t, s.Journal(), 2)
			})
		}
	}
	for skew, found := range map[time.Duration]bool{0: true, time.Second: true, -time.Second: true, -3 * time.Second: true, 3 * time.Second: false, 10 * time.Second: false} {
		for _, slow := range []time.Duration{0, 900 * time.Millisecond, 3 * time.Second} {
			for step := range 10 {
				virtually(t, fmt.Sprintf("Date %v ahead, answered in %v, at %d/10 s", skew, slow, step), func(t *testing.T) {
					s := newSite(t, lateHistory(slow))
					s.SetDateSkew(skew)
					time.Sleep(time.Duration(step) * time.Second / 10)
					s.Inject(apigtest.ApplyThenClose())
					record, err := s.Publish(t.Context(), s.request("1.4.2"))
					assert.Len(t, s.Journal(), 1, "never repeated")
					if found {
						require.NoError(t, err)
						assert.True(t, record.Recovered)
					} else {
						assertOpen(t, record, err)
					}
				})
			}
		}
	}
}

// What is applied in time for the last look is found. What comes later makes a
// second version: the documented limit.
func TestAppliedLate(t *testing.T) {
	const sec = time.Second
	late := func(status int, body string, after time.Duration) apigtest.Fault {
		return apigtest.Fault{Status: status, Body: body, Apply: apigtest.ApplyLater, After: after}
	}
	hung := func(after time.Duration) apigtest.Fault {
		return apigtest.Fault{End: apigtest.EndHang, Apply: apigtest.ApplyLater, After: after}
	}
	for name, r := range map[string]struct {
		fault apigtest.Fault
		made  int
	}{
		"before the first look":             {apigtest.CloseThenApply(sec / 10), 1},
		"before the second":                 {apigtest.CloseThenApply(3 * sec / 10), 1},
		"just before the last":              {apigtest.CloseThenApply(sec - 1), 1},
		"after the last":                    {apigtest.CloseThenApply(sec + 1), 2},
		"after 502":                         {late(502, gatewayPage, sec-1), 1},
		"after 503 of something in between": {late(503, `{"code":503}`, sec-1), 1},
		"after 503 of the front gateway":    {late(503, `{"error_code":"APIG.0613"}`, sec-1), 1},
		"after 504, for twice as long":      {late(504, gatewayPage, 2*sec-1), 1},
		"after 504, for longer":             {late(504, gatewayPage, 2*sec+1), 2},
		"after 408, for twice as long":      {late(408, "", 2*sec-1), 1},
		"after our timeout":                 {hung(defaultAttemptTimeout + 2*sec - 1), 1},
		"after our timeout, longer":         {hung(defaultAttemptTimeout + 2*sec + 1), 2},
		"after a success without a body":    {late(201, "", sec-1), 1},
		"after a success that is none":      {late(200, gatewayPage, sec-1), 1},
	} {
		virtually(t, name, func(t *testing.T) {
			s := newSite(t)
			s.Inject(r.fault.On(apigtest.OpAction))
			record, err := s.Publish(t.Context(), s.request("1.4.2"))
			require.NoError(t, err)
			time.Sleep(time.Minute)
			assert.Len(t, s.Journal(), r.made)
			assert.Equal(t, r.made == 1, record.Recovered)
		})
	}
}

// The search begins with the first attempt whose outcome is unknown, and not with
// a wait before it.
func TestStartOfTheSearch(t *testing.T) {
	virtually(t, "waiting out a 429 does not count", func(t *testing.T) {
		s := newSite(t)
		s.Inject(apigtest.Throttle("20").On(apigtest.OpAction), apigtest.CloseBefore().On(apigtest.OpAction))
		later(time.Second, func() { s.theirs("1.4.2") })
		record, err := s.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		assert.False(t, record.Recovered, "that was somebody else")
	})
	virtually(t, "nor does the limiter", func(t *testing.T) {
		wait := 20 * time.Second
		s := newSite(t, limitedBy(func(context.Context) error { time.Sleep(wait); wait = 0; return nil }))
		s.Inject(apigtest.CloseBefore().On(apigtest.OpAction))
		later(time.Second, func() { s.theirs("1.4.2") })
		record, err := s.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		assert.False(t, record.Recovered, "that was somebody else")
	})
	virtually(t, "an earlier attempt may have done it", func(t *testing.T) {
		s := newSite(t, retry(RetryPolicy{MinWait: 6 * time.Second}))
		s.Inject(apigtest.CloseThenApply(1500*time.Millisecond).On(apigtest.OpAction), apigtest.CloseBefore().On(apigtest.OpAction))
		record, err := s.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		assert.True(t, record.Recovered)
		assert.Len(t, s.Journal(), 1)
	})
}

// The context ends at each point of settling.
func TestContextEndsWhileSettling(t *testing.T) {
	const ms = time.Millisecond
	lost, applied := apigtest.CloseBefore(), apigtest.ApplyThenClose()
	for name, r := range map[string]struct {
		fault    apigtest.Fault
		cancel   time.Duration
		deadline time.Duration
		looks    int
		found    bool
		end      time.Duration
	}{
		"cancelled before the first look":  {fault: lost, cancel: 100 * ms, end: 100 * ms},
		"cancelled before the second":      {fault: lost, cancel: 300 * ms, looks: 1, end: 300 * ms},
		"cancelled before the last":        {fault: lost, cancel: 900 * ms, looks: 2, end: 900 * ms},
		"deadline before the first look":   {fault: lost, deadline: 100 * ms, looks: 1},
		"deadline before it, but applied":  {fault: applied, deadline: 100 * ms, looks: 1, found: true},
		"deadline before the last":         {fault: lost, deadline: 900 * ms, looks: 3, end: 500 * ms},
		"deadline before it, but just now": {fault: apigtest.CloseThenApply(400 * ms), deadline: 900 * ms, looks: 2, found: true, end: 500 * ms},
	} {
		virtually(t, name, func(t *testing.T) {
			s := newSite(t)
			s.Inject(r.fault)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			is, why := context.Canceled, "the context ended before it was settled"
			if r.deadline != 0 {
				ctx, cancel = context.WithTimeout(ctx, r.deadline)
				defer cancel()
				is, why = context.DeadlineExceeded, "the context ends before it can be settled"
			} else {
				later(r.cancel, cancel)
			}
			var record *PublishRecord
			var err error
			elapsed := took(func() { record, err = s.Publish(ctx, s.request("1.4.2")) })
			assert.Equal(t, r.end, elapsed)
			assert.Equal(t, r.looks, s.requests(apigtest.OpHistory))
			assert.Equal(t, 1, s.requests(apigtest.OpAction), "never repeated")
			if r.found {
				require.NoError(t, err)
				assert.True(t, record.Recovered)
				return
			}
			assertOpen(t, record, err)
			require.ErrorIs(t, err, is)
			assert.ErrorContains(t, err, "outcome unknown: "+why)
		})
	}
	virtually(t, "the only look there is time for is repeated", func(t *testing.T) {
		s := newSite(t, retry(RetryPolicy{MinWait: ms}))
		s.Inject(applied, apigtest.Answer(503, systemBody).On(apigtest.OpHistory))
		ctx, cancel := context.WithTimeout(t.Context(), 240*ms)
		defer cancel()
		record, err := s.Publish(ctx, s.request("1.4.2"))
		require.NoError(t, err)
		assert.True(t, record.Recovered)
		assert.Equal(t, 2, s.requests(apigtest.OpHistory))
	})
	virtually(t, "Offline has no look but the last", func(t *testing.T) {
		s := newSite(t)
		s.theirs("1.4.1")
		s.Inject(lost)
		ctx, cancel := context.WithTimeout(t.Context(), 900*ms)
		defer cancel()
		elapsed := took(func() {
			record, err := s.Client.Offline(ctx, s.request(""))
			assertOpen(t, record, err)
		})
		assert.Zero(t, elapsed, "it does not wait for what is too late")
		assert.Zero(t, s.requests(apigtest.OpHistory))
	})
	for name, call := range directions {
		virtually(t, name+" is not judged by its state before the last look", func(t *testing.T) {
			s := newSite(t)
			s.Inject(apigtest.CloseThenApply(800 * ms))
			ctx, cancel := context.WithTimeout(t.Context(), 600*ms)
			defer cancel()
			record, err := call(s.Client, ctx, s.request(""))
			assertOpen(t, record, err)
		})
	}
}

// After a publication that stayed unknown another one with the same remark cannot
// be told from it for a while.
func TestContestedForAWhile(t *testing.T) {
	nameless := apigtest.Fault{Rewrite: func(status int, body []byte) (int, []byte) {
		return status, []byte(strings.ReplaceAll(string(body), `"version_id"`, `"version"`))
	}}
	lost, applied := apigtest.CloseBefore(), apigtest.ApplyThenClose()
	for name, r := range map[string]struct {
		pause   time.Duration
		second  apigtest.Fault
		unknown bool
	}{
		"lost, at once":                 {0, lost, true},
		"lost, in ten seconds":          {10 * time.Second, lost, true},
		"lost, in half a minute":        {30 * time.Second, lost, false}, // the first one's version is too old
		"lost, in an hour":              {time.Hour, lost, false},
		"answer lost, at once":          {0, applied, true},
		"answer lost, in ten seconds":   {10 * time.Second, applied, true},
		"answer lost, in half a minute": {30 * time.Second, applied, false},
		"answer lost, in two minutes":   {2 * time.Minute, applied, false},
	} {
		for first, lose := range map[string]func(*site){
			"unknown": func(s *site) { _ = s.lose("1.4.2", applied) },
			"a version not named": func(s *site) {
				s.Inject(nameless.On(apigtest.OpAction))
				record, err := s.Publish(s.t.Context(), s.request("1.4.2"))
				require.NoError(s.t, err)
				require.Empty(s.t, record.VersionID)
			},
		} {
			virtually(t, first+", then "+name, func(t *testing.T) {
				s := newSite(t)
				lose(s)
				time.Sleep(r.pause + tick)
				s.Inject(r.second.On(apigtest.OpAction))
				record, err := s.Publish(t.Context(), s.request("1.4.2"))
				if r.unknown {
					assertOpen(t, record, err)
					return
				}
				require.NoError(t, err)
				assert.Len(t, s.Journal(), 2)
				assert.Equal(t, s.effective(), record.VersionID)
			})
		}
	}
	virtually(t, "applied late, into the next call", func(t *testing.T) {
		s := newSite(t)
		_ = s.lose("1.4.2", apigtest.CloseThenApply(1500*time.Millisecond))
		s.Inject(lost.On(apigtest.OpAction))
		record, err := s.Publish(t.Context(), s.request("1.4.2"))
		assertOpen(t, record, err)
	})
	virtually(t, "an instance client remembers the same", func(t *testing.T) {
		s := newSite(t)
		one, err := s.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		same, err := s.Client.Instance(s.InstanceID())
		require.NoError(t, err)
		s.Inject(lost.On(apigtest.OpAction))
		two, err := same.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		assert.False(t, two.Recovered)
		assert.NotEqual(t, one.VersionID, two.VersionID)
	})
}

// After a loss a version of another process, with the same remark, is there.
func TestVersionOfSomebodyElse(t *testing.T) {
	for ago, unknown := range map[time.Duration]bool{20 * time.Second: false, 7 * time.Second: true} {
		virtually(t, fmt.Sprint(ago, " older"), func(t *testing.T) {
			s := newSite(t)
			s.theirs("1.4.2")
			time.Sleep(ago)
			s.Inject(apigtest.CloseBefore())
			record, err := s.Publish(t.Context(), s.request("1.4.2"))
			if unknown {
				assertOpen(t, record, err)
				assert.Len(t, s.Journal(), 1)
				return
			}
			require.NoError(t, err)
			assert.False(t, record.Recovered)
			assert.Len(t, s.Journal(), 2)
		})
	}
	for _, tagged := range []bool{false, true} {
		virtually(t, fmt.Sprint("younger, tagged: ", tagged), func(t *testing.T) {
			s := newSite(t, retry(RetryPolicy{TagRemark: tagged}))
			s.Inject(apigtest.CloseBefore())
			var theirs apigtest.Version
			later(100*time.Millisecond, func() { theirs = s.theirs("1.4.2") })
			record, err := s.Publish(t.Context(), s.request("1.4.2"))
			require.NoError(t, err)
			synctest.Wait()
			assert.Equal(t, !tagged, record.VersionID == theirs.ID, "without a tag: the documented limit")
		})
	}
	for fate, fault := range map[string]apigtest.Fault{"applied": apigtest.ApplyThenClose(), "not applied": apigtest.CloseBefore()} {
		for older, n := range map[string]int{"none": 9, "none, ten": 10, "published": 9, "reported": 9} {
			virtually(t, fmt.Sprintf("displaced: %d newer ones, older ones: %s, %s", n, older, fate), func(t *testing.T) {
				s := newSite(t)
				switch older {
				case "published":
					s.theirs("1.4.1")
					time.Sleep(time.Minute)
				case "reported":
					_, err := s.Publish(t.Context(), s.request("1.4.1"))
					require.NoError(t, err)
					time.Sleep(tick)
				}
				s.Inject(fault.On(apigtest.OpAction))
				later(100*time.Millisecond, func() {
					for range n {
						s.theirs("other")
					}
				})
				record, err := s.Publish(t.Context(), s.request("1.4.2"))
				if n == 10 {
					assertOpen(t, record, err)
					return
				}
				require.NoError(t, err)
				assert.Equal(t, fate == "applied", record.Recovered)
			})
		}
	}
}

// Two publications of one API with one remark, both answers lost: each gets a
// version of its own.
func TestSameRemarkAtOnce(t *testing.T) {
	virtually(t, "one client", func(t *testing.T) {
		s := newSite(t)
		s.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction).Times(2))
		got := make([]string, 2)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				record, err := s.Publish(t.Context(), s.request("1.4.2"))
				if assert.NoError(t, err) {
					assert.True(t, record.Recovered)
					got[i] = record.VersionID
				}
			})
		}
		wg.Wait()
		made := s.Journal()
		require.Len(t, made, 2)
		assert.ElementsMatch(t, []string{made[0].VersionID, made[1].VersionID}, got)
	})
	virtually(t, "several processes with tags, and clocks that say nothing", func(t *testing.T) {
		s := newSite(t)
		s.SetDateSkew(7 * time.Hour)
		const n = 4
		s.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction).Times(n))
		got := make([]*PublishRecord, n)
		var wg sync.WaitGroup
		for i := range got {
			c := clientOf(t, s.Gateway, retry(RetryPolicy{TagRemark: true}))
			wg.Go(func() {
				var err error
				got[i], err = c.Publish(t.Context(), s.request("1.4.2"))
				assert.NoError(t, err)
			})
		}
		wg.Wait()
		made := map[string]string{}
		for _, a := range s.Journal() {
			made[a.VersionID] = a.Remark
		}
		require.Len(t, made, n)
		for _, record := range got {
			require.NotNil(t, record)
			assert.Equal(t, made[record.VersionID], record.Remark)
			assert.Regexp(t, `^1\.4\.2 #[0-9a-f]{10}$`, record.Remark)
			delete(made, record.VersionID)
		}
		assert.Empty(t, made, "each is reported once")
	})
	virtually(t, "one tag for all attempts of a call", func(t *testing.T) {
		s := newSite(t, retry(RetryPolicy{TagRemark: true}))
		s.Inject(apigtest.CloseBefore().On(apigtest.OpAction).Times(2))
		first, err := s.Publish(t.Context(), s.request(""))
		require.NoError(t, err)
		assert.Regexp(t, `^#[0-9a-f]{10}$`, first.Remark)
		second, err := s.Publish(t.Context(), s.request(""))
		require.NoError(t, err)
		assert.NotEqual(t, first.Remark, second.Remark)
		var sent []string
		for _, r := range s.Gateway.Requests() {
			if r.Op == apigtest.OpAction {
				_, tag, _ := strings.Cut(string(r.Body), `"remark":`)
				sent = append(sent, strings.Trim(tag, `"}`))
			}
		}
		assert.Equal(t, []string{first.Remark, first.Remark, first.Remark, second.Remark}, sent)
	})
	virtually(t, "a tag takes twelve characters", func(t *testing.T) {
		s := newSite(t, retry(RetryPolicy{TagRemark: true}))
		record, err := s.Publish(t.Context(), s.request(strings.Repeat("发", maxRemark-tagLength)))
		require.NoError(t, err)
		assert.Equal(t, maxRemark, utf8.RuneCountInString(record.Remark))
		_, err = s.Publish(t.Context(), s.request(strings.Repeat("发", maxRemark-tagLength+1)))
		require.ErrorIs(t, err, ErrInvalidArgument)
		assert.ErrorContains(t, err, "244 characters, at most 243")
		_, err = s.Client.Offline(t.Context(), s.request(strings.Repeat("发", maxRemark)))
		require.NoError(t, err, "what is taken offline needs no tag")
	})
}

// What the history does not name of a recovered publication is worth one request.
func TestRuntimeOfRecovered(t *testing.T) {
	for name, fault := range map[string]apigtest.Fault{
		"fails":             apigtest.Answer(500, systemBody).Always(),
		"hangs":             apigtest.Hang().Always(),
		"is of another API": apigtest.Answer(200, `{"id":"other","publish_id":"p","name":"n"}`).Always(),
	} {
		virtually(t, name, func(t *testing.T) {
			s := newSite(t)
			s.Inject(apigtest.ApplyThenClose(), fault.On(apigtest.OpRuntime))
			record, err := s.Publish(t.Context(), s.request("1.4.2"))
			require.NoError(t, err)
			v, _ := s.Gateway.Published(s.api, EnvRelease)
			assert.Equal(t, &PublishRecord{APIID: s.api, EnvID: EnvRelease, Remark: "1.4.2",
				PublishTime: v.Time.Truncate(time.Second), VersionID: v.ID, Recovered: true}, record)
			assert.Equal(t, 1, s.requests(apigtest.OpRuntime))
		})
	}
	virtually(t, "not while another version is in effect", func(t *testing.T) {
		s := newSite(t)
		s.Inject(apigtest.ApplyThenClose())
		later(100*time.Millisecond, func() { s.theirs("1.4.3") })
		record, err := s.Publish(t.Context(), s.request("1.4.2"))
		require.NoError(t, err)
		assert.Equal(t, s.Journal()[0].VersionID, record.VersionID)
		assert.Empty(t, record.PublishID)
		assert.Zero(t, s.requests(apigtest.OpRuntime))
	})
}

// What the caller of a withdrawal gets is what the gateway's journal says.
func TestOfflineOutcome(t *testing.T) {
	// The history still shows the version in effect that was taken offline.
	stale := apigtest.Fault{Op: apigtest.OpHistory, Rewrite: func(status int, body []byte) (int, []byte) {
		return status, []byte(strings.ReplaceAll(string(body), `"status":2`, `"status":1`))
	}}.Always()
	noDate := apigtest.Fault{Op: apigtest.OpHistory, Header: http.Header{"Date": nil}}.Always()
	older := func(s *site) { s.theirs("1.4.1"); time.Sleep(time.Hour) }
	younger := func(s *site) { s.theirs("1.4.1") }
	own := func(s *site) {
		_, err := s.Publish(s.t.Context(), s.request("1.4.1"))
		require.NoError(s.t, err)
		time.Sleep(tick)
	}
	nothing := func(*site) {}
	lost, applied := apigtest.CloseBefore(), apigtest.ApplyThenClose()
	for name, r := range map[string]struct {
		before    func(*site)
		faults    []apigtest.Fault
		is        error
		recovered bool
		journal   []string
	}{
		"no fault":                        {before: own, journal: []string{"online", "offline"}},
		"not published":                   {before: nothing, is: ErrNotPublished},
		"performed already":               {before: older, faults: []apigtest.Fault{apigtest.Answer(400, performedBody)}, is: ErrNotPublished, journal: []string{"online"}},
		"answer lost":                     {before: older, faults: []apigtest.Fault{applied}, recovered: true, journal: []string{"online", "offline"}},
		"answer lost, one in a second":    {before: own, faults: []apigtest.Fault{applied}, recovered: true, journal: []string{"online", "offline"}},
		"lost, nothing in effect":         {before: nothing, faults: []apigtest.Fault{lost}, recovered: true},
		"lost, published long before":     {before: older, faults: []apigtest.Fault{lost}, journal: []string{"online", "offline"}},
		"lost, published by us just now":  {before: own, faults: []apigtest.Fault{lost}, journal: []string{"online", "offline"}},
		"lost, published by somebody":     {before: younger, faults: []apigtest.Fault{lost}, is: ErrOutcomeUnknown, journal: []string{"online"}},
		"lost, nobody knows when":         {before: older, faults: []apigtest.Fault{lost, noDate}, is: ErrOutcomeUnknown, journal: []string{"online"}},
		"lost, by us, nobody knows when":  {before: own, faults: []apigtest.Fault{lost, noDate}, journal: []string{"online", "offline"}},
		"busy":                            {before: older, faults: []apigtest.Fault{apigtest.Busy()}, journal: []string{"online", "offline"}},
		"busy, but applied":               {before: older, faults: []apigtest.Fault{apigtest.ApplyThenAnswer(500, syncBody)}, recovered: true, journal: []string{"online", "offline"}},
		"201 empty, applied":              {before: older, faults: []apigtest.Fault{apigtest.ApplyThenAnswer(201, "")}, recovered: true, journal: []string{"online", "offline"}},
		"repeated, then not published":    {before: older, faults: []apigtest.Fault{applied, stale}, recovered: true, journal: []string{"online", "offline"}},
		"repeated, then performed":        {before: older, faults: []apigtest.Fault{applied, stale, apigtest.Answer(400, performedBody).On(apigtest.OpAction)}, recovered: true, journal: []string{"online", "offline"}},
		"throttled, then not published":   {before: nothing, faults: []apigtest.Fault{apigtest.Throttle("")}, is: ErrNotPublished},
		"repeated, then refused":          {before: older, faults: []apigtest.Fault{lost, apigtest.Answer(403, noPermissionBody).On(apigtest.OpAction)}, is: ErrForbidden, journal: []string{"online"}},
		"answer lost, history refused":    {before: older, faults: []apigtest.Fault{applied, apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory)}, is: ErrOutcomeUnknown, journal: []string{"online", "offline"}},
		"lost, history {}, not published": {before: nothing, faults: []apigtest.Fault{lost, apigtest.Answer(200, "{}").On(apigtest.OpHistory).Always()}, is: ErrOutcomeUnknown},
	} {
		virtually(t, name, func(t *testing.T) {
			s := newSite(t)
			r.before(s)
			s.Inject(r.faults...)
			record, err := s.Client.Offline(t.Context(), s.request(""))
			assert.Equal(t, r.journal, s.changes())
			assert.Equal(t, r.is == ErrOutcomeUnknown, errors.Is(err, ErrOutcomeUnknown))
			if r.is != nil {
				assert.Nil(t, record)
				require.ErrorIs(t, err, r.is)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, []string{s.api, EnvRelease, "", ""}, []string{record.APIID, record.EnvID, record.PublishID, record.VersionID})
			assert.Equal(t, r.recovered, record.Recovered)
			assert.Zero(t, record.PublishTime)
			assert.Empty(t, s.effective())
		})
	}
	virtually(t, "published by somebody while it was under way", func(t *testing.T) {
		s := newSite(t)
		older(s)
		s.Inject(applied)
		var theirs apigtest.Version
		later(100*time.Millisecond, func() { theirs = s.theirs("theirs") })
		record, err := s.Client.Offline(t.Context(), s.request(""))
		assertOpen(t, record, err)
		synctest.Wait()
		assert.Equal(t, theirs.ID, s.effective(), "that stays")
	})
}

// All that was settled together is one warning.
func TestSettledIsLogged(t *testing.T) {
	settled := func(t *testing.T, log *buffer) string {
		var lines []string
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, `msg="apig: settled"`) {
				lines = append(lines, line)
			}
		}
		require.Len(t, lines, 1)
		return lines[0]
	}
	virtually(t, "of one", func(t *testing.T) {
		log := &buffer{}
		s := newSite(t, logTo(slog.New(slog.NewTextHandler(log, nil))))
		s.Inject(apigtest.ApplyThenAnswer(502, gatewayPage))
		_, err := s.Publish(t.Context(), s.request(""))
		require.NoError(t, err)
		line := settled(t, log)
		for _, attr := range []string{"level=WARN", "op=Publish", "api_id=" + s.api, "apis=1", "attempt=1", "reason.status=502", "duration=250ms", "applied=1", "not_applied=0", "unknown=0"} {
			assert.Contains(t, line, attr)
		}
	})
	virtually(t, "of many", func(t *testing.T) {
		log := &buffer{}
		s := newSite(t, attempts(1), logTo(slog.New(slog.NewTextHandler(log, nil))))
		ids := s.apis(3)
		s.Inject(batchFault(func([]map[string]any, []map[string]any) ([]map[string]any, []map[string]any) {
			return []map[string]any{}, nil
		}),
			apigtest.Answer(403, noPermissionBody).On(apigtest.OpHistory).Always().When(func(r *apigtest.Request) bool { return r.APIID == ids[1] }),
			apigtest.Answer(200, emptyHistoryBody).On(apigtest.OpHistory).Always().When(func(r *apigtest.Request) bool { return r.APIID == ids[2] }))
		_, err := s.PublishBatch(t.Context(), BatchRequest{APIIDs: ids, EnvID: EnvRelease})
		require.Error(t, err)
		line := settled(t, log)
		for _, attr := range []string{"op=PublishBatch", "apis=3", "applied=1", "not_applied=1", "unknown=1", "reason.attempts=1", `why="the history cannot be read: 403`} {
			assert.Contains(t, line, attr)
		}
		assert.NotContains(t, line, " api_id")
	})
}

// A wait before a repetition may be longer than SettleTimeout. What is in effect is
// read again after it all the same.
func TestLookAfterALongWait(t *testing.T) {
	virtually(t, "offline", func(t *testing.T) {
		s := newSite(t, retry(RetryPolicy{MinWait: 40 * time.Second, MaxWait: time.Minute}))
		s.theirs("1.4.1")
		time.Sleep(time.Hour)
		s.Inject(apigtest.CloseBefore().On(apigtest.OpAction))
		_, err := s.Offline(t.Context(), s.request(""))
		require.NoError(t, err)
		assert.Empty(t, s.effective())
		assert.Equal(t, 2, s.requests(apigtest.OpHistory))
	})
	virtually(t, "within the bound", func(t *testing.T) {
		s := newSite(t, retry(RetryPolicy{MaxAttempts: 2, MinWait: 40 * time.Second, MaxWait: time.Minute}))
		s.theirs("1.4.1")
		time.Sleep(time.Hour)
		s.Inject(apigtest.CloseBefore().On(apigtest.OpAction), apigtest.Hang().On(apigtest.OpHistory).Skip(1).Always())
		elapsed := took(func() {
			record, err := s.Offline(t.Context(), s.request(""))
			assertOpen(t, record, err)
		})
		assert.LessOrEqual(t, elapsed, 2*time.Second+30*time.Second+time.Minute+settleTimeEach, "of one attempt that fails at once")
	})
}
