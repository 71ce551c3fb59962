package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCheck() *cobra.Command {
	c := &cobra.Command{
		Use:   "check -c FILE --offline",
		Short: "Check the configuration file, and name every fault in it",
		Long: "Check the configuration file. Every fault is named at once, with its line, key, value and what is allowed; the exit code is then 2.\n" +
			"Nothing but the file is looked at; --offline must say so.",
		Example: "  connector check -c connector.yaml --offline",
		Args:    cobra.NoArgs,
	}
	load := configFlag(c)
	offline := c.Flags().Bool("offline", false, "look at the file alone")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if !*offline {
			return wrongUse("only the file is checked: give --offline")
		}
		cfg, err := load()
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		for _, p := range cfg.Pipelines {
			for _, r := range p.Routes {
				fmt.Fprintf(out, "pipeline %s: topic %s: %s -> %s\n", p.Name, p.Topic, r.Event, r.FullName())
			}
		}
		fmt.Fprintln(out, "the configuration is valid")
		return nil
	}
	return c
}
