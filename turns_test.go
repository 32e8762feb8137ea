package apig

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

// Calls on one instance and API take turns, in the order in which they came, in
// whatever environment and through whatever client of the instance.
func TestCallsTakeTurns(t *testing.T) {
	virtually(t, "one at a time, first come first served", func(t *testing.T) {
		s := newSite(t)
		env := s.AddEnvironment("TEST")
		same, err := s.Client.Instance(s.InstanceID())
		require.NoError(t, err)
		s.Inject(apigtest.Slow(time.Second).On(apigtest.OpAction).Always())
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 12 {
			r, on := s.request(fmt.Sprint(i)), s.Client
			if i%3 == 1 {
				r.EnvID = env
			} else if i%3 == 2 {
				on = same
			}
			wg.Go(func() {
				_, err := on.Publish(t.Context(), r)
				assert.NoError(t, err)
			})
			synctest.Wait()
		}
		wg.Wait()
		for i, at := range s.times(apigtest.OpAction, start) {
			assert.Equal(t, time.Duration(i)*time.Second, at)
		}
		for i, a := range s.Journal() {
			assert.Equal(t, fmt.Sprint(i), a.Remark)
		}
	})
	virtually(t, "nobody else waits", func(t *testing.T) {
		s := newSite(t)
		other := s.AddInstance(s.ProjectID(), "")
		elsewhere, err := s.Client.Instance(other.InstanceID())
		require.NoError(t, err)
		s.Inject(apigtest.Slow(time.Minute).On(apigtest.OpAction))
		go func() { _, _ = s.Publish(context.Background(), s.request("")) }()
		synctest.Wait()
		elapsed := took(func() {
			_, err := s.Publish(t.Context(), ActionRequest{APIID: s.AddAPI("another API"), EnvID: EnvRelease})
			require.NoError(t, err)
			_, err = elsewhere.Publish(t.Context(), ActionRequest{APIID: other.AddAPI("of another instance"), EnvID: EnvRelease})
			require.NoError(t, err)
			_, err = elsewhere.Publish(t.Context(), s.request(""))
			require.ErrorIs(t, err, ErrNotFound, "the same ID on another instance is another API")
			_, err = clientOf(t, s.Gateway).Publish(t.Context(), s.request(""))
			require.NoError(t, err, "another process")
			_, err = s.Client.Published(t.Context(), s.api, EnvRelease)
			require.NoError(t, err, "reads need no turn")
		})
		assert.Zero(t, elapsed)
		time.Sleep(time.Hour)
	})
	virtually(t, "an ID in another case is the same", func(t *testing.T) {
		s := newSite(t)
		s.Inject(apigtest.Slow(50 * time.Second).On(apigtest.OpAction))
		go func() { _, _ = s.Publish(context.Background(), s.request("")) }()
		synctest.Wait()
		elapsed := took(func() {
			_, _ = s.Publish(t.Context(), ActionRequest{APIID: strings.ToUpper(s.api), EnvID: EnvRelease})
		})
		assert.Equal(t, 50*time.Second, elapsed)
	})
	virtually(t, "waiting ends with the context, and nothing was sent", func(t *testing.T) {
		s := newSite(t)
		s.Inject(apigtest.Hang().On(apigtest.OpAction))
		held, release := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			record, err := s.Publish(held, s.request(""))
			assertOpen(t, record, err)
		})
		synctest.Wait()
		for name, call := range directions {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			elapsed := took(func() {
				record, err := call(s.Client, ctx, s.request(""))
				assert.Nil(t, record)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Equal(t, NotApplied, OutcomeOf(err))
				assert.EqualError(t, err, "apig: "+name+" API "+s.api+": context deadline exceeded")
			})
			cancel()
			assert.Equal(t, time.Second, elapsed)
		}
		assert.Equal(t, 1, s.requests(apigtest.OpAction))
		release()
		wg.Wait()
		_, err := s.Publish(t.Context(), s.request(""))
		require.NoError(t, err, "the turn goes on to the next")
	})
	virtually(t, "who waits in vain is passed over", func(t *testing.T) {
		s := newSite(t)
		s.Inject(apigtest.Slow(10 * time.Second).On(apigtest.OpAction))
		var wg sync.WaitGroup
		for i, d := range []time.Duration{time.Hour, 5 * time.Second, time.Hour} {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), d)
				defer cancel()
				_, err := s.Publish(ctx, s.request(fmt.Sprint(i)))
				assert.Equal(t, i != 1, err == nil)
			})
			synctest.Wait()
		}
		assert.Equal(t, 10*time.Second, took(wg.Wait))
		assert.Len(t, s.Journal(), 2)
	})
}

