package keystone

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The shapes of a scope for the user's project.
func (s *server) byName() object {
	return object{"project": object{"name": s.project, "domain": object{"name": s.domain}}}
}
func (s *server) byNameAlone() object { return object{"project": object{"name": s.project}} }
func (s *server) byID() object        { return object{"project": object{"id": s.projectID}} }

// login asks for a token as the user, by plain net/http.
func (s *server) login(scope object) *http.Response {
	s.t.Helper()
	resp := s.send(http.MethodPost, "/auth/tokens", nil, object{"auth": object{
		"identity": object{"methods": []string{"password"}, "password": object{
			"user": object{"name": s.user, "password": s.password, "domain": object{"name": s.domain}},
		}},
		"scope": scope,
	}})
	s.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// token logs in and returns the token and when it expires.
func (s *server) token(scope object) (string, time.Time) {
	s.t.Helper()
	resp := s.login(scope)
	require.Equal(s.t, http.StatusCreated, resp.StatusCode)
	var body struct {
		Token struct {
			ExpiresAt time.Time `json:"expires_at"`
			Project   struct{ ID string }
		}
	}
	require.NoError(s.t, json.NewDecoder(resp.Body).Decode(&body))
	require.Equal(s.t, s.projectID, body.Token.Project.ID)
	return resp.Header.Get("X-Subject-Token"), body.Token.ExpiresAt
}

// TestServer takes a token from a Keystone as it comes, and away again in each
// way that there is.
func TestServer(t *testing.T) {
	s := start(t, options{})
	assert.True(t, s.login(s.byName()).Close, "Connection: close")
	assert.Equal(t, http.StatusBadRequest, s.login(s.byNameAlone()).StatusCode)

	token, expiry := s.token(s.byName())
	other, _ := s.token(s.byID())
	assert.WithinDuration(t, time.Now().Add(time.Hour), expiry, time.Minute)
	assert.True(t, s.valid(token))
	assert.False(t, s.valid("wrong"))

	s.revoke(token)
	assert.False(t, s.valid(token), "revoked")
	assert.True(t, s.valid(other))

	s.enable(false)
	assert.False(t, s.valid(other), "disabled")
	assert.Equal(t, http.StatusUnauthorized, s.login(s.byName()).StatusCode)
	s.enable(true)
	token, _ = s.token(s.byName())
	assert.True(t, s.valid(token))

	s.setPassword("another secret")
	assert.False(t, s.valid(token), "of an old password")
	token, _ = s.token(s.byName())
	assert.True(t, s.valid(token))
}

// TestOptions starts one that differs in everything.
func TestOptions(t *testing.T) {
	s := start(t, options{expiry: 5 * time.Second, keepAlive: true, huaweiScope: true})
	resp := s.login(s.byName())
	assert.Equal(t, http.StatusCreated, resp.StatusCode)
	assert.False(t, resp.Close, "Connection: close")
	assert.Equal(t, http.StatusBadRequest, s.login(object{"project": object{}}).StatusCode)

	token, expiry := s.token(s.byNameAlone())
	assert.True(t, s.valid(token))
	time.Sleep(time.Until(expiry))
	assert.False(t, s.valid(token), "expired")
}
