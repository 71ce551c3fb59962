package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// CustomPage describes a vendor whose API is authenticated with bearer tokens, either issued by a
// token endpoint (OAuth 2.0 client credentials grant) or one configured token. Its operations take
// a JSON object with a list of items and return a result for each item. It is for vendors outside
// this package.
type CustomPage struct {
	Vendor Vendor
	// TokenPath is the path of the token endpoint, which is the operation "token".
	TokenPath string
	// Token, if not empty, is the only token that is accepted. There is no token endpoint then.
	Token string
	// AccountSettings is as in Page.
	AccountSettings func(baseURL string) string
	Operations      []CustomOperation
	// ErrorBody returns the body of a 400 response to a whole call. refused are the indexes of the
	// items that it names.
	ErrorBody func(code, description string, refused []int) any
}

// CustomOperation is one operation of a CustomPage: POST with a JSON object.
type CustomOperation struct {
	// Name is the operation within its vendor, such as "orders".
	Name string
	Path string
	// ListKey is the member of the body that holds the items, and IDKey the member of an item that
	// identifies it.
	ListKey, IDKey string
	// MaxItems is the maximum number of items in a call; calls with more are refused.
	MaxItems int
	// CheckItem returns what is wrong with an item, or "".
	CheckItem func(item json.RawMessage) string
	// ResultBody returns the body of a 200 response.
	ResultBody func(results []CustomResult) any
}

// CustomResult is what became of one item.
type CustomResult struct {
	ID string
	// Accepted items have no code and description.
	Accepted          bool
	Code, Description string
}

// customTokenTTL is how long a token of a CustomPage is valid.
const customTokenTTL = time.Hour

// NewPage returns the page that spec describes.
func NewPage(spec CustomPage) Page {
	return Page{
		Vendor:          spec.Vendor,
		AccountSettings: spec.AccountSettings,
		AccessText:      spec.AccountSettings,
		newEndpoints: func(s *Server) []*endpoint {
			v := &customVendor{server: s, spec: spec}
			if spec.Token == "" {
				v.tokens = newTokenStore(string(spec.Vendor)+".", 0, customTokenTTL)
			}
			return v.endpoints()
		},
	}
}

type customVendor struct {
	server *Server
	spec   CustomPage
	tokens *tokenStore // nil if spec.Token is configured
}

func (v *customVendor) endpoints() []*endpoint {
	prefix := string(v.spec.Vendor) + "."
	var endpoints []*endpoint
	if v.tokens != nil {
		endpoints = append(endpoints, &endpoint{
			operation: prefix + "token", method: http.MethodPost, path: v.spec.TokenPath, vendor: v, formBody: true,
			handle: v.issueToken,
		})
	}
	for _, operation := range v.spec.Operations {
		endpoints = append(endpoints, &endpoint{
			operation: prefix + operation.Name, method: http.MethodPost, path: operation.Path, vendor: v,
			handle: func(call *vendorCall) response { return v.acceptItems(call, operation) },
		})
	}
	return endpoints
}

func (v *customVendor) tokenStore() *tokenStore { return v.tokens }

func (v *customVendor) issueToken(call *vendorCall) response {
	return v.tokens.grantToken(call, oauthClient{DefaultClientID, DefaultClientSecret}, nil)
}

func (v *customVendor) acceptsToken(token string) bool {
	if v.tokens == nil {
		return token == v.spec.Token
	}
	return v.tokens.isValid(token)
}

func (v *customVendor) acceptItems(call *vendorCall, operation CustomOperation) response {
	if !v.acceptsToken(bearerToken(call.request)) {
		return jsonResponse(http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
	}
	body, err := parseObject(call.body)
	if err != nil {
		return v.refuseCall(call, Action{ErrorCode: "malformed", Description: err.Error()}, nil)
	}
	elements := body.listAt(operation.ListKey)
	call.itemCount = len(elements)
	if len(elements) == 0 || len(elements) > operation.MaxItems {
		call.refusedCount = len(elements)
		description := fmt.Sprintf("%s must have 1 to %d items", operation.ListKey, operation.MaxItems)
		return v.refuseCall(call, Action{ErrorCode: "malformed", Description: description}, nil)
	}
	items := make([]callItem, len(elements))
	for i, element := range elements {
		object, ok := element.(*jsonObject)
		if !ok {
			call.refusedCount = len(elements)
			return v.refuseCall(call, Action{ErrorCode: "malformed", Description: "not an object"}, []int{i})
		}
		items[i] = callItem{object: object, id: object.textAt(operation.IDKey)}
		if problem := operation.CheckItem(object.raw); problem != "" {
			items[i].refusal = &refusal{code: "invalid", description: problem}
		}
	}
	refusals, judged := v.server.judgeItems(call, items, nil)
	if !judged {
		return response{}
	}
	return jsonResponse(http.StatusOK, operation.ResultBody(v.results(call, items, refusals)))
}

func (v *customVendor) results(call *vendorCall, items []callItem, refusals []*refusal) []CustomResult {
	results := []CustomResult{}
	for i, item := range items {
		result := CustomResult{ID: item.id, Accepted: refusals[i] == nil}
		if refusals[i] != nil {
			result.Code, result.Description = refusals[i].code, refusals[i].description
		}
		results = append(results, slices.Repeat([]CustomResult{result}, call.resultCount(i))...)
	}
	for i := range call.extraItems {
		results = append(results, CustomResult{ID: fmt.Sprint("extra-", i), Accepted: true})
	}
	return results
}

func (v *customVendor) itemRefusal(action Action) *refusal {
	setDefault(&action.ErrorCode, "invalid")
	return &refusal{code: action.ErrorCode, description: action.Description}
}

func (v *customVendor) refuseCall(_ *vendorCall, action Action, named []int) response {
	setDefault(&action.ErrorCode, "invalid")
	return jsonResponse(http.StatusBadRequest, v.spec.ErrorBody(action.ErrorCode, action.Description, named))
}
