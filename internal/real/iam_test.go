package real

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/internal/gateway"
)

// counter is a transport that counts.
type counter struct {
	http.RoundTripper

	mu       sync.Mutex
	answers  []int   // statuses
	failures []error // of the transport
}

func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failures = append(c.failures, err)
		return nil, err
	}
	c.answers = append(c.answers, resp.StatusCode)
	return resp, nil
}

// seen returns the statuses since the last call.
func (c *counter) seen() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	answers := c.answers
	c.answers = nil
	return answers
}

func (c *counter) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failures) == 0 {
		return nil
	}
	return c.failures[0]
}

// iam logs in as the user, for their project by its ID.
func (s *keystoneServer) iam(t *testing.T) (*apig.IAM, *counter) {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c := &counter{RoundTripper: transport}
	return &apig.IAM{
		Endpoint:   s.url,
		Username:   s.user,
		DomainName: s.domain,
		Password:   apig.Secret(s.password),
		ProjectID:  s.projectID,
		HTTPClient: &http.Client{Transport: c},
	}, c
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
	g.ValidateTokens(func(token string) bool { return s.accepts(token, nil) })
	c, err := apig.New(apig.Config{
		Endpoint: g.URL(), ProjectID: g.ProjectID(), InstanceID: g.InstanceID(), Auth: apig.TokenAuth(source),
		Retry: apig.RetryPolicy{MaxAttempts: 1},
	})
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return &site{g, c, g.AddAPI("orders")}
}

func (s *site) publish() error {
	_, err := publish.make(context.Background(), s.client, s.apiID, "")
	return err
}

// tokens are the tokens of all requests so far.
func (s *site) tokens() (tokens []string) {
	for _, r := range s.gateway.Requests() {
		tokens = append(tokens, r.Header.Get("X-Auth-Token"))
	}
	return tokens
}

// requireRefusal checks the error of a source of tokens, and the one of a publish with
// it.
func (s *keystoneServer) requireRefusal(t *testing.T, source apig.TokenSource, op string, status int, sentinel error) *apig.APIGError {
	t.Helper()
	token, err := source.Token(context.Background())
	assert.Zero(t, token)
	require.ErrorIs(t, err, sentinel)
	var e *apig.APIGError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, op, e.Op)
	assert.Equal(t, status, e.StatusCode)
	assert.Equal(t, 1, e.Attempts)

	site := s.site(t, source)
	err = site.publish()
	require.ErrorIs(t, err, sentinel)
	assert.Equal(t, apig.NotApplied, apig.OutcomeOf(err))
	assert.Contains(t, err.Error(), op+": "+fmt.Sprint(status))
	assert.Empty(t, site.gateway.Requests(), "requests to the gateway")
	return e
}

// TestKeystone gets tokens from Keystone.
func TestKeystone(t *testing.T) {
	t.Parallel()
	s := newKeystone(t)
	s.serve(time.Hour, "--add-header", "Connection: close")
	s.seed()
	testIAM(t, s)
	s.stop()

	// uwsgi closes each connection after its answer without saying so.
	s.serve(10 * time.Second)
	t.Run("expiry", func(t *testing.T) { testExpiry(t, s) })
}

