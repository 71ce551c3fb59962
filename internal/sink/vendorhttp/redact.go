package vendorhttp

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	redactedMax = 512     // bytes of the result, which goes into headers and log lines
	redactInput = 4 << 10 // bytes of the input that are considered, to bound the work
	mask        = "***"
)

// personalPatterns match what looks personal or secret. They mask too much rather than too little:
// a message is still useful without its numbers.
var personalPatterns = []*regexp.Regexp{
	// Quoted values of more than 64 characters, even if the closing quote is missing.
	regexp.MustCompile(`"[^"]{65,}("|$)`),
	regexp.MustCompile(`\B'[^']{65,}('|$)`),
	// E-mail addresses, also URL-encoded ones.
	regexp.MustCompile(`[^\s"'<>(),;:=@]*(@|%40)[^\s"'<>(),;]+`),
	// Tokens after the scheme's name, and JWTs.
	regexp.MustCompile(`(?i)\b(bearer|basic)\s+[\w\-+/=.~]{8,}`),
	regexp.MustCompile(`\beyJ[\w-]{5,}(\.[\w-]*)*`),
	// Six or more digits with up to two separators between them: telephone, card and account
	// numbers, and dates of birth.
	regexp.MustCompile(`\+?\p{Nd}([\s().\-/]{0,2}\p{Nd}){5,}`),
}

// opaqueWord matches what may be a token, a key or an ID: words of 20 characters or more.
var opaqueWord = regexp.MustCompile(`[\w\-+=]{20,}`)

// maskOpaqueWord masks a word with at least four digits. A word with fewer is a vendor's term, such
// as the name of an exception.
func maskOpaqueWord(word string) string {
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

// Redact makes a vendor's text safe for record headers, log lines and operators. The result is one
// line of at most 512 bytes of valid UTF-8, in which control characters are replaced by spaces, and
// values that look personal or secret by "***". Those are e-mail addresses, tokens, long words with
// digits, numbers of six or more digits, and quoted values of more than 64 characters. Redact
// cannot recognize names: a name outside such values remains.
func Redact(s string) string {
	s = cutInput(s)
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = opaqueWord.ReplaceAllStringFunc(s, maskOpaqueWord)
	for _, pattern := range personalPatterns {
		s = pattern.ReplaceAllLiteralString(s, mask)
	}
	return truncate(strings.TrimSpace(s), redactedMax)
}

// cutInput bounds the input and removes the word at the cut, because half an e-mail address no
// longer looks like one.
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

// truncate shortens s to at most maxBytes bytes without splitting a rune.
func truncate(s string, maxBytes int) string {
	if len(s) <= maxBytes {
		return s
	}
	for maxBytes > 0 && !utf8.RuneStart(s[maxBytes]) {
		maxBytes--
	}
	return s[:maxBytes]
}
