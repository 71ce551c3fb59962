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

func makeTopic(t *testing.T, adm *kadm.Client, name string, count int32, configs map[string]string) {
	t.Helper()
	values := map[string]*string{}
	for k, v := range configs {
		values[k] = &v
	}
	if _, err := adm.CreateTopic(t.Context(), count, 1, values, name); err != nil {
		t.Fatalf("creating topic %s: %v", name, err)
	}
}

// testConfig has one pipeline without order and one with, each of one tier.
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

func stateOf(t *testing.T, adm *kadm.Client, wanted []Topic) map[string]actual {
	t.Helper()
	state, err := read(t.Context(), adm, wanted)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestWantedNamesEachTopicOfAPipelineWithItsSettings(t *testing.T) {
	forEver := map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
	anHour := map[string]string{"cleanup.policy": "delete", "retention.ms": "3600000", "retention.bytes": "-1"}
	want := []Topic{
		{"sluice.purchases.retry.10s", "purchases", "purchases", -1, forEver},
		{"sluice.purchases.retry.1m", "purchases", "purchases", -1, forEver},
		{"sluice.purchases.dlq", "purchases", "purchases", -1, anHour},
		{"sluice.changes.retry.1m30s", "changes", "crm.changes", -1, forEver},
		{"sluice.changes.parked", "changes", "crm.changes", -1, forEver},
		{"sluice.changes.dlq", "changes", "crm.changes", -1, anHour},
	}
	if got := RequiredTopics(testConfig()); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestApplyMakesWhatVerifyAsksForAndThenChangesNothing(t *testing.T) {
	_, adm := newCluster(t)
	makeTopic(t, adm, "purchases", 3, map[string]string{"max.message.bytes": "2000000"})
	makeTopic(t, adm, "crm.changes", 5, nil)
	wanted := RequiredTopics(testConfig())
	if err := VerifyTopics(t.Context(), adm, wanted); !errors.As(err, new(*UnfitError)) {
		t.Fatalf("error %v, want *Unfit", err)
	}
	done, err := ApplyTopics(t.Context(), adm, wanted, false)
	if err != nil || len(done) != len(wanted) {
		t.Fatalf("changes %v, %v, want one for each of %d topics", done, err, len(wanted))
	}
	if err := VerifyTopics(t.Context(), adm, wanted); err != nil {
		t.Error(err)
	}
	if again, err := ApplyTopics(t.Context(), adm, wanted, false); err != nil || len(again) != 0 {
		t.Errorf("applied again it changes %v, %v", again, err)
	}
	state := stateOf(t, adm, wanted)
	retry := state["sluice.purchases.retry.10s"]
	if retry.partitions != 3 || retry.configs["retention.ms"] != "-1" || retry.configs["max.message.bytes"] != "2065536" {
		t.Errorf("retry topic %+v", retry)
	}
	dead := state["sluice.changes.dlq"]
	if dead.partitions != 5 || dead.configs["retention.ms"] != "3600000" || dead.number("max.message.bytes") != state["crm.changes"].number("max.message.bytes")+HeaderRoom {
		t.Errorf("dead-letter topic %+v", dead)
	}
}

func TestADryRunTellsWhatApplyDoesAndChangesNothing(t *testing.T) {
	_, adm := newCluster(t)
	makeTopic(t, adm, "purchases", 3, nil)
	makeTopic(t, adm, "crm.changes", 2, nil)
	makeTopic(t, adm, "sluice.purchases.dlq", 1, nil)
	wanted := RequiredTopics(testConfig())
	before := stateOf(t, adm, wanted)
	would, err := ApplyTopics(t.Context(), adm, wanted, true)
	if err != nil || len(would) == 0 {
		t.Fatalf("changes %v, %v", would, err)
	}
	if after := stateOf(t, adm, wanted); !reflect.DeepEqual(before, after) {
		t.Errorf("a dry run changed %v to %v", before, after)
	}
	did, err := ApplyTopics(t.Context(), adm, wanted, false)
	if err != nil || !slices.Equal(would, did) {
		t.Errorf("applied %v, %v, the dry run said %v", did, err, would)
	}
}

// A cluster's defaults may be such that a topic made with them loses or refuses records. The source shows them.
func TestATopicIsMadeFitWhereTheClustersDefaultsAreNot(t *testing.T) {
	_, adm := newCluster(t)
	makeTopic(t, adm, "purchases", 1, map[string]string{"unclean.leader.election.enable": "true", "min.insync.replicas": "2"})
	cfg := testConfig()
	cfg.Pipelines, cfg.Topics.ReplicationFactor = cfg.Pipelines[:1], 1
	wanted := RequiredTopics(cfg)
	if _, err := ApplyTopics(t.Context(), adm, wanted, false); err != nil {
		t.Fatal(err)
	}
	for name, is := range stateOf(t, adm, wanted) {
		if name != "purchases" && (is.configs["unclean.leader.election.enable"] != "false" || is.configs["min.insync.replicas"] != "1") {
			t.Errorf("topic %s has %v", name, is.configs)
		}
	}
}

// TestEachWayToLoseOrRefuseARecordIsFoundAndMended has one unfit topic a row; all else is fit.
func TestEachWayToLoseOrRefuseARecordIsFoundAndMended(t *testing.T) {
	retry, dead := "sluice.purchases.retry.10s", "sluice.purchases.dlq"
	for name, row := range map[string]struct {
		topic      string
		partitions int32
		configs    map[string]string
		want       string
		unmendable bool // kfake does not know the setting when it is altered
	}{
		"too few partitions":        {retry, 2, nil, "partitions is 2, must be 3", false},
		"compacted":                 {retry, 3, map[string]string{"cleanup.policy": "compact"}, "cleanup.policy is compact, must be delete", false},
		"compacted and deleted":     {dead, 3, map[string]string{"cleanup.policy": "compact,delete"}, "cleanup.policy is compact,delete, must be delete", false},
		"retry deleted by age":      {retry, 3, map[string]string{"retention.ms": "604800000"}, "retention.ms is 604800000, must be -1", false},
		"retry deleted by size":     {retry, 3, map[string]string{"retention.bytes": "1000"}, "retention.bytes is 1000, must be -1", false},
		"dead letters kept shorter": {dead, 3, map[string]string{"retention.ms": "3599999"}, "retention.ms is 3599999, must be 3600000", false},
		"dead letters cut by size":  {dead, 3, map[string]string{"retention.bytes": "1000"}, "retention.bytes is 1000, must be -1", false},
		"no room for headers":       {retry, 3, map[string]string{"max.message.bytes": "1048588"}, "max.message.bytes is 1048588, must be 1114124", false},
		"a byte too little":         {retry, 3, map[string]string{"max.message.bytes": "1114123"}, "max.message.bytes is 1114123, must be 1114124", false},
		"confirmed records go":      {dead, 3, map[string]string{"unclean.leader.election.enable": "true"}, "unclean.leader.election.enable is true, must be false", true},
		"no record is confirmed":    {dead, 3, map[string]string{"min.insync.replicas": "2"}, "min.insync.replicas is 2, must be 1", false},
		"clocks must agree":         {retry, 3, map[string]string{"message.timestamp.after.max.ms": "1000"}, "message.timestamp.after.max.ms is 1000, must be 3600000", true},
		"clocks must not lag":       {retry, 3, map[string]string{"message.timestamp.before.max.ms": "1000"}, "message.timestamp.before.max.ms is 1000, must be 9223372036854775807", true},
		"clocks must agree, 3.5":    {retry, 3, map[string]string{"message.timestamp.difference.max.ms": "1000"}, "message.timestamp.difference.max.ms is 1000, must be 9223372036854775807", true},
	} {
		t.Run(name, func(t *testing.T) {
			_, adm := newCluster(t)
			makeTopic(t, adm, "purchases", 3, nil)
			cfg := testConfig()
			cfg.Pipelines = cfg.Pipelines[:1]
			wanted := RequiredTopics(cfg)
			for _, w := range wanted {
				count, configs := int32(3), w.settings(stateOf(t, adm, wanted)["purchases"])
				if w.Name == row.topic {
					count = row.partitions
					maps.Copy(configs, row.configs)
				}
				makeTopic(t, adm, w.Name, count, configs)
			}
			err := VerifyTopics(t.Context(), adm, wanted)
			unfit := (*UnfitError)(nil)
			if !errors.As(err, &unfit) || len(unfit.Problems) != 1 {
				t.Fatalf("error %v, want one problem", err)
			}
			p := unfit.Problems[0]
			if p.Topic != row.topic || !strings.HasPrefix(p.What, row.want+": ") || p.Do != "run connector topics apply -c FILE" {
				t.Errorf("problem %+v, want %s", p, row.want)
			}
			if row.unmendable {
				return
			}
			if done, err := ApplyTopics(t.Context(), adm, wanted, false); err != nil || len(done) != 1 {
				t.Errorf("changes %v, %v, want one", done, err)
			}
			if err := VerifyTopics(t.Context(), adm, wanted); err != nil {
				t.Errorf("still unfit: %v", err)
			}
		})
	}
}

func TestTheRoomForHeadersEndsWhereKafkasNumbersDo(t *testing.T) {
	source := actual{configs: map[string]string{"max.message.bytes": "2147483000"}}
	if got := (Topic{}).settings(source)["max.message.bytes"]; got != "2147483647" {
		t.Errorf("max.message.bytes is %s", got)
	}
}

func TestThePartitionWithTheFewestReplicasCounts(t *testing.T) {
	partition := func(replicas ...int32) kadm.PartitionDetail { return kadm.PartitionDetail{Replicas: replicas} }
	if got := fewestReplicas(kadm.PartitionDetails{0: partition(1, 2, 3), 1: partition(1, 2), 2: partition(1, 2, 3)}); got != 2 {
		t.Errorf("%d, want 2", got)
	}
}

func TestATopicThatKeepsMoreThanIsWantedIsLeftAlone(t *testing.T) {
	_, adm := newCluster(t)
	makeTopic(t, adm, "purchases", 2, nil)
	cfg := testConfig()
	cfg.Pipelines = cfg.Pipelines[:1]
	wanted := RequiredTopics(cfg)
	for _, w := range wanted {
		makeTopic(t, adm, w.Name, 4, map[string]string{
			"retention.ms": "-1", "retention.bytes": "-1", "max.message.bytes": "9000000",
			"message.timestamp.type": "LogAppendTime", "message.timestamp.after.max.ms": "1",
		})
	}
	if err := VerifyTopics(t.Context(), adm, wanted); err != nil {
		t.Error(err)
	}
	if done, err := ApplyTopics(t.Context(), adm, wanted, false); err != nil || len(done) != 0 {
		t.Errorf("changes %v, %v, want none", done, err)
	}
}

func TestASourceThatDoesNotExistIsNamedAndNothingIsMade(t *testing.T) {
	_, adm := newCluster(t)
	makeTopic(t, adm, "purchases", 1, nil)
	wanted := RequiredTopics(testConfig())
	done, err := ApplyTopics(t.Context(), adm, wanted, false)
	const want = "topic crm.changes: the source of pipeline changes does not exist: make it, or correct pipelines.changes.topic"
	if !errors.As(err, new(*UnfitError)) || err.Error() != want || len(done) != 0 {
		t.Errorf("changes %v, error %v, want %s", done, err, want)
	}
	if state := stateOf(t, adm, wanted); len(state) != 1 {
		t.Errorf("topics %v, want the one source", state)
	}
	if err := VerifyTopics(t.Context(), adm, wanted); err == nil || strings.Count(err.Error(), "crm.changes") != 1 || strings.Count(err.Error(), "topics apply") != 3 {
		t.Errorf("error %v, want the missing source once and three missing topics", err)
	}
}

func TestATopicThatAnotherInstanceHasJustMadeIsNoError(t *testing.T) {
	cluster, adm := newCluster(t)
	cfg := testConfig()
	cfg.Pipelines = cfg.Pipelines[:1]
	makeTopic(t, adm, "purchases", 1, nil)
	if _, err := ApplyTopics(t.Context(), adm, RequiredTopics(cfg), false); err != nil {
		t.Fatal(err)
	}
	hide(cluster, 1, "sluice.purchases.dlq")
	done, err := ApplyTopics(t.Context(), adm, RequiredTopics(cfg), false)
	if err != nil || len(done) != 1 || done[0].Topic != "sluice.purchases.dlq" {
		t.Errorf("changes %v, error %v, want the topic that was hidden when it was looked for", done, err)
	}
}

func TestPartitionsThatAnotherInstanceHasJustAddedAreNoError(t *testing.T) {
	cluster, adm := newCluster(t)
	makeTopic(t, adm, "purchases", 2, nil)
	makeTopic(t, adm, "other", 1, nil)
	refused := 0
	cluster.ControlKey(int16(kmsg.CreatePartitions), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		refused++
		answer := kmsg.NewPtrCreatePartitionsResponse()
		answer.Version = r.GetVersion()
		topic := kmsg.NewCreatePartitionsResponseTopic()
		if request, ok := r.(*kmsg.CreatePartitionsRequest); ok {
			topic.Topic = request.Topics[0].Topic
		}
		topic.ErrorCode = kerr.InvalidPartitions.Code
		answer.Topics = append(answer.Topics, topic)
		return answer, nil, true
	})
	if err := grow(t.Context(), adm, "purchases", 2); err != nil {
		t.Errorf("error %v, want none: the topic has its two partitions", err)
	}
	if err := grow(t.Context(), adm, "other", 2); !errors.Is(err, kerr.InvalidPartitions) || refused != 2 {
		t.Errorf("error %v after %d requests, want the refusal: the topic has one partition", err, refused)
	}
}

func TestABrokersRefusalIsTold(t *testing.T) {
	cluster, adm := newCluster(t)
	makeTopic(t, adm, "purchases", 1, nil)
	cluster.ControlKey(int16(kmsg.CreateTopics), func(r kmsg.Request) (kmsg.Response, error, bool) {
		answer := kmsg.NewPtrCreateTopicsResponse()
		answer.Version = r.GetVersion()
		topic := kmsg.NewCreateTopicsResponseTopic()
		topic.Topic, topic.ErrorCode = "sluice.purchases.retry.10s", kerr.PolicyViolation.Code
		topic.ErrorMessage = kmsg.StringPtr("3 replicas at least")
		answer.Topics = append(answer.Topics, topic)
		return answer, nil, true
	})
	cfg := testConfig()
	cfg.Pipelines = cfg.Pipelines[:1]
	_, err := ApplyTopics(t.Context(), adm, RequiredTopics(cfg), false)
	if !errors.Is(err, kerr.PolicyViolation) || !strings.Contains(err.Error(), "3 replicas at least") || !strings.Contains(err.Error(), "sluice.purchases.retry.10s") {
		t.Errorf("error %v", err)
	}
}

func TestAClusterThatDoesNotAnswerIsNoUnfitTopic(t *testing.T) {
	_, adm := newCluster(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := VerifyTopics(ctx, adm, RequiredTopics(testConfig()))
	if !errors.Is(err, context.Canceled) || errors.As(err, new(*UnfitError)) {
		t.Errorf("error %v", err)
	}
}

func TestLeftoversAreTiersAndPipelinesThatTheConfigurationHasNot(t *testing.T) {
	_, adm := newCluster(t)
	for _, name := range []string{
		"purchases", "sluice.purchases.retry.10s", "sluice.changes.parked", // wanted
		"sluice.purchases.retry.5m", "sluice.purchases.parked", "sluice.old.retry.1m30s", "sluice.old.parked", // left over
		"sluice.old.dlq", "sluice.purchases.retry.60s", "sluice.purchases.retry.soon", "sluice.purchases.retry", // none of ours, or kept
		"sluice.eu.purchases.retry.10s", "other.purchases.retry.10s", "sluicepurchases.parked",
	} {
		makeTopic(t, adm, name, 1, nil)
	}
	got, err := FindLeftovers(t.Context(), adm, testConfig())
	want := []Leftover{
		{"sluice.old.parked", "old", 0, false},
		{"sluice.old.retry.1m30s", "old", 90 * time.Second, false},
		{"sluice.purchases.parked", "purchases", 0, true},
		{"sluice.purchases.retry.5m", "purchases", 5 * time.Minute, true},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
