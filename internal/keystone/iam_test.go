package keystone

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// wire is a transport that counts.
type wire struct {
	http.RoundTripper

	mu       sync.Mutex
	answers  []int   // statuses
	failures []error // of the transport itself
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.RoundTripper.RoundTrip(r)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.failures = append(w.failures, err)
		return nil, err
	}
	w.answers = append(w.answers, resp.StatusCode)
	return resp, nil
}

// seen is what Keystone has answered so far, and forgets it.
func (w *wire) seen() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	answers := w.answers
	w.answers = nil
	return answers
}

// failed is the first failure so far, or nil.
func (w *wire) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.failures) == 0 {
		return nil
	}
	return w.failures[0]
}

// iam logs in as the user of s, in the way that Keystone understands and Huawei
// too, and counts.
func (s *server) iam(t *testing.T) (*apig.IAM, *wire) {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	w := &wire{RoundTripper: transport}
	return &apig.IAM{
		Endpoint:          s.url,
		Username:          s.user,
		DomainName:        s.domain,
		Password:          apig.Secret(s.password),
		ProjectName:       s.project,
		ProjectDomainName: s.domain,
		HTTPClient:        &http.Client{Transport: w},
		Retry:             apig.RetryPolicy{MinWait: time.Millisecond, MaxWait: 10 * time.Millisecond},
	}, w
}

