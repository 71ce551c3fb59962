package main

import (
	"encoding/json"
	"net/http"

	"sluice/internal/demo/sandbox"
)

// ledgerResponse is the JSON that the sandbox serves at /ledger.
type ledgerResponse struct {
	// Operations has the operations that were called, including logins.
	Operations map[string]ledgerEntry `json:"operations"`
	// Faults counts how often each rule of the script fired.
	Faults map[string]int `json:"faults"`
}

// ledgerEntry counts the calls of an operation and their items.
type ledgerEntry struct {
	Calls      int `json:"calls"`
	Items      int `json:"items"`
	Accepted   int `json:"accepted"`
	Duplicates int `json:"duplicates"` // among the accepted items
	Refused    int `json:"refused"`
}

func writeLedger(w http.ResponseWriter, server *sandbox.Server) {
	response := ledgerResponse{Operations: map[string]ledgerEntry{}, Faults: server.Faults()}
	for _, name := range sandbox.Operations() {
		calls := server.Ledger().Calls(name)
		if calls.Calls == 0 {
			continue
		}
		response.Operations[name] = ledgerEntry{
			Calls: calls.Calls, Items: calls.Items, Accepted: calls.Accepted, Refused: calls.Refused, Duplicates: server.Ledger().Duplicates(name),
		}
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(response) // the client of a broken connection cannot be told
}
