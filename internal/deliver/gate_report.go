package deliver

import (
	"time"

	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"sluice/internal/observe"
	"sluice/internal/sink"
)

// note tells what has changed: once when the operation is held, once when it is not any more. Faults in between are counted.
func (g *gate) note(now time.Time, a sink.Response) {
	g.stalled.setStalled(g.hold.reason != "" || g.flood.reason != "" || g.breaker.state() != gobreaker.StateClosed, now)
	reason := g.reason(now)
	if a.Class != 0 && a.Class != sink.Delivered && reason != "" {
		g.faults++
	}
	if reason == g.said {
		return
	}
	g.obs.SetHold(g.cfg.OperationName, reason)
	g.tell(reason, now, a)
	if g.said == "" || reason == "" {
		g.saidAt, g.faults = now, 0
	}
	g.said = reason
}

// tell writes the log line. A throttle is the vendor's way to set the pace; what needs a person is an error.
func (g *gate) tell(reason observe.HoldReason, now time.Time, a sink.Response) {
	operation := zap.String("operation", g.cfg.OperationName)
	if reason == "" {
		g.log.Log(level(g.said, zap.InfoLevel), "operation goes on",
			operation, zap.String("reason", string(g.said)), zap.Duration("held", now.Sub(g.saidAt)), zap.Int("faults", g.faults))
		return
	}
	g.log.Log(level(reason, zap.ErrorLevel), "operation is held",
		operation, zap.String("reason", string(reason)), zap.Int("status", a.Status), zap.String("code", a.Code), zap.Error(a.Err))
}

func level(reason observe.HoldReason, most zapcore.Level) zapcore.Level {
	switch reason {
	case reasonThrottled, reasonFlood: // a flood is the pipeline's to tell
		return zap.DebugLevel
	case reasonUnavailable:
		return min(most, zap.WarnLevel)
	}
	return most
}

// reason is why no call may start, the one that needs a person first.
func (g *gate) reason(now time.Time) observe.HoldReason {
	switch {
	case g.hold.reason != "":
		return g.hold.reason
	case g.flood.reason != "":
		return g.flood.reason
	case g.breaker.state() != gobreaker.StateClosed:
		return reasonUnavailable
	case g.throttle.until.After(now):
		return reasonThrottled
	}
	return ""
}

// probeNow lets a held operation be tried at once.
func (g *gate) probeNow(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold.next, g.flood.next, g.throttle.until = now, now, earlier(g.throttle.until, now)
	g.wake()
}

// setFlood takes what the pipeline's guard says.
func (g *gate) setFlood(tripped bool) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !tripped:
		g.flood.end()
	case g.flood.reason == "":
		g.flood.set(reasonFlood, now, now, 0)
	}
	g.note(now, sink.Response{})
	g.wake()
}

// accepted says that the vendor has refused no record of a call.
func (g *gate) accepted(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.flood.reason != "" {
		g.flood.ease(now)
		g.wake()
	}
}

// jittered is a lane's wait after so many failures in a row.
func (g *gate) jittered(failures int) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cfg.Backoff.jittered(failures, g.rand)
}

// age is how long ago a moment is, without the time in which the operation could not be tried. The zero time is now.
func (g *gate) age(since, now time.Time) time.Duration {
	if since.IsZero() {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return now.Sub(since) - g.stalled.stalledSince(since, now)
}

// callLimits gives the most items of a call at present, and how many calls the vendor has answered for.
func (g *gate) callLimits() (most int, passes uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.limit(), g.passes
}
