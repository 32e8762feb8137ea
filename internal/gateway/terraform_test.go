package gateway

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The requests in this file are those of a run of Terraform 1.5.7, but for IDs and names. The resource was
// huaweicloud/terraform-provider-huaweicloud at commit 016747e,
// huaweicloud/services/apig/resource_huaweicloud_apig_api_publishment.go. Below it was a
// substitute for chnsz/golangsdk, made after provider_client.go at 09016e4 and
// openstack/apigw/dedicated/v2/apis/requests.go at f7dc4e3.

// golangsdk sends a request as golangsdk does, and reads the answer into a value.
func (f *fixture) golangsdk(method, path, body string, into any) {
	f.t.Helper()
	r := f.request(method, path, body)
	r.Header.Set("Accept", "application/json")
	accepted := []int{http.StatusOK}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
		accepted = append(accepted, http.StatusCreated, http.StatusAccepted)
	}
	res := f.do(r)
	require.Contains(f.t, accepted, res.status, res.body)
	require.NoError(f.t, json.Unmarshal([]byte(res.body), into), res.body)
}

// publishment is what the provider keeps in its state.
type publishment struct {
	EnvID, APIID, EnvName, Description, PublishedAt, PublishID string
	Histories                                                  []string // versions, newest first
}

// refresh makes the requests of a plan. Without a version in effect, or without the
// environment in the list of the API, the provider would fail.
func (f *fixture) refresh() publishment {
	f.t.Helper()
	var history struct {
		Versions []struct {
			ID          string `json:"version_id"`
			APIID       string `json:"api_id"`
			EnvID       string `json:"env_id"`
			EnvName     string `json:"env_name"`
			Description string `json:"remark"`
			PublishTime string `json:"publish_time"`
			Status      int    `json:"status"`
		} `json:"api_versions"`
	}
	f.golangsdk("GET", "/apis/publish/"+f.api+"?env_id="+releaseID, "", &history)
	var state publishment
	for _, v := range history.Versions {
		state.Histories = append(state.Histories, v.ID)
		if v.Status == 1 {
			state.EnvID, state.APIID, state.EnvName = v.EnvID, v.APIID, v.EnvName
			state.Description, state.PublishedAt = v.Description, v.PublishTime
		}
	}
	var api struct {
		PublishID string `json:"publish_id"`
		RunEnvID  string `json:"run_env_id"`
	}
	f.golangsdk("GET", "/apis/"+f.api, "", &api)
	n := slices.Index(strings.Split(api.RunEnvID, "|"), state.EnvID)
	require.GreaterOrEqual(f.t, n, 0, api.RunEnvID)
	state.PublishID = strings.Split(api.PublishID, "|")[n]
	return state
}

// After each change the next plan is empty: the description is as configured, and
// nothing else has changed since.
func TestTerraformPublishment(t *testing.T) {
	f := start(t)
	_, err := f.Publish(f.api, f.AddEnvironment("staging"), "in another environment")
	require.NoError(t, err)
	action := `{"action":"online","api_id":"` + f.api + `","env_id":"` + releaseID + `"`
	var record map[string]string // all members are strings
	apply := func(method, path, body, description string) publishment {
		t.Helper()
		f.golangsdk(method, path, body+"\n", &record)
		state := f.refresh()
		assert.Equal(t, description, state.Description)
		assert.Equal(t, []string{releaseID, f.api, "RELEASE"}, []string{state.EnvID, state.APIID, state.EnvName})
		assert.Equal(t, state, f.refresh())
		return state
	}

	first := apply("POST", "/apis/action", action+`,"remark":"first"}`, "first")
	assert.Equal(t, f.History(f.api, releaseID)[0].PublishID, first.PublishID)
	second := apply("POST", "/apis/action", action+`,"remark":"second"}`, "second")
	assert.Equal(t, []string{second.Histories[0], first.Histories[0]}, second.Histories)
	switched := apply("PUT", "/apis/publish/"+f.api, `{"version_id":"`+first.Histories[0]+`"}`, "first")
	assert.Equal(t, second.Histories, switched.Histories)

	f.golangsdk("POST", "/apis/action", strings.Replace(action, "online", "offline", 1)+"}\n", &record)
	_, published := f.Published(f.api, releaseID)
	assert.False(t, published, "destroyed")
	apply("POST", "/apis/action", action+"}", "") // without a description
}

// The data sources of environments, APIs and groups were rewritten for the run, with
// the requests of the provider's.
func TestTerraformDataSources(t *testing.T) {
	f := start(t)
	id := func(path, list string) []any {
		t.Helper()
		return f.call("GET", path, "").column(list, "id")
	}
	assert.Equal(t, []any{releaseID}, id("/envs?name=RELEASE", "envs"))
	assert.Equal(t, []any{f.api}, id("/apis?limit=500&name=orders&offset=0&precise_search=name", "apis"))
	assert.Empty(t, id("/apis?limit=500&name=orders&offset=1&precise_search=name", "apis"), "the provider reads on until a page is empty")
	group := id("/api-groups?name=DEFAULT", "groups")[0].(string)
	assert.Empty(t, id("/env-variables?group_id="+group, "variables"))
	assert.Equal(t, OpGroups, f.Requests()[4].Op)
	f.call("GET", "/env-variables", "").refused(400, "APIG.2012", "group_id")
}
