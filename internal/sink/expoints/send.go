package expoints

import (
	"context"
	"errors"
	"net/http"
	"time"

	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// callVendor makes one call with the account's token and parses its exchange. body is nil for a
// GET. The configured timeout covers a login as well.
func (a *account) callVendor(
	ctx context.Context, method, path string, body *requestBody, parse func(vendorhttp.Exchange) sink.Response,
) sink.Response {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	return a.tokens.CallWithToken(ctx, func(token string) sink.Response {
		req, err := http.NewRequestWithContext(ctx, method, a.baseURL+path, http.NoBody)
		if err != nil {
			return sink.Response{Result: sink.Result{Class: sink.Misconfigured}, Err: errBaseURL}
		}
		req.Header.Set("Accept", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		if body != nil {
			req.Header.Set("Content-Type", "application/json; charset=utf-8")
			req.Body, req.ContentLength, req.GetBody = vendorhttp.Body(body.prefix, body.items, body.suffix)
		}
		return parse(vendorhttp.RoundTrip(ctx, a.client, req, 0))
	})
}

// errBaseURL replaces the error of net/http, which quotes the URL.
var errBaseURL = errors.New("building the request: base_url cannot be used")

// requestBody is the body of a call: prefix, the items with commas between them, suffix.
type requestBody struct {
	prefix []byte
	items  []sink.Item
	suffix []byte
}

// fetchCatalogue requests the catalogue. If the token is refused, it refreshes the token and tries
// once more, as package deliver does for the calls that it makes.
func (a *account) fetchCatalogue(ctx context.Context) (*catalogue, error) {
	columns, response := a.requestCatalogue(ctx)
	if response.Class == sink.Unauthorized && response.TokenVersion != 0 &&
		a.tokens.Refresh(ctx, response.TokenVersion) == nil {
		columns, response = a.requestCatalogue(ctx)
	}
	if response.Class != sink.Delivered {
		return nil, &sink.DependencyError{Action: "fetching the column catalogue", Response: response}
	}
	return columns, nil
}

// requestCatalogue makes the call GET /external/api/v3/customerdatacolumn without filters, so that
// the response has all columns. A 2xx response that is not a catalogue does not come from the API:
// its class is Misconfigured.
func (a *account) requestCatalogue(ctx context.Context) (*catalogue, sink.Response) {
	var columns *catalogue
	parse := func(exchange vendorhttp.Exchange) sink.Response {
		response := vendorhttp.DependencyResponse(vendorhttp.ClassifyExchange(exchange))
		if response.Class != sink.Delivered {
			return response
		}
		var err error
		if columns, err = parseCatalogue(exchange.Body, time.Now()); err != nil {
			response.Class, response.Err = sink.Misconfigured, err
		}
		return response
	}
	response := a.callVendor(ctx, http.MethodGet, "/external/api/v3/customerdatacolumn", nil, parse)
	return columns, response
}
