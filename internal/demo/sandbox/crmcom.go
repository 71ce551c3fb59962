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
	tokens *tokens

	// Server.mu covers both.
	referred map[string]bool
	number   int
}

func newCRMCOM(s *Server, o CRMCOMOptions) *crmcom {
	orDefault(&o.WebAPIKey, DefaultWebAPIKey)
	orDefault(&o.Username, DefaultUsername)
	orDefault(&o.Password, DefaultPassword)
	orDefault(&o.Organisation, DefaultOrganisation)
	v := &crmcom{server: s, opts: o, tokens: newTokens("", o.TokenTTL, 2*time.Hour), referred: map[string]bool{}}
	for _, participant := range o.Referred {
		v.referred[participant] = true
	}
	return v
}

func orDefault(s *string, standard string) {
	if *s == "" {
		*s = standard
	}
}

func (v *crmcom) endpoints() []*endpoint {
	login := func(path string, handle func(*call) reply) *endpoint {
		return &endpoint{operation: "crmcom.login", method: http.MethodPost, path: crmBase + "authentication/" + path, vendor: v, handle: handle}
	}
	es := []*endpoint{login("web_api_key/token", v.keyLogin), login("token", v.userLogin)}
	for _, page := range crmPages {
		es = append(es, &endpoint{
			operation: "crmcom." + page.operation,
			method:    http.MethodPost,
			path:      crmBase + "customer_events/bulk/" + page.path + "/create",
			vendor:    v,
			handle:    func(c *call) reply { return v.create(c, page) },
			instant:   v.server.instant("request_unique_identifier", crmInstant),
		})
	}
	return es
}

func (v *crmcom) logins() *tokens { return v.tokens }

// keyLogin is POST authentication/web_api_key/token: the key is the user name of Basic credentials with an empty password, the body is optional.
func (v *crmcom) keyLogin(c *call) reply {
	if c.request.Header.Get("Authorization") != basic(v.opts.WebAPIKey) {
		return crmFailure(crmLoginFailed, "The web API key is not valid.")
	}
	if len(c.body) > 0 {
		if rep, ok := crmShaped(c.body, shape{fields: map[string]check{"unit": text}}); !ok {
			return rep
		}
	}
	return crmReply("OK", "", map[string]any{"token": v.tokens.issue()})
}

// userLogin is POST authentication/token, whose sample has null for the texts that the other login leaves empty.
func (v *crmcom) userLogin(c *call) reply {
	page := shape{
		fields:    map[string]check{"username": text, "password": text, "organisation": text, "unit": text},
		mandatory: []string{"username", "password", "organisation"},
	}
	if rep, ok := crmShaped(c.body, page); !ok {
		return rep
	}
	o, _ := parseObject(c.body)
	if o.text("username") != v.opts.Username || o.text("password") != v.opts.Password || o.text("organisation") != v.opts.Organisation {
		return crmFailure(crmLoginFailed, "The user name, password or organisation is not valid.")
	}
	return crmReply("OK", nil, map[string]any{"token": v.tokens.issue()})
}

// create is POST customer_events/bulk/.../create. fields_set is taken and changes nothing: how it would narrow the two sets is not documented.
func (v *crmcom) create(c *call, page crmPage) reply {
	env, err := parseObject(c.body)
	if err != nil {
		return crmFailure(crmInvalidJSON, "The body is "+err.Error()+".")
	}
	page = page.of(env)
	c.items = len(env.list(page.set))
	if !v.tokens.valid(env.text("token")) {
		return crmFailure(crmInvalidToken, "The token is invalid or has expired.")
	}
	items, problem := v.decode(env, page)
	if problem != nil {
		c.refused = c.items
		return crmFailure(problem.code, problem.description)
	}
	verdicts, done := v.server.judge(c, items, v.decide)
	if !done {
		return reply{}
	}
	return v.results(c, items, verdicts)
}

