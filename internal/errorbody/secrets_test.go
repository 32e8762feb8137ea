package errorbody

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

const (
	token    = `MIIQ-Xq7Lk2Vw9Zr4Tn8Bd3Uf6Hs5Jm+/==`
	oddToken = `{"\<&>}Vb5Nc9Jx2Lq7Rm4Hd8Wt6Ky1Fp3S`
	password = "pass wörd\n\"\\<&>'Hy6Jm1Pc5Sf0Gv8Ne2Ka4Wx7Bt%41+"
)

// encodings are the ways of the package's comment in which a server may write a
// secret back.
var encodings = map[string]func(string) string{
	"plain":       func(s string) string { return s },
	"upper case":  strings.ToUpper,
	"lower case":  strings.ToLower,
	"JSON":        quotedJSON,
	"JSON, twice": func(s string) string { return quotedJSON(quotedJSON(s)) },
	"JSON, slashes escaped": func(s string) string {
		return strings.ReplaceAll(quotedJSON(s), "/", `\/`)
	},
	"JSON, all escaped": func(s string) string {
		var b strings.Builder
		for _, r := range s {
			fmt.Fprintf(&b, `\u%04X`, r)
		}
		return b.String()
	},
	"Go":             strconv.Quote,
	"Go, ASCII":      strconv.QuoteToASCII,
	"query":          url.QueryEscape,
	"query, twice":   func(s string) string { return url.QueryEscape(url.QueryEscape(s)) },
	"path":           url.PathEscape,
	"percent":        percented,
	"HTML":           html.EscapeString,
	"HTML, decimal":  func(s string) string { return entities(s, "&#%d;") },
	"HTML, hex":      func(s string) string { return entities(s, "&#x%x;") },
	"HTML, HEX":      func(s string) string { return entities(s, "&#X%X;") },
	"HTML in JSON":   func(s string) string { return quotedJSON(html.EscapeString(s)) },
	"JSON in query":  func(s string) string { return url.QueryEscape(quotedJSON(s)) },
	"base64":         func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64, url":    func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"base64, user:":  func(s string) string { return base64.StdEncoding.EncodeToString([]byte("user:" + s)) },
	"base64, before": func(s string) string { return base64.StdEncoding.EncodeToString([]byte("a" + s + " and more")) },
	"base64, glued":  func(s string) string { return "Basic" + base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64 in JSON": func(s string) string {
		return strings.ReplaceAll(base64.StdEncoding.EncodeToString([]byte(s)), "/", `\/`)
	},
	"base64 in a query": func(s string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(s))) },
}

func quotedJSON(s string) string {
	b, _ := json.Marshal(s)
	return string(b[1 : len(b)-1])
}

func percented(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

func entities(s, format string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, format, r)
	}
	return b.String()
}

func TestCleanEncodings(t *testing.T) {
	t.Parallel()
	for name, encode := range encodings {
		for _, secret := range []string{token, oddToken, password, benchToken(60), benchToken(4000)} {
			text := "before (" + encode(secret) + ") after"
			got := Clean(text, 512, []string{"unrelated-secret-1", secret})
			assert.Contains(t, got, Redacted, name)
			assert.True(t, strings.HasPrefix(got, "before ("), "%s: %s", name, got)
			assert.Less(t, len(got), 70, "%s: nothing but ends is left of the secret: %s", name, got)
			if len(encode(secret)) < len(secret)*5/2 { // else it is cut off
				assert.True(t, strings.HasSuffix(got, ") after"), "%s: %s", name, got)
			}
		}
	}
}

