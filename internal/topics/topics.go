// Package topics names the connector's own topics, and makes, mends and checks them.
//
// A retry, parked or dead-letter topic has the source topic's partition count, for a record keeps its partition number. Retry and parked
// topics keep records until their owner deletes them: a broker that deleted one by age would lose it.
package topics

import (
	"math"
	"strconv"
	"time"

	"sluice/internal/config"
)

// RetryTopic is the topic of one retry tier.
func RetryTopic(name, pipeline string, delay time.Duration) string {
	return config.RetryTopic(name, pipeline, delay)
}

// ParkedTopic is the topic of records that wait for an earlier one of their key.
func ParkedTopic(name, pipeline string) string { return config.ParkedTopic(name, pipeline) }

// DeadLetterTopic is the topic of records that are given up.
func DeadLetterTopic(name, pipeline string) string { return config.DeadLetterTopic(name, pipeline) }

// HeaderRoom is what a topic takes beyond the source's max.message.bytes, for the headers that are added.
const HeaderRoom = 64 << 10

// Kafka's topic settings that matter here (https://kafka.apache.org/documentation/#topicconfigs).
const (
	cleanupPolicy   = "cleanup.policy"
	retentionMs     = "retention.ms"
	retentionBytes  = "retention.bytes"
	maxMessageBytes = "max.message.bytes"
	timestampType   = "message.timestamp.type"
	beforeMaxMs     = "message.timestamp.before.max.ms"
	afterMaxMs      = "message.timestamp.after.max.ms"
	differenceMaxMs = "message.timestamp.difference.max.ms" // until 3.9; KIP-937 has the two above
	minInsync       = "min.insync.replicas"
	uncleanElection = "unclean.leader.election.enable"
)

// unlimited is how Kafka writes no limit of retention.
const unlimited = "-1"

// Topic is one topic that a pipeline writes.
type Topic struct {
	Name     string
	Pipeline string
	// Source is the topic whose partition count it has, and whose max.message.bytes and HeaderRoom it takes.
	Source string
	// Replication is the replication factor when it is made, -1: the broker's default.
	Replication int16
	// Configs are its settings, apart from max.message.bytes.
	Configs map[string]string
}

// RequiredTopics lists the topics that a configuration needs, pipeline by pipeline.
func RequiredTopics(cfg *config.Config) []Topic {
	var wanted []Topic
	for _, p := range cfg.Pipelines {
		add := func(name, retention string) {
			wanted = append(wanted, Topic{
				Name: name, Pipeline: p.Name, Source: p.Topic, Replication: cfg.Topics.ReplicationFactor,
				Configs: map[string]string{cleanupPolicy: "delete", retentionMs: retention, retentionBytes: unlimited},
			})
		}
		for _, d := range p.Retry.Delays {
			add(RetryTopic(cfg.Name, p.Name, d), unlimited)
		}
		if p.Ordering == config.OrderingKey {
			add(ParkedTopic(cfg.Name, p.Name), unlimited)
		}
		add(DeadLetterTopic(cfg.Name, p.Name), strconv.FormatInt(cfg.Topics.DeadLetterRetention.Milliseconds(), 10))
	}
	return wanted
}

// settings are the topic's, with what depends on its source.
func (t Topic) settings(source actual) map[string]string {
	s := map[string]string{maxMessageBytes: strconv.FormatInt(min(source.number(maxMessageBytes)+HeaderRoom, math.MaxInt32), 10)}
	for key, value := range t.Configs {
		s[key] = value
	}
	// The source shows the cluster's defaults. They are left alone where they do no harm, for some clusters refuse that these are set at all.
	if source.configs[uncleanElection] == "true" {
		s[uncleanElection] = "false"
	}
	if t.Replication > 0 && source.number(minInsync) > int64(t.Replication) {
		s[minInsync] = strconv.Itoa(int(t.Replication))
	}
	return s
}
