package sample

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"

	"sluice/internal/config"
	"sluice/internal/event"
)

// Source is the topic of a pipeline and the events in it.
type Source struct {
	Pipeline string
	Topic    string
	// Events are full Avro names, such as "sluice.crmcom.Purchase".
	Events []string
}

// Sources returns the sources of a configuration.
func Sources(cfg *config.Config) []Source {
	sources := make([]Source, len(cfg.Pipelines))
	for i, p := range cfg.Pipelines {
		sources[i] = Source{Pipeline: p.Name, Topic: p.Topic}
		for _, r := range p.Routes {
			sources[i].Events = append(sources[i].Events, r.Event)
		}
	}
	return sources
}

// Subject is a schema and the name under which it is registered.
type Subject struct {
	Name string
	// Event is the record's full Avro name.
	Event string
	// Schema is the schema as JSON.
	Schema string
}

// Subjects returns the subjects of the sources' schemas, named as Confluent's serializers name
// them: <topic>-value if the topic carries one event (TopicNameStrategy), and <topic>-<event>
// otherwise (TopicRecordNameStrategy). An event that is neither generated from schemas/ nor among
// the additional ones has no schema and therefore no subject.
func Subjects(sources []Source, additional ...event.Type) []Subject {
	types := append(event.BuiltinTypes(), additional...)
	var subjects []Subject
	for _, source := range sources {
		for _, name := range source.Events {
			subject := source.Topic + "-value"
			if len(source.Events) > 1 {
				subject = source.Topic + "-" + name
			}
			if t, ok := types.Find(name); ok {
				subjects = append(subjects, Subject{Name: subject, Event: name, Schema: t.Schema})
			}
		}
	}
	return subjects
}

// StraySubject returns the subject that samples of kind Unmapped need.
func StraySubject() Subject { return Subject{Name: Stray, Event: Stray, Schema: straySchema} }

// SubjectRefusedError is a schema that the registry refuses as incompatible.
type SubjectRefusedError struct {
	Subject Subject
	// Reason is the registry's explanation.
	Reason string
}

// Error returns the subject and the registry's reason.
func (e *SubjectRefusedError) Error() string {
	return fmt.Sprintf("subject %s: the registry refuses the schema of %s as incompatible with a registered version: %s",
		e.Subject.Name, e.Subject.Event, e.Reason)
}

// RegisterSchemas registers schemas and returns their IDs by event. A schema that is already
// registered keeps its ID. After an error it returns the IDs of the schemas registered so far. The
// error is a *SubjectRefusedError if the registry refuses a schema as incompatible.
func RegisterSchemas(ctx context.Context, registry *sr.Client, subjects ...Subject) (map[string]int, error) {
	ids := map[string]int{}
	for _, s := range subjects {
		schema := sr.Schema{Schema: s.Schema, Type: sr.TypeAvro}
		id, err := registry.RegisterSchema(ctx, s.Name, schema, -1, -1)
		if err != nil {
			return ids, explainRefusal(ctx, registry, s, schema, err)
		}
		ids[s.Event] = id
	}
	return ids, nil
}

// explainRefusal distinguishes an incompatible schema from a failure of the registry. It requests a
// compatibility check for the reason, which the response to a registration seldom has.
func explainRefusal(ctx context.Context, registry *sr.Client, subject Subject, schema sr.Schema, err error) error {
	var response *sr.ResponseError
	if !errors.As(err, &response) || response.StatusCode != http.StatusConflict {
		return fmt.Errorf("registering subject %s: %w", subject.Name, err)
	}
	const latest = -1
	check, checkErr := registry.CheckCompatibility(sr.WithParams(ctx, sr.Verbose), subject.Name, latest, schema)
	if checkErr == nil && len(check.Messages) > 0 {
		return &SubjectRefusedError{Subject: subject, Reason: strings.Join(check.Messages, "; ")}
	}
	return &SubjectRefusedError{Subject: subject, Reason: response.Message}
}
