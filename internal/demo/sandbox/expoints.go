package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ExpointsOptions are Expoints' tenant.
type ExpointsOptions struct {
	// ClientID and ClientSecret are the OAuth2 client. Default: DefaultClientID, DefaultClientSecret.
	ClientID, ClientSecret string
	// Scope, where set, must be asked for when a token is fetched.
	Scope string
	// TokenTTL is how long a token holds. Default: 1 hour.
	TokenTTL time.Duration
	// BearerToken, where set, is accepted besides the tokens fetched.
	BearerToken string
	// Columns are the tenant's customer data columns. Default: none, so that a customer with data is refused.
	Columns []Column
	// EventIDColumn is the name of the column whose value is the ledger's Entry.ID.
	EventIDColumn string
}

// Column is one customer data column, as GET customerdatacolumn gives it.
type Column struct {
	ID          int    `json:"Id"`
	Required    bool   `json:"Required"`
	Archived    bool   `json:"Archived"`
	Name        string `json:"Name"`
	DisplayName string `json:"DisplayName"`
}

const (
	// ExpointsTokenPath is the token endpoint, of the form that Microsoft Entra ID has.
	ExpointsTokenPath = "/oauth2/v2.0/token"
	expointsBase      = "/external/api/v3/"
	expointsAddName   = "expoints.add" // the one operation with a batch
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
			operation: "expoints." + name, method: http.MethodPost, path: expointsBase + path, vendor: v, wholeBatch: true,
			handle:  func(call *vendorCall) response { return v.handleJSON(call, handle) },
			instant: serveInstantExpoints,
		}
	}
	return []*endpoint{
		{operation: "expoints.token", method: http.MethodPost, path: ExpointsTokenPath, vendor: v, formBody: true, handle: v.issueToken},
		{operation: "expoints.columns", method: http.MethodGet, path: expointsBase + "customerdatacolumn", vendor: v, handle: v.listColumns},
		post("add", "customer/add", v.addCustomers),
		post("addfinished", "customer/addfinished", v.addFinished),
		post("addlock", "customer/addlock", v.addLock),
	}
}

func (v *expoints) tokenStore() *tokenStore { return v.tokens }

func (v *expoints) issueToken(call *vendorCall) response {
	form, _ := url.ParseQuery(string(call.body)) // a malformed form is refused by grant
	if v.opts.Scope != "" && !slices.Contains(strings.Fields(form.Get("scope")), v.opts.Scope) {
		return oauthError(http.StatusBadRequest, "invalid_scope")
	}
	return v.tokens.grantToken(call, oauthClient{v.opts.ClientID, v.opts.ClientSecret}, map[string]any{"ext_expires_in": int(v.tokens.lifetime / time.Second)})
}

func (v *expoints) isAuthorized(call *vendorCall) bool {
	token := bearerToken(call.request)
	return token != "" && (token == v.opts.BearerToken || v.tokens.isValid(token))
}

// authorizationDenied is ASP.NET Web API's answer to a missing or invalid token.
func authorizationDenied() response {
	return jsonResponse(http.StatusUnauthorized, map[string]string{"Message": "Authorization has been denied for this request."})
}

// listColumns is GET customerdatacolumn; its three query parameters narrow the list.
func (v *expoints) listColumns(call *vendorCall) response {
	if !v.isAuthorized(call) {
		return authorizationDenied()
	}
	keep, faults := columnFilter(call.request.URL.Query())
	if len(faults) > 0 {
		return modelStateResponse(faults)
	}
	columns := []Column{}
	for _, column := range v.opts.Columns {
		if keep(column) {
			columns = append(columns, column)
		}
	}
	return jsonResponse(http.StatusOK, map[string]any{"CustomerDataColumns": columns})
}

func columnFilter(query map[string][]string) (keep func(Column) bool, faults []modelError) {
	flags := map[string]bool{}
	var ids []int
	for key, values := range query {
		for _, value := range values {
			var err error
			switch key {
			case "Required", "Archived":
				flags[key], err = strconv.ParseBool(value)
			case "CustomerDataColumnIds":
				var id int
				id, err = strconv.Atoi(value)
				ids = append(ids, id)
			default:
				err = strconv.ErrSyntax
			}
			if err != nil {
				faults = append(faults, modelError{key, "The value is not valid for " + key + "."})
			}
		}
	}
	return func(column Column) bool {
		required, byRequired := flags["Required"]
		archived, byArchived := flags["Archived"]
		return (!byRequired || column.Required == required) && (!byArchived || column.Archived == archived) &&
			(len(ids) == 0 || slices.Contains(ids, column.ID))
	}, faults
}

// handleJSON checks the token and reads the JSON of a POST.
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

