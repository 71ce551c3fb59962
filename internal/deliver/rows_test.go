package deliver

import (
	"slices"
	"testing"
	"time"

	"sluice/internal/sink"
)

// The vendors of the rows.

// byID answers the items named with a class, all others with delivered.
func byID(class map[string]sink.ResultClass) script {
	return func(_ int, items []sink.Item) sink.Response {
		return each(items, func(it sink.Item) sink.ResultClass {
			if c, ok := class[it.ID]; ok {
				return c
			}
			return sink.Delivered
		})
	}
}

// refusing refuses a batch that holds one of the items.
func refusing(bad ...string) script {
	return func(n int, items []sink.Item) sink.Response {
		if slices.ContainsFunc(items, func(it sink.Item) bool { return slices.Contains(bad, it.ID) }) {
			return answer(sink.Rejected, 400)
		}
		return accept(n, items)
	}
}

// naming refuses as refusing does, and says for which items.
func naming(bad ...string) script {
	return func(n int, items []sink.Item) sink.Response {
		a := refusing(bad...)(n, items)
		for i, it := range items {
			if a.Class == sink.Rejected && slices.Contains(bad, it.ID) {
				a.ItemErrors = append(a.ItemErrors, sink.ItemError{Index: i, Result: sink.Result{Class: sink.Rejected, Code: "Invalid"}})
			}
		}
		return a
	}
}

// postponing has those that are named pass later.
func postponing(a sink.Response) sink.Response {
	for i := range a.ItemErrors {
		a.ItemErrors[i].Class = sink.Retryable
	}
	return a
}

// short forgets the first item's result.
func short(n int, items []sink.Item) sink.Response {
	a := accept(n, items)
	a.ItemResults = a.ItemResults[1:]
	return a
}

func always(a sink.Response) script { return func(int, []sink.Item) sink.Response { return a } }

// upTo takes calls of so many items.
func upTo(most int) script {
	return func(n int, items []sink.Item) sink.Response {
		if len(items) > most {
			return answer(sink.TooLarge, 413)
		}
		return accept(n, items)
	}
}

// acted is a 500: the vendor had the request.
func acted() sink.Response {
	a := answer(sink.Unavailable, 500)
	a.MayHaveActed = true
	return a
}

func deadLetter(c *Config)  { c.UnknownPolicy = sink.UnknownDeadLetter }
func neverOpens(c *Config)  { c.Breaker.Failures, c.Breaker.Ratio = 1000, 2 }
func takenOver(j *Delivery) { j.Record.OutcomeUnknown = true }
func kinds(pairs ...any) map[string]int {
	out := map[string]int{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i].(string)] = pairs[i+1].(int)
	}
	return out
}

// row is a row of the outcome table, through a lane from Dispatch to the settler.
type row struct {
	name    string
	script  script
	change  func(*Config)
	job     func(*Delivery)
	n       int
	kinds   map[string]int
	sizes   []int // of the calls
	unsent  int   // taken back as not sent
	doubles int   // counted as possible duplicates
}

