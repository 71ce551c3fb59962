package vendorhttp

import (
	"math"
	"net/http"
	"testing"
	"time"
)

func TestRetryAfterReadsSecondsAndDates(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		value string
		want  time.Duration
	}{
		{"", 0},
		{"0", 0},
		{"1", time.Second},
		{" 120 ", 2 * time.Minute},
		{"00120", 2 * time.Minute},
		{"99999", 99999 * time.Second},
		{"9223372036", 9223372036 * time.Second},
		{"9223372037", math.MaxInt64},
		{"99999999999999999999999999", math.MaxInt64},
		{"-1", 0},
		{"+1", 0},
		{"1.5", 0},
		{"soon", 0},
		{"10, 20", 0},
		{"١٢", 0},
		{"Sun, 01 Mar 2026 12:00:30 GMT", 30 * time.Second},
		{"Sunday, 01-Mar-26 12:00:30 GMT", 30 * time.Second},
		{"Sun Mar  1 12:00:30 2026", 30 * time.Second},
		{"Sun, 01 Mar 2026 11:59:59 GMT", 0},
		{"Fri, 31 Dec 9999 23:59:59 GMT", math.MaxInt64},
		{"Sun, 01 Mar 2026 12:00:30", 0},
	} {
		h := http.Header{}
		h.Set("Retry-After", c.value)
		if got := ParseRetryAfter(h, now); got != c.want {
			t.Errorf("Retry-After %q: got %v, want %v", c.value, got, c.want)
		}
	}
	if got := ParseRetryAfter(nil, now); got != 0 {
		t.Errorf("no header: got %v, want 0", got)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, v := range []string{"", "120", "-5", "99999999999999999999", "Sun, 01 Mar 2026 12:00:30 GMT", "garbage",
		"0x10", "1e9"} {
		f.Add(v, int64(1772366400))
	}
	f.Fuzz(func(t *testing.T, value string, unix int64) {
		now := time.Unix(unix%(1<<33), 0)
		got := ParseRetryAfter(http.Header{"Retry-After": {value}}, now)
		if got < 0 {
			t.Fatalf("Retry-After %q: %v is negative", value, got)
		}
		at, err := http.ParseTime(value)
		if err == nil && got > 0 && got != at.Sub(now) {
			t.Fatalf("Retry-After %q at %v: got %v, want %v", value, now, got, at.Sub(now))
		}
	})
}
