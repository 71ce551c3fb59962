package route

import (
	"context"
	"errors"

	"sluice/internal/decode"
	"sluice/internal/record"
)

// lookAhead asks for the schema ids of the records behind one that waits because no id was ever known. Where the registry knows one of them it is the
// right one, and the record that waits is to blame alone: it must not hold those behind it for ever.
func (r *Router) lookAhead(ctx context.Context, why error, behind []*record.Record) {
	var unknown *decode.UnknownSchemaError
	if !errors.As(why, &unknown) || unknown.EverResolved {
		return
	}
	for _, rec := range behind {
		if rec == nil || rec.Raw.Value == nil {
			continue
		}
		_, err := r.decoder.Decode(ctx, rec.Raw.Topic, rec.Raw.Value)
		var poison *decode.PoisonError
		if !errors.As(err, &poison) && (!errors.As(err, &unknown) || unknown.EverResolved) {
			return // an id is known, or the registry does not answer
		}
	}
}
