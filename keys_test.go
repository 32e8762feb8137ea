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
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/internal/sdkhmac"
)

// The keys of the tests.
const (
	keysAccess   = "HPUADEXAMPLEOFTHETESTS"
	keysSecret   = "sk-which-is-never-sent"
	keysSecurity = "security-token-of-temporary-keys"
)

// keysGateway is a gateway that knows these keys, permanent ones unless there is
// a security token, with an API to publish.
func keysGateway(t testing.TB, securityToken string) (*apigtest.Gateway, ActionRequest) {
	g := apigtest.NewGateway()
	t.Cleanup(g.Close)
	g.AddKeys(keysAccess, keysSecret, securityToken)
	return g, ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease}
}

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

// keysDrain reads a sequence to its end.
func keysDrain[T any](all iter.Seq2[T, error]) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

// keysCalls are all methods that send requests, for a signature has to fit
// whatever is signed: every verb, with and without a query and a body.
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
		return keysDrain(c.Versions(ctx, VersionQuery{APIID: r.APIID, EnvID: r.EnvID}))
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
		return c.OfflineVersion(ctx, r.Remark)
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
		return keysDrain(c.Environments(ctx, EnvironmentQuery{Name: r.Remark}))
	},
	"APIs": func(c *Client, ctx context.Context, r ActionRequest) error {
		return keysDrain(c.APIs(ctx, APIQuery{Name: r.Remark}))
	},
}

// Every request of every method is signed so that another implementation, which
// the fake gateway has, agrees.
func TestKeysSign(t *testing.T) {
	t.Parallel()
	for _, securityToken := range []string{"", keysSecurity} {
		auth := StaticKeys(keysAccess, keysSecret)
		signed := "content-type;host;x-project-id;x-sdk-date"
		if securityToken != "" {
			auth = KeyAuth(Keys{AccessKey: keysAccess, SecretKey: keysSecret, SecurityToken: Secret(securityToken)})
			signed += ";x-security-token"
		}
		for name, call := range keysCalls {
			t.Run(name+" "+securityToken, func(t *testing.T) {
				t.Parallel()
				g, req := keysGateway(t, securityToken)
				version, err := g.Publish(req.APIID, req.EnvID, "")
				require.NoError(t, err)
				switch name {
				case "SwitchVersion", "OfflineVersion", "VersionDefinition":
					req.Remark = version.ID
				case "Publish", "PublishBatch":
					req.Remark = "1.4.2 <b>&é 发布\n"
				default: // in a query
					req.Remark = "a b+c&d=e/é~*'发布;%2F?#"
				}
				require.NoError(t, call(iamClient(t, g, auth), context.Background(), req))

				requests := g.Requests()
				require.NotEmpty(t, requests)
				for _, r := range requests {
					want := signed
					if r.Header.Get("Content-Type") == "" {
						want = strings.TrimPrefix(want, "content-type;")
					}
					assert.Regexp(t, `^SDK-HMAC-SHA256 Access=`+keysAccess+`, SignedHeaders=`+want+`, Signature=[0-9a-f]{64}$`, r.Header.Get("Authorization"))
					assert.Equal(t, []string{g.ProjectID()}, r.Header["X-Project-Id"])
					assert.Equal(t, securityToken, r.Header.Get("X-Security-Token"))
					assert.Len(t, r.Header["X-Sdk-Date"], 1)
					assert.NotContains(t, r.Header, "X-Auth-Token")
				}
				if securityToken == "" {
					assert.NotContains(t, requests[0].Header, "X-Security-Token")
				}
			})
		}
	}
}

// Instance keeps the project, which is what the keys are for.
func TestKeysOfAnotherInstance(t *testing.T) {
	t.Parallel()
	g, _ := keysGateway(t, "")
	other := g.AddInstance(g.ProjectID(), "")
	c, err := iamClient(t, g, StaticKeys(keysAccess, keysSecret)).Instance(other.InstanceID())
	require.NoError(t, err)
	_, err = c.Publish(context.Background(), ActionRequest{APIID: other.AddAPI("orders"), EnvID: EnvRelease})
	require.NoError(t, err)
	assert.Equal(t, g.ProjectID(), g.Requests()[0].Header.Get("X-Project-Id"))
}

