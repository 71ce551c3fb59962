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

func number(s string) *event.AccountIdentifier { return &event.AccountIdentifier{Number: &s} }

func participant(s string) event.ParticipantIdentifier {
	return event.ParticipantIdentifier{Number: &s}
}

func classified(s string) event.ClassificationIdentifier {
	return event.ClassificationIdentifier{Name: &s}
}

func adminUnit() event.UnitIdentifier { return event.UnitIdentifier{Name: new("Admin Unit")} }

// at is a time of the day on which all of the page's events were performed.
func at(hour, minute, second int) time.Time {
	return time.Date(2016, 6, 22, hour, minute, second, 0, time.UTC)
}

func bought(code string, total, net, vat int64) event.PurchaseProduct {
	return event.PurchaseProduct{
		ProductIdentifier: event.ProductIdentifier{Code: &code},
		TotalAmount:       event.Millionths(total * 1e6), NetAmount: event.Millionths(net * 1e6), VatAmount: event.Millionths(vat * 1e6),
	}
}

func purchaseOf(account string) *event.Purchase {
	return &event.Purchase{
		AccountsReceivableIdentifier: number(account), PerformedByUnitIdentifier: adminUnit(), PerformedOn: at(15, 0, 0), ReferenceNumber: "RF01",
		ProductsSet: []event.PurchaseProduct{bought("Serendipity", 60, 50, 10), bought("Bronze", 180, 160, 20)},
	}
}

func referralOf(referred, by string) *event.Referral {
	return &event.Referral{
		PerformedByUnitIdentifier: adminUnit(), PerformedOn: at(15, 0, 0),
		ReferredRewardsParticipantIdentifier: participant(referred), ReferredByRewardsParticipantIdentifier: participant(by),
	}
}

func achievementOf(account string) *event.Achievement {
	return &event.Achievement{
		AccountsReceivableIdentifier: number(account), ClassificationIdentifier: classified("Customer Feedback 3"),
		PerformedByUnitIdentifier: adminUnit(), PerformedOn: at(15, 0, 0),
	}
}

func likeOf(account, profile string, on time.Time) *event.SocialMediaAction {
	return &event.SocialMediaAction{
		AccountsReceivableIdentifier: number(account), PerformedByUnitIdentifier: adminUnit(), PerformedOn: on,
		SocialMedia: "FACEBOOK", Profile: "www.facebook.com/" + profile, Action: "LIKE",
	}
}

func visitOf(account string, on time.Time) *event.WebVisit {
	return &event.WebVisit{
		AccountsReceivableIdentifier: number(account), PerformedByUnitIdentifier: adminUnit(), PerformedOn: on, Website: "www.crm.com",
	}
}

func financialOf(account, classification string, on time.Time) *event.FinancialAchievement {
	return &event.FinancialAchievement{
		AccountsReceivableIdentifier: number(account), ClassificationIdentifier: classified(classification),
		PerformedByUnitIdentifier: adminUnit(), PerformedOn: on,
	}
}

