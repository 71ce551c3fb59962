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

func TestLatencyIsExactAndReproducible(t *testing.T) {
	drawLatencies := func(seed uint64) (delays []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			server := newScriptedServer(t, Options{Latency: Latency{Fixed: time.Second, Jitter: time.Second, Seed: seed}},
				Rule{Name: "slow", When: When{Every: 2}, Do: Action{Fault: FaultLatency, Delay: time.Minute}})
			for i := range 4 {
				start := time.Now()
				serveRequest(server.Handler(Propel), newPost(propelPath, jsonMedia, ""))
				delay := time.Since(start) - time.Duration(i%2)*time.Minute
				if delay < time.Second || delay >= 2*time.Second {
					t.Errorf("latency of call %d: got %s, want at least 1s and less than 2s", i, delay)
				}
				delays = append(delays, delay)
			}
		})
		return delays
	}
	if a, b := drawLatencies(1), drawLatencies(1); !slices.Equal(a, b) {
		t.Errorf("one seed: got %v and %v, want equal latencies", a, b)
	}
	if a, b := drawLatencies(1), drawLatencies(2); slices.Equal(a, b) {
		t.Errorf("two seeds: got %v twice, want different latencies", a)
	}
}

func TestTimeoutSendsNoResponseAndMayApplyTheCall(t *testing.T) {
	for _, apply := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			server := newScriptedServer(t, Options{}, Rule{
				Name: "r", Operation: "crmcom.purchases", Do: Action{Fault: FaultTimeout, Apply: apply},
			})
			token := loginCRM(t, server)
			start := time.Now()
			if resp := postCRMItems(t, server, "purchases", token, purchaseItem); resp.status != 0 ||
				time.Since(start) != maxHang {
				t.Errorf("got status %d after %s, want no response after %s", resp.status, time.Since(start), maxHang)
			}
			if got := server.Ledger().Count("crmcom.purchases") == 1; got != apply {
				t.Errorf("accepted: got %t, want %t", got, apply)
			}
			if server.Ledger().Calls("crmcom.purchases").Failures[0] != 1 {
				t.Error("the call is not counted as a connection closed without a response")
			}
		})
	}
}

// pipeListener hands the server ends of net.Pipe connections to a server, so that both ends belong
// to the same bubble.
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

// The vendor is served inside a bubble, over connections in memory.
func TestWaitEndsWhenTheClientDisconnects(t *testing.T) {
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
			t.Errorf("first call: got error %v after %s, want the client's timeout after 3s", err, time.Since(start))
		}
		resp, err = client.Post("http://propel"+PropelTokenPath, formMedia, strings.NewReader(grantForm))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("second call: got %d, want 200", resp.StatusCode)
		}
		transport.CloseIdleConnections()
		if err := server.Shutdown(t.Context()); err != nil || time.Since(start) >= maxHang {
			t.Errorf("shutdown: got %v after %s, want no error before %s", err, time.Since(start), maxHang)
		}
		serving.Wait()
	})
}

func TestConcurrentCallsAreAllCounted(t *testing.T) {
	const callers, calls, items = 8, 20, 5
	var hooked sync.Map
	server := newScriptedServer(t, Options{OnAccept: func(entry LedgerEntry) { hooked.Store(entry.ID, true) }},
		Rule{
			Name: "busy", Operation: "crmcom.purchases", When: When{Every: 7},
			Do: Action{Fault: FaultStatus, Code: 503},
		},
		Rule{
			Name: "missing", When: When{Items: Items{Field: "accounts_receivable_identifier.number", Modulus: 5}},
			Do: Action{Fault: FaultRefuseItem},
		})
	token := loginCRM(t, server)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for call := range calls {
				batch := make([]string, items)
				for i := range batch {
					id := fmt.Sprintf("%d-%d-%d", caller, call, i)
					batch[i] = withChanges(purchaseItem, fields{
						"request_unique_identifier": id, "accounts_receivable_identifier": fields{"id": id},
					})
				}
				postCRMItems(t, server, "purchases", token, batch...)
				server.Faults()
				server.Ledger().Duplicates("crmcom.purchases")
				server.Ledger().AcceptedEntries("crmcom.purchases")
			}
		})
	}
	wg.Wait()
	stats := server.Ledger().Calls("crmcom.purchases")
	failed := stats.Failures[503]
	if stats.Calls != callers*calls || failed != callers*calls/7 || server.Faults()["busy"] != failed {
		t.Errorf("got stats %+v and faults %v, want every 7th call to fail", stats, server.Faults())
	}
	if stats.Accepted != (callers*calls-failed)*items || server.Ledger().Count("crmcom.purchases") != stats.Accepted {
		t.Errorf("got stats %+v and %d ledger entries, want all items of successful calls in both", stats,
			server.Ledger().Count("crmcom.purchases"))
	}
	count := 0
	hooked.Range(func(any, any) bool { count++; return true })
	if count != stats.Accepted {
		t.Errorf("OnAccept calls: got %d, want %d", count, stats.Accepted)
	}
}
