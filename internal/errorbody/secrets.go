package errorbody

import "strings"

const (
	// Redacted stands where a credential was.
	Redacted = "REDACTED"

	// shortestSecret keeps a placeholder of a few letters, as tests have, from
	// being cut out of every word.
	shortestSecret = 6

	// A text is cut before it is cleaned: to so many bytes for each character
	// that is asked for, and as many as there are in the secrets, so that what
	// stands behind one secret is not lost. That has a limit, above what
	// servers take in a header.
	bytesKept   = 8
	secretsKept = 32 << 10
)

// Clean makes a server's text fit to be printed, as Line does, with Redacted
// in place of each part that is shared with one of the secrets, of which those
// with less than six bytes do not count. Time and memory depend on what is kept
// of the text and are linear in it and in the secrets. A long text with long
// secrets in it may end before it has that many characters.
func Clean(text string, most int, secrets []string) string {
	if text == "" {
		return ""
	}
	most = max(most, 0)
	size := 0
	for _, secret := range secrets {
		size += len(secret)
	}
	n := bytesKept*(most+1) + min(size, secretsKept)
	kept, whole := head(text, n)
	kept, short := head(visible(kept), n) // as long as the escapes make it
	return shorten(masked(kept, secrets), most, whole && short)
}

// masked puts Redacted in place of what a text, which is UTF-8, shares with the
// secrets.
func masked(text string, secrets []string) string {
	if len(text) < shortestSecret {
		return text
	}
	if !strings.ContainsAny(text, escapeBytes) {
		var seen sample
		seen.addText(text)
		if !seen.mayShareAny(secrets) {
			return text
		}
	}
	return maskedForms(text, secrets)
}

// maskedForms is masked for the few texts that do share something, and for those
// with escapes: it makes all forms, and knows where in the text each byte of
// them comes from.
func maskedForms(text string, secrets []string) string {
	var bytes [1024]byte
	var spans [1024]span
	var ends [32]int
	f := forms{bytes[:0], spans[:0], ends[:0]}.with(text)
	escaped := strings.ContainsAny(text, escapeBytes)
	var seen sample
	seen.add(f.bytes)
	var marks []bool
	for _, secret := range secrets {
		if len(secret) < shortestSecret {
			continue
		}
		marks = f.mark(secret, &seen, marks, len(text))
		if escaped {
			if plain := unescaped(secret); plain != secret {
				marks = f.mark(plain, &seen, marks, len(text))
			}
		}
	}
	if marks == nil {
		return text
	}
	var b strings.Builder
	b.Grow(len(text) + len(Redacted))
	for i := 0; i < len(text); {
		begin := i
		for i < len(text) && marks[i] == marks[begin] {
			i++
		}
		if marks[begin] {
			b.WriteString(Redacted)
		} else {
			b.WriteString(text[begin:i])
		}
	}
	return b.String()
}

// runLength is how many bytes in a row of a secret are masked.
func runLength(secret string) int {
	switch n := len(secret); {
	case n < longestRun:
		return n
	case n < 2*longestRun:
		return n / 2
	}
	return longestRun
}

// mark marks the bytes of the text that it shares with a secret, in any of its
// forms. Most texts share nothing, which the sample tells at little cost.
func (f forms) mark(secret string, seen *sample, marks []bool, length int) []bool {
	if len(secret) < shortestSecret {
		return marks
	}
	n := runLength(secret)
	if length < n || !seen.mayShare(secret, n) { // no form is longer than the text
		return marks
	}
	shared := f.shared(secret, n, seen)
	if len(shared) == 0 {
		return marks
	}
	if marks == nil {
		marks = make([]bool, length)
	}
	for form := range f.ends {
		start, end := f.bounds(form)
		w, marked := newWindow(n), start // what is before marked is done
		for i := start; i < end; i++ {
			w.move(f.bytes[i])
			if i-start+1 < n || !shared[w.run] {
				continue
			}
			for marked = max(marked, i+1-n); marked <= i; marked++ {
				for at := f.spans[marked].from; at < f.spans[marked].to; at++ {
					marks[at] = true
				}
			}
		}
	}
	return marks
}

