package expoints

import (
	"slices"
	"testing"
	"time"

	"sluice/internal/event"
	"sluice/internal/sink"
)

// The pages' samples name the column with id 1 "sample string 2".
const sampleColumns = `{"CustomerDataColumns":[{"Id":1,"Required":false,"Archived":false,"Name":"sample string 2","DisplayName":""}]}`

func sampleData() event.ExpointsData {
	return event.ExpointsData{
		CustomerDataColumnId: new(int32(1)), Name: "sample string 2", Value: "sample string 3", IsEncrypted: new(true),
		CertificateThumbprint: new("sample string 5"), EncryptionKey: new("sample string 6"),
	}
}

func sampleScale() event.ExpointsScalePosition {
	return event.ExpointsScalePosition{Id: new(int32(1)), Label: new("sample string 1"), Value: new(int32(1)), Ranking: new(int32(1))}
}

func sampleFile() event.ExpointsFileAnswer {
	return event.ExpointsFileAnswer{
		Id: new(int32(1)), AnswerId: new(int32(2)), FileName: new("sample string 3"), FileSize: new(int32(4)), FileType: new("sample string 5"),
		Data: new([]byte("@@")), IsEncrypted: new(true), CertificateThumbprint: new("sample string 7"), EncryptionKey: new("sample string 8"),
	}
}

func twice[T any](v T) []T { return []T{v, v} }

// body is the whole body of a call with items, made at now.
func body(a *account, now time.Time, items ...sink.Item) []byte {
	prefix, suffix := a.envelope(parseGroup(items[0].EnvelopeKey), now)
	b := slices.Clone(prefix)
	for i, item := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, item.Body...)
	}
	return append(b, suffix...)
}

// Page POST customer/add, section Request Formats. Its TypeBatch, "sample string 3", is none of the values that the page allows.
func TestAddMakesThePagesRequest(t *testing.T) {
	cfg := newTenant(t, sampleColumns).config()
	cfg.Batch = Batch{
		ApproveAutomatically: true, IsTest: true, TypeBatch: "email", EndAfter: time.Second, SendTime: "05:53:05.4618467",
		NotificationEmailAddresses: []string{"sample string 4"}, BatchName: "sample string 5",
	}
	add, _, _ := open(t, cfg)
	at, answered := instant(t, "2025-01-18T04:53:05.4618467Z"), instant(t, "2025-01-18T04:53:05.4774716Z")
	item, err := add.Encode(t.Context(), &event.FeedbackRequest{
		EventId: new("not sent"), IsConcept: new(true),
		Email: new("sample string 1"), PhoneNumber: new("sample string 2"), SendDate: at, TransactionDate: at, EndDate: at,
		Priority: new(int32(1)), PreviousId: new(int32(1)), Data: twice(sampleData()),
		Answers: twice(event.ExpointsAnswer{
			BaseQuestionId: new(int32(1)), IsNotApplicableSelected: new(true), Text: new("sample string 2"), SelectedScalePositions: twice(sampleScale()),
			DateAnswered: answered, FileAnswers: twice(sampleFile()), PageRepetition: new(int32(1)), SectionRepetition: new(int32(1)),
		}),
		AnswersToCopy: []int32{1, 2}, CopyAllAnswers: new(true),
	}, origin)
	if err != nil {
		t.Fatal(err)
	}
	want := golden(t, "add-request-formats.json")
	want["TypeBatch"] = "email"
	wantEqual(t, object(t, body(accountOf(t, cfg), at.Add(-time.Second), item, item)), want)
}