// goldens are all examples of the vendor's page customer_events/bulk, by operation, as events.
// Files in testdata hold the page's text. The page has none for financial_statements.
var goldens = []struct {
	section   string
	operation string
	first     int64 // request_unique_identifier of the first event
	step      int64 // from each event to the next
	events    []any
	unmet     map[int]string // index of an event that was not processed -> its code
}{
	{"POST customer_events/bulk/purchases/create, Example 1", "purchases", 31, 1,
		[]any{purchaseOf("ACR0000000228"), purchaseOf("ACR0000000228"), purchaseOf("ACR00008"), purchaseOf("ACR0000058")},
		map[int]string{2: "NotFoundAPIValueException", 3: "NotFoundAPIValueException"}},
	{"POST customer_events/bulk/referrals/create, Example 1", "referrals", 125, -1,
		[]any{referralOf("RP0000000017", "RP0000000010"), referralOf("RP0000000014", "RP0000000012"), referralOf("RP0000000004", "RP0000000010")},
		map[int]string{2: "ReferredByAnotherParticipantException"}},
	{"POST customer_events/bulk/achievements/create, Example 1", "achievements", 221, 1,
		[]any{achievementOf("ACR0000000077"), achievementOf("ACR0000000077"), achievementOf("ACR000177"), achievementOf("ACR0097")},
		map[int]string{2: "NotFoundAPIValueException", 3: "NotFoundAPIValueException"}},
	{"POST customer_events/bulk/social_media/create, Example 1", "social_media", 16, 1,
		[]any{likeOf("ACR0000000164", "polina", at(15, 0, 0)), likeOf("ACR0000000050", "katerina", at(15, 5, 2)),
			likeOf("ACR00045750", "marios", at(15, 19, 22)), likeOf("ACR00670000", "yiannis", at(15, 15, 42))},
		map[int]string{2: "NotFoundAPIValueException", 3: "NotFoundAPIValueException"}},
	{"POST customer_events/bulk/web/create, Example 1", "web", 6, 1,
		[]any{visitOf("ACR0000000020", at(15, 0, 0)), visitOf("ACR0000000077", at(15, 5, 2)),
			visitOf("ACR00045000", at(15, 19, 22)), visitOf("ACR00670040", at(15, 15, 42))},
		map[int]string{2: "NotFoundAPIValueException", 3: "NotFoundAPIValueException"}},
	{"POST customer_events/bulk/financial_achievements/create, Example 1", "financial_achievements", 61, 1,
		[]any{financialOf("ACR0000000218", "Financial Achievement 1", at(15, 0, 0)), financialOf("ACR0000000226", "Financial Achievement 3", at(15, 5, 2)),
			financialOf("ACR45000", "Financial Achievement 1", at(15, 19, 22)), financialOf("ACR040", "Financial Achievement 2", at(15, 15, 42))},
		map[int]string{2: "NotFoundAPIValueException", 3: "NotFoundAPIValueException"}},
}

func TestEachExampleOfThePageIsSentAndItsAnswerRead(t *testing.T) {
	for _, g := range goldens {
		t.Run(g.operation, func(t *testing.T) {
			answer := golden(t, g.operation+".answer.json")
			text, err := json.Marshal(answer)
			if err != nil {
				t.Fatal(err)
			}
			v := &vendor{answer: func(seen) (int, string) { return 200, string(text) }}
			op := v.start(t, nil)[g.operation]
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
			if err := json.Unmarshal(v.calls()[0].body, &sent); err != nil {
				t.Fatal(err)
			}
			if want := golden(t, g.operation+".request.json"); !reflect.DeepEqual(sent, want) {
				t.Errorf("%s: sent\n%v\nwant\n%v", g.section, sent, want)
			}
			if got.Class != sink.Delivered || len(got.ItemResults) != len(items) {
				t.Fatalf("%s: got %+v", g.section, got)
			}
			for i, r := range got.ItemResults {
				want := sink.Result{Class: sink.Delivered, Status: 200}
				if code, ok := g.unmet[i]; ok {
					want = sink.Result{Class: defaultCodes[code].resultClass(), Status: 200, Code: code, Message: r.Message}
				}
				if r != want || (r.Message == "") != (r.Class == sink.Delivered) {
					t.Errorf("%s: item %d: got %+v, want %+v", g.section, i, r, want)
				}
			}
		})
	}
}

// golden is a file of the page's text with what differs here by design: identifiers are origins,
// and every event goes out with its external system and reference.
func golden(t *testing.T, file string) any {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var call map[string]any
	if err := json.Unmarshal(b, &call); err != nil {
		t.Fatal(err)
	}
	adapt(t, call)
	return call
}

func adapt(t *testing.T, v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			adapt(t, member)
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
			adapt(t, element)
		}
	}
}
