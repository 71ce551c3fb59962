package fourthvendor

import "embed"

// Testdata has the list of fields of the vendor's page and the exceptions to it, for the
// conformance suite, in folder testdata.
//
//go:embed testdata
var Testdata embed.FS