func testIAM(t *testing.T, s *keystoneServer) {
	t.Run("obtains a token and reuses it", func(t *testing.T) {
		iam, wire := s.iam(t)
		token, err := iam.Token(context.Background())
		require.NoError(t, err)
		assert.WithinDuration(t, time.Now().Add(time.Hour), token.Expiry, time.Minute)
		assert.True(t, s.accepts(string(token.Value), nil))
		assert.Equal(t, []int{201}, wire.seen())

		site := s.site(t, iam)
		var callers sync.WaitGroup
		for range 4 {
			apiID := site.gateway.AddAPI("orders")
			callers.Go(func() {
				_, err := publish.make(context.Background(), site.client, apiID, "")
				assert.NoError(t, err)
			})
		}
		callers.Wait()
		require.NoError(t, site.publish())
		assert.Equal(t, []int{201}, wire.seen(), "one login for all")
		assert.Len(t, slices.Compact(site.tokens()), 1)
	})

	t.Run("recovers from a revoked token", func(t *testing.T) {
		iam, wire := s.iam(t)
		site := s.site(t, iam)
		require.NoError(t, site.publish())
		s.revoke(site.tokens()[0])
		require.NoError(t, site.publish())
		assert.Equal(t, []int{201, 201}, wire.seen())
		tokens := site.tokens()
		require.Len(t, tokens, 3, "one 401, and one retry")
		assert.Equal(t, tokens[0], tokens[1])
		assert.NotEqual(t, tokens[1], tokens[2])
		assert.Len(t, site.gateway.Journal(), 2)
	})

	for name, change := range map[string]func(*apig.IAM){
		"the project by id":         func(*apig.IAM) {},
		"the project by name alone": func(i *apig.IAM) { i.ProjectID, i.ProjectName = "", s.project },
		"the same, the domain by id": func(i *apig.IAM) {
			i.ProjectID, i.ProjectName, i.DomainName, i.DomainID = "", s.project, "", s.domainID
		},
		"the user by id":             func(i *apig.IAM) { i.UserID, i.Username, i.DomainName = s.userID, "", "" },
		"no project: the user's own": func(i *apig.IAM) { i.ProjectID = "" },
	} {
		t.Run("accepts "+name, func(t *testing.T) {
			iam, _ := s.iam(t)
			change(iam)
			token, err := iam.Token(context.Background())
			require.NoError(t, err)
			var body struct {
				Token struct{ Project struct{ ID string } }
			}
			require.True(t, s.accepts(string(token.Value), &body))
			assert.Equal(t, s.projectID, body.Token.Project.ID)
		})
	}

	for name, change := range map[string]func(*apig.IAM){
		"a wrong password":      func(i *apig.IAM) { i.Password = "another secret" },
		"an unknown user":       func(i *apig.IAM) { i.Username = "nobody" },
		"an unknown id":         func(i *apig.IAM) { i.UserID = "0123456789abcdef0123456789abcdef" },
		"an unknown domain":     func(i *apig.IAM) { i.DomainName = "nowhere" },
		"an unknown project":    func(i *apig.IAM) { i.ProjectID, i.ProjectName = "", "cn-north-99" },
		"an unknown project id": func(i *apig.IAM) { i.ProjectID = "0123456789abcdef0123456789abcdef" },
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			iam, _ := s.iam(t)
			change(iam)
			e := s.requireRefusal(t, iam, "IAM", 401, apig.ErrUnauthorized)
			assert.Equal(t, apig.Code("401"), e.Code)
			assert.Equal(t, "The request you have made requires authentication.", e.Message)
		})
	}

	t.Run("does not know agencies", func(t *testing.T) {
		iam, _ := s.iam(t)
		iam.AgencyName, iam.AgencyDomainName = "deployers", s.domain
		s.requireRefusal(t, iam, "IAM agency", 401, apig.ErrUnauthorized)
	})

	t.Run("is not at that path", func(t *testing.T) {
		iam, _ := s.iam(t)
		iam.Endpoint += "/identity"
		s.requireRefusal(t, iam, "IAM", 404, apig.ErrNotFound) // a page in HTML
	})

	// The last ones, because they end all tokens of the user.
	t.Run("learns that the user was disabled", func(t *testing.T) {
		iam, wire := s.iam(t)
		site := s.site(t, iam)
		require.NoError(t, site.publish())
		s.setUser(object{"enabled": false})
		for range 2 {
			err := site.publish()
			require.ErrorIs(t, err, apig.ErrUnauthorized)
			assert.Equal(t, apig.NotApplied, apig.OutcomeOf(err))
			var e *apig.APIGError
			require.ErrorAs(t, err, &e)
			assert.Equal(t, "IAM", e.Op)
		}
		assert.Len(t, site.tokens(), 2, "no request to the gateway without a token")
		assert.Equal(t, 201, wire.seen()[0])
		s.setUser(object{"enabled": true})
	})

	t.Run("learns that the password has changed", func(t *testing.T) {
		iam, wire := s.iam(t)
		site := s.site(t, iam)
		require.NoError(t, site.publish())
		s.setUser(object{"password": "another secret"})
		s.password = "another secret"
		require.ErrorIs(t, site.publish(), apig.ErrUnauthorized)
		assert.Equal(t, []int{201, 401}, wire.seen())
	})
}

// undated is a source that does not say when its tokens end.
type undated struct{ *apig.IAM }

func (u undated) Token(ctx context.Context) (apig.Token, error) {
	token, err := u.IAM.Token(ctx)
	return apig.Token{Value: token.Value}, err
}

// dated is a source that notes when it was asked, and until when its tokens are valid.
type dated struct {
	*apig.IAM
	fetched, expiry []time.Time
}

func (d *dated) Token(ctx context.Context) (apig.Token, error) {
	d.fetched = append(d.fetched, time.Now())
	token, err := d.IAM.Token(ctx)
	d.expiry = append(d.expiry, token.Expiry)
	return token, err
}

func testExpiry(t *testing.T, s *keystoneServer) {
	// A client that keeps its connections, as one of the caller's own may, now and then
	// sends a request into one that closes. The request is sent again.
	t.Run("meets the end of a connection", func(t *testing.T) {
		iam, wire := s.iam(t)
		var err error
		asked := 0
		for begin := time.Now(); wire.failed() == nil; asked++ { // without a wait, because the connection closes now
			require.Less(t, time.Since(begin), patience, "no connection broke in %d tokens", asked)
			_, err = iam.Token(context.Background())
		}
		require.NoError(t, err)
		assert.Len(t, wire.seen(), asked, "a token each time")
	})

	expire := func(t *testing.T, token string) {
		t.Helper()
		await(t, "the end of a token", func() bool { return !s.accepts(token, nil) })
	}

	t.Run("renews an expired token", func(t *testing.T) {
		t.Parallel()
		iam, _ := s.iam(t)
		site := s.site(t, iam)
		require.NoError(t, site.publish())
		expire(t, site.tokens()[0])
		before := len(site.tokens())
		require.NoError(t, site.publish())
		assert.NotContains(t, site.tokens()[before:], site.tokens()[0], "an expired token")
	})

	t.Run("renews a token before it expires", func(t *testing.T) {
		t.Parallel()
		iam, _ := s.iam(t)
		source := &dated{IAM: iam}
		auth := apig.TokenAuth(source)
		for len(source.fetched) < 2 {
			r, err := http.NewRequest(http.MethodGet, s.url, nil)
			require.NoError(t, err)
			require.NoError(t, auth.Authenticate(r))
			time.Sleep(10 * time.Millisecond)
		}
		left := source.expiry[0].Sub(source.fetched[1])
		assert.Positive(t, left)
		assert.LessOrEqual(t, left, 5*time.Second)
		assert.True(t, source.expiry[1].After(source.expiry[0]))
	})

	t.Run("recovers from an expired token of unknown end", func(t *testing.T) {
		t.Parallel()
		iam, _ := s.iam(t)
		site := s.site(t, undated{iam})
		require.NoError(t, site.publish())
		first := site.tokens()[0]
		expire(t, first)
		before := len(site.tokens())
		require.NoError(t, site.publish())
		tokens := site.tokens()[before:]
		require.Greater(t, len(tokens), 1, "one 401, and one retry")
		assert.NotEqual(t, first, tokens[len(tokens)-1])
	})
}
