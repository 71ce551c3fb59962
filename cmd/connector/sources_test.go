package main

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/embedded"
	"sluice/internal/testkit"
)

// denyTopics has the cluster not know any topic that it is asked for, so many times; it gives the count of those that are left.
func denyTopics(p *embedded.Platform, times int) *int {
	left := times
	p.Cluster().ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		p.Cluster().KeepControl()
		asked := req.(*kmsg.MetadataRequest)
		if left == 0 || len(asked.Topics) == 0 {
			return nil, nil, false
		}
		left--
		resp := asked.ResponseKind().(*kmsg.MetadataResponse)
		for _, t := range asked.Topics {
			unknown := kmsg.NewMetadataResponseTopic()
			unknown.Topic, unknown.ErrorCode = t.Topic, kerr.UnknownTopicOrPartition.Code
			resp.Topics = append(resp.Topics, unknown)
		}
		return resp, nil, true
	})
	return &left
}

func TestTopicsThatBrokersDoNotSpeakOfYetAreWaitedFor(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		p := testkit.StartPlatform(t, embedded.Options{Network: &testkit.Network{}})
		if err := p.Cluster().CreateTopic("purchases", 1, nil); err != nil {
			t.Fatal(err)
		}
		left := denyTopics(p, 3)
		if err := awaitTopics(t.Context(), kadm.NewClient(testkit.NewClient(t, p)), []string{"purchases"}); err != nil {
			t.Error(err)
		}
		if *left != 0 {
			t.Errorf("returned %d denials early", *left)
		}
	})
}

func TestTheWaitForTopicsEndsWithItsContext(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T) {
		p := testkit.StartPlatform(t, embedded.Options{Network: &testkit.Network{}})
		ctx, cancel := context.WithTimeout(t.Context(), clusterTimeout)
		defer cancel()
		err := awaitTopics(ctx, kadm.NewClient(testkit.NewClient(t, p)), []string{"purchases"})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
	})
}
