package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/demo/embedded"
	"sluice/internal/demo/sample"
	"sluice/internal/demo/sandbox"
	"sluice/internal/test/testkit"
)

// binary is the path of the built command.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "connector")
		if err != nil {
			fmt.Fprintln(os.Stderr, "creating a folder for the binary:", err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "connector")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the binary: %v\n%s", err, out)
			return 1
		}
		if code := m.Run(); code != 0 {
			return code
		}
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "checking for leaked goroutines:", err)
			return 1
		}
		return 0
	}())
}

// awaitTimeout limits every wait in these tests.
const awaitTimeout = 25 * time.Second

func withDeadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), awaitTimeout)
	t.Cleanup(cancel)
	return ctx
}

type result struct {
	code        int
	out, errOut string
}

// runCommand runs a command until it exits.
func runCommand(t *testing.T, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(withDeadline(t), binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("running %v: %v", args, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// mustRun runs a command that has to succeed, and returns its output.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	r := runCommand(t, args...)
	if r.code != exitSuccess {
		t.Fatalf("%v: exit %d: %s", args, r.code, r.errOut)
	}
	return r.out
}

// process is a running command.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string   // of both outputs; lines beyond the buffer are discarded
	ended chan struct{} // closed when the process has exited

	mu  sync.Mutex
	log bytes.Buffer
}

func startCommand(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, args...), lines: make(chan string, 1000), ended: make(chan struct{})}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = write, write
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	go p.readOutput(read)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has already exited if the test passed
		<-p.ended
		if t.Failed() {
			t.Logf("output of %v:\n%s", args, p.log.String())
		}
	})
	return p
}

func (p *process) readOutput(from *os.File) {
	for s := bufio.NewScanner(from); s.Scan(); {
		p.mu.Lock()
		fmt.Fprintln(&p.log, s.Text())
		p.mu.Unlock()
		select {
		case p.lines <- s.Text():
		default:
		}
	}
	from.Close()
	_ = p.cmd.Wait() // the exit code is in ProcessState
	close(p.ended)
}

// awaitLine returns the first line that contains a text.
func (p *process) awaitLine(text string) string {
	p.t.Helper()
	ctx := withDeadline(p.t)
	for {
		select {
		case line := <-p.lines:
			if strings.Contains(line, text) {
				return line
			}
		case <-p.ended:
			p.t.Fatalf("the process exited without printing %q", text)
		case <-ctx.Done():
			p.t.Fatalf("the process did not print %q", text)
		}
	}
}

// endWith sends a signal and returns the exit code.
func (p *process) endWith(sig os.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-withDeadline(p.t).Done():
		p.t.Fatalf("the process did not exit on %v", sig)
	}
	return p.cmd.ProcessState.ExitCode()
}

// harness is the environment of the command: a cluster, a registry and the vendors.
type harness struct {
	platform    *embedded.Platform
	vendors     *sandbox.Server
	config      string // path of the configuration file
	accepted    chan sandbox.LedgerEntry
	count       atomic.Int64
	holdAtCount int64         // number of the accepted item whose call is held until releaseCall; none if 0
	released    chan struct{} // closed by releaseCall
	once        sync.Once
}

// newHarness starts the environment and writes the configuration, with the given YAML as its
// pipelines. With holdAtCount, the vendor accepts that item, counted from 1, and does not respond
// to its call before releaseCall.
func newHarness(t *testing.T, pipelines string, hold int64) *harness {
	t.Helper()
	options, err := sample.SandboxOptions()
	if err != nil {
		t.Fatal(err)
	}
	s := &harness{platform: testkit.StartPlatform(t, embedded.Options{DataDir: t.TempDir()}), accepted: make(chan sandbox.LedgerEntry, 100_000), holdAtCount: hold, released: make(chan struct{})}
	options.OnAccept = s.onAccept
	s.vendors = sandbox.New(options)
	web := httptest.NewServer(sandboxMux(s.vendors))
	t.Cleanup(web.Close)
	t.Cleanup(s.releaseCall)
	s.config = filepath.Join(t.TempDir(), "connector.yaml")
	text := fmt.Sprintf(`
kafka: {brokers: [%q]}
schema_registry: {urls: [%q], unknown_id_wait: 0s}
vendors:
  crmcom: {base_url: "%[3]s/crmcom/crmapi/rest/v2", auth: {web_api_key: %[4]s}}
  expoints: {base_url: "%[3]s/expoints", auth: {token_url: "%[3]s/expoints%[5]s", client_id: %[6]s, client_secret: %[7]s}}
  propel: {base_url: "%[3]s/propel/v2", auth: {token_url: "%[3]s/propel%[8]s", client_id: %[6]s, client_secret: %[7]s}}
admin: {listen: "127.0.0.1:0"}
pipelines:
`, s.platform.Brokers()[0], s.platform.RegistryURL(), web.URL, sandbox.DefaultWebAPIKey, sandbox.ExpointsTokenPath,
		sandbox.DefaultClientID, sandbox.DefaultClientSecret, sandbox.PropelTokenPath) + pipelines
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// releaseCall lets the vendor respond to the held call.
func (s *harness) releaseCall() { s.once.Do(func() { close(s.released) }) }

func (s *harness) onAccept(e sandbox.LedgerEntry) {
	s.accepted <- e
	if s.count.Add(1) == s.holdAtCount {
		<-s.released
	}
}

// awaitAccepted waits until the vendors have accepted n more items.
func (s *harness) awaitAccepted(t *testing.T, n int) {
	t.Helper()
	ctx := withDeadline(t)
	for i := range n {
		select {
		case <-s.accepted:
		case <-ctx.Done():
			t.Fatalf("the vendors accepted %d items, want %d", i, n)
		}
	}
}
