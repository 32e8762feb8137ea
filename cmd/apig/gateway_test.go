package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
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

// gatewayProcess is "apig gateway -json" while it runs.
type gatewayProcess struct {
	inventory
	t      *testing.T
	stderr locked
	client *http.Client
	stop   func() (code int)
}

func startProcess(t *testing.T, args ...string) *gatewayProcess {
	t.Helper()
	g := &gatewayProcess{t: t, client: &http.Client{Transport: &http.Transport{}}}
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append([]string{"gateway", "-json"}, args...), nil, in, &g.stderr, os.Getenv)
		in.Close()
	}()
	g.stop = sync.OnceValue(func() int {
		cancel()
		g.client.CloseIdleConnections()
		return <-ended
	})
	t.Cleanup(func() { g.stop() })
	require.NoError(t, json.NewDecoder(out).Decode(&g.inventory), &g.stderr)
	return g
}

func (g *gatewayProcess) value(name string) string {
	for _, v := range g.Variables {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

// call makes a request to the control address.
func (g *gatewayProcess) call(method, path, body string) (status int, answer map[string]any) {
	g.t.Helper()
	r, err := http.NewRequest(method, g.Control+path, strings.NewReader(body))
	require.NoError(g.t, err)
	got, err := g.client.Do(r)
	require.NoError(g.t, err)
	defer got.Body.Close()
	if got.StatusCode != http.StatusNoContent {
		require.NoError(g.t, json.NewDecoder(got.Body).Decode(&answer))
	}
	return got.StatusCode, answer
}

// publish runs the program against the gateway.
func (g *gatewayProcess) publish(args ...string) (code int, to result) {
	g.t.Helper()
	for _, v := range g.Variables {
		g.t.Setenv(v.Name, v.Value)
	}
	var stdout, stderr bytes.Buffer
	code = run(context.Background(), append([]string{"publish", "-json=lines"}, args...), nil, &stdout, &stderr, os.Getenv)
	require.NoError(g.t, json.Unmarshal(stdout.Bytes(), &to), stderr.String())
	return code, to
}

// What the gateway prints is all that a client needs, whatever is in it: a shell
// that reads it has the values as they are, and executes nothing.
func TestGatewayVariables(t *testing.T) {
	const awkward = `p$HOME; touch injected` + "`id`" + ` 'quoted' "twice" \ #`
	dir := t.TempDir()
	env := filepath.Join(dir, "gateway.env")
	g := startProcess(t, "-apis", "orders,shop/cart", "-many", "2", "-envs", "staging", "-region", "eu-west-101",
		"-project", "1234567890abcdef1234567890abcdef", "-instance", "my-gateway",
		"-user", "ci", "-password", awkward, "-domain", "d;e", "-ak", "AK", "-sk", awkward, "-token", "one", "-token", "two",
		"-env-file", env)
	assert.Equal(t, "1234567890abcdef1234567890abcdef", g.ProjectID)
	assert.Equal(t, "my-gateway", g.InstanceID)
	require.Len(t, g.APIs, 4)
	require.Len(t, g.Groups, 1)
	require.Len(t, g.Environments, 2)
	assert.Equal(t, awkward, g.value("HW_PASSWORD"))
	assert.Equal(t, g.URL, g.value("HUAWEICLOUD_SDK_REGION_APIG_EU_WEST_101"))
	assert.Empty(t, g.value("OS_TOKEN"), "openstackclient refuses one beside a password")

	text, err := os.ReadFile(env)
	require.NoError(t, err)
	for _, api := range g.APIs {
		assert.Contains(t, string(text), "# API "+api.ID+" "+api.Name)
	}
	info, err := os.Stat(env)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "it holds a password")

	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no sh: ", err)
	}
	command := exec.Command(shell, "-c", `. "$1"; printf %s "$HW_PASSWORD|$OS_PASSWORD|$HUAWEICLOUD_SDK_SK|$HW_DOMAIN_NAME"`, "sh", env)
	command.Dir = dir
	printed, err := command.Output()
	require.NoError(t, err)
	assert.Equal(t, awkward+"|"+awkward+"|"+awkward+"|d;e", string(printed))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing was executed")

	assert.Equal(t, exitDone, g.stop())
	assert.NoFileExists(t, env)
	assert.Contains(t, g.stderr.String(), "0 requests, 0 struck by faults, 0 changes")
}

