// Package vendortest opens accounts at the vendors of a sandbox, for tests that run over every
// vendor of the registry.
package vendortest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"sluice/internal/config"
	"sluice/internal/pipeline"
	"sluice/internal/sink"
)

// OpenAccount opens an account of the given vendor, which is also the account's name, and returns
// its operations. settings are entries of a YAML flow mapping, such as sandbox.Page.AccountSettings
// returns.
func OpenAccount(
	t testing.TB, vendors pipeline.Vendors, vendor string, client *http.Client, settings ...string,
) []sink.Operation {
	t.Helper()
	registered, ok := vendors[vendor]
	if !ok {
		t.Fatalf("vendor %s is not registered: add it to builtinVendors in internal/pipeline/vendors.go", vendor)
	}
	var events []string
	for _, spec := range registered.Specs() {
		events = append(events, fmt.Sprintf("%s: %s.%s", spec.Event, vendor, spec.Name))
	}
	text := fmt.Sprintf("kafka: {brokers: [\"localhost:9092\"]}\nvendors: {%s: {%s}}\npipelines: {all: {events: {%s}}}\n",
		vendor, JoinSettings(settings...), strings.Join(events, ", "))
	cfg, err := config.Parse("account.yaml", []byte(text), config.Options{Vendors: vendors.ConfigTypes()})
	if err != nil {
		t.Fatalf("configuring an account of %s: %v\n%s", vendor, err, text)
	}
	operations, err := registered.Open(vendor, cfg.Accounts[vendor].Settings(), client)
	if err != nil {
		t.Fatal(err)
	}
	return operations
}

// JoinSettings joins entries of YAML flow mappings, empty ones left out.
func JoinSettings(settings ...string) string {
	var present []string
	for _, s := range settings {
		if s != "" {
			present = append(present, s)
		}
	}
	return strings.Join(present, ", ")
}
