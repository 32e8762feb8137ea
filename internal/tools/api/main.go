// Api compares what packages export with the lists of it in the repository, so that
// a change of the API is a change of a text that a reviewer reads.
//
//	go -C internal/tools run ./api ../.. ../../apigtest      fails if a list is not true any more, and prints the difference
//	go -C internal/tools run ./api -w ../.. ../../apigtest   writes the lists anew
//
// The list of package apig is api/apig.txt, and so on. A line that goes, or that changes,
// breaks programs of users; a line that comes does not, but for a method of an
// interface that users implement. Parameters have no names in it, since they
// may change; tags of fields are there, since users see them in JSON.
//
// golang.org/x/exp/cmd/apidiff judges compatibility in more detail, but keeps a package as
// export data, which cannot be read in a diff.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apig-go/apig/internal/tools/source"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("api", flag.ContinueOnError)
	write := flags.Bool("w", false, "write the lists")
	in := flags.String("in", "api", "`directory` of the lists")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("say which packages, by their directories")
	}
	var faults []error
	for _, dir := range flags.Args() {
		p, err := source.Load(dir)
		if err != nil {
			return err
		}
		file := filepath.Join(*in, p.Types.Name()+".txt")
		lines := export(p.Types)
		if *write {
			err = os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
		} else {
			err = check(file, lines, out)
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		fmt.Fprintf(out, "%s exports what %s says: %d lines\n", p.PkgPath, file, len(lines))
	}
	return errors.Join(faults...)
}

// check compares lines with the file, and prints what is in one of them only.
func check(file string, lines []string, out io.Writer) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' || r == '\r' })
	if slices.Equal(before, lines) {
		return nil
	}
	gone, come := missing(before, lines), missing(lines, before)
	for _, line := range gone {
		fmt.Fprintln(out, "-", line)
	}
	for _, line := range come {
		fmt.Fprintln(out, "+", line)
	}
	return fmt.Errorf("%s is not what is exported: %d lines went, %d came; if that is meant, write it anew with -w", file, len(gone), len(come))
}

// missing returns the lines of a that are not in b.
func missing(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(line string) bool { return slices.Contains(b, line) })
}
