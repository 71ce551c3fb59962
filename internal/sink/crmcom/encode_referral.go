package crmcom

import "sluice/internal/event"

func encodeReferral(w *writer, e *event.Referral) {
	const referred, referredBy = "referred_rewards_participant_identifier", "referred_by_rewards_participant_identifier"
	w.optionalClassification(e.ClassificationIdentifier)
	w.performed(e.PerformedByUnitIdentifier, e.PerformedOn, e.Description)
	w.until(r17, referred)
	w.participant(referred, e.ReferredRewardsParticipantIdentifier)
	w.until(r17, referredBy)
	w.participant(referredBy, e.ReferredByRewardsParticipantIdentifier)
	w.external(e.ExternalSystem, e.ExternalSystemReferenceNumber, e.EventId)
	w.udfStrings(e.UdfString1, e.UdfString2, e.UdfString3, e.UdfString4, e.UdfString5, e.UdfString6, e.UdfString7, e.UdfString8)
	w.udfFloats(e.UdfFloat1, e.UdfFloat2, e.UdfFloat3, e.UdfFloat4)
	w.udfDates(e.UdfDate1, e.UdfDate2, e.UdfDate3, e.UdfDate4)
}