// Keys can sign a request that is not one of a Client's.
func TestKeysOnAnyRequest(t *testing.T) {
	t.Parallel()
	for kind, auth := range keysKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			g, req := keysGateway(t, "")
			body := fmt.Sprintf(`{"action":"online","api_id":%q,"env_id":%q}`, req.APIID, req.EnvID)
			r, err := http.NewRequest(http.MethodPost, g.URL()+"/v2/"+g.ProjectID()+"/apigw/instances/"+g.InstanceID()+"/apis/action", strings.NewReader(body))
			require.NoError(t, err)
			r.Header.Set("Content-Type", "application/json")
			require.NoError(t, auth(keysAccess, keysSecret).Authenticate(r))
			resp, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			defer resp.Body.Close()
			assert.Equal(t, 201, resp.StatusCode, "the body was signed, and is still there")
		})
	}
}

func TestKeysBody(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for name, test := range map[string]struct {
		change func(*http.Request)
		want   string
	}{
		"none":              {func(r *http.Request) { r.Body, r.GetBody = nil, nil }, ""},
		"http.NoBody":       {func(r *http.Request) { r.Body, r.GetBody = http.NoBody, nil }, ""},
		"cannot be reread":  {func(r *http.Request) { r.GetBody = nil }, "the body of a PUT request cannot be read twice, so it cannot be signed"},
		"cannot be had":     {func(r *http.Request) { r.GetBody = func() (io.ReadCloser, error) { return nil, boom } }, "boom"},
		"breaks on reading": {func(r *http.Request) { r.GetBody = func() (io.ReadCloser, error) { return keysBroken{boom}, nil } }, "boom"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequest(http.MethodPut, "https://apig.example.com/x", bytes.NewReader([]byte("{}")))
			require.NoError(t, err)
			test.change(r)
			err = StaticKeys(keysAccess, keysSecret).Authenticate(r)
			if test.want == "" {
				require.NoError(t, err)
				assert.NotEmpty(t, r.Header.Get("Authorization"))
				return
			}
			require.EqualError(t, err, test.want)
			assert.Empty(t, r.Header.Get("Authorization"), "nothing is signed that was not read")
		})
	}
}

type keysBroken struct{ err error }

func (b keysBroken) Read([]byte) (int, error) { return 0, b.err }
func (b keysBroken) Close() error             { return nil }

func TestKeysMistakes(t *testing.T) {
	t.Parallel()
	const space = " has a space, a control character or a byte outside ASCII at position "
	for name, test := range map[string]struct {
		keys Keys
		want string
	}{
		"no access key":                {Keys{SecretKey: keysSecret}, "the access key is empty"},
		"no secret key":                {Keys{AccessKey: keysAccess}, "the secret key is empty"},
		"a line break after the key":   {Keys{AccessKey: "ACCESS-KEY\n", SecretKey: keysSecret}, "the access key" + space + "11 of 11"},
		"a line break after the other": {Keys{AccessKey: keysAccess, SecretKey: keysSecret + "\r\n"}, "the secret key" + space + "23 of 24"},
		"not ASCII":                    {Keys{AccessKey: keysAccess, SecretKey: "ü" + keysSecret}, "the secret key" + space + "1 of 24"},
		"a broken security token":      {Keys{AccessKey: keysAccess, SecretKey: keysSecret, SecurityToken: "two " + keysSecurity}, "the security token" + space + "4 of 36"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.keys.SecurityToken == "" {
				cfg := testConfig(nil)
				cfg.Auth, cfg.InstanceID = StaticKeys(test.keys.AccessKey, string(test.keys.SecretKey)), ""
				_, err := New(cfg)
				require.EqualError(t, err, "apig: invalid argument: InstanceID is empty; Auth: "+test.want)
				assert.ErrorIs(t, err, ErrInvalidArgument)

				r, err := http.NewRequest(http.MethodGet, "https://apig.example.com/x", nil)
				require.NoError(t, err)
				require.EqualError(t, cfg.Auth.Authenticate(r), test.want)
				assert.Empty(t, r.Header)
			}

			c, mt := newTest(t, authBy(KeyAuth(test.keys)))
			_, err := c.Publish(context.Background(), testRequest)
			require.EqualError(t, err, "apig: Publish API "+testAPI+": getting keys: "+test.want)
			assert.NotErrorIs(t, err, ErrOutcomeUnknown)
			assert.Zero(t, mt.GetTotalCallCount())
		})
	}
}

