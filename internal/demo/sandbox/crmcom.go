package sandbox

import (
	"fmt"
	"net/http"
	"time"
)

// CRMCOMOptions configure CRM.COM's account and its data.
type CRMCOMOptions struct {
	// WebAPIKey is the user name of the Web API key login. The default is DefaultWebAPIKey.
	WebAPIKey string
	// Username, Password and Organisation are the credentials of the user login. The defaults are
	// DefaultUsername, DefaultPassword and DefaultOrganisation.
	Username, Password, Organisation string
	// TokenTTL is the lifetime of a token, used or not. The default is 2 hours, as in release 12.
	TokenTTL time.Duration
	// Currency is the currency code of all units; intended_currency_identifier.code must match it.
	// If it is empty, every currency is accepted.
	Currency string
	// AccountExists reports whether an accounts receivable or a rewards participant with this id,
	// number or name exists. If it is nil, all exist. It runs with a lock of the server held, so it
	// must not call the server.
	AccountExists func(identifier string) bool
	// Referred lists the ids or numbers of participants that were referred before the server
	// started.
	Referred []string
}

// Default credentials.
const (
	DefaultWebAPIKey    = "sandbox-web-api-key"
	DefaultUsername     = "sandbox-user"
	DefaultPassword     = "sandbox-password"
	DefaultOrganisation = "sandbox-organisation"
	DefaultClientID     = "sandbox-client"
	DefaultClientSecret = "sandbox-secret"
)

// Error codes. The document has the first two. The vendor publishes no others, so the rest follow
// the same pattern.
const (
	crmNotFound         = "NotFoundAPIValueException"
	crmReferred         = "ReferredByAnotherParticipantException"
	crmInvalidParameter = "InvalidAPIParameterException"
	crmInvalidJSON      = "InvalidJSONException"
	crmCurrency         = "IntendedCurrencyMismatchException"
	crmInvalidToken     = "InvalidTokenException"
	crmLoginFailed      = "AuthenticationException"
)

// crmBase is the path of the Web API ("{{server}}/crmapi/rest/v2/", page "Introduction").
const crmBase = "/crmapi/rest/v2/"

type crmcom struct {
	server *Server
	opts   CRMCOMOptions
	tokens *tokenStore

	// Guarded by Server.mu.
	referred   map[string]bool
	lastNumber int
}

func newCRMCOM(server *Server, opts CRMCOMOptions) *crmcom {
	setDefault(&opts.WebAPIKey, DefaultWebAPIKey)
	setDefault(&opts.Username, DefaultUsername)
	setDefault(&opts.Password, DefaultPassword)
	setDefault(&opts.Organisation, DefaultOrganisation)
	vendor := &crmcom{
		server: server, opts: opts, tokens: newTokenStore("", opts.TokenTTL, 2*time.Hour), referred: map[string]bool{},
	}
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
		return &endpoint{
			operation: "crmcom.login", method: http.MethodPost, path: crmBase + "authentication/" + path, vendor: v,
			handle: handle,
		}
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

// keyLogin serves POST authentication/web_api_key/token. The key is the user name of Basic
// credentials with an empty password. The body is optional.
func (v *crmcom) keyLogin(call *vendorCall) response {
	if call.request.Header.Get("Authorization") != basicAuthorization(v.opts.WebAPIKey) {
		return crmFailedEnvelope(crmLoginFailed, "The web API key is not valid.")
	}
	if len(call.body) > 0 {
		if resp, ok := crmValidateBody(call.body, objectSchema{fields: map[string]validator{"unit": anyString}}); !ok {
			return resp
		}
	}
	return crmResponse("OK", "", map[string]any{"token": v.tokens.issueToken()})
}

// userLogin serves POST authentication/token. The documented sample has null texts where the other
// login has empty ones.
func (v *crmcom) userLogin(call *vendorCall) response {
	page := objectSchema{
		fields: map[string]validator{
			"username": anyString, "password": anyString, "organisation": anyString, "unit": anyString,
		},
		mandatory: []string{"username", "password", "organisation"},
	}
	if resp, ok := crmValidateBody(call.body, page); !ok {
		return resp
	}
	object, _ := parseObject(call.body)
	if object.textAt("username") != v.opts.Username || object.textAt("password") != v.opts.Password ||
		object.textAt("organisation") != v.opts.Organisation {
		return crmFailedEnvelope(crmLoginFailed, "The user name, password or organisation is not valid.")
	}
	return crmResponse("OK", nil, map[string]any{"token": v.tokens.issueToken()})
}

// createEvents serves POST customer_events/bulk/.../create. fields_set is accepted and ignored,
// since its effect on the two result sets is not documented.
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
	refusals, done := v.server.judgeItems(call, items, v.checkItem)
	if !done {
		return response{}
	}
	return v.resultSets(call, items, refusals)
}

// decodeItems validates the envelope and reads the items; the refusal it returns is that of the
// whole call. An invalid item is refused individually as long as the response can name it.
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
			return nil, &refusal{
				crmInvalidParameter,
				fmt.Sprintf(
					"%s[%d].request_unique_identifier is mandatory, a string and unique in the call", page.set, i,
				),
			}
		}
		seen[id] = true
		items[i] = callItem{object: object, id: id, reference: object.textAt("external_system_reference_number")}
		if violations := validateSorted(page.itemSchema.validate, object); len(violations) > 0 {
			items[i].refusal = crmParameterRefusal(violations)
		}
	}
	return items, nil
}

// checkItem refuses unknown accounts and participants that were already referred. The caller must
// hold Server.mu.
func (v *crmcom) checkItem(item callItem) *refusal {
	for _, key := range []string{"accounts_receivable_identifier", "rewards_participant_identifier",
		"referred_by_rewards_participant_identifier", "referred_rewards_participant_identifier"} {
		if who := onlyValue(item.object.objectAt(key)); who != "" && v.opts.AccountExists != nil &&
			!v.opts.AccountExists(who) {
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

// onlyValue returns the value of an identifier, which has exactly one key, or "" if there is none.
func onlyValue(object *jsonObject) string {
	for key := range object.fields {
		if text := object.textAt(key); text != "" {
			return text
		}
	}
	return ""
}
