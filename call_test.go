package apig

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/internal/random"
)

const (
	syncBody    = `{"error_code":"APIG.3500","error_msg":"Failed to synchronize data to etcd."}`
	gatewayPage = `<html><body><h1>502 Bad Gateway</h1></body></html>`
)

// withHeader is a fault with headers, given as names and values in turns.
func withHeader(f apigtest.Fault, header ...string) apigtest.Fault {
	f.Header = http.Header{}
	for i := 0; i < len(header); i += 2 {
		f.Header.Set(header[i], header[i+1])
	}
	return f
}

// steady is a policy whose waits are a second each.
var steady = RetryPolicy{MinWait: time.Second, MaxWait: time.Second}

// When the attempts of one call are made.
func TestWaitsBetweenAttempts(t *testing.T) {
	const ms, sec = time.Millisecond, time.Second
	seconds := func(n ...int) (all []time.Duration) {
		for _, n := range n {
			all = append(all, time.Duration(n)*sec)
		}
		return all
	}
	hour := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // when the clock of a bubble begins
	throttled, lost := apigtest.Throttle, apigtest.CloseBefore()
	page503 := func(after string) apigtest.Fault { return withHeader(apigtest.Answer(503, ""), "Retry-After", after) }
	one20 := RetryPolicy{MinWait: sec}
	for name, r := range map[string]struct {
		faults  []apigtest.Fault
		policy  RetryPolicy
		longest bool            // the longest waits that chance gives; otherwise the shortest
		at      []time.Duration // the attempts
		end     time.Duration   // of the call, if not at the last of them
		is      error
	}{
		"the shortest":         {faults: []apigtest.Fault{throttled("").Times(3)}, policy: one20, at: seconds(0, 1, 2, 3)},
		"the longest":          {faults: []apigtest.Fault{throttled("").Times(3)}, policy: one20, longest: true, at: seconds(0, 2, 6, 14)},
		"up to MaxWait":        {faults: []apigtest.Fault{throttled("").Times(3)}, longest: true, policy: RetryPolicy{MinWait: 2 * sec, MaxWait: 5 * sec}, at: seconds(0, 4, 9, 14)},
		"the defaults":         {faults: []apigtest.Fault{throttled("").Times(3)}, longest: true, at: []time.Duration{0, 500 * ms, 1500 * ms, 3500 * ms}},
		"no more than allowed": {faults: []apigtest.Fault{throttled("").Always()}, policy: one20, at: seconds(0, 1, 2, 3), is: ErrThrottled},
		"two attempts":         {faults: []apigtest.Fault{throttled("").Always()}, policy: RetryPolicy{MaxAttempts: 2, MinWait: sec}, at: seconds(0, 1), is: ErrThrottled},
		"one attempt":          {faults: []apigtest.Fault{throttled("3").Always()}, policy: RetryPolicy{MaxAttempts: 1}, at: seconds(0), is: ErrThrottled},

		"Retry-After":                      {faults: []apigtest.Fault{throttled("7")}, longest: true, at: seconds(0, 7)},
		"Retry-After below MinWait":        {faults: []apigtest.Fault{throttled("1")}, policy: RetryPolicy{MinWait: 5 * sec}, at: seconds(0, 1)},
		"Retry-After twice":                {faults: []apigtest.Fault{throttled("7"), throttled("2")}, at: seconds(0, 7, 9)},
		"Retry-After as long as MaxWait":   {faults: []apigtest.Fault{throttled("20")}, at: seconds(0, 20)},
		"Retry-After longer than MaxWait":  {faults: []apigtest.Fault{throttled("21")}, at: seconds(0), is: ErrThrottled},
		"Retry-After of centuries":         {faults: []apigtest.Fault{throttled("99999999999999999999")}, at: seconds(0), is: ErrThrottled},
		"Retry-After longer, later":        {faults: []apigtest.Fault{throttled(""), throttled("21")}, policy: one20, at: seconds(0, 1), is: ErrThrottled},
		"Retry-After 0":                    {faults: []apigtest.Fault{throttled("0")}, policy: one20, at: seconds(0, 1)},
		"Retry-After negative":             {faults: []apigtest.Fault{throttled("-5")}, policy: one20, at: seconds(0, 1)},
		"Retry-After unreadable":           {faults: []apigtest.Fault{throttled("soon")}, policy: one20, at: seconds(0, 1)},
		"Retry-After as a date":            {faults: []apigtest.Fault{throttled(hour.Add(9 * sec).Format(http.TimeFormat))}, at: seconds(0, 9)},
		"Retry-After as a date gone by":    {faults: []apigtest.Fault{throttled(hour.Add(-sec).Format(http.TimeFormat))}, policy: one20, at: seconds(0, 1)},
		"Retry-After as a date far off":    {faults: []apigtest.Fault{throttled(hour.Add(time.Hour).Format(http.TimeFormat))}, at: seconds(0), is: ErrThrottled},
		"Retry-After on the other's clock": {faults: []apigtest.Fault{withHeader(apigtest.Answer(429, ""), "Retry-After", hour.Add(5*time.Hour+9*sec).Format(http.TimeFormat), "Date", hour.Add(5*time.Hour).Format(http.TimeFormat))}, at: seconds(0, 9)},
		"Retry-After of a conflict":        {faults: []apigtest.Fault{withHeader(apigtest.Answer(409, `{"error_code":"APIC.7712"}`), "Retry-After", "4")}, at: seconds(0, 4)},
		"Retry-After of what is final":     {faults: []apigtest.Fault{withHeader(apigtest.Answer(403, noPermissionBody), "Retry-After", "4")}, at: seconds(0), is: ErrForbidden},

		// Settling takes a second, which is part of the wait.
		"settled within the wait":       {faults: []apigtest.Fault{lost}, policy: RetryPolicy{MinWait: 3 * sec}, at: seconds(0, 3)},
		"settled for as long":           {faults: []apigtest.Fault{lost}, policy: one20, at: seconds(0, 1)},
		"settled for longer":            {faults: []apigtest.Fault{lost}, at: seconds(0, 1)},
		"settled twice":                 {faults: []apigtest.Fault{lost.Times(2)}, policy: RetryPolicy{MinWait: 3 * sec}, at: seconds(0, 3, 6)},
		"settled, Retry-After":          {faults: []apigtest.Fault{page503("6")}, at: seconds(0, 6)},
		"settled, Retry-After too long": {faults: []apigtest.Fault{page503("60")}, at: seconds(0), end: sec, is: ErrServer},
		"settled, one attempt":          {faults: []apigtest.Fault{lost}, policy: RetryPolicy{MaxAttempts: 1}, at: seconds(0), end: sec, is: io.EOF},
	} {
		virtually(t, name, func(t *testing.T) {
			defer random.Replace(func(n int64) int64 {
				if r.longest {
					return n - 1
				}
				return 0
			})()
			s := newSite(t, retry(r.policy))
			for _, f := range r.faults {
				s.Inject(f.On(apigtest.OpAction))
			}
			start := time.Now()
			_, err := s.Publish(t.Context(), s.request("1.4.2"))
			assert.Equal(t, max(r.end, r.at[len(r.at)-1]), time.Since(start))
			assert.Equal(t, r.at, s.times(apigtest.OpAction, start))
			require.ErrorIs(t, err, r.is)
			require.NotErrorIs(t, err, ErrOutcomeUnknown)
			if r.is == nil {
				assert.Len(t, s.Journal(), 1)
			} else {
				assert.Empty(t, s.Journal())
			}
			var e *APIGError
			if errors.As(err, &e) {
				assert.Equal(t, len(r.at), e.Attempts)
			}
		})
	}
	virtually(t, "Retry-After is told", func(t *testing.T) {
		s := newSite(t)
		s.Inject(throttled("90"))
		_, err := s.Publish(t.Context(), s.request(""))
		var e *APIGError
		require.ErrorAs(t, err, &e)
		assert.Equal(t, 90*sec, e.RetryAfter)
		assert.ErrorContains(t, err, "retry after 1m30s")
	})
}

