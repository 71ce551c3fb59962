package sample

import (
	"fmt"
	"slices"

	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
)

// Vendor is what the demo and the tests have for one vendor: samples of its events, and a sandbox
// whose data fit them.
type Vendor struct {
	// Name is the vendor's name, in the configuration and in the sandbox.
	Name sandbox.Vendor
	// Samplers make the samples, by full event name.
	Samplers map[string]Sampler
	// Events are the types of those events; nil: those generated from schemas/.
	Events event.Types
	// ItemID returns the ID and the version under which the sandbox's ledger has the item of an
	// event, which is a pointer to its generated type. nil, or an empty ID, means that the ID is
	// that of the record's origin.
	ItemID func(event any) (id, version string)
	// ConfigureSandbox sets the data that the vendor's page needs to accept valid samples, or adds
	// the page; nil: none.
	ConfigureSandbox func(*sandbox.Options)
	// Rules have the sandbox refuse samples of kinds Rejected and Retryable, where the vendor's
	// documents offer no data for that. Their names begin with "sample-".
	Rules []sandbox.Rule
	// AccountSettings are the settings that an account needs beyond those of its page, as the
	// entries of a YAML flow mapping; empty: none.
	AccountSettings string
}

// BuiltinVendors returns the vendors of the product. A new vendor is its file in this package, its
// page in package sandbox and one line here.
func BuiltinVendors() []Vendor { return []Vendor{crmcomVendor(), expointsVendor(), propelVendor()} }

// SandboxOptions returns the options of a sandbox for the product's vendors that accepts the valid
// samples and refuses those of kinds Rejected and Retryable. The given rules come after those that
// this needs, whose names begin with "sample-". The error is a *sandbox.ScriptError.
func SandboxOptions(rules ...sandbox.Rule) (sandbox.Options, error) {
	return SandboxOptionsFor(BuiltinVendors(), rules...)
}

// SandboxOptionsFor is SandboxOptions for the given vendors.
func SandboxOptionsFor(vendors []Vendor, rules ...sandbox.Rule) (sandbox.Options, error) {
	var opts sandbox.Options
	var sampleRules []sandbox.Rule
	for _, vendor := range vendors {
		if vendor.ConfigureSandbox != nil {
			vendor.ConfigureSandbox(&opts)
		}
		sampleRules = append(sampleRules, vendor.Rules...)
	}
	var err error
	if opts.Script, err = sandbox.NewScriptFor(opts.AdditionalPages,
		slices.Concat(sampleRules, rules)...); err != nil {
		return sandbox.Options{}, fmt.Errorf("checking the script: %w", err)
	}
	return opts, nil
}

// findSampler returns the Sampler of an event and its vendor, false where no vendor has one.
func findSampler(vendors []Vendor, eventName string) (Sampler, Vendor, bool) {
	for _, vendor := range vendors {
		if s, ok := vendor.Samplers[eventName]; ok {
			return s, vendor, true
		}
	}
	return Sampler{}, Vendor{}, false
}

// eventTypes returns the types of the vendors' events.
func eventTypes(vendors []Vendor) event.Types {
	types := event.BuiltinTypes()
	for _, vendor := range vendors {
		types = append(types, vendor.Events...)
	}
	return types
}
