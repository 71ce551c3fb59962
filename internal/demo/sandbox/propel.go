package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// PropelOptions configure Propel's tenant.
type PropelOptions struct {
	// ClientID and ClientSecret are the OAuth 2.0 client credentials. The defaults are
	// DefaultClientID and DefaultClientSecret.
	ClientID, ClientSecret string
	// TokenTTL is the lifetime of a token. The default is 30 minutes, as documented.
	TokenTTL time.Duration
	// MaxItems is the largest number of customers per call. The default 0 means no limit, since the
	// documents name none.
	MaxItems int
	// VersionField names the field of a customer whose value becomes LedgerEntry.Version, such as
	// "debtorId". It may be empty.
	VersionField string
}

// PropelTokenPath is the path of the token endpoint (page "authenticate"), which is not below
// "/v2".
const PropelTokenPath = "/oauth2/token"

// Error codes of the page "errors" that this endpoint uses.
const (
	propelBadJSON      = 10005
	propelSchema       = 10007
	propelBadPayload   = 10017
	propelItemNotValid = "Customer is not valid."
)

var propelTypes = map[int]string{
	propelBadJSON:    "InvalidJSONPayload",
	propelSchema:     "SchemaValidationException",
	propelBadPayload: "PayloadValidationError",
}

type propel struct {
	server *Server
	opts   PropelOptions
	tokens *tokenStore

	// Guarded by Server.mu.
	ids       map[string]int // by source and sourceId
	callCount int
}

func newPropel(server *Server, opts PropelOptions) *propel {
	setDefault(&opts.ClientID, DefaultClientID)
	setDefault(&opts.ClientSecret, DefaultClientSecret)
	return &propel{
		server: server, opts: opts, tokens: newTokenStore("propel.", opts.TokenTTL, 30*time.Minute),
		ids: map[string]int{},
	}
}

func (v *propel) endpoints() []*endpoint {
	return []*endpoint{
		{
			operation: "propel.token", method: http.MethodPost, path: PropelTokenPath, vendor: v, formBody: true,
			handle: v.issueToken,
		},
		{operation: "propel.customers", method: http.MethodPost, path: "/v2/customers/bulk/sourceId", vendor: v,
			handle:  v.upsertCustomers,
			instant: v.server.instantHandler("sourceId", writeInstantPropel)},
	}
}

func (v *propel) tokenStore() *tokenStore { return v.tokens }

func (v *propel) issueToken(call *vendorCall) response {
	return v.tokens.grantToken(
		call, oauthClient{v.opts.ClientID, v.opts.ClientSecret}, map[string]any{"scope": "profile"},
	)
}

// upsertCustomers serves POST customers/bulk/sourceId.
func (v *propel) upsertCustomers(call *vendorCall) response {
	v.server.mu.Lock()
	v.callCount++
	call.responseHeader.Set("x-request-id", fmt.Sprintf("%032x", v.callCount))
	v.server.mu.Unlock()
	if !v.tokens.isValid(bearerToken(call.request)) {
		return propelDenied()
	}
	body, err := parseObject(call.body)
	if err != nil {
		return propelError(propelBadJSON, []string{err.Error()})
	}
	call.itemCount = len(body.listAt("customers"))
	if resp, ok := v.validateCall(body, call.itemCount); !ok {
		call.refusedCount = call.itemCount
		return resp
	}
	items := make([]callItem, call.itemCount)
	for i, element := range body.listAt("customers") {
		object := element.(*jsonObject)
		version, _ := object.scalarAt(v.opts.VersionField)
		items[i] = callItem{
			object: object, id: object.textAt("source") + "/" + object.textAt("sourceId"), version: version,
			upsert: true,
		}
	}
	refusals, done := v.server.judgeItems(call, items, nil)
	if !done {
		return response{}
	}
	return v.resultRows(call, items, refusals)
}

// validateCall refuses the whole call if any customer is invalid, before anything is written.
func (v *propel) validateCall(body *jsonObject, count int) (response, bool) {
	if violations := validateSorted(propelBody.validate, body); len(violations) > 0 {
		messages := make([]string, len(violations))
		for i, violation := range violations {
			messages[i] = everitMessage(violation)
		}
		return propelError(propelSchema, messages), false
	}
	if v.opts.MaxItems > 0 && count > v.opts.MaxItems {
		return propelError(propelBadPayload, []string{
			fmt.Sprintf("customers has more than %d elements", v.opts.MaxItems),
		}), false
	}
	return response{}, true
}

