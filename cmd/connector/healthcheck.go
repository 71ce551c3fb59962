package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// askTimeout bounds one question to a running instance.
const askTimeout = 5 * time.Second

func newHealthcheck() *cobra.Command {
	c := &cobra.Command{
		Use:     "healthcheck --url URL",
		Short:   "Ask a URL once, and exit 0 when the answer is 2xx (for containers without a shell)",
		Example: "  connector healthcheck --url http://127.0.0.1:8080/readyz",
		Args:    cobra.NoArgs,
	}
	url := c.Flags().String("url", "", "`URL` to ask")
	cobra.CheckErr(c.MarkFlagRequired("url"))
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		_, err := ask(cmd.Context(), *url)
		return err
	}
	return c
}

// ask gets a URL. An answer that is not 2xx is an error with the beginning of its text.
func ask(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, wrongUse("--url: %v", err)
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" || req.URL.Host == "" {
		return nil, wrongUse("--url: %s: must be an http or https URL with a host", url)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", url, err)
	}
	defer resp.Body.Close()
	const most = 16 << 20
	body, err := io.ReadAll(io.LimitReader(resp.Body, most))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", url, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, fmt.Errorf("%s answers %s: %.300q", url, resp.Status, body)
	}
	return body, nil
}
