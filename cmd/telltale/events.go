package main

// This file is "telltale events": opens and clicks, as they come.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"telltale/tracker"
)

func newEventsCommand(o *options) *cobra.Command {
	var asJSON, follow bool
	var after string
	c := &cobra.Command{
		Use:   "events",
		Short: "List opens and clicks, or follow them as they come",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{}
			if follow {
				q.Set("follow", "1")
			}
			if after != "" {
				q.Set("after", after)
			}
			body, err := o.get(c.Context(), "/api/events", q)
			if err != nil {
				return err
			}
			defer body.Close()
			return writeEvents(c.OutOrStdout(), body, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	c.Flags().BoolVar(&follow, "follow", false, "wait for more, until interrupted")
	c.Flags().StringVar(&after, "after", "", "only those after the event with this id")
	return c
}

// writeEvents copies lines as they come.
func writeEvents(w io.Writer, body io.Reader, asJSON bool) error {
	for d := json.NewDecoder(body); ; {
		var e tracker.Event
		err := d.Decode(&e)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if asJSON {
			if err := json.NewEncoder(w).Encode(e); err != nil {
				return err
			}
			continue
		}
		writeEvent(w, e)
	}
}
