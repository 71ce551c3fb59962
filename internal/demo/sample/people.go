package sample

import (
	"fmt"
	"time"

	"sluice/internal/event"
)

// customersN is how many customers a generator has. They are few enough that each comes again.
const customersN = 200

// customer is an invented person.
type customer struct {
	number      string // of the shop's own system
	account     string // CRM.COM's accounts receivable
	participant string // CRM.COM's rewards participant
	first, last string
	gender      string
	language    string
	country     string
	city        string
	street      string
	born        time.Time
	version     int // of the customer's data
}

var (
	firstNames = []struct{ name, gender string }{
		{"Anna", "F"}, {"Bram", "M"}, {"Chloé", "F"}, {"Dimitris", "M"}, {"Elena", "F"}, {"Femke", "F"}, {"Γιώργος", "M"}, {"Hugo", "M"},
		{"Ingrid", "F"}, {"Jürgen", "M"}, {"Kees", "M"}, {"Łucja", "F"}, {"Maria", "F"}, {"Noor", "U"}, {"Olga", "F"}, {"Søren", "M"},
	}
	lastNames = []string{
		"Alvarez", "de Boer", "Christou", "Dijkstra", "Eriksen", "Fischer", "Γεωργίου", "van den Heuvel", "Ioannou", "Jansen", "Kowalska", "O'Neill", "Öztürk", "Smith",
	}
	places = []struct{ city, street, country, language string }{
		{"Amsterdam", "Prinsengracht", "NL", "nl"}, {"Utrecht", "Oudegracht", "NL", "nl"}, {"Nicosia", "Ledra Street", "CY", "el"},
		{"Λεμεσός", "Οδός Ανεξαρτησίας", "CY", "el"}, {"Gent", "Veldstraat", "BE", "nl"}, {"Köln", "Hohe Straße", "DE", "de"}, {"Dublin", "Grafton Street", "IE", "en"},
	}
)

func (g *Generator) people() []customer {
	list := make([]customer, customersN)
	for i := range list {
		n, place := firstNames[g.rng.IntN(len(firstNames))], places[g.rng.IntN(len(places))]
		list[i] = customer{
			number:      fmt.Sprintf("C%08x%03d", g.run, i),
			account:     fmt.Sprintf("ACR%08x%03d", g.run, i),
			participant: fmt.Sprintf("RP%08x%03d", g.run, i),
			first:       n.name, last: pick(g, lastNames), gender: n.gender,
			language: place.language, country: place.country, city: place.city, street: place.street,
			born: time.Date(1940+g.rng.IntN(65), time.Month(1+g.rng.IntN(12)), 1+g.rng.IntN(28), 0, 0, 0, 0, time.UTC),
		}
	}
	return list
}

func (g *Generator) customer() *customer { return &g.customers[g.rng.IntN(len(g.customers))] }

func pick[T any](g *Generator, from []T) T { return from[g.rng.IntN(len(from))] }

// chance is true once in n times.
func (g *Generator) chance(n int) bool { return g.rng.IntN(n) == 0 }

// maybe gives a value once in n times, else nil.
func maybe[T any](g *Generator, n int, v T) *T {
	if g.chance(n) {
		return &v
	}
	return nil
}

// word is a text that no other sample has.
func (g *Generator) word(prefix string) string {
	return fmt.Sprintf("%s%08x-%d", prefix, g.run, g.serial)
}

// guid is a random one (RFC 9562, version 4).
func (g *Generator) guid() string {
	a, b := g.rng.Uint64(), g.rng.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(a>>32), uint16(a>>16), a&0xfff, b>>52, b&0xffff_ffff_ffff)
}

// started is when the first sample happened; the same in each run, so that the same seed gives the same bytes.
var started = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

// at is when a sample happened: a few seconds after the one before it.
func (g *Generator) at() time.Time {
	return started.Add(time.Duration(g.serial)*7*time.Second + time.Duration(g.rng.IntN(7000))*time.Millisecond)
}

// cents is an amount from least to most cents.
func (g *Generator) cents(least, most int64) int64 { return least + g.rng.Int64N(most-least+1) }

func money(cents int64) event.Decimal { return event.Millionths(cents * 10_000) }
