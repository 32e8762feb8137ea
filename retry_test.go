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
		{"certificate of another host", failure{unanswered: posted(&tls.CertificateVerificationError{Err: x509.HostnameError{}})}, final, "the same"},
		{"certificate expired", failure{unanswered: posted(&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}})}, final, "the same"},
		{"no credentials", failure{unanswered: &authError{err: errors.New("IAM is away")}}, final, "whoever gets credentials does his own retries"},
		{"no time left after getting credentials", failure{unanswered: &authError{err: context.DeadlineExceeded, late: true}}, notApplied, "the next attempt finds them fetched"},
		{"limiter refuses", failure{unanswered: &limiterError{errors.New("would exceed the deadline")}}, final, "the limiter has the last word"},

		// No answer, but the request had a connection, or nobody knows.
		{"reset", failure{sent: true, unanswered: posted(reset)}, unknown, "the answer may be what was lost"},
		{"broken pipe", failure{sent: true, unanswered: posted(pipe)}, unknown, "an earlier write may have had all of it"},
		{"end of file", failure{sent: true, unanswered: posted(io.EOF)}, unknown, "the same"},
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
		{"201 cut", failure{sent: true, status: 201, err: io.ErrUnexpectedEOF}, unknown, "the same"},
		{"200 HTML", failure{sent: true, status: 200, err: ErrBadResponse}, unknown, "from a captive portal, perhaps: proves neither"},
		{"204 to a publication", failure{sent: true, status: 204, err: ErrBadResponse}, unknown, "the same"},
		{"101", failure{sent: true, status: 101}, unknown, "nothing asked for another protocol; proves neither"},
		{"103", failure{sent: true, status: 103}, unknown, "no final answer"},

		// Redirects are never followed.
		{"301", failure{sent: true, status: 301}, final, "the service does not redirect: a wrong endpoint"},
		{"302", failure{sent: true, status: 302}, final, "the same"},
		{"304", failure{sent: true, status: 304}, final, "the same"},
		{"307", failure{sent: true, status: 307}, final, "the same"},
		{"308", failure{sent: true, status: 308}, final, "the same"},

		// Refusals.
		{"400", failure{sent: true, status: 400}, final, "the same request would be refused again"},
		{"400 parameter", failure{sent: true, status: 400, code: CodeInvalidParameter}, final, "the same"},
		{"400 done already", failure{sent: true, status: 400, code: CodeAlreadyPerformed}, final, "only an unknown attempt before makes it a success"},
		{"400 forbidden", failure{sent: true, status: 400, code: CodeOperationForbidden}, final, "a permission"},
		{"403", failure{sent: true, status: 403}, final, "never renews a token"},
		{"403 permission", failure{sent: true, status: 403, code: CodeNoPermission}, final, "the same"},
		{"403 with the code of an expired token", failure{sent: true, status: 403, code: CodeTokenExpired}, final, "the same"},
		{"404", failure{sent: true, status: 404}, final, "it will not appear"},
		{"404 API", failure{sent: true, status: 404, code: CodeAPINotFound}, final, "the same"},
		{"404 not published", failure{sent: true, status: 404, code: CodeNotPublished}, final, "only an unknown attempt before makes it a success"},
		{"404 front gateway", failure{sent: true, status: 404, code: CodeFrontNotFound}, final, "a wrong endpoint"},
		{"405", failure{sent: true, status: 405}, final, "a wrong endpoint"},
		{"409", failure{sent: true, status: 409}, final, "a conflict nobody has documented as passing"},
		{"409 task forbidden", failure{sent: true, status: 409, code: CodeTaskForbidden}, final, "a permission, in spite of its status"},
		{"412", failure{sent: true, status: 412}, final, "the same request would be refused again"},
		{"413", failure{sent: true, status: 413}, final, "the same"},
		{"414", failure{sent: true, status: 414}, final, "the same"},
		{"425", failure{sent: true, status: 425}, final, "only TLS 0-RTT, which Go does not do, makes it pass"},
		{"451", failure{sent: true, status: 451}, final, "the same request would be refused again"},
		{"494", failure{sent: true, status: 494}, final, "a header too large, says the front gateway; a token does not shrink"},
		{"499", failure{sent: true, status: 499}, final, "any other 4xx"},

		// Credentials.
		{"401", failure{sent: true, status: 401}, renew, "no code: the benefit of the doubt"},
		{"401 of a code nobody knows", failure{sent: true, status: 401, code: "APIG.1999"}, renew, "the same"},
		{"401 no token", failure{sent: true, status: 401, code: CodeTokenMissing}, renew, "a new token cures it"},
		{"401 session expired", failure{sent: true, status: 401, code: CodeTokenExpired}, renew, "the same"},
		{"401 token wrong", failure{sent: true, status: 401, code: CodeTokenInvalid}, renew, "the same"},
		{"401 auth no token", failure{sent: true, status: 401, code: CodeAuthTokenMissing}, renew, "the same"},
		{"401 auth expired", failure{sent: true, status: 401, code: CodeAuthTokenExpired}, renew, "the same"},
		{"401 auth wrong", failure{sent: true, status: 401, code: CodeAuthTokenInvalid}, renew, "the same"},
		{"401 front", failure{sent: true, status: 401, code: CodeFrontAuth}, renew, "an expired token, or a wrong signature: it is the authenticator who knows"},
		{"401 front, its twin", failure{sent: true, status: 401, code: "APIG.0301"}, renew, "the same"},
		{"401 front, renew", failure{sent: true, status: 401, code: CodeFrontTokenRenew}, renew, "says so itself"},
		{"401 front, renew, its twin", failure{sent: true, status: 401, code: "APIG.0307"}, renew, "the same"},
		{"401 app signature", failure{sent: true, status: 401, code: CodeFrontAppAuth}, final, "app credentials are not ours to renew"},
		{"401 no project", failure{sent: true, status: 401, code: CodeTokenNoProject}, final, "the next token would have the same scope"},
		{"401 no permission", failure{sent: true, status: 401, code: CodeNoPermission}, final, "a permission, in spite of its status"},
		{"401 no domain", failure{sent: true, status: 401, code: CodeTokenNoDomain}, final, "the next token would have none either"},
		{"401 invalid domain", failure{sent: true, status: 401, code: CodeInvalidDomain}, final, "the account itself"},
		{"401 no user", failure{sent: true, status: 401, code: CodeTokenNoUser}, final, "the next token would have none either"},
		{"401 policy server", failure{sent: true, status: 401, code: CodePolicyUnavailable}, final, "no token cures it"},
		{"401 real name", failure{sent: true, status: 401, code: CodeRealNameRequired}, final, "the account itself"},
		{"401 balance", failure{sent: true, status: 401, code: CodeBalanceInsufficient}, final, "the account itself"},
		{"401 frozen", failure{sent: true, status: 401, code: CodeAccountFrozen}, final, "the account itself"},
		{"407", failure{sent: true, status: 407}, final, "the credentials of the proxy are not ours"},

		// Not applied, says the service.
		{"429", failure{sent: true, status: 429}, notApplied, "throttled"},
		{"429 HTML", failure{sent: true, status: 429, err: errors.New("<html>")}, notApplied, "a load balancer throttles too"},
		{"429 of another code", failure{sent: true, status: 429, code: "APIG.9876"}, notApplied, "the status is enough"},

		// Nobody knows.
		{"408", failure{sent: true, status: 408}, unknown, "somebody on the way gave up waiting"},
		{"500", failure{sent: true, status: 500}, unknown, "the database may hold the change"},
		{"500 system error", failure{sent: true, status: 500, code: CodeInternal}, unknown, "the same"},
		{"500 sync failed", failure{sent: true, status: 500, code: CodeSyncFailed}, unknown, "the same, and documented"},
		{"502 HTML", failure{sent: true, status: 502}, unknown, "the backend may have got the request"},
		{"502 front", failure{sent: true, status: 502, code: "APIG.0201"}, unknown, "the same"},
		{"503", failure{sent: true, status: 503}, unknown, "no proof that it was not passed on"},
		{"503 IAM away", failure{sent: true, status: 503, code: CodeFrontIAMUnavailable}, unknown, "no promise is documented"},
		{"504", failure{sent: true, status: 504}, unknown, "it may still be under way"},
		{"507", failure{sent: true, status: 507}, unknown, "any other 5xx"},
		{"520", failure{sent: true, status: 520}, unknown, "the same"},
		{"599", failure{sent: true, status: 599}, unknown, "the same"},
		{"500 no such API", failure{sent: true, status: 500, code: CodeAPINotFound}, unknown, "a status of 500 outweighs a code that refuses"},
		{"503 expired token", failure{sent: true, status: 503, code: CodeTokenExpired}, unknown, "the same"},
		{"201 with a code that refuses", failure{sent: true, status: 201, code: CodeAPINotFound}, unknown, "a success outweighs it too"},
		{"501", failure{sent: true, status: 501}, final, "no method there, so nothing done"},
		{"505", failure{sent: true, status: 505}, final, "no HTTP there, so nothing done"},
	} {
		t.Run(row.name, func(t *testing.T) {
			assert.Equal(t, row.want.String(), classify(&row.f).String(), row.why)
		})
	}
}

