package expoints

import (
	"strconv"
	"strings"
)

// bodyClaims is what a JSON body states about its call. The vendor documents no body, so the
// members are recognized by their usual names, in any case and at any depth.
type bodyClaims struct {
	success bool
	failure bool // of the whole call
	partial bool // a failure within an array, that is, of some items only
	status  int  // an HTTP status of 400 or more in the body, contrary to the response's; 0: none
}

// parseClaims parses the body of a call with itemCount items.
func parseClaims(body any, itemCount int) bodyClaims {
	var claims bodyClaims
	if root, ok := body.(map[string]any); ok {
		claims.readRootStatus(root)
	}
	claims.readValue(body, true)
	if claims.partial && itemCount == 1 {
		claims.failure, claims.partial = true, false
	}
	return claims
}

// readRootStatus reads the status members of the outermost object. In objects below it they are
// ignored, because a customer has a status as well, such as that of its email address.
func (c *bodyClaims) readRootStatus(root map[string]any) {
	for key, value := range root {
		switch foldKey(key) {
		case "status", "statuscode", "httpstatus", "httpstatuscode", "code":
			if status, err := strconv.Atoi(scalarText(value)); err == nil && status >= 400 && status <= 599 {
				c.status = status
				continue
			}
		case "result", "state", "outcome":
		default:
			continue
		}
		switch scalarText(value) {
		case "error", "fail", "failed", "failure", "fault", "rejected", "refused", "invalid", "denied":
			c.failure = true
		}
	}
}

// readValue reads a value and everything in it. isWhole is true for a value about the whole call,
// and false for one about an element of an array.
func (c *bodyClaims) readValue(value any, isWhole bool) {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			c.readValue(element, false)
		}
	case map[string]any:
		for key, member := range value {
			c.readMember(foldKey(key), member, isWhole)
			c.readValue(member, isWhole)
		}
	}
}

func (c *bodyClaims) readMember(key string, value any, isWhole bool) {
	hasFailed := false
	switch {
	case successKeys[key]:
		hasFailed = isNegative(value)
		c.success = c.success || !hasFailed && value != nil
	case isFailureKey(key):
		hasFailed = hasContent(value)
	}
	switch {
	case hasFailed && isWhole:
		c.failure = true
	case hasFailed:
		c.partial = true
	}
}

var successKeys = map[string]bool{
	"success": true, "succeeded": true, "successful": true, "successfully": true,
	"issuccess": true, "issuccessful": true, "issucceeded": true, "issuccessstatuscode": true,
	"ok": true, "isok": true, "valid": true, "isvalid": true, "accepted": true, "isaccepted": true,
}

func isFailureKey(key string) bool {
	switch key {
	case "fault", "faults", "fails", "isfailed", "modelstate":
		return true
	}
	for _, word := range []string{"error", "exception", "failed", "failure"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
}

// foldKey returns the same text for IsSuccess, is_success and is-success.
func foldKey(key string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(key))
}

// isNegative reports whether the value of a member such as Success denies it.
func isNegative(value any) bool {
	switch scalarText(value) {
	case "false", "no", "0":
		return true
	}
	return false
}

// hasContent reports whether the value of a member such as Errors has an error in it.
func hasContent(value any) bool {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			if hasContent(element) {
				return true
			}
		}
		return false
	case map[string]any:
		for _, member := range value {
			if hasContent(member) {
				return true
			}
		}
		return false
	}
	switch scalarText(value) {
	case "", "0", "false", "no", "none", "null", "ok", "success", "noerror", "no error", "no errors":
		return false
	}
	return true
}

// scalarText returns a JSON string, number or boolean as lower-case text, and "" for any other
// value.
func scalarText(value any) string {
	switch value := value.(type) {
	case string:
		return strings.ToLower(strings.TrimSpace(value))
	case bool:
		return strconv.FormatBool(value)
	case float64:
		return strconv.FormatFloat(value, 'f', -1, 64)
	}
	return ""
}
