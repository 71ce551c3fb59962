package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"sluice/internal/config"
	"sluice/internal/pipeline"
)

// configFlag adds -c to a command that needs a configuration, and returns the function that loads
// it.
func configFlag(c *cobra.Command) func() (*config.Config, error) {
	path := c.Flags().StringP("config", "c", "", "configuration `FILE`")
	cobra.CheckErr(c.MarkFlagRequired("config"))
	return func() (*config.Config, error) {
		cfg, err := config.Load(*path, config.Options{Env: os.LookupEnv, Vendors: pipeline.VendorTypes()})
		if err != nil && !errors.As(err, new(*config.InvalidError)) {
			return nil, usageErrorf("--config: %v", err)
		}
		return cfg, err
	}
}

func newConfigCommand() *cobra.Command {
	var out string
	reference := &cobra.Command{
		Use:     "reference",
		Short:   "Print every configuration key with its default, allowed values and meaning (Markdown)",
		Example: "  connector config reference | less",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text := config.ReferenceMarkdown(pipeline.VendorTypes())
			if out == "" {
				_, err := fmt.Fprint(cmd.OutOrStdout(), text)
				return err
			}
			if err := os.WriteFile(out, []byte(text), 0o644); err != nil {
				return fmt.Errorf("writing the reference: %w", err)
			}
			return nil
		},
	}
	reference.Flags().StringVarP(&out, "output", "o", "", "write to `FILE` instead of standard output")
	return newParentCommand("config", "Show the configuration reference", "  connector config reference", reference)
}
