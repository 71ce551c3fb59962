package topics

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Change is one change to a topic, made or planned.
type Change struct {
	Topic string
	// Setting is the config that changes, "partitions" for the partition count, or empty if the
	// topic is created.
	Setting string
	// From is the value before the change, empty if the topic is created. To is the value after it;
	// if the topic is created, its partition count.
	From, To string
	// Why is the reason for the change, usually what could happen to a record without it.
	Why string
}

// String describes the change in one line.
func (c Change) String() string {
	if c.Setting == "" {
		return fmt.Sprintf("%s: created with %s partitions", c.Topic, c.To)
	}
	return fmt.Sprintf("%s: %s %s -> %s", c.Topic, c.Setting, c.From, c.To)
}

const partitionsSetting = "partitions"

// requiredChanges returns the changes that a topic needs, in a stable order.
func requiredChanges(topic Topic, states map[string]topicState) []Change {
	source := states[topic.Source]
	state, exists := states[topic.Name]
	if !exists {
		return []Change{{Topic: topic.Name, To: strconv.Itoa(source.partitions), Why: "it does not exist"}}
	}
	var changes []Change
	if state.partitions < source.partitions {
		changes = append(changes, Change{
			Topic: topic.Name, Setting: partitionsSetting,
			From: strconv.Itoa(state.partitions), To: strconv.Itoa(source.partitions),
			Why: "a record keeps the partition number that it has in " + topic.Source,
		})
	}
	desired := topic.desiredConfigs(source)
	for _, key := range slices.Sorted(maps.Keys(desired)) {
		if why := reasonToChange(key, state, desired[key]); why != "" {
			changes = append(changes, Change{
				Topic: topic.Name, Setting: key, From: state.configs[key], To: desired[key], Why: why,
			})
		}
	}
	return slices.Concat(changes, replicaChanges(topic.Name, state), timestampChanges(topic.Name, state))
}

// replicaChanges lists the changes without which acknowledged records could be lost, or no record
// could be acknowledged at all.
func replicaChanges(topic string, state topicState) []Change {
	var changes []Change
	if value := state.configs[uncleanElection]; value == "true" {
		changes = append(changes, Change{
			Topic: topic, Setting: uncleanElection, From: value, To: "false",
			Why: "a replica that lacks acknowledged records could become the leader",
		})
	}
	if state.intConfig(minInsync) > int64(state.replicas) {
		changes = append(changes, Change{
			Topic: topic, Setting: minInsync, From: state.configs[minInsync], To: strconv.Itoa(state.replicas),
			Why: "the broker would refuse every record, because there are fewer replicas",
		})
	}
	return changes
}

// reasonToChange returns what could happen to records if the config key kept its value instead of
// the desired one. It returns "" if nothing could, so that a topic that keeps more than required is
// not changed.
func reasonToChange(key string, state topicState, desired string) string {
	value := state.configs[key]
	switch key {
	case cleanupPolicy:
		if strings.TrimSpace(value) != desired {
			return "compaction removes a record once a later one has its key"
		}
	case retentionMs, retentionBytes:
		if isShorterRetention(value, desired) {
			return "the broker would delete records that are still needed"
		}
	case maxMessageBytes:
		if need, err := strconv.ParseInt(desired, 10, 64); err != nil || state.intConfig(key) < need {
			return "the broker would refuse a record of the source topic with the headers that are added to it"
		}
	}
	return ""
}

// isShorterRetention reports whether a retention is shorter than another one. -1 is unlimited. A
// value that is not a number counts as shorter.
func isShorterRetention(value, other string) bool {
	if value == other || value == unlimited {
		return false
	}
	v, valueErr := strconv.ParseInt(value, 10, 64)
	o, otherErr := strconv.ParseInt(other, 10, 64)
	return valueErr != nil || otherErr != nil || other == unlimited || v < o
}

// toleratedClockSkew is the difference between the clocks of the connector and the broker that a
// topic must tolerate. A record's timestamp is the time at which the connector wrote it.
const toleratedClockSkew = time.Hour

// timestampChanges lists the changes without which a broker would refuse records whose timestamps
// differ too much from its clock. With LogAppendTime, a broker ignores the timestamps.
func timestampChanges(topic string, state topicState) []Change {
	if state.configs[timestampType] == "LogAppendTime" {
		return nil
	}
	defaults := map[string]int64{
		beforeMaxMs: math.MaxInt64, afterMaxMs: toleratedClockSkew.Milliseconds(), differenceMaxMs: math.MaxInt64,
	}
	var changes []Change
	for _, key := range slices.Sorted(maps.Keys(defaults)) {
		if value, set := state.configs[key]; set && state.intConfig(key) < toleratedClockSkew.Milliseconds() {
			changes = append(changes, Change{
				Topic: topic, Setting: key, From: value, To: strconv.FormatInt(defaults[key], 10),
				Why: "the broker would refuse records when its clock and the connector's differ",
			})
		}
	}
	return changes
}
