package errorbody

import (
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

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
	for name, text := range map[string]string{
		"letters": strings.Repeat("a", 1<<20), "controls": strings.Repeat("\n", 1<<20), "wide": strings.Repeat("发", 1<<20),
	} {
		got := Line(text, 64)
		assert.Equal(t, 65, utf8.RuneCountInString(got), name)
		assert.True(t, strings.HasSuffix(got, "…"), name)
		assert.LessOrEqual(t, testing.AllocsPerRun(10, func() { Line(text, 64) }), 150.0, name)
	}
}
