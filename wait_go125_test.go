package apig

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

// throttles answers 429 with a Retry-After, unless that is empty.
func throttles(retryAfter string) cue {
	const body = `{"error_code":"APIGW.0308","error_msg":"too many requests"}`
	if retryAfter == "" {
		return answers(429, body)
	}
	return answers(429, body, "Retry-After", retryAfter)
}

// timed runs a test on a clock of its own, which begins at the full hour.
func timed(t *testing.T, name string, test func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, test)
	})
}

// TestWaits has the exact times at which the attempts of one call are made.
func TestWaits(t *testing.T) {
	t.Parallel()
	hour := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when the clock of synctest begins
	for name, r := range map[string]struct {
		cues   []cue
		policy RetryPolicy     // zero: from 1 s to 20 s
		jitter bool            // all of it; otherwise none
		at     []time.Duration // the attempts
		end    time.Duration   // of the call, if not at the last of them
		err    error
	}{
		"no jitter":            {cues: times(3, throttles("")), at: []time.Duration{0, 1 * sec, 2 * sec, 3 * sec}},
		"all jitter":           {cues: times(3, throttles("")), jitter: true, at: []time.Duration{0, 2 * sec, 6 * sec, 14 * sec}},
		"up to MaxWait":        {cues: times(3, throttles("")), jitter: true, policy: RetryPolicy{MinWait: 2 * sec, MaxWait: 5 * sec}, at: []time.Duration{0, 4 * sec, 9 * sec, 14 * sec}},
		"the defaults":         {cues: times(3, throttles("")), jitter: true, policy: RetryPolicy{MaxAttempts: 4}, at: []time.Duration{0, 500 * ms, 1500 * ms, 3500 * ms}},
		"no more than allowed": {cues: times(9, throttles("")), at: []time.Duration{0, 1 * sec, 2 * sec, 3 * sec}, err: ErrThrottled},
		"two attempts":         {cues: times(9, throttles("")), policy: RetryPolicy{MaxAttempts: 2, MinWait: sec}, at: []time.Duration{0, 1 * sec}, err: ErrThrottled},
		"one attempt":          {cues: times(9, throttles("3")), policy: RetryPolicy{MaxAttempts: 1}, at: []time.Duration{0}, err: ErrThrottled},

		"Retry-After":                      {cues: times(1, throttles("7")), jitter: true, at: []time.Duration{0, 7 * sec}},
		"Retry-After below MinWait":        {cues: times(1, throttles("1")), policy: RetryPolicy{MinWait: 5 * sec}, at: []time.Duration{0, 1 * sec}},
		"Retry-After twice":                {cues: []cue{throttles("7"), throttles("2")}, at: []time.Duration{0, 7 * sec, 9 * sec}},
		"Retry-After as long as MaxWait":   {cues: times(1, throttles("20")), at: []time.Duration{0, 20 * sec}},
		"Retry-After longer than MaxWait":  {cues: times(1, throttles("21")), at: []time.Duration{0}, err: ErrThrottled},
		"Retry-After of centuries":         {cues: times(1, throttles("99999999999999999999")), at: []time.Duration{0}, err: ErrThrottled},
		"Retry-After longer, later":        {cues: []cue{throttles(""), throttles("21")}, at: []time.Duration{0, 1 * sec}, err: ErrThrottled},
		"Retry-After 0":                    {cues: times(1, throttles("0")), at: []time.Duration{0, 1 * sec}},
		"Retry-After negative":             {cues: times(1, throttles("-5")), at: []time.Duration{0, 1 * sec}},
		"Retry-After unreadable":           {cues: times(1, throttles("soon")), at: []time.Duration{0, 1 * sec}},
		"Retry-After as a date":            {cues: times(1, throttles(hour.Add(9*sec).Format(http.TimeFormat))), at: []time.Duration{0, 9 * sec}},
		"Retry-After as a date gone by":    {cues: times(1, throttles(hour.Add(-sec).Format(http.TimeFormat))), at: []time.Duration{0, 1 * sec}},
		"Retry-After as a date far off":    {cues: times(1, throttles(hour.Add(time.Hour).Format(http.TimeFormat))), at: []time.Duration{0}, err: ErrThrottled},
		"Retry-After on the other's clock": {cues: times(1, answers(429, "", "Retry-After", hour.Add(5*time.Hour+9*sec).Format(http.TimeFormat), "Date", hour.Add(5*time.Hour).Format(http.TimeFormat))), at: []time.Duration{0, 9 * sec}},
		"Retry-After of a conflict":        {cues: times(1, answers(409, `{"error_code":"APIC.7712"}`, "Retry-After", "4")), at: []time.Duration{0, 4 * sec}},
		"Retry-After of what is final":     {cues: times(1, answers(403, noPermissionBody, "Retry-After", "4")), at: []time.Duration{0}, err: ErrForbidden},

		"nothing was sent":                   {cues: times(2, unsent(errRefused)), at: []time.Duration{0, 1 * sec, 2 * sec}},
		"new credentials are not waited for": {cues: times(9, answers(401, tokenBody)), at: []time.Duration{0, 0}, err: ErrUnauthorized},

		// Settling takes a second, which is part of the wait.
		"settled within the wait":       {cues: times(1, breaks), policy: RetryPolicy{MinWait: 3 * sec}, at: []time.Duration{0, 3 * sec}},
		"settled for as long":           {cues: times(1, breaks), policy: RetryPolicy{MinWait: 1 * sec}, at: []time.Duration{0, 1 * sec}},
		"settled for longer":            {cues: times(1, breaks), policy: RetryPolicy{MinWait: 200 * ms}, at: []time.Duration{0, 1 * sec}},
		"settled twice":                 {cues: times(2, breaks), policy: RetryPolicy{MinWait: 3 * sec}, at: []time.Duration{0, 3 * sec, 6 * sec}},
		"settled, Retry-After":          {cues: times(1, answers(503, "", "Retry-After", "6")), at: []time.Duration{0, 6 * sec}},
		"settled, Retry-After too long": {cues: times(1, answers(503, "", "Retry-After", "60")), at: []time.Duration{0}, end: 1 * sec, err: ErrServer},
		"settled, one attempt":          {cues: times(1, breaks), policy: RetryPolicy{MaxAttempts: 1}, at: []time.Duration{0}, end: 1 * sec, err: errors.ErrUnsupported},
	} {
		timed(t, name, func(t *testing.T) {
			s := (&stage{}).on(kindOnline, r.cues...)
			c := newStaged(t, s, func(cfg *Config) {
				if r.policy != (RetryPolicy{}) {
					cfg.Retry = r.policy
				}
			})
			if r.jitter {
				c.jitter = func(n int64) int64 { return n }
			}
			if name == "new credentials are not waited for" {
				c.auth = &renewer{}
			}
			start := time.Now()
			_, err := c.Publish(context.Background(), testRequest)
			assert.Equal(t, max(r.end, r.at[len(r.at)-1]), time.Since(start))
			assert.Equal(t, r.at, s.times(kindOnline, start))
			switch {
			case r.err == nil:
				require.NoError(t, err)
				assert.Equal(t, 1, s.published())
			case r.err == errors.ErrUnsupported: // any
				require.Error(t, err)
			default:
				require.ErrorIs(t, err, r.err)
			}
			require.NotErrorIs(t, err, ErrOutcomeUnknown)
			if r.err == ErrThrottled {
				var e *APIGError
				require.ErrorAs(t, err, &e)
				assert.Equal(t, len(r.at), e.Attempts)
			}
		})
	}
}

