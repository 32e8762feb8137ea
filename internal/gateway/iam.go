package gateway

import (
	"net/http"
	"slices"
)

// named is how IAM shows a thing of a domain.
type named struct {
	reference
	Domain reference `json:"domain"`
}

// token is the part of the answer that says what the token is good for.
type token struct {
	Methods   []string    `json:"methods"`
	ExpiresAt string      `json:"expires_at"`
	IssuedAt  string      `json:"issued_at"`
	User      named       `json:"user"`
	Project   *named      `json:"project,omitempty"`
	Domain    *reference  `json:"domain,omitempty"`
	Roles     []reference `json:"roles"`
	Catalog   []service   `json:"catalog,omitempty"`
}

// service is an entry of the catalog, in Keystone's shape.
type service struct {
	ID        string     `json:"id"`
	Type      string     `json:"type"`
	Name      string     `json:"name"`
	Endpoints []endpoint `json:"endpoints"`
}

type endpoint struct {
	ID        string `json:"id"`
	Interface string `json:"interface"`
	Region    string `json:"region"`
	RegionID  string `json:"region_id"`
	URL       string `json:"url"`
}

// iamTime has microseconds, all six digits of them.
const iamTime = "2006-01-02T15:04:05.000000Z"

// base is the address at which the client has reached the gateway, which behind
// another server is that server's.
func (g *Gateway) base(r *Request) string {
	if r.Host == "" {
		return g.url // HTTP/1.0 need not say it
	}
	return r.scheme + "://" + r.Host
}

// catalog is where the services are: both at the gateway.
func (g *Gateway) catalog(r *Request) []service {
	entry := func(kind, id, path string) service {
		region := g.access.region
		return service{id, kind, kind, []endpoint{{id, "public", region, region, g.base(r) + path}}}
	}
	return []service{
		entry("apig", g.access.catalogIDs[0], ""),
		entry("identity", g.access.catalogIDs[1], "/v3"),
	}
}

// withCatalog adds the catalog to a token that is for something, unless the
// request does without.
func (g *Gateway) withCatalog(t token, r *Request) token {
	if (t.Project != nil || t.Domain != nil) && !r.Query.Has("nocatalog") {
		t.Catalog = g.catalog(r)
	}
	return t
}

// serveToken issues a token. The refusals of IAM look otherwise than those of
// the gateway: the code in them is the status.
func (g *Gateway) serveToken(r *Request) (answer, error) {
	var request tokenRequest
	if mistake := decodeToken(r, &request); mistake != "" {
		return g.refuseIAM(r, http.StatusBadRequest, mistake)
	}
	scope := request.Auth.Scope
	if scope.Project != nil && (scope.Domain != nil || scope.Project.empty()) {
		return g.refuseIAM(r, http.StatusBadRequest, "Request parameter scope is invalid.")
	}
	var owner grant // of the new token
	var ok bool
	switch methods := request.Auth.Identity.Methods; {
	case slices.Equal(methods, []string{"password"}):
		owner.User, ok = g.access.login(&request)
	case slices.Equal(methods, []string{"assume_role"}):
		_, err := g.identify(r)
		owner.User, ok = g.access.assume(&request)
		ok = ok && err == nil
	case slices.Equal(methods, []string{"token"}):
		known, err := g.lookUp(request.Auth.Identity.Token.ID)
		if err != nil {
			return g.unauthorized(r)
		}
		owner, ok = g.access.complete(known), true
	default:
		return g.refuseIAM(r, http.StatusBadRequest, "Request parameter methods is invalid.")
	}
	if !ok {
		return g.refuseIAM(r, http.StatusUnauthorized, "The username or password is wrong.")
	}
	issued, ok := g.access.scope(&request, owner.User)
	if !ok {
		return g.refuseIAM(r, http.StatusUnauthorized, "The project or domain of the scope is not accessible.")
	}
	// A token made of another one does not live longer than that.
	value := g.access.issue(&issued, g.clock.now(), owner.expiry)
	a, err := reply(http.StatusCreated, map[string]token{"token": g.withCatalog(issued, r)})
	a.header = http.Header{"X-Subject-Token": {value}, "X-Iam-Trace-Id": {r.ID}}
	return a, err
}

