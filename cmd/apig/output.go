package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"golang.org/x/term"
)

// unsafe reports whether a character can move the cursor of a terminal, or change
// the order in which it shows a line.
func unsafe(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}

// clean replaces the unsafe characters of a text that others have written: names,
// remarks, answers, files. A line break becomes a space as well.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unsafe(r) {
			return ' '
		}
		return r
	}, s)
}

// say writes lines to stderr for people. The lines of format stay; what is put
// into them is cleaned.
func (p *program) say(format string, args ...any) {
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			args[i] = clean(arg)
		case error:
			args[i] = clean(message(arg))
		}
	}
	fmt.Fprintf(p.stderr, format+"\n", args...)
}

// output is stdout. It keeps the first error.
type output struct {
	io.Writer
	failed atomic.Pointer[error]
}

// Write writes, and keeps the error.
func (o *output) Write(text []byte) (int, error) {
	n, err := o.Writer.Write(text)
	if err != nil {
		o.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}

// writeJSON writes a value to stdout, or to stderr once stdout accepts no more:
// the outcome of a change must not be lost. indent is empty for one line.
func (p *program) writeJSON(v any, indent string) {
	text := encode(v, indent)
	if _, err := p.stdout.Write(text); err != nil && p.stdout != p.stderr {
		p.say("the output continues on stderr:")
		p.stdout = p.stderr
		_, _ = p.stderr.Write(text) // if that fails too, no place is left
	}
}

// encode is a value as JSON in which unsafe characters are escaped.
func encode(v any, indent string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		panic(err) // the types of this program always marshal
	}
	var safe bytes.Buffer
	for _, r := range b.String() {
		if r != '\n' && unsafe(r) { // such a character can only stand in a string
			fmt.Fprintf(&safe, `\u%04x`, r)
		} else {
			safe.WriteRune(r)
		}
	}
	return safe.Bytes()
}

// table writes rows with aligned columns. The first row is the header.
func (p *program) table(rows [][]string) {
	for _, row := range rows {
		for i, cell := range row {
			row[i] = clean(cell)
			if row[i] == "" && i < len(row)-1 {
				row[i] = "-"
			}
		}
	}
	_, _ = io.WriteString(p.stdout, layout(rows, width(p.stdout))) // run reports the error
}

