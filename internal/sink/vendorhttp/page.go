package vendorhttp

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
)

// IsPage reports whether a response is a page for people: by its Content-Type, or by its content where
// the type says nothing or is wrong. Proxies, firewalls and identity providers answer a call with a
// page of status 200, which says nothing of what the vendor did.
func IsPage(x Exchange) bool {
	media, _, _ := strings.Cut(x.Header.Get("Content-Type"), ";")
	return strings.Contains(strings.ToLower(media), "html") || looksLikePage(BodyText(x.Body))
}

const pageElements = `html|head|body|title|meta|base|link|script|style|noscript|iframe|frameset|frame|` +
	`h[1-6]|p|a|b|i|br|hr|div|span|center|font|table|form|input|img|ul|ol|pre|main|header|section|article`

var (
	// pageRoot is how a page begins. A document type of its own has only a page.
	pageRoot = regexp.MustCompile(`(?i)^<(!doctype\b|([\w.-]+:)?(` + pageElements + `)([\s/>]|$))`)
	// pageTag is an element in text that is no markup otherwise.
	pageTag = regexp.MustCompile(`(?i)<(!doctype\b|/?(` + pageElements + `)[\s/>])`)
	// pageInside is what no XML of an API has.
	pageInside = regexp.MustCompile(`(?i)<(!doctype\s+html\b|([\w.-]+:)?html[\s/>]|meta\s[^>]*http-equiv)`)
)

func looksLikePage(text []byte) bool {
	if json.Valid(text) {
		return false
	}
	root, whole := skipProlog(text)
	switch {
	case !whole:
		return true // a prolog without an end has nothing that an API said
	case bytes.HasPrefix(root, []byte("<")):
		return pageRoot.Match(root) || pageInside.Match(root)
	}
	return pageTag.Match(root)
}

// skipProlog gives what follows the XML declaration, processing instructions, comments and white space
// at the beginning of a document; false where one of them does not end.
func skipProlog(text []byte) (rest []byte, whole bool) {
	for {
		text = bytes.TrimLeftFunc(text, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' })
		end := ""
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

// BodyText is a response's body in UTF-8 and without a byte order mark, which a reader may ignore
// (RFC 8259, 8.1) and encoding/json does not.
func BodyText(body []byte) []byte {
	if text, ok := bytes.CutPrefix(body, []byte("\xef\xbb\xbf")); ok {
		return text
	}
	if len(body) < 2 || len(body)%2 != 0 {
		return body
	}
	// JSON and markup begin with an ASCII character, which in UTF-16 has a zero byte beside it.
	first, second := body[0], body[1]
	switch {
	case first == 0xff && second == 0xfe:
		return fromUTF16(body[2:], 1)
	case first == 0xfe && second == 0xff:
		return fromUTF16(body[2:], 0)
	case first != 0 && second == 0:
		return fromUTF16(body, 1)
	case first == 0 && second != 0:
		return fromUTF16(body, 0)
	}
	return body
}

// fromUTF16 decodes an even number of bytes; high is the place of the high byte in a pair.
func fromUTF16(body []byte, high int) []byte {
	units := make([]uint16, len(body)/2)
	for i := range units {
		units[i] = uint16(body[2*i+high])<<8 | uint16(body[2*i+1-high])
	}
	return []byte(string(utf16.Decode(units)))
}
