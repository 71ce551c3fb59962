package vendorhttp

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ParseRetryAfter is the wait that a Retry-After header asks for, as seconds or as a date (RFC 9110 10.2.3). It is 0 where there is none, it cannot
// be read, or it is past, and never negative; more seconds than a Duration holds is the longest Duration. The caller caps it.
func ParseRetryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.Trim(h.Get("Retry-After"), " \t")
	if v == "" {
		return 0
	}
	if isDigits(v) {
		const most = uint64(math.MaxInt64 / time.Second)
		seconds, err := strconv.ParseUint(v, 10, 64)
		if err != nil || seconds > most {
			return math.MaxInt64
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return max(at.Sub(now), 0)
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
