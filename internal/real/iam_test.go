package real

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/gateway"
)

// counter is a transport that counts its requests.
type counter struct {
	http.RoundTripper
	requests atomic.Int32
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

// site is a gateway that asks Keystone about every token, and a client of it.
type site struct {
	gateway *gateway.Gateway
	client  *apig.Client
	apiID   string
}

func (s *keystoneServer) site(t *testing.T, source apig.TokenSource) *site {
	t.Helper()
	g := gateway.NewGateway(gateway.WithIDs(s.projectID, "e6a5871bfb5b47d19c5874790f639ef8"))
	t.Cleanup(g.Close)
	g.ValidateTokens(s.accepts)
	c, err := apig.New(apig.Config{
		Endpoint: g.URL(), ProjectID: g.ProjectID(), InstanceID: g.InstanceID(), Auth: apig.TokenAuth(source),
		Retry: apig.RetryPolicy{MaxAttempts: 1},
	})
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return &site{g, c, g.AddAPI("orders")}
}

func (s *site) publish() error {
	_, err := publish(s.client, s.apiID, "")
	return err
}

// tokens are the tokens of all requests so far.
func (s *site) tokens() (tokens []string) {
	for _, r := range s.gateway.Requests() {
		tokens = append(tokens, r.Header.Get("X-Auth-Token"))
	}
	return tokens
}

// requireRefusal checks the error of a publish for which there was no token.
func requireRefusal(t *testing.T, err error, op string, status int, sentinel error) *apig.APIGError {
	t.Helper()
	require.ErrorIs(t, err, sentinel)
	assert.Equal(t, apig.NotApplied, apig.OutcomeOf(err))
	var e *apig.APIGError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, []any{op, status, 1}, []any{e.Op, e.StatusCode, e.Attempts})
	assert.Contains(t, err.Error(), op+": "+fmt.Sprint(status))
	return e
}

// TestKeystone gets tokens from Keystone, which IAM's interface is. It proves that a
// real server takes the requests of this library, and that the client makes the right
// thing of its answers, and of tokens that end.
func TestKeystone(t *testing.T) {
	t.Parallel()
	s := newKeystone(t)
	// uwsgi closes each connection after its answer without saying so.
	s.serve(10 * time.Second)
	d, valid := s.describe(s.login())
	require.True(t, valid)
	s.projectID, s.userID = d.Token.Project.ID, d.Token.User.ID
	s.setUser("default_project_id", s.projectID)
	t.Run("with tokens of ten seconds", s.testExpiry)
	s.stop()

	s.serve(time.Hour, "--add-header", "Connection: close")
	t.Run("with tokens of an hour", s.testTokens)
}

func (s *keystoneServer) testExpiry(t *testing.T) {
	// A client that keeps its connections, as one of the caller's own may, now and then
	// sends a request into one that closes. The request is sent again.
	t.Run("meets the end of a connection", func(t *testing.T) {
		iam, wire := s.iam(t)
		begin := time.Now()
		for asked := int32(0); wire.requests.Load() == asked; asked++ { // without a wait, because the connection closes now
			require.Less(t, time.Since(begin), patience, "no connection broke in %d tokens", asked)
			_, err := iam.Token(context.Background())
			require.NoError(t, err)
		}
	})

	t.Run("renews an expired token", func(t *testing.T) {
		iam, _ := s.iam(t)
		site := s.site(t, iam)
		require.NoError(t, site.publish())
		first := site.tokens()
		await(t, "the end of a token", func() bool { return !s.accepts(first[0]) })
		require.NoError(t, site.publish())
		assert.NotContains(t, site.tokens()[len(first):], first[0], "an expired token")
	})
}

