package sim_test

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/sink"
)

// shuffledPlan has each kind of the scenario's mix that the line knows as often as the mix says, in an order that the seed gives.
func (w *world) shuffledPlan() []kind {
	var plan []kind
	for _, k := range slices.Sorted(maps.Keys(w.scenario.mix)) {
		if knows(w.line, k) {
			plan = append(plan, slices.Repeat([]kind{k}, w.scenario.mix[k])...)
		}
	}
	for len(plan) < w.scenario.records {
		plan = append(plan, good)
	}
	w.rng.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	return plan
}

// produce writes the next n records of the plan, all of them where n is 0.
func (w *world) produce(n int) {
	if n == 0 {
		n = len(w.plan)
	}
	batch := w.plan[:n]
	w.plan = w.plan[n:]
	var records []*kgo.Record
	for _, k := range batch {
		records = append(records, w.next(k))
	}
	w.must(w.client.ProduceSync(w.Context(), records...).FirstErr())
	for _, r := range records {
		if p := w.books.find(fmt.Sprintf("%s-%d-%d", r.Topic, r.Partition, r.Offset)); p == nil || p.raw != r {
			w.Fatalf("record %s-%d-%d was entered for another place", r.Topic, r.Partition, r.Offset)
		}
	}
}

// next makes a record and enters it in the books under the offset that it will have, for it may be read before its write is confirmed.
func (w *world) next(k kind) *kgo.Record {
	w.seq++
	customer := fmt.Sprint("c", w.rng.IntN(12))
	key := []byte(customer)
	if w.rng.IntN(20) == 0 {
		customer, key = fmt.Sprint("n", w.seq), nil
	}
	value, err := w.values.value(k, w.seq, customer)
	w.must(err)
	h := fnv.New32a()
	h.Write([]byte(customer))
	r := &kgo.Record{
		Topic: w.line.pipeline, Partition: int32(h.Sum32() % uint32(w.parts)), Key: key, Value: value, Timestamp: time.Now().Truncate(time.Millisecond),
		Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte{0, 255, byte(w.seq)}}, {Key: "empty"}, {Key: "trace", Value: []byte("again")}},
	}
	origin := sink.Origin{Topic: r.Topic, TopicID: w.topicID, Partition: r.Partition, Offset: w.ends[r.Partition], Timestamp: r.Timestamp}
	w.ends[r.Partition]++
	w.books.enter(&produced{seq: w.seq, kind: k, customer: customer, raw: r, origin: origin}, w.skipping() && (k == tombstone || k == unmapped))
	return r
}
