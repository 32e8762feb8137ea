package sdkhmac

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
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
	req, err := http.NewRequestWithContext(context.Background(), method, target, nil)
	if err != nil {
		panic(err)
	}
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
			if got := tt.req.Header.Get("Authorization"); got != tt.want {
				t.Errorf("Authorization\n got %s\nwant %s", got, tt.want)
			}
			request, _ := appendRequest(nil, nil, tt.req, []byte(tt.body), tt.headers)
			if got := hexHash(request); tt.canonical != "" && got != tt.canonical {
				t.Errorf("hash of the canonical request: got %s, want %s\n%s", got, tt.canonical, request)
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
		if err != nil {
			t.Fatal(err)
		}
		if got := string(appendPath(nil, u.EscapedPath())); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.url, got, tt.want)
		}
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
		t.Run(tt.name, func(t *testing.T) {
			if got := string(appendQuery(nil, tt.query)); got != tt.want {
				t.Errorf("%s\n got %s\nwant %s", tt.query, got, tt.want)
			}
		})
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
	const want = "content-type:application/json; charset=utf-8\nhost:h.example.com:8443\nx-empty:\n" +
		"x-many:c\nx-many:a\nx-many:b\nx_under:v\n" // sorted as they stand, trimmed afterwards
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if want := "content-type;host;x-empty;x-many;x_under"; string(signed) != want {
		t.Errorf("signed: got %s, want %s", signed, want)
	}
	if want := []string{"b", " c", "a"}; !slices.Equal(header["X-Many"], want) {
		t.Errorf("the header itself was sorted: %q", header["X-Many"])
	}
}

func TestSignChangesTwoHeadersOnly(t *testing.T) {
	req := publishRequest()
	req.URL.RawQuery = "b=2&a=1;c=%zz"
	before := req.Clone(req.Context())
	body := bytes.Clone(publishBody)
	Sign(req, body, accessKey, secretKey, signingTime)

	if !bytes.Equal(body, publishBody) {
		t.Error("the body was changed")
	}
	first := req.Header.Clone()
	for _, name := range []string{"X-Sdk-Date", "Authorization"} {
		if len(req.Header[name]) != 1 {
			t.Errorf("%s: %q", name, req.Header[name])
		}
		delete(req.Header, name)
	}
	if !reflect.DeepEqual(req, before) {
		t.Errorf("got %+v, want %+v", req, before)
	}

	// Again, over headers of an earlier attempt.
	req.Header.Set("X-Sdk-Date", "20000101T000000Z")
	req.Header.Set("Authorization", "stale")
	Sign(req, body, accessKey, secretKey, signingTime)
	if !reflect.DeepEqual(req.Header, first) {
		t.Errorf("the second time: got %v, want %v", req.Header, first)
	}
}

