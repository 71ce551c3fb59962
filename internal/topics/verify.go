package topics

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Problem is one way in which a topic is not fit.
type Problem struct {
	Topic string
	// What is wrong, and what to do about it.
	What, Do string
}

// UnfitError are all the ways in which topics are not fit.
type UnfitError struct{ Problems []Problem }

// Error is a line for each problem: "topic NAME: what: what to do".
func (e *UnfitError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = fmt.Sprintf("topic %s: %s: %s", p.Topic, p.What, p.Do)
	}
	return strings.Join(lines, "\n")
}

const (
	doApply  = "run connector topics apply -c FILE"
	doSource = "make it, or correct pipelines.%s.topic"
)

// VerifyTopics checks that no record could vanish from the wanted topics or be refused by them. What is not fit gives an *Unfit error with all
// problems; another error means that the cluster could not be asked.
func VerifyTopics(ctx context.Context, adm *kadm.Client, wanted []Topic) error {
	state, err := read(ctx, adm, wanted)
	if err != nil {
		return err
	}
	problems := missingSources(wanted, state)
	for _, t := range wanted {
		if _, exists := state[t.Source]; !exists {
			continue // its partition count is not known
		}
		for _, c := range changes(t, state) {
			what := c.Why
			if c.Setting != "" {
				what = fmt.Sprintf("%s is %s, must be %s: %s", c.Setting, c.From, c.To, c.Why)
			}
			problems = append(problems, Problem{Topic: t.Name, What: what, Do: doApply})
		}
	}
	if len(problems) > 0 {
		return &UnfitError{Problems: problems}
	}
	return nil
}

// missingSources names each source topic that does not exist, once.
func missingSources(wanted []Topic, state map[string]actual) []Problem {
	var problems []Problem
	for _, t := range wanted {
		p := Problem{Topic: t.Source, What: "the source of pipeline " + t.Pipeline + " does not exist", Do: fmt.Sprintf(doSource, t.Pipeline)}
		if _, exists := state[t.Source]; !exists && !slices.Contains(problems, p) {
			problems = append(problems, p)
		}
	}
	return problems
}
