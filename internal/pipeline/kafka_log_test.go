package pipeline

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kzap"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"sluice/internal/config"
	"sluice/internal/test/testkit"
)

func TestRepeatedMessageIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		limiter := limitRepeats(kzap.New(zap.New(core)))
		for range 601 { // two minutes, five a second
			limiter.Log(kgo.LogLevelWarn, "unable to open connection to broker", "addr", "a:1")
			limiter.Log(kgo.LogLevelInfo, "metadata update triggered")
			<-time.After(200 * time.Millisecond)
		}
		limiter.Log(kgo.LogLevelError, "group manage loop errored")
		repeated := logs.FilterMessage("unable to open connection to broker").All()
		if len(repeated) != 3 || repeated[0].ContextMap()["repeated"] != nil || repeated[1].ContextMap()["repeated"] != int64(299) || repeated[2].ContextMap()["addr"] != "a:1" {
			t.Errorf("got %v, want one line a minute with the number of repeats", repeated)
		}
		if logs.Len() != 4 {
			t.Errorf("got %d lines, want 3 and that of the other message", logs.Len())
		}
	})
}

// A client repeats its message several times a second while its broker is unreachable.
func TestUnreachableBrokerDoesNotFloodLog(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		opts, err := KafkaOptions(config.Kafka{Brokers: []string{"nobody:1"}},
			func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("refused")
			}, zap.New(core))
		if err != nil {
			t.Fatal(err)
		}
		client, err := kgo.NewClient(append(opts, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"))...)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Minute)
		if n := logs.Len(); n == 0 || n > 30 {
			t.Errorf("got %d lines in ten minutes, want 1 to 30", n)
		}
		client.Close()
	})
}

func TestLoggerOfErrorsOnlyIsKept(t *testing.T) {
	var complaints bytes.Buffer
	core, _ := observer.New(zap.ErrorLevel)
	if _, err := KafkaOptions(config.Kafka{}, nil,
		zap.New(core, zap.ErrorOutput(zapcore.AddSync(&complaints)))); err != nil {
		t.Fatal(err)
	}
	if complaints.Len() > 0 {
		t.Errorf("got internal logger errors %s, want none", complaints.String())
	}
}
