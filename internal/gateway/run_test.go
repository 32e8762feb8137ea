package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

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

// running is a gateway that runs with an inventory as JSON.
type running struct {
	Inventory
	t      *testing.T
	stderr locked
	client *http.Client
	stop   func() error
}

func run(t *testing.T, s Settings) *running {
	t.Helper()
	s.JSON, s.Region = true, "cn-north-4"
	g := &running{t: t, client: &http.Client{Transport: &http.Transport{}}}
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := Run(ctx, s, in, &g.stderr)
		in.CloseWithError(err)
		ended <- err
	}()
	g.stop = sync.OnceValue(func() error {
		cancel()
		g.client.CloseIdleConnections()
		return <-ended
	})
	t.Cleanup(func() { _ = g.stop() })
	require.NoError(t, json.NewDecoder(out).Decode(&g.Inventory), &g.stderr)
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return g
}

func (g *running) value(name string) string {
	for _, v := range g.Variables {
		if v.Name == name {
			return v.Value
		}
	}
	return ""
}

// ask makes a request, by default to the control address, and decodes the answer.
func (g *running) ask(method, path, body string, header ...string) (status int, answer map[string]any) {
	g.t.Helper()
	if !strings.HasPrefix(path, "/") {
		path = controlPath + path
	}
	r, err := http.NewRequest(method, g.URL+path, strings.NewReader(body))
	require.NoError(g.t, err)
	r.Header.Set("X-Auth-Token", g.value("HW_AUTH_TOKEN"))
	r.Header.Set("Content-Type", "application/json")
	for n := 0; n < len(header); n += 2 {
		r.Header.Set(header[n], header[n+1])
	}
	r.Host = r.Header.Get("Host")
	got, err := g.client.Do(r)
	if err != nil {
		return 0, nil
	}
	defer got.Body.Close()
	_ = json.NewDecoder(got.Body).Decode(&answer) // a fault may have cut it
	return got.StatusCode, answer
}

// service makes a request to the service.
func (g *running) service(method, path, body string) (status int, answer map[string]any) {
	g.t.Helper()
	return g.ask(method, "/v2/"+g.ProjectID+"/apigw/instances/"+g.InstanceID+path, body)
}

func (g *running) publish(api string) int {
	g.t.Helper()
	status, _ := g.service("POST", "/apis/action", `{"action":"online","api_id":"`+api+`","env_id":"`+releaseID+`","remark":"r"}`)
	return status
}

// A shell that reads the file has the values as they are, executes nothing, and has no
// other credentials any more.
func TestEnvironmentFile(t *testing.T) {
	const awkward = `p$HOME; touch injected` + "`id`" + ` 'quoted' "twice" \ #`
	dir := t.TempDir()
	env := filepath.Join(dir, "gateway.env")
	g := run(t, Settings{
		APIs: []string{"orders", "shop/cart", "a\ntouch injected"}, Many: 2, Environments: []string{"staging"}, EnvFile: env,
		ProjectID: "1234567890abcdef1234567890abcdef", InstanceID: "my-gateway", User: "ci", Password: awkward,
	})
	assert.Equal(t, "my-gateway", g.InstanceID)
	assert.Equal(t, "orders cart a\ntouch injected api-0001 api-0002", g.APIs[0].Name+" "+g.APIs[1].Name+" "+g.APIs[2].Name+" "+g.APIs[3].Name+" "+g.APIs[4].Name)
	assert.Equal(t, "shop", g.APIs[1].Group)
	assert.Equal(t, g.URL, g.value("HUAWEICLOUD_SDK_REGION_APIG_CN_NORTH_4"))
	assert.Equal(t, awkward, g.value("HW_USER_PASSWORD"))
	assert.Empty(t, g.value("OS_TOKEN"), "openstackclient refuses one beside a password")
	info, err := os.Stat(env)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "it holds a password")

	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no sh: ", err)
	}
	command := exec.Command(shell, "-c", `. "$1"; printf %s "$HW_USER_PASSWORD|$OS_PASSWORD|${HW_ACCESS_KEY-none}|${HUAWEICLOUD_SDK_AK-none}|${OS_CLOUD-none}"`, "sh", env)
	command.Dir = dir
	command.Env = append(os.Environ(), "HW_ACCESS_KEY=production", "HUAWEICLOUD_SDK_AK=production", "OS_CLOUD=production")
	printed, err := command.Output()
	require.NoError(t, err)
	assert.Equal(t, awkward+"|"+awkward+"|none|none|none", string(printed))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing was executed")

	require.NoError(t, g.stop())
	assert.NoFileExists(t, env)
	assert.Contains(t, g.stderr.String(), "0 requests, 0 struck by faults, 0 changes")
}