// Where the context would end before the wait does, the call returns at once.
func TestDeadlineBeforeWait(t *testing.T) {
	for name, r := range map[string]struct {
		faults []apigtest.Fault
		end    time.Duration
		is     error
	}{
		"after a throttled attempt": {[]apigtest.Fault{apigtest.Throttle("7")}, 0, ErrThrottled},
		"after a second one":        {[]apigtest.Fault{apigtest.Throttle("3"), apigtest.Throttle("7")}, 3 * time.Second, ErrThrottled},
		"after it was settled":      {[]apigtest.Fault{withHeader(apigtest.Answer(503, ""), "Retry-After", "9")}, time.Second, ErrServer},
	} {
		virtually(t, name, func(t *testing.T) {
			s := newSite(t)
			s.Inject(r.faults...)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second-1)
			defer cancel()
			elapsed := took(func() {
				_, err := s.Publish(ctx, s.request(""))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.ErrorIs(t, err, r.is)
				require.NotErrorIs(t, err, ErrOutcomeUnknown)
				require.ErrorAs(t, err, new(*APIGError))
				require.ErrorAs(t, err, new(*CallError))
				assert.NotContains(t, err.Error(), "\n")
			})
			require.NoError(t, ctx.Err(), "there was time left")
			assert.Equal(t, r.end, elapsed)
			assert.Empty(t, s.Journal())
		})
	}
	virtually(t, "not if it ends later", func(t *testing.T) {
		s := newSite(t)
		s.Inject(apigtest.Throttle("7"))
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second+1)
		defer cancel()
		_, err := s.Publish(ctx, s.request(""))
		require.NoError(t, err)
	})
}

