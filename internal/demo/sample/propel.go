package sample

import (
	"strconv"

	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
)

// propelVendor has the samples for Propel.
func propelVendor() Vendor {
	return Vendor{
		Name:             sandbox.Propel,
		ConfigureSandbox: func(opts *sandbox.Options) { opts.Propel = sandbox.PropelOptions{VersionField: "debtorId"} },
		Rules: []sandbox.Rule{
			{
				Name: "sample-malformed", Operation: "propel.customers",
				When: sandbox.When{Items: sandbox.Items{Field: "sourceId", Prefix: rejectedPrefix}},
				Do:   sandbox.Action{Fault: sandbox.FaultRefuseBatch, Named: true, Description: "The customer is not allowed."},
			},
			{
				Name: "sample-locked", Operation: "propel.customers",
				When: sandbox.When{Items: sandbox.Items{Field: "sourceId", Prefix: lockedPrefix}},
				Do:   sandbox.Action{Fault: sandbox.FaultRefuseItem, Description: "The customer is locked."},
			},
		},
		Samplers: propelSamplers,
	}
}

var propelSamplers = map[string]Sampler{
	"sluice.propel.CustomerChange": NewSampler((*Generator).newCustomerChange,
		func(e *event.CustomerChange) string { return e.SourceId },
		Spoilers[event.CustomerChange]{
			Invalid:   func(_ *Generator, e *event.CustomerChange) { e.Source = "" },
			Rejected:  func(g *Generator, e *event.CustomerChange) { e.SourceId = *g.refusedReference() },
			Retryable: func(g *Generator, e *event.CustomerChange) { e.SourceId = g.UniqueText(lockedPrefix) },
		}),
}

// lockedPrefix begins the sourceId of customers that are locked at the vendor for good.
const lockedPrefix = "LOCKED-"

const propelSource = "WEBSHOP"

// newCustomerChange is the next version of some customer. debtorId counts a customer's versions, so
// that a ledger shows their order.
func (g *Generator) newCustomerChange() *event.CustomerChange {
	c := g.randomCustomer()
	c.version++
	if c.version > 1 && g.oneIn(3) { // moved house
		place := pickOne(g, places)
		c.city, c.street, c.country = place.city, place.street, place.country
	}
	e := &event.CustomerChange{
		EventId: new(g.randomGUID()), Source: propelSource, SourceId: c.number, DebtorId: new(strconv.Itoa(c.version)),
		FirstName: &c.first, LastName: &c.last, Title: maybeOneIn(g, 5, "Dr."), DateOfBirth: &c.born, Gender: &c.gender,
		Email: new(c.number + "@example.org"), Phone: maybeOneIn(g, 2, "+357 22 55 01 "+strconv.Itoa(10+g.random.IntN(90))), PrimaryLanguage: &c.language,
	}
	if g.oneIn(10) {
		e.Parent = &event.PropelParent{Source: new(propelSource), SourceId: &g.randomCustomer().number}
	}
	e.Addresses = append(e.Addresses, g.newAddress(c, "invoice"))
	if g.oneIn(3) {
		e.Addresses = append(e.Addresses, g.newAddress(c, "delivery"))
	}
	return e
}

func (g *Generator) newAddress(c *customer, kind string) event.PropelAddress {
	return event.PropelAddress{
		Type: kind, Code: kind + "-1", FirstName: &c.first, LastName: &c.last, Street: c.street, Number: new(strconv.Itoa(1 + g.random.IntN(200))),
		NumberExtension: maybeOneIn(g, 6, "bis"), PostalCode: maybeOneIn(g, 2, "1015 AB"), City: c.city, Country: c.country, IsDefault: maybeOneIn(g, 2, "Y"),
	}
}