// A batch that waits for several turns takes one as soon as it is free, and none
// twice.
func TestBatchTakesTurnsAsTheyComeFree(t *testing.T) {
	virtually(t, "one after the other", func(t *testing.T) {
		s := newSite(t)
		ids := s.apis(4)
		for i, id := range ids[:3] {
			s.Inject(apigtest.Slow(time.Duration(i+1) * 10 * time.Second).On(apigtest.OpAction).When(func(r *apigtest.Request) bool { return r.APIID == id }))
			go func() { _, _ = s.Publish(context.Background(), ActionRequest{APIID: id, EnvID: EnvRelease}) }()
		}
		synctest.Wait()
		start := time.Now()
		_, err := s.OfflineBatch(t.Context(), BatchRequest{APIIDs: ids[:3], EnvID: EnvRelease})
		require.NoError(t, err)
		assert.Equal(t, []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second}, s.times(apigtest.OpBatch, start))
		for i, sent := range s.sentBatches() {
			assert.Equal(t, ids[i:i+1], sent.APIs)
		}
	})
	virtually(t, "several that come free at once", func(t *testing.T) {
		s := newSite(t)
		ids := s.apis(40)
		s.Inject(apigtest.Slow(10 * time.Second).On(apigtest.OpBatch))
		go func() { _, _ = s.PublishBatch(context.Background(), BatchRequest{APIIDs: ids, EnvID: EnvRelease}) }()
		synctest.Wait()
		start := time.Now()
		_, err := s.OfflineBatch(t.Context(), BatchRequest{APIIDs: ids, EnvID: EnvRelease})
		require.NoError(t, err)
		var n int
		for i, sent := range s.sentBatches() {
			if i > 0 {
				n += len(sent.APIs)
			}
		}
		assert.Equal(t, 40, n, "each once")
		assert.Equal(t, 10*time.Second, time.Since(start))
	})
	virtually(t, "no more than four thousand are under way", func(t *testing.T) {
		s := newSite(t)
		ids := s.apis(4500)
		s.Inject(apigtest.Slow(10*time.Second).On(apigtest.OpBatch).Times(4), apigtest.Slow(30*time.Second).On(apigtest.OpBatch).Always())
		go func() {
			_, _ = s.OfflineBatch(context.Background(), BatchRequest{APIIDs: ids[500:], EnvID: EnvRelease})
		}()
		synctest.Wait()
		// 500 at once, 3500 when the other batch is done, and the last 500
		// when the first are.
		elapsed := took(func() {
			_, err := s.PublishBatch(t.Context(), BatchRequest{APIIDs: ids, EnvID: EnvRelease})
			require.NoError(t, err)
		})
		assert.Equal(t, 60*time.Second, elapsed)
		assert.Len(t, s.Journal(), 4500, "each once")
	})
	virtually(t, "a single call that came later does not starve", func(t *testing.T) {
		s := newSite(t)
		ids := s.apis(2)
		s.Inject(apigtest.Slow(10 * time.Second).On(apigtest.OpAction))
		go func() {
			_, _ = s.Publish(context.Background(), ActionRequest{APIID: ids[0], EnvID: EnvRelease, Remark: "1"})
		}()
		synctest.Wait()
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				_, err := s.PublishBatch(t.Context(), BatchRequest{APIIDs: ids, EnvID: EnvRelease, Remark: fmt.Sprint("batch ", i)})
				assert.NoError(t, err)
			})
			synctest.Wait()
			wg.Go(func() {
				_, err := s.Publish(t.Context(), ActionRequest{APIID: ids[0], EnvID: EnvRelease, Remark: fmt.Sprint("single ", i)})
				assert.NoError(t, err)
			})
			synctest.Wait()
		}
		wg.Wait()
		var order []string
		for _, a := range s.Journal() {
			if a.APIID == ids[0] {
				order = append(order, a.Remark)
			}
		}
		assert.Equal(t, []string{"1", "batch 0", "single 0", "batch 1", "single 1", "batch 2", "single 2"}, order)
	})
}

