package sandbox

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// CRMCOMOptions are CRM.COM's account and data.
type CRMCOMOptions struct {
	// WebAPIKey is the user name of the web API key login. Default: DefaultWebAPIKey.
	WebAPIKey string
	// Username, Password and Organisation are the user login. Default: DefaultUsername, DefaultPassword, DefaultOrganisation.
	Username, Password, Organisation string
	// TokenTTL is how long a token holds, used or not. Default: 2 hours, as from release 12.
	TokenTTL time.Duration
	// Currency is the units' currency code, against which intended_currency_identifier.code is held; empty: any will do.
	Currency string
	// AccountExists tells whether an accounts receivable or rewards participant with this id, number or name exists; nil: all do. It is called
	// with a lock held and must not call the server.
	AccountExists func(identifier string) bool
	// Referred are the id or number of participants that were referred before the server started.
	Referred []string
}

// The credentials of a server that has none configured.
const (
	DefaultWebAPIKey    = "sandbox-web-api-key"
	DefaultUsername     = "sandbox-user"
	DefaultPassword     = "sandbox-password"
	DefaultOrganisation = "sandbox-organisation"
	DefaultClientID     = "sandbox-client"
	DefaultClientSecret = "sandbox-secret"
)

// The codes. The page has the first two; for others the vendor publishes none, so these follow its form.
const (
	crmNotFound         = "NotFoundAPIValueException"
	crmReferred         = "ReferredByAnotherParticipantException"
	crmInvalidParameter = "InvalidAPIParameterException"
	crmInvalidJSON      = "InvalidJSONException"
	crmCurrency         = "IntendedCurrencyMismatchException"
	crmInvalidToken     = "InvalidTokenException"
	crmLoginFailed      = "AuthenticationException"
)

// crmBase is where the Web API lives on a server ("{{server}}/crmapi/rest/v2/", page "Introduction").
const crmBase = "/crmapi/rest/v2/"

type crmcom struct {
	server *Server
	opts   CRMCOMOptions
	tokens *tokenStore

	// Server.mu covers both.
	referred   map[string]bool
	lastNumber int
}

func newCRMCOM(server *Server, opts CRMCOMOptions) *crmcom {
	setDefault(&opts.WebAPIKey, DefaultWebAPIKey)
	setDefault(&opts.Username, DefaultUsername)
	setDefault(&opts.Password, DefaultPassword)
	setDefault(&opts.Organisation, DefaultOrganisation)
	vendor := &crmcom{server: server, opts: opts, tokens: newTokenStore("", opts.TokenTTL, 2*time.Hour), referred: map[string]bool{}}
	for _, participant := range opts.Referred {
		vendor.referred[participant] = true
	}
	return vendor
}

func setDefault(target *string, standard string) {
	if *target == "" {
		*target = standard
	}
}

func (v *crmcom) endpoints() []*endpoint {
	login := func(path string, handle func(*vendorCall) response) *endpoint {
		return &endpoint{operation: "crmcom.login", method: http.MethodPost, path: crmBase + "authentication/" + path, vendor: v, handle: handle}
	}
	list := []*endpoint{login("web_api_key/token", v.keyLogin), login("token", v.userLogin)}
	for _, page := range crmPages {
		list = append(list, &endpoint{
			operation: "crmcom." + page.operation,
			method:    http.MethodPost,
			path:      crmBase + "customer_events/bulk/" + page.path + "/create",
			vendor:    v,
			handle:    func(call *vendorCall) response { return v.createEvents(call, page) },
			instant:   v.server.instantHandler("request_unique_identifier", writeInstantCRM),
		})
	}
	return list
}

func (v *crmcom) tokenStore() *tokenStore { return v.tokens }

// keyLogin is POST authentication/web_api_key/token: the key is the user name of Basic credentials with an empty password, the body is optional.
func (v *crmcom) keyLogin(call *vendorCall) response {
	if call.request.Header.Get("Authorization") != basicAuthorization(v.opts.WebAPIKey) {
		return crmFailedEnvelope(crmLoginFailed, "The web API key is not valid.")
	}
	if len(call.body) > 0 {
		if resp, ok := crmValidateBody(call.body, objectSchema{fields: map[string]validator{"unit": anyText}}); !ok {
			return resp
		}
	}
	return crmResponse("OK", "", map[string]any{"token": v.tokens.issueToken()})
}

