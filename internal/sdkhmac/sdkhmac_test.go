package sdkhmac

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	accessKey = "QTWAOYTTINDUT2QVKYUC"
	secretKey = "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc" // published with the first vector; belongs to nobody
)

var signingTime = time.Date(2019, 11, 15, 3, 36, 55, 0, time.UTC)

// publishBody and publishRequest are what this library sends most.
var publishBody = []byte(`{"action":"online","api_id":"5f918d104dc84480a75166ba99efff21",` +
	`"env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID","remark":"Release 1.4.2 of the orders API"}`)

func publishRequest() *http.Request {
	const target = "https://apig.cn-north-4.myhuaweicloud.com/v2/773c3c42ef494bc0a1e1a6b8d5fab32f" +
		"/apigw/instances/eddc4d25480b4cd6b512f270a1b8b341/apis/action"
	return newRequest(http.MethodPost, target, "X-Project-Id", "773c3c42ef494bc0a1e1a6b8d5fab32f",
		"Content-Type", "application/json", "Accept", "application/json", "User-Agent", "apig-go")
}

func newRequest(method, target string, header ...string) *http.Request {
	req := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

// TestKnownAnswers reproduces the published signatures: of the API Request Signing
// Guide, and of the official SDK's own tests.
func TestKnownAnswers(t *testing.T) {
	for _, tt := range []struct {
		name      string
		req       *http.Request
		body      string
		ak, sk    string
		time      time.Time
		headers   []string
		canonical string // SHA-256 of the canonical request, where it is published
		want      string
	}{
		{
			name: "guide",
			req: newRequest("GET", "https://service.region.example.com/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs"+
				"?limit=2&marker=13551d6b-755d-4757-b956-536f674975c0", "Content-Type", "application/json"),
			ak: accessKey, sk: secretKey, time: signingTime,
			headers:   []string{"Content-Type", "Host", "X-Sdk-Date"},
			canonical: "b25362e603ee30f4f25e7858e8a7160fd36e803bb2dfe206278659d71a9bcd7a",
			want: "SDK-HMAC-SHA256 Access=QTWAOYTTINDUT2QVKYUC, SignedHeaders=content-type;host;x-sdk-date, " +
				"Signature=7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe",
		},
		{
			name: "SDK",
			req: newRequest("POST", "https://example.huaweicloud.com/path?key=value",
				"TEST_UNDERSCORE", "TEST_VALUE", "Content-Type", "application/json"),
			body: `{"Name":"test","Id":1}` + "\n",
			ak:   "AccessKey", sk: "SecretKey", time: time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC),
			headers: []string{"X-Sdk-Date"},
			want: "SDK-HMAC-SHA256 Access=AccessKey, SignedHeaders=x-sdk-date, " +
				"Signature=cecc2af119b18ab70b4d094c0750f3b42c02f254903179a0fc2cc72fc9db4f59",
		},
	} {
		SignHeaders(tt.req, []byte(tt.body), tt.ak, tt.sk, tt.time, tt.headers...)
		assert.Equal(t, tt.want, tt.req.Header.Get("Authorization"), tt.name)
		if request, _ := appendRequest(nil, nil, tt.req, []byte(tt.body), tt.headers); tt.canonical != "" {
			assert.Equal(t, tt.canonical, hexHash(request), "%s", request)
		}
	}
}

