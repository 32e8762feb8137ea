package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sourceFunc is a TokenSource.
type sourceFunc func(context.Context) (Token, error)

func (f sourceFunc) Token(ctx context.Context) (Token, error) { return f(ctx) }

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

// authenticated is the token that auth puts on a request.
func authenticated(ctx context.Context, auth Authenticator) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, actionURL, nil)
	if err != nil {
		return "", err
	}
	err = auth.Authenticate(r)
	return r.Header.Get("X-Auth-Token"), err
}

// tokensSent answers with one answer after the other, the last one from then
// on, and collects the tokens that came.
func tokensSent(mt *httpmock.MockTransport, answers ...httpmock.Responder) *[]string {
	tokens := &[]string{}
	mt.RegisterResponder(http.MethodPost, actionURL, func(r *http.Request) (*http.Response, error) {
		*tokens = append(*tokens, r.Header.Get("X-Auth-Token"))
		return answers[min(len(*tokens), len(answers))-1](r)
	})
	return tokens
}

// What cannot go into a header is refused, in words that do not show it.
func TestRefusedTokens(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ token, want string }{
		"empty":                   {"", "the token is empty"},
		"line break at the end":   {"SECRET-1234\n", "the token has a space, a control character or a byte outside ASCII at position 12 of 12"},
		"CR LF at the end":        {"SECRET-1234\r\n", "the token has a space, a control character or a byte outside ASCII at position 12 of 13"},
		"another header":          {"SECRET-1234\r\nX-Evil: 1", "the token has a space, a control character or a byte outside ASCII at position 12 of 22"},
		"a scheme in front of it": {"Bearer SECRET-1234", "the token has a space, a control character or a byte outside ASCII at position 7 of 18"},
		"NUL":                     {"\x00SECRET-1234", "the token has a space, a control character or a byte outside ASCII at position 1 of 12"},
		"DEL":                     {"SECRET\x7f-1234", "the token has a space, a control character or a byte outside ASCII at position 7 of 12"},
		"byte order mark":         {"\ufeffSECRET-1234", "the token has a space, a control character or a byte outside ASCII at position 1 of 14"},
		"typographic quotes":      {"“SECRET-1234”", "the token has a space, a control character or a byte outside ASCII at position 1 of 17"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.NotContains(t, tt.want, "SECRET")

			// At once, where it is known at once.
			cfg := testConfig(nil)
			cfg.Auth = StaticToken(tt.token)
			_, err := New(cfg)
			require.EqualError(t, err, "apig: invalid argument: Auth: "+tt.want)

			// Else before anything is sent, which nothing is to be done about.
			wrapped := struct{ Authenticator }{StaticToken(tt.token)}
			fetched := 0
			source := sourceFunc(func(context.Context) (Token, error) {
				fetched++
				return Token{Value: Secret(tt.token)}, nil
			})
			for prefix, auth := range map[string]Authenticator{"": wrapped, "getting a token: ": TokenAuth(source)} {
				c, mt := newTest(t, authBy(auth))
				record, err := c.Publish(context.Background(), testRequest)
				assert.Nil(t, record)
				require.EqualError(t, err, "apig: Publish API "+testAPI+": "+prefix+tt.want)
				assert.NotErrorIs(t, err, ErrOutcomeUnknown)
				assert.Zero(t, mt.GetTotalCallCount())
			}
			assert.Equal(t, 1, fetched)
		})
	}
}

func TestStaticTokenIsSent(t *testing.T) {
	t.Parallel()
	c, mt := newTest(t, authBy(StaticToken("!MIIQ+/=~")))
	tokens := tokensSent(mt, respondJSON(201, publishedBody))
	_, err := c.Publish(context.Background(), testRequest)
	require.NoError(t, err)
	assert.Equal(t, []string{"!MIIQ+/=~"}, *tokens)
}

