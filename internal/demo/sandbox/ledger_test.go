package sandbox

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestLedgerDistinguishesDuplicatesFromUpdates(t *testing.T) {
	server := New(Options{KeepBodies: true, Expoints: ExpointsOptions{Columns: testColumns}})
	token := loginCRM(t, server)
	postCRMItems(t, server, "purchases", token, purchaseItems(2)...)
	postCRMItems(t, server, "purchases", token, purchaseItems(1)...)
	entries := server.Ledger().AcceptedEntries("crmcom.purchases")
	if count := server.Ledger().Duplicates("crmcom.purchases"); count != 1 || entries[0].Times != 1 ||
		entries[2].Times != 2 {
		t.Errorf("got %d duplicates in %+v, want 1", count, entries)
	}
	if entries[0].Hash != entries[2].Hash || entries[0].Hash == entries[1].Hash || !json.Valid(entries[0].Body) {
		t.Errorf("got %+v, want equal hashes for equal items and valid bodies", entries)
	}
	for _, name := range []string{"A", "B", "A"} {
		postWithLogin(
			t, server, Propel, propelPath, `{"customers":[`+withChanges(customerItem, fields{"firstName": name})+`]}`,
		)
	}
	if count := server.Ledger().Duplicates("propel.customers"); count != 1 {
		t.Errorf("Propel: got %d duplicates, want 1 for two states, one of them sent twice", count)
	}
	postWithLogin(t, server, Expoints, expointsPath("add"), customerBatch(feedbackItem, otherFeedbackItem))
	postWithLogin(t, server, Expoints, expointsPath("add"), customerBatch(otherFeedbackItem))
	if count := server.Ledger().Duplicates("expoints.add"); count != 1 {
		t.Errorf("Expoints without event id: got %d duplicates, want 1", count)
	}
	want := CallStats{Calls: 2, Items: 3, MaxItems: 2, Accepted: 3, Failures: map[int]int{}}
	if got := server.Ledger().Calls("crmcom.purchases"); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A client may send an item again only if its acceptance was never confirmed.
func TestOnlyALostResponseExplainsASecondAcceptance(t *testing.T) {
	acr1 := When{Items: Items{Field: "accounts_receivable_identifier.number", Prefix: "ACR1"}}
	for name, c := range map[string]struct {
		rules []Rule
		calls int
		want  []string // the ids of unexplained acceptances
	}{
		"one call":                   {nil, 1, nil},
		"confirmed, then sent again": {nil, 2, []string{"p-0-0", "p-0-1"}},
		"response cut": {
			[]Rule{{Times: 1, Do: Action{Fault: FaultResetAfter, Apply: true}}}, 2, nil,
		},
		"response replaced by a gateway": {
			[]Rule{{Times: 1, Do: Action{Fault: FaultStatus, Code: 502, Apply: true}}}, 2, nil,
		},
		"response without one of the items": {
			[]Rule{{Times: 1, When: acr1, Do: Action{Fault: FaultDropItems}}}, 2, []string{"p-0-0"},
		},
		"response with one of the items twice": {
			[]Rule{{Times: 1, When: acr1, Do: Action{Fault: FaultRepeatItems}}}, 2, []string{"p-0-0"},
		},
		"cut twice, then confirmed": {[]Rule{{Times: 2, Do: Action{Fault: FaultEmptyBody, Apply: true}}}, 3, nil},
		"confirmed, sent again and cut": {
			[]Rule{{When: When{AfterCalls: 1}, Do: Action{Fault: FaultResetAfter, Apply: true}}}, 2,
			[]string{"p-0-0", "p-0-1"},
		},
		"cut, confirmed, then sent again": {
			[]Rule{{Times: 1, Do: Action{Fault: FaultResetAfter, Apply: true}}}, 3, []string{"p-0-0", "p-0-1"},
		},
		"refused, then sent again": {[]Rule{{Times: 1, Do: Action{Fault: FaultRefuseBatch}}}, 2, nil},
		"one refused, then all sent again": {
			[]Rule{{Times: 1, When: acr1, Do: Action{Fault: FaultRefuseItem}}}, 2, []string{"p-0-0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range c.rules {
				c.rules[i].Name, c.rules[i].Operation = fmt.Sprint("r", i), "crmcom.purchases"
			}
			server := newScriptedServer(t, Options{}, c.rules...)
			token := loginCRM(t, server)
			for range c.calls {
				postCRMItems(t, server, "purchases", token, purchaseItems(2)...)
			}
			checkUnexplained(t, server, c.want)
		})
	}
}

func checkUnexplained(t *testing.T, server *Server, want []string) {
	t.Helper()
	var got []string
	for _, entry := range server.Ledger().Unexplained("crmcom.purchases") {
		got = append(got, entry.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("unexplained: got %v, want %v", got, want)
	}
}

// Two calls carry the same item at the same time and both are confirmed, which explains neither.
func TestItemSentInTwoConcurrentCallsIsUnexplained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := New(Options{Latency: Latency{Fixed: time.Second}})
		token := loginCRM(t, server)
		done := make(chan struct{})
		go func() {
			defer close(done)
			postCRMItems(t, server, "purchases", token, purchaseItems(1)...)
		}()
		postCRMItems(t, server, "purchases", token, purchaseItems(1)...)
		<-done
		checkUnexplained(t, server, []string{"p-0-0"})
	})
}

// AllEntries copies the entries in chunks, and must neither skip nor repeat any.
func TestAllEntriesYieldsEachEntryOnceInOrder(t *testing.T) {
	const count = 2*entryChunk + 1
	server := New(Options{})
	items := purchaseItems(count)
	postCRMItems(t, server, "purchases", loginCRM(t, server), items...)
	entries := server.Ledger().AllEntries("crmcom.purchases")
	postCRMItems(t, server, "purchases", loginCRM(t, server), items[0])
	index := 0
	for entry := range entries {
		if want := fmt.Sprint("p-0-", index); entry.ID != want {
			t.Fatalf("entry %d: got %s, want %s", index, entry.ID, want)
		}
		index++
	}
	if index != count {
		t.Errorf("got %d entries, want the %d at the time of the call", index, count)
	}
	for range entries {
		break // stopping early must not panic
	}
}