// decode reads the envelope; the refusal is the whole call's. An item of the wrong shape is refused by itself, as long as the answer can name it.
func (v *crmcom) decode(env *object, page crmPage) ([]item, *refusal) {
	if vs := inspect(page.envelope().check, env); len(vs) > 0 {
		return nil, crmMalformed(vs)
	}
	set := env.list(page.set)
	if len(set) > crmMaxItems {
		return nil, &refusal{crmInvalidParameter, fmt.Sprintf("%s has more than %d elements", page.set, crmMaxItems)}
	}
	currency := env.object("intended_currency_identifier").text("code")
	if currency != "" && v.opts.Currency != "" && currency != v.opts.Currency {
		return nil, &refusal{crmCurrency, "The intended currency is not the currency of the unit"}
	}
	items, seen := make([]item, len(set)), make(map[string]bool, len(set))
	for i, element := range set {
		o := element.(*object)
		id := o.text("request_unique_identifier")
		if id == "" || seen[id] {
			return nil, &refusal{crmInvalidParameter, fmt.Sprintf("%s[%d].request_unique_identifier is mandatory, a string and unique in the call", page.set, i)}
		}
		seen[id] = true
		items[i] = item{object: o, id: id, reference: o.text("external_system_reference_number")}
		if vs := inspect(page.item.check, o); len(vs) > 0 {
			items[i].refusal = crmMalformed(vs)
		}
	}
	return items, nil
}

// decide refuses what does not exist and what was referred before. Server.mu is held.
func (v *crmcom) decide(it item) *refusal {
	for _, key := range []string{"accounts_receivable_identifier", "rewards_participant_identifier",
		"referred_by_rewards_participant_identifier", "referred_rewards_participant_identifier"} {
		if who := only(it.object.object(key)); who != "" && v.opts.AccountExists != nil && !v.opts.AccountExists(who) {
			return crmRefusal(crmNotFound, "Account ("+who+") Not Found.", "The specified API value was not found.")
		}
	}
	who := only(it.object.object("referred_rewards_participant_identifier"))
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

// only is the one value of an identifier; empty where there is none.
func only(o *object) string {
	for key := range o.fields {
		if s := o.text(key); s != "" {
			return s
		}
	}
	return ""
}

// results are the processed and unprocessed sets, the latter first, as the page's examples have them.
func (v *crmcom) results(c *call, items []item, verdicts []*refusal) reply {
	processed, unprocessed := []map[string]string{}, []map[string]string{}
	v.server.mu.Lock()
	defer v.server.mu.Unlock()
	for i, it := range items {
		row := map[string]string{"request_unique_identifier": it.id}
		if r := verdicts[i]; r != nil {
			row["error_code"], row["error_description"] = r.code, r.description
		} else {
			v.number++
			row["number"], row["id"] = strconv.Itoa(v.number), fmt.Sprintf("%032X", v.number)
		}
		switch {
		case c.dropped[i]:
		case verdicts[i] != nil:
			unprocessed = append(unprocessed, row)
		default:
			processed = append(processed, row)
		}
	}
	for i := range c.extra {
		processed = append(processed, map[string]string{"request_unique_identifier": fmt.Sprint("extra-", i), "number": "0", "id": fmt.Sprintf("%032X", 0)})
	}
	return crmReply("OK", "", map[string]any{"unprocessed_customer_events_set": unprocessed, "processed_customer_events_set": processed})
}

func (v *crmcom) scripted(a Action) *refusal {
	orDefault(&a.ErrorCode, crmNotFound)
	orDefault(&a.Description, "The specified API value was not found.")
	return crmRefusal(a.ErrorCode, "Refused.", a.Description)
}

// refuse is a failed envelope; it has no place to name items.
func (v *crmcom) refuse(_ *call, a Action, _ []int) reply {
	orDefault(&a.ErrorCode, crmInvalidParameter)
	return crmFailure(a.ErrorCode, a.Description)
}

func crmRefusal(code, specific, generic string) *refusal {
	return &refusal{code, "Error:" + specific + " - Description:" + generic}
}

func crmMalformed(vs []violation) *refusal {
	parts := make([]string, len(vs))
	for i, v := range vs {
		parts[i] = strings.Join(v.at(), ".") + " " + v.rule()
	}
	return crmRefusal(crmInvalidParameter, strings.Join(parts, "; ")+".", "The parameters are not valid.")
}

func crmShaped(body []byte, page shape) (reply, bool) {
	o, err := parseObject(body)
	if err != nil {
		return crmFailure(crmInvalidJSON, "The body is "+err.Error()+"."), false
	}
	if vs := inspect(page.check, o); len(vs) > 0 {
		r := crmMalformed(vs)
		return crmFailure(r.code, r.description), false
	}
	return reply{}, true
}

// crmFailure is an envelope with another status.code than OK. No sample is published; clients that are show HTTP 200 and the code in the body.
func crmFailure(code, description string) reply {
	rep := crmReply(code, description, map[string]any{})
	rep.failed = true
	return rep
}

func crmReply(code string, description any, data map[string]any) reply {
	return jsonReply(http.StatusOK, map[string]any{
		"data":   data,
		"status": map[string]any{"code": code, "description": description, "message": description},
	})
}
