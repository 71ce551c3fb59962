package topics

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/internal/config"
)

func newCluster(t *testing.T) (*kfake.Cluster, *kadm.Client) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return cluster, kadm.NewClient(client)
}

func createTestTopic(t *testing.T, adm *kadm.Client, name string, count int32, configs map[string]string) {
	t.Helper()
	values := map[string]*string{}
	for key, value := range configs {
		values[key] = &value
	}
	if _, err := adm.CreateTopic(t.Context(), count, 1, values, name); err != nil {
		t.Fatalf("creating topic %s: %v", name, err)
	}
}

// testConfig returns a configuration with two pipelines: purchases keeps no order and has two retry
// tiers, changes keeps the order per key and has one.
func testConfig() *config.Config {
	cfg := config.Default()
	cfg.Topics.DeadLetterRetention = time.Hour
	purchases, changes := config.DefaultPipeline("purchases"), config.DefaultPipeline("changes")
	purchases.Retry.Delays = []time.Duration{10 * time.Second, time.Minute}
	changes.Retry.Delays = []time.Duration{90 * time.Second}
	changes.Topic, changes.Ordering = "crm.changes", config.OrderingKey
	cfg.Pipelines = []config.Pipeline{purchases, changes}
	return &cfg
}

func describeState(t *testing.T, adm *kadm.Client, wanted []Topic) map[string]topicState {
	t.Helper()
	state, err := describeTopics(t.Context(), adm, wanted)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestRequiredTopicsListsEveryTopicWithItsConfigs(t *testing.T) {
	unlimitedRetention := map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
	oneHour := map[string]string{"cleanup.policy": "delete", "retention.ms": "3600000", "retention.bytes": "-1"}
	want := []Topic{
		{"sluice.purchases.retry.10s", "purchases", "purchases", -1, unlimitedRetention},
		{"sluice.purchases.retry.1m", "purchases", "purchases", -1, unlimitedRetention},
		{"sluice.purchases.dlq", "purchases", "purchases", -1, oneHour},
		{"sluice.changes.retry.1m30s", "changes", "crm.changes", -1, unlimitedRetention},
		{"sluice.changes.parked", "changes", "crm.changes", -1, unlimitedRetention},
		{"sluice.changes.dlq", "changes", "crm.changes", -1, oneHour},
	}
	if got := RequiredTopics(testConfig()); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestApplyIsIdempotentAndSatisfiesVerify(t *testing.T) {
	_, adm := newCluster(t)
	createTestTopic(t, adm, "purchases", 3, map[string]string{"max.message.bytes": "2000000"})
	createTestTopic(t, adm, "crm.changes", 5, nil)
	wanted := RequiredTopics(testConfig())
	if err := VerifyTopics(t.Context(), adm, wanted); !errors.As(err, new(*UnfitError)) {
		t.Fatalf("got error %v, want an *UnfitError", err)
	}
	done, err := ApplyTopics(t.Context(), adm, wanted, false)
	if err != nil || len(done) != len(wanted) {
		t.Fatalf("got changes %v with error %v, want one for each of %d topics", done, err, len(wanted))
	}
	if err := VerifyTopics(t.Context(), adm, wanted); err != nil {
		t.Errorf("after ApplyTopics: got error %v, want nil", err)
	}
	if again, err := ApplyTopics(t.Context(), adm, wanted, false); err != nil || len(again) != 0 {
		t.Errorf("second ApplyTopics: got changes %v with error %v, want none", again, err)
	}
	state := describeState(t, adm, wanted)
	retry := state["sluice.purchases.retry.10s"]
	if retry.partitions != 3 || retry.configs["retention.ms"] != "-1" || retry.configs["max.message.bytes"] != "2065536" {
		t.Errorf("got retry topic %+v, want 3 partitions, unlimited retention and 2065536 bytes", retry)
	}
	dead := state["sluice.changes.dlq"]
	wantBytes := state["crm.changes"].intConfig("max.message.bytes") + HeaderRoom
	if dead.partitions != 5 || dead.configs["retention.ms"] != "3600000" || dead.intConfig("max.message.bytes") != wantBytes {
		t.Errorf("got dead-letter topic %+v, want 5 partitions, 3600000 ms and %d bytes", dead, wantBytes)
	}
}

func TestDryRunReportsTheChangesOfApplyAndMakesNone(t *testing.T) {
	_, adm := newCluster(t)
	createTestTopic(t, adm, "purchases", 3, nil)
	createTestTopic(t, adm, "crm.changes", 2, nil)
	createTestTopic(t, adm, "sluice.purchases.dlq", 1, nil)
	wanted := RequiredTopics(testConfig())
	before := describeState(t, adm, wanted)
	planned, err := ApplyTopics(t.Context(), adm, wanted, true)
	if err != nil || len(planned) == 0 {
		t.Fatalf("dry run: got changes %v with error %v, want some", planned, err)
	}
	if after := describeState(t, adm, wanted); !reflect.DeepEqual(before, after) {
		t.Errorf("dry run changed the topics from %v to %v", before, after)
	}
	done, err := ApplyTopics(t.Context(), adm, wanted, false)
	if err != nil || !slices.Equal(planned, done) {
		t.Errorf("got changes %v with error %v, want those of the dry run %v", done, err, planned)
	}
}

// A topic that is created with the cluster's defaults may lose or refuse records. The source topic
// shows the defaults.
func TestApplyOverridesUnfitClusterDefaults(t *testing.T) {
	_, adm := newCluster(t)
	createTestTopic(t, adm, "purchases", 1, map[string]string{
		"unclean.leader.election.enable": "true", "min.insync.replicas": "2",
	})
	cfg := testConfig()
	cfg.Pipelines, cfg.Topics.ReplicationFactor = cfg.Pipelines[:1], 1
	wanted := RequiredTopics(cfg)
	if _, err := ApplyTopics(t.Context(), adm, wanted, false); err != nil {
		t.Fatal(err)
	}
	for name, state := range describeState(t, adm, wanted) {
		if name == "purchases" {
			continue
		}
		election, replicas := state.configs["unclean.leader.election.enable"], state.configs["min.insync.replicas"]
		if election != "false" || replicas != "1" {
			t.Errorf("topic %s: got unclean election %s and min.insync.replicas %s, want false and 1", name, election, replicas)
		}
	}
}

// TestEveryUnfitSettingIsReportedAndCorrected has one unfit topic per row; all other topics are
// fit.
func TestEveryUnfitSettingIsReportedAndCorrected(t *testing.T) {
	retry, dead := "sluice.purchases.retry.10s", "sluice.purchases.dlq"
	for name, row := range map[string]struct {
		topic      string
		partitions int32
		configs    map[string]string
		want       string
		verifyOnly bool // kfake cannot alter this config
	}{
		"too few partitions": {retry, 2, nil, "partitions is 2, must be 3", false},
		"compacted": {retry, 3, map[string]string{"cleanup.policy": "compact"},
			"cleanup.policy is compact, must be delete", false},
		"compacted and deleted": {dead, 3, map[string]string{"cleanup.policy": "compact,delete"},
			"cleanup.policy is compact,delete, must be delete", false},
		"retry deleted by age": {retry, 3, map[string]string{"retention.ms": "604800000"},
			"retention.ms is 604800000, must be -1", false},
		"retry deleted by size": {retry, 3, map[string]string{"retention.bytes": "1000"},
			"retention.bytes is 1000, must be -1", false},
		"dead letters kept too briefly": {dead, 3, map[string]string{"retention.ms": "3599999"},
			"retention.ms is 3599999, must be 3600000", false},
		"dead letters deleted by size": {dead, 3, map[string]string{"retention.bytes": "1000"},
			"retention.bytes is 1000, must be -1", false},
		"no room for headers": {retry, 3, map[string]string{"max.message.bytes": "1048588"},
			"max.message.bytes is 1048588, must be 1114124", false},
		"one byte too few": {retry, 3, map[string]string{"max.message.bytes": "1114123"},
			"max.message.bytes is 1114123, must be 1114124", false},
		"acknowledged records lost": {dead, 3, map[string]string{"unclean.leader.election.enable": "true"},
			"unclean.leader.election.enable is true, must be false", true},
		"no record acknowledged": {dead, 3, map[string]string{"min.insync.replicas": "2"},
			"min.insync.replicas is 2, must be 1", false},
		"clock ahead": {retry, 3, map[string]string{"message.timestamp.after.max.ms": "1000"},
			"message.timestamp.after.max.ms is 1000, must be 3600000", true},
		"clock behind": {retry, 3, map[string]string{"message.timestamp.before.max.ms": "1000"},
			"message.timestamp.before.max.ms is 1000, must be 9223372036854775807", true},
		"clocks differ, Kafka 3.5": {retry, 3, map[string]string{"message.timestamp.difference.max.ms": "1000"},
			"message.timestamp.difference.max.ms is 1000, must be 9223372036854775807", true},
	} {
		t.Run(name, func(t *testing.T) {
			_, adm := newCluster(t)
			createTestTopic(t, adm, "purchases", 3, nil)
			cfg := testConfig()
			cfg.Pipelines = cfg.Pipelines[:1]
			wanted := RequiredTopics(cfg)
			createTopicsWithOneUnfit(t, adm, wanted, row.topic, row.partitions, row.configs)
			err := VerifyTopics(t.Context(), adm, wanted)
			unfit := (*UnfitError)(nil)
			if !errors.As(err, &unfit) || len(unfit.Problems) != 1 {
				t.Fatalf("got error %v, want one problem", err)
			}
			got := unfit.Problems[0]
			if got.Topic != row.topic || !strings.HasPrefix(got.Description, row.want+": ") {
				t.Errorf("got problem %+v, want %s of topic %s", got, row.want, row.topic)
			}
			if want := "run connector topics apply -c FILE"; got.Remedy != want {
				t.Errorf("got remedy %q, want %q", got.Remedy, want)
			}
			if row.verifyOnly {
				return
			}
			if done, err := ApplyTopics(t.Context(), adm, wanted, false); err != nil || len(done) != 1 {
				t.Errorf("got changes %v with error %v, want one", done, err)
			}
			if err := VerifyTopics(t.Context(), adm, wanted); err != nil {
				t.Errorf("after ApplyTopics: got error %v, want nil", err)
			}
		})
	}
}

// createTopicsWithOneUnfit creates the topics as they have to be, except that the named one has
// other partitions and configs.
func createTopicsWithOneUnfit(
	t *testing.T, adm *kadm.Client, wanted []Topic, name string, partitions int32, configs map[string]string,
) {
	t.Helper()
	for _, topic := range wanted {
		topicPartitions := int32(3)
		topicConfigs := topic.desiredConfigs(describeState(t, adm, wanted)["purchases"])
		if topic.Name == name {
			topicPartitions = partitions
			maps.Copy(topicConfigs, configs)
		}
		createTestTopic(t, adm, topic.Name, topicPartitions, topicConfigs)
	}
}

func TestMaxMessageBytesIsCappedAtInt32(t *testing.T) {
	source := topicState{configs: map[string]string{"max.message.bytes": "2147483000"}}
	if got := (Topic{}).desiredConfigs(source)["max.message.bytes"]; got != "2147483647" {
		t.Errorf("got max.message.bytes %s, want 2147483647", got)
	}
}

func TestFewestReplicasIsTheMinimumOverPartitions(t *testing.T) {
	partition := func(replicas ...int32) kadm.PartitionDetail { return kadm.PartitionDetail{Replicas: replicas} }
	details := kadm.PartitionDetails{0: partition(1, 2, 3), 1: partition(1, 2), 2: partition(1, 2, 3)}
	if got := fewestReplicas(details); got != 2 {
		t.Errorf("got %d replicas, want 2", got)
	}
}

func TestTopicsThatKeepMoreThanRequiredAreUnchanged(t *testing.T) {
	_, adm := newCluster(t)
	createTestTopic(t, adm, "purchases", 2, nil)
	cfg := testConfig()
	cfg.Pipelines = cfg.Pipelines[:1]
	wanted := RequiredTopics(cfg)
	for _, topic := range wanted {
		createTestTopic(t, adm, topic.Name, 4, map[string]string{
			"retention.ms": "-1", "retention.bytes": "-1", "max.message.bytes": "9000000",
			"message.timestamp.type": "LogAppendTime", "message.timestamp.after.max.ms": "1",
		})
	}
	if err := VerifyTopics(t.Context(), adm, wanted); err != nil {
		t.Errorf("got error %v, want nil", err)
	}
	if done, err := ApplyTopics(t.Context(), adm, wanted, false); err != nil || len(done) != 0 {
		t.Errorf("got changes %v with error %v, want none", done, err)
	}
}

func TestMissingSourceTopicIsReportedAndNothingIsCreated(t *testing.T) {
	_, adm := newCluster(t)
	createTestTopic(t, adm, "purchases", 1, nil)
	wanted := RequiredTopics(testConfig())
	done, err := ApplyTopics(t.Context(), adm, wanted, false)
	const want = "topic crm.changes: the source of pipeline changes does not exist: " +
		"create it, or correct pipelines.changes.topic"
	if !errors.As(err, new(*UnfitError)) || err.Error() != want || len(done) != 0 {
		t.Errorf("got changes %v with error %v, want %s", done, err, want)
	}
	if states := describeState(t, adm, wanted); len(states) != 1 {
		t.Errorf("got topics %v, want only the existing source", states)
	}
	err = VerifyTopics(t.Context(), adm, wanted)
	if err == nil || strings.Count(err.Error(), "crm.changes") != 1 || strings.Count(err.Error(), "topics apply") != 3 {
		t.Errorf("got error %v, want the missing source once and three missing topics", err)
	}
}

func TestConcurrentCreationOfATopicIsNotAnError(t *testing.T) {
	cluster, adm := newCluster(t)
	cfg := testConfig()
	cfg.Pipelines = cfg.Pipelines[:1]
	createTestTopic(t, adm, "purchases", 1, nil)
	if _, err := ApplyTopics(t.Context(), adm, RequiredTopics(cfg), false); err != nil {
		t.Fatal(err)
	}
	hideTopics(cluster, 1, "sluice.purchases.dlq")
	done, err := ApplyTopics(t.Context(), adm, RequiredTopics(cfg), false)
	if err != nil || len(done) != 1 || done[0].Topic != "sluice.purchases.dlq" {
		t.Errorf("got changes %v with error %v, want the topic that was hidden from the first request", done, err)
	}
}

func TestConcurrentAdditionOfPartitionsIsNotAnError(t *testing.T) {
	cluster, adm := newCluster(t)
	createTestTopic(t, adm, "purchases", 2, nil)
	createTestTopic(t, adm, "other", 1, nil)
	requests := 0
	cluster.ControlKey(int16(kmsg.CreatePartitions), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		requests++
		response := kmsg.NewPtrCreatePartitionsResponse()
		response.Version = req.GetVersion()
		topic := kmsg.NewCreatePartitionsResponseTopic()
		if request, ok := req.(*kmsg.CreatePartitionsRequest); ok {
			topic.Topic = request.Topics[0].Topic
		}
		topic.ErrorCode = kerr.InvalidPartitions.Code
		response.Topics = append(response.Topics, topic)
		return response, nil, true
	})
	if err := addPartitions(t.Context(), adm, "purchases", 2); err != nil {
		t.Errorf("topic with two partitions: got error %v, want nil", err)
	}
	if err := addPartitions(t.Context(), adm, "other", 2); !errors.Is(err, kerr.InvalidPartitions) || requests != 2 {
		t.Errorf("topic with one partition: got error %v after %d requests, want %v after 2", err, requests, kerr.InvalidPartitions)
	}
}

func TestBrokerErrorMessageIsReported(t *testing.T) {
	cluster, adm := newCluster(t)
	createTestTopic(t, adm, "purchases", 1, nil)
	cluster.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
		response := kmsg.NewPtrCreateTopicsResponse()
		response.Version = req.GetVersion()
		topic := kmsg.NewCreateTopicsResponseTopic()
		topic.Topic, topic.ErrorCode = "sluice.purchases.retry.10s", kerr.PolicyViolation.Code
		topic.ErrorMessage = kmsg.StringPtr("3 replicas at least")
		response.Topics = append(response.Topics, topic)
		return response, nil, true
	})
	cfg := testConfig()
	cfg.Pipelines = cfg.Pipelines[:1]
	_, err := ApplyTopics(t.Context(), adm, RequiredTopics(cfg), false)
	if !errors.Is(err, kerr.PolicyViolation) {
		t.Fatalf("got error %v, want %v", err, kerr.PolicyViolation)
	}
	for _, want := range []string{"3 replicas at least", "sluice.purchases.retry.10s"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one that contains %q", err, want)
		}
	}
}

