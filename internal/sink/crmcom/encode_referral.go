package crmcom

import "sluice/internal/event"

func encodeReferral(e *encoder, ev *event.Referral) {
	const referred, referredBy = "referred_rewards_participant_identifier", "referred_by_rewards_participant_identifier"
	e.writeOptionalClassification(ev.ClassificationIdentifier)
	e.writePerformed(ev.PerformedByUnitIdentifier, ev.PerformedOn, ev.Description)
	e.refuseSince(r17, referred)
	e.writeParticipant(referred, ev.ReferredRewardsParticipantIdentifier)
	e.refuseSince(r17, referredBy)
	e.writeParticipant(referredBy, ev.ReferredByRewardsParticipantIdentifier)
	e.writeExternal(ev.ExternalSystem, ev.ExternalSystemReferenceNumber, ev.EventId)
	e.writeUDFStrings(ev.UdfString1, ev.UdfString2, ev.UdfString3, ev.UdfString4,
		ev.UdfString5, ev.UdfString6, ev.UdfString7, ev.UdfString8)
	e.writeUDFFloats(ev.UdfFloat1, ev.UdfFloat2, ev.UdfFloat3, ev.UdfFloat4)
	e.writeUDFDates(ev.UdfDate1, ev.UdfDate2, ev.UdfDate3, ev.UdfDate4)
}
