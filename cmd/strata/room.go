// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/inspect"
)

// roomCmd is everything about rooms.
type roomCmd struct {
	Create   roomCreateCmd   `cmd:"" help:"Create a room (rw)."`
	Join     roomJoinCmd     `cmd:"" help:"Join a room, here or on another server (rw)."`
	Joins    roomJoinsCmd    `cmd:"" help:"List the joins over other servers that are under way (ro)."`
	Leave    roomLeaveCmd    `cmd:"" help:"Leave a room (rw)."`
	Ls       roomLsCmd       `cmd:"" help:"List the rooms (ro)."`
	Show     roomShowCmd     `cmd:"" help:"Show a room with its servers and its current state (ro)."`
	Timeline roomTimelineCmd `cmd:"" help:"Show the events of a room in order (ro)."`
	DAG      roomDAGCmd      `cmd:"" name:"dag" help:"Draw the graph of a room's events (ro)."`
	Heads    roomHeadsCmd    `cmd:"" help:"List the events that a room's next event follows (ro)."`
	Gaps     roomGapsCmd     `cmd:"" help:"List what is missing of a room, and what waits for it (ro)."`
	Backfill roomBackfillCmd `cmd:"" help:"Fetch a room's history from other servers (rw)."`
	Alarms   roomAlarmsCmd   `cmd:"" help:"List where state resolution gave older state back (ro)."`
	Compare  roomCompareCmd  `cmd:"" help:"Hold a room's state against that of another server (ro)."`
	State    roomStateCmd    `cmd:"" help:"Show a room's current state (ro)."`
	StateAt  roomStateAtCmd  `cmd:"" name:"state-at" help:"Show a room's state at one of its events (ro)."`
}

type roomCreateCmd struct {
	reachFlags
	As          string `required:"" placeholder:"USER" help:"Who creates it: alice, or @alice:example.org."`
	RoomVersion string `placeholder:"V" help:"Room version, 1 to 12. Otherwise 12."`
	Public      bool   `help:"Let everyone join. Otherwise people must be invited."`
	Name        string `help:"Name of the room."`
	Topic       string `help:"What it is about."`
	LocalOnly   bool   `help:"Keep all other servers out, for good."`
}

// Help implements kong.HelpProvider.
func (roomCreateCmd) Help() string {
	return `The creator need not exist before: this server has no accounts, it speaks for every user of its name.

  strata room create --as alice --public --name "Tea room"`
}

// Run implements the command.
func (c *roomCreateCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		room, err := client.CreateRoom(ctx, control.CreateRoom{
			Creator: c.As, Version: c.RoomVersion, Name: c.Name, Topic: c.Topic, Public: c.Public, LocalOnly: c.LocalOnly,
		})
		if err != nil {
			return err
		}
		return w.out.print(room, func() { fmt.Fprintln(w.out.stdout, harmless(room.RoomID)) })
	})
}

type roomJoinCmd struct {
	reachFlags
	Room string   `arg:"" help:"Room id, such as !abc:example.org."`
	As   string   `required:"" placeholder:"USER" help:"Who joins: alice, or @alice:example.org."`
	Via  []string `placeholder:"SERVER" help:"Server that is in the room, for one that is not known here. Can be repeated."`
}

// Help implements kong.HelpProvider.
func (roomJoinCmd) Help() string {
	return `A room id does not say where the room is: for a room that nobody here is in, name a server that is.
The room counts as joined when everything that came with it has been verified.

  strata room join '!abc:example.org' --via example.org --as bob`
}

// Run implements the command.
func (c *roomJoinCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		room, err := client.Join(ctx, control.Membership{User: c.As, Room: c.Room, Via: c.Via})
		if err != nil {
			return err
		}
		return w.out.print(room, func() { fmt.Fprintln(w.out.stdout, harmless(room.RoomID)) })
	})
}

type roomLeaveCmd struct {
	reachFlags
	Room string   `arg:"" help:"Room id, such as !abc:example.org."`
	As   string   `required:"" placeholder:"USER" help:"Who leaves."`
	Via  []string `placeholder:"SERVER" help:"Server that is in the room, for one that nobody here is in (to reject an invitation). Can be repeated."`
}

// Help implements kong.HelpProvider.
func (roomLeaveCmd) Help() string {
	return `What was received of the room stays readable. When the last user of this server has left, nothing new comes in.

  strata room leave '!abc:example.org' --as bob`
}

// Run implements the command.
func (c *roomLeaveCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		room, err := client.Leave(ctx, control.Membership{User: c.As, Room: c.Room, Via: c.Via})
		if err != nil {
			return err
		}
		return w.out.print(room, func() { fmt.Fprintln(w.out.stdout, harmless(room.RoomID)) })
	})
}

type roomLsCmd struct {
	reachFlags
}

// Help implements kong.HelpProvider.
func (roomLsCmd) Help() string {
	return `More than a handful of extremities (HEADS) means that servers in the room do not see each other's events.

  strata room ls
  strata room ls --json=room_id,members`
}

