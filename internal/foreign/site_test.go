package foreign

import (
	"errors"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

// patience is how long a client may take for what takes seconds on an idle
// machine.
const patience = time.Minute

// release is the environment that every gateway has.
const release = "DEFAULT_ENVIRONMENT_RELEASE_ID"

// installed remembers what has become of each client.
var installed sync.Map // of functions, by the name of the client

// need fails the test if a client cannot be had, or skips it where that is
// allowed.
func need(t *testing.T, client string) {
	t.Helper()
	install, _ := installed.LoadOrStore(client, sync.OnceValues(func() ([]byte, error) {
		return exec.Command("./clients.sh", "install", client).CombinedOutput()
	}))
	output, err := install.(func() ([]byte, error))()
	if err == nil {
		return
	}
	const unavailable = 69 // clients.sh says
	var exit *exec.ExitError
	if os.Getenv("CI_PARTIAL") == "1" && errors.As(err, &exit) && exit.ExitCode() == unavailable {
		t.Skipf("CI_PARTIAL=1 and no %s: %s", client, output)
	}
	t.Fatalf("no %s: %v: %s", client, err, output)
}

// site is a gateway with two APIs and a user who may publish them.
type site struct {
	*apigtest.Gateway
	t             *testing.T
	user          apigtest.User
	orders, users string // the ids of the APIs
}

func newSite(t *testing.T, client string) *site {
	t.Helper()
	need(t, client)
	s := &site{Gateway: apigtest.NewGateway(), t: t}
	t.Cleanup(s.Close)
	s.user = s.AddUser(apigtest.User{Name: "releaser", Password: "correct horse", DomainName: "acme"})
	s.orders, s.users = s.AddAPI("orders"), s.AddAPI("users")
	return s
}

// base is the address of the gateway's endpoints.
func (s *site) base() string {
	return s.URL() + "/v2/" + s.ProjectID() + "/apigw/instances/" + s.InstanceID()
}

// change is something that a client has done, as it understood the answer. The
// version is that which the answer named, or which was taken offline by its id.
type change struct {
	Op        string `json:"op"`
	APIID     string `json:"api_id"`
	VersionID string `json:"version_id"`
}

// compare holds what a client has done against the journal. Where the answer
// names no version, any will do.
func (s *site) compare(changes []change) {
	s.t.Helper()
	journal := s.Journal()
	require.Len(s.t, journal, len(changes))
	for n, made := range journal {
		got := change{string(made.Action), made.APIID, made.VersionID}
		if changes[n].VersionID == "" {
			got.VersionID = ""
		}
		assert.Equal(s.t, changes[n], got, "change %d", n+1)
	}
}

// requireLifecycle fails unless a client has done every operation that changes
// something, with one API or both, and the journal agrees.
func (s *site) requireLifecycle(changes []change) {
	s.t.Helper()
	s.compare(changes)
	var ops []string
	for _, c := range changes {
		ops = append(ops, c.Op)
	}
	require.Equal(s.t, []string{
		"online", "online", // one API, twice
		"switch",           // back to its first version
		"online", "online", // both in a batch
		"offline-version",    // of the first API
		"online",             // it again
		"offline", "offline", // both in a batch
		"online", "offline", // one API
	}, ops)
	for _, id := range []string{s.orders, s.users} {
		_, online := s.Published(id, release)
		assert.False(s.t, online)
	}
}
