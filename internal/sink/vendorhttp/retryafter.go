package vendorhttp

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ParseRetryAfter returns the wait that a Retry-After header asks for, in seconds or as a date (RFC
// 9110, section 10.2.3). It is never negative. It is 0 if there is no such header, it cannot be
// parsed, or the date has passed, and the longest possible Duration if the header asks for more
// than that. The caller must bound it.
func ParseRetryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.Trim(header.Get("Retry-After"), " \t")
	if value == "" {
		return 0
	}
	if hasOnlyDigits(value) {
		const most = uint64(math.MaxInt64 / time.Second)
		seconds, err := strconv.ParseUint(value, 10, 64)
		if err != nil || seconds > most {
			return math.MaxInt64
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(at.Sub(now), 0)
}

func hasOnlyDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
