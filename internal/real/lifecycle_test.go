package real

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	_ "embed"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

// release is the environment that every gateway has.
const release = "DEFAULT_ENVIRONMENT_RELEASE_ID"

// lifecycle is a gateway with two APIs and a user who may publish them. A client in
// another language makes every kind of change: a client that works with the service has
// to work with apigtest.
type lifecycle struct {
	*gateway.Gateway
	t             *testing.T
	user          gateway.User
	orders, users string // the IDs of the APIs
}

func newLifecycle(t *testing.T, client software) *lifecycle {
	t.Helper()
	need(t, client)
	l := &lifecycle{Gateway: gateway.NewGateway(), t: t}
	t.Cleanup(l.Close)
	l.user = l.AddUser(gateway.User{Name: "releaser", Password: "correct horse", DomainName: "acme"})
	l.orders, l.users = l.AddAPI("orders"), l.AddAPI("users")
	return l
}

// base is the address of the gateway's endpoints.
func (l *lifecycle) base() string {
	return l.URL() + "/v2/" + l.ProjectID() + "/apigw/instances/" + l.InstanceID()
}

// step is a change that a client has made, as it understood the answer. The version is
// the one in the answer, or the one that was taken offline by its ID.
type step struct {
	Op        string `json:"op"`
	APIID     string `json:"api_id"`
	VersionID string `json:"version_id"`
}

// requireLifecycle fails unless the client has made every kind of change and the
// journal agrees. Where an answer names no version, any will do.
func (l *lifecycle) requireLifecycle(steps []step) {
	l.t.Helper()
	journal := l.Journal()
	require.Len(l.t, journal, len(steps))
	var ops []string
	for n, made := range journal {
		want := step{string(made.Action), made.APIID, made.VersionID}
		if steps[n].VersionID == "" {
			want.VersionID = ""
		}
		assert.Equal(l.t, want, steps[n], "step %d", n+1)
		ops = append(ops, steps[n].Op)
	}
	require.Equal(l.t, []string{
		"online", "online", // one API, twice
		"switch",           // back to its first version
		"online", "online", // both in a batch
		"offline-version",    // of the first API
		"online",             // it again
		"offline", "offline", // both in a batch
		"online", "offline", // one API
	}, ops)
	for _, id := range []string{l.orders, l.users} {
		_, online := l.Published(id, release)
		assert.False(l.t, online)
	}
}

//go:embed lifecycle.py
var lifecyclePy string

// TestKeystoneauth uses OpenStack's keystoneauth. It gets a token and finds the gateway in
// the catalog. When its token expires between two changes it gets another.
func TestKeystoneauth(t *testing.T) {
	t.Parallel()
	for name, expires := range map[string]bool{"password": false, "expired token": true, "token": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLifecycle(t, keystoneauth)
			if expires {
				l.Inject(gateway.ExpireToken().On(gateway.OpSwitch))
			}
			c := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", lifecyclePy)
			c.Env = []string{
				"HOME=" + t.TempDir(),
				"OS_AUTH_URL=" + l.URL() + "/v3",
				"OS_PROJECT_ID=" + l.ProjectID(),
				"OS_REGION_NAME=cn-north-4",
				"APIG_INSTANCE_ID=" + l.InstanceID(), "APIG_ORDERS=" + l.orders, "APIG_USERS=" + l.users,
			}
			if name == "token" {
				c.Env = append(c.Env, "OS_TOKEN="+l.login())
			} else {
				c.Env = append(c.Env, "OS_USERNAME="+l.user.Name, "OS_PASSWORD="+l.user.Password, "OS_USER_DOMAIN_NAME="+l.user.DomainName)
			}
			var warnings strings.Builder
			c.Stderr = &warnings
			out, err := c.Output()
			require.NoError(t, err, "%s", &warnings)
			assert.Empty(t, warnings.String())

			var said struct {
				Endpoint  string
				ProjectID string `json:"project_id"`
				UserID    string `json:"user_id"`
				Changes   []step
			}
			require.NoError(t, json.Unmarshal(out, &said), "%s", out)
			assert.Equal(t, l.URL(), strings.TrimSuffix(said.Endpoint, "/"))
			assert.Equal(t, l.ProjectID(), said.ProjectID)
			assert.Equal(t, l.user.ID, said.UserID)
			l.requireLifecycle(said.Changes)
			assert.Equal(t, expires, l.Struck() == 1)
		})
	}
}
