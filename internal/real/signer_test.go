package real

import (
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/signer"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/request"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/apig-go/apig/internal/sdkhmac"
)

// requests is how many random requests are signed.
const requests = 1000

const (
	accessKey = "QTWAOYTTINDUT2QVKYUC"
	secretKey = "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc" // published in the signing guide; not in use
)

// TestSigner has the official SDK sign random requests, and signs the same requests. It
// proves that both come to the same signature, whatever stands in a path, a query, a
// header or a body. Package sdkhmac tests that the spelling of a URL makes no difference.
func TestSigner(t *testing.T) {
	for i := range requests {
		sdkReq, when := random{rand.New(rand.NewPCG(1, uint64(i)))}.request()
		set, err := signer.Sign(sdkReq, accessKey, secretKey)
		require.NoError(t, err)
		_, list, _ := strings.Cut(set["Authorization"], "SignedHeaders=")
		list, _, found := strings.Cut(list, ", ")
		require.True(t, found, set["Authorization"])
		req, err := sdkReq.ConvertRequest()
		require.NoError(t, err)
		body, err := io.ReadAll(req.Body)
		require.NoError(t, err)
		sdkhmac.SignHeaders(req, body, accessKey, secretKey, when, strings.Split(list, ";")...)
		for _, name := range []string{"Authorization", "X-Sdk-Date"} {
			assert.Equal(t, set[name], req.Header.Get(name), "request %d: %s %s\nheader %q\nbody %q",
				i, req.Method, req.URL, req.Header, body)
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
