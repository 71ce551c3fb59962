package topics

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// ApplyTopics creates missing topics, adds missing partitions, and corrects the configs by which
// records could be lost or refused. It returns once a broker describes the topics as required. It
// returns the changes that it made, even with an error, or with dryRun those that it would make. If
// a source topic does not exist, it changes nothing and the error is an *UnfitError.
//
// ApplyTopics is idempotent, and several instances may call it at the same time.
func ApplyTopics(ctx context.Context, adm *kadm.Client, wanted []Topic, dryRun bool) ([]Change, error) {
	states, err := describeTopics(ctx, adm, wanted)
	if err != nil {
		return nil, err
	}
	if missing := missingSources(wanted, states); len(missing) > 0 {
		return nil, &UnfitError{Problems: missing}
	}
	var done []Change
	for _, topic := range wanted {
		for _, change := range requiredChanges(topic, states) {
			if !dryRun {
				if err := applyChange(ctx, adm, topic, change, states[topic.Source]); err != nil {
					return done, fmt.Errorf("changing topic %s: %w", change, err)
				}
			}
			done = append(done, change)
		}
	}
	if dryRun || len(done) == 0 {
		return done, nil
	}
	return done, awaitVerified(ctx, adm, wanted)
}

// applyChange makes one change. A change that another instance has already made is not an error.
func applyChange(ctx context.Context, adm *kadm.Client, topic Topic, change Change, source topicState) error {
	switch change.Setting {
	case "":
		return createTopic(ctx, adm, topic, source)
	case partitionsSetting:
		return addPartitions(ctx, adm, topic.Name, source.partitions)
	}
	alter := kadm.AlterConfig{Op: kadm.SetConfig, Name: change.Setting, Value: &change.To}
	responses, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{alter}, topic.Name)
	if err != nil {
		return err
	}
	response, err := responses.On(topic.Name, nil)
	if err != nil {
		return err
	}
	return withMessage(response.Err, response.ErrMessage)
}

func createTopic(ctx context.Context, adm *kadm.Client, topic Topic, source topicState) error {
	configs := map[string]*string{}
	for key, value := range topic.desiredConfigs(source) {
		configs[key] = &value
	}
	responses, err := adm.CreateTopics(ctx, int32(source.partitions), topic.Replication, configs, topic.Name)
	if err != nil {
		return err
	}
	response, err := responses.On(topic.Name, nil)
	if err != nil {
		return err
	}
	if errors.Is(response.Err, kerr.TopicAlreadyExists) {
		return nil
	}
	return withMessage(response.Err, response.ErrMessage)
}

// addPartitions raises a topic's partition count. A broker refuses a count that the topic already
// has. That is not an error, because another instance may just have added the partitions.
func addPartitions(ctx context.Context, adm *kadm.Client, topic string, count int) error {
	responses, err := adm.UpdatePartitions(ctx, count, topic)
	if err != nil {
		return err
	}
	response, err := responses.On(topic, nil)
	if err != nil {
		return err
	}
	if errors.Is(response.Err, kerr.InvalidPartitions) {
		details, err := listTopics(ctx, adm, topic)
		if err == nil && len(details[topic].Partitions) >= count {
			return nil
		}
	}
	return withMessage(response.Err, response.ErrMessage)
}

// withMessage adds the broker's error message, which may name the violated policy, to the error of
// its error code.
func withMessage(err error, message string) error {
	if err == nil || message == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, strconv.Quote(message))
}
