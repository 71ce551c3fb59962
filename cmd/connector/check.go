package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCheckCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "check -c FILE --offline",
		Short: "Check the configuration file and report every error in it",
		Long: "Check the configuration file. All errors are reported at once, each with its line, key, value and what is\n" +
			"allowed. The exit code is 2 if there are any. Only the file is checked, so --offline is required.",
		Example: "  connector check -c connector.yaml --offline",
		Args:    cobra.NoArgs,
	}
	load := configFlag(c)
	offline := c.Flags().Bool("offline", false, "check only the file")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if !*offline {
			return usageErrorf("online checks are not available: use --offline to check only the file")
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		for _, p := range cfg.Pipelines {
			for _, r := range p.Routes {
				fmt.Fprintf(out, "pipeline %s: topic %s: %s -> %s\n", p.Name, p.Topic, r.Event, r.OperationName())
			}
		}
		fmt.Fprintln(out, "the configuration is valid")
		return nil
	}
	return c
}
