package apig

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var stagedRequest = ActionRequest{APIID: testAPI, EnvID: EnvRelease, Remark: "1.4.2"}

// TestLooks has the exact times at which the history is read.
func TestLooks(t *testing.T) {
	t.Parallel()
	three := []time.Duration{250 * ms, 500 * ms, 1 * sec}
	doubled := []time.Duration{500 * ms, 1 * sec, 2 * sec}
	for name, r := range map[string]struct {
		fault cue
		looks []time.Duration
	}{
		"broken":                      {breaks, three},
		"cut":                         {answers(201, `{"publish_id":`), three},
		"502":                         {answers(502, gatewayPage), three},
		"503 of the front gateway":    {answers(503, `{"error_code":"APIGW.0613"}`), three},
		"503 of something in between": {answers(503, `{"code":503,"message":"no healthy upstream"}`), three},
		"500 without a code":          {answers(500, ``), three},
		"504":                         {answers(504, gatewayPage), doubled},
		"408":                         {answers(408, ``), doubled},
		"500 of the service":          {answers(500, syncBody), []time.Duration{0}},
		"a refusal":                   {answers(400, parameterBody), nil},
		"throttled":                   {throttles(""), nil},
	} {
		timed(t, name, func(t *testing.T) {
			s := (&stage{}).on(kindOnline, r.fault)
			c := newStaged(t, s, attempts(1))
			start := time.Now()
			_, err := c.Publish(context.Background(), stagedRequest)
			require.Error(t, err)
			require.NotErrorIs(t, err, ErrOutcomeUnknown)
			assert.Equal(t, r.looks, s.times(kindHistory, start))
		})
	}
	timed(t, "no more once it is found", func(t *testing.T) {
		s := (&stage{}).on(kindOnline, breaksThenPlays(300*ms))
		start := time.Now()
		_, err := newStaged(t, s).Publish(context.Background(), stagedRequest)
		require.NoError(t, err)
		assert.Equal(t, three[:2], s.times(kindHistory, start))
	})
}

// TestAppliedLate applies a request after its client has given up on it. What
// is in time for the last look is found. What comes later makes a second
// version: the documented limit.
func TestAppliedLate(t *testing.T) {
	t.Parallel()
	late := func(status int, body string, after time.Duration) cue {
		return func(r *http.Request, play func() *http.Response) (*http.Response, error) {
			time.AfterFunc(after, func() { play() })
			return stageAnswer(r, status, body), nil
		}
	}
	for name, r := range map[string]struct {
		fault cue
		made  int
	}{
		"before the first look":               {breaksThenPlays(100 * ms), 1},
		"before the second":                   {breaksThenPlays(300 * ms), 1},
		"just before the last":                {breaksThenPlays(1*sec - 1), 1},
		"after the last":                      {breaksThenPlays(1*sec + 1), 2},
		"after 502":                           {late(502, gatewayPage, 900*ms), 1},
		"after 503 of something in between":   {late(503, `{"code":503,"message":"no healthy upstream"}`, 900*ms), 1},
		"after 503 of the front gateway":      {late(503, `{"error_code":"APIG.0613"}`, 900*ms), 1},
		"after 504, for twice as long":        {late(504, gatewayPage, 2*sec-1), 1},
		"after 408, for twice as long":        {late(408, "", 2*sec-1), 1},
		"after 504, for longer":               {late(504, gatewayPage, 2*sec+1), 2},
		"after our timeout, twice as long":    {hangsThenPlays(10*sec + 2*sec - 1), 1},
		"after our timeout, longer":           {hangsThenPlays(10*sec + 2*sec + 1), 2},
		"after a success that broke off":      {late(201, `{"publish_id":`, 900*ms), 1},
		"after a success without a body":      {late(201, ``, 900*ms), 1},
		"after a redirect that looks like it": {late(200, gatewayPage, 900*ms), 1},
	} {
		timed(t, name, func(t *testing.T) {
			s := (&stage{}).on(kindOnline, r.fault)
			c := newStaged(t, s, func(cfg *Config) { cfg.AttemptTimeout = 10 * sec })
			record, err := c.Publish(context.Background(), stagedRequest)
			require.NoError(t, err)
			time.Sleep(time.Minute)
			assert.Equal(t, r.made, s.published())
			assert.Equal(t, r.made == 1, record.Recovered)
		})
	}
}

