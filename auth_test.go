package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

// sourceFunc is a TokenSource.
type sourceFunc func(context.Context) (Token, error)

func (f sourceFunc) Token(ctx context.Context) (Token, error) { return f(ctx) }

// authFunc is an Authenticator that cannot renew anything.
type authFunc func(*http.Request) error

func (f authFunc) Authenticate(r *http.Request) error { return f(r) }

// numbered is a source of token-1, token-2 and so on, each with the same life;
// 0 means for ever.
type numbered struct {
	fetched atomic.Int32
	life    time.Duration
}

func (s *numbered) Token(context.Context) (Token, error) {
	token := Token{Value: Secret(fmt.Sprintf("token-%d", s.fetched.Add(1)))}
	if s.life != 0 {
		token.Expiry = time.Now().Add(s.life)
	}
	return token, nil
}

var errVault = errors.New("the vault is sealed")

// authenticated is the token that auth puts on a request.
func authenticated(ctx context.Context, auth Authenticator) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, actionURL, nil)
	if err != nil {
		return "", err
	}
	err = auth.Authenticate(r)
	return r.Header.Get("X-Auth-Token"), err
}

// tokensSent gives its answers in turn, the last one again and again, and
// collects the tokens that came.
func tokensSent(mt *httpmock.MockTransport, answers ...httpmock.Responder) *[]string {
	tokens := &[]string{}
	mt.RegisterResponder(http.MethodPost, actionURL, func(r *http.Request) (*http.Response, error) {
		*tokens = append(*tokens, r.Header.Get("X-Auth-Token"))
		return answers[min(len(*tokens), len(answers))-1](r)
	})
	return tokens
}

// What cannot go into a header is refused, in words that do not show it: by New
// where it is known by then, and else before anything is sent.
func TestRefusedTokens(t *testing.T) {
	const space = "the token has a space, a control character or a byte outside ASCII at position "
	for token, want := range map[string]string{
		"":                   "the token is empty",
		"SECRET-1234\r\n":    space + "12 of 13",
		"Bearer SECRET-1234": space + "7 of 18",
		"\x00SECRET-1234":    space + "1 of 12",
		"SECRET\x7f-1234":    space + "7 of 12",
		"“SECRET-1234”":      space + "1 of 17",
	} {
		cfg := testConfig(nil)
		cfg.Auth = StaticToken(token)
		require.EqualError(t, second(New(cfg)), "apig: invalid argument: Auth: "+want)

		asked := 0
		source := sourceFunc(func(context.Context) (Token, error) { asked++; return Token{Value: Secret(token)}, nil })
		wrapped := struct{ Authenticator }{StaticToken(token)}
		for prefix, auth := range map[string]Authenticator{"": wrapped, "getting a token: ": TokenAuth(source)} {
			c, mt := newTest(t, authBy(auth))
			_, err := c.Publish(t.Context(), testRequest)
			require.EqualError(t, err, "apig: Publish API "+testAPI+": "+prefix+want)
			assert.Equal(t, NotApplied, OutcomeOf(err))
			assert.Zero(t, mt.GetTotalCallCount())
		}
		assert.Equal(t, 1, asked, "another token would be no better")
	}
}

// Each request has its own headers: a transport that blanks them after use spoils no other
// one.
func TestHeadersAreEachRequestsOwn(t *testing.T) {
	for name, auth := range map[string]Authenticator{
		"static token": StaticToken("!MIIQ+/=~"), "tokens": TokenAuth(&numbered{}), "static keys": StaticKeys(Keys{AccessKey: keysAccess, SecretKey: keysSecret}),
		"temporary keys": StaticKeys(Keys{AccessKey: keysAccess, SecretKey: keysSecret, SecurityToken: keysSecurity}),
	} {
		var sent []http.Header
		c, mt := newTest(t, authBy(auth))
		mt.RegisterResponder(http.MethodPost, actionURL, func(r *http.Request) (*http.Response, error) {
			sent = append(sent, r.Header.Clone())
			for _, values := range r.Header {
				clear(values)
			}
			return respondJSON(201, publishedBody)(r)
		})
		for n := range 2 {
			require.NoError(t, second(c.Publish(t.Context(), testRequest)), name)
			sent[n].Del("Authorization")
			sent[n].Del("X-Sdk-Date")
		}
		assert.Equal(t, sent[0], sent[1], name)
		assert.Equal(t, name == "static token", sent[1].Get(headerToken) == "!MIIQ+/=~")
	}
}

