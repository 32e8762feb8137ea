package apig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/apig-go/apig/internal/credcache"
)

// Authenticator puts credentials on a request. Authenticate is called once for
// each attempt, on the finished request, and may block until the request's
// context ends. It must be safe for concurrent use. Its error ends the call, unless
// the time of the attempt was over: it is in a [*CallError], and in that attempt
// nothing was sent.
type Authenticator interface {
	Authenticate(r *http.Request) error
}

// Refresher is implemented by an [Authenticator] that can get new credentials.
// Refresh is called after a 401 that new credentials may cure, with the request
// that was rejected. If it returns true the request is attempted once more; reading
// the history to settle an outcome may ask it again. It must be safe for concurrent
// use.
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

// Secret is a text that does not print: fmt, encoding/json and log/slog all
// show REDACTED. Convert it to a string to use it.
//
// No method of it runs, and so it shows, where fmt is given the verbs %p or %w,
// which suit no text (go vet reports them), and where it stands in an unexported
// field of a struct that is printed. Behind a pointer in such a field it shows
// only with verbs that suit no pointer, such as %s. It also shows as the key of a
// map in JSON, and to whatever copies or prints memory without asking for methods,
// such as encoding/gob, go-spew, and go-cmp with unexported fields. The same goes
// for the structs of this package that have a Secret in them. What the package makes
// of them, such as an Authenticator or a Client, holds them in functions, into which
// none of these look.
//
// What is written as JSON cannot be read back: it is REDACTED.
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

// Format prints when the token ends, whatever the verb, and not the token.
func (t Token) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "apig.Token("+ending(t.Expiry)+")")
}

// Token makes a token that does not change its own source, for [TokenAuth].
func (t Token) Token(context.Context) (Token, error) { return t, nil }

// ending says when credentials end.
func ending(expiry time.Time) string {
	if expiry.IsZero() {
		return "without a known end"
	}
	return "until " + expiry.Format(time.RFC3339)
}

// TokenSource gets tokens. It does no caching: [TokenAuth] does. [*IAM] is one.
type TokenSource interface {
	Token(ctx context.Context) (Token, error)
}

// StaticToken authenticates with a token that the caller has got from IAM. It
// is never renewed. New refuses a token that is empty or cannot go into a
// header.
func StaticToken(token string) Authenticator {
	header := []string{token}
	return &staticToken{func() []string { return header }, checkHeaderValue("token", token)}
}

// staticToken holds its token in a function, into which nothing that prints
// values looks, as the values of the header, which nobody changes.
type staticToken struct {
	header func() []string
	bad    error // why it cannot be sent, or nil
}

func (t *staticToken) check() error { return t.bad }

// Authenticate puts the token on the request.
func (t *staticToken) Authenticate(r *http.Request) error {
	if t.bad != nil {
		return t.bad
	}
	r.Header[headerToken] = t.header()
	return nil
}

// TokenAuth authenticates with the tokens of source. It keeps a token until
// five minutes before it ends (a fifth of its life, if that is less), has one
// fetch under way at a time, whose result all waiting calls share, and goes on
// with a living token when an early renewal fails. When the service rejects a
// token, that token is dropped, and the request attempted once more with a new one.
//
// A [Token] as its own source does not change: it is used as [StaticToken] is, and
// New refuses one that is empty or cannot go into a header. Without a source, or
// with a nil pointer as one, there is no Authenticator, which New then says.
func TokenAuth(source TokenSource) Authenticator {
	if isNil(source) {
		return nil
	}
	if token, ok := source.(Token); ok {
		return StaticToken(string(token.Value))
	}
	return &tokenAuth{credcache.New(func(ctx context.Context) (string, time.Time, error) {
		token, err := source.Token(ctx)
		if err != nil {
			return "", time.Time{}, err
		}
		return string(token.Value), token.Expiry, checkHeaderValue("token", string(token.Value))
	})}
}

type tokenAuth struct{ tokens *credcache.Cache[string] }

// Authenticate puts a living token on the request.
func (a *tokenAuth) Authenticate(r *http.Request) error {
	token, err := a.tokens.Get(r.Context())
	if err != nil {
		return fmt.Errorf("getting a token: %w", err)
	}
	r.Header.Set(headerToken, token)
	return nil
}

// Refresh drops the rejected token, unless a newer one has replaced it.
func (a *tokenAuth) Refresh(rejected *http.Request) bool {
	value := rejected.Header.Get(headerToken)
	a.tokens.Drop(func(token string) bool { return token == value })
	return true
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
