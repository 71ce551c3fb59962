package deliver

import "time"

// maxSpans bounds what is remembered: a day of a breaker that opens for 15 s each minute.
const maxSpans = 1440

type span struct{ from, to time.Time }

// spans are the times in which an operation could not be tried, ascending and apart from each other.
type spans struct {
	past  []span
	since time.Time // start of the one that lasts; zero: none
}

// set says whether the operation can be tried from now on.
func (s *spans) set(stalled bool, now time.Time) {
	switch {
	case stalled && s.since.IsZero():
		s.since = now
	case !stalled && !s.since.IsZero():
		s.add(s.since, now)
		s.since = time.Time{}
	}
}

// add joins a span with those that it touches.
func (s *spans) add(from, to time.Time) {
	for n := len(s.past) - 1; n >= 0 && !from.After(s.past[n].to); n-- {
		from, to = earlier(from, s.past[n].from), later(to, s.past[n].to)
		s.past = s.past[:n]
	}
	s.past = append(s.past, span{from, to})
	if len(s.past) > maxSpans {
		// The gap between the two oldest counts as stalled: a record lives longer for it, never shorter.
		s.past[1].from = s.past[0].from
		s.past = s.past[1:]
	}
}

// within is how much of the time from a moment until now was stalled.
func (s *spans) within(from, now time.Time) time.Duration {
	var sum time.Duration
	end := from
	for _, p := range s.past {
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
