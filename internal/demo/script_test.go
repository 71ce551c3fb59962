package demo

import (
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/demo/sample"
)

// The complete script must fit into the time during which records are produced, with time left for
// the retries that it causes.
func TestScriptFitsIntoRunsOfAnyLength(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts := Options{
			Duration: time.Duration(rapid.Int64Range(int64(MinDuration), int64(time.Hour)).Draw(t, "duration")),
			Seed:     rapid.Uint64().Draw(t, "seed"),
		}
		script := opts.newScript()
		if _, err := sample.SandboxOptions(script.rules...); err != nil {
			t.Fatal(err)
		}
		var last time.Duration
		for _, event := range script.events {
			if event.startsAt < last || event.startsAt+event.duration > opts.produceDuration() {
				t.Errorf(
					"%s at %s for %s: want it after %s and within the %s of production", event.name, event.startsAt,
					event.duration, last, opts.produceDuration(),
				)
			}
			last = event.startsAt
			waits := 500 * time.Millisecond
			for _, duration := range retryDelays {
				waits += duration
			}
			if event.name == faultExhausted && event.startsAt+waits > opts.Duration {
				t.Errorf(
					"%s at %s: want its retries to end before the run, after %s", event.name, event.startsAt,
					opts.Duration,
				)
			}
		}
		for _, name := range script.faultNames() {
			if script.minimumCount(name) < 1 {
				t.Errorf("%s: got a minimum of 0, want at least 1", name)
			}
		}
	})
}

func TestSeedDeterminesTheScript(t *testing.T) {
	made := func(seed uint64) script { return Options{Duration: time.Minute, Seed: seed}.newScript() }
	if !reflect.DeepEqual(made(1), made(1)) {
		t.Error("one seed: got two scripts, want one")
	}
	if reflect.DeepEqual(made(1).events, made(2).events) {
		t.Error("two seeds: got one script, want two")
	}
}

func TestRunWithoutAnEndRepeatsTheScript(t *testing.T) {
	script := Options{}.newScript()
	if _, err := sample.SandboxOptions(script.rules...); err != nil {
		t.Fatal(err)
	}
	once := newScript(0, scriptRound, 1)
	if len(script.events) != scriptRounds*len(once.events) {
		t.Errorf("events: got %d, want %d times %d", len(script.events), scriptRounds, len(once.events))
	}
	if got := script.recentEvents(scriptRound+30*time.Second, time.Second, 3); len(got) == 0 ||
		got[0].startsAt < scriptRound {
		t.Errorf("second round: got %+v, want recent events of that round", got)
	}
}

func TestEventIsShownWhileItLastsAndShortlyAfter(t *testing.T) {
	s := script{
		events: []scriptEvent{
			{name: "a", startsAt: 1 * time.Second}, {name: "b", startsAt: 2 * time.Second, duration: 3 * time.Second},
			{name: "c", startsAt: 9 * time.Second},
		},
	}
	for at, want := range map[time.Duration]string{0: "", 1: "a", 2: "ab", 3: "b", 6: "b", 7: "", 9: "c"} {
		var got string
		for _, event := range s.recentEvents(at*time.Second, 2*time.Second, 5) {
			got += event.name
		}
		if got != want {
			t.Errorf("at %d s: got %q, want %q", at, got, want)
		}
	}
}

func TestLateAccountExistsFromTheSecondQuery(t *testing.T) {
	accounts := newMissingAccounts()
	accounts.addAccount("late", expectDelivered)
	accounts.addAccount("never", expectDead)
	for i, want := range []map[string]bool{
		{"late": false, "never": false, "other": true}, {"late": true, "never": false, "other": true},
		{"late": true, "never": false},
	} {
		got := map[string]bool{}
		for number := range want {
			got[number] = accounts.accountExists(number)
		}
		if !maps.Equal(got, want) {
			t.Errorf("query %d: got %v, want %v", i+1, got, want)
		}
	}
	if accounts.countRefusals(expectDelivered) != 1 || accounts.countRefusals(expectDead) != 3 {
		t.Errorf(
			"refusals: got %d and %d, want 1 and 3", accounts.countRefusals(expectDelivered),
			accounts.countRefusals(expectDead),
		)
	}
}

// A run in which every fault occurred passes, and each missing fault fails it by name.
func TestMissingFaultFailsTheRun(t *testing.T) {
	script := Options{Duration: MinDuration}.newScript()
	complete := map[string]int{}
	for _, name := range script.faultNames() {
		complete[name] = script.minimumCount(name)
	}
	for _, class := range categories {
		complete[class], complete[class+"_produced"] = script.minimumCount(class), script.minimumCount(class)
	}
	if got := scriptFailures(complete, script); len(got) > 0 {
		t.Fatalf("complete run: got failures %v", got)
	}
	for name := range complete {
		counts := maps.Clone(complete)
		counts[name]--
		name = strings.TrimSuffix(name, "_produced")
		if got := scriptFailures(counts, script); len(got) != 1 || !strings.Contains(got[0], " "+name) {
			t.Errorf("without %s: got %q, want one failure that names it", name, got)
		}
	}
}

// A run that was cut short must keep fewer promises than a complete one, but never lose a record.
func TestRunFailsByItsFigures(t *testing.T) {
	for _, tt := range []struct {
		figures  Figures
		balance  balance
		complete bool
		want     string
	}{
		{Figures{Produced: 2, Delivered: 1, Retrying: 1}, balance{}, true, ""},
		{Figures{Lost: 1}, balance{}, true, "lost"},
		{Figures{Lost: 1}, balance{}, false, "lost"},
		{Figures{Dead: 1}, balance{unexpected: 1}, false, "unexpected outcome"},
		{Figures{Delivered: 1, Duplicates: 1}, balance{}, true, ""},
		{Figures{Delivered: 1, Duplicates: 1}, balance{unexplained: 1}, true, "duplicated"},
		{Figures{Delivered: 1, Duplicates: 1}, balance{unexplained: 1}, false, "duplicated"},
		{Figures{Unsettled: 1}, balance{}, true, "not settled"},
		{Figures{Unsettled: 1}, balance{}, false, ""},
	} {
		got := strings.Join(pipelineFailures(purchases, tt.figures, &tt.balance, tt.complete), "; ")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf(
				"%+v, %d unexpected, %d unexplained, complete %t: got %q, want %q", tt.figures, tt.balance.unexpected,
				tt.balance.unexplained, tt.complete, got, tt.want,
			)
		}
	}
}
