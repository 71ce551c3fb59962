package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/internal/config"
	"sluice/internal/demo/sample"
)

// production is what produce is asked for.
type production struct {
	events map[string]int // by pipeline; empty: number for each
	number int
	bad    map[string]int // by kind
	rate   float64        // records a second; 0: as fast as it goes
	seed   uint64
}

func newProduce() *cobra.Command {
	c := &cobra.Command{
		Use:   "produce -c FILE",
		Short: "Write sample events to the pipelines' topics, valid ones and named kinds of bad ones",
		Long: "Write sample events to the pipelines' topics. The bad ones stand among the valid ones, shared out among the pipelines that can have the kind:\n" + kindsHelp() +
			"Their schemas are registered first. The same seed writes the same events.",
		Example: "  connector produce -c connector.yaml --events purchases=1000,customer-changes=200 --bad poison=3,rejected=5 --rate 100",
		Args:    cobra.NoArgs,
	}
	load := configFlag(c)
	var p production
	flags := c.Flags()
	flags.StringToIntVar(&p.events, "events", nil, "valid events of these pipelines alone, as `PIPELINE=COUNT,...`")
	flags.IntVarP(&p.number, "number", "n", 100, "valid events of each pipeline, without --events")
	flags.StringToIntVar(&p.bad, "bad", nil, "bad events besides, as `KIND=COUNT,...`")
	flags.Float64Var(&p.rate, "rate", 0, "records a second; 0: as fast as it goes")
	flags.Uint64Var(&p.seed, "seed", 0, "seed of all that varies (default random)")
	flags.Lookup("events").DefValue, flags.Lookup("bad").DefValue = "", "" // not shown
	c.MarkFlagsMutuallyExclusive("events", "number")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load()
		if err != nil {
			return err
		}
		if !flags.Changed("seed") {
			p.seed = rand.Uint64()
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
		defer stop()
		return p.run(ctx, cmd.OutOrStdout(), cfg)
	}
	return c
}

func kindsHelp() string {
	var names []string
	for _, k := range sample.Kinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ") + ".\n"
}

// run writes what is planned, and says for each topic what was written.
func (p production) run(ctx context.Context, out io.Writer, cfg *config.Config) error {
	sources := sample.Sources(cfg)
	plan, err := p.plan(sources)
	if err != nil {
		return err
	}
	ids, err := register(ctx, cfg, sources)
	if err != nil {
		return err
	}
	samples, err := sample.NewGenerator(sample.Options{Seed: p.seed, Sources: sources, IDs: ids})
	if err != nil {
		return err
	}
	client, err := newClient(cfg, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.UnknownTopicRetries(1), kgo.RecordDeliveryTimeout(clusterTimeout))
	if err != nil {
		return err
	}
	defer client.Close()
	written, err := p.write(ctx, client, samples, plan)
	for _, name := range slices.Sorted(maps.Keys(written)) {
		fmt.Fprintf(out, "%s: %d\n", name, written[name])
	}
	fmt.Fprintf(out, "seed %d\n", p.seed)
	return err
}

func register(ctx context.Context, cfg *config.Config, sources []sample.Source) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	registry, err := newRegistry(cfg.SchemaRegistry)
	if err != nil {
		return nil, err
	}
	return sample.RegisterSchemas(ctx, registry, append(sample.Subjects(sources), sample.StraySubject())...)
}
