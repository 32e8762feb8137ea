package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tokenRequest is the body of POST /v3/auth/tokens, as far as the fake knows
// it: a password, an agency or a token, for a project, a domain or nothing in
// particular.
type tokenRequest struct {
	Auth struct {
		Identity struct {
			Methods  []string `json:"methods"`
			Password struct {
				User struct {
					reference
					Password string    `json:"password"`
					Domain   reference `json:"domain"`
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
		Scope tokenScope `json:"scope"`
	} `json:"auth"`
}

type tokenScope struct {
	Project *struct {
		reference
		Domain reference `json:"domain"`
	} `json:"project"`
	Domain *reference `json:"domain"`
}

// UnmarshalJSON also takes the word that Keystone has for no scope.
func (s *tokenScope) UnmarshalJSON(text []byte) error {
	if string(text) == `"unscoped"` {
		return nil
	}
	type plain tokenScope // without this method
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	return dec.Decode((*plain)(s))
}

// reference names something by its id or by its name.
type reference struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// fits reports whether what is given of the reference agrees with the thing.
func (r reference) fits(id, name string) bool {
	return (r.ID == "" || r.ID == id) && (r.Name == "" || r.Name == name)
}

func (r reference) empty() bool { return r == reference{} }

// decodeToken is strict too: encoding/json would take "Auth" for "auth". What is
// wrong it says to the client, in words of JSON and not of Go; nothing is "".
func decodeToken(r *Request, into *tokenRequest) (mistake string) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return "Request body is invalid: Content-Type is not application/json."
	}
	dec := json.NewDecoder(bytes.NewReader(r.Body))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field == "":
		return "Request body is invalid: it is not an object."
	case wrongType != nil:
		path := strings.Split(wrongType.Field, ".")
		return "Request parameter " + path[len(path)-1] + " is invalid."
	case err != nil:
		if unknown, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return "Request body is invalid: unknown field " + unknown + "."
		}
		return "Request body is invalid: it is not JSON."
	}
	if _, err := dec.Token(); err != io.EOF {
		return "Request body is invalid: something follows the object."
	}
	var plain any
	_ = json.Unmarshal(r.Body, &plain)
	if name := upperCase(plain); name != "" {
		return "Request body is invalid: unknown field " + strconv.Quote(name) + "."
	}
	return ""
}

// upperCase finds a name that is not in lower case, as all of the token API
// are; the first one of an object in alphabetical order.
func upperCase(v any) string {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if name != strings.ToLower(name) {
				return name
			}
			if inner := upperCase(v[name]); inner != "" {
				return inner
			}
		}
	case []any:
		for _, element := range v {
			if inner := upperCase(element); inner != "" {
				return inner
			}
		}
	}
	return ""
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
		return u.named(), want.Password == u.Password && !u.Disabled
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

// What every user may do, which is everything.
var adminRoles = []reference{{ID: "0", Name: "te_admin"}}

// scope finds what the token is to be for. A token for nothing in particular
// is legal, and of no use here.
func (a *access) scope(request *tokenRequest, user named) (token, bool) {
	t := token{
		Methods: request.Auth.Identity.Methods,
		User:    user,
		Roles:   adminRoles,
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

// issue makes the token and remembers it, until the expiry or for the usual
// time. Older ones stay valid, as documented.
func (a *access) issue(t *token, now, expiry time.Time) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if expiry.IsZero() {
		expiry = now.Add(24 * time.Hour) // as documented
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

// caller is who makes the request, as far as IAM is concerned.
func (g *Gateway) caller(r *Request) (grant, error) {
	known, err := g.identify(r)
	return g.access.complete(known), err
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
	owner := a.nobody
	if len(a.users) > 0 {
		owner = a.users[0].named()
	}
	until := known.expiry
	if until.IsZero() {
		until = forever
	}
	first := a.projects[0] // that of the first instance
	known.token = token{
		Methods:   []string{"password"},
		ExpiresAt: until.UTC().Format(iamTime),
		IssuedAt:  time.Unix(0, 0).UTC().Format(iamTime),
		User:      owner,
		Project:   &named{reference{first.id, first.name}, owner.Domain},
		Roles:     adminRoles,
	}
	return known
}

var forever = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
