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

// After kill -9 in the middle of a call, the next process loses nothing, and sends again only what the commits say may have been sent.
func TestAfterAKillOnlyWhatWasBeingSentMayBeDouble(t *testing.T) {
	p := platform{StartKafka(t, 1), StartRegistry(t)}
	s := newStage(t, p, "crash", "classic", map[string]string{"purchases": "", "customer-changes": ", ordering: key"})
	s.gate.operation, s.gate.at = "crmcom.purchases", 400
	s.produce(1000, true)
	binary := build(t)

	first := s.run(binary)
	held := s.awaitHeld()
	s.awaitAccepted(1, "propel.customers") // so that the other pipeline is at work too
	first.kill()
	s.gate.free()
	sent := s.sent("crash.purchases", "crash-purchases")
	if !sent[held.ID] {
		t.Errorf("%s was at the vendor at the kill, and the commit does not say so", held.ID)
	}
	for _, p := range s.cfg.Pipelines {
		s.evict(p.ConsumerGroup)
	}

	again := s.run(binary)
	s.awaitDelivered(s.books.of(record.DispositionDelivered))
	dead := s.deadLetters(p, s.books.of(record.DispositionDead))
	again.stop()

	for _, origin := range s.wantHeaders(dead) {
		if !sent[origin] {
			t.Errorf("%s had an attempt too many, and was not being sent at the kill", origin)
		}
	}
	s.wantAllCommitted()
	// A customer change is an upsert: what was in flight at the kill may come again.
	const lanes, items = 2, 40
	report := s.audit(dead, len(sent)+lanes*items)
	for e := range s.vendors.Ledger().AllEntries("crmcom.purchases") {
		if e.Times > 1 && !sent[e.ID] {
			t.Errorf("%s was delivered twice, and was not being sent at the kill", e.ID)
		}
	}
	if len(sent) > lanes*items || report.Duplicates == 0 {
		t.Errorf("%d were being sent at the kill, %d deliveries are double; want %d at most, and one call's at least", len(sent), report.Duplicates, lanes*items)
	}
	t.Logf("%d produced = %d delivered + %d dead, %d being sent at the kill, %d duplicates", report.Produced, report.Delivered-report.Duplicates, report.Dead, len(sent), report.Duplicates)
}

// build makes the command as users have it.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "connector")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../../cmd/connector").CombinedOutput(); err != nil {
		t.Fatalf("building the command: %v\n%s", err, out)
	}
	return binary
}

// process is the command at work.
type process struct {
	s     *stage
	cmd   *exec.Cmd
	log   bytes.Buffer // of both outputs; to be read when it has ended
	ended chan error
}

func (s *stage) run(binary string) *process {
	s.t.Helper()
	p := &process{s: s, cmd: exec.Command(binary, "run", "-c", s.file), ended: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.ended <- p.cmd.Wait()
	}()
	s.t.Cleanup(func() {
		s.gate.free()
		_ = p.cmd.Process.Kill() // has ended, where the test passed
		<-done
		if s.t.Failed() {
			s.t.Logf("the command said:\n%s", p.log.String())
		}
	})
	return p
}

func (p *process) kill() {
	p.s.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.s.t.Fatal(err)
	}
	if err := <-p.ended; err == nil {
		p.s.t.Error("the command ended by itself before it was killed")
	}
}

// stop asks for an end and wants a clean one.
func (p *process) stop() {
	p.s.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.s.t.Fatal(err)
	}
	select {
	case err := <-p.ended:
		if err != nil {
			p.s.t.Errorf("the command ended with %v, want exit 0", err)
		}
	case <-time.After(patience):
		p.s.t.Fatal("the command does not stop")
	}
}

// evict removes the members of a group, as their session's end would do later.
func (s *stage) evict(group string) {
	s.t.Helper()
	described, err := s.adm.DescribeGroups(s.t.Context(), group)
	if err != nil {
		s.t.Fatal(err)
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	for _, m := range described[group].Members {
		leaving := kmsg.NewLeaveGroupRequestMember()
		leaving.MemberID = m.MemberID
		req.Members = append(req.Members, leaving)
	}
	resp, err := req.RequestWith(s.t.Context(), s.client)
	if err != nil || resp.ErrorCode != 0 || len(resp.Members) != 1 || resp.Members[0].ErrorCode != 0 {
		s.t.Fatalf("removing the members of %s: %+v, %v", group, resp, err)
	}
}
