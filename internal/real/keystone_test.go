package real

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	_ "embed"

	"github.com/stretchr/testify/require"
)

// keystoneServer is a Keystone with a user who has a role in a project. It accepts a
// project by its name alone, as Huawei's IAM does.
type keystoneServer struct {
	*program
	url                string // http://127.1.0.1:port; the API is below it, at /v3
	domain, domainID   string // of both the user and the project
	project, projectID string
	user, userID       string
	password           string
}

var (
	//go:embed keystone.conf
	keystoneConf string
	//go:embed huawei.py
	huaweiPy string
)

// newKeystone makes a Keystone that does not run yet and has no user but admin.
func newKeystone(t *testing.T) *keystoneServer {
	t.Helper()
	p := newProgram(t, keystone)
	s := &keystoneServer{program: p, domain: "mydomain", project: "cn-north-4", user: "me", password: "secret"}
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
keystone-manage --config-file keystone.conf bootstrap --bootstrap-password admin`)
	prepare.Dir = p.dir
	output, err := prepare.CombinedOutput()
	require.NoError(t, err, "%s", output)

	return s
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

// seed makes the user, and everything that they need.
func (s *keystoneServer) seed() {
	s.domainID = s.create("domain", object{"name": s.domain})
	s.projectID = s.create("project", object{"name": s.project, "domain_id": s.domainID})
	s.userID = s.create("user", object{
		"name": s.user, "password": s.password, "domain_id": s.domainID, "default_project_id": s.projectID,
	})
	role := s.create("role", object{"name": "publisher"})
	s.admin(http.MethodPut, "/projects/"+s.projectID+"/users/"+s.userID+"/roles/"+role, nil, nil)
}

type object map[string]any

func (s *keystoneServer) create(kind string, o object) (id string) {
	s.t.Helper()
	var made map[string]struct{ ID string }
	s.admin(http.MethodPost, "/"+kind+"s", object{kind: o}, &made)
	require.NotEmpty(s.t, made[kind].ID)
	return made[kind].ID
}

// setUser changes the user. A change of the password or of "enabled" ends their tokens,
// also those issued in the same second, so it waits for the next one.
func (s *keystoneServer) setUser(change object) {
	s.t.Helper()
	s.admin(http.MethodPatch, "/users/"+s.userID, object{"user": change}, nil)
	now := time.Now()
	time.Sleep(now.Truncate(time.Second).Add(time.Second).Sub(now))
}

// revoke ends a token before its time.
func (s *keystoneServer) revoke(token string) {
	s.t.Helper()
	status, err := s.do(http.MethodDelete, "/auth/tokens", http.Header{
		"X-Auth-Token": {s.adminToken()}, "X-Subject-Token": {token},
	}, nil, nil)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusNoContent, status)
}

// accepts asks Keystone whether a token is valid, and reads its answer into body unless
// that is nil.
func (s *keystoneServer) accepts(token string, body any) bool {
	status, err := s.do(http.MethodGet, "/auth/tokens", http.Header{"X-Auth-Token": {token}, "X-Subject-Token": {token}}, nil, body)
	return err == nil && status == http.StatusOK
}

// admin makes a request as the administrator and reads the answer into result.
func (s *keystoneServer) admin(method, path string, body, result any) {
	s.t.Helper()
	status, err := s.do(method, path, http.Header{"X-Auth-Token": {s.adminToken()}}, body, result)
	require.NoError(s.t, err)
	require.Less(s.t, status, 300, "%s %s", method, path)
}

// adminToken is a new one each time, because tokens may be short-lived.
func (s *keystoneServer) adminToken() string {
	s.t.Helper()
	fixed := object{"id": "default"} // the domain of bootstrap's user and project
	var header http.Header
	status, err := s.do(http.MethodPost, "/auth/tokens", nil, object{"auth": object{
		"identity": object{"methods": []string{"password"}, "password": object{
			"user": object{"name": "admin", "password": "admin", "domain": fixed},
		}},
		"scope": object{"project": object{"name": "admin", "domain": fixed}},
	}}, &header)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusCreated, status)
	return header.Get("X-Subject-Token")
}

// do makes a request on a connection of its own. Into result it reads the header of the
// answer, if that is a *http.Header, or the body.
func (s *keystoneServer) do(method, path string, header http.Header, body, result any) (status int, err error) {
	content := []byte{}
	if body != nil {
		if content, err = json.Marshal(body); err != nil {
			return 0, err
		}
	}
	r, err := http.NewRequest(method, s.url+"/v3"+path, bytes.NewReader(content))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	for name, values := range header {
		r.Header[name] = values
	}
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	switch result := result.(type) {
	case nil:
	case *http.Header:
		*result = resp.Header
	default:
		err = json.NewDecoder(resp.Body).Decode(result)
	}
	return resp.StatusCode, err
}
