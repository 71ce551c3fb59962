package deliver

import (
	"slices"
	"testing"
	"time"

	"sluice/internal/sink"
)

// classifyByID responds with the given classes for the given items, and with delivered for all
// others.
func classifyByID(class map[string]sink.ResultClass) script {
	return func(_ int, items []sink.Item) sink.Response {
		return respondPerItem(items, func(item sink.Item) sink.ResultClass {
			if class, ok := class[item.ID]; ok {
				return class
			}
			return sink.Delivered
		})
	}
}

// rejectBatchWith rejects a batch that contains one of the items.
func rejectBatchWith(bad ...string) script {
	return func(call int, items []sink.Item) sink.Response {
		if slices.ContainsFunc(items, func(item sink.Item) bool { return slices.Contains(bad, item.ID) }) {
			return newResponse(sink.Rejected, 400)
		}
		return acceptAll(call, items)
	}
}

// rejectNaming rejects like rejectBatchWith, and names the items.
func rejectNaming(bad ...string) script {
	return func(call int, items []sink.Item) sink.Response {
		response := rejectBatchWith(bad...)(call, items)
		for i, item := range items {
			if response.Class == sink.Rejected && slices.Contains(bad, item.ID) {
				response.ItemErrors = append(
					response.ItemErrors,
					sink.ItemError{Index: i, Result: sink.Result{Class: sink.Rejected, Code: "Invalid"}},
				)
			}
		}
		return response
	}
}

// asRetryable makes the named items retryable.
func asRetryable(response sink.Response) sink.Response {
	for i := range response.ItemErrors {
		response.ItemErrors[i].Class = sink.Retryable
	}
	return response
}

// omitFirstResult omits the first item's result.
func omitFirstResult(call int, items []sink.Item) sink.Response {
	response := acceptAll(call, items)
	response.ItemResults = response.ItemResults[1:]
	return response
}

func alwaysRespond(response sink.Response) script {
	return func(int, []sink.Item) sink.Response { return response }
}

// acceptUpTo accepts calls of at most the given number of items.
func acceptUpTo(most int) script {
	return func(call int, items []sink.Item) sink.Response {
		if len(items) > most {
			return newResponse(sink.TooLarge, 413)
		}
		return acceptAll(call, items)
	}
}

// receivedServerError is a 500 from a vendor that received the request.
func receivedServerError() sink.Response {
	response := newResponse(sink.Unavailable, 500)
	response.MayHaveActed = true
	return response
}

func deadLetterUnknown(cfg *Config)      { cfg.UnknownPolicy = sink.UnknownDeadLetter }
func disableBreaker(cfg *Config)         { cfg.Breaker.Failures, cfg.Breaker.Ratio = 1000, 2 }
func withPriorIntent(delivery *Delivery) { delivery.Record.OutcomeUnknown = true }
func outcomeCounts(pairs ...any) map[string]int {
	out := map[string]int{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i].(string)] = pairs[i+1].(int)
	}
	return out
}

// tableRow tests a row of the outcome table from Dispatch to Settle.
type tableRow struct {
	name           string
	script         script
	change         func(*Config)
	prepare        func(*Delivery)
	records        int
	outcomes       map[string]int
	callSizes      []int
	intentsCleared int
	duplicates     int // possible duplicates counted
}

