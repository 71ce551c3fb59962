package sandbox

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// fault is one key of ASP.NET Web API's model state and its message.
type fault struct{ key, message string }

// modelState is the body of ASP.NET Web API's BadRequest(ModelState). Expoints publishes no sample; its help pages are made by that framework.
func modelState(faults []fault) reply {
	state := map[string][]string{}
	for _, f := range faults {
		state[f.key] = append(state[f.key], f.message)
	}
	return jsonReply(http.StatusBadRequest, map[string]any{"Message": "The request is invalid.", "ModelState": state})
}

// expointsFaults turns violations into model state: "request.Customers[3].Email".
func expointsFaults(vs []violation) []fault {
	faults := make([]fault, len(vs))
	for i, v := range vs {
		key := modelKey(v.at())
		faults[i] = fault{key, "The " + key[strings.LastIndexByte(key, '.')+1:] + " field " + v.rule() + "."}
	}
	return faults
}

func modelKey(path []string) string {
	var b strings.Builder
	b.WriteString("request")
	for _, segment := range path {
		if _, err := strconv.Atoi(segment); err == nil {
			b.WriteString("[" + segment + "]")
		} else {
			b.WriteString("." + segment)
		}
	}
	return b.String()
}

// refused is the answer where the script refused items: the batch is, with them named.
func (v *expoints) refused(c *call, verdicts []*refusal) reply {
	var a Action
	var named []int
	for i, r := range verdicts {
		if r != nil {
			a.Description = r.description
			named = append(named, i)
		}
	}
	return v.refuse(c, a, named)
}

func (v *expoints) scripted(a Action) *refusal { return &refusal{a.ErrorCode, a.Description} }

// refuse names the customers of a batch through their model state, else gives BadRequest(text)'s body. Expoints has no error codes.
func (v *expoints) refuse(c *call, a Action, named []int) reply {
	orDefault(&a.Description, "The customer is not valid.")
	if c.endpoint.operation != expointsAddName || len(named) == 0 {
		return jsonReply(http.StatusBadRequest, map[string]string{"Message": a.Description})
	}
	faults := make([]fault, len(named))
	for i, n := range named {
		faults[i] = fault{fmt.Sprintf("request.Customers[%d]", n), a.Description}
	}
	return modelState(faults)
}
