package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// Options is what a file is interpreted with.
type Options struct {
	// Env looks up an environment variable, as os.LookupEnv does.
	Env func(string) (string, bool)
	// Vendors has the available vendor types by name.
	Vendors map[string]VendorType
}

// document is the whole file. Sections that depend on the vendors are decoded later.
type document struct {
	Config
	Vendors   yaml.Node `yaml:"vendors"`
	Pipelines yaml.Node `yaml:"pipelines"`
}

// Load reads and validates a file. A file with violations returns an *InvalidError with all of
// them.
func Load(path string, opts Options) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return Parse(path, data, opts)
}

// Parse validates the content of a file; file is the name to use in violations.
func Parse(file string, data []byte, opts Options) (*Config, error) {
	if opts.Env == nil {
		opts.Env = func(string) (string, bool) { return "", false }
	}
	root, err := parseDocument(data)
	if err != nil {
		return nil, &InvalidError{File: file, Violations: []Violation{{Rule: err.Error()}}}
	}
	violations := &Violations{}
	d := &decoder{env: opts.Env, violations: violations}
	doc := document{Config: Default()}
	d.decodeSection(root, fieldsOf(reflect.ValueOf(&doc)), "")
	r := resolver{decoder: d, accounts: d.decodeAccounts(&doc.Vendors, opts.Vendors), vendorTypes: opts.Vendors}
	cfg := &doc.Config
	cfg.Pipelines = r.decodePipelines(&doc.Pipelines, cfg.Name)
	r.reportUnresolved()
	cfg.Accounts = r.validateUsedAccounts()
	checkConfig(cfg, violations)
	if found := violations.Sorted(); len(found) > 0 {
		return nil, &InvalidError{File: file, Violations: found}
	}
	return cfg, nil
}

// anchorName matches what the YAML parser quotes from a file that it cannot parse. A password that
// begins with * looks like a reference to an anchor, so the name is masked.
var anchorName = regexp.MustCompile(`anchor '.*'`)

// parseDocument returns the root node of the only document, or nil if the file is empty.
func parseDocument(data []byte) (*yaml.Node, error) {
	var first, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	switch err := decoder.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, errors.New("must be YAML (" + anchorName.ReplaceAllString(err.Error(), "anchor "+hiddenText) + ")")
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("must be one YAML document")
	}
	if first.Kind == yaml.DocumentNode && len(first.Content) == 1 {
		return first.Content[0], nil
	}
	return nil, nil
}
