package config

import (
	"regexp"
	"strings"
	"time"
)

// maxTopicNameLength is Kafka's limit (org.apache.kafka.common.internals.Topic).
const maxTopicNameLength = 249

var (
	topicName    = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)
	pipelineName = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
	accountName  = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)
)

// DelayName formats a delay as in a retry topic's name: 10s, 1m, 1m30s, 1h. Different delays have
// different names.
func DelayName(delay time.Duration) string {
	s := delay.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// GroupName returns the consumer group of a pipeline of the connector with the given name.
func GroupName(name, pipeline string) string { return name + "." + pipeline }

// RetryTopic returns the topic of one retry tier.
func RetryTopic(name, pipeline string, delay time.Duration) string {
	return RetryPrefix(name, pipeline) + DelayName(delay)
}

// RetryPrefix returns the prefix of a pipeline's retry topics; the delay's name follows it.
func RetryPrefix(name, pipeline string) string { return GroupName(name, pipeline) + ".retry." }

// ParkedTopic returns a pipeline's parked topic, which is reserved and stays empty.
func ParkedTopic(name, pipeline string) string { return GroupName(name, pipeline) + ".parked" }

// DeadLetterTopic returns the dead-letter topic of a pipeline.
func DeadLetterTopic(name, pipeline string) string { return GroupName(name, pipeline) + ".dlq" }

// derivedTopics returns the names of all topics that are derived from a pipeline's name, including
// the parked topic, which may not be required.
func derivedTopics(name string, pipeline *Pipeline) []string {
	topics := []string{DeadLetterTopic(name, pipeline.Name), ParkedTopic(name, pipeline.Name)}
	for _, d := range pipeline.Retry.Delays {
		topics = append(topics, RetryTopic(name, pipeline.Name, d))
	}
	return topics
}
