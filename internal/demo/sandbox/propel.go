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
	tokens *tokens

	// Server.mu covers both.
	ids   map[string]int // by source and sourceId
	calls int
}

func newPropel(s *Server, o PropelOptions) *propel {
	orDefault(&o.ClientID, DefaultClientID)
	orDefault(&o.ClientSecret, DefaultClientSecret)
	return &propel{server: s, opts: o, tokens: newTokens("propel.", o.TokenTTL, 30*time.Minute), ids: map[string]int{}}
}

func (v *propel) endpoints() []*endpoint {
	return []*endpoint{
		{operation: "propel.token", method: http.MethodPost, path: PropelTokenPath, vendor: v, form: true, handle: v.token},
		{operation: "propel.customers", method: http.MethodPost, path: "/v2/customers/bulk/sourceId", vendor: v, handle: v.customers,
			instant: v.server.instant("sourceId", propelInstant)},
	}
}

func (v *propel) logins() *tokens { return v.tokens }

func (v *propel) token(c *call) reply {
	return v.tokens.grant(c, client{v.opts.ClientID, v.opts.ClientSecret}, map[string]any{"scope": "profile"})
}

// customers is POST customers/bulk/sourceId.
func (v *propel) customers(c *call) reply {
	v.server.mu.Lock()
	v.calls++
	c.header.Set("x-request-id", fmt.Sprintf("%032x", v.calls))
	v.server.mu.Unlock()
	if !v.tokens.valid(bearer(c.request)) {
		return propelDenied()
	}
	body, err := parseObject(c.body)
	if err != nil {
		return propelError(propelBadJSON, []string{err.Error()})
	}
	c.items = len(body.list("customers"))
	if rep, ok := v.malformed(body, c.items); !ok {
		c.refused = c.items
		return rep
	}
	items := make([]item, c.items)
	for i, element := range body.list("customers") {
		o := element.(*object)
		version, _ := o.scalar(v.opts.VersionField)
		items[i] = item{object: o, id: o.text("source") + "/" + o.text("sourceId"), version: version, upsert: true}
	}
	verdicts, done := v.server.judge(c, items, nil)
	if !done {
		return reply{}
	}
	return v.results(c, items, verdicts)
}

// malformed refuses the whole call for the shape of any customer, before anything is written.
func (v *propel) malformed(body *object, n int) (reply, bool) {
	if vs := inspect(propelBody.check, body); len(vs) > 0 {
		messages := make([]string, len(vs))
		for i, violation := range vs {
			messages[i] = everit(violation)
		}
		return propelError(propelSchema, messages), false
	}
	if v.opts.MaxItems > 0 && n > v.opts.MaxItems {
		return propelError(propelBadPayload, []string{fmt.Sprintf("customers has more than %d elements", v.opts.MaxItems)}), false
	}
	return reply{}, true
}

// results has one row a customer. A refused one has "error" and no id, as on the sister endpoint attributes/bulk/id.
func (v *propel) results(c *call, items []item, verdicts []*refusal) reply {
	rows := []map[string]any{}
	v.server.mu.Lock()
	defer v.server.mu.Unlock()
	for i, it := range items {
		id, exists := v.ids[it.id]
		action := "update"
		if !exists {
			id, action = 25494+len(v.ids), "create"
		}
		row := map[string]any{"action": action, "key": propelKey(it.object.text("sourceId")), "lookupKey": "sourceId", "success": verdicts[i] == nil}
		if r := verdicts[i]; r != nil {
			row["error"] = r.description
		} else {
			v.ids[it.id] = id
			row["id"] = id
		}
		if !c.dropped[i] {
			rows = append(rows, row)
		}
	}
	for i := range c.extra {
		rows = append(rows, map[string]any{"action": "update", "id": i, "key": fmt.Sprint("extra-", i), "lookupKey": "sourceId", "success": true})
	}
	return jsonReply(http.StatusOK, map[string]any{"data": rows, "messages": []string{"Completed"}, "total": len(items)})
}

// propelKey is the sourceId as the answer echoes it: the documents show numbers for those that look like one, and strings.
func propelKey(sourceID string) any {
	if n, err := strconv.ParseInt(sourceID, 10, 32); err == nil && strconv.FormatInt(n, 10) == sourceID {
		return json.Number(sourceID)
	}
	return sourceID
}

func (v *propel) scripted(a Action) *refusal {
	orDefault(&a.Description, propelItemNotValid)
	return &refusal{a.ErrorCode, a.Description}
}

// refuse is a 400 with the action's code (default 10017), which names customers as the schema check does.
func (v *propel) refuse(_ *call, a Action, named []int) reply {
	code, err := strconv.Atoi(a.ErrorCode)
	if err != nil {
		code = propelBadPayload
	}
	orDefault(&a.Description, propelItemNotValid)
	messages := []string{a.Description}
	for i, n := range named {
		messages = append(messages[:i], fmt.Sprintf("#/customers/%d: %s", n, a.Description))
	}
	return propelError(code, messages)
}

// propelError is the envelope of page "errors".
func propelError(code int, messages []string) reply {
	kind, ok := propelTypes[code]
	if !ok {
		kind = "Error"
	}
	return jsonReply(http.StatusBadRequest, map[string]any{"error": map[string]any{
		"code": code, "messages": messages, "moreInfo": fmt.Sprint("https://www.propel.us/docs/errors/", code), "status": http.StatusBadRequest, "type": kind,
	}})
}

// propelDenied has the form of Apigee, whose token responses the older documents show; no sample of Propel's own is published.
func propelDenied() reply {
	return jsonReply(http.StatusUnauthorized, map[string]any{"fault": map[string]any{
		"faultstring": "Invalid Access Token", "detail": map[string]string{"errorcode": "keymanagement.service.invalid_access_token"},
	}})
}

// everit words a violation as the library everit-org/json-schema does, whose messages the page shows.
func everit(v violation) string {
	at := "#"
	if len(v.path) > 0 {
		at += "/" + strings.Join(v.path, "/")
	}
	switch v.problem {
	case missing:
		return at + ": required key [" + v.key + "] not found"
	case extraneous:
		return at + ": extraneous key [" + v.key + "] is not permitted"
	case mistyped:
		return at + ": expected type: " + v.want + ", found: " + v.found
	default:
		return at + ": " + v.rule()
	}
}
