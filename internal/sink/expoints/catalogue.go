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

// rejectionMaxAge is the maximum age of a catalogue that may reject a record. Columns are added and
// archived while records are in flight, so an older catalogue may be wrong about a column.
const rejectionMaxAge = time.Minute

// column is one customer data column of the account (GET /external/api/v3/customerdatacolumn).
type column struct {
	ID       int32  `json:"Id"`
	Name     string `json:"Name"`
	Required bool   `json:"Required"`
	Archived bool   `json:"Archived"`
}

// catalogue is a snapshot of the account's column catalogue. It is immutable.
type catalogue struct {
	byName    map[string][]column // several columns may share a name, such as archived ones
	byID      map[int32]column
	required  []column // without archived ones
	fetchedAt time.Time
}

// parseCatalogue parses the body of a catalogue response. Its errors do not quote the body.
func parseCatalogue(body []byte, now time.Time) (*catalogue, error) {
	var parsed struct {
		CustomerDataColumns []column
	}
	if err := json.Unmarshal(body, &parsed); err != nil {
		return nil, errors.New("reading the column catalogue: not a JSON object of CustomerDataColumns")
	}
	if parsed.CustomerDataColumns == nil {
		return nil, errors.New("reading the column catalogue: CustomerDataColumns is missing")
	}
	count := len(parsed.CustomerDataColumns)
	c := &catalogue{
		byName: make(map[string][]column, count), byID: make(map[int32]column, count), fetchedAt: now,
	}
	for _, col := range parsed.CustomerDataColumns {
		c.byID[col.ID] = col
		c.byName[col.Name] = append(c.byName[col.Name], col)
		if col.Required && !col.Archived {
			c.required = append(c.required, col)
		}
	}
	return c, nil
}

// findColumn returns the ID of the column to which a row refers. If there is none, it returns the
// field of the row that is wrong and the rule that the field violates.
func (c *catalogue) findColumn(row *event.ExpointsData) (id int32, field, rule string) {
	if row.Name == "" {
		return c.findColumnByID(row.CustomerDataColumnId)
	}
	named := c.byName[row.Name]
	if len(named) == 0 {
		return 0, "Name", "must be a column of the account"
	}
	found := 0
	isNamed := row.CustomerDataColumnId == nil
	for _, col := range named {
		if row.CustomerDataColumnId != nil && col.ID != *row.CustomerDataColumnId {
			continue
		}
		isNamed = true
		if !col.Archived {
			id, found = col.ID, found+1
		}
	}
	switch {
	case !isNamed:
		return 0, "CustomerDataColumnId", "must be the id of the column that Name names"
	case found == 0:
		return 0, "Name", "must be a column that is not archived"
	case found > 1:
		return 0, "CustomerDataColumnId", "is mandatory where several columns have the name"
	}
	return id, "", ""
}

// findColumnByID is findColumn for a row without a name, as in the vendor's own example.
func (c *catalogue) findColumnByID(id *int32) (_ int32, field, rule string) {
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

// resolveRows returns the rows with the IDs of their columns, and every violation. With requireAll,
// every required column must have a row with a value.
func (c *catalogue) resolveRows(
	rows []event.ExpointsData, requireAll bool,
) ([]event.ExpointsData, []sink.Violation) {
	var violations []sink.Violation
	resolved := slices.Clone(rows)
	for i, row := range rows {
		id, field, rule := c.findColumn(&row)
		if rule != "" {
			violations = append(violations, sink.Violation{Path: fmt.Sprintf("Data[%d].%s", i, field), Rule: rule})
		}
		resolved[i].CustomerDataColumnId = &id
	}
	if requireAll {
		violations = append(violations, c.findMissing(resolved)...)
	}
	return resolved, violations
}

// findMissing returns a violation for each required column without a row or value.
func (c *catalogue) findMissing(resolved []event.ExpointsData) []sink.Violation {
	var violations []sink.Violation
	for _, col := range c.required {
		isOfColumn := func(row event.ExpointsData) bool { return *row.CustomerDataColumnId == col.ID }
		i := slices.IndexFunc(resolved, isOfColumn)
		switch {
		case i < 0:
			violations = append(violations, sink.Violation{
				Path: "Data", Rule: fmt.Sprintf("column %q is mandatory", col.Name),
			})
		case resolved[i].Value == "":
			violations = append(violations, sink.Violation{
				Path: fmt.Sprintf("Data[%d].Value", i),
				Rule: fmt.Sprintf("must not be empty, column %q is mandatory", col.Name),
			})
		}
	}
	return violations
}

// catalogueCache caches the account's catalogue. The first caller that needs a newer one fetches
// it, one fetch at a time; nothing runs in the background.
type catalogueCache struct {
	fetch    func(ctx context.Context) (*catalogue, error)
	refresh  time.Duration // age at which a catalogue is fetched again
	fetching chan struct{} // a semaphore; the fetching caller holds its one slot

	mu          sync.Mutex // guards the fields below
	latest      *catalogue // nil before the first success
	attemptedAt time.Time  // when the last fetch started
}

func newCatalogueCache(
	refresh time.Duration, fetch func(ctx context.Context) (*catalogue, error),
) *catalogueCache {
	return &catalogueCache{fetch: fetch, refresh: refresh, fetching: make(chan struct{}, 1)}
}

// getUsable returns the catalogue to encode with. An old one is used while a newer one cannot be
// fetched, or is being fetched by another caller.
func (c *catalogueCache) getUsable(ctx context.Context) (*catalogue, error) {
	latest, attemptedAt := c.snapshot()
	if latest == nil {
		return c.getYoungerThan(ctx, c.refresh)
	}
	if time.Since(latest.fetchedAt) < c.refresh || time.Since(attemptedAt) < rejectionMaxAge {
		return latest, nil
	}
	select {
	case c.fetching <- struct{}{}:
	default:
		return latest, nil
	}
	defer func() { <-c.fetching }()
	if fetched, err := c.fetchLocked(ctx); err == nil {
		return fetched, nil
	}
	return latest, ctx.Err()
}

// getYoungerThan returns a catalogue younger than maxAge, and fetches it if necessary.
func (c *catalogueCache) getYoungerThan(ctx context.Context, maxAge time.Duration) (*catalogue, error) {
	select {
	case c.fetching <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the column catalogue: %w", ctx.Err())
	}
	defer func() { <-c.fetching }()
	if latest, _ := c.snapshot(); latest != nil && time.Since(latest.fetchedAt) < maxAge {
		return latest, nil
	}
	return c.fetchLocked(ctx)
}

// fetchLocked fetches and caches the catalogue. The caller must hold the slot in fetching.
func (c *catalogueCache) fetchLocked(ctx context.Context) (*catalogue, error) {
	c.mu.Lock()
	c.attemptedAt = time.Now()
	c.mu.Unlock()
	fetched, err := c.fetch(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.latest = fetched
	c.mu.Unlock()
	return fetched, nil
}

func (c *catalogueCache) snapshot() (latest *catalogue, attemptedAt time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest, c.attemptedAt
}
