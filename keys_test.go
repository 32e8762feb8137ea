package apig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/internal/sdkhmac"
)

// The keys of the tests.
const (
	keysAccess   = "HPUADEXAMPLEOFTHETESTS"
	keysSecret   = "sk-which-is-never-sent"
	keysSecurity = "MIIQ-of-temporary-keys"
)

// keysFunc is a source made of a function.
type keysFunc func(context.Context) (Keys, error)

func (f keysFunc) Keys(ctx context.Context) (Keys, error) { return f(ctx) }

// keysKinds are all the ways to sign with the same permanent keys.
var keysKinds = map[string]func(accessKey, secretKey string) Authenticator{
	"StaticKeys": StaticKeys,
	"KeyAuth": func(accessKey, secretKey string) Authenticator {
		return KeyAuth(keysFunc(func(context.Context) (Keys, error) {
			return Keys{AccessKey: accessKey, SecretKey: Secret(secretKey), Expiry: time.Now().Add(time.Hour)}, nil
		}))
	},
	"Keys": func(accessKey, secretKey string) Authenticator {
		return KeyAuth(Keys{AccessKey: accessKey, SecretKey: Secret(secretKey)})
	},
}

// forKeysKinds runs a test for each of them, on a site in virtual time that knows
// the keys.
func forKeysKinds(t *testing.T, test func(t *testing.T, s *site, auth func(accessKey, secretKey string) Authenticator)) {
	for kind, auth := range keysKinds {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, keysSite(t, ""), auth) })
		})
	}
}

// keysSite is a site whose gateway knows these keys, permanent ones unless there
// is a security token.
func keysSite(t testing.TB, securityToken string) *site {
	s := newSite(t)
	s.AddKeys(keysAccess, keysSecret, securityToken)
	return s
}

// drain reads a sequence to its end.
func drain[T any](all iter.Seq2[T, error]) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// keysCalls are all methods that send requests, for a signature has to fit
// whatever is signed: every verb, with and without a query and a body. The remark
// stands for a version where one is needed.
var keysCalls = map[string]func(*Client, context.Context, ActionRequest) error{
	"Publish": func(c *Client, ctx context.Context, r ActionRequest) error {
		_, err := c.Publish(ctx, r)
		return err
	},
	"Offline": func(c *Client, ctx context.Context, r ActionRequest) error {
		_, err := c.Offline(ctx, r)
		return err
	},
	"PublishBatch": func(c *Client, ctx context.Context, r ActionRequest) error {
		_, err := c.PublishBatch(ctx, BatchRequest{APIIDs: []string{r.APIID}, EnvID: r.EnvID, Remark: r.Remark})
		return err
	},
	"OfflineBatch": func(c *Client, ctx context.Context, r ActionRequest) error {
		_, err := c.OfflineBatch(ctx, BatchRequest{APIIDs: []string{r.APIID}, EnvID: r.EnvID})
		return err
	},
	"Versions": func(c *Client, ctx context.Context, r ActionRequest) error {
		return drain(c.Versions(ctx, VersionQuery{APIID: r.APIID, EnvID: r.EnvID}))
	},
	"Published": func(c *Client, ctx context.Context, r ActionRequest) error {
		_, err := c.Published(ctx, r.APIID, r.EnvID)
		return err
	},
	"SwitchVersion": func(c *Client, ctx context.Context, r ActionRequest) error {
		_, err := c.SwitchVersion(ctx, r.APIID, r.Remark)
		return err
	},
	"OfflineVersion": func(c *Client, ctx context.Context, r ActionRequest) error {
		_, err := c.OfflineVersion(ctx, r.APIID, r.Remark)
		return err
	},
	"VersionDefinition": func(c *Client, ctx context.Context, r ActionRequest) error {
		_, err := c.VersionDefinition(ctx, r.Remark)
		return err
	},
	"RuntimeDefinition": func(c *Client, ctx context.Context, r ActionRequest) error {
		_, err := c.RuntimeDefinition(ctx, r.APIID, r.EnvID)
		return err
	},
	"Environments": func(c *Client, ctx context.Context, r ActionRequest) error {
		return drain(c.Environments(ctx, EnvironmentQuery{Name: r.Remark}))
	},
	"APIs": func(c *Client, ctx context.Context, r ActionRequest) error {
		return drain(c.APIs(ctx, APIQuery{Name: r.Remark}))
	},
}