// TestRetryAfterInError has what the caller needs to wait on his own.
func TestRetryAfterInError(t *testing.T) {
	t.Parallel()
	timed(t, "seconds", func(t *testing.T) {
		c := newStaged(t, (&stage{}).on(kindOnline, throttles("90")))
		_, err := c.Publish(context.Background(), testRequest)
		var e *APIGError
		require.ErrorAs(t, err, &e)
		assert.Equal(t, 90*sec, e.RetryAfter)
		assert.ErrorContains(t, err, "retry after 1m30s")
	})
}

// TestDeadlineBeforeWait returns at once when the context would end before the
// wait does.
func TestDeadlineBeforeWait(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]struct {
		cues []cue
		end  time.Duration
		is   error
		as   bool
		not  error
	}{
		"after a throttled attempt": {cues: times(1, throttles("7")), is: ErrThrottled, as: true, not: ErrOutcomeUnknown},
		"after a second one":        {cues: []cue{throttles("3"), throttles("7")}, end: 3 * sec, is: ErrThrottled, as: true, not: ErrOutcomeUnknown},
		"after nothing was sent":    {cues: []cue{throttles("4"), unsent(errRefused)}, end: 4 * sec, is: errRefused, not: ErrOutcomeUnknown},
		"after it was settled":      {cues: times(1, answers(503, "", "Retry-After", "9")), end: 1 * sec, is: ErrServer, as: true, not: ErrOutcomeUnknown},
	} {
		timed(t, name, func(t *testing.T) {
			s := (&stage{}).on(kindOnline, r.cues...)
			c := newStaged(t, s)
			ctx, cancel := context.WithTimeout(context.Background(), 5*sec-1)
			defer cancel()
			start := time.Now()
			_, err := c.Publish(ctx, testRequest)
			assert.Equal(t, r.end, time.Since(start))
			require.NoError(t, ctx.Err(), "there was time left")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, r.is)
			require.NotErrorIs(t, err, r.not)
			var e *APIGError
			assert.Equal(t, r.as, errors.As(err, &e))
			assert.NotContains(t, err.Error(), "\n")
			assert.Zero(t, s.published())
		})
	}
	timed(t, "not if it ends later", func(t *testing.T) {
		c := newStaged(t, (&stage{}).on(kindOnline, throttles("7")))
		ctx, cancel := context.WithTimeout(context.Background(), 7*sec+1)
		defer cancel()
		_, err := c.Publish(ctx, testRequest)
		require.NoError(t, err)
	})
}

