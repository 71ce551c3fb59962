package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/config"
	"sluice/internal/demo/sandbox"
	"sluice/internal/event"
	"sluice/internal/sink"
	"sluice/internal/sink/crmcom"
	"sluice/internal/sink/vendorhttp"
)

// baselineVariable is the environment variable that makes this test binary run the baseline loop.
// Its value is "<broker> <vendor URL> <number of records>".
const baselineVariable = "SLUICE_BENCH_BASELINE"

// baselineBatch is the number of items in one call, the most that the operation allows.
const baselineBatch = 1000

func TestMain(m *testing.M) {
	args := strings.Fields(os.Getenv(baselineVariable))
	if len(args) != 3 {
		m.Run()
		return
	}
	if err := runBaseline(args[0], args[1], args[2]); err != nil {
		panic(err)
	}
}

// BenchmarkBaseline runs a process that polls, decodes, encodes and posts a thousand items at a
// time. It has no consumer group, commits nothing, keeps no limits and interprets no response.
// BenchmarkRun is compared with it.
func BenchmarkBaseline(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	platform := startFilledPlatform(b)
	vendor := httptest.NewServer(sandbox.New(sandbox.Options{Instant: true}).Handler(sandbox.CRMCOM))
	defer vendor.Close()
	cmd := exec.CommandContext(b.Context(), self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s/crmapi/rest/v2 %d",
		baselineVariable, platform.Brokers()[0], vendor.URL, b.N))
	cmd.Stderr = os.Stderr
	b.ResetTimer()
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	reportProcessTime(b, cmd.ProcessState)
}

func runBaseline(broker, vendorURL, records string) error {
	ctx := context.Background()
	remaining, err := strconv.Atoi(records)
	if err != nil {
		return err
	}
	schema, operation, err := newBaselineCodec(vendorURL)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(sourceTopic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	token, err := requestToken(ctx, vendorURL)
	if err != nil {
		return err
	}
	var items []sink.Item
	for remaining > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for iter := fetches.RecordIter(); !iter.Done(); remaining-- {
			item, err := encodeRecord(ctx, schema, operation, iter.Next())
			if err != nil {
				return err
			}
			if items = append(items, item); len(items) == baselineBatch || remaining == 1 {
				if err := postItems(ctx, vendorURL, token, items); err != nil {
					return err
				}
				items = items[:0]
			}
		}
	}
	return nil
}

// newBaselineCodec returns what decodes a record and what encodes its event for the vendor.
func newBaselineCodec(vendorURL string) (*avro.Schema, sink.Operation, error) {
	schema, err := avro.Parse(purchaseSchema(), avro.CustomType{LogicalType: "decimal", AvroType: "bytes"})
	if err != nil {
		return nil, nil, err
	}
	cfg := crmcom.Default()
	cfg.BaseURL, cfg.Auth.WebAPIKey = vendorURL, config.NewSecret(sandbox.DefaultWebAPIKey)
	operations, err := crmcom.New("crmcom", cfg, http.DefaultClient)
	if err != nil {
		return nil, nil, err
	}
	return schema, operations[0], nil
}

func encodeRecord(
	ctx context.Context, schema *avro.Schema, operation sink.Operation, r *kgo.Record,
) (sink.Item, error) {
	const wireHeader = 5 // a zero byte and the 4-byte schema ID
	var purchase event.Purchase
	if _, err := schema.Decode(r.Value[wireHeader:], &purchase); err != nil {
		return sink.Item{}, err
	}
	return operation.Encode(ctx, &purchase, sink.Origin{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset})
}

func requestToken(ctx context.Context, vendorURL string) (string, error) {
	body, err := postJSON(ctx, vendorURL+"/authentication/web_api_key/token", strings.NewReader("{}"))
	if err != nil {
		return "", err
	}
	var response struct{ Data struct{ Token string } }
	err = json.Unmarshal(body, &response)
	return response.Data.Token, err
}

func postItems(ctx context.Context, vendorURL, token string, items []sink.Item) error {
	prefix := fmt.Appendf(nil, `{"token":%q,"purchase_customer_events_set":[`, token)
	body, _, _ := vendorhttp.Body(prefix, items, []byte("]}"))
	_, err := postJSON(ctx, vendorURL+"/customer_events/bulk/purchases/create", body)
	return err
}

func postJSON(ctx context.Context, url string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(sandbox.DefaultWebAPIKey, "") // only the token request needs it
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !bytes.Contains(content, []byte(`"OK"`))) {
		err = fmt.Errorf("posting to the vendor: got status %d, want 200 with result OK", resp.StatusCode)
	}
	return content, err
}
