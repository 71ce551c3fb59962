package config

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// VendorType is what the configuration needs to know about a vendor.
type VendorType interface {
	// NewConfig returns a pointer to the vendor's settings struct with its defaults. The tags of
	// its fields are yaml (the key), doc, allow ("a|b", "1..10", "url", "file", "zone"; see
	// CheckTags) and required. Secrets have the type Secret. The keys timeout (a duration) and
	// requests_per_second (a number) also become those of the Account.
	NewConfig() any
	// Validate reports the violations in decoded settings.
	Validate(cfg any, f *Violations)
	// Operations lists the operations of an account with these settings.
	Operations(cfg any) []OperationSpec
}

// OperationSpec is what the configuration needs to know about an operation.
type OperationSpec struct {
	// Name is the operation's name within its vendor; Event is the full Avro name of its event.
	Name  string
	Event string
	// MaxItems is the vendor's cap of items per call. DefaultItems is used unless configured; 0
	// means MaxItems.
	MaxItems     int
	DefaultItems int
	// Repeatable means that sending an item twice does no harm. Otherwise Unknown is the default
	// policy; empty means dead_letter.
	Repeatable bool
	Unknown    UnknownOutcome
	// DefaultPipeline names the pipeline that delivers the event where the file lists no pipelines;
	// empty: none. KeepOrder gives that pipeline ordering by key.
	DefaultPipeline string
	KeepOrder       bool
}

// NewVendorType returns a VendorType from the defaults, the check and the operations of a settings
// struct.
func NewVendorType[C any](defaults func() C, check CheckFunc[C], operations func(C) []OperationSpec) VendorType {
	return vendor[C]{defaults, check, operations}
}

// CheckFunc reports every violation in a vendor's settings, each with its key relative to the
// account and what is allowed. A method expression has this type, so a vendor need not implement an
// interface.
type CheckFunc[C any] func(cfg C, fault func(path, rule string, args ...any))

type vendor[C any] struct {
	defaults      func() C
	checkSettings CheckFunc[C]
	operations    func(C) []OperationSpec
}

func (v vendor[C]) NewConfig() any {
	c := v.defaults()
	return &c
}

func (v vendor[C]) Validate(cfg any, violations *Violations) {
	if c, ok := cfg.(*C); ok {
		v.checkSettings(*c, violations.Add)
	}
}

func (v vendor[C]) Operations(cfg any) []OperationSpec {
	if c, ok := cfg.(*C); ok {
		return v.operations(*c)
	}
	return nil
}

// Account is one account at one vendor.
type Account struct {
	// Name is its key in the file; Type is the name of its vendor type.
	Name string
	Type string
	// Timeout limits one call. RequestsPerSecond is the account's rate limit; 0 means none. The
	// caller enforces both.
	Timeout           time.Duration
	RequestsPerSecond float64

	// settings is a function, so that printing an account never prints its settings.
	settings func() any
}

// Settings returns the pointer from the type's NewConfig, with the decoded settings.
func (a Account) Settings() any { return a.settings() }

// account is an account, with whether a pipeline uses it.
type account struct {
	Account
	vendorType VendorType
	operations []OperationSpec
	used       bool
}

// findOperation finds an operation by its name.
func (a *account) findOperation(name string) (OperationSpec, bool) {
	for _, o := range a.operations {
		if o.Name == name {
			return o, true
		}
	}
	return OperationSpec{}, false
}

// decodeAccounts decodes the section vendors. An account of an unknown type is reported, and is nil
// in the result.
func (d *decoder) decodeAccounts(node *yaml.Node, kinds map[string]VendorType) map[string]*account {
	accounts := map[string]*account{}
	if isNullNode(node) {
		return accounts
	}
	d.violations.notePlace("vendors", node.Line, "")
	if node.Kind != yaml.MappingNode {
		d.violations.Add("vendors", "must be a mapping, not %s", nodeKindName(node))
		return accounts
	}
	for key, value := range d.mappingPairs(node, "vendors") {
		path := joinPath("vendors", printable(key.Value))
		d.violations.notePlace(path, key.Line, "")
		if !accountName.MatchString(key.Value) {
			d.violations.Add(path, "must have a name of letters, digits, _ and -")
			continue
		}
		accounts[key.Value] = d.decodeAccount(key.Value, value, path, kinds)
	}
	return accounts
}

func (d *decoder) decodeAccount(name string, node *yaml.Node, path string, kinds map[string]VendorType) *account {
	own := struct {
		Type string `yaml:"type"`
	}{Type: name}
	d.peekText(node, "type", &own.Type)
	kind, ok := kinds[own.Type]
	if !ok {
		if own.Type != name {
			path = joinPath(path, "type")
		}
		d.violations.Add(path, "unknown vendor type%s", didYouMean(own.Type, slices.Sorted(maps.Keys(kinds))))
		return nil
	}
	settings := kind.NewConfig()
	a := &account{Account: Account{Name: name, Type: own.Type, settings: func() any { return settings }}, vendorType: kind}
	fields := append(fieldsOf(reflect.ValueOf(&own)), fieldsOf(reflect.ValueOf(settings))...)
	d.decodeSection(node, fields, path)
	a.Timeout, _ = settingOf[time.Duration](settings, "timeout")
	a.RequestsPerSecond, _ = settingOf[float64](settings, "requests_per_second")
	a.operations = kind.Operations(settings)
	return a
}

// peekText reads one text of a mapping before the struct for the mapping is known.
func (d *decoder) peekText(node *yaml.Node, key string, text *string) {
	node = resolveAlias(node)
	if isNullNode(node) || node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		value := resolveAlias(node.Content[i+1])
		if node.Content[i].Value != key || value.Kind != yaml.ScalarNode || isNullNode(value) {
			continue
		}
		if t, _, err := expandReferences(value.Value, d.env); err == nil {
			*text = t
		}
	}
}

// settingOf returns the value of a key that both the vendor's settings and Account have.
func settingOf[T any](settings any, key string) (T, bool) {
	for _, f := range fieldsOf(reflect.ValueOf(settings)) {
		if v, ok := f.value.Interface().(T); ok && f.key == key {
			return v, true
		}
	}
	var none T
	return none, false
}