// A call returns as soon as its caller does not want to wait any more.
func TestCancelDuringWait(t *testing.T) {
	for name, r := range map[string]struct {
		fault apigtest.Fault
		after time.Duration
		text  string
		sent  int
	}{
		"before anything":       {apigtest.Fault{}, 0, "context canceled", 0},
		"after a throttled one": {apigtest.Throttle("10"), 3 * time.Second, "context canceled; before that: 429 Too Many Requests, APIGW.0308", 1},
		"after a settled one":   {withHeader(apigtest.Answer(503, ""), "Retry-After", "10"), 3 * time.Second, "context canceled; before that: 503 Service Unavailable", 1},
	} {
		virtually(t, name, func(t *testing.T) {
			s := newSite(t)
			s.Inject(r.fault)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if r.after == 0 {
				cancel()
			} else {
				later(r.after, cancel)
			}
			elapsed := took(func() {
				_, err := s.Publish(ctx, s.request(""))
				require.ErrorIs(t, err, context.Canceled)
				require.NotErrorIs(t, err, ErrOutcomeUnknown)
				assert.ErrorContains(t, err, "apig: Publish API "+s.api+": "+r.text)
			})
			assert.Equal(t, r.after, elapsed)
			assert.Equal(t, r.sent, s.requests(apigtest.OpAction))
			assert.Empty(t, s.Journal())
		})
	}
}

