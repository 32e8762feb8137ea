package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// received is a request as the gateway records it.
func received(t *testing.T, method, url, body string, header http.Header) *Request {
	r := httptest.NewRequest(method, url, strings.NewReader(body))
	r.Header = header
	recorded, err := receive(httptest.NewRecorder(), r)
	require.NoError(t, err)
	return recorded
}

// The vectors are published, by the description of the algorithm and by the tests of the
// official SDK.
func TestPublishedVectors(t *testing.T) {
	for _, test := range []struct {
		method, url, body string
		header            http.Header
		signed, secret    string
		signature         string
	}{
		{
			"GET", "https://service.region.example.com/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs?limit=2&marker=13551d6b-755d-4757-b956-536f674975c0",
			"", http.Header{"Content-Type": {"application/json"}, "X-Sdk-Date": {"20191115T033655Z"}},
			"content-type;host;x-sdk-date", "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc",
			"7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe",
		},
		{
			"GET", "https://example.huaweicloud.com/path?limit=1",
			"", http.Header{"X-Sdk-Date": {"20060102T150405Z"}, "TEST_UNDERSCORE": {"ignored"}}, "x-sdk-date", "SecretKey",
			"5a2ce64c865e0e6046321c6f3d5a77ba8413eeaf355c3166c03d58d02ac79624",
		},
		{
			"POST", "https://example.huaweicloud.com/path?key=value", `{"Name":"test","Id":1}` + "\n",
			http.Header{"X-Sdk-Date": {"20060102T150405Z"}, "Content-Type": {"application/json"}}, "x-sdk-date", "SecretKey",
			"cecc2af119b18ab70b4d094c0750f3b42c02f254903179a0fc2cc72fc9db4f59",
		},
	} {
		canonical := canonicalRequest(received(t, test.method, test.url, test.body, test.header), strings.Split(test.signed, ";"))
		assert.Equal(t, test.signature, signature(test.secret, test.header.Get("X-Sdk-Date"), canonical), canonical)
	}
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestCanonicalForm(t *testing.T) {
	r := received(t, "GET", "http://h/a%20b/%E6%95%B0/c+d~?b=2&b=10&a=&q=x+y%2F%26&%E9%94%AE=v&A=1", "", nil)
	lines := strings.Split(canonicalRequest(r, []string{"host"}), "\n")
	assert.Equal(t, []string{"/a%20b/%E6%95%B0/c%2Bd~/", "A=1&a=&b=10&b=2&q=x%20y%2F%26&%E9%94%AE=v", "host:h"}, lines[1:4])

	r = received(t, "GET", "http://h/", "body", http.Header{"X-Sdk-Content-Sha256": {"UNSIGNED-PAYLOAD"}, "X-B": {" padded  ", "again"}})
	lines = strings.Split(canonicalRequest(r, []string{"x-b"}), "\n")
	assert.Equal(t, []string{"GET", "/", "", "x-b:padded", "x-b:again", "", "x-b", "UNSIGNED-PAYLOAD"}, lines)
}

// sign signs a request whose path and query need no escaping, with the date
// header alone.
func sign(t *testing.T, r *http.Request, access, secret string, at time.Time) {
	body, err := r.GetBody()
	require.NoError(t, err)
	content, err := io.ReadAll(body)
	require.NoError(t, err)
	date := at.Format("20060102T150405Z")
	r.Header.Del("X-Auth-Token")
	r.Header.Set("X-Sdk-Date", date)
	canonical := r.Method + "\n" + r.URL.Path + "/\n" + r.URL.RawQuery + "\nx-sdk-date:" + date + "\n\nx-sdk-date\n" + sum(string(content))
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "SDK-HMAC-SHA256\n%s\n%s", date, sum(canonical))
	r.Header.Set("Authorization", fmt.Sprintf("SDK-HMAC-SHA256 Access=%s, SignedHeaders=x-sdk-date, Signature=%s",
		access, hex.EncodeToString(mac.Sum(nil))))
}

