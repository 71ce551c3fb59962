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

// Change is one thing that is done to a topic, or would be.
type Change struct {
	Topic string
	// Setting is the setting changed, "partitions", or empty where the topic is made.
	Setting string
	// From is the value before, empty where the topic is made; To is the value after, where the topic is made its partition count.
	From, To string
	// Why says what could happen to a record otherwise.
	Why string
}

// String says the change in a line.
func (c Change) String() string {
	if c.Setting == "" {
		return fmt.Sprintf("%s: made with %s partitions", c.Topic, c.To)
	}
	return fmt.Sprintf("%s: %s %s -> %s", c.Topic, c.Setting, c.From, c.To)
}

const partitions = "partitions"

// changes lists what a topic lacks, in a stable order.
func changes(t Topic, state map[string]actual) []Change {
	source := state[t.Source]
	have, exists := state[t.Name]
	if !exists {
		return []Change{{Topic: t.Name, To: strconv.Itoa(source.partitions), Why: "it does not exist"}}
	}
	var list []Change
	if have.partitions < source.partitions {
		list = append(list, Change{
			Topic: t.Name, Setting: partitions, From: strconv.Itoa(have.partitions), To: strconv.Itoa(source.partitions),
			Why: "a record keeps the partition number that it has in " + t.Source,
		})
	}
	settings := t.settings(source)
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if why := harm(key, have, settings[key]); why != "" {
			list = append(list, Change{Topic: t.Name, Setting: key, From: have.configs[key], To: settings[key], Why: why})
		}
	}
	return slices.Concat(list, replicaChanges(t.Name, have), timestampChanges(t.Name, have))
}

// replicaChanges: what was confirmed must stay, and it must be possible to confirm at all.
func replicaChanges(topic string, have actual) []Change {
	var list []Change
	if is := have.configs[uncleanElection]; is == "true" {
		list = append(list, Change{
			Topic: topic, Setting: uncleanElection, From: is, To: "false", Why: "a replica that lacks confirmed records could become the leader",
		})
	}
	if have.number(minInsync) > int64(have.replicas) {
		list = append(list, Change{
			Topic: topic, Setting: minInsync, From: have.configs[minInsync], To: strconv.Itoa(have.replicas), Why: "the broker would refuse every record, for there are no more replicas",
		})
	}
	return list
}

// harm says what a setting would do to records, empty where it does none: one that keeps more than is wanted is left alone.
func harm(key string, have actual, want string) string {
	is := have.configs[key]
	switch key {
	case cleanupPolicy:
		if strings.TrimSpace(is) != want {
			return "compaction drops a record when a later one has its key"
		}
	case retentionMs, retentionBytes:
		if shorter(is, want) {
			return "the broker would delete records that are still needed"
		}
	case maxMessageBytes:
		if need, err := strconv.ParseInt(want, 10, 64); err != nil || have.number(key) < need {
			return "the broker would refuse a record that the source holds, with the headers that are added"
		}
	}
	return ""
}

// shorter tells whether a retention ends before another; -1 never does. A value that cannot be read is taken as shorter.
func shorter(is, want string) bool {
	if is == want || is == unlimited {
		return false
	}
	i, errIs := strconv.ParseInt(is, 10, 64)
	w, errWant := strconv.ParseInt(want, 10, 64)
	return errIs != nil || errWant != nil || want == unlimited || i < w
}

// skewMin is how far the connector's clock may be from the broker's: a record carries the time of its writing.
const skewMin = time.Hour

// timestampChanges: with CreateTime a broker refuses records whose time is too far from its own.
func timestampChanges(topic string, have actual) []Change {
	if have.configs[timestampType] == "LogAppendTime" {
		return nil
	}
	usual := map[string]int64{beforeMaxMs: math.MaxInt64, afterMaxMs: skewMin.Milliseconds(), differenceMaxMs: math.MaxInt64}
	var list []Change
	for _, key := range slices.Sorted(maps.Keys(usual)) {
		if is, set := have.configs[key]; set && have.number(key) < skewMin.Milliseconds() {
			list = append(list, Change{
				Topic: topic, Setting: key, From: is, To: strconv.FormatInt(usual[key], 10),
				Why: "the broker would refuse records when its clock and the connector's differ",
			})
		}
	}
	return list
}