// Without -json the inventory is shell commands, and with -quiet stderr is silent.
func TestGatewayPrints(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitDone, run(ctx, []string{"gateway", "-quiet", "-many", "2", "-faults", "1"}, nil, &stdout, &stderr, os.Getenv))
	assert.Regexp(t, `(?s)^export APIGTEST_URL='http://127\.0\.0\.1:\d+'\n.*# API [0-9a-f]{32} api-0001\n`, stdout.String())
	assert.Empty(t, stderr.String())
}

// All credentials that were given work, one at a time.
func TestGatewayCredentials(t *testing.T) {
	g := startProcess(t, "-user", "ci", "-password", "correct horse", "-ak", "QTWAOYTTINDUT2QVKYUC", "-sk", "s$cret",
		"-token", "one", "-token", "two", "-region", "ap-southeast-1")
	credentials := []string{"HW_AUTH_TOKEN", "HW_ACCESS_KEY", "HW_SECRET_KEY", "HW_USER_NAME", "HW_PASSWORD", "HW_DOMAIN_NAME",
		"HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"}
	for name, keep := range map[string][]string{
		"token":     {"HW_AUTH_TOKEN"},
		"AK/SK":     {"HW_ACCESS_KEY", "HW_SECRET_KEY"},
		"user":      {"HW_USER_NAME", "HW_PASSWORD", "HW_DOMAIN_NAME"},
		"SDK AK/SK": {"HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, v := range g.Variables {
				t.Setenv(v.Name, v.Value)
			}
			for _, other := range credentials {
				t.Setenv(other, "")
			}
			for _, kept := range keep {
				require.NotEmpty(t, g.value(kept))
				t.Setenv(kept, g.value(kept))
			}
			cfg, err := apig.ConfigFromEnv()
			require.NoError(t, err)
			client, err := apig.New(cfg)
			require.NoError(t, err)
			defer client.CloseIdleConnections()
			_, err = client.Publish(t.Context(), apig.ActionRequest{APIID: g.APIs[0].ID, EnvID: release})
			assert.NoError(t, err)
		})
	}
	t.Run("by the name of the region", func(t *testing.T) {
		client, err := apig.New(apig.Config{
			Endpoint: g.URL, ProjectID: g.ProjectID, InstanceID: g.InstanceID,
			Auth: apig.TokenAuth(&apig.IAM{
				Endpoint: g.URL, Username: "ci", Password: "correct horse", DomainName: "example", ProjectName: "ap-southeast-1",
			}),
		})
		require.NoError(t, err)
		defer client.CloseIdleConnections()
		_, err = client.Publish(t.Context(), apig.ActionRequest{APIID: g.APIs[0].ID, EnvID: release})
		assert.NoError(t, err)
	})
}

func TestGatewayFlags(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for name, args := range map[string][]string{
		"-ak without -sk":         {"-ak", "AK"},
		"-sk without -ak":         {"-sk", "SK"},
		"-user without -password": {"-user", "ci"},
		"share below 0":           {"-faults", "-0.1"},
		"share above 1":           {"-faults", "1.1"},
		"no number":               {"-faults", "NaN"},
		"less than none":          {"-many", "-1"},
		"not loopback":            {"-addr", "0.0.0.0:0"},
		"no address":              {"-addr", "8080"},
		"taken port":              {"-addr", taken.Addr().String()},
		"certificate for nothing": {"-cert-file", "cert.pem"},
		"no region":               {"-region", ""},
		"no place for it":         {"-tls", "-cert-file", filepath.Join(t.TempDir(), "nowhere", "cert.pem")},
		"an argument":             {"orders"},
		"no such directory":       {"-env-file", filepath.Join(t.TempDir(), "nowhere", "gateway.env")},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			ctx, cancel := context.WithCancel(context.Background())
			cancel() // if it takes the flags, it ends at once, with another code
			assert.Equal(t, exitUsage, run(ctx, append([]string{"gateway"}, args...), nil, &stdout, &stderr, os.Getenv))
			assert.NotEmpty(t, stderr.String())
			assert.NotContains(t, stderr.String(), "goroutine")
		})
	}
}