// A secret is masked as a whole, and the rest of the text stays.
func TestClean(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("MIIQy+/TOKEN-", 300) + "=="
	for name, tt := range map[string]struct {
		secrets []string
		text    string
		want    string
	}{
		"nothing to mask":     {[]string{token}, "API 5f918d104dc84480a75166ba99efff21 does not exist", "API 5f918d104dc84480a75166ba99efff21 does not exist"},
		"the whole":           {[]string{token}, "token " + token + " expired", "token REDACTED expired"},
		"nothing else":        {[]string{token}, token, "REDACTED"},
		"twice":               {[]string{token}, token + "," + token, "REDACTED,REDACTED"},
		"a long one":          {[]string{long}, "token " + long + " expired", "token REDACTED expired"},
		"a long one, twice":   {[]string{long}, "token " + long + " expired," + long, "token REDACTED expired,REDACTED"},
		"two secrets":         {[]string{token, oddToken}, "a " + token + " b " + oddToken + " c", "a REDACTED b REDACTED c"},
		"without its start":   {[]string{token}, "(" + token[1:] + ")", "(REDACTED)"},
		"without its end":     {[]string{token}, "(" + token[:len(token)-1] + ")", "(REDACTED)"},
		"twelve of it":        {[]string{token}, "(" + token[10:22] + ")", "(REDACTED)"},
		"eleven of it":        {[]string{token}, "(" + token[10:21] + ")", "(" + token[10:21] + ")"},
		"the other case":      {[]string{token}, "(" + strings.ToLower(token) + ")", "(REDACTED)"},
		"half of a short one": {[]string{"Sesame-Open-12"}, "(Sesame-)", "(REDACTED)"},
		"less than half":      {[]string{"Sesame-Open-12"}, "(Sesame)", "(Sesame)"},
		"all of a very short": {[]string{"s3same-x"}, "(S3SAME-X), (s3same-y)", "(REDACTED), (s3same-y)"},
		"a very short one, escaped": {
			[]string{`s/same"`}, `(s\/same\"), (s%2Fsame%22), (s/same&quot;), (s\u002fsame\u0022)`, "(REDACTED), (REDACTED), (REDACTED), (REDACTED)",
		},
		"the shortest":             {[]string{"s3same"}, "s3same", "REDACTED"},
		"base64 with slashes":      {[]string{"o?o?o?o?o?o?"}, "(bz9vP28/bz9vP28/), (bz9vP28_bz9vP28_)", "(REDACTED), (REDACTED)"},
		"base64 with underscores":  {[]string{"o?o?o?o?o?o?"}, "(bz9vP28_bz9vP28_)", "(REDACTED)"},
		"base64 with pluses":       {[]string{"o>o>o>o>o>o>"}, "(bz5vPm8+bz5vPm8+)", "(REDACTED)"},
		"base64 with hyphens":      {[]string{"o>o>o>o>o>o>"}, "(bz5vPm8-bz5vPm8-)", "(REDACTED)"},
		"secret of an escape":      {[]string{"%41BCDEFG"}, "100% ABCDEFG", "100% REDACTED"},
		"only letters have a case": {[]string{"s3s{me-x"}, "(s3s[me-x), (S3S{ME-X)", "(s3s[me-x), (REDACTED)"},
		"a placeholder":            {[]string{"token"}, "the token expired", "the token expired"},
		"no secret":                {[]string{""}, "the token expired", "the token expired"},
		"a character in between":   {[]string{token}, "(" + token[:17] + "?" + token[18:] + ")", "(REDACTED?REDACTED)"},
		"a line break in between":  {[]string{token}, token[:17] + "\n" + token[17:], `REDACTED\nREDACTED`},
		"escapes that are no echo": {[]string{token}, `100% of "a\b" & c+d`, `100% of "a\b" & c+d`},
		"spaces of a query":        {[]string{"open sesame, open wide"}, "q=OPEN+sesame%2C+open+wide&x", "q=REDACTED&x"},
		"secret of escapes":        {[]string{`%41%42%43%44%45%46%47%48`}, `%41%42%43%44 ABCDEFGH %2541%2542%2543%2544`, "REDACTED REDACTED REDACTED"},
		"secret of backslashes":    {[]string{`\\\\\\\\\\\\\\\\\\\\`}, `a\\\\\\\\\\\\\\\\\\\\b`, "aREDACTEDb"},
		"what is escaped here":     {[]string{`before\u202eafter`}, "before\u202eafter", "REDACTED"},
		"pairs of surrogates":      {[]string{"smile😀smile😀smile"}, `smile\ud83d\ude00smile\uD83D\uDE00smile`, "REDACTED"},
		"broken escapes": {
			[]string{token}, `%4 %zz %u0041 \ \x4 \u004 \ud83d \ud83d\u0041 &; &#; &#x; &#x110000; &unknown; &amp &#99999999999; \`,
			`%4 %zz %u0041 \ \x4 \u004 \ud83d \ud83d\u0041 &; &#; &#x; &#x110000; &unknown; &amp &#99999999999; \`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, Clean(tt.text, 512, tt.secrets))
		})
	}
}

// Any one character may be missing or wrong, in a secret of any length that has
// parts: its longer part is masked.
func TestCleanAllButACharacter(t *testing.T) {
	t.Parallel()
	for n := 12; n <= 40; n++ {
		secret := benchToken(n)
		for i := range n {
			for _, text := range []string{secret[:i] + secret[i+1:], secret[:i] + "~" + secret[i+1:]} {
				got := Clean("("+text+")", 512, []string{secret})
				assert.Contains(t, got, Redacted, "%d of %d", i, n)
				assert.Empty(t, sharedRun(got, secret, runLength(secret)), got)
			}
		}
	}
}