func TestSignWritesTheDateInUTC(t *testing.T) {
	req := publishRequest()
	Sign(req, publishBody, accessKey, secretKey, signingTime.In(time.FixedZone("CST", 8*60*60)))
	if got, want := req.Header.Get("X-Sdk-Date"), "20191115T033655Z"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
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
			if got, want := req.Header.Get("Authorization"), reference(req, nil); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestSignIsCheap(t *testing.T) {
	req := publishRequest()
	got := testing.AllocsPerRun(100, func() { Sign(req, publishBody, accessKey, secretKey, signingTime) })
	if got >= 10 {
		t.Errorf("%v allocations", got)
	}
}

// FuzzSign compares Sign with the plain implementation at the end of this file,
// for whatever a request can be made of.
func FuzzSign(f *testing.F) {
	f.Add("POST", "h", "/v2/apis/action", "", "application/json", "p", "t", publishBody, int64(0))
	f.Add("", "", "", "", "", "", "", []byte(nil), int64(-1))
	f.Add("get", "h:1", "a%2Fb/%zz/一", "b=2&b=1&;&=&%zz&a+b=%20", " v ", "\n", "\xff", []byte("\x00\xff"), int64(1e9))
	f.Fuzz(func(t *testing.T, method, host, path, query, contentType, project, token string, body []byte, seconds int64) {
		req := &http.Request{Method: method, Host: host, URL: newURL(path, query), Header: http.Header{
			"Content-Type": {contentType}, "X-Project-Id": {project}, "X-Security-Token": {token},
		}}
		when := time.Unix(seconds, 0)
		Sign(req, body, accessKey, secretKey, when)
		got := req.Header.Get("Authorization")
		if want := reference(req, body); got != want {
			t.Errorf("got %s, want %s", got, want)
		}

		// What is not signed makes no difference.
		req.Header.Set("User-Agent", token)
		req.Header.Set("Accept", project)
		req.URL.Fragment = query
		Sign(req, body, accessKey, secretKey, when)
		if again := req.Header.Get("Authorization"); again != got {
			t.Errorf("with other unsigned headers: got %s, want %s", again, got)
		}
	})
}

// FuzzSignCovers replaces one thing that is signed by another. The signature must
// change, unless the two mean the same to a server.
func FuzzSignCovers(f *testing.F) {
	for field := range byte(9) {
		f.Add(field, "a", "b")
		f.Add(field, "a", "a ")
		f.Add(field, "/a/b", "/a%2Fb")
		f.Add(field, "/%61/", "/a")
		f.Add(field, "a=1&b=2", "b=2&a=1")
		f.Add(field, "a=1&b", "a=1;b=")
	}
	f.Fuzz(func(t *testing.T, field byte, a, b string) {
		// sign signs a request that has value in one place; the text tells what that means.
		sign := func(value string) (signature, meaning string) {
			req := publishRequest()
			req.Header.Set("X-Security-Token", "token")
			body, when := publishBody, signingTime
			meaning = value
			switch field % 9 {
			case 0:
				req.Method = value
				if value == "" {
					meaning = "GET"
				}
			case 1:
				req.URL = newURL(value, "")
				path := segments(req.URL)
				if last := len(path) - 1; last > 0 && path[last] == "" {
					path = path[:last] // a slash at the end
				}
				meaning = fmt.Sprintf("%q", path)
			case 2:
				req.URL.RawQuery = value
				meaning = fmt.Sprintf("%q", parameters(value))
			case 3:
				req.Host = "h" + value
				meaning = strings.TrimSpace(req.Host)
			case 4:
				req.Header.Set("Content-Type", value)
				meaning = strings.TrimSpace(value)
			case 5:
				req.Header.Set("X-Project-Id", value)
				meaning = strings.TrimSpace(value)
			case 6:
				req.Header.Set("X-Security-Token", value)
				meaning = strings.TrimSpace(value)
			case 7:
				body = []byte(value)
			case 8:
				when = when.Add(time.Duration(len(value)) * time.Second)
				meaning = fmt.Sprint(len(value))
			}
			Sign(req, body, accessKey, secretKey, when)
			_, signature, _ = strings.Cut(req.Header.Get("Authorization"), " Signature=")
			return signature, meaning
		}
		signA, meaningA := sign(a)
		signB, meaningB := sign(b)
		if (signA == signB) != (meaningA == meaningB) {
			t.Errorf("field %d: %q and %q: same signature %t, same meaning %t", field%9, a, b, signA == signB, meaningA == meaningB)
		}
	})
}

// newURL returns the URL of a raw path, or else of a path that has no escapes.
func newURL(path, query string) *url.URL {
	u := &url.URL{Scheme: "https", Host: "h", Path: path, RawQuery: query}
	if unescaped, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = unescaped, path
	}
	return u
}

// reference computes the Authorization of req with its X-Sdk-Date. It follows the
// guide word by word.
func reference(req *http.Request, body []byte) string {
	u, method, host := req.URL, req.Method, req.Host
	if u == nil {
		u = &url.URL{}
	}
	if method == "" {
		method = "GET"
	}
	if host == "" {
		host = u.Host
	}
	escape := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

	path := segments(u)
	for i := range path {
		path[i] = escape(path[i])
	}
	canonicalPath := strings.Join(path, "/")
	if !strings.HasSuffix(canonicalPath, "/") {
		canonicalPath += "/"
	}

	var query []string
	for _, p := range parameters(u.RawQuery) {
		query = append(query, escape(p.name)+"="+escape(p.value))
	}

	values := map[string]string{"host": host}
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
		method, canonicalPath, strings.Join(query, "&"), lines, strings.Join(names, ";"), hexHash(body),
	}, "\n")
	mac := hmac.New(sha256.New, []byte(secretKey))
	fmt.Fprintf(mac, "SDK-HMAC-SHA256\n%s\n%s", req.Header.Get("X-Sdk-Date"), hexHash([]byte(request)))
	return fmt.Sprintf("SDK-HMAC-SHA256 Access=%s, SignedHeaders=%s, Signature=%x", accessKey, strings.Join(names, ";"), mac.Sum(nil))
}

// segments returns the segments of the path as it is sent, unescaped.
func segments(u *url.URL) []string {
	list := strings.Split(u.EscapedPath(), "/")
	for i, s := range list {
		list[i], _ = url.PathUnescape(s)
	}
	return list
}

type parameter struct{ name, value string }

// parameters returns the parameters of a query, unescaped and in order. Where
// net/url can parse the query it is net/url that does.
func parameters(query string) []parameter {
	var list []parameter
	if values, err := url.ParseQuery(query); err == nil {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			for _, value := range slices.Sorted(slices.Values(values[name])) {
				list = append(list, parameter{name, value})
			}
		}
		return list
	}
	unescape := func(s string) string {
		if u, err := url.QueryUnescape(s); err == nil {
			return u
		}
		return s
	}
	for _, s := range strings.Split(query, "&") {
		if s != "" {
			name, value, _ := strings.Cut(s, "=")
			list = append(list, parameter{unescape(name), unescape(value)})
		}
	}
	slices.SortFunc(list, func(a, b parameter) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	return list
}

func hexHash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
