package sandbox

import (
	"encoding/json"
	"slices"
	"strings"
)

// expointsMaxCustomers is the page's "no more than 200 customers at once"; the page advises it, the sandbox insists.
const expointsMaxCustomers = 200

// expointsBatchTypes are the "available values" of TypeBatch, in the page's order.
var expointsBatchTypes = []string{"0", "1", "email", "portal"}

// typeBatch is a string by the page's table, and "set to 0" by its text.
func typeBatch(v any) []violation {
	switch v := v.(type) {
	case string:
		return unfitUnless(slices.Contains(expointsBatchTypes, strings.ToLower(v)), "one of "+strings.Join(expointsBatchTypes, ", "))
	case json.Number:
		return unfitUnless(v == "0" || v == "1", "0 or 1")
	default:
		return mistype("String", v)
	}
}

var expointsData = shape{
	fields: map[string]check{
		"CustomerDataColumnId": integer, "Name": text, "Value": text,
		"IsEncrypted": boolean, "CertificateThumbprint": text, "EncryptionKey": text,
	},
	mandatory: []string{"CustomerDataColumnId"},
	present:   []string{"Value"},
}

var expointsScale = shape{fields: map[string]check{"Id": integer, "Label": text, "Value": integer, "Ranking": integer}}

var expointsFile = shape{fields: map[string]check{
	"Id": integer, "AnswerId": integer, "FileName": text, "FileSize": integer, "FileType": text, "Data": base64Text,
	"IsEncrypted": boolean, "CertificateThumbprint": text, "EncryptionKey": text,
}}

// expointsAnswer is an answer of a survey, whose question has an integer or a GUID by endpoint.
func expointsAnswer(more map[string]check) shape {
	return shape{fields: map[string]check{
		"Text": text, "SelectedScalePositions": list(0, expointsScale.check), "DateAnswered": dotNetInstant,
		"FileAnswers": list(0, expointsFile.check), "PageRepetition": integer, "SectionRepetition": integer,
	}}.with(more)
}

var expointsCustomer = shape{fields: map[string]check{
	"Email":           text,
	"PhoneNumber":     text,
	"SendDate":        dotNetInstant,
	"TransactionDate": nullable(dotNetInstant),
	"EndDate":         dotNetInstant,
	"Priority":        integer,
	"PreviousId":      integer,
	"Data":            list(0, expointsData.check),
	"Answers":         list(0, expointsAnswer(map[string]check{"BaseQuestionId": integer, "IsNotApplicableSelected": boolean}).check),
	"AnswersToCopy":   list(0, integer),
	"CopyAllAnswers":  boolean,
}}

// expointsAdd is ImportCustomersRequest, the body of POST customer/add.
var expointsAdd = shape{
	fields: map[string]check{
		"ApproveAutomatically":       boolean,
		"EndDate":                    nullable(dotNetInstant),
		"SendTime":                   nullable(dotNetInstant),
		"IsTest":                     boolean,
		"TypeBatch":                  typeBatch,
		"AllowDuplicateEmail":        boolean,
		"NotificationEmailAddresses": text,
		"BatchName":                  text,
		"Customers":                  list(1, expointsCustomer.check),
		"IsConcept":                  boolean,
	},
	mandatory: []string{"Customers"},
}

// expointsAddFinished is ImportFinishedCustomerRequest, the body of POST customer/addfinished; Customer is the one field marked "Required".
var expointsAddFinished = shape{
	fields: map[string]check{
		"IsTest": boolean,
		"Customer": shape{fields: map[string]check{
			"QuestionnaireId": guid, "FinishedDate": dotNetInstant,
			"Answers": list(0, expointsAnswer(map[string]check{"QuestionId": guid}).check),
			"Email":   text, "TransactionDate": dotNetInstant, "SurveyClosedDate": dotNetInstant,
			"Data": list(0, expointsData.check), "Language": text, "IsContactRequested": boolean, "IsConcept": boolean,
		}}.check,
	},
	mandatory: []string{"Customer"},
}

// expointsAddLock is AddLockRequest, the body of POST customer/addlock, of which nothing is marked as required.
var expointsAddLock = shape{fields: map[string]check{
	"CreationDate": nullable(dotNetInstant), "OptIn": nullable(boolean), "QuestionnaireId": nullable(guid), "CustomerId": nullable(integer),
	"Email": text, "Data": list(0, expointsData.check),
}}
