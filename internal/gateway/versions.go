package gateway

import (
	"net/http"
	"regexp"
	"time"
)

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
	row := versionRow{
		VersionID:   v.id,
		VersionNo:   v.number(),
		APIID:       v.api.id,
		EnvID:       v.env.id,
		EnvName:     v.env.name,
		Remark:      v.remark,
		PublishTime: v.time.Truncate(time.Second),
		Status:      2,
	}
	if inEffect {
		row.Status = 1
	}
	return row
}

// serveHistory lists the kept versions of an API, newest first.
func (i *Instance) serveHistory(r *Request) (answer, error) {
	if err := checkQuery(r, "env_id", "env_name", "offset", "limit"); err != nil {
		return answer{}, err
	}
	envID, envName := r.Query.Get("env_id"), r.Query.Get("env_name")
	if envName != "" && !environmentName.MatchString(envName) {
		return answer{}, invalid("APIG.2012", "env_name")
	}
	a, err := i.api(r.target)
	if err != nil {
		return answer{}, err
	}
	rows := a.history(i.gw.knobs.historyLag, func(e *environment) bool {
		return (envID == "" || e.id == envID) && (envName == "" || e.name == envName)
	})
	return page(r, "api_versions", rows, func(row versionRow) versionRow { return row })
}

var environmentName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{2,63}$`)

// serveSwitch puts another version into effect.
func (i *Instance) serveSwitch(r *Request) (answer, error) {
	if err := checkQuery(r); err != nil {
		return answer{}, err
	}
	var versionID string
	if err := decode(r, "APIG.2011", field{"version_id", &versionID, true}); err != nil {
		return answer{}, err
	}
	v, err := i.switchTo(r.target, versionID, r)
	if err != nil {
		return answer{}, err
	}
	return reply(http.StatusOK, v.record())
}

// serveOfflineVersion takes the version in effect down.
func (i *Instance) serveOfflineVersion(r *Request) (answer, error) {
	if err := checkQuery(r); err != nil {
		return answer{}, err
	}
	if err := i.offlineVersion(r.target, r); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

// serveVersion shows the definition that a version has frozen.
func (i *Instance) serveVersion(r *Request) (answer, error) {
	if err := checkQuery(r); err != nil {
		return answer{}, err
	}
	v, err := i.version(r.target)
	if err != nil {
		return answer{}, err
	}
	d := v.definition()
	d.VersionID = v.id
	d.PublishTime = v.time.Format(time.RFC3339) // whole seconds
	return reply(http.StatusOK, d)
}

// serveRuntime shows the definition that calls of the API get, in RELEASE
// unless told otherwise.
func (i *Instance) serveRuntime(r *Request) (answer, error) {
	if err := checkQuery(r, "env_id"); err != nil {
		return answer{}, err
	}
	envID := r.Query.Get("env_id")
	if envID == "" {
		envID = releaseID
	}
	p, err := i.publication(r.target, envID)
	if err != nil {
		return answer{}, err
	}
	if p == nil || p.current == nil {
		return answer{}, notPublished(r.target)
	}
	d := p.current.definition()
	d.PublishID = p.id
	return reply(http.StatusOK, d)
}
