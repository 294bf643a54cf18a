package main

// This file is "telltale messages": the sent box, newest first.

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"telltale/tracker"
)

func newMessagesCommand(o *options) *cobra.Command {
	var asJSON bool
	var n int
	var before string
	c := &cobra.Command{
		Use:   "messages",
		Short: "List the messages that were sent, newest first",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{"n": {strconv.Itoa(n)}}
			if before != "" {
				q.Set("before", before)
			}
			body, err := o.get(c.Context(), "/api/messages", q)
			if err != nil {
				return err
			}
			return show(c.OutOrStdout(), body, asJSON, writeMessages)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().IntVar(&n, "n", 50, "how many, at most 1000")
	c.Flags().StringVar(&before, "before", "", "only those before the message with this key")
	return c
}

func writeMessages(w io.Writer, list []tracker.Summary) error {
	for _, m := range list {
		_, err := fmt.Fprintf(w, "%s  %-8s  opens %3d  clicks %3d  last %-19s  %s  %q  <%s>\n",
			when(m.SentAt), m.State, m.Opens, m.Clicks, when(m.Last), clean(strings.Join(m.To, ", ")), m.Subject, clean(m.MessageID))
		if err != nil {
			return err
		}
	}
	return nil
}
