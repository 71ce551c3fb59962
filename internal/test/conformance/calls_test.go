package conformance

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"sluice/internal/demo/sandbox"
	"sluice/internal/sink"
)

// way is one way in which a vendor can answer a call as a whole, and the class that it is.
type way struct {
	name  string
	do    sandbox.Action
	class sink.ResultClass
	code  string // of the answer; empty: any
	// after is the wait that the vendor asks for, mayHaveActed whether it may have done what it was asked.
	after        time.Duration
	mayHaveActed bool
}

func status(code int) sandbox.Action { return sandbox.Action{Fault: sandbox.FaultStatus, Code: code} }

func statusAfter(code int, after time.Duration) sandbox.Action {
	return sandbox.Action{Fault: sandbox.FaultStatus, Code: code, RetryAfter: after}
}

// everywhere are the rows of the outcome table that transport and HTTP status decide, the same for all vendors.
var everywhere = []way{
	{name: "400 that says nothing", do: status(400), class: sink.Rejected},
	{name: "422 that says nothing", do: status(422), class: sink.Rejected},
	{name: "a batch refused without a name", do: sandbox.Action{Fault: sandbox.FaultRefuseBatch}, class: sink.Rejected},
	{name: "413", do: sandbox.Action{Fault: sandbox.FaultTooLarge}, class: sink.TooLarge},
	{name: "401", do: status(401), class: sink.Unauthorized},
	{name: "403", do: status(403), class: sink.Unauthorized},
	{name: "404", do: status(404), class: sink.Misconfigured},
	{name: "405", do: status(405), class: sink.Misconfigured},
	{name: "415", do: status(415), class: sink.Misconfigured},
	{name: "a redirect", do: sandbox.Action{Fault: sandbox.FaultRedirect, Location: "https://login.example.org/"}, class: sink.Misconfigured},
	{name: "408", do: status(408), class: sink.Unavailable},
	{name: "429", do: status(429), class: sink.Throttled},
	{name: "429 with seconds", do: statusAfter(429, 7*time.Second), class: sink.Throttled, after: 7 * time.Second},
	{name: "500", do: status(500), class: sink.Unavailable, mayHaveActed: true},
	{name: "501", do: status(501), class: sink.Unavailable, mayHaveActed: true},
	{name: "502", do: status(502), class: sink.Unknown},
	{name: "503", do: status(503), class: sink.Unavailable},
	{name: "503 with seconds", do: statusAfter(503, 3*time.Second), class: sink.Unavailable, after: 3 * time.Second},
	{name: "504", do: status(504), class: sink.Unknown},
	{name: "520", do: status(520), class: sink.Unknown},
	{name: "524", do: status(524), class: sink.Unknown},
	{name: "598", do: status(598), class: sink.Unknown},
	{name: "599", do: status(599), class: sink.Unknown},
	// The client has written its whole request by the time at which the vendor looks at its head.
	{name: "a reset before the body was read", do: sandbox.Action{Fault: sandbox.FaultResetBefore}, class: sink.Unknown},
	{name: "a reset after the body was read", do: sandbox.Action{Fault: sandbox.FaultResetAfter}, class: sink.Unknown},
	{name: "a reset after the vendor acted", do: sandbox.Action{Fault: sandbox.FaultResetAfter, Apply: true}, class: sink.Unknown},
}

func refuse(code, text string) sandbox.Action {
	return sandbox.Action{Fault: sandbox.FaultRefuseBatch, ErrorCode: code, Description: text}
}

// unread: 2xx answers whose body is not what is due. A page for people is of something before the vendor, whatever is due.
func unread(class sink.ResultClass) []way {
	return []way{
		{name: "200 with half an answer", do: sandbox.Action{Fault: sandbox.FaultGarbageBody}, class: class},
		{name: "200 with a page", do: sandbox.Action{Fault: sandbox.FaultGarbageBody, Body: "<html>Please log in</html>"}, class: sink.Unknown},
		{name: "200 with nothing", do: sandbox.Action{Fault: sandbox.FaultEmptyBody}, class: class},
	}
}

func garbage(body string) sandbox.Action {
	return sandbox.Action{Fault: sandbox.FaultGarbageBody, Body: body}
}

