package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// received makes the Request that the gateway would have recorded.
func received(t *testing.T, method, rawURL, body string, header map[string]string) *Request {
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	r := &Request{Method: method, Path: u.Path, Host: u.Host, Query: u.Query(), Body: []byte(body), Header: make(http.Header)}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	return r
}

func TestPublishedVectors(t *testing.T) {
	for name, test := range map[string]struct {
		method, url, body string
		header            map[string]string
		signed            string
		secret            string
		canonical         string // written out by hand from the description of the algorithm
		canonicalHash     string // published for the first only
		signature         string // published
	}{
		"algorithm page": {
			method: "GET",
			url: "https://service.region.example.com/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs" +
				"?limit=2&marker=13551d6b-755d-4757-b956-536f674975c0",
			header: map[string]string{"Content-Type": "application/json", "X-Sdk-Date": "20191115T033655Z"},
			signed: "content-type;host;x-sdk-date",
			secret: "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc",
			canonical: "GET\n/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs/\n" +
				"limit=2&marker=13551d6b-755d-4757-b956-536f674975c0\n" +
				"content-type:application/json\nhost:service.region.example.com\nx-sdk-date:20191115T033655Z\n\n" +
				"content-type;host;x-sdk-date\n" +
				"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			canonicalHash: "b25362e603ee30f4f25e7858e8a7160fd36e803bb2dfe206278659d71a9bcd7a",
			signature:     "7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe",
		},
		"SDK, GET": {
			method: "GET",
			url:    "https://example.huaweicloud.com/path?limit=1",
			header: map[string]string{"X-Sdk-Date": "20060102T150405Z", "TEST_UNDERSCORE": "ignored"},
			signed: "x-sdk-date",
			secret: "SecretKey",
			canonical: "GET\n/path/\nlimit=1\nx-sdk-date:20060102T150405Z\n\nx-sdk-date\n" +
				"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			signature: "5a2ce64c865e0e6046321c6f3d5a77ba8413eeaf355c3166c03d58d02ac79624",
		},
		"SDK, POST": {
			method: "POST",
			url:    "https://example.huaweicloud.com/path?key=value",
			body:   `{"Name":"test","Id":1}` + "\n",
			header: map[string]string{"X-Sdk-Date": "20060102T150405Z", "Content-Type": "application/json"},
			signed: "x-sdk-date",
			secret: "SecretKey",
			canonical: "POST\n/path/\nkey=value\nx-sdk-date:20060102T150405Z\n\nx-sdk-date\n" +
				sum(`{"Name":"test","Id":1}`+"\n"),
			signature: "cecc2af119b18ab70b4d094c0750f3b42c02f254903179a0fc2cc72fc9db4f59",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := received(t, test.method, test.url, test.body, test.header)
			canonical := canonicalRequest(r, strings.Split(test.signed, ";"))
			assert.Equal(t, test.canonical, canonical)
			if test.canonicalHash != "" {
				assert.Equal(t, test.canonicalHash, sum(test.canonical))
			}
			date := test.header["X-Sdk-Date"]
			assert.Equal(t, test.signature, signature(test.secret, date, canonical))
		})
	}
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestCanonicalForm(t *testing.T) {
	r := received(t, "GET", "http://h/a%20b/%E6%95%B0/c+d~?b=2&b=10&a=&q=x+y%2F%26&%E9%94%AE=v&A=1", "", nil)
	lines := strings.Split(canonicalRequest(r, []string{"host"}), "\n")
	assert.Equal(t, "/a%20b/%E6%95%B0/c%2Bd~/", lines[1])
	assert.Equal(t, "A=1&a=&b=10&b=2&q=x%20y%2F%26&%E9%94%AE=v", lines[2])
	assert.Equal(t, "host:h", lines[3])

	r = received(t, "GET", "http://h/", "body", map[string]string{"X-Sdk-Content-Sha256": "UNSIGNED-PAYLOAD", "X-B": " padded  "})
	r.Header.Add("X-B", "again")
	lines = strings.Split(canonicalRequest(r, []string{"x-b"}), "\n")
	assert.Equal(t, []string{"GET", "/", "", "x-b:padded", "x-b:again", "", "x-b", "UNSIGNED-PAYLOAD"}, lines)
}
