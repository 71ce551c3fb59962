package crmcom

import "sluice/internal/event"

func encodeAchievement(e *encoder, ev *event.Achievement) {
	e.writeCustomer(ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier)
	e.writeClassification(ev.ClassificationIdentifier)
	e.writePerformed(ev.PerformedByUnitIdentifier, ev.PerformedOn, ev.Description)
	e.writeExternal(ev.ExternalSystem, ev.ExternalSystemReferenceNumber, ev.EventId)
	e.writeUDFStrings(ev.UdfString1, ev.UdfString2, ev.UdfString3, ev.UdfString4,
		ev.UdfString5, ev.UdfString6, ev.UdfString7, ev.UdfString8)
	e.writeUDFFloats(ev.UdfFloat1, ev.UdfFloat2, ev.UdfFloat3, ev.UdfFloat4)
	e.writeUDFDates(ev.UdfDate1, ev.UdfDate2, ev.UdfDate3, ev.UdfDate4)
}

func encodeSocialMediaAction(e *encoder, ev *event.SocialMediaAction) {
	e.writeCustomer(ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier)
	e.writeOptionalClassification(ev.ClassificationIdentifier)
	e.writePerformed(ev.PerformedByUnitIdentifier, ev.PerformedOn, ev.Description)
	e.OneOf("social_media", ev.SocialMedia, "FACEBOOK")
	e.RequiredText("profile", ev.Profile)
	e.OneOf("action", ev.Action, "LIKE")
	e.writeExternal(ev.ExternalSystem, ev.ExternalSystemReferenceNumber, ev.EventId)
	e.writeUDFStrings(ev.UdfString1, ev.UdfString2, ev.UdfString3, ev.UdfString4,
		ev.UdfString5, ev.UdfString6, ev.UdfString7, ev.UdfString8)
	e.writeUDFFloats(ev.UdfFloat1, ev.UdfFloat2, ev.UdfFloat3, ev.UdfFloat4)
	e.writeUDFDates(ev.UdfDate1, ev.UdfDate2, ev.UdfDate3, ev.UdfDate4)
}

func encodeWebVisit(e *encoder, ev *event.WebVisit) {
	e.writeCustomer(ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier)
	e.writeOptionalClassification(ev.ClassificationIdentifier)
	e.writePerformed(ev.PerformedByUnitIdentifier, ev.PerformedOn, ev.Description)
	e.RequiredText("website", ev.Website)
	e.writeExternal(ev.ExternalSystem, ev.ExternalSystemReferenceNumber, ev.EventId)
	e.writeUDFStrings(ev.UdfString1, ev.UdfString2, ev.UdfString3, ev.UdfString4,
		ev.UdfString5, ev.UdfString6, ev.UdfString7, ev.UdfString8)
	e.writeUDFFloats(ev.UdfFloat1, ev.UdfFloat2, ev.UdfFloat3, ev.UdfFloat4)
	e.writeUDFDates(ev.UdfDate1, ev.UdfDate2, ev.UdfDate3, ev.UdfDate4)
}