func TestUnreachableClusterIsNotAnUnfitTopic(t *testing.T) {
	_, adm := newCluster(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := VerifyTopics(ctx, adm, RequiredTopics(testConfig()))
	if !errors.Is(err, context.Canceled) || errors.As(err, new(*UnfitError)) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}

func TestLeftoversAreTopicsThatTheConfigurationDoesNotRequire(t *testing.T) {
	_, adm := newCluster(t)
	for _, name := range []string{
		// Required.
		"purchases", "sluice.purchases.retry.10s", "sluice.changes.parked",
		// Leftovers.
		"sluice.purchases.retry.5m", "sluice.purchases.parked", "sluice.old.retry.1m30s", "sluice.old.parked",
		// Not the connector's, or kept.
		"sluice.old.dlq", "sluice.purchases.retry.60s", "sluice.purchases.retry.soon", "sluice.purchases.retry",
		"sluice.eu.purchases.retry.10s", "other.purchases.retry.10s", "sluicepurchases.parked",
	} {
		createTestTopic(t, adm, name, 1, nil)
	}
	got, err := FindLeftovers(t.Context(), adm, testConfig())
	want := []Leftover{
		{"sluice.old.parked", "old", 0, false},
		{"sluice.old.retry.1m30s", "old", 90 * time.Second, false},
		{"sluice.purchases.parked", "purchases", 0, true},
		{"sluice.purchases.retry.5m", "purchases", 5 * time.Minute, true},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v with error %v, want %+v", got, err, want)
	}
}
