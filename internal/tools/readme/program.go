package main

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	programFile = "main.go"
	testFile    = "block_test.go"
)

// clause is the package clause that begins a block which is a whole file.
var clause = regexp.MustCompile(`(?m)^package\s+(\w+)`)

// compile makes the blocks of Go in the document at path, which is absolute, packages of a
// module of their own, which uses the checkout, and gives them to go vet, and those
// that are tests to go test. It returns how many there are.
func compile(ctx context.Context, path, checkout string, doc document) (int, error) {
	module, err := os.MkdirTemp("", "readme")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(module) }()
	if err := requirements(module, checkout); err != nil {
		return 0, err
	}

	count := 0
	tests := []string{"test", "-mod=mod", "-vet=off"}
	for _, b := range doc.blocks {
		if b.language != "go" {
			continue
		}
		text, name, err := b.program(path)
		if err != nil {
			return 0, fmt.Errorf("%s:%d: %w", path, b.line, err)
		}
		if text == "" {
			continue
		}
		dir := fmt.Sprintf("line%d", b.line)
		if err := os.Mkdir(filepath.Join(module, dir), 0o755); err != nil {
			return 0, err
		}
		if err := os.WriteFile(filepath.Join(module, dir, name), []byte(text), 0o600); err != nil {
			return 0, err
		}
		if name == testFile {
			tests = append(tests, "./"+dir)
		}
		count++
	}
	if count == 0 {
		return 0, nil
	}
	if err := tool(ctx, module, "vet", "-mod=mod", "./..."); err != nil {
		return count, err
	}
	if strings.HasPrefix(tests[len(tests)-1], "./") {
		return count, tool(ctx, module, tests...)
	}
	return count, nil
}

// tool runs the go command in a module. Its error has the output.
func tool(ctx context.Context, module string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// requirements gives the module what the checkout requires, and the checkout.
func requirements(module, checkout string) error {
	mod, err := os.ReadFile(filepath.Join(checkout, "go.mod"))
	if err != nil {
		return err
	}
	first, rest, _ := strings.Cut(string(mod), "\n")
	name, ok := strings.CutPrefix(first, "module ")
	if !ok {
		return errors.New("go.mod does not begin with its module")
	}
	text := fmt.Sprintf("module readme\n%s\nrequire %[2]s v0.0.0\nreplace %[2]s => %[3]q\n", rest, name, checkout)
	if err := os.WriteFile(filepath.Join(module, "go.mod"), []byte(text), 0o600); err != nil {
		return err
	}
	sum, err := os.ReadFile(filepath.Join(checkout, "go.sum"))
	if errors.Is(err, os.ErrNotExist) {
		return nil // it requires nothing
	} else if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(module, "go.sum"), sum, 0o600)
}

// program returns the block as a file that compiles, and the file's name; or nothing,
// if its marker gives a reason why not. Errors of the compiler will name the lines of
// the document.
func (b block) program(path string) (text, name string, err error) {
	position := fmt.Sprintf("//line %s:%d\n", path, b.line)
	if p := clause.FindStringSubmatch(b.text); p != nil {
		if formatted, err := format.Source([]byte(b.text)); err == nil && string(formatted) != b.text {
			return "", "", errors.New("gofmt would change it")
		}
		if strings.HasSuffix(p[1], "_test") {
			return position + b.text, testFile, nil
		}
		return position + b.text, programFile, nil
	}
	if b.excused("not compiled: ") {
		return "", "", nil
	}
	f, ok, err := parseMarker(b.marker)
	if err != nil {
		return "", "", err
	} else if !ok {
		return "", "", errors.New("a fragment needs a marker: what it compiles with, or why not")
	}
	head := "package block\n\n" + f.imports()
	if _, err := parser.ParseFile(token.NewFileSet(), "", "package block\n"+b.text, 0); err == nil { // declarations
		return head + position + b.text, programFile, nil
	}
	body := position + b.text + uses(b.text)
	if f.returns != "" {
		body += "panic(\"the end is not reached\")\n"
	}
	return head + "func _(" + f.given + ") (" + f.returns + ") {\n" + body + "}\n", programFile, nil
}

// excused reports whether the marker is this word and a reason.
func (b block) excused(word string) bool {
	reason, ok := strings.CutPrefix(b.marker, word)
	return ok && strings.TrimSpace(reason) != ""
}

// uses makes statements that use the variables which the text, a list of statements,
// declares: the compiler insists.
func uses(text string) string {
	file, err := parser.ParseFile(token.NewFileSet(), "", "package block\nfunc _() {\n"+text+"\n}", 0)
	if err != nil {
		return "" // the compiler will say so, with the right line
	}
	var all strings.Builder
	for _, s := range file.Decls[0].(*ast.FuncDecl).Body.List {
		if define, ok := s.(*ast.AssignStmt); ok && define.Tok == token.DEFINE {
			for _, name := range define.Lhs {
				if name := name.(*ast.Ident).Name; name != "_" {
					all.WriteString("_ = " + name + "\n")
				}
			}
		}
	}
	return all.String()
}

// A fragment says what a block needs to compile which is not a whole file.
type fragment struct {
	with    []string // import paths
	given   string   // parameters of the function that the statements are in
	returns string   // its results
}

// parseMarker reads "compile with PATH, PATH; given NAME TYPE, NAME TYPE; returning TYPE".
// Each part but the first word may be absent. Other comments are no markers.
func parseMarker(text string) (f fragment, ok bool, err error) {
	rest, ok := strings.CutPrefix(text, "compile")
	if !ok || rest != "" && rest[0] != ' ' && rest[0] != ';' {
		return f, false, nil
	}
	for part := range strings.SplitSeq(rest, ";") {
		word, value, _ := strings.Cut(strings.TrimSpace(part), " ")
		switch word {
		case "":
		case "with":
			for p := range strings.SplitSeq(value, ",") {
				f.with = append(f.with, strings.TrimSpace(p))
			}
		case "given":
			f.given = value
		case "returning":
			f.returns = value
		default:
			return f, false, fmt.Errorf("%q is no part of a marker", word)
		}
	}
	return f, true, nil
}

func (f fragment) imports() string {
	var all strings.Builder
	for _, path := range f.with {
		fmt.Fprintf(&all, "import %q\n", path)
	}
	return all.String()
}
