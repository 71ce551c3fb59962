package deliver

import (
	"testing"
	"time"

	"sluice/internal/observe"
	"sluice/internal/record"
	"sluice/internal/sink"
)

func TestAnAnswerHasOneRowForItsCall(t *testing.T) {
	retry := policy{tokenRefreshable: true, unknownPolicy: sink.UnknownRetry, maxResends: 2}
	upsert := policy{repeatable: true}
	items := func(call int) sink.Response {
		return sink.Response{Result: sink.Result{Class: sink.Delivered, Status: 200}, ItemResults: make([]sink.Result, call)}
	}
	named := newResponse(sink.Rejected, 400)
	named.ItemErrors = []sink.ItemError{{Index: 3}}
	nobody := newResponse(sink.Rejected, 400)
	nobody.ItemErrors = []sink.ItemError{{Index: 4}, {Index: -1}}
	cases := []struct {
		name string
		p    policy
		c    callFacts
		a    sink.Response
		want verdict
	}{
		{"readable answer", retry, callFacts{items: 4}, items(4), verdict{action: actionPerItem, signal: signalSuccess}},
		{"fewer results than items", retry, callFacts{items: 4}, items(3), verdict{action: actionUnknownOutcome, signal: signalSuccess}},
		{"more results than items", retry, callFacts{items: 4}, items(5), verdict{action: actionUnknownOutcome, signal: signalSuccess}},
		{"fewer results than items, repeatable", upsert, callFacts{items: 4}, items(3), verdict{action: actionBackOff, signal: signalFailure, backOff: true}},
		{"2xx without a readable body", retry, callFacts{items: 4}, newResponse(sink.Unknown, 200), verdict{action: actionUnknownOutcome, signal: signalSuccess}},
		{"batch refused, items named", retry, callFacts{items: 4}, named, verdict{action: actionNamedItems, signal: signalSuccess}},
		{"batch refused, names that are no items", retry, callFacts{items: 4}, nobody, verdict{action: actionBisect, signal: signalSuccess}},
		{"batch refused, nobody named", retry, callFacts{items: 4}, newResponse(sink.Rejected, 400), verdict{action: actionBisect, signal: signalSuccess}},
		{"item refused alone", retry, callFacts{items: 1}, newResponse(sink.Rejected, 422), verdict{action: actionSingleItem, signal: signalSuccess}},
		{"too large", retry, callFacts{items: 4}, newResponse(sink.TooLarge, 413), verdict{action: actionShrinkCalls, signal: signalSuccess}},
		{"too large alone", retry, callFacts{items: 1}, newResponse(sink.TooLarge, 413), verdict{action: actionSingleItem, signal: signalSuccess}},
		{"unauthorized", retry, callFacts{items: 4}, newResponse(sink.Unauthorized, 401), verdict{action: actionRefreshToken, signal: signalExcluded}},
		{"unauthorized with a new token", retry, callFacts{items: 4, tokenRefreshed: true}, newResponse(sink.Unauthorized, 403), verdict{action: actionHold, signal: signalExcluded, reason: observe.HoldUnauthorized}},
		{"unauthorized, no token to renew", policy{}, callFacts{items: 4}, newResponse(sink.Unauthorized, 401), verdict{action: actionHold, signal: signalExcluded, reason: observe.HoldUnauthorized}},
		{"misconfigured", retry, callFacts{items: 4}, newResponse(sink.Misconfigured, 404), verdict{action: actionHold, signal: signalFailure, reason: observe.HoldMisconfigured}},
		{"throttled", retry, callFacts{items: 4}, newResponse(sink.Throttled, 429), verdict{action: actionThrottle, signal: signalExcluded}},
		{"unavailable", retry, callFacts{items: 4}, newResponse(sink.Unavailable, 503), verdict{action: actionBackOff, signal: signalFailure, backOff: true}},
		{"unknown call", retry, callFacts{items: 4}, newResponse(sink.Unknown, 504), verdict{action: actionUnknownOutcome, signal: signalFailure, backOff: true}},
		{"unknown call, no answer", retry, callFacts{items: 4}, newResponse(sink.Unknown, 0), verdict{action: actionUnknownOutcome, signal: signalFailure, backOff: true}},
		{"unknown call, repeatable", upsert, callFacts{items: 4}, newResponse(sink.Unknown, 504), verdict{action: actionBackOff, signal: signalFailure, backOff: true}},
		{"unreadable answer", retry, callFacts{items: 4}, newResponse(sink.Unknown, 200), verdict{action: actionUnknownOutcome, signal: signalSuccess}},
		{"unreadable answer, repeatable", upsert, callFacts{items: 4}, newResponse(sink.Unknown, 200), verdict{action: actionBackOff, signal: signalFailure, backOff: true}},
		{"poison batch", retry, callFacts{items: 4, poison: true}, newResponse(sink.Unavailable, 500), verdict{action: actionBisect, signal: signalSuccess}},
		{"poison item", retry, callFacts{items: 1, poison: true}, newResponse(sink.Unavailable, 500), verdict{action: actionSingleItem, signal: signalSuccess}},
		{"no class at all", retry, callFacts{items: 4}, sink.Response{}, verdict{action: actionUnknownOutcome, signal: signalFailure, backOff: true}},
		{"a class of items only", retry, callFacts{items: 4}, newResponse(sink.Retryable, 0), verdict{action: actionUnknownOutcome, signal: signalFailure, backOff: true}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.p.verdictFor(tc.c, tc.a); got != tc.want {
				t.Fatalf("decide = %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestAHarmlessCallThatDoesNotPassHasARowToo(t *testing.T) {
	for class, want := range map[sink.ResultClass]verdict{
		sink.Unauthorized:  {action: actionHold, signal: signalExcluded, reason: observe.HoldUnauthorized},
		sink.Misconfigured: {action: actionHold, signal: signalFailure, reason: observe.HoldMisconfigured},
		sink.Throttled:     {action: actionThrottle, signal: signalExcluded},
		sink.Unavailable:   {action: actionBackOff, signal: signalFailure},
		sink.Unknown:       {action: actionBackOff, signal: signalFailure},
		sink.Rejected:      {action: actionBackOff, signal: signalFailure},
	} {
		if got := (policy{}).verdictForProbe(newResponse(class, 0)); got != want {
			t.Errorf("%v: probe = %+v, want %+v", class, got, want)
		}
	}
}

func TestOfTwoResultsForOneNameTheFirstCounts(t *testing.T) {
	response := newResponse(sink.Rejected, 400)
	response.ItemErrors = []sink.ItemError{{Index: 1, Result: sink.Result{Code: "first"}}, {Index: 1, Result: sink.Result{Code: "second"}}}
	if got := namedItems(2, response); len(got) != 1 || got[1].Code != "first" {
		t.Fatalf("blamed = %+v", got)
	}
}

func TestAResultHasOneRowForItsRecord(t *testing.T) {
	tiers := policy{unknownPolicy: sink.UnknownRetry, maxResends: 2, retryDelays: []time.Duration{10 * time.Second, time.Minute}, maxAge: time.Hour}
	mail, upsert, inPlace := tiers, tiers, tiers
	mail.unknownPolicy = sink.UnknownDeadLetter
	upsert.repeatable = true
	inPlace.retryInPlace = true
	dead := func(c record.Cause) ruling { return ruling{kind: rulingDead, cause: c} }
	tier := func(d time.Duration) ruling {
		return ruling{kind: rulingRetryTier, cause: record.CauseRetryable, delay: d}
	}
	cases := []struct {
		name  string
		p     policy
		class sink.ResultClass
		h     attemptHistory
		want  ruling
	}{
		{"accepted", tiers, sink.Delivered, attemptHistory{}, ruling{kind: rulingDelivered}},
		{"refused for good", tiers, sink.Rejected, attemptHistory{}, dead(record.CauseRejected)},
		{"may pass later: first tier", tiers, sink.Retryable, attemptHistory{}, tier(10 * time.Second)},
		{"may pass later: next tier", tiers, sink.Retryable, attemptHistory{lastDelay: 10 * time.Second}, tier(time.Minute)},
		{"may pass later: from a tier that is not configured any more", tiers, sink.Retryable, attemptHistory{lastDelay: 30 * time.Second}, tier(time.Minute)},
		{"may pass later: after the last tier", tiers, sink.Retryable, attemptHistory{lastDelay: time.Minute}, dead(record.CauseExhausted)},
		{"may pass later: of the greatest age", tiers, sink.Retryable, attemptHistory{age: time.Hour}, tier(10 * time.Second)},
		{"may pass later: too old", tiers, sink.Retryable, attemptHistory{age: time.Hour + 1}, dead(record.CauseExpired)},
		{"may pass later: waits in place", inPlace, sink.Retryable, attemptHistory{}, ruling{kind: rulingWaitInPlace, cause: record.CauseRetryable, delay: 10 * time.Second}},
		{"may pass later: waited in place to the end", inPlace, sink.Retryable, attemptHistory{lastDelay: time.Minute}, dead(record.CauseExhausted)},
		{"unknown: sent again", tiers, sink.Unknown, attemptHistory{resends: 1}, ruling{kind: rulingResend}},
		{"unknown: sent again often enough", tiers, sink.Unknown, attemptHistory{resends: 2}, dead(record.CauseUnknown)},
		{"unknown: never twice", mail, sink.Unknown, attemptHistory{}, dead(record.CauseUnknown)},
		{"unknown: no harm, later", upsert, sink.Unknown, attemptHistory{}, tier(10 * time.Second)},
		{"no class at all", tiers, 0, attemptHistory{}, ruling{kind: rulingResend}},
		{"a class of calls only", mail, sink.Throttled, attemptHistory{}, dead(record.CauseUnknown)},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.p.rulingForItem(sink.Result{Class: tc.class}, tc.h); got != tc.want {
				t.Fatalf("item = %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestARecordThatAnEarlierOwnerMayHaveSentGoesByThePolicy(t *testing.T) {
	cases := []struct {
		name string
		p    policy
		want ruling
	}{
		{"repeatable: as any other", policy{repeatable: true, unknownPolicy: sink.UnknownDeadLetter}, ruling{kind: rulingResend}},
		{"retry: one resend is used up", policy{unknownPolicy: sink.UnknownRetry, maxResends: 1}, ruling{kind: rulingResend}},
		{"retry without resends: dead", policy{unknownPolicy: sink.UnknownRetry}, ruling{kind: rulingDead, cause: record.CauseUnknown}},
		{"dead letter: dead", policy{unknownPolicy: sink.UnknownDeadLetter, maxResends: 2}, ruling{kind: rulingDead, cause: record.CauseUnknown}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.p.rulingForPriorIntent(attemptHistory{}); got != tc.want {
				t.Fatalf("taken = %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestOnlyAnAnswerThatTheVendorGaveFirstIsSureNotToHaveActed(t *testing.T) {
	acted := newResponse(sink.Unavailable, 500)
	acted.MayHaveActed = true
	cases := []struct {
		name string
		a    sink.Response
		want bool
	}{
		{"rejected", newResponse(sink.Rejected, 400), false},
		{"too large", newResponse(sink.TooLarge, 413), false},
		{"unauthorized", newResponse(sink.Unauthorized, 401), false},
		{"misconfigured", newResponse(sink.Misconfigured, 404), false},
		{"throttled", newResponse(sink.Throttled, 429), false},
		{"unavailable before it was read", newResponse(sink.Unavailable, 503), false},
		{"unavailable after it was read", acted, true},
		{"unknown", newResponse(sink.Unknown, 504), true},
		{"no class at all", sink.Response{}, true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := mayHaveActed(tc.a); got != tc.want {
				t.Fatalf("mayHaveActed = %v, want %v", got, tc.want)
			}
		})
	}
}
