package keystone

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long Keystone may take to start, which is three seconds on
// an idle machine.
const patience = 2 * time.Minute

// home is a Keystone that has not run yet. Making one takes longer than
// starting it, so each server gets a copy.
var home string

func TestMain(m *testing.M) {
	var err error
	if home, err = os.MkdirTemp("", "keystone"); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(home)
	os.Exit(code)
}

// prepare installs Keystone if it is missing, and fills home.
var prepare = sync.OnceValues(func() ([]byte, error) {
	if output, err := exec.Command("./start.sh", "install").CombinedOutput(); err != nil {
		return output, err
	}
	return exec.Command("./start.sh", "prepare", home).CombinedOutput()
})

// need fails the test if Keystone cannot be had, or skips it where that is
// allowed.
func need(t testing.TB) {
	t.Helper()
	output, err := prepare()
	if err == nil {
		return
	}
	const unavailable = 69 // start.sh says
	var exit *exec.ExitError
	if os.Getenv("CI_PARTIAL") == "1" && errors.As(err, &exit) && exit.ExitCode() == unavailable {
		t.Skipf("CI_PARTIAL=1 and no Keystone: %s", output)
	}
	t.Fatalf("no Keystone: %v: %s", err, output)
}

// options are how a server differs from the usual one.
type options struct {
	// expiry is how long a token lives, in whole seconds. Zero means an hour.
	expiry time.Duration

	// keepAlive leaves out the header "Connection: close". uwsgi closes the
	// connection after its answer all the same, so a client that counts on it
	// meets a reset now and then.
	keepAlive bool

	// huaweiScope accepts a project by its name alone, as Huawei's IAM does.
	huaweiScope bool
}

// server is a running Keystone with a user who has a role in a project.
type server struct {
	url string // where the API is: http://127.0.0.1:port, followed by /v3

	domain, domainID   string // of both the user and the project
	project, projectID string
	user, userID       string
	password           string

	t       testing.TB
	dir     string
	process *exec.Cmd
	hold    io.Closer // it runs until this is closed
	ended   chan struct{}
}

// start starts a Keystone. It ends with the test.
func start(t testing.TB, o options) *server {
	t.Helper()
	need(t)
	s := &server{t: t, dir: t.TempDir(), domain: "mydomain", project: "cn-north-4", user: "me", password: "secret"}
	output, err := exec.Command("cp", "-Rp", home+"/.", s.dir).CombinedOutput()
	require.NoError(t, err, "%s", output)
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			for _, name := range []string{"uwsgi.log", "keystone.log"} {
				log, _ := os.ReadFile(filepath.Join(s.dir, name)) // it may have come to none
				t.Logf("the end of %s:\n%s", name, log[max(0, len(log)-4<<10):])
			}
		}
	})
	// Between finding a free port and listening on it, somebody else may take
	// it.
	for range 3 {
		if s.run(o) {
			s.seed()
			return s
		}
		s.stop()
	}
	t.Fatal("Keystone does not start")
	return nil
}

// run starts uwsgi and reports whether Keystone has come up.
func (s *server) run(o options) bool {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	address := l.Addr().String()
	l.Close()
	s.url = "http://" + address

	expiry, application := time.Hour, "/usr/bin/keystone-wsgi-public"
	if o.expiry != 0 {
		expiry = o.expiry
	}
	if o.huaweiScope {
		application = "huawei.py"
	}
	args := []string{"run", s.dir, address, strconv.Itoa(int(expiry.Seconds())), application}
	if !o.keepAlive {
		args = append(args, "--add-header", "Connection: close")
	}
	s.process = exec.Command("./start.sh", args...)
	s.hold, err = s.process.StdinPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, s.process.Start())
	s.ended = make(chan struct{})
	go func() {
		defer close(s.ended)
		_ = s.process.Wait() // its log says how it ended
	}()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if resp, err := http.Get(s.url + "/v3"); err == nil {
			resp.Body.Close()
			return resp.StatusCode == http.StatusOK
		}
		select {
		case <-s.ended:
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
	return false
}

func (s *server) stop() {
	if s.hold != nil {
		s.hold.Close()
		<-s.ended
	}
}