// TestCancelDuringWait returns as soon as the caller does not want to wait any
// more.
func TestCancelDuringWait(t *testing.T) {
	t.Parallel()
	timed(t, "after a throttled attempt", func(t *testing.T) {
		s := (&stage{}).on(kindOnline, throttles("10"))
		c := newStaged(t, s)
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(3*sec, cancel)
		start := time.Now()
		_, err := c.Publish(ctx, testRequest)
		assert.Equal(t, 3*sec, time.Since(start))
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, ErrThrottled)
		require.NotErrorIs(t, err, ErrOutcomeUnknown)
		assert.EqualError(t, err, "apig: Publish API "+testAPI+": context canceled; before that: "+
			"429 Too Many Requests, APIGW.0308: too many requests (retry after 10s)")
	})
	timed(t, "after a lost one", func(t *testing.T) {
		s := (&stage{}).on(kindOnline, answers(503, "", "Retry-After", "10"))
		c := newStaged(t, s)
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(3*sec, cancel)
		_, err := c.Publish(ctx, testRequest)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, ErrOutcomeUnknown, "it was settled before the wait")
		assert.Zero(t, s.published())
	})
	timed(t, "before anything", func(t *testing.T) {
		s := &stage{}
		c := newStaged(t, s)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := c.Publish(ctx, testRequest)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, ErrOutcomeUnknown)
		assert.Empty(t, s.requests())
	})
}

// TestAttemptTimeoutExact bounds an attempt, and with it a call without a deadline.
func TestAttemptTimeoutExact(t *testing.T) {
	t.Parallel()
	timed(t, "the default", func(t *testing.T) {
		s := (&stage{}).on(kindOnline, hangs)
		c := newStaged(t, s)
		start := time.Now()
		_, err := c.Publish(context.Background(), testRequest)
		require.NoError(t, err)
		// Settling takes twice as long as usual, since nobody said no.
		assert.Equal(t, []time.Duration{0, 62 * sec}, s.times(kindOnline, start))
		assert.Equal(t, []time.Duration{60500 * ms, 61 * sec, 62 * sec}, s.times(kindHistory, start))
	})
	timed(t, "of all attempts", func(t *testing.T) {
		s := (&stage{}).on(kindOnline, times(9, hangs)...).on(kindHistory, times(99, hangs)...)
		c := newStaged(t, s, func(cfg *Config) { cfg.AttemptTimeout = 5 * sec })
		start := time.Now()
		_, err := c.Publish(context.Background(), testRequest)
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		// 12 attempts to read the history, with a second between them.
		assert.Equal(t, 5*sec+500*ms+12*5*sec+11*sec, time.Since(start))
	})
	timed(t, "the body is part of it", func(t *testing.T) {
		s := (&stage{}).on(kindOnline, func(r *http.Request, play func() *http.Response) (*http.Response, error) {
			resp := play()
			resp.Body = stuck{r.Context()}
			return resp, nil
		})
		c := newStaged(t, s, func(cfg *Config) { cfg.AttemptTimeout = 5 * sec })
		start := time.Now()
		record, err := c.Publish(context.Background(), testRequest)
		require.NoError(t, err)
		assert.True(t, record.Recovered)
		assert.Equal(t, 5*sec+250*ms, time.Since(start))
	})
	timed(t, "the caller's deadline", func(t *testing.T) {
		s := (&stage{}).on(kindOnline, hangs)
		c := newStaged(t, s)
		ctx, cancel := context.WithTimeout(context.Background(), 7*sec)
		defer cancel()
		start := time.Now()
		_, err := c.Publish(ctx, testRequest)
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 7*sec, time.Since(start))
		assert.Equal(t, []string{kindOnline}, s.requests(), "nothing more is read")
	})
}