// TestClassifyNotAppliedCodes has every code that says that nothing was
// applied, whatever status it comes with: the tables of the service disagree
// about those.
func TestClassifyNotAppliedCodes(t *testing.T) {
	for code, documented := range map[Code]int{
		"APIG.9008":  500, // throttled, in spite of its status
		"APIG.3711":  409, // once a minute
		"APIG.3718":  409, // a task of the gateway is running
		"APIC.7701":  409, // the gateway is not in a state for it
		"APIC.7712":  409, // the gateway is locked
		"APIC.9222":  400, // the gateway could not be locked
		"APIGW.0308": 429, // throttled by the front gateway
		"APIG.0308":  429, // its twin
	} {
		for _, status := range []int{documented, 400, 409, 429, 500, 503} {
			f := failure{sent: true, status: status, code: code}
			assert.Equal(t, notApplied.String(), classify(&f).String(), "%s with status %d", code, status)
		}
		assert.Equal(t, unknown.String(), classify(&failure{sent: true, status: 201, code: "", err: ErrBadResponse}).String())
	}
	for _, near := range []Code{"APIG.9009", "APIG.3710", "APIC.7711", "APIC.9224", "APIGW.0309", "APIC.0308", "APIG.0308x", "apig.9008"} {
		assert.NotEqual(t, notApplied.String(), classify(&failure{sent: true, status: 400, code: near}).String(), "%s", near)
	}
}

