package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/term"

	"sluice/internal/demo"
	"sluice/internal/observe"
)

func newDemoCommand() *cobra.Command {
	var o demo.Options
	var asJSON bool
	var level string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run everything in one process, with vendors that fail according to a script",
		Long: "Run a Kafka broker, a schema registry, the vendors, a producer and the connector in one process. The\n" +
			"vendors fail according to a script, and some records are bad. A ledger, read from the vendors and the\n" +
			"topics, shows where each record is. Nothing has to be installed.\n\n" +
			"The demo runs until Ctrl-C or for --duration, and then drains. The exit code is 1 if a record was lost,\n" +
			"delivered twice without a reason, or had another outcome than the script expects, or if a scripted fault did\n" +
			"not occur. Everything is kept in memory, so run it for minutes, not days.",
		Example: "  connector demo\n  connector demo --duration 20s --json",
		Args:    cobra.NoArgs,
	}
	c.Flags().DurationVar(&o.Duration, "duration", 0, fmt.Sprintf("stop after this time, at least %s; 0 means until Ctrl-C", demo.MinDuration))
	c.Flags().IntVar(&o.Rate, "rate", 200, fmt.Sprintf("valid records produced per second, %d to %d", demo.MinRate, demo.MaxRate))
	c.Flags().Uint64Var(&o.Seed, "seed", 1, "seed for the records and the order of the bad ones")
	c.Flags().BoolVar(&asJSON, "json", false, "print nothing but one JSON object to standard output, at the end; requires --duration")
	c.Flags().StringVar(&level, "log-level", "", "log level on standard error: debug, info, warn or error (default info, or no log if it would overwrite the live view)")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.Check(); err != nil {
			return usageErrorf("%v", err)
		}
		if asJSON && o.Duration == 0 {
			return usageErrorf("--json requires --duration")
		}
		if !asJSON {
			o.Screen = demoScreen(cmd.OutOrStdout())
		}
		log, err := newDemoLogger(level, o.Screen, cmd.ErrOrStderr())
		if err != nil {
			return usageErrorf("--log-level: %v", err)
		}
		o.Log = log
		signals := shutdownOnSignals(cmd.Context(), log)
		defer signals.close()
		r, err := demo.RunDemo(signals.fetchCtx, signals.workCtx, o)
		if err != nil {
			return err
		}
		return errors.Join(writeReport(cmd.OutOrStdout(), r, asJSON), r.Err())
	}
	return c
}

// demoScreen returns where the live view is written: a table on a terminal, lines elsewhere.
func demoScreen(out io.Writer) demo.Screen {
	s := demo.Screen{Writer: out}
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return s
	}
	s.Width = func() int {
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil {
			return 80
		}
		return width
	}
	return s
}

// newDemoLogger returns a logger that by default logs nothing if it would overwrite the live view.
func newDemoLogger(level string, s demo.Screen, errOut io.Writer) (*zap.Logger, error) {
	if file, ok := errOut.(*os.File); level == "" && s.Width != nil && ok && term.IsTerminal(int(file.Fd())) {
		return zap.NewNop(), nil
	}
	if level == "" {
		level = "info"
	}
	return observe.NewLogger(level, "json", errOut)
}

func writeReport(out io.Writer, r demo.Report, asJSON bool) error {
	if asJSON {
		return r.WriteJSON(out)
	}
	fmt.Fprintln(out)
	for _, line := range r.Summary() {
		fmt.Fprintln(out, line)
	}
	return nil
}
