package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A web page that somebody looks at must not be able to inject a fault, nor read
// anything.
func TestControlIsForThisMachine(t *testing.T) {
	g := run(t, Settings{})
	own := strings.TrimPrefix(g.URL, "http://")
	_, port, _ := strings.Cut(own, ":")
	for name, test := range map[string]struct {
		host, origin string
		allowed      bool
	}{
		"no Origin":            {own, "", true},
		"by name":              {"localhost:" + port, "", true},
		"by name, no port":     {"LOCALHOST", "", true},
		"IPv6":                 {"[::1]:" + port, "", true},
		"own Origin":           {own, g.URL, true},
		"rebound name":         {"evil.example:" + port, "", false},
		"rebound, own Origin":  {"evil.example:" + port, "http://evil.example:" + port, false},
		"looks like loopback":  {"127.0.0.1.evil.example", "", false},
		"another address":      {"192.0.2.1:" + port, "", false},
		"foreign Origin":       {own, "https://evil.example", false},
		"Origin of a file":     {own, "null", false},
		"Origin, another port": {own, "http://127.0.0.1:1", false},
	} {
		t.Run(name, func(t *testing.T) {
			header := []string{"Host", test.host}
			if test.origin != "" {
				header = append(header, "Origin", test.origin)
			}
			status, _ := g.ask("POST", "faults", `{"name":"hang"}`, header...)
			read, _ := g.ask("GET", "requests", "", header...)
			if test.allowed {
				assert.Equal(t, []int{http.StatusCreated, http.StatusOK}, []int{status, read})
			} else {
				assert.Equal(t, []int{http.StatusForbidden, http.StatusForbidden}, []int{status, read})
			}
		})
	}

	// One that listens for other machines is called by its address, or by names that it was given.
	g = run(t, Settings{Addr: "0.0.0.0:0", AllowRemote: true, Hosts: []string{"apig"}})
	_, port, _ = strings.Cut(strings.TrimPrefix(g.URL, "http://"), ":")
	g.URL = "http://127.0.0.1:" + port
	for host, want := range map[string]int{"apig:80": 200, "192.0.2.1": 200, "localhost": 200, "other": 403} {
		status, _ := g.ask("GET", "clock", "", "Host", host)
		assert.Equal(t, want, status, host)
	}
}

// A program in any language can choose one fault, and check a report against
// the journal.
func TestControl(t *testing.T) {
	g := run(t, Settings{APIs: []string{"orders", "users"}})
	orders, users := g.APIs[0].ID, g.APIs[1].ID
	status, _ := g.ask("POST", "faults", `{"name":"apply-then-close","op":"action","api_id":"`+strings.ToUpper(orders)+`"}`)
	require.Equal(t, http.StatusCreated, status)
	assert.Equal(t, http.StatusCreated, g.publish(users), "the fault is for another API")
	assert.Zero(t, g.publish(orders), "no answer")

	_, journal := g.ask("GET", "journal?api_id="+orders, "")
	require.Len(t, journal["journal"], 1)
	entry := journal["journal"].([]any)[0].(map[string]any)
	assert.Equal(t, []any{"r", "online", releaseID, 2.0}, []any{entry["remark"], entry["op"], entry["env_id"], entry["seq"]})
	_, requests := g.ask("GET", "requests?op=action&api_id="+orders, "")
	require.Len(t, requests["requests"], 1)
	sent := requests["requests"].([]any)[0].(map[string]any)
	assert.Equal(t, entry["request_id"], sent["request_id"])
	assert.Contains(t, sent["body"], "remark")
	_, journal = g.ask("GET", "journal?since=1", "")
	assert.Len(t, journal["journal"], 1)
	_, requests = g.ask("GET", "requests?since=2", "")
	assert.Empty(t, requests["requests"])
	for _, path := range []string{"requests", ""} {
		_, answer := g.ask("GET", path, "")
		text, err := json.Marshal(answer)
		require.NoError(t, err)
		assert.NotContains(t, string(text), g.value("HW_AUTH_TOKEN"), path)
	}

	// Each fault can be applied all the same, and have another answer.
	for fault, want := range map[string]int{
		`{"name":"busy","applied":true}`:                                    500,
		`{"name":"system-error","after":"1ms"}`:                             500,
		`{"name":"answer","status":503}`:                                    503,
		`{"name":"apply-then-answer","status":504,"body":"{}","skip":0}`:    504,
		`{"name":"throttle","times":1,"delay":"1ms","op":"action"}`:         429,
		`{"name":"answer","status":418,"body":"{\"error_code\":\"X.1\"}"}`:  418,
		`{"name":"apply-then-answer","status":201,"body":"{}","times":1}`:   201,
		`{"name":"conflict","applied":true,"api_id":"` + orders + `"}`:      409,
		`{"name":"not-found","applied":false,"op":"action","after":"10ms"}`: 404,
	} {
		status, answer := g.ask("POST", "faults", fault)
		require.Equal(t, http.StatusCreated, status, answer)
		status, _ = g.service("POST", "/apis/action", `{"action":"online","api_id":"`+orders+`","env_id":"`+releaseID+`"}`)
		assert.Equal(t, want, status, fault)
	}
	for _, wrong := range []string{
		``, `{`, `{"name":"close"}`, `{"name":"busy","tims":2}`, `{"name":"busy","times":0}`, `{"name":"busy","times":-2}`,
		`{"name":"busy","skip":-1}`, `{"name":"busy","op":"nonsense"}`, `{"name":"busy","delay":"1"}`, `{"name":"busy","after":"x"}`,
		`{"name":"answer","status":99}`, `{"name":"answer","body":"x"}`,
	} {
		status, answer := g.ask("POST", "faults", wrong)
		assert.Equal(t, http.StatusBadRequest, status, wrong)
		assert.NotEmpty(t, answer["error"])
	}
	for _, path := range []string{"journal?since=x", "requests?since=-1"} {
		status, _ := g.ask("GET", path, "")
		assert.Equal(t, http.StatusBadRequest, status, path)
	}
}