// seed makes the user and what they need.
func (s *server) seed() {
	s.domainID = s.create("domain", object{"name": s.domain})
	s.projectID = s.create("project", object{"name": s.project, "domain_id": s.domainID})
	s.userID = s.create("user", object{
		"name": s.user, "password": s.password, "domain_id": s.domainID, "default_project_id": s.projectID,
	})
	role := s.create("role", object{"name": "publisher"})
	s.admin(http.MethodPut, "/projects/"+s.projectID+"/users/"+s.userID+"/roles/"+role, nil, nil)
}

func (s *server) create(kind string, o object) (id string) {
	s.t.Helper()
	var made map[string]struct{ ID string }
	s.admin(http.MethodPost, "/"+kind+"s", object{kind: o}, &made)
	require.NotEmpty(s.t, made[kind].ID)
	return made[kind].ID
}

// valid asks Keystone whether a token is valid, with that token.
func (s *server) valid(token string) bool {
	s.t.Helper()
	status, _ := s.do(http.MethodGet, "/auth/tokens", http.Header{
		"X-Auth-Token": {token}, "X-Subject-Token": {token},
	}, nil, nil)
	return status == http.StatusOK
}

// revoke ends a token before its time.
func (s *server) revoke(token string) {
	s.t.Helper()
	status, _ := s.do(http.MethodDelete, "/auth/tokens", http.Header{
		"X-Auth-Token": {s.adminToken()}, "X-Subject-Token": {token},
	}, nil, nil)
	require.Equal(s.t, http.StatusNoContent, status)
}

// enable disables the user, or enables them again. Their tokens end with that,
// those included that are issued in the same second, so it waits for the next
// one.
func (s *server) enable(enabled bool) {
	s.t.Helper()
	s.admin(http.MethodPatch, "/users/"+s.userID, object{"user": object{"enabled": enabled}}, nil)
	nextSecond()
}

// setPassword changes the password of the user, with the same consequences.
func (s *server) setPassword(password string) {
	s.t.Helper()
	s.admin(http.MethodPatch, "/users/"+s.userID, object{"user": object{"password": password}}, nil)
	s.password = password
	nextSecond()
}

func nextSecond() {
	now := time.Now()
	time.Sleep(now.Truncate(time.Second).Add(time.Second).Sub(now))
}

type object map[string]any

// admin makes a request as the administrator and reads the answer into result.
func (s *server) admin(method, path string, body, result any) {
	s.t.Helper()
	status, answer := s.do(method, path, http.Header{"X-Auth-Token": {s.adminToken()}}, body, result)
	require.Less(s.t, status, 300, "%s %s: %s", method, path, answer)
}

// adminToken is a new one each time: they may be short-lived.
func (s *server) adminToken() string {
	s.t.Helper()
	fixed := object{"id": "default"} // the domain of bootstrap's user and project
	body := object{"auth": object{
		"identity": object{"methods": []string{"password"}, "password": object{
			"user": object{"name": "admin", "password": "admin", "domain": fixed},
		}},
		"scope": object{"project": object{"name": "admin", "domain": fixed}},
	}}
	resp := s.send(http.MethodPost, "/auth/tokens", nil, body)
	defer resp.Body.Close()
	require.Equal(s.t, http.StatusCreated, resp.StatusCode)
	return resp.Header.Get("X-Subject-Token")
}

// do makes a request and reads the answer into result, if that is not nil.
func (s *server) do(method, path string, header http.Header, body, result any) (status int, answer []byte) {
	s.t.Helper()
	resp := s.send(method, path, header, body)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	if result != nil {
		require.NoError(s.t, json.Unmarshal(answer, result), "%s", answer)
	}
	return resp.StatusCode, answer
}

// send makes a request on a connection of its own, whatever uwsgi does with it.
func (s *server) send(method, path string, header http.Header, body any) *http.Response {
	s.t.Helper()
	var content bytes.Buffer
	if body != nil {
		require.NoError(s.t, json.NewEncoder(&content).Encode(body))
	}
	r, err := http.NewRequest(method, s.url+"/v3"+path, &content)
	require.NoError(s.t, err)
	r.Header.Set("Content-Type", "application/json")
	for name, values := range header {
		r.Header[name] = values
	}
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	return resp
}