// Every request of every method is signed so that another implementation, which
// the fake gateway has, agrees.
func TestKeysSign(t *testing.T) {
	for _, securityToken := range []string{"", keysSecurity} {
		auth := StaticKeys(keysAccess, keysSecret)
		signed := "content-type;host;x-project-id;x-sdk-date"
		if securityToken != "" {
			auth = KeyAuth(Keys{AccessKey: keysAccess, SecretKey: keysSecret, SecurityToken: Secret(securityToken)})
			signed += ";x-security-token"
		}
		for name, call := range keysCalls {
			t.Run(name+" "+securityToken, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := keysSite(t, securityToken)
					version, err := s.Gateway.Publish(s.api, EnvRelease, "")
					require.NoError(t, err)
					req := s.request("a b+c&d=e/é~*'发布;%2F?#") // in a query
					switch name {
					case "SwitchVersion", "OfflineVersion", "VersionDefinition":
						req.Remark = version.ID
					case "Publish", "PublishBatch":
						req.Remark = "1.4.2 <b>&é 发布\n"
					}
					require.NoError(t, call(clientOf(t, s.Gateway, authBy(auth)), t.Context(), req))

					requests := s.Gateway.Requests()
					require.NotEmpty(t, requests)
					for _, r := range requests {
						want := signed
						if r.Header.Get("Content-Type") == "" {
							want = strings.TrimPrefix(want, "content-type;")
						}
						assert.Regexp(t, `^SDK-HMAC-SHA256 Access=`+keysAccess+`, SignedHeaders=`+want+`, Signature=[0-9a-f]{64}$`, r.Header.Get("Authorization"))
						assert.Equal(t, []string{s.ProjectID()}, r.Header["X-Project-Id"])
						assert.Equal(t, securityToken, r.Header.Get("X-Security-Token"))
						assert.Equal(t, securityToken != "", r.Header["X-Security-Token"] != nil)
						assert.Len(t, r.Header["X-Sdk-Date"], 1)
						assert.NotContains(t, r.Header, "X-Auth-Token")
					}
				})
			})
		}
	}
}

// Instance keeps the project, which is what the keys are for.
func TestKeysOfAnotherInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keysSite(t, "")
		other := s.AddInstance(s.ProjectID(), "")
		c, err := clientOf(t, s.Gateway, authBy(StaticKeys(keysAccess, keysSecret))).Instance(other.InstanceID())
		require.NoError(t, err)
		_, err = c.Publish(t.Context(), ActionRequest{APIID: other.AddAPI("orders"), EnvID: EnvRelease})
		require.NoError(t, err)
		assert.Equal(t, s.ProjectID(), s.Gateway.Requests()[0].Header.Get("X-Project-Id"))
	})
}

