package gateway

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// record answers a publish, an offline or a switch. The documented examples
// leave out what is empty.
type record struct {
	PublishID   string    `json:"publish_id,omitempty"`
	APIID       string    `json:"api_id"`
	APIName     string    `json:"api_name"`
	EnvID       string    `json:"env_id"`
	Remark      string    `json:"remark,omitempty"`
	PublishTime time.Time `json:"publish_time"` // nanoseconds; year 1 when offline
	VersionID   string    `json:"version_id,omitempty"`
}

func (v *version) record() record {
	return record{v.publication.id, v.api.id, v.api.name, v.env.ID, v.remark, v.publication.time, v.id}
}

// act does either action for one API.
func (i *Instance) act(action, apiID, envID, remark string, by *Request) (record, error) {
	if action == "offline" {
		v, err := i.offline(apiID, envID, remark, by)
		if err != nil {
			return record{}, err
		}
		return record{APIID: apiID, APIName: v.api.name, EnvID: envID, Remark: remark}, nil
	}
	v, err := i.online(apiID, envID, remark, by)
	if err != nil {
		return record{}, err
	}
	return v.record(), nil
}

// checkAction refuses what is neither action.
func checkAction(action string) error {
	if action != "online" && action != "offline" {
		return invalid("APIG.2011", "action")
	}
	return nil
}

// serveAction publishes one API or takes it offline.
func (i *Instance) serveAction(r *Request) (any, error) {
	const code = "APIG.2011"
	var body struct {
		Action string `json:"action"`
		EnvID  string `json:"env_id"`
		APIID  string `json:"api_id"`
		Remark string `json:"remark"`
	}
	if err := r.parameters(code, &body); err != nil {
		return nil, err
	}
	if err := checkAction(body.Action); err != nil {
		return nil, err
	}
	if err := check(code, body.Remark, "env_id", body.EnvID, "api_id", body.APIID); err != nil {
		return nil, err
	}
	return i.act(body.Action, body.APIID, body.EnvID, body.Remark, r)
}

// maxBatch is how many APIs a batch may name.
const maxBatch = 1000

// failure is an API of a batch that nothing happened to.
type failure struct {
	APIID   string `json:"api_id"`
	APIName string `json:"api_name"`
	Code    string `json:"error_code"`
	Text    string `json:"error_msg"`
}

// serveBatch does the same for many APIs, one after the other. It succeeds
// even if it failed for each of them; only what concerns the whole call makes
// the whole call fail.
func (i *Instance) serveBatch(r *Request) (any, error) {
	const code = "APIG.2011"
	action := r.Query.Get("action")
	if err := checkAction(action); err != nil {
		return nil, err
	}
	var body struct {
		APIs    []string `json:"apis"`
		GroupID string   `json:"group_id"`
		EnvID   string   `json:"env_id"`
		Remark  string   `json:"remark"`
	}
	if err := r.parameters(code, &body); err != nil {
		return nil, err
	}
	if err := check(code, body.Remark, "env_id", body.EnvID); err != nil {
		return nil, err
	}
	if len(body.APIs) > maxBatch || slices.Contains(body.APIs, "") || (len(body.APIs) > 0) == (body.GroupID != "") {
		return nil, invalid(code, "apis")
	}
	apiIDs := body.APIs
	if body.GroupID != "" {
		in := i.group(body.GroupID)
		if in == nil {
			return nil, refuse(http.StatusNotFound, "APIG.3001", "The API group does not exist,id:%s", body.GroupID)
		}
		for _, a := range i.apis {
			if a.group == in {
				apiIDs = append(apiIDs, a.id)
			}
		}
	}
	if _, err := i.environment(body.EnvID); err != nil {
		return nil, err
	}
	result := struct {
		Success []record  `json:"success"`
		Failure []failure `json:"failure"`
	}{[]record{}, []failure{}}
	for _, id := range apiIDs {
		done, err := i.act(action, id, body.EnvID, body.Remark, r)
		var e *refusal
		if !errors.As(err, &e) {
			result.Success = append(result.Success, done)
			continue
		}
		failed := failure{APIID: id, Code: e.code, Text: e.text}
		if a := i.apisByID[id]; a != nil {
			failed.APIName = a.name
		} else {
			failed.Text = "Api " + id + " not found" // worded otherwise than for a single one
		}
		result.Failure = append(result.Failure, failed)
	}
	return result, nil
}

