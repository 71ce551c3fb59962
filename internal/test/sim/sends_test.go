package sim_test

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/demo/sandbox"
	"sluice/internal/offset"
	"sluice/internal/record"
	"sluice/internal/sink"
	"sluice/internal/test/testkit"
)

// sendTap observes each request to the vendor and its response. For each record it counts the calls
// on which the vendor may have acted as far as the connector can know: the vendor read the whole
// request, but its response neither refuses the call nor reports a result for the item.
type sendTap struct {
	harness *harness

	mu    sync.Mutex
	sends map[string]int // by origin; those in which the item was accepted are in the ledger
}

// personalNumber finds the sequence numbers of the records in a request.
var personalNumber = regexp.MustCompile("-" + personalMark + `(\d{3,})`)

// observeCalls returns a handler that counts the calls that vendor serves.
func (s *sendTap) observeCalls(vendor http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, response := &observedBody{ReadCloser: r.Body}, &observedResponse{ResponseWriter: rw}
		r.Body = body
		accepted := s.harness.ledger.countDelivered()
		defer func() { // even if the vendor cuts the connection, which is a panic
			if body.complete && response.mayHaveActed() {
				s.countSends(body.text.String(), accepted)
			}
		}()
		vendor.ServeHTTP(response, r)
	})
}

// countSends counts a call for each of its items that was not accepted during the call.
func (s *sendTap) countSends(body string, accepted map[string]int) {
	now := s.harness.ledger.countDelivered()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, match := range personalNumber.FindAllStringSubmatch(body, -1) {
		seq, err := strconv.Atoi(match[1])
		if err != nil {
			continue
		}
		if id := s.harness.ledger.originOf(seq); now[id] == accepted[id] {
			s.sends[id]++
		}
	}
}

// observedBody keeps what the vendor reads of a request.
type observedBody struct {
	io.ReadCloser
	text     strings.Builder
	complete bool
}

func (b *observedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.text.Write(p[:n])
	b.complete = b.complete || err == io.EOF
	return n, err
}

// observedResponse keeps the status of a response, 0 as long as there is none.
type observedResponse struct {
	http.ResponseWriter
	status int
}

func (r *observedResponse) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// mayHaveActed reports whether the response leaves it open whether the vendor acted.
func (r *observedResponse) mayHaveActed() bool {
	return r.status == 0 || r.status >= http.StatusInternalServerError && r.status != http.StatusServiceUnavailable
}

func (l *ledger) countDelivered() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := make(map[string]int, len(l.delivered))
	for id, n := range l.delivered {
		counts[id] = n
	}
	return counts
}

func (l *ledger) originOf(seq int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if original := l.bySeq[seq]; original != nil {
		return original.origin.ID()
	}
	return ""
}

// checkSends checks that no record was sent more often than its policy allows, in calls on which
// the vendor may have acted.
func (o *oracles) checkSends() {
	limit := o.maxSends()
	if limit == 0 {
		return
	}
	o.sends.mu.Lock()
	defer o.sends.mu.Unlock()
	o.ledger.mu.Lock()
	defer o.ledger.mu.Unlock()
	for id := range o.ledger.records {
		if n := o.sends.sends[id] + o.ledger.delivered[id]; n > limit {
			o.addViolation("%s may have been acted on in %d calls, want at most %d", id, n, limit)
		}
	}
}

// serverErrors make the vendor respond with 500 for a while, and act on every second call.
func serverErrors(e *environment) []sandbox.Rule {
	do := sandbox.Action{Fault: sandbox.FaultStatus, Code: http.StatusInternalServerError}
	failed := e.operationRule("500", sandbox.Rule{When: sandbox.When{AfterCalls: 1, Until: 3 * time.Minute}, Do: do})
	do.Apply = true
	acted := e.operationRule("500, acted upon", sandbox.Rule{
		When: sandbox.When{AfterCalls: 1, Every: 2, Until: 3 * time.Minute}, Do: do,
	})
	return append(acted, failed...)
}

