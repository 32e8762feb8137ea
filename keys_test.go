package apig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
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
	"StaticKeys": func(accessKey, secretKey string) Authenticator {
		return StaticKeys(Keys{AccessKey: accessKey, SecretKey: Secret(secretKey)})
	},
	"KeyAuth": func(accessKey, secretKey string) Authenticator {
		return KeyAuth(keysFunc(func(context.Context) (Keys, error) {
			return Keys{AccessKey: accessKey, SecretKey: Secret(secretKey), Expiry: time.Now().Add(time.Hour)}, nil
		}))
	},
}

// forKeysKinds runs a test for each of them, on a site in virtual time that knows
// the keys.
func forKeysKinds(t *testing.T, test func(t *testing.T, s *site, auth func(accessKey, secretKey string) Authenticator)) {
	for kind, auth := range keysKinds {
		virtually(t, kind, func(t *testing.T) { test(t, keysSite(t, ""), auth) })
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
func drain[T any](all iter.Seq2[T, error]) error { return second(collect(all)) }

// keysCalls are methods that send requests: every verb, with and without a query and a
// body. The remark stands for a version where one is needed.
var keysCalls = map[string]func(*Client, context.Context, PublishRequest) error{
	"Publish": func(c *Client, ctx context.Context, r PublishRequest) error { return second(c.Publish(ctx, r)) },
	"OfflineBatch": func(c *Client, ctx context.Context, r PublishRequest) error {
		return second(c.OfflineBatch(ctx, OfflineBatchRequest{APIIDs: []string{r.APIID}, EnvID: r.EnvID, Remark: r.Remark}))
	},
	"Versions": func(c *Client, ctx context.Context, r PublishRequest) error {
		return drain(c.Versions(ctx, r.APIID, r.EnvID))
	},
	"SwitchVersion": func(c *Client, ctx context.Context, r PublishRequest) error {
		return second(c.SwitchVersion(ctx, r.APIID, r.Remark))
	},
	"OfflineVersion": func(c *Client, ctx context.Context, r PublishRequest) error {
		return second(c.OfflineVersion(ctx, r.APIID, r.Remark))
	},
	"VersionDefinition": func(c *Client, ctx context.Context, r PublishRequest) error {
		return second(c.VersionDefinition(ctx, r.Remark))
	},
	"APIs": func(c *Client, ctx context.Context, r PublishRequest) error {
		return drain(c.APIs(ctx, APIQuery{Name: r.Remark}))
	},
}

// second is the error of a call.
func second[T any](_ T, err error) error { return err }

// Every request is signed so that another implementation, which the gateway for tests has,
// agrees.
func TestKeysSign(t *testing.T) {
	for _, securityToken := range []string{"", keysSecurity} {
		auth := StaticKeys(Keys{AccessKey: keysAccess, SecretKey: keysSecret, SecurityToken: Secret(securityToken)})
		for name, call := range keysCalls {
			virtually(t, name+" "+securityToken, func(t *testing.T) {
				s := keysSite(t, securityToken)
				req := s.request("a b+c&d=e/é~*'发布;%2F?#<b>")
				if version := s.theirs(""); strings.Contains(name, "Version") && name != "Versions" {
					req.Remark = version.ID
				}
				require.NoError(t, call(clientOf(t, s.Gateway, authBy(auth)), t.Context(), req))
				requests := s.Gateway.Requests()
				require.NotEmpty(t, requests)
				for _, r := range requests {
					signed := "host;x-project-id;x-sdk-date"
					if r.Header.Get("Content-Type") != "" {
						signed = "content-type;" + signed
					}
					if securityToken != "" {
						signed += ";x-security-token"
						assert.Equal(t, []string{securityToken}, r.Header["X-Security-Token"])
					}
					assert.Regexp(t, `^SDK-HMAC-SHA256 Access=`+keysAccess+`, SignedHeaders=`+signed+`, Signature=[0-9a-f]{64}$`, r.Header.Get("Authorization"))
					assert.Equal(t, []string{s.ProjectID()}, r.Header["X-Project-Id"])
					assert.NotContains(t, r.Header, "X-Auth-Token")
				}
			})
		}
	}
}

// Keys can sign a request that is not one of a Client's. Its body is signed, and still
// there. However many of them there are, none waits for another.
func TestKeysOnAnyRequest(t *testing.T) {
	forKeysKinds(t, func(t *testing.T, s *site, auth func(string, string) Authenticator) {
		body := fmt.Sprintf(`{"action":"online","api_id":%q,"env_id":%q}`, s.api, EnvRelease)
		keys := auth(keysAccess, keysSecret)
		transport := s.Transport()
		defer transport.CloseIdleConnections()
		for range 2 * unprovenAtOnce {
			r, err := http.NewRequest(http.MethodPost, s.URL()+"/v2/"+s.ProjectID()+"/apigw/instances/"+s.InstanceID()+"/apis/action", strings.NewReader(body))
			require.NoError(t, err)
			r.Header.Set("Content-Type", "application/json")
			require.NoError(t, keys.Authenticate(r))
			resp, err := transport.RoundTrip(r)
			require.NoError(t, err)
			resp.Body.Close()
			assert.Equal(t, 201, resp.StatusCode)
		}
	})
}

func TestKeysBody(t *testing.T) {
	boom := errors.New("boom")
	for want, body := range map[string]func() (io.ReadCloser, error){
		"the body of a PUT request cannot be read twice, so it cannot be signed": nil,
		"boom":  func() (io.ReadCloser, error) { return nil, boom },
		"boom!": func() (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(errors.New("boom!"))), nil },
		"":      func() (io.ReadCloser, error) { return http.NoBody, nil },
	} {
		r, err := http.NewRequest(http.MethodPut, "https://apig.example.com/x", strings.NewReader("{}"))
		require.NoError(t, err)
		r.GetBody = body
		err = StaticKeys(Keys{AccessKey: keysAccess, SecretKey: keysSecret}).Authenticate(r)
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, want)
		assert.Empty(t, r.Header.Get("Authorization"), "nothing is signed that was not read")
	}
}