// AttemptTimeout bounds one attempt, its body included.
func TestAttemptTimeoutIsExact(t *testing.T) {
	const ms, sec = time.Millisecond, time.Second
	virtually(t, "the default", func(t *testing.T) {
		s := newSite(t, retry(steady))
		s.Inject(apigtest.Hang().On(apigtest.OpAction))
		start := time.Now()
		_, err := s.Publish(t.Context(), s.request(""))
		require.NoError(t, err)
		assert.Equal(t, []time.Duration{0, 62 * sec}, s.times(apigtest.OpAction, start))
		assert.Equal(t, []time.Duration{60500 * ms, 61 * sec, 62 * sec}, s.times(apigtest.OpHistory, start), "for twice as long, since nobody said no")
	})
	virtually(t, "the body is part of it", func(t *testing.T) {
		s := newSite(t, func(cfg *Config) {
			cfg.AttemptTimeout = 5 * sec
			cfg.HTTPClient = &http.Client{Transport: stuckBodies{cfg.HTTPClient.Transport}}
		})
		elapsed := took(func() {
			record, err := s.Publish(t.Context(), s.request(""))
			require.NoError(t, err)
			assert.True(t, record.Recovered)
		})
		assert.Equal(t, 5*sec+250*ms, elapsed)
	})
	virtually(t, "the caller's deadline", func(t *testing.T) {
		s := newSite(t)
		s.Inject(apigtest.Hang().On(apigtest.OpAction))
		ctx, cancel := context.WithTimeout(t.Context(), 7*sec)
		defer cancel()
		elapsed := took(func() {
			record, err := s.Publish(ctx, s.request(""))
			assertOpen(t, record, err)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
		assert.Equal(t, 7*sec, elapsed)
		assert.Zero(t, s.requests(apigtest.OpHistory), "nothing more is read")
	})
	virtually(t, "of a read while settling", func(t *testing.T) {
		s := newSite(t)
		s.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction), apigtest.Hang().On(apigtest.OpHistory))
		elapsed := took(func() {
			_, err := s.Publish(t.Context(), s.request(""))
			require.NoError(t, err)
		})
		assert.Equal(t, 250*ms+patientTimeout, elapsed)
	})
}

// stuckBodies has the bodies of answers to changes never end.
type stuckBodies struct{ http.RoundTripper }

func (b stuckBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil && r.Method == http.MethodPost {
		_ = resp.Body.Close()
		resp.Body, resp.ContentLength = stuck{r.Context()}, -1
	}
	return resp, err
}

type stuck struct{ ctx context.Context }

func (s stuck) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, s.ctx.Err() }
func (s stuck) Close() error             { return nil }

// asking is a limiter that is a function.
type asking func(context.Context) error

func (f asking) Wait(ctx context.Context) error { return f(ctx) }

func limitedBy(f asking) func(*Config) { return func(cfg *Config) { cfg.Limiter = f } }

// The limiter is asked before each request, and its no is the end of the call.
func TestLimiter(t *testing.T) {
	errNo := errors.New("no more today")
	virtually(t, "before each request", func(t *testing.T) {
		var asked []time.Duration
		start := time.Now()
		s := newSite(t, retry(steady), limitedBy(func(context.Context) error {
			asked = append(asked, time.Since(start))
			return nil
		}))
		for _, f := range []apigtest.Fault{apigtest.Throttle("1"), apigtest.CloseBefore(), apigtest.ApplyThenClose()} {
			s.Inject(f.On(apigtest.OpAction))
		}
		record, err := s.Publish(t.Context(), s.request(""))
		require.NoError(t, err)
		assert.True(t, record.Recovered)
		var sent []time.Duration
		for _, r := range s.Gateway.Requests() {
			sent = append(sent, r.Time.Sub(start))
		}
		assert.Equal(t, sent, asked)
		assert.Equal(t, 1, s.requests(apigtest.OpRuntime))
	})
	for name, r := range map[string]struct {
		fault   apigtest.Fault
		allowed int
		outcome Outcome
	}{
		"at the first attempt":  {apigtest.Fault{}, 0, NotApplied},
		"at the second":         {apigtest.Throttle("1"), 1, NotApplied},
		"after it was settled":  {apigtest.CloseBefore(), 4, NotApplied},
		"while it is settled":   {apigtest.CloseBefore(), 3, Unknown},
		"at the runtime's read": {apigtest.ApplyThenClose(), 2, Applied},
	} {
		virtually(t, "says no "+name, func(t *testing.T) {
			asked := 0
			s := newSite(t, retry(steady), limitedBy(func(context.Context) error {
				if asked++; asked > r.allowed {
					return errNo
				}
				return nil
			}))
			s.Inject(r.fault.On(apigtest.OpAction))
			record, err := s.Publish(t.Context(), s.request(""))
			assert.Equal(t, r.outcome.String(), OutcomeOf(err).String())
			assert.Equal(t, r.allowed+1, asked, "no is no")
			assert.Len(t, s.Gateway.Requests(), r.allowed)
			switch r.outcome {
			case Applied:
				assert.Empty(t, record.PublishID)
			case Unknown:
				require.NotErrorIs(t, err, errNo, "the cause is the attempt, not the look")
				assert.ErrorContains(t, err, errNo.Error())
			default:
				require.ErrorIs(t, err, errNo)
				assert.ErrorContains(t, err, "limiter: no more today")
			}
		})
	}
	virtually(t, "blocks until the context ends", func(t *testing.T) {
		s := newSite(t, limitedBy(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }))
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		elapsed := took(func() {
			_, err := s.Publish(ctx, s.request(""))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotErrorIs(t, err, ErrOutcomeUnknown)
		})
		assert.Equal(t, 4*time.Second, elapsed)
		assert.Empty(t, s.Gateway.Requests())
	})
}

