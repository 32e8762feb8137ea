package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
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
	for name, tt := range map[string]struct{ token, want string }{
		"empty":                   {"", "the token is empty"},
		"line break at the end":   {"SECRET-1234\n", space + "12 of 12"},
		"CR LF at the end":        {"SECRET-1234\r\n", space + "12 of 13"},
		"another header":          {"SECRET-1234\r\nX-Evil: 1", space + "12 of 22"},
		"a scheme in front of it": {"Bearer SECRET-1234", space + "7 of 18"},
		"NUL":                     {"\x00SECRET-1234", space + "1 of 12"},
		"DEL":                     {"SECRET\x7f-1234", space + "7 of 12"},
		"byte order mark":         {"\ufeffSECRET-1234", space + "1 of 14"},
		"typographic quotes":      {"“SECRET-1234”", space + "1 of 17"},
	} {
		t.Run(name, func(t *testing.T) {
			for name, auth := range map[string]Authenticator{"StaticToken": StaticToken(tt.token), "TokenAuth": TokenAuth(Token{Value: Secret(tt.token)})} {
				cfg := testConfig(nil)
				cfg.Auth = auth
				_, err := New(cfg)
				require.EqualError(t, err, "apig: invalid argument: Auth: "+tt.want, name)
			}

			fetched := 0
			source := sourceFunc(func(context.Context) (Token, error) {
				fetched++
				return Token{Value: Secret(tt.token)}, nil
			})
			wrapped := struct{ Authenticator }{StaticToken(tt.token)}
			for prefix, auth := range map[string]Authenticator{"": wrapped, "getting a token: ": TokenAuth(source)} {
				c, mt := newTest(t, authBy(auth))
				record, err := c.Publish(t.Context(), testRequest)
				assert.Nil(t, record)
				require.EqualError(t, err, "apig: Publish API "+testAPI+": "+prefix+tt.want)
				assert.Equal(t, NotApplied, OutcomeOf(err))
				assert.Zero(t, mt.GetTotalCallCount())
			}
			assert.Equal(t, 1, fetched, "another token would be no better")
		})
	}
}

// A token that was got elsewhere needs no source. That it has ended is for the
// service to say, and another attempt with the same one would be no better.
func TestTokenIsItsOwnSource(t *testing.T) {
	token := Token{Value: testToken, Expiry: time.Unix(1, 0)}
	got, err := token.Token(t.Context())
	require.NoError(t, err)
	assert.Equal(t, token, got)

	c, mt := newTest(t, authBy(TokenAuth(token)))
	mt.RegisterResponder(http.MethodPost, actionURL, func(r *http.Request) (*http.Response, error) {
		assert.Equal(t, []string{testToken}, r.Header[headerToken])
		return respondJSON(401, tokenBody)(r)
	})
	_, err = c.Publish(t.Context(), testRequest)
	require.ErrorIs(t, err, ErrUnauthorized)
	assert.Equal(t, 1, actions(mt))
}

func TestStaticTokenIsSent(t *testing.T) {
	c, mt := newTest(t, authBy(StaticToken("!MIIQ+/=~")))
	tokens := tokensSent(mt, respondJSON(201, publishedBody))
	_, err := c.Publish(t.Context(), testRequest)
	require.NoError(t, err)
	assert.Equal(t, []string{"!MIIQ+/=~"}, *tokens)
}

// Authenticators of other packages see the request as it will be sent, once for
// each attempt.
func TestAuthenticatorSeesTheFinishedRequest(t *testing.T) {
	var seen []string
	c, mt := newTest(t, authBy(authFunc(func(r *http.Request) error {
		b, err := r.GetBody()
		if err != nil {
			return err
		}
		body, err := io.ReadAll(b)
		seen = append(seen, r.Method+" "+r.URL.String()+" "+r.Header.Get("Content-Type")+" "+string(body))
		r.Header.Set("X-Auth-Token", fmt.Sprint("attempt-", len(seen)))
		return err
	})))
	tokens := tokensSent(mt, respond(429, ""), respond(429, ""), respondJSON(201, publishedBody))
	_, err := c.Publish(t.Context(), testRequest)
	require.NoError(t, err)
	assert.Equal(t, []string{"attempt-1", "attempt-2", "attempt-3"}, *tokens)
	want := "POST " + actionURL + ` application/json;charset=UTF-8 {"action":"online","env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID","api_id":"` + testAPI + `"}`
	assert.Equal(t, []string{want, want, want}, seen)
}