// accepts is valid for use in a server, where a test cannot be failed.
func (s *server) accepts(token string) bool {
	r, err := http.NewRequest(http.MethodGet, s.url+"/v3/auth/tokens", nil)
	if err != nil {
		return false
	}
	r.Header.Set("X-Auth-Token", token)
	r.Header.Set("X-Subject-Token", token)
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// stage is a gateway that asks Keystone about every token, and a client of it.
type stage struct {
	*server
	t       *testing.T
	gateway *apigtest.Gateway
	client  *apig.Client
	request apig.ActionRequest
}

func (s *server) stage(t *testing.T, source apig.TokenSource) *stage {
	t.Helper()
	g := apigtest.NewGateway(apigtest.WithIDs(s.projectID, "e6a5871bfb5b47d19c5874790f639ef8"))
	t.Cleanup(g.Close)
	g.ValidateTokens(s.accepts)
	c, err := apig.New(apig.Config{
		Endpoint: g.URL(), ProjectID: g.ProjectID(), InstanceID: g.InstanceID(), Auth: apig.TokenAuth(source),
		Retry: apig.RetryPolicy{MaxAttempts: 1},
	})
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return &stage{s, t, g, c, apig.ActionRequest{APIID: g.AddAPI("orders"), EnvID: apig.EnvRelease}}
}

func (s *stage) publish() error {
	_, err := s.client.Publish(context.Background(), s.request)
	return err
}

// tokens are those of the requests so far.
func (s *stage) tokens() (tokens []string) {
	for _, r := range s.gateway.Requests() {
		tokens = append(tokens, r.Header.Get("X-Auth-Token"))
	}
	return tokens
}

// refused checks an error of IAM, and that it is one from Publish as well.
func refused(t *testing.T, s *server, source apig.TokenSource, op string, status int, sentinel error) *apig.APIGError {
	t.Helper()
	token, err := source.Token(context.Background())
	assert.Zero(t, token)
	require.ErrorIs(t, err, sentinel)
	var e *apig.APIGError
	require.ErrorAs(t, err, &e)
	assert.Equal(t, op, e.Op)
	assert.Equal(t, status, e.StatusCode)
	assert.Equal(t, 1, e.Attempts)

	stage := s.stage(t, source)
	through := stage.publish()
	require.ErrorIs(t, through, sentinel)
	assert.NotErrorIs(t, through, apig.ErrOutcomeUnknown)
	assert.Contains(t, through.Error(), "getting a token: "+op+": "+fmt.Sprint(status))
	assert.Empty(t, stage.gateway.Requests(), "nothing reached the gateway")
	t.Log(err)
	return e
}

// The servers take turns: together they would be too slow for tokens that live
// five seconds.
func TestIAM(t *testing.T) {
	s := start(t, options{})

	t.Run("obtains a token and reuses it", func(t *testing.T) {
		iam, wire := s.iam(t)
		token, err := iam.Token(context.Background())
		require.NoError(t, err)
		assert.WithinDuration(t, time.Now().Add(time.Hour), token.Expiry, time.Minute)
		assert.True(t, s.valid(string(token.Value)))
		assert.Equal(t, []int{201}, wire.seen())

		stage := s.stage(t, iam)
		for range 3 {
			require.NoError(t, stage.publish())
		}
		assert.Equal(t, []int{201}, wire.seen())
		tokens := stage.tokens()
		assert.Len(t, tokens, 3)
		assert.Len(t, slices.Compact(tokens), 1)
	})

	t.Run("one login for callers who race", func(t *testing.T) {
		iam, wire := s.iam(t)
		stage := s.stage(t, iam)
		var callers sync.WaitGroup
		for range 4 {
			req := apig.ActionRequest{APIID: stage.gateway.AddAPI("orders"), EnvID: apig.EnvRelease}
			callers.Add(1)
			go func() {
				defer callers.Done()
				_, err := stage.client.Publish(context.Background(), req)
				assert.NoError(t, err)
			}()
		}
		callers.Wait()
		assert.Equal(t, []int{201}, wire.seen())
	})

	t.Run("recovers from a revoked token", func(t *testing.T) {
		iam, wire := s.iam(t)
		stage := s.stage(t, iam)
		require.NoError(t, stage.publish())
		s.revoke(stage.tokens()[0])
		require.NoError(t, stage.publish())
		assert.Equal(t, []int{201, 201}, wire.seen())

		tokens := stage.tokens()
		require.Len(t, tokens, 3, "one 401, and one repetition")
		assert.Equal(t, tokens[0], tokens[1])
		assert.NotEqual(t, tokens[1], tokens[2])
		assert.Len(t, stage.gateway.Journal(), 2)
		require.NoError(t, stage.publish())
		assert.Len(t, stage.tokens(), 4)
	})

	for name, change := range map[string]func(*apig.IAM){
		"the user by id":                       func(i *apig.IAM) { i.UserID, i.Username, i.DomainName = s.userID, "", "" },
		"the user by name, the domain by id":   func(i *apig.IAM) { i.DomainID, i.DomainName = s.domainID, "" },
		"the project by id":                    func(i *apig.IAM) { i.ProjectID, i.ProjectName, i.ProjectDomainName = s.projectID, "", "" },
		"the project by id and name":           func(i *apig.IAM) { i.ProjectID = s.projectID },
		"the project by name and domain name":  func(*apig.IAM) {},
		"the project by name and domain id":    func(i *apig.IAM) { i.ProjectDomainID, i.ProjectDomainName = s.domainID, "" },
		"no project, so that of the user":      func(i *apig.IAM) { i.ProjectName, i.ProjectDomainName = "", "" },
		"an endpoint with a slash":             func(i *apig.IAM) { i.Endpoint += "/" },
		"the user by id, project by name":      func(i *apig.IAM) { i.UserID = s.userID },
		"the user by id, project of domain id": func(i *apig.IAM) { i.UserID, i.ProjectDomainID = s.userID, s.domainID },
	} {
		t.Run("accepts "+name, func(t *testing.T) {
			iam, wire := s.iam(t)
			change(iam)
			token, err := iam.Token(context.Background())
			require.NoError(t, err)
			assert.Equal(t, s.projectID, s.projectOf(t, string(token.Value)))
			assert.Equal(t, []int{201}, wire.seen())
		})
	}

	t.Run("refuses a project by name alone", func(t *testing.T) {
		iam, _ := s.iam(t)
		iam.ProjectDomainName = ""
		refused(t, s, iam, "IAM", 400, apig.ErrBadRequest)
	})

	for name, change := range map[string]func(*apig.IAM){
		"a wrong password":  func(i *apig.IAM) { i.Password = "another secret" },
		"an unknown user":   func(i *apig.IAM) { i.Username = "nobody" },
		"an unknown id":     func(i *apig.IAM) { i.UserID = "0123456789abcdef0123456789abcdef" },
		"an unknown domain": func(i *apig.IAM) { i.DomainName = "nowhere" },
		"an unknown project": func(i *apig.IAM) {
			i.ProjectName = "cn-north-99"
		},
		"an unknown project id": func(i *apig.IAM) { i.ProjectID = "0123456789abcdef0123456789abcdef" },
		"a project of an unknown domain": func(i *apig.IAM) {
			i.ProjectDomainName = "nowhere"
		},
		"a project that is not theirs": func(i *apig.IAM) {
			i.ProjectName, i.ProjectDomainName, i.ProjectDomainID = "admin", "", "default"
		},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			iam, wire := s.iam(t)
			change(iam)
			e := refused(t, s, iam, "IAM", 401, apig.ErrUnauthorized)
			assert.Equal(t, apig.Code("401"), e.Code)
			assert.Equal(t, "The request you have made requires authentication.", e.Message)
			assert.Equal(t, []int{401, 401}, wire.seen(), "once for Token, once for Publish")
		})
	}

	t.Run("does not know agencies", func(t *testing.T) {
		iam, _ := s.iam(t)
		agency := &apig.Agency{
			Endpoint: s.url, Source: iam, Name: "deployers", DomainName: s.domain, ProjectID: s.projectID, Retry: iam.Retry,
		}
		refused(t, s, agency, "IAM agency", 401, apig.ErrUnauthorized)
	})

	t.Run("is not at that path", func(t *testing.T) {
		iam, _ := s.iam(t)
		iam.Endpoint += "/identity"
		refused(t, s, iam, "IAM", 404, apig.ErrNotFound)
	})

	t.Run("publishes by what the environment says", func(t *testing.T) {
		g := apigtest.NewGateway(apigtest.WithIDs(s.projectID, ""))
		t.Cleanup(g.Close)
		g.ValidateTokens(s.accepts)
		for name, value := range map[string]string{
			"APIG_ENDPOINT": g.URL(), "APIG_INSTANCE_ID": g.InstanceID(), "HW_PROJECT_ID": s.projectID,
			"HW_AUTH_URL": s.url + "/v3", "HW_USER_NAME": s.user, "HW_DOMAIN_NAME": s.domain, "HW_PASSWORD": s.password,
			"HW_AUTH_TOKEN": "", "HW_ACCESS_KEY": "", "HW_SECRET_KEY": "", "HW_USER_ID": "", "HW_DOMAIN_ID": "",
		} {
			t.Setenv(name, value)
		}
		cfg, err := apig.ConfigFromEnv()
		require.NoError(t, err)
		c, err := apig.New(cfg)
		require.NoError(t, err)
		t.Cleanup(c.CloseIdleConnections)
		_, err = c.Publish(context.Background(), apig.ActionRequest{APIID: g.AddAPI("orders"), EnvID: apig.EnvRelease})
		require.NoError(t, err)
	})

	// From here on the user is another one: both changes end their tokens at
	// once, the ones that a client holds included.
	t.Run("learns that the user was disabled", func(t *testing.T) {
		iam, wire := s.iam(t)
		stage := s.stage(t, iam)
		require.NoError(t, stage.publish())
		s.enable(false)
		err := stage.publish()
		require.ErrorIs(t, err, apig.ErrUnauthorized)
		assert.NotErrorIs(t, err, apig.ErrOutcomeUnknown)
		var e *apig.APIGError
		require.ErrorAs(t, err, &e)
		assert.Equal(t, "IAM", e.Op)
		assert.Contains(t, err.Error(), "getting a token: IAM: 401 Unauthorized: The request you have made requires authentication.")
		assert.Equal(t, []int{201, 401}, wire.seen())
		require.Error(t, stage.publish())
		assert.Equal(t, []int{401}, wire.seen())
		assert.Len(t, stage.tokens(), 2, "without a token the gateway is not bothered")
		refused(t, s, iam, "IAM", 401, apig.ErrUnauthorized)

		s.enable(true)
		require.NoError(t, stage.publish())
		assert.Len(t, stage.gateway.Journal(), 2)
	})

	t.Run("learns that the password has changed", func(t *testing.T) {
		iam, wire := s.iam(t)
		stage := s.stage(t, iam)
		require.NoError(t, stage.publish())
		s.setPassword("another secret")
		require.ErrorIs(t, stage.publish(), apig.ErrUnauthorized)
		assert.Equal(t, []int{201, 401}, wire.seen())
		iam, _ = s.iam(t)
		require.NoError(t, s.stage(t, iam).publish())
	})
}

