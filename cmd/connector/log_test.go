package main

import (
	"bytes"
	"io"
	"log"
	"testing"
)

// If a vendor sends more than its response, net/http quotes the surplus in Go's standard log,
// including customers' data.
func TestStandardLoggerIsDiscarded(t *testing.T) {
	var printed bytes.Buffer
	before := log.Writer()
	defer log.SetOutput(before)
	log.SetOutput(&printed)
	executeCommand(t.Context(), []string{"version"}, io.Discard, io.Discard)
	if err := log.Output(0, `Unsolicited response received on idle HTTP channel starting with "{\"email\":\"jan@example.org\"}"`); err != nil {
		t.Fatal(err)
	}
	if printed.Len() > 0 {
		t.Errorf("%q", printed.String())
	}
}