// Authenticators of other packages see the request as it will be sent, once for
// each attempt.
func TestAuthenticatorSeesTheFinishedRequest(t *testing.T) {
	t.Parallel()
	var bodies, urls []string
	c, mt := newTest(t, authBy(authFunc(func(r *http.Request) error {
		urls = append(urls, r.Method+" "+r.URL.String())
		if !assert.NotNil(t, r.GetBody) {
			return errors.New("no body")
		}
		b, err := r.GetBody()
		if err != nil {
			return err
		}
		body, err := io.ReadAll(b)
		bodies = append(bodies, string(body))
		assert.Equal(t, "application/json;charset=UTF-8", r.Header.Get("Content-Type"))
		r.Header.Set("X-Auth-Token", fmt.Sprint("attempt-", len(bodies)))
		return err
	})))
	tokens := tokensSent(mt, respond(429, ""), respond(429, ""), respondJSON(201, publishedBody))
	_, err := c.Publish(context.Background(), testRequest)
	require.NoError(t, err)
	assert.Equal(t, []string{"attempt-1", "attempt-2", "attempt-3"}, *tokens)
	const body = `{"action":"online","env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID","api_id":"5f918d104dc84480a75166ba99efff21"}`
	assert.Equal(t, []string{body, body, body}, bodies)
	assert.Equal(t, []string{"POST " + actionURL, "POST " + actionURL, "POST " + actionURL}, urls)
}

type authFunc func(*http.Request) error

func (f authFunc) Authenticate(r *http.Request) error { return f(r) }

// Where the credentials cannot be had nothing was sent, and the reason is the
// caller's to see.
func TestAuthenticatorFails(t *testing.T) {
	t.Parallel()
	vault := errors.New("the vault is sealed")
	fetched := 0
	for prefix, auth := range map[string]Authenticator{
		"":                  authFunc(func(*http.Request) error { return vault }),
		"getting a token: ": TokenAuth(sourceFunc(func(context.Context) (Token, error) { fetched++; return Token{}, vault })),
	} {
		c, mt := newTest(t, authBy(auth))
		record, err := c.Publish(context.Background(), testRequest)
		assert.Nil(t, record)
		require.ErrorIs(t, err, vault)
		assert.EqualError(t, err, "apig: Publish API "+testAPI+": "+prefix+"the vault is sealed")
		assert.Empty(t, matches(err))
		assert.Zero(t, mt.GetTotalCallCount())
	}
	assert.Equal(t, 1, fetched)
}

// Which answers get another attempt with a new token: those that a new token
// may cure. The codes have the meaning of the management API.
func TestUnauthorized(t *testing.T) {
	t.Parallel()
	tests := []struct {
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
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status, " ", tt.code), func(t *testing.T) {
			t.Parallel()
			source := &numbered{}
			c, mt := newTest(t, attempts(1), authBy(TokenAuth(source)))
			tokens := tokensSent(mt, respondJSON(tt.status, `{"error_code":"`+tt.code+`"}`), respondJSON(201, publishedBody))

			_, err := c.Publish(context.Background(), testRequest)
			if tt.cured {
				require.NoError(t, err, tt.reason)
				assert.Equal(t, []string{"token-1", "token-2"}, *tokens)
				assert.EqualValues(t, 2, source.fetched.Load())
				return
			}
			var e *APIGError
			require.ErrorAs(t, err, &e, tt.reason)
			assert.Equal(t, tt.status, e.StatusCode)
			assert.Equal(t, 1, e.Attempts)
			assert.Equal(t, []string{"token-1"}, *tokens)

			_, err = c.Publish(context.Background(), testRequest)
			require.NoError(t, err)
			assert.EqualValues(t, 1, source.fetched.Load(), "the token is kept")
		})
	}
}

