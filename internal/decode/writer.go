package decode

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
)

// writer gives the parsed schema of an id with all that it refers to: errNotFound where the registry does not know the id, *Poison
// where the schema is not Avro that can be parsed.
func (r *registry) writer(ctx context.Context, id int) (*avro.Schema, error) {
	s, err := r.byID(ctx, id)
	if err != nil {
		return nil, err
	}
	p := &schemaParser{registry: r, seen: map[sr.SchemaReference]bool{}}
	return p.parse(ctx, id, s)
}

// schemaParser parses a schema after those that it refers to.
type schemaParser struct {
	registry *registry
	cache    avro.SchemaCache
	seen     map[sr.SchemaReference]bool
}

func (p *schemaParser) parse(ctx context.Context, id int, s sr.Schema) (*avro.Schema, error) {
	if s.Type != sr.TypeAvro {
		return nil, &PoisonError{ID: id, Reason: fmt.Sprintf("the schema is %s, want AVRO", s.Type)}
	}
	for _, ref := range s.References {
		if err := p.reference(ctx, id, ref); err != nil {
			return nil, err
		}
	}
	schema, err := p.cache.Parse(s.Schema)
	if err != nil {
		return nil, &PoisonError{ID: id, Reason: cut("parsing the schema: " + err.Error())}
	}
	return schema, nil
}

func (p *schemaParser) reference(ctx context.Context, id int, ref sr.SchemaReference) error {
	if p.seen[ref] {
		return nil
	}
	if len(p.seen) == maxReferences {
		return &PoisonError{ID: id, Reason: fmt.Sprintf("the schema refers to more than %d others", maxReferences)}
	}
	p.seen[ref] = true
	s, err := p.registry.byVersion(ctx, ref)
	switch {
	case errors.Is(err, errNotFound):
		// The registry took the schema with its references: that one is gone now is not the record's fault.
		return fmt.Errorf("reference %s version %d: the registry does not have it", cut(ref.Subject), ref.Version)
	case err != nil:
		return fmt.Errorf("reference %s version %d: %w", cut(ref.Subject), ref.Version, err)
	}
	_, err = p.parse(ctx, id, s)
	return err
}
