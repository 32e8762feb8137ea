package apigtest

import "time"

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

func (a *api) definition() definition {
	registered := a.registered.Format(time.RFC3339)
	return definition{
		ID:           a.id,
		Name:         a.name,
		Type:         1,
		Version:      "V0.0.1",
		ReqProtocol:  "HTTPS",
		ReqMethod:    "GET",
		ReqURI:       "/" + a.name,
		AuthType:     "NONE",
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
	d.SLDomain = d.GroupID + ".apic.example.com"
	d.SLDomains = []string{d.SLDomain}
	return d
}
