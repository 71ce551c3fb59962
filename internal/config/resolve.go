package config

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// resolver turns the events of pipelines into routes, and so determines which accounts are used.
type resolver struct {
	*decoder
	accounts    map[string]*account
	vendorTypes map[string]VendorType
}

// decodePipelines decodes the section, or returns the default pipelines if there is none.
func (r *resolver) decodePipelines(node *yaml.Node, connector string) []Pipeline {
	if isNullNode(node) {
		return r.defaultPipelines(connector)
	}
	r.violations.notePlace("pipelines", node.Line, "")
	if node.Kind != yaml.MappingNode || len(node.Content) == 0 {
		r.violations.Add("pipelines", "must be a mapping with at least one pipeline, or be omitted")
		return nil
	}
	var pipelines []Pipeline
	for key, value := range r.mappingPairs(node, "pipelines") {
		path := joinPath("pipelines", printable(key.Value))
		r.violations.notePlace(path, key.Line, "")
		if !pipelineName.MatchString(key.Value) {
			r.violations.Add(path, "must have a name of letters, digits, _ and -")
			continue
		}
		pipelines = append(pipelines, r.decodePipeline(key.Value, value, path, connector))
	}
	return pipelines
}

// defaultPipelines returns the default pipelines for the events that some account accepts.
func (r *resolver) defaultPipelines(connector string) []Pipeline {
	var pipelines []Pipeline
	for _, byDefault := range defaultPipelines(r.vendorTypes) {
		if slices.ContainsFunc(byDefault.events, r.isAccepted) {
			path := joinPath("pipelines", byDefault.name)
			pipelines = append(pipelines, r.decodePipeline(byDefault.name, nil, path, connector))
		}
	}
	if len(pipelines) == 0 {
		r.violations.Add("vendors", "must have at least one account whose events a pipeline can deliver")
	}
	return pipelines
}

func (r *resolver) decodePipeline(name string, node *yaml.Node, path, connector string) Pipeline {
	pipeline := DefaultPipeline(name)
	pipeline.ConsumerGroup = GroupName(connector, name)
	var inherited []string
	for _, byDefault := range defaultPipelines(r.vendorTypes) {
		if byDefault.name == name {
			pipeline.Ordering, inherited = byDefault.ordering, byDefault.events
		}
	}
	r.decodeSection(node, fieldsOf(reflect.ValueOf(&pipeline)), path)
	if pipeline.Events == nil {
		pipeline.Events = map[string]Target{}
		for _, event := range inherited {
			if r.isAccepted(event) {
				pipeline.Events[event] = Target{}
			}
		}
	}
	pipeline.Routes = r.resolveRoutes(&pipeline, joinPath(path, "events"))
	return pipeline
}

// isAccepted reports whether an account accepts the event.
func (r *resolver) isAccepted(event string) bool {
	return len(r.acceptingAccounts(event)) > 0
}

func (r *resolver) acceptingAccounts(event string) []*account {
	accepts := func(spec OperationSpec) bool { return spec.Event == event }
	var accepting []*account
	for _, name := range slices.Sorted(maps.Keys(r.accounts)) {
		acc := r.accounts[name]
		if acc != nil && slices.ContainsFunc(acc.operations, accepts) {
			accepting = append(accepting, acc)
		}
	}
	return accepting
}

// resolveRoutes resolves the events of a pipeline in the order of their names.
func (r *resolver) resolveRoutes(pipeline *Pipeline, path string) []Route {
	if len(pipeline.Events) == 0 {
		r.violations.Add(path, "must name at least one event that an account in vendors accepts")
	}
	var routes []Route
	for _, key := range slices.Sorted(maps.Keys(pipeline.Events)) {
		at := joinPath(path, printable(key))
		event, ok := r.resolveEvent(key, at)
		if !ok {
			continue
		}
		if slices.ContainsFunc(routes, func(route Route) bool { return route.Event == event }) {
			r.violations.Add(at, "must not be repeated (by its short and its full name)")
			continue
		}
		if acc, spec, ok := r.resolveOperation(event, pipeline.Events[key].Operation, at); ok {
			acc.used = true
			routes = append(routes, newRoute(pipeline, acc, spec))
		}
	}
	return routes
}