func TestKeysMistakes(t *testing.T) {
	const space = " has a space, a control character or a byte outside ASCII at position "
	for want, keys := range map[string]Keys{
		"the access key is empty":               {SecretKey: keysSecret},
		"the secret key is empty":               {AccessKey: keysAccess},
		"the access key" + space + "11 of 11":   {AccessKey: "ACCESS-KEY\n", SecretKey: keysSecret},
		"the secret key" + space + "1 of 24":    {AccessKey: keysAccess, SecretKey: "ü" + keysSecret},
		"the security token" + space + "4 of 7": {AccessKey: keysAccess, SecretKey: keysSecret, SecurityToken: "two six"},
	} {
		cfg := testConfig(nil)
		cfg.Auth, cfg.InstanceID = StaticKeys(keys), ""
		require.EqualError(t, second(New(cfg)), "apig: invalid argument: InstanceID is empty; Auth: "+want)
		r, err := http.NewRequest(http.MethodGet, "https://apig.example.com/x", nil)
		require.NoError(t, err)
		require.EqualError(t, cfg.Auth.Authenticate(r), want)
		assert.Empty(t, r.Header)

		c, mt := newTest(t, authBy(KeyAuth(keysFunc(func(context.Context) (Keys, error) { return keys, nil }))))
		_, err = c.Publish(t.Context(), testRequest)
		require.EqualError(t, err, "apig: Publish API "+testAPI+": getting keys: "+want)
		assert.Equal(t, NotApplied, OutcomeOf(err))
		assert.Zero(t, mt.GetTotalCallCount())
	}
}

// A signature is good for 15 minutes, which waits may take. So each attempt is signed
// for itself, with its own date.
func TestKeysRetry(t *testing.T) {
	forKeysKinds(t, func(t *testing.T, s *site, auth func(string, string) Authenticator) {
		const wait = 10 * time.Minute
		s.Inject(gateway.CloseBefore())
		c := clientOf(t, s.Gateway, authBy(auth(keysAccess, keysSecret)), retry(RetryPolicy{SettleWait: wait}))
		start := time.Now().UTC()
		require.NoError(t, second(c.Publish(t.Context(), s.request(""))))
		requests := s.Gateway.Requests()
		require.Len(t, requests, 3)
		for n, r := range requests {
			assert.Equal(t, []string{start.Add(time.Duration(min(n, 1)) * wait).Format(sdkhmac.DateLayout)}, r.Header["X-Sdk-Date"])
			assert.Len(t, r.Header["Authorization"], 1)
		}
	})
}

// The date is that of the signature, not of the wait for keys before it.
func TestKeysSlowSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keysSite(t, keysSecurity)
		c := clientOf(t, s.Gateway, authBy(KeyAuth(keysFunc(func(context.Context) (Keys, error) {
			time.Sleep(30 * time.Second)
			return Keys{AccessKey: keysAccess, SecretKey: keysSecret, SecurityToken: keysSecurity, Expiry: time.Unix(1, 0)}, nil
		}))))
		require.NoError(t, second(c.Publish(t.Context(), s.request(""))), "the service decides whether keys have ended")
		assert.Equal(t, time.Now().UTC().Format(sdkhmac.DateLayout), s.Gateway.Requests()[0].Header.Get("X-Sdk-Date"))
	})
}

