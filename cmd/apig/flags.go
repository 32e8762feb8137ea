package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"
)

// common are the flags of every command that talks to a gateway.
type common struct {
	json    jsonMode
	timeout time.Duration
	quiet   bool
	verbose bool
}

func (o *common) define(fs *flag.FlagSet, timeout time.Duration) {
	fs.DurationVar(&o.timeout, "timeout", timeout, "how long all of it may take")
	fs.BoolVar(&o.quiet, "quiet", false, "write nothing to stderr but errors of usage and configuration")
	fs.BoolVar(&o.verbose, "verbose", false, "log each request to stderr, without credentials")
}

func (o *common) check() error {
	if o.timeout <= 0 {
		return errors.New("-timeout must be more than zero")
	}
	return nil
}

// selection are the flags that say which APIs.
type selection struct {
	apis  stringList
	file  string
	group string
}

func (s *selection) define(fs *flag.FlagSet) {
	fs.Var(&s.apis, "api", "`name` or ID of an API; may be repeated, or a list with commas")
	fs.StringVar(&s.file, "file", "", "`file` with one name or ID of an API a line; - is stdin, # begins a comment")
	fs.StringVar(&s.group, "group", "", "name or ID of a `group`, for all its APIs")
}

func (s *selection) empty() bool { return len(s.apis) == 0 && s.file == "" && s.group == "" }

func (s *selection) check() error {
	if s.group != "" && (len(s.apis) > 0 || s.file != "") {
		return errors.New("-group cannot be combined with -api or -file")
	}
	return nil
}

func (s *selection) required() error {
	if s.empty() {
		return errors.New("one of the flags -api, -file and -group is needed")
	}
	return s.check()
}

// stringList is a flag that may be repeated and may hold commas.
type stringList []string

// String is the flag as it could be written once.
func (l *stringList) String() string { return strings.Join(*l, ",") }

// Set adds what one occurrence of the flag says.
func (l *stringList) Set(s string) error {
	*l = append(*l, splitList(s)...)
	return nil
}

func splitList(s string) []string {
	var parts []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// jsonMode is the form of the report.
type jsonMode string

const (
	jsonNone   jsonMode = ""       // a table
	jsonObject jsonMode = "object" // one object at the end
	jsonLines  jsonMode = "lines"  // one line for each result as soon as it is known

	// Lines, and for each change one at the start and one when it is first sent:
	// so even a process that is killed leaves behind what settle needs.
	jsonJournal jsonMode = "journal"
)

// String is the value of the flag.
func (m *jsonMode) String() string { return string(*m) }

// defineReport adds the flag to a command that changes something.
func (m *jsonMode) defineReport(fs *flag.FlagSet) {
	*m = jsonObject
	fs.Var(m, "json", "`form` of the report: object at the end; lines, one for each API as soon as it is known;\n"+
		"or journal: lines, also of what waits and before it is sent, for settle after a kill -9")
}

// checkReading refuses the journal where nothing is sent.
func (m jsonMode) checkReading() error {
	if m == jsonJournal {
		return errors.New("-json=journal is for commands that change something")
	}
	return nil
}

// IsBoolFlag allows -json without a value.
func (m *jsonMode) IsBoolFlag() bool { return true }

// Set reads the value of the flag.
func (m *jsonMode) Set(s string) error {
	switch s {
	case "true", "object":
		*m = jsonObject
	case "lines":
		*m = jsonLines
	case "journal":
		*m = jsonJournal
	default:
		return errors.New("it is not one of the forms")
	}
	return nil
}

// errHelpShown is what parse returns after it has written the help or the version.
var errHelpShown = errors.New("help was asked for")

// parse reads the flags of a command, and as many arguments as it takes.
func (p program) parse(c *command, fs *flag.FlagSet, args []string, most int) error {
	showVersion := fs.Bool("version", false, "print the version and do nothing else")
	fs.SetOutput(io.Discard)
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(p.stdout, c.help(fs))
		return errHelpShown
	case err != nil:
		return err
	case *showVersion:
		fmt.Fprintln(p.stdout, version())
		return errHelpShown
	case fs.NArg() > most:
		return fmt.Errorf("unexpected argument %q", fs.Arg(most))
	}
	return nil
}

// usage reports a mistake in the flags, or nothing after help was shown.
func (p program) usage(c *command, err error) int {
	if errors.Is(err, errHelpShown) {
		return exitDone
	}
	problems := strings.ReplaceAll(err.Error(), "\n", "; ") // errors.Join puts one a line
	fmt.Fprintf(p.stderr, "apig %s: %s\n\"apig %[1]s -h\" has all flags\n", c.name, problems)
	return exitUsage
}

// help is what -h prints.
func (c *command) help(fs *flag.FlagSet) string {
	var flags bytes.Buffer
	fs.SetOutput(&flags)
	fs.PrintDefaults()
	return fmt.Sprintf("Usage: apig %s %s\n\n%s\nFlags:\n%s\nExamples:\n%s\nExit codes:\n%s", c.name, c.synopsis, c.about,
		flags.String(), c.examples, c.exits)
}

func newFlags(c *command) *flag.FlagSet { return flag.NewFlagSet(c.name, flag.ContinueOnError) }

// version is that of the module this program was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return "apig " + info.Main.Version
	}
	return "apig (devel)"
}
