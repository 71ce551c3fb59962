package deliver

import (
	"testing"
	"time"

	"sluice/internal/record"
	"sluice/internal/sink"
)

func TestAnAnswerHasOneRowForItsCall(t *testing.T) {
	retry := policy{renewable: true, unknown: sink.UnknownRetry, resends: 2}
	upsert := policy{repeatable: true}
	items := func(n int) sink.Response {
		return sink.Response{Result: sink.Result{Class: sink.Delivered, Status: 200}, ItemResults: make([]sink.Result, n)}
	}
	named := answer(sink.Rejected, 400)
	named.ItemErrors = []sink.ItemError{{Index: 3}}
	nobody := answer(sink.Rejected, 400)
	nobody.ItemErrors = []sink.ItemError{{Index: 4}, {Index: -1}}
	cases := []struct {
		name string
		p    policy
		c    call
		a    sink.Response
		want verdict
	}{
		{"readable answer", retry, call{items: 4}, items(4), verdict{step: stepItems, signal: success}},
		{"fewer results than items", retry, call{items: 4}, items(3), verdict{step: stepUnknown, signal: success}},
		{"more results than items", retry, call{items: 4}, items(5), verdict{step: stepUnknown, signal: success}},
		{"fewer results than items, repeatable", upsert, call{items: 4}, items(3), verdict{step: stepBackOff, signal: failure, backOff: true}},
		{"2xx without a readable body", retry, call{items: 4}, answer(sink.Unknown, 200), verdict{step: stepUnknown, signal: success}},
		{"batch refused, items named", retry, call{items: 4}, named, verdict{step: stepNamed, signal: success}},
		{"batch refused, names that are no items", retry, call{items: 4}, nobody, verdict{step: stepHalve, signal: success}},
		{"batch refused, nobody named", retry, call{items: 4}, answer(sink.Rejected, 400), verdict{step: stepHalve, signal: success}},
		{"item refused alone", retry, call{items: 1}, answer(sink.Rejected, 422), verdict{step: stepAlone, signal: success}},
		{"too large", retry, call{items: 4}, answer(sink.TooLarge, 413), verdict{step: stepShrink, signal: success}},
		{"too large alone", retry, call{items: 1}, answer(sink.TooLarge, 413), verdict{step: stepAlone, signal: success}},
		{"unauthorized", retry, call{items: 4}, answer(sink.Unauthorized, 401), verdict{step: stepRenew, signal: excluded}},
		{"unauthorized with a new token", retry, call{items: 4, renewed: true}, answer(sink.Unauthorized, 403), verdict{step: stepHold, signal: excluded, hold: holdUnauthorized}},
		{"unauthorized, no token to renew", policy{}, call{items: 4}, answer(sink.Unauthorized, 401), verdict{step: stepHold, signal: excluded, hold: holdUnauthorized}},
		{"misconfigured", retry, call{items: 4}, answer(sink.Misconfigured, 404), verdict{step: stepHold, signal: failure, hold: holdMisconfigured}},
		{"throttled", retry, call{items: 4}, answer(sink.Throttled, 429), verdict{step: stepThrottle, signal: excluded}},
		{"unavailable", retry, call{items: 4}, answer(sink.Unavailable, 503), verdict{step: stepBackOff, signal: failure, backOff: true}},
		{"unknown call", retry, call{items: 4}, answer(sink.Unknown, 504), verdict{step: stepUnknown, signal: failure, backOff: true}},
		{"unknown call, no answer", retry, call{items: 4}, answer(sink.Unknown, 0), verdict{step: stepUnknown, signal: failure, backOff: true}},
		{"unknown call, repeatable", upsert, call{items: 4}, answer(sink.Unknown, 504), verdict{step: stepBackOff, signal: failure, backOff: true}},
		{"unreadable answer", retry, call{items: 4}, answer(sink.Unknown, 200), verdict{step: stepUnknown, signal: success}},
		{"unreadable answer, repeatable", upsert, call{items: 4}, answer(sink.Unknown, 200), verdict{step: stepBackOff, signal: failure, backOff: true}},
		{"poison batch", retry, call{items: 4, poison: true}, answer(sink.Unavailable, 500), verdict{step: stepHalve, signal: success}},
		{"poison item", retry, call{items: 1, poison: true}, answer(sink.Unavailable, 500), verdict{step: stepAlone, signal: success}},
		{"no class at all", retry, call{items: 4}, sink.Response{}, verdict{step: stepUnknown, signal: failure, backOff: true}},
		{"a class of items only", retry, call{items: 4}, answer(sink.Retryable, 0), verdict{step: stepUnknown, signal: failure, backOff: true}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.p.decide(c.c, c.a); got != c.want {
				t.Fatalf("decide = %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestAHarmlessCallThatDoesNotPassHasARowToo(t *testing.T) {
	for class, want := range map[sink.ResultClass]verdict{
		sink.Unauthorized:  {step: stepHold, signal: excluded, hold: holdUnauthorized},
		sink.Misconfigured: {step: stepHold, signal: failure, hold: holdMisconfigured},
		sink.Throttled:     {step: stepThrottle, signal: excluded},
		sink.Unavailable:   {step: stepBackOff, signal: failure},
		sink.Unknown:       {step: stepBackOff, signal: failure},
		sink.Rejected:      {step: stepBackOff, signal: failure},
	} {
		if got := (policy{}).probe(answer(class, 0)); got != want {
			t.Errorf("%v: probe = %+v, want %+v", class, got, want)
		}
	}
}

func TestOfTwoResultsForOneNameTheFirstCounts(t *testing.T) {
	a := answer(sink.Rejected, 400)
	a.ItemErrors = []sink.ItemError{{Index: 1, Result: sink.Result{Code: "first"}}, {Index: 1, Result: sink.Result{Code: "second"}}}
	if got := blamed(2, a); len(got) != 1 || got[1].Code != "first" {
		t.Fatalf("blamed = %+v", got)
	}
}

func TestAResultHasOneRowForItsRecord(t *testing.T) {
	tiers := policy{unknown: sink.UnknownRetry, resends: 2, delays: []time.Duration{10 * time.Second, time.Minute}, maxAge: time.Hour}
	mail, upsert, inPlace := tiers, tiers, tiers
	mail.unknown = sink.UnknownDeadLetter
	upsert.repeatable = true
	inPlace.inPlace = true
	dead := func(c record.Cause) fate { return fate{kind: fateDead, cause: c} }
	tier := func(d time.Duration) fate { return fate{kind: fateTier, cause: record.CauseRetryable, delay: d} }
	cases := []struct {
		name  string
		p     policy
		class sink.ResultClass
		h     history
		want  fate
	}{
		{"accepted", tiers, sink.Delivered, history{}, fate{kind: fateDelivered}},
		{"refused for good", tiers, sink.Rejected, history{}, dead(record.CauseRejected)},
		{"may pass later: first tier", tiers, sink.Retryable, history{}, tier(10 * time.Second)},
		{"may pass later: next tier", tiers, sink.Retryable, history{delay: 10 * time.Second}, tier(time.Minute)},
		{"may pass later: from a tier that is not configured any more", tiers, sink.Retryable, history{delay: 30 * time.Second}, tier(time.Minute)},
		{"may pass later: after the last tier", tiers, sink.Retryable, history{delay: time.Minute}, dead(record.CauseExhausted)},
		{"may pass later: of the greatest age", tiers, sink.Retryable, history{age: time.Hour}, tier(10 * time.Second)},
		{"may pass later: too old", tiers, sink.Retryable, history{age: time.Hour + 1}, dead(record.CauseExpired)},
		{"may pass later: waits in place", inPlace, sink.Retryable, history{}, fate{kind: fateWait, cause: record.CauseRetryable, delay: 10 * time.Second}},
		{"may pass later: waited in place to the end", inPlace, sink.Retryable, history{delay: time.Minute}, dead(record.CauseExhausted)},
		{"unknown: sent again", tiers, sink.Unknown, history{resends: 1}, fate{kind: fateResend}},
		{"unknown: sent again often enough", tiers, sink.Unknown, history{resends: 2}, dead(record.CauseUnknown)},
		{"unknown: never twice", mail, sink.Unknown, history{}, dead(record.CauseUnknown)},
		{"unknown: no harm, later", upsert, sink.Unknown, history{}, tier(10 * time.Second)},
		{"no class at all", tiers, 0, history{}, fate{kind: fateResend}},
		{"a class of calls only", mail, sink.Throttled, history{}, dead(record.CauseUnknown)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.p.item(sink.Result{Class: c.class}, c.h); got != c.want {
				t.Fatalf("item = %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestARecordThatAnEarlierOwnerMayHaveSentGoesByThePolicy(t *testing.T) {
	cases := []struct {
		name string
		p    policy
		want fate
	}{
		{"repeatable: as any other", policy{repeatable: true, unknown: sink.UnknownDeadLetter}, fate{kind: fateResend}},
		{"retry: one resend is used up", policy{unknown: sink.UnknownRetry, resends: 1}, fate{kind: fateResend}},
		{"retry without resends: dead", policy{unknown: sink.UnknownRetry}, fate{kind: fateDead, cause: record.CauseUnknown}},
		{"dead letter: dead", policy{unknown: sink.UnknownDeadLetter, resends: 2}, fate{kind: fateDead, cause: record.CauseUnknown}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.p.taken(history{}); got != c.want {
				t.Fatalf("taken = %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestOnlyAnAnswerThatTheVendorGaveFirstIsSureNotToHaveActed(t *testing.T) {
	acted := answer(sink.Unavailable, 500)
	acted.MayHaveActed = true
	cases := []struct {
		name string
		a    sink.Response
		want bool
	}{
		{"rejected", answer(sink.Rejected, 400), false},
		{"too large", answer(sink.TooLarge, 413), false},
		{"unauthorized", answer(sink.Unauthorized, 401), false},
		{"misconfigured", answer(sink.Misconfigured, 404), false},
		{"throttled", answer(sink.Throttled, 429), false},
		{"unavailable before it was read", answer(sink.Unavailable, 503), false},
		{"unavailable after it was read", acted, true},
		{"unknown", answer(sink.Unknown, 504), true},
		{"no class at all", sink.Response{}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := mayHaveActed(c.a); got != c.want {
				t.Fatalf("mayHaveActed = %v, want %v", got, c.want)
			}
		})
	}
}