var rows = []row{
	{name: "delivered", script: accept, n: 8, kinds: kinds("delivered", 8), sizes: []int{8}},
	{name: "rejected", script: byID(map[string]sink.ResultClass{id(2): sink.Rejected}), n: 8, kinds: kinds("delivered", 7, "dead rejected", 1), sizes: []int{8}},
	{name: "retryable", script: byID(map[string]sink.ResultClass{id(2): sink.Retryable}), n: 8, kinds: kinds("delivered", 7, "retried retryable", 1), sizes: []int{8}},
	{
		name: "retryable, in place", change: func(c *Config) { c.RetryInPlace = true },
		script: func(n int, items []sink.Item) sink.Response {
			if n == 1 {
				return byID(map[string]sink.ResultClass{id(2): sink.Retryable})(n, items)
			}
			return accept(n, items)
		},
		n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 1}, unsent: 1,
	},
	{
		name: "expired, in place", change: func(c *Config) { c.RetryInPlace, c.MaxAge = true, 5*time.Second },
		script: byID(map[string]sink.ResultClass{id(0): sink.Retryable}), n: 1, kinds: kinds("dead expired", 1), sizes: []int{1, 1}, unsent: 1,
	},
	{
		name: "expired, in place, by the age since the first refusal", change: func(c *Config) { c.RetryInPlace, c.MaxAge = true, 65*time.Second },
		script: byID(map[string]sink.ResultClass{id(0): sink.Retryable}), n: 1, kinds: kinds("dead expired", 1), sizes: []int{1, 1, 1}, unsent: 2,
	},
	{
		name: "exhausted", script: byID(map[string]sink.ResultClass{id(2): sink.Retryable}), job: func(j *Delivery) { j.Record.TierDelay = time.Minute },
		n: 8, kinds: kinds("delivered", 7, "dead exhausted", 1), sizes: []int{8},
	},
	{
		name: "expired", script: byID(map[string]sink.ResultClass{id(2): sink.Retryable}), job: func(j *Delivery) { j.Record.FirstFailed = time.Now().Add(-2 * time.Hour) },
		n: 8, kinds: kinds("delivered", 7, "dead expired", 1), sizes: []int{8},
	},
	{
		name: "an item without a sure result is sent again alone",
		script: func(n int, items []sink.Item) sink.Response {
			if n == 1 {
				return byID(map[string]sink.ResultClass{id(2): sink.Unknown})(n, items)
			}
			return accept(n, items)
		},
		n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 1}, doubles: 1,
	},
	{
		name: "no item has a sure result: never all of them again", n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 4, 4}, doubles: 8,
		script: func(n int, items []sink.Item) sink.Response {
			if n == 1 {
				return each(items, func(sink.Item) sink.ResultClass { return sink.Unknown })
			}
			return accept(n, items)
		},
	},
	{
		name: "an item without a sure result is dead by policy", script: byID(map[string]sink.ResultClass{id(2): sink.Unknown}), change: deadLetter,
		n: 8, kinds: kinds("delivered", 7, "dead unknown", 1), sizes: []int{8},
	},
	{name: "fewer results than items: none is delivered", script: short, change: deadLetter, n: 8, kinds: kinds("dead unknown", 8), sizes: []int{8}},
	{name: "batch refused, items named", script: naming(id(3), id(5)), n: 8, kinds: kinds("delivered", 6, "dead rejected", 2), sizes: []int{8, 6}},
	{
		name: "batch refused, an item named that may pass later", n: 8, kinds: kinds("delivered", 7, "retried retryable", 1), sizes: []int{8, 7},
		script: func(n int, items []sink.Item) sink.Response { return postponing(naming(id(3))(n, items)) },
	},
	{
		name: "the same of an item that is alone", n: 1, kinds: kinds("retried retryable", 1), sizes: []int{1},
		script: func(n int, items []sink.Item) sink.Response { return postponing(naming(id(0))(n, items)) },
	},
	{
		name: "batch refused, nobody named, then one of a half: nothing is known of the other half", n: 8, kinds: kinds("delivered", 7, "dead rejected", 1), sizes: []int{8, 4, 7}, unsent: 4,
		script: func(n int, items []sink.Item) sink.Response {
			if n == 1 {
				return answer(sink.Rejected, 400)
			}
			return naming(id(0))(n, items)
		},
	},
	{name: "batch refused, nobody named", script: refusing(id(7)), n: 8, kinds: kinds("delivered", 7, "dead rejected", 1), sizes: []int{8, 4, 2, 1, 1}, unsent: 4},
	{name: "too large: halved, and the smaller cap is remembered", script: upTo(4), n: 16, kinds: kinds("delivered", 16), sizes: []int{8, 4, 4, 4, 4}, unsent: 4},
	{name: "too large alone", script: upTo(0), n: 2, kinds: kinds("dead too_large", 2), sizes: []int{2, 1, 1}, unsent: 1},
	{name: "throttled", script: first(answer(sink.Throttled, 429)), n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 8}, unsent: 8},
	{
		name: "misconfigured: held, then one item, nothing dead", script: first(answer(sink.Misconfigured, 404)),
		n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 1, 7}, unsent: 8,
	},
	{
		name: "unauthorized without a token to renew: held, nothing dead", script: first(answer(sink.Unauthorized, 401)),
		n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 1, 7}, unsent: 8,
	},
	{name: "unavailable: the same again", script: first(answer(sink.Unavailable, 503)), n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 8}, unsent: 8},
	{
		name: "unavailable, may have acted: stays announced, and counts as possible duplicates", script: first(acted(), acted()),
		n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 8, 8}, doubles: 16,
	},
	{
		name: "unknown call: halved, each at most twice", script: always(answer(sink.Unknown, 504)), change: neverOpens,
		n: 8, kinds: kinds("dead unknown", 8), sizes: []int{8, 4, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, doubles: 16,
	},
	{name: "unknown call: dead by policy", script: always(answer(sink.Unknown, 504)), change: deadLetter, n: 8, kinds: kinds("dead unknown", 8), sizes: []int{8}},
	{name: "unknown call, then all is well", script: first(answer(sink.Unknown, 0)), n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 4, 4}, doubles: 8},
	{
		name:   "unknown, then refused before it was read: an earlier call may still have reached the vendor",
		script: first(answer(sink.Unknown, 0), answer(sink.Unavailable, 503)), n: 8, kinds: kinds("delivered", 8), sizes: []int{8, 4, 4, 4}, doubles: 12,
	},
	{name: "sent at take-over, by retry", script: accept, job: takenOver, n: 2, kinds: kinds("delivered", 2), sizes: []int{2}, doubles: 2},
	{
		name: "sent at take-over, by retry: one resend is used up", script: always(answer(sink.Unknown, 504)), change: neverOpens, job: takenOver,
		n: 1, kinds: kinds("dead unknown", 1), sizes: []int{1, 1}, doubles: 2,
	},
	{name: "sent at take-over, by dead letter", script: accept, change: deadLetter, job: takenOver, n: 2, kinds: kinds("dead unknown", 2)},
}

func TestRowsThroughALane(t *testing.T) {
	for _, c := range rows {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := start(t, c.script, c.change)
				r.dispatch(c.n, c.job)
				r.finish()
				r.wantKinds(c.kinds)
				r.wantSizes(c.sizes...)
				if r.border.unsent != c.unsent {
					t.Errorf("%d were taken back as not sent, want %d", r.border.unsent, c.unsent)
				}
				if got := r.obs.Snapshot().PossibleDuplicates; got != uint64(c.doubles) {
					t.Errorf("%d possible duplicates, want %d", got, c.doubles)
				}
			})
		})
	}
}
