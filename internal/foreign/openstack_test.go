package foreign

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

// region is the name by which IAM knows the project.
const region = "cn-north-4"

// environment is what OpenStack's clients are told of a user, and of where to
// look for the rest.
func (s *site) environment(more ...string) []string {
	return append([]string{
		"PATH=/usr/bin:/bin", // Debian's python3
		"HOME=" + s.t.TempDir(),
		"OS_AUTH_URL=" + s.URL() + "/v3",
		"OS_IDENTITY_API_VERSION=3",
		"OS_PROJECT_ID=" + s.ProjectID(),
		"OS_REGION_NAME=" + region,
	}, more...)
}

// password is how a user proves who they are.
func (s *site) password() []string {
	return []string{
		"OS_USERNAME=" + s.user.Name,
		"OS_PASSWORD=" + s.user.Password,
		"OS_USER_DOMAIN_NAME=" + s.user.DomainName,
	}
}

// run runs a client and returns what it prints.
func (s *site) run(environment []string, command string, args ...string) []byte {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, command, args...)
	c.Env = environment
	var warnings bytes.Buffer
	c.Stderr = &warnings
	out, err := c.Output()
	require.NoError(s.t, err, "%s %s: %s", command, strings.Join(args, " "), &warnings)
	assert.Empty(s.t, warnings.String(), "%s %s", command, strings.Join(args, " "))
	return out
}

// TestKeystoneauth takes an API through its lifecycle with keystoneauth, which
// gets the token and finds the gateway in the catalog. When its token expires
// on the way it gets another.
func TestKeystoneauth(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		name        string
		credentials func(*site) []string
		expires     bool
	}{
		{"password", (*site).password, false},
		{"expired token", (*site).password, true},
		{"token", func(s *site) []string { return []string{"OS_TOKEN=" + s.login(s.ProjectID())} }, false},
		{"token for no project", func(s *site) []string { return []string{"OS_TOKEN=" + s.login("")} }, false},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "openstack")
			if way.expires {
				s.Inject(apigtest.ExpireToken().On(apigtest.OpSwitch))
			}
			environment := s.environment(way.credentials(s)...)
			environment = append(environment,
				"APIG_INSTANCE_ID="+s.InstanceID(), "APIG_ORDERS="+s.orders, "APIG_USERS="+s.users)
			out := s.run(environment, "/usr/bin/python3", "lifecycle.py")

			var said struct {
				Endpoint  string
				ProjectID string `json:"project_id"`
				UserID    string `json:"user_id"`
				Changes   []change
			}
			require.NoError(t, json.Unmarshal(out, &said), "%s", out)
			assert.Equal(t, s.URL(), strings.TrimSuffix(said.Endpoint, "/"))
			assert.Equal(t, s.ProjectID(), said.ProjectID)
			assert.Equal(t, s.user.ID, said.UserID)
			s.requireLifecycle(said.Changes)
			if way.expires {
				assert.Equal(t, 1, s.Struck())
			}
		})
	}
}

// TestOpenstackclient gets a token and the address of the gateway with the
// command openstack, and publishes with them.
func TestOpenstackclient(t *testing.T) {
	t.Parallel()
	s := newSite(t, "openstack")
	openstack := func(into any, args ...string) {
		t.Helper()
		out := s.run(s.environment(s.password()...), "/usr/bin/openstack", append(args, "-f", "json")...)
		require.NoError(t, json.Unmarshal(out, into), "%s", out)
	}

	var token struct {
		ID        string
		ProjectID string `json:"project_id"`
		UserID    string `json:"user_id"`
		Expires   string
	}
	openstack(&token, "token", "issue")
	assert.Equal(t, s.ProjectID(), token.ProjectID)
	assert.Equal(t, s.user.ID, token.UserID)
	assert.NotEmpty(t, token.Expires)

	type endpoint struct{ Interface, Region, URL string }
	var service struct {
		Type      string
		Endpoints []endpoint
	}
	openstack(&service, "catalog", "show", "apig")
	assert.Equal(t, "apig", service.Type)
	found := ""
	for _, e := range service.Endpoints {
		if e.Interface == "public" && e.Region == region {
			found = e.URL
		}
	}
	require.Equal(t, s.URL(), strings.TrimSuffix(found, "/"))

	var services []struct{ Name, Type string }
	openstack(&services, "catalog", "list")
	var types []string
	for _, s := range services {
		types = append(types, s.Type)
	}
	assert.Contains(t, types, "apig")

	var projects []struct{ ID, Name string }
	openstack(&projects, "project", "list")
	assert.Contains(t, projects, struct{ ID, Name string }{s.ProjectID(), region})

	base := strings.Replace(s.base(), s.URL(), strings.TrimSuffix(found, "/"), 1)
	got := s.curl("POST", base+"/apis/action", token.ID,
		`{"action":"online","env_id":"`+release+`","api_id":"`+s.orders+`"}`)
	require.Equal(t, 201, got.status, "%s", got.body)
	var record change
	require.NoError(t, json.Unmarshal(got.body, &record))
	record.Op = "online"
	s.compare([]change{record})
}