// Authenticators of other packages see the request as it will be sent, once for each
// attempt.
func TestAuthenticatorSeesTheFinishedRequest(t *testing.T) {
	var seen []string
	c, mt := newTest(t, func(cfg *Config) { cfg.DisableTags = true }, authBy(authFunc(func(r *http.Request) error {
		body, err := bodyOf(r)
		seen = append(seen, r.Method+" "+r.URL.String()+" "+r.Header.Get("Content-Type")+" "+string(body))
		r.Header.Set("X-Auth-Token", fmt.Sprint("attempt-", len(seen)))
		return err
	})))
	tokens := tokensSent(mt, respondJSON(429, ""), respondJSON(201, publishedBody))
	require.NoError(t, second(c.Publish(t.Context(), testRequest)))
	assert.Equal(t, []string{"attempt-1", "attempt-2"}, *tokens)
	want := "POST " + actionURL + ` application/json;charset=UTF-8 {"action":"online","env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID","api_id":"` + testAPI + `"}`
	assert.Equal(t, []string{want, want}, seen)
}

// Where the credentials cannot be had nothing was applied, and the reason is the caller's to
// see. The same holds for new ones in place of those that were rejected.
func TestAuthenticatorFails(t *testing.T) {
	asked := 0
	tokens := func(n int) Authenticator {
		return TokenAuth(sourceFunc(func(context.Context) (Token, error) {
			if asked++; asked > n {
				return Token{}, errVault
			}
			return Token{Value: "token-1"}, nil
		}))
	}
	for _, tt := range []struct {
		auth Authenticator
		want string
		sent []string
	}{
		{authFunc(func(*http.Request) error { asked++; return errVault }), "the vault is sealed", []string{}},
		{tokens(0), "getting a token: the vault is sealed", []string{}},
		{tokens(1), "getting a token: the vault is sealed (2 attempts)", []string{"token-1"}},
	} {
		asked = 0
		c, mt := newTest(t, authBy(tt.auth))
		sent := tokensSent(mt, respondJSON(401, tokenBody))
		_, err := c.Publish(t.Context(), testRequest)
		require.ErrorIs(t, err, errVault)
		assert.EqualError(t, err, "apig: Publish API "+testAPI+": "+tt.want)
		assert.Equal(t, NotApplied, OutcomeOf(err))
		assert.Equal(t, tt.sent, *sent)
		assert.Equal(t, len(tt.sent)+1, asked)
	}
}

// A source that panics, on a goroutine where nobody could recover it, fails the
// calls that wait for it, without what it panicked with.
func TestSourcePanics(t *testing.T) {
	boom := func() { panic("cannot use " + secretKey) }
	var nobody *IAM
	for name, auth := range map[string]Authenticator{
		"tokens":        TokenAuth(sourceFunc(func(context.Context) (Token, error) { boom(); return Token{}, nil })),
		"keys":          KeyAuth(keysFunc(func(context.Context) (Keys, error) { boom(); return Keys{}, nil })),
		"a nil inside":  TokenAuth(struct{ TokenSource }{nobody}),
		"nothing in it": KeyAuth(struct{ KeySource }{}),
	} {
		c, mt := newTest(t, authBy(auth))
		for range 2 {
			_, err := c.Publish(t.Context(), testRequest)
			require.ErrorContains(t, err, "the source of the credentials panicked with a value of type ", name)
			assert.Equal(t, NotApplied, OutcomeOf(err))
			assertNoSecrets(t, name, fmt.Sprintf("%+v %#v", err, err), []string{secretKey})
		}
		assert.Zero(t, mt.GetTotalCallCount())
	}
}

// A new token gets the request exactly one more attempt where it may cure the answer: a 401
// with one of the codes whose verdict is renew, or with an unknown one. Otherwise the token
// is kept. That the attempt cures it shows TestOneRenewal.
func TestUnauthorized(t *testing.T) {
	both := []string{"token-1", "token-2"}
	for name, tt := range map[string]struct {
		status   int
		code     string
		attempts int
		auth     Authenticator
		sent     []string
	}{
		"one attempt":       {401, "APIG.1001", 1, TokenAuth(&numbered{}), both},
		"ten attempts":      {401, "APIG.4711", 10, TokenAuth(&numbered{}), both},
		"no code":           {401, "", 4, TokenAuth(&numbered{}), both},
		"for no project":    {401, "APIG.1003", 4, TokenAuth(&numbered{}), both[:1]},
		"the account":       {401, "APIG.1013", 4, TokenAuth(&numbered{}), both[:1]},
		"forbidden":         {403, "APIG.1001", 4, TokenAuth(&numbered{}), both[:1]},
		"a static token":    {401, "APIG.1001", 4, StaticToken("static-token"), []string{"static-token"}},
		"nothing to renew":  {401, "APIG.1001", 4, refuser{TokenAuth(&numbered{})}, both[:1]},
		"not even a method": {401, "APIG.1001", 4, authFunc(TokenAuth(&numbered{}).Authenticate), both[:1]},
	} {
		c, mt := newTest(t, attempts(tt.attempts), authBy(tt.auth))
		sent := tokensSent(mt, respondJSON(tt.status, `{"error_code":"`+tt.code+`"}`))
		_, err := c.Publish(t.Context(), testRequest)
		var e *APIGError
		require.ErrorAs(t, err, &e, name)
		assert.Equal(t, []any{NotApplied, len(tt.sent)}, []any{OutcomeOf(err), e.Attempts}, name)
		assert.Equal(t, tt.sent, *sent, name)
		if len(tt.sent) == 1 {
			kept, err := authenticated(t.Context(), tt.auth)
			require.NoError(t, err)
			assert.Equal(t, tt.sent[0], kept, name)
		}
	}
}

