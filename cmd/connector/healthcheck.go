package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// fetchTimeout limits one request to a running instance.
const fetchTimeout = 5 * time.Second

func newHealthcheckCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "healthcheck --url URL",
		Short:   "Request a URL once and exit 0 if the status is 2xx (for containers without a shell)",
		Example: "  connector healthcheck --url http://127.0.0.1:8080/readyz",
		Args:    cobra.NoArgs,
	}
	url := c.Flags().String("url", "", "`URL` to request")
	cobra.CheckErr(c.MarkFlagRequired("url"))
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		_, err := fetchURL(cmd.Context(), *url)
		return err
	}
	return c
}

// fetchURL returns the body of a GET request. A status other than 2xx is an error that quotes the
// beginning of the body.
func fetchURL(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, usageErrorf("--url: %v", err)
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" || req.URL.Host == "" {
		return nil, usageErrorf("--url: %s: must be an http or https URL with a host", url)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("requesting %s: %w", url, err)
	}
	defer resp.Body.Close()
	const maxBody = 16 << 20
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("reading the response of %s: %w", url, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, fmt.Errorf("%s returned %s: %.300q", url, resp.Status, body)
	}
	return body, nil
}
