//go:build docker

package dockertest

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"sluice/internal/notify"
	"sluice/internal/observe"
	"sluice/internal/pipeline"
)

// instance is a connector in this process, as one of several of a group.
type instance struct {
	s      *stage
	name   string
	logs   *observer.ObservedLogs
	said   notify.Broadcaster
	end    context.CancelFunc
	result chan error
}

func (s *stage) start(name string) *instance {
	s.t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	i := &instance{s: s, name: name, logs: logs, result: make(chan error, 1)}
	log := zap.New(core, zap.Hooks(func(zapcore.Entry) error {
		i.said.Notify()
		return nil
	}))
	connector, err := pipeline.NewConnector(s.cfg, pipeline.Options{Observe: observe.NewRegistry(prometheus.NewRegistry()), Log: log})
	if err != nil {
		s.t.Fatal(err)
	}
	take, end := context.WithCancel(context.Background())
	i.end = end
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		i.result <- connector.Run(take, context.Background())
	}()
	s.t.Cleanup(func() {
		s.gate.free()
		end()
		<-ended
		if s.t.Failed() {
			i.tell(s.t)
		}
	})
	return i
}

// tell logs what the instance had to warn of.
func (i *instance) tell(t *testing.T) {
	for _, line := range i.logs.All() {
		if line.Level >= zap.WarnLevel {
			t.Logf("%s: %s %s %v", i.name, line.Time.Format("15:04:05.000"), line.Message, line.ContextMap())
		}
	}
}

// await waits until the instance has logged so many lines of the message.
func (i *instance) await(message string, n int) {
	i.s.t.Helper()
	ctx := i.s.deadline()
	for {
		next := i.said.Next()
		got := i.logs.FilterMessage(message).Len()
		if got >= n {
			return
		}
		select {
		case <-next:
		case err := <-i.result:
			i.s.t.Fatalf("%s ended: %v", i.name, err)
		case <-ctx.Done():
			i.s.t.Fatalf("%s said %q %d times, want %d", i.name, message, got, n)
		}
	}
}

// stop ends the instance and wants a clean drain.
func (i *instance) stop() {
	i.s.t.Helper()
	i.end()
	select {
	case err := <-i.result:
		if err != nil {
			i.s.t.Errorf("%s stopped with %v, want a clean drain", i.name, err)
		}
	case <-i.s.deadline().Done():
		i.s.t.Fatalf("%s does not stop", i.name)
	}
}
