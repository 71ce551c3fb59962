package vendorhttp

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	redactedMax = 512     // bytes of a message that may stand in a header or log line
	redactInput = 4 << 10 // bytes looked at; bounds the work that a vendor's answer can cause
	mask        = "***"
)

// What looks personal. Each errs towards masking: a message that lost a number is still a message.
var personal = []*regexp.Regexp{
	// Quoted values of more than 64 characters, also where the text ends before the quote does.
	regexp.MustCompile(`"[^"]{65,}("|$)`),
	regexp.MustCompile(`\B'[^']{65,}('|$)`),
	// E-mail addresses, also as they stand in a query.
	regexp.MustCompile(`[^\s"'<>(),;:=@]*(@|%40)[^\s"'<>(),;]+`),
	// Tokens: after the word that announces them, and JWTs.
	regexp.MustCompile(`(?i)\b(bearer|basic)\s+[\w\-+/=.~]{8,}`),
	regexp.MustCompile(`\beyJ[\w-]{5,}(\.[\w-]*)*`),
	// Six digits or more, with up to two separators between each: telephone, card and account numbers, and dates of birth.
	regexp.MustCompile(`\+?\p{Nd}([\s().\-/]{0,2}\p{Nd}){5,}`),
}

// opaque finds what may be a token, a key or an id: words of 20 characters or more.
var opaque = regexp.MustCompile(`[\w\-+=]{20,}`)

// maskOpaque masks a word that has digits all over. One that has few is a vendor's term, such as the name of an exception.
func maskOpaque(word string) string {
	digits := 0
	for i := range len(word) {
		if word[i] >= '0' && word[i] <= '9' {
			digits++
		}
	}
	if digits < 4 {
		return word
	}
	return mask
}

// Redact makes a vendor's text fit for a header, a log line and an operator: at most 512 bytes of valid UTF-8 on one line, control characters
// as spaces, and values that look personal or secret as "***": e-mail addresses, tokens, long words with digits, numbers of six digits or more, quoted values of more than 64 characters.
// It knows no names: a name that the vendor repeats outside long quotes is not found.
func Redact(s string) string {
	s = cutInput(s)
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = opaque.ReplaceAllStringFunc(s, maskOpaque)
	for _, p := range personal {
		s = p.ReplaceAllLiteralString(s, mask)
	}
	return cutRunes(strings.TrimSpace(s), redactedMax)
}

// cutInput drops the word that the bound would cut: half an address does not look like one.
func cutInput(s string) string {
	if len(s) <= redactInput {
		return s
	}
	s = s[:redactInput]
	if end := strings.LastIndexAny(s, " \t\r\n\"'<>(),;{}[]"); end >= 0 {
		return s[:end+1]
	}
	return mask
}

func cutRunes(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
