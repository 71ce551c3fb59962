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
		o := Options{Duration: time.Duration(rapid.Int64Range(int64(MinDuration), int64(time.Hour)).Draw(t, "duration")), Seed: rapid.Uint64().Draw(t, "seed")}
		s := o.script()
		if _, err := sample.SandboxOptions(s.rules...); err != nil {
			t.Fatal(err)
		}
		var last time.Duration
		for _, a := range s.acts {
			if a.at < last || a.at+a.lasts > o.producing() {
				t.Errorf("%s at %s for %s, after one at %s; records are produced for %s", a.name, a.at, a.lasts, last, o.producing())
			}
			last = a.at
			waits := 500 * time.Millisecond
			for _, d := range retryDelays {
				waits += d
			}
			if a.name == faultExhausted && a.at+waits > o.Duration {
				t.Errorf("%s at %s has not been through the retry delays at %s", a.name, a.at, o.Duration)
			}
		}
		for _, name := range s.faultNames() {
			if s.least(name) < 1 {
				t.Errorf("%s need not happen", name)
			}
		}
	})
}

func TestTheSeedDecidesTheScript(t *testing.T) {
	made := func(seed uint64) script { return Options{Duration: time.Minute, Seed: seed}.script() }
	if !reflect.DeepEqual(made(1), made(1)) {
		t.Error("one seed gives two scripts")
	}
	if reflect.DeepEqual(made(1).acts, made(2).acts) {
		t.Error("two seeds give one script")
	}
}

func TestARunWithoutAnEndRepeatsTheScript(t *testing.T) {
	s := Options{}.script()
	if _, err := sample.SandboxOptions(s.rules...); err != nil {
		t.Fatal(err)
	}
	once := newScript(0, round, 1)
	if len(s.acts) != rounds*len(once.acts) {
		t.Errorf("%d acts, want %d times %d", len(s.acts), rounds, len(once.acts))
	}
	if got := s.recent(round+30*time.Second, time.Second, 3); len(got) == 0 || got[0].at < round {
		t.Errorf("in the second round: %+v", got)
	}
}

func TestAnActIsShownWhileItLastsAndForAWhileAfter(t *testing.T) {
	s := script{acts: []act{{name: "a", at: 1 * time.Second}, {name: "b", at: 2 * time.Second, lasts: 3 * time.Second}, {name: "c", at: 9 * time.Second}}}
	for at, want := range map[time.Duration]string{0: "", 1: "a", 2: "ab", 3: "b", 6: "b", 7: "", 9: "c"} {
		var got string
		for _, a := range s.recent(at*time.Second, 2*time.Second, 5) {
			got += a.name
		}
		if got != want {
			t.Errorf("at %d s: %q, want %q", at, got, want)
		}
	}
}

func TestALateAccountIsThereWhenItIsAskedForAgain(t *testing.T) {
	a := newAccounts()
	a.miss("late", toDeliver)
	a.miss("never", toDie)
	for i, want := range []map[string]bool{{"late": false, "never": false, "other": true}, {"late": true, "never": false, "other": true}, {"late": true, "never": false}} {
		got := map[string]bool{}
		for number := range want {
			got[number] = a.exists(number)
		}
		if !maps.Equal(got, want) {
			t.Errorf("asked for time %d: %v, want %v", i+1, got, want)
		}
	}
	if a.refusals(toDeliver) != 1 || a.refusals(toDie) != 3 {
		t.Errorf("%d and %d refusals, want 1 and 3", a.refusals(toDeliver), a.refusals(toDie))
	}
}

// A run whose every fault fired passes; each fault that is missing fails it by name.
func TestAFaultThatDidNotHappenFailsTheRun(t *testing.T) {
	s := Options{Duration: MinDuration}.script()
	whole := map[string]int{}
	for _, name := range s.faultNames() {
		whole[name] = s.least(name)
	}
	for _, class := range classes {
		whole[class], whole[class+"_produced"] = s.least(class), s.least(class)
	}
	if got := missing(whole, s); len(got) > 0 {
		t.Fatalf("a whole run fails: %v", got)
	}
	for name := range whole {
		lacking := maps.Clone(whole)
		lacking[name]--
		name = strings.TrimSuffix(name, "_produced")
		if got := missing(lacking, s); len(got) != 1 || !strings.Contains(got[0], " "+name) {
			t.Errorf("without %s: %v", name, got)
		}
	}
}

// What must hold of a run that was cut short is less than of a whole one, and never a loss.
func TestARunIsJudgedByItsFigures(t *testing.T) {
	for _, c := range []struct {
		figures  Figures
		balance  balance
		complete bool
		want     string
	}{
		{Figures{Produced: 2, Delivered: 1, Retrying: 1}, balance{}, true, ""},
		{Figures{Lost: 1}, balance{}, true, "lost"},
		{Figures{Lost: 1}, balance{}, false, "lost"},
		{Figures{Dead: 1}, balance{wrong: 1}, false, "another end"},
		{Figures{Delivered: 1, Duplicates: 1}, balance{}, true, ""},
		{Figures{Delivered: 1, Duplicates: 1}, balance{doubled: 1}, true, "double"},
		{Figures{Delivered: 1, Duplicates: 1}, balance{doubled: 1}, false, "double"},
		{Figures{Unsettled: 1}, balance{}, true, "not settled"},
		{Figures{Unsettled: 1}, balance{}, false, ""},
	} {
		got := strings.Join(broken(purchases, c.figures, &c.balance, c.complete), "; ")
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v, %d wrong, %d doubled, complete %t: %q, want %q", c.figures, c.balance.wrong, c.balance.doubled, c.complete, got, c.want)
		}
	}
}