// stuck is a body that never comes.
type stuck struct{ ctx context.Context }

func (s stuck) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, s.ctx.Err() }
func (s stuck) Close() error             { return nil }

// TestLimiter has a limiter that is asked before each request of a call, and
// whose no is the end of it.
func TestLimiter(t *testing.T) {
	t.Parallel()
	errNo := errors.New("no more today")
	timed(t, "before each attempt", func(t *testing.T) {
		var asked []time.Duration
		start := time.Now()
		s := (&stage{}).on(kindOnline, throttles("3"), breaks, playsThenBreaks).on(kindHistory, throttles("2"))
		c := newStaged(t, s, limitedBy(limiterFunc(func(context.Context) error {
			asked = append(asked, time.Since(start))
			return nil
		})))
		record, err := c.Publish(context.Background(), testRequest)
		require.NoError(t, err)
		assert.True(t, record.Recovered)
		var sent []time.Duration
		for _, r := range s.seen {
			sent = append(sent, r.at.Sub(start))
		}
		assert.Equal(t, sent, asked)
		assert.Contains(t, s.requests(), kindRuntime)
	})
	for name, r := range map[string]struct {
		cues    []cue
		allowed int
		sent    []string
		unknown bool
	}{
		"at the first attempt":  {allowed: 0, sent: []string{}},
		"at the second":         {cues: times(1, throttles("")), allowed: 1, sent: []string{kindOnline}},
		"after it was settled":  {cues: times(1, breaks), allowed: 4, sent: []string{kindOnline, kindHistory, kindHistory, kindHistory}},
		"while it is settled":   {cues: times(1, breaks), allowed: 2, sent: []string{kindOnline, kindHistory}, unknown: true},
		"before it is settled":  {cues: times(1, playsThenBreaks), allowed: 1, sent: []string{kindOnline}, unknown: true},
		"at the runtime's read": {cues: times(1, playsThenBreaks), allowed: 2, sent: []string{kindOnline, kindHistory}},
	} {
		timed(t, "says no "+name, func(t *testing.T) {
			s := (&stage{}).on(kindOnline, r.cues...)
			asked := 0
			c := newStaged(t, s, limitedBy(limiterFunc(func(context.Context) error {
				if asked++; asked > r.allowed {
					return errNo
				}
				return nil
			})))
			record, err := c.Publish(context.Background(), testRequest)
			assert.Equal(t, r.allowed+1, asked, "no is no")
			assert.Equal(t, r.sent, s.requests())
			switch {
			case name == "at the runtime's read":
				require.NoError(t, err)
				assert.Empty(t, record.PublishID)
			case r.unknown:
				require.ErrorIs(t, err, ErrOutcomeUnknown)
				require.NotErrorIs(t, err, errNo, "the cause is the attempt, not the look")
				assert.ErrorContains(t, err, errNo.Error())
			default:
				require.ErrorIs(t, err, errNo)
				require.NotErrorIs(t, err, ErrOutcomeUnknown)
				assert.ErrorContains(t, err, "limiter: no more today")
			}
		})
	}
	timed(t, "blocks until the context ends", func(t *testing.T) {
		s := &stage{}
		c := newStaged(t, s, limitedBy(limiterFunc(func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})))
		ctx, cancel := context.WithTimeout(context.Background(), 4*sec)
		defer cancel()
		start := time.Now()
		_, err := c.Publish(ctx, testRequest)
		assert.Equal(t, 4*sec, time.Since(start))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, ErrOutcomeUnknown)
		assert.Empty(t, s.requests())
	})
}