// projectOf is the project that a token is for.
func (s *server) projectOf(t *testing.T, token string) string {
	t.Helper()
	var body struct {
		Token struct{ Project struct{ ID string } }
	}
	status, answer := s.do(http.MethodGet, "/auth/tokens", http.Header{"X-Auth-Token": {token}, "X-Subject-Token": {token}}, nil, nil)
	require.Equal(t, http.StatusOK, status, "%s", answer)
	require.NoError(t, json.Unmarshal(answer, &body))
	return body.Token.Project.ID
}

// forgetful is a source that does not say when its tokens end.
type forgetful struct{ *apig.IAM }

func (f forgetful) Token(ctx context.Context) (apig.Token, error) {
	token, err := f.IAM.Token(ctx)
	return apig.Token{Value: token.Value}, err
}

// dated is a source that notes when it was asked, and for how long.
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

// Tokens that live five seconds.
func TestExpiry(t *testing.T) {
	s := start(t, options{expiry: 5 * time.Second})
	expire := func(t *testing.T, token string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); s.valid(token); time.Sleep(50 * time.Millisecond) {
			require.True(t, time.Now().Before(deadline), "it does not expire")
		}
	}

	t.Run("renewed when it has expired", func(t *testing.T) {
		t.Parallel()
		iam, wire := s.iam(t)
		stage := s.stage(t, iam)
		require.NoError(t, stage.publish())
		expire(t, stage.tokens()[0])
		require.NoError(t, stage.publish())
		assert.Equal(t, []int{201, 201}, wire.seen())
		tokens := stage.tokens()
		require.Len(t, tokens, 2, "the gateway has seen no expired token")
		assert.NotEqual(t, tokens[0], tokens[1])
	})

	t.Run("renewed before it expires", func(t *testing.T) {
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
		assert.Positive(t, left, "before the end")
		assert.LessOrEqual(t, left, 2*time.Second, "and not much before")
		assert.True(t, source.expiry[1].After(source.expiry[0]))
		t.Logf("renewed %v before the end", left)
	})

	t.Run("recovered from when nobody knew the end", func(t *testing.T) {
		t.Parallel()
		iam, wire := s.iam(t)
		stage := s.stage(t, forgetful{iam})
		require.NoError(t, stage.publish())
		expire(t, stage.tokens()[0])
		require.NoError(t, stage.publish())
		assert.Equal(t, []int{201, 201}, wire.seen())
		tokens := stage.tokens()
		require.Len(t, tokens, 3, "one 401, and one repetition")
		assert.Equal(t, tokens[0], tokens[1])
		assert.NotEqual(t, tokens[1], tokens[2])
	})
}

