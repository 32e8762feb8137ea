package apig

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Answers with many rows are split here by hand, and only then decoded row by row.
// encoding/json would first make all the rows that a hostile body of 8 MiB has room
// for: 2.8 million of "{}". The parts are slices of the body and take no memory.

// blanks are the characters that JSON allows between its parts.
const blanks = " \t\r\n"

var errNotJSON = errors.New("it is not JSON")

// twoFields returns the values of two members of a JSON object, as they stand there,
// and nil for a missing one. It checks that all other members are JSON. The caller
// must check these two.
func twoFields(object []byte, first, second string) (a, b []byte, err error) {
	if object = bytes.Trim(object, blanks); len(object) == 0 || object[0] != '{' {
		return nil, nil, errors.New("it is not a JSON object")
	}
	err = members(object, func(name, value []byte) error {
		field := &a
		switch {
		case len(name) < 2 || name[0] != '"' || !json.Valid(name):
			return errNotJSON
		case string(name[1:len(name)-1]) == first:
		case string(name[1:len(name)-1]) == second:
			field = &b
		case json.Valid(value):
			return nil
		default:
			return errNotJSON
		}
		if *field != nil {
			return errors.New("it has a field twice")
		}
		*field = value
		return nil
	})
	return a, b, err
}

// countRows is the number of rows in a JSON array; null has none. More than the
// most that are allowed is an error.
func countRows(array []byte, most int) (n int, err error) {
	if !isArray(array) {
		return 0, errors.New("the rows are not an array")
	}
	err = members(array, func(_, _ []byte) error {
		if n++; n > most {
			return fmt.Errorf("there are more than %d rows", most)
		}
		return nil
	})
	return n, err
}

// isArray reports whether a JSON value is an array; null counts as one without rows.
func isArray(value []byte) bool {
	return string(value) == "null" || len(value) > 0 && value[0] == '['
}

// members gives each member of a JSON object, or each element of an array without a
// name, to visit; null has none. It pairs quotes and brackets and no more: visit must
// check that its value is JSON.
func members(text []byte, visit func(name, value []byte) error) error {
	if string(text) == "null" {
		return nil
	}
	object := text[0] == '{'
	if len(text) < 2 || text[len(text)-1] != text[0]+2 { // as in ASCII the closing bracket is
		return errNotJSON
	}
	for rest := skip(text[:len(text)-1], 1); len(rest) > 0; {
		var name, value []byte
		if object {
			name, rest = cutValue(rest)
			if rest = skip(rest, 0); len(rest) == 0 || rest[0] != ':' {
				return errNotJSON
			}
			rest = skip(rest, 1)
		}
		value, rest = cutValue(rest)
		if err := visit(name, value); err != nil {
			return err
		}
		if rest = skip(rest, 0); len(rest) == 0 {
			return nil
		}
		if rest[0] != ',' {
			return errNotJSON
		}
		if rest = skip(rest, 1); len(rest) == 0 {
			return errNotJSON
		}
	}
	return nil
}

// skip drops n bytes and the blanks after them.
func skip(text []byte, n int) []byte { return bytes.TrimLeft(text[n:], blanks) }

// cutValue returns the value at the beginning of a JSON text, and the rest.
func cutValue(text []byte) (value, rest []byte) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = endOfText(text, i+1)
			if i < len(text) && depth == 0 {
				return text[:i+1], text[i+1:]
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return text[:i], text[i:]
			}
			if depth--; depth == 0 {
				return text[:i+1], text[i+1:]
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 { // a number, true, false or null has ended
				return text[:i], text[i:]
			}
		}
	}
	return text, nil
}

// endOfText returns the index of the quote that ends a JSON string, or the length of
// the text. The string begins at begin, after its first quote. A quote behind an odd
// number of backslashes is a part of it.
func endOfText(text []byte, begin int) int {
	for i := begin; i < len(text); i++ {
		next := bytes.IndexByte(text[i:], '"') // much faster than byte by byte
		if next < 0 {
			break
		}
		i += next
		backslashes := 0
		for i-backslashes > begin && text[i-backslashes-1] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return i
		}
	}
	return len(text)
}
