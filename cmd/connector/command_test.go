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

func TestTheReferenceInDocsIsThatOfTheCode(t *testing.T) {
	const path = "../../docs/configuration.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != config.ReferenceMarkdown(pipeline.VendorTypes()) {
		t.Errorf("%s is stale: run go generate ./cmd/connector", path)
	}
	if out := must(t, "config", "reference"); out != string(text) {
		t.Error("the command prints another reference")
	}
}

func TestWrongUseExitsWith2AndNamesTheHelp(t *testing.T) {
	for _, args := range [][]string{
		{}, {"odd"}, {"run"}, {"run", "-c"}, {"run", "--odd"}, {"topics"}, {"topics", "odd"}, {"schemas"}, {"config"}, {"healthcheck"},
		{"version", "extra"}, {"sandbox", "--latency", "fast"}, {"sandbox", "--latency", "-1s"}, {"sandbox", "--instant", "--latency", "1s"}, {"sandbox", "--script", "/does/not/exist"},
		{"run", "-c", "/does/not/exist"}, {"check", "--offline", "-c", os.TempDir()}, {"status", "--url", "127.0.0.1:8080"}, {"status", "--url", "localhost:8080"},
		{"healthcheck", "--url", "http://"}, {"healthcheck", "--url", "ftp://x"},
		{"topics", "apply", "-c", "x", "--dry-run", "--sources", "3"}, {"produce", "-c", "x", "-n", "1", "--events", "a=1"},
	} {
		r := call(t, args...)
		if r.code != exitMisuse || !strings.Contains(r.errOut, "--help)") {
			t.Errorf("%v: exit %d with %q, want %d and the help's name", args, r.code, r.errOut, exitMisuse)
		}
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	var walk func(c *cobra.Command, args []string)
	walk = func(c *cobra.Command, args []string) {
		if out := must(t, append(args, "--help")...); !strings.Contains(out, "Examples:\n  "+strings.Join(append([]string{"connector"}, args...), " ")) {
			t.Errorf("%v has no example of itself:\n%s", args, out)
		}
		for _, sub := range c.Commands() {
			walk(sub, append(slices.Clip(args), sub.Name()))
		}
	}
	walk(newRoot(), nil)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAFaultyConfigurationExitsWith2AndNamesEveryFault(t *testing.T) {
	path := write(t, "faulty.yaml", `
kafka: {brokers: ["no port"], tsl: {}}
log: {level: loud}
vendors: {crmcom: {base_url: "ftp://x", auth: {web_api_key: s3cr3t}}}
pipelines: {purchases: {concurrency: 99}}
`)
	for _, args := range [][]string{
		{"run"}, {"check", "--offline"}, {"topics", "apply"}, {"schemas", "register"}, {"produce"},
	} {
		r := call(t, append(args, "-c", path)...)
		if r.code != exitMisuse {
			t.Errorf("%v: exit %d, want %d", args, r.code, exitMisuse)
		}
		for _, want := range []string{
			path + ":2: kafka.brokers[0]: no port: ", path + ":2: kafka.tsl: ", path + ":3: log.level: loud: ",
			path + ":4: vendors.crmcom.base_url: ftp://x: ", path + ":5: pipelines.purchases.concurrency: 99: ",
		} {
			if !strings.Contains(r.errOut, want) {
				t.Errorf("%v: %q is not named in\n%s", args, want, r.errOut)
			}
		}
		if strings.Contains(r.errOut, "s3cr3t") {
			t.Errorf("%v shows a secret", args)
		}
	}
}

func TestWhatFailsExitsWith1AndSaysWhatToDo(t *testing.T) {
	path := write(t, "nobody.yaml", `
kafka: {brokers: ["127.0.0.1:1"]}
schema_registry: {urls: ["http://127.0.0.1:1"]}
vendors: {crmcom: {base_url: "http://127.0.0.1:1", auth: {web_api_key: s3cr3t}}}
admin: {listen: ""}
`)
	for _, args := range [][]string{
		{"topics", "apply", "-c", path}, {"schemas", "register", "-c", path}, {"produce", "-c", path},
		{"status", "--url", "http://127.0.0.1:1"}, {"healthcheck", "--url", "http://127.0.0.1:1"},
	} {
		r := call(t, args...)
		if r.code != exitFailed || !strings.HasSuffix(r.errOut, ": check that the address is right and that the server is up\n") {
			t.Errorf("%v: exit %d with %q, want %d and what to do", args, r.code, r.errOut, exitFailed)
		}
	}
}

func TestAPortInUseIsToldAsThat(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	path := write(t, "taken.yaml", fmt.Sprintf(`
kafka: {brokers: ["127.0.0.1:1"]}
vendors: {crmcom: {base_url: "http://127.0.0.1:1", auth: {web_api_key: s3cr3t}}}
admin: {listen: %q}
`, taken.Addr()))
	for _, args := range [][]string{{"run", "-c", path}, {"sandbox", "--listen", taken.Addr().String()}} {
		r := call(t, args...)
		if r.code != exitFailed || !strings.Contains(r.errOut, taken.Addr().String()) || !strings.HasSuffix(r.errOut, ": give an address of this machine whose port is free\n") {
			t.Errorf("%v: exit %d with %q", args, r.code, r.errOut)
		}
	}
}

func TestCheckSaysWhatItCannot(t *testing.T) {
	path := write(t, "ok.yaml", `
kafka: {brokers: ["127.0.0.1:1"]}
vendors: {crmcom: {base_url: "http://127.0.0.1:1", auth: {web_api_key: s3cr3t}}}
`)
	if r := call(t, "check", "-c", path); r.code != exitMisuse || !strings.Contains(r.errOut, "--offline") {
		t.Errorf("exit %d with %q", r.code, r.errOut)
	}
	if out := must(t, "check", "-c", path, "--offline"); !strings.Contains(out, "sluice.crmcom.Purchase -> crmcom.purchases") {
		t.Errorf("says %q", out)
	}
}

func TestHealthcheckTakes2xxAlone(t *testing.T) {
	for status, want := range map[int]int{200: exitDone, 204: exitDone, 302: exitFailed, 404: exitFailed, 503: exitFailed} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		if r := call(t, "healthcheck", "--url", s.URL); r.code != want {
			t.Errorf("%d: exit %d, want %d", status, r.code, want)
		}
		s.Close()
	}
}

func TestTopicsAndSchemasAppliedAgainChangeNothing(t *testing.T) {
	s := newStage(t, allPipelines, 0)
	if r := call(t, "topics", "apply", "-c", s.config); r.code != exitFailed || !strings.Contains(r.errOut, "pipelines.purchases.topic") {
		t.Errorf("without source topics: exit %d with %q", r.code, r.errOut)
	}
	if r := call(t, "produce", "-c", s.config); r.code != exitFailed || !strings.Contains(r.errOut, "does not exist") {
		t.Errorf("producing without topics: exit %d with %q", r.code, r.errOut)
	}
	first := must(t, "topics", "apply", "-c", s.config, "--sources", "2")
	for _, want := range []string{"purchases: created with 2 partitions", "sluice.purchases.dlq: created with 2 partitions", "sluice.customer-changes.parked: created"} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is not said in\n%s", want, first)
		}
	}
	const nothing = "all topics are as they should be\n"
	if out := must(t, "topics", "apply", "-c", s.config, "--dry-run"); out != nothing {
		t.Errorf("a dry run would do\n%s", out)
	}
	if out := must(t, "topics", "apply", "-c", s.config, "--sources", "2"); out != nothing {
		t.Errorf("again it does\n%s", out)
	}
	if once, twice := must(t, "schemas", "register", "-c", s.config), must(t, "schemas", "register", "-c", s.config); once != twice {
		t.Errorf("registered once\n%s\nand again\n%s", once, twice)
	}
}

