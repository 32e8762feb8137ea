package gateway

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// run runs a gateway, and returns the content of its file for the environment as soon
// as it is there.
func run(t *testing.T, s Settings, stdout, stderr io.Writer) (text string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, s, stdout, stderr) }()
	eventually(t, "the file is there", func() bool {
		content, err := os.ReadFile(s.EnvFile)
		text = string(content)
		return err == nil
	})
	return text, func() {
		cancel()
		require.NoError(t, <-ended)
	}
}

// A shell that reads the file has the values as they are, executes nothing, and has no
// other credentials any more.
func TestEnvironmentFile(t *testing.T) {
	const awkward = `p$HOME; touch injected` + "`id`" + ` 'quoted' "twice" \ #`
	dir := t.TempDir()
	env := filepath.Join(dir, "gateway.env")
	var stderr bytes.Buffer
	text, stop := run(t, Settings{
		APIs: []string{"orders", "shop/cart", "a\ntouch injected"}, Many: 2, Environments: []string{"staging"}, EnvFile: env,
		InstanceID: "my-gateway", User: "ci", Password: awkward, Region: "cn-north-4",
	}, io.Discard, &stderr)
	assert.Regexp(t, `(?s)# API \w+ orders\n# API \w+ cart in group shop\n# API \w+ a touch injected\n# API \w+ api-0001\n# API \w+ api-0002\n`+
		`# group \w+ shop\n# environment DEFAULT_ENVIRONMENT_RELEASE_ID RELEASE\n# environment \w+ staging\n$`, text)
	assert.Contains(t, text, "export APIG_INSTANCE_ID='my-gateway'\n")
	assert.Contains(t, text, "export HUAWEICLOUD_SDK_REGION_APIG_CN_NORTH_4='http://127.0.0.1:")
	assert.NotContains(t, text, "export OS_TOKEN", "openstackclient refuses one beside a password")
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
	stop()
	assert.NoFileExists(t, env)
	assert.Equal(t, "0 requests, 0 struck by faults, 0 changes\n", stderr.String())
}

// A variable that this library reads is set by the file, or unset: none of them is left
// to lead a client elsewhere.
func TestEnvironmentFileIsComplete(t *testing.T) {
	source, err := os.ReadFile("../../env.go")
	require.NoError(t, err)
	text := Inventory{Variables: (&Settings{Region: "eu-de"}).variables(start(t).Gateway), Unset: otherVariables}.Shell()
	for _, name := range regexp.MustCompile(`\b(APIG|HW|OS|HUAWEICLOUD_SDK)_[A-Z_]+`).FindAllString(string(source), -1) {
		assert.Regexp(t, `(?m)^unset .*\b`+name+`\b|^export `+name+`=`, text)
	}
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
		`--region "eu\nX=1"`:               func(s *Settings) { s.Region = "eu\nX=1" },
		`--region "cn_north"`:              func(s *Settings) { s.Region = "cn_north" },
		`--region ""`:                      func(s *Settings) { s.Region = "" },
		`--instance "../.."`:               func(s *Settings) { s.InstanceID = "../.." },
		`--project "x'y; id"`:              func(s *Settings) { s.ProjectID = "x'y; id" },
		"--token is empty":                 func(s *Settings) { s.Tokens = []string{"t", ""} },
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
	env = map[string]string{"APIGTEST_TOKEN_FILE": os.DevNull}
	assert.ErrorContains(t, s.ReadSecrets(func(name string) string { return env[name] }), "APIGTEST_TOKEN_FILE: ")
	env = map[string]string{"APIGTEST_AK_FILE": file + "none"}
	assert.ErrorContains(t, s.ReadSecrets(func(name string) string { return env[name] }), "APIGTEST_AK_FILE: ")
}

// A signal ends it, also if nobody reads what it prints, and while requests hang. The
// file of a gateway that has ended goes before the next one starts; then it is that one's.
func TestRunAlwaysEnds(t *testing.T) {
	env := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(env, []byte("stale"), 0o600))
	launch(t, Settings{EnvFile: env})
	assert.NoFileExists(t, env)
	_, stdout := io.Pipe()
	errs, stderr := io.Pipe()
	text, stop := run(t, Settings{Region: "eu-de", EnvFile: env, Tokens: []string{"t"}}, stdout, stderr)
	_, url, _ := strings.Cut(text, "APIGTEST_URL='")
	url, _, _ = strings.Cut(url, "'")
	go func() {
		if r, err := http.Get(url + "/v2/not/imitated"); err == nil { // writes a line that nobody reads
			r.Body.Close()
		}
	}()
	_, err := errs.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(env, []byte("the next one's"), 0o600))
	stop()
	assert.FileExists(t, env)
	errs.Close()
}

// With TLS the certificate is a file that clients trust, and everything works over
// HTTP/2, the control address included.
func TestRunWithTLS(t *testing.T) {
	f, p, stderr := launch(t, Settings{TLS: true, Addr: "0.0.0.0:0", AllowRemote: true, Hosts: []string{"apig.test"}})
	assert.Regexp(t, `^https://apig\.test:\d+$`, f.URL())
	file := p.settings.CertFile
	assert.Contains(t, p.made.Variables, Variable{"SSL_CERT_FILE", file})
	pem, err := os.ReadFile(file)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(pem))
	transport := f.client.Transport.(*http.Transport)
	transport.TLSClientConfig.RootCAs = pool
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, strings.Replace(address, "apig.test", "127.0.0.1", 1))
	}
	assert.Equal(t, http.StatusCreated, f.publish("").status)
	res, err := f.client.Do(f.request("GET", controlPath+"journal", ""))
	require.NoError(t, err)
	res.Body.Close()
	assert.Equal(t, []int{200, 2}, []int{res.StatusCode, res.ProtoMajor})
	transport = &http.Transport{DialContext: transport.DialContext}
	_, err = transport.RoundTrip(f.request("GET", "/envs", ""))
	assert.ErrorContains(t, err, "certificate", "nobody else trusts it")
	p.Close()
	p.removeFiles()
	assert.NoFileExists(t, file)
	assert.NotContains(t, stderr.String(), "TLS handshake")

	// The certificate of an address that other machines reach names that address.
	cert, err := newCertificate(net.ParseIP("192.0.2.1"), []string{"apig"})
	require.NoError(t, err)
	for _, name := range []string{"192.0.2.1", "127.0.0.1", "::1", "localhost", "apig"} {
		assert.NoError(t, cert.Leaf.VerifyHostname(name), name)
	}
	assert.Error(t, cert.Leaf.VerifyHostname("192.0.2.2"))
}
