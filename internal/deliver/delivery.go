package deliver

import (
	"time"

	"sluice/internal/batch"
	"sluice/internal/record"
	"sluice/internal/sink"
)

// Delivery is one record on its way to the vendor: the record, the item that the vendor receives,
// and the history of its attempts. Callers set the exported fields; the lane keeps the others.
type Delivery struct {
	Record *record.Record
	Item   sink.Item
	// OrderKey is the record's Kafka key where order is kept, otherwise nil. A later record with
	// the same key is not sent before the earlier one is settled or released.
	OrderKey []byte

	lastDelay   time.Duration // the retry delay that the record waited last
	firstFailed time.Time     // when it first failed, in this lane or before; zero: never
	attempts    int           // made in this lane
	// sends counts the calls on which the vendor may have acted, including those of earlier owners.
	// It stays 0 if the operation is repeatable.
	sends        int
	loggedIntent intentLevel

	callFailures     int    // failed calls that carried it, with a passed call in between
	passedAtFailure  uint64 // the gate's count of passed calls at the last such failure
	quarantinedUntil uint64 // the operator release that ends its quarantine, counted from 1; 0: never quarantined
	// rejection is the result of an offender while the search of its batch is not complete.
	rejection *sink.Result
}

// entry is a Delivery in its lane's queue.
type entry = batch.Entry[Delivery]

func newEntry(delivery Delivery, now time.Time) entry {
	item := delivery.Item
	return entry{
		Value: delivery, EnvelopeKey: item.EnvelopeKey, OrderKey: delivery.OrderKey, EntityKey: item.EntityKey,
		Size: len(item.Body), ArrivedAt: now,
	}
}

// sendsHere counts the calls on which the vendor may have acted since the record was written to
// where it was read from.
func (d *Delivery) sendsHere() int { return max(0, d.sends-d.Record.Sends) }

func isDraining(rec *record.Record) bool {
	_, draining := rec.Draining()
	return draining
}
