// Package errorbody reads the errors of Huawei Cloud services, and makes texts that
// came from a server fit to print: short, on one line, and without the credentials
// that the request carried.
//
// # What is masked
//
// A credential is masked wherever twelve of its bytes in a row stand in a text, or
// half of them if it has fewer than 24; but at least six in a row. Upper and lower
// case of ASCII letters are the same, and so are + and a space. A credential of less
// than six bytes, as tests have, is never masked.
//
// # What withholds the text
//
// The text is searched again with two layers of encodings undone: escapes of JSON
// and Go, percent-encoding, HTML entities, and base64 of either alphabet wherever
// it begins (but not in a text of hexadecimal digits alone). If that shows a part of a credential, none of the text is printed. In a
// text with a masked part six bytes are enough for that.
//
// # What is missed
//
// Other encodings, such as hexadecimal, octal escapes, UTF-16, base32 or
// quoted-printable; the case of letters other than ASCII; a credential that is
// reversed, hashed, compressed or encrypted, or that has other characters between
// its own so that no run of the length above is left; and up to eleven bytes at each
// end of a masked part.
package errorbody

import (
	"encoding/base64"
	"html"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// Redacted stands where a credential was.
	Redacted = "REDACTED"

	// Withheld stands for a text that holds a credential in an encoded form.
	Withheld = "(withheld: it repeats a credential, encoded)"

	longestRun  = 12
	shortestRun = 6 // keeps short placeholders from being cut out of every word

	// More than the text that is asked for is searched, so that a credential which
	// is cut at its end is recognised: eight bytes for each character, as escapes
	// take them, and this many for credentials before it.
	searched = 8 << 10

	layers = 2
)

// Clean makes a server's text fit to print, as Line does, and masks the secrets in
// it. A text that holds a secret in an encoded form is replaced by Withheld. Time
// and memory are linear in the secrets and in the part of the text that is searched.
func Clean(text string, most int, secrets []string) string {
	text = Line(text, 8*(max(most, 0)+1)+searched)
	masked := mask(text, secrets, longestRun)
	if isHexadecimal(text) { // nearly all IDs are; base64 of twelve bytes has other characters
		return Line(masked, most)
	}
	run := longestRun
	if masked != text { // it does repeat a credential, perhaps with more of it in escapes
		run = shortestRun
	}
	var room [layers][1 << 10]byte // for an ID or a short message
	undone, forms := []byte(masked), slices.Clip(secrets)
	for layer := range layers {
		for _, secret := range forms { // a secret may contain escapes itself
			if !hasEscape(secret) {
				continue
			}
			if plain := string(unescape(nil, []byte(secret))); plain != secret && !slices.Contains(forms, plain) {
				forms = append(forms, plain)
			}
		}
		undone = undo(room[layer][:0], undone)
		if mayShare(undone, forms, run) && mask(string(undone), forms, run) != string(undone) {
			return Line(Withheld, most)
		}
	}
	return Line(masked, most)
}

func isHexadecimal(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') })
}

// hasEscape reports whether unescape may change s. Three searches for one byte are ten
// times as fast as one for three bytes, and a token has thousands.
func hasEscape(s string) bool {
	return strings.IndexByte(s, '\\') >= 0 || strings.IndexByte(s, '%') >= 0 || strings.IndexByte(s, '&') >= 0
}

// mask puts Redacted in place of each run of so many bytes, or of half of a shorter
// secret, that the text shares with one of the secrets.
func mask(text string, secrets []string, run int) string {
	var folded string
	var hidden []bool // for each byte of the text
	seen := grams([]byte(text))
	for _, secret := range secrets {
		n := runOf(secret, run)
		if len(text) < n || !seen.mayShare(secret, n) {
			continue
		}
		if folded == "" {
			folded = fold(text)
		}
		runs := make(map[string]bool, len(text)) // of the text: whether the secret has it
		for i := n; i <= len(text); i++ {
			runs[folded[i-n:i]] = false
		}
		shared := false
		for i, secret := n, fold(secret); i <= len(secret); i++ {
			if _, ok := runs[secret[i-n:i]]; ok {
				runs[secret[i-n:i]], shared = true, true
			}
		}
		if !shared {
			continue
		}
		if hidden == nil {
			hidden = make([]bool, len(text))
		}
		for i := n; i <= len(text); i++ {
			if runs[folded[i-n:i]] {
				for at := i - n; at < i; at++ {
					hidden[at] = true
				}
			}
		}
	}
	if hidden == nil {
		return text
	}
	var b strings.Builder
	for i := range len(text) {
		switch {
		case !hidden[i]:
			b.WriteByte(text[i])
		case i == 0 || !hidden[i-1]:
			b.WriteString(Redacted)
		}
	}
	return strings.ToValidUTF8(b.String(), "") // without halves of characters
}

// runOf is how many bytes in a row of a secret are masked.
func runOf(secret string, run int) int { return min(max(len(secret)/2, shortestRun), run) }

// mayShare reports whether mask may find something.
func mayShare(text []byte, secrets []string, run int) bool {
	seen := grams(text)
	return slices.ContainsFunc(secrets, func(secret string) bool { return seen.mayShare(secret, runOf(secret, run)) })
}

// gram is how many bytes in a row a gramSet takes for one.
const gram = 4

