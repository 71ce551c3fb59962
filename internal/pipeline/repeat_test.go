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

func TestALineThatIsRepeatedIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		l := countRepeats(kzap.New(zap.New(core)))
		for range 601 { // two minutes, five a second
			l.Log(kgo.LogLevelWarn, "unable to open connection to broker", "addr", "a:1")
			l.Log(kgo.LogLevelInfo, "metadata update triggered")
			<-time.After(200 * time.Millisecond)
		}
		l.Log(kgo.LogLevelError, "group manage loop errored")
		away := logs.FilterMessage("unable to open connection to broker").All()
		if len(away) != 3 || away[0].ContextMap()["repeated"] != nil || away[1].ContextMap()["repeated"] != int64(299) || away[2].ContextMap()["addr"] != "a:1" {
			t.Errorf("got %v, want one line a minute that counts", away)
		}
		if logs.Len() != 4 {
			t.Errorf("%d lines, want the three and another message's", logs.Len())
		}
	})
}

// The line that a client writes several times a second while its broker is away.
func TestABrokerThatIsAwayIsNotAFloodInTheLog(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		opts, err := KafkaOptions(config.Kafka{Brokers: []string{"nobody:1"}}, func(context.Context, string, string) (net.Conn, error) {
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
			t.Errorf("%d lines in ten minutes, want some and few", n)
		}
		client.Close()
	})
}

func TestALoggerOfErrorsAloneIsTakenAsItIs(t *testing.T) {
	var complaints bytes.Buffer
	core, _ := observer.New(zap.ErrorLevel)
	if _, err := KafkaOptions(config.Kafka{}, nil, zap.New(core, zap.ErrorOutput(zapcore.AddSync(&complaints)))); err != nil {
		t.Fatal(err)
	}
	if complaints.Len() > 0 {
		t.Errorf("%s", complaints.String())
	}
}
