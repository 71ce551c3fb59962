package vendorhttp

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestRedactMasksWhatLooksPersonal(t *testing.T) {
	long := strings.Repeat("x", 65)
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"Email is required.", "Email is required."},
		{"Customers[17].Email: is required", "Customers[17].Email: is required"},
		{"#/customers/3: extraneous key [x] is not permitted", "#/customers/3: extraneous key [x] is not permitted"},
		{"code 10007", "code 10007"},
		{"unknown address jan.jansen+x@example.nl given", "unknown address *** given"},
		{"email=jan@example.nl", "email=***"},
		{"?mail=jan%40example.nl", "?mail=***"},
		{"müller@exämple.de, twice", "***, twice"},
		{`{"email":"jan@example.nl"}`, `{"email":"***"}`},
		{"a@b@c", "***"},
		{"phone +31 (0)6 1234-5678!", "phone ***!"},
		{"tel. 010/44.55.66", "tel. ***"},
		{"card 4111111111111111", "card ***"},
		{"٠٦١٢٣٤٥٦٧٨", "***"},
		{"born 1980-02-29", "born ***"},
		{"12345 is short", "12345 is short"},
		{"token eyJhbGciOiJub25lIn0.eyJzdWIiOiJqYW4ifQ.c2ln is expired", "token *** is expired"},
		{"Bearer abcDEFghiJKL is not valid", "*** is not valid"},
		{"a bearer of news", "a bearer of news"},
		{"key 0a1b2c3d4e5f60718293a4b5c6d7e8f9 unknown", "key *** unknown"},
		{"user 5f3e2a1b-aaaa-4bcd-9e0f-abcdefabcdef unknown", "user *** unknown"},
		{"com.vendor.api.exceptions.NotFoundAPIValueException raised",
			"com.vendor.api.exceptions.NotFoundAPIValueException raised"},
		{"#/customers/103/addresses/12/countryCode: [x]", "#/customers/103/addresses/12/countryCode: [x]"},
		{`value "` + long + `" is too long`, `value *** is too long`},
		{`value "` + long, `value ***`},
		{`value '` + long + `' is too long`, `value *** is too long`},
		{`value "` + long[:64] + `" stays`, `value "` + long[:64] + `" stays`},
		{"the customer's name isn't valid, and this sentence goes on for more than sixty-four characters",
			"the customer's name isn't valid, and this sentence goes on for more than sixty-four characters"},
		{"line one\r\nline two\x00\x1b[31m\u2028end", "line one  line two  [31m end"},
		{"bad \xff\xfe bytes", "bad \uFFFD bytes"},
	} {
		if got := Redact(c.in); got != c.want {
			t.Errorf("Redact(%q)\n got %q\nwant %q", c.in, got, c.want)
		}
	}
}

func TestRedactCutsAtRuneBoundary(t *testing.T) {
	for n := 505; n < 520; n++ {
		got := Redact(strings.Repeat("x", n) + "€€€€€")
		if len(got) > 512 || len(got) < 505 || !utf8.ValidString(got) {
			t.Errorf("%d letters: %d bytes, valid %v", n, len(got), utf8.ValidString(got))
		}
	}
}

// If the text were cut before it is masked, the first half of an address would remain, which no
// longer looks like one.
func TestRedactLeavesNoPartOfAnAddressAtAnyCut(t *testing.T) {
	for pad := range 40 {
		for _, filler := range []string{"ab ", `"a":1,`, "0123456789"} {
			for _, length := range []int{512, redactInput} {
				in := strings.Repeat(filler, length)[:length-pad] + " topsecret.person@example.nl"
				if got := Redact(in); strings.Contains(got, "topsec") {
					t.Fatalf("%d before the cut at %d: %q", pad, length, got[max(0, len(got)-60):])
				}
			}
		}
	}
	if got := Redact(strings.Repeat("x", 2*redactInput)); got != mask {
		t.Errorf("one endless word: got %q, want %q", got, mask)
	}
}

func FuzzRedact(f *testing.F) {
	for _, s := range []string{"", "jan@example.nl", "+31 6 12345678", "\xff\x00", strings.Repeat("€", 600),
		strings.Repeat(`"a@b" `, 900)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Redact(s)
		if len(got) > 512 {
			t.Fatalf("got %d bytes, want at most 512", len(got))
		}
		if !utf8.ValidString(got) {
			t.Fatalf("got invalid UTF-8: %q", got)
		}
		if strings.ContainsFunc(got, unicode.IsControl) {
			t.Fatalf("got a control character in %q", got)
		}
		for _, p := range personalPatterns[2:] {
			if found := p.FindString(got); found != "" {
				t.Fatalf("got %q in %q, want it masked", found, got)
			}
		}
	})
}
