package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ExpointsOptions configure Expoints' tenant.
type ExpointsOptions struct {
	// ClientID and ClientSecret are the OAuth 2.0 client credentials. The defaults are
	// DefaultClientID and DefaultClientSecret.
	ClientID, ClientSecret string
	// Scope, if not empty, must be requested with every token.
	Scope string
	// TokenTTL is the lifetime of a token. The default is 1 hour.
	TokenTTL time.Duration
	// BearerToken, if not empty, is accepted in addition to issued tokens.
	BearerToken string
	// Columns are the tenant's customer data columns. By default there are none, so that a customer
	// with data is refused.
	Columns []Column
	// EventIDColumn is the name of the column whose value becomes LedgerEntry.ID.
	EventIDColumn string
}

const (
	// ExpointsTokenPath is the path of the token endpoint, as in Microsoft Entra ID.
	ExpointsTokenPath = "/oauth2/v2.0/token"
	expointsBase      = "/external/api/v3/"
	expointsAddName   = "expoints.add" // the only operation that takes a batch
)

type expoints struct {
	server *Server
	opts   ExpointsOptions
	tokens *tokenStore
}

func newExpoints(server *Server, opts ExpointsOptions) *expoints {
	setDefault(&opts.ClientID, DefaultClientID)
	setDefault(&opts.ClientSecret, DefaultClientSecret)
	return &expoints{server: server, opts: opts, tokens: newTokenStore("expoints.", opts.TokenTTL, time.Hour)}
}

func (v *expoints) endpoints() []*endpoint {
	post := func(name, path string, handle func(*vendorCall, *jsonObject) response) *endpoint {
		return &endpoint{
			operation: "expoints." + name, method: http.MethodPost, path: expointsBase + path, vendor: v,
			wholeBatch: true,
			handle:     func(call *vendorCall) response { return v.handleJSON(call, handle) },
			instant:    serveInstantExpoints,
		}
	}
	return []*endpoint{
		{
			operation: "expoints.token", method: http.MethodPost, path: ExpointsTokenPath, vendor: v, formBody: true,
			handle: v.issueToken,
		},
		{
			operation: "expoints.columns", method: http.MethodGet, path: expointsBase + "customerdatacolumn", vendor: v,
			handle: v.listColumns,
		},
		post("add", "customer/add", v.addCustomers),
		post("addfinished", "customer/addfinished", v.addFinished),
		post("addlock", "customer/addlock", v.addLock),
	}
}

func (v *expoints) tokenStore() *tokenStore { return v.tokens }

func (v *expoints) issueToken(call *vendorCall) response {
	form, _ := url.ParseQuery(string(call.body)) // grantToken refuses a malformed form
	if v.opts.Scope != "" && !slices.Contains(strings.Fields(form.Get("scope")), v.opts.Scope) {
		return oauthError(http.StatusBadRequest, "invalid_scope")
	}
	return v.tokens.grantToken(call, oauthClient{v.opts.ClientID, v.opts.ClientSecret}, map[string]any{
		"ext_expires_in": int(v.tokens.lifetime / time.Second),
	})
}

func (v *expoints) isAuthorized(call *vendorCall) bool {
	token := bearerToken(call.request)
	return token != "" && (token == v.opts.BearerToken || v.tokens.isValid(token))
}

// authorizationDenied is ASP.NET Web API's response to a missing or invalid token.
func authorizationDenied() response {
	return jsonResponse(http.StatusUnauthorized, map[string]string{
		"Message": "Authorization has been denied for this request.",
	})
}

// handleJSON checks the token and parses the body of a POST before it calls handle.
func (v *expoints) handleJSON(call *vendorCall, handle func(*vendorCall, *jsonObject) response) response {
	if !v.isAuthorized(call) {
		return authorizationDenied()
	}
	object, err := parseObject(call.body)
	if err != nil {
		return modelStateResponse([]modelError{{"request", "The body is " + err.Error() + "."}})
	}
	return handle(call, object)
}