func TestPath(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"https://h", "/"},
		{"https://h/", "/"},
		{"https://h/v2/apis", "/v2/apis/"},
		{"https://h/v2/apis/", "/v2/apis/"},
		{"https://h//a//b", "//a//b/"},           // nothing is cleaned, as it is sent
		{"https://h/a/../b/.", "/a/../b/./"},     // neither are these
		{"https://h/AZaz09-_.~", "/AZaz09-_.~/"}, // all that stays as it is
		{"https://h/!*'();:@&=+$,", "/%21%2A%27%28%29%3B%3A%40%26%3D%2B%24%2C/"},
		{"https://h/%21%7e%41", "/%21~A/"}, // needless escapes make no difference
		{"https://h/a+b", "/a%2Bb/"},       // a plus is a plus in a path
		{"https://h/a b", "/a%20b/"},
		{"https://h/a%20b", "/a%20b/"},
		{"https://h/发布/接口", "/%E5%8F%91%E5%B8%83/%E6%8E%A5%E5%8F%A3/"},
		{"https://h/%e5%8f%91%e5%b8%83", "/%E5%8F%91%E5%B8%83/"},
		{"https://h/a%2Fb/c", "/a%2Fb/c/"},   // an escaped slash separates nothing
		{"https://h/a%2fb%2F", "/a%2Fb%2F/"}, // nor does it end the path
		{"https://h/100%25", "/100%25/"},
		{"https://h/%252F", "/%252F/"},
		{"https://h/%FF%00", "/%FF%00/"},
	} {
		u, err := url.Parse(tt.url)
		require.NoError(t, err)
		assert.Equal(t, tt.want, string(appendPath(nil, u.EscapedPath())), tt.url)
	}
}

func TestQuery(t *testing.T) {
	for _, tt := range []struct{ name, query, want string }{
		{"none", "", ""},
		{"published by the SDK", "test=" + url.QueryEscape("一 (&=?!#%.*)") + "&path=/tmp/123&multi=3&multi=1&multi=2&limit=1&enable=true",
			"enable=true&limit=1&multi=1&multi=2&multi=3&path=%2Ftmp%2F123&test=%E4%B8%80%20%28%26%3D%3F%21%23%25.%2A%29"},
		{"upper case comes first", "b=1&F=2", "F=2&b=1"},
		{"sorted by name before its escaping", "a-=1&a=2&a%21=3", "a=2&a%21=3&a-=1"},
		{"sorted by value before its escaping", "a=~&a=%E4%B8%80&a=%21", "a=%21&a=~&a=%E4%B8%80"},
		{"sorted as text", "a=10&a=9", "a=10&a=9"},
		{"same pair twice", "a=1&a=1", "a=1&a=1"},
		{"no value", "b&a=", "a=&b="},
		{"no name", "=v&=", "=&=v"},
		{"second equals sign", "a=b=c", "a=b%3Dc"},
		{"empty pairs", "&&a=1&&", "a=1"},
		{"space", "a=x+y&a=x%20y", "a=x%20y&a=x%20y"},
		{"plus", "a=x%2By", "a=x%2By"},
		{"needless escapes", "%61=%7e", "a=~"},
		{"faulty escapes are literal", "a=%zz&b=100%&c=%4", "a=%25zz&b=100%25&c=%254"},
		{"a semicolon separates nothing", "a=1;b=2", "a=1%3Bb%3D2"},
	} {
		assert.Equal(t, tt.want, string(appendQuery(nil, tt.query)), tt.name)
	}
}

func TestHeaders(t *testing.T) {
	header := http.Header{
		"Content-Type": {" application/json; charset=utf-8\t"},
		"Host":         {"ignored.example.com"}, // net/http ignores it too
		"X-Empty":      {""},
		"X-None":       {},
		"X-Many":       {"b", " c", "a"},
		"X_under":      {"v"},
	}
	got, signed := appendHeaders(nil, nil, header, "h.example.com:8443",
		[]string{"Content-Type", "HOST", "x-absent", "X-Empty", "x-many", "X-None", "X_under"})
	assert.Equal(t, "content-type:application/json; charset=utf-8\nhost:h.example.com:8443\nx-empty:\n"+
		"x-many:c\nx-many:a\nx-many:b\nx_under:v\n", string(got), "sorted as they stand, trimmed afterwards")
	assert.Equal(t, "content-type;host;x-empty;x-many;x_under", string(signed))
	assert.Equal(t, []string{"b", " c", "a"}, header["X-Many"], "the header itself is not sorted")
}

