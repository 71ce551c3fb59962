package config

import (
	"regexp"
	"strings"
	"time"
)

// topicNameMax is Kafka's bound for a topic's name (org.apache.kafka.common.internals.Topic).
const topicNameMax = 249

var (
	topicName    = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)
	pipelineName = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	accountName  = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
)

// DelayName is a delay as it stands in a retry topic's name: 10s, 1m, 1m30s, 1h. Different delays have different names.
func DelayName(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// GroupName is the consumer group of a pipeline of the connector called name.
func GroupName(name, pipeline string) string { return name + "." + pipeline }

// RetryTopic is the topic of one retry tier.
func RetryTopic(name, pipeline string, delay time.Duration) string {
	return RetryPrefix(name, pipeline) + DelayName(delay)
}

// RetryPrefix is what the names of a pipeline's retry topics begin with; the delay's name follows.
func RetryPrefix(name, pipeline string) string { return GroupName(name, pipeline) + ".retry." }

// ParkedTopic is the topic of records that wait for an earlier one of their key.
func ParkedTopic(name, pipeline string) string { return GroupName(name, pipeline) + ".parked" }

// DeadLetterTopic is the topic of records that are given up.
func DeadLetterTopic(name, pipeline string) string { return GroupName(name, pipeline) + ".dlq" }

// derivedTopics are all topics that a pipeline writes.
func derivedTopics(name string, p *Pipeline) []string {
	topics := []string{DeadLetterTopic(name, p.Name), ParkedTopic(name, p.Name)}
	for _, d := range p.Retry.Delays {
		topics = append(topics, RetryTopic(name, p.Name, d))
	}
	return topics
}