// A refused signature is final, for the fifth in a row locks the key: one request a call,
// whatever the call.
func TestKeysRefused(t *testing.T) {
	for name, call := range keysCalls {
		virtually(t, name, func(t *testing.T) {
			s := keysSite(t, "")
			version := s.theirs("")
			err := call(clientOf(t, s.Gateway, authBy(StaticKeys(Keys{AccessKey: keysAccess, SecretKey: "sk-of-somebody-else"}))), t.Context(), s.request(version.ID))
			require.ErrorIs(t, err, ErrUnauthorized)
			assert.Equal(t, NotApplied, OutcomeOf(err))
			var e *APIGError
			require.ErrorAs(t, err, &e)
			assert.Equal(t, []any{Code("APIGW.0301"), 1}, []any{e.Code, e.Attempts})
			assert.Contains(t, err.Error(), "verify aksk signature fail")
			assert.NotContains(t, err.Error(), "clock", "it is not the clock")
			assert.Len(t, s.Gateway.Requests(), 1)
		})
	}
}

// together makes calls for as many APIs at once, each of one second. It returns how many
// requests had come after half of it and in the end.
func (s *site) together(c *Client, calls int, check func(error)) (soon, all int) {
	s.Inject(gateway.Slow(time.Second).Always())
	defer s.ClearFaults()
	before := len(s.Gateway.Requests())
	var wg sync.WaitGroup
	for _, id := range s.apis(calls) {
		wg.Go(func() { check(second(c.Publish(s.t.Context(), PublishRequest{APIID: id, EnvID: EnvRelease}))) })
	}
	time.Sleep(time.Second / 2)
	soon = len(s.Gateway.Requests()) - before
	wg.Wait()
	return soon, len(s.Gateway.Requests()) - before
}

// Five refused signatures lock a key. With wrong keys, at most four requests are sent,
// however many calls there are at once: the key stays usable with the right secret. For a
// minute calls then fail without a request, and after it one at a time is tried.
func TestKeysRefusedAtOnce(t *testing.T) {
	forKeysKinds(t, func(t *testing.T, s *site, auth func(string, string) Authenticator) {
		c := clientOf(t, s.Gateway, authBy(auth(keysAccess, "sk-of-somebody-else")))
		sent := func() int {
			_, all := s.together(c, 32, func(err error) {
				assert.ErrorIs(t, err, ErrUnauthorized)
				assert.Equal(t, NotApplied, OutcomeOf(err))
			})
			return all
		}
		assert.Equal(t, unprovenAtOnce, sent())
		assert.Zero(t, sent())
		time.Sleep(refusedPause - time.Second/2 - time.Nanosecond)
		require.EqualError(t, second(c.Publish(t.Context(), s.request(""))), "apig: Publish API "+s.api+": unauthorized: the service has just refused these keys, which are not used for a minute: five refused signatures lock a key")
		require.NoError(t, second(clientOf(t, s.Gateway, authBy(auth(keysAccess, keysSecret))).Publish(t.Context(), s.request(""))), "the key is not locked")
		time.Sleep(time.Nanosecond)
		assert.Equal(t, refusedAtOnce, sent())
	})
}

// Until keys have worked once, four requests are in flight at most. Then there is no bound,
// and a refusal in between fails no other call: only two in a row do.
func TestKeysProven(t *testing.T) {
	forKeysKinds(t, func(t *testing.T, s *site, auth func(string, string) Authenticator) {
		c := clientOf(t, s.Gateway, authBy(auth(keysAccess, keysSecret)))
		for _, want := range []int{unprovenAtOnce, 32} {
			soon, _ := s.together(c, 32, func(err error) { assert.NoError(t, err) })
			assert.Equal(t, want, soon)
		}
		refuse := gateway.Answer(401, `{"error_code":"APIGW.0301"}`).On(gateway.OpAction)
		publish := func() error { return second(c.Publish(t.Context(), s.request(""))) }
		for range 2 {
			s.Inject(refuse)
			require.ErrorIs(t, publish(), ErrUnauthorized)
			require.NoError(t, publish())
		}
		s.Inject(refuse.Times(2))
		require.ErrorIs(t, publish(), ErrUnauthorized)
		require.ErrorIs(t, publish(), ErrUnauthorized)
		require.ErrorContains(t, publish(), "not used for a minute")
		time.Sleep(refusedPause)
		require.NoError(t, publish())
	})
}

