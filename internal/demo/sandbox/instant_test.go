package sandbox

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

// A response that a sink could not use would invalidate the benchmarks.
func TestInstantRespondsWithEveryItemOnce(t *testing.T) {
	server := New(Options{Instant: true})
	token := loginCRM(t, server)
	resp := postCRMItems(
		t, server, "purchases", token, purchaseItem, strings.Replace(purchaseItem, "p-0-1", `q\"\\`, 1),
	)
	var ids []any
	for _, row := range resp.decodeJSON(t)["data"].(map[string]any)["processed_customer_events_set"].([]any) {
		ids = append(ids, row.(map[string]any)["request_unique_identifier"])
	}
	if want := []any{"p-0-1", `q"\`}; !reflect.DeepEqual(ids, want) {
		t.Errorf("CRM.COM: got %v, want %v", ids, want)
	}
	nested := `{"customers":[{"parent":{"source":"X","sourceId":"no"},"source":"sourceId","sourceId":"1"}]}`
	resp = serveRequest(server.Handler(Propel), newPost(propelPath, jsonMedia, nested))
	if rows := resp.decodeJSON(t)["data"].([]any); len(rows) != 1 || rows[0].(map[string]any)["key"] != "1" {
		t.Errorf("Propel: got %s, want one row with key 1", resp.body)
	}
	if resp = serveRequest(
		server.Handler(Expoints), newPost(expointsPath("add"), jsonMedia, "{}"),
	); resp.status != http.StatusOK {
		t.Errorf("Expoints: got %d, want 200", resp.status)
	}
}

func BenchmarkInstantPurchases(b *testing.B) { benchmarkPurchases(b, Options{Instant: true}) }

func BenchmarkStrictPurchases(b *testing.B) { benchmarkPurchases(b, Options{}) }

// benchmarkPurchases passes calls with 1000 items to the handler, without a network.
func benchmarkPurchases(b *testing.B, opts Options) {
	server := New(opts)
	token := loginCRM(b, server)
	items := make([]string, crmMaxItems)
	for i := range items {
		items[i] = strings.Replace(purchaseItem, "p-0-1", fmt.Sprint("p-0-", i), 1)
	}
	body := []byte(fmt.Sprintf(`{"token":%q,"purchase_customer_events_set":[%s]}`, token, strings.Join(items, ",")))
	handler := server.Handler(CRMCOM)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest(http.MethodPost, crmPath("purchases"), bytes.NewReader(body))
		req.Header.Set("Content-Type", jsonMedia)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}
