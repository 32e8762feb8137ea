package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	algorithm     = "SDK-HMAC-SHA256"
	dateHeader    = "X-Sdk-Date"
	dateLayout    = "20060102T150405Z"
	maxDateOffset = 15 * time.Minute
)

// After so many bad signatures in a row a key is locked for a while, whatever
// comes then.
const (
	maxFailures = 5
	lockTime    = 5 * time.Minute
)

// key is an access key, as far as it is needed to check signatures.
type key struct {
	secret, securityToken string
	failures              int
	lockedUntil           time.Time
}

// AddKeys makes an access key valid for requests signed with SDK-HMAC-SHA256. With a
// security token (of a temporary key) each request must carry that token too. Adding
// a key again unlocks it.
func (g *Gateway) AddKeys(accessKey, secretKey, securityToken string) {
	g.access.mu.Lock()
	defer g.access.mu.Unlock()
	g.access.keys[accessKey] = &key{secret: secretKey, securityToken: securityToken}
}

// verify checks the signature of a request; signed is the Authorization
// header after the name of the algorithm.
func (a *access) verify(r *Request, signed string, now time.Time) error {
	part := make(map[string]string)
	for _, p := range strings.Split(signed, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		part[name] = value
	}
	names := strings.Split(part["SignedHeaders"], ";")
	date, err := time.Parse(dateLayout, r.Header.Get(dateHeader))
	switch {
	case part["Access"] == "" || part["SignedHeaders"] == "" || part["Signature"] == "":
		return unsigned("Authorization format is incorrect")
	case err != nil:
		return unsigned("%s is missing or malformed", dateHeader)
	case !slices.Contains(names, strings.ToLower(dateHeader)):
		return unsigned("%s is not among the SignedHeaders", dateHeader)
	case slices.ContainsFunc(names, func(name string) bool { return name != "host" && r.Header.Values(name) == nil }):
		return unsigned("a header of the SignedHeaders is missing")
	case now.Sub(date).Abs() > maxDateOffset:
		return unsigned("signature expired, %s:%s", dateHeader, r.Header.Get(dateHeader))
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.keys[part["Access"]]
	switch {
	case k == nil:
		return unsigned("Get secretKey failed,ak %s not exist", part["Access"])
	case now.Before(k.lockedUntil):
		return unsigned("AK access failed to reach the limit,forbidden")
	case r.Header.Get("X-Security-Token") != k.securityToken:
		return unsigned("verify security token fail")
	}
	canonical := canonicalRequest(r, names)
	if hmac.Equal([]byte(part["Signature"]), []byte(signature(k.secret, r.Header.Get(dateHeader), canonical))) {
		k.failures = 0
		return nil
	}
	if k.failures++; k.failures == maxFailures {
		k.failures, k.lockedUntil = 0, now.Add(lockTime)
	}
	return unsigned("verify aksk signature fail, canonicalRequest:%s", strings.ReplaceAll(canonical, "\n", "|"))
}

func unsigned(format string, args ...any) error {
	return refuse(http.StatusUnauthorized, "APIGW.0301",
		"Incorrect IAM authentication information: %s", fmt.Sprintf(format, args...))
}

func signature(secret, date, canonical string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%s\n%s\n%s", algorithm, date, hash([]byte(canonical)))
	return hex.EncodeToString(mac.Sum(nil))
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// canonicalRequest is the form of a request that is signed. The headers count
// as named by the client, which may leave out all but the date.
func canonicalRequest(r *Request, names []string) string {
	var headers strings.Builder
	for _, name := range names {
		values := slices.Sorted(slices.Values(r.Header.Values(name)))
		if name == "host" {
			values = []string{r.Host}
		}
		for _, v := range values {
			fmt.Fprintf(&headers, "%s:%s\n", name, strings.TrimSpace(v))
		}
	}
	payload := hash(r.Body)
	if r.Header.Get("X-Sdk-Content-Sha256") == "UNSIGNED-PAYLOAD" {
		payload = "UNSIGNED-PAYLOAD"
	}
	return strings.Join([]string{
		r.Method,
		canonicalPath(r.Path),
		canonicalQuery(r.Query),
		headers.String(), // ends in a newline, which makes an empty line
		strings.Join(names, ";"),
		payload,
	}, "\n")
}

// canonicalPath ends in a slash, even though the path of the request does not.
func canonicalPath(path string) string {
	segments := strings.Split(path, "/")
	for n := range segments {
		segments[n] = escaped(url.QueryEscape(segments[n]))
	}
	return strings.TrimSuffix(strings.Join(segments, "/"), "/") + "/"
}

// canonicalQuery is sorted by the names, and then by the values.
func canonicalQuery(query url.Values) string {
	sorted := make(url.Values)
	for name, values := range query {
		sorted[name] = slices.Sorted(slices.Values(values))
	}
	return escaped(sorted.Encode())
}

// escaped has a space as %20, and else only the unreserved characters of RFC 3986 as
// they are, as net/url has.
func escaped(s string) string { return strings.ReplaceAll(s, "+", "%20") }
