package apig

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// Authenticator puts credentials on a request. Authenticate is called once for
// each attempt, on the finished request, and may block until the request's
// context ends. It must be safe for concurrent use.
type Authenticator interface {
	Authenticate(r *http.Request) error
}

// Refresher is an Authenticator that can get new credentials. Refresh is called
// after a 401 that new credentials may cure, with the request that was
// rejected; if it returns true the call is attempted once more, exactly once.
type Refresher interface {
	Refresh(rejected *http.Request) bool
}

// The headers that carry credentials.
const (
	headerToken         = "X-Auth-Token"
	headerSecurityToken = "X-Security-Token"
	headerMetadataToken = "X-Metadata-Token"
)

var credentialHeaders = []string{headerToken, headerSecurityToken, headerMetadataToken, "Authorization"}

const redacted = "REDACTED"

// Secret is a text that does not print: fmt, encoding/json and log/slog all
// show REDACTED. Convert it to a string to use it.
//
// No method runs where fmt finds a Secret in an unexported field of a struct,
// so keep such a struct behind a pointer, which %v does not follow there. Verbs
// that suit no pointer, such as %s, do; what this package makes of the secret,
// such as an Authenticator, shows it with none.
type Secret string

// Format prints REDACTED whatever the verb, and nothing for an empty secret.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// String is REDACTED, or empty for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString is the same as String, quoted.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// MarshalText is the same as String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON is the same as String, quoted.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// LogValue is the same as String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Token is an IAM token and the time it ends. A zero Expiry means that it is
// not known to end.
type Token struct {
	Value  Secret
	Expiry time.Time
}

// TokenSource gets tokens. It does no caching: TokenAuth does. *IAM is one.
type TokenSource interface {
	Token(ctx context.Context) (Token, error)
}

// StaticToken authenticates with a token that the caller has got from IAM. It
// is never renewed. New refuses a token that is empty or cannot go into a
// header.
func StaticToken(token string) Authenticator { return &staticToken{&token} }

// staticToken holds its token behind a pointer, since fmt follows none below
// the first.
type staticToken struct{ token *string }

func (t *staticToken) check() error { return checkHeaderValue("token", *t.token) }

// Authenticate puts the token on the request.
func (t *staticToken) Authenticate(r *http.Request) error {
	if err := t.check(); err != nil {
		return err
	}
	r.Header.Set(headerToken, *t.token)
	return nil
}

// TokenAuth authenticates with the tokens of source. It keeps a token until
// five minutes before it ends (a fifth of its life, if that is less), has one
// fetch under way at a time, whose result all waiting calls share, and goes on
// with a living token when an early renewal fails. When the service rejects a
// token, that token is dropped and the call attempted once more with a new one.
//
// Without a source there is no Authenticator, which New then says.
func TokenAuth(source TokenSource) Authenticator {
	if source == nil {
		return nil
	}
	return &tokenAuth{newCache(func(ctx context.Context) (string, time.Time, error) {
		token, err := source.Token(ctx)
		if err != nil {
			return "", time.Time{}, err
		}
		return string(token.Value), token.Expiry, checkHeaderValue("token", string(token.Value))
	})}
}

type tokenAuth struct{ tokens *cache[string] }

// Authenticate puts a living token on the request.
func (a *tokenAuth) Authenticate(r *http.Request) error {
	token, err := a.tokens.get(r.Context())
	if err != nil {
		return fmt.Errorf("getting a token: %w", err)
	}
	r.Header.Set(headerToken, token)
	return nil
}

// Refresh drops the rejected token, unless a newer one has replaced it.
func (a *tokenAuth) Refresh(rejected *http.Request) bool {
	value := rejected.Header.Get(headerToken)
	a.tokens.drop(func(token string) bool { return token == value })
	return true
}

// authError marks a failure to authenticate: nothing was sent. With late it is
// not the authenticator's: the time of the attempt ended meanwhile.
type authError struct {
	err  error
	late bool
}

func (e *authError) Error() string { return e.err.Error() }
func (e *authError) Unwrap() error { return e.err }

// authenticate puts the credentials on a finished request. All clients of an
// Instance share it, so it depends on nothing but the project.
func (c *Client) authenticate(r *http.Request) error {
	if signs(c.auth) && c.projectID != "" {
		r.Header.Set("X-Project-Id", c.projectID) // signed, so before the signature
	}
	err := c.auth.Authenticate(r)
	// Getting credentials may have taken all the time there was. Here it still
	// is certain that nothing was sent.
	ended := r.Context().Err()
	if err = cmp.Or(err, ended); err != nil {
		return &authError{err, ended != nil}
	}
	return nil
}

// checkHeaderValue refuses what cannot go into a header, without showing it. A
// line break at the end, as a file has one, is the usual mistake.
func checkHeaderValue(what, s string) error {
	if s == "" {
		return errors.New("the " + what + " is empty")
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return fmt.Errorf("the %s has a space, a control character or a byte outside ASCII at position %d of %d", what, i+1, len(s))
		}
	}
	return nil
}
