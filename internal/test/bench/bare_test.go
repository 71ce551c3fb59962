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

// bareEnv has this program be the bare loop: "<broker> <vendor> <records>".
const bareEnv = "SLUICE_BENCH_BARE"

func TestMain(m *testing.M) {
	args := strings.Fields(os.Getenv(bareEnv))
	if len(args) != 3 {
		m.Run()
		return
	}
	if err := bareLoop(args[0], args[1], args[2]); err != nil {
		panic(err)
	}
}

// BenchmarkBare is what BenchmarkRun is held against: a process that polls, decodes, encodes and posts a thousand items at a time, and does nothing that
// keeps a promise: no group, no commit, no limits, no answer read, one partition after another as they come.
func BenchmarkBare(b *testing.B) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	p := filled(b)
	web := httptest.NewServer(sandbox.New(sandbox.Options{Instant: true}).Handler(sandbox.CRMCOM))
	defer web.Close()
	cmd := exec.CommandContext(b.Context(), self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s/crmapi/rest/v2 %d", bareEnv, p.Brokers()[0], web.URL, b.N))
	cmd.Stderr = os.Stderr
	b.ResetTimer()
	if err := cmd.Run(); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/record")
}

func bareLoop(broker, vendor, records string) error {
	ctx := context.Background()
	left, err := strconv.Atoi(records)
	if err != nil {
		return err
	}
	schema, op, err := bareParts(vendor)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics("purchases"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer client.Close()
	token, err := bareLogin(ctx, vendor)
	if err != nil {
		return err
	}
	var items []sink.Item
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for it := fetches.RecordIter(); !it.Done(); left-- {
			r := it.Next()
			var e event.Purchase
			if _, err := schema.Decode(r.Value[5:], &e); err != nil {
				return err
			}
			item, err := op.Encode(ctx, &e, sink.Origin{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset})
			if err != nil {
				return err
			}
			if items = append(items, item); len(items) == 1000 || left == 1 {
				if err := bareSend(ctx, vendor, token, items); err != nil {
					return err
				}
				items = items[:0]
			}
		}
	}
	return nil
}

func bareParts(vendor string) (*avro.Schema, sink.Operation, error) {
	schema, err := avro.Parse(purchaseSchema(), avro.CustomType{LogicalType: "decimal", AvroType: "bytes"})
	if err != nil {
		return nil, nil, err
	}
	cfg := crmcom.Default()
	cfg.BaseURL, cfg.Auth.WebAPIKey = vendor, config.NewSecret(sandbox.DefaultWebAPIKey)
	ops, err := crmcom.New("crmcom", cfg, http.DefaultClient)
	if err != nil {
		return nil, nil, err
	}
	return schema, ops[0], nil
}

func bareLogin(ctx context.Context, vendor string) (string, error) {
	var answer struct{ Data struct{ Token string } }
	body, err := barePost(ctx, vendor+"/authentication/web_api_key/token", strings.NewReader("{}"))
	if err != nil {
		return "", err
	}
	err = json.Unmarshal(body, &answer)
	return answer.Data.Token, err
}

func bareSend(ctx context.Context, vendor, token string, items []sink.Item) error {
	body, _, _ := vendorhttp.Body(fmt.Appendf(nil, `{"token":%q,"purchase_customer_events_set":[`, token), items, []byte("]}"))
	_, err := barePost(ctx, vendor+"/customer_events/bulk/purchases/create", body)
	return err
}

func barePost(ctx context.Context, url string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(sandbox.DefaultWebAPIKey, "") // the login's
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte(`"OK"`))) {
		err = fmt.Errorf("the vendor answers %d", res.StatusCode)
	}
	return answer, err
}