// Every run that is long enough is masked, in whichever encoding it stands
// alone.
func TestCleanEveryRun(t *testing.T) {
	t.Parallel()
	for n := 12; n <= 60; n++ {
		secret := benchToken(n)
		length := runLength(secret)
		for i := range n - length + 1 {
			part := secret[i : i+length]
			assert.Equal(t, "(REDACTED)", Clean("("+part+")", 99, []string{secret}), part)
			assert.Equal(t, "(REDACTED)", Clean("("+percented(part)+")", 99, []string{secret}), part)
		}
	}
	secret := benchToken(60)
	for i := range 60 - 12 {
		for _, glued := range []string{"", "x", "xy", "xyz", "("} {
			encoded := base64.StdEncoding.EncodeToString([]byte(secret[i : i+12]))
			for _, text := range []string{encoded, percented(encoded)} {
				assert.Equal(t, glued+"REDACTED", Clean(glued+text, 99, []string{secret}))
				assert.Equal(t, glued+"REDACTED)", Clean(glued+text+")", 99, []string{secret}))
			}
		}
	}
}

// Wherever a text ends in the middle of a secret, and wherever it is cut
// itself, less than a run of the secret is left.
func TestCleanCut(t *testing.T) {
	t.Parallel()
	secret := benchToken(60)
	for name, encode := range map[string]func(string) string{
		"plain": encodings["plain"], "JSON": encodings["JSON, all escaped"], "percent": percented, "HTML": encodings["HTML, decimal"],
	} {
		for most := range 160 {
			text := strings.Repeat("x", 90) + encode(secret)
			got := Clean(text, most, []string{secret})
			assert.Empty(t, sharedRun(got, secret, 12), "%s, %d: %s", name, most, got)
			got = Clean(text[:min(len(text), 90+most)], 512, []string{secret})
			assert.Empty(t, sharedRun(unescapedOnce(got), secret, 12), "%s, %d: %s", name, most, got)
		}
		// At the end of what is kept of a long text.
		for most := range 100 {
			text := strings.Repeat(".", bytesKept*(most+1)+len(secret)-30) + encode(secret) + strings.Repeat(".", 1000)
			got := Clean(text, most, []string{secret})
			assert.Empty(t, sharedRun(got, secret, 12), "%s, %d: %s", name, most, got)
		}
	}
}

// A text that is cut because of its escapes, or that is too long, says so even where
// what is left is short.
func TestCleanSaysWhatIsCut(t *testing.T) {
	t.Parallel()
	secret := benchToken(80)
	const most = 20 // for which 248 bytes are kept with this secret
	before := strings.Repeat(secret, 3)
	for rest, want := range map[string]string{
		strings.Repeat("x", 8):             "REDACTEDxxxxxxxx",
		strings.Repeat("x", 9):             "REDACTEDxxxxxxxx…",
		strings.Repeat("\x00", 2):          `REDACTED\x00\x00`,
		strings.Repeat("\x00", 8):          `REDACTED\x00\x00…`,
		strings.Repeat("\x00", 8) + "more": `REDACTED\x00\x00…`,
	} {
		assert.Equal(t, want, Clean(before+rest, most, []string{secret}), "%q", rest)
	}
}

// sharedRun is a run of n bytes of a secret that a cleaned text still shows, or
// nothing.
func sharedRun(text, secret string, n int) string {
	secret = strings.ToLower(secret)
	for _, part := range strings.Split(strings.TrimSuffix(text, "…"), Redacted) {
		part = strings.ToLower(part)
		for i := 0; i+n <= len(part); i++ {
			if strings.Contains(secret, part[i:i+n]) {
				return part[i : i+n]
			}
		}
	}
	return ""
}

func unescapedOnce(s string) string {
	if u, err := strconv.Unquote(`"` + s + `"`); err == nil {
		s = u
	}
	if u, err := url.PathUnescape(s); err == nil {
		s = u
	}
	return html.UnescapeString(s)
}

