package vendorhttp

import (
	"net/http"
	"testing"
	"unicode/utf16"
)

const bom = "\ufeff"

func encodeUTF16(text string, high int) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		pair := [2]byte{}
		pair[high], pair[1-high] = byte(u>>8), byte(u)
		b = append(b, pair[:]...)
	}
	return string(b)
}

func TestPageIsKnownByItsTypeOrItsContent(t *testing.T) {
	for _, tt := range []struct {
		name, media, body string
		want              bool
	}{
		{"HTML type with a page", "text/html", "<html></html>", true},
		{"HTML type with text", "Text/HTML; charset=utf-8", "Your session has expired", true},
		{"HTML type with JSON", "text/html", "{}", true},
		{"XHTML type", "application/xhtml+xml", "", true},
		{"document type", "", "<!DOCTYPE html>\n<p>Down", true},
		{"document type below white space", "", "\r\n\t <!doctype HTML>", true},
		{"page behind a byte order mark", "application/json", bom + "<!DOCTYPE html>\n<html>", true},
		{"page behind white space and a byte order mark", "", "\n" + bom + "\n<html>", true},
		{"page in UTF-16, little endian", "", encodeUTF16(bom+"<html>", 1), true},
		{"page in UTF-16, big endian", "", encodeUTF16(bom+"<html>", 0), true},
		{"page in UTF-16 without a mark", "", encodeUTF16("<html>", 1), true},
		{"XHTML", "", `<?xml version="1.0"?>` + "\n" +
			`<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN"><html/>`, true},
		{"XHTML behind a style sheet and a comment", "",
			`<?xml version="1.0"?><?xml-stylesheet href="a"?><!-- > --><html xmlns="http://www.w3.org/1999/xhtml">`,
			true},
		{"XHTML with a prefix", "", `<?xml version="1.0"?><h:html xmlns:h="http://www.w3.org/1999/xhtml"/>`, true},
		{"prolog without an end", "", `<?xml version="1.0"`, true},
		{"comment without an end", "", `<!-- maintenance`, true},
		{"head", "", "<head><title>Log in</title></head>", true},
		{"meta refresh", "", `<meta http-equiv="refresh" content="0; url=/login">`, true},
		{"script", "", `<script>location="/login"</script>`, true},
		{"text before a page", "", "Please wait <html><body>", true},
		{"text with a tag", "", `Blocked.<br>Support ID 7`, true},
		{"XML around a page", "", `<answer><html><body/></html></answer>`, true},

		{"nothing", "", "", false},
		{"nothing but a type", "application/json", "", false},
		{"text", "text/plain", "OK", false},
		{"text with a comparison", "text/plain", "1 < 2, a <c and d> e", false},
		{"JSON", "application/json", `{"a":1}`, false},
		{"JSON with a page in it", "application/json", `{"Template":"<html><body>Hi</body></html>"}`, false},
		{"JSON string with a tag", "application/json", `"<b>done</b>"`, false},
		{"XML", "application/xml", `<?xml version="1.0"?><!-- html --><ok/>`, false},
		{"XML of .NET", "text/xml", `<string xmlns="http://schemas.microsoft.com/2003/10/Serialization/">OK</string>`,
			false},
		{"XML with a name that begins as one of HTML", "", `<bodyCount>1</bodyCount>`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := http.Header{}
			if tt.media != "" {
				header.Set("Content-Type", tt.media)
			}
			if got := IsHTMLPage(Exchange{Status: 200, Header: header, Body: []byte(tt.body)}); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestBodyTextIsUTF8WithoutAMark(t *testing.T) {
	for _, tt := range []struct{ body, want string }{
		{"", ""}, {"a", "a"}, {"{}", "{}"}, {"é", "é"}, {bom, ""}, {bom + "{}", "{}"},
		{encodeUTF16(bom+`{"é":1}`, 0), `{"é":1}`}, {encodeUTF16(bom+`{"é":1}`, 1), `{"é":1}`},
		{encodeUTF16(`{"é":1}`, 0), `{"é":1}`}, {encodeUTF16(`{"é":1}`, 1), `{"é":1}`},
	} {
		if got := string(DecodeBodyText([]byte(tt.body))); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.body, got, tt.want)
		}
	}
}
