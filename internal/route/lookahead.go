package route

import (
	"context"
	"errors"

	"sluice/internal/decode"
	"sluice/internal/record"
)

// lookAhead looks up the schema IDs of the records behind one that waits because the registry has
// never known an ID. If the registry knows one of them, it is the right registry and only the
// waiting record is at fault, which must not block those behind it forever.
func (r *Router) lookAhead(ctx context.Context, cause error, behind []*record.Record) {
	var unknown *decode.UnknownSchemaError
	if !errors.As(cause, &unknown) || unknown.EverResolved {
		return
	}
	for _, rec := range behind {
		if rec == nil || rec.Raw.Value == nil {
			continue
		}
		_, err := r.decoder.Decode(ctx, rec.Raw.Topic, rec.Raw.Value)
		var poison *decode.PoisonError
		if !errors.As(err, &poison) && (!errors.As(err, &unknown) || unknown.EverResolved) {
			return // an ID is known, or the registry does not respond
		}
	}
}
