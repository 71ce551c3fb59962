package deliver

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"sluice/internal/observe"
	"sluice/internal/sink"
)

// holdReport reports to the metrics and the log why an operation is held. It logs when the reason
// changes and when the operation resumes, and counts the failures in between.
type holdReport struct {
	operation string
	obs       *observe.Pipeline
	log       *zap.Logger

	reason   observe.HoldReason // reported last
	since    time.Time          // when the operation was first held without a break
	failures int
}

// update reports the current reason, or "" if the operation is not held. response is the one that
// led to it, or the zero Response.
func (r *holdReport) update(reason observe.HoldReason, now time.Time, response sink.Response) {
	if response.Class != 0 && response.Class != sink.Delivered && reason != "" {
		r.failures++
	}
	if reason == r.reason {
		return
	}
	r.obs.SetHold(r.operation, reason)
	if reason == "" {
		r.logResumed(now)
	} else {
		r.logHeld(reason, response)
	}
	if r.reason == "" || reason == "" {
		r.since, r.failures = now, 0
	}
	r.reason = reason
}

func (r *holdReport) logHeld(reason observe.HoldReason, response sink.Response) {
	status, code := zap.Skip(), zap.Skip()
	if response.Status != 0 {
		status = zap.Int("status", response.Status)
	}
	if response.Code != "" {
		code = zap.String("code", response.Code)
	}
	r.log.Log(logLevelFor(reason, zap.ErrorLevel), "operation held", zap.String("operation", r.operation),
		zap.String("reason", string(reason)), status, code, zap.Error(response.Err))
}

func (r *holdReport) logResumed(now time.Time) {
	r.log.Log(logLevelFor(r.reason, zap.InfoLevel), "operation resumed", zap.String("operation", r.operation),
		zap.String("reason", string(r.reason)), zap.Duration("lasted", now.Sub(r.since)),
		zap.Int("failures", r.failures))
}

// logLevelFor returns a lower level where no operator is needed: throttling is normal, and the
// pipeline itself logs a flood.
func logLevelFor(reason observe.HoldReason, highest zapcore.Level) zapcore.Level {
	if reason == observe.HoldThrottled || reason == observe.HoldFlood {
		return zap.DebugLevel
	}
	if reason == observe.HoldUnavailable {
		return min(highest, zap.WarnLevel)
	}
	return highest
}
