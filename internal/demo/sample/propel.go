package sample

import (
	"strconv"

	"sluice/internal/event"
)

// lockedPrefix begins the sourceId of customers that are locked at the vendor for good.
const lockedPrefix = "LOCKED-"

const propelSource = "WEBSHOP"

// customerChange is the next version of some customer. debtorId counts a customer's versions, so that a ledger shows their order.
func (g *Generator) customerChange() *event.CustomerChange {
	c := g.customer()
	c.version++
	if c.version > 1 && g.chance(3) { // moved house
		place := pick(g, places)
		c.city, c.street, c.country = place.city, place.street, place.country
	}
	e := &event.CustomerChange{
		EventId: new(g.guid()), Source: propelSource, SourceId: c.number, DebtorId: new(strconv.Itoa(c.version)),
		FirstName: &c.first, LastName: &c.last, Title: maybe(g, 5, "Dr."), DateOfBirth: &c.born, Gender: &c.gender,
		Email: new(c.number + "@example.org"), Phone: maybe(g, 2, "+357 22 55 01 "+strconv.Itoa(10+g.rng.IntN(90))), PrimaryLanguage: &c.language,
	}
	if g.chance(10) {
		e.Parent = &event.PropelParent{Source: new(propelSource), SourceId: &g.customer().number}
	}
	e.Addresses = append(e.Addresses, g.address(c, "invoice"))
	if g.chance(3) {
		e.Addresses = append(e.Addresses, g.address(c, "delivery"))
	}
	return e
}

func (g *Generator) address(c *customer, kind string) event.PropelAddress {
	return event.PropelAddress{
		Type: kind, Code: kind + "-1", FirstName: &c.first, LastName: &c.last, Street: c.street, Number: new(strconv.Itoa(1 + g.rng.IntN(200))),
		NumberExtension: maybe(g, 6, "bis"), PostalCode: maybe(g, 2, "1015 AB"), City: c.city, Country: c.country, IsDefault: maybe(g, 2, "Y"),
	}
}