// Reset undoes all that clients have made.
func TestControlReset(t *testing.T) {
	g := run(t, Settings{User: "ci", Password: "secret", Tokens: []string{"t"}, Environments: []string{"staging"}})
	staging := g.Environments[1].ID
	g.publish(g.APIs[0].ID)
	status, _ := g.service("POST", "/envs", `{"name":"made"}`)
	require.Equal(t, http.StatusCreated, status)
	status, _ = g.service("DELETE", "/envs/"+staging, "")
	require.Equal(t, http.StatusNoContent, status)
	r, err := g.client.Post(g.URL+"/v3/auth/tokens", "application/json", strings.NewReader(`{"auth":{"identity":{"methods":["password"],`+
		`"password":{"user":{"name":"ci","password":"secret","domain":{"name":"example"}}}},"scope":{"project":{"id":"`+g.ProjectID+`"}}}}`))
	require.NoError(t, err)
	r.Body.Close()
	issued := r.Header.Get("X-Subject-Token")
	require.NotEmpty(t, issued)
	g.ask("POST", "faults", `{"name":"expire-token"}`)
	status, _ = g.service("GET", "/envs", "")
	require.Equal(t, http.StatusUnauthorized, status)
	g.ask("PUT", "clock", `{"offset":"25h","date_skew":"3s"}`)
	g.ask("POST", "faults", `{"name":"hang","times":-1}`)

	status, _ = g.ask("POST", "reset", "")
	require.Equal(t, http.StatusNoContent, status)
	_, journal := g.ask("GET", "journal", "")
	assert.Empty(t, journal["journal"])
	status, envs := g.service("GET", "/envs", "")
	require.Equal(t, http.StatusOK, status, "the token is valid again")
	var names []any
	for _, env := range envs["envs"].([]any) {
		names = append(names, env.(map[string]any)["name"], env.(map[string]any)["id"])
	}
	assert.Equal(t, []any{"RELEASE", releaseID, "staging", staging}, names)
	status, _ = g.ask("GET", "/v3/auth/projects", "", "X-Auth-Token", issued)
	assert.Equal(t, http.StatusUnauthorized, status, "issued to a client")
	_, clock := g.ask("GET", "clock", "")
	assert.Equal(t, []any{"0s", "0s"}, []any{clock["offset"], clock["date_skew"]})
	assert.Equal(t, http.StatusCreated, g.publish(g.APIs[0].ID))
}

// The clock can be set, and goes on from there; publications go by it.
func TestControlClock(t *testing.T) {
	g := run(t, Settings{})
	_, clock := g.ask("PUT", "clock", `{"now":"2030-01-02T03:04:05Z","date_skew":"1h"}`)
	assert.True(t, strings.HasPrefix(clock["now"].(string), "2030-01-02T03:04:"), clock["now"])
	_, record := g.service("POST", "/apis/action", `{"action":"online","api_id":"`+g.APIs[0].ID+`","env_id":"`+releaseID+`"}`)
	assert.Contains(t, record["publish_time"], "2030-01-02T03:04:")
	_, clock = g.ask("PUT", "clock", `{"offset":"-25h"}`)
	assert.Equal(t, []any{"-25h0m0s", "1h0m0s"}, []any{clock["offset"], clock["date_skew"]})
	for _, wrong := range []string{`{"now":"today"}`, `{"offset":"1"}`, `{"date_skew":"x"}`, `{"now":"2030-01-02T03:04:05Z","offset":"1h"}`, `{"of":"1h"}`} {
		status, _ := g.ask("PUT", "clock", wrong)
		assert.Equal(t, http.StatusBadRequest, status, wrong)
	}
}

// What is not imitated is a line on stderr.
func TestNotImitated(t *testing.T) {
	g := run(t, Settings{})
	g.service("GET", "/apps", "")
	g.ask("DELETE", "faults", "")
	g.service("GET", "/apps/%0Ax", "")
	g.publish(g.APIs[0].ID)
	said := strings.Split(strings.TrimSpace(g.stderr.String()), "\n")
	require.Len(t, said, 2, said)
	assert.Contains(t, said[0], `not imitated: GET "/v2/`+g.ProjectID)
	assert.Contains(t, said[1], `/apps/\nx"`)
}
