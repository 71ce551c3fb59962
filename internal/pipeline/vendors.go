package pipeline

import (
	"fmt"
	"net/http"

	"sluice/internal/config"
	"sluice/internal/sink"
	"sluice/internal/sink/crmcom"
	"sluice/internal/sink/expoints"
	"sluice/internal/sink/propel"
)

// vendors are all that there are. A new vendor is its folder and a line here.
var vendors = map[string]vendor{
	"crmcom":   wire(crmcom.Default, always[crmcom.Config](crmcom.Specs), crmcom.New),
	"expoints": wire(expoints.Default, always[expoints.Config](expoints.Specs), expoints.New),
	"propel":   wire(propel.Default, propel.Specs, propel.New),
}

// vendor is a vendor's package as the configuration and the wiring see it.
type vendor struct {
	config.VendorType
	open func(account string, settings any, client *http.Client) ([]sink.Operation, error)
}

// settings is a vendor's configuration: Check notes all that is wrong with it, by path.
type settings interface {
	Check(fault func(path, rule string, args ...any))
}

func wire[C settings](defaults func() C, specs func(C) []sink.OperationSpec, open func(string, C, *http.Client) ([]sink.Operation, error)) vendor {
	return vendor{
		VendorType: config.Vendor(defaults, C.Check, func(c C) []config.OperationSpec { return operations(specs(c)) }),
		open: func(account string, settings any, client *http.Client) ([]sink.Operation, error) {
			c, ok := settings.(*C)
			if !ok {
				return nil, fmt.Errorf("account %s: its settings are %T, not %T", account, settings, c)
			}
			return open(account, *c, client)
		},
	}
}

// always is for operations that no setting changes.
func always[C any](specs func() []sink.OperationSpec) func(C) []sink.OperationSpec {
	return func(C) []sink.OperationSpec { return specs() }
}

func operations(specs []sink.OperationSpec) []config.OperationSpec {
	out := make([]config.OperationSpec, len(specs))
	for i, s := range specs {
		out[i] = config.OperationSpec{
			Name: s.Name, Event: s.Event, MaxItems: s.MaxItems, DefaultItems: s.DefaultItems, Repeatable: s.Repeatable,
			Unknown:         config.Unknown{Policy: string(s.UnknownPolicy), Resends: s.MaxResends},
			DefaultPipeline: s.DefaultPipeline, KeepOrder: s.KeepOrder,
		}
	}
	return out
}

// VendorTypes are the vendors for the configuration to know, by type.
func VendorTypes() map[string]config.VendorType {
	types := make(map[string]config.VendorType, len(vendors))
	for name, v := range vendors {
		types[name] = v.VendorType
	}
	return types
}