// addCustomers is POST customer/add.
func (v *expoints) addCustomers(call *vendorCall, batch *jsonObject) response {
	customers := batch.listAt("Customers")
	call.itemCount = len(customers)
	violations := validateSorted(expointsAdd.validate, batch)
	if len(customers) > expointsMaxCustomers {
		violations = append(violations, violation{path: []string{"Customers"}, problem: wrongLength, allowed: fmt.Sprint("at most ", expointsMaxCustomers)})
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

// batchViolations gives what the page asks of a batch beyond its shape: no address twice unless allowed, and the tenant's columns. It does not ask for
// an address: a customer whose address is not valid is taken and gets a fault status.
func (v *expoints) batchViolations(batch *jsonObject, customers []any) []violation {
	var violations []violation
	twice, _ := batch.fields["AllowDuplicateEmail"].(bool)
	seen := make(map[string]bool, len(customers))
	for i, element := range customers {
		customer := element.(*jsonObject)
		path := []string{"Customers", strconv.Itoa(i)}
		email := strings.ToLower(customer.textAt("Email"))
		if email != "" && seen[email] && !twice {
			violations = append(violations, violation{path: append(path, "Email"), problem: invalidValue, allowed: "unique in the batch"})
		}
		seen[email] = true
		violations = append(violations, v.unknownColumns(path, customer)...)
		violations = append(violations, v.missingColumns(path, customer)...)
	}
	return violations
}

// unknownColumns refuses data for columns that the tenant has not or has archived.
func (v *expoints) unknownColumns(path []string, object *jsonObject) []violation {
	var violations []violation
	for i, element := range object.listAt("Data") {
		if _, ok := v.findColumn(element.(*jsonObject)); !ok {
			violations = append(violations, violation{path: append(slices.Clone(path), "Data", strconv.Itoa(i), "CustomerDataColumnId"), problem: unknownValue})
		}
	}
	return violations
}

// missingColumns refuses a customer without data for a required column ("this will result in a validation error").
func (v *expoints) missingColumns(path []string, object *jsonObject) []violation {
	var violations []violation
	for _, column := range v.opts.Columns {
		if column.Required && !column.Archived && v.columnValue(object, column.Name) == "" {
			violations = append(violations, violation{path: append(slices.Clone(path), "Data"), problem: missingKey, key: column.Name})
		}
	}
	return violations
}

// findColumn is the live column that a data element is for.
func (v *expoints) findColumn(data *jsonObject) (Column, bool) {
	id, _ := data.fields["CustomerDataColumnId"].(json.Number)
	for _, column := range v.opts.Columns {
		if strconv.Itoa(column.ID) == id.String() && !column.Archived {
			return column, true
		}
	}
	return Column{}, false
}

// columnValue is what an object's data hold for a column; empty where they have none.
func (v *expoints) columnValue(object *jsonObject, name string) string {
	for _, element := range object.listAt("Data") {
		data, ok := element.(*jsonObject)
		if !ok {
			continue
		}
		if column, ok := v.findColumn(data); ok && column.Name == name {
			return data.textAt("Value")
		}
	}
	return ""
}

func (v *expoints) eventID(object *jsonObject) string {
	if v.opts.EventIDColumn == "" {
		return ""
	}
	return v.columnValue(object, v.opts.EventIDColumn)
}

// addFinished is POST customer/addfinished: one customer a call.
func (v *expoints) addFinished(call *vendorCall, body *jsonObject) response {
	violations := validateSorted(expointsAddFinished.validate, body)
	customer := body.objectAt("Customer")
	if len(violations) == 0 {
		violations = v.unknownColumns([]string{"Customer"}, customer)
	}
	return v.acceptAll(call, []callItem{{object: body, id: v.eventID(customer)}}, violations)
}

// addLock is POST customer/addlock: one lock a call.
func (v *expoints) addLock(call *vendorCall, body *jsonObject) response {
	violations := validateSorted(expointsAddLock.validate, body)
	if len(violations) == 0 {
		violations = v.unknownColumns(nil, body)
	}
	return v.acceptAll(call, []callItem{{object: body, id: v.eventID(body)}}, violations)
}

// acceptAll accepts all items or refuses all. The answer to success is a 200 without a body ("Resource Description: None").
func (v *expoints) acceptAll(call *vendorCall, items []callItem, violations []violation) response {
	call.itemCount = len(items)
	if len(violations) > 0 {
		call.refusedCount = len(items)
		return modelStateResponse(modelErrors(violations))
	}
	verdicts, done := v.server.judgeItems(call, items, nil)
	if !done {
		return v.refuseNamedItems(call, verdicts)
	}
	return response{status: http.StatusOK}
}