// Keys can sign a request that is not one of a Client's. Its body is signed, and
// still there.
func TestKeysOnAnyRequest(t *testing.T) {
	forKeysKinds(t, func(t *testing.T, s *site, auth func(string, string) Authenticator) {
		body := fmt.Sprintf(`{"action":"online","api_id":%q,"env_id":%q}`, s.api, EnvRelease)
		r, err := http.NewRequest(http.MethodPost, s.URL()+"/v2/"+s.ProjectID()+"/apigw/instances/"+s.InstanceID()+"/apis/action", strings.NewReader(body))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		require.NoError(t, auth(keysAccess, keysSecret).Authenticate(r))
		transport := s.Transport()
		defer transport.CloseIdleConnections()
		resp, err := transport.RoundTrip(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		assert.Equal(t, 201, resp.StatusCode)
	})
}

func TestKeysBody(t *testing.T) {
	boom := errors.New("boom")
	for name, tt := range map[string]struct {
		change func(*http.Request)
		want   string
	}{
		"none":             {func(r *http.Request) { r.Body, r.GetBody = nil, nil }, ""},
		"http.NoBody":      {func(r *http.Request) { r.Body, r.GetBody = http.NoBody, nil }, ""},
		"cannot be reread": {func(r *http.Request) { r.GetBody = nil }, "the body of a PUT request cannot be read twice, so it cannot be signed"},
		"cannot be had":    {func(r *http.Request) { r.GetBody = func() (io.ReadCloser, error) { return nil, boom } }, "boom"},
		"breaks on reading": {func(r *http.Request) {
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(boom)), nil }
		}, "boom"},
	} {
		r, err := http.NewRequest(http.MethodPut, "https://apig.example.com/x", bytes.NewReader([]byte("{}")))
		require.NoError(t, err)
		tt.change(r)
		err = StaticKeys(keysAccess, keysSecret).Authenticate(r)
		if tt.want == "" {
			require.NoError(t, err, name)
			assert.NotEmpty(t, r.Header.Get("Authorization"), name)
			continue
		}
		require.EqualError(t, err, tt.want, name)
		assert.Empty(t, r.Header.Get("Authorization"), "%s: nothing is signed that was not read", name)
	}
}

func TestKeysMistakes(t *testing.T) {
	const space = " has a space, a control character or a byte outside ASCII at position "
	for name, tt := range map[string]struct {
		keys Keys
		want string
	}{
		"no access key":                {Keys{SecretKey: keysSecret}, "the access key is empty"},
		"no secret key":                {Keys{AccessKey: keysAccess}, "the secret key is empty"},
		"a line break after the key":   {Keys{AccessKey: "ACCESS-KEY\n", SecretKey: keysSecret}, "the access key" + space + "11 of 11"},
		"a line break after the other": {Keys{AccessKey: keysAccess, SecretKey: keysSecret + "\r\n"}, "the secret key" + space + "23 of 24"},
		"not ASCII":                    {Keys{AccessKey: keysAccess, SecretKey: "ü" + keysSecret}, "the secret key" + space + "1 of 24"},
		"a broken security token":      {Keys{AccessKey: keysAccess, SecretKey: keysSecret, SecurityToken: "two " + keysSecurity}, "the security token" + space + "4 of 26"},
	} {
		t.Run(name, func(t *testing.T) {
			fixed := map[string]Authenticator{"KeyAuth": KeyAuth(tt.keys)}
			if tt.keys.SecurityToken == "" {
				fixed["StaticKeys"] = StaticKeys(tt.keys.AccessKey, string(tt.keys.SecretKey))
			}
			for name, auth := range fixed {
				cfg := testConfig(nil)
				cfg.Auth, cfg.InstanceID = auth, ""
				_, err := New(cfg)
				require.EqualError(t, err, "apig: invalid argument: InstanceID is empty; Auth: "+tt.want, name)

				r, err := http.NewRequest(http.MethodGet, "https://apig.example.com/x", nil)
				require.NoError(t, err)
				require.EqualError(t, auth.Authenticate(r), tt.want, name)
				assert.Empty(t, r.Header)
			}
			c, mt := newTest(t, authBy(KeyAuth(keysFunc(tt.keys.Keys))))
			_, err := c.Publish(t.Context(), testRequest)
			require.EqualError(t, err, "apig: Publish API "+testAPI+": getting keys: "+tt.want)
			assert.Equal(t, NotApplied, OutcomeOf(err))
			assert.Zero(t, mt.GetTotalCallCount())
		})
	}
}

