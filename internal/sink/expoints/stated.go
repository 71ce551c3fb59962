package expoints

import (
	"strconv"
	"strings"
)

// claims are what a JSON response says of its call. The vendor documents no body, so that the usual
// names are looked for, in any case and at any depth.
type claims struct {
	success bool
	failure bool // of the whole call
	partial bool // a failure below an array: of some items and not of others
	status  int  // an HTTP status of 400 or more that the body has and the response has not; 0: none
}

// readClaims reads a response to a call with n items.
func readClaims(body any, n int) claims {
	var c claims
	if root, ok := body.(map[string]any); ok {
		c.readStatus(root)
	}
	c.read(body, true)
	if c.partial && n == 1 {
		c.failure, c.partial = true, false
	}
	return c
}

// readStatus reads what only the outermost object says of the call: a customer has a status too, which
// may be a fault of an address and is not one of the call.
func (c *claims) readStatus(root map[string]any) {
	for key, value := range root {
		switch foldKey(key) {
		case "status", "statuscode", "httpstatus", "httpstatuscode", "code":
			if status, err := strconv.Atoi(scalar(value)); err == nil && status >= 400 && status <= 599 {
				c.status = status
				continue
			}
		case "result", "state", "outcome":
		default:
			continue
		}
		switch scalar(value) {
		case "error", "fail", "failed", "failure", "fault", "rejected", "refused", "invalid", "denied":
			c.failure = true
		}
	}
}

func (c *claims) read(value any, whole bool) {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			c.read(element, false)
		}
	case map[string]any:
		for key, member := range value {
			c.readMember(foldKey(key), member, whole)
			c.read(member, whole)
		}
	}
}

func (c *claims) readMember(key string, value any, whole bool) {
	failed := false
	switch {
	case successKeys[key]:
		failed = denies(value)
		c.success = c.success || !failed && value != nil
	case failureKey(key):
		failed = states(value)
	}
	switch {
	case failed && whole:
		c.failure = true
	case failed:
		c.partial = true
	}
}

var successKeys = map[string]bool{
	"success": true, "succeeded": true, "successful": true, "successfully": true, "issuccess": true, "issuccessful": true,
	"issucceeded": true, "issuccessstatuscode": true, "ok": true, "isok": true, "valid": true, "isvalid": true, "accepted": true, "isaccepted": true,
}

func failureKey(key string) bool {
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

// foldKey makes one of IsSuccess, is_success and is-success.
func foldKey(key string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(key))
}

// denies reports whether the value of a member such as Success says no.
func denies(value any) bool {
	switch scalar(value) {
	case "false", "no", "0":
		return true
	}
	return false
}

// states reports whether the value of a member such as Errors has something to say.
func states(value any) bool {
	switch value := value.(type) {
	case []any:
		for _, element := range value {
			if states(element) {
				return true
			}
		}
		return false
	case map[string]any:
		for _, member := range value {
			if states(member) {
				return true
			}
		}
		return false
	}
	switch scalar(value) {
	case "", "0", "false", "no", "none", "null", "ok", "success", "noerror", "no error", "no errors":
		return false
	}
	return true
}

// scalar is a JSON value that is neither array nor object, in lower case; empty for those and for null.
func scalar(value any) string {
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
