//go:build docker

package dockertest

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"sluice/internal/notify"
	"sluice/internal/observe"
	"sluice/internal/pipeline"
)

// instance is a connector in this process, which may share its consumer groups with others.
type instance struct {
	h            *harness
	name         string
	logs         *observer.ObservedLogs
	logged       notify.Broadcaster
	stopFetching context.CancelFunc
	result       chan error // the error of Run
}

func (h *harness) startInstance(name string) *instance {
	h.t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	i := &instance{h: h, name: name, logs: logs, result: make(chan error, 1)}
	log := zap.New(core, zap.Hooks(func(zapcore.Entry) error {
		i.logged.Notify()
		return nil
	}))
	connector, err := pipeline.NewConnector(h.cfg, pipeline.Options{
		Observe: observe.NewRegistry(prometheus.NewRegistry()), Log: log,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	fetchCtx, stopFetching := context.WithCancel(context.Background())
	i.stopFetching = stopFetching
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		i.result <- connector.Run(fetchCtx, context.Background())
	}()
	h.t.Cleanup(func() {
		h.blocker.unblock()
		stopFetching()
		<-ended
		if h.t.Failed() {
			i.printWarnings()
		}
	})
	return i
}

// printWarnings prints what the instance has logged at level warn or above.
func (i *instance) printWarnings() {
	for _, entry := range i.logs.All() {
		if entry.Level >= zap.WarnLevel {
			i.h.t.Logf("%s: %s %s %v", i.name, entry.Time.Format("15:04:05.000"), entry.Message, entry.ContextMap())
		}
	}
}

// awaitMessage waits until the instance has logged the message count times.
func (i *instance) awaitMessage(message string, count int) {
	i.h.t.Helper()
	ctx := i.h.newDeadline()
	for {
		next := i.logged.Next()
		got := i.logs.FilterMessage(message).Len()
		if got >= count {
			return
		}
		select {
		case <-next:
		case err := <-i.result:
			i.h.t.Fatalf("instance %s ended while the test waited for it: %v", i.name, err)
		case <-ctx.Done():
			i.h.t.Fatalf("instance %s: got %d times the message %q within %v, want %d",
				i.name, got, message, waitTimeout, count)
		}
	}
}

// stopCleanly stops the instance and checks that it drains without an error.
func (i *instance) stopCleanly() {
	i.h.t.Helper()
	i.stopFetching()
	select {
	case err := <-i.result:
		if err != nil {
			i.h.t.Errorf("stopping instance %s: got error %v, want none", i.name, err)
		}
	case <-i.h.newDeadline().Done():
		i.h.t.Fatalf("stopping instance %s: still running after %v", i.name, waitTimeout)
	}
}
