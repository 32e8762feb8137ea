package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// environmentRow is an environment as listed and as created.
type environmentRow struct {
	CreateTime time.Time `json:"create_time"`
	Name       string    `json:"name"`
	Remark     string    `json:"remark"`
	ID         string    `json:"id"`
}

func (e *environment) row() environmentRow {
	return environmentRow{e.created, e.name, e.remark, e.id}
}

// serveEnvironments lists the environments in the order of their creation.
func (i *Instance) serveEnvironments(r *Request) (answer, error) {
	if err := checkQuery(r, "name", "offset", "limit"); err != nil {
		return answer{}, err
	}
	var found []*environment
	for _, e := range i.environments {
		if strings.Contains(e.name, r.Query.Get("name")) {
			found = append(found, e)
		}
	}
	return page(r, "envs", found, (*environment).row)
}

// serveCreateEnvironment adds one.
func (i *Instance) serveCreateEnvironment(r *Request) (answer, error) {
	const code = "APIG.2012" // documented for this endpoint, though it is about the body
	if err := checkQuery(r); err != nil {
		return answer{}, err
	}
	var name, remark string
	err := decode(r, code, field{"name", &name, true}, field{"remark", &remark, false})
	if err != nil {
		return answer{}, err
	}
	if !environmentName.MatchString(name) {
		return answer{}, invalid(code, "name")
	}
	if err := checkRemark(code, remark); err != nil {
		return answer{}, err
	}
	if i.environmentNamed(name) != nil {
		return answer{}, refuse(http.StatusBadRequest, "APIG.3205", "The environment name already exists,name:%s", name)
	}
	e := i.addEnvironment(i.gw.resourceIDs.next(), name, remark)
	return reply(http.StatusCreated, e.row())
}

// serveDeleteEnvironment removes one in which nothing is published, with what
// it has kept. That RELEASE cannot be deleted is a guess.
func (i *Instance) serveDeleteEnvironment(r *Request) (answer, error) {
	if err := checkQuery(r); err != nil {
		return answer{}, err
	}
	e, err := i.environment(r.target)
	if err != nil {
		return answer{}, err
	}
	if e.id == releaseID {
		return answer{}, refuse(http.StatusForbidden, "APIG.1103", "No permissions to perform operations on this environment")
	}
	if slices.ContainsFunc(i.apis, func(a *api) bool { return a.publishedIn(e.id) }) {
		return answer{}, refuse(http.StatusForbidden, "APIG.3418", "The environment contains published APIs")
	}
	i.removeEnvironment(e)
	return answer{status: http.StatusNoContent}, nil
}

// groupRow is a group as listed.
type groupRow struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Status       int      `json:"status"` // 1: valid
	SLDomain     string   `json:"sl_domain"`
	SLDomains    []string `json:"sl_domains"`
	RegisterTime string   `json:"register_time"`
	UpdateTime   string   `json:"update_time"`
	OnSellStatus int      `json:"on_sell_status"` // 2: not listed in the marketplace
	Remark       string   `json:"remark"`
	IsDefault    int      `json:"is_default"` // 1: the group DEFAULT, 2: another one
}

// domain is the name under which the service serves the APIs of the group.
func (in *group) domain() string { return in.id + ".apic.example.com" }

// serveGroups lists the groups in the order of their creation.
func (i *Instance) serveGroups(r *Request) (answer, error) {
	if err := checkQuery(r, "id", "name", "precise_search", "offset", "limit"); err != nil {
		return answer{}, err
	}
	id, name := r.Query.Get("id"), r.Query.Get("name")
	precise := r.Query.Get("precise_search") == "name"
	var found []*group
	for _, in := range i.groups {
		if (id == "" || in.id == id) && (name == "" || in.name == name || !precise && strings.Contains(in.name, name)) {
			found = append(found, in)
		}
	}
	return page(r, "groups", found, func(in *group) groupRow {
		created := in.created.Format(time.RFC3339)
		row := groupRow{in.id, in.name, 1, in.domain(), []string{in.domain()}, created, created, 2, "", 2}
		if in == i.groups[0] {
			row.IsDefault = 1
		}
		return row
	})
}

// serveVariables lists the variables of a group. Groups here have none. The page about
// ListEnvironmentVariablesV2 has these parameters. The Terraform provider makes the
// request for each group of its data source huaweicloud_apig_groups.
func (i *Instance) serveVariables(r *Request) (answer, error) {
	if err := checkQuery(r, "group_id", "env_id", "variable_name", "precise_search", "offset", "limit"); err != nil {
		return answer{}, err
	}
	if r.Query.Get("group_id") == "" {
		return answer{}, invalid("APIG.2012", "group_id")
	}
	return page(r, "variables", []any{}, func(variable any) any { return variable })
}

// serveAPIs lists APIs in the order of their creation.
func (i *Instance) serveAPIs(r *Request) (answer, error) {
	err := checkQuery(r, "id", "name", "group_id", "req_protocol", "req_method", "req_uri", "auth_type",
		"env_id", "type", "precise_search", "vpc_channel_name", "return_data_mode", "tags", "offset", "limit")
	if err != nil {
		return answer{}, err
	}
	if _, err := number(r, "type", 1); err != nil {
		return answer{}, err
	}
	var found []*api
	for _, a := range i.apis {
		if a.matches(r.Query) {
			found = append(found, a)
		}
	}
	return page(r, "apis", found, (*api).row)
}

