package apigtest

import (
	"cmp"
	"slices"
)

// User is an IAM user, who can get tokens with a password.
type User struct {
	Name       string
	ID         string // generated if empty
	Password   string
	DomainName string // the account; if empty, named as the user
	DomainID   string // generated if empty, the same for the same name
	Disabled   bool
}

// Agency is the right of other accounts to act for the account of a domain,
// with a token of their own (assume_role).
type Agency struct {
	Name       string
	DomainName string
	DomainID   string // generated if empty, the same for the same name
}

// project is what IAM calls a region of an account.
type project struct{ id, name string }

// The name of the first project. Further ones are named like the
// sub-projects of that region until they get another name.
const defaultProjectName = "cn-north-4"

// AddUser makes a user known to IAM, in place of one of the same name and
// domain, and returns it with its ids.
func (g *Gateway) AddUser(u User) User {
	a := &g.access
	a.mu.Lock()
	defer a.mu.Unlock()
	u.ID = cmp.Or(u.ID, a.ids.next())
	u.DomainName = cmp.Or(u.DomainName, u.Name)
	u.DomainID = a.domainID(u.DomainName, u.DomainID)
	a.users = slices.DeleteFunc(a.users, func(o *User) bool {
		return o.ID == u.ID || o.Name == u.Name && o.DomainID == u.DomainID
	})
	a.users = append(a.users, &u)
	return u
}

// AddAgency makes an agency known to IAM, and returns it with its ids.
func (g *Gateway) AddAgency(agency Agency) Agency {
	a := &g.access
	a.mu.Lock()
	defer a.mu.Unlock()
	agency.DomainID = a.domainID(agency.DomainName, agency.DomainID)
	a.agencies = append(a.agencies, agency)
	return agency
}

func (a *access) domainID(name, id string) string {
	if id != "" {
		return id
	}
	for _, u := range a.users {
		if u.DomainName == name {
			return u.DomainID
		}
	}
	for _, agency := range a.agencies {
		if agency.DomainName == name {
			return agency.DomainID
		}
	}
	return a.ids.next()
}

// SetProjectName sets the name by which IAM knows a project, at first
// "cn-north-4" for the one of the first instance. A project that is not known
// yet is added.
func (g *Gateway) SetProjectName(projectID, name string) {
	g.access.addProject(projectID)
	g.access.mu.Lock()
	defer g.access.mu.Unlock()
	for n := range g.access.projects {
		if g.access.projects[n].id == projectID {
			g.access.projects[n].name = name
		}
	}
}

func (a *access) addProject(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	name := defaultProjectName
	if len(a.projects) > 0 {
		name += "_" + id
	}
	if !slices.ContainsFunc(a.projects, func(p project) bool { return p.id == id }) {
		a.projects = append(a.projects, project{id, name})
	}
}