func TestKeysSourceFails(t *testing.T) {
	asked := 0
	c, mt := newTest(t, authBy(KeyAuth(keysFunc(func(context.Context) (Keys, error) {
		asked++
		return Keys{}, errVault
	}))))
	_, err := c.Publish(t.Context(), testRequest)
	require.EqualError(t, err, "apig: Publish API "+testAPI+": getting keys: the vault is sealed")
	require.ErrorIs(t, err, errVault)
	assert.Equal(t, NotApplied, OutcomeOf(err))
	assert.Equal(t, 1, asked, "how to go on is up to the source")
	assert.Zero(t, mt.GetTotalCallCount())
}

// That keys have ended is for the service to say.
func TestKeysAreTheirOwnSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := Keys{AccessKey: keysAccess, SecretKey: keysSecret, SecurityToken: keysSecurity, Expiry: time.Unix(1, 0)}
		got, err := keys.Keys(t.Context())
		require.NoError(t, err)
		assert.Equal(t, keys, got)
		s := keysSite(t, keysSecurity)
		c := clientOf(t, s.Gateway, authBy(KeyAuth(keys)))
		for range 2 {
			_, err = c.Publish(t.Context(), s.request(""))
			require.NoError(t, err)
		}
	})
}

// A signature is good for 15 minutes, which waits and the attempts themselves may
// take. So each attempt is signed anew, with the date of its own.
func TestKeysRetry(t *testing.T) {
	forKeysKinds(t, func(t *testing.T, s *site, auth func(string, string) Authenticator) {
		const wait = 10 * time.Minute
		s.Inject(apigtest.Throttle("").Times(3))
		c := clientOf(t, s.Gateway, authBy(auth(keysAccess, keysSecret)), retry(RetryPolicy{MinWait: wait, MaxWait: wait}))
		start := time.Now().UTC()
		_, err := c.Publish(t.Context(), s.request(""))
		require.NoError(t, err)
		requests := s.Gateway.Requests()
		require.Len(t, requests, 4)
		for n, r := range requests {
			assert.Equal(t, []string{start.Add(time.Duration(n) * wait).Format(sdkhmac.DateLayout)}, r.Header["X-Sdk-Date"])
			assert.Len(t, r.Header["Authorization"], 1)
		}
		assert.Len(t, s.Journal(), 1)
	})
}

// The date is that of the signature, not of the wait for keys before it.
func TestKeysSlowSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		auth := KeyAuth(keysFunc(func(context.Context) (Keys, error) {
			time.Sleep(time.Minute)
			return Keys{AccessKey: keysAccess, SecretKey: keysSecret}, nil
		}))
		r, err := http.NewRequest(http.MethodPost, actionURL, strings.NewReader("{}"))
		require.NoError(t, err)
		require.NoError(t, auth.Authenticate(r))
		assert.Equal(t, time.Now().UTC().Format(sdkhmac.DateLayout), r.Header.Get("X-Sdk-Date"))
	})
}

// A refused signature is final, for the fifth in a row locks the key: one
// request a call, whatever the call.
func TestKeysRefused(t *testing.T) {
	for name, call := range keysCalls {
		t.Run(name, func(t *testing.T) {
			forKeysKinds(t, func(t *testing.T, s *site, auth func(string, string) Authenticator) {
				version, err := s.Gateway.Publish(s.api, EnvRelease, "")
				require.NoError(t, err)
				err = call(clientOf(t, s.Gateway, authBy(auth(keysAccess, "sk-of-somebody-else"))), t.Context(), s.request(version.ID))
				require.ErrorIs(t, err, ErrUnauthorized)
				assert.Equal(t, NotApplied, OutcomeOf(err))
				var e *APIGError
				require.ErrorAs(t, err, &e)
				assert.Equal(t, CodeFrontAuth, e.Code)
				assert.Equal(t, 1, e.Attempts)
				assert.Contains(t, err.Error(), "verify aksk signature fail")
				assert.NotContains(t, err.Error(), "clock", "it is not the clock")
				assert.Len(t, s.Gateway.Requests(), 1)
				assert.Len(t, s.Journal(), 1)
			})
		})
	}
}

