//go:build docker

package dockertest

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/record"
)

// The connector is killed with SIGKILL during a call. After a restart it must lose nothing, and
// resend only records that have a send intent in the commit metadata.
func TestKillDuplicatesOnlyRecordsWithASendIntent(t *testing.T) {
	p := startPlatform(t)
	h := newHarness(t, p, "crash", "classic", map[string]string{"purchases": "", "customer-changes": ", ordering: key"})
	h.blocker.operation, h.blocker.nth = "crmcom.purchases", 400
	h.produceRecords(1000, true)
	binary := buildCommand(t)

	killed := h.startProcess(binary)
	blocked := h.awaitBlockedCall()
	h.awaitAccepted(1, "propel.customers") // the other pipeline has started as well
	killed.killProcess()
	h.blocker.unblock()
	intents := h.originsWithIntent("crash.purchases", "crash-purchases")
	if !intents[blocked.ID] {
		t.Errorf("%s: got no send intent in the commit, want one for a call in flight at the kill", blocked.ID)
	}
	for _, p := range h.cfg.Pipelines {
		h.removeGroupMembers(p.ConsumerGroup)
	}

	restarted := h.startProcess(binary)
	h.awaitDelivered(h.produced.expectedCount(record.DispositionDelivered))
	deadLetters := h.readDeadLetters(p, h.produced.expectedCount(record.DispositionDead))
	restarted.stopCleanly()

	for _, origin := range h.checkDeadLetterHeaders(deadLetters) {
		if !intents[origin] {
			t.Errorf("%s: got an additional attempt, want one only for records with a send intent at the kill", origin)
		}
	}
	h.checkAllCommitted()
	// A customer change is an upsert, so what was in flight at the kill may be delivered twice.
	const lanes, items = 2, 40
	report := h.checkLedger(deadLetters, len(intents)+lanes*items)
	for entry := range h.vendors.Ledger().AllEntries("crmcom.purchases") {
		if entry.Times > 1 && !intents[entry.ID] {
			t.Errorf("%s: got %d deliveries, want one because it had no send intent at the kill", entry.ID, entry.Times)
		}
	}
	if len(intents) > lanes*items || report.Duplicates == 0 {
		t.Errorf("got %d send intents at the kill and %d duplicates, want at most %d and at least one",
			len(intents), report.Duplicates, lanes*items)
	}
	t.Logf("%d produced = %d delivered + %d dead, %d send intents at the kill, %d duplicates", report.Produced,
		report.Delivered-report.Duplicates, report.Dead, len(intents), report.Duplicates)
}

func buildCommand(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "connector")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../../cmd/connector")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the command: %v\n%s", err, out)
	}
	return binary
}

// process is a running `connector run`.
type process struct {
	h      *harness
	cmd    *exec.Cmd
	output bytes.Buffer // standard output and error; must not be read before the process has exited
	exited chan error
}

func (h *harness) startProcess(binary string) *process {
	h.t.Helper()
	p := &process{h: h, cmd: exec.Command(binary, "run", "-c", h.configFile), exited: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.exited <- p.cmd.Wait()
	}()
	h.t.Cleanup(func() {
		h.blocker.unblock()
		_ = p.cmd.Process.Kill() // fails if the process has exited, as it has when the test passed
		<-done
		if h.t.Failed() {
			h.t.Logf("output of the command:\n%s", p.output.String())
		}
	})
	return p
}

func (p *process) killProcess() {
	p.h.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.h.t.Fatal(err)
	}
	if err := <-p.exited; err == nil {
		p.h.t.Error("got exit code 0, want the process to run until it is killed")
	}
}

// stopCleanly sends SIGTERM and checks that the process exits with code 0.
func (p *process) stopCleanly() {
	p.h.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.h.t.Fatal(err)
	}
	select {
	case err := <-p.exited:
		if err != nil {
			p.h.t.Errorf("stopping the command: got %v, want exit code 0", err)
		}
	case <-time.After(waitTimeout):
		p.h.t.Fatalf("stopping the command: still running after %v", waitTimeout)
	}
}

// removeGroupMembers removes the members of a group, as the coordinator would do once their
// sessions time out.
func (h *harness) removeGroupMembers(group string) {
	h.t.Helper()
	described, err := h.admin.DescribeGroups(h.t.Context(), group)
	if err != nil {
		h.t.Fatal(err)
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	for _, m := range described[group].Members {
		member := kmsg.NewLeaveGroupRequestMember()
		member.MemberID = m.MemberID
		req.Members = append(req.Members, member)
	}
	resp, err := req.RequestWith(h.t.Context(), h.client)
	if err != nil || resp.ErrorCode != 0 || len(resp.Members) != 1 || resp.Members[0].ErrorCode != 0 {
		h.t.Fatalf("removing the members of group %s: got response %+v, error %v, want one member removed",
			group, resp, err)
	}
}
