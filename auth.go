package apig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/apig-go/apig/internal/credcache"
)

// Authenticator puts credentials on a request. Authenticate is called once for each
// attempt, on the finished request, and may block until the request's context ends. It
// must be safe for concurrent use. An error ends the call, unless the attempt had timed
// out. The call then returns a [*CallError] that wraps it. That attempt sent nothing.
// While a history is read, Authenticate may be called again after an error. The call
// may then return an [*UnknownError], which does not wrap it.
type Authenticator interface {
	Authenticate(r *http.Request) error
}

// Refresher is implemented by an [Authenticator] that can get new credentials. Refresh is
// called after a 401 that new credentials may cure, with the rejected request. If it
// returns true, the request is attempted once more. Reading the history to settle an
// outcome may call it again. It must be safe for concurrent use.
type Refresher interface {
	Refresh(rejected *http.Request) bool
}

// The headers that carry credentials.
const (
	headerToken         = "X-Auth-Token"
	headerSecurityToken = "X-Security-Token"
	headerMetadataToken = "X-Metadata-Token"
)

const redacted = "REDACTED"

// Secret is a text that does not print: fmt, encoding/json and log/slog all show
// REDACTED. Convert it to a string to use it. JSON made of it cannot be read back.
//
// A Secret prints in clear where its methods are not called:
//
//   - with the verbs %p and %w, which suit no text (go vet reports them)
//   - in an unexported field of a struct that is printed; behind a pointer in such a
//     field, only with verbs that suit no pointer, such as %s
//   - as the key of a map in JSON
//   - with packages that read memory, such as encoding/gob, go-spew, and go-cmp with
//     unexported fields
//
// The same holds for structs of this package that contain a Secret. An Authenticator of
// this package and a Client keep their secrets in functions, out of reach of all these.
type Secret string

// Format prints REDACTED for each verb, and nothing for an empty secret.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// String is REDACTED, or empty for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// MarshalText is the same as String. encoding/json and log/slog use it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Token is an IAM token and the time of its end. A zero Expiry means that it is not known
// to end.
type Token struct {
	Value  Secret
	Expiry time.Time
}

// Format prints no part of the token with any verb.
func (t Token) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "apig.Token("+redacted+")") }

// TokenSource gets tokens. It needs no cache: [TokenAuth] has one. [*IAM] is one. Token
// must return when ctx ends.
type TokenSource interface {
	Token(ctx context.Context) (Token, error)
}

// StaticToken authenticates with a token that the caller has got from IAM. It is never
// renewed. New refuses a token that is empty or cannot be sent in a header.
func StaticToken(token string) Authenticator {
	return &staticToken{func() string { return token }, checkHeaderValue("token", token)}
}

// staticToken holds its token in a function, which nothing that prints values can read.
type staticToken struct {
	token func() string
	bad   error // why it cannot be sent, or nil
}

func (t *staticToken) check() error { return t.bad }

// Authenticate puts the token on the request. The value is the request's own: a transport
// may blank it after use.
func (t *staticToken) Authenticate(r *http.Request) error {
	if t.bad != nil {
		return t.bad
	}
	r.Header[headerToken] = []string{t.token()}
	return nil
}

// TokenAuth authenticates with the tokens of source.
//
//   - It keeps a token until five minutes before its end (a fifth of its life, if that is
//     less). All waiting calls share one fetch. If an early renewal fails, the token stays
//     in use while it is valid.
//   - If the gateway rejects a token, the token is dropped, and the request is attempted
//     once more with a new one.
//   - If source returns an error that matches [ErrUnauthorized], it is not asked again for
//     a minute: calls without a valid token get the same error. IAM locks a user after a
//     few wrong passwords.
//
// If source is nil or a nil pointer, TokenAuth returns nil, and New reports that Auth is
// missing.
func TokenAuth(source TokenSource) Authenticator {
	if isNil(source) {
		return nil
	}
	return &tokenAuth{credcache.New(func(ctx context.Context) (string, time.Time, error) {
		token, err := source.Token(ctx)
		if err != nil {
			return "", time.Time{}, err
		}
		return string(token.Value), token.Expiry, checkHeaderValue("token", string(token.Value))
	}, refusesCredentials)}
}

// refusesCredentials reports whether a source's own credentials were refused.
func refusesCredentials(err error) bool { return errors.Is(err, ErrUnauthorized) }

type tokenAuth struct{ tokens *credcache.Cache[string] }

// Authenticate puts a valid token on the request.
func (a *tokenAuth) Authenticate(r *http.Request) error {
	token, err := a.tokens.Get(r.Context())
	if err != nil {
		return fmt.Errorf("getting a token: %w", err)
	}
	r.Header[headerToken] = []string{token}
	return nil
}

// Refresh drops the rejected token, unless a newer one has replaced it.
func (a *tokenAuth) Refresh(rejected *http.Request) bool {
	value := rejected.Header.Get(headerToken)
	a.tokens.Drop(func(token string) bool { return token == value })
	return true
}

// checkHeaderValue refuses a credential that cannot be sent in a header, without showing
// it. The usual mistake is a line break at the end, from a file.
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