func TestSignedRequests(t *testing.T) {
	now := time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)
	f := start(t, at(now), WithIDs("p", "i"))
	f.AddKeys("AK", "SK", "")
	f.AddKeys("TEMP", "SK2", "session")
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	edit := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), old, new, 1))
		}
	}
	signed := func(access, secret string, date time.Time) func(*http.Request) {
		return func(r *http.Request) { sign(t, r, access, secret, date) }
	}
	for name, test := range map[string]struct {
		change func(*http.Request) // after the request was signed with AK
		text   string              // of the refusal; empty: it is accepted
	}{
		"valid":             {func(*http.Request) {}, ""},
		"just old enough":   {signed("AK", "SK", now.Add(-15*time.Minute)), ""},
		"just new enough":   {signed("AK", "SK", now.Add(15*time.Minute)), ""},
		"own project":       {header("X-Project-Id", "p"), ""},
		"session":           {func(r *http.Request) { sign(t, r, "TEMP", "SK2", now); r.Header.Set("X-Security-Token", "session") }, ""},
		"unknown key":       {signed("NONE", "SK", now), "Get secretKey failed,ak NONE not exist"},
		"no signature":      {edit(", Signature=", ", Sig="), "Authorization format"},
		"no access":         {edit("Access=AK, ", ""), "Authorization format"},
		"no signed headers": {edit("SignedHeaders=x-sdk-date, ", ""), "Authorization format"},
		"no date":           {func(r *http.Request) { r.Header.Del("X-Sdk-Date") }, "X-Sdk-Date is missing"},
		"odd date":          {header("X-Sdk-Date", "20260501 080000Z"), "X-Sdk-Date is missing or malformed"},
		"date not signed":   {edit("=x-sdk-date", "=host"), "X-Sdk-Date is not among"},
		"header missing":    {edit("=x-sdk-date", "=x-none;x-sdk-date"), "SignedHeaders is missing"},
		"too old":           {signed("AK", "SK", now.Add(-15*time.Minute-time.Second)), "signature expired"},
		"too new":           {signed("AK", "SK", now.Add(15*time.Minute+time.Second)), "signature expired"},
		"no session token":  {signed("TEMP", "SK2", now), "security token"},
		"needless session":  {header("X-Security-Token", "session"), "security token"},
		"another query":     {func(r *http.Request) { r.URL.RawQuery = "limit=6" }, "verify aksk signature fail"},
		"wrong secret": {signed("AK", "wrong", now), "verify aksk signature fail, canonicalRequest:GET|/v2/p/apigw/instances/i/envs/|limit=5|" +
			"x-sdk-date:20260501T080000Z||x-sdk-date|e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	} {
		t.Run(name, func(t *testing.T) {
			r := f.request("GET", "/envs?limit=5", "")
			sign(t, r, "AK", "SK", now)
			test.change(r)
			res := f.do(r)
			res.t = t
			if test.text == "" {
				assert.Equal(t, 200, res.status, res.body)
				return
			}
			res.refused(401, "APIGW.0301", "Incorrect IAM authentication information: ")
			assert.Contains(t, res.json()["error_msg"], test.text)
		})
	}
	r := f.request("GET", "/envs", "")
	sign(t, r, "AK", "SK", now)
	r.Header.Set("X-Project-Id", "another")
	f.do(r).refused(403, "APIG.1005", "No permissions")
	r.Header.Set("Authorization", "Bearer x")
	f.do(r).refused(401, "APIG.1002", "Incorrect token")

	r = f.action("online", "signed")
	sign(t, r, "AK", "SK", now)
	forged := f.action("online", "forged")
	forged.Header = r.Header
	f.do(forged).refused(401, "APIGW.0301", "verify aksk signature fail")
	assert.Empty(t, f.Journal())
	assert.Equal(t, 201, f.do(r).status)
}

func TestFiveBadSignaturesLockTheKey(t *testing.T) {
	now := new(atomic.Int64)
	now.Store(1_750_000_000)
	clock := func() time.Time { return time.Unix(now.Load(), 0).UTC() }
	f := start(t, WithClock(clock))
	f.AddKeys("AK", "SK", "")
	f.AddKeys("OTHER", "SK", "")
	try := func(access, secret string) result {
		r := f.request("GET", "/envs", "")
		sign(t, r, access, secret, clock())
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
		fail(4)
		assert.Equal(t, 200, try("AK", "SK").status, "four in a row are forgiven")
		fail(5)
		now.Add(5*60 - 1)
		try("AK", "SK").refused(401, "APIGW.0301", "AK access failed to reach the limit")
		assert.Equal(t, 200, try("OTHER", "SK").status)
		unlock()
	}
	assert.Equal(t, 200, try("AK", "SK").status)
}
