package propel

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sluice/internal/sink"
	"sluice/internal/sink/vendorhttp"
)

// parseResponse returns the response that the exchange of one call with these items means.
func (o *operation) parseResponse(exchange vendorhttp.Exchange, items []sink.Item) sink.Response {
	response := vendorhttp.ClassifyExchange(exchange)
	response.RequestID = headerToken(exchange.Header.Get("X-Request-Id"))
	if response.Class == sink.Delivered {
		results, err := parseItemResults(exchange.Body, items, response.Result, o.transientErrors)
		if err != nil {
			response.Class, response.Err = sink.Unknown, err
		}
		response.ItemResults = results
		return response
	}
	var messages []string
	response.Code, messages = parseErrorBody(exchange.Body)
	response.Message = maskedMessage(messages...)
	response.Class = o.classifyRefusal(response.Result)
	if response.Class == sink.Rejected {
		response.ItemErrors = parseItemErrors(messages, len(items), response.Result)
	}
	return response
}

// classifyRefusal uses the vendor's code where the vendor uses one status for both invalid data and
// a misconfigured caller.
func (o *operation) classifyRefusal(result sink.Result) sink.ResultClass {
	wrongEndpoint := result.Status == http.StatusNotFound || result.Status == http.StatusMethodNotAllowed
	switch {
	case result.Class == sink.Rejected && o.codeMeanings[result.Code] == meaningMisconfigured:
		return sink.Misconfigured
	case wrongEndpoint && slices.Contains(o.cfg.DataCodes, result.Code):
		return sink.Rejected
	}
	return result.Class
}

// parseErrorBody reads the code and the messages of {"error": {"code", "messages"}}, whose code is
// a number in the documentation's example and a string in its table, or of the API gateway's
// {"fault": {"faultstring", "detail": {"errorcode"}}}. The text of any other body is its only
// message.
func parseErrorBody(body []byte) (code string, messages []string) {
	var parsed struct {
		Error struct {
			Code     json.RawMessage `json:"code"`
			Type     json.RawMessage `json:"type"`
			Messages json.RawMessage `json:"messages"`
		} `json:"error"`
		Fault struct {
			Text   json.RawMessage `json:"faultstring"`
			Detail struct {
				Code json.RawMessage `json:"errorcode"`
			} `json:"detail"`
		} `json:"fault"`
	}
	if json.Unmarshal(body, &parsed) != nil {
		return "", []string{string(body)}
	}
	if code = headerToken(textOrJSON(parsed.Error.Code)); code == "" {
		code = headerToken(textOrJSON(parsed.Fault.Detail.Code))
	}
	for _, raw := range append(listElements(parsed.Error.Messages), parsed.Fault.Text) {
		if text := textOrJSON(raw); text != "" {
			messages = append(messages, text)
		}
	}
	if len(messages) == 0 {
		messages = append(messages, textOrJSON(parsed.Error.Type))
	}
	return code, messages
}

// listElements returns the elements of a JSON array. A value that is not an array is returned as
// the only element.
func listElements(raw json.RawMessage) []json.RawMessage {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil {
		return list
	}
	return []json.RawMessage{raw}
}

// echoedValues matches the messages of the vendor's schema validation (everit-org/json-schema) that
// repeat a value of the request: "#/customers/0/gender: x is not a valid enum value",
// "string [x] does not match pattern ...", "[x] is not a valid email address".
var echoedValues = regexp.MustCompile(
	`(: ).*( is not a valid enum value)|(string \[).*(\] does not match pattern)|(\[).*(\] is not a valid)`)

// maskedMessage joins the vendor's messages and masks what they repeat of the request.
func maskedMessage(messages ...string) string {
	masked := make([]string, len(messages))
	for i, message := range messages {
		masked[i] = echoedValues.ReplaceAllString(message, "${1}${3}${5}***${2}${4}${6}")
	}
	return vendorhttp.Redact(strings.Join(masked, "; "))
}

// customerPointer matches the JSON pointer to a customer of the request with which a message of the
// schema validation begins: "#/customers/0: extraneous key [company] is not permitted".
var customerPointer = regexp.MustCompile(`^#/customers/(\d{1,9})(?:[/:\s]|$)`)

// parseItemErrors returns an item error for each of the itemCount customers that a message points
// to, in the order of the call. whole is the result of the call.
func parseItemErrors(messages []string, itemCount int, whole sink.Result) []sink.ItemError {
	byIndex := make(map[int][]string)
	for _, message := range messages {
		match := customerPointer.FindStringSubmatch(message)
		if match == nil {
			continue
		}
		if i, err := strconv.Atoi(match[1]); err == nil && i < itemCount {
			byIndex[i] = append(byIndex[i], message)
		}
	}
	var itemErrors []sink.ItemError
	for i := range itemCount {
		if own := byIndex[i]; own != nil {
			result := whole
			result.Class, result.Message = sink.Rejected, maskedMessage(own...)
			itemErrors = append(itemErrors, sink.ItemError{Index: i, Result: result})
		}
	}
	return itemErrors
}

// headerToken returns text if it is safe as a header value or log field, as IDs and codes are: at
// most 128 printable ASCII characters without spaces. Otherwise it returns "".
func headerToken(text string) string {
	const maxLength = 128
	isUnsafe := func(r rune) bool { return r <= ' ' || r > '~' }
	if len(text) > maxLength || strings.ContainsFunc(text, isUnsafe) {
		return ""
	}
	return text
}
