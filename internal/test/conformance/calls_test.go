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

// responseCase is one way in which a vendor can respond to a call as a whole, and the response that
// the sink must make of it.
type responseCase struct {
	name  string
	do    sandbox.Action
	class sink.ResultClass
	code  string // vendor code of the response; any if it is empty
	// retryAfter is the wait that the vendor requests; mayHaveActed is whether the vendor may have
	// processed the call.
	retryAfter   time.Duration
	mayHaveActed bool
}

func respondStatus(code int) sandbox.Action {
	return sandbox.Action{Fault: sandbox.FaultStatus, Code: code}
}

func respondStatusAfter(code int, retryAfter time.Duration) sandbox.Action {
	return sandbox.Action{Fault: sandbox.FaultStatus, Code: code, RetryAfter: retryAfter}
}

// commonResponses are the rows of the outcome table that are determined by the transport or the
// HTTP status, and are therefore the same for all vendors.
var commonResponses = []responseCase{
	{name: "400 without a body", do: respondStatus(400), class: sink.Rejected},
	{name: "422 without a body", do: respondStatus(422), class: sink.Rejected},
	{name: "a batch refused without naming an item", do: sandbox.Action{Fault: sandbox.FaultRefuseBatch},
		class: sink.Rejected},
	{name: "413", do: sandbox.Action{Fault: sandbox.FaultTooLarge}, class: sink.TooLarge},
	{name: "401", do: respondStatus(401), class: sink.Unauthorized},
	{name: "403", do: respondStatus(403), class: sink.Unauthorized},
	{name: "404", do: respondStatus(404), class: sink.Misconfigured},
	{name: "405", do: respondStatus(405), class: sink.Misconfigured},
	{name: "415", do: respondStatus(415), class: sink.Misconfigured},
	{
		name: "a redirect", do: sandbox.Action{Fault: sandbox.FaultRedirect, Location: "https://login.example.org/"},
		class: sink.Misconfigured,
	},
	{name: "408", do: respondStatus(408), class: sink.Unavailable},
	{name: "429", do: respondStatus(429), class: sink.Throttled},
	{name: "429 with seconds", do: respondStatusAfter(429, 7*time.Second), class: sink.Throttled,
		retryAfter: 7 * time.Second},
	{name: "500", do: respondStatus(500), class: sink.Unavailable, mayHaveActed: true},
	{name: "501", do: respondStatus(501), class: sink.Unavailable, mayHaveActed: true},
	{name: "502", do: respondStatus(502), class: sink.Unknown},
	{name: "503", do: respondStatus(503), class: sink.Unavailable},
	{name: "503 with seconds", do: respondStatusAfter(503, 3*time.Second), class: sink.Unavailable,
		retryAfter: 3 * time.Second},
	{name: "504", do: respondStatus(504), class: sink.Unknown},
	{name: "520", do: respondStatus(520), class: sink.Unknown},
	{name: "524", do: respondStatus(524), class: sink.Unknown},
	{name: "598", do: respondStatus(598), class: sink.Unknown},
	{name: "599", do: respondStatus(599), class: sink.Unknown},
	// The client has written the whole request before the vendor reads its header.
	{name: "a reset before the body was read", do: sandbox.Action{Fault: sandbox.FaultResetBefore},
		class: sink.Unknown},
	{name: "a reset after the body was read", do: sandbox.Action{Fault: sandbox.FaultResetAfter},
		class: sink.Unknown},
	{name: "a reset after the vendor acted", do: sandbox.Action{Fault: sandbox.FaultResetAfter, Apply: true},
		class: sink.Unknown},
}

func refuseBatch(code, description string) sandbox.Action {
	return sandbox.Action{Fault: sandbox.FaultRefuseBatch, ErrorCode: code, Description: description}
}

func respondBody(body string) sandbox.Action {
	return sandbox.Action{Fault: sandbox.FaultGarbageBody, Body: body}
}

// unreadableResponses returns 2xx responses with an unexpected body.
func unreadableResponses() []responseCase {
	return []responseCase{
		{name: "200 with half a body", do: respondBody(""), class: sink.Unknown},
		{name: "200 with a web page", do: respondBody("<html>Please log in</html>"), class: sink.Unknown},
		{name: "200 without a body", do: sandbox.Action{Fault: sandbox.FaultEmptyBody}, class: sink.Unknown},
	}
}

