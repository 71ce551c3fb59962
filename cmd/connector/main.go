// Command connector delivers business events from Kafka topics to CRM.COM, Expoints and Propel.
// `connector --help` lists its commands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/spf13/cobra"

	"sluice/internal/config"
)

//go:generate go run . config reference -o ../../docs/configuration.md
//go:generate go run . metrics reference -o ../../docs/metrics.md

// Exit codes, documented in docs/operations.md.
const (
	exitSuccess = 0
	exitFailure = 1
	exitUsage   = 2 // invalid usage or configuration
)

func main() { os.Exit(executeCommand(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// executeCommand runs one command and returns its exit code. Errors are written to errOut.
func executeCommand(ctx context.Context, args []string, out, errOut io.Writer) int {
	// net/http logs surplus bytes of a vendor's response verbatim, which may be personal data.
	log.SetOutput(io.Discard)
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitSuccess
	}
	var failed *commandError
	var invalid *config.InvalidError
	var usage *usageError
	switch {
	case errors.As(err, &invalid):
		fmt.Fprintln(errOut, invalid)
		return exitUsage
	case errors.As(err, &usage), !errors.As(err, &failed):
		fmt.Fprintf(errOut, "%v (see %s --help)\n", err, cmd.CommandPath())
		return exitUsage
	}
	if advice := adviceFor(err); advice != "" {
		err = fmt.Errorf("%w: %s", err, advice)
	}
	fmt.Fprintf(errOut, "%s: %v\n", cmd.CommandPath(), err)
	return exitFailure
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "connector",
		Short:         "Delivers business events from Kafka topics to CRM.COM, Expoints and Propel",
		Example:       "  connector run -c connector.yaml",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.Join(cmd.Help(), usageErrorf("no command given"))
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newRunCommand(),
		newDemoCommand(),
		newCheckCommand(),
		newTopicsCommand(),
		newSchemasCommand(),
		newStatusCommand(),
		newConfigCommand(),
		newMetricsCommand(),
		newSandboxCommand(),
		newProduceCommand(),
		newHealthcheckCommand(),
		newVersionCommand(),
	)
	wrapErrors(root)
	return root
}

// wrapErrors marks the errors of the commands' own work, so that they can be told apart from
// cobra's, which are all usage errors.
func wrapErrors(c *cobra.Command) {
	if run := c.RunE; run != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			if err := run(cmd, args); err != nil {
				return &commandError{err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		wrapErrors(sub)
	}
}

// commandError is an error of a command that was used correctly.
type commandError struct{ err error }

func (f *commandError) Error() string { return f.err.Error() }
func (f *commandError) Unwrap() error { return f.err }

// usageError is invalid usage that cobra does not detect.
type usageError struct{ text string }

func (m *usageError) Error() string { return m.text }

func usageErrorf(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// newParentCommand returns a command that only has subcommands.
func newParentCommand(use, short, example string, subcommands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		return usageErrorf("no command given")
	}}
	c.AddCommand(subcommands...)
	return c
}
