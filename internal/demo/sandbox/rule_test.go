package sandbox

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/test/testkit"
)

func TestWhenCountsOnlyTheRulesOwnCalls(t *testing.T) {
	tests := []struct {
		rule Rule
		want string // one character per call, x if the rule fires
	}{
		{Rule{}, "xxxxxxxxx"},
		{Rule{Times: 2}, "xx......."},
		{Rule{When: When{AfterCalls: 3}}, "...xxxxxx"},
		{Rule{When: When{Every: 3}}, "..x..x..x"},
		{Rule{When: When{AfterCalls: 1, Every: 2}, Times: 3}, "..x.x.x.."},
	}
	for _, tt := range tests {
		tt.rule.Name, tt.rule.Operation, tt.rule.Do = "r", "crmcom.purchases", Action{Fault: FaultTooLarge}
		server := newScriptedServer(t, Options{}, tt.rule)
		token, got := loginCRM(t, server), ""
		for range 9 {
			postCRMItems(t, server, "web", token, activityItem)
			if postCRMItems(t, server, "purchases", token, purchaseItem).status == http.StatusRequestEntityTooLarge {
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

// "One account in ten is invalid" must remain true across resends and restarts.
func TestHashSelectsTheSameItemsEveryTime(t *testing.T) {
	rule := func(remainder uint32) Rule {
		return Rule{Name: fmt.Sprint(remainder), Do: Action{Fault: FaultRefuseItem},
			When: When{Items: Items{Field: "accounts_receivable_identifier.number", Modulus: 3, Remainder: remainder}}}
	}
	items := purchaseItems(30)
	var all []string
	for remainder := range uint32(3) {
		server := newScriptedServer(t, Options{}, rule(remainder))
		token := loginCRM(t, server)
		postCRMItems(t, server, "purchases", token, items...)
		once := acceptedIDs(server, "crmcom.purchases")
		postCRMItems(t, server, "purchases", token, items...)
		if twice := acceptedIDs(server, "crmcom.purchases"); !slices.Equal(twice, append(slices.Clone(once), once...)) {
			t.Errorf("remainder %d: got %v, then %v, want the same items accepted twice", remainder, once, twice)
		}
		all = append(all, once...)
	}
	if len(all) != 2*len(items) {
		t.Errorf("all remainders together: got %d refused, want %d", 3*len(items)-len(all), len(items))
	}
}

func TestScriptTimesAreRelativeToTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newScriptedServer(t, Options{}, Rule{Name: "down", Operation: "crmcom.web",
			When: When{From: time.Minute, Until: 2 * time.Minute}, Do: Action{
				Fault: FaultStatus, Code: 503, RetryAfter: time.Minute, RetryAfterDate: true,
			}})
		token := loginCRM(t, server)
		item := withChanges(activityItem, fields{"website": "w", "classification_identifier": absent})
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{0, 200}, {time.Minute, 503}, {time.Minute - 1, 503}, {1, 200}} {
			testkit.AdvanceClock(step.wait)
			resp := postCRMItems(t, server, "web", token, item)
			if resp.status != step.want {
				t.Errorf("at %s: got %d, want %d", time.Since(server.startedAt), resp.status, step.want)
			}
			if at, err := http.ParseTime(resp.header.Get("Retry-After")); resp.status == 503 &&
				(err != nil || !at.Equal(time.Now().Add(time.Minute).Truncate(time.Second))) {
				t.Errorf("Retry-After: got %q, want the date in one minute", resp.header.Get("Retry-After"))
			}
		}
	})
}

func TestStoppedRuleNeverFiresAgain(t *testing.T) {
	server := newScriptedServer(t, Options{},
		Rule{Name: "down", Operation: "propel.token", Do: Action{Fault: FaultStatus, Code: http.StatusServiceUnavailable}},
		Rule{Name: "slow", Operation: "propel.token", Do: Action{Fault: FaultLatency, Delay: time.Millisecond}})
	server.StopRule("no such rule")
	for i, want := range []map[string]int{{"down": 1, "slow": 1}, {"down": 1, "slow": 2}} {
		serveRequest(server.Handler(Propel), newPost(PropelTokenPath, formMedia, grantForm))
		if got := server.Faults(); !maps.Equal(got, want) {
			t.Errorf("call %d: got faults %v, want %v", i+1, got, want)
		}
		server.StopRule("down")
	}
}
