// Filepairs lists the pairs of files of a package that use each other.
//
//	go -C internal/tools run ./filepairs [-allow FILE] DIRECTORY
//
// File a.go uses b.go if it names something that is declared in b.go: a constant,
// a variable, a function or a type of the package, a method (written Type.method), or
// a field of a struct (written .field). What is reached through an interface of
// another package is not seen. Tests are left out, and so are files which the
// platform's build constraints leave out.
//
// Two files which use each other can only be understood together, so each pair
// needs a reason. The reasons are in FILE, one pair a line, the two files in
// alphabetical order:
//
//	codes.go errors.go  the table of codes names the sentinels, which are asked for by code
//
// Lines that are empty or begin with # do not count. The command fails if a pair
// is not in FILE, and if FILE holds a pair that there is no more. It also prints how
// many files and lines the package has.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/apig-go/apig/internal/tools/source"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "filepairs:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("filepairs", flag.ContinueOnError)
	allow := flags.String("allow", "", "`file` with the pairs that are allowed, and why")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("say which directory, and no more than one")
	}
	allowed := make(reasons)
	if *allow != "" {
		text, err := os.ReadFile(*allow)
		if err != nil {
			return err
		}
		if allowed, err = parseReasons(string(text)); err != nil {
			return fmt.Errorf("%s: %w", *allow, err)
		}
	}
	p, err := source.Load(flags.Arg(0))
	if err != nil {
		return err
	}

	all := files(p)
	lines := 0
	for _, f := range all {
		lines += f.lines
		fmt.Fprintf(out, "%5d  %s\n", f.lines, f.name)
	}
	found := pairs(p)
	fmt.Fprintf(out, "%5d  lines in %d files; pairs that use each other: %d\n", lines, len(all), len(found))
	for _, q := range found {
		fmt.Fprintf(out, "\n%s %s  %s\n", q.first, q.second, allowed[[2]string{q.first, q.second}])
		fmt.Fprintf(out, "\t%s uses %s\n", q.first, strings.Join(q.firstUses, ", "))
		fmt.Fprintf(out, "\t%s uses %s\n", q.second, strings.Join(q.secondUses, ", "))
	}
	return allowed.check(found)
}
