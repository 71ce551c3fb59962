package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/demo/sample"
	"sluice/internal/demo/sandbox"
)

var vendors = sandbox.Vendors()

func newSandbox() *cobra.Command {
	c := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve the three vendors, true to their documents, with faults by script",
		Long: "Serve the three vendors, true to their documents: all on one address under /crmcom, /expoints and /propel, with /healthz and /ledger (what they\n" +
			"accepted, JSON), and each on an address of its own where one is given. They know the accounts and columns of the events that `produce` makes.",
		Example: "  connector sandbox --listen 127.0.0.1:8090 --script faults.yaml",
		Args:    cobra.NoArgs,
	}
	flags := c.Flags()
	listen := flags.String("listen", "127.0.0.1:8090", "`ADDR` for all vendors, host:port")
	own := map[sandbox.Vendor]*string{}
	for _, v := range vendors {
		own[v] = flags.String(string(v), "", "`ADDR` for "+string(v)+" alone, besides")
	}
	script := flags.String("script", "", "YAML `FILE` of rules: which calls misbehave, and how")
	latency := flags.Duration("latency", 0, "time that each answer takes")
	instant := flags.Bool("instant", false, "answer at once, without checks, script, latency or ledger")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		options, err := sandboxOptions(*script)
		if err != nil {
			return err
		}
		if *latency < 0 {
			return wrongUse("--latency is %v: 0s or more is allowed", *latency)
		}
		if *instant && (*script != "" || *latency > 0) {
			return wrongUse("--instant answers at once and by no script: --script and --latency cannot be given with it")
		}
		options.Latency.Fixed, options.Instant = *latency, *instant
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
		defer stop()
		server := sandbox.New(options)
		sites := []site{{*listen, sandboxMux(server)}}
		for _, v := range vendors {
			if *own[v] != "" {
				sites = append(sites, site{*own[v], server.Handler(v)})
			}
		}
		return serve(ctx, cmd.OutOrStdout(), sites)
	}
	return c
}

func sandboxOptions(script string) (sandbox.Options, error) {
	if script == "" {
		return sample.SandboxOptions()
	}
	text, err := os.ReadFile(script)
	if err != nil {
		return sandbox.Options{}, wrongUse("reading --script: %v", err)
	}
	parsed, err := sandbox.ParseScript(text)
	if err != nil {
		return sandbox.Options{}, wrongUse("%s: %v", script, err)
	}
	options, err := sample.SandboxOptions(parsed.Rules()...)
	if err != nil {
		return sandbox.Options{}, wrongUse("%s: %v", script, err)
	}
	return options, nil
}

// sandboxMux has all vendors side by side.
func sandboxMux(server *sandbox.Server) http.Handler {
	mux := http.NewServeMux()
	for _, v := range vendors {
		base := "/" + string(v)
		mux.Handle(base+"/", http.StripPrefix(base, server.Handler(v)))
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /ledger", func(w http.ResponseWriter, _ *http.Request) { writeLedger(w, server) })
	return mux
}

// site is a handler and where it is served.
type site struct {
	address string
	handler http.Handler
}

// serve listens on every address, says where, and serves until ctx ends.
func serve(ctx context.Context, out io.Writer, sites []site) error {
	listeners := make([]net.Listener, len(sites))
	for i, s := range sites {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.address)
		if err != nil {
			return fmt.Errorf("listening for vendor calls: %w", err)
		}
		defer l.Close()
		listeners[i] = l
	}
	printSandbox(out, listeners)
	failed := make(chan error, len(sites))
	servers := make([]*http.Server, len(sites))
	for i, s := range sites {
		servers[i] = &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second}
		go func() { failed <- servers[i].Serve(listeners[i]) }()
	}
	var first error
	ended := 0
	select {
	case first = <-failed:
		ended++
	case <-ctx.Done():
	}
	for _, s := range servers {
		first = errors.Join(first, s.Close())
	}
	for ; ended < len(sites); ended++ {
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
			first = errors.Join(first, err)
		}
	}
	return first
}

func printSandbox(out io.Writer, listeners []net.Listener) {
	all := listeners[0].Addr()
	fmt.Fprintf(out, "vendors on http://%s, each below its name; what they accepted: http://%s/ledger\n", all, all)
	for _, l := range listeners[1:] {
		fmt.Fprintf(out, "one of them alone on http://%s\n", l.Addr())
	}
	for _, page := range sandbox.BuiltinPages(sandbox.Options{}) {
		fmt.Fprintf(out, "%-8s  %s\n", page.Vendor, page.AccessText(fmt.Sprintf("http://%s/%s", all, page.Vendor)))
	}
}
