package crmcom

import "sluice/internal/event"

func encodeAchievement(w *writer, e *event.Achievement) {
	w.customer(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
	w.classification(e.ClassificationIdentifier)
	w.performed(e.PerformedByUnitIdentifier, e.PerformedOn, e.Description)
	w.external(e.ExternalSystem, e.ExternalSystemReferenceNumber, e.EventId)
	w.udfStrings(e.UdfString1, e.UdfString2, e.UdfString3, e.UdfString4, e.UdfString5, e.UdfString6, e.UdfString7, e.UdfString8)
	w.udfFloats(e.UdfFloat1, e.UdfFloat2, e.UdfFloat3, e.UdfFloat4)
	w.udfDates(e.UdfDate1, e.UdfDate2, e.UdfDate3, e.UdfDate4)
}

func encodeSocialMediaAction(w *writer, e *event.SocialMediaAction) {
	w.customer(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
	w.optionalClassification(e.ClassificationIdentifier)
	w.performed(e.PerformedByUnitIdentifier, e.PerformedOn, e.Description)
	w.oneOf("social_media", e.SocialMedia, "FACEBOOK")
	w.mandatoryText("profile", e.Profile)
	w.oneOf("action", e.Action, "LIKE")
	w.external(e.ExternalSystem, e.ExternalSystemReferenceNumber, e.EventId)
	w.udfStrings(e.UdfString1, e.UdfString2, e.UdfString3, e.UdfString4, e.UdfString5, e.UdfString6, e.UdfString7, e.UdfString8)
	w.udfFloats(e.UdfFloat1, e.UdfFloat2, e.UdfFloat3, e.UdfFloat4)
	w.udfDates(e.UdfDate1, e.UdfDate2, e.UdfDate3, e.UdfDate4)
}

func encodeWebVisit(w *writer, e *event.WebVisit) {
	w.customer(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
	w.optionalClassification(e.ClassificationIdentifier)
	w.performed(e.PerformedByUnitIdentifier, e.PerformedOn, e.Description)
	w.mandatoryText("website", e.Website)
	w.external(e.ExternalSystem, e.ExternalSystemReferenceNumber, e.EventId)
	w.udfStrings(e.UdfString1, e.UdfString2, e.UdfString3, e.UdfString4, e.UdfString5, e.UdfString6, e.UdfString7, e.UdfString8)
	w.udfFloats(e.UdfFloat1, e.UdfFloat2, e.UdfFloat3, e.UdfFloat4)
	w.udfDates(e.UdfDate1, e.UdfDate2, e.UdfDate3, e.UdfDate4)
}