var tableRows = []tableRow{
	{name: "delivered", script: acceptAll, records: 8, outcomes: outcomeCounts("delivered", 8), callSizes: []int{8}},
	{
		name: "rejected", script: classifyByID(map[string]sink.ResultClass{recordID(2): sink.Rejected}), records: 8,
		outcomes: outcomeCounts("delivered", 7, "dead rejected", 1), callSizes: []int{8},
	},
	{
		name: "retryable", script: classifyByID(map[string]sink.ResultClass{recordID(2): sink.Retryable}), records: 8,
		outcomes: outcomeCounts("delivered", 7, "retried retryable", 1), callSizes: []int{8},
	},
	{
		name: "retryable, in place", change: func(cfg *Config) { cfg.RetryInPlace = true },
		script: func(call int, items []sink.Item) sink.Response {
			if call == 1 {
				return classifyByID(map[string]sink.ResultClass{recordID(2): sink.Retryable})(call, items)
			}
			return acceptAll(call, items)
		},
		records: 8, outcomes: outcomeCounts("delivered", 8), callSizes: []int{8, 1}, intentsCleared: 1,
	},
	{
		name: "expired, in place", change: func(cfg *Config) { cfg.RetryInPlace, cfg.MaxAge = true, 5*time.Second },
		script: classifyByID(map[string]sink.ResultClass{recordID(0): sink.Retryable}), records: 1,
		outcomes: outcomeCounts("dead expired", 1), callSizes: []int{1, 1}, intentsCleared: 1,
	},
	{
		name: "expired, in place, by the age since the first failure", change: func(cfg *Config) {
			cfg.RetryInPlace, cfg.MaxAge = true, 65*time.Second
		},
		script: classifyByID(map[string]sink.ResultClass{recordID(0): sink.Retryable}), records: 1,
		outcomes: outcomeCounts("dead expired", 1), callSizes: []int{1, 1, 1}, intentsCleared: 2,
	},
	{
		name: "exhausted", script: classifyByID(map[string]sink.ResultClass{recordID(2): sink.Retryable}),
		prepare: func(delivery *Delivery) {
			delivery.Record.TierDelay = time.Minute
		},
		records: 8, outcomes: outcomeCounts("delivered", 7, "dead exhausted", 1), callSizes: []int{8},
	},
	{
		name: "expired", script: classifyByID(map[string]sink.ResultClass{recordID(2): sink.Retryable}),
		prepare: func(delivery *Delivery) {
			delivery.Record.FirstFailed = time.Now().Add(-2 * time.Hour)
		},
		records: 8, outcomes: outcomeCounts("delivered", 7, "dead expired", 1), callSizes: []int{8},
	},
	{
		name: "an item of unknown outcome is resent alone",
		script: func(call int, items []sink.Item) sink.Response {
			if call == 1 {
				return classifyByID(map[string]sink.ResultClass{recordID(2): sink.Unknown})(call, items)
			}
			return acceptAll(call, items)
		},
		records: 8, outcomes: outcomeCounts("delivered", 8), callSizes: []int{8, 1}, duplicates: 1,
	},
	{
		name: "all items of unknown outcome: never all in one call again", records: 8,
		outcomes: outcomeCounts("delivered", 8), callSizes: []int{8, 4, 4}, duplicates: 8,
		script: func(call int, items []sink.Item) sink.Response {
			if call == 1 {
				return respondPerItem(items, func(sink.Item) sink.ResultClass { return sink.Unknown })
			}
			return acceptAll(call, items)
		},
	},
	{
		name:   "an item of unknown outcome is dead by policy",
		script: classifyByID(map[string]sink.ResultClass{recordID(2): sink.Unknown}), change: deadLetterUnknown,
		records: 8, outcomes: outcomeCounts("delivered", 7, "dead unknown", 1), callSizes: []int{8},
	},
	{
		name: "fewer results than items: none is delivered", script: omitFirstResult, change: deadLetterUnknown,
		records: 8, outcomes: outcomeCounts("dead unknown", 8), callSizes: []int{8},
	},
	{
		name: "batch rejected, items named", script: rejectNaming(recordID(3), recordID(5)), records: 8,
		outcomes: outcomeCounts("delivered", 6, "dead rejected", 2), callSizes: []int{8, 6},
	},
	{
		name: "batch rejected, a retryable item named", records: 8, outcomes: outcomeCounts(
			"delivered", 7, "retried retryable", 1,
		), callSizes: []int{8, 7},
		script: func(call int, items []sink.Item) sink.Response {
			return asRetryable(rejectNaming(recordID(3))(call, items))
		},
	},
	{
		name: "item rejected alone and named as retryable", records: 1,
		outcomes: outcomeCounts("retried retryable", 1), callSizes: []int{1},
		script: func(call int, items []sink.Item) sink.Response {
			return asRetryable(rejectNaming(recordID(0))(call, items))
		},
	},
	{
		name: "batch rejected with no item named, then an item of one half named: the other half is still untested", records: 8,
		outcomes: outcomeCounts("delivered", 7, "dead rejected", 1), callSizes: []int{8, 4, 7}, intentsCleared: 4,
		script: func(call int, items []sink.Item) sink.Response {
			if call == 1 {
				return newResponse(sink.Rejected, 400)
			}
			return rejectNaming(recordID(0))(call, items)
		},
	},
	{
		name: "batch rejected, no item named", script: rejectBatchWith(recordID(7)), records: 8,
		outcomes: outcomeCounts("delivered", 7, "dead rejected", 1), callSizes: []int{8, 4, 2, 1, 1},
		intentsCleared: 4,
	},
	{
		name: "too large: halved, and the smaller call size remains", script: acceptUpTo(4), records: 16,
		outcomes: outcomeCounts("delivered", 16), callSizes: []int{8, 4, 4, 4, 4}, intentsCleared: 4,
	},
	{
		name: "too large alone", script: acceptUpTo(0), records: 2, outcomes: outcomeCounts("dead too_large", 2),
		callSizes: []int{2, 1, 1}, intentsCleared: 1,
	},
	{
		name: "throttled", script: respondFirst(newResponse(sink.Throttled, 429)), records: 8,
		outcomes: outcomeCounts("delivered", 8), callSizes: []int{8, 8}, intentsCleared: 8,
	},
	{
		name:    "misconfigured: held, then probed with one item, nothing dead",
		script:  respondFirst(newResponse(sink.Misconfigured, 404)),
		records: 8, outcomes: outcomeCounts("delivered", 8), callSizes: []int{8, 1, 7}, intentsCleared: 8,
	},
	{
		name:    "unauthorized without a token to refresh: held, nothing dead",
		script:  respondFirst(newResponse(sink.Unauthorized, 401)),
		records: 8, outcomes: outcomeCounts("delivered", 8), callSizes: []int{8, 1, 7}, intentsCleared: 8,
	},
	{
		name: "unavailable: the same call again", script: respondFirst(newResponse(sink.Unavailable, 503)),
		records: 8, outcomes: outcomeCounts("delivered", 8), callSizes: []int{8, 8}, intentsCleared: 8,
	},
	{
		name:    "unavailable, may have acted: intents remain, and possible duplicates are counted",
		script:  respondFirst(receivedServerError(), receivedServerError()),
		records: 8, outcomes: outcomeCounts("delivered", 8), duplicates: 12,
		callSizes: []int{8, 4, 1, 1, 1, 1, 4},
	},
	{
		name:   "unknown call: halved, each item resent at most twice",
		script: alwaysRespond(newResponse(sink.Unknown, 504)), change: disableBreaker,
		records: 8, outcomes: outcomeCounts("dead unknown", 8), callSizes: []int{
			8, 4, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		}, duplicates: 16,
	},
	{
		name: "unknown call: dead by policy", script: alwaysRespond(newResponse(sink.Unknown, 504)),
		change: deadLetterUnknown, records: 8, outcomes: outcomeCounts("dead unknown", 8), callSizes: []int{8},
	},
	{
		name: "unknown call, then accepted", script: respondFirst(newResponse(sink.Unknown, 0)), records: 8,
		outcomes: outcomeCounts("delivered", 8), callSizes: []int{8, 4, 4}, duplicates: 8,
	},
	{
		name: "unknown, then refused before it was read: the earlier call may have reached the vendor",
		script: respondFirst(
			newResponse(sink.Unknown, 0), newResponse(sink.Unavailable, 503),
		), records: 8, outcomes: outcomeCounts("delivered", 8), callSizes: []int{8, 4, 4, 4}, duplicates: 12,
	},
	{
		name: "prior intent, policy retry", script: acceptAll, prepare: withPriorIntent, records: 2,
		outcomes: outcomeCounts("delivered", 2), callSizes: []int{2}, duplicates: 2,
	},
	{
		name: "prior intent, policy retry: one resend is used up", script: alwaysRespond(newResponse(sink.Unknown, 504)),
		change: disableBreaker, prepare: withPriorIntent,
		records: 1, outcomes: outcomeCounts("dead unknown", 1), callSizes: []int{1, 1}, duplicates: 2,
	},
	{
		name: "prior intent, policy dead_letter", script: acceptAll, change: deadLetterUnknown, prepare: withPriorIntent,
		records: 2, outcomes: outcomeCounts("dead unknown", 2),
	},
}

func TestEachRowOfTheOutcomeTableThroughALane(t *testing.T) {
	for _, row := range tableRows {
		t.Run(row.name, func(t *testing.T) {
			runInBubble(t, func(t *testing.T) {
				h := startHarness(t, row.script, row.change)
				h.dispatchRecords(row.records, row.prepare)
				h.closeAndWait()
				h.wantOutcomes(row.outcomes)
				h.wantCallSizes(row.callSizes...)
				if h.ledger.intentsCleared != row.intentsCleared {
					t.Errorf("got %d intents cleared, want %d", h.ledger.intentsCleared, row.intentsCleared)
				}
				if got := h.obs.Snapshot().PossibleDuplicates; got != uint64(row.duplicates) {
					t.Errorf("got %d possible duplicates, want %d", got, row.duplicates)
				}
			})
		})
	}
}
