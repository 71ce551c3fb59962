package sample

import (
	"fmt"
	"slices"
	"strings"

	"sluice/internal/demo/sandbox"
)

// SandboxOptions gives the options of vendors whose data fit the samples: the valid ones are taken, and those of kinds Rejected and Retryable are refused
// as they are meant to be. The rules come after those that this needs, whose names begin with "sample-". The error is a *sandbox.ScriptError.
func SandboxOptions(rules ...sandbox.Rule) (sandbox.Options, error) {
	script, err := sandbox.NewScript(slices.Concat(refusals(), rules)...)
	if err != nil {
		return sandbox.Options{}, fmt.Errorf("checking the script: %w", err)
	}
	return sandbox.Options{
		Script: script,
		CRMCOM: sandbox.CRMCOMOptions{
			Currency: currency, Referred: []string{referredBefore},
			AccountExists: func(identifier string) bool { return !strings.HasPrefix(identifier, absentPrefix) },
		},
		Expoints: sandbox.ExpointsOptions{
			EventIDColumn: columnEventID,
			Columns: []sandbox.Column{
				{ID: 101, Name: columnCustomer, DisplayName: "Customer number", Required: true},
				{ID: 102, Name: columnEventID, DisplayName: "Event"},
				{ID: 103, Name: columnStore, DisplayName: "Store"},
			},
		},
		Propel: sandbox.PropelOptions{VersionField: "debtorId"},
	}, nil
}

// refusals are those that the vendors' documents give no data for.
func refusals() []sandbox.Rule {
	return []sandbox.Rule{
		{
			Name: "sample-refused", Operation: "crmcom",
			When: sandbox.When{Items: sandbox.Items{Field: "external_system_reference_number", Prefix: refusedPrefix}},
			Do:   sandbox.Action{Fault: sandbox.FaultRefuseItem, ErrorCode: "InvalidAPIParameterException", Description: "The event is not allowed."},
		},
		{
			Name: "sample-unwelcome", Operation: "expoints.add",
			When: sandbox.When{Items: sandbox.Items{Field: "Email", Prefix: refusedPrefix}},
			Do:   sandbox.Action{Fault: sandbox.FaultRefuseItem, Description: "The customer is not allowed."},
		},
		{
			Name: "sample-malformed", Operation: "propel.customers",
			When: sandbox.When{Items: sandbox.Items{Field: "sourceId", Prefix: refusedPrefix}},
			Do:   sandbox.Action{Fault: sandbox.FaultRefuseBatch, Named: true, Description: "The customer is not allowed."},
		},
		{
			Name: "sample-locked", Operation: "propel.customers",
			When: sandbox.When{Items: sandbox.Items{Field: "sourceId", Prefix: lockedPrefix}},
			Do:   sandbox.Action{Fault: sandbox.FaultRefuseItem, Description: "The customer is locked."},
		},
	}
}
