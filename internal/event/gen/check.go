package main

import "fmt"

// writeOverflow writes the method that returns the first decimal beyond its precision, for a record
// that has decimals.
func (w *sourceWriter) writeOverflow(typ *goType) {
	if !hasDecimals(typeRef{kind: record, record: typ}) {
		return
	}
	w.printLine("// Overflow returns the path of the first decimal that has more digits than its schema allows, or \"\"")
	w.printLine("// if there is none.")
	w.printLine("func (r *%s) Overflow() string {", typ.name)
	for _, f := range typ.fields {
		w.writeValueCheck("r."+f.name, fmt.Sprintf("%q", f.avro), f.typ, 0)
	}
	w.printLine("return \"\"\n}\n")
}

// writeValueCheck writes the check of one value. expr is the Go expression for the value, path the
// Go expression for its path, and depth the number of enclosing loops.
func (w *sourceWriter) writeValueCheck(expr, path string, typ typeRef, depth int) {
	if !hasDecimals(typ) {
		return
	}
	switch typ.kind {
	case decimal:
		w.printLine("if !%s.Fits(%d) { return %s }", expr, typ.precision, path)
	case record:
		w.printLine("if p := %s.Overflow(); p != \"\" { return %s + \".\" + p }", expr, path)
	case pointer:
		w.printLine("if %s != nil {", expr)
		if inner := *typ.elem; inner.kind == record {
			w.writeValueCheck(expr, path, inner, depth)
		} else {
			w.writeValueCheck("(*"+expr+")", path, inner, depth)
		}
		w.printLine("}")
	case array:
		i := fmt.Sprintf("i%d", depth)
		w.printLine("for %s := range %s {", i, expr)
		w.writeValueCheck(expr+"["+i+"]", path+" + \"[\" + strconv.Itoa("+i+") + \"]\"", *typ.elem, depth+1)
		w.printLine("}")
	case mapping:
		v := fmt.Sprintf("v%d", depth)
		// The path omits the key, which is data of the record.
		w.printLine("for _, %s := range %s {", v, expr)
		w.writeValueCheck(v, path+" + \"[]\"", *typ.elem, depth+1)
		w.printLine("}")
	case scalar: // has no decimals
	}
}

// hasDecimals reports whether a type is or contains a decimal. It terminates because typeOf rejects
// recursive records.
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
