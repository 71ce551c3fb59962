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
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/internal/admin"
)

// composeVariable is the environment variable with the command that runs Compose, "docker compose"
// or "docker-compose". .ci/compose sets it.
const composeVariable = "SLUICE_COMPOSE"

// The addresses that docker-compose.yml publishes.
const (
	connectorURL = "http://127.0.0.1:8080"
	sandboxURL   = "http://127.0.0.1:8090"
)

// Compose runs the product as a user would: it builds the image, starts all services, produces
// events, accounts for every one of them, and stops the connector.
func TestComposeSettlesEveryEventAndStopsCleanly(t *testing.T) {
	c := newCompose(t)
	c.mustRun("up", "-d", "--build")
	c.await(time.Minute, "the connector to be ready", func() bool {
		return getJSON(connectorURL+"/readyz", nil) == nil
	})
	produced := c.produceEvents("-n", "200", "--seed", "1",
		"--bad", "poison=10,trailing=5,magic=5,tombstone=5,unmapped=5,invalid=10,rejected=10")
	if produced.valid != 1000 || produced.bad != 50 {
		t.Fatalf("got %+v events produced, want 200 valid ones for each of 5 pipelines, and 50 bad ones", produced)
	}
	var status admin.Status
	c.await(time.Minute, "everything to be settled", func() bool {
		return getJSON(connectorURL+"/status", &status) == nil && settledRecords(status) == produced.valid+produced.bad
	})
	for _, p := range status.Pipelines {
		if p.Delivered != 200 || p.PossibleDuplicates != 0 || p.CommitFailures != 0 {
			t.Errorf("pipeline %s: got %d delivered, %d possible duplicates, %d commit failures, want 200, 0, 0",
				p.Pipeline, p.Delivered, p.PossibleDuplicates, p.CommitFailures)
		}
	}
	if accepted, duplicates := readSandboxLedger(t); accepted != produced.valid || duplicates != 0 {
		t.Errorf("got %d items accepted by the vendors with %d duplicates, want %d with 0",
			accepted, duplicates, produced.valid)
	}
	for _, service := range []string{"kafka", "registry", "sandbox", "connector"} {
		c.await(time.Minute, service+" to be healthy", func() bool {
			return c.inspectService(service, "{{.State.Health.Status}}") == "healthy"
		})
	}
	stoppedAt := time.Now()
	c.mustRun("stop", "connector")
	code := c.inspectService("connector", "{{.State.ExitCode}}")
	if elapsed := time.Since(stoppedAt); code != "0" || elapsed > 30*time.Second {
		t.Errorf("stopping with nothing in flight: got exit code %s after %v, want 0 within 30s",
			code, elapsed.Round(time.Second))
	}
}

// compose runs Compose with its own project, which is removed when the test ends.
type compose struct {
	t       *testing.T
	command []string
}

func newCompose(t *testing.T) compose {
	t.Helper()
	command := strings.Fields(os.Getenv(composeVariable))
	if len(command) == 0 {
		t.Skipf("%s is not set; run .ci/compose", composeVariable)
	}
	c := compose{t, append(command, "-p", "sluicetest", "-f", "../../../docker-compose.yml")}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.runForOutput("logs", "--no-color", "--tail", "40"))
		}
		c.mustRun("down", "-v", "--remove-orphans")
	})
	return c
}

func (c compose) mustRun(args ...string) string {
	c.t.Helper()
	out, err := c.runCommand(args...)
	if err != nil {
		c.t.Fatalf("running Compose with %v: %v\n%s", args, err, out)
	}
	return out
}

// runForOutput returns what a command prints, whether or not it fails.
func (c compose) runForOutput(args ...string) string {
	out, err := c.runCommand(args...)
	return fmt.Sprint(out, err)
}

// runCommand runs a command. It also works during cleanup, when the test's context has ended.
func (c compose) runCommand(args ...string) (string, error) {
	command := slices.Concat(c.command, args)
	out, err := exec.CommandContext(context.WithoutCancel(c.t.Context()), command[0], command[1:]...).CombinedOutput()
	return string(out), err
}

func (c compose) inspectService(service, format string) string {
	c.t.Helper()
	ids := strings.Fields(c.mustRun("ps", "-q", service))
	if len(ids) != 1 {
		c.t.Fatalf("service %s: got containers %v, want one", service, ids)
	}
	out, err := exec.CommandContext(c.t.Context(), "docker", "inspect", "-f", format, ids[0]).Output()
	if err != nil {
		c.t.Fatalf("inspecting %s: %v", service, err)
	}
	return strings.TrimSpace(string(out))
}

// await polls a condition until it is true, because other processes do not notify this one.
func (c compose) await(timeout time.Duration, what string, condition func() bool) {
	c.t.Helper()
	deadline := time.After(timeout)
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	for !condition() {
		select {
		case <-poll.C:
		case <-deadline:
			c.t.Fatalf("timed out after %v waiting for %s", timeout, what)
		}
	}
}

type eventCounts struct{ valid, bad int }

// produceEvents runs `connector produce`, and sums up the lines "<pipeline> <kind>: <count>" that
// it prints.
func (c compose) produceEvents(args ...string) eventCounts {
	c.t.Helper()
	command := []string{"run", "--rm", "-T", "connector", "produce", "-c", "/etc/sluice/connector.yaml"}
	out := c.mustRun(append(command, args...)...)
	var counts eventCounts
	for line := range strings.Lines(out) {
		name, count, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, err := strconv.Atoi(count)
		_, kind, ok := strings.Cut(name, " ")
		switch {
		case err != nil || !ok: // printed by Compose
		case kind == "valid":
			counts.valid += n
		default:
			counts.bad += n
		}
	}
	return counts
}

// settledRecords returns the number of settled records, or -1 while any is in flight or not
// committed.
func settledRecords(status admin.Status) int {
	count := 0
	for _, p := range status.Pipelines {
		if p.InFlight > 0 || p.LagRecords > 0 {
			return -1
		}
		count += int(p.Delivered + p.Skipped)
		for dead := range maps.Values(p.Dead) {
			count += int(dead)
		}
	}
	return count
}

// readSandboxLedger returns how many items the sandbox has accepted, and how many of them were
// duplicates.
func readSandboxLedger(t *testing.T) (accepted, duplicates int) {
	t.Helper()
	var ledger struct {
		Operations map[string]struct{ Accepted, Duplicates int }
	}
	if err := getJSON(sandboxURL+"/ledger", &ledger); err != nil {
		t.Fatal(err)
	}
	for operation := range maps.Values(ledger.Operations) {
		accepted += operation.Accepted
		duplicates += operation.Duplicates
	}
	return accepted, duplicates
}

// getJSON requests url and decodes the response into the value unless that is nil.
func getJSON(url string, into any) error {
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("requesting %s: got status %s, want 200", url, resp.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
