package expoints

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

const testColumns = `{"CustomerDataColumns":[
	{"Id":15,"Required":true,"Archived":false,"Name":"First name"},
	{"Id":16,"Required":false,"Archived":false,"Name":"City"},
	{"Id":17,"Required":true,"Archived":true,"Name":"Old"},
	{"Id":18,"Required":false,"Archived":true,"Name":"Again"},
	{"Id":19,"Required":false,"Archived":false,"Name":"Again"},
	{"Id":20,"Required":false,"Archived":false,"Name":"Twice"},
	{"Id":21,"Required":false,"Archived":false,"Name":"Twice"},
	{"Id":22,"Required":false,"Archived":false,"Name":"Event"}]}`

func namedRow(name string) event.ExpointsData { return event.ExpointsData{Name: name, Value: "v"} }

func rowWithID(id int32, name string) event.ExpointsData {
	return event.ExpointsData{CustomerDataColumnId: &id, Name: name, Value: "v"}
}

func TestAddResolvesColumnsAndReportsEveryViolation(t *testing.T) {
	for _, tt := range []struct {
		name string
		rows []event.ExpointsData
		want []sink.Violation
	}{
		{"valid rows", []event.ExpointsData{namedRow("First name"), namedRow("City")}, nil},
		{"name of an archived and a usable column", []event.ExpointsData{namedRow("First name"), namedRow("Again")}, nil},
		{"name and its ID", []event.ExpointsData{rowWithID(15, "First name"), rowWithID(21, "Twice")}, nil},
		{"required column missing, archived one not required", []event.ExpointsData{namedRow("City")},
			[]sink.Violation{{Path: "Data", Rule: `column "First name" is mandatory`}}},
		{"required column without a value", []event.ExpointsData{{Name: "First name"}},
			[]sink.Violation{{Path: "Data[0].Value", Rule: `must not be empty, column "First name" is mandatory`}}},
		{"no data", nil, []sink.Violation{{Path: "Data", Rule: `column "First name" is mandatory`}}},
		{"unknown column", []event.ExpointsData{namedRow("First name"), namedRow("Nope")},
			[]sink.Violation{{Path: "Data[1].Name", Rule: "must be a column of the account"}}},
		{"names are exact", []event.ExpointsData{namedRow("First name"), namedRow("city")},
			[]sink.Violation{{Path: "Data[1].Name", Rule: "must be a column of the account"}}},
		{"archived column", []event.ExpointsData{namedRow("First name"), namedRow("Old")},
			[]sink.Violation{{Path: "Data[1].Name", Rule: "must be a column that is not archived"}}},
		{"ID of another column", []event.ExpointsData{namedRow("First name"), rowWithID(15, "City")},
			[]sink.Violation{{Path: "Data[1].CustomerDataColumnId", Rule: "must be the id of the column that Name names"}}},
		{"name of two columns", []event.ExpointsData{namedRow("First name"), namedRow("Twice")},
			[]sink.Violation{{Path: "Data[1].CustomerDataColumnId", Rule: "is mandatory where several columns have the name"}}},
		{"ID without a name", []event.ExpointsData{rowWithID(15, ""), rowWithID(16, ""), rowWithID(21, "")}, nil},
		{"unknown ID", []event.ExpointsData{rowWithID(15, ""), rowWithID(99, "")},
			[]sink.Violation{{Path: "Data[1].CustomerDataColumnId", Rule: "must be a column of the account"}}},
		{"ID of an archived column", []event.ExpointsData{rowWithID(15, ""), rowWithID(18, "")},
			[]sink.Violation{{Path: "Data[1].CustomerDataColumnId", Rule: "must be a column that is not archived"}}},
		{"neither name nor ID", []event.ExpointsData{rowWithID(15, ""), {Value: "v"}},
			[]sink.Violation{{Path: "Data[1].Name", Rule: "is mandatory without CustomerDataColumnId"}}},
		{"several violations", []event.ExpointsData{namedRow("Nope"), namedRow("Old")}, []sink.Violation{
			{Path: "Data[0].Name", Rule: "must be a column of the account"},
			{Path: "Data[1].Name", Rule: "must be a column that is not archived"},
			{Path: "Data", Rule: `column "First name" is mandatory`},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			add, _, _ := newTestOperations(t, newFakeVendor(t, testColumns).accountConfig())
			_, err := add.Encode(t.Context(), &event.FeedbackRequest{Data: tt.rows}, origin)
			wantViolations(t, err, tt.want)
		})
	}
}

func wantViolations(t *testing.T, err error, want []sink.Violation) {
	t.Helper()
	var validation *sink.ValidationError
	if err != nil && !errors.As(err, &validation) {
		t.Fatalf("got error %v, want a *sink.ValidationError", err)
	}
	var got []sink.Violation
	if validation != nil {
		got = validation.Violations
	}
	wantEqual(t, got, want)
}