// TestEdgeOfSecond loses the answer at every twentieth of a second: the Date
// and the history have whole seconds only.
func TestEdgeOfSecond(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]struct {
		skew     time.Duration // of Date
		transit  time.Duration // of the history
		recovers bool
	}{
		"one clock":                   {recovers: true},
		"a slow history":              {transit: 3 * sec, recovers: true},
		"Date a second ahead":         {skew: 1 * sec, recovers: true},
		"Date three seconds ahead":    {skew: 3 * sec},
		"Date ten seconds ahead":      {skew: 10 * sec},
		"Date three seconds behind":   {skew: -3 * sec, recovers: true},
		"Date behind, a slow history": {skew: -3 * sec, transit: 900 * ms, recovers: true},
	} {
		for step := range 20 {
			timed(t, fmt.Sprintf("%s, at %d/20", name, step), func(t *testing.T) {
				time.Sleep(time.Duration(step) * sec / 20)
				s := &stage{ahead: 8 * time.Hour, dateSkew: r.skew}
				s.on(kindOnline, playsThenBreaks)
				s.on(kindHistory, times(9, alters(func(*http.Response) { time.Sleep(r.transit) }))...)
				record, err := newStaged(t, s).Publish(context.Background(), stagedRequest)
				assert.Equal(t, 1, s.published(), "never repeated")
				if !r.recovers {
					require.ErrorIs(t, err, ErrOutcomeUnknown)
					return
				}
				require.NoError(t, err)
				assert.True(t, record.Recovered)
			})
		}
	}
}

// TestStartOfUnknown has what the search begins with: the first attempt whose
// outcome is unknown, and not a wait before it.
func TestStartOfUnknown(t *testing.T) {
	t.Parallel()
	timed(t, "waiting out a 429 does not count", func(t *testing.T) {
		s := &stage{}
		s.on(kindOnline, throttles("20"), breaks)
		time.AfterFunc(1*sec, func() { s.somebody(stagedRequest.Remark, 1) })
		record, err := newStaged(t, s).Publish(context.Background(), stagedRequest)
		require.NoError(t, err)
		assert.False(t, record.Recovered, "that was somebody else")
		assert.Equal(t, 1, s.published())
	})
	timed(t, "nor does the limiter", func(t *testing.T) {
		s := &stage{}
		s.on(kindOnline, breaks)
		time.AfterFunc(1*sec, func() { s.somebody(stagedRequest.Remark, 1) })
		first := true
		c := newStaged(t, s, limitedBy(limiterFunc(func(context.Context) error {
			if first {
				time.Sleep(20 * sec)
			}
			first = false
			return nil
		})))
		record, err := c.Publish(context.Background(), stagedRequest)
		require.NoError(t, err)
		assert.False(t, record.Recovered, "that was somebody else")
		assert.Equal(t, 1, s.published())
	})
	timed(t, "an earlier attempt may have done it", func(t *testing.T) {
		s := (&stage{}).on(kindOnline, breaksThenPlays(1500*ms), breaks)
		c := newStaged(t, s, policy(RetryPolicy{MinWait: 6 * sec}))
		record, err := c.Publish(context.Background(), stagedRequest)
		require.NoError(t, err)
		assert.True(t, record.Recovered)
		assert.Equal(t, 1, s.published())
	})
}

// TestContextEndsWhileSettling ends the context at each point of it.
func TestContextEndsWhileSettling(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]struct {
		fault   cue
		after   time.Duration // of the call
		reads   int
		found   bool
		elapsed time.Duration
	}{
		"cancelled before the first look":  {breaks, 100 * ms, 0, false, 100 * ms},
		"cancelled before the second":      {breaks, 300 * ms, 1, false, 300 * ms},
		"cancelled before the last":        {breaks, 900 * ms, 2, false, 900 * ms},
		"cancelled with the answer":        {playsThenBreaks, 0, 0, false, 0},
		"deadline before the first look":   {breaks, -100 * ms, 1, false, 0},
		"deadline before it, but applied":  {playsThenBreaks, -100 * ms, 1, true, 0},
		"deadline before the last":         {breaks, -900 * ms, 3, false, 500 * ms},
		"deadline before it, but just now": {breaksThenPlays(400 * ms), -900 * ms, 2, true, 500 * ms},
	} {
		timed(t, name, func(t *testing.T) {
			s := (&stage{}).on(kindOnline, r.fault)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			switch {
			case r.after < 0:
				ctx, cancel = context.WithTimeout(ctx, -r.after)
				defer cancel()
			case r.after == 0:
				s.cues[kindOnline][0] = r.fault.after(cancel)
			default:
				time.AfterFunc(r.after, cancel)
			}
			start := time.Now()
			record, err := newStaged(t, s).Publish(ctx, stagedRequest)
			assert.Equal(t, r.elapsed, time.Since(start))
			assert.Len(t, s.times(kindHistory, start), r.reads)
			if r.found {
				require.NoError(t, err)
				assert.True(t, record.Recovered)
				return
			}
			require.ErrorIs(t, err, ErrOutcomeUnknown)
			assert.Equal(t, ctx.Err() != nil, errors.Is(err, context.Canceled), "it holds the end of the context")
			assert.Equal(t, r.after < 0, errors.Is(err, context.DeadlineExceeded), "or the one that comes too soon")
			assert.Equal(t, 1, len(s.times(kindOnline, start)), "never repeated")
		})
	}
}