// Sign sets two headers, and the same ones over those of an earlier attempt. It covers the
// headers that decide something, and the body. The date is in UTC, whatever the zone of the
// time.
func TestSignChangesTwoHeadersOnly(t *testing.T) {
	req := publishRequest()
	req.URL.RawQuery = "b=2&a=1;c=%zz"
	req.Header.Set("X-Security-Token", "token")
	want := req.Clone(req.Context())
	body := slices.Clone(publishBody)
	Sign(req, body, accessKey, secretKey, signingTime)
	signature := req.Header["Authorization"]
	require.Len(t, signature, 1)
	assert.Contains(t, signature[0], "SignedHeaders=content-type;host;x-project-id;x-sdk-date;x-security-token,")
	want.Header["X-Sdk-Date"], want.Header["Authorization"] = []string{"20191115T033655Z"}, signature
	assert.Equal(t, want, req)
	assert.Equal(t, publishBody, body)
	Sign(req, body[1:], accessKey, secretKey, signingTime)
	assert.NotEqual(t, want, req)

	req.Header.Set("X-Sdk-Date", "20000101T000000Z")
	req.Header.Set("Authorization", "stale")
	Sign(req, body, accessKey, secretKey, signingTime.In(time.FixedZone("CST", 8*60*60)))
	assert.Equal(t, want, req)
}

// TestSignOddRequests: these cannot be sent or not be accepted, but a signer is no
// place to find that out, least of all by a panic.
func TestSignOddRequests(t *testing.T) {
	for name, tt := range map[string]struct {
		req  *http.Request
		want string // method, path, query and host of the canonical request
	}{
		"zero":           {&http.Request{}, "GET\n/\n\nhost:\n"},
		"empty URL":      {&http.Request{URL: &url.URL{}}, "GET\n/\n\nhost:\n"},
		"no Host":        {&http.Request{URL: &url.URL{Host: "h"}}, "GET\n/\n\nhost:h\n"},
		"two hosts":      {&http.Request{Host: "a", URL: &url.URL{Host: "b"}}, "GET\n/\n\nhost:a\n"},
		"opaque":         {&http.Request{URL: &url.URL{Scheme: "mailto", Opaque: "a@b"}}, "GET\n/\n\nhost:\n"},
		"asterisk":       {&http.Request{Method: "OPTIONS", URL: &url.URL{Path: "*"}}, "OPTIONS\n%2A/\n\nhost:\n"},
		"relative":       {&http.Request{URL: &url.URL{Path: "a/b"}}, "GET\na/b/\n\nhost:\n"},
		"wrong RawPath":  {&http.Request{URL: &url.URL{Path: "/a", RawPath: "/b"}}, "GET\n/a/\n\nhost:\n"},
		"faulty RawPath": {&http.Request{URL: &url.URL{Path: "/a%zz", RawPath: "/a%zz"}}, "GET\n/a%25zz/\n\nhost:\n"},
		"not UTF-8":      {&http.Request{URL: &url.URL{Path: "/\xff\xfe", RawQuery: "\xff=\x00"}}, "GET\n/%FF%FE/\n%FF=%00\nhost:\n"},
		"line feeds":     {&http.Request{Method: "GET\n", Host: "h\n", URL: &url.URL{Path: "/\n", RawQuery: "\n"}}, "GET\n\n/%0A/\n%0A=\nhost:h\n"},
	} {
		Sign(tt.req, nil, accessKey, secretKey, signingTime)
		got, _ := appendRequest(nil, nil, tt.req, nil, []string{"Host"})
		assert.Equal(t, tt.want+"\nhost\n"+hexHash(nil), string(got), name)
	}
}

func TestSignIsCheap(t *testing.T) {
	req := publishRequest()
	assert.Less(t, testing.AllocsPerRun(100, func() { Sign(req, publishBody, accessKey, secretKey, signingTime) }), 10.0)
}

func hexHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
