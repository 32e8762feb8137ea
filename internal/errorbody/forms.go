package errorbody

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// forms are what a text may stand for: the text itself, then the text with one
// layer of escapes after the other undone, and what its base64 decodes to. They
// are passed by value, so that the storage of short ones stays on the stack.
type forms struct {
	bytes []byte // of all forms, one form after the other
	spans []span // where in the text each of them comes from
	ends  []int  // of each form
}

// span is a part of the text.
type span struct{ from, to int32 }

// with makes all forms of a text, in the storage of f. The span of each byte is
// that of its character, so that none is taken apart.
func (f forms) with(text string) forms {
	for i, r := range text {
		whole := span{int32(i), int32(i + utf8.RuneLen(r))}
		for at := whole.from; at < whole.to; at++ {
			f.bytes = append(f.bytes, text[at])
			f.spans = append(f.spans, whole)
		}
	}
	f.ends = append(f.ends, len(f.bytes))
	f = f.withBase64(0)
	last := 0
	for range mostLayers {
		more := f.withUnescaped(last)
		if len(more.ends) == len(f.ends) {
			break
		}
		f = more
		last = len(f.ends) - 1
	}
	if last > 0 {
		f = f.withBase64(last)
	}
	return f
}

// bounds are the ends of a form.
func (f forms) bounds(form int) (start, end int) {
	if form > 0 {
		start = f.ends[form-1]
	}
	return start, f.ends[form]
}

// withUnescaped adds a form with one layer of escapes undone, if it has any.
func (f forms) withUnescaped(form int) forms {
	start, end := f.bounds(form)
	if !bytes.ContainsAny(f.bytes[start:end], escapeBytes) {
		return f
	}
	for i := start; i < end; {
		out, n, length := unescape(f.bytes[i:end])
		whole := span{f.spans[i].from, f.spans[i+length-1].to}
		for _, c := range out[:n] {
			f.bytes = append(f.bytes, c)
			f.spans = append(f.spans, whole)
		}
		i += length
	}
	f.ends = append(f.ends, len(f.bytes))
	return f
}

// shortestBase64 is the fewest characters in a row that are taken for base64.
const shortestBase64 = 16

// withBase64 adds what the base64 in a form decodes to. Where its groups of
// four characters begin is not known, so each run of its alphabet gives four
// forms.
func (f forms) withBase64(form int) forms {
	start, end := f.bounds(form)
	for i := start; i < end; i++ {
		begin := i
		for i < end && sextet(f.bytes[i]) < 64 {
			i++
		}
		if i-begin < shortestBase64 {
			continue
		}
		for shift := range 4 {
			f = f.withDecoded(begin+shift, i)
		}
	}
	return f
}

// withDecoded adds what a run of base64 decodes to.
func (f forms) withDecoded(start, end int) forms {
	var bits uint32
	for i := start; i < end; i++ {
		bits = bits<<6 | uint32(sextet(f.bytes[i]))
		if place := (i - start) % 4; place > 0 {
			f.bytes = append(f.bytes, byte(bits>>(6-2*place))) // the rest is of the next one
			f.spans = append(f.spans, span{f.spans[i-1].from, f.spans[i].to})
		}
	}
	f.ends = append(f.ends, len(f.bytes))
	return f
}

// sextet is what a character of either alphabet of base64 stands for, and 64
// for any other.
func sextet(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c - 'A'
	case c >= 'a' && c <= 'z':
		return c - 'a' + 26
	case c >= '0' && c <= '9':
		return c - '0' + 52
	case c == '+' || c == '-':
		return 62
	case c == '/' || c == '_':
		return 63
	}
	return 64
}

// unescaped is a secret with its own escapes undone, as those of a text are.
func unescaped(secret string) string {
	for range mostLayers {
		if !strings.ContainsAny(secret, escapeBytes) {
			break
		}
		b, layer := []byte(secret), make([]byte, 0, len(secret))
		for len(b) > 0 {
			out, n, length := unescape(b)
			layer = append(layer, out[:n]...)
			b = b[length:]
		}
		secret = string(layer)
	}
	return secret
}

// run is up to 12 bytes in a row of a text or a secret, in lower case.
type run struct {
	high uint32
	low  uint64
}

// longestRun is the most bytes that a run holds.
const longestRun = 12

// window is the run of the last bytes that it was moved over.
type window struct {
	run
	highMask uint32
	lowMask  uint64
}

// newWindow is over runs of so many bytes, from 1 to longestRun.
func newWindow(n int) window {
	if n < 8 {
		return window{lowMask: 1<<(8*n) - 1}
	}
	return window{lowMask: ^uint64(0), highMask: uint32(uint64(1)<<(8*(n-8)) - 1)}
}

// move takes in the next byte.
func (w *window) move(c byte) {
	if c >= 'A' && c <= 'Z' {
		c |= 0x20
	}
	w.high = (w.high<<8 | uint32(w.low>>56)) & w.highMask
	w.low = (w.low<<8 | uint64(c)) & w.lowMask
}
