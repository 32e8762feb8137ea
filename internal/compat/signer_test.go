package compat

import (
	"flag"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/signer"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/request"

	"github.com/apig-go/apig/internal/sdkhmac"
)

var (
	requests = flag.Int("requests", 1000, "how many random requests to sign")
	seed     = flag.Uint64("seed", 1, "which random requests to sign")
)

const (
	accessKey = "QTWAOYTTINDUT2QVKYUC"
	secretKey = "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc" // published in the signing guide; belongs to nobody
)

// TestSignerAgreesWithOfficialSDK has the official SDK sign random requests. Then
// it signs what the SDK would send, once as it is and once with another spelling
// of the same URL, and must come to the same signature each time.
func TestSignerAgreesWithOfficialSDK(t *testing.T) {
	seen := map[string]int{}
	for i := range *requests {
		r := random{rand.New(rand.NewPCG(*seed, uint64(i)))}
		sdkReq, when := r.request()

		set, err := signer.Sign(sdkReq, accessKey, secretKey)
		if err != nil {
			t.Fatal(err)
		}
		want := set["Authorization"]
		names := signedHeaders(t, want)

		req, err := sdkReq.ConvertRequest()
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Fatal(err)
		}
		check := func(spelling string) {
			t.Helper()
			sdkhmac.SignHeaders(req, body, accessKey, secretKey, when, names...)
			if got := req.Header.Get("Authorization"); got != want {
				t.Errorf("request %d of -seed=%d, %s: %s %s\nheader %q\nbody %q\nours     %s\nofficial %s",
					i, *seed, spelling, req.Method, req.URL, req.Header, body, got, want)
			}
			if got, want := req.Header.Get("X-Sdk-Date"), set["X-Sdk-Date"]; got != want {
				t.Errorf("request %d: X-Sdk-Date: ours %s, official %s", i, got, want)
			}
		}
		count(seen, req, body, names)
		check("as the SDK sends it")
		req.URL.RawPath = r.respellPath(req.URL.Path)
		req.URL.RawQuery = r.respellQuery(req.URL.Query())
		check("spelled otherwise")
	}

	// Random requests may yet be all alike.
	t.Log(seen)
	for kind, n := range seen {
		if n < *requests/100 {
			t.Errorf("%s: only %d of %d requests", kind, n, *requests)
		}
	}
}

func signedHeaders(t *testing.T, authorization string) []string {
	t.Helper()
	_, list, _ := strings.Cut(authorization, "SignedHeaders=")
	list, _, found := strings.Cut(list, ", ")
	if !found {
		t.Fatalf("no SignedHeaders in %q", authorization)
	}
	return strings.Split(list, ";")
}

// count adds one to the kinds that a request is of.
func count(seen map[string]int, req *http.Request, body []byte, names []string) {
	has := func(list iter.Seq[[]string], is func([]string) bool) bool {
		for values := range list {
			if is(values) {
				return true
			}
		}
		return false
	}
	query := maps.Values(req.URL.Query())
	for kind, is := range map[string]bool{
		"no path":            req.URL.Path == "",
		"path beyond ASCII":  strings.ContainsFunc(req.URL.Path, func(r rune) bool { return r > unicode.MaxASCII }),
		"path with space":    strings.Contains(req.URL.Path, " "),
		"path with percent":  strings.Contains(req.URL.Path, "%"),
		"parameter":          req.URL.RawQuery != "",
		"repeated parameter": has(query, func(v []string) bool { return len(v) > 1 }),
		"empty parameter":    has(query, func(v []string) bool { return slices.Contains(v, "") }),
		"outer space":        has(maps.Values(req.Header), func(v []string) bool { return v[0] != strings.TrimSpace(v[0]) }),
		"host signed":        slices.Contains(names, "host"),
		"header not signed":  len(req.Header) > len(names),
		"no body":            len(body) == 0,
		"body not UTF-8":     !utf8.Valid(body),
	} {
		seen[kind] += 0 // so that it is there
		if is {
			seen[kind]++
		}
	}
}

type random struct{ *rand.Rand }

func (r random) oneIn(n int) bool { return r.IntN(n) == 0 }

func (r random) pick(from ...string) string { return from[r.IntN(len(from))] }

// text returns up to n pieces of everything that may need escaping, or not.
func (r random) text(n int) string {
	var b strings.Builder
	for range r.IntN(n + 1) {
		switch r.IntN(8) {
		case 0:
			b.WriteString(r.pick("发布", "接口", "日本語", "é", "🚀", "一"))
		case 1:
			b.WriteString(r.pick(" ", "  ", "+", "%", "%%", "%2F", "%zz", "%20", "%E4"))
		case 2, 3:
			b.WriteByte(byte(' ' + r.IntN(0x7f-' ')))
		case 4:
			b.WriteString(r.pick("-", "_", ".", "~", "..", "=", "&", "?", "#", ";", ":", "@", "*", "!", "'", "(", ")", "\\", "\"", "<", "|"))
		default:
			b.WriteByte("abcxyzABCXYZ0189"[r.IntN(16)])
		}
	}
	return b.String()
}

