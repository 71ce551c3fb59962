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

const columnsOfTests = `{"CustomerDataColumns":[
	{"Id":15,"Required":true,"Archived":false,"Name":"First name"},
	{"Id":16,"Required":false,"Archived":false,"Name":"City"},
	{"Id":17,"Required":true,"Archived":true,"Name":"Old"},
	{"Id":18,"Required":false,"Archived":true,"Name":"Again"},
	{"Id":19,"Required":false,"Archived":false,"Name":"Again"},
	{"Id":20,"Required":false,"Archived":false,"Name":"Twice"},
	{"Id":21,"Required":false,"Archived":false,"Name":"Twice"},
	{"Id":22,"Required":false,"Archived":false,"Name":"Event"}]}`

func row(name string) event.ExpointsData { return event.ExpointsData{Name: name, Value: "v"} }

func rowOf(id int32, name string) event.ExpointsData {
	return event.ExpointsData{CustomerDataColumnId: &id, Name: name, Value: "v"}
}

func TestAddResolvesNamesAndNamesEveryFault(t *testing.T) {
	for _, tt := range []struct {
		name string
		rows []event.ExpointsData
		want []sink.Violation
	}{
		{"all is well", []event.ExpointsData{row("First name"), row("City")}, nil},
		{"a name used again after its column was archived", []event.ExpointsData{row("First name"), row("Again")}, nil},
		{"the id agrees", []event.ExpointsData{rowOf(15, "First name"), rowOf(21, "Twice")}, nil},
		{"a required column is missing; an archived one is not", []event.ExpointsData{row("City")},
			[]sink.Violation{{Path: "Data", Rule: `column "First name" is mandatory`}}},
		{"a required column is empty", []event.ExpointsData{{Name: "First name"}},
			[]sink.Violation{{Path: "Data[0].Value", Rule: `must not be empty, column "First name" is mandatory`}}},
		{"no data", nil, []sink.Violation{{Path: "Data", Rule: `column "First name" is mandatory`}}},
		{"a column that does not exist", []event.ExpointsData{row("First name"), row("Nope")},
			[]sink.Violation{{Path: "Data[1].Name", Rule: "must be a column of the account"}}},
		{"names are exact", []event.ExpointsData{row("First name"), row("city")},
			[]sink.Violation{{Path: "Data[1].Name", Rule: "must be a column of the account"}}},
		{"an archived column", []event.ExpointsData{row("First name"), row("Old")},
			[]sink.Violation{{Path: "Data[1].Name", Rule: "must be a column that is not archived"}}},
		{"another column's id", []event.ExpointsData{row("First name"), rowOf(15, "City")},
			[]sink.Violation{{Path: "Data[1].CustomerDataColumnId", Rule: "must be the id of the column that Name names"}}},
		{"one name, two columns", []event.ExpointsData{row("First name"), row("Twice")},
			[]sink.Violation{{Path: "Data[1].CustomerDataColumnId", Rule: "is mandatory where several columns have the name"}}},
		{"by id alone", []event.ExpointsData{rowOf(15, ""), rowOf(16, ""), rowOf(21, "")}, nil},
		{"an id that no column has", []event.ExpointsData{rowOf(15, ""), rowOf(99, "")},
			[]sink.Violation{{Path: "Data[1].CustomerDataColumnId", Rule: "must be a column of the account"}}},
		{"an archived column by id", []event.ExpointsData{rowOf(15, ""), rowOf(18, "")},
			[]sink.Violation{{Path: "Data[1].CustomerDataColumnId", Rule: "must be a column that is not archived"}}},
		{"neither name nor id", []event.ExpointsData{rowOf(15, ""), {Value: "v"}},
			[]sink.Violation{{Path: "Data[1].Name", Rule: "is mandatory without CustomerDataColumnId"}}},
		{"all at once", []event.ExpointsData{row("Nope"), row("Old")}, []sink.Violation{
			{Path: "Data[0].Name", Rule: "must be a column of the account"},
			{Path: "Data[1].Name", Rule: "must be a column that is not archived"},
			{Path: "Data", Rule: `column "First name" is mandatory`},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			add, _, _ := open(t, newTenant(t, columnsOfTests).config())
			_, err := add.Encode(t.Context(), &event.FeedbackRequest{Data: tt.rows}, origin)
			wantFaults(t, err, tt.want)
		})
	}
}

func wantFaults(t *testing.T, err error, want []sink.Violation) {
	t.Helper()
	var invalid *sink.ValidationError
	if err != nil && !errors.As(err, &invalid) {
		t.Fatalf("got the error %v, want *sink.Invalid", err)
	}
	var got []sink.Violation
	if invalid != nil {
		got = invalid.Violations
	}
	wantEqual(t, got, want)
}

