package expoints

import (
	"context"
	"errors"
	"net/http"
	"time"

	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// call makes one call of the account and hands the reply to read. body is nil for a GET.
func (a *account) call(ctx context.Context, method, path string, body *requestBody, read func(vendorhttp.Exchange) sink.Response) sink.Response {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	token, generation, err := a.tokens.Get(ctx)
	if err != nil {
		return noToken(err)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, http.NoBody)
	if err != nil {
		return sink.Response{Result: sink.Result{Class: sink.Misconfigured}, Err: errors.New("building the request: base_url cannot be used"), TokenVersion: generation}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
		req.Body, req.ContentLength, req.GetBody = vendorhttp.Body(body.prefix, body.items, body.suffix)
	}
	answer := read(vendorhttp.RoundTrip(ctx, a.client, req, 0))
	answer.TokenVersion = generation
	return answer
}

// requestBody is a body in pieces: prefix, the items with commas between them, suffix.
type requestBody struct {
	prefix []byte
	items  []sink.Item
	suffix []byte
}

// noToken says what a call came to that had no token to go with.
func noToken(err error) sink.Response {
	var unready *sink.DependencyError
	if errors.As(err, &unready) {
		answer := unready.Response
		answer.Err = err
		return answer
	}
	return sink.Response{Result: sink.Result{Class: sink.Unavailable}, Err: err}
}

// fetchColumns reads the catalogue. A refused token is renewed once, as it is for any other call.
func (a *account) fetchColumns(ctx context.Context) (*columns, error) {
	cols, answer := a.getColumns(ctx)
	if answer.Class == sink.Unauthorized && answer.TokenVersion != 0 && a.tokens.Refresh(ctx, answer.TokenVersion) == nil {
		cols, answer = a.getColumns(ctx)
	}
	if answer.Class != sink.Delivered {
		return nil, &sink.DependencyError{Action: "fetching the column catalogue", Response: answer}
	}
	return cols, nil
}

// getColumns makes the call GET /external/api/v3/customerdatacolumn without filters: required or not, archived or not.
func (a *account) getColumns(ctx context.Context) (*columns, sink.Response) {
	var cols *columns
	answer := a.call(ctx, http.MethodGet, "/external/api/v3/customerdatacolumn", nil, func(r vendorhttp.Exchange) sink.Response {
		answer := harmless(vendorhttp.ClassifyExchange(r))
		if answer.Class != sink.Delivered {
			return answer
		}
		var err error
		if cols, err = readColumns(r.Body, time.Now()); err != nil {
			// A 2xx that is no catalogue comes from something else than the API.
			answer.Class, answer.Err = sink.Misconfigured, err
		}
		return answer
	})
	return cols, answer
}

// harmless leaves the classes that say how to wait for a call that sends no data and changes nothing.
func harmless(a sink.Response) sink.Response {
	a.MayHaveActed = false
	switch a.Class {
	case sink.Unknown:
		a.Class = sink.Unavailable
	case sink.Rejected, sink.TooLarge:
		a.Class = sink.Misconfigured
	default: // says how to wait as it is
	}
	return a
}
