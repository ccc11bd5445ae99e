// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/transport/ident"
)

// graphFlags say how much of a graph is shown, and how.
type graphFlags struct {
	Limit  int    `short:"n" default:"30" help:"At most so many events, the deepest ones."`
	Format string `enum:"text,mermaid,dot" default:"text" help:"text to read, or mermaid or dot (Graphviz) to have it drawn."`
}

type roomDAGCmd struct {
	reachFlags
	graphFlags
	Room string   `arg:"" help:"Room id, such as !abc:example.org."`
	From []string `placeholder:"EVENT" help:"Go back from this event instead of the heads and what was refused. Can be repeated."`
}

// Help implements kong.HelpProvider.
func (roomDAGCmd) Help() string {
	return `Each event stands above those that it follows; a line leads to each of them. Marks: * accepted, ~ soft-failed, x rejected,
o with a gap below it, which "strata room backfill" can fill. What was refused lately is drawn too, also where nothing follows it;
strata event ls lists all of it.

  strata room dag '!abc:example.org' -n 50
  strata room dag '!abc:example.org' --format dot | dot -Tsvg > room.svg`
}

// Run implements the command.
func (c *roomDAGCmd) Run(ctx context.Context, w *world) error {
	return c.run(ctx, w, c.reachFlags, func(context.Context, *control.Client) (inspect.GraphQuery, error) {
		return inspect.GraphQuery{RoomID: c.Room, From: c.From}, nil
	})
}

// run shows the graph that query asks for.
func (f graphFlags) run(ctx context.Context, w *world, reach reachFlags,
	query func(context.Context, *control.Client) (inspect.GraphQuery, error),
) error {
	if err := checkLimit(f.Limit); err != nil {
		return err
	}
	return reach.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		q, err := query(ctx, client)
		if err != nil {
			return err
		}
		q.Limit = f.Limit
		nodes, err := client.Graph(ctx, q)
		if err != nil {
			return err
		}
		return printGraph(w.out, nodes, f.Format)
	})
}

type eventGraphCmd struct {
	reachFlags
	graphFlags
	Event string `arg:"" help:"Event id, such as $$abc."`
	Auth  bool   `help:"Go over auth_events: what the event rests on. Otherwise over prev_events: what it follows."`
}

// Help implements kong.HelpProvider.
func (eventGraphCmd) Help() string {
	return `Draws the event at the top and what leads to it below. With --auth these are its auth events and theirs: the reasons why it
is allowed, down to the create event.

  strata event graph '$abc' --auth
  strata event graph '$abc' --auth --format mermaid`
}

// Run implements the command.
func (c *eventGraphCmd) Run(ctx context.Context, w *world) error {
	return c.run(ctx, w, c.reachFlags, func(ctx context.Context, client *control.Client) (inspect.GraphQuery, error) {
		e, err := client.Event(ctx, control.GetEvent{EventID: c.Event})
		return inspect.GraphQuery{RoomID: e.RoomID, From: []string{c.Event}, Auth: c.Auth}, err
	})
}

type roomHeadsCmd struct {
	reachFlags
	Room string `arg:"" help:"Room id, such as !abc:example.org."`
}

// Help implements kong.HelpProvider.
func (roomHeadsCmd) Help() string {
	return `The heads (forward extremities) are the accepted events that no accepted event follows yet; the next event of this server
follows them all, 20 at most. Many heads that stay mean that servers do not hear each other. HELD marks events that count as heads only
when the quarantined events that follow them are judged.

  strata room heads '!abc:example.org'`
}

// Run implements the command.
func (c *roomHeadsCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		heads, err := client.Heads(ctx, control.RoomRef{RoomID: c.Room})
		if err != nil {
			return err
		}
		return w.out.print(heads, func() {
			var rows [][]string
			for _, h := range heads {
				state := "head"
				if h.Held {
					state = fmt.Sprintf("HELD for %d", h.Followers)
				}
				rows = append(rows, []string{h.EventID, strconv.FormatInt(h.Depth, 10), w.out.when(h.OriginTS), h.Sender, h.Type, state})
			}
			w.out.table([]string{"EVENT", "DEPTH", "TIME", "SENDER", "TYPE", "STATE"}, rows)
		})
	})
}

type roomGapsCmd struct {
	reachFlags
	Room  string `arg:"" help:"Room id, such as !abc:example.org."`
	Limit int    `short:"n" default:"50" help:"At most so many quarantined events."`
}

// Help implements kong.HelpProvider.
func (roomGapsCmd) Help() string {
	return `Two kinds. history: events that the graph refers to and that are not in it, what happened before this server took part; they are
not needed to go on. quarantined: events that were received and wait for others that they refer to; these are sought at the other
servers of the room, at growing intervals.

  strata room gaps '!abc:example.org'
  strata room gaps '!abc:example.org' --json | jq '.quarantined[] | .waits[]'`
}

// Run implements the command.
func (c *roomGapsCmd) Run(ctx context.Context, w *world) error {
	if err := checkLimit(c.Limit); err != nil {
		return err
	}
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		gaps, err := client.Gaps(ctx, control.RoomRef{RoomID: c.Room, Limit: c.Limit})
		if err != nil {
			return err
		}
		return w.out.print(gaps, func() { showGaps(w.out, gaps) })
	})
}

func showGaps(o *output, gaps inspect.Gaps) {
	var rows [][]string
	for _, id := range gaps.History {
		rows = append(rows, []string{"history", string(id), "-", "-", "-", "-"})
	}
	for _, q := range gaps.Quarantined {
		remark := "waits for " + joinIDs(q.Waits)
		if q.Note != "" {
			remark += "; last search: " + q.Note
		}
		searches := fmt.Sprintf("%d (%d requests)", q.Attempts, q.Requests)
		rows = append(rows, []string{"quarantined", q.EventID, q.Peer, searches, o.when(q.NextTry), remark})
	}
	o.table([]string{"KIND", "EVENT", "FROM", "SEARCHES", "NEXT", "REMARK"}, rows)
	if b := gaps.Backfill; b != nil {
		o.note("history: %d events fetched, back to depth %d; %s: %s", b.Events, b.Depth, b.Server, b.Note)
	}
	if b := gaps.Budget; b.Until != 0 {
		o.note("searches until %s: %d of %d requests, %d of %d bytes", o.when(b.Until), b.Requests, b.MaxRequests, b.Bytes, b.MaxBytes)
	}
}

func joinIDs(ids []ident.EventID) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = string(id)
	}
	return strings.Join(words, " ")
}
