package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/admin"
	"sluice/internal/observe"
)

func newStatusCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "status",
		Short:   "Show each pipeline's state, lag and counts in a running instance",
		Example: "  connector status --url http://127.0.0.1:8080",
		Args:    cobra.NoArgs,
	}
	url := c.Flags().String("url", "http://127.0.0.1:8080", "admin `URL` of the instance")
	raw := c.Flags().Bool("json", false, "print the complete response unchanged")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		body, err := fetchURL(cmd.Context(), strings.TrimSuffix(*url, "/")+"/status")
		if err != nil {
			return err
		}
		if *raw {
			_, err := cmd.OutOrStdout().Write(body)
			return err
		}
		var s admin.Status
		if err := json.Unmarshal(body, &s); err != nil {
			return fmt.Errorf("reading the status of %s: %w", *url, err)
		}
		return writeStatusTable(cmd.OutOrStdout(), s)
	}
	return c
}

func writeStatusTable(out io.Writer, status admin.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PIPELINE\tSTATE\tLAG\tIN FLIGHT\tDELIVERED\tRETRIED\tSKIPPED\tDEAD\tOLDEST")
	for _, p := range status.Pipelines {
		dead := uint64(0)
		for _, n := range p.Dead {
			dead += n
		}
		oldest := time.Duration(p.OldestUnsettledSeconds * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", p.Pipeline, describeState(p), p.LagRecords, p.InFlight, p.Delivered, p.Retried, p.Skipped, dead, oldest)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	for _, stuck := range status.Stuck {
		fmt.Fprintln(out, stuck)
	}
	return nil
}

// describeState returns a pipeline's holds and open breakers, or that it is running.
func describeState(status observe.PipelineStatus) string {
	var waits []string
	if status.Hold != nil {
		waits = append(waits, "held: "+string(status.Hold.Reason))
	}
	for _, o := range status.Operations {
		switch {
		case o.Hold != nil:
			waits = append(waits, o.Operation+" held: "+string(o.Hold.Reason))
		case o.Breaker != "" && o.Breaker != "closed":
			waits = append(waits, o.Operation+" breaker "+o.Breaker)
		}
	}
	switch {
	case len(waits) > 0:
		return strings.Join(waits, ", ")
	case !status.Started:
		return "starting"
	}
	return "running"
}