func TestOnlyAddRequiresRequiredColumns(t *testing.T) {
	_, finished, lock := newTestOperations(t, newFakeVendor(t, testColumns).accountConfig())
	_, err := finished.Encode(t.Context(), &event.FeedbackFinished{Data: []event.ExpointsData{namedRow("City")}}, origin)
	wantViolations(t, err, nil)
	_, err = lock.Encode(t.Context(), &event.FeedbackLock{Data: []event.ExpointsData{namedRow("City")}}, origin)
	wantViolations(t, err, nil)
	_, err = lock.Encode(t.Context(), &event.FeedbackLock{Data: []event.ExpointsData{namedRow("Nope")}}, origin)
	wantViolations(t, err, []sink.Violation{{Path: "Data[0].Name", Rule: "must be a column of the account"}})
}

func TestEventWithoutDataNeedsNoCatalogue(t *testing.T) {
	v := newFakeVendor(t, testColumns)
	v.setCatalogue("", http.StatusServiceUnavailable)
	_, _, lock := newTestOperations(t, v.accountConfig())
	if _, err := lock.Encode(t.Context(), &event.FeedbackLock{Email: new("a@example.org")}, origin); err != nil {
		t.Fatal(err)
	}
}

func TestEventIDIsSentInItsColumn(t *testing.T) {
	for _, tt := range []struct {
		name string
		id   *string
		rows []event.ExpointsData
		want string
	}{
		{"own ID", new("e-1"), nil, "e-1"},
		{"origin without an ID", nil, nil, "feedback-2-41"},
		{"origin with an empty ID", new(""), nil, "feedback-2-41"},
		{"row of the event for the column", new("e-1"), []event.ExpointsData{namedRow("Event")}, "v"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := newFakeVendor(t, testColumns).accountConfig()
			cfg.EventIDColumn = "Event"
			add, finished, lock := newTestOperations(t, cfg)
			data := append([]event.ExpointsData{namedRow("First name")}, tt.rows...)
			addItem, addErr := add.Encode(t.Context(), &event.FeedbackRequest{EventId: tt.id, Data: data}, origin)
			finishedItem, finishedErr := finished.Encode(t.Context(), &event.FeedbackFinished{EventId: tt.id, Data: data}, origin)
			lockItem, lockErr := lock.Encode(t.Context(), &event.FeedbackLock{EventId: tt.id, Data: data}, origin)
			if err := errors.Join(addErr, finishedErr, lockErr); err != nil {
				t.Fatal(err)
			}
			want := []any{
				map[string]any{"CustomerDataColumnId": 15.0, "Name": "First name", "Value": "v"},
				map[string]any{"CustomerDataColumnId": 22.0, "Name": "Event", "Value": tt.want},
			}
			wantEqual(t, decodeObject(t, addItem.Body)["Data"], any(want))
			wantEqual(t, decodeObject(t, finishedItem.Body)["Customer"].(map[string]any)["Data"], any(want))
			wantEqual(t, decodeObject(t, lockItem.Body)["Data"], any(want))
			if len(data) != len(tt.rows)+1 {
				t.Error("Encode changed the event")
			}
		})
	}
}

func TestEventMayFillTheEventIDColumnByColumnID(t *testing.T) {
	cfg := newFakeVendor(t, testColumns).accountConfig()
	cfg.EventIDColumn = "Event"
	_, _, lock := newTestOperations(t, cfg)
	item, err := lock.Encode(t.Context(), &event.FeedbackLock{Data: []event.ExpointsData{rowWithID(22, "")}}, origin)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, decodeObject(t, item.Body)["Data"], any([]any{map[string]any{"CustomerDataColumnId": 22.0, "Value": "v"}}))
}

func TestWrongEventIDColumnIsADependencyError(t *testing.T) {
	for _, name := range []string{"Nope", "Old", "Twice"} {
		cfg := newFakeVendor(t, testColumns).accountConfig()
		cfg.EventIDColumn = name
		add, _, _ := newTestOperations(t, cfg)
		_, err := add.Encode(t.Context(), &event.FeedbackRequest{Data: []event.ExpointsData{namedRow("First name")}}, origin)
		wantDependencyError(t, err, sink.Misconfigured)
	}
}

func wantDependencyError(t *testing.T, err error, class sink.ResultClass) {
	t.Helper()
	var dependency *sink.DependencyError
	if !errors.As(err, &dependency) || dependency.Response.Class != class {
		t.Fatalf("got error %v, want a *sink.DependencyError with class %v", err, class)
	}
}

func TestMissingCatalogueIsADependencyError(t *testing.T) {
	for _, tt := range []struct {
		name, catalogue string
		status          int
		want            sink.ResultClass
	}{
		{"503", "", 503, sink.Unavailable},
		{"429", "", 429, sink.Throttled},
		{"404", "", 404, sink.Misconfigured},
		{"400 for a request without data", "", 400, sink.Misconfigured},
		{"502 for a request that changes nothing", "", 502, sink.Unavailable},
		{"401", "", 401, sink.Unauthorized},
		{"HTML", "<html>", 0, sink.Misconfigured},
		{"another object", `{"Columns":[]}`, 0, sink.Misconfigured},
		{"truncated", `{"CustomerDataColumns":[{"Id":1`, 0, sink.Misconfigured},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newFakeVendor(t, tt.catalogue)
			v.setCatalogue(tt.catalogue, tt.status)
			add, _, _ := newTestOperations(t, v.accountConfig())
			_, err := add.Encode(t.Context(), &event.FeedbackRequest{}, origin)
			wantDependencyError(t, err, tt.want)
			if got := add.(sink.Prober).Probe(t.Context()); got.Class != tt.want {
				t.Errorf("got class %v from Probe, want %v", got.Class, tt.want)
			}
		})
	}
}

