package crmcom

import (
	"context"
	"fmt"
	"net/http"

	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// Send makes one call: POST customer_events/bulk/<operation>/create, with the token as a member of the
// body.
func (o *operation) Send(ctx context.Context, items []sink.Item) sink.Response {
	return o.account.tokens.CallWithToken(ctx, func(token string) sink.Response {
		req, err := o.request(ctx, token, items)
		if err != nil {
			return sink.Response{Result: sink.Result{Class: sink.Misconfigured}, Err: err}
		}
		return o.account.read(vendorhttp.RoundTrip(ctx, o.account.client, req, 0), items, token)
	})
}

func (o *operation) request(ctx context.Context, token string, items []sink.Item) (*http.Request, error) {
	req, err := newPost(ctx, o.account.base+"/customer_events/bulk/"+o.spec.Name+"/create")
	if err != nil {
		return nil, err
	}
	prefix := o.appendPrefix(nil, token, items[0].EnvelopeKey)
	req.Body, req.ContentLength, req.GetBody = vendorhttp.Body(prefix, items, []byte(callEnd))
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

const callEnd = "]}"

// appendPrefix appends the call up to its first item. A group is the value of the currency's member.
func (o *operation) appendPrefix(b []byte, token, group string) []byte {
	b = vendorhttp.AppendString(append(b, `{"token":`...), token)
	if group != "" {
		b = append(append(b, `,"`+currencyMember+`":`...), group...)
	}
	return append(b, `,"`+o.set+`":[`...)
}

// EnvelopeSize is an upper bound in bytes of what a call of this group has besides its items and their commas: the token is counted with the most that
// a login may give.
func (o *operation) EnvelopeSize(group string) int {
	return len(o.appendPrefix(nil, "", group)) + tokenBytesMax + len(callEnd)
}
