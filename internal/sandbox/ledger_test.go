package sandbox

import (
	"encoding/json"
	"fmt"
	"testing"
)

func TestTheLedgerTellsDuplicatesFromUpdates(t *testing.T) {
	s := New(Options{KeepBodies: true, Expoints: ExpointsOptions{Columns: columns}})
	token := crmToken(t, s)
	crm(t, s, "purchases", token, purchases(2)...)
	crm(t, s, "purchases", token, purchases(1)...)
	entries := s.Ledger().Accepted("crmcom.purchases")
	if n := s.Ledger().Duplicates("crmcom.purchases"); n != 1 || entries[0].Times != 1 || entries[2].Times != 2 {
		t.Errorf("%d duplicates in %+v", n, entries)
	}
	if entries[0].Hash != entries[2].Hash || entries[0].Hash == entries[1].Hash || !json.Valid(entries[0].Body) {
		t.Errorf("hashes or bodies of %+v", entries)
	}
	for _, name := range []string{"A", "B", "A"} {
		send(t, s, Propel, propelPath, `{"customers":[`+with(customerItem, fields{"firstName": name})+`]}`)
	}
	if n := s.Ledger().Duplicates("propel.customers"); n != 1 {
		t.Errorf("Propel: %d duplicates, want 1: two states, one of them twice", n)
	}
	send(t, s, Expoints, expointsPath("add"), batch(feedbackItem, other))
	send(t, s, Expoints, expointsPath("add"), batch(other))
	if n := s.Ledger().Duplicates("expoints.add"); n != 1 {
		t.Errorf("Expoints without event id: %d duplicates, want 1", n)
	}
	want := CallStats{Calls: 2, Items: 3, MaxItems: 2, Accepted: 3, Failures: map[int]int{}}
	if got := s.Ledger().Calls("crmcom.purchases"); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v", got)
	}
}