// TestHistoryThrottled has a history that asks for time: given if there is
// reason to, within MaxWait.
func TestHistoryThrottled(t *testing.T) {
	t.Parallel()
	timed(t, "for a while", func(t *testing.T) {
		s := (&stage{}).on(kindOnline, playsThenBreaks).on(kindHistory, throttles("15"))
		start := time.Now()
		record, err := newStaged(t, s).Publish(context.Background(), stagedRequest)
		require.NoError(t, err)
		assert.True(t, record.Recovered)
		assert.Equal(t, []time.Duration{250 * ms, 15250 * ms}, s.times(kindHistory, start))
	})
	timed(t, "for too long", func(t *testing.T) {
		s := (&stage{}).on(kindOnline, playsThenBreaks).on(kindHistory, throttles("21"))
		start := time.Now()
		_, err := newStaged(t, s).Publish(context.Background(), stagedRequest)
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		require.NotErrorIs(t, err, ErrThrottled)
		assert.Equal(t, 250*ms, time.Since(start))
	})
	timed(t, "for longer than the context", func(t *testing.T) {
		s := (&stage{}).on(kindOnline, playsThenBreaks).on(kindHistory, throttles("15"))
		ctx, cancel := context.WithTimeout(context.Background(), 10*sec)
		defer cancel()
		start := time.Now()
		_, err := newStaged(t, s).Publish(ctx, stagedRequest)
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		require.NotErrorIs(t, err, ErrThrottled)
		assert.Equal(t, 250*ms, time.Since(start))
	})
}

// TestHistoryPages reads a history that comes in pages of two. What matters is
// on the last one.
func TestHistoryPages(t *testing.T) {
	t.Parallel()
	timed(t, "ours", func(t *testing.T) {
		s := &stage{perPage: 2}
		s.on(kindOnline, playsThenBreaks)
		s.on(kindHistory, plays.after(func() { s.somebody("other", 4) }))
		record, err := newStaged(t, s).Publish(context.Background(), stagedRequest)
		require.NoError(t, err)
		assert.True(t, record.Recovered)
		assert.Equal(t, "v1", record.VersionID)
		var queries []string
		for _, r := range s.seen {
			if r.kind == kindHistory {
				queries = append(queries, r.query)
			}
		}
		const env = "env_id=" + EnvRelease + "&limit=500&offset="
		assert.Equal(t, []string{env + "0", env + "2", env + "4"}, queries)
	})
	timed(t, "a doubtful one", func(t *testing.T) {
		s := &stage{perPage: 2}
		s.somebody(stagedRequest.Remark, 1)
		time.Sleep(6 * sec)
		s.on(kindOnline, breaks)
		s.on(kindHistory, plays.after(func() { s.somebody("other", 4) }))
		_, err := newStaged(t, s).Publish(context.Background(), stagedRequest)
		require.ErrorIs(t, err, ErrOutcomeUnknown)
	})
	timed(t, "a page that is missing", func(t *testing.T) {
		s := &stage{perPage: 2}
		s.somebody("other", 3)
		s.on(kindOnline, breaks)
		s.on(kindHistory, plays, answers(200, `{"total":3,"size":0,"api_versions":[]}`))
		_, err := newStaged(t, s).Publish(context.Background(), stagedRequest)
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		assert.ErrorContains(t, err, "2 of its 3 rows")
	})
}

