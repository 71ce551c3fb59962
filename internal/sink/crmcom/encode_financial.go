package crmcom

import (
	"sluice/internal/event"
	"sluice/internal/sink/jsonwriter"
)

func encodeFinancialAchievement(enc *encoder, payload *event.FinancialAchievement) {
	enc.writeCustomer(payload.AccountsReceivableIdentifier, payload.RewardsParticipantIdentifier)
	enc.writeClassification(payload.ClassificationIdentifier)
	enc.writeOptionalProduct(payload.ProductIdentifier)
	enc.writePaymentMedium(payload.PaymentMediumBrandIdentifier, payload.PaymentMediumTypeIdentifier,
		payload.PaymentMediumIdentifier)
	if payload.Amount != nil {
		enc.requireSince(r11, "amount")
	}
	enc.writeOptionalDecimal("amount", payload.Amount)
	enc.writePerformed(payload.PerformedByUnitIdentifier, payload.PerformedOn, payload.Description)
	enc.writeExternal(payload.ExternalSystem, payload.ExternalSystemReferenceNumber, payload.EventId)
	enc.writeUDFStrings(payload.UdfString1, payload.UdfString2, payload.UdfString3, payload.UdfString4,
		payload.UdfString5, payload.UdfString6, payload.UdfString7, payload.UdfString8)
	enc.writeUDFFloats(payload.UdfFloat1, payload.UdfFloat2, payload.UdfFloat3, payload.UdfFloat4)
	enc.writeUDFDates(payload.UdfDate1, payload.UdfDate2, payload.UdfDate3, payload.UdfDate4)
}

func encodeFinancialStatement(enc *encoder, payload *event.FinancialStatement) {
	enc.requireSince(r11, "event")
	enc.writeCustomer(payload.AccountsReceivableIdentifier, payload.RewardsParticipantIdentifier)
	enc.writeClassification(payload.ClassificationIdentifier)
	enc.writePerformed(payload.PerformedByUnitIdentifier, payload.PerformedOn, payload.Description)
	enc.writeExternal(payload.ExternalSystem, payload.ExternalSystemReferenceNumber, payload.EventId)
	enc.writeUDFStrings(payload.UdfString1, payload.UdfString2, payload.UdfString3, payload.UdfString4,
		payload.UdfString5, payload.UdfString6, payload.UdfString7, payload.UdfString8)
	enc.writeUDFFloats(payload.UdfFloat1, payload.UdfFloat2, payload.UdfFloat3, payload.UdfFloat4)
	enc.writeUDFDates(payload.UdfDate1, payload.UdfDate2, payload.UdfDate3, payload.UdfDate4)
	enc.writeIndicators(payload.MeasuredKeyPerformanceIndicatorsSet)
}

// writeIndicators omits the member if there are no indicators, because the page does not declare it
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
