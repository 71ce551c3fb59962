package sandbox

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// modelError is one key of ASP.NET Web API's model state and its message.
type modelError struct{ key, message string }

// modelStateResponse is the body of ASP.NET Web API's BadRequest(ModelState). Expoints publishes no sample; its help pages are made by that framework.
func modelStateResponse(faults []modelError) response {
	state := map[string][]string{}
	for _, modelErr := range faults {
		state[modelErr.key] = append(state[modelErr.key], modelErr.message)
	}
	return jsonResponse(http.StatusBadRequest, map[string]any{"Message": "The request is invalid.", "ModelState": state})
}

// modelErrors turns violations into model state: "request.Customers[3].Email".
func modelErrors(violations []violation) []modelError {
	faults := make([]modelError, len(violations))
	for i, found := range violations {
		key := modelKey(found.fullPath())
		faults[i] = modelError{key, "The " + key[strings.LastIndexByte(key, '.')+1:] + " field " + found.describeRule() + "."}
	}
	return faults
}

func modelKey(path []string) string {
	var key strings.Builder
	key.WriteString("request")
	for _, segment := range path {
		if _, err := strconv.Atoi(segment); err == nil {
			key.WriteString("[" + segment + "]")
		} else {
			key.WriteString("." + segment)
		}
	}
	return key.String()
}

// refuseNamedItems is the answer where the script refused items: the batch is, with them named.
func (v *expoints) refuseNamedItems(call *vendorCall, verdicts []*refusal) response {
	var action Action
	var named []int
	for i, refused := range verdicts {
		if refused != nil {
			action.Description = refused.description
			named = append(named, i)
		}
	}
	return v.refuseCall(call, action, named)
}

func (v *expoints) itemRefusal(action Action) *refusal {
	return &refusal{action.ErrorCode, action.Description}
}

// refuseCall names the customers of a batch through their model state, else gives BadRequest(text)'s body. Expoints has no error codes.
func (v *expoints) refuseCall(call *vendorCall, action Action, named []int) response {
	setDefault(&action.Description, "The customer is not valid.")
	if call.endpoint.operation != expointsAddName || len(named) == 0 {
		return jsonResponse(http.StatusBadRequest, map[string]string{"Message": action.Description})
	}
	faults := make([]modelError, len(named))
	for i, count := range named {
		faults[i] = modelError{fmt.Sprintf("request.Customers[%d]", count), action.Description}
	}
	return modelStateResponse(faults)
}
