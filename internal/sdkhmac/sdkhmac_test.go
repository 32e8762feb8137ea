package sdkhmac

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
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
	sdkTime := time.Date(2006, 1, 2, 15, 4, 5, 0, time.UTC)
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
			name: "SDK, GET",
			req:  newRequest("GET", "https://example.huaweicloud.com/path?limit=1", "TEST_UNDERSCORE", "TEST_VALUE"),
			ak:   "AccessKey", sk: "SecretKey", time: sdkTime,
			headers: []string{"X-Sdk-Date"},
			want: "SDK-HMAC-SHA256 Access=AccessKey, SignedHeaders=x-sdk-date, " +
				"Signature=5a2ce64c865e0e6046321c6f3d5a77ba8413eeaf355c3166c03d58d02ac79624",
		},
		{
			name: "SDK, POST",
			req: newRequest("POST", "https://example.huaweicloud.com/path?key=value",
				"TEST_UNDERSCORE", "TEST_VALUE", "Content-Type", "application/json"),
			body: `{"Name":"test","Id":1}` + "\n",
			ak:   "AccessKey", sk: "SecretKey", time: sdkTime,
			headers: []string{"X-Sdk-Date"},
			want: "SDK-HMAC-SHA256 Access=AccessKey, SignedHeaders=x-sdk-date, " +
				"Signature=cecc2af119b18ab70b4d094c0750f3b42c02f254903179a0fc2cc72fc9db4f59",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			SignHeaders(tt.req, []byte(tt.body), tt.ak, tt.sk, tt.time, tt.headers...)
			assert.Equal(t, tt.want, tt.req.Header.Get("Authorization"))
			if request, _ := appendRequest(nil, nil, tt.req, []byte(tt.body), tt.headers); tt.canonical != "" {
				assert.Equal(t, tt.canonical, hexHash(request), "%s", request)
			}
		})
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

// Sign sets two headers, and the same ones over those of an earlier attempt. The date is in
// UTC, whatever the zone of the time.
func TestSignChangesTwoHeadersOnly(t *testing.T) {
	req := publishRequest()
	req.URL.RawQuery = "b=2&a=1;c=%zz"
	want := req.Clone(req.Context())
	body := slices.Clone(publishBody)
	Sign(req, body, accessKey, secretKey, signingTime)
	signature := req.Header["Authorization"]
	require.Len(t, signature, 1)
	want.Header["X-Sdk-Date"], want.Header["Authorization"] = []string{"20191115T033655Z"}, signature
	assert.Equal(t, want, req)
	assert.Equal(t, publishBody, body)

	req.Header.Set("X-Sdk-Date", "20000101T000000Z")
	req.Header.Set("Authorization", "stale")
	Sign(req, body, accessKey, secretKey, signingTime.In(time.FixedZone("CST", 8*60*60)))
	assert.Equal(t, want, req)
}

// TestSignOddRequests: these cannot be sent or not be accepted, but a signer is no
// place to find that out, least of all by a panic.
func TestSignOddRequests(t *testing.T) {
	for name, req := range map[string]*http.Request{
		"zero":           {},
		"empty URL":      {URL: &url.URL{}},
		"opaque":         {URL: &url.URL{Scheme: "mailto", Opaque: "a@b"}},
		"opaque path":    {URL: &url.URL{Opaque: "//h/a%2Fb"}},
		"asterisk":       {Method: "OPTIONS", URL: &url.URL{Path: "*"}},
		"relative":       {URL: &url.URL{Path: "a/b"}},
		"wrong RawPath":  {URL: &url.URL{Path: "/a", RawPath: "/b"}},
		"faulty RawPath": {URL: &url.URL{Path: "/a%zz", RawPath: "/a%zz"}},
		"not UTF-8":      {URL: &url.URL{Path: "/\xff\xfe", RawQuery: "\xff=\x00"}},
		"line feeds":     {Method: "GET\n", Host: "h\n", URL: &url.URL{Path: "/\n", RawQuery: "\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			Sign(req, nil, accessKey, secretKey, signingTime)
			assert.Equal(t, reference(req, nil), req.Header.Get("Authorization"))
		})
	}
}