// userLogin is POST authentication/token, whose sample has null for the texts that the other login leaves empty.
func (v *crmcom) userLogin(call *vendorCall) response {
	page := objectSchema{
		fields:    map[string]validator{"username": anyText, "password": anyText, "organisation": anyText, "unit": anyText},
		mandatory: []string{"username", "password", "organisation"},
	}
	if resp, ok := crmValidateBody(call.body, page); !ok {
		return resp
	}
	object, _ := parseObject(call.body)
	if object.textAt("username") != v.opts.Username || object.textAt("password") != v.opts.Password || object.textAt("organisation") != v.opts.Organisation {
		return crmFailedEnvelope(crmLoginFailed, "The user name, password or organisation is not valid.")
	}
	return crmResponse("OK", nil, map[string]any{"token": v.tokens.issueToken()})
}

// createEvents is POST customer_events/bulk/.../create. fields_set is taken and changes nothing: how it would narrow the two sets is not documented.
func (v *crmcom) createEvents(call *vendorCall, page crmPage) response {
	env, err := parseObject(call.body)
	if err != nil {
		return crmFailedEnvelope(crmInvalidJSON, "The body is "+err.Error()+".")
	}
	page = page.forBody(env)
	call.itemCount = len(env.listAt(page.set))
	if !v.tokens.isValid(env.textAt("token")) {
		return crmFailedEnvelope(crmInvalidToken, "The token is invalid or has expired.")
	}
	items, problem := v.decodeItems(env, page)
	if problem != nil {
		call.refusedCount = call.itemCount
		return crmFailedEnvelope(problem.code, problem.description)
	}
	verdicts, done := v.server.judgeItems(call, items, v.checkItem)
	if !done {
		return response{}
	}
	return v.resultSets(call, items, verdicts)
}

// decodeItems reads the envelope; the refusal is the whole call's. An item of the wrong shape is refused by itself, as long as the answer can name it.
func (v *crmcom) decodeItems(env *jsonObject, page crmPage) ([]callItem, *refusal) {
	if violations := validateSorted(page.envelopeSchema().validate, env); len(violations) > 0 {
		return nil, crmParameterRefusal(violations)
	}
	set := env.listAt(page.set)
	if len(set) > crmMaxItems {
		return nil, &refusal{crmInvalidParameter, fmt.Sprintf("%s has more than %d elements", page.set, crmMaxItems)}
	}
	currency := env.objectAt("intended_currency_identifier").textAt("code")
	if currency != "" && v.opts.Currency != "" && currency != v.opts.Currency {
		return nil, &refusal{crmCurrency, "The intended currency is not the currency of the unit"}
	}
	items, seen := make([]callItem, len(set)), make(map[string]bool, len(set))
	for i, element := range set {
		object := element.(*jsonObject)
		id := object.textAt("request_unique_identifier")
		if id == "" || seen[id] {
			return nil, &refusal{crmInvalidParameter, fmt.Sprintf("%s[%d].request_unique_identifier is mandatory, a string and unique in the call", page.set, i)}
		}
		seen[id] = true
		items[i] = callItem{object: object, id: id, reference: object.textAt("external_system_reference_number")}
		if violations := validateSorted(page.itemSchema.validate, object); len(violations) > 0 {
			items[i].refusal = crmParameterRefusal(violations)
		}
	}
	return items, nil
}

