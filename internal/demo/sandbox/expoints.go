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
	tokens *tokens
}

func newExpoints(s *Server, o ExpointsOptions) *expoints {
	orDefault(&o.ClientID, DefaultClientID)
	orDefault(&o.ClientSecret, DefaultClientSecret)
	return &expoints{server: s, opts: o, tokens: newTokens("expoints.", o.TokenTTL, time.Hour)}
}

func (v *expoints) endpoints() []*endpoint {
	post := func(name, path string, handle func(*call, *object) reply) *endpoint {
		return &endpoint{
			operation: "expoints." + name, method: http.MethodPost, path: expointsBase + path, vendor: v, whole: true,
			handle:  func(c *call) reply { return v.body(c, handle) },
			instant: expointsInstant,
		}
	}
	return []*endpoint{
		{operation: "expoints.token", method: http.MethodPost, path: ExpointsTokenPath, vendor: v, form: true, handle: v.token},
		{operation: "expoints.columns", method: http.MethodGet, path: expointsBase + "customerdatacolumn", vendor: v, handle: v.columns},
		post("add", "customer/add", v.add),
		post("addfinished", "customer/addfinished", v.addFinished),
		post("addlock", "customer/addlock", v.addLock),
	}
}

func (v *expoints) logins() *tokens { return v.tokens }

func (v *expoints) token(c *call) reply {
	form, _ := url.ParseQuery(string(c.body)) // a malformed form is refused by grant
	if v.opts.Scope != "" && !slices.Contains(strings.Fields(form.Get("scope")), v.opts.Scope) {
		return oauthError(http.StatusBadRequest, "invalid_scope")
	}
	return v.tokens.grant(c, client{v.opts.ClientID, v.opts.ClientSecret}, map[string]any{"ext_expires_in": int(v.tokens.ttl / time.Second)})
}

func (v *expoints) authorized(c *call) bool {
	token := bearer(c.request)
	return token != "" && (token == v.opts.BearerToken || v.tokens.valid(token))
}

// denied is ASP.NET Web API's answer to a missing or invalid token.
func denied() reply {
	return jsonReply(http.StatusUnauthorized, map[string]string{"Message": "Authorization has been denied for this request."})
}

// columns is GET customerdatacolumn; its three query parameters narrow the list.
func (v *expoints) columns(c *call) reply {
	if !v.authorized(c) {
		return denied()
	}
	keep, faults := columnFilter(c.request.URL.Query())
	if len(faults) > 0 {
		return modelState(faults)
	}
	columns := []Column{}
	for _, column := range v.opts.Columns {
		if keep(column) {
			columns = append(columns, column)
		}
	}
	return jsonReply(http.StatusOK, map[string]any{"CustomerDataColumns": columns})
}

func columnFilter(query map[string][]string) (keep func(Column) bool, faults []fault) {
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
				faults = append(faults, fault{key, "The value is not valid for " + key + "."})
			}
		}
	}
	return func(c Column) bool {
		required, byRequired := flags["Required"]
		archived, byArchived := flags["Archived"]
		return (!byRequired || c.Required == required) && (!byArchived || c.Archived == archived) &&
			(len(ids) == 0 || slices.Contains(ids, c.ID))
	}, faults
}

// body checks the token and reads the JSON of a POST.
func (v *expoints) body(c *call, handle func(*call, *object) reply) reply {
	if !v.authorized(c) {
		return denied()
	}
	o, err := parseObject(c.body)
	if err != nil {
		return modelState([]fault{{"request", "The body is " + err.Error() + "."}})
	}
	return handle(c, o)
}

// add is POST customer/add.
func (v *expoints) add(c *call, batch *object) reply {
	customers := batch.list("Customers")
	c.items = len(customers)
	vs := inspect(expointsAdd.check, batch)
	if len(customers) > expointsMaxCustomers {
		vs = append(vs, violation{path: []string{"Customers"}, problem: wrongLength, want: fmt.Sprint("at most ", expointsMaxCustomers)})
	}
	if len(vs) == 0 {
		vs = v.customers(batch, customers)
	}
	items := make([]item, 0, len(customers))
	for _, customer := range customers {
		if o, ok := customer.(*object); ok {
			items = append(items, item{object: o, id: v.eventID(o)})
		}
	}
	return v.whole(c, items, vs)
}

