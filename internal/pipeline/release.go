package pipeline

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"sluice/internal/guard"
	"sluice/internal/observe"
)

// ErrNoPipeline reports that no running pipeline has the given name.
var ErrNoPipeline = errors.New("no such pipeline is running")

// ReleasePipeline carries out an operator's decision that a held pipeline continues. Records in
// quarantine are sent once more, and their next results count as usual; records on which the vendor
// may have acted, and records refused before a call, are settled at once, and operations that are
// held are probed at once. The error wraps ErrNoPipeline.
func (c *Connector) ReleasePipeline(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var running []string
	for _, p := range c.pipelines {
		if p.name == name {
			p.releaseHolds()
			return nil
		}
		running = append(running, p.name)
	}
	if len(running) == 0 {
		running = []string{"none yet"}
	}
	return fmt.Errorf("releasing pipeline %q: %w; running: %s", name, ErrNoPipeline, strings.Join(running, ", "))
}

func (p *Pipeline) releaseHolds() {
	p.log.Info("pipeline released by an operator")
	for _, g := range p.guards {
		g.Release()
	}
	for _, d := range p.dispatchers {
		d.ProbeNow()
	}
}

// logFloods returns a subscriber of a flood guard that logs once when the guard trips and once when
// it is cleared.
func logFloods(log *zap.Logger) func(guard.Status) {
	reason := zap.String("reason", string(observe.HoldFlood))
	var since time.Time
	return func(s guard.Status) {
		switch {
		case s.Tripped && since.IsZero():
			since = time.Now()
			log.Error("flood guard tripped, pipeline held", reason,
				zap.Float64("ratio", s.RefusedRatio), zap.Int("records", s.WindowRecords),
				nonEmptyField("operation", s.Operation), nonEmptyField("cause", string(s.Cause)),
				nonEmptyField("code", s.Code))
		case !s.Tripped && !since.IsZero():
			log.Info("flood guard cleared", reason, zap.Duration("lasted", time.Since(since)))
			since = time.Time{}
		}
	}
}

// nonEmptyField returns a string field, or no field if the value is empty.
func nonEmptyField(key, value string) zap.Field {
	if value == "" {
		return zap.Skip()
	}
	return zap.String(key, value)
}
