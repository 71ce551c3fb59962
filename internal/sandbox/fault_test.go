package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a server with rules, which must be valid.
func scripted(t testing.TB, o Options, rules ...Rule) *Server {
	t.Helper()
	script, err := NewScript(rules...)
	if err != nil {
		t.Fatal(err)
	}
	o.Script = script
	return New(o)
}

// purchases are n items with the ids p-0-0, p-0-1, ... and the accounts ACR0, ACR1, ...
func purchases(t testing.TB, n int) []string {
	items := make([]string, n)
	for i := range items {
		items[i] = with(t, purchaseItem, fields{
			"request_unique_identifier":      fmt.Sprint("p-0-", i),
			"accounts_receivable_identifier": fields{"number": fmt.Sprint("ACR", i)},
		})
	}
	return items
}

func accepted(s *Server, operation string) []string {
	var ids []string
	for e := range s.Ledger().All(operation) {
		ids = append(ids, e.ID)
	}
	return ids
}

// TestEachFaultShowsAndIsCounted sends two purchases, with rules that speak of ACR1 or of the call.
func TestEachFaultShowsAndIsCounted(t *testing.T) {
	acr1 := When{Items: Items{Field: "accounts_receivable_identifier.number", Prefix: "ACR1"}}
	both, none := []string{"p-0-0", "p-0-1"}, []string(nil)
	tests := []struct {
		name     string
		when     When
		do       Action
		status   int
		header   string // "Name: value"
		has, not string
		accepted []string
	}{
		{"status", When{}, Action{Fault: FaultStatus, Code: 503, RetryAfter: 2 * time.Second, Body: "later"}, 503, "Retry-After: 2", "later", "", none},
		{"status after it acted", When{}, Action{Fault: FaultStatus, Code: 502, Apply: true}, 502, "", "", "OK", both},
		{"status for an item", acr1, Action{Fault: FaultStatus, Code: 500}, 500, "", "", "", none},
		{"too large", When{}, Action{Fault: FaultTooLarge}, 413, "", "", "", none},
		{"redirect", When{}, Action{Fault: FaultRedirect, Location: "https://example.com/x"}, 307, "Location: https://example.com/x", "", "", none},
		{"reset before", When{}, Action{Fault: FaultResetBefore}, 0, "", "", "", none},
		{"reset after", When{}, Action{Fault: FaultResetAfter}, 0, "", "", "", none},
		{"reset after it acted", When{}, Action{Fault: FaultResetAfter, Apply: true}, 0, "", "", "", both},
		{"garbage", When{}, Action{Fault: FaultGarbageBody}, 200, "", `{"data": {`, "OK", none},
		{"own garbage", When{}, Action{Fault: FaultGarbageBody, Body: "<html>", Apply: true}, 200, "", "<html>", "OK", both},
		{"empty", When{}, Action{Fault: FaultEmptyBody, Apply: true}, 200, "", "", "OK", both},
		{"refused batch", When{}, Action{Fault: FaultRefuseBatch, ErrorCode: "XException", Description: "why"}, 200, "", `"code":"XException","description":"why"`, "", none},
		{"refused batch for an item", acr1, Action{Fault: FaultRefuseBatch}, 200, "", crmInvalidParameter, "", none},
		{"refused item", acr1, Action{Fault: FaultRefuseItem, ErrorCode: "YException"}, 200, "", `"error_code":"YException"`, "", both[:1]},
		{"refused item by default", acr1, Action{Fault: FaultRefuseItem}, 200, "", crmNotFound, "", both[:1]},
		{"dropped item", acr1, Action{Fault: FaultDropItems}, 200, "", "p-0-0", "p-0-1", both},
		{"dropped last", When{}, Action{Fault: FaultDropItems}, 200, "", "p-0-0", "p-0-1", both},
		{"dropped all", When{}, Action{Fault: FaultDropItems, Count: 5}, 200, "", "OK", "p-0-", both},
		{"extra item", When{}, Action{Fault: FaultExtraItems, Count: 2}, 200, "", "extra-1", "extra-2", both},
		{"expired tokens", When{}, Action{Fault: FaultExpireTokens}, 200, "", crmInvalidToken, "", none},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := scripted(t, Options{}, Rule{Name: "r", Operation: "crmcom.purchases", When: tt.when, Times: 1, Do: tt.do})
			token := crmToken(t, s)
			a := crm(t, s, "purchases", token, purchases(t, 2)...)
			if a.status != tt.status || !strings.Contains(a.body, tt.has) || tt.not != "" && strings.Contains(a.body, tt.not) {
				t.Errorf("got %d %s", a.status, a.body)
			}
			if name, value, ok := strings.Cut(tt.header, ": "); ok && a.header.Get(name) != value {
				t.Errorf("header %s is %q, want %q", name, a.header.Get(name), value)
			}
			if got := accepted(s, "crmcom.purchases"); !slices.Equal(got, tt.accepted) {
				t.Errorf("accepted %v, want %v", got, tt.accepted)
			}
			if s.Faults()["r"] != 1 {
				t.Errorf("fired %v", s.Faults())
			}
			if a = crm(t, s, "purchases", crmToken(t, s), purchases(t, 2)...); !strings.Contains(a.body, `"code":"OK"`) || s.Faults()["r"] != 1 {
				t.Errorf("the second call fares no better: %d %s, fired %v", a.status, a.body, s.Faults())
			}
		})
	}
}