// Where the credentials cannot be had nothing was sent, and the reason is the
// caller's to see.
func TestAuthenticatorFails(t *testing.T) {
	fetched := 0
	for prefix, auth := range map[string]Authenticator{
		"":                  authFunc(func(*http.Request) error { return errVault }),
		"getting a token: ": TokenAuth(sourceFunc(func(context.Context) (Token, error) { fetched++; return Token{}, errVault })),
	} {
		c, mt := newTest(t, authBy(auth))
		record, err := c.Publish(t.Context(), testRequest)
		assert.Nil(t, record)
		require.ErrorIs(t, err, errVault)
		assert.EqualError(t, err, "apig: Publish API "+testAPI+": "+prefix+"the vault is sealed")
		assert.Equal(t, NotApplied, OutcomeOf(err))
		assert.Zero(t, mt.GetTotalCallCount())
	}
	assert.Equal(t, 1, fetched)
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

// Which answers get another attempt with a new token: those that a new token
// may cure. The codes have the meaning of the management API.
func TestUnauthorized(t *testing.T) {
	for _, tt := range []struct {
		status int
		code   string
		cured  bool
		reason string
	}{
		{401, "APIG.1000", true, "token missing"},
		{401, "APIG.1001", true, "session expired"},
		{401, "APIG.1002", true, "incorrect token"},
		{401, "APIC.7100", true, "token missing"},
		{401, "APIC.7101", true, "token expired"},
		{401, "APIC.7102", true, "incorrect token"},
		{401, "APIGW.0301", true, "expired, among many other things"},
		{401, "APIG.0301", true, "its twin"},
		{401, "APIGW.0307", true, "the token must be updated"},
		{401, "APIG.0307", true, "its twin"},
		{401, "APIG.4711", true, "an unknown code has the benefit of the doubt"},
		{401, "", true, "and so has none"},
		{401, "APIG.1003", false, "the token is for no project, and so will the next one be"},
		{401, "APIG.1005", false, "a permission, with the status of the table"},
		{401, "APIG.1007", false, "the token names no domain, and neither will the next one"},
		{401, "APIG.1008", false, "the domain is invalid"},
		{401, "APIG.1009", false, "the token names no user, and neither will the next one"},
		{401, "APIG.1010", false, "the service could not ask its policy server"},
		{401, "APIG.1011", false, "real-name authentication"},
		{401, "APIG.1012", false, "the balance"},
		{401, "APIG.1013", false, "the account is frozen"},
		{401, "APIGW.0303", false, "of an app, which a token of IAM is not"},
		{403, "APIG.1005", false, "a permission, with the status of the pages"},
		{403, "APIG.1020", false, "a permission"},
		{403, "DNS.0005", false, "even where another service uses 403 for an expired token"},
		{403, "", false, "a permission, as far as is known"},
		{400, "APIG.1002", false, "no 401"},
		{404, "APIG.3002", false, "no 401"},
	} {
		t.Run(fmt.Sprint(tt.status, " ", tt.code), func(t *testing.T) {
			source := &numbered{}
			c, mt := newTest(t, attempts(1), authBy(TokenAuth(source)))
			tokens := tokensSent(mt, respondJSON(tt.status, `{"error_code":"`+tt.code+`"}`), respondJSON(201, publishedBody))

			_, err := c.Publish(t.Context(), testRequest)
			if tt.cured {
				require.NoError(t, err, tt.reason)
				assert.Equal(t, []string{"token-1", "token-2"}, *tokens)
				return
			}
			var e *APIGError
			require.ErrorAs(t, err, &e, tt.reason)
			assert.Equal(t, tt.status, e.StatusCode)
			assert.Equal(t, []string{"token-1"}, *tokens)

			_, err = c.Publish(t.Context(), testRequest)
			require.NoError(t, err)
			assert.EqualValues(t, 1, source.fetched.Load(), "the token is kept")
		})
	}
}

// Exactly one attempt more, for a service that rejects everything.
func TestUnauthorizedTwice(t *testing.T) {
	renewed := []string{"token-1", "token-2"}
	for name, tt := range map[string]struct {
		attempts int
		auth     func(*numbered) Authenticator
		tokens   []string
	}{
		"one attempt":       {1, func(s *numbered) Authenticator { return TokenAuth(s) }, renewed},
		"the default":       {0, func(s *numbered) Authenticator { return TokenAuth(s) }, renewed},
		"ten attempts":      {10, func(s *numbered) Authenticator { return TokenAuth(s) }, renewed},
		"a static token":    {4, func(*numbered) Authenticator { return StaticToken("static-token") }, []string{"static-token"}},
		"nothing to renew":  {4, func(s *numbered) Authenticator { return refuser{TokenAuth(s)} }, []string{"token-1"}},
		"not even a method": {4, func(s *numbered) Authenticator { return authFunc(TokenAuth(s).Authenticate) }, []string{"token-1"}},
	} {
		c, mt := newTest(t, attempts(tt.attempts), authBy(tt.auth(&numbered{})))
		tokens := tokensSent(mt, respondJSON(401, tokenBody))
		_, err := c.Publish(t.Context(), testRequest)
		require.ErrorIs(t, err, ErrUnauthorized, name)
		assert.Equal(t, NotApplied, OutcomeOf(err), name)
		var e *APIGError
		require.ErrorAs(t, err, &e, name)
		assert.Equal(t, len(tt.tokens), e.Attempts, name)
		assert.Equal(t, tt.tokens, *tokens, name)
	}
}

// refuser can renew nothing.
type refuser struct{ Authenticator }

func (refuser) Refresh(*http.Request) bool { return false }

// The attempt with a new token does not use up one of the others.
func TestUnauthorizedBetweenRetries(t *testing.T) {
	c, mt := newTest(t, attempts(3), authBy(TokenAuth(&numbered{})))
	tokens := tokensSent(mt, respond(429, ""), respondJSON(401, tokenBody), respond(429, ""), respondJSON(201, publishedBody))
	_, err := c.Publish(t.Context(), testRequest)
	require.NoError(t, err)
	assert.Equal(t, []string{"token-1", "token-1", "token-2", "token-2"}, *tokens)
}

// Where the new token cannot be had, that is the error: nothing was applied.
func TestUnauthorizedAndNoNewToken(t *testing.T) {
	fetched := 0
	c, mt := newTest(t, authBy(TokenAuth(sourceFunc(func(context.Context) (Token, error) {
		if fetched++; fetched > 1 {
			return Token{}, errVault
		}
		return Token{Value: "token-1"}, nil
	}))))
	tokens := tokensSent(mt, respondJSON(401, tokenBody))
	_, err := c.Publish(t.Context(), testRequest)
	require.ErrorIs(t, err, errVault)
	assert.Equal(t, NotApplied, OutcomeOf(err))
	assert.Equal(t, []string{"token-1"}, *tokens)
	assert.Equal(t, 2, fetched)
}

// A 401 says something about the token that was sent, not about the one that
// has replaced it meanwhile.
func TestRefreshDropsOnlyTheRejectedToken(t *testing.T) {
	source := &numbered{}
	auth := TokenAuth(source)
	send := func() *http.Request {
		r, err := http.NewRequest(http.MethodPost, actionURL, nil)
		require.NoError(t, err)
		require.NoError(t, auth.Authenticate(r))
		return r
	}
	refresh := auth.(Refresher).Refresh

	slow, quick := send(), send()
	assert.True(t, refresh(quick))
	assert.Equal(t, "token-2", send().Header.Get("X-Auth-Token"))
	assert.True(t, refresh(slow), "its caller tries again, with the token that is there")
	assert.Equal(t, "token-2", send().Header.Get("X-Auth-Token"))
	assert.EqualValues(t, 2, source.fetched.Load())
}

// Two calls that are rejected with the same token, at the same time, get one new
// token between them.
func TestUnauthorizedNeighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &numbered{}
		s := newSite(t, authBy(TokenAuth(source)))
		s.AddToken("token-2", time.Time{})
		s.Inject(apigtest.Slow(time.Second).Times(2)) // so that both have left with token-1
		var wg sync.WaitGroup
		for _, api := range []string{s.api, s.AddAPI("billing")} {
			wg.Go(func() {
				_, err := s.Publish(t.Context(), ActionRequest{APIID: api, EnvID: EnvRelease})
				assert.NoError(t, err)
			})
		}
		wg.Wait()
		assert.EqualValues(t, 2, source.fetched.Load())
		assert.Equal(t, 4, s.requests(apigtest.OpAction))
	})
}

