package decode

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
)

// writerSchema returns the parsed schema of an ID with all schemas that it refers to. The error is
// errNotFound if the registry does not know the ID, and a *PoisonError if the schema is not valid
// Avro.
func (r *registry) writerSchema(ctx context.Context, id int) (*avro.Schema, error) {
	s, err := r.schemaByID(ctx, id)
	if err != nil {
		return nil, err
	}
	p := &schemaParser{registry: r, seen: map[sr.SchemaReference]bool{}}
	return p.parseSchema(ctx, id, s)
}

// schemaParser parses the schemas that a schema refers to and then the schema itself.
type schemaParser struct {
	registry *registry
	cache    avro.SchemaCache
	seen     map[sr.SchemaReference]bool
}

func (p *schemaParser) parseSchema(ctx context.Context, id int, s sr.Schema) (*avro.Schema, error) {
	if s.Type != sr.TypeAvro {
		return nil, &PoisonError{ID: id, Reason: fmt.Sprintf("the schema is %s, want AVRO", s.Type)}
	}
	for _, ref := range s.References {
		if err := p.parseReference(ctx, id, ref); err != nil {
			return nil, err
		}
	}
	schema, err := p.cache.Parse(s.Schema)
	if err != nil {
		return nil, &PoisonError{ID: id, Reason: truncateText("parsing the schema: " + err.Error())}
	}
	return schema, nil
}

func (p *schemaParser) parseReference(ctx context.Context, id int, ref sr.SchemaReference) error {
	if p.seen[ref] {
		return nil
	}
	if len(p.seen) == maxReferences {
		return &PoisonError{ID: id, Reason: fmt.Sprintf("the schema refers to more than %d others", maxReferences)}
	}
	p.seen[ref] = true
	subject := truncateText(ref.Subject)
	s, err := p.registry.schemaByVersion(ctx, ref)
	switch {
	case errors.Is(err, errNotFound):
		// The registry accepted the schema with its references, so the record is not at fault if
		// one is missing.
		return fmt.Errorf("reference %s version %d: the registry does not have it", subject, ref.Version)
	case err != nil:
		return fmt.Errorf("reference %s version %d: %w", subject, ref.Version, err)
	}
	_, err = p.parseSchema(ctx, id, s)
	return err
}