func TestSettings(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	nowhere := filepath.Join(t.TempDir(), "nowhere", "file")
	for want, change := range map[string]func(*Settings){
		"an access key and its secret key": func(s *Settings) { s.AccessKey = "AK" },
		"a user and the password":          func(s *Settings) { s.Password = "secret" },
		"share of faults -0.1":             func(s *Settings) { s.Faults = -0.1 },
		"number of APIs -1":                func(s *Settings) { s.Many = -1 },
		"needs TLS":                        func(s *Settings) { s.CertFile = "cert.pem" },
		`the region "eu\nX=1"`:             func(s *Settings) { s.Region = "eu\nX=1" },
		`the region ""`:                    func(s *Settings) { s.Region = "" },
		"0.0.0.0:0 is not a loopback":      func(s *Settings) { s.Addr = "0.0.0.0:0" },
		"need leave to listen":             func(s *Settings) { s.Hosts = []string{"apig"} },
		"missing port":                     func(s *Settings) { s.Addr = "8080" },
		"address already in use":           func(s *Settings) { s.Addr = taken.Addr().String() },
		nowhere:                            func(s *Settings) { s.TLS, s.CertFile = true, nowhere },
		"nowhere: no such":                 func(s *Settings) { s.EnvFile = nowhere },
	} {
		s := Settings{Region: "cn-north-4"}
		change(&s)
		if strings.HasPrefix(want, "nowhere") {
			want = filepath.Dir(nowhere)
		}
		var stderr bytes.Buffer
		assert.ErrorContains(t, Run(t.Context(), s, io.Discard, &stderr), want)
	}
}

func TestSecretsFromTheEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sk")
	require.NoError(t, os.WriteFile(file, []byte(" S K \r\n"), 0o600))
	env := map[string]string{"APIGTEST_TOKEN": "t", "APIGTEST_AK": "AK", "APIGTEST_SK_FILE": file, "APIGTEST_USER": "ci", "APIGTEST_PASSWORD": "p"}
	s := Settings{User: "given"}
	require.NoError(t, s.ReadSecrets(func(name string) string { return env[name] }))
	assert.Equal(t, Settings{Tokens: []string{"t"}, AccessKey: "AK", SecretKey: " S K ", User: "given", Password: "p"}, s)
	env["APIGTEST_SK"] = "x"
	assert.ErrorContains(t, s.ReadSecrets(func(name string) string { return env[name] }), "exclude each other")
	env = map[string]string{"APIGTEST_AK_FILE": file + "none"}
	assert.ErrorContains(t, s.ReadSecrets(func(name string) string { return env[name] }), "APIGTEST_AK_FILE: ")
}

// A signal ends it, also if nobody reads what it prints, and while requests hang.
func TestRunAlwaysEnds(t *testing.T) {
	out, in := io.Pipe() // nobody reads
	errs, stderr := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	dir := t.TempDir()
	env := filepath.Join(dir, "env")
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, Settings{Region: "eu-de", EnvFile: env, Tokens: []string{"t"}}, in, stderr) }()
	var text []byte
	require.Eventually(t, func() bool {
		var err error
		text, err = os.ReadFile(env)
		return err == nil
	}, time.Minute, time.Millisecond)
	_, url, _ := strings.Cut(string(text), "APIGTEST_URL='")
	url, _, _ = strings.Cut(url, "'")
	go func() {
		if r, err := http.Get(url + "/v2/not/imitated"); err == nil { // writes a line that nobody reads
			r.Body.Close()
		}
	}()
	_, err := errs.Read(make([]byte, 1))
	require.NoError(t, err)
	cancel()
	require.NoError(t, <-ended)
	assert.NoFileExists(t, env)
	out.Close()
	errs.Close()
}

// With TLS the certificate is a file that clients trust, and everything works over
// HTTP/2, the control address included.
func TestRunWithTLS(t *testing.T) {
	g := run(t, Settings{TLS: true, Addr: "0.0.0.0:0", AllowRemote: true, Hosts: []string{"apig.test"}})
	assert.Regexp(t, `^https://apig\.test:\d+$`, g.URL)
	pem, err := os.ReadFile(g.value("SSL_CERT_FILE"))
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(pem))
	g.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(address)
			return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
		},
	}}
	assert.Equal(t, http.StatusCreated, g.publish(g.APIs[0].ID))
	status, _ := g.ask("GET", "journal", "")
	assert.Equal(t, http.StatusOK, status)
	_, port, _ := strings.Cut(strings.TrimPrefix(g.URL, "https://"), ":")
	_, err = (&http.Client{Transport: &http.Transport{}}).Get("https://127.0.0.1:" + port)
	assert.Error(t, err, "nobody else trusts it")
	require.NoError(t, g.stop())
	assert.NoFileExists(t, g.value("SSL_CERT_FILE"))
	assert.NotContains(t, g.stderr.String(), "TLS handshake")
}

// The certificate of an address that other machines reach names that address.
func TestCertificateOfAnAddress(t *testing.T) {
	cert, err := newCertificate(net.ParseIP("192.0.2.1"), []string{"apig"})
	require.NoError(t, err)
	for _, name := range []string{"192.0.2.1", "127.0.0.1", "::1", "localhost", "apig"} {
		assert.NoError(t, cert.Leaf.VerifyHostname(name), name)
	}
	assert.Error(t, cert.Leaf.VerifyHostname("192.0.2.2"))
}

// The faults of Settings strike at random, also after a reset.
func TestRunWithFaults(t *testing.T) {
	g := run(t, Settings{Faults: 1, Seed: 3})
	for range 20 {
		g.publish(g.APIs[0].ID)
	}
	_, faults := g.ask("GET", "faults", "")
	assert.EqualValues(t, 20, faults["struck"])
	g.ask("POST", "reset", "")
	g.publish(g.APIs[0].ID)
	_, faults = g.ask("GET", "faults", "")
	assert.EqualValues(t, 1, faults["struck"])
	g.ask("DELETE", "faults", "")
	assert.Equal(t, http.StatusCreated, g.publish(g.APIs[0].ID))
}