func TestKeysSourceFails(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	asked := 0
	c, mt := newTest(t, authBy(KeyAuth(keysFunc(func(context.Context) (Keys, error) {
		asked++
		return Keys{}, boom
	}))))
	_, err := c.Publish(context.Background(), testRequest)
	require.EqualError(t, err, "apig: Publish API "+testAPI+": getting keys: boom")
	require.ErrorIs(t, err, boom)
	assert.NotErrorIs(t, err, ErrOutcomeUnknown)
	assert.Equal(t, 1, asked, "how to go on is up to the source")
	assert.Zero(t, mt.GetTotalCallCount())
}

func TestKeysAreTheirOwnSource(t *testing.T) {
	t.Parallel()
	keys := Keys{AccessKey: keysAccess, SecretKey: keysSecret, SecurityToken: keysSecurity, Expiry: time.Unix(1, 0)}
	got, err := keys.Keys(context.Background())
	require.NoError(t, err)
	assert.Equal(t, keys, got)

	// That they have ended is for the service to say.
	g, req := keysGateway(t, keysSecurity)
	c := iamClient(t, g, KeyAuth(keys))
	for range 2 {
		_, err = c.Publish(context.Background(), req)
		require.NoError(t, err)
	}
}

// Each attempt is signed anew.
func TestKeysRetry(t *testing.T) {
	t.Parallel()
	for kind, auth := range keysKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			g, req := keysGateway(t, "")
			g.Inject(
				apigtest.Throttle("").On(apigtest.OpAction),
				apigtest.Answer(503, "<html>").On(apigtest.OpAction),
				apigtest.CloseBefore().On(apigtest.OpAction),
			)
			_, err := iamClient(t, g, auth(keysAccess, keysSecret)).Publish(context.Background(), req)
			require.NoError(t, err)
			assert.Len(t, g.Journal(), 1)
			attempts := 0
			for _, r := range g.Requests() {
				assert.Len(t, r.Header["Authorization"], 1)
				if r.Op == apigtest.OpAction {
					attempts++
				}
			}
			assert.Equal(t, 4, attempts)
		})
	}
}

// A refused signature is final, for the fifth in a row locks the key: one
// request a call, whatever the call.
func TestKeysRefused(t *testing.T) {
	t.Parallel()
	for kind, auth := range keysKinds {
		for name, call := range keysCalls {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				g, req := keysGateway(t, "")
				version, err := g.Publish(req.APIID, req.EnvID, "")
				require.NoError(t, err)
				req.Remark = version.ID
				published := len(g.Journal())

				err = call(iamClient(t, g, auth(keysAccess, "sk-of-somebody-else")), context.Background(), req)
				require.ErrorIs(t, err, ErrUnauthorized)
				assert.NotErrorIs(t, err, ErrOutcomeUnknown)
				var e *APIGError
				require.ErrorAs(t, err, &e)
				assert.Equal(t, CodeFrontAuth, e.Code)
				assert.Equal(t, 1, e.Attempts)
				assert.Contains(t, err.Error(), "verify aksk signature fail")
				assert.NotContains(t, err.Error(), "clock", "it is not the clock")
				assert.Len(t, g.Requests(), 1)
				assert.Len(t, g.Journal(), published)
			})
		}
	}
}

// A batch of thousands is several requests, at most four of them at once. What
// would come after a refused one is not sent: the key stays usable.
func TestKeysRefusedBatch(t *testing.T) {
	t.Parallel()
	g, req := keysGateway(t, "")
	ids := []string{req.APIID}
	for len(ids) < 8*batchLimit {
		ids = append(ids, fmt.Sprintf("%032x", len(ids)))
	}
	result, err := iamClient(t, g, StaticKeys(keysAccess, "sk-of-somebody-else")).PublishBatch(context.Background(), BatchRequest{APIIDs: ids, EnvID: req.EnvID})
	require.ErrorIs(t, err, ErrUnauthorized)
	assert.NotErrorIs(t, err, ErrOutcomeUnknown)
	assert.Less(t, len(g.Requests()), 5)
	require.Len(t, result.Items, len(ids))
	for _, item := range result.Items {
		require.ErrorIs(t, item.Err, ErrUnauthorized)
	}

	_, err = iamClient(t, g, StaticKeys(keysAccess, keysSecret)).Publish(context.Background(), req)
	require.NoError(t, err, "the key is not locked")
}