// versionRow is a version in the history, which has neither publish_id nor
// api_name, and its time in whole seconds.
type versionRow struct {
	VersionID   string    `json:"version_id"`
	VersionNo   string    `json:"version_no"`
	APIID       string    `json:"api_id"`
	EnvID       string    `json:"env_id"`
	EnvName     string    `json:"env_name"`
	Remark      string    `json:"remark"`
	PublishTime time.Time `json:"publish_time"`
	Status      int       `json:"status"` // 1 in effect, 2 not
}

func (v *version) row(inEffect bool) versionRow {
	row := versionRow{v.id, v.number(), v.api.id, v.env.ID, v.env.Name, v.remark, v.time.Truncate(time.Second), 2}
	if inEffect {
		row.Status = 1
	}
	return row
}

var environmentName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{2,63}$`)

// serveHistory lists the kept versions of an API, newest first.
func (i *Instance) serveHistory(r *Request) (any, error) {
	envID, envName := r.Query.Get("env_id"), r.Query.Get("env_name")
	if envName != "" && !environmentName.MatchString(envName) {
		return nil, invalid("APIG.2012", "env_name")
	}
	a, err := i.api(r.target)
	if err != nil {
		return nil, err
	}
	var all []*version
	current := make(map[*version]bool)
	for _, p := range a.publications {
		if (envID == "" || p.env.ID == envID) && (envName == "" || p.env.Name == envName) {
			s := p.shown(i.gw.lag)
			all = append(all, s.versions...)
			current[s.current] = true
		}
	}
	slices.SortFunc(all, func(v, w *version) int { return w.seq - v.seq })
	return page(r, "api_versions", all, func(v *version) versionRow { return v.row(current[v]) })
}

// serveSwitch brings a kept version of the API back into effect.
func (i *Instance) serveSwitch(r *Request) (any, error) {
	const code = "APIG.2011"
	var body struct {
		VersionID string `json:"version_id"`
	}
	if err := r.parameters(code, &body); err != nil {
		return nil, err
	}
	if err := check(code, "", "version_id", body.VersionID); err != nil {
		return nil, err
	}
	if _, err := i.api(r.target); err != nil {
		return nil, err
	}
	v, err := i.version(body.VersionID)
	if err != nil {
		return nil, err
	}
	if v.api.id != r.target {
		return nil, noVersion(v.id)
	}
	i.apply(ActionSwitch, v, v.remark, r)
	return v.record(), nil
}

// serveOfflineVersion takes a version down, which must be the one in effect.
func (i *Instance) serveOfflineVersion(r *Request) (any, error) {
	v, err := i.version(r.target)
	if err != nil {
		return nil, err
	}
	if v.current != v {
		return nil, noVersion(v.id)
	}
	i.apply(ActionOfflineVersion, v, "", r)
	return nil, nil
}

// serveVersion shows the definition that a version has frozen.
func (i *Instance) serveVersion(r *Request) (any, error) {
	v, err := i.version(r.target)
	if err != nil {
		return nil, err
	}
	d := v.definition()
	d["version_id"] = v.id
	d["publish_time"] = v.time.Format(time.RFC3339) // whole seconds
	return d, nil
}

// serveRuntime shows the definition that calls of the API get, in RELEASE
// unless told otherwise.
func (i *Instance) serveRuntime(r *Request) (any, error) {
	v, err := i.inEffect(r.target, cmp.Or(r.Query.Get("env_id"), releaseID))
	if err != nil {
		return nil, err
	}
	d := v.definition()
	d["publish_id"] = v.publication.id
	return d, nil
}

// domain is the name under which the service serves the APIs of the group.
func (in *group) domain() string { return in.id + ".apic.example.com" }

// serveGroups lists the groups in the order of their creation.
func (i *Instance) serveGroups(r *Request) (any, error) {
	id, name := r.Query.Get("id"), r.Query.Get("name")
	precise := r.Query.Get("precise_search") == "name"
	var found []*group
	for _, in := range i.groups {
		if (id == "" || in.id == id) && (name == "" || in.name == name || !precise && strings.Contains(in.name, name)) {
			found = append(found, in)
		}
	}
	return page(r, "groups", found, func(in *group) any {
		created, isDefault := in.created.Format(time.RFC3339), 2 // no
		if in == i.groups[0] {
			isDefault = 1
		}
		return map[string]any{"id": in.id, "name": in.name, "status": 1, "sl_domain": in.domain(), "sl_domains": []string{in.domain()},
			"register_time": created, "update_time": created, "on_sell_status": 2, "remark": "", "is_default": isDefault}
	})
}

// serveVariables lists the variables of a group. Groups here have none. The page about
// ListEnvironmentVariablesV2 has these parameters. The Terraform provider makes the
// request for each group of its data source huaweicloud_apig_groups.
func (i *Instance) serveVariables(r *Request) (any, error) {
	if r.Query.Get("group_id") == "" {
		return nil, invalid("APIG.2012", "group_id")
	}
	return page(r, "variables", []any{}, func(variable any) any { return variable })
}

// serveEnvironments lists the environments in the order of their creation.
func (i *Instance) serveEnvironments(r *Request) (any, error) {
	var found []*environment
	for _, e := range i.environments {
		if strings.Contains(e.Name, r.Query.Get("name")) {
			found = append(found, e)
		}
	}
	return page(r, "envs", found, func(e *environment) *environment { return e })
}

// serveAPIs lists APIs in the order of their creation.
func (i *Instance) serveAPIs(r *Request) (any, error) {
	if _, err := r.number("type", 1); err != nil {
		return nil, err
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
func (i *Instance) serveAPI(r *Request) (any, error) {
	a, err := i.api(r.target)
	if err != nil {
		return nil, err
	}
	return a.row(), nil
}

// matches applies the filters of a list. Names and URIs match in part, unless
// precise_search says otherwise.
func (a *api) matches(query url.Values) bool {
	precise := strings.Split(query.Get("precise_search"), ",")
	similar := func(name, value string) bool {
		want := query.Get(name)
		return want == "" || value == want || strings.Contains(value, want) && !slices.Contains(precise, name)
	}
	d := a.definition()
	exact := map[string]any{
		"id": a.id, "group_id": a.group.id, "type": "1", "req_protocol": d["req_protocol"], "req_method": d["req_method"],
		"auth_type": d["auth_type"], "tags": "#no_tags#", "vpc_channel_name": "none", // APIs here have neither
	}
	for name, value := range exact {
		if want := query.Get(name); want != "" && want != value {
			return false
		}
	}
	envID := query.Get("env_id")
	return similar("name", a.name) && similar("req_uri", "/"+a.name) && (envID == "" || a.publishedIn(envID))
}

func (a *api) publishedIn(envID string) bool {
	p := a.publications[envID]
	return p != nil && p.current != nil
}

// definition is an API as the service describes it. The gateway never edits
// an API, so its published and its current definition are the same.
func (a *api) definition() map[string]any {
	registered := a.registered.Format(time.RFC3339)
	return map[string]any{
		"id":            a.id,
		"name":          a.name,
		"type":          1, // public
		"version":       "V0.0.1",
		"req_protocol":  "HTTPS",
		"req_method":    "GET",
		"req_uri":       "/" + a.name,
		"auth_type":     "NONE",
		"match_mode":    "NORMAL",
		"backend_type":  "MOCK",
		"group_id":      a.group.id,
		"group_name":    a.group.name,
		"status":        1, // valid
		"register_time": registered,
		"update_time":   registered,
	}
}

func (v *version) definition() map[string]any {
	domain := v.api.group.domain()
	d := v.api.definition()
	d["run_env_id"], d["run_env_name"] = v.env.ID, v.env.Name
	d["sl_domain"], d["sl_domains"] = domain, []string{domain}
	return d
}

// row is the definition together with all environments where the API is published,
// joined with "|" in the same order, newest first.
func (a *api) row() map[string]any {
	var published []*publication
	for _, p := range a.publications {
		if p.current != nil {
			published = append(published, p)
		}
	}
	slices.SortFunc(published, func(p, q *publication) int { return q.seq - p.seq })
	d := a.definition()
	for name, of := range map[string]func(*publication) string{
		"run_env_id":   func(p *publication) string { return p.env.ID },
		"run_env_name": func(p *publication) string { return p.env.Name },
		"publish_id":   func(p *publication) string { return p.id },
		"publish_time": func(p *publication) string { return p.time.Format(time.RFC3339) },
	} {
		var values []string
		for _, p := range published {
			values = append(values, of(p))
		}
		if values != nil {
			d[name] = strings.Join(values, "|")
		}
	}
	return d
}
