package demo

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"sluice/internal/observe"
)

var testViewState = viewState{
	elapsed: 12*time.Second + 400*time.Millisecond, length: 20 * time.Second, phase: "running",
	pipelines: []string{purchases, customers},
	figures: map[string]Figures{
		purchases: {Produced: 960, Delivered: 940, Retrying: 3, Dead: 5, Skipped: 1, Unsettled: 11},
		customers: {Produced: 12, Delivered: 12},
	},
	lag:    map[string]int64{purchases: 11},
	states: map[string]string{purchases: "running", customers: "breaker open (customers)"},
	total:  Figures{Produced: 972, Delivered: 952, Retrying: 3, Dead: 5, Skipped: 1, Unsettled: 11, Duplicates: 2},
	events: []scriptEvent{
		{startsAt: 11 * time.Second, description: "CRM.COM revokes all tokens"},
		{startsAt: 12 * time.Second, description: "Expoints is down for 4 s"},
	},
}

func TestTableShowsPipelinesEventsAndLedger(t *testing.T) {
	want := `Sluice demo  12 s of 20 s  running

pipeline         produced delivered retrying dead skipped  lag  state
purchases             960       940        3    5       1   11  running
customer-changes       12        12        0    0       0    0  breaker open (customers)

scripted events
  11 s: CRM.COM revokes all tokens
  12 s: Expoints is down for 4 s




ledger  produced 972 = delivered 952 + retrying 3 + dead 5 + skipped 1
        + unsettled 11 + lost 0; duplicates 2`
	if got := strings.Join(testViewState.tableLines(), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTerminalIsRedrawnInPlaceWithoutWrapping(t *testing.T) {
	var out bytes.Buffer
	live := view{screen: Screen{Writer: &out, Width: func() int { return 40 }}}
	for range 2 {
		if err := live.drawState(testViewState); err != nil {
			t.Fatal(err)
		}
	}
	first, second, found := strings.Cut(out.String(), "\x1b[15F")
	if !found || strings.Contains(first, "\x1b[15F") {
		t.Fatalf("got %q, want the second table to begin 15 lines above the end of the first", out.String())
	}
	if first != second {
		t.Errorf("one state drawn twice: got\n%q\nand\n%q", first, second)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(first, "\x1b[J"), "\n") {
		if text := strings.TrimSuffix(line, "\x1b[K"); len([]rune(text)) > 40 {
			t.Errorf("got %d columns in %q, want at most 40", len([]rune(text)), text)
		}
	}
}

func TestNonTerminalGetsOneLineWithoutControlCharacters(t *testing.T) {
	var out bytes.Buffer
	live := view{screen: Screen{Writer: &out}}
	if err := live.drawState(testViewState); err != nil {
		t.Fatal(err)
	}
	want := "12 s of 20 s, running | " + testViewState.total.ledgerLine() +
		" | customer-changes breaker open (customers) | last event at 12 s: Expoints is down for 4 s\n"
	if out.String() != want {
		t.Errorf("got  %q\nwant %q", out.String(), want)
	}
}

func TestStateBeginsWithWhatNeedsAnOperator(t *testing.T) {
	held := &observe.Hold{Reason: "unauthorized"}
	for _, tt := range []struct {
		status observe.PipelineStatus
		want   string
	}{
		{observe.PipelineStatus{}, "stopped"},
		{observe.PipelineStatus{Started: true}, "running"},
		{
			observe.PipelineStatus{
				Started: true, Operations: []observe.OperationStatus{{Operation: "a.b", Breaker: "closed"}},
			},
			"running",
		},
		{
			observe.PipelineStatus{
				Started: true,
				Operations: []observe.OperationStatus{
					{Operation: "a.b", Breaker: "open", Hold: &observe.Hold{Reason: "unavailable"}},
				},
			},
			"breaker open (b)",
		},
		{observe.PipelineStatus{Started: true, Operations: []observe.OperationStatus{
			{Operation: "a.b", Breaker: "half-open"}, {Operation: "a.c", Breaker: "closed", Hold: held},
		}},
			"held: unauthorized (c), breaker half-open (b)"},
		{
			observe.PipelineStatus{
				Started: true, Hold: held, Operations: []observe.OperationStatus{{Operation: "a.b", Breaker: "open"}},
			},
			"held: unauthorized",
		},
	} {
		if got := pipelineState(tt.status); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

// On a busy machine an audit takes seconds. The view must not freeze for a minute afterwards.
func TestRedrawDelayIsBoundedHoweverLongAnAuditTakes(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: 0, 10 * time.Millisecond: 200 * time.Millisecond, 3 * time.Second: 5 * time.Second,
	} {
		if got := redrawDelay(took); got != want {
			t.Errorf("delay after a draw that took %s: got %s, want %s", took, got, want)
		}
	}
}
