package deliver

import (
	"math/rand/v2"
	"time"
)

// Backoff bounds waits that double from one failure to the next.
type Backoff struct{ Min, Max time.Duration }

// after is the wait after so many failures before this one, without jitter.
func (b Backoff) after(failures int) time.Duration {
	wait := b.Min
	for ; failures > 0 && wait < b.Max; failures-- {
		wait *= 2
	}
	return min(wait, b.Max)
}

// jittered spreads the wait over all of [0, after): lanes and instances that failed together do not come back together.
func (b Backoff) jittered(failures int, r *rand.Rand) time.Duration {
	return time.Duration(r.Int64N(int64(b.after(failures)) + 1))
}