// A batch of thousands is several requests, at most four of them at once. What
// would come after a refused one is not sent: the key stays usable.
func TestKeysRefusedBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keysSite(t, "")
		ids := []string{s.api}
		for len(ids) < 8*batchLimit {
			ids = append(ids, fmt.Sprintf("%032x", len(ids)))
		}
		result, err := clientOf(t, s.Gateway, authBy(StaticKeys(keysAccess, "sk-of-somebody-else"))).
			PublishBatch(t.Context(), BatchRequest{APIIDs: ids, EnvID: EnvRelease})
		require.ErrorIs(t, err, ErrUnauthorized)
		assert.Equal(t, NotApplied, OutcomeOf(err))
		assert.Less(t, len(s.Gateway.Requests()), 5)
		require.Len(t, result.Items, len(ids))
		for _, item := range result.Items {
			if !errors.Is(item.Err, ErrUnauthorized) {
				t.Fatal(item.APIID, item.Err)
			}
		}
		_, err = clientOf(t, s.Gateway, authBy(StaticKeys(keysAccess, keysSecret))).Publish(t.Context(), s.request(""))
		require.NoError(t, err, "the key is not locked")
	})
}

// Reading the history to settle a call is one more request to be signed. If
// that signature is refused there is no third.
func TestKeysRefusedWhileSettling(t *testing.T) {
	forKeysKinds(t, func(t *testing.T, s *site, auth func(string, string) Authenticator) {
		s.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction))
		s.InjectFunc(func(*apigtest.Request) *apigtest.Fault {
			f := apigtest.Answer(401, `{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information: verify aksk signature fail"}`)
			return &f
		})
		c := clientOf(t, s.Gateway, authBy(auth(keysAccess, keysSecret)))
		var err error
		assert.Equal(t, 250*time.Millisecond, took(func() { _, err = c.Publish(t.Context(), s.request("")) }), "nor is it waited for")
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		assert.Equal(t, []apigtest.Op{apigtest.OpAction, apigtest.OpHistory}, opsOf(s.Gateway))
	})
}

// opsOf are the kinds of the requests that a gateway has got.
func opsOf(g *apigtest.Gateway) (ops []apigtest.Op) {
	for _, r := range g.Requests() {
		ops = append(ops, r.Op)
	}
	return ops
}

// KeyAuth does not repeat a refused signature, but asks its source again for the
// next call. What new keys cannot cure does not make it ask.
func TestKeysAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		s := keysSite(t, "")
		c := clientOf(t, s.Gateway, authBy(KeyAuth(keysFunc(func(context.Context) (Keys, error) {
			if asked++; asked == 1 {
				return Keys{AccessKey: keysAccess, SecretKey: "sk-of-yesterday"}, nil
			}
			return Keys{AccessKey: keysAccess, SecretKey: keysSecret}, nil
		}))))
		_, err := c.Publish(t.Context(), s.request(""))
		require.ErrorIs(t, err, ErrUnauthorized)
		assert.Len(t, s.Gateway.Requests(), 1)
		assert.Equal(t, 1, asked)

		_, err = c.Publish(t.Context(), s.request(""))
		require.NoError(t, err)
		for _, answer := range []apigtest.Fault{
			apigtest.Answer(403, noPermissionBody), apigtest.Answer(401, noPermissionBody), apigtest.Answer(404, noAPIBody),
			apigtest.Answer(401, `{"error_code":"APIG.1013","error_msg":"The account is frozen."}`),
		} {
			s.Inject(answer)
			_, err := c.Publish(t.Context(), s.request(""))
			require.Error(t, err)
		}
		_, err = c.Publish(t.Context(), s.request(""))
		require.NoError(t, err)
		assert.Equal(t, 2, asked, "keys that work are kept")
	})
}

