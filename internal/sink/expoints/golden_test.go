package expoints

import (
	"slices"
	"testing"
	"time"

	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/sink/jsonwriter"
)

// In the samples of the vendor's pages, the column with ID 1 has the name "sample string 2".
const sampleColumns = `{"CustomerDataColumns":[
	{"Id":1,"Required":false,"Archived":false,"Name":"sample string 2","DisplayName":""}]}`

func sampleData() event.ExpointsData {
	return event.ExpointsData{
		CustomerDataColumnId: new(int32(1)), Name: "sample string 2", Value: "sample string 3", IsEncrypted: new(true),
		CertificateThumbprint: new("sample string 5"), EncryptionKey: new("sample string 6"),
	}
}

func sampleScale() event.ExpointsScalePosition {
	return event.ExpointsScalePosition{
		Id: new(int32(1)), Label: new("sample string 1"), Value: new(int32(1)), Ranking: new(int32(1)),
	}
}

func sampleFile() event.ExpointsFileAnswer {
	return event.ExpointsFileAnswer{
		Id: new(int32(1)), AnswerId: new(int32(2)), FileName: new("sample string 3"), FileSize: new(int32(4)),
		FileType: new("sample string 5"), Data: new([]byte("@@")), IsEncrypted: new(true),
		CertificateThumbprint: new("sample string 7"), EncryptionKey: new("sample string 8"),
	}
}

func twice[T any](value T) []T { return []T{value, value} }

// callBody returns the whole body of a call with the items at now.
func callBody(a *account, now time.Time, items ...sink.Item) []byte {
	prefix, suffix := a.addEnvelope(parseEnvelopeKey(items[0].EnvelopeKey), now)
	body := slices.Clone(prefix)
	for i, item := range items {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, item.Body...)
	}
	return append(body, suffix...)
}

// The sample is in section Request Formats of the page POST customer/add. Its TypeBatch, "sample
// string 3", is not one of the values that the page allows.
func TestAddEncodesTheDocumentedRequest(t *testing.T) {
	cfg := newFakeVendor(t, sampleColumns).accountConfig()
	cfg.Batch = Batch{
		ApproveAutomatically: true, IsTest: true, TypeBatch: "email", EndAfter: time.Second, SendTime: "05:53:05.4618467",
		NotificationEmailAddresses: []string{"sample string 4"}, BatchName: "sample string 5",
	}
	add, _, _ := newTestOperations(t, cfg)
	at, answered := parseInstant(t, "2025-01-18T04:53:05.4618467Z"), parseInstant(t, "2025-01-18T04:53:05.4774716Z")
	item, err := add.Encode(t.Context(), &event.FeedbackRequest{
		EventId: new("not sent"), IsConcept: new(true),
		Email: new("sample string 1"), PhoneNumber: new("sample string 2"), SendDate: at, TransactionDate: at, EndDate: at,
		Priority: new(int32(1)), PreviousId: new(int32(1)), Data: twice(sampleData()),
		Answers: twice(event.ExpointsAnswer{
			BaseQuestionId: new(int32(1)), IsNotApplicableSelected: new(true), Text: new("sample string 2"),
			SelectedScalePositions: twice(sampleScale()), DateAnswered: answered, FileAnswers: twice(sampleFile()),
			PageRepetition: new(int32(1)), SectionRepetition: new(int32(1)),
		}),
		AnswersToCopy: []int32{1, 2}, CopyAllAnswers: new(true),
	}, origin)
	if err != nil {
		t.Fatal(err)
	}
	want := readGolden(t, "add-request-formats.json")
	want["TypeBatch"] = "email"
	wantEqual(t, decodeObject(t, callBody(newTestAccount(t, cfg), at.Add(-time.Second), item, item)), want)
}

