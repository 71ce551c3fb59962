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

// hide has the cluster not know any of the topics, the next so many times that it is asked for one; it gives the count of those that are left.
func hide(cluster *kfake.Cluster, times int, topics ...string) *int {
	left := times
	cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		hidden := false
		asked := req.(*kmsg.MetadataRequest).Topics
		for i, t := range asked {
			if left > 0 && t.Topic != nil && slices.Contains(topics, *t.Topic) {
				asked[i].Topic, hidden = kmsg.StringPtr("none."+*t.Topic), true
			}
		}
		if hidden {
			left--
		}
		return nil, nil, false
	})
	return &left
}

// newLagging is a cluster in a bubble, with source topic purchases of three partitions.
func newLagging(t *testing.T) (*kfake.Cluster, *kadm.Client) {
	t.Helper()
	p := testkit.StartPlatform(t, embedded.Options{Network: &testkit.Network{}})
	adm := kadm.NewClient(testkit.NewClient(t, p))
	makeTopic(t, adm, "purchases", 3, nil)
	return p.Cluster(), adm
}

func purchasesOnly() []Topic {
	cfg := testConfig()
	cfg.Pipelines = cfg.Pipelines[:1]
	return RequiredTopics(cfg)
}

func TestApplyReturnsWhenTheBrokersSpeakOfWhatItMade(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		cluster, adm := newLagging(t)
		wanted := purchasesOnly()
		left := hide(cluster, 4, wanted[0].Name) // once before it is made, when it is truly not there
		if _, err := ApplyTopics(t.Context(), adm, wanted, false); err != nil {
			t.Fatal(err)
		}
		if *left != 0 {
			t.Errorf("returned %d denials early", *left)
		}
	})
}

func TestApplyWaitsNoLongerThanItsBound(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		cluster, adm := newLagging(t)
		wanted := purchasesOnly()
		hide(cluster, 1<<30, wanted[0].Name)
		began := time.Now()
		done, err := ApplyTopics(t.Context(), adm, wanted, false)
		if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(*UnfitError)) || len(done) != len(wanted) {
			t.Errorf("changes %v, error %v, want all changes and the end of the wait", done, err)
		}
		if took := time.Since(began); took < awaitFor || took > awaitFor+time.Second {
			t.Errorf("waited %v, want %v", took, awaitFor)
		}
	})
}

func TestApplyDoesNotWaitWhereNothingChanges(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		cluster, adm := newLagging(t)
		wanted := purchasesOnly()
		hide(cluster, 1<<30, wanted[0].Name)
		began := time.Now()
		if _, err := ApplyTopics(t.Context(), adm, wanted, true); err != nil || time.Since(began) > 0 {
			t.Errorf("a dry run took %v and gave %v", time.Since(began), err)
		}
	})
}

func TestTopicsThatBrokersDoNotSpeakOfYetAreAwaited(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		cluster, adm := newLagging(t)
		left := hide(cluster, 3, "purchases")
		if err := AwaitTopics(t.Context(), adm, "purchases"); err != nil || *left != 0 {
			t.Errorf("error %v, %d denials early", err, *left)
		}
		if err := AwaitTopics(t.Context(), adm); err != nil {
			t.Errorf("without a topic: %v", err)
		}
	})
}

func TestTheWaitForTopicsEndsWithItsContext(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		_, adm := newLagging(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		err := AwaitTopics(ctx, adm, "none")
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), kerr.UnknownTopicOrPartition.Message) || time.Since(began) != time.Second {
			t.Errorf("after %v: %v, want the context's error and the brokers' last answer after 1 s", time.Since(began), err)
		}
	})
}

func TestAnErrorThatTimeDoesNotMendEndsTheWait(t *testing.T) {
	testkit.RunInBubble(t, func(t *testing.T) {
		cluster, adm := newLagging(t)
		cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
			asked := req.(*kmsg.MetadataRequest)
			if len(asked.Topics) == 0 {
				return nil, nil, false
			}
			resp := asked.ResponseKind().(*kmsg.MetadataResponse)
			refused := kmsg.NewMetadataResponseTopic()
			refused.Topic, refused.ErrorCode = asked.Topics[0].Topic, kerr.TopicAuthorizationFailed.Code
			resp.Topics = append(resp.Topics, refused)
			return resp, nil, true
		})
		if err := AwaitTopics(t.Context(), adm, "purchases"); !errors.Is(err, kerr.TopicAuthorizationFailed) {
			t.Errorf("error %v, want the refusal", err)
		}
	})
}

func TestWhatTimeMendsIsAskedForAgain(t *testing.T) {
	for name, test := range map[string]struct {
		said  error
		asked int
	}{
		"not known yet":    {kerr.UnknownTopicOrPartition, 2},
		"no leader yet":    {kerr.LeaderNotAvailable, 2},
		"not fit yet":      {&UnfitError{}, 2},
		"never to be seen": {kerr.TopicAuthorizationFailed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.RunInBubble(t, func(t *testing.T) {
				asked := 0
				err := await(t.Context(), func(context.Context) error {
					if asked++; asked == 1 {
						return test.said
					}
					return nil
				})
				if asked != test.asked || (err == nil) != (test.asked == 2) {
					t.Errorf("asked %d times, error %v", asked, err)
				}
			})
		})
	}
}