// addCustomers serves POST customer/add.
func (v *expoints) addCustomers(call *vendorCall, batch *jsonObject) response {
	customers := batch.listAt("Customers")
	call.itemCount = len(customers)
	violations := validateSorted(expointsAdd.validate, batch)
	if len(customers) > expointsMaxCustomers {
		violations = append(violations, violation{
			path: []string{"Customers"}, kind: wrongLength, allowed: fmt.Sprint("at most ", expointsMaxCustomers),
		})
	}
	if len(violations) == 0 {
		violations = v.batchViolations(batch, customers)
	}
	items := make([]callItem, 0, len(customers))
	for _, customer := range customers {
		if object, ok := customer.(*jsonObject); ok {
			items = append(items, callItem{object: object, id: v.eventID(object)})
		}
	}
	return v.acceptAll(call, items, violations)
}

// batchViolations checks what the page requires of a batch beyond its schema: no email address
// twice unless duplicates are allowed, and the tenant's columns. An address is not required, and a
// customer with an invalid one is accepted, since the vendor accepts it too and sets an error
// status.
func (v *expoints) batchViolations(batch *jsonObject, customers []any) []violation {
	var violations []violation
	twice, _ := batch.fields["AllowDuplicateEmail"].(bool)
	seen := make(map[string]bool, len(customers))
	for i, element := range customers {
		customer := element.(*jsonObject)
		path := []string{"Customers", strconv.Itoa(i)}
		email := strings.ToLower(customer.textAt("Email"))
		if email != "" && seen[email] && !twice {
			violations = append(violations, violation{
				path: append(path, "Email"), kind: invalidValue, allowed: "unique in the batch",
			})
		}
		seen[email] = true
		violations = append(violations, v.unknownColumns(path, customer)...)
		violations = append(violations, v.missingColumns(path, customer)...)
	}
	return violations
}

// unknownColumns returns a violation for data in each column that does not exist or is archived.
func (v *expoints) unknownColumns(path []string, object *jsonObject) []violation {
	var violations []violation
	for i, element := range object.listAt("Data") {
		if _, ok := v.findColumn(element.(*jsonObject)); !ok {
			violations = append(violations, violation{
				path: append(slices.Clone(path), "Data", strconv.Itoa(i), "CustomerDataColumnId"),
				kind: unknownValue,
			})
		}
	}
	return violations
}

// missingColumns returns a violation for each required column without data ("this will result in a
// validation error").
func (v *expoints) missingColumns(path []string, object *jsonObject) []violation {
	var violations []violation
	for _, column := range v.opts.Columns {
		if column.Required && !column.Archived && v.columnValue(object, column.Name) == "" {
			violations = append(violations, violation{
				path: append(slices.Clone(path), "Data"), kind: missingKey, key: column.Name,
			})
		}
	}
	return violations
}

// addFinished serves POST customer/addfinished, which takes one customer per call.
func (v *expoints) addFinished(call *vendorCall, body *jsonObject) response {
	violations := validateSorted(expointsAddFinished.validate, body)
	customer := body.objectAt("Customer")
	if len(violations) == 0 {
		violations = v.unknownColumns([]string{"Customer"}, customer)
	}
	return v.acceptAll(call, []callItem{{object: body, id: v.eventID(customer)}}, violations)
}

// addLock serves POST customer/addlock, which takes one lock per call.
func (v *expoints) addLock(call *vendorCall, body *jsonObject) response {
	violations := validateSorted(expointsAddLock.validate, body)
	if len(violations) == 0 {
		violations = v.unknownColumns(nil, body)
	}
	return v.acceptAll(call, []callItem{{object: body, id: v.eventID(body)}}, violations)
}

// acceptAll accepts all items or refuses all. Success is a 200 without a body ("Resource
// Description: None").
func (v *expoints) acceptAll(call *vendorCall, items []callItem, violations []violation) response {
	call.itemCount = len(items)
	if len(violations) > 0 {
		call.refusedCount = len(items)
		return modelStateResponse(modelErrors(violations))
	}
	refusals, done := v.server.judgeItems(call, items, nil)
	if !done {
		return v.refuseNamedItems(call, refusals)
	}
	return response{status: http.StatusOK}
}