// Page POST customer/add, "Example data Array", with the page's example of a catalogue. The example leaves out the required Gender_customer,
// which the page calls a validation error.
func TestAddMakesThePagesDataArray(t *testing.T) {
	const john, do, unit, product, employee = "John", "Do", " Business unit X", "Product Y", "123456"
	rows := []event.ExpointsData{
		{CustomerDataColumnId: new(int32(15)), Value: john}, {CustomerDataColumnId: new(int32(16)), Value: do},
		{CustomerDataColumnId: new(int32(18)), Value: unit}, {CustomerDataColumnId: new(int32(19)), Value: product},
		{CustomerDataColumnId: new(int32(20)), Value: employee},
	}
	wantEqual(t, dataArray(t, rows), golden(t, "add-example-data-array.json"))
	for i, name := range []string{"First_name_customer", "Family_name_customer", "Business Unit", "ProductNumber", "EmployeeId"} {
		rows[i].CustomerDataColumnId, rows[i].Name = nil, name
	}
	// The names, which the example leaves out, are in the page's Request Formats.
	got := dataArray(t, rows)
	for i, row := range got["Data"].([]any) {
		if name := row.(map[string]any)["Name"]; name != rows[i].Name {
			t.Errorf("row %d goes out under the name %v, want %s", i, name, rows[i].Name)
		}
		delete(row.(map[string]any), "Name")
	}
	wantEqual(t, got, golden(t, "add-example-data-array.json"))
}

// dataArray is what the rows go out as, by the page's example of a catalogue, which must find Gender_customer alone missing.
func dataArray(t *testing.T, rows []event.ExpointsData) map[string]any {
	t.Helper()
	catalogue, err := readColumns(mustRead(t, "customerdatacolumn-example-result.json"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	resolved, faults := catalogue.resolve(rows, true)
	wantEqual(t, faults, []sink.Violation{{Path: "Data", Rule: `column "Gender_customer" is mandatory`}})
	w := &writer{b: []byte("{")}
	list(w, "Data", resolved, dataMembers)
	return object(t, append(w.b, '}'))
}

// Page POST customer/addfinished, section Request Formats.
func TestAddFinishedMakesThePagesRequest(t *testing.T) {
	_, finished, _ := open(t, newTenant(t, sampleColumns).config())
	at := instant(t, "2024-11-21T09:06:50.9843536Z")
	item, err := finished.Encode(t.Context(), &event.FeedbackFinished{
		EventId: new("not sent"), IsTest: new(true), QuestionnaireId: new("2ec40570-e563-45eb-9c25-4dec09dee46b"), FinishedDate: at,
		Answers: twice(event.ExpointsFinishedAnswer{
			QuestionId: new("d6de312c-7da4-483d-841c-25a046ea03cd"), DateAnswered: at, Text: new("sample string 2"),
			SelectedScalePositions: twice(sampleScale()), FileAnswers: twice(sampleFile()), PageRepetition: new(int32(1)), SectionRepetition: new(int32(1)),
		}),
		Email: new("sample string 2"), TransactionDate: at, SurveyClosedDate: at, Data: twice(sampleData()),
		Language: new("sample string 3"), IsContactRequested: new(true), IsConcept: new(true),
	}, origin)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, object(t, item.Body), golden(t, "addfinished-request-formats.json"))
}

// Page POST customer/addlock, section Request Formats.
func TestAddLockMakesThePagesRequest(t *testing.T) {
	_, _, lock := open(t, newTenant(t, sampleColumns).config())
	item, err := lock.Encode(t.Context(), &event.FeedbackLock{
		EventId: new("not sent"), CreationDate: instant(t, "2025-11-27T09:55:58.6820566Z"), OptIn: new(true),
		QuestionnaireId: new("4935b22c-791a-4b63-a7b3-702d1d652442"), CustomerId: new(int32(1)), Email: new("sample string 1"), Data: twice(sampleData()),
	}, origin)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, object(t, item.Body), golden(t, "addlock-request-formats.json"))
}

func BenchmarkEncode(b *testing.B) {
	cols, err := readColumns([]byte(sampleColumns), time.Now())
	if err != nil {
		b.Fatal(err)
	}
	a := &account{zone: time.UTC, columns: newCatalogue(time.Hour, nil)}
	a.columns.last = cols
	at := time.Date(2025, 1, 18, 4, 53, 5, 0, time.UTC)
	e := &event.FeedbackRequest{Email: new("a@example.org"), SendDate: &at, TransactionDate: &at, Data: slices.Repeat([]event.ExpointsData{sampleData()}, 5)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encodeAdd(b.Context(), a, e, origin); err != nil {
			b.Fatal(err)
		}
	}
}
