package apigtest

import (
	"net/http"
	"slices"
	"time"
)

// named is how IAM shows a thing of a domain.
type named struct {
	reference
	Domain reference `json:"domain"`
}

// token is the part of the answer that says what the token is good for.
type token struct {
	Methods   []string            `json:"methods"`
	ExpiresAt string              `json:"expires_at"`
	IssuedAt  string              `json:"issued_at"`
	User      named               `json:"user"`
	Project   *named              `json:"project,omitempty"`
	Domain    *reference          `json:"domain,omitempty"`
	Roles     []reference         `json:"roles"`
	Catalog   []map[string]string `json:"catalog,omitempty"`
}

// iamTime has microseconds, all six digits of them.
const iamTime = "2006-01-02T15:04:05.000000Z"

// serveToken issues a token. Its refusals look otherwise than those of the
// gateway: the code in them is the status, and there are only two.
func (g *Gateway) serveToken(r *Request) answer {
	var request tokenRequest
	if err := decodeToken(r, &request); err != nil {
		return g.refuseToken(http.StatusBadRequest, "Request body is invalid: "+err.Error())
	}
	if scope := request.Auth.Scope; scope.Project != nil && (scope.Domain != nil || scope.Project.empty()) {
		return g.refuseToken(http.StatusBadRequest, "Request parameter scope is invalid.")
	}
	var user named
	var ok bool
	switch methods := request.Auth.Identity.Methods; {
	case slices.Equal(methods, []string{"password"}):
		user, ok = g.access.login(&request)
	case slices.Equal(methods, []string{"assume_role"}):
		_, err := g.identify(r)
		user, ok = g.access.assume(&request)
		ok = ok && err == nil
	default:
		return g.refuseToken(http.StatusBadRequest, "Request parameter methods is invalid.")
	}
	if !ok {
		return g.refuseToken(http.StatusUnauthorized, "The username or password is wrong.")
	}
	issued, ok := g.access.scope(&request, user)
	if !ok {
		return g.refuseToken(http.StatusUnauthorized, "The project or domain of the scope is not accessible.")
	}
	if r.Query.Get("nocatalog") == "" {
		issued.Catalog = []map[string]string{{"type": "apig", "name": "apig", "url": g.url}}
	}
	value := g.access.issue(&issued, g.clock.now())
	a, _ := reply(http.StatusCreated, map[string]token{"token": issued})
	a.header = http.Header{"X-Subject-Token": {value}, "X-Iam-Trace-Id": {r.ID}}
	return a
}

func (g *Gateway) refuseToken(status int, text string) answer {
	a, _ := reply(status, map[string]any{"error": map[string]any{
		"code":    status,
		"message": text,
		"title":   http.StatusText(status),
	}})
	if status == http.StatusUnauthorized {
		a.header = http.Header{"Www-Authenticate": {`Keystone uri="` + g.url + `/v3"`}}
	}
	return a
}

// login checks name or id, and password.
func (a *access) login(request *tokenRequest) (named, bool) {
	want := request.Auth.Identity.Password.User
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, u := range a.users {
		// A name means something only within its domain.
		if want.ID == "" && (want.Name == "" || want.Domain.empty()) ||
			!want.fits(u.ID, u.Name) || !want.Domain.fits(u.DomainID, u.DomainName) {
			continue
		}
		found := named{reference{u.ID, u.Name}, reference{u.DomainID, u.DomainName}}
		return found, want.Password == u.Password && !u.Disabled
	}
	return named{}, false
}

// assume finds the agency; the token then belongs to nobody in particular.
func (a *access) assume(request *tokenRequest) (named, bool) {
	want := request.Auth.Identity.AssumeRole
	domain := reference{want.DomainID, want.DomainName}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, agency := range a.agencies {
		if agency.Name == want.AgencyName && !domain.empty() && domain.fits(agency.DomainID, agency.DomainName) {
			found := reference{agency.DomainID, agency.DomainName}
			return named{reference{"", agency.DomainName + "/" + agency.Name}, found}, true
		}
	}
	return named{}, false
}

// scope finds what the token is to be for. A token for nothing in particular
// is legal, and of no use here.
func (a *access) scope(request *tokenRequest, user named) (token, bool) {
	t := token{
		Methods: request.Auth.Identity.Methods,
		User:    user,
		Roles:   []reference{{ID: "0", Name: "te_admin"}},
	}
	scope := request.Auth.Scope
	if scope.Domain != nil {
		t.Domain = &user.Domain
		return t, scope.Domain.fits(user.Domain.ID, user.Domain.Name)
	}
	if scope.Project == nil {
		return t, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.projects {
		if scope.Project.fits(p.id, p.name) {
			t.Project = &named{reference{p.id, p.name}, user.Domain}
			return t, scope.Project.Domain.fits(user.Domain.ID, user.Domain.Name)
		}
	}
	return t, false
}

// issue makes the token and remembers it. Older ones stay valid, as
// documented.
func (a *access) issue(t *token, now time.Time) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	expiry := now.Add(a.lifetime)
	t.IssuedAt, t.ExpiresAt = now.Format(iamTime), expiry.Format(iamTime)
	made := grant{expiry: expiry, project: noProject}
	if t.Project != nil {
		made.project = t.Project.ID
	}
	value := a.ids.next() + a.ids.next()
	a.tokens[value] = made
	return value
}
