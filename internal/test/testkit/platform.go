package testkit

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/demo/embedded"
)

// RunInBubble runs f in a testing/synctest bubble, whose clock stands still while anything can run. Kafka clients work in it only with build tag
// synctests (without it kgo locks in a way that the bubble cannot see); where the tag is missing the test is skipped.
func RunInBubble(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if !bubbles {
		t.Skip("needs -tags synctests")
	}
	synctest.Test(t, f)
}

// AdvanceClock lets the bubble's clock run on by d, and returns when all that came due by then has been done as far as it goes. For the test's own
// goroutine alone; outside a bubble it panics rather than take real time.
func AdvanceClock(d time.Duration) {
	synctest.Wait()
	time.Sleep(d) //nolint:forbidigo // the one place: Wait has made sure that the clock is a bubble's
	synctest.Wait()
}

// StartPlatform runs an embedded cluster and registry until the test ends.
func StartPlatform(t TB, o embedded.Options) *embedded.Platform {
	t.Helper()
	p, err := embedded.StartPlatform(o)
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

// NewClient makes a Kafka client of the platform that is closed when the test ends.
func NewClient(t TB, p *embedded.Platform, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(p.Brokers()...), kgo.Dialer(p.Dial)}, opts...)...)
	if err != nil {
		t.Fatalf("making a Kafka client: %v", err)
	}
	t.Cleanup(cl.CloseAllowingRebalance)
	return cl
}

// SkipUnlessVolume is for tests named TestVolume...: they synchronise millions of times, after which the race detector's runtime may end the process with a failed check of
// its own. Under it they are skipped; `make test` runs them once more without it.
func SkipUnlessVolume(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("runs without the race detector")
	}
}