// signing is an authenticator without Refresh, as one that signs.
type signing struct{ token string }

func (s *signing) Authenticate(r *http.Request) error {
	r.Header.Set("X-Auth-Token", s.token)
	return nil
}

// renewing is one with Refresh.
type renewing struct {
	signing
	refreshed int
	refuses   bool
}

func (r *renewing) Refresh(rejected *http.Request) bool {
	if rejected.Header.Get("X-Auth-Token") == "" {
		return false // it is not the request that was sent
	}
	r.refreshed++
	return !r.refuses
}

// What is sent after a 401 of each kind.
func TestAttemptsAfterUnauthorized(t *testing.T) {
	expired := apigtest.Answer(401, `{"error_code":"APIG.1001","error_msg":"Session expired"}`)
	signature := apigtest.Answer(401, `{"error_code":"APIGW.0301","error_msg":"verify aksk signature fail"}`)
	for name, r := range map[string]struct {
		auth   Authenticator
		faults []apigtest.Fault
		sent   int
		is     error
	}{
		"a signature is never repeated":        {&signing{}, []apigtest.Fault{signature.Always()}, 1, ErrUnauthorized},
		"nor anything without Refresh":         {&signing{}, []apigtest.Fault{expired.Always()}, 1, ErrUnauthorized},
		"nor where Refresh refuses":            {&renewing{refuses: true}, []apigtest.Fault{expired.Always()}, 1, ErrUnauthorized},
		"new credentials cure it":              {&renewing{}, []apigtest.Fault{expired}, 2, nil},
		"once":                                 {&renewing{}, []apigtest.Fault{expired.Always()}, 2, ErrUnauthorized},
		"once, with other failures in between": {&renewing{}, []apigtest.Fault{expired, apigtest.Throttle(""), expired}, 3, ErrUnauthorized},
		"it takes none of the attempts":        {&renewing{}, []apigtest.Fault{expired, apigtest.Throttle("").Times(3)}, 5, nil},
		"an account is not cured":              {&renewing{}, []apigtest.Fault{apigtest.Answer(401, `{"error_code":"APIG.1013"}`).Always()}, 1, ErrForbidden},
		"nor a permission":                     {&renewing{}, []apigtest.Fault{apigtest.Answer(403, expired.Body).Always()}, 1, ErrUnauthorized},
		"after it was settled":                 {&signing{}, []apigtest.Fault{apigtest.CloseBefore(), signature}, 2, ErrUnauthorized},
	} {
		virtually(t, name, func(t *testing.T) {
			s := newSite(t, authBy(r.auth))
			var refreshed *int
			switch a := r.auth.(type) {
			case *signing:
				a.token = s.Token()
			case *renewing:
				a.token, refreshed = s.Token(), &a.refreshed
			}
			for _, f := range r.faults {
				s.Inject(f.On(apigtest.OpAction))
			}
			elapsed := took(func() {
				_, err := s.Publish(t.Context(), s.request(""))
				require.ErrorIs(t, err, r.is)
				require.NotErrorIs(t, err, ErrOutcomeUnknown)
			})
			assert.Equal(t, r.sent, s.requests(apigtest.OpAction))
			if refreshed != nil {
				assert.LessOrEqual(t, *refreshed, 1)
			}
			if strings.HasPrefix(name, "new") {
				assert.Zero(t, elapsed, "new credentials are not waited for")
			}
		})
	}
}