// What nobody uses is forgotten, not too early and not too late.
func TestTurnsAreForgotten(t *testing.T) {
	virtually(t, "after a while", func(t *testing.T) {
		turns := (&gateways{late: 2 * time.Second, byGateway: map[string]*turns{}}).of("i")
		use := func(api string, remember bool) {
			own, err := turns.take(t.Context(), []string{api}, 1)
			require.NoError(t, err)
			if remember {
				own[0].in("e").applied(reported{"v", time.Second, true, 0})
			}
			turns.release(own[0])
		}
		kept := func() int {
			turns.mu.Lock()
			defer turns.mu.Unlock()
			return len(turns.inUse) + len(turns.recent) + len(turns.older)
		}
		for i := range 1000 {
			use(fmt.Sprint(i), true)
			use(fmt.Sprint("nothing to remember ", i), false)
		}
		held, err := turns.take(t.Context(), []string{"held"}, 1)
		require.NoError(t, err)
		assert.Equal(t, 1001, kept())
		time.Sleep(remembered)
		synctest.Wait()
		assert.Equal(t, 1001, kept(), "not yet")
		time.Sleep(turns.late + time.Second)
		use("7", false) // and again
		time.Sleep(remembered + turns.late)
		synctest.Wait()
		assert.Equal(t, 2, kept())
		time.Sleep(2 * remembered)
		synctest.Wait()
		assert.Equal(t, 1, kept(), "the one in use stays")
		assert.Nil(t, turns.timer, "nothing is left to do")
		held[0].in("e").applied(reported{"v", time.Second, true, 0})
		turns.release(held[0])
		own, err := turns.take(t.Context(), []string{"held"}, 1)
		require.NoError(t, err)
		assert.NotNil(t, own[0].reported("v"), "and remembers")
		turns.release(own[0])
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Zero(t, kept())
	})
}

// Whose context has ended gets no turn, be it free or not.
func TestEndedCallsTakeNoTurn(t *testing.T) {
	turns := (&gateways{byGateway: map[string]*turns{}}).of("i")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, take := range map[string]func() error{
		"one":  func() error { _, err := turns.takeOne(ctx, "a"); return err },
		"some": func() error { _, err := turns.take(ctx, []string{"a", "b"}, 2); return err },
	} {
		require.ErrorIs(t, take(), context.Canceled, name)
		assert.Empty(t, turns.inUse, name)
	}
}

// They are remembered for twice forty-five seconds, and as long again as a request
// may be late.
func TestTurnsAreRememberedLongEnough(t *testing.T) {
	virtually(t, "to the nanosecond", func(t *testing.T) {
		turns := (&gateways{late: 2 * time.Second, byGateway: map[string]*turns{}}).of("i")
		own, err := turns.takeOne(t.Context(), "api")
		require.NoError(t, err)
		own.in("e").applied(reported{"v", time.Second, true, 0})
		turns.release(own)
		older := func() int {
			synctest.Wait()
			turns.mu.Lock()
			defer turns.mu.Unlock()
			return len(turns.older)
		}
		time.Sleep(2*47*time.Second - time.Nanosecond)
		assert.Equal(t, 1, older())
		time.Sleep(time.Nanosecond)
		assert.Zero(t, older())
	})
}

