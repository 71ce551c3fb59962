package crmcom

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"sluice/internal/event"
	"sluice/internal/sink"
)

func accountByNumber(s string) *event.AccountIdentifier { return &event.AccountIdentifier{Number: &s} }

func participantByNumber(s string) event.ParticipantIdentifier {
	return event.ParticipantIdentifier{Number: &s}
}

func classificationByName(s string) event.ClassificationIdentifier {
	return event.ClassificationIdentifier{Name: &s}
}

func adminUnit() event.UnitIdentifier { return event.UnitIdentifier{Name: new("Admin Unit")} }

// dayAt returns a time on the day of all events of the page.
func dayAt(hour, minute, second int) time.Time {
	return time.Date(2016, 6, 22, hour, minute, second, 0, time.UTC)
}

func productOf(code string, total, net, vat int64) event.PurchaseProduct {
	return event.PurchaseProduct{
		ProductIdentifier: event.ProductIdentifier{Code: &code},
		TotalAmount:       event.Millionths(total * 1e6), NetAmount: event.Millionths(net * 1e6),
		VatAmount: event.Millionths(vat * 1e6),
	}
}

func purchaseOf(account string) *event.Purchase {
	return &event.Purchase{
		AccountsReceivableIdentifier: accountByNumber(account), PerformedByUnitIdentifier: adminUnit(),
		PerformedOn: dayAt(15, 0, 0), ReferenceNumber: "RF01",
		ProductsSet: []event.PurchaseProduct{productOf("Serendipity", 60, 50, 10), productOf("Bronze", 180, 160, 20)},
	}
}

func referralOf(referred, by string) *event.Referral {
	return &event.Referral{
		PerformedByUnitIdentifier: adminUnit(), PerformedOn: dayAt(15, 0, 0),
		ReferredRewardsParticipantIdentifier:   participantByNumber(referred),
		ReferredByRewardsParticipantIdentifier: participantByNumber(by),
	}
}

func achievementOf(account string) *event.Achievement {
	return &event.Achievement{
		AccountsReceivableIdentifier: accountByNumber(account),
		ClassificationIdentifier:     classificationByName("Customer Feedback 3"),
		PerformedByUnitIdentifier:    adminUnit(), PerformedOn: dayAt(15, 0, 0),
	}
}

func likeOf(account, profile string, on time.Time) *event.SocialMediaAction {
	return &event.SocialMediaAction{
		AccountsReceivableIdentifier: accountByNumber(account), PerformedByUnitIdentifier: adminUnit(), PerformedOn: on,
		SocialMedia: "FACEBOOK", Profile: "www.facebook.com/" + profile, Action: "LIKE",
	}
}

func visitOf(account string, on time.Time) *event.WebVisit {
	return &event.WebVisit{
		AccountsReceivableIdentifier: accountByNumber(account), PerformedByUnitIdentifier: adminUnit(), PerformedOn: on,
		Website: "www.crm.com",
	}
}

func financialOf(account, classification string, on time.Time) *event.FinancialAchievement {
	return &event.FinancialAchievement{
		AccountsReceivableIdentifier: accountByNumber(account),
		ClassificationIdentifier:     classificationByName(classification),
		PerformedByUnitIdentifier:    adminUnit(), PerformedOn: on,
	}
}

