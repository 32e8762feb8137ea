package apig

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/random"
)

// posted is an error as http.Client returns it.
func posted(err error) error {
	return &url.Error{Op: "Post", URL: "https://apig.example.com", Err: err}
}

// TestClassify is the policy, row by row.
func TestClassify(t *testing.T) {
	var (
		refused     = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		dialTimeout = &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
		noSuchHost  = &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "apig.example.com", IsNotFound: true}}
		resolver    = &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "server misbehaving", Name: "apig.example.com", IsTemporary: true}}
		reset       = &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
		pipe        = &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.EPIPE)}
		certificate = &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
		handshake   = errors.New("net/http: TLS handshake timeout")
		alert       = &net.OpError{Op: "remote error", Err: tls.AlertError(40)}
		notTLS      = tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}
	)
	for _, row := range []struct {
		name string
		f    failure
		want verdict
		why  string
	}{
		// No answer, and net/http never had a connection for the request.
		{"connection refused", failure{unanswered: posted(refused)}, notApplied, "nobody was there to apply it"},
		{"dial timeout", failure{unanswered: posted(dialTimeout)}, notApplied, "the server never heard of it"},
		{"no such host", failure{unanswered: posted(noSuchHost)}, notApplied, "names come and go; the attempts are few"},
		{"resolver fails", failure{unanswered: posted(resolver)}, notApplied, "the next one may answer"},
		{"context ends while dialing", failure{unanswered: posted(context.DeadlineExceeded)}, notApplied, "the error looks like any other end of a context"},
		{"cancelled while queued", failure{unanswered: posted(context.Canceled)}, notApplied, "waiting for a connection sends nothing"},
		{"TLS handshake timeout", failure{unanswered: posted(handshake)}, notApplied, "requests come after the handshake"},
		{"TLS alert", failure{unanswered: posted(alert)}, notApplied, "the same; the server may be restarting"},
		{"not TLS", failure{unanswered: posted(notTLS)}, notApplied, "the same"},
		{"proxy refuses CONNECT", failure{unanswered: posted(errors.New("Proxy Authentication Required"))}, notApplied, "the proxy never saw the request"},
		{"certificate not trusted", failure{unanswered: posted(certificate)}, final, "it will not be trusted next time either"},
		{"no credentials", failure{unanswered: &authError{err: errors.New("IAM is away")}}, final, "whoever gets credentials does his own retries"},
		{"no time left after getting credentials", failure{unanswered: &authError{err: context.DeadlineExceeded, late: true}}, notApplied, "the next attempt finds them fetched"},
		{"limiter refuses", failure{unanswered: &limiterError{errors.New("would exceed the deadline")}}, final, "the limiter has the last word"},

		// No answer, but the request had a connection, or nobody knows.
		{"reset", failure{sent: true, unanswered: posted(reset)}, unknown, "the answer may be what was lost"},
		{"broken pipe", failure{sent: true, unanswered: posted(pipe)}, unknown, "an earlier write may have had all of it"},
		{"server closed idle connection", failure{sent: true, unanswered: posted(errors.New("http: server closed idle connection"))}, unknown, "the texts of net/http prove nothing"},
		{"header timeout", failure{sent: true, unanswered: posted(errors.New("net/http: timeout awaiting response headers"))}, unknown, "it was sent"},
		{"attempt timeout", failure{sent: true, unanswered: posted(context.DeadlineExceeded)}, unknown, "it was sent"},
		{"cancelled after sending", failure{sent: true, unanswered: posted(context.Canceled)}, unknown, "it was sent"},
		{"stream reset", failure{sent: true, unanswered: posted(errors.New("stream error: stream ID 1; INTERNAL_ERROR; received from peer"))}, unknown, "the server may have applied it first"},
		{"foreign RoundTripper", failure{sent: true, unanswered: posted(errors.New("mock"))}, unknown, "without GetConn there is no proof"},
		{"refused, says a foreign RoundTripper", failure{sent: true, unanswered: posted(refused)}, unknown, "errors are no proof: it may be the second connection"},
		{"certificate error after sending", failure{sent: true, unanswered: posted(certificate)}, unknown, "a foreign RoundTripper may have sent it elsewhere first"},
		{"answer that is not HTTP", failure{sent: true, unanswered: posted(errors.New("malformed HTTP response"))}, unknown, "the request arrived somewhere"},

		// A success that cannot be read.
		{"201 empty", failure{sent: true, status: 201, err: ErrBadResponse}, unknown, "applied, probably, but what?"},
		{"200 HTML", failure{sent: true, status: 200, err: ErrBadResponse}, unknown, "from a captive portal, perhaps: proves neither"},

		// Refusals. TestClassifyEveryStatus has those without a code, TestCodes each code.
		{"403 with the code of an expired token", failure{sent: true, status: 403, code: "APIG.1001"}, final, "only a 401 renews a token"},
		{"401 of a code nobody knows", failure{sent: true, status: 401, code: "APIG.1999"}, renew, "the benefit of the doubt"},
		{"429 HTML", failure{sent: true, status: 429, err: errors.New("<html>")}, busy, "a load balancer throttles too"},
		{"429 of another code", failure{sent: true, status: 429, code: "APIG.9876"}, busy, "the status is enough"},
		{"502 front", failure{sent: true, status: 502, code: "APIG.0201"}, unknown, "the service may have got the request"},
		{"500 no such API", failure{sent: true, status: 500, code: CodeAPINotFound}, unknown, "a status of 500 outweighs a code that refuses"},
		{"503 expired token", failure{sent: true, status: 503, code: "APIG.1001"}, unknown, "the same"},
		{"201 with a code that refuses", failure{sent: true, status: 201, code: CodeAPINotFound}, unknown, "a success outweighs it too"},
	} {
		assert.Equal(t, row.want.String(), classify(&row.f).String(), "%s: %s", row.name, row.why)
	}
}

