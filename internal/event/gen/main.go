// Command gen writes the Go types of the events from their Avro schemas.
//
// It runs in internal/event (go generate ./internal/event), reads ../../schemas/*.avsc and writes
// events_gen.go.
package main

import (
	"fmt"
	"os"
)

const (
	schemasDir = "../../schemas"
	outFile    = "events_gen.go"
)

func main() {
	if err := generateFile(); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func generateFile() error {
	src, err := generateSource(os.DirFS(schemasDir))
	if err != nil {
		return fmt.Errorf("generating the events from %s: %w", schemasDir, err)
	}
	if err := os.WriteFile(outFile, src, 0o644); err != nil {
		return fmt.Errorf("writing the events: %w", err)
	}
	return nil
}
