package main

import "fmt"

// check writes the method that finds a decimal beyond its precision, for a record that has
// decimals.
func (w *writer) check(t *goType) {
	if !hasDecimals(typeRef{kind: record, record: t}) {
		return
	}
	w.line("// Overflow is the path of the first decimal that has more digits than its schema allows, empty where all fit.")
	w.line("func (r *%s) Overflow() string {", t.name)
	for _, f := range t.fields {
		w.checkValue("r."+f.name, fmt.Sprintf("%q", f.avro), f.typ, 0)
	}
	w.line("return \"\"\n}\n")
}

// checkValue writes the check of one value: expr is the Go expression, path that of its path, depth
// how many loops are around it.
func (w *writer) checkValue(expr, path string, typ typeRef, depth int) {
	if !hasDecimals(typ) {
		return
	}
	switch typ.kind {
	case decimal:
		w.line("if !%s.Fits(%d) { return %s }", expr, typ.precision, path)
	case record:
		w.line("if p := %s.Overflow(); p != \"\" { return %s + \".\" + p }", expr, path)
	case pointer:
		w.line("if %s != nil {", expr)
		if inner := *typ.elem; inner.kind == record {
			w.checkValue(expr, path, inner, depth)
		} else {
			w.checkValue("(*"+expr+")", path, inner, depth)
		}
		w.line("}")
	case array:
		i := fmt.Sprintf("i%d", depth)
		w.line("for %s := range %s {", i, expr)
		w.checkValue(expr+"["+i+"]", path+" + \"[\" + strconv.Itoa("+i+") + \"]\"", *typ.elem, depth+1)
		w.line("}")
	case mapping:
		v := fmt.Sprintf("v%d", depth)
		// The key stays out of the path: it is the record's data.
		w.line("for _, %s := range %s {", v, expr)
		w.checkValue(v, path+" + \"[]\"", *typ.elem, depth+1)
		w.line("}")
	case scalar: // is none and holds none
	}
}

// hasDecimals tells whether a decimal can be reached. It ends, for typeOf refuses a record that
// holds itself.
func hasDecimals(typ typeRef) bool {
	switch typ.kind {
	case decimal:
		return true
	case record:
		for _, f := range typ.record.fields {
			if hasDecimals(f.typ) {
				return true
			}
		}
	case array, mapping, pointer:
		return hasDecimals(*typ.elem)
	case scalar:
	}
	return false
}