// Whatever was cancelled leaves no goroutine and no turn behind: a bubble does not
// end before all of its goroutines have.
func TestCancelledCallsLeaveNothing(t *testing.T) {
	virtually(t, "at any moment", func(t *testing.T) {
		s := newSite(t)
		ids := s.apis(20)
		s.InjectFunc(apigtest.Mix(3, 0.5, apigtest.Hang(), apigtest.CloseBefore(), apigtest.Slow(time.Second), apigtest.Throttle("1"), apigtest.Answer(502, "")))
		var wg sync.WaitGroup
		for i := range 200 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*37*time.Millisecond)
			id := ids[i%20]
			wg.Go(func() {
				defer cancel()
				switch i % 5 {
				case 0:
					_, _ = s.Publish(ctx, ActionRequest{APIID: id, EnvID: EnvRelease})
				case 1:
					_, _ = s.PublishBatch(ctx, BatchRequest{APIIDs: ids, EnvID: EnvRelease})
				case 2:
					_, _ = s.Rollback(ctx, id, EnvRelease)
				case 3:
					_, _ = s.OfflineBatch(ctx, BatchRequest{APIIDs: ids[i%20:], EnvID: EnvRelease})
				default:
					_, _ = s.SwitchVersion(ctx, id, "v")
				}
			})
		}
		wg.Wait()
		s.ClearFaults()
		elapsed := took(func() {
			_, err := s.PublishBatch(t.Context(), BatchRequest{APIIDs: ids, EnvID: EnvRelease})
			require.NoError(t, err)
		})
		assert.Zero(t, elapsed)
	})
}

// A panic of something of the caller's leaves no turn behind that nobody gives
// back: whoever recovers from it, as a server does, can go on with the API.
func TestPanicGivesTheTurnBack(t *testing.T) {
	ends := map[string]func(){
		"a panic":  func() { panic("boom") },
		"a Goexit": runtime.Goexit, // as t.FailNow in a mock is
	}
	// attempt calls f where it may end as it likes, and says whether it returned.
	attempt := func(f func()) (returned bool) {
		var wg sync.WaitGroup
		wg.Go(func() {
			defer func() { _ = recover() }()
			f()
			returned = true
		})
		wg.Wait()
		return returned
	}
	for name, end := range ends {
		calls := map[string]func(context.Context, *site) error{
			"Publish": func(ctx context.Context, s *site) error {
				_, err := s.Publish(ctx, s.request(""))
				return err
			},
			"OfflineVersion": func(ctx context.Context, s *site) error {
				_, err := s.OfflineVersion(ctx, s.api, "v1")
				return err
			},
			"Rollback": func(ctx context.Context, s *site) error {
				_, err := s.Rollback(ctx, s.api, EnvRelease)
				return err
			},
			"Settle": func(ctx context.Context, s *site) error {
				_, err := s.Settle(ctx, &UnknownError{Op: "Publish", APIID: s.api, EnvID: EnvRelease, SentAt: time.Now()})
				return err
			},
			"PublishBatch": func(ctx context.Context, s *site) error {
				_, err := s.PublishBatch(ctx, BatchRequest{APIIDs: []string{s.api, s.AddAPI("another")}, EnvID: EnvRelease})
				return err
			},
		}
		for method, call := range calls {
			virtually(t, name+" in "+method, func(t *testing.T) {
				ends := true
				s := newSite(t, authBy(authFunc(func(r *http.Request) error {
					if ends {
						end()
					}
					return nil
				})))
				var err error
				if attempt(func() { err = call(t.Context(), s) }) {
					require.Equal(t, "PublishBatch, a Goexit", method+", "+name, "only the goroutine of a batch can end alone")
					require.ErrorIs(t, err, ErrOutcomeUnknown, "nobody knows how far it had come")
				}
				ends = false
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err = s.Publish(ctx, s.request("the next"))
				require.ErrorIs(t, err, ErrUnauthorized, "its turn has come")
			})
		}
	}
	virtually(t, "what may have been applied stays another call's", func(t *testing.T) {
		panics := true
		s := newSite(t, logTo(slog.New(panicking{slog.DiscardHandler, &panics})))
		require.False(t, attempt(func() { _, _ = s.Publish(t.Context(), s.request("1.4.2")) }))
		require.Len(t, s.Journal(), 1)
		panics = false
		time.Sleep(time.Second)
		s.Inject(apigtest.CloseBefore().On(apigtest.OpAction))
		record, err := s.Publish(t.Context(), s.request("1.4.2"))
		assertOpen(t, record, err)
	})
}

// panicking is a log handler that panics for as long as it is told to.
type panicking struct {
	slog.Handler
	panics *bool
}

func (p panicking) Enabled(context.Context, slog.Level) bool { return *p.panics }
func (panicking) Handle(context.Context, slog.Record) error  { panic("boom") }