// The source sees the values of the context of the call, such as a trace, and
// gets the call's patience.
func TestTokenSourceSeesTheContext(t *testing.T) {
	type key struct{}
	var seen any
	auth := TokenAuth(sourceFunc(func(ctx context.Context) (Token, error) {
		seen = ctx.Value(key{})
		return Token{Value: "token"}, nil
	}))
	_, err := authenticated(context.WithValue(t.Context(), key{}, "trace"), auth)
	require.NoError(t, err)
	assert.Equal(t, "trace", seen)
}

// TokenAuth hands the end of a token to its cache: it is renewed five minutes
// before that, serves on while it cannot be, be that an error or a token that
// cannot be sent, and is not used beyond it.
func TestTokenRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &numbered{life: 24 * time.Hour}
		broken, brokenErr := Token{}, errVault
		failing := false
		auth := TokenAuth(sourceFunc(func(ctx context.Context) (Token, error) {
			if failing {
				return broken, brokenErr
			}
			return source.Token(ctx)
		}))
		is := func(want string) {
			t.Helper()
			token, err := authenticated(t.Context(), auth)
			require.NoError(t, err)
			assert.Equal(t, want, token)
		}
		is("token-1")
		time.Sleep(24*time.Hour - 5*time.Minute - 1)
		is("token-1")
		time.Sleep(time.Nanosecond)
		is("token-2")

		failing = true
		time.Sleep(24*time.Hour - 5*time.Minute)
		is("token-2")
		broken, brokenErr = Token{Value: "two words"}, nil
		time.Sleep(5*time.Minute - 1)
		is("token-2")
		time.Sleep(time.Nanosecond)
		_, err := authenticated(t.Context(), auth)
		require.ErrorContains(t, err, "getting a token: the token has a space")
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

