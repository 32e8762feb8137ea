package gateway

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// reference names something by its id or by its name.
type reference struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// fits reports whether the given parts of the reference agree with the thing.
func (r reference) fits(thing reference) bool {
	return (r.ID == "" || r.ID == thing.ID) && (r.Name == "" || r.Name == thing.Name)
}

func (r reference) empty() bool { return r == reference{} }

// named is how IAM shows a thing of a domain, and how clients name one.
type named struct {
	reference
	Domain reference `json:"domain"`
}

// tokenRequest is the body of POST /v3/auth/tokens, as far as the fake knows
// it: a password, an agency or a token, for a project, a domain or nothing in
// particular.
type tokenRequest struct {
	Auth struct {
		Identity struct {
			Methods  []string `json:"methods"`
			Password struct {
				User struct {
					named
					Password string `json:"password"`
				} `json:"user"`
			} `json:"password"`
			AssumeRole struct {
				AgencyName string `json:"agency_name"`
				DomainName string `json:"domain_name"`
				DomainID   string `json:"domain_id"`
			} `json:"assume_role"`
			Token struct {
				ID string `json:"id"`
			} `json:"token"`
		} `json:"identity"`
		Scope json.RawMessage `json:"scope"` // a tokenScope
	} `json:"auth"`
}

type tokenScope struct {
	Project *named     `json:"project"`
	Domain  *reference `json:"domain"`
}

// token is the part of the answer that shows the purpose of the token.
type token struct {
	Methods   []string    `json:"methods"`
	ExpiresAt string      `json:"expires_at"`
	IssuedAt  string      `json:"issued_at"`
	User      named       `json:"user"`
	Project   *named      `json:"project,omitempty"`
	Domain    *reference  `json:"domain,omitempty"`
	Roles     []reference `json:"roles"`
	Catalog   []any       `json:"catalog,omitempty"`
}

// What every user may do, which is everything.
var adminRoles = []reference{{ID: "0", Name: "te_admin"}}

// iamTime has microseconds, all six digits of them.
const iamTime = "2006-01-02T15:04:05.000000Z"

var forever = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// serveToken issues a token.
func (g *Gateway) serveToken(r *Request, header http.Header) (any, error) {
	var request tokenRequest
	var scope tokenScope
	wrong, err := r.decode(&request)
	if text := request.Auth.Scope; wrong == "" && text != nil && string(text) != `"unscoped"` { // Keystone's word
		wrong, err = decode(text, &scope)
	}
	if wrong == "" && scope.Project != nil && (scope.Domain != nil || scope.Project.empty()) {
		wrong = "scope"
	}
	switch {
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "", "Request body is invalid: it is not JSON.")
	case wrong != "":
		return nil, refuse(http.StatusBadRequest, "", "Request parameter %s is invalid.", wrong)
	}
	owner, err := g.owner(r, &request)
	if err != nil {
		return nil, err
	}
	issued, ok := g.access.scope(token{Methods: request.Auth.Identity.Methods, User: owner.User, Roles: adminRoles}, scope)
	if !ok {
		return nil, refuse(http.StatusUnauthorized, "", "The project or domain of the scope is not accessible.")
	}
	value := g.access.issue(&issued, g.clock.now(), owner.expiry)
	return g.described(r, header, value, issued), nil
}

// owner finds whom the new token is for. One that is made of another token does not
// live longer than that.
func (g *Gateway) owner(r *Request, request *tokenRequest) (owner grant, err error) {
	identity := request.Auth.Identity
	var ok bool
	switch {
	case slices.Equal(identity.Methods, []string{"password"}):
		owner.User, ok = g.access.login(identity.Password.User.named, identity.Password.User.Password)
	case slices.Equal(identity.Methods, []string{"assume_role"}):
		role := identity.AssumeRole
		_, err := g.identify(r)
		owner.User, ok = g.access.assume(role.AgencyName, reference{role.DomainID, role.DomainName})
		ok = ok && err == nil
	case slices.Equal(identity.Methods, []string{"token"}):
		known, err := g.lookUp(identity.Token.ID)
		if err != nil {
			return owner, errUnauthorized
		}
		return g.access.complete(known), nil
	default:
		return owner, refuse(http.StatusBadRequest, "", "Request parameter methods is invalid.")
	}
	if !ok {
		return owner, refuse(http.StatusUnauthorized, "", "The username or password is wrong.")
	}
	return owner, nil
}

