// Command connector carries business events from Kafka to the vendors. `connector --help` lists what it does.
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

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitMisuse = 2 // wrong use or wrong configuration
)

func main() { os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// execute runs one command and gives the exit code. What went wrong is said on errOut.
func execute(ctx context.Context, args []string, out, errOut io.Writer) int {
	log.SetOutput(io.Discard) // net/http writes there, word for word, what a vendor sends beyond the end of its answer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	var failed *failure
	var invalid *config.InvalidError
	var wrong *misuse
	switch {
	case errors.As(err, &invalid):
		fmt.Fprintln(errOut, invalid)
		return exitMisuse
	case errors.As(err, &wrong), !errors.As(err, &failed):
		fmt.Fprintf(errOut, "%v (see %s --help)\n", err, cmd.CommandPath())
		return exitMisuse
	}
	if do := advice(err); do != "" {
		err = fmt.Errorf("%w: %s", err, do)
	}
	fmt.Fprintf(errOut, "%s: %v\n", cmd.CommandPath(), err)
	return exitFailed
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "connector",
		Short:         "Carries business events from Kafka topics to CRM.COM, Expoints and Propel",
		Example:       "  connector run -c connector.yaml",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.Join(cmd.Help(), wrongUse("a command is needed"))
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newRun(),
		newDemo(),
		newCheck(),
		newTopics(),
		newSchemas(),
		newStatus(),
		newConfig(),
		newSandbox(),
		newProduce(),
		newHealthcheck(),
		newVersion(),
	)
	mark(root)
	return root
}

// mark has every error of a command's own work told from cobra's, which are all of wrong use.
func mark(c *cobra.Command) {
	if run := c.RunE; run != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			if err := run(cmd, args); err != nil {
				return &failure{err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		mark(sub)
	}
}

// failure is an error of a command that was used rightly.
type failure struct{ err error }

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// misuse is a wrong use that cobra cannot see.
type misuse struct{ text string }

func (m *misuse) Error() string { return m.text }

func wrongUse(format string, args ...any) error { return &misuse{fmt.Sprintf(format, args...)} }

// group is a command that only has others below it.
func group(use, short, example string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		return wrongUse("a command is needed")
	}}
	c.AddCommand(below...)
	return c
}
