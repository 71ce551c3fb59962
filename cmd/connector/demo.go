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

func newDemo() *cobra.Command {
	var o demo.Options
	var asJSON bool
	var level string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run everything in one process, with vendors that misbehave on a script",
		Long: "Run a Kafka broker, a schema registry, the three vendors, a producer and the connector in one process. The vendors misbehave on a script, and bad\n" +
			"records are among the good ones; a ledger shows where each record is, found at the vendors and in the topics. Nothing has to be installed.\n\n" +
			"It runs until Ctrl-C, or for --duration; then the exit code is 1 where anything is lost, doubled without a reason, or ends\n" +
			"elsewhere than the script has it, and where a scripted fault did not happen.\n" +
			"All of it is kept in memory, so it is for minutes and not for days.",
		Example: "  connector demo\n  connector demo --duration 20s --json",
		Args:    cobra.NoArgs,
	}
	c.Flags().DurationVar(&o.Duration, "duration", 0, fmt.Sprintf("end by itself after this time, %s or more; 0: run until Ctrl-C", demo.MinDuration))
	c.Flags().IntVar(&o.Rate, "rate", 200, fmt.Sprintf("good records produced a second, %d to %d", demo.MinRate, demo.MaxRate))
	c.Flags().Uint64Var(&o.Seed, "seed", 1, "decides the records and when the bad ones come")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object at the end, and nothing else on standard output; needs --duration")
	c.Flags().StringVar(&level, "log-level", "", "log to standard error: debug, info, warn or error; default: info, and nothing where a live view would be spoilt")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := o.Check(); err != nil {
			return wrongUse("%v", err)
		}
		if asJSON && o.Duration == 0 {
			return wrongUse("--json needs --duration")
		}
		if !asJSON {
			o.Screen = screen(cmd.OutOrStdout())
		}
		log, err := demoLog(level, o.Screen, cmd.ErrOrStderr())
		if err != nil {
			return wrongUse("--log-level: %v", err)
		}
		o.Log = log
		stops := stopOnSignals(cmd.Context(), log)
		defer stops.end()
		r, err := demo.RunDemo(stops.take, stops.work, o)
		if err != nil {
			return err
		}
		return errors.Join(writeReport(cmd.OutOrStdout(), r, asJSON), r.Err())
	}
	return c
}

// screen is where the live view goes: a table on a terminal, lines elsewhere.
func screen(out io.Writer) demo.Screen {
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

// demoLog logs nothing by default where it would write over the live view.
func demoLog(level string, s demo.Screen, errOut io.Writer) (*zap.Logger, error) {
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
