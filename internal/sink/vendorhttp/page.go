package vendorhttp

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
)

// IsHTMLPage reports whether a response is a web page, judging by its Content-Type, or by its
// content if the type is missing or wrong. Proxies, firewalls and identity providers respond to
// calls with pages of status 200, which do not show what the vendor did.
func IsHTMLPage(exchange Exchange) bool {
	media, _, _ := strings.Cut(exchange.Header.Get("Content-Type"), ";")
	return strings.Contains(strings.ToLower(media), "html") || looksLikePage(DecodeBodyText(exchange.Body))
}

const pageElements = `html|head|body|title|meta|base|link|script|style|noscript|iframe|frameset|frame|` +
	`h[1-6]|p|a|b|i|br|hr|div|span|center|font|table|form|input|img|ul|ol|pre|main|header|section|article`

var (
	// rootPattern matches the beginning of a page. Only pages have a document type declaration.
	rootPattern = regexp.MustCompile(`(?i)^<(!doctype\b|([\w.-]+:)?(` + pageElements + `)([\s/>]|$))`)
	// tagPattern matches an HTML element in text that does not begin with markup.
	tagPattern = regexp.MustCompile(`(?i)<(!doctype\b|/?(` + pageElements + `)[\s/>])`)
	// markupPattern matches markup that the XML of an API never contains.
	markupPattern = regexp.MustCompile(`(?i)<(!doctype\s+html\b|([\w.-]+:)?html[\s/>]|meta\s[^>]*http-equiv)`)
)

func looksLikePage(text []byte) bool {
	if json.Valid(text) {
		return false
	}
	root, whole := skipProlog(text)
	switch {
	case !whole:
		return true // the document ends before its content
	case bytes.HasPrefix(root, []byte("<")):
		return rootPattern.Match(root) || markupPattern.Match(root)
	}
	return tagPattern.Match(root)
}

// skipProlog returns what follows the XML declaration, processing instructions, comments and white
// space at the beginning of a document. It returns false if one of them is not terminated.
func skipProlog(text []byte) (rest []byte, whole bool) {
	for {
		text = bytes.TrimLeftFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' })
		var end string
		switch {
		case bytes.HasPrefix(text, []byte("<?")):
			end = "?>"
		case bytes.HasPrefix(text, []byte("<!--")):
			end = "-->"
		default:
			return text, true
		}
		_, after, found := bytes.Cut(text, []byte(end))
		if !found {
			return text, false
		}
		text = after
	}
}

// DecodeBodyText returns the body of a response in UTF-8 without a byte order mark. JSON parsers
// may ignore the mark (RFC 8259, section 8.1); encoding/json does not.
func DecodeBodyText(body []byte) []byte {
	if text, ok := bytes.CutPrefix(body, []byte("\xef\xbb\xbf")); ok {
		return text
	}
	if len(body) < 2 || len(body)%2 != 0 {
		return body
	}
	// JSON and markup begin with an ASCII character, which in UTF-16 has a zero byte next to it.
	first, second := body[0], body[1]
	switch {
	case first == 0xff && second == 0xfe:
		return decodeUTF16(body[2:], 1)
	case first == 0xfe && second == 0xff:
		return decodeUTF16(body[2:], 0)
	case first != 0 && second == 0:
		return decodeUTF16(body, 1)
	case first == 0 && second != 0:
		return decodeUTF16(body, 0)
	}
	return body
}

// decodeUTF16 decodes an even number of bytes; high is the index of the high byte in each pair.
func decodeUTF16(body []byte, high int) []byte {
	units := make([]uint16, len(body)/2)
	for i := range units {
		units[i] = uint16(body[2*i+high])<<8 | uint16(body[2*i+1-high])
	}
	return []byte(string(utf16.Decode(units)))
}
