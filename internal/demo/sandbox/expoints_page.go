package sandbox

import (
	"encoding/json"
	"slices"
	"strings"
)

// expointsMaxCustomers is the page's "no more than 200 customers at once". The page recommends it,
// the sandbox enforces it.
const expointsMaxCustomers = 200

// expointsBatchTypes are the "available values" of TypeBatch, in the page's order.
var expointsBatchTypes = []string{"0", "1", "email", "portal"}

// batchType accepts a string, as the page's table shows it, and a number, because its text reads
// "set to 0".
func batchType(value any) []violation {
	switch v := value.(type) {
	case string:
		return violationUnless(
			slices.Contains(expointsBatchTypes, strings.ToLower(v)), "one of "+strings.Join(expointsBatchTypes, ", "),
		)
	case json.Number:
		return violationUnless(v == "0" || v == "1", "0 or 1")
	default:
		return typeViolation("String", v)
	}
}

var expointsData = objectSchema{
	fields: map[string]validator{
		"CustomerDataColumnId": int32Number, "Name": anyString, "Value": anyString,
		"IsEncrypted": anyBoolean, "CertificateThumbprint": anyString, "EncryptionKey": anyString,
	},
	mandatory:   []string{"CustomerDataColumnId"},
	presentKeys: []string{"Value"},
}

var expointsScale = objectSchema{
	fields: map[string]validator{"Id": int32Number, "Label": anyString, "Value": int32Number, "Ranking": int32Number},
}

var expointsFile = objectSchema{fields: map[string]validator{
	"Id": int32Number, "AnswerId": int32Number, "FileName": anyString, "FileSize": int32Number, "FileType": anyString,
	"Data":        base64String,
	"IsEncrypted": anyBoolean, "CertificateThumbprint": anyString, "EncryptionKey": anyString,
}}

// expointsAnswerSchema is an answer to a survey question. The question's key, an integer or a GUID,
// differs between the endpoints.
func expointsAnswerSchema(fields map[string]validator) objectSchema {
	return objectSchema{fields: map[string]validator{
		"Text": anyString, "SelectedScalePositions": listOf(0, expointsScale.validate), "DateAnswered": dotNetDateTime,
		"FileAnswers": listOf(0, expointsFile.validate), "PageRepetition": int32Number,
		"SectionRepetition": int32Number,
	}}.withFields(fields)
}

var expointsCustomer = objectSchema{fields: map[string]validator{
	"Email":           anyString,
	"PhoneNumber":     anyString,
	"SendDate":        dotNetDateTime,
	"TransactionDate": nullable(dotNetDateTime),
	"EndDate":         dotNetDateTime,
	"Priority":        int32Number,
	"PreviousId":      int32Number,
	"Data":            listOf(0, expointsData.validate),
	"Answers": listOf(
		0,
		expointsAnswerSchema(map[string]validator{
			"BaseQuestionId": int32Number, "IsNotApplicableSelected": anyBoolean,
		}).validate,
	),
	"AnswersToCopy":  listOf(0, int32Number),
	"CopyAllAnswers": anyBoolean,
}}

// expointsAdd is ImportCustomersRequest, the body of POST customer/add.
var expointsAdd = objectSchema{
	fields: map[string]validator{
		"ApproveAutomatically":       anyBoolean,
		"EndDate":                    nullable(dotNetDateTime),
		"SendTime":                   nullable(dotNetDateTime),
		"IsTest":                     anyBoolean,
		"TypeBatch":                  batchType,
		"AllowDuplicateEmail":        anyBoolean,
		"NotificationEmailAddresses": anyString,
		"BatchName":                  anyString,
		"Customers":                  listOf(1, expointsCustomer.validate),
		"IsConcept":                  anyBoolean,
	},
	mandatory: []string{"Customers"},
}

// expointsAddFinished is ImportFinishedCustomerRequest, the body of POST customer/addfinished.
// Customer is the only field marked "Required".
var expointsAddFinished = objectSchema{
	fields: map[string]validator{
		"IsTest": anyBoolean,
		"Customer": objectSchema{fields: map[string]validator{
			"QuestionnaireId": guidString, "FinishedDate": dotNetDateTime,
			"Answers": listOf(0, expointsAnswerSchema(map[string]validator{"QuestionId": guidString}).validate),
			"Email":   anyString, "TransactionDate": dotNetDateTime, "SurveyClosedDate": dotNetDateTime,
			"Data": listOf(0, expointsData.validate), "Language": anyString, "IsContactRequested": anyBoolean,
			"IsConcept": anyBoolean,
		}}.validate,
	},
	mandatory: []string{"Customer"},
}

// expointsAddLock is AddLockRequest, the body of POST customer/addlock. No field is marked
// "Required".
var expointsAddLock = objectSchema{fields: map[string]validator{
	"CreationDate": nullable(dotNetDateTime), "OptIn": nullable(anyBoolean), "QuestionnaireId": nullable(guidString),
	"CustomerId": nullable(int32Number),
	"Email":      anyString, "Data": listOf(0, expointsData.validate),
}}
