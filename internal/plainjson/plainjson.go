// Package plainjson reads the usual form of a small JSON object, a few texts without
// escapes, with one allocation. encoding/json reads all other forms.
package plainjson

import (
	"strings"
	"unicode/utf8"
)

// EachText gives the members of a JSON object to set, if all of them are texts
// without escapes, as nearly all are. It reports whether the whole object was read
// so and set knew each name. encoding/json reads any other.
func EachText(object []byte, set func(name, text string) bool) bool {
	rest, ok := after(string(object), '{') // one copy, of which all texts are parts
	if !ok {
		return false
	}
	for more := true; more; {
		var name, text string
		if name, rest, ok = plainText(rest); !ok {
			return false
		}
		if rest, ok = after(rest, ':'); !ok {
			return false
		}
		if text, rest, ok = plainText(rest); !ok || !set(name, text) {
			return false
		}
		rest, more = after(rest, ',')
	}
	rest, ok = after(rest, '}')
	return ok && strings.Trim(rest, blanks) == "" && utf8.Valid(object)
}

// blanks are the characters that JSON allows between its parts.
const blanks = " \t\r\n"

// after returns the rest behind a character, which may have blanks before it.
func after(s string, c byte) (rest string, ok bool) {
	i := 0
	for i < len(s) && strings.IndexByte(blanks, s[i]) >= 0 {
		i++
	}
	if i == len(s) || s[i] != c {
		return s[i:], false
	}
	return s[i+1:], true
}

// plainText cuts a JSON string without escapes off, and returns the rest.
func plainText(s string) (text, rest string, ok bool) {
	s, ok = after(s, '"')
	for i := 0; ok && i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[:i], s[i+1:], true
		case c == '\\' || c < ' ':
			return "", s, false
		}
	}
	return "", s, false
}
