package pipeline

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"sluice/internal/guard"
)

// ErrNoPipeline is an error of a name that no running pipeline has.
var ErrNoPipeline = errors.New("no such pipeline runs")

// Release has a pipeline go on after an operator has looked at it: what its guard holds is tried once more and then takes its course, and operations that
// are held are tried at once. The error is ErrNoPipeline.
func (c *Connector) Release(pipeline string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, p := range c.pipelines {
		if p.name == pipeline {
			p.release()
			return nil
		}
		names = append(names, p.name)
	}
	if len(names) == 0 {
		names = []string{"none yet"}
	}
	return fmt.Errorf("releasing pipeline %q: %w; running: %s", pipeline, ErrNoPipeline, strings.Join(names, ", "))
}

func (p *Pipeline) release() {
	p.log.Info("released by an operator")
	for _, g := range p.guards {
		g.Release()
	}
	for _, l := range p.lanes {
		l.ProbeNow()
	}
}

// tellFloods logs once when a guard trips, and once when it lets go.
func tellFloods(log *zap.Logger) func(guard.Status) {
	var since time.Time
	return func(s guard.Status) {
		switch {
		case s.Tripped && since.IsZero():
			since = time.Now()
			log.Error("pipeline is held: too many of its last records were refused, so nothing more is retried or dead-lettered",
				zap.String("reason", "flood"), zap.Float64("share", s.RejectedShare), zap.Int("records", s.WindowRecords),
				zap.String("operation", s.Operation), zap.String("cause", string(s.Cause)), zap.String("code", s.Code))
		case !s.Tripped && !since.IsZero():
			log.Info("pipeline goes on", zap.String("reason", "flood"), zap.Duration("held", time.Since(since)))
			since = time.Time{}
		}
	}
}
