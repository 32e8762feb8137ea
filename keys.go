package apig

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apig-go/apig/internal/credcache"
	"github.com/apig-go/apig/internal/errorbody"
	"github.com/apig-go/apig/internal/sdkhmac"
)

// Keys are an access key (AK) and its secret key (SK). Temporary keys also have a security
// token. A zero Expiry means that they are not known to end.
type Keys struct {
	AccessKey     string
	SecretKey     Secret
	SecurityToken Secret
	Expiry        time.Time
}

// Format prints the access key with any verb, and nothing secret.
func (k Keys) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "apig.Keys(%s)", errorbody.Line(k.AccessKey, maxCode))
}

// KeySource gets keys. It needs no cache: [KeyAuth] has one. [*ECSKeys] is one. Keys must
// return when ctx ends.
type KeySource interface {
	Keys(ctx context.Context) (Keys, error)
}

// StaticKeys authenticates by signing each request with keys that the caller has got
// (SDK-HMAC-SHA256). A secret key is never sent. The keys are never renewed, and their
// Expiry has no meaning here. New refuses keys that are empty or cannot be sent in a
// header. [KeyAuth] says how a Client lowers the risk that the service locks a key.
func StaticKeys(keys Keys) Authenticator {
	return &staticKeys{newPair(keys, new(trial)), keys.check()}
}

type staticKeys struct {
	pair *pair
	bad  error // why the keys cannot be used, or nil
}

func (s *staticKeys) check() error { return s.bad }

// Authenticate signs a request of the caller's own.
func (s *staticKeys) Authenticate(r *http.Request) error {
	if s.bad != nil {
		return s.bad
	}
	return s.pair.keys().sign(r)
}

func (s *staticKeys) authenticate(r *http.Request) (*pair, error) {
	if s.bad != nil {
		return nil, s.bad
	}
	return s.pair.sign(r)
}

// KeyAuth authenticates by signing each request with the keys of source, such as temporary
// ones. It keeps them as [TokenAuth] keeps tokens. Five refused signatures in a row lock a
// key for five minutes, also for other programs, so in a Client
//
//   - until keys have signed a request that succeeded, at most four requests signed with
//     them are in flight; the others wait;
//   - after a refusal they are not used for a minute: calls get an error that matches
//     [ErrUnauthorized] and send nothing. For keys that have worked this takes two
//     refusals in a row. After the minute one request at a time tries them;
//   - a request with a refused signature is not repeated. The keys are dropped, so that the
//     next call asks source again.
//
// Keys that have worked have no such bound: if they are revoked while five requests are in
// flight, the refusals lock them.
//
// If source is nil or a nil pointer, KeyAuth returns nil, and New reports that Auth is
// missing.
func KeyAuth(source KeySource) Authenticator {
	if isNil(source) {
		return nil
	}
	var latest atomic.Pointer[pair]
	return &keyAuth{credcache.New(func(ctx context.Context) (*pair, time.Time, error) {
		keys, err := source.Keys(ctx)
		if err != nil {
			return nil, time.Time{}, err
		}
		t := new(trial)
		if old := latest.Load(); old != nil && old.keys().same(keys) {
			t = old.trial
		}
		p := newPair(keys, t)
		latest.Store(p)
		return p, keys.Expiry, keys.check()
	}, refusesCredentials)}
}

type keyAuth struct{ keys *credcache.Cache[*pair] }

// Authenticate signs a request of the caller's own.
func (a *keyAuth) Authenticate(r *http.Request) error {
	p, err := a.get(r.Context())
	if err != nil {
		return err
	}
	return p.keys().sign(r)
}

func (a *keyAuth) authenticate(r *http.Request) (*pair, error) {
	p, err := a.get(r.Context())
	if err != nil {
		return nil, err
	}
	return p.sign(r)
}

func (a *keyAuth) get(ctx context.Context) (*pair, error) {
	p, err := a.keys.Get(ctx)
	if err != nil {
		return nil, fmt.Errorf("getting keys: %w", err)
	}
	return p, nil
}

// Refresh drops the keys that signed the rejected request. It asks for no retry.
func (a *keyAuth) Refresh(rejected *http.Request) bool {
	signature := rejected.Header.Get("Authorization")
	a.keys.Drop(func(p *pair) bool { return strings.Contains(signature, "Access="+p.keys().AccessKey+",") })
	return false
}

// guarded is an Authenticator that signs the requests of a Client, which tells the pair how
// each of them ended.
type guarded interface {
	authenticate(r *http.Request) (*pair, error)
}

// pair is a pair of keys, in a function, which nothing that prints values can read.
type pair struct {
	keys  func() *Keys
	trial *trial // shared by pairs with the same keys
}

func newPair(keys Keys, t *trial) *pair { return &pair{func() *Keys { return &keys }, t} }

// sign signs a request of a Client once its turn has come.
func (p *pair) sign(r *http.Request) (*pair, error) {
	if err := p.trial.begin(r.Context()); err != nil {
		return nil, err
	}
	if err := p.keys().sign(r); err != nil {
		p.trial.end(nil)
		return nil, err
	}
	return p, nil
}

// tellKeys tells the keys that an attempt was signed with how it ended.
func (now *attempt) tellKeys() {
	if now.keys != nil {
		now.keys.trial.end(&now.answer)
	}
}

const (
	unprovenAtOnce = 4           // requests in flight with keys that have not worked yet
	refusedAtOnce  = 1           // and with keys whose latest signature was refused
	refusedPause   = time.Minute // in which refused keys are not used
)

var errRefusedKeys = fmt.Errorf("%w: the service has just refused these keys, which are not used for a minute: five refused signatures lock a key", ErrUnauthorized)

// trial counts the answers of the service to a pair of keys.
type trial struct {
	mu       sync.Mutex
	inFlight int
	proven   bool          // a request has succeeded, and none was refused since
	refused  time.Time     // the latest refusal without proof; zero: none since the latest success
	changed  chan struct{} // closed at the end of a request; nil: no call waits for one
}

// begin waits until one more request may be signed.
func (t *trial) begin(ctx context.Context) error {
	for {
		changed, err := t.tryBegin()
		if changed == nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tryBegin returns a channel to wait for, unless a request may be signed or must not be.
func (t *trial) tryBegin() (changed <-chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	most := unprovenAtOnce
	if !t.refused.IsZero() {
		most = refusedAtOnce
	}
	switch {
	case !t.refused.IsZero() && time.Since(t.refused) < refusedPause:
		return nil, errRefusedKeys
	case !t.proven && t.inFlight >= most:
		if t.changed == nil {
			t.changed = make(chan struct{})
		}
		return t.changed, nil
	}
	t.inFlight++
	return nil, nil
}

// end takes in the answer to a signed request; nil means that it was not sent.
func (t *trial) end(a *answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inFlight--
	switch {
	case a == nil:
	case a.status >= 200 && a.status < 300:
		t.proven, t.refused = true, time.Time{}
	case a.refusesSignature():
		if !t.proven {
			t.refused = time.Now()
		}
		t.proven = false
	}
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// refusesSignature reports whether the answer refuses the credentials themselves.
func (a *answer) refusesSignature() bool {
	return a.status == http.StatusUnauthorized &&
		classify(&failure{status: a.status, code: Code(errorbody.Parse(a.body).Code)}) == renew
}

// same reports whether both are the same keys. Their ends may differ.
func (k *Keys) same(other Keys) bool {
	other.Expiry = k.Expiry
	return *k == other
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

// sign puts a signature with the present time on a finished request.
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
