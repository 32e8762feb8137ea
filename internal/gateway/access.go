package gateway

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const tokenHeader = "X-Auth-Token"

// access knows who may call the gateway. It has a lock of its own, so that
// checking a token never waits for a request that is being applied.
type access struct {
	region string
	ids    *ids
	token  string

	mu       sync.Mutex
	valid    func(token string) bool
	tokens   map[string]grant
	keys     map[string]*key
	users    []User
	agencies []Agency
	domains  map[string]string // IDs by name
	projects []reference
}

// grant is the purpose of a token.
type grant struct {
	token             // as IAM shows it; without Methods for one that IAM has not issued
	expiry  time.Time // zero: never
	project string    // anyProject, noProject or an id
	expired bool      // before its time
}

const (
	anyProject = "*"
	noProject  = ""
)

func newAccess(ids *ids, region string) *access {
	a := &access{region: region, ids: ids, token: ids.next(), keys: make(map[string]*key), domains: make(map[string]string)}
	a.tokens = map[string]grant{a.token: {project: anyProject}}
	return a
}

// Token is a token that is valid for every project and never expires.
func (g *Gateway) Token() string { return g.access.token }

// AddToken makes a token valid, for every project, until the expiry; a zero
// time means for ever. An expired token is refused as expired, an unknown one as
// wrong.
func (g *Gateway) AddToken(token string, expiry time.Time) {
	g.access.mu.Lock()
	defer g.access.mu.Unlock()
	g.access.tokens[token] = grant{expiry: expiry, project: anyProject}
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

func (a *access) expire(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.tokens[token]; ok {
		known.expired = true
		a.tokens[token] = known
	}
}

// reset forgets the tokens that IAM has issued, and what clients have done to the
// other credentials.
func (a *access) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for value, known := range a.tokens {
		if known.expired = false; known.Methods == nil {
			a.tokens[value] = known
		} else {
			delete(a.tokens, value)
		}
	}
	for _, k := range a.keys {
		k.failures, k.lockedUntil = 0, time.Time{}
	}
}

// authenticate decides whether the request may reach the project in its path.
func (g *Gateway) authenticate(r *Request) error {
	known, err := g.identify(r)
	if err != nil {
		return err
	}
	switch known.project {
	case anyProject, r.project:
		return nil
	case noProject:
		return refuse(http.StatusUnauthorized, "APIG.1003", "Token contains no project information.")
	}
	return refuse(http.StatusForbidden, "APIG.1005", "No permissions to request this method")
}

// identify returns the purpose of the credentials of the request. A
// signature, where there is one, counts before a token.
func (g *Gateway) identify(r *Request) (grant, error) {
	if signed, ok := strings.CutPrefix(r.Header.Get("Authorization"), algorithm+" "); ok {
		if err := g.access.verify(r, signed, g.clock.now()); err != nil {
			return grant{}, err
		}
		return grant{project: cmp.Or(r.Header.Get("X-Project-Id"), anyProject)}, nil
	}
	return g.lookUp(r.Header.Get(tokenHeader))
}

// lookUp returns the purpose of a token.
func (g *Gateway) lookUp(token string) (grant, error) {
	g.access.mu.Lock()
	known, ok := g.access.tokens[token]
	valid := g.access.valid
	g.access.mu.Unlock()
	if valid != nil {
		known, ok = grant{project: anyProject}, token != "" && valid(token)
	}
	switch {
	case !ok:
		return grant{}, refuse(http.StatusUnauthorized, "APIG.1002", "Incorrect token or token resolution failed")
	case known.expired || !known.expiry.IsZero() && !g.clock.now().Before(known.expiry):
		return grant{}, refuse(http.StatusUnauthorized, "APIG.1001", "Session expired. Please try again later.")
	}
	return known, nil
}

// User is an IAM user, who can get tokens with a password. The IDs are generated.
type User struct {
	Name       string
	ID         string
	Password   string
	DomainName string // the account; if empty, named as the user
	DomainID   string
}

func (u User) named() named {
	return named{reference{u.ID, u.Name}, reference{u.DomainID, u.DomainName}}
}

// Agency is the right of other accounts to act for the account of a domain,
// with a token of their own (assume_role). The ID is generated.
type Agency struct {
	Name       string
	DomainName string
	DomainID   string
}

// AddUser makes a user known to IAM, in place of one of the same name and
// domain, and returns it with its ids.
func (g *Gateway) AddUser(u User) User {
	a := g.access
	a.mu.Lock()
	defer a.mu.Unlock()
	u.ID = a.ids.next()
	u.DomainName = cmp.Or(u.DomainName, u.Name)
	u.DomainID = a.domainID(u.DomainName)
	a.users = slices.DeleteFunc(a.users, func(o User) bool { return o.Name == u.Name && o.DomainID == u.DomainID })
	a.users = append(a.users, u)
	return u
}

// AddAgency makes an agency known to IAM, and returns it with its ids.
func (g *Gateway) AddAgency(agency Agency) Agency {
	a := g.access
	a.mu.Lock()
	defer a.mu.Unlock()
	agency.DomainID = a.domainID(agency.DomainName)
	a.agencies = append(a.agencies, agency)
	return agency
}

// domainID is always the same for a name.
func (a *access) domainID(name string) string {
	if a.domains[name] == "" {
		a.domains[name] = a.ids.next()
	}
	return a.domains[name]
}

// addProject adds what IAM calls a region of an account.
func (a *access) addProject(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := a.region
	if len(a.projects) > 0 {
		name += "_" + id
	}
	if !slices.ContainsFunc(a.projects, func(p reference) bool { return p.ID == id }) {
		a.projects = append(a.projects, reference{id, name})
	}
}
