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
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/demo/sample"
	"sluice/internal/demo/sandbox"
)

var sandboxVendors = sandbox.Vendors()

// vendorPaths lists the paths of the vendors, such as "/crmcom, /expoints and /propel".
func vendorPaths() string {
	var paths []string
	for _, v := range sandboxVendors {
		paths = append(paths, "/"+string(v))
	}
	last := len(paths) - 1
	return strings.Join(paths[:last], ", ") + " and " + paths[last]
}

func newSandboxCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "sandbox",
		Short: "Serve the vendors as their documents describe them, with scripted faults",
		Long: "Serve the vendors as their documents describe them: all on one address under " + vendorPaths() + ",\n" +
			"with /healthz and /ledger (what they accepted, as JSON), and each vendor also on its own address if one\n" +
			"is given. The accounts and columns to which the events of `produce` refer exist.",
		Example: "  connector sandbox --listen 127.0.0.1:8090 --script faults.yaml",
		Args:    cobra.NoArgs,
	}
	flags := c.Flags()
	listen := flags.String("listen", "127.0.0.1:8090", "`ADDR` that serves all vendors, as host:port")
	own := map[sandbox.Vendor]*string{}
	for _, v := range sandboxVendors {
		own[v] = flags.String(string(v), "", "additional `ADDR` that serves only "+string(v))
	}
	script := flags.String("script", "", "YAML `FILE` with the rules of the scripted faults")
	latency := flags.Duration("latency", 0, "delay of each response")
	instant := flags.Bool("instant", false, "respond immediately, without validation, script, latency or ledger")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		options, err := sandboxOptions(*script)
		if err != nil {
			return err
		}
		if *latency < 0 {
			return usageErrorf("--latency %v: must be 0s or more", *latency)
		}
		if *instant && (*script != "" || *latency > 0) {
			return usageErrorf("--instant cannot be combined with --script or --latency")
		}
		options.Latency.Fixed, options.Instant = *latency, *instant
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
		defer stop()
		server := sandbox.New(options)
		sites := []listenSite{{*listen, sandboxMux(server)}}
		for _, v := range sandboxVendors {
			if *own[v] != "" {
				sites = append(sites, listenSite{*own[v], server.Handler(v)})
			}
		}
		return serveSites(ctx, cmd.OutOrStdout(), sites)
	}
	return c
}

func sandboxOptions(script string) (sandbox.Options, error) {
	if script == "" {
		return sample.SandboxOptions()
	}
	text, err := os.ReadFile(script)
	if err != nil {
		return sandbox.Options{}, usageErrorf("reading --script: %v", err)
	}
	parsed, err := sandbox.ParseScript(text)
	if err != nil {
		return sandbox.Options{}, usageErrorf("%s: %v", script, err)
	}
	options, err := sample.SandboxOptions(parsed.Rules()...)
	if err != nil {
		return sandbox.Options{}, usageErrorf("%s: %v", script, err)
	}
	return options, nil
}

// sandboxMux serves all vendors side by side.
func sandboxMux(server *sandbox.Server) http.Handler {
	mux := http.NewServeMux()
	for _, v := range sandboxVendors {
		base := "/" + string(v)
		mux.Handle(base+"/", http.StripPrefix(base, server.Handler(v)))
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /ledger", func(w http.ResponseWriter, _ *http.Request) { writeLedger(w, server) })
	return mux
}

// listenSite is a handler and the address at which it is served.
type listenSite struct {
	address string
	handler http.Handler
}

// serveSites listens on every address, prints the URLs, and serves until ctx ends.
func serveSites(ctx context.Context, out io.Writer, sites []listenSite) error {
	listeners := make([]net.Listener, len(sites))
	for i, s := range sites {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.address)
		if err != nil {
			return fmt.Errorf("listening for vendor calls: %w", err)
		}
		defer l.Close()
		listeners[i] = l
	}
	printSandboxURLs(out, listeners)
	failed := make(chan error, len(sites))
	servers := make([]*http.Server, len(sites))
	for i, s := range sites {
		servers[i] = &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second}
		go func() { failed <- servers[i].Serve(listeners[i]) }()
	}
	var result error
	ended := 0
	select {
	case result = <-failed:
		ended++
	case <-ctx.Done():
	}
	for _, s := range servers {
		result = errors.Join(result, s.Close())
	}
	for ; ended < len(sites); ended++ {
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
			result = errors.Join(result, err)
		}
	}
	return result
}

func printSandboxURLs(out io.Writer, listeners []net.Listener) {
	all := listeners[0].Addr()
	fmt.Fprintf(out, "vendors on http://%s, each under its name; accepted items: http://%s/ledger\n", all, all)
	for _, l := range listeners[1:] {
		fmt.Fprintf(out, "single vendor on http://%s\n", l.Addr())
	}
	for _, page := range sandbox.BuiltinPages(sandbox.Options{}) {
		fmt.Fprintf(out, "%-8s  %s\n", page.Vendor, page.AccessText(fmt.Sprintf("http://%s/%s", all, page.Vendor)))
	}
}
