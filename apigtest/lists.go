package apigtest

import (
	"net/http"
	"slices"
	"strconv"
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
	rows := []environmentRow{}
	for _, e := range i.environments {
		if strings.Contains(e.name, r.Query.Get("name")) {
			rows = append(rows, e.row())
		}
	}
	return page(r, "envs", rows)
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
	precise := strings.Split(r.Query.Get("precise_search"), ",")
	rows := []definition{}
	for _, a := range i.apis {
		d := a.definition()
		if d.matches(r, precise) && a.publishedIn(r.Query.Get("env_id")) {
			a.listPublications(&d)
			rows = append(rows, d)
		}
	}
	return page(r, "apis", rows)
}

// matches applies the filters of a list. Names and URIs match in part, unless
// precise_search says otherwise.
func (d definition) matches(r *Request, precise []string) bool {
	equal := map[string]string{
		"id":               d.ID,
		"group_id":         d.GroupID,
		"req_protocol":     d.ReqProtocol,
		"req_method":       d.ReqMethod,
		"auth_type":        d.AuthType,
		"type":             strconv.Itoa(d.Type),
		"tags":             "#no_tags#", // APIs here have no tags
		"vpc_channel_name": "",          // and no channels
	}
	for name, value := range equal {
		if want := r.Query.Get(name); want != "" && want != value {
			return false
		}
	}
	similar := map[string]string{"name": d.Name, "req_uri": d.ReqURI}
	for name, value := range similar {
		want := r.Query.Get(name)
		if !strings.Contains(value, want) || want != "" && want != value && slices.Contains(precise, name) {
			return false
		}
	}
	return true
}

func (a *api) publishedIn(envID string) bool {
	p := a.publications[envID]
	return envID == "" || p != nil && p.current != nil
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
