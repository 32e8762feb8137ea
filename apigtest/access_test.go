package apigtest_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/apigtest"
)

// withToken asks for something harmless with a token.
func (f *fixture) withToken(token string) result {
	f.t.Helper()
	r := f.request("GET", "/envs", "")
	r.Header.Del("X-Auth-Token")
	if token != "" {
		r.Header.Set("X-Auth-Token", token)
	}
	return f.do(r)
}

func TestTokens(t *testing.T) {
	now := new(atomic.Int64)
	f := start(t, apigtest.WithClock(func() time.Time { return time.Unix(now.Load(), 0) }))
	f.withToken("").refused(401, "APIG.1002", "Incorrect token or token resolution failed")
	f.withToken("wrong").refused(401, "APIG.1002", "Incorrect token")
	assert.Equal(t, 200, f.withToken(f.Token()).status)

	f.AddToken("brief", time.Unix(60, 0))
	f.AddToken("for ever", time.Time{})
	assert.Equal(t, 200, f.withToken("brief").status)
	now.Store(59)
	assert.Equal(t, 200, f.withToken("brief").status)
	now.Store(60)
	f.withToken("brief").refused(401, "APIG.1001", "expired")
	now.Store(1 << 40)
	assert.Equal(t, 200, f.withToken("for ever").status)

	f.RevokeToken("for ever")
	f.withToken("for ever").refused(401, "APIG.1002", "Incorrect token")
}

func TestAuthenticationComesFirst(t *testing.T) {
	f := start(t)
	for _, url := range []string{
		f.URL() + "/v2/p/apigw/instances/i/apis/action",
		base(f.Gateway, f.Instance) + "/apis/action",
		base(f.Gateway, f.Instance) + "/apis/publish?action=nonsense",
	} {
		r := f.request("POST", url, "{")
		r.Header.Set("X-Auth-Token", "wrong")
		f.do(r).refused(401, "APIG.1002", "Incorrect token")
	}
	f.call("POST", f.URL()+"/v2/p/apigw/instances/i/apis/action", "{").refused(404, "APIG.3030", "instance")
}

func TestValidateTokens(t *testing.T) {
	f := start(t)
	f.ValidateTokens(func(token string) bool { return token == "good" })
	assert.Equal(t, 200, f.withToken("good").status)
	f.withToken(f.Token()).refused(401, "APIG.1002", "Incorrect token")
	f.withToken("").refused(401, "APIG.1002", "Incorrect token")

	var asked atomic.Int32
	f.ValidateTokens(func(string) bool {
		asked.Add(1)
		return f.Accepted() > 0 // it may call the gateway
	})
	f.withToken("any")
	f.withToken("any")
	assert.Equal(t, int32(2), asked.Load(), "asked on every request")

	f.ValidateTokens(nil)
	assert.Equal(t, 200, f.withToken(f.Token()).status)
	f.withToken("good").refused(401, "APIG.1002", "Incorrect token")
}

func TestExpireToken(t *testing.T) {
	f := start(t)
	f.AddToken("second", time.Time{})
	f.Inject(apigtest.ExpireToken().On(apigtest.OpAction))
	assert.Equal(t, 200, f.withToken(f.Token()).status, "not struck yet")
	f.publish("").refused(401, "APIG.1001", "expired")
	f.withToken(f.Token()).refused(401, "APIG.1001", "expired")
	assert.Equal(t, 200, f.withToken("second").status)
	assert.Empty(t, f.Journal())

	f.Inject(apigtest.ExpireToken())
	f.withToken("unknown").refused(401, "APIG.1002", "Incorrect token")
	f.withToken("unknown").refused(401, "APIG.1002", "Incorrect token")
	require.Equal(t, 2, f.Struck())
}