// checkResponses checks the class of each way in which the vendor can respond to a call as a whole,
// and everything else that the outcome table uses.
func (c operationCheck) checkResponses(t *testing.T) {
	for _, response := range slices.Concat(commonResponses, c.vendor.responses) {
		t.Run(response.name, func(t *testing.T) { c.checkResponse(t, response) })
	}
	t.Run("429 with a date", c.checkRetryAfterDate)
	t.Run("canceled call", c.checkCanceledCall)
}

func (c operationCheck) checkResponse(t *testing.T, want responseCase) {
	h, op := c.suite.openWithFault(t, c.operationFixture, setup{}, sandbox.Rule{Do: want.do})
	items := c.encodeItems(t, op, 1, 1+min(op.Spec().MaxItems, 3))
	got := op.Send(t.Context(), items)
	wantClass(t, got, want.class)
	if got.RetryAfter != want.retryAfter || got.MayHaveActed != want.mayHaveActed ||
		want.code != "" && got.Code != want.code || (got.TokenVersion != 0) != hasToken(op) {
		t.Errorf("got Retry-After %v, may have acted %t, code %q, token %d; want %v, %t, %q and a token: %t",
			got.RetryAfter, got.MayHaveActed, got.Code, got.TokenVersion, want.retryAfter, want.mayHaveActed, want.code,
			hasToken(op))
	}
	if (got.ItemResults != nil) != (want.class == sink.Delivered) || got.ItemErrors != nil {
		t.Errorf("got %d item results and %d item errors with class %s", len(got.ItemResults),
			len(got.ItemErrors), got.Class)
	}
	if fired := h.sandbox.Faults()["fault"]; fired != 1 {
		t.Errorf("the fault fired %d times, want once", fired)
	}
	accepted := 1
	if want.do.Apply {
		accepted += len(items)
	}
	if got := h.sandbox.Ledger().Count(c.name); got != accepted {
		t.Errorf("the sandbox accepted %d items, want %d", got, accepted)
	}
}

func (c operationCheck) checkRetryAfterDate(t *testing.T) {
	rule := sandbox.Rule{Do: sandbox.Action{
		Fault: sandbox.FaultStatus, Code: 429, RetryAfter: time.Hour, RetryAfterDate: true,
	}}
	_, op := c.suite.openWithFault(t, c.operationFixture, setup{}, rule)
	got := op.Send(t.Context(), c.encodeItems(t, op, 1, 2))
	wantClass(t, got, sink.Throttled)
	if got.RetryAfter <= 59*time.Minute || got.RetryAfter > time.Hour {
		t.Errorf("got Retry-After %v, want about an hour", got.RetryAfter)
	}
}

// checkCanceledCall checks that a call that is canceled after the vendor acted has an unknown
// outcome and the context's error.
func (c operationCheck) checkCanceledCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	accepted := 0
	with := setup{onAccept: func(sandbox.LedgerEntry) {
		if accepted++; accepted == 2 {
			cancel()
		}
	}}
	rule := sandbox.Rule{Do: sandbox.Action{Fault: sandbox.FaultTimeout, Apply: true}}
	_, op := c.suite.openWithFault(t, c.operationFixture, with, rule)
	got := op.Send(ctx, c.encodeItems(t, op, 1, 2))
	wantClass(t, got, sink.Unknown)
	if !errors.Is(got.Err, context.Canceled) {
		t.Errorf("got error %v, want the context's", got.Err)
	}
}

// checkTokens checks that a refused token is distinguished from a refused item and identified by
// its version, and that a refreshed token is accepted.
func (c operationCheck) checkTokens(t *testing.T) {
	if c.vendor.loginOperation == "" {
		c.checkConfiguredToken(t)
		return
	}
	for name, do := range map[string]sandbox.Action{"expired": {Fault: sandbox.FaultExpireTokens},
		"401 once": respondStatus(401)} {
		t.Run(name, func(t *testing.T) {
			h, op := c.suite.openWithFault(t, c.operationFixture, setup{}, sandbox.Rule{Do: do, Times: 1})
			refused := op.Send(t.Context(), c.encodeItems(t, op, 1, 2))
			wantClass(t, refused, sink.Unauthorized)
			refreshToken(t, op, refused)
			resent := op.Send(t.Context(), c.encodeItems(t, op, 1, 2))
			wantItemClasses(t, resent, sink.Delivered)
			logins := h.sandbox.Ledger().Calls(c.loginName()).Calls
			if resent.TokenVersion == refused.TokenVersion || logins != 2 {
				t.Errorf("got token version %d after %d, and %d logins; want another version and 2",
					resent.TokenVersion, refused.TokenVersion, logins)
			}
		})
	}
	t.Run("401 every time", c.checkTokensAlwaysRefused)
	t.Run("login refused", func(t *testing.T) {
		wantClass(t, c.sendWithoutLogin(t, c.breakLogin(respondStatus(401))), sink.Unauthorized)
	})
	t.Run("login unavailable", func(t *testing.T) {
		wantClass(t, c.sendWithoutLogin(t, c.breakLogin(respondStatus(503))), sink.Unavailable)
	})
}

