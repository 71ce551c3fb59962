//go:build docker

package dockertest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/admin"
)

// composeVar names the command that runs Compose ("docker compose", "docker-compose"); .ci/compose sets it.
const composeVar = "SLUICE_COMPOSE"

// What docker-compose.yml publishes.
const (
	connectorURL = "http://127.0.0.1:8080"
	sandboxURL   = "http://127.0.0.1:8090"
)

// The product as a user tries it: images built, everything up and healthy, events in, every one of them accounted for, and a clean stop.
func TestComposeBringsEveryEventToItsVendorAndStopsCleanly(t *testing.T) {
	c := newCompose(t)
	c.run("up", "-d", "--build")
	c.await(time.Minute, "the connector to be ready", func() bool { return get(connectorURL+"/readyz", nil) == nil })
	written := c.produce("-n", "200", "--bad", "poison=10,trailing=5,magic=5,tombstone=5,unmapped=5,invalid=10,rejected=10", "--seed", "1")
	if written.valid != 1000 || written.bad != 50 {
		t.Fatalf("written: %+v, want 200 valid ones in each of 5 pipelines, and 50 bad ones", written)
	}
	var status admin.Status
	c.await(time.Minute, "everything to be settled", func() bool {
		return get(connectorURL+"/status", &status) == nil && settled(status) == written.valid+written.bad
	})
	for _, p := range status.Pipelines {
		if p.Delivered != 200 || p.PossibleDuplicates != 0 || p.CommitFailures != 0 {
			t.Errorf("pipeline %s: %d delivered, %d possible duplicates, %d commits failed; want 200, 0, 0", p.Pipeline, p.Delivered, p.PossibleDuplicates, p.CommitFailures)
		}
	}
	if accepted, double := vendorsLedger(t); accepted != written.valid || double != 0 {
		t.Errorf("the vendors accepted %d, %d of them again; want %d and 0", accepted, double, written.valid)
	}
	for _, service := range []string{"kafka", "registry", "sandbox", "connector"} {
		c.await(time.Minute, service+" to be healthy", func() bool { return c.inspect(service, "{{.State.Health.Status}}") == "healthy" })
	}
	began := time.Now()
	c.run("stop", "connector")
	if code := c.inspect("connector", "{{.State.ExitCode}}"); code != "0" || time.Since(began) > 30*time.Second {
		t.Errorf("exit %s, %v after the stop; want 0 at once, since nothing was in flight", code, time.Since(began).Round(time.Second))
	}
}

// compose runs Compose for a project of its own, which is taken down with the test.
type compose struct {
	t       *testing.T
	command []string
}

func newCompose(t *testing.T) compose {
	t.Helper()
	command := strings.Fields(os.Getenv(composeVar))
	if len(command) == 0 {
		t.Skipf("%s does not name the command: .ci/compose does", composeVar)
	}
	c := compose{t, append(command, "-p", "sluicetest", "-f", "../../../docker-compose.yml")}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.output("logs", "--no-color", "--tail", "40"))
		}
		c.run("down", "-v", "--remove-orphans")
	})
	return c
}

func (c compose) run(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// output is what a command prints, whatever comes of it.
func (c compose) output(args ...string) string {
	out, err := c.try(args...)
	return fmt.Sprint(out, err)
}

func (c compose) try(args ...string) (string, error) {
	all := append(c.command[:len(c.command):len(c.command)], args...)
	out, err := exec.CommandContext(context.WithoutCancel(c.t.Context()), all[0], all[1:]...).CombinedOutput()
	return string(out), err
}

func (c compose) inspect(service, format string) string {
	c.t.Helper()
	id := strings.Fields(c.run("ps", "-q", service))
	if len(id) != 1 {
		c.t.Fatalf("service %s has containers %v, want one", service, id)
	}
	out, err := exec.CommandContext(c.t.Context(), "docker", "inspect", "-f", format, id[0]).Output()
	if err != nil {
		c.t.Fatalf("inspecting %s: %v", service, err)
	}
	return strings.TrimSpace(string(out))
}

// await looks until it is so: what another process does is no event here.
func (c compose) await(most time.Duration, what string, isSo func() bool) {
	c.t.Helper()
	deadline := time.After(most)
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for !isSo() {
		select {
		case <-look.C:
		case <-deadline:
			c.t.Fatalf("waited %v for %s", most, what)
		}
	}
}

type written struct{ valid, bad int }

// produce has the connector's command write sample events, and reads its lines "<pipeline> <kind>: <count>".
func (c compose) produce(args ...string) written {
	c.t.Helper()
	out := c.run(append([]string{"run", "--rm", "-T", "connector", "produce", "-c", "/etc/sluice/connector.yaml"}, args...)...)
	var w written
	for line := range strings.Lines(out) {
		name, count, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, err := strconv.Atoi(count)
		_, kind, ok := strings.Cut(name, " ")
		switch {
		case err != nil || !ok: // a line of Compose
		case kind == "valid":
			w.valid += n
		default:
			w.bad += n
		}
	}
	return w
}

// settled counts the records that are settled and committed past; -1 while any is on its way.
func settled(s admin.Status) int {
	n := 0
	for _, p := range s.Pipelines {
		if p.InFlight > 0 || p.LagRecords > 0 {
			return -1
		}
		n += int(p.Delivered + p.Skipped)
		for dead := range maps.Values(p.Dead) {
			n += int(dead)
		}
	}
	return n
}

// vendorsLedger counts what the sandbox accepted, and how much of it again.
func vendorsLedger(t *testing.T) (accepted, double int) {
	t.Helper()
	var ledger struct {
		Operations map[string]struct{ Accepted, Duplicates int }
	}
	if err := get(sandboxURL+"/ledger", &ledger); err != nil {
		t.Fatal(err)
	}
	for o := range maps.Values(ledger.Operations) {
		accepted += o.Accepted
		double += o.Duplicates
	}
	return accepted, double
}

// get asks for JSON; into may be nil.
func get(url string, into any) error {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
