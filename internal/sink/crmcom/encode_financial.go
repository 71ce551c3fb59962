package crmcom

import (
	"sluice/internal/event"
	"sluice/internal/sink/jsonwriter"
)

func encodeFinancialAchievement(e *encoder, ev *event.FinancialAchievement) {
	e.writeCustomer(ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier)
	e.writeClassification(ev.ClassificationIdentifier)
	e.writeOptionalProduct(ev.ProductIdentifier)
	e.writePaymentMedium(ev.PaymentMediumBrandIdentifier, ev.PaymentMediumTypeIdentifier, ev.PaymentMediumIdentifier)
	if ev.Amount != nil {
		e.requireSince(r11, "amount")
	}
	e.writeOptionalDecimal("amount", ev.Amount)
	e.writePerformed(ev.PerformedByUnitIdentifier, ev.PerformedOn, ev.Description)
	e.writeExternal(ev.ExternalSystem, ev.ExternalSystemReferenceNumber, ev.EventId)
	e.writeUDFStrings(ev.UdfString1, ev.UdfString2, ev.UdfString3, ev.UdfString4,
		ev.UdfString5, ev.UdfString6, ev.UdfString7, ev.UdfString8)
	e.writeUDFFloats(ev.UdfFloat1, ev.UdfFloat2, ev.UdfFloat3, ev.UdfFloat4)
	e.writeUDFDates(ev.UdfDate1, ev.UdfDate2, ev.UdfDate3, ev.UdfDate4)
}

func encodeFinancialStatement(e *encoder, ev *event.FinancialStatement) {
	e.requireSince(r11, "event")
	e.writeCustomer(ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier)
	e.writeClassification(ev.ClassificationIdentifier)
	e.writePerformed(ev.PerformedByUnitIdentifier, ev.PerformedOn, ev.Description)
	e.writeExternal(ev.ExternalSystem, ev.ExternalSystemReferenceNumber, ev.EventId)
	e.writeUDFStrings(ev.UdfString1, ev.UdfString2, ev.UdfString3, ev.UdfString4,
		ev.UdfString5, ev.UdfString6, ev.UdfString7, ev.UdfString8)
	e.writeUDFFloats(ev.UdfFloat1, ev.UdfFloat2, ev.UdfFloat3, ev.UdfFloat4)
	e.writeUDFDates(ev.UdfDate1, ev.UdfDate2, ev.UdfDate3, ev.UdfDate4)
	e.writeIndicators(ev.MeasuredKeyPerformanceIndicatorsSet)
}

// writeIndicators omits the member if there are no indicators: the page does not say that it is
// mandatory.
func (e *encoder) writeIndicators(indicators []event.MeasuredKeyPerformanceIndicator) {
	if len(indicators) == 0 {
		return
	}
	jsonwriter.Objects(&e.Writer, "measured_key_performance_indicators_set", indicators,
		func(m *event.MeasuredKeyPerformanceIndicator) {
			k := m.KeyPerformanceIndicatorIdentifier
			e.writeIdentifier("key_performance_indicator_identifier",
				key{"id", k.Id}, key{"name", k.Name}, key{"alternative_code", k.AlternativeCode})
			e.Decimal("value", m.Value)
			e.writeOptionalProduct(m.ProductIdentifier)
		})
}
