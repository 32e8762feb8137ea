package errorbody

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// mostLayers is how many escapes, one on top of the other, are undone.
const mostLayers = 3

// escapeBytes begin what unescape undoes.
const escapeBytes = `\%&+`

// unescape reads one character of b, which is not empty, with one layer of
// escapes undone: the bytes that it stands for, n of them in out, and how many
// it takes in b. Backslashes that escape nothing stand for nothing, so that
// their number does not matter.
func unescape(b []byte) (out [utf8.UTFMax]byte, n, length int) {
	switch b[0] {
	case '\\':
		return unescapeBackslash(b)
	case '%':
		if v, ok := hexNumber(b, 1, 2); ok {
			return [utf8.UTFMax]byte{byte(v)}, 1, 3
		}
	case '&':
		if r, length := entity(b); length > 0 {
			n = utf8.EncodeRune(out[:], r)
			return out, n, length
		}
	case '+':
		return [utf8.UTFMax]byte{' '}, 1, 1
	}
	return [utf8.UTFMax]byte{b[0]}, 1, 1
}

func unescapeBackslash(b []byte) (out [utf8.UTFMax]byte, n, length int) {
	for length < len(b) && b[length] == '\\' {
		length++
	}
	if length == len(b) {
		return out, 0, length
	}
	letter := length
	length++
	switch b[letter] {
	case 'x':
		if v, ok := hexNumber(b, length, 2); ok {
			return [utf8.UTFMax]byte{byte(v)}, 1, length + 2
		}
	case 'u', 'U':
		if v, ok := hexNumber(b, length, 8); ok && b[letter] == 'U' {
			n = utf8.EncodeRune(out[:], v)
			return out, n, length + 8
		}
		if v, ok := hexNumber(b, length, 4); ok {
			length += 4
			if low, more := surrogate(b[length:]); utf16.IsSurrogate(v) && more > 0 {
				if r := utf16.DecodeRune(v, low); r != utf8.RuneError {
					v, length = r, length+more
				}
			}
			n = utf8.EncodeRune(out[:], v)
			return out, n, length
		}
	default:
		if i := bytes.IndexByte([]byte("abfnrtv"), b[letter]); i >= 0 {
			return [utf8.UTFMax]byte{"\a\b\f\n\r\t\v"[i]}, 1, length
		}
	}
	return [utf8.UTFMax]byte{b[letter]}, 1, length
}

// surrogate reads the second half of a pair, and its length.
func surrogate(b []byte) (r rune, length int) {
	for length < len(b) && b[length] == '\\' {
		length++
	}
	if length == 0 || length == len(b) || b[length]|0x20 != 'u' {
		return 0, 0
	}
	if r, ok := hexNumber(b, length+1, 4); ok {
		return r, length + 5
	}
	return 0, 0
}

// hexNumber reads exactly so many hexadecimal digits from i on.
func hexNumber(b []byte, i, digits int) (v rune, ok bool) {
	if len(b)-i < digits {
		return 0, false
	}
	for _, c := range b[i : i+digits] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		v = v<<4 | rune(c)
	}
	return v, true
}

// longestEntity is the most bytes of an HTML entity that are looked at.
const longestEntity = 18

// entity reads an HTML entity, and its length, which is zero if it is none. As
// in browsers a number needs no semicolon.
func entity(b []byte) (r rune, length int) {
	b = b[:min(len(b), longestEntity)]
	if len(b) > 1 && b[1] == '#' {
		return numericEntity(b)
	}
	end := bytes.IndexByte(b, ';')
	if end < 0 {
		return 0, 0
	}
	if c := entityOf(string(b[1:end])); c != 0 {
		return rune(c), end + 1
	}
	return 0, 0
}

func numericEntity(b []byte) (r rune, length int) {
	base, begin := rune(10), len("&#")
	if begin < len(b) && b[begin]|0x20 == 'x' {
		base, begin = 16, begin+1
	}
	length = begin
	for ; length < len(b) && r <= utf8.MaxRune; length++ {
		digit, ok := hexNumber(b, length, 1)
		if !ok || digit >= base {
			break
		}
		r = r*base + digit
	}
	if length == begin || r > utf8.MaxRune {
		return 0, 0
	}
	if length < len(b) && b[length] == ';' {
		length++
	}
	return r, length
}

// entityOf is the ASCII character of an entity's name, or zero.
func entityOf(name string) byte {
	switch name {
	case "amp", "AMP":
		return '&'
	case "lt", "LT":
		return '<'
	case "gt", "GT":
		return '>'
	case "quot", "QUOT":
		return '"'
	case "apos":
		return '\''
	case "equals":
		return '='
	case "plus":
		return '+'
	case "sol":
		return '/'
	case "bsol":
		return '\\'
	case "colon":
		return ':'
	case "semi":
		return ';'
	case "comma":
		return ','
	case "period":
		return '.'
	case "excl":
		return '!'
	case "quest":
		return '?'
	case "num":
		return '#'
	case "dollar":
		return '$'
	case "percnt":
		return '%'
	case "ast", "midast":
		return '*'
	case "lpar":
		return '('
	case "rpar":
		return ')'
	case "commat":
		return '@'
	case "lsqb", "lbrack":
		return '['
	case "rsqb", "rbrack":
		return ']'
	case "lcub", "lbrace":
		return '{'
	case "rcub", "rbrace":
		return '}'
	case "verbar", "vert", "VerticalLine":
		return '|'
	case "lowbar", "UnderBar":
		return '_'
	case "grave", "DiacriticalGrave":
		return '`'
	case "Hat":
		return '^'
	case "Tab":
		return '\t'
	case "NewLine":
		return '\n'
	}
	return 0
}
