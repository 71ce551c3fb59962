package sandbox

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// Each row sends two purchases, with a rule that concerns either ACR1 or the call as a whole.
var (
	whenACR1  = When{Items: Items{Field: "accounts_receivable_identifier.number", Prefix: "ACR1"}}
	bothItems = []string{"p-0-0", "p-0-1"}
)

var faultTests = []struct {
	name     string
	when     When
	do       Action
	status   int
	header   string // "Name: value"
	has, not string
	accepted []string
}{
	{
		"status", When{}, Action{Fault: FaultStatus, Code: 503, RetryAfter: 2 * time.Second, Body: "later"}, 503,
		"Retry-After: 2", "later", "", nil,
	},
	{"status after applying", When{}, Action{Fault: FaultStatus, Code: 502, Apply: true}, 502, "", "", "OK", bothItems},
	{"status for an item", whenACR1, Action{Fault: FaultStatus, Code: 500}, 500, "", "", "", nil},
	{"too large", When{}, Action{Fault: FaultTooLarge}, 413, "", "", "", nil},
	{
		"redirect", When{}, Action{Fault: FaultRedirect, Location: "https://example.com/x"}, 307,
		"Location: https://example.com/x", "", "", nil,
	},
	{"reset before", When{}, Action{Fault: FaultResetBefore}, 0, "", "", "", nil},
	{"reset after", When{}, Action{Fault: FaultResetAfter}, 0, "", "", "", nil},
	{"reset after applying", When{}, Action{Fault: FaultResetAfter, Apply: true}, 0, "", "", "", bothItems},
	{"garbage", When{}, Action{Fault: FaultGarbageBody}, 200, "", `{"data": {`, "OK", nil},
	{
		"garbage of the script", When{}, Action{Fault: FaultGarbageBody, Body: "<html>", Apply: true}, 200, "",
		"<html>",
		"OK", bothItems,
	},
	{"empty", When{}, Action{Fault: FaultEmptyBody, Apply: true}, 200, "", "", "OK", bothItems},
	{
		"refused batch", When{}, Action{Fault: FaultRefuseBatch, ErrorCode: "XException", Description: "why"}, 200,
		"", `"code":"XException","description":"why"`, "", nil,
	},
	{"refused batch for an item", whenACR1, Action{Fault: FaultRefuseBatch}, 200, "", crmInvalidParameter, "", nil},
	{
		"refused item", whenACR1, Action{Fault: FaultRefuseItem, ErrorCode: "YException"}, 200, "",
		`"error_code":"YException"`, "", bothItems[:1],
	},
	{"refused item by default", whenACR1, Action{Fault: FaultRefuseItem}, 200, "", crmNotFound, "", bothItems[:1]},
	{"dropped item", whenACR1, Action{Fault: FaultDropItems}, 200, "", "p-0-0", "p-0-1", bothItems},
	{"dropped last", When{}, Action{Fault: FaultDropItems}, 200, "", "p-0-0", "p-0-1", bothItems},
	{"dropped all", When{}, Action{Fault: FaultDropItems, Count: 5}, 200, "", "OK", "p-0-", bothItems},
	{
		"repeated item", whenACR1, Action{Fault: FaultRepeatItems}, 200, "",
		`"request_unique_identifier":"p-0-1"},{`, "", bothItems,
	},
	{"extra item", When{}, Action{Fault: FaultExtraItems, Count: 2}, 200, "", "extra-1", "extra-2", bothItems},
	{"expired tokens", When{}, Action{Fault: FaultExpireTokens}, 200, "", crmInvalidToken, "", nil},
}

func TestEachFaultTakesEffectAndIsCounted(t *testing.T) {
	for _, tt := range faultTests {
		t.Run(tt.name, func(t *testing.T) {
			server := newScriptedServer(t, Options{}, Rule{
				Name: "r", Operation: "crmcom.purchases", When: tt.when, Times: 1, Do: tt.do,
			})
			token := loginCRM(t, server)
			resp := postCRMItems(t, server, "purchases", token, purchaseItems(2)...)
			if resp.status != tt.status || !strings.Contains(resp.body, tt.has) ||
				tt.not != "" && strings.Contains(resp.body, tt.not) {
				t.Errorf("got %d %s, want %d with %q and without %q", resp.status, resp.body, tt.status, tt.has, tt.not)
			}
			if name, value, ok := strings.Cut(tt.header, ": "); ok && resp.header.Get(name) != value {
				t.Errorf("header %s: got %q, want %q", name, resp.header.Get(name), value)
			}
			if got := acceptedIDs(server, "crmcom.purchases"); !slices.Equal(got, tt.accepted) {
				t.Errorf("accepted: got %v, want %v", got, tt.accepted)
			}
			if server.Faults()["r"] != 1 {
				t.Errorf("got faults %v, want r to have fired once", server.Faults())
			}
			if resp = postCRMItems(
				t, server, "purchases", loginCRM(t, server), purchaseItems(2)...,
			); !strings.Contains(resp.body, `"code":"OK"`) || server.Faults()["r"] != 1 {
				t.Errorf("second call: got %d %s and faults %v, want no fault", resp.status, resp.body, server.Faults())
			}
		})
	}
}