// checkConfiguredToken checks that no call is delivered while the vendor refuses a configured
// token, which no login can replace, and that RefreshToken, if implemented, reports that it is
// refused.
func (c operationCheck) checkConfiguredToken(t *testing.T) {
	_, op := c.suite.openWithFault(t, c.operationFixture, setup{}, sandbox.Rule{Do: respondStatus(401)})
	for range 2 {
		refused := op.Send(t.Context(), c.encodeItems(t, op, 1, 2))
		wantClass(t, refused, sink.Unauthorized)
		if refresher, ok := op.(sink.TokenRefresher); ok {
			err := refresher.RefreshToken(t.Context(), refused.TokenVersion)
			var failed *sink.DependencyError
			if !errors.As(err, &failed) || failed.Response.Class != sink.Unauthorized {
				t.Errorf("got error %v from RefreshToken, want a *sink.DependencyError of class unauthorized", err)
			}
		}
	}
}

// hasToken reports whether the operation's calls carry an access token that can be named.
func hasToken(op sink.Operation) bool {
	_, ok := op.(sink.TokenRefresher)
	return ok
}

func refreshToken(t *testing.T, op sink.Operation, refused sink.Response) {
	t.Helper()
	refresher, ok := op.(sink.TokenRefresher)
	if !ok {
		t.Fatal("the operation has no RefreshToken, want a sink.TokenRefresher because its fixture has a loginOperation")
	}
	if err := refresher.RefreshToken(t.Context(), refused.TokenVersion); err != nil {
		t.Fatal(err)
	}
}

func (c operationCheck) checkTokensAlwaysRefused(t *testing.T) {
	_, op := c.suite.openWithFault(t, c.operationFixture, setup{}, sandbox.Rule{Do: respondStatus(401)})
	for range 2 {
		got := op.Send(t.Context(), c.encodeItems(t, op, 1, 2))
		wantClass(t, got, sink.Unauthorized)
		refreshToken(t, op, got)
	}
}

// sendWithoutLogin sends a call for which no login succeeds, so that it is never made. The item is
// encoded with another account, because Expoints cannot encode without a login.
func (c operationCheck) sendWithoutLogin(t *testing.T, with setup) sink.Response {
	t.Helper()
	other := c.suite.newHarness(t, setup{})
	items := c.encodeItems(t, other.operations[c.name], 0, 1)
	h := c.suite.newHarness(t, with)
	got := h.operations[c.name].Send(t.Context(), items)
	calls := h.sandbox.Ledger().Calls(c.name).Calls
	hadLogin := got.TokenVersion != 0 && c.vendor.loginOperation != ""
	if hadLogin || got.MayHaveActed || calls != 0 {
		t.Errorf("got token version %d, may have acted %t, and %d calls; want none without a login",
			got.TokenVersion, got.MayHaveActed, calls)
	}
	return got
}

func (c operationCheck) breakLogin(do sandbox.Action) setup {
	return setup{rules: []sandbox.Rule{{Name: "login", Operation: c.loginName(), Do: do}}}
}

// checkUnreachable checks that a call without a connection was not sent. An untrusted certificate
// is a misconfiguration; a refused connection means that the vendor is unavailable.
func (c operationCheck) checkUnreachable(t *testing.T) {
	t.Run("connection refused", c.checkConnectionRefused)
	t.Run("certificate not trusted", func(t *testing.T) {
		wantClass(t, c.sendWithoutLogin(t, setup{tls: true}), sink.Misconfigured)
	})
}

func (c operationCheck) checkConnectionRefused(t *testing.T) {
	h := c.suite.newHarness(t, setup{})
	op := h.operations[c.name]
	wantItemClasses(t, op.Send(t.Context(), c.encodeItems(t, op, 0, 1)), sink.Delivered)
	items := c.encodeItems(t, op, 1, 2)
	for _, server := range h.servers {
		server.Close()
	}
	got := op.Send(t.Context(), items)
	wantClass(t, got, sink.Unavailable)
	if got.MayHaveActed || got.Err == nil {
		t.Errorf("got may have acted %t, error %v; want false and an error", got.MayHaveActed, got.Err)
	}
}