// pageExamples has every example of the vendor's page customer_events/bulk as events, by operation.
// The page's JSON is in testdata. The page has no example of financial_statements.
var pageExamples = []struct {
	section     string
	operation   string
	first       int64 // request_unique_identifier of the first event
	step        int64 // from each event to the next
	events      []any
	unprocessed map[int]string // error code by the index of an event that was not processed
}{
	{"POST customer_events/bulk/purchases/create, Example 1", "purchases", 31, 1,
		[]any{purchaseOf("ACR0000000228"), purchaseOf("ACR0000000228"), purchaseOf("ACR00008"),
			purchaseOf("ACR0000058")},
		map[int]string{2: "NotFoundAPIValueException", 3: "NotFoundAPIValueException"}},
	{"POST customer_events/bulk/referrals/create, Example 1", "referrals", 125, -1,
		[]any{referralOf("RP0000000017", "RP0000000010"), referralOf("RP0000000014", "RP0000000012"),
			referralOf("RP0000000004", "RP0000000010")},
		map[int]string{2: "ReferredByAnotherParticipantException"}},
	{"POST customer_events/bulk/achievements/create, Example 1", "achievements", 221, 1,
		[]any{achievementOf("ACR0000000077"), achievementOf("ACR0000000077"), achievementOf("ACR000177"),
			achievementOf("ACR0097")},
		map[int]string{2: "NotFoundAPIValueException", 3: "NotFoundAPIValueException"}},
	{"POST customer_events/bulk/social_media/create, Example 1", "social_media", 16, 1,
		[]any{likeOf("ACR0000000164", "polina", dayAt(15, 0, 0)), likeOf("ACR0000000050", "katerina", dayAt(15, 5, 2)),
			likeOf("ACR00045750", "marios", dayAt(15, 19, 22)), likeOf("ACR00670000", "yiannis", dayAt(15, 15, 42))},
		map[int]string{2: "NotFoundAPIValueException", 3: "NotFoundAPIValueException"}},
	{"POST customer_events/bulk/web/create, Example 1", "web", 6, 1,
		[]any{visitOf("ACR0000000020", dayAt(15, 0, 0)), visitOf("ACR0000000077", dayAt(15, 5, 2)),
			visitOf("ACR00045000", dayAt(15, 19, 22)), visitOf("ACR00670040", dayAt(15, 15, 42))},
		map[int]string{2: "NotFoundAPIValueException", 3: "NotFoundAPIValueException"}},
	{"POST customer_events/bulk/financial_achievements/create, Example 1", "financial_achievements", 61, 1,
		[]any{financialOf("ACR0000000218", "Financial Achievement 1", dayAt(15, 0, 0)),
			financialOf("ACR0000000226", "Financial Achievement 3", dayAt(15, 5, 2)),
			financialOf("ACR45000", "Financial Achievement 1", dayAt(15, 19, 22)),
			financialOf("ACR040", "Financial Achievement 2", dayAt(15, 15, 42))},
		map[int]string{2: "NotFoundAPIValueException", 3: "NotFoundAPIValueException"}},
}

func TestEveryExampleOfThePageIsSentAndItsResponseRead(t *testing.T) {
	for _, g := range pageExamples {
		t.Run(g.operation, func(t *testing.T) {
			response := readGolden(t, g.operation+".response.json")
			text, err := json.Marshal(response)
			if err != nil {
				t.Fatal(err)
			}
			v := &fakeVendor{respondToCall: func(receivedRequest) (int, string) { return 200, string(text) }}
			op := v.startServer(t, nil)[g.operation]
			var items []sink.Item
			for i, e := range g.events {
				item, err := op.Encode(t.Context(), e, originAt(g.first+int64(i)*g.step))
				if err != nil {
					t.Fatalf("encoding event %d: %v", i, err)
				}
				items = append(items, item)
			}
			got := op.Send(t.Context(), items)

			var sent any
			if err := json.Unmarshal(v.callRequests()[0].body, &sent); err != nil {
				t.Fatal(err)
			}
			if want := readGolden(t, g.operation+".request.json"); !reflect.DeepEqual(sent, want) {
				t.Errorf("%s: sent\n%v\nwant\n%v", g.section, sent, want)
			}
			if got.Class != sink.Delivered || len(got.ItemResults) != len(items) {
				t.Fatalf("%s: got %+v", g.section, got)
			}
			for i, r := range got.ItemResults {
				want := sink.Result{Class: sink.Delivered, Status: 200}
				if code, ok := g.unprocessed[i]; ok {
					want = sink.Result{Class: defaultCodes[code].resultClass(), Status: 200, Code: code,
						Message: r.Message}
				}
				if r != want || (r.Message == "") != (r.Class == sink.Delivered) {
					t.Errorf("%s: item %d: got %+v, want %+v", g.section, i, r, want)
				}
			}
		})
	}
}

// readGolden reads a file with the page's JSON and adapts what differs by design: identifiers are
// origins, and every event has an external system and a reference number.
func readGolden(t *testing.T, file string) any {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var call map[string]any
	if err := json.Unmarshal(b, &call); err != nil {
		t.Fatal(err)
	}
	adaptGolden(t, call)
	return call
}

func adaptGolden(t *testing.T, v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			adaptGolden(t, member)
		}
		if id, ok := v["request_unique_identifier"]; ok {
			offset, err := strconv.ParseInt(fmt.Sprint(id), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			v["request_unique_identifier"] = originAt(offset).ID()
			if v["performed_on"] != nil {
				v["external_system"], v["external_system_reference_number"] = "sluice", originAt(offset).ID()
			}
		}
	case []any:
		for _, element := range v {
			adaptGolden(t, element)
		}
	}
}