// shared are the runs of n bytes that are in the secret and in one of the
// forms.
func (f forms) shared(secret string, n int, seen *sample) map[run]bool {
	var sampled sample // of the secret
	w := newWindow(n)
	for i := range len(secret) {
		if w.move(secret[i]); i+1 >= n {
			sampled.put(w.low)
		}
	}
	candidates := make(map[run]struct{})
	for form := range f.ends {
		start, end := f.bounds(form)
		w := newWindow(n)
		for i := start; i < end; i++ {
			if w.move(f.bytes[i]); i-start+1 >= n && sampled.has(w.low) {
				candidates[w.run] = struct{}{}
			}
		}
	}
	shared := make(map[run]bool)
	w = newWindow(n)
	for i := range len(secret) {
		if w.move(secret[i]); i+1 >= n && seen.has(w.low) {
			if _, ok := candidates[w.run]; ok {
				shared[w.run] = true
			}
		}
	}
	return shared
}

// sample is a set of all six bytes in a row of a text's forms, that may say yes
// to a few that are not in it.
type sample [256]uint64

const (
	sampleBytes = shortestSecret
	sampleMask  = 1<<(8*sampleBytes) - 1
	notASCII    = 0x8080_8080_8080 // of six bytes
)

func (s *sample) add(b []byte) {
	var six uint64
	for i, c := range b {
		six = six<<8 | uint64(c)
		if i+1 >= sampleBytes {
			s.put(six)
		}
	}
}

// addText adds all forms of a text without escapes, and does not make them: the
// text, and what its base64 decodes to. Of the latter what is not ASCII is left
// out, which is nearly all of it; see mayShare.
func (s *sample) addText(text string) {
	var six, bits uint64
	run := 0 // characters of base64 in a row
	for i := range len(text) {
		six = six<<8 | uint64(text[i])
		if i+1 >= sampleBytes {
			s.put(six)
		}
		v := sextet(text[i])
		if v == 64 {
			run = 0
			continue
		}
		bits = bits<<6 | uint64(v)
		if run++; run < sampleBytes*8/6 {
			continue
		}
		for spare := 0; spare < 6; spare += 2 { // bits that are of the next byte, as groups may begin anywhere
			if decoded := bits >> spare; decoded&notASCII == 0 {
				s.put(decoded)
			}
		}
	}
}

// put adds the last six bytes.
func (s *sample) put(six uint64) {
	one, two := slots(six)
	s[one>>6] |= 1 << (one & 63)
	s[two>>6] |= 1 << (two & 63)
}

// has reports whether the last six bytes may be in the set.
func (s *sample) has(six uint64) bool {
	one, two := slots(six)
	return s[one>>6]&(1<<(one&63)) != 0 && s[two>>6]&(1<<(two&63)) != 0
}

// slots are two places of 16384. Letters have the same ones in either case, and
// some other characters share theirs too.
func slots(six uint64) (one, two uint64) {
	const lower = 0x202020202020
	h := (six&sampleMask | lower) * 0x9e3779b97f4a7c15
	return h >> 50, h >> 36 & 0x3fff
}

// mayShareAny reports whether a text may share something with any of the secrets.
func (s *sample) mayShareAny(secrets []string) bool {
	for _, secret := range secrets {
		if len(secret) >= shortestSecret && s.mayShare(secret, runLength(secret)) {
			return true
		}
	}
	return false
}

// mayShare reports whether n bytes in a row of the secret may be in the forms.
// Whichever they are, six of them begin at a place that is looked at. If they are
// not ASCII the sample does not know.
func (s *sample) mayShare(secret string, n int) bool {
	for i := 0; i+sampleBytes <= len(secret); i += n - sampleBytes + 1 {
		b := secret[i : i+sampleBytes]
		six := uint64(b[0])<<40 | uint64(b[1])<<32 | uint64(b[2])<<24 | uint64(b[3])<<16 | uint64(b[4])<<8 | uint64(b[5])
		if six&notASCII != 0 || s.has(six) {
			return true
		}
	}
	return false
}