// Reading the history to settle a call is one more request to be signed. If
// that signature is refused there is no third.
func TestKeysRefusedWhileSettling(t *testing.T) {
	t.Parallel()
	for kind, auth := range keysKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			g, req := keysGateway(t, "")
			g.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction))
			g.InjectFunc(func(r *apigtest.Request) *apigtest.Fault {
				f := apigtest.Answer(401, `{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information: verify aksk signature fail"}`)
				return &f
			})
			_, err := iamClient(t, g, auth(keysAccess, keysSecret)).Publish(context.Background(), req)
			require.ErrorIs(t, err, ErrOutcomeUnknown)
			assert.Equal(t, []apigtest.Op{apigtest.OpAction, apigtest.OpHistory}, iamOps(g))
			assert.Len(t, g.Journal(), 1)
		})
	}
}

// keysNumbered gives the secrets of its list in turn, the last again and again.
type keysNumbered struct {
	secrets []Secret
	asked   atomic.Int32
}

func (s *keysNumbered) Keys(context.Context) (Keys, error) {
	n := int(s.asked.Add(1))
	return Keys{AccessKey: keysAccess, SecretKey: s.secrets[min(n, len(s.secrets))-1]}, nil
}

// KeyAuth does not repeat a refused signature, but asks its source again for the
// next call.
func TestKeysRefusedThenAskedAgain(t *testing.T) {
	t.Parallel()
	g, req := keysGateway(t, "")
	source := &keysNumbered{secrets: []Secret{"sk-of-yesterday", keysSecret}}
	c := iamClient(t, g, KeyAuth(source))

	_, err := c.Publish(context.Background(), req)
	require.ErrorIs(t, err, ErrUnauthorized)
	assert.EqualValues(t, 1, source.asked.Load())
	assert.Len(t, g.Requests(), 1)

	for range 3 {
		_, err = c.Publish(context.Background(), req)
		require.NoError(t, err)
	}
	assert.EqualValues(t, 2, source.asked.Load(), "keys that work are kept")
	assert.Len(t, g.Requests(), 4)
}

// What new keys cannot cure does not make KeyAuth ask for any.
func TestKeysAreKept(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]httpmock.Responder{
		"no permission":         respondJSON(403, noPermissionBody),
		"no permission, as 401": respondJSON(401, noPermissionBody),
		"the account is frozen": respondJSON(401, `{"error_code":"APIG.1013","error_msg":"The account is frozen."}`),
		"not there":             respondJSON(404, noAPIBody),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := &keysNumbered{secrets: []Secret{keysSecret}}
			c, mt := newTest(t, authBy(KeyAuth(source)))
			mt.RegisterResponder(http.MethodPost, actionURL, answer)
			for range 2 {
				_, err := c.Publish(context.Background(), testRequest)
				require.Error(t, err)
			}
			assert.EqualValues(t, 1, source.asked.Load())
			assert.Equal(t, 2, actions(mt))
		})
	}
}

// A rejection that arrives late does not throw away the keys that have replaced
// the rejected ones.
func TestKeysLateRejection(t *testing.T) {
	t.Parallel()
	var asked int
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
	assert.Contains(t, sign().Header.Get("Authorization"), "Access=AK2,")
	assert.False(t, refresh(second))
	assert.Contains(t, sign().Header.Get("Authorization"), "Access=AK2,", "rejected was AK1")
	assert.False(t, refresh(&http.Request{Header: http.Header{"Authorization": {"SDK-HMAC-SHA256 Access=AK22, "}}}))
	assert.Contains(t, sign().Header.Get("Authorization"), "Access=AK2,", "rejected was AK22")
	assert.False(t, refresh(&http.Request{Header: http.Header{}}))
	assert.Equal(t, 2, asked)
}

