package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// resultSets lists the refused and the accepted items. The set of refused ones comes first, as in
// the documented examples.
func (v *crmcom) resultSets(call *vendorCall, items []callItem, refusals []*refusal) response {
	processed, unprocessed := []map[string]string{}, []map[string]string{}
	v.server.mu.Lock()
	defer v.server.mu.Unlock()
	for i, item := range items {
		row := map[string]string{"request_unique_identifier": item.id}
		if refused := refusals[i]; refused != nil {
			row["error_code"], row["error_description"] = refused.code, refused.description
		} else {
			v.lastNumber++
			row["number"], row["id"] = strconv.Itoa(v.lastNumber), fmt.Sprintf("%032X", v.lastNumber)
		}
		rows := slices.Repeat([]map[string]string{row}, call.resultCount(i))
		if refusals[i] != nil {
			unprocessed = append(unprocessed, rows...)
		} else {
			processed = append(processed, rows...)
		}
	}
	for i := range call.extraItems {
		processed = append(processed, map[string]string{
			"request_unique_identifier": fmt.Sprint("extra-", i), "number": "0", "id": fmt.Sprintf("%032X", 0),
		})
	}
	return crmResponse("OK", "", map[string]any{
		"unprocessed_customer_events_set": unprocessed, "processed_customer_events_set": processed,
	})
}

func (v *crmcom) itemRefusal(action Action) *refusal {
	setDefault(&action.ErrorCode, crmNotFound)
	setDefault(&action.Description, "The specified API value was not found.")
	return crmRefusal(action.ErrorCode, "Refused.", action.Description)
}

// refuseCall returns a failed envelope, which has no place to name items.
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

// crmFailedEnvelope is an envelope whose status.code is not OK. No sample of it is published.
// Published client code expects HTTP 200 with the code in the body.
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
