package testkit

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/demo/embedded"
)

// RunInBubble runs a test in a testing/synctest bubble, whose clock advances only while every
// goroutine is durably blocked. Kafka clients need build tag synctests for that: without it, kgo
// waits on locks that synctest does not count as durably blocking. Without the tag the test is
// skipped.
func RunInBubble(t *testing.T, test func(*testing.T)) {
	t.Helper()
	if !bubblesSupported {
		t.Skip("requires -tags synctests")
	}
	synctest.Test(t, test)
}

// AdvanceClock advances the bubble's clock by the duration, and returns when every goroutine is
// durably blocked again. Only the test's own goroutine may call it. Outside a bubble it panics.
func AdvanceClock(duration time.Duration) {
	synctest.Wait()
	time.Sleep(duration) //nolint:forbidigo // synctest.Wait panics outside a bubble, so this clock is fake
	synctest.Wait()
}

// StartPlatform starts an embedded Kafka cluster and schema registry, and closes them when the test
// ends.
func StartPlatform(t TB, options embedded.Options) *embedded.Platform {
	t.Helper()
	p, err := embedded.StartPlatform(options)
	if err != nil {
		t.Fatalf("starting the platform: %v", err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("closing the platform: %v", err)
		}
	})
	return p
}

// NewClient returns a Kafka client for the platform, and closes it when the test ends.
func NewClient(t TB, platform *embedded.Platform, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(platform.Brokers()...), kgo.Dialer(platform.DialContext)}, opts...)...)
	if err != nil {
		t.Fatalf("creating a Kafka client: %v", err)
	}
	t.Cleanup(client.CloseAllowingRebalance)
	return client
}

// SkipUnderRaceDetector skips a test named TestVolume... under the race detector. Such tests
// synchronize millions of times, after which the race detector's runtime may abort the process with
// a failed internal check. `make test` runs them separately, without the race detector.
func SkipUnderRaceDetector(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("requires a run without the race detector")
	}
}