// What is uninterruptible is short. The limits are far above what it takes, and
// far below what more than linear time would.
func TestCleanCost(t *testing.T) {
	const mega = 1 << 20
	random := benchToken(mega)
	for name, tt := range map[string]struct{ text, secret string }{
		"nothing shared":       {strings.Repeat("Lorem ipsum ", 50), random},
		"shared":               {random[4000:4512], random},
		"all of it":            {random, random},
		"one letter":           {strings.Repeat("a", mega), strings.Repeat("a", mega)},
		"two letters":          {strings.Repeat("ab", mega/2), strings.Repeat("ab", mega/2)},
		"backslashes":          {strings.Repeat(`\`, mega), strings.Repeat(`\`, mega)},
		"percent of percent":   {strings.Repeat(`%25`, mega/3), strings.Repeat(`%25`, mega/3)},
		"ampersands":           {strings.Repeat(`&`, mega), strings.Repeat(`&#`, mega/2)},
		"controls":             {strings.Repeat("\x00", mega), strings.Repeat("\x00", mega)},
		"a small token, often": {strings.Repeat(random[:60], mega/60), random[:60]},
	} {
		var got string
		took := cpuTime(t, func() { got = Clean(tt.text, 512, []string{tt.secret}) })
		assert.Less(t, took, time.Minute, "%s: |text| × |secret| would take hours", name)
		assert.LessOrEqual(t, utf8.RuneCountInString(got), 513, name)
	}
}

// Where there is nothing to mask, cleaning leaves no garbage.
func TestCleanAllocations(t *testing.T) {
	for _, secret := range []string{benchToken(60), benchToken(4000)} {
		secrets := []string{secret}
		for _, text := range []string{"", "APIG.3002", requestID, "API 5f918d104dc84480a75166ba99efff21 does not exist"} {
			assert.Zero(t, testing.AllocsPerRun(100, func() { Clean(text, 512, secrets) }), text)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, text := range []string{
		"", "API does not exist", token, `\u004d\u0049\u0049\u0051`, "a\nb\u202e\xff", "%4d%49%49%51-Xq7Lk2Vw9Zr4Tn8",
		"&#77;&#73;&#73;&#81;-Xq7Lk2Vw9Zr4Tn8", base64.StdEncoding.EncodeToString([]byte("x:" + token)), `\\\`, "%25%32%35", "%", "&",
	} {
		f.Add(text, "before ", token, 512)
		f.Add("x", text, password, 20)
	}
	f.Add("secret", "secret", "secret", 3)
	f.Fuzz(func(t *testing.T, before, after, secret string, most int) {
		if len(before)+len(after) > 512 || len(secret) > 256 {
			t.Skip("long texts have tests of their own")
		}
		most = min(most, 1<<14)
		secrets := []string{secret, "another secret"}
		plain := true // the secret has nothing that looks like an escape
		for _, r := range secret {
			plain = plain && r > ' ' && r < 0x7f && !strings.ContainsRune(escapeBytes, r)
		}
		for name, encode := range encodings {
			if !plain && name != "plain" {
				continue
			}
			text := before + encode(secret) + after
			got := Clean(text, most, secrets)
			assertOneLine(t, got)
			if n := utf8.RuneCountInString(got); n > max(most, 0)+1 || n == most+1 && !strings.HasSuffix(got, "…") {
				t.Errorf("%d characters, not %d: %q", n, most, got)
			}
			if len(secret) < shortestSecret {
				continue
			}
			n := runLength(secret)
			if part := sharedRun(got, secret, n); part != "" {
				t.Errorf("%s: %q of %q in %q, made of %q", name, part, secret, got, text)
			}
			if !plain {
				continue
			}
			decode := decoders[name]
			if decode == nil {
				continue
			}
			for _, piece := range strings.Split(got, Redacted) {
				if part := sharedRun(decode(piece), secret, n); part != "" {
					t.Errorf("%s: %q of %q in %q, made of %q", name, part, secret, got, text)
				}
			}
			if again := Clean(got, most+1, secrets); sharedRun(again, secret, n) != "" {
				t.Errorf("%q, and then %q", got, again)
			}
		}
	})
}

// decoders read all that is in the form of an encoding in a piece of a text.
var decoders = map[string]func(string) string{
	"JSON, all escaped": func(s string) string {
		var b strings.Builder
		for i := 0; i < len(s); i++ {
			if i+6 <= len(s) && s[i:i+2] == `\u` {
				if r, err := strconv.ParseUint(s[i+2:i+6], 16, 16); err == nil {
					b.WriteRune(rune(r))
					i += 5
					continue
				}
			}
			b.WriteByte(s[i])
		}
		return b.String()
	},
	"percent": func(s string) string {
		var b strings.Builder
		for i := 0; i < len(s); i++ {
			if i+3 <= len(s) && s[i] == '%' {
				if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
					b.WriteByte(byte(c))
					i += 2
					continue
				}
			}
			b.WriteByte(s[i])
		}
		return b.String()
	},
	"HTML, decimal": html.UnescapeString,
	"HTML, hex":     html.UnescapeString,
}