// A call that waits for keys to prove themselves leaves with its own context, and has sent
// nothing. An answer that is neither a success nor a refusal lets the next one try.
func TestKeysWaitForProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keysSite(t, "")
		c := clientOf(t, s.Gateway, authBy(StaticKeys(Keys{AccessKey: keysAccess, SecretKey: keysSecret})))
		s.Inject(gateway.Fault{Delay: time.Minute / 2, Status: 403, Body: noPermissionBody}.Times(unprovenAtOnce))
		var wg sync.WaitGroup
		for _, id := range s.apis(unprovenAtOnce) {
			wg.Go(func() {
				assert.ErrorIs(t, second(c.Publish(t.Context(), PublishRequest{APIID: id, EnvID: EnvRelease})), ErrForbidden)
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Publish(ctx, s.request(""))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, NotApplied, OutcomeOf(err))
		require.NoError(t, second(c.Publish(t.Context(), s.request(""))))
		wg.Wait()
		assert.Len(t, s.Gateway.Requests(), unprovenAtOnce+1)
	})
}

// The look of settling is one more request to be signed. If that signature is refused
// there is no third.
func TestKeysRefusedWhileSettling(t *testing.T) {
	forKeysKinds(t, func(t *testing.T, s *site, auth func(string, string) Authenticator) {
		s.Inject(gateway.ApplyThenClose().On(gateway.OpAction), gateway.Answer(401, `{"error_code":"APIGW.0301"}`).On(gateway.OpHistory).Always())
		c := clientOf(t, s.Gateway, authBy(auth(keysAccess, keysSecret)))
		var err error
		assert.Equal(t, time.Second, took(func() { _, err = c.Publish(t.Context(), s.request("")) }))
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		assert.Equal(t, []gateway.Op{gateway.OpAction, gateway.OpHistory}, opsOf(s.Gateway))
	})
}

// opsOf are the kinds of the requests that a gateway has got.
func opsOf(g *gateway.Gateway) (ops []gateway.Op) {
	for _, r := range g.Requests() {
		ops = append(ops, r.Op)
	}
	return ops
}

// KeyAuth does not repeat a refused signature, but asks its source again for the next
// call. A failure that new keys cannot cure does not make it ask.
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
		require.ErrorIs(t, second(c.Publish(t.Context(), s.request(""))), ErrUnauthorized)
		assert.Len(t, s.Gateway.Requests(), 1)
		require.NoError(t, second(c.Publish(t.Context(), s.request(""))))
		for _, answer := range []gateway.Fault{
			gateway.Answer(403, noPermissionBody), gateway.Answer(401, noPermissionBody), gateway.Answer(404, noAPIBody), gateway.Answer(401, `{"error_code":"APIG.1013"}`),
		} {
			s.Inject(answer)
			require.Error(t, second(c.Publish(t.Context(), s.request(""))))
		}
		require.NoError(t, second(c.Publish(t.Context(), s.request(""))))
		assert.Equal(t, 2, asked, "keys that work are kept")
	})
}

// A rejection that arrives late does not drop the keys that have replaced the rejected ones.
func TestKeysLateRejection(t *testing.T) {
	asked := 0
	auth := KeyAuth(keysFunc(func(context.Context) (Keys, error) {
		asked++
		return Keys{AccessKey: fmt.Sprint("AK", asked), SecretKey: keysSecret}, nil
	}))
	for _, rejected := range []string{"", "Access=AK1,", "Access=AK1,", "Access=AK22,", ""} {
		r, err := http.NewRequest(http.MethodGet, "https://apig.example.com/x", nil)
		require.NoError(t, err)
		require.NoError(t, auth.Authenticate(r))
		r.Header.Set("Authorization", "SDK-HMAC-SHA256 "+rejected)
		assert.False(t, auth.(Refresher).Refresh(r), "a signature is not repeated")
	}
	assert.Equal(t, 2, asked)
}

// The service answers a wrong signature with all that was signed, credentials
// included.
func TestKeysEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := keysSite(t, keysSecurity)
		c := clientOf(t, s.Gateway, authBy(StaticKeys(Keys{AccessKey: keysAccess, SecretKey: "sk-of-somebody-else", SecurityToken: keysSecurity})))
		_, err := c.Publish(t.Context(), s.request(""))
		require.ErrorIs(t, err, ErrUnauthorized)
		assert.Contains(t, err.Error(), "x-security-token:REDACTED", "the echo is there")
		assert.NotContains(t, err.Error(), keysSecurity)
	})
}
