package sandbox

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheLedgerTellsDuplicatesFromUpdates(t *testing.T) {
	s := New(Options{KeepBodies: true, Expoints: ExpointsOptions{Columns: testColumns}})
	token := loginCRM(t, s)
	postCRMItems(t, s, "purchases", token, purchaseItems(2)...)
	postCRMItems(t, s, "purchases", token, purchaseItems(1)...)
	entries := s.Ledger().AcceptedEntries("crmcom.purchases")
	if count := s.Ledger().Duplicates("crmcom.purchases"); count != 1 || entries[0].Times != 1 || entries[2].Times != 2 {
		t.Errorf("%d duplicates in %+v", count, entries)
	}
	if entries[0].Hash != entries[2].Hash || entries[0].Hash == entries[1].Hash || !json.Valid(entries[0].Body) {
		t.Errorf("hashes or bodies of %+v", entries)
	}
	for _, name := range []string{"A", "B", "A"} {
		postWithLogin(t, s, Propel, propelPath, `{"customers":[`+withChanges(customerItem, fields{"firstName": name})+`]}`)
	}
	if count := s.Ledger().Duplicates("propel.customers"); count != 1 {
		t.Errorf("Propel: %d duplicates, want 1: two states, one of them twice", count)
	}
	postWithLogin(t, s, Expoints, expointsPath("add"), customerBatch(feedbackItem, otherFeedbackItem))
	postWithLogin(t, s, Expoints, expointsPath("add"), customerBatch(otherFeedbackItem))
	if count := s.Ledger().Duplicates("expoints.add"); count != 1 {
		t.Errorf("Expoints without event id: %d duplicates, want 1", count)
	}
	want := CallStats{Calls: 2, Items: 3, MaxItems: 2, Accepted: 3, Failures: map[int]int{}}
	if got := s.Ledger().Calls("crmcom.purchases"); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v", got)
	}
}

// A client may send again what it was not told of, and nothing else.
func TestOnlyALostAnswerExplainsASecondAcceptance(t *testing.T) {
	acr1 := When{Items: Items{Field: "accounts_receivable_identifier.number", Prefix: "ACR1"}}
	for name, c := range map[string]struct {
		rules []Rule
		calls int
		want  []string // the items accepted once more than is explained
	}{
		"one call":                        {nil, 1, nil},
		"answered, and sent again":        {nil, 2, []string{"p-0-0", "p-0-1"}},
		"an answer that was cut":          {[]Rule{{Times: 1, Do: Action{Fault: FaultResetAfter, Apply: true}}}, 2, nil},
		"a gateway's answer":              {[]Rule{{Times: 1, Do: Action{Fault: FaultStatus, Code: 502, Apply: true}}}, 2, nil},
		"an answer that left one out":     {[]Rule{{Times: 1, When: acr1, Do: Action{Fault: FaultDropItems}}}, 2, []string{"p-0-0"}},
		"cut twice, then answered":        {[]Rule{{Times: 2, Do: Action{Fault: FaultEmptyBody, Apply: true}}}, 3, nil},
		"answered, sent again and cut":    {[]Rule{{When: When{AfterCalls: 1}, Do: Action{Fault: FaultResetAfter, Apply: true}}}, 2, []string{"p-0-0", "p-0-1"}},
		"cut, answered, and sent again":   {[]Rule{{Times: 1, Do: Action{Fault: FaultResetAfter, Apply: true}}}, 3, []string{"p-0-0", "p-0-1"}},
		"refused, and sent again":         {[]Rule{{Times: 1, Do: Action{Fault: FaultRefuseBatch}}}, 2, nil},
		"one refused, and all sent again": {[]Rule{{Times: 1, When: acr1, Do: Action{Fault: FaultRefuseItem}}}, 2, []string{"p-0-0"}},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range c.rules {
				c.rules[i].Name, c.rules[i].Operation = fmt.Sprint("r", i), "crmcom.purchases"
			}
			s := newScriptedServer(t, Options{}, c.rules...)
			token := loginCRM(t, s)
			for range c.calls {
				postCRMItems(t, s, "purchases", token, purchaseItems(2)...)
			}
			checkUnexplained(t, s, c.want)
		})
	}
}

func checkUnexplained(t *testing.T, s *Server, want []string) {
	t.Helper()
	var got []string
	for _, entry := range s.Ledger().Unexplained("crmcom.purchases") {
		got = append(got, entry.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("unexplained are %v, want %v", got, want)
	}
}

// Two calls with one item at a time: that both are answered is no reason for either.
func TestAnItemThatIsSentTwiceAtATimeIsUnexplained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Latency: Latency{Fixed: time.Second}})
		token := loginCRM(t, s)
		done := make(chan struct{})
		go func() {
			defer close(done)
			postCRMItems(t, s, "purchases", token, purchaseItems(1)...)
		}()
		postCRMItems(t, s, "purchases", token, purchaseItems(1)...)
		<-done
		checkUnexplained(t, s, []string{"p-0-0"})
	})
}