// serveValidation shows what the token in X-Subject-Token is good for, to those
// who have a token themselves.
func (g *Gateway) serveValidation(r *Request) (answer, error) {
	if _, err := g.identify(r); err != nil {
		return g.unauthorized(r)
	}
	value := r.Header.Get("X-Subject-Token")
	if value == "" {
		return g.refuseIAM(r, http.StatusBadRequest, "Request header X-Subject-Token is missing.")
	}
	known, err := g.lookUp(value)
	if err != nil {
		return g.refuseIAM(r, http.StatusNotFound, "The token could not be found.")
	}
	a, err := reply(http.StatusOK, map[string]token{"token": g.withCatalog(g.access.complete(known).token, r)})
	a.header = http.Header{"X-Subject-Token": {value}, "X-Iam-Trace-Id": {r.ID}}
	return a, err
}

// serveCatalog shows the catalog of a token that is for something.
func (g *Gateway) serveCatalog(r *Request) (answer, error) {
	known, err := g.caller(r)
	if err != nil {
		return g.unauthorized(r)
	}
	if known.Project == nil && known.Domain == nil {
		return g.refuseIAM(r, http.StatusForbidden, "The token is not for a project or a domain.")
	}
	return reply(http.StatusOK, map[string]any{"catalog": g.catalog(r), "links": g.links(r)})
}

// serveProjects lists the projects, all of which every user may reach.
func (g *Gateway) serveProjects(r *Request) (answer, error) {
	known, err := g.caller(r)
	if err != nil {
		return g.unauthorized(r)
	}
	type row struct {
		reference
		DomainID    string            `json:"domain_id"`
		ParentID    string            `json:"parent_id"`
		IsDomain    bool              `json:"is_domain"`
		Enabled     bool              `json:"enabled"`
		Description string            `json:"description"`
		Links       map[string]string `json:"links"`
	}
	rows := []row{}
	domain := known.User.Domain.ID
	for _, p := range g.access.allProjects() {
		want := r.Query
		if name := want.Get("name"); name != "" && name != p.name ||
			want.Get("enabled") == "false" || want.Get("is_domain") == "true" ||
			want.Get("domain_id") != "" && want.Get("domain_id") != domain {
			continue
		}
		rows = append(rows, row{
			reference: reference{p.id, p.name},
			DomainID:  domain,
			ParentID:  domain,
			Enabled:   true,
			Links:     map[string]string{"self": g.base(r) + "/v3/projects/" + p.id},
		})
	}
	return reply(http.StatusOK, map[string]any{"projects": rows, "links": g.links(r)})
}

// serveDomains lists the one account that the caller belongs to.
func (g *Gateway) serveDomains(r *Request) (answer, error) {
	known, err := g.caller(r)
	if err != nil {
		return g.unauthorized(r)
	}
	domain := known.User.Domain
	return reply(http.StatusOK, map[string]any{
		"domains": []map[string]any{{"id": domain.ID, "name": domain.Name, "enabled": true, "description": "",
			"links": map[string]string{"self": g.base(r) + "/v3/domains/" + domain.ID}}},
		"links": g.links(r),
	})
}

// serveIdentityVersion is where clients find out that this is version 3.
func (g *Gateway) serveIdentityVersion(r *Request) (answer, error) {
	return reply(http.StatusOK, map[string]any{"version": map[string]any{
		"id":          "v3.6",
		"status":      "stable",
		"updated":     "2016-04-04T00:00:00Z",
		"links":       []map[string]string{{"rel": "self", "href": g.base(r) + "/v3/"}},
		"media-types": []map[string]string{{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}},
	}})
}

func (g *Gateway) links(r *Request) map[string]any {
	return map[string]any{"self": g.base(r) + r.Path, "previous": nil, "next": nil}
}

func (g *Gateway) unauthorized(r *Request) (answer, error) {
	return g.refuseIAM(r, http.StatusUnauthorized, "The request you have made requires authentication.")
}

func (g *Gateway) refuseIAM(r *Request, status int, text string) (answer, error) {
	a, err := reply(status, map[string]any{"error": map[string]any{
		"code":    status,
		"message": text,
		"title":   http.StatusText(status),
	}})
	if status == http.StatusUnauthorized {
		a.header = http.Header{"Www-Authenticate": {`Keystone uri="` + g.base(r) + `/v3"`}}
	}
	return a, err
}
