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

// Options are what a file's meaning depends on besides the file.
type Options struct {
	// Env looks a variable up, as os.LookupEnv does.
	Env func(string) (string, bool)
	// Vendors are the types of vendors that are wired, by name.
	Vendors map[string]VendorType
}

// document is the whole file. What depends on the vendors is decoded when they are known.
type document struct {
	Config
	Vendors   yaml.Node `yaml:"vendors"`
	Pipelines yaml.Node `yaml:"pipelines"`
}

// Load reads and checks a file. A file with faults gives an *Invalid error with all of them.
func Load(path string, opts Options) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return Parse(path, data, opts)
}

// Parse checks a file that was read; file is its name in faults.
func Parse(file string, data []byte, opts Options) (*Config, error) {
	if opts.Env == nil {
		opts.Env = func(string) (string, bool) { return "", false }
	}
	root, err := parse(data)
	if err != nil {
		return nil, &InvalidError{File: file, Violations: []Violation{{Rule: err.Error()}}}
	}
	faults := &Violations{}
	d := &decoder{env: opts.Env, faults: faults}
	doc := document{Config: Default()}
	d.section(root, fieldsOf(reflect.ValueOf(&doc)), "")
	r := resolver{decoder: d, accounts: d.accounts(&doc.Vendors, opts.Vendors), kinds: opts.Vendors}
	cfg := &doc.Config
	cfg.Pipelines = r.pipelines(&doc.Pipelines, cfg.Name)
	r.reportUnresolved()
	cfg.Accounts = r.complete()
	checkConfig(cfg, faults)
	if found := faults.Found(); len(found) > 0 {
		return nil, &InvalidError{File: file, Violations: found}
	}
	return cfg, nil
}

// anchorName is what the parser quotes of a file that it cannot read: a password that begins with * looks like a reference to an anchor.
var anchorName = regexp.MustCompile(`anchor '.*'`)

// parse gives the one document's root, nil where the file is empty.
func parse(data []byte) (*yaml.Node, error) {
	var first, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	switch err := decoder.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, errors.New("must be YAML (" + anchorName.ReplaceAllString(err.Error(), "anchor "+hidden) + ")")
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("must be one YAML document")
	}
	if first.Kind == yaml.DocumentNode && len(first.Content) == 1 {
		return first.Content[0], nil
	}
	return nil, nil
}
