package config

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// VendorType is what the configuration has to know of a kind of vendor.
type VendorType interface {
	// NewConfig gives a pointer to the vendor's own struct with its defaults. Tags: yaml (the key), doc, and allow (see the reference:
	// "a|b", "1..10", "url", "file", "zone"), and required. Secrets are of type Secret.
	// Keys timeout (a duration) and requests_per_second (a number) become the account's.
	NewConfig() any
	// Validate notes what is wrong with a decoded struct, beyond what its tags say.
	Validate(cfg any, f *Violations)
	// Operations lists the operations of an account so configured.
	Operations(cfg any) []OperationSpec
}

// OperationSpec is what the configuration has to know of an operation.
type OperationSpec struct {
	// Name is the operation within its vendor; Event is the full Avro name of its event.
	Name  string
	Event string
	// MaxItems is the vendor's cap of items a call; DefaultItems is used unless configured, 0: MaxItems.
	MaxItems     int
	DefaultItems int
	// Repeatable says that sending an item twice does no harm. Unknown is the default policy otherwise; empty: dead_letter.
	Repeatable bool
	Unknown    Unknown
	// DefaultPipeline names the pipeline that delivers the event where the file lists no pipelines;
	// empty: none. KeepOrder gives that pipeline ordering by key.
	DefaultPipeline string
	KeepOrder       bool
}

// Vendor makes a VendorType of a struct's defaults, its check and its operations. The check calls its argument as Faults.Add is called.
func Vendor[C any](defaults func() C, check Check[C], operations func(C) []OperationSpec) VendorType {
	return vendor[C]{defaults, check, operations}
}

// Check tells every fault of a vendor's struct, each with its key below the account and what is allowed. It fits a method expression, so that
// a vendor need not know this package.
type Check[C any] func(cfg C, fault func(path, rule string, args ...any))

type vendor[C any] struct {
	defaults   func() C
	check      Check[C]
	operations func(C) []OperationSpec
}

func (v vendor[C]) NewConfig() any {
	c := v.defaults()
	return &c
}

func (v vendor[C]) Validate(cfg any, f *Violations) {
	if c, ok := cfg.(*C); ok {
		v.check(*c, f.Add)
	}
}

func (v vendor[C]) Operations(cfg any) []OperationSpec {
	if c, ok := cfg.(*C); ok {
		return v.operations(*c)
	}
	return nil
}

// Account is one login at one vendor.
type Account struct {
	// Name is its key in the file; Type is the vendor's.
	Name string
	Type string
	// Timeout bounds one call; RequestsPerSecond is the account's limit, 0: none. The caller applies both.
	Timeout           time.Duration
	RequestsPerSecond float64

	// settings is a function, so that printing an account never prints its settings.
	settings func() any
}

// Settings is the pointer that the type's NewConfig gave, decoded.
func (a Account) Settings() any { return a.settings() }

// account is an account while it is not yet known whether a pipeline uses it.
type account struct {
	Account
	kind       VendorType
	operations []OperationSpec
	used       bool
}

// operation finds one by its name.
func (a *account) operation(name string) (OperationSpec, bool) {
	for _, o := range a.operations {
		if o.Name == name {
			return o, true
		}
	}
	return OperationSpec{}, false
}

// accounts decodes the section of vendors. An account of an unknown type is a fault, and stands as nil.
func (d *decoder) accounts(n *yaml.Node, kinds map[string]VendorType) map[string]*account {
	accounts := map[string]*account{}
	if isNull(n) {
		return accounts
	}
	d.faults.note("vendors", n.Line, "")
	if n.Kind != yaml.MappingNode {
		d.faults.Add("vendors", "must be a mapping, not %s", kindName(n))
		return accounts
	}
	for key, value := range d.pairs(n, "vendors") {
		path := join("vendors", shown(key.Value))
		d.faults.note(path, key.Line, "")
		if !accountName.MatchString(key.Value) {
			d.faults.Add(path, "must have a name of letters, digits, _ and -")
			continue
		}
		accounts[key.Value] = d.account(key.Value, value, path, kinds)
	}
	return accounts
}

func (d *decoder) account(name string, n *yaml.Node, path string, kinds map[string]VendorType) *account {
	own := struct {
		Type string `yaml:"type"`
	}{Type: name}
	d.peek(n, "type", &own.Type)
	kind, ok := kinds[own.Type]
	if !ok {
		if own.Type != name {
			path = join(path, "type")
		}
		d.faults.Add(path, "unknown type of vendor%s", didYouMean(own.Type, slices.Sorted(maps.Keys(kinds))))
		return nil
	}
	settings := kind.NewConfig()
	a := &account{Account: Account{Name: name, Type: own.Type, settings: func() any { return settings }}, kind: kind}
	fields := append(fieldsOf(reflect.ValueOf(&own)), fieldsOf(reflect.ValueOf(settings))...)
	d.section(n, fields, path)
	a.Timeout, _ = setting[time.Duration](settings, "timeout")
	a.RequestsPerSecond, _ = setting[float64](settings, "requests_per_second")
	a.operations = kind.Operations(settings)
	return a
}

// peek reads one text of a mapping before the mapping's struct is known.
func (d *decoder) peek(n *yaml.Node, key string, text *string) {
	n = target(n)
	if isNull(n) || n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		value := target(n.Content[i+1])
		if n.Content[i].Value != key || value.Kind != yaml.ScalarNode || isNull(value) {
			continue
		}
		if t, _, err := expand(value.Value, d.env); err == nil {
			*text = t
		}
	}
}

// setting finds a key of a vendor's struct that is the account's to apply.
func setting[T any](settings any, key string) (T, bool) {
	for _, f := range fieldsOf(reflect.ValueOf(settings)) {
		if v, ok := f.value.Interface().(T); ok && f.key == key {
			return v, true
		}
	}
	var none T
	return none, false
}
