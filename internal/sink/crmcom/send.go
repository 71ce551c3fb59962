package crmcom

import (
	"context"
	"fmt"
	"net/http"

	"sluice/internal/sink"
	"sluice/internal/sink/jsonwriter"
	"sluice/internal/sink/vendorhttp"
)

// Send makes one call: POST customer_events/bulk/<operation>/create. The token is a member of the
// body.
func (o *operation) Send(ctx context.Context, items []sink.Item) sink.Response {
	return o.account.tokens.CallWithToken(ctx, func(token string) sink.Response {
		req, err := o.newRequest(ctx, token, items)
		if err != nil {
			return sink.Response{Result: sink.Result{Class: sink.Misconfigured}, Err: err}
		}
		return o.account.readResponse(vendorhttp.RoundTrip(ctx, o.account.client, req, 0), items, token)
	})
}

func (o *operation) newRequest(ctx context.Context, token string, items []sink.Item) (*http.Request, error) {
	req, err := newPost(ctx, o.account.baseURL+"/customer_events/bulk/"+o.spec.Name+"/create")
	if err != nil {
		return nil, err
	}
	prefix := o.callPrefix(token, items[0].EnvelopeKey)
	req.Body, req.ContentLength, req.GetBody = vendorhttp.Body(prefix, items, []byte(callSuffix))
	return req, nil
}

func newPost(ctx context.Context, url string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	return req, nil
}

// callPrefix returns the body of a call up to its first item. The envelope key is the JSON of the
// call's currency, or empty.
func (o *operation) callPrefix(token, envelopeKey string) []byte {
	w := jsonwriter.New(256 + len(token))
	w.BeginObject("")
	w.Text("token", token)
	if envelopeKey != "" {
		w.Value(currencyMember, func(b []byte) []byte { return append(b, envelopeKey...) })
	}
	w.BeginArray(o.setName)
	return w.Bytes()
}

const callSuffix = "]}"

// EnvelopeSize returns an upper bound for the size in bytes of a call with this envelope key,
// without its items and the commas between them. It assumes the longest token that a login may
// return.
func (o *operation) EnvelopeSize(envelopeKey string) int {
	return len(o.callPrefix("", envelopeKey)) + tokenBytesMax + len(callSuffix)
}
