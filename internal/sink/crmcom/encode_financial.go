package crmcom

import "sluice/internal/event"

func encodeFinancialAchievement(w *writer, e *event.FinancialAchievement) {
	w.customer(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
	w.classification(e.ClassificationIdentifier)
	w.optionalProduct(e.ProductIdentifier)
	w.paymentMedium(e.PaymentMediumBrandIdentifier, e.PaymentMediumTypeIdentifier, e.PaymentMediumIdentifier)
	if e.Amount != nil {
		w.from(r11, "amount")
	}
	w.optionalAmount("amount", e.Amount)
	w.performed(e.PerformedByUnitIdentifier, e.PerformedOn, e.Description)
	w.external(e.ExternalSystem, e.ExternalSystemReferenceNumber, e.EventId)
	w.udfStrings(e.UdfString1, e.UdfString2, e.UdfString3, e.UdfString4, e.UdfString5, e.UdfString6, e.UdfString7, e.UdfString8)
	w.udfFloats(e.UdfFloat1, e.UdfFloat2, e.UdfFloat3, e.UdfFloat4)
	w.udfDates(e.UdfDate1, e.UdfDate2, e.UdfDate3, e.UdfDate4)
}

func encodeFinancialStatement(w *writer, e *event.FinancialStatement) {
	w.from(r11, "event")
	w.customer(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
	w.classification(e.ClassificationIdentifier)
	w.performed(e.PerformedByUnitIdentifier, e.PerformedOn, e.Description)
	w.external(e.ExternalSystem, e.ExternalSystemReferenceNumber, e.EventId)
	w.udfStrings(e.UdfString1, e.UdfString2, e.UdfString3, e.UdfString4, e.UdfString5, e.UdfString6, e.UdfString7, e.UdfString8)
	w.udfFloats(e.UdfFloat1, e.UdfFloat2, e.UdfFloat3, e.UdfFloat4)
	w.udfDates(e.UdfDate1, e.UdfDate2, e.UdfDate3, e.UdfDate4)
	w.indicators(e.MeasuredKeyPerformanceIndicatorsSet)
}

// indicators leaves the member out where there are none: the page does not say that it is mandatory, and an absent member stays absent.
func (w *writer) indicators(set []event.MeasuredKeyPerformanceIndicator) {
	if len(set) == 0 {
		return
	}
	const name = "measured_key_performance_indicators_set"
	w.openList(name)
	for i := range set {
		m := &set[i]
		w.openElement(name, i)
		k := m.KeyPerformanceIndicatorIdentifier
		w.identifier("key_performance_indicator_identifier", key{"id", k.Id}, key{"name", k.Name}, key{"alternative_code", k.AlternativeCode})
		w.amount("value", m.Value)
		w.optionalProduct(m.ProductIdentifier)
		w.closeElement()
	}
	w.closeList()
}