// layout aligns the columns of rows. On a terminal, which has a width, columns that do
// not fit go on beneath the row, and the last one, which is text, is wrapped. Nothing
// is cut: a person copies IDs and reads errors to their end.
func layout(rows [][]string, width int) string {
	const indent, least = 2, 24 // columns: of what goes on beneath a row, and for wrapped text
	last := len(rows[0]) - 1
	begin, beneath, at := make([]int, last+1), make([]bool, last+1), 0
	for i := range begin {
		widest, word := 0, least
		for _, row := range rows {
			widest = max(widest, columns(row[i]))
			for s := range strings.FieldsSeq(row[i]) {
				word = max(word, columns(s))
			}
		}
		if i == last {
			widest = min(widest, word)
		}
		if beneath[i] = width > 0 && i > 0 && at+widest > width; beneath[i] {
			at = indent
		}
		begin[i] = at
		at += widest + 2
	}
	var b strings.Builder
	for _, row := range rows {
		at := 0
		for i, cell := range row {
			if cell == "" {
				continue // only the last one may be
			}
			if beneath[i] {
				b.WriteByte('\n')
				at = 0
			}
			b.WriteString(strings.Repeat(" ", begin[i]-at))
			if i == last && width > 0 {
				cell = wrap(cell, width-begin[i], "\n"+strings.Repeat(" ", begin[i]))
			}
			b.WriteString(cell)
			at = begin[i] + columns(cell)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// columns is how many columns of a terminal a text takes. A character of Chinese,
// Japanese or Korean, and a picture, takes two.
func columns(s string) (n int) {
	for _, r := range s {
		switch {
		case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff,
			r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x3fffd:
			n += 2
		case !unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
			n++
		}
	}
	return n
}

// wrap breaks text between words into lines of a width.
func wrap(text string, width int, newline string) string {
	var b strings.Builder
	at := 0
	for word := range strings.FieldsSeq(text) {
		n := columns(word)
		switch {
		case at == 0:
		case at+1+n > width:
			b.WriteString(newline)
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

// width is how many columns a stream has that is a terminal, or 0.
func width(stream any) int {
	f, ok := terminalOf(stream)
	if !ok {
		return 0
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil || n <= 0 {
		return 80
	}
	return n
}

// age is how long ago something was, in one unit; empty if that is not known.
func age(t time.Time) string {
	d := time.Since(t)
	switch {
	case t.IsZero():
		return ""
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// terminalOf is the file if a reader or writer is a terminal.
func terminalOf(stream any) (*os.File, bool) {
	if out, ok := stream.(*output); ok {
		stream = out.Writer
	}
	f, ok := stream.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// progress tells a person on stderr how far a command is: on a terminal in one
// line that is rewritten, elsewhere in a line for each API.
type progress struct {
	p      *program
	silent bool
	quiet  bool       // only what has failed is shown
	brief  bool       // the table with each failure follows on the same terminal
	width  func() int // columns of the terminal; nil if stderr is none
	colour bool
	verb   string
	good   string // what a change is that has not failed
	begin  time.Time
	total  int

	done, unknown, failed, notSent int
	shown                          time.Time // when the line was last written
}

// often is how long a line stands at least, for people and for slow terminals.
const often = 100 * time.Millisecond

func (p *program) newProgress(o *options, verb string) *progress {
	pr := &progress{p: p, verb: verb, good: map[bool]string{true: "planned", false: "done"}[o.dryRun]}
	if _, ok := terminalOf(p.stderr); ok && p.getenv("TERM") != "dumb" && !o.verbose {
		pr.colour = p.getenv("NO_COLOR") == ""
		pr.width = func() int { return width(p.stderr) }
	}
	return pr
}

func (pr *progress) start(total int) {
	pr.begin, pr.total = time.Now(), total
	pr.rewrite(pr.begin)
}

func (pr *progress) add(to result) {
	*[]*int{&pr.done, &pr.notSent, &pr.failed, &pr.unknown}[to.attention()]++
	switch {
	case pr.silent && (!pr.quiet || to.Error == ""):
	case pr.width == nil || pr.quiet:
		fmt.Fprintf(pr.p.stderr, "%d/%d %s\n", pr.seen(), pr.total, pr.line(to))
	case to.Error != "" && !to.notSent && !pr.brief: // it stays above the line that is rewritten
		fmt.Fprintf(pr.p.stderr, "\r\x1b[K%s\n", pr.line(to))
		pr.rewrite(time.Now())
	case time.Since(pr.shown) >= often:
		pr.rewrite(time.Now())
	}
}

// rewrite writes the line on a terminal, cut to its width: a line that wraps
// could not be rewritten.
func (pr *progress) rewrite(now time.Time) {
	if pr.silent || pr.width == nil || pr.total == 0 {
		return
	}
	pr.shown = now
	line := pr.status(now)
	fmt.Fprintf(pr.p.stderr, "\r\x1b[K%s", line[:min(len(line), max(1, pr.width()-1))]) // which is ASCII
}

// clear removes the line from a terminal.
func (pr *progress) clear() {
	if !pr.silent && pr.width != nil && pr.total > 0 {
		fmt.Fprint(pr.p.stderr, "\r\x1b[K")
	}
}

// end leaves the last state as the last line.
func (pr *progress) end() {
	switch {
	case pr.silent || pr.total == 0:
	case pr.width == nil:
		fmt.Fprintln(pr.p.stderr, pr.status(time.Now()))
	default:
		pr.rewrite(time.Now())
		fmt.Fprintln(pr.p.stderr)
	}
}

func (pr *progress) seen() int { return pr.done + pr.unknown + pr.failed + pr.notSent }

// line is the outcome of one API.
func (pr *progress) line(to result) string {
	s := fmt.Sprintf("%s %s: %s", pr.verb, clean(to.label()), pr.paint(to.Outcome))
	if note := to.note(); note != "" {
		s += ": " + clean(note)
	}
	return s
}

// status is how far the command is, and how long the rest takes.
func (pr *progress) status(now time.Time) string {
	s := fmt.Sprintf("%d/%d: %d %s, %d unknown, %d failed", pr.seen(), pr.total, pr.done, pr.good, pr.unknown, pr.failed)
	if pr.notSent > 0 {
		s += fmt.Sprintf(", %d not sent", pr.notSent)
	}
	if left := pr.total - pr.seen(); left > 0 && pr.seen() > 0 {
		each := now.Sub(pr.begin) / time.Duration(pr.seen())
		s += fmt.Sprintf(", %s left", (each * time.Duration(left)).Round(time.Second))
	}
	return s
}

// paint colours an outcome that needs attention.
func (pr *progress) paint(outcome string) string {
	if colour := map[string]string{outcomeUnknown: "33", outcomeNotApplied: "31"}[outcome]; pr.colour && colour != "" {
		return "\x1b[" + colour + "m" + outcome + "\x1b[0m"
	}
	return outcome
}

// plural is a number of things.
func plural(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