// gramSet is a rough set of the grams of a text: it has all of them, and by chance
// others. It costs no allocation, and finds out that a text shares nothing with a
// secret, as nearly all do.
type gramSet [1 << 12 / 64]uint64

func grams(text []byte) (set gramSet) {
	for i := gram; i <= len(text); i++ {
		h := hash(text[i-gram], text[i-gram+1], text[i-gram+2], text[i-1])
		set[h/64] |= 1 << (h % 64)
	}
	return set
}

// has reports whether the gram at i of a text may be in the set.
func (set *gramSet) has(text string, i int) bool {
	h := hash(text[i], text[i+1], text[i+2], text[i+3])
	return set[h/64]>>(h%64)&1 != 0
}

// mayShare reports whether the secret may share n bytes in a row with the text. These
// are a row of grams, so one of them stands at a multiple of their number.
func (set *gramSet) mayShare(secret string, n int) bool {
	row := n - gram + 1
	for i := row - 1; i <= len(secret)-gram; i += row {
		first, last := i, i
		for ; first >= 0 && set.has(secret, first); first-- {
		}
		for ; last <= len(secret)-gram && set.has(secret, last); last++ {
		}
		if last-first > row { // both are beside the row
			return true
		}
	}
	return false
}

// hash is a number of twelve bits for a gram.
func hash(a, b, c, d byte) uint32 {
	return (uint32(folds[a])<<24 | uint32(folds[b])<<16 | uint32(folds[c])<<8 | uint32(folds[d])) * 0x9E3779B1 >> 20
}

// folds makes bytes comparable that differ in the case of letters, or in how a query
// writes a space.
var folds = func() (to [256]byte) {
	for i := range to {
		to[i] = byte(i)
	}
	for c := byte('A'); c <= 'Z'; c++ {
		to[c] = c + 'a' - 'A'
	}
	to['+'] = ' '
	return to
}()

func fold(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = folds[c]
	}
	return string(b)
}

// sextets are the characters of base64, of either alphabet, as those of the usual one.
var sextets = func() (to [256]byte) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") {
		to[c] = c
	}
	to['-'], to['_'] = '+', '/'
	return to
}()

// undo appends a text with one layer of encodings undone: its escapes, and behind
// that the bytes of its base64. A group of four characters may begin anywhere.
func undo(to, text []byte) []byte {
	to = unescape(to, text)
	var room [64]byte
	run := room[:0]
	for i := 0; i <= len(text); i++ {
		if i < len(text) && sextets[text[i]] != 0 {
			run = append(run, sextets[text[i]])
			continue
		}
		for shift := 0; len(run) >= 8 && shift < 4; shift++ {
			group := run[shift:]
			if len(group)%4 == 1 { // a single character is no byte
				group = group[:len(group)-1]
			}
			to, _ = base64.RawStdEncoding.AppendDecode(append(to, '\n'), group)
		}
		run = run[:0]
	}
	return to
}

// unescape appends a text with one layer of escapes undone. The number of backslashes
// does not matter.
func unescape(to, text []byte) []byte {
	begin := len(to)
	for i := 0; i < len(text); {
		c := text[i]
		i++
		switch {
		case c == '%':
			if v, ok := hexadecimal(text, i, 2); ok {
				c, i = byte(v), i+2
			}
			to = append(to, c)
		case c == '\\':
			to, i = unescapeOne(to, text, i)
		default:
			to = append(to, c)
		}
	}
	for i := begin; i < len(to)-1; i++ {
		if next := to[i+1]; to[i] == '&' && (next == '#' || next|0x20 >= 'a' && next|0x20 <= 'z') {
			return append(to[:begin], html.UnescapeString(string(to[begin:]))...)
		}
	}
	return to
}

// unescapeOne appends the character of an escape, from behind its first backslash on,
// and returns where it ends.
func unescapeOne(to, text []byte, i int) ([]byte, int) {
	for i < len(text) && text[i] == '\\' {
		i++
	}
	if i == len(text) {
		return to, i
	}
	c := text[i]
	i++
	switch at := strings.IndexByte("abfnrtv", c); {
	case at >= 0:
		return append(to, "\a\b\f\n\r\t\v"[at]), i
	case c == 'x':
		if v, ok := hexadecimal(text, i, 2); ok {
			return append(to, byte(v)), i + 2
		}
	case c == 'U':
		if v, ok := hexadecimal(text, i, 8); ok {
			return utf8.AppendRune(to, v), i + 8
		}
	case c == 'u':
		v, ok := hexadecimal(text, i, 4)
		if !ok {
			break
		}
		next := i + 4
		for next < len(text) && text[next] == '\\' {
			next++
		}
		if next > i+4 && next < len(text) && text[next] == 'u' { // two of them may be one character
			low, ok := hexadecimal(text, next+1, 4)
			if both := utf16.DecodeRune(v, low); ok && both != utf8.RuneError {
				return utf8.AppendRune(to, both), next + 5
			}
		}
		return utf8.AppendRune(to, v), i + 4
	}
	return append(to, c), i
}

// hexadecimal is the number of so many digits at i.
func hexadecimal(text []byte, i, digits int) (v rune, ok bool) {
	if len(text)-i < digits {
		return 0, false
	}
	for _, c := range text[i : i+digits] {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			v = v<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}