// Huawei's documented shape: a project by its name alone. This server leaves out
// "Connection: close" as well.
func TestHuawei(t *testing.T) {
	s := start(t, options{huaweiScope: true, keepAlive: true})
	for name, change := range map[string]func(*apig.IAM){
		"the project by name alone":   func(i *apig.IAM) { i.ProjectDomainName = "" },
		"the same, the domain by id":  func(i *apig.IAM) { i.ProjectDomainName, i.DomainName, i.DomainID = "", "", s.domainID },
		"the project by name, domain": func(*apig.IAM) {},
		"the project by id":           func(i *apig.IAM) { i.ProjectID = s.projectID },
		"no project":                  func(i *apig.IAM) { i.ProjectName, i.ProjectDomainName = "", "" },
	} {
		t.Run("accepts "+name, func(t *testing.T) {
			iam, _ := s.iam(t)
			change(iam)
			token, err := iam.Token(context.Background())
			require.NoError(t, err)
			assert.Equal(t, s.projectID, s.projectOf(t, string(token.Value)))
		})
	}
	t.Run("refuses an unknown project", func(t *testing.T) {
		iam, _ := s.iam(t)
		iam.ProjectName, iam.ProjectDomainName = "cn-north-99", ""
		refused(t, s, iam, "IAM", 401, apig.ErrUnauthorized)
	})
	t.Run("publishes", func(t *testing.T) {
		iam, _ := s.iam(t)
		iam.ProjectDomainName = ""
		require.NoError(t, s.stage(t, iam).publish())
	})

	// uwsgi closes each connection after its answer, and says nothing of that.
	// A client that keeps it, as one of the caller's own does, now and then
	// sends a request into it as it closes. That is repeated, and nobody
	// notices.
	t.Run("closes a connection in silence", func(t *testing.T) {
		iam, wire := s.iam(t)
		begin, asked := time.Now(), 0
		for ; wire.failed() == nil; asked++ {
			require.Less(t, time.Since(begin), time.Minute, "no connection broke in %d tokens", asked)
			_, err := iam.Token(context.Background())
			require.NoError(t, err)
		}
		t.Logf("%d tokens in %v until one met %v", asked, time.Since(begin).Round(time.Millisecond), wire.failed())
		assert.Len(t, wire.seen(), asked, "all the same each was had")
	})
	t.Run("closes a connection in silence, and nothing is repeated", func(t *testing.T) {
		iam, wire := s.iam(t)
		iam.Retry.MaxAttempts = 1
		begin := time.Now()
		var err error
		for err == nil {
			require.Less(t, time.Since(begin), time.Minute, "no connection broke")
			_, err = iam.Token(context.Background())
		}
		require.ErrorIs(t, err, wire.failed())
		assert.NotErrorIs(t, err, apig.ErrOutcomeUnknown)
		assert.Contains(t, err.Error(), "apig: IAM: ")
		t.Log(err)
	})
	t.Run("finds no connection kept", func(t *testing.T) {
		iam, _ := s.iam(t)
		iam.HTTPClient, iam.Retry.MaxAttempts = nil, 1 // a client of its own, which keeps none
		for range 20 {
			_, err := iam.Token(context.Background())
			require.NoError(t, err)
		}
	})
}