// TestClassifyEveryStatus goes through all statuses without a code: only one
// of them proves that another attempt is harmless.
func TestClassifyEveryStatus(t *testing.T) {
	for status := 100; status < 600; status++ {
		want := final
		switch {
		case status < 300, status == 408, status >= 500 && status != 501 && status != 505:
			want = unknown
		case status == 401:
			want = renew
		case status == 429:
			want = notApplied
		}
		assert.Equal(t, want.String(), classify(&failure{sent: true, status: status}).String(), "%d", status)
	}
}

// Somebody who had waited as long as they would leaves a request that may well be
// under way still; the service itself, when it says that it failed, is done with it.
func TestWhatAFailureSaysOfTheRequest(t *testing.T) {
	for name, r := range map[string]struct {
		f                 failure
		timedOut, service bool
	}{
		"broken":                      {failure{sent: true, unanswered: posted(io.EOF)}, false, false},
		"our timeout":                 {failure{sent: true, unanswered: posted(context.DeadlineExceeded)}, true, false},
		"408":                         {failure{status: 408}, true, false},
		"504":                         {failure{status: 504}, true, false},
		"504 of the service":          {failure{status: 504, code: CodeInternal}, true, true},
		"502 HTML":                    {failure{status: 502}, false, false},
		"500 without a code":          {failure{status: 500}, false, false},
		"500 of the service":          {failure{status: 500, code: CodeSyncFailed}, false, true},
		"500 of the other half of it": {failure{status: 500, code: "APIC.9999"}, false, true},
		"200 of a batch":              {failure{status: 200, code: CodeSyncFailed}, false, true},
		"503 of the front gateway":    {failure{status: 503, code: CodeFrontIAMUnavailable}, false, false},
		"503 of its twin":             {failure{status: 503, code: "APIG.0613"}, false, false},
		"503 of something in between": {failure{status: 503, code: "503"}, false, false},
		"any success with its code":   {failure{status: 299, code: CodeSyncFailed}, false, true},
	} {
		r.f.judge()
		assert.Equal(t, r.timedOut, r.f.timedOut, name)
		assert.Equal(t, r.service, r.f.serviceAnswered(), name)
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
		for range 100 {
			wait := p.backoff(row.attempt)
			require.GreaterOrEqual(t, wait, row.lo)
			require.LessOrEqual(t, wait, row.hi)
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
		{RetryPolicy{}, RetryPolicy{4, 250 * ms, 20 * s, s, 30 * s, false}},
		{RetryPolicy{MaxAttempts: 1, SettleWait: 5 * s, SettleTimeout: 9 * s, TagRemark: true}, RetryPolicy{1, 250 * ms, 20 * s, 5 * s, 9 * s, true}},
		{RetryPolicy{MinWait: 2 * s}, RetryPolicy{4, 2 * s, 20 * s, s, 30 * s, false}},
		{RetryPolicy{MinWait: 21 * s}, RetryPolicy{4, 21 * s, 21 * s, s, 30 * s, false}},
		{RetryPolicy{MaxWait: 2 * s}, RetryPolicy{4, 250 * ms, 2 * s, s, 30 * s, false}},
		{RetryPolicy{MaxWait: 2 * ms}, RetryPolicy{4, 2 * ms, 2 * ms, s, 30 * s, false}},
		{RetryPolicy{MinWait: 3 * ms, MaxWait: 3 * ms}, RetryPolicy{4, 3 * ms, 3 * ms, s, 30 * s, false}},
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
		{RetryPolicy{MaxAttempts: -1}, []string{"MaxAttempts is negative"}},
		{RetryPolicy{MinWait: -1}, []string{"MinWait is negative"}},
		{RetryPolicy{MaxWait: -1}, []string{"MaxWait is negative"}},
		{RetryPolicy{SettleWait: -1}, []string{"SettleWait is negative"}},
		{RetryPolicy{SettleTimeout: -1}, []string{"SettleTimeout is negative"}},
		{RetryPolicy{MinWait: 2, MaxWait: 1}, []string{"MinWait 2ns is above Retry.MaxWait 1ns"}},
		{RetryPolicy{MinWait: time.Hour}, nil},
		{RetryPolicy{MaxWait: time.Nanosecond}, nil},
		{RetryPolicy{MinWait: longestWait, MaxWait: longestWait, SettleWait: longestWait, SettleTimeout: longestWait}, nil},
		{RetryPolicy{SettleWait: longestWait + 1}, []string{"SettleWait 24h0m0.000000001s is above 24h0m0s"}},
		{RetryPolicy{SettleTimeout: math.MaxInt64}, []string{"SettleTimeout"}},
		{RetryPolicy{MinWait: math.MaxInt64, MaxWait: math.MaxInt64}, []string{"MinWait", "MaxWait"}},
		{RetryPolicy{-1, -1, -1, -1, -1, false}, []string{"MaxAttempts", "MinWait", "MaxWait", "SettleWait", "SettleTimeout"}},
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
