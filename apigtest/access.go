package apigtest

import (
	"cmp"
	"net/http"
	"strings"
	"sync"
	"time"
)

const tokenHeader = "X-Auth-Token"

// access knows who may call the gateway. It has a lock of its own, so that
// checking a token never waits for a request that is being applied.
type access struct {
	mu       sync.Mutex
	ids      *ids
	token    string
	lifetime time.Duration
	valid    func(token string) bool
	tokens   map[string]grant
	keys     map[string]*key
	users    []*User
	agencies []Agency
	projects []project
}

// grant is what a token is good for.
type grant struct {
	expiry  time.Time // zero: never
	project string    // anyProject, noProject or an id
}

const (
	anyProject = "*"
	noProject  = ""
)

func (a *access) init(ids *ids) {
	a.ids = ids
	a.token = ids.next()
	a.lifetime = 24 * time.Hour
	a.tokens = map[string]grant{a.token: {project: anyProject}}
	a.keys = make(map[string]*key)
}

// Token is a token that is valid for every project and never expires.
func (g *Gateway) Token() string { return g.access.token }

// AddToken makes a token valid, for every project, until the expiry; a zero
// time means for ever. A token whose time has come is refused as expired, an
// unknown one as wrong.
func (g *Gateway) AddToken(token string, expiry time.Time) {
	g.access.mu.Lock()
	defer g.access.mu.Unlock()
	g.access.tokens[token] = grant{expiry, anyProject}
}

// RevokeToken makes the gateway forget a token.
func (g *Gateway) RevokeToken(token string) {
	g.access.mu.Lock()
	defer g.access.mu.Unlock()
	delete(g.access.tokens, token)
}

// ValidateTokens has a function decide about tokens instead of the gateway's
// own table, for instance one that asks a Keystone; nil restores the table. It
// is called on every request that carries a token, from several goroutines.
func (g *Gateway) ValidateTokens(valid func(token string) bool) {
	g.access.mu.Lock()
	defer g.access.mu.Unlock()
	g.access.valid = valid
}

// SetTokenLifetime sets how long the tokens are valid that IAM issues from now
// on. At first it is 24 hours, as documented.
func (g *Gateway) SetTokenLifetime(d time.Duration) {
	g.access.mu.Lock()
	defer g.access.mu.Unlock()
	g.access.lifetime = d
}

func (a *access) expire(token string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.tokens[token]; ok {
		known.expiry = now
		a.tokens[token] = known
	}
}

// authenticate decides whether the request may reach the project in its path.
// A signature, where there is one, counts before a token.
func (g *Gateway) authenticate(r *Request) error {
	project, err := g.identify(r)
	if err != nil {
		return err
	}
	switch project {
	case anyProject, r.project:
		return nil
	case noProject:
		return refuse(http.StatusUnauthorized, "APIG.1003", "Token contains no project information.")
	}
	return refuse(http.StatusForbidden, "APIG.1005", "No permissions to request this method")
}

// identify returns the project that the credentials of the request are for.
func (g *Gateway) identify(r *Request) (project string, err error) {
	if signed, ok := strings.CutPrefix(r.Header.Get("Authorization"), algorithm+" "); ok {
		if err := g.access.verify(r, signed, g.clock.now()); err != nil {
			return "", err
		}
		return cmp.Or(r.Header.Get("X-Project-Id"), anyProject), nil
	}
	token := r.Header.Get(tokenHeader)
	g.access.mu.Lock()
	known, ok := g.access.tokens[token]
	valid := g.access.valid
	g.access.mu.Unlock()
	if valid != nil {
		known, ok = grant{project: anyProject}, token != "" && valid(token)
	}
	switch {
	case !ok:
		return "", refuse(http.StatusUnauthorized, "APIG.1002", "Incorrect token or token resolution failed")
	case !known.expiry.IsZero() && !g.clock.now().Before(known.expiry):
		return "", refuse(http.StatusUnauthorized, "APIG.1001", "Session expired. Please try again later.")
	}
	return known.project, nil
}