func (s *keystoneServer) testTokens(t *testing.T) {
	t.Run("obtains a token and reuses it", func(t *testing.T) {
		iam, wire := s.iam(t)
		token, err := iam.Token(context.Background())
		require.NoError(t, err)
		assert.WithinDuration(t, time.Now().Add(time.Hour), token.Expiry, time.Minute)

		site := s.site(t, iam)
		var callers sync.WaitGroup
		for range 4 {
			apiID := site.gateway.AddAPI("orders")
			callers.Go(func() {
				_, err := publish(site.client, apiID, "")
				assert.NoError(t, err)
			})
		}
		callers.Wait()
		require.NoError(t, site.publish())
		assert.EqualValues(t, 2, wire.requests.Load(), "one login for all")
		assert.Len(t, slices.Compact(site.tokens()), 1)
	})

	t.Run("recovers from a revoked token", func(t *testing.T) {
		iam, wire := s.iam(t)
		site := s.site(t, iam)
		require.NoError(t, site.publish())
		s.revoke(site.tokens()[0])
		require.NoError(t, site.publish())
		assert.EqualValues(t, 2, wire.requests.Load())
		tokens := site.tokens()
		require.Len(t, tokens, 3, "one 401, and one retry")
		assert.Equal(t, tokens[0], tokens[1])
		assert.NotEqual(t, tokens[1], tokens[2])
		assert.Len(t, site.gateway.Journal(), 2)
	})

	for name, change := range map[string]func(*apig.IAM){
		"the project by name alone":  func(*apig.IAM) {},
		"the same, the domain by id": func(i *apig.IAM) { i.DomainName, i.DomainID = "", domainID },
		"the project by id":          func(i *apig.IAM) { i.ProjectName, i.ProjectID = "", s.projectID },
		"the user by id": func(i *apig.IAM) {
			i.UserID, i.Username, i.DomainName, i.ProjectName, i.ProjectID = s.userID, "", "", "", s.projectID
		},
		"no project: the user's own": func(i *apig.IAM) { i.ProjectName = "" },
	} {
		t.Run("accepts "+name, func(t *testing.T) {
			iam, _ := s.iam(t)
			change(iam)
			token, err := iam.Token(context.Background())
			require.NoError(t, err)
			d, valid := s.describe(string(token.Value))
			require.True(t, valid)
			assert.Equal(t, s.projectID, d.Token.Project.ID)
		})
	}

	const unknownID = "0123456789abcdef0123456789abcdef"
	for name, change := range map[string]func(*apig.IAM){
		"a wrong password":      func(i *apig.IAM) { i.Password = "another secret" },
		"an unknown user":       func(i *apig.IAM) { i.Username = "nobody" },
		"an unknown id":         func(i *apig.IAM) { i.UserID, i.ProjectName, i.ProjectID = unknownID, "", s.projectID },
		"an unknown domain":     func(i *apig.IAM) { i.DomainName = "nowhere" },
		"an unknown project":    func(i *apig.IAM) { i.ProjectName = "cn-north-99" },
		"an unknown project id": func(i *apig.IAM) { i.ProjectName, i.ProjectID = "", unknownID },
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			iam, _ := s.iam(t)
			change(iam)
			site := s.site(t, iam)
			e := requireRefusal(t, site.publish(), "IAM", 401, apig.ErrUnauthorized)
			assert.Equal(t, apig.Code("401"), e.Code)
			assert.Equal(t, "The request you have made requires authentication.", e.Message)
			assert.Empty(t, site.tokens(), "requests to the gateway")
		})
	}

	t.Run("does not know agencies", func(t *testing.T) {
		iam, _ := s.iam(t)
		iam.AgencyName, iam.AgencyDomainName = "deployers", domain
		requireRefusal(t, s.site(t, iam).publish(), "IAM agency", 401, apig.ErrUnauthorized)
	})

	t.Run("is not at that path", func(t *testing.T) {
		iam, _ := s.iam(t)
		iam.Endpoint += "/identity"
		requireRefusal(t, s.site(t, iam).publish(), "IAM", 404, apig.ErrNotFound) // a page in HTML
	})

	// The last ones, because they end all tokens of the user, and the user.
	t.Run("learns that the password has changed", func(t *testing.T) {
		iam, _ := s.iam(t)
		site := s.site(t, iam)
		require.NoError(t, site.publish())
		s.setUser("password", "another secret")
		s.password = "another secret"
		requireRefusal(t, site.publish(), "IAM", 401, apig.ErrUnauthorized)
	})

	t.Run("learns that the user was disabled", func(t *testing.T) {
		iam, _ := s.iam(t)
		site := s.site(t, iam)
		require.NoError(t, site.publish())
		s.setUser("enabled", false)
		for range 2 {
			requireRefusal(t, site.publish(), "IAM", 401, apig.ErrUnauthorized)
		}
		assert.Len(t, site.tokens(), 2, "no request to the gateway without a token")
	})
}