// TestContestedForAWhile publishes again after a publish that stayed unknown:
// soon after, a version cannot be told from the earlier one's; later it can.
func TestContestedForAWhile(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]struct {
		pause   time.Duration
		second  cue
		unknown bool
	}{
		"lost, at once":                 {0, breaks, true},
		"lost, in ten seconds":          {10 * sec, breaks, true},
		"lost, in half a minute":        {30 * sec, breaks, false}, // the first one's version is too old
		"lost, in an hour":              {time.Hour, breaks, false},
		"answer lost, at once":          {0, playsThenBreaks, true},
		"answer lost, in half a minute": {30 * sec, playsThenBreaks, true}, // it may be the first one's, applied late
		"answer lost, in two minutes":   {2 * time.Minute, playsThenBreaks, false},
	} {
		timed(t, name, func(t *testing.T) {
			s := &stage{}
			s.on(kindOnline, playsThenBreaks)
			s.on(kindHistory, answers(403, noPermissionBody))
			c := newStaged(t, s)
			_, err := c.Publish(context.Background(), stagedRequest)
			require.ErrorIs(t, err, ErrOutcomeUnknown)
			time.Sleep(r.pause)
			s.on(kindOnline, r.second)
			_, err = c.Publish(context.Background(), stagedRequest)
			assert.Equal(t, r.unknown, errors.Is(err, ErrOutcomeUnknown))
			if !r.unknown {
				require.NoError(t, err)
				assert.Equal(t, 2, s.published())
			}
		})
	}
	timed(t, "applied late, into the next call", func(t *testing.T) {
		s := &stage{}
		s.on(kindOnline, breaksThenPlays(1500*ms))
		s.on(kindHistory, answers(403, noPermissionBody))
		c := newStaged(t, s)
		_, err := c.Publish(context.Background(), stagedRequest)
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		time.Sleep(1 * sec)
		s.on(kindOnline, breaks)
		_, err = c.Publish(context.Background(), stagedRequest)
		require.ErrorIs(t, err, ErrOutcomeUnknown, "it is the first one's")
	})
}

// TestTurnsAreForgottenInTime has a client that publishes in many places, once.
func TestTurnsAreForgottenInTime(t *testing.T) {
	t.Parallel()
	timed(t, "one minute", func(t *testing.T) {
		c := newStaged(t, &stage{})
		places := func() int {
			c.turns.mu.Lock()
			defer c.turns.mu.Unlock()
			return len(c.turns.at)
		}
		for i := range 100 {
			other, err := c.Instance(fmt.Sprint(i))
			require.NoError(t, err)
			_, err = other.Publish(context.Background(), stagedRequest)
			require.NoError(t, err)
		}
		assert.Equal(t, 100, places())
		time.Sleep(remembered + sec)
		_, err := c.Publish(context.Background(), stagedRequest)
		require.NoError(t, err)
		assert.Equal(t, 1, places())
	})
}

// TestOfflineTimed has the rules for a withdrawal that depend on the time.
func TestOfflineTimed(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]struct {
		ago     time.Duration
		unknown bool
	}{
		"published an hour ago":      {time.Hour, false},
		"published four seconds ago": {4 * sec, false},
		"published a second ago":     {1 * sec, true},
		"published just now":         {0, true},
	} {
		for step := range 10 {
			timed(t, fmt.Sprintf("%s, at %d/10", name, step), func(t *testing.T) {
				time.Sleep(time.Duration(step) * sec / 10)
				s := &stage{ahead: -3 * time.Hour}
				s.somebody("theirs", 1)
				time.Sleep(r.ago)
				s.on(kindOffline, breaks)
				record, err := newStaged(t, s).Offline(context.Background(), stagedRequest)
				if r.unknown {
					require.ErrorIs(t, err, ErrOutcomeUnknown)
					assert.True(t, s.versions[0].inEffect)
					return
				}
				require.NoError(t, err)
				assert.False(t, record.Recovered)
				assert.False(t, s.versions[0].inEffect)
			})
		}
	}
	timed(t, "published while it was under way", func(t *testing.T) {
		s := &stage{}
		s.somebody("theirs", 1)
		time.Sleep(time.Minute)
		s.on(kindOffline, playsThenBreaks)
		time.AfterFunc(100*ms, func() { s.somebody("theirs again", 1) })
		_, err := newStaged(t, s).Offline(context.Background(), stagedRequest)
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		assert.True(t, s.versions[1].inEffect, "that stays")
	})
	timed(t, "applied late", func(t *testing.T) {
		s := &stage{}
		s.somebody("theirs", 1)
		time.Sleep(time.Minute)
		s.on(kindOffline, breaksThenPlays(700*ms))
		record, err := newStaged(t, s).Offline(context.Background(), stagedRequest)
		require.NoError(t, err)
		assert.True(t, record.Recovered)
		assert.Len(t, s.times(kindOffline, time.Now()), 1)
	})
}
