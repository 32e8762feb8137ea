package errorbody

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line makes a text without credentials, such as an ID of the caller's, fit to
// be printed: on one line, with everything escaped that is not UTF-8, that is
// no printable character or that cannot be seen, and cut to at most that many
// characters, with "…" behind them if something was cut off.
func Line(s string, most int) string {
	most = max(most, 0)
	kept, whole := head(s, utf8.UTFMax*(most+1))
	return shorten(visible(kept), most, whole)
}

// head keeps the whole characters of at most n bytes, and says whether these
// are all.
func head(s string, n int) (kept string, whole bool) {
	if len(s) <= n {
		return s, true
	}
	for back := 0; back < utf8.UTFMax-1 && n > 0 && !utf8.RuneStart(s[n]); back++ {
		n--
	}
	return s[:n], false
}

// shorten keeps at most n characters of s.
func shorten(s string, n int, whole bool) string {
	if len(s) > n {
		seen := 0
		for i := range s {
			if seen == n {
				return s[:i] + "…"
			}
			seen++
		}
	}
	if whole {
		return s
	}
	return s + "…"
}

// visible escapes, as Go does in a quoted string, whatever could break out of
// a line of a log, reorder it or hide in it.
func visible(s string) string {
	i := 0
	for i < len(s) && s[i] >= ' ' && s[i] < 0x7f { // as nearly all are
		i++
	}
	for i < len(s) {
		r, n := utf8.DecodeRuneInString(s[i:])
		if !shows(r, n) {
			break
		}
		i += n
	}
	if i == len(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:i])
	for i < len(s) {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case shows(r, n):
			b.WriteString(s[i : i+n])
		case r == utf8.RuneError && n == 1:
			const hex = "0123456789abcdef"
			b.Write([]byte{'\\', 'x', hex[s[i]>>4], hex[s[i]&15]})
		default:
			var quoted [16]byte
			q := strconv.AppendQuoteRuneToASCII(quoted[:0], r)
			b.Write(q[1 : len(q)-1])
		}
		i += n
	}
	return b.String()
}

// shows reports whether a character of n bytes can be seen as what it is.
func shows(r rune, n int) bool {
	if r < utf8.RuneSelf {
		return r >= ' ' && r < 0x7f
	}
	if r == utf8.RuneError && n == 1 || !strconv.IsPrint(r) {
		return false
	}
	const brailleBlank = 0x2800
	return r != brailleBlank && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
