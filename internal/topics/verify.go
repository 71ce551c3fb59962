package topics

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Problem is one way in which a topic is unfit: records could be lost in it or refused by it.
type Problem struct {
	Topic string
	// Description describes the problem, Remedy what to do about it.
	Description, Remedy string
}

// UnfitError has every problem of the topics that were verified.
type UnfitError struct{ Problems []Problem }

// Error returns one line per problem: "topic NAME: description: remedy".
func (e *UnfitError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = fmt.Sprintf("topic %s: %s: %s", p.Topic, p.Description, p.Remedy)
	}
	return strings.Join(lines, "\n")
}

const (
	remedyApply  = "run connector topics apply -c FILE"
	remedySource = "create it, or correct pipelines.%s.topic"
)

// VerifyTopics verifies that no record could be lost in the wanted topics or refused by them. If a
// topic is unfit, the error is an *UnfitError with all problems. Any other error means that the
// cluster could not be queried.
func VerifyTopics(ctx context.Context, adm *kadm.Client, wanted []Topic) error {
	states, err := describeTopics(ctx, adm, wanted)
	if err != nil {
		return err
	}
	problems := missingSources(wanted, states)
	for _, topic := range wanted {
		if _, exists := states[topic.Source]; !exists {
			continue // the required partition count is unknown
		}
		for _, change := range requiredChanges(topic, states) {
			description := change.Why
			if change.Setting != "" {
				description = fmt.Sprintf("%s is %s, must be %s: %s", change.Setting, change.From, change.To, change.Why)
			}
			problems = append(problems, Problem{Topic: topic.Name, Description: description, Remedy: remedyApply})
		}
	}
	if len(problems) > 0 {
		return &UnfitError{Problems: problems}
	}
	return nil
}

// missingSources returns one problem for each source topic and pipeline that lacks it.
func missingSources(wanted []Topic, states map[string]topicState) []Problem {
	var problems []Problem
	for _, topic := range wanted {
		problem := Problem{
			Topic:       topic.Source,
			Description: "the source of pipeline " + topic.Pipeline + " does not exist",
			Remedy:      fmt.Sprintf(remedySource, topic.Pipeline),
		}
		if _, exists := states[topic.Source]; !exists && !slices.Contains(problems, problem) {
			problems = append(problems, problem)
		}
	}
	return problems
}
