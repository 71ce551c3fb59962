package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/admin"
	"sluice/internal/demo/sample"
	"sluice/internal/offset"
	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

const allPipelines = `
  purchases: {retry: {delays: [1s]}}
  referrals: {retry: {delays: [1s]}}
  feedback: {retry: {delays: [1s]}}
  customer-changes: {retry: {delays: [1s]}}
  activities: {retry: {delays: [1s]}}
`

func TestProducedRecordsAreDeliveredOrDeadAndStopIsClean(t *testing.T) {
	t.Parallel()
	s := newHarness(t, allPipelines, 0)
	mustRun(t, "topics", "apply", "-c", s.config, "--sources", "3")
	if out := mustRun(t, "schemas", "register", "-c", s.config); strings.Count(out, "has id") != 11 {
		t.Errorf("registered:\n%s", out)
	}
	bad := map[record.Cause]int{}
	var kinds []string
	for _, k := range sample.Kinds() {
		kinds = append(kinds, string(k)+"=5")
		bad[k.Cause()] += 5
	}
	mustRun(t, "produce", "-c", s.config, "-n", "60", "--bad", strings.Join(kinds, ","), "--seed", "11")

	run := startCommand(t, "run", "-c", s.config)
	var line struct{ Address string }
	if err := json.Unmarshal([]byte(run.awaitLine("admin server is listening")), &line); err != nil {
		t.Fatal(err)
	}
	s.awaitAccepted(t, 300)
	if dead := s.awaitDeadLetters(t, 5*len(kinds)); !maps.Equal(dead, bad) {
		t.Errorf("got dead letters %v, want %v", dead, bad)
	}
	mustRun(t, "healthcheck", "--url", "http://"+line.Address+"/readyz")
	if out := mustRun(t, "status", "--url", "http://"+line.Address); strings.Count(out, "running") != 5 {
		t.Errorf("got status:\n%s", out)
	}
	var status admin.Status
	if err := json.Unmarshal([]byte(mustRun(t, "status", "--json", "--url", "http://"+line.Address)), &status); err != nil || !status.Ready {
		t.Errorf("got status %+v, %v", status, err)
	}
	if code := run.endWith(syscall.SIGTERM); code != exitSuccess {
		t.Errorf("exit %d after SIGTERM, want %d", code, exitSuccess)
	}
	for operation, n := range acceptedByOperation(s) {
		if d := s.vendors.Ledger().Duplicates(operation); d > 0 {
			t.Errorf("%s: %d of %d were delivered twice", operation, d, n)
		}
	}
	s.checkAllCommitted(t, "purchases", "referrals", "feedback", "customer-changes", "activities")
}

func acceptedByOperation(s *harness) map[string]int {
	n := map[string]int{}
	for _, operation := range []string{"crmcom.purchases", "crmcom.referrals", "crmcom.web", "expoints.add", "expoints.addlock", "propel.customers"} {
		n[operation] = s.vendors.Ledger().Count(operation)
	}
	return n
}

// awaitDeadLetters waits for n records in the dead-letter topics, and counts them by cause.
func (s *harness) awaitDeadLetters(t *testing.T, n int) map[record.Cause]int {
	t.Helper()
	client := testkit.NewClient(t, s.platform, kgo.ConsumeRegex(), kgo.ConsumeTopics(`.*\.dlq`), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, causes := withDeadline(t), map[record.Cause]int{}
	for got := 0; got < n; {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d dead letters, want %d: %v", got, n, causes)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			got++
			for _, h := range r.Headers {
				if h.Key == record.HeaderCause {
					causes[record.Cause(h.Value)]++
				}
			}
		})
	}
	return causes
}

// checkAllCommitted checks that the groups of the pipelines have committed every source record.
func (s *harness) checkAllCommitted(t *testing.T, pipelines ...string) {
	t.Helper()
	adm := kadm.NewClient(testkit.NewClient(t, s.platform))
	for _, pipeline := range pipelines {
		committed, err := adm.FetchOffsets(t.Context(), "sluice."+pipeline)
		if err != nil {
			t.Fatal(err)
		}
		ends, err := adm.ListEndOffsets(t.Context(), pipeline)
		if err != nil {
			t.Fatal(err)
		}
		ends.Each(func(e kadm.ListedOffset) {
			if c, _ := committed.Lookup(e.Topic, e.Partition); c.At != e.Offset {
				t.Errorf("%s partition %d: committed offset is %d, want the end %d", e.Topic, e.Partition, c.At, e.Offset)
			}
		})
	}
}

