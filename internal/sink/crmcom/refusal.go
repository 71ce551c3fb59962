package crmcom

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"sluice/internal/sink"
)

// defaultCodes has the meanings of all error codes on the vendor's pages.
var defaultCodes = map[string]Meaning{
	"NotFoundAPIValueException":             MeansRetryable, // the account may be created later
	"ReferredByAnotherParticipantException": MeansRejected,
}

// meaningOf returns what an error code means for an item: as configured, as documented, or judging
// by its name.
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
	return sink.Rejected // CheckTags accepts no other meaning
}

// transientCode matches exceptions of the vendor's own infrastructure. The word "blocked" does not
// refer to a lock.
var transientCode = regexp.MustCompile(`(?i)timeout|timedout|connection|unavailable|deadlock|(?:^|[^b])lock`)

func isTransient(code string) bool { return transientCode.MatchString(code) }

var (
	loginWords = regexp.MustCompile(`(?i)token|session|expired|authenticat|(?:un|not.?)authori[sz]|login|` +
		`access.?denied|permission|privilege|forbidden`)
	// dataCode matches exceptions that concern the values of a request.
	dataCode = regexp.MustCompile(`(?i)APIValue|NotFound|Mandatory|Duplicate|AlreadyExists|Participant`)
	// repeatedValue matches what the vendor repeats from the request: Account (ACR000177) Not
	// Found. A bracket that is not closed extends to the end of the text. An apostrophe is not a
	// quote.
	repeatedValue = regexp.MustCompile(`(\()(?:[^()]|\([^()]*\))*(\)|$)|(")[^"]*(")|\B(')[^']*(')\B`)
)

// isTokenRefused reports whether a refusal concerns the token and not the data. No page documents
// such a refusal, so the wording decides: first that of the code, because a text may concern an
// expired voucher. For the codes that the configuration lists, it takes precedence.
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

// classifyRefusal classifies a call that the vendor refused as a whole. It first recognizes the two
// kinds of refusal that do not concern the data, and then the items that the text names. A code
// that means something other than a rejection is trusted only if the call has a single item.
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

// namedItems returns the indices of the items whose identifier is a whole word of the text: the
// word orders-0-12 does not name the item orders-0-1.
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

// isIdentifierRune reports whether char may be part of an item's identifier.
func isIdentifierRune(char rune) bool {
	return char == '.' || char == '_' || char == '-' || char >= '0' && char <= '9' || char >= 'a' && char <= 'z' ||
		char >= 'A' && char <= 'Z'
}
