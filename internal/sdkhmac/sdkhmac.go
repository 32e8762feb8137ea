// Package sdkhmac signs requests with SDK-HMAC-SHA256, as Huawei Cloud's "API
// Request Signing Guide" describes it and as its official SDK computes it.
//
// A signature is a pure function of a request, its body, a pair of keys and a
// time. Nothing here reads a clock, keeps state or fails.
package sdkhmac

import (
	"cmp"
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
	values := make([]string, 2) // one array for the values of both headers
	values[0] = t.UTC().Format(DateLayout)
	req.Header[dateHeader] = values[:1:1]

	request, signed := appendRequest(make([]byte, 0, 1024), req, body, names)

	// The string to sign: algorithm LF date LF hash of the canonical request.
	msg := make([]byte, 0, 128)
	msg = append(msg, algorithm+"\n"...)
	msg = append(msg, values[0]...)
	msg = append(msg, '\n')
	msg = appendHash(msg, request)
	mac := authenticate(secretKey, msg)

	auth := make([]byte, 0, 256)
	auth = append(auth, algorithm+" Access="...)
	auth = append(auth, accessKey...)
	auth = append(auth, ", SignedHeaders="...)
	auth = append(auth, signed...)
	auth = append(auth, ", Signature="...)
	auth = hex.AppendEncode(auth, mac[:])
	values[1] = string(auth)
	req.Header["Authorization"] = values[1:]
}

// appendRequest appends the canonical request:
//
//	method LF path LF query LF headers LF signed header names LF hash of the body
//
// where every header ends in LF itself. It also returns the part of the result
// that holds the names.
//
// The hash is always the one of body: X-Sdk-Content-Sha256, a header that puts
// another value in its place and so leaves the body unsigned, has no effect.
func appendRequest(dst []byte, req *http.Request, body []byte, names []string) (request, signed []byte) {
	u := req.URL
	if u == nil {
		u = new(url.URL)
	}
	dst = append(dst, cmp.Or(req.Method, http.MethodGet)...) // empty means GET, as in net/http
	dst = append(dst, '\n')
	dst = appendPath(dst, u.EscapedPath())
	dst = append(dst, '\n')
	dst = appendQuery(dst, u.RawQuery)
	dst = append(dst, '\n')
	dst, signed = appendHeaders(dst, req.Header, cmp.Or(req.Host, u.Host), names)
	dst = append(dst, '\n')
	return appendHash(dst, body), signed
}

// appendPath appends a path with every segment escaped anew and a slash at its
// end, which only the signature needs. The segments are those of the escaped path,
// the one on the wire: %2F belongs to its segment and stays %2F.
func appendPath(dst []byte, path string) []byte {
	for rest, more := path, true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if s, err := url.PathUnescape(segment); err == nil {
			segment = s
		}
		dst = appendEscaped(dst, segment)
		if more {
			dst = append(dst, '/')
		}
	}
	if !strings.HasSuffix(path, "/") {
		dst = append(dst, '/')
	}
	return dst
}

// appendQuery appends the parameters of a raw query, escaped anew and sorted by
// name, then by value, in their unescaped forms. "=" is there even without a value.
//
// Semicolons and faulty escapes, with which net/url drops a parameter, are taken
// literally: what is sent is signed.
func appendQuery(dst []byte, query string) []byte {
	var params [][2]string
	for query != "" {
		var param string
		param, query, _ = strings.Cut(query, "&")
		if param == "" {
			continue
		}
		name, value, _ := strings.Cut(param, "=")
		params = append(params, [2]string{unescapeQuery(name), unescapeQuery(value)})
	}
	slices.SortFunc(params, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for i, param := range params {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = appendEscaped(dst, param[0])
		dst = append(dst, '=')
		dst = appendEscaped(dst, param[1])
	}
	return dst
}

func unescapeQuery(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// appendHeaders appends "name:value" LF for every value of the headers that there
// are, LF, and their names separated by ";". Names are in lower case, values are
// trimmed, and the values of one header are sorted.
func appendHeaders(dst []byte, header http.Header, host string, names []string) (headers, signed []byte) {
	list := make([]byte, 0, 128)
	for _, name := range names {
		values := header.Values(name)
		if strings.EqualFold(name, "Host") { // net/http sends this one from elsewhere
			values = []string{host}
		}
		if len(values) == 0 {
			continue
		}
		if len(values) > 1 {
			values = slices.Clone(values)
			slices.Sort(values)
		}
		for _, value := range values {
			dst = appendLower(dst, name)
			dst = append(dst, ':')
			dst = append(dst, strings.TrimSpace(value)...)
			dst = append(dst, '\n')
		}
		if len(list) > 0 {
			list = append(list, ';')
		}
		list = appendLower(list, name)
	}
	dst = append(dst, '\n')
	dst = append(dst, list...)
	return dst, dst[len(dst)-len(list):]
}

// appendEscaped appends s with every byte escaped but letters, digits and "-_.~":
// url.QueryEscape with %20 for a space.
func appendEscaped(dst []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.', c == '~':
			dst = append(dst, c)
		default:
			dst = append(dst, '%', digits[c>>4], digits[c&15])
		}
	}
	return dst
}

// appendLower appends the name of a header, which is ASCII, in lower case.
func appendLower(dst []byte, name string) []byte {
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func appendHash(dst, data []byte) []byte {
	sum := sha256.Sum256(data)
	return hex.AppendEncode(dst, sum[:])
}

// authenticate is HMAC-SHA-256 as RFC 2104 defines it. That of crypto/hmac makes
// seven things for each signature, which is most of what signing would take.
func authenticate(key string, msg []byte) [sha256.Size]byte {
	if len(key) > sha256.BlockSize {
		sum := sha256.Sum256([]byte(key))
		key = string(sum[:])
	}
	inner := append(make([]byte, 0, 256), pad(key, 0x36)...)
	sum := sha256.Sum256(append(inner, msg...))
	outer := append(make([]byte, 0, 256), pad(key, 0x5c)...)
	return sha256.Sum256(append(outer, sum[:]...))
}

// pad is the key as long as a block, with a byte added to each of its.
func pad(key string, with byte) []byte {
	block := make([]byte, sha256.BlockSize)
	copy(block, key)
	for i := range block {
		block[i] ^= with
	}
	return block
}
