package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"sluice/internal/config"
	"sluice/internal/demo/sandbox"
	"sluice/internal/pipeline"
)

func TestConfigurationReferenceIsUpToDate(t *testing.T) {
	const path = "../../docs/configuration.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != config.ReferenceMarkdown(pipeline.VendorTypes()) {
		t.Errorf("%s is stale: run go generate ./cmd/connector", path)
	}
	if out := mustRun(t, "config", "reference"); out != string(text) {
		t.Error("the command prints a different reference")
	}
}

func TestMetricsReferenceIsUpToDate(t *testing.T) {
	const path = "../../docs/metrics.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != metricsReference() {
		t.Errorf("%s is stale: run go generate ./cmd/connector", path)
	}
	if out := mustRun(t, "metrics", "reference"); out != string(text) {
		t.Error("the command prints a different reference")
	}
}

func TestInvalidUsageExitsWith2AndNamesTheHelp(t *testing.T) {
	for _, args := range [][]string{
		{}, {"odd"}, {"run"}, {"run", "-c"}, {"run", "--odd"}, {"topics"}, {"topics", "odd"}, {"schemas"}, {"config"}, {"healthcheck"},
		{"version", "extra"}, {"sandbox", "--latency", "fast"}, {"sandbox", "--latency", "-1s"}, {"sandbox", "--instant", "--latency", "1s"}, {"sandbox", "--script", "/does/not/exist"},
		{"run", "-c", "/does/not/exist"}, {"check", "--offline", "-c", os.TempDir()}, {"status", "--url", "127.0.0.1:8080"}, {"status", "--url", "localhost:8080"},
		{"healthcheck", "--url", "http://"}, {"healthcheck", "--url", "ftp://x"},
		{"topics", "apply", "-c", "x", "--dry-run", "--sources", "3"}, {"produce", "-c", "x", "-n", "1", "--events", "a=1"},
	} {
		r := runCommand(t, args...)
		if r.code != exitUsage || !strings.Contains(r.errOut, "--help)") {
			t.Errorf("%v: got exit %d with %q, want %d and the name of the help", args, r.code, r.errOut, exitUsage)
		}
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	var walk func(c *cobra.Command, args []string)
	walk = func(c *cobra.Command, args []string) {
		if out := mustRun(t, append(args, "--help")...); !strings.Contains(out, "Examples:\n  "+strings.Join(append([]string{"connector"}, args...), " ")) {
			t.Errorf("%v has no example:\n%s", args, out)
		}
		for _, sub := range c.Commands() {
			walk(sub, append(slices.Clip(args), sub.Name()))
		}
	}
	walk(newRootCommand(), nil)
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInvalidConfigurationExitsWith2AndReportsEveryViolation(t *testing.T) {
	path := writeFile(t, "faulty.yaml", `
kafka: {brokers: ["no port"], tsl: {}}
log: {level: loud}
vendors: {crmcom: {base_url: "ftp://x", auth: {web_api_key: s3cr3t}}}
pipelines: {purchases: {concurrency: 99}}
`)
	for _, args := range [][]string{
		{"run"}, {"check", "--offline"}, {"topics", "apply"}, {"schemas", "register"}, {"produce"},
	} {
		r := runCommand(t, append(args, "-c", path)...)
		if r.code != exitUsage {
			t.Errorf("%v: exit %d, want %d", args, r.code, exitUsage)
		}
		for _, want := range []string{
			path + ":2: kafka.brokers[0]: no port: ", path + ":2: kafka.tsl: ", path + ":3: log.level: loud: ",
			path + ":4: vendors.crmcom.base_url: ftp://x: ", path + ":5: pipelines.purchases.concurrency: 99: ",
		} {
			if !strings.Contains(r.errOut, want) {
				t.Errorf("%v: %q is not reported in\n%s", args, want, r.errOut)
			}
		}
		if strings.Contains(r.errOut, "s3cr3t") {
			t.Errorf("%v shows a secret", args)
		}
	}
}

func TestFailureExitsWith1AndGivesAdvice(t *testing.T) {
	path := writeFile(t, "nobody.yaml", `
kafka: {brokers: ["127.0.0.1:1"]}
schema_registry: {urls: ["http://127.0.0.1:1"]}
vendors: {crmcom: {base_url: "http://127.0.0.1:1", auth: {web_api_key: s3cr3t}}}
admin: {listen: ""}
`)
	for _, args := range [][]string{
		{"topics", "apply", "-c", path}, {"schemas", "register", "-c", path}, {"produce", "-c", path},
		{"status", "--url", "http://127.0.0.1:1"}, {"healthcheck", "--url", "http://127.0.0.1:1"},
	} {
		r := runCommand(t, args...)
		if r.code != exitFailure || !strings.HasSuffix(r.errOut, ": check the address, and that the server is running\n") {
			t.Errorf("%v: got exit %d with %q, want %d and advice", args, r.code, r.errOut, exitFailure)
		}
	}
}

func TestPortInUseIsReported(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	path := writeFile(t, "taken.yaml", fmt.Sprintf(`
kafka: {brokers: ["127.0.0.1:1"]}
vendors: {crmcom: {base_url: "http://127.0.0.1:1", auth: {web_api_key: s3cr3t}}}
admin: {listen: %q}
`, taken.Addr()))
	for _, args := range [][]string{{"run", "-c", path}, {"sandbox", "--listen", taken.Addr().String()}} {
		r := runCommand(t, args...)
		if r.code != exitFailure || !strings.Contains(r.errOut, taken.Addr().String()) || !strings.HasSuffix(r.errOut, ": use an address of this machine with a free port\n") {
			t.Errorf("%v: exit %d with %q", args, r.code, r.errOut)
		}
	}
}

func TestCheckRequiresOffline(t *testing.T) {
	path := writeFile(t, "ok.yaml", `
kafka: {brokers: ["127.0.0.1:1"]}
vendors: {crmcom: {base_url: "http://127.0.0.1:1", auth: {web_api_key: s3cr3t}}}
`)
	if r := runCommand(t, "check", "-c", path); r.code != exitUsage || !strings.Contains(r.errOut, "--offline") {
		t.Errorf("exit %d with %q", r.code, r.errOut)
	}
	if out := mustRun(t, "check", "-c", path, "--offline"); !strings.Contains(out, "sluice.crmcom.Purchase -> crmcom.purchases") {
		t.Errorf("got %q", out)
	}
}

func TestHealthcheckAcceptsOnly2xx(t *testing.T) {
	for status, want := range map[int]int{200: exitSuccess, 204: exitSuccess, 302: exitFailure, 404: exitFailure, 503: exitFailure} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		if r := runCommand(t, "healthcheck", "--url", s.URL); r.code != want {
			t.Errorf("%d: exit %d, want %d", status, r.code, want)
		}
		s.Close()
	}
}

func TestApplyingTopicsAndSchemasTwiceChangesNothing(t *testing.T) {
	s := newHarness(t, allPipelines, 0)
	if r := runCommand(t, "topics", "apply", "-c", s.config); r.code != exitFailure || !strings.Contains(r.errOut, "pipelines.purchases.topic") {
		t.Errorf("without source topics: exit %d with %q", r.code, r.errOut)
	}
	if r := runCommand(t, "produce", "-c", s.config); r.code != exitFailure || !strings.Contains(r.errOut, "does not exist") {
		t.Errorf("producing without topics: exit %d with %q", r.code, r.errOut)
	}
	first := mustRun(t, "topics", "apply", "-c", s.config, "--sources", "2")
	for _, want := range []string{"purchases: created with 2 partitions", "sluice.purchases.dlq: created with 2 partitions", "sluice.customer-changes.parked: created"} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is not in\n%s", want, first)
		}
	}
	const nothing = "all topics are up to date\n"
	if out := mustRun(t, "topics", "apply", "-c", s.config, "--dry-run"); out != nothing {
		t.Errorf("a dry run would change\n%s", out)
	}
	if out := mustRun(t, "topics", "apply", "-c", s.config, "--sources", "2"); out != nothing {
		t.Errorf("the second time it changed\n%s", out)
	}
	if once, twice := mustRun(t, "schemas", "register", "-c", s.config), mustRun(t, "schemas", "register", "-c", s.config); once != twice {
		t.Errorf("registered once\n%s\nand again\n%s", once, twice)
	}
}

