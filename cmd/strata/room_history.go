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

// backfillStep is how many events are asked for between two lines of progress.
const backfillStep = 100

type roomBackfillCmd struct {
	reachFlags
	Room  string `arg:"" help:"Room id, such as !abc:example.org."`
	Limit int    `short:"n" default:"500" help:"Stop after about so many events."`
}

// Help implements kong.HelpProvider.
func (roomBackfillCmd) Help() string {
	return `Asks the servers in the room for what came before the oldest events that are known here (strata room gaps), again and again until
it has enough or nobody gives more. Each event is verified and judged; history is not delivered to subscriptions. What was found is
durable at each step: the command can be interrupted, and given again to go on. Progress is on stderr.

  strata room backfill '!abc:example.org' -n 2000`
}

// Run implements the command.
func (c *roomBackfillCmd) Run(ctx context.Context, w *world) error {
	if err := checkLimit(c.Limit); err != nil {
		return err
	}
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		var all control.Backfilled
		for found := 0; ; {
			step, err := client.Backfill(ctx, control.RoomRef{RoomID: c.Room, Limit: min(backfillStep, c.Limit-found)})
			if err != nil {
				return err
			}
			found += step.Found
			all, all.Found = step, found
			if step.Found == 0 || step.Gaps == 0 || found >= c.Limit {
				break
			}
			w.out.note("%d events, back to depth %d; %s: %s", found, step.Depth, step.Server, step.Note)
		}
		return w.out.print(all, func() {
			w.out.pairs([][]string{
				{"found", strconv.Itoa(all.Found)}, {"total", strconv.Itoa(all.Total)}, {"depth", strconv.FormatInt(all.Depth, 10)},
				{"gaps", strconv.Itoa(all.Gaps)}, {"asked last", orDash(all.Server)}, {"answer", orDash(all.Note)},
			})
		})
	})
}

type roomAlarmsCmd struct {
	reachFlags
	Room   string `arg:"" optional:"" help:"Room id, such as !abc:example.org. Otherwise all rooms."`
	Before int64  `placeholder:"N" help:"Only alarms with smaller numbers: to go further back."`
	Limit  int    `short:"n" default:"20" help:"At most so many, the newest ones."`
	Trace  bool   `help:"Show how the states were resolved."`
}

// Help implements kong.HelpProvider.
func (roomAlarmsCmd) Help() string {
	return `An alarm is kept when resolving the states of several branches puts older state in the place of newer, or empties it, without
an event that does so: a state reset. "severe" are those of power, access, encryption or users of this server. Compare with other
servers (strata room compare), and if the new state is wrong set it again.

  strata room alarms
  strata room alarms '!abc:example.org' --trace`
}

// Run implements the command.
func (c *roomAlarmsCmd) Run(ctx context.Context, w *world) error {
	if err := checkLimit(c.Limit); err != nil {
		return err
	}
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		alarms, err := client.Alarms(ctx, inspect.AlarmQuery{RoomID: c.Room, Before: c.Before, Limit: c.Limit})
		if err != nil {
			return err
		}
		return w.out.print(alarms, func() {
			for _, a := range alarms {
				showAlarm(w.out, a, c.Trace)
			}
		})
	})
}

func showAlarm(o *output, a inspect.Alarm, trace bool) {
	weight := "notable"
	if a.Severe {
		weight = "severe"
	}
	rows := [][]string{
		{"alarm", fmt.Sprintf("%d, %s, %s", a.Number, weight, o.when(a.At))}, {"room", a.RoomID},
		{"changed", fmt.Sprintf("%d pieces of state went back", a.Changed)},
	}
	for _, s := range a.Slots {
		rows = append(rows, []string{"  " + s.Type, fmt.Sprintf("%q: %s, before %s", s.StateKey, orDash(string(s.After)), s.Before)})
	}
	rows = append(rows, []string{"resolved over", joinIDs(a.Extremities)})
	if trace {
		rows = append(rows, traceRows(a.Trace)...)
	}
	o.pairs(rows)
	o.gap()
}

// traceRows is how a resolution came about.
func traceRows(t inspect.ResolutionTrace) (rows [][]string) {
	slots := make([]string, len(t.Conflicted))
	for i, slot := range t.Conflicted {
		slots[i] = fmt.Sprintf("%s %q", slot.Type, slot.StateKey)
	}
	rows = append(rows, []string{"conflicted", strings.Join(slots, ", ")})
	rows = append(rows, idRows("auth difference", t.AuthDifference)...)
	rows = append(rows, idRows("subgraph", t.Subgraph)...)
	rows = append(rows, idRows("power order", t.PowerOrder)...)
	rows = append(rows, idRows("mainline", t.Mainline)...)
	rows = append(rows, idRows("mainline order", t.MainlineOrder)...)
	for _, c := range t.Checks {
		word := "ok"
		if !c.OK {
			word = "FAIL"
		}
		rows = append(rows, []string{"check", strings.TrimSpace(fmt.Sprintf("%s %s %s %s", c.EventID, word, c.Rule, c.Detail))})
	}
	return rows
}