// resolveEvent finds the full name of an event among those of all vendor types.
func (r *resolver) resolveEvent(key, path string) (string, bool) {
	var full, short, found []string
	for _, kind := range r.vendorTypes {
		for _, spec := range kind.Operations(kind.NewConfig()) {
			full = append(full, spec.Event)
			name := spec.Event[strings.LastIndex(spec.Event, ".")+1:]
			short = append(short, name)
			if key == spec.Event || key == name {
				found = append(found, spec.Event)
			}
		}
	}
	slices.Sort(found)
	slices.Sort(short)
	slices.Sort(full)
	switch found = slices.Compact(found); len(found) {
	case 1:
		return found[0], true
	case 0:
		known := slices.Compact(short)
		if strings.Contains(key, ".") {
			known = slices.Compact(full)
		}
		r.violations.Add(path, "unknown event%s", didYouMean(key, known))
	default:
		r.violations.Add(path, "must be a full name: %s", strings.Join(found, " or "))
	}
	return "", false
}

// resolveOperation returns the operation for an event: the configured one, or by default that of
// the only account that accepts the event, or of the account that has the name of its type.
func (r *resolver) resolveOperation(event, name, path string) (*account, OperationSpec, bool) {
	if name != "" {
		return r.resolveNamedOperation(event, name, path)
	}
	accepting := r.acceptingAccounts(event)
	at := 0
	if len(accepting) > 1 {
		at = slices.IndexFunc(accepting, func(acc *account) bool { return acc.Name == acc.Type })
	}
	if len(accepting) == 0 {
		r.violations.Add(path, "no account in vendors accepts %s", event)
		return nil, OperationSpec{}, false
	}
	if at < 0 {
		names := make([]string, len(accepting))
		for i, acc := range accepting {
			names[i] = acc.Name
		}
		r.violations.Add(path, "must name its operation, because several accounts accept it: %s",
			strings.Join(names, ", "))
		return nil, OperationSpec{}, false
	}
	acc := accepting[at]
	of := slices.IndexFunc(acc.operations, func(spec OperationSpec) bool { return spec.Event == event })
	return acc, acc.operations[of], true
}

func (r *resolver) resolveNamedOperation(event, name, path string) (*account, OperationSpec, bool) {
	accountName, operationName, _ := strings.Cut(name, ".")
	acc, known := r.accounts[accountName]
	if known && acc == nil {
		return nil, OperationSpec{}, false // its unknown type is already reported
	}
	if !known {
		r.violations.Add(path, "must be account.operation with an account in vendors%s",
			didYouMean(accountName, slices.Sorted(maps.Keys(r.accounts))))
		return nil, OperationSpec{}, false
	}
	spec, ok := acc.findOperation(operationName)
	switch {
	case !ok:
		names := make([]string, len(acc.operations))
		for i, spec := range acc.operations {
			names[i] = acc.Name + "." + spec.Name
		}
		r.violations.Add(path, "unknown operation%s", didYouMean(name, names))
	case spec.Event != event:
		r.violations.Add(path, "must accept the event %s, but this operation accepts %s", event, spec.Event)
		ok = false
	}
	return acc, spec, ok
}

// newRoute applies the pipeline's settings to the operation's defaults.
func newRoute(pipeline *Pipeline, acc *account, spec OperationSpec) Route {
	items := min(cmp.Or(pipeline.Batch.MaxItems, spec.DefaultItems, spec.MaxItems), spec.MaxItems)
	route := Route{
		Event: spec.Event, Account: acc.Name, Operation: spec.Name, MaxItems: items, Repeatable: spec.Repeatable,
	}
	if !spec.Repeatable {
		route.Unknown = unknownPolicyFor(pipeline.Unknown, spec.Unknown)
	}
	return route
}

// defaultResends applies if the file sets the policy retry and neither the file nor the operation
// sets a number of resends.
const defaultResends = 2

func unknownPolicyFor(configured, byDefault UnknownOutcome) UnknownOutcome {
	configured.Policy = cmp.Or(configured.Policy, byDefault.Policy, UnknownDeadLetter)
	if configured.Policy != UnknownRetry {
		return UnknownOutcome{Policy: configured.Policy}
	}
	configured.Resends = cmp.Or(configured.Resends, byDefault.Resends, defaultResends)
	return configured
}

// reportUnresolved reports references that could not be resolved, except in accounts that no
// pipeline uses.
func (r *resolver) reportUnresolved() {
	for _, u := range r.unresolvedRefs {
		unused := false
		for name, a := range r.accounts {
			unused = unused || a != nil && !a.used && isInside(u.path, joinPath("vendors", name))
		}
		if !unused {
			r.violations.Add(u.path, "%s", u.rule)
		}
	}
}

// validateUsedAccounts validates and returns the accounts that a pipeline uses.
func (r *resolver) validateUsedAccounts() map[string]Account {
	used := map[string]Account{}
	for _, name := range slices.Sorted(maps.Keys(r.accounts)) {
		if a := r.accounts[name]; a != nil && a.used {
			a.vendorType.Validate(a.Settings(), r.violations.forSection(joinPath("vendors", name)))
			used[name] = a.Account
		}
	}
	return used
}
