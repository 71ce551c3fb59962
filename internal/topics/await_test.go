package topics

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/demo/embedded"
	"sluice/internal/test/testkit"
)

// hideTopics makes the cluster respond to the next metadata requests for any of the topics as if
// the topics did not exist, as a broker does that has not replicated a change yet. It returns a
// pointer to the number of requests that will still get such a response.
func hideTopics(cluster *kfake.Cluster, times int, topics ...string) *int {
	remaining := times
	cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		hidden := false
		requested := req.(*kmsg.MetadataRequest).Topics
		for i, topic := range requested {
			if remaining > 0 && topic.Topic != nil && slices.Contains(topics, *topic.Topic) {
				requested[i].Topic, hidden = kmsg.StringPtr("none."+*topic.Topic), true
			}
		}
		if hidden {
			remaining--
		}
		return nil, nil, false
	})
	return &remaining
}

// newLaggingCluster starts a cluster in a synctest bubble, with the source topic purchases of three
// partitions. Tests make it lag with hideTopics.
func newLaggingCluster(t *testing.T) (*kfake.Cluster, *kadm.Client) {
	t.Helper()
	platform := testkit.StartPlatform(t, embedded.Options{Network: &testkit.Network{}})
	adm := kadm.NewClient(testkit.NewClient(t, platform))
	createTestTopic(t, adm, "purchases", 3, nil)
	return platform.Cluster(), adm
}

func purchasesTopics() []Topic {
	cfg := testConfig()
	cfg.Pipelines = cfg.Pipelines[:1]
	return RequiredTopics(cfg)
}

func TestApplyReturnsOnceTheBrokersDescribeTheChanges(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		cluster, adm := newLaggingCluster(t)
		wanted := purchasesTopics()
		// The first of the four requests precedes the creation.
		remaining := hideTopics(cluster, 4, wanted[0].Name)
		if _, err := ApplyTopics(t.Context(), adm, wanted, false); err != nil {
			t.Fatal(err)
		}
		if *remaining != 0 {
			t.Errorf("returned while %d requests would not find the topic, want 0", *remaining)
		}
	})
}

func TestApplyWaitsNoLongerThanItsTimeout(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		cluster, adm := newLaggingCluster(t)
		wanted := purchasesTopics()
		hideTopics(cluster, 1<<30, wanted[0].Name)
		start := time.Now()
		done, err := ApplyTopics(t.Context(), adm, wanted, false)
		if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(*UnfitError)) || len(done) != len(wanted) {
			t.Errorf("got changes %v with error %v, want all changes with DeadlineExceeded", done, err)
		}
		if took := time.Since(start); took < awaitTimeout || took > awaitTimeout+time.Second {
			t.Errorf("waited %v, want %v", took, awaitTimeout)
		}
	})
}

func TestDryRunDoesNotWait(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		cluster, adm := newLaggingCluster(t)
		wanted := purchasesTopics()
		hideTopics(cluster, 1<<30, wanted[0].Name)
		start := time.Now()
		if _, err := ApplyTopics(t.Context(), adm, wanted, true); err != nil || time.Since(start) > 0 {
			t.Errorf("dry run took %v with error %v, want no time and no error", time.Since(start), err)
		}
	})
}

func TestAwaitTopicsWaitsUntilTheBrokersListThem(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		cluster, adm := newLaggingCluster(t)
		remaining := hideTopics(cluster, 3, "purchases")
		if err := AwaitTopics(t.Context(), adm, "purchases"); err != nil || *remaining != 0 {
			t.Errorf("got error %v while %d requests would not find the topic, want nil and 0", err, *remaining)
		}
		if err := AwaitTopics(t.Context(), adm); err != nil {
			t.Errorf("without topics: got error %v, want nil", err)
		}
	})
}

func TestAwaitTopicsEndsWithItsContext(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		_, adm := newLaggingCluster(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := AwaitTopics(ctx, adm, "none")
		isTimeout := errors.Is(err, context.DeadlineExceeded)
		if !isTimeout || !strings.Contains(err.Error(), kerr.UnknownTopicOrPartition.Message) {
			t.Errorf("got error %v, want the context's with the brokers' last response", err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v, want the context's 1s", took)
		}
	})
}

func TestAwaitTopicsEndsOnAPermanentError(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		cluster, adm := newLaggingCluster(t)
		cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
			request := req.(*kmsg.MetadataRequest)
			if len(request.Topics) == 0 {
				return nil, nil, false
			}
			response := request.ResponseKind().(*kmsg.MetadataResponse)
			topic := kmsg.NewMetadataResponseTopic()
			topic.Topic, topic.ErrorCode = request.Topics[0].Topic, kerr.TopicAuthorizationFailed.Code
			response.Topics = append(response.Topics, topic)
			return response, nil, true
		})
		if err := AwaitTopics(t.Context(), adm, "purchases"); !errors.Is(err, kerr.TopicAuthorizationFailed) {
			t.Errorf("got error %v, want %v", err, kerr.TopicAuthorizationFailed)
		}
	})
}

func TestTransientErrorsAreRetried(t *testing.T) {
	for name, test := range map[string]struct {
		err          error
		wantAttempts int
	}{
		"unknown topic": {kerr.UnknownTopicOrPartition, 2},
		"no leader":     {kerr.LeaderNotAvailable, 2},
		"unfit topic":   {&UnfitError{}, 2},
		"unauthorized":  {kerr.TopicAuthorizationFailed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				attempts := 0
				err := awaitBrokers(t.Context(), func(context.Context) error {
					if attempts++; attempts == 1 {
						return test.err
					}
					return nil
				})
				if attempts != test.wantAttempts || (err == nil) != (test.wantAttempts == 2) {
					t.Errorf("got %d attempts with error %v, want %d", attempts, err, test.wantAttempts)
				}
			})
		})
	}
}
