package sandbox

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLatencyIsExactAndSeeded(t *testing.T) {
	waits := func(seed uint64) (ds []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			s := newScriptedServer(t, Options{Latency: Latency{Fixed: time.Second, Jitter: time.Second, Seed: seed}},
				Rule{Name: "slow", When: When{Every: 2}, Do: Action{Fault: FaultLatency, Delay: time.Minute}})
			for i := range 4 {
				start := time.Now()
				serveRequest(s.Handler(Propel), newPost(propelPath, jsonMedia, ""))
				delay := time.Since(start) - time.Duration(i%2)*time.Minute
				if delay < time.Second || delay >= 2*time.Second {
					t.Errorf("call %d took %s", i, delay)
				}
				ds = append(ds, delay)
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
			s := newScriptedServer(t, Options{}, Rule{Name: "r", Operation: "crmcom.purchases", Do: Action{Fault: FaultTimeout, Apply: apply}})
			token := loginCRM(t, s)
			start := time.Now()
			if resp := postCRMItems(t, s, "purchases", token, purchaseItem); resp.status != 0 || time.Since(start) != maxHang {
				t.Errorf("got %d after %s", resp.status, time.Since(start))
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
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed.Done():
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) dialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Close() error { l.cancel(); return nil }

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// TestAClientThatGivesUpEndsTheWait serves a vendor in a bubble, over connections in memory.
func TestAClientThatGivesUpEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScriptedServer(t, Options{}, Rule{Name: "r", Times: 1, Do: Action{Fault: FaultTimeout}})
		listener := &pipeListener{conns: make(chan net.Conn)}
		listener.closed, listener.cancel = context.WithCancel(t.Context())
		server := &http.Server{Handler: s.Handler(Propel)}
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(listener) })
		transport := &http.Transport{DialContext: listener.dialContext}
		client := &http.Client{Transport: transport, Timeout: 3 * time.Second}

		start := time.Now()
		resp, err := client.Post("http://propel"+PropelTokenPath, formMedia, strings.NewReader(grantForm))
		if err == nil {
			resp.Body.Close()
		}
		if err == nil || time.Since(start) != 3*time.Second {
			t.Errorf("got %v after %s", err, time.Since(start))
		}
		resp, err = client.Post("http://propel"+PropelTokenPath, formMedia, strings.NewReader(grantForm))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("then %d", resp.StatusCode)
		}
		transport.CloseIdleConnections()
		if err := server.Shutdown(t.Context()); err != nil || time.Since(start) >= maxHang {
			t.Errorf("stopping: %v after %s", err, time.Since(start))
		}
		serving.Wait()
	})
}

func TestConcurrentCallsAreAllAccounted(t *testing.T) {
	const callers, calls, items = 8, 20, 5
	var hooked sync.Map
	s := newScriptedServer(t, Options{OnAccept: func(entry LedgerEntry) { hooked.Store(entry.ID, true) }},
		Rule{Name: "busy", Operation: "crmcom.purchases", When: When{Every: 7}, Do: Action{Fault: FaultStatus, Code: 503}},
		Rule{Name: "missing", When: When{Items: Items{Field: "accounts_receivable_identifier.number", Modulus: 5}}, Do: Action{Fault: FaultRefuseItem}})
	token := loginCRM(t, s)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for call := range calls {
				batch := make([]string, items)
				for i := range batch {
					id := fmt.Sprintf("%d-%d-%d", caller, call, i)
					batch[i] = withChanges(purchaseItem, fields{"request_unique_identifier": id, "accounts_receivable_identifier": fields{"id": id}})
				}
				postCRMItems(t, s, "purchases", token, batch...)
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
	count := 0
	hooked.Range(func(any, any) bool { count++; return true })
	if count != stats.Accepted {
		t.Errorf("the hook saw %d, want %d", count, stats.Accepted)
	}
}
