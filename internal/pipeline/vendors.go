package pipeline

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	"sluice/internal/config"
	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/sink/crmcom"
	"sluice/internal/sink/expoints"
	"sluice/internal/sink/propel"
)

// builtinVendors are the vendors of the product, by type. A new vendor consists of a package under
// internal/sink/, schemas in schemas/ and one line here. Package demo/sample has the corresponding
// list of the fake vendors for the demo and the tests.
var builtinVendors = Vendors{
	"crmcom":   NewVendor(crmcom.Default, fixedSpecs[crmcom.Config](crmcom.Specs), crmcom.New),
	"expoints": NewVendor(expoints.Default, fixedSpecs[expoints.Config](expoints.Specs), expoints.New),
	"propel":   NewVendor(propel.Default, propel.Specs, propel.New),
}

// Vendors are the vendors that a connector can deliver to, by type.
type Vendors map[string]Vendor

// BuiltinVendors returns the vendors of the product. The caller may add to the map.
func BuiltinVendors() Vendors { return maps.Clone(builtinVendors) }

// ConfigTypes returns what package config needs to know about the vendors.
func (v Vendors) ConfigTypes() map[string]config.VendorType {
	types := make(map[string]config.VendorType, len(v))
	for name, vendor := range v {
		types[name] = vendor.VendorType
	}
	return types
}

// Events returns the types of all events that the vendors' operations accept, in the order of the
// vendors' names.
func (v Vendors) Events() event.Types {
	var all event.Types
	for _, name := range slices.Sorted(maps.Keys(v)) {
		all = append(all, v[name].Events...)
	}
	return all
}

// VendorTypes returns what package config needs to know about the built-in vendors.
func VendorTypes() map[string]config.VendorType { return builtinVendors.ConfigTypes() }

// Vendor is a vendor's package as the configuration and the pipelines see it.
type Vendor struct {
	config.VendorType
	// Specs returns the operations of an account with the vendor's default settings.
	Specs func() []sink.OperationSpec
	// Events are the types of the operations' events.
	Events event.Types
	// Open opens the operations of one account. settings is what NewConfig returned, decoded.
	Open func(account string, settings any, client *http.Client) ([]sink.Operation, error)
}

// Settings is a vendor's section of the configuration. Check reports every setting that cannot be
// used, with its path in the section and the rule that it breaks.
type Settings interface {
	Check(fault func(path, rule string, args ...any))
}

// NewVendor returns a Vendor for a vendor's package, given its default settings, the operations of
// an account with given settings, and the function that opens them. events are the types of the
// operations' events; if there are none, those generated from schemas/ are used.
func NewVendor[C Settings](
	defaults func() C,
	specs func(C) []sink.OperationSpec,
	open func(account string, settings C, client *http.Client) ([]sink.Operation, error),
	events ...event.Type,
) Vendor {
	if len(events) == 0 {
		events = generatedEvents(specs(defaults()))
	}
	return Vendor{
		VendorType: config.NewVendorType(defaults, C.Check,
			func(c C) []config.OperationSpec { return configSpecs(specs(c)) }),
		Specs:  func() []sink.OperationSpec { return specs(defaults()) },
		Events: events,
		Open: func(account string, settings any, client *http.Client) ([]sink.Operation, error) {
			c, ok := settings.(*C)
			if !ok {
				return nil, fmt.Errorf("account %s: its settings are %T, not %T", account, settings, c)
			}
			return open(account, *c, client)
		},
	}
}

// generatedEvents returns the types of the operations' events. An event without a generated type is
// omitted; a pipeline that routes it is rejected, and a test of this package reports it.
func generatedEvents(specs []sink.OperationSpec) event.Types {
	var types event.Types
	for _, spec := range specs {
		if t, ok := event.BuiltinTypes().Find(spec.Event); ok {
			types = append(types, t)
		}
	}
	return types
}

// fixedSpecs adapts a function whose operations do not depend on the settings.
func fixedSpecs[C any](specs func() []sink.OperationSpec) func(C) []sink.OperationSpec {
	return func(C) []sink.OperationSpec { return specs() }
}

func configSpecs(specs []sink.OperationSpec) []config.OperationSpec {
	out := make([]config.OperationSpec, len(specs))
	for i, s := range specs {
		out[i] = config.OperationSpec{
			Name: s.Name, Event: s.Event,
			MaxItems: s.MaxItems, DefaultItems: s.DefaultItems,
			Repeatable:      s.Repeatable,
			Unknown:         config.UnknownOutcome{Policy: string(s.UnknownPolicy), Resends: s.MaxResends},
			DefaultPipeline: s.DefaultPipeline, KeepOrder: s.KeepOrder,
		}
	}
	return out
}