func (r random) path() string {
	if r.oneIn(20) {
		return ""
	}
	var b strings.Builder
	for range 1 + r.IntN(5) {
		b.WriteString("/" + r.text(8)) // some with slashes inside, some empty
	}
	if r.oneIn(4) {
		b.WriteByte('/')
	}
	return b.String()
}

// request returns a random request and the time in its X-Sdk-Date.
func (r random) request() (*request.DefaultHttpRequest, time.Time) {
	host := r.pick("apig.cn-north-4.myhuaweicloud.com", "127.0.0.1:8443", "h", "[::1]:443")
	when := time.Unix(r.Int64N(4e9), 0)
	b := request.NewHttpRequestBuilder().
		WithMethod(r.pick("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", "X-CUSTOM")).
		WithEndpoint("https://"+host).
		WithPath(r.path()).
		AddHeaderParam("X-Sdk-Date", when.UTC().Format("20060102T150405Z"))

	for range r.IntN(5) {
		name := r.text(6) + r.pick("a", "A", "-", "é") // never empty: the SDK loses such a name when it sends
		switch r.IntN(4) {
		case 0:
			b.AddQueryParam(name, reflect.ValueOf(r.IntN(1000)))
		case 1:
			values := make([]string, 1+r.IntN(4))
			for i := range values {
				values[i] = r.text(4)
			}
			b.AddQueryParam(name, reflect.ValueOf(values))
		default:
			b.AddQueryParam(name, reflect.ValueOf(r.text(8)))
		}
	}

	for i := range r.IntN(6) {
		// The number keeps names apart. Names with "_" are not signed by the SDK.
		name := fmt.Sprint(r.pick("X-Project-Id", "x-security-token", "USER-AGENT", "aCCept", "Z", "X_Under", "Content-Type-Of-"), i)
		b.AddHeaderParam(name, r.pick("", " ", "\t")+r.text(8)+r.pick("", "", " ", " \t"))
	}
	if r.oneIn(3) {
		b.AddHeaderParam(r.pick("Host", "host", "HOST"), host)
	}
	if r.oneIn(2) {
		// With any other type the SDK would leave the body unsigned.
		b.AddHeaderParam("Content-Type", r.pick("application/json", "application/json; charset=utf-8", "application/bson"))
	}

	switch r.IntN(4) {
	case 0:
	case 1:
		b.WithBody("body", map[string]string{"action": "online", "remark": r.text(20) + "<&>"})
	case 2:
		b.WithBody("body", `{"action":"online","remark":"`+strings.Repeat("发布 ", r.IntN(500))+`"}`)
	case 3:
		data := make([]byte, r.IntN(2000))
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		b.WithBody("body", string(data)) // the SDK takes only a string as it is
	}
	return b.Build(), when
}

// respell escapes every byte of s that has to be escaped, and some others.
func (r random) respell(s string, spaceIsPlus bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c == ' ' && spaceIsPlus && r.oneIn(2):
			b.WriteByte('+')
		case (c|0x20 >= 'a' && c|0x20 <= 'z' || strings.IndexByte("0123456789-_.~", c) >= 0) && !r.oneIn(4):
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, r.pick("%%%02x", "%%%02X"), c)
		}
	}
	return b.String()
}

func (r random) respellPath(path string) string {
	segments := strings.Split(path, "/")
	for i := range segments {
		segments[i] = r.respell(segments[i], false)
	}
	return strings.Join(segments, "/")
}

func (r random) respellQuery(query url.Values) string {
	var params []string
	for name, values := range query {
		for _, value := range values {
			param := r.respell(name, true) + "=" + r.respell(value, true)
			if value == "" && r.oneIn(2) {
				param = strings.TrimSuffix(param, "=")
			}
			params = append(params, param)
		}
	}
	r.Shuffle(len(params), func(i, j int) { params[i], params[j] = params[j], params[i] })
	return strings.Join(params, "&")
}

// The benchmarks sign the same publish request.

const (
	host    = "https://apig.cn-north-4.myhuaweicloud.com"
	project = "773c3c42ef494bc0a1e1a6b8d5fab32f"
	path    = "/v2/" + project + "/apigw/instances/eddc4d25480b4cd6b512f270a1b8b341/apis/action"
	publish = `{"action":"online","api_id":"5f918d104dc84480a75166ba99efff21",` +
		`"env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID","remark":"Release 1.4.2 of the orders API"}`
)

func BenchmarkOurSign(b *testing.B) {
	req, err := http.NewRequest(http.MethodPost, host+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Project-Id", project)
	body := []byte(publish)
	when := time.Unix(1573788895, 0)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		sdkhmac.Sign(req, body, accessKey, secretKey, when)
	}
}

func BenchmarkOfficialSign(b *testing.B) {
	req := request.NewHttpRequestBuilder().
		WithMethod(http.MethodPost).WithEndpoint(host).WithPath(path).WithBody("body", publish).
		AddHeaderParam("Content-Type", "application/json").
		AddHeaderParam("X-Project-Id", project).
		AddHeaderParam("X-Sdk-Date", "20191115T033455Z").
		Build()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := signer.Sign(req, accessKey, secretKey); err != nil {
			b.Fatal(err)
		}
	}
}
