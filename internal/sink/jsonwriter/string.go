package jsonwriter

import "unicode/utf8"

const hexDigits = "0123456789abcdef"

// AppendString appends text to buf as a JSON string, byte for byte as encoding/json writes it
// without HTML escaping: invalid UTF-8 becomes U+FFFD, and U+2028 and U+2029 are escaped.
func AppendString(buf []byte, text string) []byte {
	buf = append(buf, '"')
	start := 0 // of the text that has not been appended yet
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			buf = appendEscaped(append(buf, text[start:i]...), c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if (r == utf8.RuneError && size == 1) || r == '\u2028' || r == '\u2029' {
			buf = appendUnicode(append(buf, text[start:i]...), r)
			start = i + size
		}
		i += size
	}
	return append(append(buf, text[start:]...), '"')
}

func appendEscaped(buf []byte, char byte) []byte {
	switch char {
	case '"', '\\':
		return append(buf, '\\', char)
	case '\b':
		return append(buf, '\\', 'b')
	case '\f':
		return append(buf, '\\', 'f')
	case '\n':
		return append(buf, '\\', 'n')
	case '\r':
		return append(buf, '\\', 'r')
	case '\t':
		return append(buf, '\\', 't')
	}
	return appendUnicode(buf, rune(char))
}

func appendUnicode(buf []byte, r rune) []byte {
	return append(buf, '\\', 'u', hexDigits[r>>12&0xF], hexDigits[r>>8&0xF], hexDigits[r>>4&0xF], hexDigits[r&0xF])
}
