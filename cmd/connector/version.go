package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker with -X main.version=v1.2.3.
var version = "dev"

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version and the commit it was built from",
		Example: "  connector version",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintf(cmd.OutOrStdout(), "connector %s (%s, %s/%s)%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH, buildSource())
			return nil
		},
	}
}

// buildSource returns the commit that was built, or an empty text if the build does not record it.
func buildSource() string {
	settings := buildSettings()
	if settings["vcs.revision"] == "" {
		return ""
	}
	text := fmt.Sprintf(" commit %s of %s", settings["vcs.revision"], settings["vcs.time"])
	if settings["vcs.modified"] == "true" {
		text += ", with local changes"
	}
	return text
}

// buildSettings returns what the Go tool recorded about the build, such as vcs.revision. It is
// empty for a binary built without that information.
func buildSettings() map[string]string {
	settings := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
	}
	return settings
}