func TestAfterKillOnlyRecordsWithIntentMayBeDuplicated(t *testing.T) {
	t.Parallel()
	const produced, before, lanes, batch = 3000, 700, 3, 25
	s := newHarness(t, fmt.Sprintf("  purchases: {concurrency: %d, batch: {max_items: %d, linger: 5ms}}\n", lanes, batch), before)
	mustRun(t, "topics", "apply", "-c", s.config, "--sources", "3")
	mustRun(t, "produce", "-c", s.config, "-n", fmt.Sprint(produced), "--seed", "5")

	first := startCommand(t, "run", "-c", s.config)
	s.awaitAccepted(t, before)
	first.endWith(syscall.SIGKILL)
	s.releaseCall()
	sent := s.committedIntents(t, "purchases", "sluice.purchases")
	s.evictMembers(t, "sluice.purchases")

	again := startCommand(t, "run", "-c", s.config)
	s.awaitDistinct(t, "crmcom.purchases", produced)
	if code := again.endWith(syscall.SIGTERM); code != exitSuccess {
		t.Errorf("exit %d after SIGTERM, want %d", code, exitSuccess)
	}
	double := 0
	for e := range s.vendors.Ledger().AllEntries("crmcom.purchases") {
		if e.Times > 1 {
			double++
			if !sent[e.ID] {
				t.Errorf("%s was delivered twice, but had no intent at the kill", e.ID)
			}
		}
	}
	if double == 0 || len(sent) > lanes*batch {
		t.Errorf("%d records had an intent at the kill and %d were delivered twice, want at most %d intents and at least one duplicate", len(sent), double, lanes*batch)
	}
	s.checkAllCommitted(t, "purchases")
}

func TestSecondSignalStopsAtOnceAndCommitsNothingUnsettled(t *testing.T) {
	t.Parallel()
	s := newHarness(t, "  purchases: {batch: {linger: 0s}}\n", 1)
	mustRun(t, "topics", "apply", "-c", s.config, "--sources", "1")
	mustRun(t, "produce", "-c", s.config, "-n", "1")

	run := startCommand(t, "run", "-c", s.config)
	s.awaitAccepted(t, 1)
	if err := run.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	run.awaitLine("a second signal stops immediately")
	if code := run.endWith(syscall.SIGTERM); code != exitFailure {
		t.Errorf("got exit %d, want %d, because the drain was cut short", code, exitFailure)
	}
	if sent := s.committedIntents(t, "purchases", "sluice.purchases"); !sent["purchases-0-0"] || len(sent) != 1 {
		t.Errorf("got committed intents for %v, want purchases-0-0", sent)
	}
}

// evictMembers removes the members of a group, as the end of their session would do later.
func (s *harness) evictMembers(t *testing.T, group string) {
	t.Helper()
	client := testkit.NewClient(t, s.platform)
	described, err := kadm.NewClient(client).DescribeGroups(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	for _, m := range described[group].Members {
		leaving := kmsg.NewLeaveGroupRequestMember()
		leaving.MemberID = m.MemberID
		req.Members = append(req.Members, leaving)
	}
	resp, err := req.RequestWith(t.Context(), client)
	if err != nil || resp.ErrorCode != 0 || len(resp.Members) != 1 || resp.Members[0].ErrorCode != 0 {
		t.Fatalf("removing the members of %s: %+v, %v", group, resp, err)
	}
}

// committedIntents returns the origins for which a group's commit metadata has an intent.
func (s *harness) committedIntents(t *testing.T, topic, group string) map[string]bool {
	t.Helper()
	adm := kadm.NewClient(testkit.NewClient(t, s.platform))
	committed, err := adm.FetchOffsets(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	details, err := adm.ListTopics(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	ends, err := adm.ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	origins := map[string]bool{}
	committed.Offsets().Each(func(o kadm.Offset) {
		if o.Topic != topic {
			return
		}
		tracker := offset.NewTracker(details[topic].ID, o.At, nil)
		if err := tracker.RestoreMetadata(o.Metadata); err != nil {
			t.Errorf("partition %d: %v", o.Partition, err)
		}
		end, _ := ends.Lookup(topic, o.Partition)
		for at := o.At; at < end.Offset; at++ {
			if tracker.Track(new(offset.Entry), at, 0, time.Time{}).MayHaveBeenSent() {
				origins[originID(topic, o.Partition, at)] = true
			}
		}
	})
	return origins
}

func originID(topic string, partition int32, at int64) string {
	return sink.Origin{Topic: topic, Partition: partition, Offset: at}.ID()
}

// awaitDistinct waits until n different items of an operation are accepted.
func (s *harness) awaitDistinct(t *testing.T, operation string, n int) {
	t.Helper()
	ctx := withDeadline(t)
	for s.vendors.Ledger().Count(operation)-s.vendors.Ledger().Duplicates(operation) < n {
		select {
		case <-s.accepted:
		case <-ctx.Done():
			t.Fatalf("%d of %d different items of %s were accepted", s.vendors.Ledger().Count(operation)-s.vendors.Ledger().Duplicates(operation), n, operation)
		}
	}
}