// A clock that is far off is what a 401 then comes from. Its text says so, and
// nothing is repeated.
func TestKeysClock(t *testing.T) {
	t.Parallel()
	for kind, auth := range keysKinds {
		for name, test := range map[string]struct {
			off    time.Duration // of the gateway's clock
			secret string
			want   string
		}{
			"20 minutes behind": {20 * time.Minute, keysSecret, `signature expired.* \(the request was signed with a clock that is -(20m0|19m59|20m1)s off the gateway's\)`},
			"20 minutes ahead":  {-20 * time.Minute, keysSecret, `signature expired.* \(the request was signed with a clock that is (20m0|19m59|20m1)s off the gateway's\)`},
			"a day behind":      {24 * time.Hour, keysSecret, `\(the request was signed with a clock that is -(24h0m0|23h59m59|24h0m1)s off the gateway's\)`},
			"not refused for it, but worth knowing": {
				-10 * time.Minute, "sk-of-somebody-else", `verify aksk signature fail.* \(the request was signed with a clock that is (10m0|9m59|10m1)s off the gateway's\)`,
			},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				g, req := keysGateway(t, "")
				g.SetClock(func() time.Time { return time.Now().Add(test.off) })
				_, err := iamClient(t, g, auth(keysAccess, test.secret)).Publish(context.Background(), req)
				require.ErrorIs(t, err, ErrUnauthorized)
				assert.Regexp(t, test.want, err.Error())
				assert.Len(t, g.Requests(), 1)
				assert.Empty(t, g.Journal())
			})
		}
	}
}

func TestKeysClockNote(t *testing.T) {
	t.Parallel()
	const refused = `{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information: signature expired"}`
	const note = " (the request was signed with a clock that is %v off the gateway's)"
	for name, test := range map[string]struct {
		auth   Authenticator
		status int
		body   string
		off    time.Duration // of the gateway's clock
		header []string
		want   string
	}{
		"behind":              {off: 15*time.Minute + time.Second, want: fmt.Sprintf(note, "-15m1s")},
		"ahead":               {off: -(15*time.Minute + time.Second), want: fmt.Sprintf(note, "15m1s")},
		"more than tolerable": {off: 5*time.Minute + time.Second, want: fmt.Sprintf(note, "-5m1s")},
		"tolerable":           {off: 5 * time.Minute},
		"exact":               {},
		"a cached answer":     {off: time.Hour, header: []string{"Age", "3600"}},
		"not refused for it":  {off: time.Hour, status: 403},
		"not signed":          {auth: StaticToken(testToken), off: time.Hour},
		"a long text": {
			body: `{"error_code":"APIGW.0301","error_msg":"verify aksk signature fail, canonicalRequest:` + strings.Repeat("x|", 1000) + `"}`,
			off:  time.Hour, want: fmt.Sprintf(note, "-1h0m0s"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.auth == nil {
				test.auth = StaticKeys(keysAccess, keysSecret)
			}
			if test.status == 0 {
				test.status = 401
			}
			if test.body == "" {
				test.body = refused
			}
			c, mt := newTest(t, authBy(test.auth))
			mt.RegisterResponder(http.MethodPost, actionURL, func(r *http.Request) (*http.Response, error) {
				signed, err := time.Parse(sdkhmac.DateLayout, r.Header.Get("X-Sdk-Date"))
				if err != nil {
					signed = time.Now()
				}
				date := []string{"Date", signed.Add(test.off).UTC().Format(http.TimeFormat)}
				return respondJSON(test.status, test.body, append(date, test.header...)...)(r)
			})
			_, err := c.Publish(context.Background(), testRequest)
			var e *APIGError
			require.ErrorAs(t, err, &e)
			if test.want == "" {
				assert.NotContains(t, e.Message, "clock")
				return
			}
			assert.True(t, strings.HasSuffix(e.Message, test.want), e.Message)
			assert.Less(t, len(e.Message), 1000)
		})
	}
	t.Run("no date", func(t *testing.T) {
		t.Parallel()
		c, mt := newTest(t, authBy(StaticKeys(keysAccess, keysSecret)))
		mt.RegisterResponder(http.MethodPost, actionURL, respondJSON(401, refused))
		_, err := c.Publish(context.Background(), testRequest)
		require.ErrorIs(t, err, ErrUnauthorized)
		assert.NotContains(t, err.Error(), "clock")
	})
}

