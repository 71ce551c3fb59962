package deliver

import "time"

// maxStalledSpans bounds what is remembered: a day of a breaker that opens for 15 s each minute.
const maxStalledSpans = 1440

type timeSpan struct{ from, to time.Time }

// stalledSpans are the times in which an operation could not be tried, ascending and apart from each other.
type stalledSpans struct {
	ended []timeSpan
	since time.Time // start of the one that lasts; zero: none
}

// setStalled says whether the operation can be tried from now on.
func (s *stalledSpans) setStalled(stalled bool, now time.Time) {
	switch {
	case stalled && s.since.IsZero():
		s.since = now
	case !stalled && !s.since.IsZero():
		s.addSpan(s.since, now)
		s.since = time.Time{}
	}
}

// addSpan joins a span with those that it touches.
func (s *stalledSpans) addSpan(from, to time.Time) {
	for n := len(s.ended) - 1; n >= 0 && !from.After(s.ended[n].to); n-- {
		from, to = earlier(from, s.ended[n].from), later(to, s.ended[n].to)
		s.ended = s.ended[:n]
	}
	s.ended = append(s.ended, timeSpan{from, to})
	if len(s.ended) > maxStalledSpans {
		// The gap between the two oldest counts as stalled: a record lives longer for it, never shorter.
		s.ended[1].from = s.ended[0].from
		s.ended = s.ended[1:]
	}
}

// stalledSince is how much of the time from a moment until now was stalled.
func (s *stalledSpans) stalledSince(from, now time.Time) time.Duration {
	var sum time.Duration
	end := from
	for _, p := range s.ended {
		sum += overlap(later(p.from, from), earlier(p.to, now))
		end = later(end, p.to)
	}
	if !s.since.IsZero() {
		sum += overlap(later(s.since, end), now)
	}
	return sum
}

func overlap(from, to time.Time) time.Duration { return max(0, to.Sub(from)) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