func TestSignIsCheap(t *testing.T) {
	req := publishRequest()
	assert.Less(t, testing.AllocsPerRun(100, func() { Sign(req, publishBody, accessKey, secretKey, signingTime) }), 10.0)
}

// FuzzSign compares Sign with the plain implementation at the end of this file,
// for any request. That one leaves out nothing of what Sign covers. Queries that net/url
// cannot read are in TestQuery.
func FuzzSign(f *testing.F) {
	f.Add("POST", "h", "/v2/apis/action", "", "application/json", "p", "t", publishBody, int64(0))
	f.Add("", "", "", "", "", "", "", []byte(nil), int64(-1))
	f.Add("get", "h:1", "a%2Fb/%zz/一", "b=2&b=1&;&=&%zz&a+b=%20", " v ", "\n", "\xff", []byte("\x00\xff"), int64(1e9))
	f.Add("PUT", "h", "/v2", "b=2&b=1&&=&a+b=%20&一=%e4", "", "p", "t", publishBody, int64(1))
	f.Fuzz(func(t *testing.T, method, host, path, query, contentType, project, token string, body []byte, seconds int64) {
		if _, err := url.ParseQuery(query); err != nil {
			query = url.QueryEscape(query)
		}
		u := &url.URL{Scheme: "https", Host: "h", Path: path, RawQuery: query}
		if unescaped, err := url.PathUnescape(path); err == nil {
			u.Path, u.RawPath = unescaped, path
		}
		req := &http.Request{Method: method, Host: host, URL: u, Header: http.Header{
			"Content-Type": {contentType}, "X-Project-Id": {project}, "X-Security-Token": {token},
		}}
		when := time.Unix(seconds, 0)
		Sign(req, body, accessKey, secretKey, when)
		got := req.Header.Get("Authorization")
		assert.Equal(t, reference(req, body), got)

		// What is not signed makes no difference.
		req.Header.Set("User-Agent", token)
		req.Header.Set("Accept", project)
		req.URL.Fragment = query
		Sign(req, body, accessKey, secretKey, when)
		assert.Equal(t, got, req.Header.Get("Authorization"))
	})
}

// reference computes the Authorization of req with its X-Sdk-Date. It follows the
// guide word by word.
func reference(req *http.Request, body []byte) string {
	u := cmp.Or(req.URL, &url.URL{})
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

	path := strings.Split(strings.TrimSuffix(u.EscapedPath(), "/"), "/")
	for i, segment := range path {
		unescaped, _ := url.PathUnescape(segment)
		path[i] = escape(unescaped)
	}

	query := u.Query()
	for _, values := range query {
		slices.Sort(values)
	}

	values := map[string]string{"host": cmp.Or(req.Host, u.Host)}
	for _, name := range []string{"Content-Type", "X-Project-Id", "X-Sdk-Date", "X-Security-Token"} {
		if v, ok := req.Header[name]; ok {
			values[strings.ToLower(name)] = v[0]
		}
	}
	names := slices.Sorted(maps.Keys(values))
	var lines string
	for _, name := range names {
		lines += name + ":" + strings.TrimSpace(values[name]) + "\n"
	}

	request := strings.Join([]string{
		cmp.Or(req.Method, "GET"), strings.Join(path, "/") + "/", strings.ReplaceAll(query.Encode(), "+", "%20"),
		lines, strings.Join(names, ";"), hexHash(body),
	}, "\n")
	mac := hmac.New(sha256.New, []byte(secretKey))
	fmt.Fprintf(mac, "SDK-HMAC-SHA256\n%s\n%s", req.Header.Get("X-Sdk-Date"), hexHash([]byte(request)))
	return fmt.Sprintf("SDK-HMAC-SHA256 Access=%s, SignedHeaders=%s, Signature=%x", accessKey, strings.Join(names, ";"), mac.Sum(nil))
}

func hexHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
