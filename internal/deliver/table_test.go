package deliver

import (
	"testing"
	"time"

	"sluice/internal/observe"
	"sluice/internal/record"
	"sluice/internal/sink"
)

var (
	retryPolicy      = policy{tokenRefreshable: true, unknownPolicy: sink.UnknownRetry, maxResends: 2}
	repeatablePolicy = policy{repeatable: true}
)

func deliveredItems(count int) sink.Response {
	response := newResponse(sink.Delivered, 200)
	response.ItemResults = make([]sink.Result, count)
	return response
}

func rejectedNaming(indices ...int) sink.Response {
	response := newResponse(sink.Rejected, 400)
	for _, index := range indices {
		response.ItemErrors = append(response.ItemErrors, sink.ItemError{Index: index})
	}
	return response
}

var verdictTests = []struct {
	name     string
	policy   policy
	call     callFacts
	response sink.Response
	want     verdict
}{
	{
		"readable response", retryPolicy, callFacts{items: 4}, deliveredItems(4),
		verdict{action: actionPerItem, signal: signalSuccess},
	},
	{
		"fewer results than items", retryPolicy, callFacts{items: 4}, deliveredItems(3),
		verdict{action: actionUnknownOutcome, signal: signalSuccess},
	},
	{
		"more results than items", retryPolicy, callFacts{items: 4}, deliveredItems(5),
		verdict{action: actionUnknownOutcome, signal: signalSuccess},
	},
	{
		"fewer results than items, repeatable", repeatablePolicy, callFacts{items: 4}, deliveredItems(3),
		verdict{action: actionBackOff, signal: signalFailure, backOff: true},
	},
	{
		"2xx without a readable body", retryPolicy, callFacts{items: 4}, newResponse(sink.Unknown, 200),
		verdict{action: actionUnknownOutcome, signal: signalSuccess},
	},
	{
		"batch rejected, items named", retryPolicy, callFacts{items: 4}, rejectedNaming(3),
		verdict{action: actionNamedItems, signal: signalSuccess},
	},
	{
		"batch rejected, indices out of range", retryPolicy, callFacts{items: 4}, rejectedNaming(4, -1),
		verdict{action: actionBisect, signal: signalSuccess},
	},
	{
		"batch rejected, no item named", retryPolicy, callFacts{items: 4}, newResponse(sink.Rejected, 400),
		verdict{action: actionBisect, signal: signalSuccess},
	},
	{
		"item rejected alone", retryPolicy, callFacts{items: 1}, newResponse(sink.Rejected, 422),
		verdict{action: actionSingleItem, signal: signalSuccess},
	},
	{
		"too large", retryPolicy, callFacts{items: 4}, newResponse(sink.TooLarge, 413),
		verdict{action: actionShrinkCalls, signal: signalSuccess},
	},
	{
		"too large alone", retryPolicy, callFacts{items: 1}, newResponse(sink.TooLarge, 413),
		verdict{action: actionSingleItem, signal: signalSuccess},
	},
	{
		"unauthorized", retryPolicy, callFacts{items: 4}, newResponse(sink.Unauthorized, 401),
		verdict{action: actionRefreshToken, signal: signalExcluded},
	},
	{
		"unauthorized with a new token", retryPolicy, callFacts{items: 4, tokenRefreshed: true},
		newResponse(sink.Unauthorized, 403),
		verdict{action: actionHold, signal: signalExcluded, reason: observe.HoldUnauthorized},
	},
	{
		"unauthorized, no token to refresh", policy{}, callFacts{items: 4}, newResponse(sink.Unauthorized, 401),
		verdict{action: actionHold, signal: signalExcluded, reason: observe.HoldUnauthorized},
	},
	{
		"misconfigured", retryPolicy, callFacts{items: 4}, newResponse(sink.Misconfigured, 404),
		verdict{action: actionHold, signal: signalFailure, reason: observe.HoldMisconfigured},
	},
	{
		"throttled", retryPolicy, callFacts{items: 4}, newResponse(sink.Throttled, 429),
		verdict{action: actionThrottle, signal: signalExcluded},
	},
	{
		"unavailable", retryPolicy, callFacts{items: 4}, newResponse(sink.Unavailable, 503),
		verdict{action: actionBackOff, signal: signalFailure, backOff: true},
	},
	{
		"unavailable, may have acted", retryPolicy, callFacts{items: 4}, receivedServerError(),
		verdict{action: actionServerError, signal: signalFailure, backOff: true},
	},
	{
		"unavailable, may have acted, repeatable", repeatablePolicy, callFacts{items: 4}, receivedServerError(),
		verdict{action: actionBackOff, signal: signalFailure, backOff: true},
	},
	{
		"unavailable, may have acted, a batch that fails alone", retryPolicy, callFacts{items: 4, failsAlone: true},
		receivedServerError(), verdict{action: actionServerError, signal: signalFailure, backOff: true},
	},
	{
		"unavailable, may have acted, an item that fails alone", retryPolicy, callFacts{items: 1, failsAlone: true},
		receivedServerError(), verdict{action: actionSingleItem, signal: signalSuccess},
	},
	{
		"unknown call", retryPolicy, callFacts{items: 4}, newResponse(sink.Unknown, 504),
		verdict{action: actionUnknownOutcome, signal: signalFailure, backOff: true},
	},
	{
		"unknown call, no response", retryPolicy, callFacts{items: 4}, newResponse(sink.Unknown, 0),
		verdict{action: actionUnknownOutcome, signal: signalFailure, backOff: true},
	},
	{
		"unknown call, repeatable", repeatablePolicy, callFacts{items: 4}, newResponse(sink.Unknown, 504),
		verdict{action: actionBackOff, signal: signalFailure, backOff: true},
	},
	{
		"unreadable response", retryPolicy, callFacts{items: 4}, newResponse(sink.Unknown, 200),
		verdict{action: actionUnknownOutcome, signal: signalSuccess},
	},
	{
		"unreadable response, repeatable", repeatablePolicy, callFacts{items: 4}, newResponse(sink.Unknown, 200),
		verdict{action: actionBackOff, signal: signalFailure, backOff: true},
	},
	{
		"batch that fails alone", retryPolicy, callFacts{items: 4, failsAlone: true}, newResponse(sink.Unavailable, 500),
		verdict{action: actionBisect, signal: signalSuccess},
	},
	{
		"item that fails alone", retryPolicy, callFacts{items: 1, failsAlone: true}, newResponse(sink.Unavailable, 500),
		verdict{action: actionSingleItem, signal: signalSuccess},
	},
	{
		"no class", retryPolicy, callFacts{items: 4}, sink.Response{},
		verdict{action: actionUnknownOutcome, signal: signalFailure, backOff: true},
	},
	{
		"a class of items only", retryPolicy, callFacts{items: 4}, newResponse(sink.Retryable, 0),
		verdict{action: actionUnknownOutcome, signal: signalFailure, backOff: true},
	},
}

