package deliver

import "time"

// maxStalledSpans limits how many spans are remembered: a day's worth if a breaker opens for 15 s
// each minute.
const maxStalledSpans = 1440

type timeSpan struct{ from, to time.Time }

// stalledSpans records when an operation could not be called, so that this time does not count
// toward the age of its records. The spans are in ascending order and do not overlap.
type stalledSpans struct {
	ended []timeSpan
	since time.Time // start of the current span; zero if the operation can be called
}

// setStalled records whether the operation is stalled from now on.
func (s *stalledSpans) setStalled(stalled bool, now time.Time) {
	switch {
	case stalled && s.since.IsZero():
		s.since = now
	case !stalled && !s.since.IsZero():
		s.addSpan(s.since, now)
		s.since = time.Time{}
	}
}

// addSpan adds a span and merges it with the spans that it touches.
func (s *stalledSpans) addSpan(from, to time.Time) {
	for n := len(s.ended) - 1; n >= 0 && !from.After(s.ended[n].to); n-- {
		from, to = earlierOf(from, s.ended[n].from), laterOf(to, s.ended[n].to)
		s.ended = s.ended[:n]
	}
	s.ended = append(s.ended, timeSpan{from, to})
	if len(s.ended) > maxStalledSpans {
		// The gap between the two oldest spans now counts as stalled: a record may live longer
		// because of that, never shorter.
		s.ended[1].from = s.ended[0].from
		s.ended = s.ended[1:]
	}
}

// stalledSince returns how much of the time between from and now was stalled.
func (s *stalledSpans) stalledSince(from, now time.Time) time.Duration {
	var sum time.Duration
	end := from
	for _, span := range s.ended {
		sum += durationBetween(laterOf(span.from, from), earlierOf(span.to, now))
		end = laterOf(end, span.to)
	}
	if !s.since.IsZero() {
		sum += durationBetween(laterOf(s.since, end), now)
	}
	return sum
}

// durationBetween returns the time between two times, or 0 if to is before from.
func durationBetween(from, to time.Time) time.Duration { return max(0, to.Sub(from)) }

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlierOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
