package fourthvendor

import (
	"net/http"

	"sluice/internal/pipeline"
	"sluice/internal/sink"
)

// Mistake is what a known-wrong variant of the sink does wrong.
type Mistake string

// The mistakes.
const (
	// TrustRepeatedResult uses the first of several results for one item, which contradict each
	// other or belong to another item.
	TrustRepeatedResult Mistake = "trust repeated result"
	// RejectMissingFlag treats an item as rejected if its result lacks the accepted flag.
	RejectMissingFlag Mistake = "reject missing flag"
	// KeepMessage returns the vendor's messages as they are, with the personal data in them.
	KeepMessage Mistake = "keep message"
)

// RegisterVariant adds a known-wrong variant of the vendor in place of the vendor.
func RegisterVariant(vendors pipeline.Vendors, mistake Mistake) {
	open := func(name string, cfg Config, client *http.Client) ([]sink.Operation, error) {
		return newOperations(name, cfg, client, mistake)
	}
	vendors[Name] = pipeline.NewVendor(Default, Specs, open, EventTypes()...)
}
