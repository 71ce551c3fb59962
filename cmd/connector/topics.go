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

func newTopicsCommand() *cobra.Command {
	apply := &cobra.Command{
		Use:   "apply -c FILE",
		Short: "Create missing retry, parked and dead-letter topics, and correct settings that could lose or refuse a record",
		Long: "Create missing retry, parked and dead-letter topics, and correct settings with which a record could be lost or\n" +
			"refused. Each change is printed. Source topics belong to their producers and are not changed. For trials,\n" +
			"--sources creates the missing ones.",
		Example: "  connector topics apply -c connector.yaml --dry-run",
		Args:    cobra.NoArgs,
	}
	load := configFlag(apply)
	dryRun := apply.Flags().Bool("dry-run", false, "print the changes without making them")
	sources := apply.Flags().Int32("sources", 0, "create missing source topics, each with this number of `PARTITIONS`")
	apply.MarkFlagsMutuallyExclusive("dry-run", "sources")
	apply.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if *sources < 0 {
			return usageErrorf("--sources %d: must be 0 or more", *sources)
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), clusterTimeout)
		defer cancel()
		return applyTopics(ctx, cmd.OutOrStdout(), cfg, *sources, *dryRun)
	}
	return newParentCommand("topics", "Manage the connector's own topics", "  connector topics apply -c connector.yaml", apply)
}

func applyTopics(ctx context.Context, out io.Writer, cfg *config.Config, sourcePartitions int32, dryRun bool) error {
	client, err := newKafkaClient(cfg)
	if err != nil {
		return err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	if sourcePartitions > 0 {
		if err := createSourceTopics(ctx, out, adm, cfg, sourcePartitions); err != nil {
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
		fmt.Fprintln(out, "all topics are up to date")
	}
	return nil
}
