package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress tells a person on stderr how far it is: on a terminal one line that
// is written again and again, elsewhere a line for each API.
type progress struct {
	w        io.Writer // nil: says nothing
	terminal bool
	colour   bool
	begin    time.Time
	total    int

	applied, unknown, failed int
	shown                    time.Time // when the line was written last
}

// often is how long a line stands at least, for people and for slow terminals.
const often = 100 * time.Millisecond

func (p program) newProgress(o common) *progress {
	if o.quiet {
		return &progress{}
	}
	terminal := isTerminal(p.stderr) && p.getenv("TERM") != "dumb" && !o.verbose
	return &progress{w: p.stderr, terminal: terminal, colour: terminal && p.getenv("NO_COLOR") == ""}
}

// isTerminal takes any character device but the null device for a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

func (p *progress) start(total int) { p.begin, p.total = time.Now(), total }

func (p *progress) add(to result) {
	switch to.Outcome {
	case outcomeApplied, outcomePlanned:
		p.applied++
	case outcomeUnknown:
		p.unknown++
	default:
		p.failed++
	}
	switch {
	case p.w == nil:
	case !p.terminal:
		fmt.Fprintf(p.w, "%d/%d %s\n", p.seen(), p.total, p.line(to))
	default:
		lasting := to.Error != "" && !strings.HasPrefix(to.Error, notSentPrefix) // of which there may be thousands
		if lasting {
			fmt.Fprintf(p.w, "\r\x1b[K%s\n", p.line(to)) // stays above the line that is written again
		}
		if now := time.Now(); now.Sub(p.shown) >= often || lasting {
			p.shown = now
			fmt.Fprintf(p.w, "\r\x1b[K%s", p.status(now))
		}
	}
}

// end leaves the last state as the last line.
func (p *progress) end() {
	switch {
	case p.w == nil || p.total == 0:
	case p.terminal:
		fmt.Fprintf(p.w, "\r\x1b[K%s\n", p.status(time.Now()))
	default:
		fmt.Fprintln(p.w, p.status(time.Now()))
	}
}

func (p *progress) seen() int { return p.applied + p.unknown + p.failed }

// line is what is said of one API.
func (p *progress) line(to result) string {
	s := fmt.Sprintf("%s %s: %s", to.Command, to.API, p.paint(to.Outcome))
	if to.Recovered {
		s += " (recovered)"
	}
	if to.AlreadyOffline {
		s += " (it was offline already)"
	}
	if to.Error != "" {
		s += ": " + to.Error
	}
	return s
}

// status is how far it is, how fast, and how long it will take yet.
func (p *progress) status(now time.Time) string {
	s := fmt.Sprintf("%d/%d: %d done, %d unknown, %d failed", p.seen(), p.total, p.applied, p.unknown, p.failed)
	if passed := now.Sub(p.begin); p.seen() > 0 && passed > 0 {
		rate := float64(p.seen()) / passed.Seconds()
		s += fmt.Sprintf(", %.1f/s", rate)
		if left := p.total - p.seen(); left > 0 {
			s += fmt.Sprintf(", %s left", time.Duration(float64(left)/rate*float64(time.Second)).Round(time.Second))
		}
	}
	return s
}

// paint colours an outcome: what needs attention stands out.
func (p *progress) paint(outcome string) string {
	if !p.colour {
		return outcome
	}
	switch outcome {
	case outcomeUnknown:
		return "\x1b[33m" + outcome + "\x1b[0m"
	case outcomeNotApplied:
		return "\x1b[31m" + outcome + "\x1b[0m"
	}
	return outcome
}
