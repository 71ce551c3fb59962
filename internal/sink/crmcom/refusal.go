package crmcom

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"sluice/internal/sink"
)

// defaultCodes are all error codes that the vendor's pages show.
var defaultCodes = map[string]Meaning{
	"NotFoundAPIValueException":             MeansRetryable, // the account may be created later
	"ReferredByAnotherParticipantException": MeansRejected,
}

// meaning is what a code says of an item: as configured, as documented, or by its name.
func (a *account) meaning(code string) Meaning {
	if m, known := a.codes[code]; known {
		return m
	}
	if isTransient(code) {
		return MeansRetryable
	}
	return MeansRejected
}

func (m Meaning) class() sink.ResultClass {
	switch m {
	case MeansDelivered:
		return sink.Delivered
	case MeansRetryable:
		return sink.Retryable
	default:
		return sink.Rejected
	}
}

// transientCode finds exceptions of the vendor's own machinery. Something blocked is not locked.
var transientCode = regexp.MustCompile(`(?i)timeout|timedout|connection|unavailable|deadlock|(?:^|[^b])lock`)

func isTransient(code string) bool { return transientCode.MatchString(code) }

var (
	loginWords = regexp.MustCompile(`(?i)token|session|expired|authenticat|(?:un|not.?)authori[sz]|login|access.?denied|permission|privilege|forbidden`)
	// dataCode finds exceptions that are about the values of a request.
	dataCode = regexp.MustCompile(`(?i)APIValue|NotFound|Mandatory|Duplicate|AlreadyExists|Participant`)
	// values are what the vendor repeats of the request: Account (ACR000177) Not Found. A bracket
	// that is not closed holds the rest; an apostrophe is no quote.
	values = regexp.MustCompile(`(\()(?:[^()]|\([^()]*\))*(\)|$)|(")[^"]*(")|\B(')[^']*(')\B`)
)

// isLogin tells whether a refusal is of the token and not of the data. No page shows such a
// refusal, so it goes by words: those of the code first, for a text may speak of an expired
// voucher. A code listed in the configuration is one, or never, as it is listed.
func (a *account) isLogin(code, text string) bool {
	if slices.Contains(a.logins, code) {
		return true
	}
	if _, known := a.codes[code]; known {
		return false
	}
	if loginWords.MatchString(code) {
		return true
	}
	return !dataCode.MatchString(code) && loginWords.MatchString(values.ReplaceAllString(text, ""))
}

var errContradiction = errors.New("the answer refuses the call and lists processed items")

// refused judges a call that was refused as a whole. The two kinds that are not the data's fault
// are found first; then the items that the text names; a code that says more of one item than that
// it is refused for good is believed when the item is alone in the call.
func (a *account) refused(answer *sink.Response, env *envelope, items []sink.Item) {
	code, text := string(env.status.Code), env.status.text()
	_, known := a.codes[code]
	named := indicesNamed(text, items)
	switch {
	case len(env.processed.list) > 0:
		answer.Class, answer.Err = sink.Unknown, errContradiction
		return
	case len(named) == 0 && a.isLogin(code, text):
		answer.Class = sink.Unauthorized
		return
	case len(named) == 0 && !known && isTransient(code):
		answer.Class, answer.MayHaveActed = sink.Unavailable, true
		return
	}
	answer.Class = sink.Rejected
	one := answer.Result
	one.Class = a.meaning(code).class()
	switch {
	case one.Class == sink.Rejected:
		for _, i := range named {
			answer.ItemErrors = append(answer.ItemErrors, sink.ItemError{Index: i, Result: one})
		}
	case len(items) == 1:
		answer.Class, answer.ItemResults = sink.Delivered, []sink.Result{one}
	}
}

// indicesNamed are the items whose identifier stands in text as a word of its own: orders-0-1 does
// not stand in orders-0-12.
func indicesNamed(text string, items []sink.Item) []int {
	if text == "" {
		return nil
	}
	words := map[string]bool{}
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !isOfIdentifier(r) }) {
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

// isOfIdentifier holds for what a topic's name and an offset are made of.
func isOfIdentifier(r rune) bool {
	return r == '.' || r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}