// Some codes say that nothing was applied, and others that it may have been, whatever
// status they come with: the tables of the service disagree about the statuses.
func TestClassifyCodes(t *testing.T) {
	for want, codes := range map[verdict][]Code{
		busy:       {"APIG.9008", "APIG.3711", "APIG.3718", "APIC.7712", "APIC.9222", "APIGW.0308", "APIG.0308"},
		notApplied: {"APIC.7701"},
		unknown:    {"APIG.3500", "APIG.9999", "APIGW.0613"},
	} {
		for _, code := range codes {
			for _, status := range []int{200, 400, 401, 403, 404, 409, 429, 500, 503} {
				assert.Equal(t, want.String(), classify(&failure{sent: true, status: status, code: code}).String(), "%s with status %d", code, status)
			}
		}
	}
	for _, near := range []Code{"APIG.9009", "APIG.3710", "APIC.7711", "APIC.9224", "APIGW.0309", "APIC.0308", "APIG.0308x", "apig.9008"} {
		assert.Equal(t, final.String(), classify(&failure{sent: true, status: 400, code: near}).String(), "%s", near)
	}
}

// The meaning of every status without a code.
func TestClassifyEveryStatus(t *testing.T) {
	for status := 100; status < 600; status++ {
		want := final // refused, or a redirect: never followed
		switch {
		case status < 300, status == 408, status >= 500 && status != 501 && status != 505:
			want = unknown
		case status == 401:
			want = renew // the benefit of the doubt
		case status == 429:
			want = busy
		}
		assert.Equal(t, want.String(), classify(&failure{sent: true, status: status}).String(), "%d", status)
	}
}

// A timeout, here or on the way, leaves a request that may be in progress still.
func TestTimedOut(t *testing.T) {
	for name, r := range map[string]struct {
		f        failure
		timedOut bool
	}{
		"broken":             {failure{sent: true, unanswered: posted(io.EOF)}, false},
		"our timeout":        {failure{sent: true, unanswered: posted(context.DeadlineExceeded)}, true},
		"408":                {failure{status: 408}, true},
		"504":                {failure{status: 504}, true},
		"504 of the service": {failure{status: 504, code: "APIG.9999"}, true},
		"502":                {failure{status: 502}, false},
		"500":                {failure{status: 500, code: CodeSyncFailed}, false},
	} {
		r.f.judge()
		assert.Equal(t, r.timedOut, r.f.timedOut, name)
	}
}

// The wait after each attempt lies between MinWait and a ceiling that doubles.
func TestBackoff(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	for _, row := range []struct {
		policy  RetryPolicy
		attempt int
		lo, hi  time.Duration
	}{
		{RetryPolicy{}, 1, 250 * ms, 500 * ms},
		{RetryPolicy{}, 2, 250 * ms, 1 * s},
		{RetryPolicy{}, 3, 250 * ms, 2 * s},
		{RetryPolicy{}, 6, 250 * ms, 16 * s},
		{RetryPolicy{}, 7, 250 * ms, 20 * s},
		{RetryPolicy{}, math.MaxInt, 250 * ms, 20 * s},
		{RetryPolicy{MinWait: 1 * s, MaxWait: 1 * s}, 1, 1 * s, 1 * s},
		{RetryPolicy{MinWait: 1 * s, MaxWait: 3 * s}, 1, 1 * s, 2 * s},
		{RetryPolicy{MinWait: 1 * s, MaxWait: 3 * s}, 2, 1 * s, 3 * s},
		{RetryPolicy{MaxWait: 100 * ms}, 1, 100 * ms, 100 * ms},
		{RetryPolicy{MaxWait: 300 * ms}, 5, 250 * ms, 300 * ms},
		{RetryPolicy{MinWait: 30 * s}, 3, 30 * s, 30 * s},
		{RetryPolicy{MinWait: 1, MaxWait: longestWait}, 70, 1, longestWait},
		{RetryPolicy{MinWait: longestWait/2 + 1, MaxWait: longestWait}, 1, longestWait/2 + 1, longestWait},
	} {
		p := row.policy.withDefaults()
		for want, pick := range map[time.Duration]func(int64) int64{
			row.lo: func(int64) int64 { return 0 },
			row.hi: func(n int64) int64 { return n - 1 },
		} {
			restore := random.Replace(pick)
			got := p.backoff(row.attempt)
			restore()
			if row.lo != row.hi {
				assert.Equal(t, want, got, "%+v, attempt %d", row.policy, row.attempt)
			}
		}
	}
}

