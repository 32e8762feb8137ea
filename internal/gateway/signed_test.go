package gateway_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/gateway"
)

// sign signs a request whose path and query need no escaping, with the date
// header alone.
func sign(t *testing.T, r *http.Request, access, secret, date string) {
	body, err := r.GetBody()
	require.NoError(t, err)
	content, err := io.ReadAll(body)
	require.NoError(t, err)
	r.Header.Del("X-Auth-Token")
	r.Header.Set("X-Sdk-Date", date)
	canonical := r.Method + "\n" + r.URL.Path + "/\n" + r.URL.RawQuery + "\nx-sdk-date:" + date + "\n\nx-sdk-date\n" + sha(string(content))
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "SDK-HMAC-SHA256\n%s\n%s", date, sha(canonical))
	r.Header.Set("Authorization", fmt.Sprintf("SDK-HMAC-SHA256 Access=%s, SignedHeaders=x-sdk-date, Signature=%s",
		access, hex.EncodeToString(mac.Sum(nil))))
}

func sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

const sdkDate = "20060102T150405Z"

func TestSignedRequests(t *testing.T) {
	at := time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)
	f := start(t, gateway.WithClock(func() time.Time { return at }))
	f.AddKeys("AK", "SK", "")
	f.AddKeys("TEMP", "SK2", "session")
	fresh := func() *http.Request {
		r := f.action("online", f.api, release, "")
		sign(t, r, "AK", "SK", at.Format(sdkDate))
		return r
	}
	assert.Equal(t, 201, f.do(fresh()).status)
	r := f.request("GET", "/apis/publish/"+f.api+"?env_id="+release+"&limit=5", "")
	sign(t, r, "AK", "SK", at.Format(sdkDate))
	assert.Equal(t, 200, f.do(r).status)

	edit := func(name, old, new string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, strings.Replace(r.Header.Get(name), old, new, 1)) }
	}
	resign := func(access, secret string, date time.Time) func(*http.Request) {
		return func(r *http.Request) { sign(t, r, access, secret, date.Format(sdkDate)) }
	}
	for name, test := range map[string]struct {
		change func(*http.Request)
		text   string
	}{
		"unknown key":       {resign("NONE", "SK", at), "Get secretKey failed,ak NONE not exist"},
		"no signature":      {edit("Authorization", ", Signature=", ", Sig="), "Authorization format"},
		"no access":         {edit("Authorization", "Access=AK, ", ""), "Authorization format"},
		"no signed headers": {edit("Authorization", "SignedHeaders=x-sdk-date, ", ""), "Authorization format"},
		"no date":           {func(r *http.Request) { r.Header.Del("X-Sdk-Date") }, "X-Sdk-Date is missing"},
		"odd date":          {edit("X-Sdk-Date", "T", " "), "X-Sdk-Date is missing or malformed"},
		"date not signed":   {edit("Authorization", "=x-sdk-date", "=host"), "X-Sdk-Date is not among"},
		"header missing":    {edit("Authorization", "=x-sdk-date", "=x-none;x-sdk-date"), "SignedHeaders is missing"},
		"too old":           {resign("AK", "SK", at.Add(-15*time.Minute-time.Second)), "signature expired"},
		"too new":           {resign("AK", "SK", at.Add(15*time.Minute+time.Second)), "signature expired"},
		"no session token":  {resign("TEMP", "SK2", at), "security token"},
		"needless session":  {func(r *http.Request) { r.Header.Set("X-Security-Token", "session") }, "security token"},
	} {
		t.Run(name, func(t *testing.T) {
			r := fresh()
			test.change(r)
			res := f.do(r)
			res.t = t
			res.refused(401, "APIGW.0301", "Incorrect IAM authentication information: ")
			assert.Contains(t, res.json()["error_msg"], test.text)
		})
	}

	for _, offset := range []time.Duration{-15 * time.Minute, 15 * time.Minute} {
		r := fresh()
		resign("AK", "SK", at.Add(offset))(r)
		assert.Equal(t, 201, f.do(r).status, "just within the window")
	}
	r = fresh()
	resign("TEMP", "SK2", at)(r)
	r.Header.Set("X-Security-Token", "session")
	assert.Equal(t, 201, f.do(r).status)
	r = fresh()
	r.Header.Set("X-Project-Id", f.ProjectID())
	assert.Equal(t, 201, f.do(r).status)
	r.Header.Set("X-Project-Id", "another")
	r.Body, _ = r.GetBody()
	f.do(r).refused(403, "APIG.1005", "No permissions")
	r = fresh()
	r.Header.Set("Authorization", "Bearer x")
	f.do(r).refused(401, "APIG.1002", "Incorrect token")
}

func TestBadSignatureEchoesTheCanonicalRequest(t *testing.T) {
	f := start(t, gateway.WithIDs("p", "i"))
	f.AddKeys("AK", "SK", "")
	date := time.Now().UTC().Format(sdkDate)
	r := f.request("GET", "/envs", "")
	sign(t, r, "AK", "wrong", date)
	f.do(r).refused(401, "APIGW.0301", "verify aksk signature fail, canonicalRequest:GET|/v2/p/apigw/instances/i/envs/||x-sdk-date:"+
		date+"||x-sdk-date|e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")

	// What was signed must be what came.
	r = f.action("online", f.api, release, "signed")
	sign(t, r, "AK", "SK", date)
	forged := f.action("online", f.api, release, "forged")
	forged.Header = r.Header
	f.do(forged).refused(401, "APIGW.0301", "verify aksk signature fail")
	assert.Empty(t, f.Journal())
}

func TestFiveBadSignaturesLockTheKey(t *testing.T) {
	now := new(atomic.Int64)
	now.Store(1_750_000_000)
	clock := func() time.Time { return time.Unix(now.Load(), 0).UTC() }
	f := start(t, gateway.WithClock(clock))
	f.AddKeys("AK", "SK", "")
	f.AddKeys("OTHER", "SK", "")
	try := func(access, secret string) result {
		r := f.request("GET", "/envs", "")
		sign(t, r, access, secret, clock().Format(sdkDate))
		return f.do(r)
	}
	fail := func(times int) {
		for range times {
			try("AK", "wrong").refused(401, "APIGW.0301", "verify aksk signature fail")
		}
	}
	for _, unlock := range []func(){
		func() { now.Add(5 * 60) }, func() { f.AddKeys("AK", "SK", "") }, f.Reset,
	} {
		for range 2 {
			fail(4)
			assert.Equal(t, 200, try("AK", "SK").status, "four in a row are forgiven")
		}
		fail(5)
		now.Add(5*60 - 1)
		try("AK", "SK").refused(401, "APIGW.0301", "AK access failed to reach the limit")
		assert.Equal(t, 200, try("OTHER", "SK").status)
		unlock()
	}
	assert.Equal(t, 200, try("AK", "SK").status)
}
