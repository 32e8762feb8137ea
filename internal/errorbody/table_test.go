package errorbody

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"math/rand/v2"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// longToken is random base64, as tokens of IAM are. The same length is the same token.
func longToken(n int) string {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return base64.StdEncoding.EncodeToString(b)[:n]
}

// kinds are credentials of every kind that a request carries.
var kinds = map[string]string{
	"token of 1500":          "MIIT" + longToken(1466) + "==",
	"security token of 700":  "gQ" + longToken(695) + "=",
	"token of 35":            "MIIQ-Xq7Lk2Vw9Zr4Tn8Bd3Uf6Hs5Jm+/==",
	"signature":              hex.EncodeToString([]byte(longToken(32))),
	"JWT":                    "eyJhbGciOiJSUzI1NiJ9." + longToken(200) + "." + longToken(80),
	"password":               "pW8#kQz-Lm3vTr9X",
	"password of nine":       "P@ss!w0rd",
	"password of eleven":     "Huawei@1234",
	"password from the keys": "!Q2w#E4r%T6y",
	"password with escapes":  `a"b\c/d&e<f>g1`,
	"password of signs":      "!#%&/()=?+*~",
	"password with umlauts":  "Kö!nig$traße9",
	"phrase":                 "correct horse battery staple",
}

// every writes each character of a text in a format.
func every(format string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for _, r := range s {
			fmt.Fprintf(&b, format, r)
		}
		return b.String()
	}
}

func percented(s string) string {
	return regexp.MustCompile("..").ReplaceAllString(hex.EncodeToString([]byte(s)), "%$0")
}

func replaced(pairs ...string) func(string) string { return strings.NewReplacer(pairs...).Replace }

func split(s string, n int) string {
	var parts []string
	for part := range slices.Chunk([]byte(s), n) {
		parts = append(parts, string(part))
	}
	return strings.Join(parts, " ")
}

// encodings are the ways in which servers write a credential back.
var encodings = map[string]func(string) string{
	"as it is":              func(s string) string { return s },
	"first half":            func(s string) string { return s[:len(s)/2] },
	"one character missing": func(s string) string { return s[:len(s)/3] + s[len(s)/3+1:] },
	"Java's toString":       func(s string) string { return "{x-auth-token=[" + s + "]}" },
	"upper case":            strings.ToUpper,
	"8 to a line":           func(s string) string { return split(s, 8) },
	"76 to a line":          func(s string) string { return split(s, 76) },
	"JSON in JSON":          func(s string) string { b, _ := json.Marshal(map[string]string{"t": s}); return string(b) },
	"Gson":                  replaced("=", `\u003d`, "&", `\u0026`, "<", `\u003c`, ">", `\u003e`, "'", `\u0027`),
	"PHP":                   replaced("/", `\/`),
	`\u, all`:               every(`\u%04x`),
	"headers in Go's %q":    func(s string) string { return fmt.Sprintf("%q", map[string][]string{"X-Auth-Token": {s}}) },
	"query":                 url.QueryEscape,
	"path":                  url.PathEscape,
	"percent, all":          percented,
	"html":                  html.EscapeString,
	"html/template":         replaced("+", "&#43;", "&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;"),
	"html of OWASP":         replaced("/", "&#x2F;", "=", "&#x3D;", "&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;"),
	"html, all":             every("&#%d;"),
	"base64":                func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"hex":                   func(s string) string { return hex.EncodeToString([]byte(s)) },
}

var escapes = regexp.MustCompile(`\\u[0-9a-f]{4}|\\.`)

// readings are a text as it is, and with each kind of encoding undone. Those that cannot be
// undone are empty.
func readings(s string) []string {
	unquoted := escapes.ReplaceAllStringFunc(s, func(escape string) string {
		if plain, err := strconv.Unquote(`"` + escape + `"`); err == nil {
			return plain
		}
		return escape[1:] // of JSON, and not of Go
	})
	query, _ := url.QueryUnescape(s)
	path, _ := url.PathUnescape(s)
	ofBase64, _ := base64.StdEncoding.DecodeString(s)
	ofHex, _ := hex.DecodeString(s)
	return []string{s, strings.ReplaceAll(s, " ", ""), unquoted, query, path, html.UnescapeString(s), string(ofBase64), string(ofHex)}
}

// showsSecret reports whether a reader of a text finds so much of a secret that it must not
// be printed: twelve bytes in a row, or half of a shorter one.
func showsSecret(text, secret string) bool {
	n := min(12, (len(secret)+1)/2)
	text, secret = strings.ToLower(strings.Join(readings(text), "\n")), strings.ToLower(secret)
	for i := 0; i+n <= len(secret); i++ {
		if strings.Contains(text, secret[i:i+n]) {
			return true
		}
	}
	return false
}

// Of every credential in every encoding the test says whether a reader of the clean
// text finds it. Only encodings that the package does not undo may be missed.
func TestComparisonTable(t *testing.T) {
	t.Parallel()
	allowed := map[string][]string{
		"8 to a line":           {"JWT", "password of eleven", "password of nine", "security token of 700", "signature", "token of 1500", "token of 35"},
		"one character missing": {"password of nine"}, // no six bytes in a row are left
		"hex":                   slices.Collect(maps.Keys(kinds)),
	}
	withheld, missed := 0, 0
	for encoding, write := range encodings {
		for kind, secret := range kinds {
			written := write(secret)
			if encoding != "first half" && (kind != "phrase" || !strings.HasSuffix(encoding, "to a line")) { // its own spaces are dropped too
				assert.True(t, showsSecret(written, secret), "a reader of %s reads %s", encoding, kind)
			}
			got := Clean("bad request: "+written+" is refused", 20_000, []string{secret})
			if got == Withheld {
				withheld++
			}
			part := strings.TrimSuffix(strings.TrimPrefix(got, "bad request: "), " is refused")
			if showsSecret(part, secret) {
				missed++
				assert.Contains(t, allowed[encoding], kind, "%s: %s", encoding, part)
			}
		}
	}
	t.Logf("%d of %d missed, %d withheld", missed, len(kinds)*len(encodings), withheld)
	assert.LessOrEqual(t, missed, 24)
}
