package consume_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/test/testkit"
)

// ownersScenario is a seeded sequence of owners of partition 0. Owners that have lost it write late
// copies at any time, and every owner may leave copies whose source records it did not commit.
type ownersScenario struct {
	*harness
	rng      *rand.Rand
	produced int64
	late     int // late copies
	honest   int // copies of records that only they can deliver
}

func newOwnersScenario(h *harness, seed uint64) *ownersScenario {
	// Without linger the clock does not advance during a write, so no member writes in between. The
	// first write to a topic takes time, because the client looks the topic up.
	h.client = h.newClient(kgo.ProducerLinger(0))
	for i, topic := range []string{tier10s, tier1m} { // before there is any marker
		h.produceCopy(topic, 0, otherOrigins+int64(i), 1, time.Now(), "an owner without a marker")
	}
	return &ownersScenario{harness: h, rng: rand.New(rand.NewPCG(seed, 3))}
}

// otherOrigins is where the origins begin of which the source does not have the record.
const otherOrigins = 1000

// runOwners runs several owners one after the other, and checks that every record was delivered
// exactly once and everything is committed.
func (s *ownersScenario) runOwners() error {
	for owner := range uint64(6) {
		m := s.startMember(owner, time.Second, nil)
		testkit.AdvanceClock(3 * time.Second) // it is recovered
		s.produceSource()
		s.writeLateCopies()
		testkit.AdvanceClock(s.randomTime(20 * time.Second))
		s.writeLateCopies()
		testkit.AdvanceClock(s.randomTime(20 * time.Second))
		m.stopCleanly()
		s.writeHonestCopies()
		s.writeLateCopies()
	}
	m := s.startMember(100, 0, nil)
	testkit.AdvanceClock(10 * time.Minute)
	m.stopCleanly()
	return s.check()
}

func (s *ownersScenario) produceSource() {
	for range s.rng.IntN(5) {
		s.produceOne([]string{"ok", "ok", "retry once", "retry twice"}[s.rng.IntN(4)])
	}
}

func (s *ownersScenario) produceOne(value string) (offset int64) {
	s.t.Helper()
	r := &kgo.Record{Topic: source, Partition: 0, Value: []byte(value)}
	if err := s.client.ProduceSync(s.t.Context(), r).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
	s.produced++
	return r.Offset
}

// writeLateCopies writes copies of any source records, by owners before the last one.
func (s *ownersScenario) writeLateCopies() {
	owners := s.markers.list(tier10s, 0)
	for range s.rng.IntN(4) {
		if s.produced == 0 {
			return
		}
		writer := "an owner of long ago"
		if n := len(owners) - 1; n > 0 && s.rng.IntN(3) > 0 {
			writer = owners[s.rng.IntN(n)].writer
		}
		due := time.Now().Add(s.randomTime(90 * time.Second))
		s.produceLateCopy(s.randomTier(), s.rng.Int64N(s.produced), 1+s.rng.IntN(3), due, writer)
		s.late++
	}
}

// writeHonestCopies writes copies as the last owner does before a crash. The source record of each
// would become a dead letter, so it counts only if its copy is delivered.
func (s *ownersScenario) writeHonestCopies() {
	for range s.rng.IntN(3) {
		origin := s.produceOne("dead")
		s.commits.MarkSettled(source, 0, origin)
		due := time.Now().Add(s.randomTime(90 * time.Second))
		s.produceCopy(s.randomTier(), 0, origin, 1, due, s.lastOwner())
		s.honest++
	}
}

func (s *ownersScenario) randomTier() string { return []string{tier10s, tier1m}[s.rng.IntN(2)] }

func (s *ownersScenario) randomTime(limit time.Duration) time.Duration {
	return time.Duration(s.rng.Int64N(int64(limit)))
}

func (s *ownersScenario) check() error {
	var violations []string
	if err := s.commits.Check(); err != nil {
		violations = append(violations, err.Error())
	}
	delivered, duplicates := s.vendor.countDeliveries()
	if want := int(s.produced) + 2; delivered != want || duplicates != 0 { // 2 of other origins
		violations = append(violations,
			fmt.Sprintf("got %d records delivered and %d duplicates, want %d and none", delivered, duplicates, want))
	}
	for topic, want := range map[string]int64{
		source: s.produced, tier10s: s.endOffset(tier10s, 0), tier1m: s.endOffset(tier1m, 0),
	} {
		if got := s.Cluster().GroupInfo(group).Commits[topic][0].Offset; got != want {
			violations = append(violations, fmt.Sprintf("%s/0: got committed offset %d, want %d", topic, got, want))
		}
	}
	if len(violations) == 0 {
		return nil
	}
	return fmt.Errorf("checking the owners: %s", strings.Join(violations, "; "))
}

func TestOverlappingOwnersDeliverEveryRecordOnce(t *testing.T) {
	late, honest := 0, 0
	for seed := range uint64(16) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				s := newOwnersScenario(newHarness(t), seed)
				if err := s.runOwners(); err != nil {
					t.Error(err)
				}
				late, honest = late+s.late, honest+s.honest
			})
		})
	}
	if late < 100 || honest < 40 {
		t.Errorf("got %d late and %d honest copies, want at least 100 and 40", late, honest)
	}
}

// The oracles of the scenario must catch recoveries that are known to be wrong.
func TestOwnersScenarioCatchesKnownWrongVariants(t *testing.T) {
	for name, breakRecovery := range map[string]func(*harness){
		"owner not committed":                      dropOwners,
		"marker confirmed before it is in the log": confirmMarkersEarly,
	} {
		t.Run(name, func(t *testing.T) {
			caught := 0
			for seed := range uint64(8) {
				testkit.RunInBubble(t, func(t *testing.T) {
					h := newHarness(t)
					breakRecovery(h)
					if newOwnersScenario(h, seed).runOwners() != nil {
						caught++
					}
				})
			}
			if caught == 0 {
				t.Error("every run passed, want at least one violation")
			}
		})
	}
}

// dropOwners removes the commit metadata of retry partitions, so that no recovery knows the owner
// before it.
func dropOwners(h *harness) {
	ids := map[[16]byte]bool{}
	for _, topic := range []string{tier10s, tier1m} {
		ids[h.Cluster().TopicInfo(topic).TopicID] = true
	}
	h.Cluster().ControlKey(int16(kmsg.OffsetCommit), func(r kmsg.Request) (kmsg.Response, error, bool) {
		for _, topic := range r.(*kmsg.OffsetCommitRequest).Topics {
			for i := range topic.Partitions {
				if topic.Topic == tier10s || topic.Topic == tier1m || ids[topic.TopicID] {
					topic.Partitions[i].Metadata = nil
				}
			}
		}
		return nil, nil, false
	})
}

// confirmMarkersEarly confirms markers without appending them, as if recovery did not wait for
// their offsets.
func confirmMarkersEarly(h *harness) {
	h.Cluster().ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if !hasMarker(r) {
			return nil, nil, false
		}
		h.Cluster().KeepControl()
		req := r.(*kmsg.ProduceRequest)
		response := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range req.Topics {
			t := kmsg.NewProduceResponseTopic()
			t.Topic, t.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.BaseOffset = rp.Partition, 0
				t.Partitions = append(t.Partitions, p)
			}
			response.Topics = append(response.Topics, t)
		}
		return response, nil, true
	})
}
