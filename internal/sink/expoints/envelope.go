package expoints

import (
	"strings"
	"time"
)

// envelopeKind is what an event determines about the envelope of its call.
type envelopeKind struct{ isTest, isConcept bool }

// String returns the envelope key of the kind.
func (k envelopeKind) String() string {
	switch {
	case k.isTest && k.isConcept:
		return "test concept"
	case k.isTest:
		return "test"
	case k.isConcept:
		return "concept"
	}
	return "live"
}

// parseEnvelopeKey is the inverse of String.
func parseEnvelopeKey(key string) envelopeKind {
	return envelopeKind{isTest: strings.Contains(key, "test"), isConcept: strings.Contains(key, "concept")}
}

// addEnvelope returns what precedes and follows the customers in a call of customer/add at now.
func (a *account) addEnvelope(kind envelopeKind, now time.Time) (prefix, suffix []byte) {
	batch := a.cfg.Batch
	e := newEncoder(a.zone, nil)
	e.BeginObject("")
	e.Bool("ApproveAutomatically", batch.ApproveAutomatically)
	if batch.EndAfter > 0 {
		end := now.Add(batch.EndAfter)
		e.writeInstant("EndDate", &end)
	}
	if batch.SendTime != "" {
		sendTime := a.sendTimeOn(now)
		e.writeInstant("SendTime", &sendTime)
	}
	e.Bool("IsTest", kind.isTest)
	e.Text("TypeBatch", batch.TypeBatch)
	e.Bool("AllowDuplicateEmail", batch.AllowDuplicateEmail)
	if len(batch.NotificationEmailAddresses) > 0 {
		e.Text("NotificationEmailAddresses", strings.Join(batch.NotificationEmailAddresses, ","))
	}
	if batch.BatchName != "" {
		e.Text("BatchName", batch.BatchName)
	}
	e.Bool("IsConcept", kind.isConcept)
	e.BeginArray("Customers")
	return e.Bytes(), []byte("]}")
}

// sendTimeOn returns the configured time of day on the day of now. The vendor ignores the day.
func (a *account) sendTimeOn(now time.Time) time.Time {
	year, month, day := now.In(a.zone).Date()
	t := a.timeOfDay
	return time.Date(year, month, day, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), a.zone)
}

// maxEnvelopeSize returns an upper bound of the size of an envelope in bytes. Only the two instants
// and the two booleans of the kind vary. The margin covers them: an instant has at most 35 bytes.
func (a *account) maxEnvelopeSize() int {
	const margin = 128
	prefix, suffix := a.addEnvelope(envelopeKind{}, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))
	return len(prefix) + len(suffix) + margin
}