// login checks name or id, and password. A name means something only within its domain.
func (a *access) login(user named, password string) (named, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, u := range a.users {
		known := u.named()
		if (user.ID != "" || user.Name != "" && !user.Domain.empty()) && user.fits(known.reference) && user.Domain.fits(known.Domain) {
			return known, password == u.Password
		}
	}
	return named{}, false
}

// assume finds the agency; the token then belongs to nobody in particular.
func (a *access) assume(name string, domain reference) (named, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, agency := range a.agencies {
		known := reference{agency.DomainID, agency.DomainName}
		if agency.Name == name && !domain.empty() && domain.fits(known) {
			return named{reference{"", agency.DomainName + "/" + agency.Name}, known}, true
		}
	}
	return named{}, false
}

// scope finds the thing that the token is to be for. A token for nothing in particular
// is legal, and of no use here.
func (a *access) scope(t token, scope tokenScope) (token, bool) {
	if scope.Domain != nil {
		t.Domain = &t.User.Domain
		return t, scope.Domain.fits(t.User.Domain)
	}
	if scope.Project == nil {
		return t, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.projects {
		if scope.Project.fits(p) {
			t.Project = &named{p, t.User.Domain}
			return t, scope.Project.Domain.fits(t.User.Domain)
		}
	}
	return t, false
}

// issue makes the token and remembers it, until the expiry or for the documented
// time. Older ones stay valid, as documented.
func (a *access) issue(t *token, now, expiry time.Time) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if expiry.IsZero() {
		expiry = now.Add(24 * time.Hour)
	}
	t.IssuedAt, t.ExpiresAt = now.Format(iamTime), expiry.Format(iamTime)
	made := grant{token: *t, expiry: expiry, project: noProject}
	if t.Project != nil {
		made.project = t.Project.ID
	}
	value := a.ids.next() + a.ids.next()
	a.tokens[value] = made
	return value
}