// own are the rows that a vendor's body decides.
var own = map[string][]way{
	"crmcom": append(unread(sink.Unknown),
		way{name: "200 with a status of the token", do: refuse("InvalidTokenException", "The token has expired."), class: sink.Unauthorized, code: "InvalidTokenException"},
		way{name: "200 with a status of the session", do: refuse("ERROR", "Your session is not valid."), class: sink.Unauthorized},
		way{name: "200 with a status of the data", do: refuse("NotFoundAPIValueException", "Unit (token) Not Found."), class: sink.Rejected},
		way{name: "200 with a status of the vendor's machinery", do: refuse("LockTimeoutException", ""), class: sink.Unavailable, mayHaveActed: true},
	),
	// The page documents no body: a 2xx takes the call, unless its body says otherwise or is cut off.
	"expoints": {
		{name: "200 with half a response", do: garbage(""), class: sink.Unknown},
		{name: "200 with a page", do: garbage("<html>Please log in</html>"), class: sink.Unknown},
		{name: "200 with a page in XML", do: garbage(`<?xml version="1.0"?><!DOCTYPE html><html/>`), class: sink.Unknown},
		{name: "200 with a stated failure", do: garbage(`{"Success":false,"Errors":["refused"]}`), class: sink.Rejected},
		{name: "200 with nothing", do: sandbox.Action{Fault: sandbox.FaultEmptyBody}, class: sink.Delivered},
		{name: "200 with JSON", do: garbage(`{"Id":1}`), class: sink.Delivered},
		{name: "200 with text", do: garbage("OK"), class: sink.Delivered},
	},
	"propel": append(unread(sink.Unknown),
		way{name: "InvalidJSONPayload", do: refuse("10005", ""), class: sink.Misconfigured, code: "10005"},
		way{name: "InvalidLookupKey", do: refuse("10006", ""), class: sink.Misconfigured, code: "10006"},
		way{name: "PayloadValidationError", do: refuse("10017", ""), class: sink.Rejected, code: "10017"},
		way{name: "404 of a customer", do: propelStatus(404, "60006"), class: sink.Rejected, code: "60006"},
		way{name: "404 of a parent", do: propelStatus(404, "60007"), class: sink.Rejected, code: "60007"},
		way{name: "405 of a customer", do: propelStatus(405, "60008"), class: sink.Rejected, code: "60008"},
		way{name: "404 that may be of permissions", do: propelStatus(404, "10008"), class: sink.Misconfigured, code: "10008"},
	),
}

func propelStatus(status int, code string) sandbox.Action {
	return sandbox.Action{Fault: sandbox.FaultStatus, Code: status, Body: `{"error":{"code":"` + code + `","messages":["no"]}}`}
}

// calls: each way in which the vendor can answer a call as a whole has its class, and what else the table needs of it.
func (o operation) calls(t *testing.T) {
	for _, w := range slices.Concat(everywhere, own[o.vendor()]) {
		t.Run(w.name, func(t *testing.T) { o.call(t, w) })
	}
	t.Run("429 with a date", o.throttledUntil)
	t.Run("the call's time ends", o.cut)
}

func (o operation) call(t *testing.T, w way) {
	v, op := o.calmly(t, setup{}, sandbox.Rule{Do: w.do})
	items := o.encode(t, op, 1, 1+min(op.Spec().MaxItems, 3))
	a := op.Send(t.Context(), items)
	want(t, a, w.class)
	if a.RetryAfter != w.after || a.MayHaveActed != w.mayHaveActed || w.code != "" && a.Code != w.code || a.TokenVersion == 0 {
		t.Errorf("wait %v, may have acted %t, code %q, token %d; want %v, %t, %q", a.RetryAfter, a.MayHaveActed, a.Code, a.TokenVersion, w.after, w.mayHaveActed, w.code)
	}
	if (a.ItemResults != nil) != (w.class == sink.Delivered) || a.ItemErrors != nil {
		t.Errorf("%d results and %d names with class %s", len(a.ItemResults), len(a.ItemErrors), a.Class)
	}
	if fired := v.sandbox.Faults()["fault"]; fired != 1 {
		t.Errorf("the fault fired %d times", fired)
	}
	accepted := 1
	if w.do.Apply {
		accepted += len(items)
	}
	if got := v.sandbox.Ledger().Count(o.name); got != accepted {
		t.Errorf("the sandbox accepted %d items, want %d", got, accepted)
	}
}

func (o operation) throttledUntil(t *testing.T) {
	_, op := o.calmly(t, setup{}, sandbox.Rule{Do: sandbox.Action{Fault: sandbox.FaultStatus, Code: 429, RetryAfter: time.Hour, RetryAfterDate: true}})
	a := op.Send(t.Context(), o.encode(t, op, 1, 2))
	want(t, a, sink.Throttled)
	if a.RetryAfter <= 59*time.Minute || a.RetryAfter > time.Hour {
		t.Errorf("the wait is %v, want about an hour", a.RetryAfter)
	}
}

