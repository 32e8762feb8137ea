package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/packages"
)

// A mutant is one small change to one file: the bytes from start to end become
// text.
type mutant struct {
	file       string // its name, without the directory
	line       int
	start, end int
	text       string
	key        string // file, function and change; no two mutants share one, and it survives edits elsewhere
}

func (m mutant) String() string {
	_, rest, _ := strings.Cut(m.key, " ")
	return fmt.Sprintf("%s:%d %s", m.file, m.line, rest)
}

// apply returns src with the change made.
func (m mutant) apply(src []byte) []byte {
	return slices.Concat(src[:m.start], []byte(m.text), src[m.end:])
}

// mutants finds every mutant of the files of p whose names are given, or of all
// its files if there are none.
func mutants(p *packages.Package, names []string) ([]mutant, error) {
	missing := slices.Clone(names)
	var all []mutant
	for _, f := range p.Syntax {
		path := p.Fset.Position(f.FileStart).Filename
		name := filepath.Base(path)
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		missing = slices.DeleteFunc(missing, func(s string) bool { return s == name })
		src, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		s := &search{file: p.Fset.File(f.FileStart), name: name, src: src, info: p.TypesInfo, keys: make(map[string]int), done: make(map[literal]bool)}
		for _, decl := range f.Decls {
			s.declaration(decl)
		}
		all = append(all, s.found...)
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("no such file in the package: %s", strings.Join(missing, ", "))
	}
	slices.SortStableFunc(all, func(a, b mutant) int { return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.start, b.start)) })
	return all, nil
}

// A search goes through one file.
type search struct {
	file  *token.File
	name  string
	src   []byte
	info  *types.Info
	where string // the declaration that it is in
	keys  map[string]int
	done  map[literal]bool // changes that another mutant makes, or that nobody can see
	found []mutant
}

// A literal is an integer in the source and what could be added to it.
type literal struct {
	*ast.BasicLit
	plus int
}

func (s *search) declaration(decl ast.Decl) {
	s.where = "package"
	if f, ok := decl.(*ast.FuncDecl); ok {
		s.where = f.Name.Name
		if f.Recv != nil {
			s.where = strings.TrimPrefix(s.source(f.Recv.List[0].Type), "*") + "." + f.Name.Name
		}
	}
	ast.Inspect(decl, s.node)
}

func (s *search) node(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		s.operator(n)
	case *ast.UnaryExpr:
		if n.Op == token.NOT {
			s.replace(n, s.source(n.X))
		}
	case *ast.IfStmt:
		s.condition(n.Cond)
		s.exits(n.Body.List)
	case *ast.ForStmt:
		if n.Cond != nil {
			s.condition(n.Cond)
		}
		s.exits(n.Body.List)
	case *ast.RangeStmt:
		s.exits(n.Body.List)
	case *ast.SwitchStmt:
		if n.Tag == nil {
			for _, clause := range n.Body.List {
				for _, cond := range clause.(*ast.CaseClause).List {
					s.condition(cond)
				}
			}
		}
	case *ast.CaseClause:
		s.exits(n.Body)
	case *ast.CommClause:
		s.exits(n.Body)
	case *ast.ExprStmt, *ast.DeferStmt, *ast.BranchStmt:
		s.remove(n)
	case *ast.AssignStmt:
		s.assignment(n)
	case *ast.IncDecStmt:
		if n.Tok == token.INC {
			s.replace(n, s.source(n.X)+"--")
		} else {
			s.replace(n, s.source(n.X)+"++")
		}
	case *ast.CallExpr:
		s.capacity(n)
	case *ast.BasicLit:
		s.integer(n)
	case *ast.Ident:
		switch s.info.Uses[n] {
		case types.Universe.Lookup("true"):
			s.replace(n, "false")
		case types.Universe.Lookup("false"):
			s.replace(n, "true")
		}
	}
	return true
}

// others are the operators that each operator becomes.
var others = map[token.Token][]token.Token{
	token.EQL:  {token.NEQ},
	token.NEQ:  {token.EQL},
	token.LSS:  {token.LEQ, token.GEQ},
	token.LEQ:  {token.LSS, token.GTR},
	token.GTR:  {token.GEQ, token.LEQ},
	token.GEQ:  {token.GTR, token.LSS},
	token.LAND: {token.LOR},
	token.LOR:  {token.LAND},
	token.ADD:  {token.SUB},
	token.SUB:  {token.ADD},
	token.MUL:  {token.QUO},
	token.QUO:  {token.MUL},
	token.REM:  {token.MUL},
}

func (s *search) operator(n *ast.BinaryExpr) {
	if n.Op == token.ADD && s.isText(n.X) {
		return
	}
	for _, op := range others[n.Op] {
		s.replace(n, s.source(n.X)+" "+op.String()+" "+s.source(n.Y))
	}
	switch n.Op {
	case token.LAND, token.LOR:
		s.condition(n.X)
		s.condition(n.Y)
	case token.GTR, token.LEQ:
		s.sameAsBound(n.X, +1)
		s.sameAsBound(n.Y, -1)
	case token.LSS, token.GEQ:
		s.sameAsBound(n.X, -1)
		s.sameAsBound(n.Y, +1)
	}
}