func TestARefusedItemRefusesExpointsBatchByName(t *testing.T) {
	rule := Rule{Name: "r", When: When{Items: Items{Field: "Email", Prefix: "b@"}}, Times: 1}
	tests := map[string]Action{
		`{"Message":"The request is invalid.","ModelState":{"request.Customers[1]":["no"]}}`:  {Fault: FaultRefuseItem, Description: "no"},
		`{"Message":"The request is invalid.","ModelState":{"request.Customers[1]":["why"]}}`: {Fault: FaultRefuseBatch, Description: "why", Named: true},
		`{"Message":"unnamed"}`: {Fault: FaultRefuseBatch, Description: "unnamed"},
	}
	for want, do := range tests {
		rule.Do = do
		s := scripted(t, Options{Expoints: ExpointsOptions{Columns: columns}}, rule)
		a := send(t, s, Expoints, expointsPath("add"), batch(feedbackItem, other))
		if a.status != http.StatusBadRequest || a.body != want || s.Ledger().Count("expoints.add") != 0 || s.Faults()["r"] != 1 {
			t.Errorf("got %d %s, want %s; fired %v", a.status, a.body, want, s.Faults())
		}
		if stats := s.Ledger().Calls("expoints.add"); stats.Refused != 2 || stats.Accepted != 0 {
			t.Errorf("stats %+v", stats)
		}
	}
}

func TestPropelShowsItemFaults(t *testing.T) {
	second := with(t, customerItem, fields{"sourceId": "K73"})
	rule := Rule{Name: "r", When: When{Items: Items{Field: "sourceId", Prefix: "K73"}}}
	tests := []struct {
		do       Action
		status   int
		has      string
		accepted int
	}{
		{Action{Fault: FaultRefuseItem, Description: "locked"}, 200, `"error":"locked","key":"K73","lookupKey":"sourceId","success":false}`, 1},
		{Action{Fault: FaultRefuseBatch, Description: "bad", Named: true}, 400, `"messages":["#/customers/1: bad"]`, 0},
		{Action{Fault: FaultRefuseBatch, ErrorCode: "10007"}, 400, `"type":"SchemaValidationException"`, 0},
		{Action{Fault: FaultDropItems}, 200, `"key":"K72","lookupKey":"sourceId","success":true}]`, 2},
		{Action{Fault: FaultExtraItems}, 200, `"key":"extra-0"`, 2},
	}
	for _, tt := range tests {
		rule.Do = tt.do
		s := scripted(t, Options{}, rule)
		a := send(t, s, Propel, propelPath, `{"customers":[`+customerItem+`,`+second+`]}`)
		if a.status != tt.status || !strings.Contains(a.body, tt.has) || s.Ledger().Count("propel.customers") != tt.accepted || s.Faults()["r"] != 1 {
			t.Errorf("%s: got %d %s, accepted %d, fired %v", tt.do.Fault, a.status, a.body, s.Ledger().Count("propel.customers"), s.Faults())
		}
	}
}