// cut: a call that ends without an answer after the vendor acted is of unknown outcome, and says that its context ended it.
func (o operation) cut(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	accepted := 0
	s := setup{onAccept: func(sandbox.LedgerEntry) {
		if accepted++; accepted == 2 {
			cancel()
		}
	}}
	_, op := o.calmly(t, s, sandbox.Rule{Do: sandbox.Action{Fault: sandbox.FaultTimeout, Apply: true}})
	a := op.Send(ctx, o.encode(t, op, 1, 2))
	want(t, a, sink.Unknown)
	if !errors.Is(a.Err, context.Canceled) {
		t.Errorf("the error is %v, want the context's", a.Err)
	}
}

// tokens: a refused token is told from a refused item, names itself, and a new one serves.
func (o operation) tokens(t *testing.T) {
	for name, do := range map[string]sandbox.Action{"expired": {Fault: sandbox.FaultExpireTokens}, "401 once": status(401)} {
		t.Run(name, func(t *testing.T) {
			v, op := o.calmly(t, setup{}, sandbox.Rule{Do: do, Times: 1})
			refused := op.Send(t.Context(), o.encode(t, op, 1, 2))
			want(t, refused, sink.Unauthorized)
			if err := op.(sink.TokenRefresher).RefreshToken(t.Context(), refused.TokenVersion); err != nil {
				t.Fatal(err)
			}
			again := op.Send(t.Context(), o.encode(t, op, 1, 2))
			wantItems(t, again, sink.Delivered)
			if again.TokenVersion == refused.TokenVersion || v.sandbox.Ledger().Calls(o.loginName()).Calls != 2 {
				t.Errorf("token %d after %d, and %d logins", again.TokenVersion, refused.TokenVersion, v.sandbox.Ledger().Calls(o.loginName()).Calls)
			}
		})
	}
	t.Run("401 for good", o.refusedForGood)
	t.Run("the login is refused", o.loginRefused)
	t.Run("the login is down", o.loginDown)
}

func (o operation) refusedForGood(t *testing.T) {
	_, op := o.calmly(t, setup{}, sandbox.Rule{Do: status(401)})
	for range 2 {
		a := op.Send(t.Context(), o.encode(t, op, 1, 2))
		want(t, a, sink.Unauthorized)
		if err := op.(sink.TokenRefresher).RefreshToken(t.Context(), a.TokenVersion); err != nil {
			t.Fatal(err)
		}
	}
}

// withoutLogin makes a call for which no login succeeds: it is never made. The item is encoded elsewhere, for Expoints cannot encode without a login.
func (o operation) withoutLogin(t *testing.T, s setup) sink.Response {
	t.Helper()
	elsewhere := open(t, setup{})
	items := o.encode(t, elsewhere.operations[o.name], 0, 1)
	v := open(t, s)
	a := v.operations[o.name].Send(t.Context(), items)
	if a.TokenVersion != 0 || a.MayHaveActed || v.sandbox.Ledger().Calls(o.name).Calls != 0 {
		t.Errorf("token %d, may have acted %t, and %d calls without a login", a.TokenVersion, a.MayHaveActed, v.sandbox.Ledger().Calls(o.name).Calls)
	}
	return a
}

func (o operation) login(do sandbox.Action) setup {
	return setup{script: []sandbox.Rule{{Name: "login", Operation: o.loginName(), Do: do}}}
}

func (o operation) loginRefused(t *testing.T) {
	want(t, o.withoutLogin(t, o.login(status(401))), sink.Unauthorized)
}

func (o operation) loginDown(t *testing.T) {
	want(t, o.withoutLogin(t, o.login(status(503))), sink.Unavailable)
}

// unreachable: where no connection is had nothing was sent. A certificate that is not trusted is for an operator, the rest for time.
func (o operation) unreachable(t *testing.T) {
	t.Run("refused", o.refused)
	t.Run("not trusted", func(t *testing.T) { want(t, o.withoutLogin(t, setup{tls: true}), sink.Misconfigured) })
}

func (o operation) refused(t *testing.T) {
	v := open(t, setup{})
	op := v.operations[o.name]
	wantItems(t, op.Send(t.Context(), o.encode(t, op, 0, 1)), sink.Delivered)
	items := o.encode(t, op, 1, 2)
	for _, s := range v.servers {
		s.Close()
	}
	a := op.Send(t.Context(), items)
	want(t, a, sink.Unavailable)
	if a.MayHaveActed || a.Err == nil {
		t.Errorf("may have acted %t, error %v", a.MayHaveActed, a.Err)
	}
}
