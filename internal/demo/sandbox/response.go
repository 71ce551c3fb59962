package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// response is an HTTP response, or the lack of one.
type response struct {
	status         int
	contentType    string
	body           []byte
	envelopeFailed bool          // CRM.COM only: HTTP 200 with a status.code other than OK
	hangs          bool          // send nothing while the client stays connected
	hangFor        time.Duration // upper bound for hangs
	aborted        bool          // close the connection without a response
}

func (r response) closesConnection() bool { return r.hangs || r.aborted }

// maxHang limits how long FaultTimeout keeps a connection open by default.
const maxHang = 10 * time.Minute

// faultResponse returns the response that the ending fault sends instead of the vendor's own.
func (c *vendorCall) faultResponse() response {
	action := c.endingFault
	switch action.Fault {
	case FaultStatus:
		c.setRetryAfter()
		return textResponse(action.Code, action.Body)
	case FaultTooLarge:
		return textResponse(http.StatusRequestEntityTooLarge, "Request Entity Too Large")
	case FaultRedirect:
		c.responseHeader.Set("Location", action.Location)
		return response{status: http.StatusTemporaryRedirect}
	case FaultTimeout:
		if action.Delay > 0 {
			return response{hangs: true, hangFor: action.Delay}
		}
		return response{hangs: true, hangFor: maxHang}
	case FaultGarbageBody:
		if action.Body != "" {
			return textResponse(http.StatusOK, action.Body)
		}
		return textResponse(http.StatusOK, `{"data": {`)
	case FaultEmptyBody:
		return response{status: http.StatusOK}
	case FaultRefuseBatch:
		if action.Named {
			return c.endpoint.vendor.refuseCall(c, *action, c.matchedItems)
		}
		return c.endpoint.vendor.refuseCall(c, *action, nil)
	case FaultResetBefore, FaultResetAfter:
	case FaultRefuseItem, FaultDropItems, FaultRepeatItems, FaultExtraItems, FaultExpireTokens, FaultLatency:
		// They never end a call; see endsCall.
	}
	return response{aborted: true}
}

func (c *vendorCall) setRetryAfter() {
	switch action := c.endingFault; {
	case action.RetryAfter == 0:
	case action.RetryAfterDate:
		c.responseHeader.Set("Retry-After", time.Now().Add(action.RetryAfter).UTC().Format(http.TimeFormat))
	default:
		c.responseHeader.Set("Retry-After", strconv.Itoa(int(action.RetryAfter/time.Second)))
	}
}

// waitUntilDue waits for the delay of the call. It reports whether there is a response to send and
// a client that is still waiting for it.
func (r response) waitUntilDue(call *vendorCall) bool {
	stayed := waitFor(call.request, call.delay)
	if r.hangs {
		waitFor(call.request, r.hangFor)
	}
	return stayed && !r.closesConnection()
}

func (r response) writeTo(w http.ResponseWriter) {
	if r.contentType != "" {
		w.Header().Set("Content-Type", r.contentType)
	}
	w.WriteHeader(r.status)
	_, _ = w.Write(r.body) // a client that has disconnected is not an error of the sandbox
}

// waitFor waits for the delay and reports whether the client stayed connected.
func waitFor(request *http.Request, delay time.Duration) bool {
	if delay <= 0 {
		return true
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-request.Context().Done():
		return false
	}
}

func textResponse(status int, body string) response {
	media := "text/plain; charset=utf-8"
	if json.Valid([]byte(body)) {
		media = "application/json"
	}
	return response{status: status, contentType: media, body: []byte(body)}
}

func jsonResponse(status int, value any) response {
	body, err := json.Marshal(value)
	if err != nil {
		return textResponse(http.StatusInternalServerError, fmt.Sprint("encoding the response: ", err))
	}
	return response{status: status, contentType: "application/json", body: body}
}