// resultRows has one row per customer. The row of a refused one has "error" and no id, as in the
// similar endpoint attributes/bulk/id.
func (v *propel) resultRows(call *vendorCall, items []callItem, refusals []*refusal) response {
	rows := []map[string]any{}
	v.server.mu.Lock()
	defer v.server.mu.Unlock()
	for i, item := range items {
		id, exists := v.ids[item.id]
		action := "update"
		if !exists {
			id, action = 25494+len(v.ids), "create"
		}
		row := map[string]any{
			"action": action, "key": propelKey(item.object.textAt("sourceId")), "lookupKey": "sourceId",
			"success": refusals[i] == nil,
		}
		if refused := refusals[i]; refused != nil {
			row["error"] = refused.description
		} else {
			v.ids[item.id] = id
			row["id"] = id
		}
		rows = append(rows, slices.Repeat([]map[string]any{row}, call.resultCount(i))...)
	}
	for i := range call.extraItems {
		rows = append(rows, map[string]any{
			"action": "update", "id": i, "key": fmt.Sprint("extra-", i), "lookupKey": "sourceId", "success": true,
		})
	}
	return jsonResponse(http.StatusOK, map[string]any{
		"data": rows, "messages": []string{"Completed"}, "total": len(items),
	})
}

// propelKey returns the sourceId as the response repeats it. The documents show a number if it
// looks like one, and a string otherwise.
func propelKey(sourceID string) any {
	if n, err := strconv.ParseInt(sourceID, 10, 32); err == nil && strconv.FormatInt(n, 10) == sourceID {
		return json.Number(sourceID)
	}
	return sourceID
}

func (v *propel) itemRefusal(action Action) *refusal {
	setDefault(&action.Description, propelItemNotValid)
	return &refusal{action.ErrorCode, action.Description}
}

// refuseCall returns a 400 with the action's error code, 10017 by default, that names customers in
// the same way as schema validation does.
func (v *propel) refuseCall(_ *vendorCall, action Action, named []int) response {
	code, err := strconv.Atoi(action.ErrorCode)
	if err != nil {
		code = propelBadPayload
	}
	setDefault(&action.Description, propelItemNotValid)
	messages := []string{action.Description}
	for i, count := range named {
		messages = append(messages[:i], fmt.Sprintf("#/customers/%d: %s", count, action.Description))
	}
	return propelError(code, messages)
}

// propelError is the envelope of the page "errors".
func propelError(code int, messages []string) response {
	kind, ok := propelTypes[code]
	if !ok {
		kind = "Error"
	}
	return jsonResponse(http.StatusBadRequest, map[string]any{"error": map[string]any{
		"code": code, "messages": messages, "moreInfo": fmt.Sprint("https://www.propel.us/docs/errors/", code),
		"status": http.StatusBadRequest, "type": kind,
	}})
}

// propelDenied has the format of Apigee, as the token responses in older documents do. Propel
// publishes no sample of its own.
func propelDenied() response {
	return jsonResponse(http.StatusUnauthorized, map[string]any{"fault": map[string]any{
		"faultstring": "Invalid Access Token",
		"detail":      map[string]string{"errorcode": "keymanagement.service.invalid_access_token"},
	}})
}

// everitMessage formats a violation like the library everit-org/json-schema, whose messages the
// page shows.
func everitMessage(found violation) string {
	path := "#"
	if len(found.path) > 0 {
		path += "/" + strings.Join(found.path, "/")
	}
	switch found.kind {
	case missingKey:
		return path + ": required key [" + found.key + "] not found"
	case extraneousKey:
		return path + ": extraneous key [" + found.key + "] is not permitted"
	case wrongType:
		return path + ": expected type: " + found.allowed + ", found: " + found.foundType
	case invalidValue, notExactlyOne, wrongLength, unknownValue:
	}
	return path + ": " + found.describeRule()
}