// sameAsBound leaves out the change of an integer that another operator makes
// already: x > 7 becomes x >= 7, which among integers is x > 6.
func (s *search) sameAsBound(operand ast.Expr, plus int) {
	if lit, ok := operand.(*ast.BasicLit); ok {
		s.done[literal{lit, plus}] = true
	}
}

// condition negates what decides alone: not a comparison, which its operator
// negates, not the whole of an && or ||, of which each side is negated, and not
// what has a ! before it, which is taken away.
func (s *search) condition(e ast.Expr) {
	switch e := ast.Unparen(e).(type) {
	case *ast.BinaryExpr:
	case *ast.UnaryExpr:
		if e.Op != token.NOT {
			s.replace(e, "!("+s.source(e)+")")
		}
	default:
		s.replace(e, "!"+s.source(e))
	}
}

// exits removes a return at the end of a block that is not a function's body:
// there the compiler would miss it.
func (s *search) exits(block []ast.Stmt) {
	if len(block) == 0 {
		return
	}
	if exit, ok := block[len(block)-1].(*ast.ReturnStmt); ok {
		s.remove(exit)
	}
}

var otherAssignments = map[token.Token]string{
	token.ADD_ASSIGN: "-=",
	token.SUB_ASSIGN: "+=",
	token.MUL_ASSIGN: "/=",
	token.QUO_ASSIGN: "*=",
}

func (s *search) assignment(n *ast.AssignStmt) {
	if blank, ok := n.Lhs[0].(*ast.Ident); n.Tok == token.DEFINE || ok && len(n.Lhs) == 1 && blank.Name == "_" {
		return
	}
	s.remove(n)
	if tok, ok := otherAssignments[n.Tok]; ok && !s.isText(n.Lhs[0]) {
		s.replace(n, s.source(n.Lhs[0])+" "+tok+" "+s.source(n.Rhs[0]))
	}
}

// capacity leaves out the last argument of make([]T, n, capacity): it decides how
// often memory is got, not what comes out.
func (s *search) capacity(n *ast.CallExpr) {
	name, ok := n.Fun.(*ast.Ident)
	if !ok || s.info.Uses[name] != types.Universe.Lookup("make") || len(n.Args) < 3 {
		return
	}
	if lit, ok := n.Args[2].(*ast.BasicLit); ok {
		s.done[literal{lit, +1}], s.done[literal{lit, -1}] = true, true
	}
}

func (s *search) integer(lit *ast.BasicLit) {
	if lit.Kind != token.INT {
		return
	}
	value, err := strconv.ParseInt(lit.Value, 0, 64)
	if err != nil {
		return // more than an int64: no constant that a test of its neighbours could tell
	}
	for _, plus := range []int{+1, -1} {
		if !s.done[literal{lit, plus}] {
			s.replace(lit, strconv.FormatInt(value+int64(plus), 10))
		}
	}
}

func (s *search) isText(e ast.Expr) bool {
	basic, ok := s.info.TypeOf(e).Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsString != 0
}

func (s *search) source(n ast.Node) string {
	return string(s.src[s.file.Offset(n.Pos()):s.file.Offset(n.End())])
}

// lineOf returns the line on which n begins.
func (s *search) lineOf(n ast.Node) string {
	line := s.file.Line(n.Pos())
	begin, end := s.file.Offset(s.file.LineStart(line)), len(s.src)
	if line < s.file.LineCount() {
		end = s.file.Offset(s.file.LineStart(line + 1))
	}
	return strings.TrimSpace(string(s.src[begin:end]))
}

func (s *search) remove(n ast.Node) { s.add(n, "", "removed: "+brief(s.source(n))) }

func (s *search) replace(n ast.Node, text string) {
	s.add(n, text, brief(s.source(n))+" -> "+brief(text))
}

func (s *search) add(n ast.Node, text, change string) {
	switch n.(type) {
	case *ast.BasicLit, *ast.Ident: // which one, only the line says
		change += " in: " + brief(s.lineOf(n))
	}
	key := s.name + " " + s.where + ": " + change
	s.keys[key]++
	if times := s.keys[key]; times > 1 {
		key += fmt.Sprintf(" #%d", times)
	}
	s.found = append(s.found, mutant{
		file:  s.name,
		line:  s.file.Line(n.Pos()),
		start: s.file.Offset(n.Pos()),
		end:   s.file.Offset(n.End()),
		text:  text,
		key:   key,
	})
}

// brief is source text on one line, cut in the middle if it is long.
func brief(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if letters := []rune(text); len(letters) > 100 {
		text = string(letters[:60]) + "…" + string(letters[len(letters)-30:])
	}
	return text
}