// A rejected token is dropped at once, even where it could not be renewed just
// before.
func TestTokenRejectedAfterFailedRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetched, failing := 0, false
		s := newSite(t)
		s.AddToken("living", time.Time{})
		s.AddToken("fresh", time.Time{})
		c := clientOf(t, s.Gateway, authBy(TokenAuth(sourceFunc(func(context.Context) (Token, error) {
			switch fetched++; {
			case failing:
				return Token{}, errVault
			case fetched == 1:
				return Token{Value: "living", Expiry: time.Now().Add(time.Hour)}, nil
			}
			return Token{Value: "fresh", Expiry: time.Now().Add(time.Hour)}, nil
		}))))
		publish := func() {
			t.Helper()
			_, err := c.Publish(t.Context(), s.request(""))
			require.NoError(t, err)
		}
		publish()
		time.Sleep(56 * time.Minute)
		failing = true
		publish()
		failing = false
		s.RevokeToken("living")
		publish()
		var tokens []string
		for _, r := range s.Gateway.Requests() {
			tokens = append(tokens, r.Header.Get("X-Auth-Token"))
		}
		assert.Equal(t, []string{"living", "living", "living", "fresh"}, tokens)
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
	assert.Equal(t, "REDACTED", secret.String())
	assert.Empty(t, Secret("").String(), "nothing to hide, and that is worth seeing")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "% x", "%10.3s"} {
		assert.Equal(t, "REDACTED", fmt.Sprintf(verb, secret), verb)
	}
	assert.Equal(t, `"REDACTED"`, secret.GoString())
	b, err := json.Marshal(map[string]any{"value": secret, "pointer": &secret, "list": []Secret{secret, ""}})
	require.NoError(t, err)
	assert.JSONEq(t, `{"value":"REDACTED","pointer":"REDACTED","list":["REDACTED",""]}`, string(b))
	b, err = secret.MarshalText()
	require.NoError(t, err)
	assert.Equal(t, "REDACTED", string(b))
	assert.Equal(t, "REDACTED", secret.LogValue().String())
	assert.Equal(t, "s3cr3t", string(secret), "a conversion uses it")
}

// Tokens, keys and their sources say whose they are and until when, whatever the
// verb, and marshal without what is secret.
func TestCredentialForms(t *testing.T) {
	end := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		value any
		want  string
	}{
		{Token{Value: secretToken, Expiry: end}, "apig.Token(until 2026-01-02T03:04:05Z)"},
		{&Token{Value: secretToken}, "apig.Token(without a known end)"},
		{Keys{AccessKey: "HPUAD\u202e", SecretKey: secretKey, SecurityToken: secretSecurityToken, Expiry: end}, `apig.Keys(HPUAD\u202e, until 2026-01-02T03:04:05Z)`},
		{&Keys{AccessKey: "HPUAD", SecretKey: secretKey}, "apig.Keys(HPUAD, without a known end)"},
		{&IAM{UserID: "7116d09f", Username: "ci", Password: secretPassword}, "apig.IAM(user 7116d09f)"},
		{&IAM{Username: "ci", Password: secretPassword}, "apig.IAM(user ci)"},
		{&Agency{Name: "deployers", DomainName: "customer", Source: &IAM{Password: secretPassword}}, "apig.Agency(deployers of customer)"},
		{(*IAM)(nil), "apig.IAM(nil)"},
		{(*Agency)(nil), "apig.Agency(nil)"},
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