func TestProbeFetchesTheCatalogue(t *testing.T) {
	v := newFakeVendor(t, testColumns)
	_, _, lock := newTestOperations(t, v.accountConfig())
	if got := lock.(sink.Prober).Probe(t.Context()); got.Class != sink.Delivered || v.fetchCount() != 1 {
		t.Errorf("got class %v after %d fetches, want delivered after 1", got.Class, v.fetchCount())
	}
}

const catalogueWithNewColumn = `{"CustomerDataColumns":[{"Id":30,"Required":false,"Archived":false,"Name":"New"}]}`

func encodeWithNewColumn(t *testing.T, add sink.Operation) error {
	t.Helper()
	_, err := add.Encode(t.Context(), &event.FeedbackRequest{Data: []event.ExpointsData{namedRow("New")}}, origin)
	return err
}

// An old catalogue would reject records that have a value for a column which was added recently.
func TestUnknownColumnRefetchesTheCatalogueAtMostOncePerMinute(t *testing.T) {
	v := newFakeVendor(t, testColumns)
	synctest.Test(t, func(t *testing.T) {
		add, _, _ := newTestOperations(t, v.accountConfig())
		unknown := []sink.Violation{
			{Path: "Data[0].Name", Rule: "must be a column of the account"},
			{Path: "Data", Rule: `column "First name" is mandatory`},
		}
		wantViolations(t, encodeWithNewColumn(t, add), unknown)
		v.setCatalogue(catalogueWithNewColumn, 0)
		testkit.AdvanceClock(rejectionMaxAge - time.Nanosecond)
		wantViolations(t, encodeWithNewColumn(t, add), unknown)
		if got := v.fetchCount(); got != 1 {
			t.Fatalf("got %d fetches within the minute, want 1", got)
		}
		testkit.AdvanceClock(time.Nanosecond)
		wantViolations(t, encodeWithNewColumn(t, add), nil)
		if got := v.fetchCount(); got != 2 {
			t.Fatalf("got %d fetches after the minute, want 2", got)
		}
	})
}

// A rejection by the old catalogue while no newer one is available would dead-letter a record
// because of an outage of the vendor.
func TestUnknownColumnIsADependencyErrorWhileTheCatalogueIsUnavailable(t *testing.T) {
	v := newFakeVendor(t, testColumns)
	synctest.Test(t, func(t *testing.T) {
		add, _, _ := newTestOperations(t, v.accountConfig())
		if encodeWithNewColumn(t, add) == nil {
			t.Fatal("got no error for an unknown column, want one")
		}
		v.setCatalogue("", http.StatusServiceUnavailable)
		testkit.AdvanceClock(rejectionMaxAge)
		wantDependencyError(t, encodeWithNewColumn(t, add), sink.Unavailable)
	})
}

func TestOldCatalogueIsUsedWhileItsRefreshFails(t *testing.T) {
	v := newFakeVendor(t, testColumns)
	synctest.Test(t, func(t *testing.T) {
		cfg := v.accountConfig()
		add, _, _ := newTestOperations(t, cfg)
		encodeValid := func() error {
			_, err := add.Encode(t.Context(), &event.FeedbackRequest{Data: []event.ExpointsData{namedRow("First name")}}, origin)
			return err
		}
		steps := []struct {
			wait        time.Duration
			wantFetches int
		}{{0, 1}, {cfg.ColumnsRefresh - 1, 1}, {1, 2}, {rejectionMaxAge - 1, 2}, {1, 3}}
		for i, step := range steps {
			testkit.AdvanceClock(step.wait)
			if err := encodeValid(); err != nil {
				t.Fatal(err)
			}
			if got := v.fetchCount(); got != step.wantFetches {
				t.Fatalf("step %d: got %d fetches, want %d", i, got, step.wantFetches)
			}
			v.setCatalogue("", http.StatusBadGateway)
		}
	})
}

func TestConcurrentEncodersFetchTheCatalogueOnce(t *testing.T) {
	v := newFakeVendor(t, testColumns)
	add, _, _ := newTestOperations(t, v.accountConfig())
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			request := &event.FeedbackRequest{Data: []event.ExpointsData{namedRow("First name")}}
			if _, err := add.Encode(t.Context(), request, origin); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := v.fetchCount(); got != 1 {
		t.Errorf("got %d fetches, want 1", got)
	}
}

func TestWaitingForTheCatalogueEndsWithItsContext(t *testing.T) {
	neverCalled := func(context.Context) (*catalogue, error) { return nil, errors.New("never called") }
	cache := newCatalogueCache(time.Hour, neverCalled)
	cache.fetching <- struct{}{} // another caller is fetching
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cache.getUsable(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}