// A program in any language can choose one fault, and check a report against
// what has happened.
func TestControl(t *testing.T) {
	g := startProcess(t, "-apis", "orders,users")
	orders := g.APIs[0].ID
	status, faults := g.call("GET", "faults", "")
	require.Equal(t, http.StatusOK, status)
	assert.Contains(t, faults["names"], "apply-then-close")

	status, _ = g.call("POST", "faults", `{"name":"apply-then-close","op":"action","api_id":"`+strings.ToUpper(orders)+`"}`)
	require.Equal(t, http.StatusCreated, status)
	code, to := g.publish("-api", "users")
	require.Equal(t, exitDone, code)
	assert.False(t, to.Recovered, "the fault is for another API")
	code, to = g.publish("-api", "orders", "-remark", "1.4.2")
	require.Equal(t, exitDone, code)
	assert.True(t, to.Recovered)

	_, journal := g.call("GET", "journal?api_id="+orders, "")
	entries := journal["journal"].([]any)
	require.Len(t, entries, 1)
	entry := entries[0].(map[string]any)
	assert.Equal(t, to.Remark, entry["remark"])
	assert.Equal(t, to.Record.VersionID, entry["version_id"])
	assert.Equal(t, "online", entry["op"])

	_, requests := g.call("GET", "requests?op=action&api_id="+orders, "")
	sent := requests["requests"].([]any)
	require.Len(t, sent, 1)
	assert.Equal(t, entry["request_id"], sent[0].(map[string]any)["request_id"])
	_, journal = g.call("GET", "journal?since=1", "")
	assert.Len(t, journal["journal"], 1)
	_, requests = g.call("GET", "requests?op=action&since="+fmt.Sprint(sent[0].(map[string]any)["seq"]), "")
	assert.Empty(t, requests["requests"])
	_, requests = g.call("GET", "requests", "")
	encoded, err := json.Marshal(requests)
	require.NoError(t, err)
	assert.NotContains(t, string(encoded), g.value("HW_AUTH_TOKEN"))
	_, index := g.call("GET", "", "")
	encoded, err = json.Marshal(index)
	require.NoError(t, err)
	assert.NotContains(t, string(encoded), g.value("HW_AUTH_TOKEN"))

	status, _ = g.call("POST", "faults", `{"name":"hang","times":-1}`)
	require.Equal(t, http.StatusCreated, status)
	status, _ = g.call("DELETE", "faults", "")
	require.Equal(t, http.StatusNoContent, status)
	code, _ = g.publish("-api", "orders")
	assert.Equal(t, exitDone, code)

	status, _ = g.call("POST", "reset", "")
	require.Equal(t, http.StatusNoContent, status)
	_, journal = g.call("GET", "journal", "")
	assert.Empty(t, journal["journal"])
	code, _ = g.publish("-api", "orders")
	assert.Equal(t, exitDone, code, "what it was made with is still there")
}

func TestControlRefuses(t *testing.T) {
	g := startProcess(t)
	for name, test := range map[string]struct{ method, path, body, says string }{
		"no such fault":  {"POST", "faults", `{"name":"earthquake"}`, "earthquake"},
		"no such op":     {"POST", "faults", `{"name":"hang","op":"publish"}`, "publish"},
		"no times":       {"POST", "faults", `{"name":"hang","times":0}`, "times"},
		"negative skip":  {"POST", "faults", `{"name":"hang","skip":-1}`, "skip"},
		"mistyped field": {"POST", "faults", `{"name":"hang","apiid":"x"}`, "apiid"},
		"no JSON":        {"POST", "faults", `hang`, "cannot be read"},
		"two times":      {"PUT", "clock", `{"now":"2026-01-02T03:04:05Z","offset":"1h"}`, "exclude"},
		"no duration":    {"PUT", "clock", `{"offset":"tomorrow"}`, "tomorrow"},
		"no delay":       {"POST", "faults", `{"name":"slow","delay":"long"}`, "long"},
		"no late time":   {"POST", "faults", `{"name":"close-then-apply","after":"late"}`, "late"},
		"no sequence":    {"GET", "journal?since=first", "", "first"},
		"no date":        {"PUT", "clock", `{"now":"tomorrow"}`, "cannot be read"},
		"no skew":        {"PUT", "clock", `{"date_skew":"much"}`, "much"},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := g.call(test.method, test.path, test.body)
			assert.Equal(t, http.StatusBadRequest, status)
			assert.Contains(t, answer["error"], test.says)
		})
	}
	_, faults := g.call("GET", "faults", "")
	assert.Zero(t, faults["struck"])
}

// Faults can be limited to every kind of request that there is.
func TestEveryOp(t *testing.T) {
	files, err := filepath.Glob("../../apigtest/*.go")
	require.NoError(t, err)
	var found []string
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, match := range regexp.MustCompile(`(?m)^\tOp\w+ +Op = "([a-z-]+)"`).FindAllSubmatch(source, -1) {
			found = append(found, string(match[1]))
		}
	}
	var known []string
	for _, op := range ops {
		known = append(known, string(op))
	}
	assert.ElementsMatch(t, found, known)
}