// checkItem refuses what does not exist and what was referred before. Server.mu is held.
func (v *crmcom) checkItem(item callItem) *refusal {
	for _, key := range []string{"accounts_receivable_identifier", "rewards_participant_identifier",
		"referred_by_rewards_participant_identifier", "referred_rewards_participant_identifier"} {
		if who := onlyValue(item.object.objectAt(key)); who != "" && v.opts.AccountExists != nil && !v.opts.AccountExists(who) {
			return crmRefusal(crmNotFound, "Account ("+who+") Not Found.", "The specified API value was not found.")
		}
	}
	who := onlyValue(item.object.objectAt("referred_rewards_participant_identifier"))
	if who == "" {
		return nil
	}
	if v.referred[who] {
		return crmRefusal(crmReferred, "Participant "+who+" Was Already Referred by Another Participant.",
			"The participant was already referred by another participant.")
	}
	v.referred[who] = true
	return nil
}

// onlyValue is the one value of an identifier; empty where there is none.
func onlyValue(object *jsonObject) string {
	for key := range object.fields {
		if text := object.textAt(key); text != "" {
			return text
		}
	}
	return ""
}

// resultSets are the processed and unprocessed sets, the latter first, as the page's examples have them.
func (v *crmcom) resultSets(call *vendorCall, items []callItem, verdicts []*refusal) response {
	processed, unprocessed := []map[string]string{}, []map[string]string{}
	v.server.mu.Lock()
	defer v.server.mu.Unlock()
	for i, item := range items {
		row := map[string]string{"request_unique_identifier": item.id}
		if refused := verdicts[i]; refused != nil {
			row["error_code"], row["error_description"] = refused.code, refused.description
		} else {
			v.lastNumber++
			row["number"], row["id"] = strconv.Itoa(v.lastNumber), fmt.Sprintf("%032X", v.lastNumber)
		}
		switch {
		case call.droppedItems[i]:
		case verdicts[i] != nil:
			unprocessed = append(unprocessed, row)
		default:
			processed = append(processed, row)
		}
	}
	for i := range call.extraItems {
		processed = append(processed, map[string]string{"request_unique_identifier": fmt.Sprint("extra-", i), "number": "0", "id": fmt.Sprintf("%032X", 0)})
	}
	return crmResponse("OK", "", map[string]any{"unprocessed_customer_events_set": unprocessed, "processed_customer_events_set": processed})
}

func (v *crmcom) itemRefusal(action Action) *refusal {
	setDefault(&action.ErrorCode, crmNotFound)
	setDefault(&action.Description, "The specified API value was not found.")
	return crmRefusal(action.ErrorCode, "Refused.", action.Description)
}

// refuseCall is a failed envelope; it has no place to name items.
func (v *crmcom) refuseCall(_ *vendorCall, action Action, _ []int) response {
	setDefault(&action.ErrorCode, crmInvalidParameter)
	return crmFailedEnvelope(action.ErrorCode, action.Description)
}

func crmRefusal(code, specific, generic string) *refusal {
	return &refusal{code, "Error:" + specific + " - Description:" + generic}
}

func crmParameterRefusal(violations []violation) *refusal {
	parts := make([]string, len(violations))
	for i, found := range violations {
		parts[i] = strings.Join(found.fullPath(), ".") + " " + found.describeRule()
	}
	return crmRefusal(crmInvalidParameter, strings.Join(parts, "; ")+".", "The parameters are not valid.")
}

func crmValidateBody(body []byte, page objectSchema) (response, bool) {
	object, err := parseObject(body)
	if err != nil {
		return crmFailedEnvelope(crmInvalidJSON, "The body is "+err.Error()+"."), false
	}
	if violations := validateSorted(page.validate, object); len(violations) > 0 {
		refusal := crmParameterRefusal(violations)
		return crmFailedEnvelope(refusal.code, refusal.description), false
	}
	return response{}, true
}

// crmFailedEnvelope is an envelope with another status.code than OK. No sample is published; clients that are show HTTP 200 and the code in the body.
func crmFailedEnvelope(code, description string) response {
	resp := crmResponse(code, description, map[string]any{})
	resp.envelopeFailed = true
	return resp
}

func crmResponse(code string, description any, data map[string]any) response {
	return jsonResponse(http.StatusOK, map[string]any{
		"data":   data,
		"status": map[string]any{"code": code, "description": description, "message": description},
	})
}
