package gateway

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// locked is a buffer that several goroutines use.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// launch starts a gateway as "apig gateway start" does.
func launch(t *testing.T, s Settings) (f *fixture, p *process, stderr *locked) {
	t.Helper()
	s.Region, stderr = "cn-north-4", &locked{}
	p, err := newProcess(s, stderr)
	require.NoError(t, err)
	transport := p.Transport()
	t.Cleanup(p.Close)
	t.Cleanup(transport.CloseIdleConnections)
	api := p.made.APIs[0].ID
	return &fixture{p.Gateway, t, &http.Client{Transport: transport}, api, map[string]string{"api": api, "release": releaseID}}, p, stderr
}

// A web page that somebody looks at must not be able to inject a fault, nor read
// anything.
func TestControlIsForThisMachine(t *testing.T) {
	f, _, _ := launch(t, Settings{})
	own := strings.TrimPrefix(f.URL(), "http://")
	_, port, _ := strings.Cut(own, ":")
	for name, test := range map[string]struct {
		host, origin string
		allowed      bool
	}{
		"no Origin":            {own, "", true},
		"by name":              {"localhost:" + port, "", true},
		"by name, no port":     {"LOCALHOST", "", true},
		"IPv6":                 {"[::1]:" + port, "", true},
		"own Origin":           {own, f.URL(), true},
		"rebound name":         {"evil.example:" + port, "", false},
		"rebound, own Origin":  {"evil.example:" + port, "http://evil.example:" + port, false},
		"looks like loopback":  {"127.0.0.1.evil.example", "", false},
		"another address":      {"192.0.2.1:" + port, "", false},
		"foreign Origin":       {own, "https://evil.example", false},
		"Origin of a file":     {own, "null", false},
		"Origin, another port": {own, "http://127.0.0.1:1", false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range []*http.Request{
				f.request("POST", controlPath+"faults", `{"name":"hang"}`), f.request("GET", controlPath+"requests", ""), f.request("GET", controlPath, ""),
			} {
				r.Host = test.host
				if test.origin != "" {
					r.Header.Set("Origin", test.origin)
				}
				res := f.do(r)
				assert.Equal(t, !test.allowed, res.status == http.StatusForbidden, res.body)
				assert.Equal(t, test.allowed, res.status < 300)
			}
		})
	}
	assert.NotContains(t, f.call("GET", controlPath, "").body, f.Token())

	// One that listens for other machines is called by its address, or by names that it was given.
	f, _, _ = launch(t, Settings{Addr: "0.0.0.0:0", AllowRemote: true, Hosts: []string{"apig"}})
	url := strings.Replace(f.URL(), "apig", "127.0.0.1", 1)
	for host, want := range map[string]int{"apig:80": 200, "192.0.2.1": 200, "localhost": 200, "other": 403} {
		r := f.request("GET", url+controlPath+"clock", "")
		r.Host = host
		assert.Equal(t, want, f.do(r).status, host)
	}
}

