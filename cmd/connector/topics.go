package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"sluice/internal/config"
	"sluice/internal/topics"
)

func newTopics() *cobra.Command {
	apply := &cobra.Command{
		Use:   "apply -c FILE",
		Short: "Make the retry, parked and dead-letter topics that are missing, and mend those that could lose or refuse a record",
		Long: "Make the retry, parked and dead-letter topics that are missing, and mend those that could lose or refuse a record: a line for each change.\n" +
			"Source topics belong to those who write them and are left alone; --sources makes those that are missing, to try things out.",
		Example: "  connector topics apply -c connector.yaml --dry-run",
		Args:    cobra.NoArgs,
	}
	load := configFlag(apply)
	dryRun := apply.Flags().Bool("dry-run", false, "say what would be done, and do nothing")
	sources := apply.Flags().Int32("sources", 0, "make source topics that are missing, with so many `PARTITIONS`")
	apply.MarkFlagsMutuallyExclusive("dry-run", "sources")
	apply.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if *sources < 0 {
			return wrongUse("--sources is %d: 0 or more is allowed", *sources)
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), clusterTimeout)
		defer cancel()
		return applyTopics(ctx, cmd.OutOrStdout(), cfg, *sources, *dryRun)
	}
	return group("topics", "The connector's own topics", "  connector topics apply -c connector.yaml", apply)
}

func applyTopics(ctx context.Context, out io.Writer, cfg *config.Config, sources int32, dryRun bool) error {
	client, err := newClient(cfg)
	if err != nil {
		return err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	if sources > 0 {
		if err := makeSources(ctx, out, adm, cfg, sources); err != nil {
			return err
		}
	}
	changes, err := topics.ApplyTopics(ctx, adm, topics.RequiredTopics(cfg), dryRun)
	for _, c := range changes {
		fmt.Fprintln(out, c)
	}
	if err != nil {
		return err
	}
	if len(changes) == 0 {
		fmt.Fprintln(out, "all topics are as they should be")
	}
	return nil
}
