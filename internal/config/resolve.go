package config

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// resolver turns pipelines' events into routes, and thereby knows which accounts are used.
type resolver struct {
	*decoder
	accounts map[string]*account
	kinds    map[string]VendorType
}

// pipelines decodes the section, or returns the default pipelines where there is none.
func (r *resolver) pipelines(n *yaml.Node, connector string) []Pipeline {
	if isNull(n) {
		return r.defaultPipelines(connector)
	}
	r.faults.note("pipelines", n.Line, "")
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		r.faults.Add("pipelines", "must be a mapping that names at least one pipeline, or be left out")
		return nil
	}
	var pipelines []Pipeline
	for key, value := range r.pairs(n, "pipelines") {
		path := join("pipelines", shown(key.Value))
		r.faults.note(path, key.Line, "")
		if !pipelineName.MatchString(key.Value) {
			r.faults.Add(path, "must have a name of letters, digits, _ and -")
			continue
		}
		pipelines = append(pipelines, r.pipeline(key.Value, value, path, connector))
	}
	return pipelines
}

// defaultPipelines returns the default pipelines for the events that some account takes.
func (r *resolver) defaultPipelines(connector string) []Pipeline {
	var pipelines []Pipeline
	for _, d := range defaultPipelines(r.kinds) {
		if slices.ContainsFunc(d.events, r.taken) {
			pipelines = append(pipelines, r.pipeline(d.name, nil, join("pipelines", d.name), connector))
		}
	}
	if len(pipelines) == 0 {
		r.faults.Add("vendors", "must have at least one account whose events a pipeline takes")
	}
	return pipelines
}

func (r *resolver) pipeline(name string, n *yaml.Node, path, connector string) Pipeline {
	p := DefaultPipeline(name)
	p.Group = GroupName(connector, name)
	var inherited []string
	for _, d := range defaultPipelines(r.kinds) {
		if d.name == name {
			p.Ordering, inherited = d.ordering, d.events
		}
	}
	r.section(n, fieldsOf(reflect.ValueOf(&p)), path)
	if p.Events == nil {
		p.Events = map[string]Target{}
		for _, event := range inherited {
			if r.taken(event) {
				p.Events[event] = Target{}
			}
		}
	}
	p.Routes = r.routes(&p, join(path, "events"))
	return p
}

// taken tells whether an account takes the event.
func (r *resolver) taken(event string) bool {
	return len(r.takers(event)) > 0
}

func (r *resolver) takers(event string) []*account {
	var takers []*account
	for _, name := range slices.Sorted(maps.Keys(r.accounts)) {
		a := r.accounts[name]
		if a != nil && slices.ContainsFunc(a.operations, func(o OperationSpec) bool { return o.Event == event }) {
			takers = append(takers, a)
		}
	}
	return takers
}

// routes resolves each event, in order of their names.
func (r *resolver) routes(p *Pipeline, path string) []Route {
	if len(p.Events) == 0 {
		r.faults.Add(path, "must name at least one event that an account of vendors takes")
	}
	var routes []Route
	for _, key := range slices.Sorted(maps.Keys(p.Events)) {
		at := join(path, shown(key))
		event, ok := r.event(key, at)
		if !ok {
			continue
		}
		if slices.ContainsFunc(routes, func(o Route) bool { return o.Event == event }) {
			r.faults.Add(at, "must be given once, by its short or its full name")
			continue
		}
		if a, o, ok := r.operation(event, p.Events[key].Operation, at); ok {
			a.used = true
			routes = append(routes, route(p, a, o))
		}
	}
	return routes
}