// Run implements the command.
func (c *roomLsCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		rooms, err := client.Rooms(ctx)
		if err != nil {
			return err
		}
		return w.out.print(rooms, func() {
			var rows [][]string
			for _, r := range rooms {
				rows = append(rows, []string{
					r.ID, r.Version, membershipOf(r), strconv.Itoa(r.Members), strconv.Itoa(r.Servers), strconv.Itoa(len(r.Extremities)),
					strconv.FormatInt(r.Depth, 10), orDash(r.Name),
				})
			}
			w.out.table([]string{"ROOM", "VERSION", "STATE", "MEMBERS", "SERVERS", "HEADS", "DEPTH", "NAME"}, rows)
		})
	})
}

type roomShowCmd struct {
	reachFlags
	Room    string `arg:"" help:"Room id, such as !abc:example.org."`
	NoState bool   `help:"Leave the current state out: that of a large room is long."`
}

// Help implements kong.HelpProvider.
func (roomShowCmd) Help() string {
	return `The current state comes sorted by type and state key.

  strata room show '!abc:example.org'
  strata room show '!abc:example.org' --json | jq '.state[] | select(.type == "m.room.member")'`
}

// Run implements the command.
func (c *roomShowCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		room, err := client.Room(ctx, control.ShowRoom{RoomID: c.Room, State: !c.NoState})
		if err != nil {
			return err
		}
		return w.out.print(room, func() { showRoom(w.out, room) })
	})
}

func showRoom(o *output, room inspect.RoomDetail) {
	rows := [][]string{
		{"room", room.ID}, {"name", orDash(room.Name)}, {"version", room.Version}, {"membership", membershipOf(room.Room)},
		{"members", strconv.Itoa(room.Members)}, {"depth", strconv.FormatInt(room.Depth, 10)},
	}
	for _, s := range room.ServerList {
		rows = append(rows, []string{"server", fmt.Sprintf("%s (%d joined)", s.Name, s.Members)})
	}
	for _, id := range room.Extremities {
		rows = append(rows, []string{"extremity", string(id)})
	}
	for _, id := range room.Missing {
		rows = append(rows, []string{"missing", string(id)})
	}
	if c := room.Completion; c != nil {
		rows = append(rows, []string{"completion", fmt.Sprintf("%d attempts, next %s: %s", c.Attempts, o.when(c.NextTry), orDash(c.Note))})
	}
	o.pairs(rows)
	if len(room.State) == 0 {
		return
	}
	o.gap()
	showState(o, room.State)
}

// membershipOf is how this server stands to a room.
func membershipOf(room inspect.Room) string {
	if room.Partial {
		return room.Membership + " (partial)"
	}
	return room.Membership
}

type roomTimelineCmd struct {
	reachFlags
	Room   string   `arg:"" help:"Room id, such as !abc:example.org."`
	Type   []string `placeholder:"TYPE" help:"Only events of this type, such as m.room.message. Can be repeated."`
	After  int64    `placeholder:"POSITION" help:"Only events after this position: to go on where an earlier answer ended."`
	Before int64    `placeholder:"POSITION" help:"Only events before this position: to go further back."`
	Limit  int      `short:"n" default:"50" help:"At most so many, the newest ones."`
}

// Help implements kong.HelpProvider.
func (roomTimelineCmd) Help() string {
	return `Accepted events in the order in which this server accepted them, the oldest first. Rejected and soft-failed events are
not shown, nor is what happened before this server joined.

  strata room timeline '!abc:example.org' --type m.room.message
  strata room timeline '!abc:example.org' --json | jq -r '.[].content.body // empty'`
}

// Run implements the command.
func (c *roomTimelineCmd) Run(ctx context.Context, w *world) error {
	if err := checkLimit(c.Limit); err != nil {
		return err
	}
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		events, err := client.Timeline(ctx, inspect.TimelineQuery{
			RoomID: c.Room, Types: c.Type, After: c.After, Before: c.Before, Limit: c.Limit,
		})
		if err != nil {
			return err
		}
		return w.out.print(events, func() {
			var rows [][]string
			for _, e := range events {
				rows = append(rows, []string{
					strconv.FormatInt(e.Position, 10), w.out.when(e.OriginTS), e.Sender, e.Type, e.EventID, summary(e),
				})
			}
			w.out.table([]string{"POSITION", "TIME", "SENDER", "TYPE", "EVENT", "CONTENT"}, rows)
		})
	})
}

func checkLimit(limit int) error {
	if limit < 1 || limit > inspect.MaxLimit {
		return usage("--limit: %d is not from 1 to %d", limit, inspect.MaxLimit)
	}
	return nil
}

// summary is what an event says, in one line.
func summary(e inspect.Event) string {
	text := string(e.Content)
	if body, ok := bodyOf(e); ok {
		text = body
	} else if e.StateKey != nil && *e.StateKey != "" {
		text = *e.StateKey + " " + text
	}
	return shortened(strings.TrimSpace(text), 80)
}