func TestRequiredColumnsAreAskedOfAddAlone(t *testing.T) {
	_, finished, lock := open(t, newTenant(t, columnsOfTests).config())
	_, err := finished.Encode(t.Context(), &event.FeedbackFinished{Data: []event.ExpointsData{row("City")}}, origin)
	wantFaults(t, err, nil)
	_, err = lock.Encode(t.Context(), &event.FeedbackLock{Data: []event.ExpointsData{row("City")}}, origin)
	wantFaults(t, err, nil)
	_, err = lock.Encode(t.Context(), &event.FeedbackLock{Data: []event.ExpointsData{row("Nope")}}, origin)
	wantFaults(t, err, []sink.Violation{{Path: "Data[0].Name", Rule: "must be a column of the account"}})
}

func TestEventWithoutDataNeedsNoCatalogue(t *testing.T) {
	v := newTenant(t, columnsOfTests)
	v.set("", http.StatusServiceUnavailable)
	_, _, lock := open(t, v.config())
	if _, err := lock.Encode(t.Context(), &event.FeedbackLock{Email: new("a@example.org")}, origin); err != nil {
		t.Fatal(err)
	}
}

func TestEventIDGoesToItsColumn(t *testing.T) {
	for _, tt := range []struct {
		name string
		id   *string
		rows []event.ExpointsData
		want string
	}{
		{"its own id", new("e-1"), nil, "e-1"},
		{"else its origin", nil, nil, "feedback-2-41"},
		{"an empty id is none", new(""), nil, "feedback-2-41"},
		{"an event that fills the column is left as it is", new("e-1"), []event.ExpointsData{row("Event")}, "v"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := newTenant(t, columnsOfTests).config()
			cfg.EventIDColumn = "Event"
			add, finished, lock := open(t, cfg)
			data := append([]event.ExpointsData{row("First name")}, tt.rows...)
			one, err1 := add.Encode(t.Context(), &event.FeedbackRequest{EventId: tt.id, Data: data}, origin)
			two, err2 := finished.Encode(t.Context(), &event.FeedbackFinished{EventId: tt.id, Data: data}, origin)
			three, err3 := lock.Encode(t.Context(), &event.FeedbackLock{EventId: tt.id, Data: data}, origin)
			if err := errors.Join(err1, err2, err3); err != nil {
				t.Fatal(err)
			}
			want := []any{
				map[string]any{"CustomerDataColumnId": 15.0, "Name": "First name", "Value": "v"},
				map[string]any{"CustomerDataColumnId": 22.0, "Name": "Event", "Value": tt.want},
			}
			wantEqual(t, object(t, one.Body)["Data"], any(want))
			wantEqual(t, object(t, two.Body)["Customer"].(map[string]any)["Data"], any(want))
			wantEqual(t, object(t, three.Body)["Data"], any(want))
			if len(data) != len(tt.rows)+1 {
				t.Error("the event was changed")
			}
		})
	}
}

func TestAnEventMayFillTheEventIDColumnByItsID(t *testing.T) {
	cfg := newTenant(t, columnsOfTests).config()
	cfg.EventIDColumn = "Event"
	_, _, lock := open(t, cfg)
	item, err := lock.Encode(t.Context(), &event.FeedbackLock{Data: []event.ExpointsData{rowOf(22, "")}}, origin)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, object(t, item.Body)["Data"], any([]any{map[string]any{"CustomerDataColumnId": 22.0, "Value": "v"}}))
}

func TestWrongEventIDColumnIsNotBlamedOnTheRecord(t *testing.T) {
	for _, name := range []string{"Nope", "Old", "Twice"} {
		cfg := newTenant(t, columnsOfTests).config()
		cfg.EventIDColumn = name
		add, _, _ := open(t, cfg)
		_, err := add.Encode(t.Context(), &event.FeedbackRequest{Data: []event.ExpointsData{row("First name")}}, origin)
		wantUnready(t, err, sink.Misconfigured)
	}
}

func wantUnready(t *testing.T, err error, class sink.ResultClass) {
	t.Helper()
	var unready *sink.DependencyError
	if !errors.As(err, &unready) || unready.Response.Class != class {
		t.Fatalf("got the error %v, want *sink.Unready with class %v", err, class)
	}
}

