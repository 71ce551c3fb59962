package fourthvendor

import (
	"encoding/json"
	"fmt"
	"time"

	"sluice/internal/demo/sample"
	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
)

// Page returns the vendor as the sandbox plays it.
func Page() sandbox.Page { return sandbox.NewPage(newPageSpec()) }

// PageWithConfiguredToken returns a variant of the vendor that issues no tokens: an account has one
// in its configuration.
func PageWithConfiguredToken() sandbox.Page {
	const token = "configured-token"
	spec := newPageSpec()
	spec.TokenPath, spec.Token = "", token
	spec.AccountSettings = func(baseURL string) string {
		return fmt.Sprintf("base_url: %q, auth: {token: %q}", baseURL+"/api", token)
	}
	return sandbox.NewPage(spec)
}

func newPageSpec() sandbox.CustomPage {
	return sandbox.CustomPage{
		Vendor:    Name,
		TokenPath: "/token",
		AccountSettings: func(baseURL string) string {
			return fmt.Sprintf("base_url: %q, auth: {token_url: %q, client_id: %q, client_secret: %q}",
				baseURL+"/api", baseURL+"/token", sandbox.DefaultClientID, sandbox.DefaultClientSecret)
		},
		Operations: []sandbox.CustomOperation{
			newPageOperation("stamps", "stamp_id", "card_number", "amount", "stamped_at"),
			newPageOperation("cancellations", "stamp_id", "cancelled_at"),
		},
		ErrorBody: func(code, description string, refused []int) any {
			return errorBody{Code: code, Message: description, Items: refused}
		},
	}
}

func newPageOperation(name string, mandatory ...string) sandbox.CustomOperation {
	return sandbox.CustomOperation{
		Name: name, Path: "/api/" + name, ListKey: name, IDKey: "stamp_id", MaxItems: maxItems,
		CheckItem: func(item json.RawMessage) string {
			var members map[string]any
			if err := json.Unmarshal(item, &members); err != nil {
				return err.Error()
			}
			for _, key := range mandatory {
				if members[key] == nil || members[key] == "" {
					return key + " is mandatory"
				}
			}
			return ""
		},
		ResultBody: func(results []sandbox.CustomResult) any {
			body := resultsBody{Results: []resultBody{}}
			for _, r := range results {
				body.Results = append(body.Results, resultBody{
					StampID: r.ID, Accepted: &r.Accepted, Code: r.Code, Message: r.Description,
				})
			}
			return body
		},
	}
}

// The prefixes of the IDs of stamps that the sandbox refuses.
const (
	rejectedPrefix = "refused-"
	delayedPrefix  = "LOCKED-"
)

// itemID returns the stamp's ID, which identifies the items of both operations.
func itemID(evt any) (id, version string) {
	switch e := evt.(type) {
	case *Stamp:
		return e.StampId, ""
	case *Cancellation:
		return e.StampId, ""
	}
	return "", ""
}

// Samples returns what the demo and the tests have for the vendor.
func Samples() sample.Vendor {
	return sample.Vendor{
		Name:   Name,
		Events: EventTypes(),
		ConfigureSandbox: func(opts *sandbox.Options) {
			opts.AdditionalPages = append(opts.AdditionalPages, Page())
		},
		Rules: []sandbox.Rule{
			{
				Name: "sample-stamp-refused", Operation: Name,
				When: sandbox.When{Items: sandbox.Items{Field: "stamp_id", Prefix: rejectedPrefix}},
				Do:   sandbox.Action{Fault: sandbox.FaultRefuseItem, Description: "The stamp is not allowed."},
			},
			{
				Name: "sample-stamp-locked", Operation: Name,
				When: sandbox.When{Items: sandbox.Items{Field: "stamp_id", Prefix: delayedPrefix}},
				Do: sandbox.Action{Fault: sandbox.FaultRefuseItem, ErrorCode: codeTryLater,
					Description: "The card is locked."},
			},
		},
		ItemID: itemID,
		Samplers: map[string]sample.Sampler{
			stampEvent: sample.NewSampler(
				func(g *sample.Generator) *Stamp {
					return &Stamp{
						StampId: g.UniqueString("S-"), CardNumber: g.UniqueString("CARD-"),
						Amount: event.Millionths(12_500_000), StampedAt: g.NextTime(),
					}
				},
				func(e *Stamp) string { return e.CardNumber },
				sample.Mutations[Stamp]{
					sample.Invalid: func(_ *sample.Generator, e *Stamp) { e.StampId = "" },
					sample.Rejected: func(g *sample.Generator, e *Stamp) {
						e.StampId = g.UniqueString(rejectedPrefix)
					},
					sample.Retryable: func(g *sample.Generator, e *Stamp) { e.StampId = g.UniqueString(delayedPrefix) },
				}),
			cancellationEvent: sample.NewSampler(
				func(g *sample.Generator) *Cancellation {
					return &Cancellation{StampId: g.UniqueString("S-"), CancelledAt: g.NextTime()}
				},
				func(e *Cancellation) string { return e.StampId },
				sample.Mutations[Cancellation]{
					sample.Invalid: func(_ *sample.Generator, e *Cancellation) {
						e.CancelledAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
					},
					sample.Rejected: func(g *sample.Generator, e *Cancellation) {
						e.StampId = g.UniqueString(rejectedPrefix)
					},
				}),
		},
	}
}