// event finds an event's full name among those of all types of vendors.
func (r *resolver) event(key, path string) (string, bool) {
	var full, short, found []string
	for _, kind := range r.kinds {
		for _, o := range kind.Operations(kind.NewConfig()) {
			full = append(full, o.Event)
			name := o.Event[strings.LastIndex(o.Event, ".")+1:]
			short = append(short, name)
			if key == o.Event || key == name {
				found = append(found, o.Event)
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
		r.faults.Add(path, "unknown event%s", didYouMean(key, known))
	default:
		r.faults.Add(path, "must be a full name: %s", strings.Join(found, " or "))
	}
	return "", false
}

// operation finds where an event goes: where the file says, or else the one account that takes it, or the one named like its type.
func (r *resolver) operation(event, name, path string) (*account, OperationSpec, bool) {
	if name != "" {
		return r.named(event, name, path)
	}
	takers := r.takers(event)
	at := 0
	if len(takers) > 1 {
		at = slices.IndexFunc(takers, func(a *account) bool { return a.Name == a.Type })
	}
	if len(takers) == 0 {
		r.faults.Add(path, "no account of vendors takes %s", event)
		return nil, OperationSpec{}, false
	}
	if at < 0 {
		names := make([]string, len(takers))
		for i, a := range takers {
			names[i] = a.Name
		}
		r.faults.Add(path, "must name its operation, for several accounts take it: %s", strings.Join(names, ", "))
		return nil, OperationSpec{}, false
	}
	a := takers[at]
	o := a.operations[slices.IndexFunc(a.operations, func(o OperationSpec) bool { return o.Event == event })]
	return a, o, true
}

func (r *resolver) named(event, name, path string) (*account, OperationSpec, bool) {
	accountName, operationName, _ := strings.Cut(name, ".")
	a, known := r.accounts[accountName]
	if known && a == nil {
		return nil, OperationSpec{}, false // its type is the fault
	}
	if !known {
		r.faults.Add(path, "must be account.operation with an account of vendors%s", didYouMean(accountName, slices.Sorted(maps.Keys(r.accounts))))
		return nil, OperationSpec{}, false
	}
	o, ok := a.operation(operationName)
	switch {
	case !ok:
		names := make([]string, len(a.operations))
		for i, o := range a.operations {
			names[i] = a.Name + "." + o.Name
		}
		r.faults.Add(path, "unknown operation%s", didYouMean(name, names))
	case o.Event != event:
		r.faults.Add(path, "must take the event %s; this operation takes %s", event, o.Event)
		ok = false
	}
	return a, o, ok
}

// route applies the pipeline's settings over the operation's defaults.
func route(p *Pipeline, a *account, o OperationSpec) Route {
	items := min(cmp.Or(p.Batch.MaxItems, o.DefaultItems, o.MaxItems), o.MaxItems)
	r := Route{Event: o.Event, Account: a.Name, Operation: o.Name, MaxItems: items, Repeatable: o.Repeatable}
	if !o.Repeatable {
		r.Unknown = unknownOf(p.Unknown, o.Unknown)
	}
	return r
}

// resendsDefault holds where the file asks for retry of an operation that has no number of its own.
const resendsDefault = 2

func unknownOf(given, own Unknown) Unknown {
	given.Policy = cmp.Or(given.Policy, own.Policy, UnknownDeadLetter)
	if given.Policy != UnknownRetry {
		return Unknown{Policy: given.Policy}
	}
	given.Resends = cmp.Or(given.Resends, own.Resends, resendsDefault)
	return given
}

// reportUnresolved notes references that lead nowhere, except those of accounts that nobody uses.
func (r *resolver) reportUnresolved() {
	for _, u := range r.unresolved {
		unused := false
		for name, a := range r.accounts {
			unused = unused || a != nil && !a.used && inside(u.path, join("vendors", name))
		}
		if !unused {
			r.faults.Add(u.path, "%s", u.rule)
		}
	}
}

// complete checks and gives the accounts that are used.
func (r *resolver) complete() map[string]Account {
	used := map[string]Account{}
	for _, name := range slices.Sorted(maps.Keys(r.accounts)) {
		if a := r.accounts[name]; a != nil && a.used {
			a.kind.Validate(a.Settings(), r.faults.below(join("vendors", name)))
			used[name] = a.Account
		}
	}
	return used
}