func TestRefusedItemMakesExpointsRefuseTheBatchByName(t *testing.T) {
	rule := Rule{Name: "r", When: When{Items: Items{Field: "Email", Prefix: "b@"}}, Times: 1}
	tests := map[string]Action{
		`{"Message":"The request is invalid.","ModelState":{"request.Customers[1]":["no"]}}`: {
			Fault: FaultRefuseItem, Description: "no",
		},
		`{"Message":"The request is invalid.","ModelState":{"request.Customers[1]":["why"]}}`: {
			Fault: FaultRefuseBatch, Description: "why", Named: true,
		},
		`{"Message":"unnamed"}`: {Fault: FaultRefuseBatch, Description: "unnamed"},
	}
	for want, do := range tests {
		rule.Do = do
		server := newScriptedServer(t, Options{Expoints: ExpointsOptions{Columns: testColumns}}, rule)
		resp := postWithLogin(t, server, Expoints, expointsPath("add"), customerBatch(feedbackItem, otherFeedbackItem))
		if resp.status != http.StatusBadRequest || resp.body != want || server.Ledger().Count("expoints.add") != 0 ||
			server.Faults()["r"] != 1 {
			t.Errorf("got %d %s, want 400 %s; faults %v", resp.status, resp.body, want, server.Faults())
		}
		if stats := server.Ledger().Calls("expoints.add"); stats.Refused != 2 || stats.Accepted != 0 {
			t.Errorf("got stats %+v, want 2 refused items and none accepted", stats)
		}
	}
}

func TestPropelReportsItemFaults(t *testing.T) {
	second := withChanges(customerItem, fields{"sourceId": "K73"})
	rule := Rule{Name: "r", When: When{Items: Items{Field: "sourceId", Prefix: "K73"}}}
	tests := []struct {
		do       Action
		status   int
		has      string
		accepted int
	}{
		{
			Action{Fault: FaultRefuseItem, Description: "locked"}, 200,
			`"error":"locked","key":"K73","lookupKey":"sourceId","success":false}`, 1,
		},
		{Action{Fault: FaultRefuseBatch, Description: "bad", Named: true}, 400, `"messages":["#/customers/1: bad"]`, 0},
		{Action{Fault: FaultRefuseBatch, ErrorCode: "10007"}, 400, `"type":"SchemaValidationException"`, 0},
		{Action{Fault: FaultDropItems}, 200, `"key":"K72","lookupKey":"sourceId","success":true}]`, 2},
		{
			Action{Fault: FaultRepeatItems}, 200,
			`"key":"K73","lookupKey":"sourceId","success":true},{"action":"create","id":25495,"key":"K73"`, 2,
		},
		{Action{Fault: FaultExtraItems}, 200, `"key":"extra-0"`, 2},
	}
	for _, tt := range tests {
		rule.Do = tt.do
		server := newScriptedServer(t, Options{}, rule)
		resp := postWithLogin(t, server, Propel, propelPath, `{"customers":[`+customerItem+`,`+second+`]}`)
		if resp.status != tt.status || !strings.Contains(resp.body, tt.has) ||
			server.Ledger().Count("propel.customers") != tt.accepted || server.Faults()["r"] != 1 {
			t.Errorf(
				"%s: got %d %s, accepted %d, fired %v", tt.do.Fault, resp.status, resp.body,
				server.Ledger().Count("propel.customers"), server.Faults(),
			)
		}
	}
}

// Otherwise a test could rely on a fault that never had an effect.
func TestFaultWithoutEffectIsNotCounted(t *testing.T) {
	server := newScriptedServer(t, Options{Expoints: ExpointsOptions{Columns: testColumns}},
		Rule{Name: "drop", Operation: "expoints", Do: Action{Fault: FaultDropItems}},
		Rule{
			Name: "ended", Operation: "propel", When: When{Items: Items{Field: "source"}},
			Do: Action{Fault: FaultStatus, Code: 500},
		},
		Rule{
			Name: "late", Operation: "propel", When: When{Items: Items{Field: "source"}},
			Do: Action{Fault: FaultRefuseItem},
		},
		Rule{Name: "other", Operation: "crmcom", Do: Action{Fault: FaultTooLarge}},
		Rule{Name: "miss", When: When{Items: Items{Field: "Email", Prefix: "z"}}, Do: Action{Fault: FaultRefuseItem}},
		Rule{Name: "first", Operation: "expoints.addlock", Do: Action{Fault: FaultTooLarge}},
		Rule{Name: "second", Operation: "expoints.addlock", Do: Action{Fault: FaultEmptyBody}},
	)
	if resp := postWithLogin(
		t, server, Expoints, expointsPath("add"), customerBatch(feedbackItem),
	); resp.status != http.StatusOK {
		t.Fatalf("got %d %s, want 200", resp.status, resp.body)
	}
	postWithLogin(t, server, Expoints, expointsPath("addlock"), `{}`)
	postWithLogin(t, server, Propel, propelPath, `{"customers":[`+customerItem+`]}`)
	want := map[string]int{"late": 0, "ended": 1, "drop": 0, "other": 0, "miss": 0, "first": 1, "second": 0}
	if got := server.Faults(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// This test needs a network, since the client must not see any response.
func TestResetFaultsCloseTheConnection(t *testing.T) {
	s := newScriptedServer(t, Options{},
		Rule{Name: "before", Operation: "propel.token", Times: 1, Do: Action{Fault: FaultResetBefore}},
		Rule{Name: "after", Operation: "propel.token", Times: 1, Do: Action{Fault: FaultResetAfter}})
	server := httptest.NewServer(s.Handler(Propel))
	defer server.Close()
	for _, name := range []string{"before", "after"} {
		resp, err := server.Client().Post(server.URL+PropelTokenPath, formMedia, strings.NewReader(grantForm))
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s: got status %d, want no response", name, resp.StatusCode)
		}
		if s.Faults()[name] != 1 {
			t.Errorf("got faults %v, want %s to have fired once", s.Faults(), name)
		}
	}
	resp, err := server.Client().Post(server.URL+PropelTokenPath, formMedia, strings.NewReader(grantForm))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("third call: got %d and error %v, want 200", resp.StatusCode, err)
	}
}