// A rejection that arrives late does not throw away the keys that have replaced
// the rejected ones.
func TestKeysLateRejection(t *testing.T) {
	asked := 0
	auth := KeyAuth(keysFunc(func(context.Context) (Keys, error) {
		asked++
		return Keys{AccessKey: fmt.Sprint("AK", asked), SecretKey: keysSecret}, nil
	}))
	sign := func() *http.Request {
		r, err := http.NewRequest(http.MethodGet, "https://apig.example.com/x", nil)
		require.NoError(t, err)
		require.NoError(t, auth.Authenticate(r))
		return r
	}
	first, second := sign(), sign()
	refresh := auth.(Refresher).Refresh
	assert.False(t, refresh(first), "a signature is not repeated")
	for _, late := range []*http.Request{
		second, // rejected was AK1
		{Header: http.Header{"Authorization": {"SDK-HMAC-SHA256 Access=AK22, "}}},
		{Header: http.Header{}},
	} {
		assert.Contains(t, sign().Header.Get("Authorization"), "Access=AK2,")
		assert.False(t, refresh(late))
	}
	sign()
	assert.Equal(t, 2, asked)
}

// A clock that is far off is what a 401 then comes from. Its text says so, and
// nothing is repeated.
func TestKeysClock(t *testing.T) {
	for name, tt := range map[string]struct {
		off    time.Duration // of the gateway's clock
		secret string
		want   string
	}{
		"20 minutes behind":                     {20 * time.Minute, keysSecret, "-20m0s"},
		"20 minutes ahead":                      {-20 * time.Minute, keysSecret, "20m0s"},
		"a day behind":                          {24 * time.Hour, keysSecret, "-24h0m0s"},
		"not refused for it, but worth knowing": {-10 * time.Minute, "sk-of-somebody-else", "10m0s"},
		"tolerable":                             {-5 * time.Minute, "sk-of-somebody-else", ""},
		"exact":                                 {0, "sk-of-somebody-else", ""},
	} {
		t.Run(name, func(t *testing.T) {
			forKeysKinds(t, func(t *testing.T, s *site, auth func(string, string) Authenticator) {
				s.SetClock(func() time.Time { return time.Now().Add(tt.off) })
				_, err := clientOf(t, s.Gateway, authBy(auth(keysAccess, tt.secret))).Publish(t.Context(), s.request(""))
				require.ErrorIs(t, err, ErrUnauthorized)
				if tt.want == "" {
					assert.NotContains(t, err.Error(), "clock")
				} else {
					assert.ErrorContains(t, err, "(the request was signed with a clock that is "+tt.want+" off the gateway's)")
				}
				assert.Len(t, s.Gateway.Requests(), 1)
			})
		})
	}
}

// The note about the clock stands behind a text of any length, and nowhere where
// nothing is known of the clocks.
func TestKeysClockNote(t *testing.T) {
	const refused = `{"error_code":"APIGW.0301","error_msg":"signature expired"}`
	later := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	long := `{"error_code":"APIGW.0301","error_msg":"canonicalRequest:` + strings.Repeat("x|", 1000) + `"}`
	for name, tt := range map[string]struct {
		auth   Authenticator
		status int
		body   string
		header []string
		noted  bool
	}{
		"an hour behind":     {nil, 401, refused, []string{"Date", later}, true},
		"a long text":        {nil, 401, long, []string{"Date", later}, true},
		"a cached answer":    {nil, 401, refused, []string{"Date", later, "Age", "3600"}, false},
		"no date":            {nil, 401, refused, nil, false},
		"not refused for it": {nil, 403, refused, []string{"Date", later}, false},
		"not signed":         {StaticToken(testToken), 401, refused, []string{"Date", later}, false},
	} {
		if tt.auth == nil {
			tt.auth = StaticKeys(keysAccess, keysSecret)
		}
		c, mt := newTest(t, authBy(tt.auth))
		mt.RegisterResponder(http.MethodPost, actionURL, respondJSON(tt.status, tt.body, tt.header...))
		_, err := c.Publish(t.Context(), testRequest)
		var e *APIGError
		require.ErrorAs(t, err, &e, name)
		assert.Equal(t, tt.noted, strings.HasSuffix(e.Message, " off the gateway's)"), "%s: %s", name, e.Message)
		assert.Less(t, len(e.Message), 1000, name)
	}
}