func TestVerdictFor(t *testing.T) {
	for _, tc := range verdictTests {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.policy.verdictFor(tc.call, tc.response); got != tc.want {
				t.Fatalf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestVerdictForProbe(t *testing.T) {
	for class, want := range map[sink.ResultClass]verdict{
		sink.Unauthorized:  {action: actionHold, signal: signalExcluded, reason: observe.HoldUnauthorized},
		sink.Misconfigured: {action: actionHold, signal: signalFailure, reason: observe.HoldMisconfigured},
		sink.Throttled:     {action: actionThrottle, signal: signalExcluded},
		sink.Unavailable:   {action: actionBackOff, signal: signalFailure},
		sink.Unknown:       {action: actionBackOff, signal: signalFailure},
		sink.Rejected:      {action: actionBackOff, signal: signalFailure},
	} {
		if got := (policy{}).verdictForProbe(newResponse(class, 0)); got != want {
			t.Errorf("%v: got %+v, want %+v", class, got, want)
		}
	}
}

func TestFirstOfTwoResultsForOneItemCounts(t *testing.T) {
	response := newResponse(sink.Rejected, 400)
	response.ItemErrors = []sink.ItemError{
		{Index: 1, Result: sink.Result{Code: "first"}}, {Index: 1, Result: sink.Result{Code: "second"}},
	}
	if got := namedItems(2, response); len(got) != 1 || got[1].Code != "first" {
		t.Fatalf("got %+v, want the first result only", got)
	}
}

func TestRulingForItem(t *testing.T) {
	tiers := policy{
		unknownPolicy: sink.UnknownRetry, maxResends: 2, retryDelays: []time.Duration{10 * time.Second, time.Minute},
		maxAge: time.Hour,
	}
	mail, repeatable, inPlace := tiers, tiers, tiers
	mail.unknownPolicy = sink.UnknownDeadLetter
	repeatable.repeatable = true
	inPlace.retryInPlace = true
	dead := func(c record.Cause) ruling { return ruling{kind: rulingDead, cause: c} }
	tier := func(d time.Duration) ruling {
		return ruling{kind: rulingRetryTier, cause: record.CauseRetryable, delay: d}
	}
	cases := []struct {
		name    string
		policy  policy
		class   sink.ResultClass
		history attemptHistory
		want    ruling
	}{
		{"accepted", tiers, sink.Delivered, attemptHistory{}, ruling{kind: rulingDelivered}},
		{"rejected", tiers, sink.Rejected, attemptHistory{}, dead(record.CauseRejected)},
		{"retryable: first tier", tiers, sink.Retryable, attemptHistory{}, tier(10 * time.Second)},
		{
			"retryable: next tier", tiers, sink.Retryable, attemptHistory{lastDelay: 10 * time.Second},
			tier(time.Minute),
		},
		{
			"retryable: from a tier that is no longer configured", tiers, sink.Retryable,
			attemptHistory{lastDelay: 30 * time.Second}, tier(time.Minute),
		},
		{
			"retryable: after the last tier", tiers, sink.Retryable, attemptHistory{lastDelay: time.Minute},
			dead(record.CauseExhausted),
		},
		{
			"retryable: of the maximum age", tiers, sink.Retryable, attemptHistory{age: time.Hour},
			tier(10 * time.Second),
		},
		{"retryable: too old", tiers, sink.Retryable, attemptHistory{age: time.Hour + 1}, dead(record.CauseExpired)},
		{
			"retryable: waits in place", inPlace, sink.Retryable, attemptHistory{},
			ruling{kind: rulingWaitInPlace, cause: record.CauseRetryable, delay: 10 * time.Second},
		},
		{
			"retryable: waited in place to the end", inPlace, sink.Retryable, attemptHistory{lastDelay: time.Minute},
			dead(record.CauseExhausted),
		},
		{"unknown: resent", tiers, sink.Unknown, attemptHistory{sends: 2}, ruling{kind: rulingResend}},
		{"unknown: no resend left", tiers, sink.Unknown, attemptHistory{sends: 3}, dead(record.CauseUnknown)},
		{
			"retryable: one call is left", tiers, sink.Retryable, attemptHistory{sends: 2},
			tier(10 * time.Second),
		},
		{"retryable: no call is left", tiers, sink.Retryable, attemptHistory{sends: 3}, dead(record.CauseUnknown)},
		{"unknown: dead by policy", mail, sink.Unknown, attemptHistory{sends: 1}, dead(record.CauseUnknown)},
		{"unknown: repeatable, retried", repeatable, sink.Unknown, attemptHistory{}, tier(10 * time.Second)},
		{"no class", tiers, 0, attemptHistory{}, ruling{kind: rulingResend}},
		{"a class of calls only", mail, sink.Throttled, attemptHistory{sends: 1}, dead(record.CauseUnknown)},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.policy.rulingForItem(sink.Result{Class: tc.class}, tc.history); got != tc.want {
				t.Fatalf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestRulingForPriorSends(t *testing.T) {
	cases := []struct {
		name   string
		policy policy
		want   ruling
	}{
		{
			"repeatable: sent like any other", policy{repeatable: true, unknownPolicy: sink.UnknownDeadLetter},
			ruling{kind: rulingResend},
		},
		{
			"retry: one resend is used up", policy{unknownPolicy: sink.UnknownRetry, maxResends: 1},
			ruling{kind: rulingResend},
		},
		{
			"retry without resends: dead", policy{unknownPolicy: sink.UnknownRetry},
			ruling{kind: rulingDead, cause: record.CauseUnknown},
		},
		{
			"dead letter: dead", policy{unknownPolicy: sink.UnknownDeadLetter, maxResends: 2},
			ruling{kind: rulingDead, cause: record.CauseUnknown},
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.policy.rulingForPriorSends(attemptHistory{sends: 1}); got != tc.want {
				t.Fatalf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestMayHaveActed(t *testing.T) {
	acted := newResponse(sink.Unavailable, 500)
	acted.MayHaveActed = true
	cases := []struct {
		name     string
		response sink.Response
		want     bool
	}{
		{"rejected", newResponse(sink.Rejected, 400), false},
		{"too large", newResponse(sink.TooLarge, 413), false},
		{"unauthorized", newResponse(sink.Unauthorized, 401), false},
		{"misconfigured", newResponse(sink.Misconfigured, 404), false},
		{"throttled", newResponse(sink.Throttled, 429), false},
		{"unavailable before it was read", newResponse(sink.Unavailable, 503), false},
		{"unavailable after it was read", acted, true},
		{"unknown", newResponse(sink.Unknown, 504), true},
		{"no class", sink.Response{}, true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := mayHaveActed(tc.response); got != tc.want {
				t.Fatalf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestRulingForServerError(t *testing.T) {
	p := policy{unknownPolicy: sink.UnknownRetry, maxResends: 2}
	for sends, want := range map[int]ruling{
		1: {kind: rulingResend}, 2: {kind: rulingResendAlone}, 3: {kind: rulingDead, cause: record.CauseUnknown},
	} {
		if got := p.rulingForServerError(attemptHistory{sends: sends}); got != want {
			t.Errorf("after %d sends: got %+v, want %+v", sends, got, want)
		}
	}
}

func TestMayHaveActedOnAnItem(t *testing.T) {
	response := newResponse(sink.Delivered, 200)
	for _, class := range []sink.ResultClass{sink.Delivered, sink.Rejected, sink.Retryable, sink.Unknown} {
		response.ItemResults = append(response.ItemResults, sink.Result{Class: class})
	}
	for i, want := range []bool{true, false, false, true} {
		if got := mayHaveActedOn(response, 4, i); got != want {
			t.Errorf("item %d, %v: got %v, want %v", i, response.ItemResults[i].Class, got, want)
		}
		if !mayHaveActedOn(response, 5, i) {
			t.Errorf("item %d of a response with too few results: got false, want true", i)
		}
		if mayHaveActedOn(newResponse(sink.Throttled, 429), 4, i) {
			t.Errorf("item %d of a throttled call: got true, want false", i)
		}
	}
}
