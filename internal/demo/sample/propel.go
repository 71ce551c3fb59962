package sample

import (
	"strconv"

	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
)

// propelVendor returns the samplers for Propel.
func propelVendor() Vendor {
	return Vendor{
		Name:             sandbox.Propel,
		ConfigureSandbox: func(opts *sandbox.Options) { opts.Propel = sandbox.PropelOptions{VersionField: "debtorId"} },
		Rules: []sandbox.Rule{
			{
				Name: "sample-malformed", Operation: "propel.customers",
				When: sandbox.When{Items: sandbox.Items{Field: "sourceId", Prefix: rejectedPrefix}},
				Do: sandbox.Action{Fault: sandbox.FaultRefuseBatch, Named: true,
					Description: "The customer is not allowed."},
			},
			{
				Name: "sample-locked", Operation: "propel.customers",
				When: sandbox.When{Items: sandbox.Items{Field: "sourceId", Prefix: lockedPrefix}},
				Do:   sandbox.Action{Fault: sandbox.FaultRefuseItem, Description: "The customer is locked."},
			},
		},
		Samplers: propelSamplers,
		ItemID:   customerVersion,
	}
}

// customerVersion returns the customer that an event is about, and which version of it.
func customerVersion(evt any) (id, version string) {
	change, ok := evt.(*event.CustomerChange)
	if !ok {
		return "", ""
	}
	if change.DebtorId != nil {
		version = *change.DebtorId
	}
	return change.Source + "/" + change.SourceId, version
}

var propelSamplers = map[string]Sampler{
	"sluice.propel.CustomerChange": NewSampler(newCustomerChange,
		func(ev *event.CustomerChange) string { return ev.SourceId },
		Mutations[event.CustomerChange]{
			Invalid:   func(_ *Generator, ev *event.CustomerChange) { ev.Source = "" },
			Rejected:  func(gen *Generator, ev *event.CustomerChange) { ev.SourceId = *refusedReference(gen) },
			Retryable: func(gen *Generator, ev *event.CustomerChange) { ev.SourceId = gen.UniqueString(lockedPrefix) },
		}),
}

// lockedPrefix is the prefix of the sourceId of customers that are always locked at the vendor.
const lockedPrefix = "LOCKED-"

const propelSource = "WEBSHOP"

// newCustomerChange returns the next version of a random customer. debtorId is the version number,
// so that the vendor's ledger shows the order of the changes.
func newCustomerChange(gen *Generator) *event.CustomerChange {
	c := gen.randomCustomer()
	c.version++
	if c.version > 1 && gen.oneIn(3) { // moved house
		place := pickOne(gen, places)
		c.city, c.street, c.country = place.city, place.street, place.country
	}
	ev := &event.CustomerChange{
		EventId: new(gen.randomGUID()), Source: propelSource, SourceId: c.number,
		DebtorId:  new(strconv.Itoa(c.version)),
		FirstName: &c.first, LastName: &c.last, Title: maybeOneIn(gen, 5, "Dr."), DateOfBirth: &c.born,
		Gender:          &c.gender,
		Email:           new(c.number + "@example.org"),
		Phone:           maybeOneIn(gen, 2, "+357 22 55 01 "+strconv.Itoa(10+gen.random.IntN(90))),
		PrimaryLanguage: &c.language,
	}
	if gen.oneIn(10) {
		ev.Parent = &event.PropelParent{Source: new(propelSource), SourceId: &gen.randomCustomer().number}
	}
	ev.Addresses = append(ev.Addresses, newAddress(gen, c, "invoice"))
	if gen.oneIn(3) {
		ev.Addresses = append(ev.Addresses, newAddress(gen, c, "delivery"))
	}
	return ev
}

func newAddress(gen *Generator, person *customer, kind string) event.PropelAddress {
	return event.PropelAddress{
		Type: kind, Code: kind + "-1", FirstName: &person.first, LastName: &person.last, Street: person.street,
		Number:          new(strconv.Itoa(1 + gen.random.IntN(200))),
		NumberExtension: maybeOneIn(gen, 6, "bis"), PostalCode: maybeOneIn(gen, 2, "1015 AB"),
		City: person.city, Country: person.country, IsDefault: maybeOneIn(gen, 2, "Y"),
	}
}
