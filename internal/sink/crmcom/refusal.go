package crmcom

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"sluice/internal/sink"
)

// defaultCodes has every error code that the vendor's pages show.
var defaultCodes = map[string]Meaning{
	"NotFoundAPIValueException":             MeansRetryable, // the account may be created later
	"ReferredByAnotherParticipantException": MeansRejected,
}

// meaningOf returns what an error code says about an item: as configured, as documented, or by its
// name.
func (a *account) meaningOf(code string) Meaning {
	if meaning, known := a.codes[code]; known {
		return meaning
	}
	if isTransient(code) {
		return MeansRetryable
	}
	return MeansRejected
}

func (m Meaning) resultClass() sink.ResultClass {
	switch m {
	case MeansDelivered:
		return sink.Delivered
	case MeansRetryable:
		return sink.Retryable
	case MeansRejected:
		return sink.Rejected
	}
	return sink.Rejected // CheckTags admits no other meaning
}

// transientCode matches exceptions of the vendor's own machinery. The word "blocked" is not about a
// lock.
var transientCode = regexp.MustCompile(`(?i)timeout|timedout|connection|unavailable|deadlock|(?:^|[^b])lock`)

func isTransient(code string) bool { return transientCode.MatchString(code) }

var (
	loginWords = regexp.MustCompile(`(?i)token|session|expired|authenticat|(?:un|not.?)authori[sz]|login|` +
		`access.?denied|permission|privilege|forbidden`)
	// dataCode matches exceptions that are about the values of a request.
	dataCode = regexp.MustCompile(`(?i)APIValue|NotFound|Mandatory|Duplicate|AlreadyExists|Participant`)
	// repeatedValue matches what the vendor repeats from the request: Account (ACR000177) Not
	// Found. A bracket that is not closed holds the rest of the text. An apostrophe is not a quote.
	repeatedValue = regexp.MustCompile(`(\()(?:[^()]|\([^()]*\))*(\)|$)|(")[^"]*(")|\B(')[^']*(')\B`)
)

// isTokenRefused reports whether a refusal is about the token and not about the data. No page shows
// such a refusal, so words decide: first those of the code, since a text may be about an expired
// voucher. The configuration overrides them for the codes that it lists.
func (a *account) isTokenRefused(code, text string) bool {
	if slices.Contains(a.loginCodes, code) {
		return true
	}
	if _, known := a.codes[code]; known {
		return false
	}
	if loginWords.MatchString(code) {
		return true
	}
	return !dataCode.MatchString(code) && loginWords.MatchString(repeatedValue.ReplaceAllString(text, ""))
}

var errContradiction = errors.New("the response refuses the call and lists processed items")

// classifyRefusal classifies a call that the vendor refused as a whole. It first finds the two
// kinds of refusal that are not about the data, then the items that the text names. A code that
// means something other than a rejection is trusted only if the item is alone in the call.
func (a *account) classifyRefusal(response *sink.Response, env *envelope, items []sink.Item) {
	code, text := string(env.status.Code), env.status.fullText()
	_, known := a.codes[code]
	named := namedItems(text, items)
	switch {
	case len(env.processed.rows) > 0:
		response.Class, response.Err = sink.Unknown, errContradiction
		return
	case len(named) == 0 && a.isTokenRefused(code, text):
		response.Class = sink.Unauthorized
		return
	case len(named) == 0 && !known && isTransient(code):
		response.Class, response.MayHaveActed = sink.Unavailable, true
		return
	}
	response.Class = sink.Rejected
	itemResult := response.Result
	itemResult.Class = a.meaningOf(code).resultClass()
	switch {
	case itemResult.Class == sink.Rejected:
		for _, i := range named {
			response.ItemErrors = append(response.ItemErrors, sink.ItemError{Index: i, Result: itemResult})
		}
	case len(items) == 1:
		response.Class, response.ItemResults = sink.Delivered, []sink.Result{itemResult}
	}
}

// namedItems returns the indices of the items whose identifier is a word of the text: the word
// orders-0-12 does not name the item orders-0-1.
func namedItems(text string, items []sink.Item) []int {
	if text == "" {
		return nil
	}
	words := map[string]bool{}
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !isIdentifierRune(r) }) {
		words[word] = true
		words[strings.TrimRight(word, ".")] = true // the end of a sentence
	}
	var named []int
	for i := range items {
		if words[items[i].ID] {
			named = append(named, i)
		}
	}
	return named
}

// isIdentifierRune reports whether char may be part of a topic's name or an offset.
func isIdentifierRune(char rune) bool {
	return char == '.' || char == '_' || char == '-' || char >= '0' && char <= '9' || char >= 'a' && char <= 'z' ||
		char >= 'A' && char <= 'Z'
}