// serveAPI shows one API, as a list would.
func (i *Instance) serveAPI(r *Request) (answer, error) {
	if err := checkQuery(r); err != nil {
		return answer{}, err
	}
	a, err := i.api(r.target)
	if err != nil {
		return answer{}, err
	}
	return reply(http.StatusOK, a.row())
}

// row is the definition together with where the API is published.
func (a *api) row() definition {
	d := a.definition()
	a.listPublications(&d)
	return d
}

// matches applies the filters of a list. Names and URIs match in part, unless
// precise_search says otherwise.
func (a *api) matches(query url.Values) bool {
	precise := strings.Split(query.Get("precise_search"), ",")
	similar := func(name, value, want string) bool {
		return value == want || strings.Contains(value, want) && !slices.Contains(precise, name)
	}
	for name, values := range query {
		ok, want := true, values[0]
		switch name {
		case "id":
			ok = want == a.id
		case "name":
			ok = similar(name, a.name, want)
		case "group_id":
			ok = want == a.group.id
		case "env_id":
			ok = a.publishedIn(want)
		case "req_protocol":
			ok = want == apiProtocol
		case "req_method":
			ok = want == apiMethod
		case "req_uri":
			ok = similar(name, a.uri(), want)
		case "auth_type":
			ok = want == apiAuthType
		case "type":
			ok = want == "1"
		case "tags":
			ok = want == "#no_tags#" // APIs here have no tags
		case "vpc_channel_name":
			ok = false // and no channels
		}
		if !ok && want != "" {
			return false
		}
	}
	return true
}

func (a *api) publishedIn(envID string) bool {
	p := a.publications[envID]
	return p != nil && p.current != nil
}

// listPublications fills in where the API is published, newest first.
func (a *api) listPublications(d *definition) {
	var published []*publication
	for _, p := range a.publications {
		if p.current != nil {
			published = append(published, p)
		}
	}
	slices.SortFunc(published, func(p, q *publication) int { return q.seq - p.seq })
	var envIDs, envNames, ids, times []string
	for _, p := range published {
		envIDs = append(envIDs, p.env.id)
		envNames = append(envNames, p.env.name)
		ids = append(ids, p.id)
		times = append(times, p.time.Format(time.RFC3339))
	}
	d.RunEnvID = strings.Join(envIDs, "|")
	d.RunEnvName = strings.Join(envNames, "|")
	d.PublishID = strings.Join(ids, "|")
	d.PublishTime = strings.Join(times, "|")
}

// definition is an API as the service describes it. The gateway never edits
// an API, so its published and its current definition are the same.
type definition struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Type         int      `json:"type"` // 1: public
	Version      string   `json:"version"`
	ReqProtocol  string   `json:"req_protocol"`
	ReqMethod    string   `json:"req_method"`
	ReqURI       string   `json:"req_uri"`
	AuthType     string   `json:"auth_type"`
	MatchMode    string   `json:"match_mode"`
	BackendType  string   `json:"backend_type"`
	GroupID      string   `json:"group_id"`
	GroupName    string   `json:"group_name"`
	Status       int      `json:"status"` // 1: valid
	RegisterTime string   `json:"register_time"`
	UpdateTime   string   `json:"update_time"`
	SLDomain     string   `json:"sl_domain,omitempty"`
	SLDomains    []string `json:"sl_domains,omitempty"`

	// In a list: for all environments where the API is published, joined with
	// "|", in the same order.
	RunEnvID    string `json:"run_env_id,omitempty"`
	RunEnvName  string `json:"run_env_name,omitempty"`
	PublishID   string `json:"publish_id,omitempty"`
	PublishTime string `json:"publish_time,omitempty"`

	VersionID string `json:"version_id,omitempty"`
}

// What all APIs here have in common.
const (
	apiProtocol = "HTTPS"
	apiMethod   = "GET"
	apiAuthType = "NONE"
)

func (a *api) uri() string { return "/" + a.name }

func (a *api) definition() definition {
	registered := a.registered.Format(time.RFC3339)
	return definition{
		ID:           a.id,
		Name:         a.name,
		Type:         1,
		Version:      "V0.0.1",
		ReqProtocol:  apiProtocol,
		ReqMethod:    apiMethod,
		ReqURI:       a.uri(),
		AuthType:     apiAuthType,
		MatchMode:    "NORMAL",
		BackendType:  "MOCK",
		GroupID:      a.group.id,
		GroupName:    a.group.name,
		Status:       1,
		RegisterTime: registered,
		UpdateTime:   registered,
	}
}

func (v *version) definition() definition {
	d := v.api.definition()
	d.RunEnvID, d.RunEnvName = v.env.id, v.env.name
	d.SLDomain = v.api.group.domain()
	d.SLDomains = []string{d.SLDomain}
	return d
}
