package deliver

import (
	"context"

	"sluice/internal/record"
)

// intentKeeper logs and clears the send intents of one lane's deliveries.
type intentKeeper struct {
	log     IntentLog
	policy  policy
	records []*record.Record // reused
}

// isMissing reports whether the delivery's intent must be committed before it is sent. Where order
// is kept, this includes repeatable operations: a member that has lost the partition without
// noticing would overwrite newer state with older, and the refused commit of the intent prevents
// that.
func (k *intentKeeper) isMissing(queued *entry) bool {
	return (!k.policy.repeatable || k.policy.retryInPlace) && !queued.Value.intentLogged
}

// logMissing commits the intents that are missing. It returns false if workCtx ended first.
func (k *intentKeeper) logMissing(workCtx context.Context, entries []*entry) bool {
	k.records = k.records[:0]
	for _, e := range entries {
		if k.isMissing(e) {
			e.Value.intentLogged = true
			k.records = append(k.records, e.Value.Record)
		}
	}
	return len(k.records) == 0 || k.log.LogIntent(workCtx, k.records) == nil
}

// clearUnlessActed clears the intents of entries that stay in the lane. It keeps those of items on
// which the vendor may have acted, if sending them twice may do harm.
func (k *intentKeeper) clearUnlessActed(entries []*entry) {
	k.records = k.records[:0]
	for _, e := range entries {
		if e.Value.intentLogged && (!e.Value.mayHaveActed || k.policy.repeatable) {
			e.Value.intentLogged = false
			k.records = append(k.records, e.Value.Record)
		}
	}
	if len(k.records) > 0 {
		k.log.ClearIntent(k.records)
	}
}

// releaseDelivery releases the record without an outcome. Its intent remains if the vendor may have
// acted, so that the next owner knows.
func (k *intentKeeper) releaseDelivery(delivery *Delivery) {
	if delivery.intentLogged && !delivery.mayHaveActed {
		k.log.ClearIntent([]*record.Record{delivery.Record})
	}
	delivery.Record.Release()
}