// The sample is "Example data Array" of the page POST customer/add, with the catalogue of the
// page's example. The sample omits the required column Gender_customer, which the page itself calls
// a validation error.
func TestAddEncodesTheDocumentedDataArray(t *testing.T) {
	const john, do, unit, product, employee = "John", "Do", " Business unit X", "Product Y", "123456"
	rows := []event.ExpointsData{
		{CustomerDataColumnId: new(int32(15)), Value: john}, {CustomerDataColumnId: new(int32(16)), Value: do},
		{CustomerDataColumnId: new(int32(18)), Value: unit}, {CustomerDataColumnId: new(int32(19)), Value: product},
		{CustomerDataColumnId: new(int32(20)), Value: employee},
	}
	wantEqual(t, encodeDataArray(t, rows), readGolden(t, "add-example-data-array.json"))
	for i, name := range []string{"First_name_customer", "Family_name_customer", "Business Unit", "ProductNumber", "EmployeeId"} {
		rows[i].CustomerDataColumnId, rows[i].Name = nil, name
	}
	// The sample omits the names, although the page's Request Formats have them.
	got := encodeDataArray(t, rows)
	for i, row := range got["Data"].([]any) {
		if name := row.(map[string]any)["Name"]; name != rows[i].Name {
			t.Errorf("row %d: got name %v, want %s", i, name, rows[i].Name)
		}
		delete(row.(map[string]any), "Name")
	}
	wantEqual(t, got, readGolden(t, "add-example-data-array.json"))
}

// encodeDataArray encodes the rows with the catalogue of the page's example, which must report only
// Gender_customer as missing.
func encodeDataArray(t *testing.T, rows []event.ExpointsData) map[string]any {
	t.Helper()
	columns, err := parseCatalogue(readTestdata(t, "customerdatacolumn-example-result.json"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	resolved, violations := columns.resolveRows(rows, true)
	wantEqual(t, violations, []sink.Violation{{Path: "Data", Rule: `column "Gender_customer" is mandatory`}})
	e := newEncoder(time.UTC, nil)
	e.BeginObject("")
	jsonwriter.OptionalObjects(e.Writer, "Data", resolved, e.writeDataRow)
	e.EndObject()
	return decodeObject(t, e.Bytes())
}

// The sample is in section Request Formats of the page POST customer/addfinished.
func TestAddFinishedEncodesTheDocumentedRequest(t *testing.T) {
	_, finished, _ := newTestOperations(t, newFakeVendor(t, sampleColumns).accountConfig())
	at := parseInstant(t, "2024-11-21T09:06:50.9843536Z")
	item, err := finished.Encode(t.Context(), &event.FeedbackFinished{
		EventId: new("not sent"), IsTest: new(true), FinishedDate: at,
		QuestionnaireId: new("2ec40570-e563-45eb-9c25-4dec09dee46b"),
		Answers: twice(event.ExpointsFinishedAnswer{
			QuestionId: new("d6de312c-7da4-483d-841c-25a046ea03cd"), DateAnswered: at, Text: new("sample string 2"),
			SelectedScalePositions: twice(sampleScale()), FileAnswers: twice(sampleFile()),
			PageRepetition: new(int32(1)), SectionRepetition: new(int32(1)),
		}),
		Email: new("sample string 2"), TransactionDate: at, SurveyClosedDate: at, Data: twice(sampleData()),
		Language: new("sample string 3"), IsContactRequested: new(true), IsConcept: new(true),
	}, origin)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, decodeObject(t, item.Body), readGolden(t, "addfinished-request-formats.json"))
}

// The sample is in section Request Formats of the page POST customer/addlock.
func TestAddLockEncodesTheDocumentedRequest(t *testing.T) {
	_, _, lock := newTestOperations(t, newFakeVendor(t, sampleColumns).accountConfig())
	item, err := lock.Encode(t.Context(), &event.FeedbackLock{
		EventId: new("not sent"), CreationDate: parseInstant(t, "2025-11-27T09:55:58.6820566Z"), OptIn: new(true),
		QuestionnaireId: new("4935b22c-791a-4b63-a7b3-702d1d652442"), CustomerId: new(int32(1)),
		Email: new("sample string 1"), Data: twice(sampleData()),
	}, origin)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, decodeObject(t, item.Body), readGolden(t, "addlock-request-formats.json"))
}

func BenchmarkEncode(b *testing.B) {
	columns, err := parseCatalogue([]byte(sampleColumns), time.Now())
	if err != nil {
		b.Fatal(err)
	}
	a := &account{zone: time.UTC, catalogue: newCatalogueCache(time.Hour, nil)}
	a.catalogue.latest = columns
	at := time.Date(2025, 1, 18, 4, 53, 5, 0, time.UTC)
	request := &event.FeedbackRequest{
		Email: new("a@example.org"), SendDate: &at, TransactionDate: &at,
		Data: slices.Repeat([]event.ExpointsData{sampleData()}, 5),
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encodeAdd(b.Context(), a, request, origin); err != nil {
			b.Fatal(err)
		}
	}
}
