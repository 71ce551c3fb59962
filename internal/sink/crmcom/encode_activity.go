package crmcom

import "sluice/internal/event"

func encodeAchievement(enc *encoder, payload *event.Achievement) {
	enc.writeCustomer(payload.AccountsReceivableIdentifier, payload.RewardsParticipantIdentifier)
	enc.writeClassification(payload.ClassificationIdentifier)
	enc.writePerformed(payload.PerformedByUnitIdentifier, payload.PerformedOn, payload.Description)
	enc.writeExternal(payload.ExternalSystem, payload.ExternalSystemReferenceNumber, payload.EventId)
	enc.writeUDFStrings(payload.UdfString1, payload.UdfString2, payload.UdfString3, payload.UdfString4,
		payload.UdfString5, payload.UdfString6, payload.UdfString7, payload.UdfString8)
	enc.writeUDFFloats(payload.UdfFloat1, payload.UdfFloat2, payload.UdfFloat3, payload.UdfFloat4)
	enc.writeUDFDates(payload.UdfDate1, payload.UdfDate2, payload.UdfDate3, payload.UdfDate4)
}

func encodeSocialMediaAction(enc *encoder, payload *event.SocialMediaAction) {
	enc.writeCustomer(payload.AccountsReceivableIdentifier, payload.RewardsParticipantIdentifier)
	enc.writeOptionalClassification(payload.ClassificationIdentifier)
	enc.writePerformed(payload.PerformedByUnitIdentifier, payload.PerformedOn, payload.Description)
	enc.OneOf("social_media", payload.SocialMedia, "FACEBOOK")
	enc.RequiredText("profile", payload.Profile)
	enc.OneOf("action", payload.Action, "LIKE")
	enc.writeExternal(payload.ExternalSystem, payload.ExternalSystemReferenceNumber, payload.EventId)
	enc.writeUDFStrings(payload.UdfString1, payload.UdfString2, payload.UdfString3, payload.UdfString4,
		payload.UdfString5, payload.UdfString6, payload.UdfString7, payload.UdfString8)
	enc.writeUDFFloats(payload.UdfFloat1, payload.UdfFloat2, payload.UdfFloat3, payload.UdfFloat4)
	enc.writeUDFDates(payload.UdfDate1, payload.UdfDate2, payload.UdfDate3, payload.UdfDate4)
}

func encodeWebVisit(enc *encoder, payload *event.WebVisit) {
	enc.writeCustomer(payload.AccountsReceivableIdentifier, payload.RewardsParticipantIdentifier)
	enc.writeOptionalClassification(payload.ClassificationIdentifier)
	enc.writePerformed(payload.PerformedByUnitIdentifier, payload.PerformedOn, payload.Description)
	enc.RequiredText("website", payload.Website)
	enc.writeExternal(payload.ExternalSystem, payload.ExternalSystemReferenceNumber, payload.EventId)
	enc.writeUDFStrings(payload.UdfString1, payload.UdfString2, payload.UdfString3, payload.UdfString4,
		payload.UdfString5, payload.UdfString6, payload.UdfString7, payload.UdfString8)
	enc.writeUDFFloats(payload.UdfFloat1, payload.UdfFloat2, payload.UdfFloat3, payload.UdfFloat4)
	enc.writeUDFDates(payload.UdfDate1, payload.UdfDate2, payload.UdfDate3, payload.UdfDate4)
}
