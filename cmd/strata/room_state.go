// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/inspect"
)

// slotFlags say which pieces of state are shown.
type slotFlags struct {
	Type []string `placeholder:"TYPE" help:"Only state of this type, such as m.room.member. Can be repeated."`
	Key  *string  `placeholder:"KEY" help:"Only state with this state key, such as @alice:example.org, or an empty one: --key=."`
}

type roomStateCmd struct {
	reachFlags
	slotFlags
	Room string `arg:"" help:"Room id, such as !abc:example.org."`
}

// Help implements kong.HelpProvider.
func (roomStateCmd) Help() string {
	return `The current state is that of all heads together, resolved where they disagree. It is sorted by type and state key.

  strata room state '!abc:example.org' --type m.room.power_levels --json | jq .[].content
  strata room state '!abc:example.org' --type m.room.member --key @eve:example.org`
}

// Run implements the command.
func (c *roomStateCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		return w.printState(client.State(ctx, inspect.StateQuery{RoomID: c.Room, Types: c.Type, Key: c.Key}))
	})
}

type roomStateAtCmd struct {
	reachFlags
	slotFlags
	Room  string `arg:"" help:"Room id, such as !abc:example.org."`
	Event string `arg:"" help:"Id of an event of the room."`
	After bool   `help:"The state after the event. Otherwise before it."`
}

// Help implements kong.HelpProvider.
func (roomStateAtCmd) Help() string {
	return `The state at any event that has its place in the room's graph, old or new: it is stored, not computed. The state before
an event is what it was judged by (P-28).

  strata room state-at '!abc:example.org' '$event'
  strata room state-at '!abc:example.org' '$event' --after --type m.room.join_rules`
}

// Run implements the command.
func (c *roomStateAtCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		return w.printState(client.State(ctx, inspect.StateQuery{
			RoomID: c.Room, EventID: c.Event, After: c.After, Types: c.Type, Key: c.Key,
		}))
	})
}

func (w *world) printState(events []inspect.Event, err error) error {
	if err != nil {
		return err
	}
	return w.out.print(events, func() { showState(w.out, events) })
}

func showState(o *output, events []inspect.Event) {
	var rows [][]string
	for _, e := range events {
		rows = append(rows, []string{e.Type, orDash(*e.StateKey), e.EventID, e.Sender, shortened(string(e.Content), 60)})
	}
	o.table([]string{"TYPE", "KEY", "EVENT", "SENDER", "CONTENT"}, rows)
}
