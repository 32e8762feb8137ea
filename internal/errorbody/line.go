package errorbody

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line makes a text from outside the program fit to print: on one line, with every
// character escaped that is not UTF-8, not printable or not visible, or that
// changes the order of others on a screen. The result has at most so many
// characters, and "…" after them if the text was longer. Line removes no
// credentials: Clean does.
func Line(s string, most int) string {
	if len(s) <= most && plainLine(s) {
		return s
	}
	var line strings.Builder
	room := max(most, 0)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		piece := s[i : i+size]
		if !shows(r, size) {
			quoted := strconv.QuoteToASCII(piece)
			piece = quoted[1 : len(quoted)-1]
		}
		for _, c := range piece {
			if room == 0 {
				return line.String() + "…"
			}
			line.WriteRune(c)
			room--
		}
		i += size
	}
	return line.String()
}

// plainLine reports whether a text is printable ASCII, as nearly all are.
func plainLine(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// shows reports whether a character of so many bytes prints as itself.
func shows(r rune, size int) bool {
	const brailleBlank = 0x2800
	return strconv.IsPrint(r) && (r != utf8.RuneError || size > 1) && r != brailleBlank &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
