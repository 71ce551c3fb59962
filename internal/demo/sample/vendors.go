package sample

import (
	"fmt"
	"slices"

	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
)

// Vendor has what the demo and the tests need for one vendor: samples of its events, and the data
// and rules with which the sandbox treats each kind of sample as intended.
type Vendor struct {
	// Name is the vendor's name, in the configuration and in the sandbox.
	Name sandbox.Vendor
	// Samplers generate the samples, by full event name.
	Samplers map[string]Sampler
	// Events are event types in addition to those generated from schemas/.
	Events event.Types
	// ItemID returns the ID and the version that the sandbox's ledger has for the item of an event,
	// which is a pointer to its generated type. An empty ID, or a nil function, means that the
	// ledger has the ID of the record's origin.
	ItemID func(event any) (id, version string)
	// ConfigureSandbox sets the data that the vendor's page needs to accept valid samples, or adds
	// the page. It may be nil.
	ConfigureSandbox func(*sandbox.Options)
	// Rules make the sandbox refuse samples of kinds Rejected and Retryable for which the vendor's
	// documents define no refusal. Their names begin with "sample-".
	Rules []sandbox.Rule
	// AccountSettings are the settings that an account needs in addition to those of its page, as
	// entries of a YAML flow mapping. It may be empty.
	AccountSettings string
}

// BuiltinVendors returns the vendors of the product. To add a vendor, add its file to this package,
// its page to package sandbox, and one line here.
func BuiltinVendors() []Vendor { return []Vendor{crmcomVendor(), expointsVendor(), propelVendor()} }

// SandboxOptions returns the options of a sandbox for the product's vendors that accepts the valid
// samples and refuses those of kinds Rejected and Retryable. The given rules follow the rules that
// refuse samples. The error is a *sandbox.ScriptError.
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

// findSampler returns the Sampler of an event and its vendor, and false if no vendor has one.
func findSampler(vendors []Vendor, eventName string) (Sampler, Vendor, bool) {
	for _, vendor := range vendors {
		if s, ok := vendor.Samplers[eventName]; ok {
			return s, vendor, true
		}
	}
	return Sampler{}, Vendor{}, false
}

// eventTypes returns the built-in event types and those that the vendors add.
func eventTypes(vendors []Vendor) event.Types {
	types := event.BuiltinTypes()
	for _, vendor := range vendors {
		types = append(types, vendor.Events...)
	}
	return types
}