// refuser can renew nothing.
type refuser struct{ Authenticator }

func (refuser) Refresh(*http.Request) bool { return false }

// Two calls that are rejected with the same token, at the same time, get one new
// token between them.
func TestUnauthorizedNeighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &numbered{}
		s := newSite(t, authBy(TokenAuth(source)))
		s.AddToken("token-2", time.Time{})
		s.together(s.Client, 2, func(err error) { assert.NoError(t, err) }) // both leave with token-1
		assert.EqualValues(t, 2, source.fetched.Load())
		assert.Equal(t, 4, s.requests(gateway.OpAction))
	})
}

// TokenAuth gives the end of a token to its cache, which renews it five minutes before.
func TestTokenRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := TokenAuth(&numbered{life: 24 * time.Hour})
		for _, step := range []struct {
			wait time.Duration
			want string
		}{{0, "token-1"}, {24*time.Hour - 5*time.Minute - 1, "token-1"}, {1, "token-2"}} {
			time.Sleep(step.wait)
			token, err := authenticated(t.Context(), auth)
			require.NoError(t, err)
			assert.Equal(t, step.want, token)
		}
	})
}

// The time of an attempt includes that of its token, and nothing was sent.
func TestTokenWithinAttemptTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(cfg *Config) { cfg.AttemptTimeout = 7 * time.Second },
			retry(RetryPolicy{MinWait: time.Second, MaxWait: time.Second}),
			authBy(TokenAuth(sourceFunc(func(ctx context.Context) (Token, error) {
				<-ctx.Done()
				return Token{}, ctx.Err()
			}))))
		var err error
		elapsed := took(func() { _, err = s.Publish(t.Context(), s.request("")) })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, NotApplied, OutcomeOf(err))
		assert.Empty(t, s.Gateway.Requests())
		assert.Equal(t, 4*7*time.Second+3*time.Second, elapsed, "four attempts, and the waits between them")
	})
}

// An Authenticator that takes all the time there was, and does not notice, has
// sent nothing.
func TestContextEndsWhileAuthenticating(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c, mt := newTest(t, authBy(authFunc(func(*http.Request) error { cancel(); return nil })))
	_, err := c.Publish(ctx, testRequest)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, NotApplied, OutcomeOf(err))
	assert.Zero(t, mt.GetTotalCallCount())
}

func TestSecretForms(t *testing.T) {
	secret := Secret("s3cr3t")
	assert.Equal(t, []string{"REDACTED", ""}, []string{secret.String(), Secret("").String()})
	b, err := json.Marshal(map[string]any{"value": secret, "pointer": &secret, "list": []Secret{secret, ""}, "key": map[Secret]int{"": 1}})
	require.NoError(t, err)
	assert.JSONEq(t, `{"value":"REDACTED","pointer":"REDACTED","list":["REDACTED",""],"key":{"":1}}`, string(b))
	text, err := secret.MarshalText()
	require.NoError(t, err)
	assert.Equal(t, "REDACTED", string(text))
}

// Tokens, keys and IAM print without their secrets, whatever the verb, and marshal without
// them.
func TestCredentialForms(t *testing.T) {
	end := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		value any
		want  string
	}{
		{Token{Value: secretToken, Expiry: end}, "apig.Token(REDACTED)"},
		{&Token{Value: secretToken}, "apig.Token(REDACTED)"},
		{Keys{AccessKey: "HPUAD\u202e", SecretKey: secretKey, SecurityToken: secretSecurityToken}, `apig.Keys(HPUAD\u202e)`},
		{&Keys{AccessKey: "HPUAD", SecretKey: secretKey}, "apig.Keys(HPUAD)"},
		{&IAM{UserID: "7116d09f", Username: "ci", Password: secretPassword}, "apig.IAM(user 7116d09f)"},
		{&IAM{Username: "ci", Password: secretPassword}, "apig.IAM(user ci)"},
		{(*IAM)(nil), "apig.IAM(nil)"},
	} {
		for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%d", "%q", "%x"} {
			assert.Equal(t, tt.want, fmt.Sprintf(verb, tt.value), "%T by %s", tt.value, verb)
		}
	}
	b, err := json.Marshal([]any{Token{Value: secretToken, Expiry: end}, Keys{AccessKey: "HPUAD", SecretKey: secretKey, Expiry: end}})
	require.NoError(t, err)
	assert.JSONEq(t, `[{"Value":"REDACTED","Expiry":"2026-01-02T03:04:05Z"},
		{"AccessKey":"HPUAD","SecretKey":"REDACTED","SecurityToken":"","Expiry":"2026-01-02T03:04:05Z"}]`, string(b))
}