func TestNoCatalogueIsUnready(t *testing.T) {
	for _, tt := range []struct {
		name, catalogue string
		status          int
		want            sink.ResultClass
	}{
		{"503", "", 503, sink.Unavailable},
		{"429", "", 429, sink.Throttled},
		{"404", "", 404, sink.Misconfigured},
		{"400, of a call without data", "", 400, sink.Misconfigured},
		{"502, of a call that changes nothing", "", 502, sink.Unavailable},
		{"401", "", 401, sink.Unauthorized},
		{"HTML", "<html>", 0, sink.Misconfigured},
		{"another object", `{"Columns":[]}`, 0, sink.Misconfigured},
		{"cut off", `{"CustomerDataColumns":[{"Id":1`, 0, sink.Misconfigured},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newTenant(t, tt.catalogue)
			v.set(tt.catalogue, tt.status)
			add, _, _ := open(t, v.config())
			_, err := add.Encode(t.Context(), &event.FeedbackRequest{}, origin)
			wantUnready(t, err, tt.want)
			if got := add.(sink.Prober).Probe(t.Context()); got.Class != tt.want {
				t.Errorf("the probe gives %v, want %v", got.Class, tt.want)
			}
		})
	}
}

func TestProbeReadsTheCatalogue(t *testing.T) {
	v := newTenant(t, columnsOfTests)
	_, _, lock := open(t, v.config())
	if got := lock.(sink.Prober).Probe(t.Context()); got.Class != sink.Delivered || v.readCount() != 1 {
		t.Errorf("the probe gives %v after %d readings, want delivered after 1", got.Class, v.readCount())
	}
}

const withNew = `{"CustomerDataColumns":[{"Id":30,"Required":false,"Archived":false,"Name":"New"}]}`

func encodeNew(t *testing.T, add sink.Operation) error {
	t.Helper()
	_, err := add.Encode(t.Context(), &event.FeedbackRequest{Data: []event.ExpointsData{row("New")}}, origin)
	return err
}

// A verdict by an old catalogue would refuse records for a column that was added a while ago.
func TestUnknownNameReadsTheCatalogueAnewAtMostOnceAMinute(t *testing.T) {
	v := newTenant(t, columnsOfTests)
	synctest.Test(t, func(t *testing.T) {
		add, _, _ := open(t, v.config())
		refused := []sink.Violation{{Path: "Data[0].Name", Rule: "must be a column of the account"}, {Path: "Data", Rule: `column "First name" is mandatory`}}
		wantFaults(t, encodeNew(t, add), refused)
		v.set(withNew, 0)
		testkit.AdvanceClock(verdictAge - time.Nanosecond)
		wantFaults(t, encodeNew(t, add), refused)
		if got := v.readCount(); got != 1 {
			t.Fatalf("%d readings within the minute, want 1", got)
		}
		testkit.AdvanceClock(time.Nanosecond)
		wantFaults(t, encodeNew(t, add), nil)
		if got := v.readCount(); got != 2 {
			t.Fatalf("%d readings after the minute, want 2", got)
		}
	})
}

// Refusing by the old catalogue while a newer one cannot be had would blame the record for an outage.
func TestUnknownNameWaitsWhileTheCatalogueCannotBeRead(t *testing.T) {
	v := newTenant(t, columnsOfTests)
	synctest.Test(t, func(t *testing.T) {
		add, _, _ := open(t, v.config())
		if encodeNew(t, add) == nil {
			t.Fatal("a name that is unknown was taken")
		}
		v.set("", http.StatusServiceUnavailable)
		testkit.AdvanceClock(verdictAge)
		wantUnready(t, encodeNew(t, add), sink.Unavailable)
	})
}

func TestOldColumnsStandWhileARefreshFails(t *testing.T) {
	v := newTenant(t, columnsOfTests)
	synctest.Test(t, func(t *testing.T) {
		cfg := v.config()
		add, _, _ := open(t, cfg)
		good := func() error {
			_, err := add.Encode(t.Context(), &event.FeedbackRequest{Data: []event.ExpointsData{row("First name")}}, origin)
			return err
		}
		steps := []struct {
			wait  time.Duration
			reads int
		}{{0, 1}, {cfg.ColumnsRefresh - 1, 1}, {1, 2}, {verdictAge - 1, 2}, {1, 3}}
		for i, step := range steps {
			testkit.AdvanceClock(step.wait)
			if err := good(); err != nil {
				t.Fatal(err)
			}
			if got := v.readCount(); got != step.reads {
				t.Fatalf("step %d: %d readings, want %d", i, got, step.reads)
			}
			v.set("", http.StatusBadGateway)
		}
	})
}

func TestManyEncodersReadTheCatalogueOnce(t *testing.T) {
	v := newTenant(t, columnsOfTests)
	add, _, _ := open(t, v.config())
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := add.Encode(t.Context(), &event.FeedbackRequest{Data: []event.ExpointsData{row("First name")}}, origin); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := v.readCount(); got != 1 {
		t.Errorf("%d readings, want 1", got)
	}
}

func TestWaitingForTheCatalogueEndsWithItsContext(t *testing.T) {
	c := newCatalogue(time.Hour, func(context.Context) (*columns, error) { return nil, errors.New("never called") })
	c.reading <- struct{}{} // another one is reading
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.usable(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}
