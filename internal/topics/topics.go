// Package topics names the connector's own topics and creates, corrects and verifies them.
//
// A retry, parked or dead-letter topic has the partition count of its source topic, because a
// record keeps its partition number. Retry and parked topics have unlimited retention: their owner
// deletes the records, and a broker that deleted them by age would lose them.
package topics

import (
	"maps"
	"math"
	"strconv"
	"time"

	"sluice/internal/config"
)

// RetryTopic returns the name of the retry topic of a pipeline's retry tier.
func RetryTopic(name, pipeline string, delay time.Duration) string {
	return config.RetryTopic(name, pipeline, delay)
}

// ParkedTopic returns the name of the parked topic of a pipeline, which is for records that wait
// for an earlier record with the same order key.
func ParkedTopic(name, pipeline string) string { return config.ParkedTopic(name, pipeline) }

// DeadLetterTopic returns the name of the dead-letter topic of a pipeline.
func DeadLetterTopic(name, pipeline string) string { return config.DeadLetterTopic(name, pipeline) }

// HeaderRoom is the number of bytes that a topic accepts beyond the max.message.bytes of its source
// topic, as room for the headers that are added to a record.
const HeaderRoom = 64 << 10

// Kafka's topic configs that decide whether a record is kept and accepted
// (https://kafka.apache.org/documentation/#topicconfigs).
const (
	cleanupPolicy   = "cleanup.policy"
	retentionMs     = "retention.ms"
	retentionBytes  = "retention.bytes"
	maxMessageBytes = "max.message.bytes"
	timestampType   = "message.timestamp.type"
	beforeMaxMs     = "message.timestamp.before.max.ms"
	afterMaxMs      = "message.timestamp.after.max.ms"
	differenceMaxMs = "message.timestamp.difference.max.ms" // until Kafka 3.9; replaced by KIP-937
	minInsync       = "min.insync.replicas"
	uncleanElection = "unclean.leader.election.enable"
)

// unlimited is Kafka's value for a retention without a limit.
const unlimited = "-1"

// Topic is one topic that a pipeline writes.
type Topic struct {
	Name     string
	Pipeline string
	// Source is the source topic. It decides the partition count and, with HeaderRoom added, the
	// max.message.bytes.
	Source string
	// Replication is the replication factor with which the topic is created; -1 is the broker's
	// default.
	Replication int16
	// Configs are the topic's configs besides max.message.bytes.
	Configs map[string]string
}

// RequiredTopics lists the topics that the pipelines of a configuration write, pipeline by
// pipeline.
func RequiredTopics(cfg *config.Config) []Topic {
	var required []Topic
	for _, pipeline := range cfg.Pipelines {
		add := func(name, retention string) {
			required = append(required, Topic{
				Name: name, Pipeline: pipeline.Name, Source: pipeline.Topic, Replication: cfg.Topics.ReplicationFactor,
				Configs: map[string]string{cleanupPolicy: "delete", retentionMs: retention, retentionBytes: unlimited},
			})
		}
		for _, delay := range pipeline.Retry.Delays {
			add(RetryTopic(cfg.Name, pipeline.Name, delay), unlimited)
		}
		if pipeline.Ordering == config.OrderingKey {
			add(ParkedTopic(cfg.Name, pipeline.Name), unlimited)
		}
		retention := cfg.Topics.DeadLetterRetention.Milliseconds()
		add(DeadLetterTopic(cfg.Name, pipeline.Name), strconv.FormatInt(retention, 10))
	}
	return required
}

// desiredConfigs returns the topic's configs, including those that depend on its source topic.
func (t Topic) desiredConfigs(source topicState) map[string]string {
	maxBytes := min(source.intConfig(maxMessageBytes)+HeaderRoom, math.MaxInt32)
	configs := map[string]string{maxMessageBytes: strconv.FormatInt(maxBytes, 10)}
	maps.Copy(configs, t.Configs)
	// The source topic shows the cluster's defaults. They are overridden only if they are harmful,
	// because some clusters refuse a request that sets these configs at all.
	if source.configs[uncleanElection] == "true" {
		configs[uncleanElection] = "false"
	}
	if t.Replication > 0 && source.intConfig(minInsync) > int64(t.Replication) {
		configs[minInsync] = strconv.Itoa(int(t.Replication))
	}
	return configs
}