// TestAFaultThatCannotActIsNotCounted keeps a test from believing in a fault that never showed.
func TestAFaultThatCannotActIsNotCounted(t *testing.T) {
	s := scripted(t, Options{Expoints: ExpointsOptions{Columns: columns}},
		Rule{Name: "drop", Operation: "expoints", Do: Action{Fault: FaultDropItems}},
		Rule{Name: "other", Operation: "propel", Do: Action{Fault: FaultTooLarge}},
		Rule{Name: "miss", When: When{Items: Items{Field: "Email", Prefix: "z"}}, Do: Action{Fault: FaultRefuseItem}},
		Rule{Name: "first", Operation: "expoints.addlock", Do: Action{Fault: FaultTooLarge}},
		Rule{Name: "second", Operation: "expoints.addlock", Do: Action{Fault: FaultEmptyBody}},
	)
	if a := send(t, s, Expoints, expointsPath("add"), batch(feedbackItem)); a.status != http.StatusOK {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	send(t, s, Expoints, expointsPath("addlock"), `{}`)
	want := map[string]int{"drop": 0, "other": 0, "miss": 0, "first": 1, "second": 0}
	if got := s.Faults(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

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
		s := scripted(t, Options{}, tt.rule)
		token, got := crmToken(t, s), ""
		for range 9 {
			crm(t, s, "web", token, activity)
			if crm(t, s, "purchases", token, purchaseItem).status == http.StatusRequestEntityTooLarge {
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
	items := purchases(t, 30)
	var all []string
	for remainder := range uint32(3) {
		s := scripted(t, Options{}, rule(remainder))
		token := crmToken(t, s)
		crm(t, s, "purchases", token, items...)
		once := accepted(s, "crmcom.purchases")
		crm(t, s, "purchases", token, items...)
		if twice := accepted(s, "crmcom.purchases"); !slices.Equal(twice, append(slices.Clone(once), once...)) {
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
		s := scripted(t, Options{}, Rule{Name: "down", Operation: "crmcom.web",
			When: When{From: time.Minute, Until: 2 * time.Minute}, Do: Action{Fault: FaultStatus, Code: 503, RetryAfter: time.Minute, RetryAfterDate: true}})
		token := crmToken(t, s)
		item := with(t, activity, fields{"website": "w", "classification_identifier": absent})
		for _, step := range []struct {
			wait time.Duration
			want int
		}{{0, 200}, {time.Minute, 503}, {time.Minute - 1, 503}, {1, 200}} {
			time.Sleep(step.wait)
			a := crm(t, s, "web", token, item)
			if a.status != step.want {
				t.Errorf("at %s: got %d, want %d", time.Since(s.start), a.status, step.want)
			}
			if at, err := http.ParseTime(a.header.Get("Retry-After")); a.status == 503 && (err != nil || !at.Equal(time.Now().Add(time.Minute).Truncate(time.Second))) {
				t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
			}
		}
	})
}

func TestTokensEndAtTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{CRMCOM: CRMCOMOptions{TokenTTL: time.Hour}})
		token, later := crmToken(t, s), crmToken(t, s)
		time.Sleep(time.Hour - 1)
		if a := crm(t, s, "purchases", token, purchaseItem); !strings.Contains(a.body, `"code":"OK"`) {
			t.Errorf("before its end: %s", a.body)
		}
		time.Sleep(1)
		for _, token := range []string{token, later} {
			if a := crm(t, s, "purchases", token, purchaseItem); !strings.Contains(a.body, crmInvalidToken) {
				t.Errorf("at its end: %s", a.body)
			}
		}
	})
}

