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

// However long a run is, the whole script fits into the time in which records are produced, with time left for what it leads to.
func TestTheScriptFitsIntoEveryRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts := Options{Duration: time.Duration(rapid.Int64Range(int64(MinDuration), int64(time.Hour)).Draw(t, "duration")), Seed: rapid.Uint64().Draw(t, "seed")}
		script := opts.newScript()
		if _, err := sample.SandboxOptions(script.rules...); err != nil {
			t.Fatal(err)
		}
		var last time.Duration
		for _, event := range script.events {
			if event.startsAt < last || event.startsAt+event.duration > opts.produceDuration() {
				t.Errorf("%s at %s for %s, after one at %s; records are produced for %s", event.name, event.startsAt, event.duration, last, opts.produceDuration())
			}
			last = event.startsAt
			waits := 500 * time.Millisecond
			for _, duration := range retryDelays {
				waits += duration
			}
			if event.name == faultExhausted && event.startsAt+waits > opts.Duration {
				t.Errorf("%s at %s has not been through the retry delays at %s", event.name, event.startsAt, opts.Duration)
			}
		}
		for _, name := range script.faultNames() {
			if script.minimumCount(name) < 1 {
				t.Errorf("%s need not happen", name)
			}
		}
	})
}

func TestTheSeedDecidesTheScript(t *testing.T) {
	made := func(seed uint64) script { return Options{Duration: time.Minute, Seed: seed}.newScript() }
	if !reflect.DeepEqual(made(1), made(1)) {
		t.Error("one seed gives two scripts")
	}
	if reflect.DeepEqual(made(1).events, made(2).events) {
		t.Error("two seeds give one script")
	}
}

func TestARunWithoutAnEndRepeatsTheScript(t *testing.T) {
	script := Options{}.newScript()
	if _, err := sample.SandboxOptions(script.rules...); err != nil {
		t.Fatal(err)
	}
	once := newScript(0, scriptRound, 1)
	if len(script.events) != scriptRounds*len(once.events) {
		t.Errorf("%d acts, want %d times %d", len(script.events), scriptRounds, len(once.events))
	}
	if got := script.recentEvents(scriptRound+30*time.Second, time.Second, 3); len(got) == 0 || got[0].startsAt < scriptRound {
		t.Errorf("in the second round: %+v", got)
	}
}

func TestAnActIsShownWhileItLastsAndForAWhileAfter(t *testing.T) {
	s := script{events: []scriptEvent{{name: "a", startsAt: 1 * time.Second}, {name: "b", startsAt: 2 * time.Second, duration: 3 * time.Second}, {name: "c", startsAt: 9 * time.Second}}}
	for at, want := range map[time.Duration]string{0: "", 1: "a", 2: "ab", 3: "b", 6: "b", 7: "", 9: "c"} {
		var got string
		for _, event := range s.recentEvents(at*time.Second, 2*time.Second, 5) {
			got += event.name
		}
		if got != want {
			t.Errorf("at %d s: %q, want %q", at, got, want)
		}
	}
}

func TestALateAccountIsThereWhenItIsAskedForAgain(t *testing.T) {
	accounts := newMissingAccounts()
	accounts.addAccount("late", expectDelivered)
	accounts.addAccount("never", expectDead)
	for i, want := range []map[string]bool{{"late": false, "never": false, "other": true}, {"late": true, "never": false, "other": true}, {"late": true, "never": false}} {
		got := map[string]bool{}
		for number := range want {
			got[number] = accounts.accountExists(number)
		}
		if !maps.Equal(got, want) {
			t.Errorf("asked for time %d: %v, want %v", i+1, got, want)
		}
	}
	if accounts.countRefusals(expectDelivered) != 1 || accounts.countRefusals(expectDead) != 3 {
		t.Errorf("%d and %d refusals, want 1 and 3", accounts.countRefusals(expectDelivered), accounts.countRefusals(expectDead))
	}
}

// A run whose every fault fired passes; each fault that is missing fails it by name.
func TestAFaultThatDidNotHappenFailsTheRun(t *testing.T) {
	script := Options{Duration: MinDuration}.newScript()
	whole := map[string]int{}
	for _, name := range script.faultNames() {
		whole[name] = script.minimumCount(name)
	}
	for _, class := range classes {
		whole[class], whole[class+"_produced"] = script.minimumCount(class), script.minimumCount(class)
	}
	if got := scriptFailures(whole, script); len(got) > 0 {
		t.Fatalf("a whole run fails: %v", got)
	}
	for name := range whole {
		lacking := maps.Clone(whole)
		lacking[name]--
		name = strings.TrimSuffix(name, "_produced")
		if got := scriptFailures(lacking, script); len(got) != 1 || !strings.Contains(got[0], " "+name) {
			t.Errorf("without %s: %v", name, got)
		}
	}
}

// What must hold of a run that was cut short is less than of a whole one, and never a loss.
func TestARunIsJudgedByItsFigures(t *testing.T) {
	for _, tt := range []struct {
		figures  Figures
		balance  balance
		complete bool
		want     string
	}{
		{Figures{Produced: 2, Delivered: 1, Retrying: 1}, balance{}, true, ""},
		{Figures{Lost: 1}, balance{}, true, "lost"},
		{Figures{Lost: 1}, balance{}, false, "lost"},
		{Figures{Dead: 1}, balance{unexpected: 1}, false, "another end"},
		{Figures{Delivered: 1, Duplicates: 1}, balance{}, true, ""},
		{Figures{Delivered: 1, Duplicates: 1}, balance{unexplained: 1}, true, "double"},
		{Figures{Delivered: 1, Duplicates: 1}, balance{unexplained: 1}, false, "double"},
		{Figures{Unsettled: 1}, balance{}, true, "not settled"},
		{Figures{Unsettled: 1}, balance{}, false, ""},
	} {
		got := strings.Join(pipelineFailures(purchases, tt.figures, &tt.balance, tt.complete), "; ")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%+v, %d wrong, %d doubled, complete %t: %q, want %q", tt.figures, tt.balance.unexpected, tt.balance.unexplained, tt.complete, got, tt.want)
		}
	}
}