// The service answers a wrong signature with all that was signed, credentials
// included.
func TestKeysEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keysSite(t, keysSecurity)
		c := clientOf(t, s.Gateway, authBy(KeyAuth(Keys{AccessKey: keysAccess, SecretKey: "sk-of-somebody-else", SecurityToken: keysSecurity})))
		_, err := c.Publish(t.Context(), s.request(""))
		require.ErrorIs(t, err, ErrUnauthorized)
		assert.Contains(t, err.Error(), "x-security-token:REDACTED", "the echo is there")
		assert.NotContains(t, err.Error(), keysSecurity)
	})
}

// Calls that race for temporary keys, which end all the time, never mix two sets
// of them, and have one fetch under way at a time.
func TestKeysRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.Inject(apigtest.Slow(20 * time.Millisecond).Always())
		var made, underWay atomic.Int32
		c := clientOf(t, s.Gateway, authBy(KeyAuth(keysFunc(func(context.Context) (Keys, error) {
			assert.EqualValues(t, 1, underWay.Add(1), "one fetch at a time")
			defer underWay.Add(-1)
			time.Sleep(time.Millisecond)
			n := made.Add(1)
			access, secret, security := fmt.Sprint("TEMPORARY-", n), fmt.Sprint("secret-", n), fmt.Sprint("security-token-", n)
			s.AddKeys(access, secret, security)
			return Keys{AccessKey: access, SecretKey: Secret(secret), SecurityToken: Secret(security), Expiry: time.Now().Add(50 * time.Millisecond)}, nil
		}))))
		var callers sync.WaitGroup
		for range 8 {
			req := ActionRequest{APIID: s.AddAPI("orders"), EnvID: EnvRelease}
			callers.Go(func() {
				for range 25 {
					_, err := c.Publish(t.Context(), req)
					assert.NoError(t, err)
				}
			})
		}
		callers.Wait()
		assert.Len(t, s.Journal(), 200)
		requests := s.Gateway.Requests()
		assert.Len(t, requests, 200, "none was refused")
		assert.Greater(t, made.Load(), int32(5), "they ended meanwhile")
		used := regexp.MustCompile(`Access=TEMPORARY-(\d+),`)
		for _, r := range requests {
			n := used.FindStringSubmatch(r.Header.Get("Authorization"))
			require.Len(t, n, 2)
			assert.Equal(t, "security-token-"+n[1], r.Header.Get("X-Security-Token"))
		}
	})
}

// Temporary keys are renewed five minutes before their end, while the calls go on
// with the old ones; what fails then does not fail a call.
func TestKeysRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, down := 0, false
		s := keysSite(t, "")
		c := clientOf(t, s.Gateway, authBy(KeyAuth(keysFunc(func(context.Context) (Keys, error) {
			if asked++; down {
				return Keys{}, errVault
			}
			return Keys{AccessKey: keysAccess, SecretKey: keysSecret, Expiry: time.Now().Add(time.Hour)}, nil
		}))))
		publish := func() error {
			_, err := c.Publish(t.Context(), s.request(""))
			return err
		}
		require.NoError(t, publish())
		time.Sleep(55*time.Minute - 1)
		require.NoError(t, publish())
		assert.Equal(t, 1, asked)
		down = true
		time.Sleep(time.Nanosecond)
		require.NoError(t, publish(), "the old keys live")
		assert.Equal(t, 2, asked)
		time.Sleep(5 * time.Minute)
		require.ErrorIs(t, publish(), errVault, "they have ended")
		down = false
		require.NoError(t, publish())
	})
}
