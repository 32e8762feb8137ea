// Package sdkhmac signs requests with SDK-HMAC-SHA256, as Huawei Cloud's "API
// Request Signing Guide" describes it and as its official SDK computes it.
//
// A signature is a pure function of a request, its body, a pair of keys and a
// time. Nothing here reads a clock, keeps state or fails.
package sdkhmac

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	algorithm  = "SDK-HMAC-SHA256"
	dateHeader = "X-Sdk-Date"
)

// DateLayout is how X-Sdk-Date is written, in UTC.
const DateLayout = "20060102T150405Z"

// Sign sets X-Sdk-Date to t, and Authorization to the signature of req with the
// given body. It changes nothing else, and may be repeated on the same request.
//
// A server insists on X-Sdk-Date only, but what is not signed can be altered on
// the way. So Sign covers what decides what a request does, where, and for whom:
//
//   - Content-Type, because it says how to read the body. (The official SDK leaves
//     it out: it chooses the boundary of a multipart form after signing.)
//   - Host, so that what is signed for one gateway is worth nothing at another.
//   - X-Project-Id and X-Security-Token, which say on whose behalf it is sent.
//
// Those that req lacks are left out. Other headers (User-Agent, Accept) decide
// nothing, and proxies rewrite them.
func Sign(req *http.Request, body []byte, accessKey, secretKey string, t time.Time) {
	SignHeaders(req, body, accessKey, secretKey, t,
		"Content-Type", "Host", "X-Project-Id", dateHeader, "X-Security-Token")
}

// SignHeaders is Sign with another choice of headers. The names must be in the
// order of their lower-case forms. No server accepts a choice without X-Sdk-Date.
func SignHeaders(req *http.Request, body []byte, accessKey, secretKey string, t time.Time, names ...string) {
	if req.Header == nil {
		req.Header = make(http.Header)
	}
	set := []string{t.UTC().Format(DateLayout), ""}
	req.Header[dateHeader] = set[:1:1]
	var room [1024]byte
	var nameRoom [128]byte
	request, signed := appendRequest(room[:0], nameRoom[:0], req, body, names)

	text := append(make([]byte, 0, 256), secretKey...)
	mac := hmac.New(sha256.New, text) // which keeps a copy
	text = append(append(append(text[:0], algorithm+"\n"...), set[0]...), '\n')
	text = appendHash(text, request)
	mac.Write(text) // a hash.Hash never fails
	value := append(append(room[:0], algorithm+" Access="...), accessKey...)
	value = append(append(append(value, ", SignedHeaders="...), signed...), ", Signature="...)
	set[1] = string(hex.AppendEncode(value, mac.Sum(text[:0])))
	req.Header["Authorization"] = set[1:]
}

// appendRequest appends the canonical request to b, and the signed names to list:
//
//	method LF path LF query LF headers LF signed header names LF hash of the body
//
// where every header ends in LF itself.
//
// The hash is always the one of body: X-Sdk-Content-Sha256, a header that puts
// another value in its place and so leaves the body unsigned, has no effect.
func appendRequest(b, list []byte, req *http.Request, body []byte, names []string) (request, signed []byte) {
	u := req.URL
	if u == nil {
		u = new(url.URL)
	}
	b = append(append(b, cmp.Or(req.Method, http.MethodGet)...), '\n') // empty means GET, as in net/http
	b = append(appendPath(b, u.EscapedPath()), '\n')
	b = append(appendQuery(b, u.RawQuery), '\n')
	b, signed = appendHeaders(b, list, req.Header, cmp.Or(req.Host, u.Host), names)
	b = append(append(append(b, '\n'), signed...), '\n')
	return appendHash(b, body), signed
}

// appendPath appends a path with every segment escaped again and a slash at its end,
// which only the signature needs. The segments are those of the escaped path, the one
// on the wire: %2F belongs to its segment and stays %2F.
func appendPath(b []byte, path string) []byte {
	for segment := range strings.SplitSeq(strings.TrimSuffix(path, "/"), "/") {
		if s, err := url.PathUnescape(segment); err == nil {
			segment = s
		}
		b = append(appendEscaped(b, segment), '/')
	}
	return b
}

// appendQuery appends the parameters of a raw query, escaped again and sorted by name,
// then by value, in their unescaped forms. "=" is there even without a value.
//
// Semicolons and faulty escapes, with which net/url drops a parameter, are taken
// literally: what is sent is signed.
func appendQuery(b []byte, query string) []byte {
	var params [][2]string
	for param := range strings.SplitSeq(query, "&") {
		if param != "" {
			name, value, _ := strings.Cut(param, "=")
			params = append(params, [2]string{unescapeQuery(name), unescapeQuery(value)})
		}
	}
	slices.SortFunc(params, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for i, param := range params {
		if i > 0 {
			b = append(b, '&')
		}
		b = appendEscaped(append(appendEscaped(b, param[0]), '='), param[1])
	}
	return b
}

func unescapeQuery(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// appendHeaders appends "name:value" LF for every value of the headers that there are,
// and to list their names, separated by ";". Names are in lower case, values are
// trimmed, and the values of one header are sorted.
func appendHeaders(b, list []byte, header http.Header, host string, names []string) (headers, signed []byte) {
	for _, name := range names {
		values := header.Values(name)
		if len(values) > 1 {
			values = slices.Sorted(slices.Values(values))
		}
		if strings.EqualFold(name, "Host") { // net/http sends this one from elsewhere
			values = []string{host}
		}
		for _, value := range values {
			b = append(append(appendLower(b, name), ':'), strings.TrimSpace(value)...)
			b = append(b, '\n')
		}
		if len(values) > 0 {
			list = append(appendLower(list, name), ';')
		}
	}
	return b, list[:max(len(list), 1)-1]
}

// appendLower appends the name of a header, which is ASCII, in lower case.
func appendLower(b []byte, name string) []byte {
	for _, c := range []byte(name) {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

// appendEscaped escapes every byte but letters, digits and "-_.~".
func appendEscaped(b []byte, s string) []byte {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == '~':
			b = append(b, c)
		default:
			b = append(b, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
		}
	}
	return b
}

func appendHash(b, data []byte) []byte {
	sum := sha256.Sum256(data)
	return hex.AppendEncode(b, sum[:])
}
