package main

import (
	"fmt"
	"go/types"
	"slices"
	"strings"
)

// export lists what p exports, one thing a line, sorted.
func export(p *types.Package) []string {
	e := &exporter{pkg: p}
	for _, name := range p.Scope().Names() {
		if obj := p.Scope().Lookup(name); obj.Exported() {
			e.object(obj)
		}
	}
	slices.Sort(e.lines)
	return e.lines
}

type exporter struct {
	pkg   *types.Package
	lines []string
}

func (e *exporter) add(format string, args ...any) {
	e.lines = append(e.lines, fmt.Sprintf(format, args...))
}

func (e *exporter) object(obj types.Object) {
	switch obj := obj.(type) {
	case *types.Const:
		e.add("const %s %s = %s", obj.Name(), e.text(obj.Type()), obj.Val().ExactString())
	case *types.Var:
		e.add("var %s %s", obj.Name(), e.text(obj.Type()))
	case *types.Func:
		e.add("func %s%s", obj.Name(), e.signature(obj.Signature()))
	case *types.TypeName:
		e.typeName(obj)
	}
}

func (e *exporter) typeName(obj *types.TypeName) {
	if obj.IsAlias() {
		e.add("type %s = %s", obj.Name(), e.text(types.Unalias(obj.Type())))
		return
	}
	named := obj.Type().(*types.Named)
	name := "type " + obj.Name() + e.parameters(named.TypeParams())
	switch u := named.Underlying().(type) {
	case *types.Struct:
		e.structure(name, u)
	case *types.Interface:
		e.iface(name, u)
		return // its methods are its own
	default:
		e.add("%s %s", name, e.text(u))
	}
	e.methods(named)
}

// structure has a line for each exported field, its tag included: the names in
// JSON are seen by users too.
func (e *exporter) structure(name string, s *types.Struct) {
	e.add("%s struct", name)
	if !types.Comparable(s) {
		e.add("%s struct, cannot be compared with ==", name)
	}
	hidden := false
	for i := range s.NumFields() {
		field := s.Field(i)
		if !field.Exported() {
			hidden = true
			continue
		}
		embedded, tag := "", ""
		if field.Embedded() {
			embedded = "embedded "
		}
		if s.Tag(i) != "" {
			tag = " `" + s.Tag(i) + "`"
		}
		e.add("%s struct, %s%s %s%s", name, embedded, field.Name(), e.text(field.Type()), tag)
	}
	if hidden {
		e.add("%s struct, unexported fields", name)
	}
}

func (e *exporter) iface(name string, i *types.Interface) {
	e.add("%s interface", name)
	if !i.IsMethodSet() { // a constraint
		e.add("%s interface, %s", name, e.text(i))
	}
	hidden := false
	for m := range i.Methods() { // the embedded ones too
		if m.Exported() {
			e.add("%s interface, %s%s", name, m.Name(), e.signature(m.Signature()))
		}
		hidden = hidden || !m.Exported()
	}
	if hidden {
		e.add("%s interface, unexported methods", name)
	}
}

// methods lists those that are promoted from embedded fields too.
func (e *exporter) methods(named *types.Named) {
	ofValue := types.NewMethodSet(named)
	for selection := range types.NewMethodSet(types.NewPointer(named)).Methods() {
		m := selection.Obj()
		if !m.Exported() {
			continue
		}
		receiver := named.Obj().Name()
		if ofValue.Lookup(e.pkg, m.Name()) == nil {
			receiver = "*" + receiver
		}
		e.add("func (%s) %s%s", receiver, m.Name(), e.signature(selection.Type().(*types.Signature)))
	}
}

// signature is without the names of parameters and results: they may change.
func (e *exporter) signature(s *types.Signature) string {
	var b strings.Builder
	b.WriteString(e.parameters(s.TypeParams()))
	bare := types.NewSignatureType(nil, nil, nil, unnamed(s.Params()), unnamed(s.Results()), s.Variadic())
	b.WriteString(strings.TrimPrefix(e.text(bare), "func"))
	return b.String()
}

func unnamed(t *types.Tuple) *types.Tuple {
	var vars []*types.Var
	for v := range t.Variables() {
		vars = append(vars, types.NewParam(v.Pos(), v.Pkg(), "", v.Type()))
	}
	return types.NewTuple(vars...)
}

func (e *exporter) parameters(list *types.TypeParamList) string {
	if list.Len() == 0 {
		return ""
	}
	var all []string
	for p := range list.TypeParams() {
		all = append(all, p.Obj().Name()+" "+e.text(p.Constraint()))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// text writes types of this package by their name, those of the standard library as
// in source, and all others with their whole path: such a type in the API is worth
// seeing.
func (e *exporter) text(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string {
		if p == e.pkg {
			return ""
		}
		if first, _, _ := strings.Cut(p.Path(), "/"); strings.Contains(first, ".") {
			return p.Path()
		}
		return p.Name()
	})
}
