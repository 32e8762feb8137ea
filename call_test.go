package apig

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
	"github.com/apig-go/apig/internal/random"
)

const (
	syncBody    = `{"error_code":"APIG.3500","error_msg":"Failed to synchronize data to etcd."}`
	gatewayPage = `<html><body><h1>502 Bad Gateway</h1></body></html>`
)

// withHeader is a fault with headers, given as names and values in turns.
func withHeader(f gateway.Fault, header ...string) gateway.Fault {
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
	lost := gateway.CloseBefore()
	refused := func(after string) gateway.Fault { // not applied, and an attempt
		return withHeader(gateway.Answer(409, `{"error_code":"APIC.7701"}`), "Retry-After", after)
	}
	page503 := func(after string) gateway.Fault { return withHeader(gateway.Answer(503, ""), "Retry-After", after) }
	one20 := RetryPolicy{MinWait: sec}
	for name, r := range map[string]struct {
		faults  []gateway.Fault
		policy  RetryPolicy
		longest bool            // the longest waits that chance gives; otherwise the shortest
		at      []time.Duration // the attempts
		end     time.Duration   // of the call, if not at the last of them
		is      error
	}{
		"the shortest":         {faults: []gateway.Fault{refused("").Times(3)}, policy: one20, at: seconds(0, 1, 2, 3)},
		"the longest":          {faults: []gateway.Fault{refused("").Times(3)}, policy: one20, longest: true, at: seconds(0, 2, 6, 14)},
		"up to MaxWait":        {faults: []gateway.Fault{refused("").Times(3)}, longest: true, policy: RetryPolicy{MinWait: 2 * sec, MaxWait: 5 * sec}, at: seconds(0, 4, 9, 14)},
		"the defaults":         {faults: []gateway.Fault{refused("").Times(3)}, longest: true, at: []time.Duration{0, 500 * ms, 1500 * ms, 3500 * ms}},
		"no more than allowed": {faults: []gateway.Fault{refused("").Always()}, policy: one20, at: seconds(0, 1, 2, 3), is: ErrConflict},
		"two attempts":         {faults: []gateway.Fault{refused("").Always()}, policy: RetryPolicy{MaxAttempts: 2, MinWait: sec}, at: seconds(0, 1), is: ErrConflict},
		"one attempt":          {faults: []gateway.Fault{refused("3").Always()}, policy: RetryPolicy{MaxAttempts: 1}, at: seconds(0), is: ErrConflict},

		"Retry-After":                      {faults: []gateway.Fault{refused("7")}, longest: true, at: seconds(0, 7)},
		"Retry-After below MinWait":        {faults: []gateway.Fault{refused("1")}, policy: RetryPolicy{MinWait: 5 * sec}, at: seconds(0, 1)},
		"Retry-After twice":                {faults: []gateway.Fault{refused("7"), refused("2")}, at: seconds(0, 7, 9)},
		"Retry-After as long as MaxWait":   {faults: []gateway.Fault{refused("20")}, at: seconds(0, 20)},
		"Retry-After longer than MaxWait":  {faults: []gateway.Fault{refused("21")}, at: seconds(0), is: ErrConflict},
		"Retry-After longer, later":        {faults: []gateway.Fault{refused(""), refused("21")}, policy: one20, at: seconds(0, 1), is: ErrConflict},
		"Retry-After as a date":            {faults: []gateway.Fault{refused(hour.Add(9 * sec).Format(http.TimeFormat))}, at: seconds(0, 9)},
		"Retry-After on the other's clock": {faults: []gateway.Fault{withHeader(gateway.Answer(409, `{"error_code":"APIC.7701"}`), "Retry-After", hour.Add(5*time.Hour+9*sec).Format(http.TimeFormat), "Date", hour.Add(5*time.Hour).Format(http.TimeFormat))}, at: seconds(0, 9)},
		"Retry-After of what is final":     {faults: []gateway.Fault{withHeader(gateway.Answer(403, noPermissionBody), "Retry-After", "4")}, at: seconds(0), is: ErrForbidden},

		// What the service refuses for now is no attempt, and waits from a second on.
		"throttled, the shortest":            {faults: []gateway.Fault{gateway.Throttle("").Times(6)}, at: seconds(0, 1, 3, 7, 15, 25, 35)},
		"throttled, the longest":             {faults: []gateway.Fault{gateway.Throttle("").Times(6)}, longest: true, at: seconds(0, 2, 6, 14, 30, 50, 70)},
		"throttled, up to BusyTimeout":       {faults: []gateway.Fault{gateway.Throttle("").Always()}, policy: RetryPolicy{BusyTimeout: 20 * sec}, at: seconds(0, 1, 3, 7, 15), is: ErrThrottled},
		"throttled, no BusyTimeout":          {faults: []gateway.Fault{gateway.Throttle("").Always()}, policy: RetryPolicy{BusyTimeout: -1}, at: seconds(0), is: ErrThrottled},
		"throttled, one attempt":             {faults: []gateway.Fault{gateway.Throttle("3").Always()}, policy: RetryPolicy{MaxAttempts: 1}, at: seconds(0), is: ErrThrottled},
		"throttled, Retry-After":             {faults: []gateway.Fault{gateway.Throttle("300")}, at: seconds(0, 300)},
		"throttled, Retry-After twice":       {faults: []gateway.Fault{gateway.Throttle("100"), gateway.Throttle("200")}, at: seconds(0, 100, 300)},
		"throttled, Retry-After too long":    {faults: []gateway.Fault{gateway.Throttle("361")}, at: seconds(0), is: ErrThrottled},
		"locked, Retry-After":                {faults: []gateway.Fault{withHeader(gateway.Answer(409, `{"error_code":"APIC.7712"}`), "Retry-After", "40")}, at: seconds(0, 40)},
		"another write, looked at each time": {faults: []gateway.Fault{gateway.Answer(500, `{"error_code":"APIG.3500"}`).Times(6)}, at: seconds(0, 1, 3, 7, 15, 25, 35)},

		// Settling takes a second, which is part of the wait.
		"settled within the wait":       {faults: []gateway.Fault{lost}, policy: RetryPolicy{MinWait: 3 * sec}, at: seconds(0, 3)},
		"settled for as long":           {faults: []gateway.Fault{lost}, policy: one20, at: seconds(0, 1)},
		"settled for longer":            {faults: []gateway.Fault{lost}, at: seconds(0, 1)},
		"settled twice":                 {faults: []gateway.Fault{lost.Times(2)}, policy: RetryPolicy{MinWait: 3 * sec}, at: seconds(0, 3, 6)},
		"settled, Retry-After":          {faults: []gateway.Fault{page503("6")}, at: seconds(0, 6)},
		"settled, Retry-After too long": {faults: []gateway.Fault{page503("60")}, at: seconds(0), end: sec, is: ErrServer},
		"settled, one attempt":          {faults: []gateway.Fault{lost}, policy: RetryPolicy{MaxAttempts: 1}, at: seconds(0), end: sec, is: io.EOF},
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
				s.Inject(f.On(gateway.OpAction))
			}
			start := time.Now()
			_, err := s.Publish(t.Context(), s.request("1.4.2"))
			assert.Equal(t, max(r.end, r.at[len(r.at)-1]), time.Since(start))
			assert.Equal(t, r.at, s.times(gateway.OpAction, start))
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
		s.Inject(refused("90"))
		_, err := s.Publish(t.Context(), s.request(""))
		var e *APIGError
		require.ErrorAs(t, err, &e)
		assert.Equal(t, 90*sec, e.RetryAfter)
		assert.ErrorContains(t, err, "retry after 1m30s")
	})
}

