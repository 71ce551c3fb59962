package crmcom

import (
	"sluice/internal/event"
	"sluice/internal/sink/jsonwriter"
)

func encodePurchase(e *encoder, ev *event.Purchase) {
	e.writeCustomer(ev.AccountsReceivableIdentifier, ev.RewardsParticipantIdentifier)
	e.writeOptionalClassification(ev.ClassificationIdentifier)
	e.writePerformed(ev.PerformedByUnitIdentifier, ev.PerformedOn, ev.Description)
	e.RequiredText("reference_number", ev.ReferenceNumber)
	e.writePaymentMedium(ev.PaymentMediumBrandIdentifier, ev.PaymentMediumTypeIdentifier, ev.PaymentMediumIdentifier)
	e.writeInvoice(ev.InvoiceIdentifier)
	e.writeExternal(ev.ExternalSystem, ev.ExternalSystemReferenceNumber, ev.EventId)
	e.writeUDFStrings(ev.UdfString1, ev.UdfString2, ev.UdfString3, ev.UdfString4,
		ev.UdfString5, ev.UdfString6, ev.UdfString7, ev.UdfString8,
		ev.UdfString9, ev.UdfString10, ev.UdfString11, ev.UdfString12,
		ev.UdfString13, ev.UdfString14, ev.UdfString15, ev.UdfString16)
	e.writeUDFFloats(ev.UdfFloat1, ev.UdfFloat2, ev.UdfFloat3, ev.UdfFloat4)
	e.writeUDFDates(ev.UdfDate1, ev.UdfDate2, ev.UdfDate3, ev.UdfDate4)
	e.writeProducts(ev.ProductsSet)
	e.chooseEnvelope(ev.IntendedCurrencyIdentifier)
}

func (e *encoder) writeInvoice(i *event.InvoiceIdentifier) {
	if i == nil {
		return
	}
	e.writeIdentifier("invoice_identifier", key{"id", i.Id}, key{"number", i.Number},
		key{"reference_number", i.ReferenceNumber}, key{"back_office_code", i.BackOfficeCode})
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

// chooseEnvelope makes the currency the item's envelope key: the vendor takes it as a parameter of
// the call and not of the event.
func (e *encoder) chooseEnvelope(c *event.CurrencyIdentifier) {
	if c == nil {
		return
	}
	e.requireSince(r11, currencyMember)
	var currency jsonwriter.Writer
	writeKeys(&currency, currencyMember, key{"id", c.Id}, key{"code", c.Code})
	e.AddViolations(currency.Violations()...)
	e.envelopeKey = string(currency.Bytes())
}
