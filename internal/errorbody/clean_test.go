package errorbody

import (
	"encoding/base64"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

const token = `MIIQ-Xq7Lk2Vw9Zr4Tn8Bd3Uf6Hs5Jm+/==`

func TestClean(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ secret, text, want string }{
		"nothing":                     {token, "", ""},
		"a placeholder":               {"token", "the token expired", "the token expired"},
		"all of it":                   {token, "(" + token + ") expired", "(REDACTED) expired"},
		"all but a character":         {token, "(" + token[1:] + ")", "(REDACTED)"},
		"a character between":         {token, "(" + token[:17] + "?" + token[18:] + ")", "(REDACTED?REDACTED)"},
		"a line break between":        {token, token[:17] + "\n" + token[17:], `REDACTED\nREDACTED`},
		"twelve of it":                {token, "(" + token[10:22] + ")", "(REDACTED)"},
		"eleven of it":                {token, "(" + token[10:21] + ")", "(" + token[10:21] + ")"},
		"the other case":              {token, "(" + strings.ToLower(token) + ")", "(REDACTED)"},
		"half of a short one":         {"Sesame-Open-12", "(Sesame-)", "(REDACTED)"},
		"less than half":              {"Sesame-Open-12", "(Sesame)", "(Sesame)"},
		"six of a very short one":     {"s3same-x", "(S3SAME-X), (s3same-y)", "(REDACTED), (REDACTEDy)"},
		"only letters have a case":    {"s3s{me", "(s3s[me), (S3S{ME)", "(s3s[me), (REDACTED)"},
		"spaces of a query":           {"open sesame, wide", "q=OPEN+sesame, wide&x", "q=REDACTED&x"},
		"half of a character":         {"ößößößößößöß", "ĶßößößößößößĶ", "REDACTEDĶ"},
		"a prefix in quotes":          {`a"b\c/d&e<f>g1`, `"a\"b\\c\/d\u0026e" is refused`, Withheld},
		"escapes that are no echo":    {token, `100% of "a\b" & c+d %4 %zz \x4 \u004 \ud83d &; &#x; \`, `100% of "a\b" & c+d %4 %zz \x4 \u004 \ud83d &; &#x; \`},
		"base64 that is no echo":      {token, "id 5f918d104dc84480a75166ba99efff21", "id 5f918d104dc84480a75166ba99efff21"},
		"a short part before escapes": {token, `MIIQ-Xq7Lk\/2Vw9`, `MIIQ-Xq7Lk\/2Vw9`},
		"parts around an escape":      {"abcdefghijk/lmnopqrstuv", `abcdefghijk\/lmnopqrstuv`, `REDACTED\REDACTED`},

		"escapes of the secret, plain":  {`%41%42%43%44%45%46`, `a %41%42%43%44%45%46 b`, "a REDACTED b"},
		"escapes of the secret, undone": {`%41%42%43%44%45%46`, `a ABCDEF b`, Withheld},
		"escapes of the secret, again":  {`%41%42%43%44%45%46`, `a %2541%2542%2543%2544%2545%2546 b`, Withheld},
		"backslashes":                   {`\\\\\\\\\\\\`, `a\\\\\\\\\\\\b`, "aREDACTEDb"},
		"control characters":            {"be\u202ef\u202eo\u202er\u202ee", "be\u202ef\u202eo\u202er\u202ee", Withheld},
		"letters of control characters": {"a\ab\bc\fd\ne\rf\tg\vh", `a\ab\bc\fd\ne\rf\tg\vh`, Withheld},

		`\u`:                        {"seven/eight", `seven\u002feight`, Withheld},
		`\u of two units`:           {"a😀b😀c😀d", `a\ud83d\ude00b\uD83D\uDE00c\ud83d\ude00d`, Withheld},
		`\U`:                        {"seven/eight", `seven\U0000002feight`, Withheld},
		`\x`:                        {"seven/eight", `seven\x2feight`, Withheld},
		"a backslash before 发":      {"seven/发ght", `seven\/\发ght`, Withheld},
		"HTML, by name":             {"seven/eight", "seven&sol;eight", Withheld},
		"two layers":                {"seven/eight", "seven%252feight", Withheld},
		"two layers of two kinds":   {"seven/eight", "seven&#x25;2feight", Withheld},
		"three layers":              {"seven/eight", "seven%25252feight", "seven%25252feight"},
		"base64 with a user":        {"seven/eight", base64.StdEncoding.EncodeToString([]byte("u:seven/eight")), Withheld},
		"base64 of a URL":           {"o?o?o?o?o?o?", "(bz9vP28_bz9vP28_)", Withheld},
		"base64, glued":             {"seven/eight", "Basic" + base64.StdEncoding.EncodeToString([]byte("seven/eight")), Withheld},
		"base64 in a query":         {"o?o?o?o?o?o?", "bz9vP28%2Fbz9vP28%2F", Withheld},
		"base64 with a plus":        {"o>o>o>o>o>o>", `"bz5vPm8+bz5vPm8+\/"`, Withheld},
		"base64 of base64":          {"seven/eight", base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte("seven/eight")))), Withheld},
		"JSON in a query":           {`seven"eight`, "seven%5C%22eight", Withheld},
		"plain, and six in escapes": {token, token[:12] + " " + percented(token[20:26]), Withheld},
		"plain and, far away, not":  {token, token + strings.Repeat(" ", 600) + percented(token), Withheld},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, Clean(tt.text, 512, []string{"unrelated-secret-1", tt.secret}))
		})
	}
}

