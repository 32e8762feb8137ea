package main

import (
	"cmp"
	"go/ast"
	"go/types"
	"maps"
	"path/filepath"
	"slices"

	"golang.org/x/tools/go/packages"
)

// A file of the package.
type file struct {
	name  string
	lines int
}

// A pair is two files that use each other: first comes before second in the
// alphabet.
type pair struct {
	first, second string
	firstUses     []string // of second, sorted
	secondUses    []string // of first, sorted
}

// A way leads from a file to another one that it uses.
type way struct{ from, to string }

// files lists the files of p in alphabetical order.
func files(p *packages.Package) []file {
	var list []file
	for _, f := range p.Syntax {
		text := p.Fset.File(f.FileStart)
		list = append(list, file{name: filepath.Base(text.Name()), lines: text.LineCount()})
	}
	slices.SortFunc(list, func(a, b file) int { return cmp.Compare(a.name, b.name) })
	return list
}

// uses says, for each file of p and each other file of p, which names of the
// other it uses.
func uses(p *packages.Package) map[way]map[string]bool {
	used := make(map[way]map[string]bool)
	for _, f := range p.Syntax {
		from := filepath.Base(p.Fset.Position(f.FileStart).Filename)
		ast.Inspect(f, func(n ast.Node) bool {
			ident, ok := n.(*ast.Ident)
			if !ok {
				return true
			}
			obj := p.TypesInfo.Uses[ident]
			if obj == nil || obj.Pkg() != p.Types {
				return true
			}
			to := filepath.Base(p.Fset.Position(obj.Pos()).Filename)
			if to == from {
				return true
			}
			w := way{from, to}
			if used[w] == nil {
				used[w] = make(map[string]bool)
			}
			used[w][nameOf(obj)] = true
			return true
		})
	}
	return used
}

// nameOf writes a method with its type, T.m, a field as .f, and everything else
// as it is.
func nameOf(obj types.Object) string {
	switch obj := obj.(type) {
	case *types.Var:
		if obj.IsField() {
			return "." + obj.Name()
		}
	case *types.Func:
		if recv := obj.Signature().Recv(); recv != nil {
			t := recv.Type()
			if ptr, ok := t.(*types.Pointer); ok {
				t = ptr.Elem()
			}
			if named, ok := t.(*types.Named); ok {
				return named.Obj().Name() + "." + obj.Name()
			}
			return "." + obj.Name() // of an interface without a name
		}
	}
	return obj.Name()
}

// pairs finds the files of p that use each other.
func pairs(p *packages.Package) []pair {
	used := uses(p)
	var list []pair
	for w, names := range used {
		back := used[way{w.to, w.from}]
		if w.from < w.to && back != nil {
			list = append(list, pair{w.from, w.to, slices.Sorted(maps.Keys(names)), slices.Sorted(maps.Keys(back))})
		}
	}
	slices.SortFunc(list, func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.second, b.second))
	})
	return list
}