func TestLatencyIsExactAndSeeded(t *testing.T) {
	waits := func(seed uint64) (ds []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			s := scripted(t, Options{Latency: Latency{Fixed: time.Second, Jitter: time.Second, Seed: seed}},
				Rule{Name: "slow", When: When{Every: 2}, Do: Action{Fault: FaultLatency, Delay: time.Minute}})
			for i := range 4 {
				start := time.Now()
				do(s.Handler(Propel), post(propelPath, jsonMedia, ""))
				d := time.Since(start) - time.Duration(i%2)*time.Minute
				if d < time.Second || d >= 2*time.Second {
					t.Errorf("call %d took %s", i, d)
				}
				ds = append(ds, d)
			}
		})
		return ds
	}
	if a, b := waits(1), waits(1); !slices.Equal(a, b) {
		t.Errorf("the same seed gives %v and %v", a, b)
	}
	if a, b := waits(1), waits(2); slices.Equal(a, b) {
		t.Errorf("two seeds give %v", a)
	}
}

func TestATimeoutGivesNoAnswerAndMayHaveActed(t *testing.T) {
	for _, apply := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := scripted(t, Options{}, Rule{Name: "r", Operation: "crmcom.purchases", Do: Action{Fault: FaultTimeout, Apply: apply}})
			token := crmToken(t, s)
			start := time.Now()
			if a := crm(t, s, "purchases", token, purchaseItem); a.status != 0 || time.Since(start) != hangAtMost {
				t.Errorf("got %d after %s", a.status, time.Since(start))
			}
			if got := s.Ledger().Count("crmcom.purchases") == 1; got != apply {
				t.Errorf("accepted: %t, want %t", got, apply)
			}
			if s.Ledger().Calls("crmcom.purchases").Failures[0] != 1 {
				t.Error("the call is not counted as closed")
			}
		})
	}
}

// pipeListener hands connections of net.Pipe to a server, so that both ends live in one bubble.
type pipeListener struct {
	conns  chan net.Conn
	closed context.Context
	cancel context.CancelFunc
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed.Done():
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Close() error   { l.cancel(); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// TestAClientThatGivesUpEndsTheWait serves a vendor in a bubble, over connections in memory.
func TestAClientThatGivesUpEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(t, Options{}, Rule{Name: "r", Times: 1, Do: Action{Fault: FaultTimeout}})
		l := &pipeListener{conns: make(chan net.Conn)}
		l.closed, l.cancel = context.WithCancel(t.Context())
		server := &http.Server{Handler: s.Handler(Propel)}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(l) })
		transport := &http.Transport{DialContext: l.dial}
		client := &http.Client{Transport: transport, Timeout: 3 * time.Second}

		start := time.Now()
		_, err := client.Post("http://propel"+PropelTokenPath, formMedia, strings.NewReader(grantForm))
		if err == nil || time.Since(start) != 3*time.Second {
			t.Errorf("got %v after %s", err, time.Since(start))
		}
		resp, err := client.Post("http://propel"+PropelTokenPath, formMedia, strings.NewReader(grantForm))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("then %d", resp.StatusCode)
		}
		transport.CloseIdleConnections()
		if err := server.Shutdown(t.Context()); err != nil || time.Since(start) >= hangAtMost {
			t.Errorf("stopping: %v after %s", err, time.Since(start))
		}
		serving.Wait()
	})
}

