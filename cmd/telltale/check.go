package main

// This file is "telltale check": is all as it must be before mail goes through?

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"telltale/relay"
)

func newCheckCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check the configuration, the keys, the upstream and the tracker's address",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := o.load()
			if err == nil {
				err = cfg.Check()
			}
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			fmt.Fprintf(out, "ok    configuration %s\nok    keys %s\n", cfg.source.file, cfg.KeysFile)
			up, err := upstream(cfg.Upstream)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			offers, err := relay.Probe(ctx, up, hostname(cfg.Relay.Hostname))
			if err != nil {
				err = fmt.Errorf("upstream %s: %w; is address right, and tls (587: starttls, 465: implicit), and the password?", up.Address, err)
				fmt.Fprintf(out, "FAIL  %v\n", err)
			} else {
				fmt.Fprintf(out, "ok    upstream %s offers %s\n", up.Address, offers)
			}
			terr := probeTracker(ctx, cfg.Tracker.URL)
			if terr != nil {
				terr = fmt.Errorf("tracker.url %s: %w; it works once telltale serves and the address leads to it", cfg.Tracker.URL, terr)
				fmt.Fprintf(out, "FAIL  %v\n", terr)
			} else {
				fmt.Fprintf(out, "ok    tracker %s answers\n", cfg.Tracker.URL)
			}
			return errors.Join(err, terr)
		},
	}
}

// probeTracker asks the public address for what only a tracker of ours answers so.
func probeTracker(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/o/check.gif", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || kind != "image/gif" {
		return fmt.Errorf("something else answers there: %s, %s", resp.Status, kind)
	}
	return nil
}
