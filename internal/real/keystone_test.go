package real

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "embed"

	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
)

// The user of Keystone, who is its administrator, too.
const (
	user     = "me"
	domain   = "Default" // of both the user and the project
	domainID = "default"
	project  = "cn-north-4"
)

// keystoneServer is a Keystone with a user who has a role in a project. It accepts a
// project by its name alone, as Huawei's IAM does.
type keystoneServer struct {
	*program
	url               string // http://127.1.0.1:port; the API is below it, at /v3
	projectID, userID string
	password          string
}

var (
	//go:embed keystone.conf
	keystoneConf string
	//go:embed huawei.py
	huaweiPy string
)

// newKeystone makes a Keystone that does not run yet.
func newKeystone(t *testing.T) *keystoneServer {
	t.Helper()
	p := newProgram(t, keystone)
	p.write("keystone.conf", keystoneConf)
	p.write("huawei.py", huaweiPy)
	// A key is 32 random bytes; 0 is the next one, 1 the one in use.
	for _, keys := range []string{"fernet-keys", "credential-keys"} {
		require.NoError(t, os.Mkdir(filepath.Join(p.dir, keys), 0o700))
		for _, n := range []string{"0", "1"} {
			key := make([]byte, 32)
			_, _ = rand.Read(key) // it never fails
			p.write(filepath.Join(keys, n), base64.URLEncoding.EncodeToString(key))
		}
	}
	// With SQLite's usual journal a reader makes a writer fail: "database is locked".
	prepare := exec.Command("sh", "-ec", `keystone-manage --config-file keystone.conf db_sync
python3 -c 'import sqlite3; sqlite3.connect("keystone.db").execute("PRAGMA journal_mode=WAL")'
keystone-manage --config-file keystone.conf bootstrap --bootstrap-username "$0" --bootstrap-password secret --bootstrap-project-name "$1"`,
		user, project)
	prepare.Dir = p.dir
	output, err := prepare.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return &keystoneServer{program: p, password: "secret"}
}

// serve starts Keystone, with tokens that are valid for an expiry of whole seconds, and
// with options of uwsgi.
func (s *keystoneServer) serve(expiry time.Duration, options ...string) {
	s.t.Helper()
	s.write("keystone.conf", keystoneConf+"[token]\nexpiration = "+strconv.Itoa(int(expiry.Seconds()))+"\nallow_expired_window = 0\n")
	address := freeAddress(s.t)
	s.url = "http://" + address
	// Processes, because SQLite and Keystone do not get on with threads.
	s.start(func() bool {
		resp, err := http.Get(s.url + "/v3")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	}, "TERM", append([]string{
		"env", "OS_KEYSTONE_CONFIG_FILES=keystone.conf", "uwsgi_python3", "--plugins", "python3", "--http-socket", address,
		"--wsgi-file", "huawei.py", "--master", "--die-on-term", "--worker-reload-mercy", "5", "--processes", "2", "--buffer-size", "65535",
	}, options...)...)
}

// login returns a new token of the user.
func (s *keystoneServer) login() string {
	s.t.Helper()
	iam, _ := s.iam(s.t)
	token, err := iam.Token(context.Background())
	require.NoError(s.t, err)
	return string(token.Value)
}

// setUser changes the user. A change of the password or of "enabled" ends their tokens,
// also those issued in the same second, so it waits for the next one.
func (s *keystoneServer) setUser(name string, value any) {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{"user": map[string]any{name: value}})
	require.NoError(s.t, err)
	status, err := s.do(http.MethodPatch, "/users/"+s.userID, s.login(), string(body), nil)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, status)
	now := time.Now()
	time.Sleep(now.Truncate(time.Second).Add(time.Second).Sub(now))
}

// revoke ends a token before its time.
func (s *keystoneServer) revoke(token string) {
	s.t.Helper()
	status, err := s.do(http.MethodDelete, "/auth/tokens", token, "", nil)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusNoContent, status)
}

// description is Keystone's answer to the question what a token is.
type description struct {
	Token struct{ Project, User struct{ ID string } }
}

// describe asks Keystone about a token. It says no if the token is not valid.
func (s *keystoneServer) describe(token string) (d description, valid bool) {
	status, err := s.do(http.MethodGet, "/auth/tokens", token, "", &d)
	return d, err == nil && status == http.StatusOK
}

func (s *keystoneServer) accepts(token string) bool {
	_, valid := s.describe(token)
	return valid
}

// do makes a request on a connection of its own, with a token that is its subject, too.
// It reads the body of the answer into result unless that is nil.
func (s *keystoneServer) do(method, path, token, body string, result any) (status int, err error) {
	r, err := http.NewRequest(method, s.url+"/v3"+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Auth-Token", token)
	r.Header.Set("X-Subject-Token", token)
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if result != nil {
		err = json.NewDecoder(resp.Body).Decode(result)
	}
	return resp.StatusCode, err
}

// iam logs in as the user, for their project by its name.
func (s *keystoneServer) iam(t *testing.T) (*apig.IAM, *counter) {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c := &counter{RoundTripper: transport}
	return &apig.IAM{
		Endpoint:    s.url,
		Username:    user,
		DomainName:  domain,
		Password:    apig.Secret(s.password),
		ProjectName: project,
		HTTPClient:  &http.Client{Transport: c},
	}, c
}
