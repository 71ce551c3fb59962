package expoints

import (
	"context"
	"errors"
	"slices"

	"sluice/internal/event"
	"sluice/internal/sink"
)

// data gives an event's rows with their columns' ids, the event id's row among them. all says that every required column must be there.
// A record is refused only by a catalogue that is at most verdictAge old.
func (a *account) data(ctx context.Context, rows []event.ExpointsData, id string, all bool) ([]event.ExpointsData, []sink.Violation, error) {
	if len(rows) == 0 && a.cfg.EventIDColumn == "" && !all {
		return rows, nil, nil
	}
	cols, err := a.columns.usable(ctx)
	if err != nil {
		return nil, nil, err
	}
	resolved, faults, err := a.resolve(cols, rows, id, all)
	if err == nil && len(faults) == 0 {
		return resolved, nil, nil
	}
	cols, err = a.columns.within(ctx, verdictAge)
	if err != nil {
		return nil, nil, err
	}
	return a.resolve(cols, rows, id, all)
}

// resolve adds the event id's row, unless the event has filled that column itself. A wrong column name there is not the record's fault.
func (a *account) resolve(cols *columns, rows []event.ExpointsData, id string, all bool) ([]event.ExpointsData, []sink.Violation, error) {
	name := a.cfg.EventIDColumn
	if name != "" && !slices.ContainsFunc(rows, func(r event.ExpointsData) bool { return r.Name == name }) {
		row := event.ExpointsData{Name: name, Value: id}
		col, _, rule := cols.find(&row)
		if rule != "" {
			return nil, nil, &sink.DependencyError{Action: "finding event_id_column", Response: sink.Response{
				Result: sink.Result{Class: sink.Misconfigured},
				Err:    errors.New("event_id_column " + rule),
			}}
		}
		if !fillsByID(rows, col) {
			rows = append(slices.Clip(rows), row)
		}
	}
	resolved, faults := cols.resolve(rows, all)
	return resolved, faults, nil
}

func fillsByID(rows []event.ExpointsData, id int32) bool {
	return slices.ContainsFunc(rows, func(r event.ExpointsData) bool {
		return r.Name == "" && r.CustomerDataColumnId != nil && *r.CustomerDataColumnId == id
	})
}

// eventID is the event's own id, else where it was first read.
func eventID(own *string, origin sink.Origin) string {
	if own != nil && *own != "" {
		return *own
	}
	return origin.ID()
}

func dataMembers(w *writer, d *event.ExpointsData) {
	w.optInt("CustomerDataColumnId", d.CustomerDataColumnId)
	if d.Name != "" {
		w.text("Name", d.Name)
	}
	w.text("Value", d.Value)
	w.optBool("IsEncrypted", d.IsEncrypted)
	w.optText("CertificateThumbprint", d.CertificateThumbprint)
	w.optText("EncryptionKey", d.EncryptionKey)
}
