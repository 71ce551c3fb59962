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

func TestWhatIsProducedIsDeliveredOrDeadAndAStopIsClean(t *testing.T) {
	t.Parallel()
	s := newStage(t, allPipelines, 0)
	must(t, "topics", "apply", "-c", s.config, "--sources", "3")
	if out := must(t, "schemas", "register", "-c", s.config); strings.Count(out, "has id") != 11 {
		t.Errorf("registered:\n%s", out)
	}
	bad := map[record.Cause]int{}
	var kinds []string
	for _, k := range sample.Kinds() {
		kinds = append(kinds, string(k)+"=5")
		bad[k.Cause()] += 5
	}
	must(t, "produce", "-c", s.config, "-n", "60", "--bad", strings.Join(kinds, ","), "--seed", "11")

	run := start(t, "run", "-c", s.config)
	var line struct{ Address string }
	if err := json.Unmarshal([]byte(run.await("admin server is listening")), &line); err != nil {
		t.Fatal(err)
	}
	s.awaitAccepted(t, 300)
	if dead := s.deadLetters(t, 5*len(kinds)); !maps.Equal(dead, bad) {
		t.Errorf("dead letters are %v, want %v", dead, bad)
	}
	must(t, "healthcheck", "--url", "http://"+line.Address+"/readyz")
	if out := must(t, "status", "--url", "http://"+line.Address); strings.Count(out, "running") != 5 {
		t.Errorf("the status is:\n%s", out)
	}
	var status admin.Status
	if err := json.Unmarshal([]byte(must(t, "status", "--json", "--url", "http://"+line.Address)), &status); err != nil || !status.Ready {
		t.Errorf("the status is %+v, %v", status, err)
	}
	if code := run.end(syscall.SIGTERM); code != exitDone {
		t.Errorf("exit %d after SIGTERM, want %d", code, exitDone)
	}
	for operation, n := range acceptedBy(s) {
		if d := s.vendors.Ledger().Duplicates(operation); d > 0 {
			t.Errorf("%s: %d of %d were delivered twice", operation, d, n)
		}
	}
	s.wantAllCommitted(t, "purchases", "referrals", "feedback", "customer-changes", "activities")
}

func acceptedBy(s *stage) map[string]int {
	n := map[string]int{}
	for _, operation := range []string{"crmcom.purchases", "crmcom.referrals", "crmcom.web", "expoints.add", "expoints.addlock", "propel.customers"} {
		n[operation] = s.vendors.Ledger().Count(operation)
	}
	return n
}

// deadLetters waits for so many records in the dead-letter topics, and counts them by cause.
func (s *stage) deadLetters(t *testing.T, n int) map[record.Cause]int {
	t.Helper()
	client := testkit.NewClient(t, s.platform, kgo.ConsumeRegex(), kgo.ConsumeTopics(`.*\.dlq`), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, causes := deadline(t), map[record.Cause]int{}
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

// wantAllCommitted checks that the pipelines' groups have committed every source record.
func (s *stage) wantAllCommitted(t *testing.T, pipelines ...string) {
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
				t.Errorf("%s partition %d: %d is committed, the end is %d", e.Topic, e.Partition, c.At, e.Offset)
			}
		})
	}
}

func TestAfterAKillOnlyWhatWasBeingSentMayBeDouble(t *testing.T) {
	t.Parallel()
	const produced, before, lanes, batch = 3000, 700, 3, 25
	s := newStage(t, fmt.Sprintf("  purchases: {concurrency: %d, batch: {max_items: %d, linger: 5ms}}\n", lanes, batch), before)
	must(t, "topics", "apply", "-c", s.config, "--sources", "3")
	must(t, "produce", "-c", s.config, "-n", fmt.Sprint(produced), "--seed", "5")

	first := start(t, "run", "-c", s.config)
	s.awaitAccepted(t, before)
	first.end(syscall.SIGKILL)
	s.free()
	sent := s.sent(t, "purchases", "sluice.purchases")
	s.evict(t, "sluice.purchases")

	again := start(t, "run", "-c", s.config)
	s.awaitDistinct(t, "crmcom.purchases", produced)
	if code := again.end(syscall.SIGTERM); code != exitDone {
		t.Errorf("exit %d after SIGTERM, want %d", code, exitDone)
	}
	double := 0
	for e := range s.vendors.Ledger().AllEntries("crmcom.purchases") {
		if e.Times > 1 {
			double++
			if !sent[e.ID] {
				t.Errorf("%s was delivered twice, and was not being sent at the kill", e.ID)
			}
		}
	}
	if double == 0 || len(sent) > lanes*batch {
		t.Errorf("%d were being sent at the kill, %d deliveries are double: want at most %d, and one call's at least", len(sent), double, lanes*batch)
	}
	s.wantAllCommitted(t, "purchases")
}

func TestASecondSignalStopsAtOnceAndCommitsNothingUnsettled(t *testing.T) {
	t.Parallel()
	s := newStage(t, "  purchases: {batch: {linger: 0s}}\n", 1)
	must(t, "topics", "apply", "-c", s.config, "--sources", "1")
	must(t, "produce", "-c", s.config, "-n", "1")

	run := start(t, "run", "-c", s.config)
	s.awaitAccepted(t, 1)
	if err := run.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	run.await("a second signal stops at once")
	if code := run.end(syscall.SIGTERM); code != exitFailed {
		t.Errorf("exit %d, want %d: it was no clean drain", code, exitFailed)
	}
	if sent := s.sent(t, "purchases", "sluice.purchases"); !sent["purchases-0-0"] || len(sent) != 1 {
		t.Errorf("the commit says that %v were being sent, want purchases-0-0", sent)
	}
}

// evict removes the members of a group, as their session's end would do later.
func (s *stage) evict(t *testing.T, group string) {
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

// sent gives the origins that a group's commit says were being sent.
func (s *stage) sent(t *testing.T, topic, group string) map[string]bool {
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
			if tracker.Track(new(offset.Entry), at, 0, time.Time{}) == offset.PriorIntent {
				origins[origin(topic, o.Partition, at)] = true
			}
		}
	})
	return origins
}

func origin(topic string, partition int32, at int64) string {
	return sink.Origin{Topic: topic, Partition: partition, Offset: at}.ID()
}

// awaitDistinct waits until so many different items of an operation are accepted.
func (s *stage) awaitDistinct(t *testing.T, operation string, n int) {
	t.Helper()
	ctx := deadline(t)
	for s.vendors.Ledger().Count(operation)-s.vendors.Ledger().Duplicates(operation) < n {
		select {
		case <-s.accepted:
		case <-ctx.Done():
			t.Fatalf("%d of %d different items of %s are accepted", s.vendors.Ledger().Count(operation)-s.vendors.Ledger().Duplicates(operation), n, operation)
		}
	}
}
