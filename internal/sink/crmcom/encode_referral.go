package crmcom

import "sluice/internal/event"

func encodeReferral(enc *encoder, payload *event.Referral) {
	const referred, referredBy = "referred_rewards_participant_identifier", "referred_by_rewards_participant_identifier"
	enc.writeOptionalClassification(payload.ClassificationIdentifier)
	enc.writePerformed(payload.PerformedByUnitIdentifier, payload.PerformedOn, payload.Description)
	enc.refuseSince(r17, referred)
	enc.writeParticipant(referred, payload.ReferredRewardsParticipantIdentifier)
	enc.refuseSince(r17, referredBy)
	enc.writeParticipant(referredBy, payload.ReferredByRewardsParticipantIdentifier)
	enc.writeExternal(payload.ExternalSystem, payload.ExternalSystemReferenceNumber, payload.EventId)
	enc.writeUDFStrings(payload.UdfString1, payload.UdfString2, payload.UdfString3, payload.UdfString4,
		payload.UdfString5, payload.UdfString6, payload.UdfString7, payload.UdfString8)
	enc.writeUDFFloats(payload.UdfFloat1, payload.UdfFloat2, payload.UdfFloat3, payload.UdfFloat4)
	enc.writeUDFDates(payload.UdfDate1, payload.UdfDate2, payload.UdfDate3, payload.UdfDate4)
}