// Wherever a text ends in the middle of a secret, and wherever it is cut itself, less
// than a run of the secret is left.
func TestCleanCut(t *testing.T) {
	t.Parallel()
	secret := longToken(60)
	for _, encoding := range []string{"as it is", `\u, all`, "percent, all", "html, all", "base64"} {
		written := encodings[encoding](secret)
		for most := 0; most < 160; most += 7 {
			for _, text := range []string{
				strings.Repeat("x", 90) + written,
				(strings.Repeat("x", 90) + written)[:min(90+most, 90+len(written))],
				strings.Repeat(".", 8*(most+1)+searched-30) + written, // at the end of the part that is searched
			} {
				got := Clean(text, most, []string{secret})
				assert.False(t, showsSecret(got, secret), "%s, %d: %s", encoding, most, got)
				assert.LessOrEqual(t, utf8.RuneCountInString(got), most+1)
			}
		}
	}
}

// The cost of cleaning has a bound, whatever the text.
func TestCleanCost(t *testing.T) {
	const mega = 1 << 20
	long, token := longToken(mega), longToken(6000)
	for name, tt := range map[string]struct{ text, secret string }{
		"nothing shared":     {strings.Repeat("Lorem ipsum ", mega/12), token},
		"all of it":          {long, token},
		"one letter":         {strings.Repeat("a", mega), strings.Repeat("a", 6000)},
		"backslashes":        {strings.Repeat(`\`, mega), strings.Repeat(`\`, 6000)},
		"percent of percent": {strings.Repeat(`%25`, mega/3), strings.Repeat(`%25`, 2000)},
		"ampersands":         {strings.Repeat(`&`, mega), strings.Repeat(`&#`, 3000)},
		"surrogates":         {strings.Repeat(`\ud83d`, mega/6), strings.Repeat(`\ud83d`, 1000)},
		"controls":           {strings.Repeat("\x00", mega), token},
		"runs of base64":     {strings.Repeat(long[:8]+" ", mega/9), token},
		"base64 of base64":   {strings.Repeat(base64.StdEncoding.EncodeToString([]byte(long[:6000])), 100), token},
	} {
		assertCheap(t, name, func() { Clean(tt.text, 512, []string{tt.secret, token}) })
	}
	secrets := []string{longToken(4000)}
	usual := func() { Clean("API 5f918d104dc84480a75166ba99efff21 does not exist", 512, secrets) }
	assert.LessOrEqual(t, testing.AllocsPerRun(100, usual), 6.0)
}

// assertOneLine asserts that a text cannot break out of a line of a log.
func assertOneLine(t testing.TB, s string) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Errorf("not UTF-8: %q", s)
	}
	for _, r := range s {
		if !strconv.IsPrint(r) {
			t.Errorf("%q in %q", r, s)
			return
		}
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text string
		most int
		want string
	}{
		"empty":                       {"", 5, ""},
		"plain":                       {"API does not exist", 64, "API does not exist"},
		"exactly":                     {"12345", 5, "12345"},
		"one too many":                {"123456", 5, "12345…"},
		"characters, no bytes":        {"发发发发发", 5, "发发发发发"},
		"characters, cut":             {"发发发发发发", 5, "发发发发发…"},
		"nothing asked for":           {"abc", 0, "…"},
		"less than nothing":           {"abc", -1, "…"},
		"DEL":                         {"a\x7fb", 9, `a\x7fb`},
		"controls":                    {"a\nb\r\nc\x00d\x1b[31me\x7ff", 99, `a\nb\r\nc\x00d\x1b[31me\x7ff`},
		"C1 controls":                 {"a\u0085b\u009bc", 99, `a\u0085b\u009bc`},
		"line separators":             {"a\u2028b\u2029c", 99, `a\u2028b\u2029c`},
		"bidirectional":               {"a\u202eb\u2066c\u2069d\u200fe\u061cf", 99, `a\u202eb\u2066c\u2069d\u200fe\u061cf`},
		"invisible":                   {"a\u200bb\u2060c\ufeffd\u00ade\u3164f\u115fg\u034fh\ufe0fi\u2800j", 99, `a\u200bb\u2060c\ufeffd\u00ade\u3164f\u115fg\u034fh\ufe0fi\u2800j`},
		"invisible, plane 14":         {"a\U000e0041b\U000e0100c", 99, `a\U000e0041b\U000e0100c`},
		"spaces other than the space": {"a\u00a0b\u3000c", 99, `a\u00a0b\u3000c`},
		"private use":                 {"\ue000", 9, `\ue000`},
		"not UTF-8":                   {"caf\xe9 \xff\xfe\xc3", 99, `caf\xe9 \xff\xfe\xc3`},
		"replacement character":       {"a\ufffdb", 9, "a\ufffdb"},
		"surrogate, as bytes":         {"\xed\xa0\x80", 99, `\xed\xa0\x80`},
		"cut after escapes":           {"\n\n\n", 4, `\n\n…`},
		"printable, of all kinds":     {"naïve Ω 发布 😀 é", 99, "naïve Ω 发布 😀 é"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tt.want, Line(tt.text, tt.most))
			assert.Equal(t, tt.want, Clean(tt.text, tt.most, nil), "without secrets Clean does the same")
			assertOneLine(t, tt.want)
		})
	}
}

