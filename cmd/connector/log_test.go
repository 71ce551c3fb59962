package main

import (
	"bytes"
	"io"
	"log"
	"testing"
)

// A vendor that sends more than its answer is quoted by net/http in Go's own log, customers' data
// included.
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
