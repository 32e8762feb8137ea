package errorbody

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// kinds are credentials of every kind that a request carries.
var kinds = func() map[string]string {
	random := rand.New(rand.NewPCG(1, 2))
	encoded := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return base64.StdEncoding.EncodeToString(b)
	}
	return map[string]string{
		"token of 1500":          "MIIT" + encoded(1100),
		"security token of 700":  "gQ" + encoded(520),
		"token of 35":            "MIIQ-Xq7Lk2Vw9Zr4Tn8Bd3Uf6Hs5Jm+/==",
		"signature":              hex.EncodeToString([]byte(encoded(24))),
		"JWT":                    "eyJhbGciOiJSUzI1NiJ9." + strings.TrimRight(encoded(150), "=") + "." + strings.TrimRight(encoded(60), "="),
		"password":               "pW8#kQz-Lm3vTr9X",
		"password of nine":       "P@ss!w0rd",
		"password of eleven":     "Huawei@1234",
		"password from the keys": "!Q2w#E4r%T6y",
		"password with escapes":  `a"b\c/d&e<f>g1`,
		"password of signs":      "!#%&/()=?+*~",
		"password with umlauts":  "Kö!nig$traße9",
		"phrase":                 "correct horse battery staple",
	}
}()

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
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

func replaced(pairs ...string) func(string) string { return strings.NewReplacer(pairs...).Replace }

func split(s string, n int) string {
	var parts []string
	for part := range slices.Chunk([]byte(s), n) {
		parts = append(parts, string(part))
	}
	return strings.Join(parts, " ")
}

// encodings are the ways in which servers write a credential back, and how a reader
// undoes them. A reader may always read the text as it is.
var encodings = map[string]struct{ write, read func(string) string }{
	"as it is":              {func(s string) string { return s }, nil},
	"first half":            {func(s string) string { return s[:len(s)/2] }, nil},
	"one character missing": {func(s string) string { return s[:len(s)/3] + s[len(s)/3+1:] }, nil},
	"Java's toString":       {func(s string) string { return "{x-auth-token=[" + s + "]}" }, nil},
	"upper case":            {strings.ToUpper, nil},
	"8 to a line":           {func(s string) string { return split(s, 8) }, replaced(" ", "")},
	"76 to a line":          {func(s string) string { return split(s, 76) }, replaced(" ", "")},
	"JSON in JSON":          {func(s string) string { b, _ := json.Marshal(map[string]string{"t": s}); return string(b) }, readJSON},
	"Gson":                  {replaced("=", `\u003d`, "&", `\u0026`, "<", `\u003c`, ">", `\u003e`, "'", `\u0027`), readJSON},
	"PHP":                   {replaced("/", `\/`), readJSON},
	`\u, all`:               {every(`\u%04x`), readJSON},
	"headers in Go's %q":    {func(s string) string { return fmt.Sprintf("%q", map[string][]string{"X-Auth-Token": {s}}) }, readJSON},
	"query":                 {url.QueryEscape, readPercent},
	"path":                  {url.PathEscape, readPercent},
	"percent, all":          {percented, readPercent},
	"html":                  {html.EscapeString, html.UnescapeString},
	"html/template":         {replaced("+", "&#43;", "&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;"), html.UnescapeString},
	"html of OWASP":         {replaced("/", "&#x2F;", "=", "&#x3D;", "&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#x27;"), html.UnescapeString},
	"html, all":             {every("&#%d;"), html.UnescapeString},
	"base64":                {func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }, readBase64},
	"hex":                   {func(s string) string { return hex.EncodeToString([]byte(s)) }, readHex},
}

// readJSON reads escapes wherever they stand.
func readJSON(s string) string {
	var b strings.Builder
	for s != "" {
		r, _, rest, err := strconv.UnquoteChar(s, 0)
		switch {
		case err == nil:
			b.WriteRune(r)
			s = rest
		case s[0] == '\\': // of JSON, and not of Go
			s = s[1:]
		default:
			b.WriteByte(s[0])
			s = s[1:]
		}
	}
	return b.String()
}

func readPercent(s string) string {
	for _, read := range []func(string) (string, error){url.QueryUnescape, url.PathUnescape} {
		if out, err := read(s); err == nil {
			return out
		}
	}
	return s
}

func readHex(s string) string { b, _ := hex.DecodeString(s); return string(b) }

func readBase64(s string) string { b, _ := base64.StdEncoding.DecodeString(s); return string(b) }

// showsSecret reports whether a text has so much of a secret that it must not be printed:
// twelve bytes in a row, or half of a shorter one.
func showsSecret(text, secret string) bool {
	n := min(12, (len(secret)+1)/2)
	text, secret = strings.ToLower(text), strings.ToLower(secret)
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
		"hex":                   nil,                  // every one
	}
	withheld, missed := 0, 0
	for encoding, code := range encodings {
		for kind, secret := range kinds {
			written := code.write(secret)
			got := Clean("bad request: "+written+" is refused", 20_000, []string{secret})
			if got == Withheld {
				withheld++
			}
			part := strings.TrimSuffix(strings.TrimPrefix(got, "bad request: "), " is refused")
			shown := showsSecret(part, secret)
			if code.read != nil {
				if kind != "phrase" || !strings.HasSuffix(encoding, "to a line") { // whose own spaces the reader drops too
					assert.True(t, showsSecret(code.read(written), secret), "the reader of %s reads %s", encoding, kind)
				}
				shown = shown || showsSecret(code.read(part), secret)
			}
			if !shown {
				continue
			}
			missed++
			kinds, ok := allowed[encoding]
			assert.True(t, ok && (kinds == nil || slices.Contains(kinds, kind)), "%s as %s: %s", kind, encoding, part)
		}
	}
	t.Logf("%d of %d missed, %d withheld", missed, len(kinds)*len(encodings), withheld)
	assert.LessOrEqual(t, missed, 24)
}
