package observe_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"sluice/internal/observe"
)

func TestConditionLogsBeginChangesAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, lines := observer.New(zap.DebugLevel)
		c := observe.NewCondition(zap.New(core),
			"offset commit failed, retrying", "offset commit recovered", zap.String("group", "g"))
		c.End() // nothing has begun
		c.Begin(errors.New("away"))
		c.Begin(errors.New("away"))
		c.Begin(errors.New("not authorized"))
		time.Sleep(3 * time.Second) //nolint:forbidigo // the bubble's clock advances by itself
		c.End()
		c.End()
		c.Begin(errors.New("not authorized"))

		var got []string
		for _, l := range lines.All() {
			fields := l.ContextMap()
			if fields["group"] != "g" {
				t.Errorf("line %q: got group %v, want g", l.Message, fields["group"])
			}
			got = append(got, l.Message)
		}
		want := []string{
			"offset commit failed, retrying", "offset commit failed, retrying",
			"offset commit recovered", "offset commit failed, retrying",
		}
		if len(got) != len(want) {
			t.Fatalf("got log %q, want %q", got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("line %d: got %q, want %q", i, got[i], want[i])
			}
		}
		end := lines.All()[2].ContextMap()
		if end["lasted"] != 3*time.Second || end["failures"] != int64(3) {
			t.Errorf("got lasted %v and failures %v, want 3s and 3", end["lasted"], end["failures"])
		}
	})
}
