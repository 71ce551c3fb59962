package crmcom

import (
	"sluice/internal/event"
	"sluice/internal/sink/jsonwriter"
)

func encodePurchase(enc *encoder, payload *event.Purchase) {
	enc.writeCustomer(payload.AccountsReceivableIdentifier, payload.RewardsParticipantIdentifier)
	enc.writeOptionalClassification(payload.ClassificationIdentifier)
	enc.writePerformed(payload.PerformedByUnitIdentifier, payload.PerformedOn, payload.Description)
	enc.RequiredText("reference_number", payload.ReferenceNumber)
	enc.writePaymentMedium(payload.PaymentMediumBrandIdentifier, payload.PaymentMediumTypeIdentifier,
		payload.PaymentMediumIdentifier)
	enc.writeInvoice(payload.InvoiceIdentifier)
	enc.writeExternal(payload.ExternalSystem, payload.ExternalSystemReferenceNumber, payload.EventId)
	enc.writeUDFStrings(payload.UdfString1, payload.UdfString2, payload.UdfString3, payload.UdfString4,
		payload.UdfString5, payload.UdfString6, payload.UdfString7, payload.UdfString8,
		payload.UdfString9, payload.UdfString10, payload.UdfString11, payload.UdfString12,
		payload.UdfString13, payload.UdfString14, payload.UdfString15, payload.UdfString16)
	enc.writeUDFFloats(payload.UdfFloat1, payload.UdfFloat2, payload.UdfFloat3, payload.UdfFloat4)
	enc.writeUDFDates(payload.UdfDate1, payload.UdfDate2, payload.UdfDate3, payload.UdfDate4)
	enc.writeProducts(payload.ProductsSet)
	enc.setEnvelopeKey(payload.IntendedCurrencyIdentifier)
}

func (e *encoder) writeInvoice(invoice *event.InvoiceIdentifier) {
	if invoice == nil {
		return
	}
	e.writeIdentifier("invoice_identifier", key{"id", invoice.Id}, key{"number", invoice.Number},
		key{"reference_number", invoice.ReferenceNumber}, key{"back_office_code", invoice.BackOfficeCode})
}

func (e *encoder) writeProducts(products []event.PurchaseProduct) {
	const member = "products_set"
	if len(products) == 0 {
		e.AddViolation(member, "is mandatory, with at least one product")
	}
	jsonwriter.Objects(&e.Writer, member, products, func(p *event.PurchaseProduct) {
		e.writeProduct(p.ProductIdentifier)
		e.writeOptionalDecimal("quantity", p.Quantity)
		e.Decimal("net_amount", p.NetAmount)
		e.Decimal("vat_amount", p.VatAmount)
		e.Decimal("total_amount", p.TotalAmount)
	})
}

const currencyMember = "intended_currency_identifier"

// setEnvelopeKey makes the currency the item's envelope key, because for the vendor it is a
// parameter of the call and not of the event.
func (e *encoder) setEnvelopeKey(currency *event.CurrencyIdentifier) {
	if currency == nil {
		return
	}
	e.requireSince(r11, currencyMember)
	var keyWriter jsonwriter.Writer
	writeKeys(&keyWriter, currencyMember, key{"id", currency.Id}, key{"code", currency.Code})
	e.AddViolations(keyWriter.Violations()...)
	e.envelopeKey = string(keyWriter.Bytes())
}