func TestSandboxServesVendorsTogetherAndSeparately(t *testing.T) {
	script := writeFile(t, "script.yaml", "rules: [{name: busy, operation: propel.token, do: {fault: status, code: 503}}]")
	p := startCommand(t, "sandbox", "--listen", "127.0.0.1:0", "--propel", "127.0.0.1:0", "--script", script)
	all := firstURL(t, p.awaitLine("vendors on "))
	propelAlone := firstURL(t, p.awaitLine("single vendor on "))
	mustRun(t, "healthcheck", "--url", all+"/healthz")

	login, err := http.NewRequestWithContext(t.Context(), http.MethodPost, all+"/crmcom/crmapi/rest/v2/authentication/web_api_key/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	login.SetBasicAuth(sandbox.DefaultWebAPIKey, "")
	login.Header.Set("Content-Type", "application/json")
	if body := sendRequest(t, login, http.StatusOK); !strings.Contains(body, `"code":"OK"`) {
		t.Errorf("got login response %s", body)
	}
	form := strings.NewReader(url.Values{"grant_type": {"client_credentials"}}.Encode())
	token, err := http.NewRequestWithContext(t.Context(), http.MethodPost, propelAlone+sandbox.PropelTokenPath, form)
	if err != nil {
		t.Fatal(err)
	}
	sendRequest(t, token, http.StatusServiceUnavailable)

	see, err := http.NewRequestWithContext(t.Context(), http.MethodGet, all+"/ledger", nil)
	if err != nil {
		t.Fatal(err)
	}
	var got ledgerResponse
	if err := json.Unmarshal([]byte(sendRequest(t, see, http.StatusOK)), &got); err != nil {
		t.Fatal(err)
	}
	if got.Operations["crmcom.login"].Calls != 1 || got.Operations["propel.token"].Calls != 1 || got.Faults["busy"] != 1 {
		t.Errorf("got ledger %+v", got)
	}
	if code := p.endWith(syscall.SIGTERM); code != exitSuccess {
		t.Errorf("exit %d after SIGTERM, want %d", code, exitSuccess)
	}
}

// firstURL returns the first URL in a line.
func firstURL(t *testing.T, line string) string {
	t.Helper()
	for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ' ' || r == ',' }) {
		if strings.HasPrefix(word, "http://") {
			return word
		}
	}
	t.Fatalf("no URL in %q", line)
	return ""
}

func sendRequest(t *testing.T, req *http.Request, wantStatus int) string {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != wantStatus {
		t.Fatalf("%s: got %s, %v, want %d", req.URL, resp.Status, err, wantStatus)
	}
	return string(body)
}