func TestTheSandboxServesVendorsTogetherAndAlone(t *testing.T) {
	script := write(t, "script.yaml", "rules: [{name: busy, operation: propel.token, do: {fault: status, code: 503}}]")
	p := start(t, "sandbox", "--listen", "127.0.0.1:0", "--propel", "127.0.0.1:0", "--script", script)
	all := address(t, p.await("vendors on "))
	alone := address(t, p.await("alone on "))
	must(t, "healthcheck", "--url", all+"/healthz")

	login, err := http.NewRequestWithContext(t.Context(), http.MethodPost, all+"/crmcom/crmapi/rest/v2/authentication/web_api_key/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	login.SetBasicAuth(sandbox.DefaultWebAPIKey, "")
	login.Header.Set("Content-Type", "application/json")
	if body := send(t, login, http.StatusOK); !strings.Contains(body, `"code":"OK"`) {
		t.Errorf("the login's answer is %s", body)
	}
	form := strings.NewReader(url.Values{"grant_type": {"client_credentials"}}.Encode())
	token, err := http.NewRequestWithContext(t.Context(), http.MethodPost, alone+sandbox.PropelTokenPath, form)
	if err != nil {
		t.Fatal(err)
	}
	send(t, token, http.StatusServiceUnavailable)

	see, err := http.NewRequestWithContext(t.Context(), http.MethodGet, all+"/ledger", nil)
	if err != nil {
		t.Fatal(err)
	}
	var got ledger
	if err := json.Unmarshal([]byte(send(t, see, http.StatusOK)), &got); err != nil {
		t.Fatal(err)
	}
	if got.Operations["crmcom.login"].Calls != 1 || got.Operations["propel.token"].Calls != 1 || got.Faults["busy"] != 1 {
		t.Errorf("the ledger is %+v", got)
	}
	if code := p.end(syscall.SIGTERM); code != exitDone {
		t.Errorf("exit %d after SIGTERM, want %d", code, exitDone)
	}
}

// address is the first URL of a line, without what follows it.
func address(t *testing.T, line string) string {
	t.Helper()
	for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ' ' || r == ',' }) {
		if strings.HasPrefix(word, "http://") {
			return word
		}
	}
	t.Fatalf("no URL in %q", line)
	return ""
}

func send(t *testing.T, req *http.Request, want int) string {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		t.Fatalf("%s: %s, %v, want %d", req.URL, resp.Status, err, want)
	}
	return string(body)
}
