package main

import (
	"fmt"
	"os"
	"reflect"

	"github.com/spf13/cobra"

	"sluice/internal/admin"
	"sluice/internal/observe"
)

// newMetricsCommand returns the hidden command that writes docs/metrics.md.
func newMetricsCommand() *cobra.Command {
	var output string
	reference := &cobra.Command{
		Use:     "reference",
		Short:   "Print all metrics, the fields of /status and the hold reasons (Markdown)",
		Example: "  connector metrics reference | less",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text := metricsReference()
			if output == "" {
				_, err := fmt.Fprint(cmd.OutOrStdout(), text)
				return err
			}
			if err := os.WriteFile(output, []byte(text), 0o644); err != nil {
				return fmt.Errorf("writing the reference: %w", err)
			}
			return nil
		},
	}
	reference.Flags().StringVarP(&output, "output", "o", "", "write to `FILE` instead of standard output")
	command := newParentCommand("metrics", "Show the metrics reference", "  connector metrics reference", reference)
	command.Hidden = true
	return command
}

func metricsReference() string { return observe.ReferenceMarkdown(reflect.TypeFor[admin.Status]()) }
