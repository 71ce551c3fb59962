package deliver

import (
	"context"

	"sluice/internal/record"
)

// intentLevel is what the committed send intent of a record says about its calls.
type intentLevel uint8

const (
	intentNone   intentLevel = iota // it was not sent
	intentOnce                      // it may have been sent once
	intentResend                    // it may have been sent more than once
)

// levelForCalls returns the intent that covers so many calls.
func levelForCalls(calls int) intentLevel { return intentLevel(min(calls, int(intentResend))) }

// intentKeeper logs and clears the send intents of one lane's deliveries.
type intentKeeper struct {
	log     IntentLog
	policy  policy
	intents []record.Intent // reused
}

// isMissing reports whether the delivery's intent must be committed before it is sent. Where order
// is kept, this includes repeatable operations: a member that has lost the partition without
// noticing would overwrite newer state with older, and the refused commit of the intent prevents
// that.
func (k *intentKeeper) isMissing(queued *entry) bool {
	delivery := &queued.Value
	return (!k.policy.repeatable || k.policy.retryInPlace) &&
		delivery.loggedIntent < levelForCalls(delivery.sendsHere()+1)
}

// logMissing commits the intents that are missing. It returns false if workCtx ended first.
func (k *intentKeeper) logMissing(workCtx context.Context, entries []*entry) bool {
	k.intents = k.intents[:0]
	for _, e := range entries {
		if k.isMissing(e) {
			e.Value.loggedIntent = levelForCalls(e.Value.sendsHere() + 1)
			k.intents = append(k.intents, record.Intent{
				Record: e.Value.Record, Resend: e.Value.loggedIntent == intentResend,
			})
		}
	}
	return len(k.intents) == 0 || k.log.LogIntent(workCtx, k.intents) == nil
}

// clearUnlessActed withdraws the intents of a call on which the vendor did not act, for entries
// that stay in the lane. It keeps the intents of earlier calls on which the vendor may have acted.
func (k *intentKeeper) clearUnlessActed(entries []*entry) {
	k.intents = k.intents[:0]
	for _, e := range entries {
		k.addCleared(&e.Value)
	}
	k.clearAdded()
}

// releaseDelivery releases the record without an outcome. Its intent remains if the vendor may have
// acted, so that the next owner knows.
func (k *intentKeeper) releaseDelivery(delivery *Delivery) {
	k.intents = k.intents[:0]
	k.addCleared(delivery)
	k.clearAdded()
	delivery.Record.Release()
}

// addCleared adds the intent of a delivery to those to be withdrawn, if it covers more calls than
// those on which the vendor may have acted.
func (k *intentKeeper) addCleared(delivery *Delivery) {
	acted := levelForCalls(delivery.sendsHere())
	if delivery.loggedIntent <= acted {
		return
	}
	delivery.loggedIntent = acted
	k.intents = append(k.intents, record.Intent{Record: delivery.Record, Resend: acted != intentNone})
}

func (k *intentKeeper) clearAdded() {
	if len(k.intents) > 0 {
		k.log.ClearIntent(k.intents)
	}
}