// A call returns as soon as its caller does not want to wait any more, and at once
// where a wait would end after the deadline. The error names the failure before.
func TestContextEndsDuringWait(t *testing.T) {
	const sec = time.Second
	later503 := withHeader(gateway.Answer(503, ""), "Retry-After", "10")
	for name, r := range map[string]struct {
		faults  []gateway.Fault
		cancel  time.Duration // 0: there is a deadline after 5 s instead
		end     time.Duration
		is      error // the failure before
		text    string
		applied bool
	}{
		"cancelled, throttled":      {[]gateway.Fault{gateway.Throttle("10")}, 3 * sec, 3 * sec, ErrThrottled, "context canceled; before that: 429 Too Many Requests, APIGW.0308", false},
		"cancelled, settled":        {[]gateway.Fault{later503}, 3 * sec, 3 * sec, ErrServer, "context canceled; before that: 503 Service Unavailable", false},
		"deadline, throttled":       {[]gateway.Fault{gateway.Throttle("7")}, 0, 0, ErrThrottled, "context deadline exceeded; before that: 429", false},
		"deadline, throttled twice": {[]gateway.Fault{gateway.Throttle("3"), gateway.Throttle("7")}, 0, 3 * sec, ErrThrottled, "context deadline exceeded; before that: 429", false},
		"deadline, settled":         {[]gateway.Fault{later503}, 0, sec, ErrServer, "context deadline exceeded; before that: 503", false},
		"deadline, later":           {faults: []gateway.Fault{gateway.Throttle("4")}, end: 4 * sec, applied: true},
	} {
		virtually(t, name, func(t *testing.T) {
			s := newSite(t)
			s.Inject(r.faults...)
			ctx, cancel := context.WithTimeout(t.Context(), 5*sec-1)
			want := context.DeadlineExceeded
			if r.cancel > 0 {
				ctx, cancel = context.WithCancel(t.Context())
				want = context.Canceled
				later(r.cancel, cancel)
			}
			defer cancel()
			begin := time.Now()
			_, err := s.Publish(ctx, s.request(""))
			assert.Equal(t, r.end, time.Since(begin))
			if r.applied {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, want)
			require.ErrorIs(t, err, r.is)
			require.NotErrorIs(t, err, ErrOutcomeUnknown)
			require.ErrorAs(t, err, new(*APIGError))
			assert.ErrorContains(t, err, "apig: Publish API "+s.api+": "+r.text)
			assert.NotContains(t, err.Error(), "\n")
			assert.Len(t, s.times(gateway.OpAction, begin), len(r.faults))
			assert.Empty(t, s.Journal())
		})
	}
}

