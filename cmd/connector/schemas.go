package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/sr"

	"sluice/internal/config"
	"sluice/internal/demo/sample"
)

func newSchemasCommand() *cobra.Command {
	register := &cobra.Command{
		Use:   "register -c FILE",
		Short: "Register the events' schemas with the schema registry",
		Long: "Register the events' schemas with the schema registry, under <topic>-value if a topic carries one event, else\n" +
			"under <topic>-<record name>. A schema that is already registered keeps its ID. If the registry refuses a schema\n" +
			"as incompatible, its reason is printed.",
		Example: "  connector schemas register -c connector.yaml",
		Args:    cobra.NoArgs,
	}
	load := configFlag(register)
	register.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), clusterTimeout)
		defer cancel()
		registry, err := newRegistryClient(cfg.SchemaRegistry)
		if err != nil {
			return err
		}
		for _, s := range sample.Subjects(sample.Sources(cfg)) {
			ids, err := sample.RegisterSchemas(ctx, registry, s)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s has id %d\n", s.Name, s.Event, ids[s.Event])
		}
		return nil
	}
	return newParentCommand("schemas", "Manage the events' schemas", "  connector schemas register -c connector.yaml", register)
}

func newRegistryClient(r config.SchemaRegistry) (*sr.Client, error) {
	opts := []sr.ClientOpt{sr.URLs(r.URLs...), sr.UserAgent("sluice"), sr.HTTPClient(&http.Client{Timeout: clusterTimeout / 2})}
	if r.Username != "" {
		opts = append(opts, sr.BasicAuth(r.Username, r.Password.Reveal()))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("creating a registry client: %w", err)
	}
	return client, nil
}
