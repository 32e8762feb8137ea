package gateway

import (
	"errors"
	"net/http"
	"slices"
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
	return record{
		PublishID:   v.publication.id,
		APIID:       v.api.id,
		APIName:     v.api.name,
		EnvID:       v.env.id,
		Remark:      v.remark,
		PublishTime: v.publication.time,
		VersionID:   v.id,
	}
}

// act does either action for one API.
func (i *Instance) act(action, apiID, envID, remark string, by *Request) (record, error) {
	if slices.Contains(i.collided, apiID) {
		return record{}, i.gw.knobs.collision
	}
	if action == "offline" {
		p, err := i.offline(apiID, envID, remark, by)
		if err != nil {
			return record{}, err
		}
		return record{APIID: apiID, APIName: p.api.name, EnvID: envID, Remark: remark}, nil
	}
	v, err := i.online(apiID, envID, remark, by)
	if err != nil {
		return record{}, err
	}
	return v.record(), nil
}

func isAction(s string) bool { return s == "online" || s == "offline" }

// serveAction publishes one API or takes it offline. Both answer 201.
func (i *Instance) serveAction(r *Request) (answer, error) {
	const code = "APIG.2011"
	if err := checkQuery(r); err != nil {
		return answer{}, err
	}
	var action, apiID, envID, remark string
	err := decode(r, code,
		field{"action", &action, true},
		field{"env_id", &envID, true},
		field{"api_id", &apiID, true},
		field{"remark", &remark, false},
	)
	if err != nil {
		return answer{}, err
	}
	if !isAction(action) {
		return answer{}, invalid(code, "action")
	}
	if err := checkRemark(code, remark); err != nil {
		return answer{}, err
	}
	done, err := i.act(action, apiID, envID, remark, r)
	if err != nil {
		return answer{}, err
	}
	return reply(http.StatusCreated, done)
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

// serveBatch does the same for many APIs, one after the other. It answers 200
// even if it failed for each of them; only what concerns the whole call makes
// the whole call fail.
func (i *Instance) serveBatch(r *Request) (answer, error) {
	const code = "APIG.2011"
	if err := checkQuery(r, "action"); err != nil {
		return answer{}, err
	}
	action := r.Query.Get("action")
	if !isAction(action) {
		return answer{}, invalid(code, "action")
	}
	var apiIDs []string
	var groupID, envID, remark string
	err := decode(r, code,
		field{"apis", &apiIDs, false},
		field{"group_id", &groupID, false},
		field{"env_id", &envID, true},
		field{"remark", &remark, false},
	)
	if err != nil {
		return answer{}, err
	}
	if len(apiIDs) > maxBatch || slices.Contains(apiIDs, "") || (len(apiIDs) > 0) == (groupID != "") {
		return answer{}, invalid(code, "apis")
	}
	if err := checkRemark(code, remark); err != nil {
		return answer{}, err
	}
	if groupID != "" {
		if apiIDs, err = i.groupAPIs(groupID); err != nil {
			return answer{}, err
		}
	}
	if _, err := i.environment(envID); err != nil {
		return answer{}, err
	}
	result := struct {
		Success []record  `json:"success"`
		Failure []failure `json:"failure"`
	}{[]record{}, []failure{}}
	for _, id := range apiIDs {
		done, err := i.act(action, id, envID, remark, r)
		if err != nil {
			result.Failure = append(result.Failure, i.failure(id, err))
			continue
		}
		result.Success = append(result.Success, done)
	}
	return reply(http.StatusOK, result)
}

func (i *Instance) groupAPIs(groupID string) ([]string, error) {
	in := i.group(groupID)
	if in == nil {
		return nil, refuse(http.StatusNotFound, "APIG.3001", "The API group does not exist,id:%s", groupID)
	}
	var ids []string
	for _, a := range i.apis {
		if a.group == in {
			ids = append(ids, a.id)
		}
	}
	return ids, nil
}

func (i *Instance) failure(apiID string, err error) failure {
	f := failure{APIID: apiID}
	var e *refusal
	if errors.As(err, &e) {
		f.Code, f.Text = e.code, e.text
	}
	if a := i.apisByID[apiID]; a != nil {
		f.APIName = a.name
	} else {
		f.Text = "Api " + apiID + " not found" // worded otherwise than for a single one
	}
	return f
}