// TestResetsCloseTheConnection needs a network: the client must see no answer at all.
func TestResetsCloseTheConnection(t *testing.T) {
	s := scripted(t, Options{},
		Rule{Name: "before", Operation: "propel.token", Times: 1, Do: Action{Fault: FaultResetBefore}},
		Rule{Name: "after", Operation: "propel.token", Times: 1, Do: Action{Fault: FaultResetAfter}})
	server := httptest.NewServer(s.Handler(Propel))
	defer server.Close()
	for _, name := range []string{"before", "after"} {
		resp, err := server.Client().Post(server.URL+PropelTokenPath, formMedia, strings.NewReader(grantForm))
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s: got %d", name, resp.StatusCode)
		}
		if s.Faults()[name] != 1 {
			t.Errorf("fired %v", s.Faults())
		}
	}
	resp, err := server.Client().Post(server.URL+PropelTokenPath, formMedia, strings.NewReader(grantForm))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("then %d, %v", resp.StatusCode, err)
	}
}

func TestConcurrentCallsAreAllAccounted(t *testing.T) {
	const callers, calls, items = 8, 20, 5
	var hooked sync.Map
	s := scripted(t, Options{OnAccept: func(e Entry) { hooked.Store(e.ID, true) }},
		Rule{Name: "busy", Operation: "crmcom.purchases", When: When{Every: 7}, Do: Action{Fault: FaultStatus, Code: 503}},
		Rule{Name: "missing", When: When{Items: Items{Field: "accounts_receivable_identifier.number", Modulus: 5}}, Do: Action{Fault: FaultRefuseItem}})
	token := crmToken(t, s)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for call := range calls {
				batch := make([]string, items)
				for i := range batch {
					id := fmt.Sprintf("%d-%d-%d", caller, call, i)
					batch[i] = with(t, purchaseItem, fields{"request_unique_identifier": id, "accounts_receivable_identifier": fields{"id": id}})
				}
				crm(t, s, "purchases", token, batch...)
				s.Faults()
				s.Ledger().Duplicates("crmcom.purchases")
			}
		})
	}
	wg.Wait()
	stats := s.Ledger().Calls("crmcom.purchases")
	failed := stats.Failures[503]
	if stats.Calls != callers*calls || failed != callers*calls/7 || s.Faults()["busy"] != failed {
		t.Errorf("stats %+v, faults %v", stats, s.Faults())
	}
	if stats.Accepted != (callers*calls-failed)*items || s.Ledger().Count("crmcom.purchases") != stats.Accepted {
		t.Errorf("stats %+v, ledger %d", stats, s.Ledger().Count("crmcom.purchases"))
	}
	n := 0
	hooked.Range(func(any, any) bool { n++; return true })
	if n != stats.Accepted {
		t.Errorf("the hook saw %d, want %d", n, stats.Accepted)
	}
}

func TestTheLedgerTellsDuplicatesFromUpdates(t *testing.T) {
	s := New(Options{KeepBodies: true, Expoints: ExpointsOptions{Columns: columns}})
	token := crmToken(t, s)
	crm(t, s, "purchases", token, purchases(t, 2)...)
	crm(t, s, "purchases", token, purchases(t, 1)...)
	entries := s.Ledger().Accepted("crmcom.purchases")
	if n := s.Ledger().Duplicates("crmcom.purchases"); n != 1 || entries[0].Times != 1 || entries[2].Times != 2 {
		t.Errorf("%d duplicates in %+v", n, entries)
	}
	if entries[0].Hash != entries[2].Hash || entries[0].Hash == entries[1].Hash || !json.Valid(entries[0].Body) {
		t.Errorf("hashes or bodies of %+v", entries)
	}
	for _, name := range []string{"A", "B", "A"} {
		send(t, s, Propel, propelPath, `{"customers":[`+with(t, customerItem, fields{"firstName": name})+`]}`)
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

func TestAScriptErrorIsFoundByItsType(t *testing.T) {
	_, err := NewScript(Rule{})
	if target := new(ScriptError); !errors.As(err, &target) || len(target.Faults) == 0 {
		t.Errorf("got %v", err)
	}
}
