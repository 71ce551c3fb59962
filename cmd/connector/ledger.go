package main

import (
	"encoding/json"
	"net/http"

	"sluice/internal/demo/sandbox"
)

// ledger is what /ledger of the sandbox answers.
type ledger struct {
	// Operations are those that were called, logins among them.
	Operations map[string]ledgerLine `json:"operations"`
	// Faults counts by rule of the script how often it fired.
	Faults map[string]int `json:"faults"`
}

// ledgerLine counts calls, and items for the rest.
type ledgerLine struct {
	Calls      int `json:"calls"`
	Items      int `json:"items"`
	Accepted   int `json:"accepted"`
	Duplicates int `json:"duplicates"` // of the accepted
	Refused    int `json:"refused"`
}

func writeLedger(w http.ResponseWriter, server *sandbox.Server) {
	l := ledger{Operations: map[string]ledgerLine{}, Faults: server.Faults()}
	for _, name := range sandbox.Operations() {
		calls := server.Ledger().Calls(name)
		if calls.Calls == 0 {
			continue
		}
		l.Operations[name] = ledgerLine{
			Calls: calls.Calls, Items: calls.Items, Accepted: calls.Accepted, Refused: calls.Refused, Duplicates: server.Ledger().Duplicates(name),
		}
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(l) // a client that left is its own matter
}