// What is not kept costs nothing.
func TestLineOfALongText(t *testing.T) {
	text := strings.Repeat("\n", 1<<20)
	assert.Equal(t, strings.Repeat(`\n`, 32)+"…", Line(text, 64))
	assert.LessOrEqual(t, testing.AllocsPerRun(10, func() { Line(text, 64) }), 150.0)
}

func FuzzClean(f *testing.F) {
	for _, text := range []string{
		"", "API does not exist", token, `\u004d\u0049\u0049\u0051`, "a\nb\u202e\xff", "%4d%49%49%51-Xq7Lk2Vw9Zr4Tn8",
		"&#77;&#73;&#73;&#81;-Xq7Lk2Vw9Zr4Tn8", base64.StdEncoding.EncodeToString([]byte("x:" + token)), `\\\`, "%25%32%35", "%", "&",
	} {
		f.Add(text, "before ", token, 512)
		f.Add("x", text, "pass wörd\n\"\\<&>'Hy6Jm1Pc5Sf0Gv8Ne2Ka4Wx7Bt%41+", 20)
	}
	f.Add("secret", "secret", "secret", 3)
	f.Fuzz(func(t *testing.T, before, after, secret string, most int) {
		if len(before)+len(after) > 512 || len(secret) > 256 || len(secret) < shortestRun {
			t.Skip("long texts have a test of their own, and short secrets do not count")
		}
		most = min(most, 1<<14)
		plain := true // the secret is printable ASCII, without escapes
		for _, r := range secret {
			plain = plain && r > ' ' && r < 0x7f && !strings.ContainsRune(`\%&+`, r)
		}
		for name, write := range encodings {
			if name == "hex" || name == "8 to a line" || !plain && name != "as it is" {
				continue // which are documented as missed
			}
			text := before + write(secret) + after
			got := Clean(text, most, []string{secret, "another secret"})
			assertOneLine(t, got)
			if n := utf8.RuneCountInString(got); n > max(most, 0)+1 || n == most+1 && !strings.HasSuffix(got, "…") {
				t.Errorf("%d characters, not %d: %q", n, most, got)
			}
			for i, n := 0, runOf(secret, longestRun); i+n <= len(secret) && !strings.HasPrefix(got, "(withheld"); i++ {
				for _, part := range strings.Split(strings.TrimSuffix(got, "…"), Redacted) {
					if strings.Contains(fold(part), fold(secret[i:i+n])) {
						t.Errorf("%s: %q of %q in %q, made of %q", name, secret[i:i+n], secret, got, text)
					}
				}
			}
		}
	})
}