// The service answers a wrong signature with all that was signed, credentials
// included.
func TestKeysEcho(t *testing.T) {
	t.Parallel()
	g, req := keysGateway(t, keysSecurity)
	c := iamClient(t, g, KeyAuth(Keys{AccessKey: keysAccess, SecretKey: "sk-of-somebody-else", SecurityToken: keysSecurity}))
	_, err := c.Publish(context.Background(), req)
	require.ErrorIs(t, err, ErrUnauthorized)
	assert.Contains(t, err.Error(), "x-security-token:REDACTED", "the echo is there")
	assert.NotContains(t, err.Error(), keysSecurity)
}

// keysRotating makes new keys each time, known to the gateway, which end soon.
type keysRotating struct {
	gateway *apigtest.Gateway
	life    time.Duration

	made, underWay, most atomic.Int32
}

func (s *keysRotating) Keys(context.Context) (Keys, error) {
	defer s.underWay.Add(-1)
	if now := s.underWay.Add(1); now > s.most.Load() {
		s.most.Store(now)
	}
	n := s.made.Add(1)
	keys := Keys{
		AccessKey:     fmt.Sprint("TEMPORARY-", n),
		SecretKey:     Secret(fmt.Sprint("secret-", n)),
		SecurityToken: Secret(fmt.Sprint("security-token-", n)),
	}
	s.gateway.AddKeys(keys.AccessKey, string(keys.SecretKey), string(keys.SecurityToken))
	keys.Expiry = time.Now().Add(s.life)
	return keys, nil
}

// Calls that race for temporary keys never mix two sets of them, and have one
// fetch under way at a time.
func TestKeysRace(t *testing.T) {
	t.Parallel()
	g, _ := keysGateway(t, "")
	source := &keysRotating{gateway: g, life: 5 * time.Millisecond}
	c := iamClient(t, g, KeyAuth(source))
	var callers sync.WaitGroup
	for range 8 {
		req := ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease}
		callers.Add(1)
		go func() {
			defer callers.Done()
			for range 25 {
				_, err := c.Publish(context.Background(), req)
				assert.NoError(t, err)
			}
		}()
	}
	callers.Wait()
	assert.Len(t, g.Journal(), 200)
	assert.Len(t, g.Requests(), 200, "none was refused")
	assert.EqualValues(t, 1, source.most.Load())
	assert.Greater(t, source.made.Load(), int32(1), "they ended meanwhile")

	used := regexp.MustCompile(`Access=TEMPORARY-(\d+),`)
	var sets []string
	for _, r := range g.Requests() {
		n := used.FindStringSubmatch(r.Header.Get("Authorization"))
		require.Len(t, n, 2)
		assert.Equal(t, "security-token-"+n[1], r.Header.Get("X-Security-Token"))
		sets = append(sets, n[1])
	}
	slices.Sort(sets)
	assert.Greater(t, len(slices.Compact(sets)), 1)
}

// Many first calls at once have one fetch between them.
func TestKeysOneFetch(t *testing.T) {
	t.Parallel()
	g, _ := keysGateway(t, "")
	const callers = 16
	var waiting atomic.Int32
	var asked atomic.Int32
	all := make(chan struct{})
	c := iamClient(t, g, KeyAuth(keysFunc(func(context.Context) (Keys, error) {
		asked.Add(1)
		<-all
		return Keys{AccessKey: keysAccess, SecretKey: keysSecret}, nil
	})), func(cfg *Config) {
		cfg.Limiter = keysLimiter(func() {
			if waiting.Add(1) == callers {
				close(all)
			}
		})
	})
	var done sync.WaitGroup
	for range callers {
		req := ActionRequest{APIID: g.AddAPI("orders"), EnvID: EnvRelease}
		done.Add(1)
		go func() {
			defer done.Done()
			_, err := c.Publish(context.Background(), req)
			assert.NoError(t, err)
		}()
	}
	done.Wait()
	assert.EqualValues(t, 1, asked.Load())
}

// keysLimiter is a limiter that counts.
type keysLimiter func()

func (f keysLimiter) Wait(context.Context) error {
	f()
	return nil
}