// The clock can be set, and goes on from there; tokens and publications go by it.
func TestControlClock(t *testing.T) {
	g := startProcess(t)
	_, clock := g.call("PUT", "clock", `{"now":"2030-01-02T03:04:05Z","date_skew":"1h"}`)
	assert.True(t, strings.HasPrefix(clock["now"].(string), "2030-01-02T03:04:"), clock["now"])
	code, to := g.publish("-api", "orders")
	require.Equal(t, exitDone, code)
	assert.Equal(t, 2030, to.Record.PublishTime.Year())
	r, err := g.client.Get(g.URL + "/")
	require.NoError(t, err)
	r.Body.Close()
	assert.Contains(t, r.Header.Get("Date"), "02 Jan 2030 04:04:")

	_, clock = g.call("PUT", "clock", `{"offset":"-25h"}`)
	assert.Equal(t, "-25h0m0s", clock["offset"])
	assert.Equal(t, "1h0m0s", clock["date_skew"])
	g.call("POST", "reset", "")
	_, clock = g.call("GET", "clock", "")
	assert.Equal(t, "0s", clock["offset"])
	assert.Equal(t, "0s", clock["date_skew"])
}

// What is not imitated is said on stderr, also after the faults were cleared.
func TestNotImitated(t *testing.T) {
	g := startProcess(t)
	ask := func(path string) {
		r, err := g.client.Get(g.URL + path)
		require.NoError(t, err)
		r.Body.Close()
	}
	base := "/v2/" + g.ProjectID + "/apigw/instances/" + g.InstanceID
	ask(base + "/apps")
	g.call("DELETE", "faults", "")
	ask(base + "/apps/%0Ax")
	g.call("POST", "reset", "")
	ask(base + "/plugins")
	code, _ := g.publish("-api", "orders")
	require.Equal(t, exitDone, code)
	said := strings.Split(strings.TrimSpace(g.stderr.String()), "\n")
	require.Len(t, said, 3, said)
	assert.Contains(t, said[0], `not imitated: GET "`+base+`/apps"`)
	assert.Contains(t, said[1], `/apps/\nx"`)
	assert.Contains(t, said[2], `/plugins"`)
}

// With -tls the certificate is a file that clients trust, and everything works
// over HTTP/2, faults included.
func TestGatewayTLS(t *testing.T) {
	cert := filepath.Join(t.TempDir(), "cert.pem")
	g := startProcess(t, "-tls", "-cert-file", cert, "-token", "t")
	assert.True(t, strings.HasPrefix(g.URL, "https://"))
	assert.Equal(t, cert, g.value("SSL_CERT_FILE"))
	pem, err := os.ReadFile(cert)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(pem))
	g.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	g.call("POST", "faults", `{"name":"apply-then-close","op":"action"}`)

	client, err := apig.New(apig.Config{
		Endpoint: g.URL, ProjectID: g.ProjectID, InstanceID: g.InstanceID, Auth: apig.StaticToken("t"), HTTPClient: g.client,
	})
	require.NoError(t, err)
	record, err := client.Publish(t.Context(), apig.ActionRequest{APIID: g.APIs[0].ID, EnvID: release})
	require.NoError(t, err)
	assert.True(t, record.Recovered)

	_, err = (&http.Client{Transport: &http.Transport{}}).Get(g.URL)
	assert.Error(t, err, "nobody else trusts it")
	assert.NotContains(t, g.stderr.String(), "TLS handshake")

	g = startProcess(t, "-tls")
	made := g.value("SSL_CERT_FILE")
	assert.FileExists(t, made)
	g.stop()
	assert.NoFileExists(t, made)
}

// IAM names the address that clients used, not one inside of the program.
func TestCatalogNamesTheAddress(t *testing.T) {
	g := startProcess(t, "-user", "ci", "-password", "secret")
	r, err := g.client.Post(g.URL+"/v3/auth/tokens", "application/json", strings.NewReader(
		`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":"ci","password":"secret","domain":{"name":"example"}}}},`+
			`"scope":{"project":{"id":"`+g.ProjectID+`"}}}}`))
	require.NoError(t, err)
	defer r.Body.Close()
	require.Equal(t, http.StatusCreated, r.StatusCode)
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	assert.Contains(t, string(body), `"`+g.URL)

	_, requests := g.call("GET", "requests?op=token", "")
	encoded, err := json.Marshal(requests)
	require.NoError(t, err)
	assert.Contains(t, string(encoded), `"op":"token"`)
	assert.NotContains(t, string(encoded), "secret")
}
