package expoints

import (
	"context"
	"errors"
	"slices"

	"sluice/internal/event"
	"sluice/internal/sink"
)

// resolveData returns the event's data rows with the IDs of their columns, and a row with the event
// ID if event_id_column is configured. With requireAll, every required column must have a row.
// Violations are only reported by a catalogue younger than rejectionMaxAge.
func (a *account) resolveData(
	ctx context.Context, rows []event.ExpointsData, eventID string, requireAll bool,
) ([]event.ExpointsData, []sink.Violation, error) {
	if len(rows) == 0 && a.cfg.EventIDColumn == "" && !requireAll {
		return rows, nil, nil
	}
	columns, err := a.catalogue.getUsable(ctx)
	if err != nil {
		return nil, nil, err
	}
	resolved, violations, err := a.resolveRows(columns, rows, eventID, requireAll)
	if err == nil && len(violations) == 0 {
		return resolved, nil, nil
	}
	columns, err = a.catalogue.getYoungerThan(ctx, rejectionMaxAge)
	if err != nil {
		return nil, nil, err
	}
	return a.resolveRows(columns, rows, eventID, requireAll)
}

// resolveRows adds the row of the event ID, unless the event has a row for that column, and
// resolves all rows. If event_id_column is not a usable column, that is no record's fault, and the
// error is a *sink.DependencyError.
func (a *account) resolveRows(
	columns *catalogue, rows []event.ExpointsData, eventID string, requireAll bool,
) ([]event.ExpointsData, []sink.Violation, error) {
	name := a.cfg.EventIDColumn
	hasName := func(row event.ExpointsData) bool { return row.Name == name }
	if name != "" && !slices.ContainsFunc(rows, hasName) {
		row := event.ExpointsData{Name: name, Value: eventID}
		id, _, rule := columns.findColumn(&row)
		if rule != "" {
			return nil, nil, &sink.DependencyError{Action: "finding event_id_column", Response: sink.Response{
				Result: sink.Result{Class: sink.Misconfigured},
				Err:    errors.New("event_id_column " + rule),
			}}
		}
		if !hasRowFor(rows, id) {
			rows = append(slices.Clip(rows), row)
		}
	}
	resolved, violations := columns.resolveRows(rows, requireAll)
	return resolved, violations, nil
}

// hasRowFor reports whether a row refers to the column by its ID alone.
func hasRowFor(rows []event.ExpointsData, columnID int32) bool {
	return slices.ContainsFunc(rows, func(row event.ExpointsData) bool {
		return row.Name == "" && row.CustomerDataColumnId != nil && *row.CustomerDataColumnId == columnID
	})
}

// eventIDOf returns the event's own ID, or the ID of its origin if it has none.
func eventIDOf(own *string, origin sink.Origin) string {
	if own != nil && *own != "" {
		return *own
	}
	return origin.ID()
}