// complete makes up what IAM would know of credentials that it has not issued:
// they belong to the first user, if there is one, and are for the first
// project.
func (a *access) complete(known grant) grant {
	if known.Methods != nil {
		return known
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	owner := User{ID: "apigtest", Name: "apigtest", DomainID: "apigtest", DomainName: "apigtest"}
	if len(a.users) > 0 {
		owner = a.users[0]
	}
	until := known.expiry
	if until.IsZero() {
		until = forever
	}
	known.token = token{
		Methods:   []string{"password"},
		ExpiresAt: until.UTC().Format(iamTime),
		IssuedAt:  time.Unix(0, 0).UTC().Format(iamTime),
		User:      owner.named(),
		Project:   &named{a.projects[0], owner.named().Domain},
		Roles:     adminRoles,
	}
	return known
}

// described is the answer that shows a token: its catalog is left out on request, or
// if the token is for nothing.
func (g *Gateway) described(r *Request, header http.Header, value string, t token) any {
	if (t.Project != nil || t.Domain != nil) && !r.Query.Has("nocatalog") {
		t.Catalog = g.catalog(r)
	}
	header.Set("X-Subject-Token", value)
	header.Set("X-Iam-Trace-Id", r.ID)
	return map[string]any{"token": t}
}

// serveValidation shows the purpose of the token in X-Subject-Token, to those
// who have a token themselves.
func (g *Gateway) serveValidation(r *Request, header http.Header) (any, error) {
	if _, err := g.caller(r); err != nil {
		return nil, err
	}
	value := r.Header.Get("X-Subject-Token")
	if value == "" {
		return nil, refuse(http.StatusBadRequest, "", "Request header X-Subject-Token is missing.")
	}
	known, err := g.lookUp(value)
	if err != nil {
		return nil, refuse(http.StatusNotFound, "", "The token could not be found.")
	}
	return g.described(r, header, value, g.access.complete(known).token), nil
}

// serveCatalog shows the catalog of a token that is for something.
func (g *Gateway) serveCatalog(r *Request, _ http.Header) (any, error) {
	known, err := g.caller(r)
	if err != nil {
		return nil, err
	}
	if known.Project == nil && known.Domain == nil {
		return nil, refuse(http.StatusForbidden, "", "The token is not for a project or a domain.")
	}
	return g.list(r, "catalog", g.catalog(r)), nil
}

// serveProjects lists the projects, all of which every user may reach.
func (g *Gateway) serveProjects(r *Request, _ http.Header) (any, error) {
	known, err := g.caller(r)
	if err != nil {
		return nil, err
	}
	domain, want := known.User.Domain.ID, r.Query
	rows := []any{}
	g.access.mu.Lock()
	defer g.access.mu.Unlock()
	for _, p := range g.access.projects {
		if name := want.Get("name"); name != "" && name != p.Name ||
			want.Get("enabled") == "false" || want.Get("is_domain") == "true" ||
			want.Get("domain_id") != "" && want.Get("domain_id") != domain {
			continue
		}
		rows = append(rows, map[string]any{
			"id": p.ID, "name": p.Name, "domain_id": domain, "parent_id": domain, "is_domain": false, "enabled": true,
			"description": "", "links": map[string]string{"self": g.base(r) + "/v3/projects/" + p.ID},
		})
	}
	return g.list(r, "projects", rows), nil
}

// serveDomains lists the one account that the caller belongs to.
func (g *Gateway) serveDomains(r *Request, _ http.Header) (any, error) {
	known, err := g.caller(r)
	if err != nil {
		return nil, err
	}
	domain := known.User.Domain
	return g.list(r, "domains", []any{map[string]any{
		"id": domain.ID, "name": domain.Name, "enabled": true, "description": "",
		"links": map[string]string{"self": g.base(r) + "/v3/domains/" + domain.ID},
	}}), nil
}

// serveIdentityVersion is where clients find out that this is version 3.
func (g *Gateway) serveIdentityVersion(r *Request, _ http.Header) (any, error) {
	return map[string]any{"version": map[string]any{
		"id":          "v3.6",
		"status":      "stable",
		"updated":     "2016-04-04T00:00:00Z",
		"links":       []map[string]string{{"rel": "self", "href": g.base(r) + "/v3/"}},
		"media-types": []map[string]string{{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}},
	}}, nil
}

// base is the address at which the client has reached the gateway, which behind
// another server is the address of that server.
func (g *Gateway) base(r *Request) string {
	if r.Host == "" {
		return g.url // HTTP/1.0 need not say it
	}
	return r.scheme + "://" + r.Host
}

// catalog is where the services are, in Keystone's form: both at the gateway.
func (g *Gateway) catalog(r *Request) []any {
	entry := func(kind, path string) any {
		return map[string]any{"id": kind, "type": kind, "name": kind, "endpoints": []map[string]string{{
			"id": kind, "interface": "public", "region": g.access.region, "region_id": g.access.region, "url": g.base(r) + path,
		}}}
	}
	return []any{entry("apig", ""), entry("identity", "/v3")}
}

func (g *Gateway) list(r *Request, name string, rows []any) any {
	return map[string]any{name: rows, "links": map[string]any{"self": g.base(r) + r.Path, "previous": nil, "next": nil}}
}

// caller is who makes the request, as far as IAM is concerned.
func (g *Gateway) caller(r *Request) (grant, error) {
	known, err := g.identify(r)
	if err != nil {
		return known, errUnauthorized
	}
	return g.access.complete(known), nil
}

var errUnauthorized = refuse(http.StatusUnauthorized, "", "The request you have made requires authentication.")