// A wait ends with its context, even where nothing is left to wait for.
func TestSleepOfAnEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		require.Equal(t, context.Canceled, sleep(ctx, time.Now().Add(-time.Second)))
	}
}

// The zero of each field stands for its default, beside the others.
func TestRetryPolicyDefaults(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	for _, row := range []struct{ in, want RetryPolicy }{
		{RetryPolicy{}, RetryPolicy{4, 250 * ms, 20 * s, s, 30 * s, 6 * time.Minute}},
		{RetryPolicy{MaxAttempts: 1, SettleWait: 5 * s, SettleTimeout: 9 * s}, RetryPolicy{1, 250 * ms, 20 * s, 5 * s, 9 * s, 0}},
		{RetryPolicy{MinWait: 2 * s}, RetryPolicy{4, 2 * s, 20 * s, s, 30 * s, 6 * time.Minute}},
		{RetryPolicy{MinWait: 21 * s}, RetryPolicy{4, 21 * s, 21 * s, s, 30 * s, 6 * time.Minute}},
		{RetryPolicy{MaxWait: 2 * s}, RetryPolicy{4, 250 * ms, 2 * s, s, 30 * s, 6 * time.Minute}},
		{RetryPolicy{MaxWait: 2 * ms}, RetryPolicy{4, 2 * ms, 2 * ms, s, 30 * s, 6 * time.Minute}},
		{RetryPolicy{MinWait: 3 * ms, MaxWait: 3 * ms}, RetryPolicy{4, 3 * ms, 3 * ms, s, 30 * s, 6 * time.Minute}},
	} {
		assert.Equal(t, row.want, row.in.withDefaults(), "%+v", row.in)
		assert.Equal(t, row.want, row.want.withDefaults(), "again")
	}
}

// What makes no sense is refused, all of it at once.
func TestRetryPolicyCheck(t *testing.T) {
	for _, row := range []struct {
		policy RetryPolicy
		want   []string
	}{
		{RetryPolicy{}, nil},
		{RetryPolicy{MinWait: 120, MaxWait: time.Millisecond - 1}, []string{"MinWait is 120ns, below 1ms", "MaxWait is 999.999µs, below 1ms"}},
		{RetryPolicy{SettleWait: 2, SettleTimeout: 30}, []string{"SettleWait is 2ns, below 1ms", "SettleTimeout is 30ns, below 1ms"}},
		{RetryPolicy{MinWait: time.Hour}, nil},
		{RetryPolicy{MaxWait: time.Millisecond}, nil},
		{RetryPolicy{MinWait: longestWait, MaxWait: longestWait, SettleWait: longestWait, SettleTimeout: longestWait}, nil},
		{RetryPolicy{SettleWait: longestWait + 1}, []string{"SettleWait 24h0m0.000000001s is above 24h0m0s"}},
		{RetryPolicy{SettleTimeout: math.MaxInt64}, []string{"SettleTimeout"}},
		{RetryPolicy{MinWait: math.MaxInt64, MaxWait: math.MaxInt64}, []string{"MinWait", "MaxWait"}},
		{RetryPolicy{-1, -1, -1, -1, -1, -1}, []string{"MaxAttempts", "MinWait", "MaxWait", "SettleWait", "SettleTimeout"}},
	} {
		cfg := testConfig(http.DefaultTransport)
		cfg.Retry = row.policy
		_, err := New(cfg)
		if row.want == nil {
			require.NoError(t, err, "%+v", row.policy)
			continue
		}
		require.ErrorIs(t, err, ErrInvalidArgument, "%+v", row.policy)
		for _, text := range row.want {
			assert.ErrorContains(t, err, "Retry."+text)
		}
	}
}
