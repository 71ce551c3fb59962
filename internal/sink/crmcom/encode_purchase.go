package crmcom

import "sluice/internal/event"

func encodePurchase(w *writer, e *event.Purchase) {
	w.customer(e.AccountsReceivableIdentifier, e.RewardsParticipantIdentifier)
	w.optionalClassification(e.ClassificationIdentifier)
	w.performed(e.PerformedByUnitIdentifier, e.PerformedOn, e.Description)
	w.mandatoryText("reference_number", e.ReferenceNumber)
	w.paymentMedium(e.PaymentMediumBrandIdentifier, e.PaymentMediumTypeIdentifier, e.PaymentMediumIdentifier)
	w.invoice(e.InvoiceIdentifier)
	w.external(e.ExternalSystem, e.ExternalSystemReferenceNumber, e.EventId)
	w.udfStrings(e.UdfString1, e.UdfString2, e.UdfString3, e.UdfString4, e.UdfString5, e.UdfString6, e.UdfString7, e.UdfString8,
		e.UdfString9, e.UdfString10, e.UdfString11, e.UdfString12, e.UdfString13, e.UdfString14, e.UdfString15, e.UdfString16)
	w.udfFloats(e.UdfFloat1, e.UdfFloat2, e.UdfFloat3, e.UdfFloat4)
	w.udfDates(e.UdfDate1, e.UdfDate2, e.UdfDate3, e.UdfDate4)
	w.products(e.ProductsSet)
	w.currency(e.IntendedCurrencyIdentifier)
}

func (w *writer) invoice(i *event.InvoiceIdentifier) {
	if i == nil {
		return
	}
	w.identifier("invoice_identifier", key{"id", i.Id}, key{"number", i.Number}, key{"reference_number", i.ReferenceNumber},
		key{"back_office_code", i.BackOfficeCode})
}

func (w *writer) products(products []event.PurchaseProduct) {
	const name = "products_set"
	if len(products) == 0 {
		w.fault(name, "is mandatory, with at least one product")
	}
	w.openList(name)
	for i := range products {
		p := &products[i]
		w.openElement(name, i)
		w.product(p.ProductIdentifier)
		w.optionalAmount("quantity", p.Quantity)
		w.amount("net_amount", p.NetAmount)
		w.amount("vat_amount", p.VatAmount)
		w.amount("total_amount", p.TotalAmount)
		w.closeElement()
	}
	w.closeList()
}

const currencyMember = "intended_currency_identifier"

// currency makes the item's group: the vendor takes the currency as a parameter of the call and not of the event.
func (w *writer) currency(c *event.CurrencyIdentifier) {
	if c == nil {
		return
	}
	w.from(r11, currencyMember)
	item := len(w.buf)
	w.identifierValue(currencyMember, key{"id", c.Id}, key{"code", c.Code})
	w.group = string(w.buf[item:])
	w.buf = w.buf[:item]
}
