package topics

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// ApplyTopics makes topics that are missing, adds partitions, and mends settings by which records could vanish or be refused, and returns when a
// broker describes them so. It gives what was changed, up to the error if there is one; with dryRun what would be. A source topic that does
// not exist gives an *Unfit error before anything is changed. Applied again, it changes nothing; several instances may apply at once.
func ApplyTopics(ctx context.Context, adm *kadm.Client, wanted []Topic, dryRun bool) ([]Change, error) {
	state, err := read(ctx, adm, wanted)
	if err != nil {
		return nil, err
	}
	if missing := missingSources(wanted, state); len(missing) > 0 {
		return nil, &UnfitError{Problems: missing}
	}
	var done []Change
	for _, t := range wanted {
		for _, c := range changes(t, state) {
			if !dryRun {
				if err := change(ctx, adm, t, c, state[t.Source]); err != nil {
					return done, fmt.Errorf("changing topic %s: %w", c, err)
				}
			}
			done = append(done, c)
		}
	}
	if dryRun || len(done) == 0 {
		return done, nil
	}
	return done, awaitFit(ctx, adm, wanted)
}

// change does one change, or finds that another instance has done it.
func change(ctx context.Context, adm *kadm.Client, t Topic, c Change, source actual) error {
	switch c.Setting {
	case "":
		return create(ctx, adm, t, source)
	case partitions:
		return grow(ctx, adm, t.Name, source.partitions)
	}
	answers, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: c.Setting, Value: &c.To}}, t.Name)
	if err != nil {
		return err
	}
	answer, err := answers.On(t.Name, nil)
	if err != nil {
		return err
	}
	return told(answer.Err, answer.ErrMessage)
}

func create(ctx context.Context, adm *kadm.Client, t Topic, source actual) error {
	configs := map[string]*string{}
	for key, value := range t.settings(source) {
		configs[key] = &value
	}
	answers, err := adm.CreateTopics(ctx, int32(source.partitions), t.Replication, configs, t.Name)
	if err != nil {
		return err
	}
	answer, err := answers.On(t.Name, nil)
	if err != nil {
		return err
	}
	if errors.Is(answer.Err, kerr.TopicAlreadyExists) {
		return nil
	}
	return told(answer.Err, answer.ErrMessage)
}

// grow adds partitions. A broker refuses a count that the topic has already.
func grow(ctx context.Context, adm *kadm.Client, topic string, count int) error {
	answers, err := adm.UpdatePartitions(ctx, count, topic)
	if err != nil {
		return err
	}
	answer, err := answers.On(topic, nil)
	if err != nil {
		return err
	}
	if errors.Is(answer.Err, kerr.InvalidPartitions) {
		details, err := list(ctx, adm, topic)
		if err == nil && len(details[topic].Partitions) >= count {
			return nil
		}
	}
	return told(answer.Err, answer.ErrMessage)
}

// told adds a broker's own words to its error, "3 partitions ..." or "policy violation ...".
func told(err error, message string) error {
	if err == nil || message == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, strconv.Quote(message))
}
