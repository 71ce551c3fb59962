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

	"sluice/internal/demo/embedded"
	"sluice/internal/demo/sample"
	"sluice/internal/demo/sandbox"
	"sluice/internal/test/testkit"
)

// binary is the command as users have it.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "connector")
		if err != nil {
			fmt.Fprintln(os.Stderr, "making a folder for the binary:", err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "connector")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the binary: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// patience bounds every wait of these tests.
const patience = 25 * time.Second

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

type result struct {
	code        int
	out, errOut string
}

// call runs a command to its end.
func call(t *testing.T, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(deadline(t), binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("running %v: %v", args, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// must runs a command that has to succeed, and gives what it prints.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := call(t, args...)
	if r.code != exitDone {
		t.Fatalf("%v: exit %d: %s", args, r.code, r.errOut)
	}
	return r.out
}

// process is a command that runs on.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string   // of both outputs; what nobody awaits is dropped
	ended chan struct{} // closed when the process has ended

	mu  sync.Mutex
	log bytes.Buffer
}

func start(t *testing.T, args ...string) *process {
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
	go p.read(read)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // has ended, where the test passed
		<-p.ended
		if t.Failed() {
			t.Logf("%v said:\n%s", args, p.log.String())
		}
	})
	return p
}

func (p *process) read(from *os.File) {
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
	_ = p.cmd.Wait() // its code is in ProcessState
	close(p.ended)
}

// await gives the first line that holds a text.
func (p *process) await(text string) string {
	p.t.Helper()
	ctx := deadline(p.t)
	for {
		select {
		case line := <-p.lines:
			if strings.Contains(line, text) {
				return line
			}
		case <-p.ended:
			p.t.Fatalf("the process ended without saying %q", text)
		case <-ctx.Done():
			p.t.Fatalf("the process did not say %q", text)
		}
	}
}

// end sends a signal and gives the exit code.
func (p *process) end(sig os.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-deadline(p.t).Done():
		p.t.Fatalf("the process did not end at %v", sig)
	}
	return p.cmd.ProcessState.ExitCode()
}

// stage is what the command runs against: a cluster, a registry and the vendors.
type stage struct {
	platform *embedded.Platform
	vendors  *sandbox.Server
	config   string // path
	accepted chan sandbox.LedgerEntry
	count    atomic.Int64
	hold     int64         // the acceptance whose call is not answered before free; 0: none
	release  chan struct{} // closed by free
	once     sync.Once
}

// newStage starts it all and writes the configuration, whose pipelines are the YAML given. With hold, the vendor accepts that item, counted from 1,
// and does not answer its call before free.
func newStage(t *testing.T, pipelines string, hold int64) *stage {
	t.Helper()
	options, err := sample.SandboxOptions()
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{platform: testkit.StartPlatform(t, embedded.Options{DataDir: t.TempDir()}), accepted: make(chan sandbox.LedgerEntry, 100_000), hold: hold, release: make(chan struct{})}
	options.OnAccept = s.onAccept
	s.vendors = sandbox.New(options)
	web := httptest.NewServer(sandboxMux(s.vendors))
	t.Cleanup(web.Close)
	t.Cleanup(s.free)
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

// free answers the call that is held.
func (s *stage) free() { s.once.Do(func() { close(s.release) }) }

func (s *stage) onAccept(e sandbox.LedgerEntry) {
	s.accepted <- e
	if s.count.Add(1) == s.hold {
		<-s.release
	}
}

// awaitAccepted waits until the vendors have accepted so many items more.
func (s *stage) awaitAccepted(t *testing.T, n int) {
	t.Helper()
	ctx := deadline(t)
	for i := range n {
		select {
		case <-s.accepted:
		case <-ctx.Done():
			t.Fatalf("the vendors accepted %d, want %d", i, n)
		}
	}
}
