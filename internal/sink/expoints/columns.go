package expoints

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sluice/internal/event"
	"sluice/internal/sink"
)

// verdictAge is the greatest age of a catalogue by which a record is refused: columns are added and archived while records are on their way.
const verdictAge = time.Minute

// column is one customer data column of the account (GET /external/api/v3/customerdatacolumn).
type column struct {
	ID       int32  `json:"Id"`
	Name     string `json:"Name"`
	Required bool   `json:"Required"`
	Archived bool   `json:"Archived"`
}

// columns is one reading of the catalogue. It never changes.
type columns struct {
	byName   map[string][]column // a name may be used again after its column was archived
	byID     map[int32]column
	required []column // not archived
	read     time.Time
}

// readColumns reads the answer of the catalogue.
func readColumns(body []byte, now time.Time) (*columns, error) {
	var answer struct {
		CustomerDataColumns []column
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		// The decoder's own words may hold a part of the body.
		return nil, errors.New("reading the column catalogue: not a JSON object of CustomerDataColumns")
	}
	if answer.CustomerDataColumns == nil {
		return nil, errors.New("reading the column catalogue: CustomerDataColumns is missing")
	}
	n := len(answer.CustomerDataColumns)
	c := &columns{byName: make(map[string][]column, n), byID: make(map[int32]column, n), read: now}
	for _, col := range answer.CustomerDataColumns {
		c.byID[col.ID] = col
		c.byName[col.Name] = append(c.byName[col.Name], col)
		if col.Required && !col.Archived {
			c.required = append(c.required, col)
		}
	}
	return c, nil
}

// find gives the column that a row names, or the rule that the row breaks and the field that breaks it.
func (c *columns) find(row *event.ExpointsData) (id int32, field, rule string) {
	if row.Name == "" {
		return c.findByID(row.CustomerDataColumnId)
	}
	named := c.byName[row.Name]
	if len(named) == 0 {
		return 0, "Name", "must be a column of the account"
	}
	found := 0
	known := row.CustomerDataColumnId == nil
	for _, col := range named {
		if row.CustomerDataColumnId != nil && col.ID != *row.CustomerDataColumnId {
			continue
		}
		known = true
		if !col.Archived {
			id, found = col.ID, found+1
		}
	}
	switch {
	case !known:
		return 0, "CustomerDataColumnId", "must be the id of the column that Name names"
	case found == 0:
		return 0, "Name", "must be a column that is not archived"
	case found > 1:
		return 0, "CustomerDataColumnId", "is mandatory where several columns have the name"
	}
	return id, "", ""
}

// findByID is find for a row without a name, as the page's own example has them.
func (c *columns) findByID(id *int32) (_ int32, field, rule string) {
	if id == nil {
		return 0, "Name", "is mandatory without CustomerDataColumnId"
	}
	switch col, ok := c.byID[*id]; {
	case !ok:
		return 0, "CustomerDataColumnId", "must be a column of the account"
	case col.Archived:
		return 0, "CustomerDataColumnId", "must be a column that is not archived"
	}
	return *id, "", ""
}

// resolve gives the rows with their columns' ids, and every fault. all says that every required column must be there, with a value: the vendor
// needs it to address the customer.
func (c *columns) resolve(rows []event.ExpointsData, all bool) ([]event.ExpointsData, []sink.Violation) {
	var faults []sink.Violation
	resolved := slices.Clone(rows)
	for i, row := range rows {
		id, field, rule := c.find(&row)
		if rule != "" {
			faults = append(faults, sink.Violation{Path: fmt.Sprintf("Data[%d].%s", i, field), Rule: rule})
		}
		resolved[i].CustomerDataColumnId = &id
	}
	if !all {
		return resolved, faults
	}
	for _, col := range c.required {
		i := slices.IndexFunc(resolved, func(r event.ExpointsData) bool { return *r.CustomerDataColumnId == col.ID })
		switch {
		case i < 0:
			faults = append(faults, sink.Violation{Path: "Data", Rule: fmt.Sprintf("column %q is mandatory", col.Name)})
		case resolved[i].Value == "":
			faults = append(faults, sink.Violation{Path: fmt.Sprintf("Data[%d].Value", i), Rule: fmt.Sprintf("must not be empty, column %q is mandatory", col.Name)})
		}
	}
	return resolved, faults
}

// catalogue keeps the account's columns. They are read by the first that needs them, one reading at a time; nothing runs in the background.
type catalogue struct {
	fetch   func(ctx context.Context) (*columns, error)
	refresh time.Duration
	reading chan struct{} // holds one token while a reading is under way

	mu    sync.Mutex // guards what follows
	last  *columns   // nil before the first success
	tried time.Time  // when the last reading began
}

func newCatalogue(refresh time.Duration, fetch func(ctx context.Context) (*columns, error)) *catalogue {
	return &catalogue{fetch: fetch, refresh: refresh, reading: make(chan struct{}, 1)}
}

// usable gives the columns to encode with. Old ones stand while they cannot be read anew.
func (c *catalogue) usable(ctx context.Context) (*columns, error) {
	last, tried := c.state()
	if last == nil {
		return c.within(ctx, c.refresh)
	}
	if time.Since(last.read) < c.refresh || time.Since(tried) < verdictAge {
		return last, nil
	}
	select {
	case c.reading <- struct{}{}:
	default:
		return last, nil
	}
	defer func() { <-c.reading }()
	if anew, err := c.read(ctx); err == nil {
		return anew, nil
	}
	return last, ctx.Err()
}

// within gives columns that were read less than age ago, reading them where need be.
func (c *catalogue) within(ctx context.Context, age time.Duration) (*columns, error) {
	select {
	case c.reading <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the column catalogue: %w", ctx.Err())
	}
	defer func() { <-c.reading }()
	if last, _ := c.state(); last != nil && time.Since(last.read) < age {
		return last, nil
	}
	return c.read(ctx)
}

// read is called by the holder of the token in reading.
func (c *catalogue) read(ctx context.Context) (*columns, error) {
	c.mu.Lock()
	c.tried = time.Now()
	c.mu.Unlock()
	anew, err := c.fetch(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.last = anew
	c.mu.Unlock()
	return anew, nil
}

func (c *catalogue) state() (*columns, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last, c.tried
}