// A program in any language can choose faults, and check a report against the journal.
func TestControl(t *testing.T) {
	f, _, stderr := launch(t, Settings{APIs: []string{"orders", "users"}})
	f.converse(`
		POST /_apigtest/faults {"name":"apply-then-answer","op":"action","skip":1,"delay":"1ms","status":418,"body":"{}"}
		201 {"name":"apply-then-answer","skip":1,"op":"action","delay":"1ms","status":418,"body":"{}"}
		POST /apis/action {"action":"online","env_id":"$release","api_id":"$api","remark":"one"}
		201 {"publish_id":"$p",…}
		POST /apis/action {"action":"online","env_id":"$release","api_id":"$api","remark":"two"}
		418 {}
		GET /_apigtest/journal?since=1&env_id=$release
		200 {"journal":[{"seq":2,"time":"…","op":"online","instance_id":"…","api_id":"$api","env_id":"$release","remark":"two","version_id":"$v","request_id":"$r"}]}
		GET /_apigtest/requests?op=action&since=1
		200 {"requests":[{"seq":2,"request_id":"$r","time":"…","op":"action","method":"POST","path":"…/apis/action","instance_id":"…","api_id":"$api","user_agent":"Go-http-client/1.1","body":{…"remark":"two"}}]}
		POST /v3/auth/tokens {"password":"secret"}
		400 {…}
		GET /_apigtest/requests?op=token
		200 {"requests":[{…,"path":"/v3/auth/tokens","user_agent":"Go-http-client/1.1"}]}
		GET /_apigtest/requests?api_id=other
		200 {"requests":[]}
		GET /_apigtest/faults
		200 {"names":["answer","apply-then-answer",…],"struck":1}
		POST /_apigtest/faults {"name":"busy","times":-1,"api_id":"other"}
		201 {…}
		GET /envs
		200 {…}
		POST /_apigtest/faults {"name":"conflict","times":-1,"applied":true}
		201 {…}
		GET /envs
		409 {"error_code":"APIC.7701",…}
		DELETE /_apigtest/faults
		204
		GET /envs
		200 {…}`)
	for fault, want := range map[string]int{
		`{"name":"busy","applied":true,"api_id":"` + strings.ToUpper(f.api) + `"}`: 500,
		`{"name":"system-error","after":"1ms"}`:                                    500,
		`{"name":"answer"}`:                                                        502,
		`{"name":"throttle","times":1,"delay":"1ms","op":"action"}`:                429,
	} {
		require.Equal(t, 201, f.call("POST", controlPath+"faults", fault).status, fault)
		assert.Equal(t, want, f.publish("").status, fault)
	}
	for _, wrong := range []string{
		"POST faults", "POST faults {", `POST faults {"name":"close"}`, `POST faults {"name":"busy","tims":2}`,
		`POST faults {"name":"busy","times":0}`, `POST faults {"name":"busy","times":-2}`, `POST faults {"name":"busy","skip":-1}`,
		`POST faults {"name":"busy","op":"nonsense"}`, `POST faults {"name":"busy","delay":"1"}`, `POST faults {"name":"busy","after":"x"}`,
		`POST faults {"name":"answer","status":99}`, `POST faults {"name":"answer","body":"x"}`,
		"GET journal?since=x", "GET requests?since=-1",
		`PUT clock {"now":"today"}`, `PUT clock {"offset":"1"}`, `PUT clock {"date_skew":"x"}`, `PUT clock {"of":"1h"}`,
		`PUT clock {"now":"2030-01-02T03:04:05Z","offset":"1h"}`,
	} {
		method, rest, _ := strings.Cut(wrong, " ")
		path, body, _ := strings.Cut(rest, " ")
		res := f.call(method, controlPath+path, body)
		assert.Equal(t, http.StatusBadRequest, res.status, wrong)
		assert.NotEmpty(t, res.json()["error"])
	}
	assert.Empty(t, stderr.String())
	f.call("GET", "/apps/%0Ax", "")
	assert.Contains(t, stderr.String(), `not imitated: GET "/v2/`+f.ProjectID())
	assert.Contains(t, stderr.String(), `/apps/\nx"`, "one line")
}

// The clock can be set, and goes on from there; publications go by it. Reset sets it
// back, and begins the faults of the settings again.
func TestControlClockAndReset(t *testing.T) {
	f, _, _ := launch(t, Settings{})
	f.converse(`
		PUT /_apigtest/clock {"now":"2030-01-02T03:04:05Z","date_skew":"1h"}
		200 {"now":"2030-01-02T03:04:0…Z","offset":"…h…s","date_skew":"1h0m0s"}
		POST /apis/action {"action":"online","env_id":"$release","api_id":"$api"}
		201 {…"publish_time":"2030-01-02T03:04:…}
		PUT /_apigtest/clock {"offset":"-25h"}
		200 {…,"offset":"-25h0m0s","date_skew":"1h0m0s"}
		POST /_apigtest/faults {"name":"hang","times":-1}
		201 {…}
		POST /_apigtest/reset
		204
		GET /_apigtest/clock
		200 {…,"offset":"0s","date_skew":"0s"}
		GET /_apigtest/journal
		200 {"journal":[]}
		GET /envs
		200 {…}`)

	f, p, _ := launch(t, Settings{Faults: 1, Seed: 3})
	for range 20 {
		_, _ = f.send(f.action("online", ""))
	}
	assert.Equal(t, 20, p.Struck())
	f.call("POST", controlPath+"reset", "")
	_, _ = f.send(f.action("online", ""))
	assert.Equal(t, 1, p.Struck())
	f.call("DELETE", controlPath+"faults", "")
	assert.Equal(t, 201, f.publish("").status)
}