// Exactly one attempt more, for a service that rejects everything.
func TestUnauthorizedTwice(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		attempts int
		auth     func(*numbered) Authenticator
		tokens   []string
	}{
		"one attempt":       {1, func(s *numbered) Authenticator { return TokenAuth(s) }, []string{"token-1", "token-2"}},
		"the default":       {0, func(s *numbered) Authenticator { return TokenAuth(s) }, []string{"token-1", "token-2"}},
		"ten attempts":      {10, func(s *numbered) Authenticator { return TokenAuth(s) }, []string{"token-1", "token-2"}},
		"a static token":    {4, func(*numbered) Authenticator { return StaticToken("static-token") }, []string{"static-token"}},
		"nothing to renew":  {4, func(s *numbered) Authenticator { return &refuser{TokenAuth(s)} }, []string{"token-1"}},
		"not even a method": {4, func(s *numbered) Authenticator { return authFunc(TokenAuth(s).Authenticate) }, []string{"token-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := &numbered{}
			c, mt := newTest(t, attempts(tt.attempts), authBy(tt.auth(source)))
			tokens := tokensSent(mt, respondJSON(401, tokenBody))
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_, err := c.Publish(ctx, testRequest)
			var e *APIGError
			require.ErrorAs(t, err, &e)
			assert.Equal(t, []error{ErrUnauthorized}, matches(err))
			assert.Equal(t, len(tt.tokens), e.Attempts)
			assert.Equal(t, tt.tokens, *tokens)
		})
	}
}

// refuser can renew nothing.
type refuser struct{ Authenticator }

func (r *refuser) Refresh(*http.Request) bool { return false }

// The attempt with a new token does not use up one of the others.
func TestUnauthorizedBetweenRetries(t *testing.T) {
	t.Parallel()
	c, mt := newTest(t, attempts(3), authBy(TokenAuth(&numbered{})))
	tokens := tokensSent(mt, respond(429, ""), respondJSON(401, tokenBody), respond(429, ""), respondJSON(201, publishedBody))
	_, err := c.Publish(context.Background(), testRequest)
	require.NoError(t, err)
	assert.Equal(t, []string{"token-1", "token-1", "token-2", "token-2"}, *tokens)
}

// Where the new token cannot be had, that is the error: nothing was applied.
func TestUnauthorizedAndNoNewToken(t *testing.T) {
	t.Parallel()
	vault := errors.New("the vault is sealed")
	fetched := 0
	c, mt := newTest(t, authBy(TokenAuth(sourceFunc(func(context.Context) (Token, error) {
		if fetched++; fetched > 1 {
			return Token{}, vault
		}
		return Token{Value: "token-1"}, nil
	}))))
	tokens := tokensSent(mt, respondJSON(401, tokenBody))
	_, err := c.Publish(context.Background(), testRequest)
	require.ErrorIs(t, err, vault)
	assert.NotErrorIs(t, err, ErrOutcomeUnknown)
	assert.Equal(t, []string{"token-1"}, *tokens)
	assert.Equal(t, 2, fetched)
}

// A 401 says something about the token that was sent, not about the one that
// has replaced it meanwhile.
func TestRefreshDropsOnlyTheRejectedToken(t *testing.T) {
	t.Parallel()
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

// Two calls of one client, of which both are rejected with the first token.
func TestUnauthorizedNeighbours(t *testing.T) {
	t.Parallel()
	source := &numbered{}
	c, mt := newTest(t, authBy(TokenAuth(source)))
	both := make(chan struct{})
	var rejected atomic.Int32
	mt.RegisterResponder(http.MethodPost, actionURL, func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("X-Auth-Token") != "token-1" {
			return httpmock.NewStringResponse(204, ""), nil
		}
		if rejected.Add(1) == 2 {
			close(both)
		}
		<-both
		return httpmock.NewStringResponse(401, tokenBody), nil
	})
	errs := make(chan error, 2)
	for _, api := range []string{"one", "two"} { // so that neither waits for its turn
		go func() {
			_, err := c.Offline(context.Background(), ActionRequest{APIID: api, EnvID: EnvRelease})
			errs <- err
		}()
	}
	for range 2 {
		assert.NoError(t, <-errs)
	}
	assert.EqualValues(t, 2, source.fetched.Load(), "the second token serves both")
}

// The source sees the values of the context of the call, such as a trace.
func TestTokenSourceSeesTheContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	var seen any
	auth := TokenAuth(sourceFunc(func(ctx context.Context) (Token, error) {
		seen = ctx.Value(key{})
		return Token{Value: "token"}, nil
	}))
	_, err := authenticated(context.WithValue(context.Background(), key{}, "trace"), auth)
	require.NoError(t, err)
	assert.Equal(t, "trace", seen)
}

func TestSecretForms(t *testing.T) {
	t.Parallel()
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
