package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// PropelOptions are Propel's tenant.
type PropelOptions struct {
	// ClientID and ClientSecret are the OAuth2 client. Default: DefaultClientID, DefaultClientSecret.
	ClientID, ClientSecret string
	// TokenTTL is how long a token holds. Default: 30 minutes, as documented.
	TokenTTL time.Duration
	// MaxItems refuses calls with more customers; 0: none, as the documents name none.
	MaxItems int
	// VersionField is the field of a customer whose value is the ledger's Entry.Version, such as "debtorId"; empty: none.
	VersionField string
}

// PropelTokenPath is the token endpoint (page "authenticate"). It stands beside "/v2", not below.
const PropelTokenPath = "/oauth2/token"

// The codes of page "errors" that this endpoint uses.
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

	// Server.mu covers both.
	ids       map[string]int // by source and sourceId
	callCount int
}

func newPropel(server *Server, opts PropelOptions) *propel {
	setDefault(&opts.ClientID, DefaultClientID)
	setDefault(&opts.ClientSecret, DefaultClientSecret)
	return &propel{server: server, opts: opts, tokens: newTokenStore("propel.", opts.TokenTTL, 30*time.Minute), ids: map[string]int{}}
}

func (v *propel) endpoints() []*endpoint {
	return []*endpoint{
		{operation: "propel.token", method: http.MethodPost, path: PropelTokenPath, vendor: v, formBody: true, handle: v.issueToken},
		{operation: "propel.customers", method: http.MethodPost, path: "/v2/customers/bulk/sourceId", vendor: v, handle: v.upsertCustomers,
			instant: v.server.instantHandler("sourceId", writeInstantPropel)},
	}
}

func (v *propel) tokenStore() *tokenStore { return v.tokens }

func (v *propel) issueToken(call *vendorCall) response {
	return v.tokens.grantToken(call, oauthClient{v.opts.ClientID, v.opts.ClientSecret}, map[string]any{"scope": "profile"})
}

// upsertCustomers is POST customers/bulk/sourceId.
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
		items[i] = callItem{object: object, id: object.textAt("source") + "/" + object.textAt("sourceId"), version: version, upsert: true}
	}
	verdicts, done := v.server.judgeItems(call, items, nil)
	if !done {
		return response{}
	}
	return v.resultRows(call, items, verdicts)
}

// validateCall refuses the whole call for the shape of any customer, before anything is written.
func (v *propel) validateCall(body *jsonObject, count int) (response, bool) {
	if violations := validateSorted(propelBody.validate, body); len(violations) > 0 {
		messages := make([]string, len(violations))
		for i, violation := range violations {
			messages[i] = everitMessage(violation)
		}
		return propelError(propelSchema, messages), false
	}
	if v.opts.MaxItems > 0 && count > v.opts.MaxItems {
		return propelError(propelBadPayload, []string{fmt.Sprintf("customers has more than %d elements", v.opts.MaxItems)}), false
	}
	return response{}, true
}

// resultRows has one row a customer. A refused one has "error" and no id, as on the sister endpoint attributes/bulk/id.
func (v *propel) resultRows(call *vendorCall, items []callItem, verdicts []*refusal) response {
	rows := []map[string]any{}
	v.server.mu.Lock()
	defer v.server.mu.Unlock()
	for i, item := range items {
		id, exists := v.ids[item.id]
		action := "update"
		if !exists {
			id, action = 25494+len(v.ids), "create"
		}
		row := map[string]any{"action": action, "key": propelKey(item.object.textAt("sourceId")), "lookupKey": "sourceId", "success": verdicts[i] == nil}
		if refused := verdicts[i]; refused != nil {
			row["error"] = refused.description
		} else {
			v.ids[item.id] = id
			row["id"] = id
		}
		if !call.droppedItems[i] {
			rows = append(rows, row)
		}
	}
	for i := range call.extraItems {
		rows = append(rows, map[string]any{"action": "update", "id": i, "key": fmt.Sprint("extra-", i), "lookupKey": "sourceId", "success": true})
	}
	return jsonResponse(http.StatusOK, map[string]any{"data": rows, "messages": []string{"Completed"}, "total": len(items)})
}

// propelKey is the sourceId as the answer echoes it: the documents show numbers for those that look like one, and strings.
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

// refuseCall is a 400 with the action's code (default 10017), which names customers as the schema check does.
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

// propelError is the envelope of page "errors".
func propelError(code int, messages []string) response {
	kind, ok := propelTypes[code]
	if !ok {
		kind = "Error"
	}
	return jsonResponse(http.StatusBadRequest, map[string]any{"error": map[string]any{
		"code": code, "messages": messages, "moreInfo": fmt.Sprint("https://www.propel.us/docs/errors/", code), "status": http.StatusBadRequest, "type": kind,
	}})
}

// propelDenied has the form of Apigee, whose token responses the older documents show; no sample of Propel's own is published.
func propelDenied() response {
	return jsonResponse(http.StatusUnauthorized, map[string]any{"fault": map[string]any{
		"faultstring": "Invalid Access Token", "detail": map[string]string{"errorcode": "keymanagement.service.invalid_access_token"},
	}})
}

// everitMessage words a violation as the library everit-org/json-schema does, whose messages the page shows.
func everitMessage(found violation) string {
	path := "#"
	if len(found.path) > 0 {
		path += "/" + strings.Join(found.path, "/")
	}
	switch found.problem {
	case missingKey:
		return path + ": required key [" + found.key + "] not found"
	case extraneousKey:
		return path + ": extraneous key [" + found.key + "] is not permitted"
	case wrongType:
		return path + ": expected type: " + found.allowed + ", found: " + found.foundType
	default:
		return path + ": " + found.describeRule()
	}
}
