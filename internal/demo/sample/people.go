package sample

import (
	"fmt"
	"time"

	"sluice/internal/event"
)

// customerCount is the number of customers of a generator. It is low, so that each customer has
// several events.
const customerCount = 200

// customer is an invented person.
type customer struct {
	number      string // in the shop's own system
	account     string // CRM.COM's accounts receivable
	participant string // CRM.COM's rewards participant
	first, last string
	gender      string
	language    string
	country     string
	city        string
	street      string
	born        time.Time
	version     int // counts the changes of the customer's data
}

var (
	firstNames = []struct{ name, gender string }{
		{"Anna", "F"}, {"Bram", "M"}, {"Chloé", "F"}, {"Dimitris", "M"}, {"Elena", "F"},
		{"Femke", "F"}, {"Γιώργος", "M"}, {"Hugo", "M"},
		{"Ingrid", "F"}, {"Jürgen", "M"}, {"Kees", "M"},
		{"Łucja", "F"}, {"Maria", "F"}, {"Noor", "U"}, {"Olga", "F"}, {"Søren", "M"},
	}
	lastNames = []string{
		"Alvarez", "de Boer", "Christou", "Dijkstra", "Eriksen", "Fischer", "Γεωργίου", "van den Heuvel",
		"Ioannou", "Jansen", "Kowalska", "O'Neill", "Öztürk", "Smith",
	}
	places = []struct{ city, street, country, language string }{
		{"Amsterdam", "Prinsengracht", "NL", "nl"}, {"Utrecht", "Oudegracht", "NL", "nl"},
		{"Nicosia", "Ledra Street", "CY", "el"},
		{"Λεμεσός", "Οδός Ανεξαρτησίας", "CY", "el"}, {"Gent", "Veldstraat", "BE", "nl"},
		{"Köln", "Hohe Straße", "DE", "de"},
		{"Dublin", "Grafton Street", "IE", "en"},
	}
)

func (g *Generator) newCustomers() []customer {
	list := make([]customer, customerCount)
	for i := range list {
		n, place := firstNames[g.random.IntN(len(firstNames))], places[g.random.IntN(len(places))]
		list[i] = customer{
			number:      fmt.Sprintf("C%08x%03d", g.runID, i),
			account:     fmt.Sprintf("ACR%08x%03d", g.runID, i),
			participant: fmt.Sprintf("RP%08x%03d", g.runID, i),
			first:       n.name, last: pickOne(g, lastNames), gender: n.gender,
			language: place.language, country: place.country, city: place.city, street: place.street,
			born: time.Date(1940+g.random.IntN(65), time.Month(1+g.random.IntN(12)), 1+g.random.IntN(28), 0, 0,
				0, 0, time.UTC),
		}
	}
	return list
}

func (g *Generator) randomCustomer() *customer { return &g.customers[g.random.IntN(len(g.customers))] }

func pickOne[T any](gen *Generator, from []T) T { return from[gen.random.IntN(len(from))] }

// oneIn returns true with a probability of 1 in count.
func (g *Generator) oneIn(count int) bool { return g.random.IntN(count) == 0 }

// maybeOneIn returns the value with a probability of 1 in count, and nil otherwise.
func maybeOneIn[T any](gen *Generator, count int, value T) *T {
	if gen.oneIn(count) {
		return &value
	}
	return nil
}

// UniqueString returns a string that no other sample contains.
func (g *Generator) UniqueString(prefix string) string {
	return fmt.Sprintf("%s%08x-%d", prefix, g.runID, g.serial)
}

// randomGUID returns a random GUID (RFC 9562, version 4).
func (g *Generator) randomGUID() string {
	a, b := g.random.Uint64(), g.random.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(a>>32), uint16(a>>16), a&0xfff, b>>52,
		b&0xffff_ffff_ffff)
}

// firstSampleTime is the time of the first sample. It is fixed, so that the same seed generates the
// same bytes.
var firstSampleTime = time.Date(2026, 1, 5, 8, 0, 0, 0, time.UTC)

// NextTime returns the time of the current sample, a few seconds after that of the previous one.
func (g *Generator) NextTime() time.Time {
	random := time.Duration(g.random.IntN(7000)) * time.Millisecond
	return firstSampleTime.Add(time.Duration(g.serial)*7*time.Second + random)
}

// randomCents returns a random number of cents within the limits, which are inclusive.
func (g *Generator) randomCents(lowest, highest int64) int64 {
	return lowest + g.random.Int64N(highest-lowest+1)
}

func amountOfCents(cents int64) event.Decimal { return event.Millionths(cents * 10_000) }
