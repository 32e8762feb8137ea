package real

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	_ "embed"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/gateway"
)

var (
	//go:embed lifecycle.sh
	lifecycleSh string
	//go:embed lifecycle.py
	lifecyclePy string
)

// lifecycle is every kind of change, in the order in which both scripts make them.
var lifecycle = []string{
	"online", "online", // one API, twice
	"switch",           // back to its first version
	"online", "online", // both in a batch
	"offline-version",    // of the first API
	"online",             // it again
	"offline", "offline", // both in a batch
	"online", "offline", // one API
}

// TestLifecycle has curl and OpenStack's keystoneauth make every kind of change. It
// proves that apigtest works with clients of IAM and of the service that nobody wrote
// for it: what a client understands of each answer is what the gateway did.
func TestLifecycle(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		needs   software
		command []string
		token   bool // the client has a token; otherwise it gets one with a password
		expires bool // the token expires between two changes
	}{
		{"curl", curl, []string{"sh", "-c", lifecycleSh}, false, false},
		{"keystoneauth", keystoneauth, []string{"python3", "-c", lifecyclePy}, false, false},
		{"keystoneauth, expired token", keystoneauth, []string{"python3", "-c", lifecyclePy}, false, true},
		{"keystoneauth, token", keystoneauth, []string{"python3", "-c", lifecyclePy}, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			need(t, test.needs)
			g := gateway.NewGateway()
			t.Cleanup(g.Close)
			user := g.AddUser(gateway.User{Name: "releaser", Password: "correct horse", DomainName: "acme"})
			apis := []string{g.AddAPI("orders"), g.AddAPI("users")}
			c := exec.CommandContext(t.Context(), test.command[0], test.command[1:]...)
			c.Env = append(c.Environ(),
				"OS_AUTH_URL="+g.URL()+"/v3", "OS_PROJECT_ID="+g.ProjectID(), "OS_REGION_NAME=cn-north-4",
				"OS_USERNAME="+user.Name, "OS_PASSWORD="+user.Password, "OS_USER_DOMAIN_NAME="+user.DomainName,
				"APIG_INSTANCE_ID="+g.InstanceID(), "APIG_ORDERS="+apis[0], "APIG_USERS="+apis[1], "APIG_USER="+user.ID)
			if test.token {
				iam := &apig.IAM{Endpoint: g.URL(), Username: user.Name, Password: apig.Secret(user.Password), DomainName: user.DomainName, ProjectID: g.ProjectID()}
				token, err := iam.Token(t.Context())
				require.NoError(t, err)
				c.Env = append(c.Env, "OS_TOKEN="+string(token.Value))
			}
			if test.expires {
				g.Inject(gateway.ExpireToken().On(gateway.OpSwitch))
			}
			var warnings strings.Builder
			c.Stderr = &warnings
			out, err := c.Output()
			require.NoError(t, err, "%s%s", &warnings, out)
			assert.Empty(t, warnings.String())

			assert.Equal(t, test.expires, g.Struck() == 1)
			journal := g.Journal()
			var ops []string
			for changes := json.NewDecoder(strings.NewReader(string(out))); changes.More(); {
				var change struct {
					Op     string
					Record struct {
						APIID     string `json:"api_id"`
						VersionID string `json:"version_id"`
					}
				}
				require.NoError(t, changes.Decode(&change), "%s", out)
				require.Less(t, len(ops), len(journal), "%s", out)
				made := journal[len(ops)]
				assert.Equal(t, string(made.Action), change.Op)
				assert.Equal(t, made.APIID, change.Record.APIID)
				if change.Record.VersionID != "" { // not in the record of an API that was taken offline
					assert.Equal(t, made.VersionID, change.Record.VersionID)
				}
				ops = append(ops, change.Op)
			}
			assert.Equal(t, lifecycle, ops)
			assert.Len(t, journal, len(ops))
			for _, id := range apis {
				_, online := g.Published(id, apig.EnvRelease)
				assert.False(t, online)
			}
		})
	}
}
