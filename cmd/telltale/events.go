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

// writeEvents copies lines as they come. A fault that the server meets after it
// has begun to answer is a last line of its own: without a look at it that would
// be shown as an event, and the list would seem to be whole.
func writeEvents(w io.Writer, body io.Reader, asJSON bool) error {
	for d := json.NewDecoder(body); ; {
		var l struct {
			tracker.Event
			Error, Hint string
		}
		err := d.Decode(&l)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the answer: %w; the server broke off: look at its log", err)
		}
		if l.Error != "" {
			return fmt.Errorf("%s; %s", l.Error, l.Hint)
		}
		if asJSON {
			err = encodeEvent(w, l.Event)
		} else {
			err = writeEvent(w, l.Event)
		}
		if err != nil {
			return err // nobody reads: a follower must not go on for ever
		}
	}
}

// encodeEvent writes one line of JSON, with URLs that can be read.
func encodeEvent(w io.Writer, e tracker.Event) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(e)
}
