package sim_test

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"sluice/internal/demo/sandbox"
)

// supportsKind reports whether the pipeline's vendor can refuse items in the way that the kind
// requires.
func supportsKind(pipeline *simPipeline, recordKind kind) bool {
	switch recordKind {
	case later, never, forgotten:
		return pipeline.vendor != "expoints"
	case named:
		return pipeline.vendor != "crmcom"
	case good, rejected, offender, poison, unknownSchema, invalid, unmapped, tombstone:
	}
	return true
}

// kindRules returns the rules that make the vendor refuse the kinds in a plan.
func kindRules(pipeline *simPipeline, plan []kind) []sandbox.Rule {
	var rules []sandbox.Rule
	add := func(recordKind kind, rule sandbox.Rule) {
		if slices.Contains(plan, recordKind) {
			rule.Name, rule.Operation = fmt.Sprintf("%s: %s", recordKind, rule.Do.Fault), pipeline.operation
			rule.When.Items = sandbox.Items{Field: pipeline.textField, Prefix: string(recordKind) + "-"}
			rules = append(rules, rule)
		}
	}
	code := ""
	if pipeline.vendor == "crmcom" {
		code = "InvalidAPIParameterException"
	}
	add(offender, sandbox.Rule{Do: sandbox.Action{Fault: sandbox.FaultRefuseBatch, ErrorCode: code}})
	add(named, sandbox.Rule{Do: sandbox.Action{Fault: sandbox.FaultRefuseBatch, Named: true}})
	add(rejected, sandbox.Rule{Do: sandbox.Action{Fault: sandbox.FaultRefuseItem, ErrorCode: code}})
	add(forgotten, sandbox.Rule{Times: 2, Do: sandbox.Action{Fault: sandbox.FaultRefuseItem}})
	add(forgotten, sandbox.Rule{Times: 2, Do: sandbox.Action{Fault: sandbox.FaultDropItems}})
	if pipeline.vendor == "propel" {
		const deadlock = "Deadlock found, try again."
		add(later, sandbox.Rule{Times: 2, Do: sandbox.Action{Fault: sandbox.FaultRefuseItem, Description: deadlock}})
		add(never, sandbox.Rule{Do: sandbox.Action{Fault: sandbox.FaultRefuseItem, Description: deadlock}})
	}
	return rules
}

// outageRules make the vendor unavailable with a status that rules out that it acted. A 500 does
// not rule that out: the outcome is unknown, unless the operation is repeatable.
func outageRules(e *environment) []sandbox.Rule {
	codes := []int{http.StatusServiceUnavailable, http.StatusNotFound}
	if e.pipeline.repeatable {
		codes = append(codes, http.StatusInternalServerError)
	}
	do := sandbox.Action{Fault: sandbox.FaultStatus, Code: codes[e.rng.IntN(len(codes))]}
	return e.operationRule("outage", sandbox.Rule{When: sandbox.When{AfterCalls: 2, Until: 10 * time.Minute}, Do: do})
}

// cutResponses makes calls end without a response, some applied and some not.
func cutResponses(e *environment) []sandbox.Rule {
	applied := e.operationRule("applied, response cut", sandbox.Rule{
		Times: 3, When: sandbox.When{AfterCalls: 1, Every: 4},
		Do: sandbox.Action{Fault: sandbox.FaultResetAfter, Apply: true},
	})
	cut := e.operationRule("not applied, response cut", sandbox.Rule{
		Times: 2, When: sandbox.When{AfterCalls: 2, Every: 5}, Do: sandbox.Action{Fault: sandbox.FaultResetAfter},
	})
	gateway := e.operationRule("502", sandbox.Rule{
		Times: 1, When: sandbox.When{AfterCalls: 5},
		Do: sandbox.Action{Fault: sandbox.FaultStatus, Code: http.StatusBadGateway, Apply: true},
	})
	hanging := e.operationRule("applied, no response", sandbox.Rule{
		Times: 1, When: sandbox.When{AfterCalls: 3},
		Do: sandbox.Action{Fault: sandbox.FaultTimeout, Apply: true, Delay: time.Minute},
	})
	return slices.Concat(applied, cut, gateway, hanging)
}
