package expoints

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// parseResponse returns the response that the exchange of a call with itemCount items means. The
// vendor documents statuses but no bodies: a 2xx accepts the whole call, unless its body shows
// otherwise.
func parseResponse(exchange vendorhttp.Exchange, itemCount int) sink.Response {
	response := vendorhttp.ClassifyExchange(exchange)
	text := vendorhttp.DecodeBodyText(exchange.Body)
	if response.Class == sink.Delivered {
		return parseSuccess(exchange, response, text, itemCount)
	}
	if exchange.Status >= 200 && exchange.Status < 300 {
		return response
	}
	return addRefusal(response, text, itemCount)
}

// parseSuccess parses the body of a 2xx. Since no body is documented, every body counts as a
// success except those that no API returns for a call that it accepted: an HTML page, which a proxy
// returned instead of the API; a body that is truncated or not text; and JSON that reports a
// failure.
func parseSuccess(
	exchange vendorhttp.Exchange, response sink.Response, text []byte, itemCount int,
) sink.Response {
	if vendorhttp.IsHTMLPage(exchange) {
		response.Class, response.Err = sink.Unknown, errPage
		return response
	}
	body, err := decodeBody(text)
	if err != nil {
		response.Class, response.Err = sink.Unknown, err
		return response
	}
	claims := parseClaims(body, itemCount)
	switch {
	case claims.partial, claims.success && (claims.failure || claims.status != 0):
		response.Class, response.Err = sink.Unknown, errContradiction
		return response
	case claims.status != 0:
		claimed := vendorhttp.ClassifyExchange(vendorhttp.Exchange{
			Status: claims.status, Header: exchange.Header, RequestWritten: true,
		})
		response.Class, response.MayHaveActed = claimed.Class, claimed.MayHaveActed
		response.RetryAfter = claimed.RetryAfter
		return addRefusal(response, text, itemCount)
	case claims.failure:
		response.Class = sink.Rejected
		return addRefusal(response, text, itemCount)
	}
	delivered := sink.Result{Class: sink.Delivered, Status: exchange.Status}
	response.ItemResults = slices.Repeat([]sink.Result{delivered}, itemCount)
	return response
}

// addRefusal adds the message and the item errors of the body to the response of a call that was
// not accepted.
func addRefusal(response sink.Response, text []byte, itemCount int) sink.Response {
	messages := bodyMessages(text)
	response.Message = maskedMessage(messages)
	if response.Class == sink.Rejected {
		response.ItemErrors = parseItemErrors(messages, itemCount, response.Result)
	}
	return response
}

var (
	errPage          = errors.New("reading the response: it is an HTML page, which the API never returns")
	errCutOff        = errors.New("reading the response: its JSON is truncated or malformed")
	errNotText       = errors.New("reading the response: it is not text")
	errContradiction = errors.New("reading the response: it reports a failure of a part of the call, " +
		"or both success and failure")
)

// decodeBody decodes the JSON of a body. It returns nil without an error if the body is other text,
// such as plain text or XML.
func decodeBody(text []byte) (any, error) {
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return nil, errNotText
	}
	var body any
	if err := json.Unmarshal(text, &body); err == nil {
		return body, nil
	}
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && strings.IndexByte(`{["`, trimmed[0]) >= 0 {
		return nil, errCutOff
	}
	return nil, nil
}

// customerPath matches the reference to a customer in a model path such as
// "request.Customers[3].Email". The name of the parameter before it does not matter.
var customerPath = regexp.MustCompile(`(?i)\bCustomers\[(\d{1,9})\]`)

// parseItemErrors returns an item error for each of the itemCount customers to which a message
// refers, in the order of the call. whole is the result of the call.
func parseItemErrors(messages []string, itemCount int, whole sink.Result) []sink.ItemError {
	byIndex := make(map[int][]string)
	for _, message := range messages {
		for _, match := range customerPath.FindAllStringSubmatch(message, -1) {
			i, err := strconv.Atoi(match[1])
			if err != nil || i >= itemCount || slices.Contains(byIndex[i], message) {
				continue
			}
			byIndex[i] = append(byIndex[i], message)
		}
	}
	var itemErrors []sink.ItemError
	for _, i := range slices.Sorted(maps.Keys(byIndex)) {
		result := whole
		result.Message = maskedMessage(byIndex[i])
		itemErrors = append(itemErrors, sink.ItemError{Index: i, Result: result})
	}
	return itemErrors
}

// echoedValues matches the values of the request that messages of ASP.NET and Json.NET repeat:
// "The value 'x' is not valid for Priority.", "Error converting value "x" to type",
// "Could not convert string to integer: x. Path 'Customers[0].Priority'".
var echoedValues = regexp.MustCompile(
	`(?i)(\bvalue )("[^"]*"|'[^']*'|\{[^}]*\})|(\bcould not convert [^:]*: ).*?(\. Path |$)`)

// maskedMessage joins the vendor's messages and masks what they repeat of the request.
func maskedMessage(messages []string) string {
	joined := strings.Join(messages, "; ")
	return vendorhttp.Redact(echoedValues.ReplaceAllString(joined, "${1}${3}***${4}"))
}

// bodyMessages returns every text in a JSON body as "path: text", or the lines of any other body.
// ASP.NET returns {"Message", "ModelState"} or a string.
func bodyMessages(body []byte) []string {
	var value any
	if err := json.Unmarshal(body, &value); err == nil {
		return appendTexts(nil, "", value)
	}
	return strings.FieldsFunc(string(body), func(r rune) bool { return r == '\n' || r == '\r' })
}

// appendTexts appends the texts in a JSON value, objects in the order of their keys.
func appendTexts(messages []string, path string, value any) []string {
	switch value := value.(type) {
	case string:
		return append(messages, path+value)
	case []any:
		for _, element := range value {
			messages = appendTexts(messages, path, element)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			messages = appendTexts(messages, path+key+": ", value[key])
		}
	}
	return messages
}
