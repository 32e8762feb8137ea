package apig

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/apig-go/apig/internal/credcache"
	"github.com/apig-go/apig/internal/errorbody"
	"github.com/apig-go/apig/internal/sdkhmac"
)

// Keys are an access key (AK) and its secret (SK), with the security token that
// belongs to them if they are temporary. A zero Expiry means that they are not
// known to end.
type Keys struct {
	AccessKey     string
	SecretKey     Secret
	SecurityToken Secret
	Expiry        time.Time
}

// Format prints which keys these are and when they end, whatever the verb, and
// nothing secret.
func (k Keys) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "apig.Keys(%s, %s)", errorbody.Line(k.AccessKey, maxCode), ending(k.Expiry))
}

// KeySource gets keys. It does no caching: [KeyAuth] does. [*ECSKeys] is one.
type KeySource interface {
	Keys(ctx context.Context) (Keys, error)
}

// StaticKeys authenticates by signing each request with a permanent access key
// and its secret (SDK-HMAC-SHA256). Nothing secret is sent. New refuses keys
// that are empty or cannot go into a header.
func StaticKeys(accessKey, secretKey string) Authenticator {
	return fixedKeys(&Keys{AccessKey: accessKey, SecretKey: Secret(secretKey)})
}

func fixedKeys(keys *Keys) *staticKeys {
	return &staticKeys{func() *Keys { return keys }, keys.check()}
}

// staticKeys holds its keys in a function, into which nothing that prints values
// looks.
type staticKeys struct {
	keys func() *Keys
	bad  error // why they cannot be used, or nil
}

func (s *staticKeys) check() error { return s.bad }

// Authenticate signs the request.
func (s *staticKeys) Authenticate(r *http.Request) error {
	if s.bad != nil {
		return s.bad
	}
	return s.keys().sign(r)
}

// KeyAuth authenticates by signing each request with the keys of source, such
// as temporary ones. It keeps them as [TokenAuth] keeps tokens.
//
// A rejected signature is never repeated, since five of them in a row lock a
// key for five minutes; but the rejected keys are dropped, so that the next call
// asks source again.
//
// [Keys] as their own source do not change: they are used as [StaticKeys] are, and
// New refuses those that are empty or cannot go into a header. Without a source, or
// with a nil pointer as one, there is no Authenticator, which New then says.
func KeyAuth(source KeySource) Authenticator {
	if isNil(source) {
		return nil
	}
	if keys, ok := source.(Keys); ok {
		return fixedKeys(&keys)
	}
	return &keyAuth{credcache.New(func(ctx context.Context) (Keys, time.Time, error) {
		keys, err := source.Keys(ctx)
		if err != nil {
			return Keys{}, time.Time{}, err
		}
		return keys, keys.Expiry, keys.check()
	})}
}

type keyAuth struct{ keys *credcache.Cache[Keys] }

// Authenticate signs the request with living keys.
func (a *keyAuth) Authenticate(r *http.Request) error {
	keys, err := a.keys.Get(r.Context())
	if err != nil {
		return fmt.Errorf("getting keys: %w", err)
	}
	return keys.sign(r)
}

// Refresh drops the keys that signed the rejected request, and asks for no
// repetition.
func (a *keyAuth) Refresh(rejected *http.Request) bool {
	signature := rejected.Header.Get("Authorization")
	a.keys.Drop(func(k Keys) bool { return strings.Contains(signature, "Access="+k.AccessKey+",") })
	return false
}

func (k *Keys) check() error {
	if err := checkHeaderValue("access key", k.AccessKey); err != nil {
		return err
	}
	if err := checkHeaderValue("secret key", string(k.SecretKey)); err != nil {
		return err
	}
	if k.SecurityToken == "" {
		return nil
	}
	return checkHeaderValue("security token", string(k.SecurityToken))
}

// sign puts the signature on a finished request, with the date of now.
func (k *Keys) sign(r *http.Request) error {
	body, err := bodyOf(r)
	if err != nil {
		return err
	}
	if k.SecurityToken != "" {
		r.Header.Set(headerSecurityToken, string(k.SecurityToken))
	}
	sdkhmac.Sign(r, body, k.AccessKey, string(k.SecretKey), time.Now())
	return nil
}

// bodyOf reads the body of a request that is still to be sent.
func bodyOf(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.GetBody == nil {
		return nil, fmt.Errorf("the body of a %s request cannot be read twice, so it cannot be signed", r.Method)
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// signs reports whether auth signs requests, and so needs X-Project-Id on them.
func signs(auth Authenticator) bool {
	switch auth.(type) {
	case *staticKeys, *keyAuth:
		return true
	}
	return false
}

// Keys makes keys that do not change their own source, for [KeyAuth].
func (k Keys) Keys(context.Context) (Keys, error) { return k, nil }