// AttemptTimeout bounds one attempt, its body included.
func TestAttemptTimeoutIsExact(t *testing.T) {
	const sec = time.Second
	virtually(t, "the body is part of it", func(t *testing.T) {
		s := newSite(t, func(cfg *Config) {
			cfg.AttemptTimeout = 5 * sec
			first := cfg.HTTPClient.Transport
			cfg.HTTPClient.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				resp, err := first.RoundTrip(r)
				if err == nil && r.Method == http.MethodPost {
					resp.Body.Close()
					resp.Body = io.NopCloser(untilEnd{r.Context()})
				}
				return resp, err
			})
		})
		elapsed := took(func() {
			record, err := s.Publish(t.Context(), s.request(""))
			require.NoError(t, err)
			assert.True(t, record.Recovered)
		})
		assert.Equal(t, 6*sec, elapsed)
	})
	virtually(t, "of a read while settling", func(t *testing.T) {
		s := newSite(t)
		s.Inject(gateway.ApplyThenClose().On(gateway.OpAction), gateway.Hang().On(gateway.OpHistory))
		elapsed := took(func() {
			_, err := s.Publish(t.Context(), s.request(""))
			require.NoError(t, err)
		})
		assert.Equal(t, sec+lookTimeout, elapsed.Truncate(sec))
	})
}

// untilEnd is a body that never comes.
type untilEnd struct{ context.Context }

func (c untilEnd) Read([]byte) (int, error) { <-c.Done(); return 0, c.Err() }

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
		for _, f := range []gateway.Fault{gateway.Throttle("1"), gateway.CloseBefore(), gateway.ApplyThenClose()} {
			s.Inject(f.On(gateway.OpAction))
		}
		record, err := s.Publish(t.Context(), s.request(""))
		require.NoError(t, err)
		assert.True(t, record.Recovered)
		var sent []time.Duration
		for _, r := range s.Gateway.Requests() {
			sent = append(sent, r.Time.Sub(start))
		}
		assert.Equal(t, sent, asked)
	})
	for name, r := range map[string]struct {
		fault   gateway.Fault
		allowed int
		outcome Outcome
	}{
		"at the first attempt": {gateway.Fault{}, 0, NotApplied},
		"at the second":        {gateway.Throttle("1"), 1, NotApplied},
		"after it was settled": {gateway.CloseBefore(), 2, NotApplied},
		"while it is settled":  {gateway.CloseBefore(), 1, Unknown},
	} {
		virtually(t, "says no "+name, func(t *testing.T) {
			asked := 0
			s := newSite(t, retry(steady), limitedBy(func(context.Context) error {
				if asked++; asked > r.allowed {
					return errNo
				}
				return nil
			}))
			s.Inject(r.fault.On(gateway.OpAction))
			_, err := s.Publish(t.Context(), s.request(""))
			assert.Equal(t, r.outcome.String(), OutcomeOf(err).String())
			assert.Equal(t, r.allowed+1, asked, "no is no")
			assert.Len(t, s.Gateway.Requests(), r.allowed)
			switch r.outcome {
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

// New credentials are tried once in a call, also with other failures in between, and are
// not waited for.
func TestOneRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *site
		s = newSite(t, authBy(TokenAuth(sourceFunc(func(context.Context) (Token, error) { return Token{Value: Secret(s.Token())}, nil }))))
		rejected := gateway.Answer(401, tokenBody).On(gateway.OpAction)
		s.Inject(rejected)
		assert.Zero(t, took(func() { require.NoError(t, second(s.Publish(t.Context(), s.request("")))) }))
		s.Inject(rejected, gateway.Throttle("").On(gateway.OpAction), rejected)
		require.ErrorIs(t, second(s.Publish(t.Context(), s.request(""))), ErrUnauthorized)
		assert.Equal(t, 2+3, s.requests(gateway.OpAction))
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