// hangingCalls make the vendor act on calls without responding, for a while.
func hangingCalls(e *environment) []sandbox.Rule {
	return e.operationRule("hung", sandbox.Rule{
		When: sandbox.When{Until: 5 * time.Minute},
		Do:   sandbox.Action{Fault: sandbox.FaultTimeout, Apply: true, Delay: time.Minute},
	})
}

var crashLoop = &scenario{
	name: "crash_loop", pipelines: []*simPipeline{&purchasesPipeline, &feedbackPipeline}, records: 40,
	rules: hangingCalls, run: runCrashLoop, losesResponses: true, allowedCauses: []record.Cause{record.CauseUnknown},
}

// runCrashLoop crashes several members in succession while the vendor does not respond.
func runCrashLoop(h *harness) {
	h.produceRecords(len(h.plan) / 2)
	for range 5 {
		member := h.startMember()
		testkit.AdvanceClock(time.Second + h.randomDuration(2*time.Second))
		h.awaitMembers(1)
		testkit.AdvanceClock(time.Second + h.randomDuration(5*time.Second))
		member.crash()
	}
	unsettled := len(h.unsettledAtCrash)
	h.faultCounts["crash in a call"] = func() int { return unsettled }
	h.produceRecords(0)
	member := h.startMember()
	h.awaitSettled()
	member.stop()
}

// Guarantee 4: calls that end with a 500 are not counted.
func TestSendsThatAreNotCountedAreCaught(t *testing.T) {
	forget := func(_ []sink.Item, resp sink.Response) sink.Response {
		resp.MayHaveActed = false
		return resp
	}
	scn := &scenario{
		name: "uncounted", records: 60, rules: serverErrors, losesResponses: true,
		allowedCauses: []record.Cause{record.CauseUnknown},
	}
	checkVariantIsCaught(
		t, scn, func(op sink.Operation) sink.Operation { return misclassified{op, forget} },
		"may have been acted on in",
	)
}

// Guarantee 4: the number of times that a record was sent is forgotten at a crash. Here the commit
// metadata of a record that was sent again states that it may have been sent once.
func TestSendsForgottenAtACrashAreCaught(t *testing.T) {
	runSeeds(t, crashLoop, func(h *harness) {
		h.forgetResends()
		runCrashLoop(h)
		if err := h.checkRun(); err == nil || !strings.Contains(err.Error(), "may have been acted on in") {
			h.Errorf("oracles: got %v, want too many sends", err)
		}
	})
}

// forgetResends turns the resend intents of each commit into intents before the broker sees it.
func (h *harness) forgetResends() {
	ids := map[string][16]byte{h.pipeline.name: h.topicID}
	for id, name := range h.tap.topicNames {
		ids[name] = id
	}
	h.platform.Cluster().ControlKey(int16(kmsg.OffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		request := r.(*kmsg.OffsetCommitRequest)
		for _, topic := range request.Topics {
			id := topic.TopicID
			if topic.Topic != "" {
				id = ids[topic.Topic]
			}
			for i := range topic.Partitions {
				p := &topic.Partitions[i]
				if p.Metadata != nil {
					forgotten := h.withoutResends(id, p.Offset, *p.Metadata)
					p.Metadata = &forgotten
				}
			}
		}
		return nil, nil, false
	})
}

// withoutResends returns commit metadata with intents instead of resend intents.
func (h *harness) withoutResends(topicID [16]byte, at int64, metadata string) string {
	prior, forgotten := offset.NewTracker(topicID, at, nil), offset.NewTracker(topicID, at, nil)
	if err := prior.RestoreMetadata(metadata); err != nil {
		h.Errorf("reading commit metadata: %v", err)
	}
	for o := at; o < at+int64(h.scenario.records); o++ {
		state, entry := prior.Track(new(offset.Entry), o, 0, time.Time{}), new(offset.Entry)
		forgotten.Track(entry, o, 0, time.Time{})
		switch {
		case state == offset.PriorSettled:
			entry.Settle()
		case state.MayHaveBeenSent():
			entry.MarkIntent()
		}
	}
	commit, _ := forgotten.PendingCommit()
	return commit.Metadata
}
