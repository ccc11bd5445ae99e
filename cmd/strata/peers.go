// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/strata-matrix/strata/internal/control"
)

type roomCompareCmd struct {
	reachFlags
	Room   string `arg:"" help:"Room id, such as !abc:example.org."`
	Server string `required:"" placeholder:"SERVER" help:"Another server in the room, such as example.org."`
}

// Help implements kong.HelpProvider.
func (roomCompareCmd) Help() string {
	return `Asks the server for its state before the latest event that both have, and lists what differs. Nothing of the answer is
believed or stored. Signs: ~ different events, + they have one and we do not, - we have one and they do not. KNOWN is what became
here of their event: missing if it never came, else see "strata event explain".
Exit code 1 if there is a difference.

  strata room compare '!abc:example.org' --server example.org`
}

// Run implements the command.
func (c *roomCompareCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		found, err := client.Compare(ctx, control.Compare{RoomID: c.Room, Server: c.Server})
		if err != nil {
			return err
		}
		if err := w.out.print(found, func() { showComparison(w.out, found) }); err != nil {
			return err
		}
		if n := len(found.Differences) + len(found.Unread); n > 0 {
			return &control.Error{Kind: control.Refused, Message: fmt.Sprintf("%d differences from %s", n, c.Server)}
		}
		return nil
	})
}

func showComparison(o *output, c control.Comparison) {
	o.note("state before %s: %d slots are the same", c.EventID, c.Same)
	var rows [][]string
	for _, d := range c.Differences {
		sign := "~"
		switch {
		case d.Ours == "":
			sign = "+"
		case d.Theirs == "":
			sign = "-"
		}
		rows = append(rows, []string{sign, d.Type, orDash(d.StateKey), orDash(string(d.Ours)), orDash(string(d.Theirs)), orDash(d.Known)})
	}
	for _, id := range c.Unread {
		rows = append(rows, []string{"?", "-", "-", "-", string(id), "missing"})
	}
	o.table([]string{"", "TYPE", "KEY", "OURS", "THEIRS", "KNOWN"}, rows)
}

type eventFetchCmd struct {
	reachFlags
	Event  string `arg:"" help:"Event id, such as $$abc."`
	Server string `required:"" placeholder:"SERVER" help:"The server to ask, such as example.org."`
	Keep   bool   `help:"Take the event in, as if it had been missing: it is judged like any other."`
}

// Help implements kong.HelpProvider.
func (eventFetchCmd) Help() string {
	return `Shows the event as the other server gives it, malformed or not, with the checks that need nothing of the room but its
version: format (P-25), signatures and hash (P-26). Without --keep nothing is stored.

  strata event fetch '$abc' --server example.org
  strata event fetch '$abc' --server example.org --keep && strata event explain '$abc'`
}

// Run implements the command.
func (c *eventFetchCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		f, err := client.FetchEvent(ctx, control.FetchEvent{EventID: c.Event, Server: c.Server, Keep: c.Keep})
		if err != nil {
			return err
		}
		return w.out.print(f, func() {
			rows := [][]string{{"event", f.EventID}, {"from", f.Server}, {"known here", f.Known}, {"kept", strconv.FormatBool(f.Kept)}}
			rows = append(rows, checkRows(f.Checks)...)
			if len(f.PDU) > 0 {
				rows = append(rows, []string{"json", string(f.PDU)})
			}
			w.out.pairs(rows)
		})
	})
}
