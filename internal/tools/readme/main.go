// Readme checks Markdown files: that the Go programs in them compile, that the tests and
// commands in them run, that the tests they name exist, and that their links lead somewhere.
//
//	go -C internal/tools run ./readme -checkout ../.. ../../README.md ...
//
// A block of Go that has a package clause is a whole file; go vet checks it in a module
// of its own which uses the checkout, and go test runs it if it is a test. A fragment has a
// marker in the line before it, which GitHub does not show:
//
//	<!-- compile with context, github.com/apig-go/apig; given ctx context.Context, client *apig.Client; returning error -->
//	<!-- not compiled: the reason -->
//
// Such a block is made of declarations or of statements; the marker says which packages it
// uses, and, for statements, which parameters and results the function around
// them has. Each part but the first word may be left out.
//
// The commands of a block of sh are steps of .ci/run in the checkout, word for word, or
// the block has one of these markers:
//
//	<!-- run -->                  in an empty folder, beside the checkout as ../apig; the
//	                              document's first program is there as main.go
//	<!-- run on -->               in the folder of the block before
//	<!-- run in the checkout -->
//	<!-- not run: the reason -->
//
// Where code within a line is the name of a test, or "go test -run" with some, there are
// such tests.
//
// A link to a file of the repository needs that file, and one with an anchor needs the
// heading. Links to other hosts are not followed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "readme:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("readme", flag.ContinueOnError)
	checkout := flags.String("checkout", ".", "top `directory` of the module that the programs use")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("say which files")
	}
	top, err := filepath.Abs(*checkout)
	if err != nil {
		return err
	}
	var faults []error
	for _, path := range flags.Args() {
		file, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		doc := parse(string(text))
		programs, err := compile(ctx, file, top, doc)
		commands, fault := runCommands(ctx, file, top, doc)
		faults = append(faults, err, fault, checkTests(file, top, doc), checkLinks(file, top, doc))
		fmt.Fprintf(out, "%s: %d links, %d blocks compiled, %d run\n", path, len(doc.links), programs, commands)
	}
	return errors.Join(faults...)
}
