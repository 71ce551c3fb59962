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

// produceOptions are the flags of produce.
type produceOptions struct {
	events map[string]int // by pipeline; if empty, each pipeline gets count
	count  int
	bad    map[string]int // by kind
	rate   float64        // records per second; 0 means no limit
	seed   uint64
}

func newProduceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "produce -c FILE",
		Short: "Write sample events to the pipelines' topics, optionally with bad ones",
		Long: "Write sample events to the pipelines' topics, after registering their schemas. Bad events are spread among the\n" +
			"valid ones, over the selected pipelines whose events support their kind. The kinds are:\n" + kindsHelp() +
			"The same seed generates the same events.",
		Example: "  connector produce -c connector.yaml --events purchases=1000,customer-changes=200 --bad poison=3,rejected=5 --rate 100",
		Args:    cobra.NoArgs,
	}
	load := configFlag(c)
	var p produceOptions
	flags := c.Flags()
	flags.StringToIntVar(&p.events, "events", nil, "numbers of valid events, for these pipelines only, as `PIPELINE=COUNT,...`")
	flags.IntVarP(&p.count, "number", "n", 100, "number of valid events for each pipeline if --events is not given")
	flags.StringToIntVar(&p.bad, "bad", nil, "numbers of additional bad events, as `KIND=COUNT,...`")
	flags.Float64Var(&p.rate, "rate", 0, "records per second; 0 means no limit")
	flags.Uint64Var(&p.seed, "seed", 0, "seed for the events and their order (default random)")
	flags.Lookup("events").DefValue, flags.Lookup("bad").DefValue = "", "" // hides "[]" in the help
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
		return p.runProduce(ctx, cmd.OutOrStdout(), cfg)
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

// runProduce writes the planned samples, and prints how many each topic received by kind.
func (p produceOptions) runProduce(ctx context.Context, out io.Writer, cfg *config.Config) error {
	sources := sample.Sources(cfg)
	plan, err := p.planSamples(sources)
	if err != nil {
		return err
	}
	ids, err := registerSchemas(ctx, cfg, sources)
	if err != nil {
		return err
	}
	samples, err := sample.NewGenerator(sample.Options{Seed: p.seed, Sources: sources, IDs: ids})
	if err != nil {
		return err
	}
	client, err := newKafkaClient(cfg,
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.UnknownTopicRetries(1),
		kgo.RecordDeliveryTimeout(clusterTimeout),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	written, err := p.writeSamples(ctx, client, samples, plan)
	for _, name := range slices.Sorted(maps.Keys(written)) {
		fmt.Fprintf(out, "%s: %d\n", name, written[name])
	}
	fmt.Fprintf(out, "seed %d\n", p.seed)
	return err
}

func registerSchemas(ctx context.Context, cfg *config.Config, sources []sample.Source) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, clusterTimeout)
	defer cancel()
	registry, err := newRegistryClient(cfg.SchemaRegistry)
	if err != nil {
		return nil, err
	}
	return sample.RegisterSchemas(ctx, registry, append(sample.Subjects(sources), sample.StraySubject())...)
}
