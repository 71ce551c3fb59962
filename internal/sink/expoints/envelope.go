package expoints

import (
	"strings"
	"time"
)

// group is what an event may say of the batch that it needs.
type group struct{ test, concept bool }

// String is the group as Item.Group has it.
func (g group) String() string {
	switch {
	case g.test && g.concept:
		return "test concept"
	case g.test:
		return "test"
	case g.concept:
		return "concept"
	}
	return "live"
}

func parseGroup(s string) group {
	return group{test: strings.Contains(s, "test"), concept: strings.Contains(s, "concept")}
}

// envelope gives what stands before and after the customers of a call of customer/add made at now.
func (a *account) envelope(g group, now time.Time) (prefix, suffix []byte) {
	batch := a.cfg.Batch
	w := &writer{b: append(make([]byte, 0, 512), '{'), zone: a.zone}
	w.bool("ApproveAutomatically", batch.ApproveAutomatically)
	if batch.EndAfter > 0 {
		end := now.Add(batch.EndAfter)
		w.optTime("EndDate", &end)
	}
	if batch.SendTime != "" {
		send := a.sendTime(now)
		w.optTime("SendTime", &send)
	}
	w.bool("IsTest", g.test)
	w.text("TypeBatch", batch.TypeBatch)
	w.bool("AllowDuplicateEmail", batch.AllowDuplicateEmail)
	if len(batch.NotificationEmailAddresses) > 0 {
		w.text("NotificationEmailAddresses", strings.Join(batch.NotificationEmailAddresses, ","))
	}
	if batch.BatchName != "" {
		w.text("BatchName", batch.BatchName)
	}
	w.bool("IsConcept", g.concept)
	w.key("Customers")
	return append(w.b, '['), []byte("]}")
}

// sendTime is the configured time of day, on the day of now: the vendor looks at the time alone.
func (a *account) sendTime(now time.Time) time.Time {
	y, m, d := now.In(a.zone).Date()
	t := a.sendAt
	return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), a.zone)
}

// envelopeSize bounds the bytes of an envelope: two instants are at most 35 bytes each, and everything else is fixed.
func (a *account) envelopeSize() int {
	const room = 128 // instants that are shorter at one time than at another, false for true
	prefix, suffix := a.envelope(group{}, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC))
	return len(prefix) + len(suffix) + room
}
