package sandbox

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/test/testkit"
)

func TestWhenCountsTheRulesOwnCalls(t *testing.T) {
	tests := []struct {
		rule Rule
		want string // one letter a call: x where it fires
	}{
		{Rule{}, "xxxxxxxxx"},
		{Rule{Times: 2}, "xx......."},
		{Rule{When: When{AfterCalls: 3}}, "...xxxxxx"},
		{Rule{When: When{Every: 3}}, "..x..x..x"},
		{Rule{When: When{AfterCalls: 1, Every: 2}, Times: 3}, "..x.x.x.."},
	}
	for _, tt := range tests {
		tt.rule.Name, tt.rule.Operation, tt.rule.Do = "r", "crmcom.purchases", Action{Fault: FaultTooLarge}
		s := newScriptedServer(t, Options{}, tt.rule)
		token, got := loginCRM(t, s), ""
		for range 9 {
			postCRMItems(t, s, "web", token, activityItem)
			if postCRMItems(t, s, "purchases", token, purchaseItem).status == http.StatusRequestEntityTooLarge {
				got += "x"
			} else {
				got += "."
			}
		}
		if got != tt.want {
			t.Errorf("%+v: got %s, want %s", tt.rule, got, tt.want)
		}
	}
}

// TestAHashPicksTheSameItemsEachTime keeps "one account in ten is bad" true across resends and restarts.
func TestAHashPicksTheSameItemsEachTime(t *testing.T) {
	rule := func(remainder uint32) Rule {
		return Rule{Name: fmt.Sprint(remainder), Do: Action{Fault: FaultRefuseItem},
			When: When{Items: Items{Field: "accounts_receivable_identifier.number", Modulus: 3, Remainder: remainder}}}
	}
	items := purchaseItems(30)
	var all []string
	for remainder := range uint32(3) {
		s := newScriptedServer(t, Options{}, rule(remainder))
		token := loginCRM(t, s)
		postCRMItems(t, s, "purchases", token, items...)
		once := acceptedIDs(s, "crmcom.purchases")
		postCRMItems(t, s, "purchases", token, items...)
		if twice := acceptedIDs(s, "crmcom.purchases"); !slices.Equal(twice, append(slices.Clone(once), once...)) {
			t.Errorf("remainder %d: %v, then %v", remainder, once, twice)
		}
		all = append(all, once...)
	}
	if len(all) != 2*len(items) {
		t.Errorf("the remainders refuse %d of %d", 3*len(items)-len(all), len(items))
	}
}

func TestTimesOfAScriptCountFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScriptedServer(t, Options{}, Rule{Name: "down", Operation: "crmcom.web",
			When: When{From: time.Minute, Until: 2 * time.Minute}, Do: Action{Fault: FaultStatus, Code: 503, RetryAfter: time.Minute, RetryAfterDate: true}})
		token := loginCRM(t, s)
		item := withChanges(activityItem, fields{"website": "w", "classification_identifier": absent})
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{0, 200}, {time.Minute, 503}, {time.Minute - 1, 503}, {1, 200}} {
			testkit.AdvanceClock(step.wait)
			resp := postCRMItems(t, s, "web", token, item)
			if resp.status != step.want {
				t.Errorf("at %s: got %d, want %d", time.Since(s.startedAt), resp.status, step.want)
			}
			if at, err := http.ParseTime(resp.header.Get("Retry-After")); resp.status == 503 && (err != nil || !at.Equal(time.Now().Add(time.Minute).Truncate(time.Second))) {
				t.Errorf("Retry-After %q", resp.header.Get("Retry-After"))
			}
		}
	})
}