// customers gives what the page asks of a batch beyond its shape: no address twice unless allowed, and the tenant's columns. It does not ask for
// an address: a customer whose address is not valid is taken and gets a fault status.
func (v *expoints) customers(batch *object, customers []any) []violation {
	var vs []violation
	twice, _ := batch.fields["AllowDuplicateEmail"].(bool)
	seen := make(map[string]bool, len(customers))
	for i, element := range customers {
		customer := element.(*object)
		at := []string{"Customers", strconv.Itoa(i)}
		email := strings.ToLower(customer.text("Email"))
		if email != "" && seen[email] && !twice {
			vs = append(vs, violation{path: append(at, "Email"), problem: unfit, want: "unique in the batch"})
		}
		seen[email] = true
		vs = append(vs, v.known(at, customer)...)
		vs = append(vs, v.complete(at, customer)...)
	}
	return vs
}

// known refuses data for columns that the tenant has not or has archived.
func (v *expoints) known(at []string, o *object) []violation {
	var vs []violation
	for i, element := range o.list("Data") {
		if _, ok := v.column(element.(*object)); !ok {
			vs = append(vs, violation{path: append(slices.Clone(at), "Data", strconv.Itoa(i), "CustomerDataColumnId"), problem: unknownValue})
		}
	}
	return vs
}

// complete refuses a customer without data for a required column ("this will result in a validation error").
func (v *expoints) complete(at []string, o *object) []violation {
	var vs []violation
	for _, column := range v.opts.Columns {
		if column.Required && !column.Archived && v.value(o, column.Name) == "" {
			vs = append(vs, violation{path: append(slices.Clone(at), "Data"), problem: missing, key: column.Name})
		}
	}
	return vs
}

// column is the live column that a data element is for.
func (v *expoints) column(data *object) (Column, bool) {
	id, _ := data.fields["CustomerDataColumnId"].(json.Number)
	for _, column := range v.opts.Columns {
		if strconv.Itoa(column.ID) == id.String() && !column.Archived {
			return column, true
		}
	}
	return Column{}, false
}

// value is what an object's data hold for a column; empty where they have none.
func (v *expoints) value(o *object, name string) string {
	for _, element := range o.list("Data") {
		data, ok := element.(*object)
		if !ok {
			continue
		}
		if column, ok := v.column(data); ok && column.Name == name {
			return data.text("Value")
		}
	}
	return ""
}

func (v *expoints) eventID(o *object) string {
	if v.opts.EventIDColumn == "" {
		return ""
	}
	return v.value(o, v.opts.EventIDColumn)
}

// addFinished is POST customer/addfinished: one customer a call.
func (v *expoints) addFinished(c *call, body *object) reply {
	vs := inspect(expointsAddFinished.check, body)
	customer := body.object("Customer")
	if len(vs) == 0 {
		vs = v.known([]string{"Customer"}, customer)
	}
	return v.whole(c, []item{{object: body, id: v.eventID(customer)}}, vs)
}

// addLock is POST customer/addlock: one lock a call.
func (v *expoints) addLock(c *call, body *object) reply {
	vs := inspect(expointsAddLock.check, body)
	if len(vs) == 0 {
		vs = v.known(nil, body)
	}
	return v.whole(c, []item{{object: body, id: v.eventID(body)}}, vs)
}

// whole accepts all items or refuses all. The answer to success is a 200 without a body ("Resource Description: None").
func (v *expoints) whole(c *call, items []item, vs []violation) reply {
	c.items = len(items)
	if len(vs) > 0 {
		c.refused = len(items)
		return modelState(expointsFaults(vs))
	}
	verdicts, done := v.server.judge(c, items, nil)
	if !done {
		return v.refused(c, verdicts)
	}
	return reply{status: http.StatusOK}
}
